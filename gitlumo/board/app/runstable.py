"""The table of runs: panel's Tabulator, of which a page at a time is made and sent.

Columns have names of ours (``c0``, ``c1``, ...), because Tabulator takes titles for markup and dots for nesting; the
titles are escaped. Cells are texts, shown by its formatter ``plaintext``, which escapes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import param
from panel.widgets import Tabulator

from gitlumo.board import looks, palette, tabling
from gitlumo.board.tabling import Column

MARK = "mark"


class RunsTable(Tabulator):
    """Runs by their uids, the values as they are; texts are made of the page that is sent."""

    shown = param.List(doc="What its columns show, in order.")
    dark = param.Boolean(False, doc="Whether marks are for a dark page.")

    _processed: Any
    selection: Any
    _sent: tuple[list[str], dict[str, list[str]]] = ([], {})  # what the page shows

    _rename: ClassVar[dict[str, str | None]] = {"shown": None, "dark": None}  # the browser does not know them

    @classmethod
    def of(cls, frame: pd.DataFrame, columns: Sequence[Column], dark: bool, **more: Any) -> RunsTable:
        """A table.

        Args:
            frame: The runs, by uid, columns as :mod:`gitlumo.store.columns` calls them.
            columns: What is shown of them.
            dark: Whether marks are for a dark page.
            more: What Tabulator takes.
        """
        columns = list(columns)
        return cls(
            _plain(frame, columns),
            shown=columns,
            dark=dark,
            pagination="remote",
            page_size=tabling.PAGE,
            sizing_mode="stretch_width",
            margin=0,
            selectable="checkbox",
            show_index=False,
            movable_columns=True,
            disabled=True,
            theme="simple",
            layout="fit_data",
            stylesheets=[looks.sheet("table.css")],
            configuration={
                "height": "100%",
                "rowHeight": tabling.ROW,
                "placeholder": "",
                "columnDefaults": {"minWidth": 18, "tooltip": False, "headerWordWrap": False},
            },
            **_looks(columns),
            **more,
        )

    def renew(self, frame: pd.DataFrame) -> None:
        """Show other runs, or the same as they are now: then only cells that differ are sent."""
        fresh = _plain(frame, self.shown)
        picked = self.picked
        if not self._patched(fresh):
            self.value = fresh
        self.pick(picked)

    def _patched(self, fresh: pd.DataFrame) -> bool:
        """Send the cells that differ, if the page shows the same runs in the same order."""
        if len(fresh) != len(self.value) or not fresh.index.equals(self.value.index):
            return False
        before = self._sent
        with param.parameterized.discard_events(self):
            self.value = fresh
        self._processed = self._ordered()
        after = self._sent = self._page_texts(self._processed)
        if before[0] != after[0]:
            self._update_cds()
            return True
        patch = {
            name: [(i, new) for i, (old, new) in enumerate(zip(before[1][name], texts, strict=True)) if old != new]
            for name, texts in after[1].items()
        }
        patch = {name: cells for name, cells in patch.items() if cells}
        if patch:
            for model, _ in list(self._models.values()):
                model.source.patch(patch)
        return True

    def first(self, most: int) -> list[str]:
        """The uids of the first runs of the page."""
        start = (self.page - 1) * tabling.PAGE
        return [str(uid) for uid in self._ordered().index[start : start + most]]

    @property
    def picked(self) -> list[str]:
        """The uids of the runs that are ticked."""
        return [str(self.value.index[i]) for i in self.selection if i < len(self.value)]

    def pick(self, uids: Sequence[str]) -> None:
        """Tick runs, and no others."""
        places = self.value.index.get_indexer(list(uids))
        found = [int(at) for at in places if at >= 0]
        if found != self.selection:
            self.selection = found

    # What panel asks

    def _process_data(self, data: Any) -> None:
        """What the browser makes of the cells, such as empty columns of its own, is no matter of ours."""

    def _get_data(self) -> tuple[pd.DataFrame, dict[str, Any]]:
        if self.value is None:
            return pd.DataFrame(), {}
        ordered = self._ordered()
        uids, texts = self._sent = self._page_texts(ordered)
        return ordered, {self.value.index.name: np.array(uids, dtype=object), **texts}

    def _ordered(self) -> pd.DataFrame:
        frame = self.value
        for sorter in reversed(self.sorters):
            if sorter["field"] in frame:
                frame = frame.iloc[_order(frame[sorter["field"]], sorter["dir"] == "desc")]
        return frame

    def _page_texts(self, ordered: pd.DataFrame) -> tuple[list[str], dict[str, list[str]]]:
        start = (self.page - 1) * tabling.PAGE
        part = ordered.iloc[start : start + tabling.PAGE]
        marks = palette.DARK if self.dark else palette.LIGHT
        texts = {MARK: [marks[palette.colour(uid)] for uid in part.index]}
        for i, column in enumerate(self.shown):
            texts[f"c{i}"] = [tabling.cell(column.name, value) for value in part[f"c{i}"].tolist()]
        return list(part.index), texts


def _plain(frame: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """The columns under names of ours."""
    found: dict[str, Any] = {MARK: np.zeros(len(frame), dtype="int8")}
    for i, column in enumerate(columns):
        found[f"c{i}"] = _values(frame, column.name)
    made = pd.DataFrame(found, index=frame.index, copy=False)
    made.index.name = "run"
    return made


def _values(frame: pd.DataFrame, name: str) -> Any:
    """A column; times as seconds, which Tabulator has a sorter for."""
    if name not in frame:
        return np.full(len(frame), None, dtype=object)
    series = frame[name]
    if series.dtype.kind != "M":
        return series
    there = series.notna().to_numpy()
    return np.where(there, series.dt.as_unit("ms").astype("int64").to_numpy() / 1000, np.nan)


def _looks(columns: Sequence[Column]) -> dict[str, Any]:
    names = [f"c{i}" for i in range(len(columns))]
    sides = {name: "right" if column.numeric else "left" for name, column in zip(names, columns, strict=True)}
    return {
        "titles": {MARK: ""} | {name: escape(column.title) for name, column in zip(names, columns, strict=True)},
        "widths": {MARK: 18} | {name: column.width for name, column in zip(names, columns, strict=True)},
        "text_align": sides,
        "header_align": sides,
        "formatters": {MARK: {"type": "color"}} | {name: {"type": "plaintext"} for name in names},
        "sortable": {MARK: False},
    }


def _order(series: pd.Series[Any], descending: bool) -> np.ndarray[Any, Any]:
    """Places of values in order; what is missing, or of another kind than most, comes last."""
    if series.dtype == object or isinstance(series.dtype, pd.CategoricalDtype):
        held = series.tolist()
        there = [i for i, value in enumerate(held) if not tabling.is_missing(value)]
        there.sort(key=lambda i: _rank(held[i]), reverse=descending)
        known = set(there)
        return np.array([*there, *(i for i in range(len(held)) if i not in known)], dtype="int64")
    places: np.ndarray[Any, Any] = (
        series.reset_index(drop=True).sort_values(ascending=not descending, kind="stable").index.to_numpy()
    )
    return places


def _rank(value: Any) -> tuple[int, Any]:
    if isinstance(value, (bool, int, float)):
        return 0, value
    return (1, value.lower()) if isinstance(value, str) else (2, repr(value))
