"""Which of the runs that were asked for are to run again: each family once, and none that has been redone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gitlumo.condition import Missing, Not
from gitlumo.watcher import Row, Selection

_DONE = ("finished", "running")


@dataclass(frozen=True)
class Outstanding:
    """What is left to do.

    Attributes:
        runs: What is to run again, the oldest first.
        redone: How many of those that were asked for have a rerun that finished or goes on.
    """

    runs: list[Row]
    redone: int


def outstanding(asked: Iterable[Row], selection: Selection) -> Outstanding:
    """What of some runs is to run again.

    A run that has a rerun, or a rerun of one, which has finished or goes on, is redone. Where a run and a rerun of it
    are asked for, only the run itself is to run again.

    Args:
        asked: The runs.
        selection: All runs.
    """
    rows = list(asked)
    reruns = list(selection.rows(Not(Missing("rerun.from"))))
    parents = {_text(row, "uid"): _text(row, "rerun.from") for row in reruns}
    settled = _ancestors((_text(row, "uid") for row in reruns if row.columns.get("state") in _DONE), parents)
    uids = {_text(row, "uid") for row in rows}
    left = [row for row in rows if _text(row, "uid") not in settled]
    own = [row for row in left if not uids & _ancestors([_text(row, "uid")], parents)]
    return Outstanding(sorted(own, key=lambda row: row.start), len(rows) - len(left))


def _ancestors(uids: Iterable[str], parents: Mapping[str, str]) -> set[str]:
    """All that some runs repeat, without these themselves (but for a ring, which only a stranger can have made)."""
    found: set[str] = set()
    for uid in uids:
        while (parent := parents.get(uid, "")) and parent not in found:
            found.add(parent)
            uid = parent
    return found


def newest_reruns(uids: Sequence[str], selection: Selection) -> dict[str, Row]:
    """The newest rerun of each of some runs, where it has one."""
    wanted = set(uids)
    found: dict[str, Row] = {}
    for row in selection.rows(Not(Missing("rerun.from"))):  # the newest first
        parent = _text(row, "rerun.from")
        if parent in wanted:
            found.setdefault(parent, row)
    return found


def _text(row: Row, column: str) -> str:
    return str(row.columns.get(column) or "")
