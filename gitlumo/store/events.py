"""The ledger's history: who published or edited what, and when. It walks commits, and reads no run."""

from __future__ import annotations

import contextlib
import heapq
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gitlumo.errors import MissingObject
from gitlumo.git.objects import Commit, Objects, read_commit
from gitlumo.store import record

EDIT = "edit"
_STATES = "|".join((record.RUNNING, record.FINISHED, record.FAILED, record.KILLED))
_SUBJECT = re.compile(rf"(.+?)/(.+?) ({_STATES})(?: (.*))?", re.DOTALL)


@dataclass(frozen=True)
class Past:
    """One event of one run.

    Attributes:
        commit: The commit that brought it.
        time: The committer's clock, in seconds since 1970.
        by: ``Name <email>``.
        kind: ``start``, ``checkpoint``, ``end`` or ``edit``.
        uid: The run's uid.
        subject: ``<exp_name>/<test_name> <state> key=value ...``.
    """

    commit: str
    time: int
    by: str
    kind: str
    uid: str
    subject: str

    @property
    def name(self) -> tuple[str, str]:
        """(exp_name, test_name), as the subject says it; empty strings where it does not."""
        return name_of(self.subject)

    @property
    def said(self) -> str:
        """The subject without the run's name."""
        match = _SUBJECT.fullmatch(self.subject)
        return " ".join(part for part in match.groups()[2:] if part) if match else self.subject


def name_of(subject: str) -> tuple[str, str]:
    """(exp_name, test_name), as an event's subject says it; empty strings where it does not."""
    match = _SUBJECT.fullmatch(subject)
    return (match[1], match[2]) if match else ("", "")


def past(objects: Objects, tips: Iterable[str]) -> Iterator[Past]:
    """All events that some tips reach, newest first; in a shallow clone as far as it goes."""
    waiting: list[tuple[int, str, Commit]] = []
    seen: set[str] = set()

    def enter(ids: Iterable[str]) -> None:
        for id in set(ids) - seen:
            seen.add(id)
            with contextlib.suppress(MissingObject):
                commit = read_commit(objects, id)
                heapq.heappush(waiting, (-commit.time, id, commit))

    enter(tips)
    while waiting:
        _, id, commit = heapq.heappop(waiting)
        yield from of_commit(id, commit)
        enter(commit.parents[:1] if commit.trailers("Lumo-Event") else commit.parents)  # an event's others are code


def of_commit(id: str, commit: Commit) -> Iterator[Past]:
    """The events of one commit."""
    kinds = commit.trailers("Lumo-Event")
    by = commit.author.rsplit(" ", 2)[0]
    subjects = commit.message.split("\n\n")[1].split("\n") if len(kinds) > 1 else [commit.subject]
    for kind, uid, subject in zip(kinds, commit.trailers("Lumo-Uid"), subjects, strict=False):
        yield Past(id, commit.time, by, kind, uid, subject)
