"""Runs as pandas data frames. pandas is an extra, and imported here only."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gitlumo.condition import Condition
from gitlumo.errors import UsageError
from gitlumo.naming import resolve
from gitlumo.store import columns
from gitlumo.where import to_sql

if TYPE_CHECKING:
    from gitlumo.watcher import Row, Selection

try:
    import numpy as np
    import pandas as pd
except ImportError as error:
    raise UsageError(
        f"data frames need pandas, which is not installed ({error})\n"
        "type: pip install 'gitlumo[pandas]'; Watcher().rows() needs none"
    ) from None

from gitlumo.table import NUMBER, Column, Table

PROPERTIES = {"exp": "exp_name", "name": "test_name", "tag": "tags"}  # what exp.properties calls a field
_FIELDS = {spoken: field for field, spoken in PROPERTIES.items()}
REPO = "repo"
_ORDERED = ("name", "start")  # what each table has
_COPIES_LATE = int(pd.__version__.split(".")[0]) >= 3  # a copy is only made when it is written to


class Frames:
    """Data frames of one repository; remembers the table of all runs, and puts into it what is new."""

    def __init__(self, repo: str):
        self._repo = repo
        self._seen = ("", 0, "")
        self._whole = Table(np.empty(0, dtype="int64"), {})
        self._shown: pd.DataFrame | None = None

    def load(self, selection: Selection, where: Condition | None, names: list[str] | None) -> pd.DataFrame:
        """See :meth:`gitlumo.watcher.Watcher.load`."""
        there = selection.names()
        wanted = there if names is None else [_FIELDS.get(name, name) for name in names]
        known = {*there, *columns.FIELDS, REPO}
        unknown = [name for name in wanted if name not in known and columns.base_of(name) not in known]
        if unknown:
            raise _unknown(unknown[0], there)
        if where is None and names is None:
            self._follow(selection)
            if not selection.live:
                if self._shown is None:
                    self._shown = self._framed(self._whole, None)
                return self._shown.copy(deep=not _COPIES_LATE)
            table = self._whole.taken(np.isin(self._whole.ids, self._live_ids(selection), invert=True), there)
        else:
            sql, bound = to_sql(where) if where is not None else ("1", [])
            sql = f"({sql}) AND run.uid NOT IN ({', '.join('?' * len(selection.live))})"
            table = _read(selection, sql, [*bound, *selection.live], wanted)
        rows = selection.live_rows(where) if selection.live else []
        if rows:
            table = _newest_first(table.with_before(_of_live(rows, wanted)))
        return self._framed(table, None if names is None else wanted).copy(deep=not _COPIES_LATE)

    def _follow(self, selection: Selection) -> None:
        """Bring the table of all runs to what the index has now."""
        index, seen = selection.index, self._seen
        if index.state == seen:
            return
        names = index.names()
        if index.state[0] != seen[0]:
            self._whole = _read(selection, "1", [], names)
        else:
            new = _read(selection, "run.id > ?", [seen[1]], names, above=seen[1])
            if index.count() != len(self._whole) + len(new):  # runs have changed, and are new now; or are gone
                self._whole = self._whole.taken(np.isin(self._whole.ids, np.array(index.ids(), dtype="int64")), names)
            self._whole = _newest_first(self._whole.with_before(new))
        self._shown, self._seen = None, index.state

    def _live_ids(self, selection: Selection) -> list[int]:
        sql = f"SELECT id FROM run WHERE uid IN ({', '.join('?' * len(selection.live))})"
        return [id for (id,) in selection.index.rows(sql, list(selection.live))]

    def _framed(self, table: Table, names: list[str] | None) -> pd.DataFrame:
        """A data frame of some columns; None: of those that one of its runs has."""
        wanted = sorted(table.columns) if names is None else [name for name in names if name != REPO]
        made = table.frame({name: PROPERTIES.get(name, name) for name in wanted}, **{REPO: self._repo})
        return made if names is None else made[[PROPERTIES.get(name, name) for name in names]]


def _read(selection: Selection, where: str, bound: Sequence[Any], names: Iterable[str], above: int = 0) -> Table:
    """The runs of the index for which an SQL expression holds, and whose ids are ``above`` one."""
    start = "+start" if above else "start"  # for a few new ones SQLite need not walk all in order
    sql = f"SELECT id AS found FROM run WHERE {where} ORDER BY {start} DESC, place DESC"
    index = selection.index
    ids = np.array(index.integers(sql, bound), dtype="int64")
    at = np.full(index.state[1] + 1 - above, -1, dtype="int64")
    at[ids - above] = np.arange(len(ids))
    every = index.ids(above)
    everywhere = at[np.array(every, dtype="int64") - above]
    found: dict[str, Column] = {}
    for name in dict.fromkeys([*names, *_ORDERED]):
        runs, held = index.held(name, above)
        base = columns.base_of(name)
        best = found.get(base) if base else None
        fills = best and best.kind == NUMBER and set(map(type, held)) <= {int, float}
        if base and not fills:
            runs, held = index.whole(name, above)
        places = everywhere if runs is every else at[np.array(runs, dtype="int64") - above]
        chosen = places >= 0
        if not chosen.all():
            places, held = places[chosen], list(itertools.compress(held, chosen.tolist()))
        if best and fills:  # a statistic: where it is not held apart it is the best value
            found[name] = best.taken(slice(None))
            found[name].write(places, held)
        elif held:
            found[name] = Column.of(name, len(ids), places, held)
    return Table(ids, found)


def _of_live(rows: list[Row], names: Iterable[str]) -> Table:
    found = {}
    for name in dict.fromkeys([*names, *_ORDERED]):
        both = name, columns.base_of(name)
        having = ((i, row.columns) for i, row in enumerate(rows) if any(each in row.columns for each in both))
        values = [(i, columns.to_sql(columns.value(run, name))) for i, run in having]
        places = np.array([i for i, _ in values], dtype="int64")
        if values:
            found[name] = Column.of(name, len(rows), places, [held for _, held in values])
    return Table(np.full(len(rows), -1, dtype="int64"), found)


def _newest_first(table: Table) -> Table:
    if "start" not in table.columns:
        return table
    ages = ~table.columns["start"].values.astype("int64")  # the later the less; what has no start is last, as in SQL
    return table if (ages[1:] >= ages[:-1]).all() else table.taken(np.argsort(ages, kind="stable"))


def _unknown(name: str, there: list[str]) -> UsageError:
    try:
        hint = f"; did you mean {resolve(name, there)!r}?"
    except UsageError:
        near = difflib.get_close_matches(name, dict.fromkeys([*there, *columns.FIELDS]), 3, 0.5)
        hint = f"; there are {', '.join(near)}" if near else ""
    return UsageError(f"no run has a column {name!r}{hint}\nWatcher().load().columns lists all")


def curves(rows: Iterator[Row], keys: list[str] | None) -> pd.DataFrame:
    """See :meth:`gitlumo.watcher.Watcher.history`."""
    found: dict[str, list[Any]] = {key: [] for key in ("exp_name", "test_name", "metric", "step", "time", "value")}
    for row in rows:
        for line in row.found.record.history():
            for metric, value in line.items():
                if metric in ("step", "time") or (keys is not None and metric not in keys):
                    continue
                point = (row.found.exp_name, row.found.name, metric, line["step"], line["time"], value)
                for column, item in zip(found.values(), point, strict=True):
                    column.append(item)
    return pd.DataFrame(found)
