"""Runs as columns that grow, from which data frames are made; it needs pandas, so only :mod:`gitlumo.frames` uses it.

New runs are put before the others, into room that was left there: a hundred thousand runs are not copied for the sake
of one. What was shown before stays as it is, because nothing that a frame has shown is written over.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gitlumo.store import columns

Array = np.ndarray[Any, Any]
NUMBER, INTEGER, TRUTH, TIME, FEW, TEXT, ANY = "number", "integer", "truth", "time", "few", "text", "any"
ROOM = 256  # rows
_OFTEN = 2  # texts that repeat so often on average are categories
_TYPES = {NUMBER: "float64", INTEGER: "int64", TRUTH: "bool", TIME: "datetime64[ms]", FEW: "int32"}
_NOTHING: dict[str, Any] = {INTEGER: 0, TRUTH: False, TIME: np.datetime64("NaT"), FEW: -1}  # else NaN
_JOINED = {frozenset({INTEGER, NUMBER}): NUMBER, frozenset({FEW, TEXT}): TEXT}
_NOWHERE = np.empty(0, dtype="int64")
_MASKED = {INTEGER: pd.arrays.IntegerArray, TRUTH: pd.arrays.BooleanArray}


class Column:
    """One column.

    Attributes:
        kind: ``number``, ``integer``, ``truth``, ``time``, ``text``, ``few`` (texts that repeat) or ``any``.
    """

    def __init__(self, kind: str, length: int, room: int = ROOM, texts: Iterable[str] = ()):
        """A column of nothing.

        Args:
            kind: What it can hold.
            length: How many rows.
            room: For how many rows before them.
            texts: The texts that the values of ``few`` number.
        """
        self.kind = kind
        self._room = room
        self._parts = [np.full(room + length, _NOTHING.get(kind, math.nan), dtype=_TYPES.get(kind, "object"))]
        if kind in _MASKED:
            self._parts.append(np.ones(room + length, dtype=bool))  # where there is nothing
        self._numbers = {text: number for number, text in enumerate(texts)}
        self._categories: pd.CategoricalDtype | None = None

    @classmethod
    def of(cls, name: str, length: int, places: Array, held: Sequence[columns.Held]) -> Column:
        """A column as the index holds it.

        Args:
            name: Its name.
            length: How many rows there are.
            places: Which of them have a value.
            held: These values.
        """
        kind, values, texts = _sorted_out(name, held)
        column = cls(kind, length, texts=texts)
        column.write(places, values)
        return column

    @property
    def values(self) -> Array:
        """A value, or nothing, for each row."""
        return self._parts[0][self._room :]

    def write(self, places: Array, values: Sequence[Any] | Array) -> None:
        """Give some rows values of the column's kind; only before anybody has seen it."""
        if self.kind == ANY:
            for place, value in zip(places.tolist(), values, strict=True):  # numpy would take lists apart
                self.values[place] = value
        else:
            self.values[places] = values
        for absent in self._parts[1:]:
            absent[self._room :][places] = False

    def taken(self, rows: Array | slice, room: int = ROOM) -> Column:
        """Some rows, by their numbers or a mask, as a column of its own."""
        parts = [part[self._room :][rows] for part in self._parts]
        column = Column(self.kind, len(parts[0]), room, self._numbers)
        for mine, part in zip(column._parts, parts, strict=True):
            mine[room:] = part
        return column

    def put_before(self, new: Column) -> None:
        """Put the rows of another one before these; there must be room."""
        parts = new._parts
        if self.kind == FEW and new.kind in (FEW, TEXT):
            parts = [self._numbered(new._plain())]
        elif self.kind != new.kind:
            kind = _JOINED.get(frozenset({self.kind, new.kind}), ANY)
            self._parts, parts, self.kind = self._as(kind), new._as(kind), kind
        begin, self._room = self._room, self._room - len(new.values)
        for mine, part in zip(self._parts, parts, strict=True):
            mine[self._room : begin] = part[new._room :]

    def _as(self, kind: str) -> list[Array]:
        """Its parts as of another kind, which can hold them."""
        plain = self._plain()
        return [plain.astype("float64") if kind == NUMBER else plain]

    def _plain(self) -> Array:
        """Its values as objects, NaN where there is nothing."""
        if self.kind == FEW:
            return np.array([*self._numbers, math.nan], dtype=object).take(self._parts[0])
        values: Array = self._parts[0].astype(object)
        for absent in self._parts[1:]:
            values[absent] = math.nan
        return values

    def _numbered(self, texts: Array) -> Array:
        numbers, before = self._numbers, len(self._numbers)
        found = [numbers.setdefault(text, len(numbers)) if type(text) is str else -1 for text in texts]
        if len(numbers) > before:
            self._categories = None
        return np.array(found, dtype="int32")

    def shown(self) -> Any:
        """As a data frame takes it."""
        if self.kind == TIME:
            return pd.DatetimeIndex(self.values).tz_localize("UTC")
        if self.kind == FEW:
            if self._categories is None:
                self._categories = pd.CategoricalDtype(list(self._numbers))
            return pd.Categorical.from_codes(self.values, dtype=self._categories)
        absent = [part[self._room :] for part in self._parts[1:]]
        return _MASKED[self.kind](self.values, absent[0]) if absent and absent[0].any() else self.values


