"""What one attaches to a paper: code and record of a run, ready to run again, the same bytes wherever it is made.

``<exp_name>-<test_name>/`` holds ``README.md``, ``run.py`` (:mod:`gitlumo.rerun.replay`), ``run.json`` (what that
needs to know), ``requirements.txt`` (the packages that were installed), ``code/`` and ``record/``, the run's folder in
the ledger. All of it is a function of the run, its code and this version of gitlumo.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import resources
from typing import Any

from gitlumo.errors import LumoError
from gitlumo.git import export
from gitlumo.git.export import File
from gitlumo.git.objects import read_commit
from gitlumo.git.repository import Repository
from gitlumo.rerun import command_line, readme
from gitlumo.rerun.metric_lines import is_pattern
from gitlumo.rerun.overrides import masked
from gitlumo.rerun.programs import is_python
from gitlumo.rerun.replay import KEYS
from gitlumo.store import columns, record
from gitlumo.store.query import Found

_NAME, _VERSION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*"), re.compile(r"[0-9A-Za-z][0-9A-Za-z.!+_-]*")
_FILE, _PROGRAM = 0o100644, 0o100755


def folder_of(found: Found) -> str:
    """The one folder that an archive unpacks to; its own name without ending."""
    return f"{found.exp_name}-{found.name}"


def moment_of(repository: Repository, commit: str) -> int:
    """The time that all its files have: the code's."""
    return read_commit(repository.objects, commit).time


def members(repository: Repository, found: Found, commit: str) -> Iterator[File]:
    """The files of a run's archive.

    Args:
        repository: Which has the run.
        found: The run.
        commit: Its code.

    Raises:
        LumoError: If the run goes on, or some of it is not here.
    """
    run = found.record.properties
    if run["state"] == record.RUNNING:
        raise LumoError(f"{found.label} is running; when it has ended, its record is whole, and can be archived")
    about = describe(found, run)
    replay = resources.files("gitlumo.rerun").joinpath("replay.py").read_bytes()
    top = folder_of(found)
    yield _made(f"{top}/README.md", readme.text(found.label, run, about, commit))
    yield _made(f"{top}/requirements.txt", requirements(run["lock"]))
    yield _made(f"{top}/run.json", json.dumps(about, indent=2, sort_keys=True) + "\n")
    yield replace(_made(f"{top}/run.py", replay.decode()), mode=_PROGRAM)
    for file in export.files(repository, commit):
        yield replace(file, path=f"{top}/code/{file.path}")
    for path in sorted(found.record.paths(), key=os.fsencode):
        export.check_path(path)
        data = found.record.read(path) or b""
        yield File(f"{top}/record/{path}", _FILE, len(data), io.BytesIO(data))


def _made(path: str, text: str) -> File:
    data = text.encode("utf-8")
    return File(path, _FILE, len(data), io.BytesIO(data))


def describe(found: Found, run: Mapping[str, Any]) -> dict[str, Any]:
    """What ``run.py`` needs to know of a run; values that JSON can hold, words that are no UTF-8 with surrogates.

    Args:
        found: The run.
        run: Its properties.

    Raises:
        LumoError: If it has no command that could run again.
    """
    command = command_line.recorded(found)
    outside = os.path.isabs(command.cwd) or command.cwd.split("/")[0] in ("..", "~")
    env, listed = run.get("env"), run.get("masked") or ()
    patterns, given = (run["execute"].get(key) for key in ("patterns", "given"))
    patterns = patterns if isinstance(patterns, list) else []  # a stranger's may be anything
    summaries = json.loads(record.to_json({"metrics": run["metrics"]}))["metrics"]
    return {
        "name": run["test_name"],
        "exp_name": run["exp_name"],
        "state": run["state"],
        "words": command.words,
        "python": is_python(command.words[0]),
        "cwd": "." if outside else command.cwd,
        "env": {
            name: value
            for name, value in (env if isinstance(env, dict) else {}).items()
            if isinstance(value, str) and f"env.{name}" not in listed
        },
        "given": [f"{name}={value}" for name, value in columns.flat(given).items()],
        "patterns": [text for text in patterns if isinstance(text, str) and is_pattern(text)],
        "masked": list(masked(command.words, listed, place=command.place).values()),
        "gitlumo": _version(run["lock"].get("gitlumo")),
        "metrics": {name: {key: summary.get(key) for key in KEYS} for name, summary in summaries.items()},
    }


def _version(value: Any) -> str | None:
    return value if isinstance(value, str) and _VERSION.fullmatch(value) else None


def requirements(lock: Mapping[str, Any]) -> str:
    """``requirements.txt`` of the packages that a run recorded (PEP 508); gitlumo is installed from where it is."""
    python = _version(lock.get("python"))
    lines = [f"# Python {python}"] if python else []
    for name, value in sorted(lock.items()):
        version = _version(value)
        if version is None or name == "python" or not _NAME.fullmatch(name):
            continue
        lines.append(f"# gitlumo=={version}" if name == "gitlumo" else f"{name}=={version}")
    return "".join(f"{line}\n" for line in lines)
