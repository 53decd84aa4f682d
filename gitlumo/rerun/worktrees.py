"""The pool of work trees in which recorded code runs again, each of them given to one process at a time.

``<cache root>/worktrees/<repository>/<commit>-<n>/`` is a *slot*: the work tree, named as the repository is, and beside
it ``lock``, on which the process that uses the slot holds an flock, ``holders`` (the processes that work in it, for
when that one was killed and they were not), ``links`` and ``ready``, which says that the work tree was made to its end.
A slot is made by mkdir, so no two processes ever make one, and who has its lock may do with it as it likes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from gitlumo import machine
from gitlumo.errors import GitError, LumoError
from gitlumo.git import filling, worktree
from gitlumo.git.repository import Repository
from gitlumo.rerun import links
from gitlumo.store.claim import hold

KEPT_FOR = 14 * 86400.0  # seconds since it was last used
KEPT = 10  # idle ones of a repository
_YOUNG = 60.0  # seconds in which the slot of a process that has just made it is not tidied away
_REASON = "gitlumo runs recorded code here: "
_MADE = ("commit", "name", "missing", "hollow", "nested")  # what "ready" says
_COMPILED = "__pycache__"
_ELSEWHERE = "'git config lumo.cacheRoot DIR' names another place"


@dataclass
class Lease:
    """A work tree while it is used.

    Attributes:
        path: Its top.
        commit: What is checked out there.
        missing: What of the commit could not be put there, in lines for people.
        was_there: Whether it is one that was idle.
    """

    path: str
    commit: str
    missing: list[str]
    was_there: bool
    _slot: str

    def link(self, tree: str, paths: list[str]) -> None:
        """Link files and folders of the user's work tree into this one; see :func:`links.make`.

        Raises:
            LumoError: If one cannot be linked.
        """
        links.make(tree, self.path, paths, os.path.join(self._slot, "links"))

    @property
    def variables(self) -> dict[str, str]:
        """What the environment of a program that runs here must say, so that the links stay out of its snapshot."""
        return links.variables(links.read(os.path.join(self._slot, "links")))

    def hand_to(self, pid: int) -> None:
        """Say which child works here: while it lives, nobody else gets the work tree, even if this process is killed.

        Raises:
            OSError: If that cannot be written.
        """
        if machine.exists(pid):
            with open(os.path.join(self._slot, "holders"), "a", encoding="ascii") as out:
                out.write(json.dumps(asdict(machine.process_of(pid))) + "\n")


@contextlib.contextmanager
def lease(repository: Repository, cache_root: str, commit: str) -> Iterator[Lease]:
    """A work tree of a commit, for this process alone: an idle one that holds nothing else, or a new one.

    What runs leave in it stays for :data:`KEPT_FOR` seconds, and so do the :data:`KEPT` last ones at most; then, and
    if nothing was left, it goes or is used again.

    Args:
        repository: Whose commit.
        cache_root: The user's cache folder.
        commit: A full id, of a commit that is in the object database.

    Raises:
        GitError: If git cannot make it; nothing is left then.
        LumoError: If the cache root cannot be written.
    """
    pool = _pool(repository, cache_root)
    try:
        os.makedirs(pool, mode=0o700, exist_ok=True)
    except OSError as error:
        raise LumoError(f"{pool} cannot be made: {error.strerror}\n{_ELSEWHERE}") from None
    with contextlib.ExitStack() as stack:
        try:
            taken = _idle(stack, repository, pool, commit) or _new(stack, repository, pool, commit)
        except OSError as error:
            raise LumoError(f"{error.filename or pool} cannot be written: {error.strerror}\n{_ELSEWHERE}") from None
        try:
            yield taken
        finally:
            _let_go(taken)
            _tidy(repository, pool, taken._slot)


def _pool(repository: Repository, cache_root: str) -> str:
    """The folder of a repository's slots; of another one that comes to lie at the same path it is another folder."""
    common = os.path.realpath(repository.location.common_dir)
    key = hashlib.sha256(f"{os.stat(common).st_ino} {common}".encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return os.path.join(os.path.realpath(cache_root), "worktrees", f"{_name(repository)}-{key}")


def _name(repository: Repository) -> str:
    """How the repository's folder is called: programs may read a name from where they lie."""
    common = repository.location.common_dir
    top = os.path.dirname(common) if os.path.basename(common) == ".git" else common
    return os.path.basename(repository.location.work_tree or top).removesuffix(".git") or "tree"


def _idle(stack: contextlib.ExitStack, repository: Repository, pool: str, commit: str) -> Lease | None:
    """An idle work tree of this commit, as it was made."""
    for name in sorted(os.listdir(pool)):
        if not name.startswith(f"{commit[:16]}-"):
            continue
        slot = os.path.join(pool, name)
        made = _ready(slot)
        if made is None or made["commit"] != commit or made["missing"]:  # what was missing may be here now
            continue
        with contextlib.ExitStack() as trying:
            if not trying.enter_context(_locked(slot)) or _is_lived_in(slot):
                continue
            path = os.path.join(slot, made["name"])
            if _is_as_made(path, made):
                worktree.lock(path, _reason(slot))
                stack.push(trying.pop_all())
                return Lease(path, commit, made["missing"], True, slot)
            with contextlib.suppress(FileNotFoundError):  # what is left there stays for a while, unused
                os.rename(os.path.join(slot, "ready"), os.path.join(slot, "full"))
    return None


def _is_as_made(path: str, made: dict[str, Any]) -> bool:
    """Whether nothing of an earlier run is left: no file, also no ignored one, no empty folder, no other HEAD."""
    if not worktree.is_sound(path):
        return False
    links.remove(path, os.path.join(os.path.dirname(path), "links"))
    with contextlib.suppress(GitError, OSError):
        if not _is_clean(path, made["commit"]):
            return False
        hollow, nested, _ = filling.survey(path)
        return (
            hollow == made["hollow"]
            and nested == list(made["nested"])
            and all(_is_clean(os.path.join(path, place), head) for place, head in made["nested"].items())
        )
    return False


def _is_clean(path: str, commit: str) -> bool:
    state = worktree.look(path)
    if state.others and all(os.path.basename(place.rstrip("/")) == _COMPILED for place in state.others):
        for place in state.others:  # compiled Python, which Python would write again
            worktree.remove_folder(os.path.join(path, place))
        state = worktree.look(path)
    return state.commit == commit and state.is_detached and not state.changed and not state.others


def _new(stack: contextlib.ExitStack, repository: Repository, pool: str, commit: str) -> Lease:
    number = 0
    while True:
        slot = os.path.join(pool, f"{commit[:16]}-{number}")
        number += 1
        try:
            os.mkdir(slot)
        except FileExistsError:
            continue
        with contextlib.ExitStack() as trying:
            try:
                if not trying.enter_context(_locked(slot)):
                    continue  # somebody who tidies up looks into it
                taken = _make(repository, slot, os.path.join(slot, _name(repository)), commit)
            except BaseException:
                _remove_slot(repository, slot)
                raise
            stack.push(trying.pop_all())
            return taken


def _make(repository: Repository, slot: str, path: str, commit: str) -> Lease:
    worktree.remove(repository, path)  # the entry of one that was there, and that somebody has deleted
    missing = worktree.add(repository, path, commit, _reason(slot))
    hollow, nested, _ = filling.survey(path)
    heads = {place: worktree.look(os.path.join(path, place)).commit for place in nested}
    made = dict(zip(_MADE, (commit, os.path.basename(path), missing, hollow, heads), strict=True))
    new = os.path.join(slot, "ready.new")
    with open(new, "w", encoding="ascii") as out:
        json.dump(made, out)
    os.rename(new, os.path.join(slot, "ready"))
    return Lease(path, commit, missing, False, slot)


def _ready(slot: str) -> dict[str, Any] | None:
    """What was written of a slot's work tree when it was made; None: it is half-made."""
    try:
        with open(os.path.join(slot, "ready"), encoding="ascii") as source:
            made = json.load(source)
    except (OSError, ValueError):
        return None
    return made if isinstance(made, dict) and made.keys() >= set(_MADE) else None


def _let_go(taken: Lease) -> None:
    with contextlib.suppress(OSError):
        links.remove(taken.path, os.path.join(taken._slot, "links"))
        worktree.lock(taken.path, None)
        os.utime(os.path.join(taken._slot, "lock"))


def _reason(slot: str) -> str:
    return _REASON + slot


@contextlib.contextmanager
def _locked(slot: str) -> Iterator[bool]:
    """Try to get a slot for this process; who dies lets go, and no child inherits it."""
    fd = hold(os.path.join(slot, "lock"))
    try:
        yield fd is not None
    finally:
        if fd is not None:
            os.close(fd)


def _is_lived_in(slot: str) -> bool:
    """Whether a process that was started in a slot's work tree lives on, its parent dead."""
    here = machine.this_process("off")
    try:
        with open(os.path.join(slot, "holders"), encoding="ascii") as source:
            told = [machine.Process(**json.loads(line)) for line in source]
    except FileNotFoundError:
        return False
    except (ValueError, TypeError):
        told = []
    if any(machine.is_dead(process, here) is False for process in told):
        return True
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(slot, "holders"))
    return False


