"""The board of one page: its parts, and what each does to the others."""

from __future__ import annotations

from typing import Any

import pandas as pd
import panel as pn
from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document

from gitlumo.board import tabling
from gitlumo.board.live import Source
from gitlumo.board.runstable import RunsTable

pn.extension("tabulator")


def by_uid(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.rename(columns={"exp_name": "exp", "test_name": "name", "tags": "tag"})
    return frame.set_index(pd.Index(frame["uid"].astype(str), name="uid"))


def application(source: Source) -> Application:
    def make(doc: Document) -> None:
        frame = by_uid(source.state.frame)
        rows = frame.head(200).to_dict("records")
        table = RunsTable.of(frame, tabling.columns_of(rows), False)
        pn.Column(table, height=600, sizing_mode="stretch_width").server_doc(doc, location=False)

    return Application(FunctionHandler(make))
