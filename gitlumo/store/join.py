"""Joining ledgers without a base (docs/format.md, section 6): pure, over what a tree says.

A ledger is a map from uid to run and a map of foreign paths. Both join element by element with a maximum or a union,
so the join is commutative, associative and idempotent; where a run lies follows from the joined map.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from gitlumo.store import layout


@dataclass(frozen=True)
class Run:
    """What the join knows of one run.

    Attributes:
        identity: Who it is.
        record: Id of its folder's tree without ``edits/``; of a tombstone: the id of ``purged.json``.
        edits: File name to blob id.
        purged: Whether it is a tombstone.
        folder: Id of a tree in which the record lies, perhaps beside edits.
    """

    identity: layout.Identity
    record: str
    edits: Mapping[str, str] = field(default_factory=dict)
    purged: bool = False
    folder: str = field(default="", compare=False)

    @property
    def uid(self) -> str:
        """The run's uid."""
        return self.identity.uid

    @property
    def name(self) -> tuple[str, str]:
        """(exp_name, test_name)."""
        return self.identity.exp_name, self.identity.test_name

    @property
    def rank(self) -> tuple[bool, bool, int, str]:
        """Of two records of one uid the greater wins as a whole."""
        if self.purged:
            return True, True, 0, self.record
        return False, not self.identity.restored, self.identity.seq, self.record


Foreign = dict[str, tuple[str, int]]
"""Path to (object id, mode)."""


@dataclass(frozen=True)
class State:
    """A whole ledger, or the part of one in which it differs from another."""

    runs: Mapping[str, Run]
    foreign: Mapping[str, tuple[str, int]]


def unite(a: Run, b: Run) -> Run:
    """The join of two runs of one uid."""
    winner = max(a, b, key=lambda run: run.rank)
    if winner.purged:
        return replace(winner, edits={})
    edits = dict(a.edits)
    for name, id in b.edits.items():
        edits[name] = max(id, edits.get(name, ""))
    return replace(winner, edits=edits)


def collect(runs: Iterable[Run]) -> dict[str, Run]:
    """Runs by uid, those of one uid united."""
    result: dict[str, Run] = {}
    for run in runs:
        result[run.uid] = unite(result[run.uid], run) if run.uid in result else run
    return result


def join(a: State, b: State) -> State:
    """The join of two ledgers."""
    foreign = dict(a.foreign)
    for path, entry in b.foreign.items():
        foreign[path] = max(entry, foreign.get(path, entry))
    return State(collect([*a.runs.values(), *b.runs.values()]), foreign)


def folders(runs: Iterable[Run]) -> dict[str, str]:
    """Where each run lies: path to uid. It needs all runs of each (exp_name, test_name) among them."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault(run.name, []).append(run)
    result = {}
    for (exp_name, test_name), group in groups.items():
        first = min(group, key=lambda run: (run.identity.start, run.uid))
        for run in group:
            uid = None if run is first else run.uid
            result[layout.run_folder(exp_name, test_name, run.identity.start, uid)] = run.uid
    return result


def standing(foreign: Mapping[str, tuple[str, int]], runs: Iterable[str]) -> Foreign:
    """The foreign paths that stay: a file gives way where another path goes through it, and to a run's folder."""
    taken = set(runs)
    inner = {
        "/".join(parts[:i]) for path in (*taken, *foreign) for parts in [path.split("/")] for i in range(1, len(parts))
    }
    return {
        path: entry
        for path, entry in foreign.items()
        if path not in taken and path not in inner and not any(p in taken for p in _above(path))
    }


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:i]) for i in range(1, len(parts))]
