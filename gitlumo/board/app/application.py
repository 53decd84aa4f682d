"""The board as an application of bokeh's server: a board for each page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import panel as pn
from panel.io.application import build_applications

from gitlumo.board.app.board import Board, Widget

APP = "/app"

pn.extension("tabulator")


def application(source: Any, title: str, widgets: Sequence[Widget] = ()) -> Any:
    """The application.

    Args:
        source: Where the runs come from; see :class:`gitlumo.board.app.board.Board`.
        title: What the repository is called.
        widgets: See there.
    """

    def make() -> Any:
        doc, given = pn.state.curdoc, pn.state.session_args
        dark = given.get("dark", [b"0"])[-1] == b"1"
        query = given.get("query", [b""])[-1].decode("utf-8", "replace")
        board = Board(source, query=query, dark=dark, doc=doc, title=title, widgets=widgets)
        leave = source.listen(lambda: doc.add_next_tick_callback(board.moved))
        doc.on_session_destroyed(lambda context: leave())
        return board.layout

    return build_applications({APP: make}, title="runs", location=False)[APP]
