"""All that is known of a run, for reading: the sections of ``git lumo show`` and of the board's page of a run."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gitlumo import wording
from gitlumo.store import columns

if TYPE_CHECKING:
    from gitlumo.store.query import Found

FILES_SHOWN = 20
VALUE_WIDTH = 100
FIRST_PACKAGES = ("python", "torch", "jax", "tensorflow", "numpy", "scikit-learn", "transformers", "pandas")


def sections(
    found: Found, has_code: Callable[[str], bool], lineage: Sequence[str] = ()
) -> Iterator[tuple[str, list[str]]]:
    """All that is known of a run, for reading: (heading, lines) of each part that there is.

    What a stranger recorded in a shape that docs/format.md does not know is passed over.

    Args:
        found: The run.
        has_code: Whether a commit is in this repository.
        lineage: Which run it repeats, and which repeat it.
    """
    run = found.record.properties
    yield "", [*_head(run, has_code), *lineage, *_backups(run, found.record.progress.get("restored"))]
    yield "note", str(run["note"]).rstrip("\n").split("\n") if run["note"] else []
    yield "params", _pairs({key: wording.number(value) for key, value in columns.flat(run["params"]).items()})
    yield "metrics", []  # which are drawn
    yield (
        "exception",
        str(as_map(run["exception"]).get("traceback", "")).rstrip().split("\n") if run["exception"] else [],
    )
    yield "lock", list(_lock(as_map(run["lock"])))
    messages = {name: as_map(hook).get("msg") for name, hook in as_map(run["hooks"]).items()}
    yield "hooks", _pairs({name: message for name, message in messages.items() if message})
    yield "left out", [f"{item.get('path')} ({item.get('reason')})" for item in _maps(run.get("skipped"))]
    yield "masked", [str(path) for path in _list(run.get("masked"))]
    yield "files", _files(found)


def as_map(value: Any) -> Mapping[str, Any]:
    """A value if it is a map; else an empty one."""
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _maps(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in _list(value) if isinstance(item, Mapping)]


def _head(run: Mapping[str, Any], has_code: Callable[[str], bool]) -> Iterator[str]:
    progress, git, execute, pinfo = (as_map(run[key]) for key in ("progress", "git", "execute", "pinfo"))
    start = str(progress.get("start"))
    yield f"start     {start.replace('T', ' ')} ({wording.age(start)}), took {wording.duration(progress)}"
    if run["state"] == "running":
        ratio, heard = progress.get("ratio"), wording.age(progress.get("last_edit_time"))
        share = f"{100 * ratio:.0f} %" if isinstance(ratio, (int, float)) else "?"
        yield f"progress  {share}, last heard {heard}"
    elif progress.get("end_code"):
        signal = as_map(run.get("usage")).get("signal")
        yield f"ended     with status {progress['end_code']}{f' ({signal})' if isinstance(signal, str) else ''}"
    used = wording.usage(as_map(run.get("usage")))
    if used:
        yield f"used      {used}"
    for again in _maps(progress.get("resumed")):
        where = f" on {again['host']}" if again.get("host") else ""
        yield f"resumed   {str(again.get('time')).replace('T', ' ')}{where}, it was {again.get('after')}"
    yield f"uid       {run['uid']}"
    if run["tags"]:
        yield f"tags      {' '.join(map(str, run['tags']))}"
    if run["deprecated"]:
        yield "deprecated"
    commit, head = git.get("commit"), git.get("head")
    if isinstance(commit, str):
        on = f" on {_word(git['branch'])}" if git.get("branch") else ""
        changes = f", changes on {str(head)[:12]}" if head and head != commit else ""
        yield f"code      {commit[:12]}{on}{changes}"
        if not has_code(commit):
            yield "          not in this repository: it was pruned, or the clone is shallow (git fetch --unshallow)"
    for item in _maps(git.get("skipped")):
        yield f"          without {item.get('path')} ({item.get('reason')})"
    for item in _maps(git.get("submodules")):
        dirty = ", with changes that are not recorded" if item.get("dirty") else ""
        yield f"          submodule {item.get('path')} at {str(item.get('commit'))[:12]}{dirty}"
    command = _list(as_map(pinfo.get("obj")).get("argv")) or _list(execute.get("exec_argv"))
    if command:
        yield f"command   {shlex.join(_word(word) for word in command)}"
        folder = _word(execute.get("cwd") or ".")
        where = _word(execute.get("repo") or "a bare repository")
        yield f"          in {where if folder == '.' else f'{folder} of {where}'}"
    if str(execute.get("exec_file") or "").startswith(("~", "/")):
        yield "          the script itself is not in this repository"
    if pinfo.get("host"):
        yield f"host      {pinfo['host']}, process {pinfo.get('pid')}"
    hardware, software = wording.machine(as_map(run.get("machine")))
    if hardware or software:
        yield f"machine   {hardware or software}"
    if hardware and software:
        yield f"          {software}"
    if isinstance(run.get("seed"), int):
        yield f"seed      {run['seed']}" + (f" ({run['seed_from']})" if run.get("seed_from") else "")


def _backups(run: Mapping[str, Any], restored: object) -> Iterator[str]:
    """Where a run is backed up, and what one that came from there lacks."""
    for at, value in run["backup"].items():
        found = as_map(value)
        where = " ".join(str(item) for item in found.values())
        if found.get("backend") == "github":
            where = f"https://{found.get('host') or 'github.com'}/{found.get('repo')}/issues/{found.get('number')}"
        yield _short(f"backup    {at.partition('~')[0].replace('T', ' ')} {where}".rstrip())
    if restored:
        lost = as_map(run.get("restored"))
        history = as_map(lost.get("history"))
        names = [str(as_map(each).get("path")) for each in _list(lost.get("left_out"))]
        lacks = [
            *([f"{history.get('lines')} lines of its history alone"] if history else []),
            *([f"without {', '.join(names)}"] if names else []),
            *([f"masked: {', '.join(map(str, _list(lost['masked'])))}"] if lost.get("masked") else []),
            *map(str, _list(lost.get("forced"))),
        ]
        told = f" ({'; '.join(lacks)})" if lacks else ""
        yield _short(f"restored  from a backup{told}")


def _word(word: object) -> str:
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)


def _pairs(values: Mapping[str, object]) -> list[str]:
    width = max(map(len, values), default=0)
    return [f"{key:{width}}  {value}" for key, value in values.items()]


def _lock(lock: Mapping[str, Any]) -> Iterator[str]:
    if lock:
        shown = [name for name in FIRST_PACKAGES if name in lock]
        named = " ".join(f"{name}=={lock[name]}" for name in shown)
        yield f"{len(lock)} packages{': ' if named else ''}{named} (git lumo show EXP:info/lock.json)"


def _files(found: Found) -> list[str]:
    paths = sorted(found.record.paths())
    own = [path for path in paths if not path.startswith(("info/", "edits/"))]
    listed = own[:FILES_SHOWN]
    return [*listed, *([f"and {len(own) - FILES_SHOWN} more"] if len(own) > FILES_SHOWN else [])]


def _short(text: str) -> str:
    return text if len(text) <= VALUE_WIDTH else text[: VALUE_WIDTH - 1] + "…"
