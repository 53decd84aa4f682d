"""Which run repeats which: for ``git lumo show``, and drawn for ``git lumo log --graph``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gitlumo.cli.opening import Opened
from gitlumo.errors import IndexDamaged, LumoError
from gitlumo.store.index import FILE, Index
from gitlumo.store.query import Found

_REPEATS = "id IN (SELECT run FROM fact WHERE key = (SELECT id FROM name WHERE name = 'rerun.from') AND value = ?)"


def lines(opened: Opened, found: Found) -> list[str]:
    """The run that a run repeats, and those that repeat it, by their names where these are known.

    Args:
        opened: The repository.
        found: The run.
    """
    try:
        return _lines(opened, found)
    except IndexDamaged:
        return _lines(opened, found)


def _lines(opened: Opened, found: Found) -> list[str]:
    rerun = found.record.edited["rerun"]
    parent, told, verified = (rerun.get(key) for key in ("from", "rerun_at", "verified"))
    again = [uid for uid in told if isinstance(uid, str)] if isinstance(told, list) else []
    with _index(opened, make=bool(parent or again or verified)) as index:
        if index is not None:
            known = [run.uid for run in index.runs(_REPEATS, [found.record.uid]) if run.uid]
            again = list(dict.fromkeys([*known, *again]))
        above = [f"rerun of  {_name(index, parent)}"] if isinstance(parent, str) else []
        below = [f"rerun as  {_name(index, uid)}" for uid in again]
        verdicts = verified.items() if isinstance(verified, dict) else ()
        return [*above, *below, *(f"verified  with {_name(index, uid)}: {_verdict(found)}" for uid, found in verdicts)]


def _verdict(found: object) -> str:
    return "the same" if isinstance(found, dict) and found.get("same") is True else "not the same"


@contextlib.contextmanager
def _index(opened: Opened, *, make: bool) -> Iterator[Index | None]:
    """The index; None where there is none, unless ``make``, or where it cannot be read."""
    branch, index = opened.branch, None
    if make or os.path.exists(os.path.join(branch.lumo_dir, FILE)):
        with contextlib.suppress(LumoError, OSError):
            from gitlumo.store.indexing import open_index

            index = open_index(branch, branch.view(), opened.cache_root)
    try:
        yield index
    finally:
        if index is not None:
            index.close()


def _name(index: Index | None, uid: str) -> str:
    there = list(index.runs("uid = ?", [uid])) if index is not None else []
    return there[0].label if there else uid


class Repeat(NamedTuple):
    """A run in a graph.

    Attributes:
        uid: Its own; empty where it cannot be read.
        parent: That of the run that it repeats; empty: of none.
    """

    uid: str
    parent: str


def graph(runs: Sequence[Repeat]) -> list[tuple[int, str]]:
    """Runs in the order in which a graph shows them: each below the one that it repeats, else as they come.

    Args:
        runs: In the order wanted; families are ordered by their first member.

    Returns:
        For each line the place of a run in ``runs``, and what stands before its name: ``* ``, ``| * ``, ...
    """
    place = {run.uid: i for i, run in enumerate(runs) if run.uid}
    parents = [place.get(run.parent) for run in runs]
    children: dict[int, list[int]] = {}
    for i, parent in enumerate(parents):
        if parent is not None:
            children.setdefault(parent, []).append(i)
    drawn: list[tuple[int, str]] = []
    seen: set[int] = set()
    for i in range(len(runs)):
        if i in seen:
            continue
        waiting = [(_root(i, parents), 0)]
        while waiting:
            at, depth = waiting.pop()
            if at not in seen:
                seen.add(at)
                drawn.append((at, f"{'| ' * depth}* "))
                waiting += [(child, depth + 1) for child in reversed(children.get(at, []))]
    return drawn


def _root(at: int, parents: Sequence[int | None]) -> int:
    """Where the way up ends; in a ring, which only a stranger can have made, where it came from."""
    above, way = at, {at}
    while (parent := parents[above]) is not None:
        if parent in way:
            return at
        way.add(parent)
        above = parent
    return above
