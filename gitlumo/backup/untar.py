"""Backups out of an archive, which a stranger may have made: everything is checked before anything is written."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import IO, BinaryIO

from gitlumo.backup import beside, checking, contents, members, parcel, restoring
from gitlumo.backup.beside import Arriving
from gitlumo.backup.checking import DAMAGED, Checked
from gitlumo.backup.contents import CODE, INDEX, RECORD, SUMS, Content, Index
from gitlumo.backup.members import Member
from gitlumo.backup.parcel import Parcel
from gitlumo.backup.restoring import PURGED, Backup, Outcome
from gitlumo.errors import FormatError, LumoError, NoSuchRun
from gitlumo.git import bundle, pack
from gitlumo.git.objects import Staging
from gitlumo.git.transport import Show
from gitlumo.home import Home
from gitlumo.rerun import packing
from gitlumo.store import layout
from gitlumo.store.query import Found

BATCH = 32 * 1024**2  # bytes of records that are restored in one event
_IN_MEMORY = 1 << 20
_UID = re.compile(r"[0-9a-f]{4,32}")

Sink = Callable[[Content, str, Member], contextlib.AbstractContextManager[IO[bytes]] | None]
"""Where a file beside a record goes (run, path below its folder, file); None: nowhere."""


@dataclass(frozen=True)
class Read:
    """One run of an archive as it was read.

    Attributes:
        content: What the index says of it.
        files: Its record: path to content.
        wrong: What is wrong with it; empty: nothing.
    """

    content: Content
    files: dict[str, bytes]
    wrong: str = ""

    def backup(self, path: str) -> Backup:
        """The run, to be restored.

        Raises:
            FormatError: If it is none, or another than the index says.
        """
        origin = f"{path}: {self.content.folder}"
        if self.wrong:
            raise FormatError(f"{origin}: {self.wrong}")
        found = parcel.made(self.files, origin)
        identity = found.identity
        if (identity.uid, *identity.names[0]) != (self.content.uid, self.content.exp_name, self.content.test_name):
            raise FormatError(f"{origin}: the index says that it is {self.content.name}, and it is {found.name}")
        return Backup(found, origin)


class Archive:
    """An archive while it is read, once, from its beginning to its end."""

    def __init__(self, path: str, source: BinaryIO, sums: IO[bytes]):
        self.path, self._sums = path, sums
        self._members = members.read(source, path)
        self.index = self._read_index()

    def _read_index(self) -> Index:
        member = self._next(INDEX)
        data = self._summed(member, member.whole(contents.MAX_INDEX))
        try:
            return contents.read_index(data)
        except FormatError as error:
            raise type(error)(f"{self.path}: {INDEX}: {error}") from None

    def _next(self, wanted: str, *, below: bool = False) -> Member:
        """The next member, which must be of a name, or below a folder."""
        member = next(self._members, None)
        if member is None or not (member.path == wanted or (below and member.path.startswith(wanted))):
            there = "its end" if member is None else repr(member.path)
            raise FormatError(f"{self.path}: {wanted!r} should come here, and there is {there}; a backup of gitlumo's?")
        return member

    def _summed(self, member: Member, data: bytes) -> bytes:
        self._sums.write(contents.sum_line(hashlib.sha256(data).hexdigest(), member.path))
        return data

    def code(self, into: IO[bytes] | None = None) -> None:
        """Read the bundle, if there is one; before :meth:`runs`."""
        if self.index.code:
            member = self._next(CODE)
            if member.size != self.index.code.size or self._copy(member, into) != self.index.code.sha256:
                raise FormatError(f"{self.path}: {CODE} is not what the index says; it is damaged")

    def _copy(self, member: Member, into: IO[bytes] | None) -> str:
        digest = hashlib.sha256()
        while data := member.read():
            digest.update(data)
            if into:
                into.write(data)
        self._sums.write(contents.sum_line(digest.hexdigest(), member.path))
        return digest.hexdigest()

    def runs(self, sink: Sink | None = None) -> Iterator[Read]:
        """Its runs, one after another.

        Raises:
            FormatError: If the archive ends early, or holds what it should not.
        """
        for content in self.index.runs:
            files = dict[str, bytes]()
            for name in content.parts:
                for path, member in self._part(content, name):
                    if name == RECORD:
                        files[path] = self._summed(member, member.whole(layout.MAX_FILE))
                        continue
                    to = sink(content, f"{name}/{path}", member) if sink else None
                    with to or contextlib.nullcontext() as into:
                        self._copy(member, into)
            same = contents.record_digest(files.items()) == content.parts[RECORD].sha256
            yield Read(content, files, "" if same else "its record is damaged: it is not what the index says")

    def _part(self, content: Content, name: str) -> Iterator[tuple[str, Member]]:
        """The files of one kind of a run: as many as were said, in order, none twice."""
        part, prefix = content.parts[name], f"{content.folder}/{name}/"
        left, last = part.size, b""
        for _ in range(part.files):
            member = self._next(prefix, below=True)
            path = member.path.removeprefix(prefix)
            if name != RECORD and not contents.is_sound(path):
                raise FormatError(f"{self.path}: {member.path!r} leads where no file of a run may be")
            if os.fsencode(path) <= last:
                raise FormatError(f"{self.path}: {member.path!r} is there twice, or out of order")
            left, last = left - member.size, os.fsencode(path)
            if left < 0:
                raise FormatError(f"{self.path}: {content.folder} is larger than the index says")
            yield path, member
        if left:
            raise FormatError(f"{self.path}: {content.folder} is smaller than the index says")

    def finish(self) -> list[str]:
        """Compare the digests of all; after :meth:`runs`.

        Returns:
            The files that are not as they were.

        Raises:
            FormatError: If the archive ends early, or goes on.
        """
        member, wrong = self._next(SUMS), []
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as said:
            if member.size != self._sums.tell():
                raise FormatError(f"{self.path}: {SUMS} does not list what is there; it is damaged")
            while data := member.read():
                said.write(data)
            said.seek(0)
            self._sums.seek(0)
            for ours, theirs in itertools.zip_longest(self._sums, said, fillvalue=b""):
                if ours != theirs:
                    wrong.append(os.fsdecode(ours.rstrip(b"\n")).split("  ", 1)[-1])
        after = next(self._members, None)
        if after is not None:
            raise FormatError(f"{self.path}: {after.path!r} comes after its end")
        return wrong

    def check_sums(self) -> None:
        """The same; what is not as it was is an error."""
        if wrong := self.finish():
            raise FormatError(f"{self.path} is damaged: {wrong[0]} is not as it was written")


@contextlib.contextmanager
def opened(path: str) -> Iterator[Archive]:
    """An archive, its index read.

    Raises:
        FormatError: If it is none.
        LumoError: If it cannot be read.
    """
    try:
        with packing.opened(path) as source, tempfile.SpooledTemporaryFile(_IN_MEMORY) as sums:
            yield Archive(path, source, sums)
    except OSError as error:
        raise LumoError(f"{error.filename or path}: {error.strerror}") from None


def read(path: str) -> Iterator[Backup]:
    """The runs of an archive, one after another.

    Raises:
        FormatError: If one of them, or the archive, is damaged.
        LumoError: If it cannot be read.
    """
    with opened(path) as archive:
        archive.code()
        for each in archive.runs():
            yield each.backup(path)
        archive.check_sums()


def restore(home: Home, path: str, only: Sequence[str] | None = None, show: Show | None = None) -> list[Outcome]:
    """Put the runs of an archive into the ledger, their code into the repository, and what lies beside them in place.

    The archive is read twice: when all of it is known to be sound, it is restored, some runs at a time.

    Args:
        home: The repository here.
        path: The archive.
        only: Names or uids of runs, or what they begin with; None: all.
        show: Where git's progress goes.

    Returns:
        What became of each run; of these only who they are is held.

    Raises:
        NoSuchRun: If one that was asked for is not in it, or several are meant.
        FormatError: If it is damaged, or not what it should be; then nothing is written.
        LumoError: If something cannot be written.
    """
    arriving = Arriving(home)
    try:
        with bundle.scratch_file(home.repository) as code:
            wanted = _verify(home, path, only, arriving, code)
            with _code_brought(home, path, code):
                outcomes = [outcome for batch in _batches(path, wanted) for outcome in _restored(home, batch, show)]
            return [
                each
                if each.outcome == PURGED
                else replace(each, kept=tuple(arriving.settle(each.backup.parcel.identity)))
                for each in outcomes
            ]
    except OSError as error:
        raise LumoError(f"{error.filename or path}: {error.strerror}") from None
    finally:
        arriving.clear()


def check(home: Home, path: str, founds: Sequence[Found] = ()) -> Iterator[Checked]:
    """Whether the backups of an archive are whole and up to date.

    Args:
        home: The repository here.
        path: The archive.
        founds: Runs of which those that it lacks are to be told, too.

    Raises:
        FormatError: If it is no archive of backups.
        LumoError: If it cannot be read.
    """
    ledger = checking.Ledger(home)
    checked, folders = dict[str, Checked](), dict[str, str]()
    with opened(path) as archive:
        runs = archive.index.runs
        try:
            archive.code()
            for each in archive.runs():
                checked[each.content.uid] = _beside(ledger, each, path)
                folders[each.content.folder] = each.content.uid
            for name in archive.finish():
                uid = folders.get("/".join(name.split("/")[:3]))
                for run in runs:
                    if uid in (run.uid, None):
                        checked[run.uid] = Checked(run.name, run.uid, DAMAGED, f"{name} is not as it was written")
        except FormatError as error:
            for run in runs:
                checked.setdefault(run.uid, Checked(run.name, run.uid, DAMAGED, str(error)))
    yield from checked.values()
    yield from checking.lacking(founds, set(checked))


def _beside(ledger: checking.Ledger, read: Read, path: str) -> Checked:
    try:
        found = read.backup(path).parcel
        restoring.check(ledger.objects, Backup(found, path))
    except FormatError as error:
        return Checked(read.content.name, read.content.uid, DAMAGED, str(error))
    staging = Staging(ledger.objects)
    return ledger.beside(parcel.stage(staging, found), parcel.stage(staging, parcel.marked(found, {})))


def _verify(home: Home, path: str, only: Sequence[str] | None, arriving: Arriving, code: IO[bytes]) -> set[str]:
    """Read all, put what is not of the record near its place, and say which runs are wanted."""
    with opened(path) as archive:
        wanted = _wanted(archive.index, only)
        _check_space(home, archive, wanted)
        fits = archive.index.hash_name == home.repository.location.hash_name  # else it is missing
        archive.code(code if fits else None)
        identities = {run.uid: _identity(run) for run in archive.index.runs}

        def sink(content: Content, where: str, member: Member) -> contextlib.AbstractContextManager[IO[bytes]] | None:
            part, _, below = where.partition("/")
            if content.uid not in wanted:
                return None
            return arriving.file(identities[content.uid], part, below, executable=member.executable)

        for each in archive.runs(sink):
            if each.wrong or each.content.uid in wanted:
                restoring.check(home.repository.objects, each.backup(path))
        archive.check_sums()
    return wanted


def _identity(content: Content) -> layout.Identity:
    return layout.Identity(content.uid, content.exp_name, content.test_name, "", 0, False)


def _wanted(index: Index, only: Sequence[str] | None) -> set[str]:
    """The uids of the runs that are meant."""
    if only is None:
        return {run.uid for run in index.runs}
    wanted = set()
    for text in only:
        exp_name, slash, prefix = text.rpartition("/")
        named = [
            run for run in index.runs if run.test_name.startswith(prefix) and (not slash or run.exp_name == exp_name)
        ]
        found = [run for run in named if run.test_name == prefix] or named
        if not found and _UID.fullmatch(text):
            found = [run for run in index.runs if run.uid.startswith(text)]
        if len(found) != 1:
            many = "\n".join(f"  {run.name}" for run in found[:10])
            raise NoSuchRun(
                f"{text!r} may mean {len(found)} runs of the backup; say more of the name:\n{many}"
                if found
                else f"the backup has no run {text!r}"
            )
        wanted.add(found[0].uid)
    return wanted


def _check_space(home: Home, archive: Archive, wanted: set[str]) -> None:
    for part in beside.ROOTS:
        runs = [run for run in archive.index.runs if run.uid in wanted and part in run.parts]
        size = sum(run.parts[part].size for run in runs)
        if size:
            folder = os.path.dirname(beside.folder_of(home, _identity(runs[0]), part))
            while not os.path.isdir(folder):
                folder = os.path.dirname(folder)
            free = shutil.disk_usage(folder).free
            if size > free:
                raise LumoError(f"{archive.path}: {size} bytes are to be put below {folder}, where {free} are free")


@contextlib.contextmanager
def _code_brought(home: Home, path: str, code: IO[bytes]) -> Iterator[None]:
    """Have the code in the database, where git's gc leaves it alone until the ledger has it."""
    code.flush()
    refs = bundle.read_header(code.name, f"{path}: {CODE}").refs if code.tell() else {}
    commits = list(dict.fromkeys(refs.values()))
    if bundle.whole(home.repository, commits) == commits:  # nothing is new
        yield
        return
    with bundle.unpacked(home.repository, code.name, f"{path}: {CODE}") as new:
        base = home.ledger.bring_pack(new.pack, next(iter(new.header.refs.values())))
    try:
        yield
    finally:
        pack.unkeep(base)


def _batches(path: str, wanted: set[str]) -> Iterator[list[Backup]]:
    batch, size = list[Backup](), 0
    with opened(path) as archive:
        archive.code()
        for each in archive.runs():
            if each.content.uid in wanted:
                batch.append(each.backup(path))
                size += each.content.parts[RECORD].size
            if size > BATCH:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def _restored(home: Home, batch: list[Backup], show: Show | None) -> list[Outcome]:
    outcomes = restoring.restore(home, batch, show)
    return [
        replace(each, backup=Backup(Parcel(each.backup.parcel.identity, {}), each.backup.origin)) for each in outcomes
    ]
