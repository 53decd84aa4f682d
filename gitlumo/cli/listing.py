"""Which runs ``git lumo log`` lists, in which order, and what groups of them have in common: the computing half."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from gitlumo.condition import Compare, Condition, all_of
from gitlumo.store import columns
from gitlumo.store.columns import METRICS, PARAMS
from gitlumo.watcher import Row, Selection


@dataclass(frozen=True)
class Wanted:
    """What is to be listed.

    Attributes:
        where: Of which runs; None: of all.
        number: How many, 0: all.
        everything: Also those that were marked as deprecated.
        sort: The column that orders them; None: the newest first.
        descending: Whether the greatest come first.
    """

    where: Condition | None = None
    number: int = 0
    everything: bool = False
    sort: str | None = None
    descending: bool = False


def chosen(selection: Selection, wanted: Wanted) -> Iterator[Row]:
    """The runs that are wanted; those that lack the column by which they are sorted come last."""
    parts = [] if wanted.where is None else [wanted.where]
    if not wanted.everything:
        parts.append(~Compare("deprecated", "=", True))
    rows = selection.rows(all_of(parts) if parts else None)
    if wanted.sort is not None:
        rows = iter(_sorted(list(rows), selection, wanted.sort, wanted.descending))
    return islice(rows, wanted.number or None)


def _sorted(rows: list[Row], selection: Selection, name: str, descending: bool) -> list[Row]:
    value = selection.column(name)
    found = [(_rank(value(row)), row) for row in rows]
    there = [(rank, row) for rank, row in found if rank is not None]
    there.sort(key=lambda pair: pair[0], reverse=descending)
    return [row for _, row in there] + [row for rank, row in found if rank is None]


def _rank(value: columns.Column) -> tuple[int, Any] | None:
    """What orders values of any types: false, true, numbers, texts, the rest; None: nothing to go by."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return 0, value
    if isinstance(value, (int, float)):
        return 1, value
    return (2, value) if isinstance(value, str) else (3, repr(value))


def columns_in(names: Iterable[str]) -> list[str]:
    """Columns in the order in which people look for them: fields, metrics, parameters."""
    there = set(names)
    fields = [name for name in columns.FIELDS if name in there]
    metrics = sorted(name for name in there if name.startswith(METRICS))
    return [*fields, *metrics, *sorted(name for name in there if name.startswith(PARAMS))]


@dataclass(frozen=True)
class Group:
    """Runs that are alike in some columns.

    Attributes:
        keys: Their values in these columns.
        count: How many they are.
        metrics: Metric to (mean, standard deviation of the sample or None of a single one, how many have it).
    """

    keys: tuple[columns.Column, ...]
    count: int
    metrics: dict[str, tuple[float, float | None, int]]


def grouped(rows: Iterable[Row], selection: Selection, keys: Sequence[str]) -> list[Group]:
    """Groups in the order in which their first runs come."""
    metrics = [name for name in selection.names() if name.startswith(METRICS) and not name.endswith(columns.SUFFIXES)]
    metrics = [name for name in metrics if not name.startswith(METRICS + columns.SYSTEM)]
    key_of = [selection.column(key) for key in keys]
    value_of = {name: selection.column(name) for name in metrics}
    members: dict[str, list[Row]] = {}
    for row in rows:
        members.setdefault(repr([value(row) for value in key_of]), []).append(row)
    groups = []
    for alike in members.values():
        found = {name: _numbers(value(row) for row in alike) for name, value in value_of.items()}
        summary = {
            name: (statistics.fmean(some), statistics.stdev(some) if len(some) > 1 else None, len(some))
            for name, some in found.items()
            if some
        }
        groups.append(Group(tuple(value(alike[0]) for value in key_of), len(alike), summary))
    return groups


def _numbers(values: Iterable[columns.Column]) -> list[float]:
    numbers = (value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool))
    return [float(number) for number in numbers if abs(number) <= sys.float_info.max]  # none that is NaN, or greater
