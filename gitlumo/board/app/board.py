"""The board of one page: its parts, and what each does to the others."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pandas as pd
import panel as pn
from bokeh.document import Document

from gitlumo import wording
from gitlumo.board import tabling
from gitlumo.board.app import edits, relations, runpage, sheets
from gitlumo.board.app.context import Context, by_uid
from gitlumo.board.app.curvespane import CurvesPane
from gitlumo.board.app.parts import Block, FactSheet, FilterBox, Settings, TopBar, empty, failed
from gitlumo.board.app.runstable import RunsTable
from gitlumo.board.app.view import View
from gitlumo.errors import LumoError

Widget = Callable[[pd.DataFrame], Any]
RUNS, PARALLEL, SCATTER, GROUPS, COMPARE, BIN = "runs", "parallel", "scatter", "groups", "compare", "bin"
TABS = (
    (RUNS, "Runs"),
    (PARALLEL, "Parallel"),
    (SCATTER, "Scatter"),
    (GROUPS, "Groups"),
    (COMPARE, "Compare"),
    (BIN, "Bin"),
)
_AROUND = 76  # pixels of the table above and below its rows
_EDITS = frozenset({"note", "tag", "untag", "deprecate", "restore", "undo"})


class Board:
    """What one page shows.

    Attributes:
        view: What it looks at.
        layout: All of it, for panel.
    """

    def __init__(
        self,
        source: Any,
        *,
        query: str = "",
        dark: bool = False,
        doc: Document | None = None,
        title: str = "",
        widgets: Sequence[Widget] = (),
    ):
        """Make it.

        Args:
            source: Where the runs come from: :class:`gitlumo.board.live.Source`, or what is like it.
            query: What the address says; see :class:`gitlumo.board.app.view.View`.
            dark: Whether the page is dark.
            doc: Its document, where it is served and has a page of its own; None: in a notebook.
            title: What the repository is called.
            widgets: Functions from the frame that is looked at to what panel can show.
        """
        self.source = source
        self._doc, self._waiting, self._stale, self._fresh = doc, False, False, False
        self._begun, self._curves_wait = False, False
        served = doc is not None
        self._widgets = {f"own {i}": widget for i, widget in enumerate(widgets)}
        tabs = [*TABS, *((id, _name_of(widget)) for id, widget in self._widgets.items())]
        self._tabs = frozenset(id for id, _ in tabs)
        self.view = View()
        self._read(query)
        self._bar = TopBar(title=title, tabs=[list(tab) for tab in tabs], tab=self.view.tab, dark=dark, served=served)
        self._filter = FilterBox(text=self.view.q)
        self._raw = pd.DataFrame()
        nothing = by_uid(self._raw)
        self.context = Context(source, self.view, dark, nothing, nothing, served=served)
        self._file = ""
        self._done: Block | None = None
        self._state: Any = None
        self._selected: set[str] | None = None  # by the last expression that meant something; None: all
        self._columns: list[tabling.Column] = []
        self._look()
        self._table = self._new_table()
        self._curves = CurvesPane(self.context)
        self._chooser, self._nothing = Settings(), FactSheet()
        self._sheet, self._form = FactSheet(), Settings()
        self._picture = pn.Column(sizing_mode="stretch_width", margin=0)
        wide = {"sizing_mode": "stretch_width", "margin": 0}
        self._holder = pn.Column(self._table, styles=_room(len(self.context.frame)), **wide)
        self._runs = pn.Column(self._chooser, self._nothing, self._holder, self._curves.pane, **wide)
        self._others = pn.Column(self._form, self._picture, self._sheet, sizing_mode="stretch_width", margin=0)
        self.layout = pn.Column(
            self._bar, self._filter, self._runs, self._others, sizing_mode="stretch_width", margin=0
        )
        self._watch()
        self._draw()

    # The runs

    def _look(self) -> None:
        """Take what the source has now, and what of it the expression means."""
        state, context, self._stale = self.source.state, self.context, False
        if state is not self._state:
            self._state, self._raw = state, state.frame
            context.everything, context.live = by_uid(state.frame), state.live
            self._filter.names = _names(context.names)
        wanted, said = context.everything, ""
        try:
            self._selected = self.source.select(self.view.q) if self.view.q.strip() else None
        except LumoError as error:
            said = str(error)
        self._filter.error = said
        if self._selected is not None:
            wanted = wanted[wanted.index.isin(self._selected)]
        if "deprecated" in wanted and "deprecated" not in self.view.q:
            wanted = wanted[~wanted["deprecated"].fillna(False).to_numpy(dtype=bool)]
        context.frame = wanted
        shown, there = len(wanted), len(context.everything)
        self._filter.count = (
            f"{shown} of {wording.count(there, 'run')}" if shown != there else wording.count(there, "run")
        )
        self._bar.param.update(running=len(context.live), sync=self.source.sync(), trouble=state.trouble)

    def _shown_columns(self) -> list[tabling.Column]:
        """The table's columns; while they are the same ones they stay as wide as they are."""
        rows, chosen = self.context.frame.head(tabling.LOOKED_AT).to_dict("records"), self.view.columns
        wanted = tabling.named(rows, chosen) if chosen else tabling.columns_of(rows, self.context.own)
        if [column.name for column in wanted] != [column.name for column in self._columns]:
            self._columns = wanted
        return self._columns

    def _new_table(self) -> RunsTable:
        columns = self._shown_columns()
        table = RunsTable.of(self.context.frame, columns, self.context.dark)
        table.sorters = _sorters(self.view.sort, columns)
        table.pick(self.view.picked)
        table.on_click(self._clicked)
        table.param.watch(self._ticked, "selection")
        table.param.watch(self._sorted, "sorters")
        return table

    # What happens

    def _watch(self) -> None:
        view, bar = self.view, self._bar
        self._filter.param.watch(lambda event: view.param.update(q=event.new), "text")
        bar.param.watch(lambda event: view.param.update(tab=event.new["tab"], run=""), "wanted")
        bar.param.watch(lambda event: self._read(str(event.new.get("query", ""))), "went")
        bar.param.watch(lambda event: self._pressed(event.new["what"]), "key")
        bar.param.watch(lambda event: self._shade(event.new), "dark")
        self._sheet.param.watch(lambda event: self._asked(event.new), "asked")
        self._curves.asked(self._asked)
        self._form.on_choice(self._chose)
        self._chooser.on_choice(self._chose)
        view.param.watch(self._changed, [name for name in view.param if name != "name"])

    def _changed(self, *events: Any) -> None:
        """The view has changed: by a click, a key, or the browser's history."""
        names = {event.name for event in events}
        self._fresh = self._fresh or bool(names & {"tab", "run"})
        if "run" in names:
            self._file, self._done = "", None
        if "q" in names:
            if self._filter.text != self.view.q:
                self._filter.text = self.view.q
            self._stale = True
        self._later()

    def _later(self) -> None:
        """Draw in a moment, once for all that changes now: bokeh's models change only while the document is locked."""
        doc = self._doc
        if doc is None:
            self._say_where()
            self._draw()
        elif not self._waiting:
            self._waiting = True
            doc.add_next_tick_callback(self._say_where)
            doc.add_next_tick_callback(self._draw_now)

    def _say_where(self) -> None:
        """Say what is looked at, before it is there."""
        with self._in_order():
            self._bar.param.update(tab=self.view.tab, place={"query": self.view.query(), "fresh": self._fresh})
        self._fresh = False

    def _read(self, query: str) -> None:
        """Look at what an address says."""
        self.view.read(query, self._tabs)

    def _pressed(self, what: str) -> None:
        if what == "Escape" and self.view.run:
            self.view.run = ""
        elif what == "c":
            self.view.param.update(tab=COMPARE, run="")

    def _shade(self, dark: bool) -> None:
        self.context.dark = dark
        self._table.dark = dark
        self._later()

    def _open(self, uid: str) -> None:
        self.view.run = uid

    def _clicked(self, event: Any) -> None:
        if event.column == "c0":
            self._open(str(self._table.value.index[event.row]))

    def _ticked(self, event: Any) -> None:
        here = set(self._table.value.index)
        elsewhere = [uid for uid in self.view.picked if uid not in here]  # which the expression leaves out now
        self.view.picked = [*elsewhere, *self._table.picked]

    def _sorted(self, event: Any) -> None:
        names = [(self._columns[int(s["field"][1:])].name, s["dir"]) for s in event.new if s["field"][1:].isdigit()]
        self.view.sort = [f"-{name}" if way == "desc" else name for name, way in names]

    def _chose(self, values: dict[str, Any]) -> None:
        fit = {key: value for key, value in values.items() if key in ("columns", "group", "axes", "sx", "sy")}
        self.view.param.update(**fit)

    def _asked(self, asked: dict[str, Any]) -> None:
        """Something on a sheet was clicked."""
        act, arg = asked.get("act"), asked.get("arg")
        if act == "run":
            self.view.run = str(arg)
        elif act == "back":
            self.view.run = ""
        elif act == "file":
            self._file = "" if self._file == arg else str(arg)
            self._later()
        elif act == "tick" and isinstance(arg, list):
            self.view.param.update(picked=[str(uid) for uid in arg], tab=RUNS)
        elif act in _EDITS:
            uid = self.view.run or str(arg)
            self._done = edits.edit(self.source, uid, str(act), arg)
            self.source.poll()
            self._stale = True
            self._later()

    # What is drawn

    def begin(self) -> None:
        """Draw what waits until the page stands: the curves, and what has changed since it was asked for."""
        self._begun = True
        self.moved()
        self._draw_curves_soon()

    def moved(self) -> None:
        """Show what has changed in the repository."""
        if self.source.state is self._state:
            return
        with self._in_order():
            self._look()
            if self.view.tab == RUNS and not self.view.run:
                self._draw_table()
                self._curves.grow()
            else:
                self._draw()

    def _draw_now(self) -> None:
        with self._in_order():
            self._draw()

    def _draw_curves_soon(self) -> None:
        """Draw the curves when the rows are on their way."""
        if self._doc is None:
            self._curves.show()
        elif self._begun and not self._curves_wait:
            self._curves_wait = True
            self._doc.add_next_tick_callback(self._draw_curves)

    def _draw_curves(self) -> None:
        self._curves_wait = False
        if self.view.tab == RUNS and not self.view.run:
            with self._in_order():
                self._curves.show()

    @contextlib.contextmanager
    def _in_order(self) -> Iterator[None]:
        """Send all that changes within in the order in which it does, in bokeh's own way.

        In panel's way (``panel.io.document.unlocked``) what finds the line busy waits, and what goes bokeh's way passes
        it: a page then hears of a curve before it has its figure, and throws it away.
        """
        if self._doc is None:
            yield
            return
        failed: Exception | None = None
        self._doc.hold("collect")
        with self._doc.models.freeze():  # else all are gone through with each figure; after an exception they stay so
            try:
                yield
            except Exception as error:
                failed = error
        self._doc.unhold()
        if failed is not None:
            raise failed

    def _draw(self) -> None:
        """Draw what is looked at, and only that."""
        self._waiting, view = False, self.view
        if self._stale:
            self._look()
        at_runs = view.tab == RUNS and not view.run
        self._runs.visible, self._others.visible = at_runs, not at_runs
        if at_runs:
            self._sheet.blocks = []  # else what was looked at last is seen for a moment before the next
            self._draw_table()
            self._draw_curves_soon()
            return
        fields, values, picture, blocks = self._content()
        if self._form.fields != fields or self._form.values != values:
            self._form.param.update(fields=fields, values=values)
        if picture is not None or self._picture.objects:
            blocks = self._show_picture(picture) or blocks
        self._sheet.blocks = blocks

    def _show_picture(self, picture: Any) -> list[Block]:
        """Put a picture in its place; one of the user's own may fail only now: a sheet that says so, else nothing."""
        try:
            self._picture.objects = [] if picture is None else [picture]
        except Exception as error:
            if self.view.tab not in self._widgets:
                raise
            self._picture.objects = []
            return _failed(self._widgets[self.view.tab], error)
        return []

    def _draw_table(self) -> None:
        context, view = self.context, self.view
        there = self._holder.visible = len(context.frame) > 0  # before its table: one that is built unseen stays empty
        self._holder.styles = _room(len(context.frame))
        self._curves.pane.visible = len(context.everything) > 0
        self._nothing.blocks = [] if there else self._why_nothing()
        if not there:
            context.first = ()
            return
        columns = self._shown_columns()
        names = [[name, tabling.title_of(name)] for name in context.names]
        fields = [{"id": "columns", "label": "columns", "kind": "many", "options": names}]
        values = {"columns": view.columns or [column.name for column in columns]}
        self._chooser.param.update(fields=fields, values=values)
        if columns == self._table.shown:
            sorters = _sorters(view.sort, columns)
            if self._table.sorters != sorters:
                self._table.sorters = sorters
            self._table.renew(context.frame)
            self._table.pick(view.picked)
        else:
            self._table = self._new_table()
            self._holder.objects = [self._table]
        context.first = self._table.first(40)

    def _why_nothing(self) -> list[Block]:
        if not len(self.context.everything):
            return empty(
                "no runs yet; try: with gitlumo.SimpleExperiment('digits') as exp: exp.log({'acc': .93})\n"
                "they show up here by themselves"
            )
        return empty("no run is like that")

    def _content(self) -> tuple[list[Any], dict[str, Any], Any, list[Block]]:
        """Settings, a picture and a sheet, for all but the runs themselves."""
        view, context = self.view, self.context
        if view.run:
            return [], {}, None, runpage.page(context, view.run, self._file, self._done)
        if view.tab == GROUPS:
            names = [[name, tabling.title_of(name)] for name in sheets.keys(context)]
            field = {"id": "group", "label": "group by", "kind": "many", "options": names}
            return [field], {"group": view.group}, None, sheets.groups(context)
        if view.tab == COMPARE:
            return [], {}, None, sheets.comparison(context)
        if view.tab == BIN:
            done = self._done
            return [], {}, None, [*([done] if done else []), *sheets.bin_of(context)]
        if view.tab in self._widgets:
            return [], {}, *self._own(self._widgets[view.tab])
        names = [[name, tabling.title_of(name)] for name in relations.choices(context)]
        if not names or not len(context.frame):
            return [], {}, None, self._why_nothing()
        if view.tab == PARALLEL:
            field = {"id": "axes", "label": "axes", "kind": "many", "options": names}
            axes = view.axes or relations.default_axes(context)
            return [field], {"axes": axes}, pn.pane.Bokeh(relations.parallel(context), sizing_mode="stretch_width"), []
        known = [name for name, _ in names]
        with_defaults = [*relations.default_axes(context), *known]
        sx = view.sx if view.sx in known else with_defaults[0]
        sy = view.sy if view.sy in known else relations.default_axes(context)[-1:][0] if with_defaults else known[-1]
        fields = [{"id": id, "label": id[1:], "kind": "choice", "options": names} for id in ("sx", "sy")]
        figure = relations.scatter(context, sx, sy, self._open)
        return fields, {"sx": sx, "sy": sy}, pn.pane.Bokeh(figure, sizing_mode="stretch_width"), []

    def _own(self, widget: Widget) -> tuple[Any, list[Block]]:
        """What a function of the user's makes of the runs; what it raises is shown."""
        try:
            places = self.context.everything.index.get_indexer(self.context.frame.index)
            made = widget(self._raw.iloc[places])
            if isinstance(made, str):
                return None, [{"kind": "text", "text": made}]
            return pn.panel(made), []
        except Exception as error:
            return None, _failed(widget, error)


