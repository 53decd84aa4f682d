"""The board as an application of bokeh's server: a board for each page."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import panel as pn
from bokeh.core.validation import silence
from bokeh.core.validation.warnings import EMPTY_LAYOUT
from bokeh.events import DocumentReady
from panel.io.application import build_applications

from gitlumo.board import looks
from gitlumo.board.app.board import Board, Widget
from gitlumo.board.app.framesource import FrameSource
from gitlumo.board.firstpage import title_of
from gitlumo.board.live import Source
from gitlumo.home import Home

if TYPE_CHECKING:
    import pandas as pd
    from bokeh.application.application import SessionContext
    from bokeh.document import Document

    from gitlumo.board.serving import Image

APP = "/app"
DIST = "/static/extensions/panel/"

pn.extension("tabulator")
silence(EMPTY_LAYOUT)


def live(home: Home, frame: pd.DataFrame | None, widgets: Sequence[Widget]) -> tuple[Any, Image]:
    """A repository's board, whose runs move; see :func:`gitlumo.board.serving.serve`.

    Returns:
        An application of bokeh's, and what gives images.
    """
    source = Source(home)
    threading.Thread(target=source.follow, name="gitlumo board: poll", daemon=True).start()
    shown = source if frame is None else FrameSource(source, frame)
    return application(shown, title_of(home), widgets), source.image


def inline(home: Home, frame: pd.DataFrame | None, widgets: Sequence[Widget]) -> Any:
    """The board as a part of a notebook; it shows the runs as they are when it is made."""
    source = Source(home)
    shown = source if frame is None else FrameSource(source, frame)
    board = Board(shown, title=title_of(home), widgets=widgets)
    board.layout.stylesheets = [looks.colours_sheet(), ":host { background: var(--paper); color: var(--text); }"]
    return board.layout


def application(source: Source | FrameSource, title: str, widgets: Sequence[Widget] = ()) -> Any:
    """The application; a page's address says what it looks at.

    Args:
        source: Where the runs come from.
        title: What the repository is called.
        widgets: See :class:`gitlumo.board.app.board.Board`.
    """

    def make() -> Any:
        doc, given = pn.state.curdoc, pn.state.session_args
        doc.template_variables["dist_url"] = DIST  # where panel's style sheets are, now and of what comes later
        dark = given.get("dark", [b"0"])[-1] == b"1"
        query = given.get("query", [b""])[-1].decode("utf-8", "replace")
        board = Board(source, query=query, dark=dark, doc=doc, title=title, widgets=widgets)
        _follow(source, doc, board)
        return board.layout

    return build_applications({APP: make}, title="runs", location=False)[APP]


def _follow(source: Source | FrameSource, doc: Document, board: Board) -> None:
    """Have a board move with its source, from when its page has all of it.

    What changes between a page's connection and its document is lost: panel drops it, which takes the document for not
    yet sent, and bokeh may send it before the document, when a client lets it go
    (https://github.com/bokeh/bokeh/pull/9646).
    """
    leave: list[Callable[[], None]] = []

    def begin(event: DocumentReady) -> None:
        if not leave:
            leave.append(source.listen(lambda: doc.add_next_tick_callback(board.moved)))
            doc.add_next_tick_callback(board.begin)

    def end(context: SessionContext) -> None:
        for each in leave:
            each()

    doc.on_event(DocumentReady, begin)
    doc.on_session_destroyed(end)
