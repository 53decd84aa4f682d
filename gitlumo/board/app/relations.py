"""Runs as points and as lines through their columns: a scatter of any two, and parallel coordinates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from bokeh.events import Tap
from bokeh.models import ColumnDataSource, FixedTicker, HoverTool

from gitlumo.board import looks, palette, tabling
from gitlumo.board.app.context import Context
from gitlumo.board.app.figures import new_figure
from gitlumo.store import columns

MOST = 5000  # runs that are drawn
_TICKS = 6
_APART = 0.04  # of an axis: two marks
_FIELDS = ("took", "start")


def choices(context: Context) -> list[str]:
    """The columns that can be an axis."""
    wanted, ours = [*_FIELDS, *context.own], (columns.PARAMS, columns.METRICS)
    return sorted((name for name in context.names if name.startswith(ours) or name in wanted), key=_place)


def _place(name: str) -> int:
    """Parameters first, then metrics, at last their statistics."""
    return 0 if name.startswith(columns.PARAMS) else 3 if columns.base_of(name) else 1


def placed(name: str, held: Sequence[Any]) -> tuple[np.ndarray[Any, Any], list[str] | None]:
    """Values as places on an axis; texts stand at 0, 1, 2, ..., in order, and are returned too."""
    there = [value for value in held if not tabling.is_missing(value)]
    if name in columns.TIMES:
        return np.array([np.nan if tabling.is_missing(v) else v.timestamp() * 1000 for v in held]), None
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in there):
        return np.array([np.nan if tabling.is_missing(v) else _float(v) for v in held]), None
    texts = [None if tabling.is_missing(value) else tabling.cell(name, value) for value in held]
    levels = sorted({text for text in texts if text is not None})
    place = {text: float(i) for i, text in enumerate(levels)}
    return np.array([np.nan if text is None else place[text] for text in texts]), levels


def _float(value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        return np.nan
    return number if np.isfinite(number) else np.nan


def scatter(context: Context, sx: str, sy: str, open_run: Callable[[str], None]) -> Any:
    """A point a run, by two columns; a click on one opens it."""
    frame = context.frame.head(MOST)
    (x, xs), (y, ys) = (placed(name, frame[name].tolist()) for name in (sx, sy))
    source = ColumnDataSource({"x": x, "y": y, **_marks(context, frame)})
    fig = new_figure(context.dark, tools="pan,box_zoom,wheel_zoom,reset,save", height=460)
    for axis, grid, name, levels in ((fig.xaxis, fig.xgrid, sx, xs), (fig.yaxis, fig.ygrid, sy, ys)):
        axis.axis_label = looks.plain(tabling.title_of(name))
        if levels is not None:
            axis.ticker = FixedTicker(ticks=list(range(len(levels))))
            axis.major_label_overrides = {i: looks.plain(_short(text)) for i, text in enumerate(levels)}
            grid.grid_line_color = None
    marks = fig.scatter("x", "y", source=source, color="colour", size=7, alpha="alpha", line_color=None)
    fig.add_tools(HoverTool(tooltips=[("", "@label"), ("x", "@x{0.[0000]}"), ("y", "@y{0.[0000]}")], renderers=[marks]))

    def tapped(event: Any) -> None:
        uid = _nearest(fig, x, y, frame.index, event)
        if uid:
            open_run(uid)

    fig.on_event(Tap, tapped)
    return fig


def _nearest(fig: Any, x: Any, y: Any, uids: Any, event: Any) -> str | None:
    wide, high = (abs((r.end or 0) - (r.start or 0)) or 1 for r in (fig.x_range, fig.y_range))
    if event.x is None or event.y is None or not len(uids):
        return None
    away = ((x - event.x) / wide) ** 2 + ((y - event.y) / high) ** 2
    if np.all(np.isnan(away)):
        return None
    at = int(np.nanargmin(away))
    return str(uids[at]) if away[at] < 0.02**2 else None


def parallel(context: Context) -> Any:
    """A line a run, through its places on some axes; ticked runs stand out."""
    frame = context.frame.head(MOST)
    axes = [name for name in context.view.axes if name in frame] or default_axes(context)
    rows, ticks = [], []
    for name in axes:
        values, levels = placed(name, frame[name].tolist())
        low, high = (np.nanmin(values), np.nanmax(values)) if np.isfinite(values).any() else (0.0, 1.0)
        span = high - low or 1.0
        rows.append((values - low) / span if high > low else np.where(np.isfinite(values), 0.5, np.nan))
        ticks.append(_ticks(name, values, float(low), float(high), levels))
    fig = new_figure(context.dark, tools="save", height=460, x_range=(-0.3, len(axes) - 0.5), y_range=(-0.08, 1.12))
    fig.xgrid.grid_line_color = fig.ygrid.grid_line_color = None
    fig.xaxis.visible = fig.yaxis.visible = False
    shades = looks.shades(context.dark)
    table = np.array(rows).T if rows else np.empty((len(frame), 0))
    xs = [list(range(len(axes)))] * len(frame)
    source = ColumnDataSource({"xs": xs, "ys": table.tolist(), **_marks(context, frame)})
    lines = fig.multi_line("xs", "ys", source=source, color="colour", alpha="alpha", line_width=1.3)
    fig.add_tools(HoverTool(tooltips=[("", "@label")], renderers=[lines], line_policy="interp"))
    for i, (name, marks) in enumerate(zip(axes, ticks, strict=True)):
        fig.segment([i], [0], [i], [1], color=shades["quiet"], line_width=1)
        title = looks.plain(_short(tabling.title_of(name)))
        align = "left" if i == 0 else "center"  # the first one would be cut off in a narrow window
        fig.text([i], [1.05], [title], text_color=shades["text"], text_align=align, text_font_size="12px")
        places, texts = [place for place, _ in marks], [looks.plain(_short(text)) for _, text in marks]
        fig.text(
            [i] * len(marks), places, texts, x_offset=5, text_color=shades["quiet"], text_font_size="10px",
            text_baseline="middle", background_fill_color=shades["paper"], background_fill_alpha=0.7,
        )  # fmt: skip
    return fig


def default_axes(context: Context) -> list[str]:
    """Parameters that differ, then the first metrics."""
    frame, names = context.frame, choices(context)
    params = [name for name in names if name.startswith(columns.PARAMS) and name in frame]
    held = {name: {tabling.cell(name, value) for value in frame[name].head(200).tolist()} - {""} for name in params}
    differing = [name for name in params if len(held[name]) > 1]
    metrics = [name for name in names if name.startswith(columns.METRICS) and not columns.base_of(name)]
    return [*differing[:6], *[name for name in metrics if name in frame][:2]]


def _ticks(
    name: str, values: np.ndarray[Any, Any], low: float, high: float, levels: list[str] | None
) -> list[tuple[float, str]]:
    """Where marks stand on an axis, from 0 to 1: at its values where they are few and far from each other."""
    if levels is not None:
        step = max(1, len(levels) // _TICKS)
        most = max(1, len(levels) - 1)
        return [(i / most if len(levels) > 1 else 0.5, text) for i, text in enumerate(levels)][::step]
    if low == high:
        return [(0.5, _number(name, low))]
    few = np.unique(values[np.isfinite(values)])
    if len(few) <= _TICKS + 1 and np.diff(few).min() > _APART * (high - low):
        return [(float(value - low) / (high - low), _number(name, float(value))) for value in few]
    return [(i / _TICKS, _number(name, low + (high - low) * i / _TICKS)) for i in range(_TICKS + 1)]


def _number(name: str, value: float) -> str:
    return tabling.moment(value / 1000) if name in columns.TIMES else tabling.cell(name, value)


def _marks(context: Context, frame: pd.DataFrame) -> dict[str, list[Any]]:
    colours = palette.DARK if context.dark else palette.LIGHT
    picked = set(context.view.picked)
    strong, weak = (1.0, 0.25) if picked else (0.75, 0.75)
    if len(frame) > 200 and not picked:
        strong = weak = 0.35 if len(frame) <= 1000 else 0.15
    return {
        "label": [looks.plain(context.label(uid)) for uid in frame.index],
        "colour": [colours[palette.colour(uid)] for uid in frame.index],
        "alpha": [strong if uid in picked else weak for uid in frame.index],
    }


def _short(text: str) -> str:
    return text if len(text) <= 18 else text[:17] + "…"
