"""A run by itself, taken out of its ledger: what every kind of backup holds, and what is put into a ledger again."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gitlumo import ids, values
from gitlumo.errors import FormatError, GitError, LumoError
from gitlumo.git import export
from gitlumo.git.edited import edit_tree
from gitlumo.git.objects import FILE_MODE, Entry, Objects, Staging
from gitlumo.store import check, layout
from gitlumo.store.join import Run
from gitlumo.store.record import Record

# What a run is, and what must stay as it is for the run to be the same one.
IDENTITY = frozenset(layout.info_path(key) for key in ("uid", "exp_name", "test_name", "progress", "format"))
_PROGRESS = layout.info_path("progress")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_TORN = re.compile(r"history: \d+ torn lines?")
_PATH_BYTES = 4000  # of a path below a run's folder: less than any file system takes


@dataclass(frozen=True)
class Parcel:
    """A run's files.

    Attributes:
        identity: Who it is.
        files: Path below the run's folder to content; edits are among them.
    """

    identity: layout.Identity
    files: Mapping[str, bytes]

    @property
    def name(self) -> str:
        """``<exp_name>/<test_name>``."""
        return f"{self.identity.exp_name}/{self.identity.test_name}"

    @property
    def record(self) -> Record:
        """The run, to read."""
        return Record(self.files.get, lambda: sorted(self.files), self.name)

    @property
    def code(self) -> str | None:
        """The commit that the run names as its code."""
        try:
            git = self.record.info("git")
        except FormatError:
            return None
        commit = git.get("commit") if isinstance(git, dict) else None
        return commit if isinstance(commit, str) and _COMMIT.fullmatch(commit) else None


def of(record: Record) -> Parcel:
    """The parcel of a run that is in a ledger.

    Raises:
        FormatError: If it is damaged, or of a later format.
        MissingObject: If some of it is not here.
    """
    record.check()
    return made({path: record.read(path) or b"" for path in record.paths()}, record.folder)


def made(files: Mapping[str, bytes], where: str) -> Parcel:
    """A parcel of some files.

    Args:
        files: As in :class:`Parcel`.
        where: What to call the run in errors.

    Raises:
        FormatError: If they are no run.
    """
    identity = layout.read_identity(files.get)
    if identity is None:
        raise FormatError(f"{where}: its uid, exp_name, test_name or progress is damaged or not there")
    return Parcel(identity, files)


def marked(parcel: Parcel, lost: Mapping[str, Any]) -> Parcel:
    """A parcel as it goes into a ledger again: marked, so that it never takes the place of the run itself.

    Args:
        parcel: The run.
        lost: What of it did not come along; nothing: all did. See docs/format.md, section 4, ``info/restored.json``.

    Raises:
        FormatError: If what it lacked before is damaged.
    """
    files = dict(parcel.files)
    progress = values.from_bytes(files[_PROGRESS])
    assert isinstance(progress, dict)  # it has an identity
    files[_PROGRESS] = values.to_bytes({**progress, "restored": True})
    if lost:
        files[layout.LOST] = values.to_bytes(values.encode(together(parcel.record.info("restored"), lost)))
    return Parcel(replace(parcel.identity, restored=True), files)


def together(before: Any, lost: Mapping[str, Any]) -> dict[str, Any]:
    """What a run lacks that came from a backup already without all that it had."""
    if not isinstance(before, dict):
        return dict(lost)
    result = {**before, **lost}
    for key in ("masked", "left_out", "forced"):
        there = [each for found in (before, lost) if isinstance(found.get(key), list) for each in found[key]]
        if there:
            result[key] = [each for n, each in enumerate(there) if each not in there[:n]]
    history = before.get("history")
    if isinstance(history, dict) and isinstance(lost.get("history"), dict):
        result["history"] = {**lost["history"], "of": history.get("of")}
    return result


def is_utf8(path: str) -> bool:
    """Whether a path can stand in a record: git takes any bytes."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def shown(path: str) -> str:
    """A path as a record can say it."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def stage(staging: Staging, parcel: Parcel) -> Run:
    """Put a parcel's files into a staging area, as the run of a ledger."""
    edits, changes = {}, {}
    for path, data in parcel.files.items():
        folder, _, name = path.rpartition("/")
        entry = Entry("", FILE_MODE, staging.add_blob(data))
        if folder == layout.EDITS:
            edits[name] = entry.id
        else:
            changes[path] = entry
    record = edit_tree(staging, None, changes) or ""
    return Run(parcel.identity, record, edits, folder=record)


def problems(objects: Objects, parcel: Parcel) -> Iterator[str]:
    """What is wrong with a parcel that a stranger may have made; nothing: it may go into the ledger.

    Args:
        objects: Of the repository in which it is to be; nothing is written.
        parcel: The run.
    """
    for path, data in parcel.files.items():
        if not _is_sound(path):
            yield f"{json.dumps(path)} is no path of a run's file"
            return
        if len(data) > layout.MAX_FILE:
            yield f"{path}: {len(data)} bytes are too much for the ledger, which takes {layout.MAX_FILE}"
            return
    folders = {path[:at] for path in parcel.files for at in range(len(path)) if path[at] == "/"}
    if doubled := folders & parcel.files.keys():
        yield f"{json.dumps(min(doubled))} is a file and a folder"
        return
    staging = Staging(objects)
    try:
        run = stage(staging, parcel)
        folder = run.folder
        if run.edits:
            edits = {f"{layout.EDITS}/{name}": Entry("", FILE_MODE, id) for name, id in run.edits.items()}
            folder = edit_tree(staging, folder, edits) or ""
        found = check.check_run(staging, folder, parcel.identity.uid)
        yield from (problem for problem in found if not _TORN.fullmatch(problem))
    except LumoError as error:
        yield str(error)


def _is_sound(path: str) -> bool:
    """Whether a path can be that of a run's file: it stays below the folder, and git takes it."""
    try:
        export.check_path(path)
    except GitError:
        return False
    names = path.split("/")
    return (
        len(os.fsencode(path)) <= _PATH_BYTES
        and path != layout.PURGED
        and not any(ids.is_reserved_by_git(name) for name in names)
        and (names[0] != layout.EDITS or len(names) == 2)
    )
