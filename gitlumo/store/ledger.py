"""The ledger: the branch on which runs are published. :meth:`Ledger._advance` is the only place that moves it."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from gitlumo.errors import GitError, LumoError, MissingObject, NoSuchRun, NotALedger, RefMoved, TooNew
from gitlumo.git import pack
from gitlumo.git.edited import edit_tree
from gitlumo.git.objects import (
    FILE_MODE,
    Commit,
    Entry,
    NewObject,
    Staging,
    read_commit,
    walk,
)
from gitlumo.git.repository import timestamp
from gitlumo.store import join, layout, merging, purging, queue, trees
from gitlumo.store.join import Run
from gitlumo.store.journal import Blob
from gitlumo.store.queue import Event
from gitlumo.store.upkeep import LOCK_SECONDS, Upkeep

ATTEMPTS = 60
PATIENCE = 20
COMPANY = 32  # events of others in one commit: who holds the lock does not wait for more
SHORTEST_PAUSE, LONGEST_PAUSE = 0.001, 0.016


@dataclass(frozen=True)
class _Reading:
    """An event, and what its run's folder holds."""

    event: Event
    identity: layout.Identity
    blobs: dict[str, Blob]


class Ledger(Upkeep):
    """The ledger of one repository, to write to."""

    def publish(self, event: Event) -> str:
        """Publish what a run's folder holds now: the join of the ledger and the run becomes the next tip.

        Returns:
            A tip that has it.

        Raises:
            NotALedger: If the branch holds something else, or is checked out in a worktree.
            TooNew: If a later gitlumo has written the ledger.
            GitError: If the repository cannot be written.
            OSError: If the disk is full or read-only.
        """
        return self._advance(self._read(event), f"lumo {event.kind}: {event.subject}")

    def edit(self, names: Sequence[tuple[str, str]], edit: layout.Edit, subject: str) -> str:
        """Add an edit to a published run; its time is above those of all edits that are there by then.

        Args:
            names: The (exp_name, test_name) under which the run may lie.
            edit: The edit; its name is made here, unless it has one.
            subject: The commit's first line.

        Returns:
            A tip that has it.

        Raises:
            NoSuchRun: If no ledger here has the run.
            LumoError: See :meth:`publish`.
        """

        def build(staging: Staging, base: str) -> str:
            root = read_commit(staging, base).tree
            namesakes = trees.gather(staging, root, names)
            there = next((run for run in namesakes.values() if run.uid == edit.uid), None)
            if there is None or there.purged:
                raise NoSuchRun("the ledger does not have this run" if there is None else "this run was purged")
            if any(name.endswith(f"-{edit.id}.json") for name in there.edits):
                return base  # by an attempt of which only the end went wrong
            name = edit.name or layout.edit_name(layout.next_edit_time(there.edits, time.time()), edit.id)
            edits = {**there.edits, name: staging.add_blob(layout.edit_to_bytes(edit))}
            joined = trees.put_among(staging, root, [replace(there, edits=edits)], namesakes)
            return self._commit(staging, joined, [base], layout.event_message([("edit", edit.uid, subject)]))

        return self._advance(None, f"lumo edit: {subject}", build)

    def purge(self, identity: layout.Identity, names: Sequence[tuple[str, str]], subject: str, at: str) -> str:
        """Put a tombstone in a run's place, and drop the events of it that no remote has from the history.

        Args:
            identity: The run.
            names: The (exp_name, test_name) under which it may lie.
            subject: The commit's first line.
            at: The time that the tombstone bears.

        Returns:
            The tip, which has the tombstone.

        Raises:
            LumoError: See :meth:`publish`.
        """

        def build(staging: Staging, base: str) -> str:
            tree = read_commit(staging, base).tree
            there = trees.find(staging, tree, identity.uid, names)
            if there is None or not there.purged:
                stone = staging.add_blob(layout.tombstone_to_bytes(identity, at, self.repository.identity[0]))
                tree = trees.put(staging, tree, Run(identity, stone, purged=True), names)
            remote = [id for ref, id in self.tips().items() if ref != self.settings.ref]
            kept = purging.reach(staging, remote) | self.repository.ends
            tip = purging.rewrite(staging, base, kept, identity.uid, names)
            if read_commit(staging, tip).tree != tree:
                message = layout.event_message([("edit", identity.uid, subject)])
                tip = self._commit(staging, tree, [tip], message)
            purging.prune(staging, tip)
            return tip

        return self._advance(None, "lumo purge", build)

    def _read(self, event: Event) -> _Reading:
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
        return _Reading(event, identity, content)

    def _build(self, staging: Staging, base: str, readings: Sequence[_Reading]) -> tuple[str, set[str]]:
        """The event commit that brings some runs; and ids of objects that need not be written.

        It is ``base`` itself where nothing has changed.
        """
        root = read_commit(staging, base).tree
        names = [name for reading in readings for name in reading.identity.names]
        namesakes = trees.gather(staging, root, names)
        here = {run.uid: run for run in namesakes.values()}
        parents, known, runs, told = [base], set(), [], []
        for reading in readings:
            event, there = reading.event, here.get(reading.identity.uid)
            if there and not there.purged:
                known |= {entry.id for _, entry in walk(staging, there.folder)}
            record = _record(staging, reading, known)
            run = Run(reading.identity, record, folder=record)
            runs.append(run)
            if there is None or join.unite(there, run) != there:
                told.append(event)
            code = reading.blobs.get(layout.info_path("git"))
            is_new_code = there is None or (code is not None and code.id not in known)
            if event.snapshot and is_new_code and self.has_code(event.snapshot):
                parents.append(event.snapshot)
        joined = trees.put_among(staging, root, runs, namesakes)
        if joined == root:
            return base, known
        told = told or [reading.event for reading in readings]  # a stranger has moved a folder
        uids = {id(reading.event): reading.identity.uid for reading in readings}
        message = layout.event_message([(event.kind, uids[id(event)], event.subject) for event in told])
        return self._commit(staging, joined, list(dict.fromkeys(parents)), message), known

    def take_in(self) -> str | None:
        """Take remote-tracking ledgers, and a deleted branch's last tip, into the local branch.

        Returns:
            The local tip, or None if there is no ledger at all.
        """
        return self.set_up() if self.tips() or self.lost_tip() else None

    def set_up(self) -> str:
        """Make the branch, if there is none, and take in what :meth:`take_in` does.

        Returns:
            The local tip: of an empty ledger the root commit.
        """
        return self._advance(None, "lumo: take in")

    def stand_apart(
        self, staging: Staging, base: str | None, runs: Sequence[Run], message: str, code: Iterable[str]
    ) -> tuple[str, str | None]:
        """Make the event that joins some runs with another ledger than the local one; the branch stays where it is.

        Args:
            staging: Where the runs are.
            base: The other ledger's tip; None: an empty one.
            runs: The runs.
            message: The event's message.
            code: Commits with the runs' code.

        Returns:
            The event, or ``base`` if that has all; and its pack, path without ending, whose ``.keep`` the caller takes
            away when a ref has the commit.
        """
        tip = base or merging.root(staging)
        _check_version(staging, tip)
        commit = self._joined(staging, tip, runs, message, code)
        return commit, self._write(commit, staging.new, None) if commit != base else None

    def restore(
        self, bring: Callable[[Staging], Sequence[Run]], message: str, code: Iterable[str], *, why: str = "lumo restore"
    ) -> str:
        """Join runs that come from elsewhere with the ledger.

        Args:
            bring: Stages the runs' trees, and returns the runs.
            message: The event's message.
            code: Commits with their code that are here.
            why: For the reflog.

        Returns:
            A tip that has them; the one that there was, if it has them already.

        Raises:
            LumoError: See :meth:`publish`.
        """

        def build(staging: Staging, base: str) -> str:
            return self._joined(staging, base, bring(staging), message, code)

        return self._advance(None, why, build)

    def take(self, tip: str, why: str) -> str:
        """Join a whole ledger, of which the objects are here, with this one.

        Args:
            tip: Its tip.
            why: For the reflog.

        Raises:
            NotALedger: If it is none.
            LumoError: See :meth:`publish`.
        """
        if not self.is_ledger(tip):
            raise NotALedger(f"{tip[:12]} is no ledger of runs")

        def build(staging: Staging, base: str) -> str:
            _check_version(staging, tip)
            return merging.merge(staging, merging.heads(staging, {base, tip}))

        return self._advance(None, why, build)

    def _joined(self, staging: Staging, tip: str, runs: Sequence[Run], message: str, code: Iterable[str]) -> str:
        """The event on ``tip`` that brings some runs, wherever they are from; ``tip`` itself if it has them all."""
        tree = read_commit(staging, tip).tree
        namesakes = trees.gather(staging, tree, [name for run in runs for name in run.identity.names])
        joined = trees.put_among(staging, tree, runs, namesakes)
        if joined == tree:
            return tip
        new_code = [commit for commit in code if not staging.is_ancestor(commit, tip)]
        return self._commit(staging, joined, [tip, *new_code], message)

    def _commit(self, staging: Staging, tree: str, parents: list[str], message: str) -> str:
        who = self.repository.identity[0]
        when = timestamp()
        return staging.add_commit(Commit(tree, tuple(parents), f"{who} {when}", f"{who} {when}", message))

    def _base(self, staging: Staging, local: str | None) -> str:
        """The commit that the next event stands on: the local tip with all others taken in, or the root."""
        tips = set(self.tips().values()) | ({local} if local else set())
        lost = self.lost_tip()
        heads = merging.heads(staging, tips | ({lost} if lost else set()))
        if not heads:
            return merging.root(staging)
        for tip in heads:
            _check_version(staging, tip)
        return merging.merge(staging, heads)

    def _advance(self, mine: _Reading | None, why: str, build: Callable[[Staging, str], str] | None = None) -> str:
        """Move the branch: one pack, then compare-and-swap; again if it had moved.

        Args:
            mine: What is to be published, besides events that wait in the queue; None: nothing, but the local branch
                takes in the others.
            why: For the reflog.
            build: Makes, instead of ``mine``, the next commit on the one that it is given.
        """
        refs, objects, ref = self.repository.refs, self.repository.objects, self.settings.ref
        snapshot = mine.event.snapshot if mine else None
        company = True
        for attempt in range(ATTEMPTS):
            with self._lock(mine.event if mine else None) as is_served:
                local = refs.read(ref)
                if is_served and local:
                    return local
                self._check_worktrees()
                requests = dict(self._requests()) if mine and company else {}
                staging = Staging(objects)
                base = None
                try:
                    tip, known = self._base(staging, local), set[str]()
                    if mine:
                        tip, known = self._build(staging, tip, [mine, *requests.values()])
                    elif build:
                        tip = build(staging, tip)
                    new = {id: value for id, value in staging.new.items() if id not in known}
                    if tip != local:
                        base = self._write(tip, new, snapshot) if new else None
                        self._look_up(tip, base)
                        refs.move(ref, local, tip, why)
                        self._settle_tip(tip, base)
                        if snapshot and snapshot in read_commit(objects, tip).parents[1:]:
                            pack.remove_pack(self.code_pack(snapshot))
                    for path in requests:
                        with contextlib.suppress(OSError):  # of another user: it will find itself published
                            queue.remove(path)
                    return tip
                except MissingObject:  # a gc has just moved it, or has taken the index of somebody's fresh pack away
                    if attempt + 1 >= PATIENCE:
                        raise
                    if self.repository.is_partial:
                        self.complete()
                    time.sleep(0.01 * attempt)
                    self._heal()
                except (GitError, OSError) as error:
                    if base and refs.read(ref) != tip:
                        if isinstance(error, RefMoved):
                            pack.remove_pack(base)
                        else:  # the reflog may name the commit already: git's gc knows when nothing does any more
                            pack.unkeep(base)
                    if attempt + 1 == ATTEMPTS or not (isinstance(error, RefMoved) or requests):
                        raise
                    company = isinstance(error, RefMoved)  # whatever is wrong with the others' is no matter of mine
                    time.sleep(random.uniform(0, min(0.2, 0.005 * 2 ** min(attempt, 6))))
                    self._free_branch()
        raise AssertionError("unreachable")

    def _requests(self) -> Iterator[tuple[str, _Reading]]:
        """What waits in the queue, as far as it can be read: each path, and what is to be published."""
        for path, event in queue.requests(self.lumo_dir, self._scope, self.settings.snapshot_max_file, COMPANY):
            with contextlib.suppress(OSError, LumoError):
                yield path, self._read(event)

    def _write(self, tip: str, new: dict[str, NewObject], snapshot: str | None) -> str:
        note = self._note(tip)
        waiting = self.code_pack(snapshot) if snapshot else None
        if waiting and os.path.exists(waiting + ".idx"):
            with contextlib.suppress(FileNotFoundError):  # another run of the same code has just brought it
                return pack.write_pack(self.place, new, note, with_pack=waiting, fsync=True)
        return pack.write_pack(self.place, new, note, fsync=True)

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
            self.tips()  # which says so where it is no ledger at all
            raise NotALedger(
                f"the branch {self.settings.branch} is checked out in {where}; moving it would change what is there\n"
                f"leave it:  git -C {where} switch --detach;  then type 'git lumo recover'"
            )

    @contextlib.contextmanager
    def _lock(self, event: Event | None) -> Iterator[bool]:
        """A short local lock that spares writers lost races; without it compare-and-swap alone decides.

        An event that must wait enters the queue. True: it has been published meanwhile, and the lock is not held.
        """
        try:
            import fcntl
        except ImportError:
            yield False
            return
        os.makedirs(self.lumo_dir, exist_ok=True)
        fd = os.open(os.path.join(self.lumo_dir, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        request = None
        try:
            until, pause = time.monotonic() + LOCK_SECONDS, SHORTEST_PAUSE
            while time.monotonic() < until and not (request and queue.is_served(request)):
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if request is None and event and self._may_wait(event):
                        with contextlib.suppress(OSError):
                            request = queue.ask(self.lumo_dir, event, self._scope)
                    time.sleep(pause)
                    pause = min(pause * 1.5, LONGEST_PAUSE)
                except OSError:
                    break  # a file system without locks
            waited, request = request, None
            yield waited is not None and not queue.remove(waited)
        finally:
            if request:
                queue.remove(request)
            os.close(fd)

    @property
    def _scope(self) -> str:
        return f"{self.settings.branch} {self.repository.identity[0]}"

    def _may_wait(self, event: Event) -> bool:
        """Whether others may publish an event: all of it is in the run's folder or in the database."""
        return not event.extra and not (event.snapshot and os.path.exists(self.code_pack(event.snapshot) + ".idx"))


def _check_version(staging: Staging, tip: str) -> None:
    versions = [int(v) for v in read_commit(staging, tip).trailers("Lumo-Format") if v.isdecimal()]
    if max(versions, default=0) > layout.VERSION:
        raise TooNew(
            f"the ledger is written in format {max(versions)}, and this gitlumo writes {layout.VERSION}\n"
            "install a newer gitlumo; until then runs are kept on disk"
        )


def _record(staging: Staging, reading: _Reading, known: set[str]) -> str:
    """A run's record as a tree; what the ledger knows already is not staged."""
    changes: dict[str, Entry | None] = {}
    for path, blob in reading.blobs.items():
        changes[path] = Entry("", FILE_MODE, blob.id)
        if blob.id not in known:
            staging.new[blob.id] = ("blob", blob.data)
    for path, data in reading.event.extra.items():
        changes[path] = Entry("", FILE_MODE, staging.add_blob(data))
    return edit_tree(staging, None, changes) or ""


def _fsync(path: str) -> None:
    """Sync a ref, where it is a file of its own, as git does (git-config(1), ``core.fsync``: not its folder)."""
    with contextlib.suppress(OSError), open(path, "rb") as ref:
        os.fsync(ref.fileno())
