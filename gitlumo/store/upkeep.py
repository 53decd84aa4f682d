"""Care for the ledger's packs, the branch's lock, and what killed processes leave. Nothing here moves the branch."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping

from gitlumo import machine
from gitlumo.config import Settings
from gitlumo.errors import GitError, RefMoved
from gitlumo.git import pack, process
from gitlumo.git.objects import NewObject
from gitlumo.git.repository import Repository
from gitlumo.store.branch import Branch
from gitlumo.store.journal import write_whole
from gitlumo.store.register import open_runs

LOCK_AGE, SHARED_LOCK_AGE = 1.0, 60.0
LOCK_SECONDS = 10.0
ROLL_UP_AT = 60
ROLL_UP_PAUSE = 60.0
ROLL_UP_BYTES = 4 * 1024**2  # of a pack, in a partial clone
LEFTOVER_SECONDS = 600.0
CODE_SECONDS = 7 * 86400.0


class Upkeep(Branch):
    """The ledger's branch, and the care for what stands behind it.

    Attributes:
        place: Where its packs go.
    """

    def __init__(self, repository: Repository, settings: Settings):
        super().__init__(repository, settings)
        location = repository.location
        self.place = pack.PackPlace(
            pack_dir=os.path.join(location.objects_dir, "pack"),
            tmp_dir=os.path.join(self.lumo_dir, "tmp"),
            gc_pid=os.path.join(location.common_dir, "gc.pid"),
            hash_name=location.hash_name,
        )

    def _look_up(self, tip: str, base: str | None) -> None:
        """See, on the disk as it is now, that a commit is there: in the pack ``base``, or else anywhere."""
        if base and pack.is_whole(base):
            return
        self.repository.objects.refresh()
        if base or not self.repository.objects.has(tip):
            self._heal()

    @property
    def branch_lock(self) -> str:
        """The file that git makes while it moves the branch; in a reftable, while it moves any ref."""
        name = "reftable/tables.list.lock" if self._shares_lock else self.settings.ref + ".lock"
        return os.path.join(self.repository.location.common_dir, name)

    @property
    def _shares_lock(self) -> bool:
        return self.repository.location.ref_store != "files"

    def _free_branch(self) -> None:
        """Remove git's lock of the branch where a writer of ours was killed while it held it.

        That is known from its pack: made just before the lock, for the same commit, its owner dead. Others' locks are
        left alone, and so is a young one: git's own last milliseconds.
        """
        try:
            found = os.stat(self.branch_lock)
        except OSError:
            return
        if time.time() - found.st_mtime < (SHARED_LOCK_AGE if self._shares_lock else LOCK_AGE):
            return
        for base, note in pack.kept_packs(self.place):
            with contextlib.suppress(OSError):
                waited = found.st_mtime - os.stat(base + ".keep").st_mtime
                if owner_is_gone(note) and -0.1 <= waited < LOCK_SECONDS and self._is_lock_for(note.split()[1]):
                    os.unlink(self.branch_lock)
                    return

    def _is_lock_for(self, tip: bytes) -> bool:
        """Whether the lock is that of a writer of this commit, as far as it says so."""
        with open(self.branch_lock, "rb") as source:
            return self._shares_lock or source.read(100).strip() in (b"", tip)

    def _heal(self) -> None:
        """Index packs again of which gc took the index away."""
        owners = dict(pack.kept_packs(self.place))
        for base in pack.unindexed_packs(self.place):
            mine = base in owners and owners[base].split()[2:3] == [str(os.getpid()).encode()]
            if base not in owners or mine or owner_is_gone(owners[base]):
                pack.index_again(self.place, base)
        self.repository.objects.refresh()

    def look_after(self) -> None:
        """Leave packs to git's upkeep that need no protection any more, and roll small ones up."""
        tip = self.repository.refs.read(self.settings.ref)
        if tip is None or pack.gc_is_running(self.place) or os.path.exists(self.branch_lock):
            return
        self._heal()
        self._sweep()
        for base, note in pack.kept_packs(self.place):
            words = note.decode("ascii", "replace").split()
            if len(words) != 6 or words[0] != "gitlumo":
                continue
            if self.repository.objects.is_ancestor(words[1], tip) or owner_is_gone(note):
                pack.unkeep(base)
        self._roll_up()

    def write_view(self, view: str, old: str | None, commit: str, new: Mapping[str, NewObject], why: str) -> None:
        """Write objects as one pack, and move a ref that is computed of the ledger: never the ledger's own.

        Args:
            view: The ref.
            old: Where it is; None: it does not exist.
            commit: Where it is to be.
            new: The objects that it needs.
            why: For the reflog.

        Raises:
            RefMoved: If it was not at ``old``.
            GitError: If it cannot be written.
        """
        base = pack.write_pack(self.place, new, self._note(commit), fsync=True)
        try:
            self._look_up(commit, base)
            self.repository.refs.move(view, old, commit, why)
        except BaseException as error:
            pack.remove_pack(base) if isinstance(error, RefMoved) else pack.unkeep(base)
            raise
        if not pack.gc_is_running(self.place):  # else a later look does it
            pack.unkeep(base)

    def bring_pack(self, unfinished: str, tip: str) -> str:
        """Move a pack with its index, made elsewhere on this disk, into the database.

        Args:
            unfinished: Its path without ending.
            tip: The commit for which it comes.

        Returns:
            Its path without ending; the caller takes its ``.keep`` away when a ref has the commit.
        """
        os.makedirs(self.place.pack_dir, exist_ok=True)
        base = pack.install(self.place, unfinished, os.urandom(20).hex(), self._note(tip))
        self.repository.objects.refresh()
        return base

    def _note(self, tip: str) -> bytes:
        """What the ``.keep`` of a pack says: for which commit, and whose it is."""
        here = machine.this_process()
        return f"gitlumo {tip} {here.pid} {here.start} {here.boot} {here.namespace}\n".encode()

    def _sweep(self) -> None:
        for entry in self.leftovers():
            _remove(entry)

    def leftovers(self) -> Iterator[os.DirEntry[str]]:
        """What killed processes left unfinished, and code that waited for a run which is not here any more."""
        for entry in _scan(self.place.tmp_dir):
            pid = re.match(r"[a-z]+-(\d+)-", entry.name)
            if pid and _age(entry.path) > LEFTOVER_SECONDS and not machine.exists(int(pid[1])):
                yield entry
        yield from (
            entry for entry in _scan(os.path.join(self.lumo_dir, "queue")) if _age(entry.path) > LEFTOVER_SECONDS
        )
        for entry in _scan(os.path.join(self.lumo_dir, "code")):
            if _age(entry.path) > CODE_SECONDS and not open_runs(self.lumo_dir):
                yield entry

    def _roll_up(self) -> None:
        stamp = os.path.join(self.lumo_dir, "rolled-up")
        if pack.count_packs(self.place) < ROLL_UP_AT or _age(stamp) < ROLL_UP_PAUSE:
            return
        write_whole(stamp, b"")
        if self.repository.is_partial:
            bases = pack.loose_packs(self.place, ROLL_UP_BYTES)
            with contextlib.suppress(GitError, TimeoutError):  # a gc has taken one of them: the next look is soon
                pack.roll_up(self.place, bases, self._note("roll-up"))
            return
        args = [*self.repository.git_args, "repack", "--geometric=2", "-d", "-q", "--no-write-bitmap-index"]
        process.start_detached(args, cwd=self.repository.location.common_dir)


def owner_is_gone(note: bytes) -> bool:
    """Whether the writer of a ``.keep`` is known to be dead."""
    words = note.decode("ascii", "replace").split()
    if len(words) != 6 or words[0] != "gitlumo" or not words[2].isdecimal():
        return False
    here = machine.this_process()
    start = int(words[3]) if words[3].isdecimal() else None
    boot, namespace = (None if word == "None" else word for word in words[4:])
    return machine.is_dead(machine.Process(int(words[2]), start, here.host, boot, namespace), here) is True


def _scan(folder: str) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(folder))
    except OSError:
        return []


def _remove(entry: os.DirEntry[str]) -> None:
    if entry.is_dir(follow_symlinks=False):
        shutil.rmtree(entry.path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            os.unlink(entry.path)


def _age(path: str) -> float:
    try:
        return time.time() - os.stat(path).st_mtime
    except OSError:
        return float("inf")
