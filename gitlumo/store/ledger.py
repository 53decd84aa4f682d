"""The ledger: the branch on which runs are published. :meth:`Ledger._advance` is the only place that moves it."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from gitlumo import machine
from gitlumo.config import Settings
from gitlumo.errors import GitError, LumoError, MissingObject, NotALedger, RefMoved, TooNew
from gitlumo.git import pack, process
from gitlumo.git.objects import (
    FILE_MODE,
    ZONE,
    Commit,
    Entry,
    NewObject,
    Staging,
    edit_tree,
    read_commit,
    walk,
)
from gitlumo.git.repository import Repository, timestamp
from gitlumo.store import layout, trees
from gitlumo.store.branch import Branch
from gitlumo.store.join import Run
from gitlumo.store.journal import Folder, open_runs, write_whole

ATTEMPTS = 60
PATIENCE = 20
LOCK_AGE = 1.0
LOCK_SECONDS = 10.0
ROLL_UP_AT = 60
ROLL_UP_PAUSE = 60.0
LEFTOVER_SECONDS = 600.0
CODE_SECONDS = 7 * 86400.0


@dataclass(frozen=True)
class Event:
    """What is to be published of one run.

    Attributes:
        kind: ``start``, ``checkpoint`` or ``end``.
        folder: The run's files.
        subject: The commit's first line.
        snapshot: The code's commit, for a run that the ledger may not have yet.
        extra: Files to put over those of the folder: path to bytes.
    """

    kind: str
    folder: Folder
    subject: str
    snapshot: str | None = None
    extra: dict[str, bytes] = field(default_factory=dict)


class Ledger(Branch):
    """The ledger of one repository, to write to."""

    def __init__(self, repository: Repository, settings: Settings):
        super().__init__(repository, settings)
        location = repository.location
        self._place = pack.PackPlace(
            pack_dir=os.path.join(location.objects_dir, "pack"),
            tmp_dir=os.path.join(self.lumo_dir, "tmp"),
            gc_pid=os.path.join(location.common_dir, "gc.pid"),
            hash_name=location.hash_name,
        )

    def publish(self, event: Event) -> str:
        """Publish what a run's folder holds now: the join of the ledger and the run becomes the next tip.

        Returns:
            The tip that has it.

        Raises:
            NotALedger: If the branch holds something else, or is checked out in a worktree.
            TooNew: If a later gitlumo has written the ledger.
            GitError: If the repository cannot be written.
            OSError: If the disk is full or read-only.
        """
        blobs = event.folder.blobs(self.repository.location.hash_name)
        content = {blob.path: blob for blob in blobs if blob.path not in event.extra}

        def read(path: str) -> bytes | None:
            blob = content.get(path)
            return (
                blob.data if blob and isinstance(blob.data, bytes) else event.extra.get(path) or event.folder.read(path)
            )

        identity = layout.read_identity(read)
        if identity is None:
            raise LumoError(
                f"{event.folder.info_dir} is not a run: its uid, exp_name, test_name or progress is damaged"
            )

        def build(staging: Staging, base: str) -> tuple[str, set[str]]:
            root = read_commit(staging, base).tree
            namesakes = trees.gather(staging, root, [(identity.exp_name, identity.test_name)])
            there = next((run for run in namesakes.values() if run.uid == identity.uid), None)
            known = {entry.id for _, entry in walk(staging, there.folder)} if there else set()
            changes: dict[str, Entry | None] = {}
            for path, blob in content.items():
                changes[path] = Entry("", FILE_MODE, blob.id)
                if blob.id not in known:
                    staging.new[blob.id] = ("blob", blob.data)
            for path, data in event.extra.items():
                changes[path] = Entry("", FILE_MODE, staging.add_blob(data))
            record = edit_tree(staging, None, changes) or ""
            joined = trees.put_among(staging, root, Run(identity, record, folder=record), namesakes)
            if joined == root:
                return base, known
            parents = [base]
            if event.snapshot and there is None and self._can_reach(event.snapshot):
                parents.append(event.snapshot)
            message = layout.event_message([(event.kind, identity.uid)], event.subject)
            return self._commit(staging, joined, parents, message), known

        return self._advance(build, f"lumo {event.kind}: {event.subject}", event.snapshot)

    def take_in(self) -> str | None:
        """Take remote-tracking ledgers, and a deleted branch's last tip, into the local branch.

        Returns:
            The local tip, or None if there is no ledger at all.
        """
        if not self.tips() and not self.lost_tip():
            return None
        return self._advance(lambda staging, base: (base, set()), "lumo: take in", None)

    def _can_reach(self, snapshot: str) -> bool:
        return os.path.exists(self.code_pack(snapshot) + ".idx") or self.repository.objects.has(snapshot)

    def code_pack(self, snapshot: str) -> str:
        """Where a snapshot's objects wait for the event that brings them: a pack and its index, path without ending."""
        return os.path.join(self.lumo_dir, "code", snapshot)

    def _commit(self, staging: Staging, tree: str, parents: list[str], message: str) -> str:
        who = self.repository.identity[0]
        when = timestamp()
        return staging.add_commit(Commit(tree, tuple(parents), f"{who} {when}", f"{who} {when}", message))

    def _base(self, staging: Staging, local: str | None) -> str:
        """The commit that the next event stands on: the local tip with all others taken in, or the root."""
        tips = set(self.tips().values()) | ({local} if local else set())
        lost = self.lost_tip()
        heads = self._heads(staging, tips | ({lost} if lost else set()))
        if not heads:
            stamp = f"{layout.IDENTITY} {layout.ROOT_TIME} {ZONE}"
            return staging.add_commit(Commit(staging.add_tree(()), (), stamp, stamp, layout.ROOT_MESSAGE))
        for tip in heads:
            versions = [int(v) for v in read_commit(staging, tip).trailers("Lumo-Format") if v.isdecimal()]
            if max(versions, default=0) > layout.VERSION:
                raise TooNew(
                    f"the ledger is written in format {max(versions)}, and this gitlumo writes {layout.VERSION}\n"
                    "install a newer gitlumo; until then runs are kept on disk"
                )
        return heads[0] if len(heads) == 1 else self._merge(staging, heads)

    def _merge(self, staging: Staging, heads: list[str]) -> str:
        """The merge commit: a function of its parents alone (docs/format.md, section 7)."""
        commits = [read_commit(staging, head) for head in heads]
        tree: str | None = None
        paths: set[str] = set()
        for commit in commits:
            differences = trees.unit_differences(staging, commits[0].tree, commit.tree)
            paths.update(
                path
                for path, a, b in differences
                if ((a and a.is_tree) or (b and b.is_tree)) and not layout.is_odd(path)
            )
            tree = trees.join_trees(staging, tree, commit.tree)
        stamp = f"{layout.IDENTITY} {max(commit.time for commit in commits)} {ZONE}"
        message = layout.merge_message(len(heads), paths)
        return staging.add_commit(Commit(tree or "", tuple(heads), stamp, stamp, message))

    def _advance(self, build: Callable[[Staging, str], tuple[str, set[str]]], why: str, snapshot: str | None) -> str:
        """Move the branch to what ``build`` makes of its tip: one pack, then compare-and-swap; again if it had moved.

        Args:
            build: Given where to put objects and the commit to stand on, returns the new tip, and ids not to write.
            why: For the reflog.
            snapshot: A commit whose waiting pack goes along.
        """
        refs, objects, ref = self.repository.refs, self.repository.objects, self.settings.ref
        for attempt in range(ATTEMPTS):
            with self._lock():
                self._check_worktrees()
                local = refs.read(ref)
                staging = Staging(objects)
                try:
                    tip, known = build(staging, self._base(staging, local))
                except MissingObject:  # a gc has just moved it, or has taken the index of somebody's fresh pack away
                    if attempt + 1 >= PATIENCE:
                        raise
                    time.sleep(0.01 * attempt)
                    self._heal()
                    continue
                if tip == local:
                    return tip
                new = {id: value for id, value in staging.new.items() if id not in known}
                base = self._write(tip, new, snapshot) if new else None
                try:
                    self._look_up(tip, base)
                    refs.move(ref, local, tip, why)
                except (GitError, OSError) as error:
                    if base and refs.read(ref) != tip:
                        pack.remove_pack(base)
                    if not isinstance(error, RefMoved) or attempt + 1 == ATTEMPTS:
                        raise
                    time.sleep(random.uniform(0, min(0.2, 0.005 * 2 ** min(attempt, 6))))
                    self._free_branch()
                    continue
                self._settle_tip(tip, base)
                if snapshot and snapshot in read_commit(objects, tip).parents[1:]:
                    pack.remove_pack(self.code_pack(snapshot))
                return tip
        raise AssertionError("unreachable")

    def _write(self, tip: str, new: dict[str, NewObject], snapshot: str | None) -> str:
        here = machine.this_process()
        note = f"gitlumo {tip} {here.pid} {here.start} {here.boot} {here.namespace}\n".encode()
        waiting = self.code_pack(snapshot) if snapshot else None
        if waiting and os.path.exists(waiting + ".idx"):
            with contextlib.suppress(FileNotFoundError):  # another run of the same code has just brought it
                return pack.write_pack(self._place, new, note, with_pack=waiting, fsync=True)
        return pack.write_pack(self._place, new, note, fsync=True)

    def _look_up(self, tip: str, base: str | None) -> None:
        """See, on the disk as it is now, that a commit is there: in the pack ``base``, or else anywhere."""
        if base and pack.is_whole(base):
            return
        self.repository.objects.refresh()
        if base or not self.repository.objects.has(tip):
            self._heal()

    def _settle_tip(self, tip: str, base: str | None) -> None:
        """After the branch has moved: look again whether a gc took files away, and remember the tip."""
        self._look_up(tip, base)
        if base:
            _fsync(os.path.join(self.repository.location.common_dir, self.settings.ref))
        self._ledgers[tip] = True
        with contextlib.suppress(OSError):
            self._remember(f"{self.settings.branch} {tip}\n".encode())

    def _remember(self, hint: bytes) -> None:
        """Note the tip for 'recover'; written over the former one, because ext4 flushes a file that was cut to none."""
        fd = os.open(self._hint, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            os.write(fd, hint)
            os.ftruncate(fd, len(hint))
        finally:
            os.close(fd)

    def _check_worktrees(self) -> None:
        where = self.repository.worktree_with(self.settings.ref)
        if where:
            raise NotALedger(
                f"the branch {self.settings.branch} is checked out in {where}; moving it would change what is there\n"
                f"leave it:  git -C {where} switch --detach;  then type 'git lumo recover'"
            )

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """A short local lock that spares writers lost races; without it compare-and-swap alone decides."""
        try:
            import fcntl
        except ImportError:
            yield
            return
        os.makedirs(self.lumo_dir, exist_ok=True)
        fd = os.open(os.path.join(self.lumo_dir, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            until = time.monotonic() + LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        break
                    time.sleep(0.002)
                except OSError:
                    break  # a file system without locks
            yield
        finally:
            os.close(fd)

    # Upkeep

    @property
    def _branch_lock(self) -> str:
        return os.path.join(self.repository.location.common_dir, self.settings.ref + ".lock")

    def _free_branch(self) -> None:
        """Remove git's lock of the branch where a writer of ours was killed while it held it.

        That is known from its pack: made just before the lock, for the same commit, its owner dead. Others' locks are
        left alone, and so is a young one: git's own last milliseconds.
        """
        try:
            found = os.stat(self._branch_lock)
        except OSError:
            return
        if time.time() - found.st_mtime < LOCK_AGE:
            return
        for base, note in pack.kept_packs(self._place):
            with contextlib.suppress(OSError):
                waited = found.st_mtime - os.stat(base + ".keep").st_mtime
                if (
                    _owner_is_gone(note)
                    and -0.1 <= waited < LOCK_SECONDS
                    and self._locked_for() in (b"", note.split()[1])
                ):
                    os.unlink(self._branch_lock)
                    return

    def _locked_for(self) -> bytes:
        """What the branch is to become, as its lock says."""
        with open(self._branch_lock, "rb") as source:
            return source.read(100).strip()

    def _heal(self) -> None:
        """Index packs again of which gc took the index away."""
        owners = dict(pack.kept_packs(self._place))
        for base in pack.unindexed_packs(self._place):
            mine = base in owners and owners[base].split()[2:3] == [str(os.getpid()).encode()]
            if base not in owners or mine or _owner_is_gone(owners[base]):
                pack.index_again(base)
        self.repository.objects.refresh()

    def look_after(self) -> None:
        """Leave packs to git's upkeep that need no protection any more, and roll small ones up."""
        tip = self.repository.refs.read(self.settings.ref)
        if tip is None or pack.gc_is_running(self._place) or os.path.exists(self._branch_lock):
            return
        self._heal()
        self._sweep()
        for base, note in pack.kept_packs(self._place):
            words = note.decode("ascii", "replace").split()
            if len(words) != 6 or words[0] != "gitlumo":
                continue
            if self.repository.objects.is_ancestor(words[1], tip) or _owner_is_gone(note):
                pack.unkeep(base)
        self._roll_up()

    def _sweep(self) -> None:
        """Remove what killed processes left unfinished, and code that waited for a run which is not here any more."""
        for entry in _scan(self._place.tmp_dir):
            pid = re.match(r"[a-z]+-(\d+)-", entry.name)
            if pid and _age(entry.path) > LEFTOVER_SECONDS and not machine.exists(int(pid[1])):
                _remove(entry)
        for entry in _scan(os.path.join(self.lumo_dir, "code")):
            if _age(entry.path) > CODE_SECONDS and not open_runs(self.lumo_dir):
                _remove(entry)

    def _roll_up(self) -> None:
        stamp = os.path.join(self.lumo_dir, "rolled-up")
        if pack.count_packs(self._place) < ROLL_UP_AT or _age(stamp) < ROLL_UP_PAUSE:
            return
        if self.repository.is_partial:
            return
        write_whole(stamp, b"")
        args = [*self.repository.git_args, "repack", "--geometric=2", "-d", "-q", "--no-write-bitmap-index"]
        process.start_detached(args, cwd=self.repository.location.common_dir)


def _owner_is_gone(note: bytes) -> bool:
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


def _fsync(path: str) -> None:
    """Sync a ref, where it is a file of its own, as git does (git-config(1), ``core.fsync``: not its folder)."""
    with contextlib.suppress(OSError), open(path, "rb") as ref:
        os.fsync(ref.fileno())
