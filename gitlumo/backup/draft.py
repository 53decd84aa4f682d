"""What a run is as an issue, before anything is sent: title, page and record; also what ``--dry-run`` writes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gitlumo.backup import fitting, issue, masking, page, whereabouts
from gitlumo.backup.address import Address
from gitlumo.backup.parcel import Parcel
from gitlumo.errors import LumoError
from gitlumo.store.record import RUNNING

LABEL = "lumo"
STATES = ("running", "finished", "failed", "killed")
_MAX_LABEL = 50  # characters: GitHub's limit


@dataclass(frozen=True)
class Draft:
    """A run as it is to stand in an issue.

    Attributes:
        uid: The run.
        name: ``<exp_name> / <test_name>``, with which its title begins.
        title: The issue's title.
        page: What people read.
        record: The record, compressed.
        digest: Of the record.
        labels: Ours.
        is_over: Whether the run has ended.
        masked: Where something was masked.
        lost: What the record lacks.
    """

    uid: str
    name: str
    title: str
    page: str
    record: bytes
    digest: str
    labels: tuple[str, ...]
    is_over: bool
    masked: tuple[str, ...]
    lost: Mapping[str, Any]

    def texts(self, former: str | None = None) -> tuple[str, list[str]]:
        """The body, and the comments that go on with it.

        Args:
            former: The body that there is, in which people may have written.

        Raises:
            LumoError: If they have written so much that there is no room for ours.
        """
        room = issue.room_in(issue.body(self.uid, self.page, "", former))
        if room < 0:
            raise LumoError(
                f"what people have written into the issue of {self.name} leaves no room for the run; move"
                f" {-room} bytes of it into a comment"
            )
        parts = issue.split(self.uid, self.digest, self.record, room)
        rest = [issue.comment(self.uid, part) for part in parts[1:]]
        return issue.body(self.uid, self.page, parts[0], former), rest


def of(run: Parcel, place: Address, code: Address | None) -> Draft:
    """The draft of a run.

    Args:
        run: The run.
        place: Where the issue is to be.
        code: The repository on GitHub that has the code.

    Raises:
        LumoError: If the run is too large for an issue.
    """
    hidden, masked = masking.masked(whereabouts.unnumbered(run, place))
    fitted, lost = fitting.fit(hidden, masked)
    record = fitting.to_bytes(fitted.files, lost)
    state = run.record.state
    return Draft(
        run.identity.uid,
        page.name(hidden),
        page.title(hidden),
        page.text(fitted, masked, lost, f"{code.web}/commit/" if code else None),
        fitting.compress(record),
        issue.digest_of(record),
        (LABEL, f"{LABEL}:{run.identity.exp_name}"[:_MAX_LABEL], state),
        state != RUNNING,
        tuple(masked),
        lost,
    )


def labels_with(there: Iterable[str], ours: Iterable[str]) -> list[str]:
    """The labels that an issue is to have: those of people, and ours as they are now; they differ not by case alone."""
    wanted = {label.lower(): label for label in ours}
    kept = [label for label in there if label.lower() not in (*STATES, *wanted)]
    return [*kept, *wanted.values()]


def write(folder: str, draft: Draft) -> list[str]:
    """Write what would be sent into files; returns their paths."""
    os.makedirs(folder, exist_ok=True)
    body, comments = draft.texts()
    paths = []
    for number, text in enumerate([f"# {draft.title}\n\n{body}", *comments], 1):
        ending = "" if number == 1 else f".{number}"
        path = os.path.join(folder, f"{draft.name.replace(' / ', '-')}{ending}.md")
        with open(path, "w", encoding="utf-8", errors="replace", newline="\n") as out:
            out.write(text)
        paths.append(path)
    return paths
