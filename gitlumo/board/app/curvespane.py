"""The curves of some runs, a figure a metric, all zoomed together."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import panel as pn
from bokeh.io import curdoc

from gitlumo.board import palette, tabling
from gitlumo.board.app.context import Context
from gitlumo.board.app.parts import FactSheet, Settings, empty
from gitlumo.board.app.plot import Array, Plot, Series
from gitlumo.board.app.view import RELATIVE, STEP, TIME
from gitlumo.board.histories import Curve, Curves
from gitlumo.errors import LumoError
from gitlumo.store.columns import PARAMS, SYSTEM

FIRST_RUNS = 8  # that are drawn where none is ticked
MOST_RUNS = 40  # that are drawn at all, and of a mean
MOST_GROUPED = 200
MOST_FIGURES = 12
_GRID = 1000  # places at which means are taken of curves that have more
_ZOOM_WAIT = 150  # milliseconds
_SIDE_BY_SIDE = ":host { display: flex !important; flex-flow: row wrap !important; gap: 4px; padding: 0 8px; }"


@dataclass(frozen=True)
class Drawn:
    """What becomes one line in each figure: a run, or a group of runs."""

    key: str
    label: str
    colour: int
    uids: tuple[str, ...]


class CurvesPane:
    """The settings, who is who, and the figures.

    Attributes:
        pane: All of it.
    """

    def __init__(self, context: Context):
        self._context = context
        self._form, self._legend = Settings(), FactSheet()
        self._grid = pn.Column(sizing_mode="stretch_width", margin=0, stylesheets=[_SIDE_BY_SIDE])
        self.pane = pn.Column(self._form, self._legend, self._grid, sizing_mode="stretch_width", margin=0)
        self._plots: dict[str, Plot] = {}
        self._drawn: dict[str, Drawn] = {}
        self._live: frozenset[str] = frozenset()
        self._made_for: Any = None
        self._zooming: Any = None
        self._form.on_choice(self._set)

    # What is set

    def _set(self, chosen: dict[str, Any]) -> None:
        given = {key: value for key, value in chosen.items() if key in _SET}
        if "smooth" in given:
            given["smooth"] = min(0.99, max(0.0, float(given["smooth"] or 0)))
        self._context.view.param.update(**given)

    def _show_settings(self, keys: Sequence[str]) -> None:
        view = self._context.view
        names = [(name, tabling.title_of(name)) for name in self._context.names if name.startswith(PARAMS)]
        has_system = any(key.startswith(SYSTEM) for key in keys)
        self._form.fields = [
            {"id": "metrics", "label": "metrics", "kind": "text", "hint": "all, or: loss, *acc*"},
            {"id": "x", "label": "x", "kind": "choice", "options": [[name, name] for name in (STEP, TIME, RELATIVE)]},
            {"id": "smooth", "label": "smooth", "kind": "slider", "least": 0, "most": 0.99, "step": 0.01},
            {"id": "logx", "label": "log x", "kind": "tick"},
            {"id": "logy", "label": "log y", "kind": "tick"},
            *([{"id": "system", "label": "system", "kind": "tick"}] if has_system else []),
            {"id": "over", "label": "mean ± std by", "kind": "many", "options": names},
        ]
        self._form.values = {name: getattr(view, name) for name in _SET}

    # What is shown

    def show(self) -> None:
        """Draw what the view says; only what differs from what is there is sent."""
        view, self._live = self._context.view, self._context.live
        drawn, curves = self._chosen(), {}
        for each in drawn:
            for uid in each.uids:
                try:
                    curves[uid] = self._context.source.curves(uid)
                except LumoError:  # it has gone while we looked
                    curves[uid] = {}
        every = sorted({key for each in curves.values() for key in each})
        keys = self._matching(every)
        self._show_settings(every)
        self._show_legend(drawn, every, keys)
        made_for = (view.x, view.logx, view.logy, bool(view.smooth), bool(view.over), self._context.dark)
        if made_for != self._made_for:
            self._plots, self._made_for = {}, made_for
        self._drawn = {each.key: each for each in drawn}
        before = dict(self._plots)
        self._plots = {key: before.get(key) or self._plot(key, before) for key in keys[:MOST_FIGURES]}
        for key, plot in self._plots.items():
            self._fill(key, plot, drawn, curves)
        if before != self._plots:
            self._grid.objects = [pn.pane.Bokeh(plot.figure) for plot in self._plots.values()]

    def _chosen(self) -> list[Drawn]:
        context, view = self._context, self._context.view
        picked = [uid for uid in view.picked if uid in context.everything.index]
        if view.over:
            uids = (picked or list(context.frame.index))[:MOST_GROUPED]
            return _groups(context, uids, view.over)[:MOST_RUNS]
        uids = picked[:MOST_RUNS] or list(context.first)[:FIRST_RUNS]
        return [Drawn(uid, context.label(uid), palette.colour(uid), (uid,)) for uid in uids]

    def _matching(self, keys: Sequence[str]) -> list[str]:
        view = self._context.view
        patterns = [part.strip() for part in view.metrics.split(",") if part.strip()]
        if patterns:
            return [key for pattern in patterns for key in keys if fnmatch.fnmatchcase(key, pattern)]
        return [key for key in keys if view.system or not key.startswith(SYSTEM)]

    def _show_legend(self, drawn: Sequence[Drawn], every: Sequence[str], keys: Sequence[str]) -> None:
        view = self._context.view
        if not drawn:
            self._legend.blocks = []
            return
        if not every:
            self._legend.blocks = empty("these runs have no curves")
            return
        blocks: list[dict[str, Any]] = [
            {
                "kind": "chips",
                "items": [
                    {"text": each.label, "dot": each.colour} | ({} if view.over else {"act": "run", "arg": each.key})
                    for each in drawn
                ],
            }
        ]
        notes = []
        if not (view.picked or view.over):
            notes.append(f"the first {len(drawn)} runs; tick others in the table")
        if not keys:
            notes.append(f"no metric is like that; there are {', '.join(every[:20])}")
        if len(keys) > MOST_FIGURES:
            notes.append(
                f"{MOST_FIGURES} of {len(keys)} metrics; name others above: {', '.join(keys[MOST_FIGURES:][:8])}"
            )
        if notes:
            blocks.append({"kind": "text", "text": "; ".join(notes), "look": "quiet"})
        self._legend.blocks = blocks

    def asked(self, act: Any) -> None:
        """Have a function called with what is clicked here."""
        self._legend.param.watch(lambda event: act(event.new), "asked")

    def _plot(self, key: str, others: dict[str, Plot]) -> Plot:
        view = self._context.view
        known = next(iter({**others, **self._plots}.values()), None)
        shared = known.figure.x_range if known is not None else None
        made = Plot(key, shared, self._context.dark, view.x, logx=view.logx, logy=view.logy)
        if shared is None:
            for end in ("start", "end"):
                made.figure.x_range.on_change(end, self._zoom)
            self._plots = {key: made}  # whose range the next ones share
        return made

    def _fill(self, key: str, plot: Plot, drawn: Sequence[Drawn], curves: dict[str, Curves]) -> None:
        view = self._context.view
        wanted = {each.key: each for each in drawn if any(key in curves[uid] for uid in each.uids)}
        for name in [name for name in plot.lines if name not in wanted]:
            plot.lines.pop(name)
        for name, each in wanted.items():
            parts = [(uid, curves[uid][key]) for uid in each.uids if key in curves[uid]]
            series = self._mean(parts) if view.over else self._series(*parts[0])
            colours = palette.DARK if self._context.dark else palette.LIGHT
            plot.put(name, each.label, colours[each.colour], series, view.smooth)
        plot.show()

    def _series(self, uid: str, curve: Curve) -> Series:
        step, time, value = curve.arrays()
        return Series(self._x(uid, step, time), value)

    def _x(self, uid: str, step: Array, time: Array) -> Array:
        x = self._context.view.x
        if x == STEP:
            return step
        return time if x == RELATIVE else (self._context.start(uid) + time) * 1000

    def _mean(self, parts: Sequence[tuple[str, Curve]]) -> Series:
        """The mean of some curves, and a standard deviation around it."""
        every = []
        for uid, curve in parts:
            series = self._series(uid, curve)
            good = np.isfinite(series.y) & np.isfinite(series.x)
            order = np.argsort(series.x[good], kind="stable")
            every.append((series.x[good][order], series.y[good][order]))
        every = [pair for pair in every if len(pair[0])]
        if not every:
            return Series(*(np.empty(0),) * 4)
        grid = np.unique(np.concatenate([x for x, _ in every]))
        if len(grid) > _GRID:
            grid = np.linspace(grid[0], grid[-1], _GRID)
        rows = np.array([np.interp(grid, x, y, left=np.nan, right=np.nan) for x, y in every])
        there = np.isfinite(rows).sum(axis=0)
        total = np.nansum(rows, axis=0)
        mean = np.divide(total, there, out=np.full(len(grid), np.nan), where=there > 0)
        square = np.nansum((rows - mean) ** 2, axis=0)
        spread = np.sqrt(np.divide(square, there - 1, out=np.zeros(len(grid)), where=there > 1))
        return Series(grid, mean, mean - spread, mean + spread)

    # What moves

    def grow(self) -> None:
        """Add to the curves what has come; no more than that is sent."""
        view, live, before = self._context.view, self._context.live, self._live
        self._live = live
        drawn = {each.key: each for each in self._chosen()}
        moved = live | before  # what has ended has its last points now
        if drawn != self._drawn or (view.over and any(uid in moved for each in drawn.values() for uid in each.uids)):
            self.show()
            return
        if view.over:
            return
        for uid in self._drawn:
            if uid not in moved:
                continue
            try:
                curves = self._context.source.curves(uid)
            except LumoError:
                continue
            if any(key not in self._plots or uid not in self._plots[key].lines for key in self._matching(list(curves))):
                self.show()  # a metric that was not there before
                return
            for key, plot in self._plots.items():
                if uid in plot.lines and key in curves:
                    plot.grow(uid, self._series(uid, curves[key]), view.smooth)

    def _zoom(self, attribute: str, old: Any, new: Any) -> None:
        """Of long curves send more of what is seen, when the range comes to rest."""
        doc = curdoc()
        if self._zooming is not None or doc.session_context is None:
            return
        self._zooming = doc.add_timeout_callback(self._zoomed, _ZOOM_WAIT)

    def _zoomed(self) -> None:
        self._zooming = None
        for plot in self._plots.values():
            low, high = plot.figure.x_range.start, plot.figure.x_range.end
            if isinstance(low, (int, float)) and isinstance(high, (int, float)):
                plot.zoom(low, high, self._context.view.smooth)


_SET = ("metrics", "x", "smooth", "logx", "logy", "system", "over")


def _groups(context: Context, uids: Sequence[str], keys: Sequence[str]) -> list[Drawn]:
    """Runs that are alike in some columns, in the order in which their first ones come."""
    members: dict[str, list[str]] = {}
    there = [key for key in keys if key in context.everything]
    for uid in uids:
        row = context.everything.loc[uid]
        label = ", ".join(f"{tabling.title_of(key)}={tabling.cell(key, row[key])}" for key in there)
        members.setdefault(label, []).append(uid)
    return [
        Drawn(label, f"{label} (n={len(some)})", palette.colour(label), tuple(some)) for label, some in members.items()
    ]
