"""The work tree as one commit, made beside the repository: as git itself would commit it, and touching nothing.

Only the git program applies clean filters, sparse, split and fsmonitor indexes. It works on a :mod:`workbench
<gitlumo.git.workbench>`, so that the user's index, work tree, refs and objects stay as they are, also if this process
is killed. One HEAD and one tree give one commit: docs/format.md, section 8.
"""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gitlumo import ids
from gitlumo.errors import GitError
from gitlumo.git import objects, recording, untracked
from gitlumo.git.files import move
from gitlumo.git.process import Result
from gitlumo.git.repository import Repository
from gitlumo.git.untracked import Limits, Skip
from gitlumo.git.workbench import Bench

__all__ = ["Limits", "Snapshot", "take"]

MESSAGE = "Snapshot of the work tree\n\nLumo-Snapshot: 1\n"

_SHOWN = 1000  # paths that are listed for one reason; more of them are only counted


@dataclass(frozen=True)
class Snapshot:
    """What was recorded of a work tree.

    Attributes:
        commit: The snapshot; HEAD itself where its tree is the same.
        head: The commit it was made on; None where there is none yet.
        tree: The commit's tree.
        dirty: Whether the work tree differs from HEAD, or tracked files could not be looked at.
        skipped: What was left out: ``path``, ``reason`` and, where known, ``size`` in bytes; sorted by path.
        submodules: ``path``, ``commit`` and whether it is ``dirty`` in itself.
        pack: Path without ending of a pack with every object that HEAD does not reach; None where there is no need.
    """

    commit: str
    head: str | None
    tree: str
    dirty: bool
    skipped: list[dict[str, Any]]
    submodules: list[dict[str, Any]]
    pack: str | None


def take(
    repository: Repository,
    limits: Limits,
    tmp_dir: str,
    pack_dir: str,
    known: Callable[[str], bool] = lambda commit: False,
) -> Snapshot:
    """Record the work tree: tracked files as they lie, and untracked ones within limits.

    Looking takes ``limits.timeout`` at most, all of it less than a second more. If tracked files take longer, or git
    or the file system do not answer, the snapshot is HEAD and says so.

    Args:
        repository: Whose work tree.
        limits: What to leave out of untracked files.
        tmp_dir: Where to work, on a local disk; made if missing. Nothing is left there.
        pack_dir: Where the pack goes, as ``<commit>.pack`` and ``.idx``; made if missing.
        known: Whether a commit is already kept somewhere, so that no pack is needed.

    Raises:
        GitError: If there is no work tree, or git fails in a way that leaves nothing sensible.
        OSError: If ``tmp_dir`` or ``pack_dir`` cannot be written.
    """
    if repository.location.work_tree is None:
        raise GitError(f"{repository.location.git_dir} is a bare repository: it has no work tree to record")
    room = os.path.join(os.path.abspath(tmp_dir), f"snapshot-{os.getpid()}-{os.urandom(6).hex()}")
    os.makedirs(room)
    try:
        bench = Bench(repository, room, limits.timeout)
        try:
            return _take(bench, limits, os.path.abspath(pack_dir), known)
        finally:
            bench.stop()
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _take(bench: Bench, limits: Limits, pack_dir: str, known: Callable[[str], bool]) -> Snapshot:
    # Three commands that do not wait for each other: HEAD, the lists, the tracked files.
    asking = bench.start("cat-file", "--batch", cwd=bench.location.git_dir)
    looking = _start(bench, limits)
    head = _read_head(bench, asking)
    try:
        seen = looking(bench.until + recording.GRACE + 0.15)  # what it ends by itself is not left there
        missing_ok = ["--missing-ok"] if bench.repository.is_partial else []
        tree = bench.ask("write-tree", *missing_ok, until=bench.end).decode().strip()
        submodules, unknown = _read_submodules(bench, seen.submodules)
        commit, pack = _commit(bench, head, tree, pack_dir, known)
    except TimeoutError:
        return _give_up(bench, head, pack_dir, known)
    dirty = seen.dirty or head is None or tree != head.tree
    skipped = _describe(seen.skipped + unknown)
    return Snapshot(commit, head.id if head else None, tree, dirty, skipped, submodules, pack)


