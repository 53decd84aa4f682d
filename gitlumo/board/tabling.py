"""Which columns a table of runs shows, how wide, and what stands in a cell: the same on the first page and later."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitlumo import values, wording
from gitlumo.store import columns
from gitlumo.store.columns import METRICS, PARAMS, SYSTEM

PAGE = 200  # rows
ROW = 26  # pixels
LOOKED_AT = 200  # rows: in what these differ decides which columns are shown
FIRST = ("name", "state", "start", "took")
LAST = ("tag", "note")
_WIDTHS = {"name": 150, "state": 76, "start": 136, "took": 76, "note": 260, "tag": 130}
_LEAST, _MOST = 64, 220
_LETTER = 7.8  # pixels that a character takes
_LONGEST = 200  # characters of a cell


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        name: Its full name: ``name``, ``params.lr``, ``metrics.acc.last``, or one of the user's own.
        width: In pixels.
        numeric: Whether it stands to the right.
    """

    name: str
    width: int
    numeric: bool

    @property
    def title(self) -> str:
        """What stands above it."""
        return title_of(self.name)


def title_of(name: str) -> str:
    """A column's name without what says of which kind it is."""
    return name.removeprefix(PARAMS).removeprefix(METRICS)


def named(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[Column]:
    """Columns of these names, as wide as some runs want them."""
    return [_column(name, [row.get(name) for row in rows]) for name in names]


def columns_of(rows: Sequence[Mapping[str, Any]], more: Sequence[str] = ()) -> list[Column]:
    """The columns to show of some runs: what they are called, what they reached, in what they differ.

    Args:
        rows: The first runs, as columns (:mod:`gitlumo.store.columns`).
        more: The user's own columns, which are shown in any case.
    """
    seen: dict[str, set[str]] = {}
    for row in rows:
        for name, value in row.items():
            if not is_missing(value) and len(kinds := seen.setdefault(name, set())) < 2:
                kinds.add(f"{type(value).__name__} {value!r}")
    differing = {name for name, kinds in seen.items() if len(kinds) > 1}
    metrics = [name for name in sorted(seen) if name.startswith(METRICS) and not columns.base_of(name)]
    metrics = [name for name in metrics if not name.startswith(METRICS + SYSTEM)]
    params = [name for name in sorted(seen) if name.startswith(PARAMS) and name in differing]
    first = [name for name in FIRST if name in seen]
    last = [name for name in LAST if name in seen]
    return named(rows, list(dict.fromkeys([*first, *more, *metrics, *params, *last])))


def _column(name: str, held: Sequence[Any]) -> Column:
    there = [value for value in held if not is_missing(value)]
    numeric = bool(there) and all(isinstance(value, (int, float)) for value in there) and name not in columns.TIMES
    shown = [len(cell(name, value)) for value in there[:50]]
    wanted = round(_LETTER * max([len(title_of(name)) + 2, *shown])) + 14
    return Column(name, _WIDTHS.get(name, min(_MOST, max(_LEAST, wanted))), numeric or name == "took")


def is_missing(value: Any) -> bool:
    """Whether a row, or a frame, says so that a run has no such value."""
    if type(value) is float:
        return value != value  # a frame says so; it cannot tell what was recorded as NaN
    return value is None or type(value).__name__ in ("NaTType", "NAType")


def cell(name: str, value: Any) -> str:
    """What stands in a cell."""
    if is_missing(value):
        return ""
    if name in columns.TIMES:
        return moment(value)
    if name == "took" and isinstance(value, (int, float)):
        return wording.span(value)
    if isinstance(value, (list, tuple)):
        text = ", ".join(map(str, value))
    elif isinstance(value, dict):
        text = json.dumps(values.encode(value), ensure_ascii=False)
    else:
        text = wording.number(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def moment(value: Any) -> str:
    """A time in the zone of this machine, to the minute."""
    try:
        seconds = value if isinstance(value, (int, float)) else value.timestamp()
        return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError, AttributeError):
        return ""
