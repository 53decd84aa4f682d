"""What the parts of one page share: where the runs come from, what is looked at, which runs that are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from gitlumo.board import tabling
from gitlumo.board.app.view import View
from gitlumo.frames import PROPERTIES, REPO
from gitlumo.store import columns

_FIELDS = {spoken: name for name, spoken in PROPERTIES.items()}


def by_uid(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame of :meth:`gitlumo.watcher.Watcher.load` by uid, its columns as :mod:`gitlumo.store.columns` has them.

    A row without a uid gets one that no run has.
    """
    made = frame.rename(columns=_FIELDS)
    made = made.loc[:, ~made.columns.duplicated()]
    if "uid" in made:
        uids = [uid if isinstance(uid, str) else f"row {i}" for i, uid in enumerate(made["uid"].tolist())]
    else:
        uids = [f"row {i}" for i in range(len(made))]
    index = pd.Index(uids, name="run")
    if not index.is_unique:
        index = pd.Index([uid if first else f"{uid} {i}" for i, (uid, first) in enumerate(_firsts(uids))], name="run")
    return made.set_index(index)


def _firsts(uids: Sequence[str]) -> list[tuple[str, bool]]:
    seen: set[str] = set()
    return [(uid, not (uid in seen or seen.add(uid))) for uid in uids]  # type: ignore[func-returns-value]


@dataclass
class Context:
    """What is looked at now.

    Attributes:
        source: Where the runs come from; see :class:`gitlumo.board.live.Source`.
        view: What the page looks at.
        dark: Whether it is dark.
        everything: All runs, by uid; deprecated ones too.
        frame: Those for which the expression holds, without deprecated ones.
        first: The uids of the first of these as the table orders them.
        live: The uids of those that are being recorded.
        served: Whether there is a server that gives files.
    """

    source: Any
    view: View
    dark: bool
    everything: pd.DataFrame
    frame: pd.DataFrame
    first: Sequence[str] = ()
    live: frozenset[str] = frozenset()
    served: bool = True

    @property
    def names(self) -> list[str]:
        """All columns that may be chosen, in the order in which people look for them."""
        there = [str(name) for name in self.everything.columns if name != REPO]
        return sorted(there, key=_place)

    @property
    def own(self) -> list[str]:
        """The columns that are the user's own."""
        ours = (columns.PARAMS, columns.METRICS)
        return [name for name in self.names if name not in columns.FIELDS and not name.startswith(ours)]

    def label(self, uid: str) -> str:
        """What a run is called."""
        try:
            row = self.everything.loc[uid]
        except KeyError:
            return uid[:12]
        name, exp = row.get("name"), row.get("exp")
        return f"{exp}/{name}" if isinstance(name, str) else uid[:12]

    def start(self, uid: str) -> float:
        """When a run started, in seconds since 1970; 0.0 where that is not known."""
        try:
            value = self.everything.at[uid, "start"]
        except KeyError:
            return 0.0
        return 0.0 if tabling.is_missing(value) else float(value.timestamp())


def _place(name: str) -> tuple[int, str]:
    fields = list(columns.FIELDS)
    if name in fields:
        return 0, f"{fields.index(name):03d}"
    if name.startswith(columns.METRICS):
        return (4 if columns.base_of(name) else 2), name
    return (3, name) if name.startswith(columns.PARAMS) else (1, name)
