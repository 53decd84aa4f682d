"""Linked work trees: a commit's files in a folder of their own, beside the user's work tree and touching nothing of it.

git's own ``worktree add`` makes them (git-worktree(1)), so smudge filters, line ends and sparse checkouts apply; the
user's hooks do not run, as the hooks of another commit may lie in it. What git does not put there by itself is filled
in from this machine: :mod:`filling <gitlumo.git.filling>`. What is removed is removed as git removes it, the folder
and then its entry ``<common dir>/worktrees/<name>`` (gitrepository-layout(5)), also where a SIGKILL left only half.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from gitlumo import locks
from gitlumo.errors import GitError
from gitlumo.git import filling, process
from gitlumo.git.repository import Repository

_CONFIG = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "advice.detachedHead=false")
_NO_LFS = ("-c", "filter.lfs.smudge=", "-c", "filter.lfs.process=", "-c", "filter.lfs.required=false")
_STATUS = ("status", "--porcelain=v2", "--branch", "-z", "--ignored", "--untracked-files=normal", "--no-renames",
           "--ignore-submodules=none")  # fmt: skip
_TRIES, _PAUSE, _PATIENCE = 20, 0.005, 60.0
_FIELDS = {b"1": 8, b"u": 10}  # of a line of git-status(1), "Porcelain Format Version 2", before the path


@dataclass(frozen=True)
class Entry:
    """A linked work tree as the repository knows it.

    Attributes:
        admin: Its folder in the repository.
        path: Its top; None where that was never written.
        lock: Why it is locked; None: it is not.
    """

    admin: str
    path: str | None
    lock: str | None


def environment() -> dict[str, str]:
    """The environment of a git that works in one: replace refs stay at home, as in the snapshot."""
    return process.environment({"GIT_NO_REPLACE_OBJECTS": "1"})


def add(repository: Repository, path: str, commit: str, lock: str | None = None) -> list[str]:
    """Make a work tree of a commit, HEAD detached.

    Args:
        repository: Of which; also a bare one, or a linked work tree.
        path: Its top: an absolute path that is free, or an empty folder.
        commit: A full id.
        lock: Why nobody may remove it; None: it is not locked.

    Returns:
        What could not be put there, in lines for people.

    Raises:
        GitError: If git cannot make it; nothing is left then.
    """
    path = os.path.realpath(path)
    if os.path.lexists(path) and (not os.path.isdir(path) or os.listdir(path)):
        raise GitError(f"{path} is there already, and not an empty folder")
    try:
        _add(repository, path, commit, lock)
        done = _check_out(path)
        if done.status and "lfs" in done.message:
            done = _check_out(path, *_NO_LFS)
        if done.status:
            _undo(repository, path, lock)  # first: then what is free is what would be
            raise GitError(_why(repository, path, commit, done.message))
        return filling.fill(repository, path, _CONFIG)
    except BaseException as error:
        _undo(repository, path, lock)
        if isinstance(error, OSError):
            raise GitError(_why(repository, path, commit, error.strerror or str(error))) from None
        raise


def _add(repository: Repository, path: str, commit: str, lock: str | None) -> None:
    """Make a work tree without files: alone, as git stumbles over the half-made entry of another one."""
    locked = ["--lock", "--reason", lock] if lock else []
    words = ["worktree", "add", "--quiet", "--detach", "--no-checkout", *locked, "--", path, commit]
    with _alone(repository):
        for left in reversed(range(_TRIES)):
            done = process.run(
                ["--git-dir", repository.location.git_dir, *_CONFIG, *words], env=environment(), check=False
            )
            if done.status == 0:
                return
            if not left or "commondir" not in done.message:  # of one that the user makes at this moment
                raise GitError(_why(repository, path, commit, done.message))
            time.sleep(_PAUSE)


def _check_out(path: str, *config: str) -> process.Result:
    """Bring the files, as ``git worktree add`` does that (git's builtin/worktree.c, ``checkout_worktree``)."""
    where = ["--git-dir", os.path.join(path, ".git"), "--work-tree", path]
    words = ["reset", "--hard", "--no-recurse-submodules", "--quiet"]
    return process.run([*where, *_CONFIG, *config, *words], cwd=path, env=environment(), check=False)


@contextlib.contextmanager
def _alone(repository: Repository) -> Iterator[None]:
    """Alone among the processes that make or remove entries of a repository's work trees; who dies lets go.

    Raises:
        GitError: If another process does not let go for :data:`_PATIENCE` seconds.
        OSError: If the lock's file cannot be made.
    """
    file = os.path.join(repository.location.lumo_dir, "worktrees")
    said = f"another process has been making a work tree for {_PATIENCE:.0f} seconds\ntype 'fuser {file}' to see which"
    with locks.alone(file, _PATIENCE, lambda: GitError(said)):
        yield


def _undo(repository: Repository, path: str, lock: str | None) -> None:
    """Remove what is half-made; where git refused, as somebody else was faster, what lies there is not ours."""
    if os.path.isfile(os.path.join(path, ".git")) or not os.path.isdir(path) or not os.listdir(path):
        remove(repository, path, lock)


def _why(repository: Repository, path: str, commit: str, said: str) -> str:
    room = _room(repository, path, commit)
    if room is not None and room[0] > room[1]:
        taken, free = (f"{size / 1e6:,.0f} MB" for size in room)
        return (
            f"the code {commit[:12]} does not fit into {path}: it takes {taken}, and {free} are free\nmake room there"
        )
    return f"git cannot put the code {commit[:12]} into {path}: {said}"


def _room(repository: Repository, path: str, commit: str) -> tuple[int, int] | None:
    """How many bytes the files of a commit take, and how many are free: git does not always say that a disk is full."""
    words = ["--git-dir", repository.location.git_dir, "ls-tree", "-r", "-l", "-z", "--full-tree", commit]
    listed = process.run(words, env=environment() | {"GIT_NO_LAZY_FETCH": "1"}, check=False)
    sizes = (line.split(b"\t")[0].split(b" ")[-1] for line in listed.out.split(b"\0"))
    try:
        disk = os.statvfs(os.path.dirname(path))
    except OSError:
        return None
    return sum(int(size) for size in sizes if size.isdigit()), disk.f_bavail * disk.f_frsize


def entries(repository: Repository) -> Iterator[Entry]:
    """All linked work trees that the repository has an entry of, half-made ones too."""
    worktrees = os.path.join(repository.location.common_dir, "worktrees")
    for name in sorted(os.listdir(worktrees)) if os.path.isdir(worktrees) else ():
        admin = os.path.join(worktrees, name)
        yield Entry(admin, _top_of(admin), _text(os.path.join(admin, "locked")))


def is_sound(path: str) -> bool:
    """Whether a work tree and its entry in the repository know each other."""
    admin = _admin_of(path)
    return admin is not None and _top_of(admin) == os.path.realpath(path)


def lock(path: str, reason: str | None) -> None:
    """Lock a work tree, or with None unlock it: git-worktree(1), "lock"."""
    admin = _admin_of(path)
    if admin is None:
        return
    file = os.path.join(admin, "locked")
    if reason is None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(file)
    else:
        with open(file, "w", encoding="utf-8", errors="surrogateescape") as out:
            out.write(reason)


@dataclass(frozen=True)
class State:
    """What git says of a work tree.

    Attributes:
        commit: What HEAD is; None: nothing yet.
        is_detached: Whether HEAD is on no branch.
        changed: Tracked paths that differ from the commit.
        others: Paths that are not tracked, ignored ones too; of a whole folder only the folder, ending in ``/``.
    """

    commit: str | None
    is_detached: bool
    changed: list[str]
    others: list[str]


def look(path: str) -> State:
    """What a work tree holds besides its commit.

    Raises:
        GitError: If git cannot tell.
    """
    where = ["--git-dir", os.path.join(path, ".git"), "--work-tree", path]
    env = environment() | {"GIT_OPTIONAL_LOCKS": "1"}  # what it has seen is kept in the work tree's own index
    out = process.run([*where, *_CONFIG, *_STATUS], cwd=path, env=env).out
    branch: dict[bytes, bytes] = {}
    changed, others = [], []
    for line in out.split(b"\0")[:-1]:
        kind, _, rest = line.partition(b" ")
        if kind == b"#":
            name, _, value = rest.partition(b" ")
            branch[name] = value
        elif kind in (b"?", b"!"):
            others.append(os.fsdecode(rest))
        else:
            changed.append(os.fsdecode(line.split(b" ", _FIELDS.get(kind, 8))[-1]))
    commit = branch.get(b"branch.oid", b"(initial)")
    named = None if commit == b"(initial)" else commit.decode("ascii")
    return State(named, branch.get(b"branch.head") == b"(detached)", changed, others)


def remove(repository: Repository, path: str, lock: str | None = None) -> None:
    """Remove a work tree with all that lies in it, and its entry; half-made or half-removed ones, too.

    Args:
        repository: Of which.
        path: Its top.
        lock: With which reason it was made: an entry with that reason that names no folder goes, too.

    Raises:
        OSError: If it cannot be removed.
    """
    path = os.path.realpath(path)
    remove_folder(path)
    for entry in entries(repository):
        half = entry.path is None and lock is not None and entry.lock == lock
        if half or entry.path == path:
            forget(repository, entry)


def how_to_remove(path: str) -> list[str]:
    """What a user types to remove one: of one with submodules git asks for more (``validate_no_submodules``)."""
    where = ["--git-dir", os.path.join(path, ".git"), "--work-tree", path]
    listed = process.run([*where, "ls-files", "--stage", "-z"], cwd=path, env=environment(), check=False).out
    has_submodules = any(line.startswith(b"160000 ") for line in listed.split(b"\0"))
    return ["git", "worktree", "remove", *(["--force"] if has_submodules else []), path]


def discard(path: str) -> None:
    """Remove a work tree of whichever repository, and its entry there.

    Raises:
        OSError: If it cannot be removed.
    """
    admin = _admin_of(path) if is_sound(path) else None
    remove_folder(path)
    if admin is not None:
        _forget(admin)


def forget(repository: Repository, entry: Entry) -> None:
    """Remove an entry of the repository, whatever is at its path.

    Raises:
        GitError: If another process is in the way.
        OSError: If it cannot be removed.
    """
    with _alone(repository):
        _forget(entry.admin)


def _forget(admin: str) -> None:
    remove_folder(admin)
    with contextlib.suppress(OSError):  # there are others, or git has done it
        os.rmdir(os.path.dirname(admin))


def remove_folder(path: str) -> None:
    """Remove a folder, also one in which folders are write-protected; it is no error if it is gone.

    Raises:
        OSError: If it cannot be removed.
    """

    def again(remove: Callable[..., Any], name: str, problem: tuple[Any, BaseException, Any]) -> None:
        error = problem[1]
        if isinstance(error, FileNotFoundError):
            return
        if not isinstance(error, PermissionError):
            raise error
        for folder in (os.path.dirname(name), name):
            if not os.path.islink(folder) and os.path.isdir(folder):
                os.chmod(folder, stat.S_IRWXU)
        if remove in (os.unlink, os.rmdir):
            remove(name)
        else:
            shutil.rmtree(name)

    shutil.rmtree(path, onerror=again)


def _admin_of(path: str) -> str | None:
    """The entry of a work tree in its repository; None: it has none."""
    pointer = _text(os.path.join(path, ".git"))
    if pointer is None or not pointer.startswith("gitdir: "):
        return None
    admin = os.path.normpath(os.path.join(path, pointer.removeprefix("gitdir: ")))
    return admin if os.path.isfile(os.path.join(admin, "HEAD")) else None


def _top_of(admin: str) -> str | None:
    """The work tree that an entry says it is of; a relative path is one from the entry (git 2.48)."""
    pointer = _text(os.path.join(admin, "gitdir"))
    return os.path.dirname(os.path.normpath(os.path.join(admin, pointer))) if pointer else None


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as source:
            return source.read().removesuffix("\n")
    except (OSError, ValueError):
        return None