@dataclass(frozen=True)
class _Seen:
    """What looking at the work tree has found, besides what it put into the private index."""

    skipped: list[Skip]
    dirty: bool
    submodules: list[bytes]


def _look(bench: Bench, limits: Limits) -> _Seen:
    others = () if bench.is_private_home else ("-o", "--exclude-standard")
    adding = bench.start("add", "-u", "--sparse")  # first, because it takes longest
    listing = bench.start("ls-files", "-z", "-v", "-s", *others)
    index, paths, skipped = recording.read_listing(bench, listing)
    refused = recording.add_tracked(bench, adding, index)
    skipped += refused
    if not others:
        skipped.append(Skip(b"./", "untracked files of a home folder"))
    kept, out = untracked.sift(bench.top, paths, limits, _own_folders(bench), bench.until)
    skipped += out + recording.add_untracked(bench, kept)
    return _Seen(skipped, bool(refused), index.submodules)


def _start(bench: Bench, limits: Limits) -> Callable[[float], _Seen]:
    """Start to look, in a thread: a call into a file system that hangs can only be left there.

    Returns:
        Waits until a moment for what was seen; raises what looking raised, or TimeoutError.
    """
    results: queue.SimpleQueue[_Seen | BaseException] = queue.SimpleQueue()

    def work() -> None:
        try:
            results.put(_look(bench, limits))
        except BaseException as error:
            bench.stop()
            results.put(error)

    threading.Thread(target=work, name="gitlumo snapshot", daemon=True).start()

    def wait(until: float) -> _Seen:
        try:
            result = results.get(timeout=max(until - time.monotonic(), 0.05))
        except queue.Empty:
            raise TimeoutError(untracked.SLOW) from None
        if isinstance(result, BaseException):
            raise result
        return result

    return wait


def _give_up(bench: Bench, head: _Head | None, pack_dir: str, known: Callable[[str], bool]) -> Snapshot:
    """The snapshot of a work tree that took too long: HEAD as it is, or nothing."""
    bench.stop()
    skipped = _describe([Skip(b"./", untracked.SLOW)])
    if head:
        return Snapshot(head.id, head.id, head.tree, True, skipped, [], None)
    try:
        tree = bench.ask("mktree", until=bench.end).decode().strip()
        commit, pack = _commit(bench, None, tree, pack_dir, known)
    except TimeoutError:
        raise GitError("git did not answer in time") from None
    return Snapshot(commit, None, tree, True, skipped, [], pack)


def _own_folders(bench: Bench) -> list[bytes]:
    """Where the repository's own folders lie, if in the work tree; git knows only one named ``.git`` for its own."""
    own = []
    for folder in {bench.location.git_dir, bench.location.common_dir}:
        path = os.path.relpath(os.fsencode(folder), bench.top)
        if path.split(b"/")[0] != b"..":
            own.append(path + b"/")
    return sorted(own)


@dataclass(frozen=True)
class _Head:
    id: str
    tree: str
    time: int


def _read_head(bench: Bench, asking: subprocess.Popen[bytes]) -> _Head | None:
    """HEAD's commit; None where there is none yet."""
    try:
        result = bench.finish(asking, b"HEAD\n", bench.until + recording.GRACE)
    except TimeoutError:
        raise GitError("git did not answer in time") from None
    line, _, rest = result.out.partition(b"\n")
    words = line.decode("utf-8", "replace").split(" ")
    if result.status == 0 and len(words) == 3 and words[1] == objects.COMMIT:
        commit = objects.parse_commit(rest[: int(words[2])])
        return _Head(words[0], commit.tree, max(commit.time, 0))
    why = bench.run("log", "-1", "--format=", until=bench.until + recording.GRACE).message  # tells unborn from broken
    if "does not have any commits yet" not in why:
        raise GitError(f"HEAD cannot be read: {why}; try 'git fsck'")
    return None