def _tidy(repository: Repository, pool: str, mine: str) -> None:
    """Remove what has been idle for long, what is too many, what is half-made, and entries of what was deleted."""
    with contextlib.suppress(OSError, GitError):  # there is a next time
        for number, (slot, idle) in enumerate(_by_use(pool)):
            half = not any(os.path.exists(os.path.join(slot, name)) for name in ("ready", "full"))
            if slot != mine and idle > _YOUNG and (half or number >= KEPT or idle > KEPT_FOR):
                _remove_if_idle(repository, slot)
        for entry in worktree.entries(repository):
            of = _slot_of(entry, pool)
            if of is not None and not os.path.exists(entry.path or ""):
                with _locked(of) as got:
                    if got or not os.path.exists(of):
                        worktree.forget(repository, entry)
        others = os.path.dirname(pool)
        for name in os.listdir(others):
            for slot, idle in _by_use(os.path.join(others, name)):
                if idle > KEPT_FOR:
                    _remove_if_idle(None, slot)
            with contextlib.suppress(OSError):
                os.rmdir(os.path.join(others, name))


def _by_use(pool: str) -> list[tuple[str, float]]:
    """The slots of a pool with the seconds since they were used, the last one first."""
    now, found = time.time(), []
    for name in os.listdir(pool):
        slot = os.path.join(pool, name)
        with contextlib.suppress(OSError):
            lock = os.path.join(slot, "lock")
            found.append((slot, now - os.stat(lock if os.path.exists(lock) else slot).st_mtime))
    return sorted(found, key=lambda item: item[1])


def _slot_of(entry: worktree.Entry, pool: str) -> str | None:
    """The slot of this pool for which an entry was made."""
    slot = os.path.dirname(entry.path) if entry.path is not None else (entry.lock or "").removeprefix(_REASON)
    return slot if os.path.dirname(slot) == pool else None


def _remove_if_idle(repository: Repository | None, slot: str) -> None:
    with _locked(slot) as got:
        if got and not _is_lived_in(slot):
            _remove_slot(repository, slot)


def _remove_slot(repository: Repository | None, slot: str) -> None:
    """Remove a slot whose lock is held; one whose repository is another, or gone, has no entry in this one."""
    with contextlib.suppress(FileNotFoundError):  # from here on it is half-made
        os.unlink(os.path.join(slot, "ready"))
    with os.scandir(slot) as found:
        trees = [entry.path for entry in found if entry.is_dir(follow_symlinks=False)]
    for path in trees or [os.path.join(slot, "tree")]:
        if repository is None:
            worktree.discard(path)
        else:
            worktree.remove(repository, path, _reason(slot))
    with contextlib.suppress(OSError):  # another process looks into it: then its lock is all that stays, for now
        worktree.remove_folder(slot)
