"""The board as an application of bokeh's server: a board for each page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import panel as pn
from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document

from gitlumo.board.app.board import Board, Widget

pn.extension("tabulator")


def application(source: Any, title: str, widgets: Sequence[Widget] = ()) -> Application:
    """The application.

    Args:
        source: Where the runs come from; see :class:`gitlumo.board.app.board.Board`.
        title: What the repository is called.
        widgets: See there.
    """

    def make(doc: Document) -> None:
        request = doc.session_context.request
        given = request.arguments if request is not None else {}
        dark = given.get("dark", [b"0"])[-1] == b"1"
        query = given.get("query", [b""])[-1].decode("utf-8", "replace")
        board = Board(source, query=query, dark=dark, doc=doc, title=title, widgets=widgets)
        board.layout.server_doc(doc, location=False)
        leave = source.listen(lambda: doc.add_next_tick_callback(board.moved))
        doc.on_session_destroyed(lambda context: leave())

    return Application(FunctionHandler(make))
