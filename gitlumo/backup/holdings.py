"""The issues of one repository that hold runs: which there are, what they hold, and whether that is whole."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from gitlumo import editing, values
from gitlumo.backup import address, draft, fitting, issue, parcel, whereabouts
from gitlumo.backup.address import Address
from gitlumo.backup.api import Client, Issue
from gitlumo.backup.draft import LABEL, Draft
from gitlumo.backup.parcel import Parcel
from gitlumo.backup.refusals import Gone, Transferred
from gitlumo.backup.restoring import Backup
from gitlumo.errors import FormatError, LumoError
from gitlumo.home import Home
from gitlumo.store import layout
from gitlumo.store.query import Found
from gitlumo.store.record import Record

GOOD, OLD, DAMAGED, MISSING = "up to date", "older than the run", "damaged", "not backed up"
_SKEW = 120.0  # seconds by which GitHub's own machines may differ
_BEFORE = 86400.0  # seconds by which our clock may: no issue is older than its run


class Holdings:
    """What issues of a repository hold; :meth:`look`, :meth:`all` or :meth:`one` come first."""

    def __init__(self, home: Home, client: Client):
        """Prepare.

        Args:
            home: The repository here.
            client: The one on GitHub.
        """
        self._home, self._client = home, client
        self._there: dict[str, dict[int, Issue]] = {}  # by uid and number
        self._seen = 0.0
        self._lock = threading.Lock()  # of the objects here, which several may not read at once
        self._code: Address | None = None

    def look(self, founds: Sequence[Found]) -> None:
        """See which of some runs have issues: no issue was touched last before its run began.

        Raises:
            RemoteError: If GitHub cannot be asked.
        """
        self._client.settle()
        with contextlib.suppress(LumoError):
            self._code = address.find(self._home, None)
        starts = [values.time_seconds(found.start) for found in founds]
        known = [start for start in starts if start is not None]
        self._list(min(known) - _BEFORE if known else None)

    def _list(self, since: float | None) -> None:
        begun = self._client.now()
        for each in self._client.issues(LABEL, since):
            self._take(each)
        self._seen = begun

    def _list_again(self) -> None:
        """See what has come since the last time."""
        self._list(self._seen - _SKEW)

    def _take(self, each: Issue) -> None:
        for issues in self._there.values():
            issues.pop(each.number, None)
        for uid in issue.uids_of(each.body):
            self._there.setdefault(uid, {})[each.number] = each

    def _issues(self, uid: str) -> list[Issue]:
        """The issues of a run, the oldest first; those that are of other runs, too, come last."""
        return sorted(self._there.get(uid, {}).values(), key=lambda each: (is_mixed(each), each.number))

    def run_of(self, found: Found) -> Parcel:
        """See :func:`published`."""
        with self._lock:
            return published(self._home, found)

    def draft(self, run: Parcel) -> Draft:
        """The run as it is to stand in its issue."""
        return draft.of(run, self._client.address, self._code)

    def _remembered(self, run: Parcel) -> list[Issue]:
        """The issue that the run itself names, where it was not listed.

        Somebody has taken its label away, or its mark, or has transferred it to here from where the run says it is.
        """
        edit, found = whereabouts.backup_in(run, self._client.address), None
        number = edit.value.get("number") if edit else None
        if type(number) is int:
            with _unless_gone():
                found = self._client.issue(number)
        elif edit is None and (elsewhere := whereabouts.latest(run, self._client.address)):
            found = self._client.transferred(*elsewhere)
        if found is None:
            return []
        uids = {*issue.uids_of(found.body), *(part.uid for part in issue.parts(found.body))}
        return [found] if run.identity.uid in uids else []

    def check(self, found: Found) -> tuple[str, Issue | None, str]:
        """Whether a run's backup is there, whole and up to date.

        Returns:
            :data:`GOOD`, :data:`OLD`, :data:`DAMAGED` or :data:`MISSING`; its issue; and what is wrong in words.
        """
        run = self.run_of(found)
        there = self._issues(run.identity.uid) or self._remembered(run)
        if not there:
            return MISSING, None, ""
        kept = there[0]
        try:
            recorded, _ = self._read(kept)
        except FormatError as error:
            return DAMAGED, kept, str(error)
        edit = whereabouts.backup_in(recorded, self._client.address)
        mine = self.draft(whereabouts.with_edit(run, edit) if edit else run)
        parts = issue.of_run(run.identity.uid, [kept.body])
        return (GOOD if parts[0].digest == mine.digest else OLD), kept, ""

    def backup(self, each: Issue, *, force: bool = False) -> Backup:
        """The run that an issue holds.

        Args:
            each: The issue.
            force: Whether a damaged record is read as far as it goes.

        Raises:
            FormatError: If it holds none, or a damaged one.
        """
        origin = f"github:{self._client.address.repo}#{each.number}"
        try:
            run, lost = self._read(each, force=force)
        except FormatError as error:
            hint = (
                ""
                if force or not any(issue.parts(each.body))
                else f"\nas far as it goes:  git lumo restore --force {origin}"
            )
            raise FormatError(f"{origin}: {error}{hint}") from None
        return Backup(whereabouts.numbered(run, each.number), origin, lost)

    def _read(self, each: Issue, uid: str | None = None, *, force: bool = False) -> tuple[Parcel, dict[str, Any]]:
        """The run that an issue holds, which may be known, and what its record lacks of it."""
        problem = None if uid else _unmarked(each)
        if problem and not force:
            raise FormatError(problem)
        marks = issue.uids_of(each.body) or [part.uid for part in issue.parts(each.body)]
        if not uid and not marks:
            raise FormatError(problem or "")
        uid = uid or marks[0]
        texts: list[str | None] = [each.body]
        if issue.of_run(uid, texts)[0].count > 1:
            texts += [comment.body for comment in self._client.comments(each)]
        return decode(uid, issue.of_run(uid, texts), force=force, problem=problem)

    def all(self) -> Iterator[Issue]:
        """All issues that hold runs, the newest first; of several of one run the oldest alone."""
        self._client.settle()
        self._list(None)
        for uid in sorted(self._there, key=lambda uid: max(self._there[uid], default=0), reverse=True):
            yield from self._issues(uid)[:1]

    def one(self, number: int) -> Issue:
        """One issue.

        Raises:
            Gone: If it is not there.
        """
        self._client.settle()
        return self._client.issue(number)


@contextlib.contextmanager
def _unless_gone() -> Iterator[None]:
    try:
        yield
    except Transferred:
        raise
    except Gone:
        pass


def is_mixed(each: Issue) -> bool:
    """Whether an issue is of several runs: somebody has pasted the text of one into another."""
    return len(issue.uids_of(each.body)) > 1


def _unmarked(each: Issue) -> str | None:
    """Why it cannot be told which run an issue holds; None: it can."""
    marks = issue.uids_of(each.body)
    if len(marks) == 1:
        return None
    if marks:
        return f"it is marked as several runs, {' and '.join(marks)}: somebody has pasted the text of one into another"
    if issue.duplicate_of(each.body):
        return "it is a duplicate that was emptied"
    if any(issue.parts(each.body)):
        return "somebody has removed its mark, '<!-- gitlumo run ... -->'"
    return "it holds no run of gitlumo's"


def published(home: Home, found: Found) -> Parcel:
    """A run as the ledger has it.

    Raises:
        LumoError: If it is damaged, or not published yet.
    """
    found.record.check()
    identity = layout.read_identity(found.record.read)
    assert identity is not None  # it has been checked
    place = found.path.split("/")  # a stranger may have moved it
    for name in dict.fromkeys([*identity.names, (place[0], found.name.partition("~")[0])]):
        files = editing.published(home.ledger, identity.uid, name)
        if files:
            return parcel.of(Record(files.read, files.paths, found.path))
    raise LumoError(f"{found.label} is not published yet\ntype 'git lumo status' to see what it waits for")


def decode(
    uid: str, parts: Sequence[issue.Part], *, force: bool, problem: str | None = None
) -> tuple[Parcel, dict[str, Any]]:
    """The run that the parts of a record hold, and what they lack of it.

    Args:
        uid: The run that it should be.
        parts: See :func:`gitlumo.backup.issue.of_run`.
        force: Whether a damaged record is read as far as it goes.
        problem: What is wrong already.

    Raises:
        FormatError: If that is not possible; says what is wrong.
    """
    damage = None
    try:
        compressed = issue.whole(parts)
    except FormatError as error:
        if not force:
            raise
        damage, compressed = str(error), issue.beginning(parts)
    record, cut = fitting.decompress(compressed)
    damage = damage or cut
    if damage is None and issue.digest_of(record) != parts[0].digest:
        damage = "its record is not the one that was written: the digest is another"
    if damage and not force:
        raise FormatError(damage)
    run, lost = fitting.from_bytes(record, "its record", damaged=bool(damage))
    if run.identity.uid != uid:
        raise FormatError(f"its record is that of another run: its uid is {run.identity.uid}")
    if damage:
        lines = [line for path in run.files if layout.chunk_number(path) is not None
                 for line in run.files[path].split(b"\n") if line]  # fmt: skip
        lost = {**lost, "history": lost.get("history") or {"lines": len(lines), "of": None}}
    if forced := [each for each in (problem, damage) if each]:
        lost = {**lost, "forced": forced}
    return run, lost
