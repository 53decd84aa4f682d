"""Runs as pandas data frames. pandas is an extra, and imported here only."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gitlumo.condition import Condition
from gitlumo.errors import UsageError
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

PROPERTIES = {"exp": "exp_name", "name": "test_name", "tag": "tags"}  # what exp.properties calls a field
_FIELDS = {spoken: field for field, spoken in PROPERTIES.items()}
REPO = "repo"
_FEW = 2  # texts that repeat so often on average are categories
_COPIES_LATE = int(pd.__version__.split(".")[0]) >= 3  # a copy is only made when it is written to


class Frames:
    """Data frames of one repository; remembers that of all runs, and adds to it what is new."""

    def __init__(self, repo: str):
        self._repo = repo
        self._whole = pd.DataFrame()
        self._ids = np.empty(0, dtype="int64")
        self._seen = ("", 0)

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
            found = self._whole
            if selection.live:
                found = found[~found["uid"].isin(list(selection.live))]
        else:
            sql, bound = to_sql(where) if where is not None else ("1", [])
            sql = f"({sql}) AND run.uid NOT IN ({', '.join('?' * len(selection.live))})"
            found, _ = self._read(selection, sql, [*bound, *selection.live], wanted)
        if selection.live:
            found = _newest_first(_joined(self._of_live(selection.live_rows(where), wanted), found))
        kept = found if names is None else found[[PROPERTIES.get(name, name) for name in names]]
        return kept.copy(deep=not _COPIES_LATE)

    def _follow(self, selection: Selection) -> None:
        """Bring the frame of all runs to what the index has now."""
        index, names = selection.index, selection.index.names()
        if index.state[0] != self._seen[0]:
            self._whole, self._ids = self._read(selection, "1", [], names)
        elif index.state != self._seen or index.count() != len(self._ids):
            fresh, ids = self._read(selection, "run.id > ?", [self._seen[1]], names, above=self._seen[1])
            whole, kept = self._whole, self._ids
            if index.count() != len(kept) + len(ids):  # runs have changed, and are new now; or are gone
                still = np.isin(kept, np.array(index.ids(), dtype="int64"))
                there = {PROPERTIES.get(name, name) for name in names} | {REPO}
                whole, kept = whole.loc[still, [name for name in whole if name in there]], kept[still]
            self._whole, self._ids = _joined(fresh, whole), np.concatenate([ids, kept])
            order = _order(self._whole)
            if order is not None:
                self._whole, self._ids = self._whole.iloc[order], self._ids[order]
        self._seen = index.state

    def _read(
        self, selection: Selection, where: str, bound: Sequence[Any], names: Iterable[str], above: int = 0
    ) -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
        """The runs of the index for which an SQL expression holds; and their ids, which are ``above`` one."""
        start = "+start" if above else "start"  # for a few new ones SQLite need not walk all in order
        sql = f"SELECT id FROM run WHERE {where} ORDER BY {start} DESC, place DESC"
        ids = np.array([id for (id,) in selection.index.connection.execute(sql, bound)], dtype="int64")
        last = selection.index.state[1]
        at = np.full(last + 1 - above, -1, dtype="int64")
        at[ids - above] = np.arange(len(ids))
        series: dict[str, Any] = {}
        for name in dict.fromkeys([*names, "name", "start"]):
            runs, held = selection.index.held(name, above)
            base = columns.base_of(name)
            best: Any = series.get(base) if base else None
            fills = isinstance(best, np.ndarray) and best.dtype == "float64" and set(map(type, held)) <= {int, float}
            if base and not fills:
                runs, held = selection.index.whole(name, above)
            places = at[np.array(runs, dtype="int64") - above]
            chosen = places >= 0
            if not chosen.all():
                held = list(itertools.compress(held, chosen.tolist()))
            if fills:  # a statistic: where it is not held apart it is the best value
                series[name] = best.copy()
                series[name][places[chosen]] = held
            elif held:
                series[PROPERTIES.get(name, name)] = _series(name, len(ids), places[chosen], held)
        return self._framed(series, len(ids)), ids

    def _of_live(self, rows: list[Row], names: Iterable[str]) -> pd.DataFrame:
        series = {}
        for name in dict.fromkeys([*names, "name", "start"]):
            both = name, columns.base_of(name)
            having = ((i, row.columns) for i, row in enumerate(rows) if any(each in row.columns for each in both))
            found = [(i, columns.to_sql(columns.value(run, name))) for i, run in having]
            places = np.array([i for i, _ in found], dtype="int64")
            series[PROPERTIES.get(name, name)] = _series(name, len(rows), places, [held for _, held in found])
        return self._framed(series, len(rows))

    def _framed(self, series: dict[str, Any], length: int) -> pd.DataFrame:
        repo = pd.Categorical.from_codes(np.zeros(length, dtype="int8"), categories=[self._repo])
        made = pd.DataFrame({**series, REPO: repo}, copy=False)
        return made.set_index(pd.Index(made["test_name"].astype(str), name=None)) if "test_name" in made else made


def _series(name: str, length: int, places: np.ndarray[Any, Any], held: list[Any]) -> Any:
    """A column: values as SQLite holds them, at their places; the rest is missing."""
    kinds = set(map(type, held))
    if name in columns.TIMES and kinds <= {int, float}:
        times = np.full(length, np.datetime64("NaT"), dtype="datetime64[ms]")
        times[places] = np.round(np.array(held, dtype="float64") * 1000).astype("int64").astype("datetime64[ms]")
        return pd.DatetimeIndex(times).tz_localize("UTC")
    if kinds == {int}:
        numbers = np.zeros(length, dtype="int64")
        numbers[places] = held
        absent = np.ones(length, dtype=bool)
        absent[places] = False
        return pd.arrays.IntegerArray(numbers, absent) if absent.any() else numbers
    if kinds and kinds <= {int, float}:
        floats = np.full(length, np.nan)
        floats[places] = held
        return floats
    if kinds == {str}:
        texts = np.array(held, dtype=object)
        codes, different = pd.factorize(texts)
        if len(different) * _FEW <= len(held):
            spread = np.full(length, -1, dtype="int64")
            spread[places] = codes
            return pd.Categorical.from_codes(spread, categories=list(different))
        objects = np.full(length, np.nan, dtype=object)
        objects[places] = texts
        return objects
    decoded = _decoded(held)
    if decoded and all(type(value) is bool for value in decoded):
        flags, absent = np.zeros(length, dtype=bool), np.ones(length, dtype=bool)
        flags[places], absent[places] = decoded, False
        return pd.arrays.BooleanArray(flags, absent) if absent.any() else flags
    if decoded and all(type(value) is float or value is None for value in decoded):  # NaN is among them
        return _series(name, length, places, [np.nan if value is None else value for value in decoded])
    objects = np.full(length, np.nan, dtype=object)
    for place, value in zip(places.tolist(), decoded, strict=True):
        objects[place] = value
    return objects


def _decoded(held: list[Any]) -> list[Any]:
    """Values as SQLite holds them as Python values; what repeats and cannot be changed is decoded once."""
    known = {value: columns.from_sql(value) for value in {value for value in held if type(value) is bytes}}
    fixed = {value: found for value, found in known.items() if not isinstance(found, (list, dict))}
    read = columns.from_sql
    return [value if type(value) is not bytes else fixed[value] if value in fixed else read(value) for value in held]


def _joined(above: pd.DataFrame, below: pd.DataFrame) -> pd.DataFrame:
    """Two frames, one above the other; categories stay categories."""
    if not len(above) or not len(below):
        return below if len(below) else above
    above, below = _with_statistics(above, below), _with_statistics(below, above)
    fitted: dict[str, Any] = {}
    widened: dict[str, Any] = {}
    for name in above.columns.intersection(below.columns):
        kinds = below[name].dtype
        if isinstance(kinds, pd.CategoricalDtype) and above[name].dtype is not kinds:
            texts = pd.Index(above[name].dropna().unique())
            more = texts[kinds.categories.get_indexer(texts) < 0]
            if len(more):
                kinds = pd.CategoricalDtype(kinds.categories.append(more))
                widened[name] = below[name].astype(kinds)
            fitted[name] = above[name].astype(kinds)
    above, below = above.assign(**fitted), below.assign(**widened)  # of one type now, which concat takes as it is
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of columns that are empty in one of them
        return pd.concat([above, below], copy=False) if not _COPIES_LATE else pd.concat([above, below])


def _with_statistics(frame: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """A frame with the statistics of metrics that another one has; where none is held apart, it is the best value."""
    lacking = {name: columns.base_of(name) for name in other.columns.difference(frame.columns)}
    return frame.assign(**{name: frame[base] for name, base in lacking.items() if base in frame})


def _order(frame: pd.DataFrame) -> np.ndarray[Any, Any] | None:
    """In which order the newest come first; None: they do."""
    starts = -frame["start"].to_numpy("datetime64[ms]").astype("int64")
    return None if (starts[1:] >= starts[:-1]).all() else np.argsort(starts, kind="stable")


def _newest_first(frame: pd.DataFrame) -> pd.DataFrame:
    order = _order(frame) if len(frame) else None
    return frame if order is None else frame.iloc[order]


def _unknown(name: str, there: Iterable[str]) -> UsageError:
    import difflib

    near = difflib.get_close_matches(name, [*there, *columns.FIELDS], 3, 0.5)
    hint = f"; there are {', '.join(near)}" if near else ""
    return UsageError(f"no run has a column {name!r}{hint}\nWatcher().load().columns lists all")


def curves(rows: Iterator[Row], keys: set[str] | None) -> pd.DataFrame:
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