def _failed(widget: Widget, error: Exception) -> list[Block]:
    where = traceback.format_exception(error)[-3:]
    return failed(f"{_name_of(widget)} failed:\n{''.join(where)}")


def _name_of(widget: Widget) -> str:
    name = getattr(widget, "__name__", type(widget).__name__)
    return "own" if name == "<lambda>" else name.replace("_", " ")


def _room(runs: int) -> dict[str, str]:
    """The table's: no more than it needs."""
    return {"height": f"min({_AROUND + tabling.ROW * runs}px, max(240px, 46vh))", "padding": "0 8px"}


def _sorters(sort: Sequence[str], columns: Sequence[tabling.Column]) -> list[dict[str, str]]:
    place = {column.name: i for i, column in enumerate(columns)}
    pairs = [(each.removeprefix("-"), "desc" if each.startswith("-") else "asc") for each in sort]
    return [{"field": f"c{place[name]}", "dir": way} for name, way in pairs if name in place]


def _names(names: Sequence[str]) -> list[list[str]]:
    """What may be typed in the filter, and what it is."""
    from gitlumo.matching import name_text
    from gitlumo.store import columns

    found = dict.fromkeys(columns.FIELDS, "field")
    for name in names:
        kind, dot, short = name.partition(".")
        if not dot and name not in found:
            found[name_text(name)] = "your column"
        if dot and f"{kind}." in (columns.PARAMS, columns.METRICS) and not columns.base_of(name):
            found.setdefault(name_text(short), kind.removesuffix("s"))
    return [[name, what] for name, what in found.items()]