def _sorted_out(name: str, held: Sequence[Any]) -> tuple[str, Sequence[Any] | Array, Iterable[str]]:
    """The kind of a column that can hold some values, these values as it holds them, and its texts."""
    kinds = set(map(type, held))
    if name in columns.TIMES and kinds <= {int, float}:
        return TIME, np.round(np.array(held, dtype="float64") * 1000).astype("int64").astype("datetime64[ms]"), ()
    if kinds == {int}:
        return INTEGER, held, ()
    if kinds and kinds <= {int, float}:
        return NUMBER, held, ()
    if kinds == {str}:
        different = dict.fromkeys(held)
        if len(different) * _OFTEN > len(held):
            return TEXT, held, ()
        numbers = {text: number for number, text in enumerate(different)}
        return FEW, list(map(numbers.__getitem__, held)), numbers
    decoded = _decoded(held)
    if decoded and all(type(value) is bool for value in decoded):
        return TRUTH, decoded, ()
    if decoded and all(type(value) is float or value is None for value in decoded):  # NaN is among them
        return NUMBER, [math.nan if value is None else value for value in decoded], ()
    return ANY, decoded, ()


def _decoded(held: Sequence[Any]) -> list[Any]:
    """Values as SQLite holds them as Python values; what repeats is decoded once, and a list is each run's own."""
    known = {value: columns.from_sql(value) for value in {value for value in held if type(value) is bytes}}
    if not any(isinstance(found, (list, dict)) for found in known.values()):
        return [known[value] if type(value) is bytes else value for value in held]
    flat = {value for value, found in known.items() if type(found) is list and not _holds_others(found)}
    return [_own(value, known[value], value in flat) if type(value) is bytes else value for value in held]


def _own(held: bytes, found: Any, is_flat: bool) -> Any:
    if is_flat:
        return list(found)
    return columns.from_sql(held) if isinstance(found, (list, dict)) else found


def _holds_others(items: list[Any]) -> bool:
    return any(isinstance(item, (list, dict)) for item in items)


class Table:
    """Runs as columns.

    Attributes:
        ids: The runs' numbers in the index, in the order of the rows.
        columns: By name, as the index calls them.
    """

    def __init__(self, ids: Array, found: dict[str, Column], room: int = ROOM):
        """Make it of columns that have as many rows, and as much room."""
        self.ids = ids
        self.columns = found
        self._room = room
        self._frames: list[pd.DataFrame] = []  # all that show these arrays, so that pandas copies before it writes

    def __len__(self) -> int:
        return len(self.ids)

    def taken(self, rows: Array | slice, names: Iterable[str] | None = None, room: int = ROOM) -> Table:
        """Some rows, by their numbers or a mask, as a table of its own; and of the columns some, or all with None."""
        wanted = self.columns if names is None else [name for name in names if name in self.columns]
        return Table(self.ids[rows], {name: self.columns[name].taken(rows, room) for name in wanted}, room)

    def with_before(self, new: Table) -> Table:
        """The table with the rows of another one before its own: this one itself, if it has room for them.

        A statistic that one of them has not apart is the best value there.
        """
        if len(new) > self._room:
            return self.taken(slice(None), room=len(new) + ROOM).with_before(new)
        for name in new.columns.keys() - self.columns.keys():
            best = self.columns.get(columns.base_of(name) or "") or Column(new.columns[name].kind, len(self))
            self.columns[name] = best.taken(slice(None), self._room)
        for name, column in self.columns.items():
            more = new.columns.get(name) or new.columns.get(columns.base_of(name) or "")
            column.put_before(more or Column(column.kind, len(new)))
        self.ids = np.concatenate([new.ids, self.ids])
        self._room -= len(new)
        return self

    def frame(self, names: Mapping[str, str], **texts: str) -> pd.DataFrame:
        """A data frame of some columns, by test_name, to be copied, not to be written to.

        Args:
            names: Which ones, and how the frame calls them; of what no run has it shows nothing.
            texts: Other columns, which say the same of all runs.
        """
        there = {name: self.columns.get(name) or Column.of(name, len(self), _NOWHERE, ()) for name in {*names, "name"}}
        shown = {spoken: there[name].shown() for name, spoken in names.items()}
        for name, text in texts.items():
            shown[name] = pd.Categorical.from_codes(np.zeros(len(self), dtype="int8"), categories=[text])
        index = pd.Index(there["name"].values, dtype="str", name="test_name")
        self._frames.append(pd.DataFrame(shown, index=index, copy=False))
        return self._frames[-1]
