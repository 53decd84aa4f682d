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

from gitlumo import privacy
from gitlumo.errors import LumoError
from gitlumo.git import export
from gitlumo.git.export import File
from gitlumo.git.objects import read_commit
from gitlumo.git.repository import Repository
from gitlumo.rerun import readme
from gitlumo.rerun.replay import KEYS
from gitlumo.store import record
from gitlumo.store.query import Found

_NAME, _VERSION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*"), re.compile(r"[0-9A-Za-z][0-9A-Za-z.!+_-]*")
_PYTHON = re.compile(r"(python|pypy)[0-9.]*")
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
    about = describe(run)
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


def describe(run: Mapping[str, Any]) -> dict[str, Any]:
    """What ``run.py`` needs to know of a run; values that JSON can hold, words that are no UTF-8 with surrogates.

    Raises:
        LumoError: If it has no command that could run again.
    """
    execute, process, lock = run["execute"], run["pinfo"].get("obj"), run["lock"]
    words = process.get("argv") if isinstance(process, dict) else None
    python = isinstance(words, list) and bool(words) and bool(_PYTHON.fullmatch(os.path.basename(_word(words[0]))))
    if not python:
        words = execute.get("exec_argv")
    if not isinstance(words, list) or not words:
        raise LumoError("the run recorded no command; 'git lumo checkout' gives its code alone")
    words, place = [_word(word) for word in words], _word(execute.get("cwd") or ".")
    if python and words[1:2] == ["-c"]:
        raise LumoError("the run was a command line of Python (python -c); 'git lumo checkout' gives its code alone")
    outside = os.path.isabs(place) or place.split("/")[0] in ("..", "~")
    env = run.get("env") if isinstance(run.get("env"), dict) else {}
    given = {str(name): _word(value) for name, value in env.items()} if env else {}
    summaries = json.loads(record.to_json({"metrics": run["metrics"]}))["metrics"]
    return {
        "name": run["test_name"],
        "exp_name": run["exp_name"],
        "state": run["state"],
        "words": words,
        "python": python,
        "cwd": "." if outside else place,
        "env": {name: value for name, value in given.items() if privacy.MASK not in value},
        "masked": [f"word {at}" for at, word in enumerate(words) if privacy.MASK in word],
        "gitlumo": _version(lock.get("gitlumo")),
        "metrics": {name: {key: summary.get(key) for key in KEYS} for name, summary in summaries.items()},
    }


def _word(value: Any) -> str:
    return os.fsdecode(value) if isinstance(value, bytes) else str(value)


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
