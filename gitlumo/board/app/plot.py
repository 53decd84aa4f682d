"""One figure of curves: a line a run, or a line and a band a group of runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, DataRange1d, GlyphRenderer, HoverTool, Range, Scatter, VArea
from bokeh.models import Line as LineGlyph

from gitlumo.board import looks
from gitlumo.board.app.figures import new_figure
from gitlumo.board.app.view import TIME
from gitlumo.board.thinning import kept

MOST = 1000  # points of a curve that are sent: twice the pixels that it has
_FULL = 3 * MOST  # after which a growing one is thinned again
_DASHES = ("solid", "dashed", "dotted", "dotdash")  # of runs of one colour in one figure
Array = np.ndarray[Any, Any]


@dataclass
class Series:
    """What a line shows: equally many x and y, and below and above it, where it is a mean."""

    x: Array
    y: Array
    low: Array | None = None
    high: Array | None = None


@dataclass
class Line:
    """A line of a figure."""

    source: ColumnDataSource
    series: Series
    raw: ColumnDataSource | None = None
    last: float | None = None  # of the smoothed values, to go on from
    within: tuple[float, float] | None = None  # what is seen of it, if only that was sent
    renderers: list[Any] = field(default_factory=list)
    colour: str = ""
    dash: str = ""


def smoothed(y: Array, weight: float, last: float | None = None) -> tuple[Array, float | None]:
    """An exponential moving average; what is not finite stays, and does not count.

    Returns:
        The values, and the average at the end, with which the next ones go on.
    """
    made = y.copy()
    for i, value in enumerate(y.tolist()):
        if value - value == 0:
            last = value if last is None else last * weight + value * (1 - weight)
            made[i] = last
    return made, last


def clean(values: Array) -> Array:
    """Infinities as gaps, which is how bokeh draws NaN."""
    return np.where(np.isfinite(values), values, np.nan)


class Plot:
    """The figure of one metric.

    Attributes:
        figure: bokeh's.
        lines: By the uid of a run, or by the label of a group.
    """

    def __init__(self, title: str, x_range: Range | None, dark: bool, x: str, *, logx: bool, logy: bool):
        self._title = looks.plain(title)
        self.figure = new_figure(
            dark,
            title=self._title,
            height=230,
            min_width=260,
            styles={"flex": "1 1 340px", "max-width": "640px"},
            tools="xpan,xbox_zoom,box_zoom,xwheel_zoom,reset,save",
            active_drag="xbox_zoom",
            x_axis_type="datetime" if x == TIME else "log" if logx else "linear",
            y_axis_type="log" if logy else "linear",
            x_range=x_range if x_range is not None else DataRange1d(range_padding=0.02),
        )
        shown = "$snap_x{%F %T}" if x == TIME else "$snap_x{0.[00]}"
        self._hover = HoverTool(
            tooltips=[("", "$name"), (x, shown), ("value", "$snap_y{0.[000000]}")],
            renderers=[],
            formatters={"$snap_x": "datetime"} if x == TIME else {},
            mode="mouse",
            line_policy="nearest",
        )
        self.figure.add_tools(self._hover)
        self.lines: dict[str, Line] = {}

    def put(self, key: str, label: str, colour: str, series: Series, smooth: float) -> None:
        """Have a line, or another one in its place; a new one is seen after :meth:`show`."""
        if key in self.lines:
            line = self.lines[key]
        else:
            line = self.lines[key] = self._line(key, label, colour, series, smooth)
        line.series = series
        self._fill(line, smooth)

    def show(self) -> None:
        """Draw the lines that there are now, all at once: each change of a figure that is seen takes the browser 50 ms.

        Where there is nothing to see the title says so.
        """
        drawn = [each for line in self.lines.values() for each in line.renderers]
        if drawn != self.figure.renderers:
            self.figure.renderers = drawn
            self._hover.renderers = [each for each in drawn if each.name is not None]
        seen = any(np.isfinite(line.series.y).any() for line in self.lines.values())
        self.figure.title.text = self._title if seen else f"{self._title}: no finite value"

    def _line(self, key: str, label: str, colour: str, series: Series, smooth: float) -> Line:
        line = Line(ColumnDataSource({"x": [], "y": []}), series)
        taken = [each.dash for each in self.lines.values() if each.colour == colour]
        line.colour, line.dash = colour, min(_DASHES, key=taken.count)
        if series.low is not None:
            line.source = ColumnDataSource({"x": [], "y": [], "low": [], "high": []})
            band = VArea(x="x", y1="low", y2="high", fill_color=colour, fill_alpha=0.16)
            line.renderers.append(GlyphRenderer(data_source=line.source, glyph=band))
        elif smooth:
            line.raw = ColumnDataSource({"x": [], "y": []})
            faint = LineGlyph(x="x", y="y", line_color=colour, line_alpha=0.25, line_width=1)
            line.renderers.append(GlyphRenderer(data_source=line.raw, glyph=faint))
        glyph = LineGlyph(x="x", y="y", line_color=colour, line_width=1.6, line_dash=line.dash)
        line.renderers.append(GlyphRenderer(data_source=line.source, glyph=glyph, name=looks.plain(label)))
        if len(series.x) == 1:
            dot = Scatter(x="x", y="y", line_color=colour, fill_color=colour, size=6)
            line.renderers.append(GlyphRenderer(data_source=line.source, glyph=dot))
        return line

    def _fill(self, line: Line, smooth: float, within: tuple[float, float] | None = None) -> None:
        series = line.series
        y = series.y
        line.last, line.within = None, within
        if line.raw is not None:
            y, line.last = smoothed(series.y, smooth)
            line.raw.data = _data(Series(series.x, series.y), within)
        line.source.data = _data(Series(series.x, y, series.low, series.high), within)

    def zoom(self, low: float, high: float, smooth: float) -> None:
        """Send more points of what is seen, where there are more."""
        for line in self.lines.values():
            x = line.series.x
            if len(x) <= MOST:
                continue
            within = None if low <= np.nanmin(x) and np.nanmax(x) <= high else (low, high)
            if within != line.within:
                self._fill(line, smooth, within)

    def grow(self, key: str, series: Series, smooth: float) -> None:
        """Add what is new to a line.

        Args:
            key: Which.
            series: All that there is now; it begins with what was there before.
            smooth: See :func:`smoothed`.
        """
        line = self.lines[key]
        there = len(line.series.x)
        line.series = series
        x, y = series.x[there:], series.y[there:]
        if not len(x):
            return
        self.show()
        if len(line.source.data["x"]) + len(x) > _FULL:
            self._fill(line, smooth)
            return
        if line.raw is not None:
            line.raw.stream({"x": x, "y": clean(y)})
            y, line.last = smoothed(y, smooth, line.last)
        line.source.stream({"x": x, "y": clean(y)})


def _data(series: Series, within: tuple[float, float] | None) -> dict[str, Array]:
    """The points to send: at most :data:`MOST` of what is seen, and one on each side of it."""
    columns = {"x": series.x, "y": series.y}
    if series.low is not None and series.high is not None:
        columns |= {"low": series.low, "high": series.high}
    if within is not None:
        seen = np.flatnonzero((series.x >= within[0]) & (series.x <= within[1]))
        if len(seen):
            part = slice(max(0, seen[0] - 1), seen[-1] + 2)
            columns = {name: values[part] for name, values in columns.items()}
    if len(columns["y"]) > MOST:
        places = np.array(kept(columns["y"].tolist(), MOST))
        columns = {name: values[places] for name, values in columns.items()}
    return {name: values if name == "x" else clean(values) for name, values in columns.items()}
