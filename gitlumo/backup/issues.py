"""One issue a run, whatever happens on the way.

GitHub knows no "make it unless it is there", and what was sent without an answer may still arrive. So each issue has
the run's uid in it; before one is made, those that are there are listed; afterwards they are listed again, the lowest
number is the backup, and whatever else has the uid is closed as its duplicate. Whoever comes next does the same.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gitlumo import values
from gitlumo.backup import draft, issue, whereabouts
from gitlumo.backup.api import Client, Comment, Issue
from gitlumo.backup.draft import LABEL, Draft
from gitlumo.backup.holdings import Holdings, decode, is_mixed
from gitlumo.backup.parcel import Parcel
from gitlumo.backup.refusals import Gone, Unanswered, Waited
from gitlumo.errors import FormatError, LumoError
from gitlumo.home import Home
from gitlumo.store import layout
from gitlumo.store.query import Found

NEW, UPDATED, UNCHANGED = "new", "updated", "unchanged"
ATTEMPTS = 4
PAUSE = 1.0  # seconds, doubled each time, before it is looked whether something unanswered has arrived
_COLOURS = {LABEL: "5319e7", "running": "fbca04", "finished": "0e8a16", "failed": "d73a4a", "killed": "6a737d"}


@dataclass(frozen=True)
class Options:
    """How runs are backed up.

    Attributes:
        update: Whether an issue that is there is brought up to date.
        labels: More labels.
        keep_open: Whether the issue of a run that has ended stays open.
        milestone: The title of one.
        assignees: Names of users.
    """

    update: bool = True
    labels: tuple[str, ...] = ()
    keep_open: bool = False
    milestone: str | None = None
    assignees: tuple[str, ...] = ()


@dataclass(frozen=True)
class Done:
    """What became of one run.

    Attributes:
        label: The run.
        what: :data:`NEW`, :data:`UPDATED` or :data:`UNCHANGED`.
        repo: Where its issue is.
        number: The issue's number.
        url: Its page.
        masked: Where something was masked.
        lost: What the record lacks of the run.
    """

    label: str
    what: str
    repo: str
    number: int
    url: str
    masked: tuple[str, ...] = ()
    lost: dict[str, Any] = field(default_factory=dict)


class Backups(Holdings):
    """The same, to write to."""

    def __init__(self, home: Home, client: Client, options: Options | None = None):
        """Prepare.

        Args:
            home: The repository here.
            client: The one on GitHub.
            options: How runs are backed up.
        """
        super().__init__(home, client)
        self._options = options or Options()
        self._labels: set[str] = set()
        self._labelling = threading.Lock()
        self._more: dict[str, Any] = {}  # of new issues

    def beside(self, client: Client) -> Backups:
        """The same for another thread, with a client of its own, for other runs."""
        other = Backups(self._home, client, self._options)
        client.follow(self._client)
        other._there = {uid: dict(issues) for uid, issues in self._there.items()}
        other._seen, other._code, other._lock = self._seen, self._code, self._lock
        other._labels, other._labelling, other._more = self._labels, self._labelling, self._more
        return other

    def look(self, founds: Sequence[Found]) -> None:
        """See :meth:`Holdings.look`.

        Raises:
            RemoteError: If GitHub cannot be asked, or has no such milestone.
        """
        super().look(founds)
        if self._options.milestone:
            self._more["milestone"] = self._client.milestone(self._options.milestone)
        if self._options.assignees:
            self._more["assignees"] = list(self._options.assignees)

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def back_up(self, found: Found) -> Done:
        """Have exactly one issue that holds a run as it is now, and the run say so.

        Raises:
            LumoError: If that cannot be done, or it is not known whether it was; calling again goes on.
        """
        run = self.run_of(found)
        place, uid = self._client.address, run.identity.uid
        there = self._issues(uid) or self._remembered(run)
        is_new, edit = not there, None
        if is_new:
            edit = self._edit(run)
            there = self._make(whereabouts.with_edit(run, edit))
        kept = there[0]
        for other in there[1:]:
            if not is_mixed(other):
                with contextlib.suppress(Gone):
                    self._empty(uid, other, kept)
        run = self._with_its_edit(run, kept, edit)
        changed, plan = False, None
        if is_new or self._options.update:
            plan = self.draft(run)
            changed = self._settle(kept, plan, is_new=is_new)
        self._say(run, kept)
        what = NEW if is_new else UPDATED if changed else UNCHANGED
        masked, lost = (plan.masked, dict(plan.lost)) if plan else ((), {})
        return Done(found.label, what, place.repo, kept.number, kept.url, masked, lost)

    def _edit(self, run: Parcel) -> layout.Edit:
        """What the run will say of its backup; its issue's number is not known yet."""
        now = time.time()
        names = (path.partition("/")[2] for path in run.files if path.startswith(f"{layout.EDITS}/"))
        id = os.urandom(8).hex()
        name = layout.edit_name(layout.next_edit_time(names, now), id)
        value = whereabouts.value_of(self._client.address, None)
        who = self._home.repository.identity[0]
        return layout.Edit(name, run.identity.uid, "backup", value, who, values.time_text(now), id)

    def _make(self, run: Parcel) -> list[Issue]:
        """Make a run's issue; all that there are of the run afterwards, one at least."""
        uid, plan = run.identity.uid, self.draft(run)
        body, _ = plan.texts()
        labels = self._ready(plan)
        for attempt in range(ATTEMPTS):
            try:
                self._take(self._client.create(plan.title, body, labels, **self._more))
            except (Waited, Unanswered) as error:
                if attempt + 1 == ATTEMPTS:
                    raise
                if isinstance(error, Unanswered):
                    time.sleep(PAUSE * 2**attempt)
            self._list_again()
            if there := self._issues(uid):
                return there
        raise Unanswered(f"{run.name}: the issue that was made is not listed; the same command again looks for it")

    def _empty(self, uid: str, other: Issue, kept: Issue) -> None:
        """Close a second backup of a run, and take its record away; what people wrote stays."""
        if other.comments:
            for each in self._parts(other, uid):
                self._client.delete_comment(other, each)
        body = issue.emptied(uid, kept.number, other.body)
        self._take(self._client.edit(other, body=body, state="closed", state_reason="not_planned"))

    def _ready(self, plan: Draft) -> list[str]:
        """The labels of a run, which the repository has now."""
        labels = draft.labels_with((), (*plan.labels, *self._options.labels))
        with self._labelling:
            if any(label.lower() not in self._labels for label in labels):
                self._labels.update(self._client.labels())
            for label in labels:
                if label.lower() not in self._labels:
                    self._client.make_label(label, _COLOURS.get(label, "c5def5"), "a run, backed up by gitlumo")
                    self._labels.add(label.lower())
        return labels

    def _with_its_edit(self, run: Parcel, kept: Issue, edit: layout.Edit | None) -> Parcel:
        """The run with the edit that names its issue: its own, the one that the issue's record has, or a new one."""
        own = whereabouts.backup_in(run, self._client.address)
        if own and own.value.get("number") == kept.number:
            return run
        for recorded in self._recorded(kept, run.identity.uid):
            theirs = whereabouts.backup_in(recorded, self._client.address)
            if theirs and theirs.value.get("number") is None:
                return whereabouts.with_edit(run, theirs)
        return whereabouts.with_edit(run, edit or self._edit(run))

    def _recorded(self, kept: Issue, uid: str) -> Iterator[Parcel]:
        """The run in an issue: as far as its body has it, for somebody may be at the rest of it, and then the whole."""
        with contextlib.suppress(FormatError):
            sound = [part for part in issue.of_run(uid, [kept.body]) if part.is_sound]
            yield decode(uid, sound, force=True)[0]
        with contextlib.suppress(FormatError):
            yield self._read(kept, uid)[0]

    def _settle(self, kept: Issue, plan: Draft, *, is_new: bool) -> bool:
        """Bring an issue up to date; what people wrote stays. Returns whether anything had changed.

        At any moment one whole record is there: the body says which comments belong to it; new ones are there before it
        does, and old ones until it does not any more.
        """
        ours, is_whole = self._held(kept, plan)
        if not is_whole and not is_new:  # somebody may have written in it since it was listed
            kept = self._client.issue(kept.number)
            ours, is_whole = self._held(kept, plan)
        if is_whole:
            texts = [list(issue.parts(each.body)) for each in ours]
            again = [each for n, each in enumerate(ours) if texts[n] in texts[:n]]  # of two machines, or that came late
            for each in again:
                self._client.delete_comment(kept, each)
            return self._edit_issue(kept, self._changes(kept, plan, None)) or bool(again)
        body, rest = plan.texts(kept.body)
        if kept.comments and rest and not ours:
            ours = self._parts(kept, plan.uid)
        there = [list(issue.parts(each.body)) for each in ours]
        for text in rest:
            if list(issue.parts(text)) not in there:
                self._comment(kept, text)
        self._edit_issue(kept, self._changes(kept, plan, body))
        wanted = [list(issue.parts(text)) for text in rest]
        for each, parts in zip(ours, there, strict=True):
            if parts not in wanted:
                self._client.delete_comment(kept, each)
        return True

    def _held(self, kept: Issue, plan: Draft) -> tuple[list[Comment], bool]:
        """The comments that go on with an issue's body, and whether it holds a run as it is to."""
        first = next((part for part in issue.parts(kept.body) if (part.uid, part.number) == (plan.uid, 1)), None)
        if first is None or plan.uid not in issue.uids_of(kept.body):
            return [], False
        ours = self._parts(kept, plan.uid) if kept.comments and first.count > 1 else []
        return ours, first.digest == plan.digest and _is_whole(plan.uid, [kept.body, *(each.body for each in ours)])

    def _parts(self, kept: Issue, uid: str) -> list[Comment]:
        """The comments that hold parts of a run's records."""
        return [each for each in self._client.comments(kept) if issue.part_of(each.body) == uid]

    def _edit_issue(self, kept: Issue, changes: dict[str, Any]) -> bool:
        if changes:
            self._take(self._client.edit(kept, **changes))
        return bool(changes)

    def _changes(self, kept: Issue, plan: Draft, body: str | None) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        if body is not None and body != kept.body:
            changes["body"] = body
            if kept.title.startswith(plan.name) and kept.title != plan.title:
                changes["title"] = plan.title
        labels = draft.labels_with(kept.labels, (*plan.labels, *self._options.labels))
        if {label.lower() for label in labels} != {label.lower() for label in kept.labels}:
            self._ready(plan)
            changes["labels"] = labels
        if plan.is_over and kept.is_open and not self._options.keep_open:
            changes["state"] = "closed"
        return changes

    def _comment(self, kept: Issue, text: str) -> None:
        parts = list(issue.parts(text))
        for attempt in range(ATTEMPTS):
            try:
                return self._client.add_comment(kept, text)
            except (Waited, Unanswered) as error:
                if attempt + 1 == ATTEMPTS:
                    raise
                if isinstance(error, Unanswered):
                    time.sleep(PAUSE * 2**attempt)
                    if any(list(issue.parts(each.body)) == parts for each in self._client.comments(kept)):
                        return None

    def _say(self, run: Parcel, kept: Issue) -> None:
        """Have the run in the ledger say where it is backed up."""
        edit = whereabouts.backup_in(run, self._client.address)
        assert edit is not None
        if edit.value.get("number") == kept.number:
            return
        value = {**edit.value, "number": kept.number}
        subject = layout.event_subject(run.name, run.record.state, {"backup": f"{value['repo']}#{kept.number}"})
        with self._lock:
            self._home.ledger.edit(run.identity.names, replace(edit, value=value), subject)
            with contextlib.suppress(LumoError, OSError):
                self._home.ledger.look_after()


def _is_whole(uid: str, texts: Sequence[str]) -> bool:
    try:
        issue.whole(issue.of_run(uid, texts))
    except FormatError:
        return False
    return True