def _read_submodules(bench: Bench, paths: Sequence[bytes]) -> tuple[list[dict[str, Any]], list[Skip]]:
    """The submodules as they were recorded, and those of which git cannot tell whether they are dirty."""
    if not paths:
        return [], []
    names = [os.fsdecode(path) for path in paths]
    look = ("--porcelain=2", "-z", "-unormal", "--no-renames", "--ignore-submodules=none")
    asking = bench.start("status", *look, "--", *names)
    staged = bench.ask("ls-files", "-z", "-s", "--", *names, until=bench.end).split(b"\0")[:-1]
    try:
        told = bench.finish(asking, until=bench.until + recording.GRACE)
    except TimeoutError:
        told = Result(1, b"", untracked.SLOW.encode())
    unknown = [Skip(path, recording.said_by(told)) for path in paths] if told.status else []
    # "1 .M S.MU ... <path>": S for submodule, M for modified content, U for untracked files (git-status(1)).
    changes = (line.split(b" ", 8) for line in told.out.split(b"\0") if line.startswith(b"1 "))
    dirty = {words[8] for words in changes if words[2][2:] != b".."}
    found = []
    for entry in staged:
        about, _, path = entry.partition(b"\t")
        mode, id, _ = about.decode().split(" ")
        if int(mode, 8) == objects.SUBMODULE_MODE:
            found.append({"path": _printable(path), "commit": id, "dirty": bool(unknown) or path in dirty})
    return found, unknown


def _commit(
    bench: Bench, head: _Head | None, tree: str, pack_dir: str, known: Callable[[str], bool]
) -> tuple[str, str | None]:
    """The commit of a tree, and its pack where there must be one."""
    if head and head.tree == tree:
        return head.id, None
    who = f"{ids.NOBODY} {head.time if head else ids.EPOCH} {objects.ZONE}"
    parents = (head.id,) if head else ()
    data = objects.format_commit(objects.Commit(tree, parents, who, who, MESSAGE))
    id = objects.object_id(bench.location.hash_name, objects.COMMIT, data)
    if known(id):
        return id, None
    base = os.path.join(pack_dir, id)
    if not all(os.path.exists(base + ending) for ending in (".pack", ".idx")):
        loose = os.path.join(bench.quarantine, id[:2], id[2:])
        os.makedirs(os.path.dirname(loose), exist_ok=True)
        with open(loose, "wb") as out:  # as 'git hash-object -w' would, a process less
            out.write(zlib.compress(b"commit %d\0%s" % (len(data), data), 1))
        _pack(bench, id, parents, base)
    return id, base


def _pack(bench: Bench, commit: str, parents: Sequence[str], base: str) -> None:
    """Pack all that a commit reaches and its parents do not.

    Not "what is not there yet": an object that merely exists may be pruned. The options make equal bytes of equal
    objects, so that two processes may put the same pack into place at the same time.
    """
    options = ["--window=0", "--threads=1", "--compression=1", "--no-reuse-object", "--index-version=2"]
    if bench.repository.is_partial:
        options.append("--missing=allow-any")
    stdin = "".join(f"{line}\n" for line in (commit, *(f"^{parent}" for parent in parents))).encode()
    prefix = os.path.join(bench.room, "pack")
    name = bench.ask("pack-objects", "-q", "--revs", *options, prefix, stdin=stdin, until=bench.end).decode().strip()
    os.makedirs(os.path.dirname(base), exist_ok=True)
    for ending in (".pack", ".idx"):
        move(f"{prefix}-{name}{ending}", base + ending)


def _describe(skipped: Iterable[Skip]) -> list[dict[str, Any]]:
    """What was left out, as values that JSON can hold; of one reason at most so many paths."""
    described = []
    counts: dict[str, int] = {}
    for skip in sorted(set(skipped), key=lambda skip: (skip.path, skip.reason)):
        counts[skip.reason] = counts.get(skip.reason, 0) + 1
        if counts[skip.reason] <= _SHOWN:
            about: dict[str, Any] = {"path": _printable(skip.path), "reason": skip.reason}
            described.append(about if skip.size is None else about | {"size": skip.size})
    more = {reason: count - _SHOWN for reason, count in sorted(counts.items()) if count > _SHOWN}
    return described + [{"path": f"({count} more)", "reason": reason} for reason, count in more.items()]


def _printable(path: bytes) -> str:
    return path.decode("utf-8", "replace")
