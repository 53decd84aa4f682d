"""Parts of the live board that need no browser: curves as they grow, cells, addresses, frames."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from bokeh.document import Document
from bokeh.events import DocumentReady
from panel.models.esm import ReactiveESM

from gitlumo import SimpleExperiment, Watcher
from gitlumo.board import histories, looks, palette, tabling
from gitlumo.board.app.application import application
from gitlumo.board.app.board import Board
from gitlumo.board.app.context import by_uid
from gitlumo.board.app.framesource import FrameSource
from gitlumo.board.app.plot import MOST, Plot, Series, _data, smoothed
from gitlumo.board.app.view import View
from gitlumo.board.live import Source
from gitlumo.config import read_settings
from gitlumo.errors import NoSuchRun, UsageError
from gitlumo.git.repository import open_repository
from gitlumo.home import Home
from gitlumo.store.record import Record


def source():
    repository = open_repository()
    return Source(Home(repository, read_settings(repository.config)))


def read(history: bytes) -> histories.Curves:
    record = Record(lambda path: history, lambda: ["history/00000.jsonl"], "x")
    return histories.curves_of(record)


def values(curves, key):
    return list(curves[key].step), list(curves[key].time), list(curves[key].value)


def test_a_history_is_read_in_one_piece_as_line_by_line():
    whole = (
        b'{"step":1,"time":0.5,"loss":1,"$cmp":"max"}\n{"step":2,"time":1.0,"acc":0.25,"loss":2}\n'
        b'{"step":9,"time":2.0,"acc":0.5,"$with":{"a":[1]}}\n'
    )
    assert values(read(whole), "loss") == ([1, 2], [0.5, 1.0], [1, 2])
    assert values(read(whole), "acc") == ([2, 9], [1.0, 2.0], [0.25, 0.5])
    torn = whole + b'{"step":10,"ti\n' + b'{"step":11,"time":3.0,"acc":"NaN","loss":"-Infinity","$step":4}\n'
    found = read(torn)
    assert values(found, "loss") == ([1, 2, 11], [0.5, 1.0, 3.0], [1, 2, -math.inf])
    assert math.isnan(found["acc"].value[-1])
    assert values(found, "step") == ([11], [3.0], [4])
    assert read(b"") == {}
    huge = read(b'{"step":1,"time":0.5,"loss":1' + b"0" * 400 + b"}\n")
    assert list(huge["loss"].value) == [math.inf]


def test_a_tail_reads_only_what_is_new(tmp_path):
    (tmp_path / "history").mkdir()
    chunk = tmp_path / "history/00000.jsonl"
    tail = histories.Tail(str(tmp_path))
    assert not tail.follow()
    chunk.write_bytes(b'{"step":1,"time":0.5,"loss":3}\n{"step":2,"time"')
    assert tail.follow()
    assert not tail.follow()
    with chunk.open("ab") as out:
        out.write(b':1.5,"loss":1}\n')
    (tmp_path / "history/00001.jsonl").write_bytes(b'{"step":3,"time":2.5,"loss":2}\n')
    assert tail.follow()
    assert values(tail.curves, "loss") == ([1, 2, 3], [0.5, 1.5, 2.5], [3, 1, 2])
    assert tail.metrics["loss"].summary()["min"] == 1
    assert (tmp_path / "history/00000.jsonl").stat().st_size == tail._read["00000.jsonl"]


def test_a_source_looks_again_only_where_something_has_changed(repo):
    board = source()
    assert len(board.state.frame) == 0
    assert not board.poll()
    exp = SimpleExperiment("digits", params={"lr": 0.1}).start()
    exp.log({"loss": 1.0})
    assert board.poll()
    assert board.state.live == {exp.uid}
    assert list(board.state.frame["metrics.loss"]) == [1.0]
    assert not board.poll()
    exp.log({"loss": 0.5})
    assert board.poll()
    assert list(board.state.frame["metrics.loss"]) == [0.5]
    assert board.select("loss < 0.7") == {exp.uid}
    assert board.select("loss > 0.7") == set()
    exp.end()
    assert board.poll()
    assert board.state.live == frozenset()
    assert board.select("loss < 0.7 and state = finished") == {exp.uid}
    assert list(board.curves(exp.uid)["loss"].value) == [1.0, 0.5]
    with pytest.raises(NoSuchRun):
        board.find("0" * 32)


def test_a_source_survives_whatever_a_look_meets(repo, monkeypatch):
    board, told = source(), []
    board.listen(lambda: told.append(board.state.trouble))
    with monkeypatch.context() as patch:
        patch.setattr(board, "_look", lambda: 1 / 0)
        with SimpleExperiment("digits"):
            assert board.poll()
    assert board.poll()
    assert told == ["ZeroDivisionError: division by zero", ""]
    assert len(board.state.frame) == 1


def test_a_page_moves_from_when_it_has_its_document(repo):
    """Not before: bokeh would lose what changes on its way there. It shows what has changed meanwhile."""
    exp = SimpleExperiment("digits", params={"lr": 0.1}).start()
    board = source()
    doc = application(board, "repo").create_document()
    (bar,) = (each.data for each in doc.roots[0].select({"type": ReactiveESM}) if hasattr(each.data, "running"))
    ready = DocumentReady()
    exp.end()
    assert board.poll()
    assert doc.session_callbacks == []
    for _ in range(2):  # a client that has lost its connection says so again
        doc.callbacks.trigger_event(ready)
    assert len(doc.session_callbacks) == 1
    assert bar.running == 1
    doc.session_callbacks[-1].callback()
    assert bar.running == 0
    (curves,) = doc.session_callbacks
    curves.callback()
    with SimpleExperiment("digits"):
        assert board.poll()
    assert len(doc.session_callbacks) == 1


def test_a_drawing_that_fails_leaves_the_page_as_able_as_before(repo, monkeypatch):
    doc, board = Document(), source()
    shown = Board(board, doc=doc)
    with monkeypatch.context() as patch:
        patch.setattr(shown, "_look", lambda: 1 / 0)
        with SimpleExperiment("digits"):
            board.poll()
        with pytest.raises(ZeroDivisionError):
            shown.moved()
    assert (doc.callbacks.hold_value, doc.models._freeze_count) == (None, 0)
    shown.moved()
    assert len(shown.context.frame) == 1


def test_what_a_page_has_is_not_sent_again():
    plot = Plot("loss", None, False, "step", logx=False, logy=False)
    x = np.arange(10_000.0)
    plot.put("a", "a", "#000000", Series(x, np.sin(x)), 0.0)
    plot.show()
    line, sent = plot.lines["a"], []
    line.source.on_change("data", lambda attribute, old, new: sent.append(len(new["x"])))
    plot.zoom(-200.0, 10_200.0, 0.0)  # as when a page says which range it shows
    assert sent == []
    for _ in range(2):
        plot.zoom(100.0, 299.0, 0.0)
    assert sent == [202], "all of it, and one on each side"
    plot.zoom(-200.0, 10_200.0, 0.0)
    assert sent == [202, MOST]


def test_a_frame_with_columns_of_the_users_own(repo):
    for lr in (0.1, 0.2):
        with SimpleExperiment("digits", params={"lr": lr}) as exp:
            exp.log({"loss": lr})
    df = Watcher().load()
    df["score"] = [2, None]
    df["kind"] = ["a", "b"]
    shown = FrameSource(source(), pd.concat([df, pd.DataFrame({"score": [9.0]})]))
    rows = list(by_uid(shown.state.frame).index)
    assert rows[:2] == list(df["uid"])
    assert shown.select("score > 1") == {rows[0], rows[2]}
    assert shown.select("kind = b and lr = 0.1") == {rows[1]}
    assert shown.select("start > 2 days ago and missing(score)") == {rows[1]}
    with pytest.raises(UsageError, match="no run has a column skore; did you mean"):
        shown.select("skore > 1")
    with pytest.raises(UsageError, match="kind is a text in every run"):
        shown.select("kind > 1")


def test_rows_of_one_uid_are_told_apart():
    frame = pd.DataFrame({"uid": ["a", "a", None], "test_name": ["x", "y", "z"]})
    assert list(by_uid(frame).index) == ["a", "a 1", "row 2"]
    assert list(by_uid(frame)["name"]) == ["x", "y", "z"]


def test_an_address_says_all_that_is_looked_at():
    view = View()
    assert view.query() == ""
    view.param.update(q="lr < 0.1 & é", picked=["a", "b"], smooth=0.6, logy=True, x="time", sort=["-metrics.acc"])
    other = View()
    tabs = {"runs", "scatter"}
    other.read(view.query(), tabs)
    for name in View.param:
        assert name == "name" or getattr(other, name) == getattr(view, name)
    other.read("x=never&smooth=7&logy=2&tab=runs&nonsense=1&runs=&smooth=nan&view=nonsense", tabs)
    assert other.query() == ""


def test_cells():
    assert tabling.cell("took", 90.0) == "1m 30s"
    assert tabling.cell("start", 0) == "1970-01-01 00:00"
    assert tabling.cell("params.x", [1, "a"]) == "1, a"
    assert tabling.cell("params.x", {"a": math.nan}) == '{"a": {"$float": "NaN"}}'
    assert tabling.cell("params.x", True) == "true"
    assert tabling.cell("note", "x" * 900).endswith("…")
    for missing in (None, math.nan, pd.NA, pd.NaT):
        assert tabling.cell("params.x", missing) == ""


def test_which_columns_are_shown():
    rows = [
        {"name": "a", "params.lr": 0.1, "params.same": 1, "metrics.acc": 1, "metrics.acc.last": 2, "uid": "u"},
        {"name": "b", "params.lr": 0.2, "params.same": 1, "metrics.acc": 1, "metrics.system/cpu": 1, "note": "n"},
    ]
    shown = tabling.columns_of(rows, ["mine"])
    assert [column.name for column in shown] == ["name", "mine", "metrics.acc", "params.lr", "note"]
    assert [column.numeric for column in shown] == [False, False, True, True, False]


def test_smoothing_goes_on_where_it_was_left_and_passes_gaps_over():
    y = np.array([1.0, np.nan, 3.0, np.inf, 5.0])
    whole, last = smoothed(y, 0.5)
    first, between = smoothed(y[:3], 0.5)
    second, end = smoothed(y[3:], 0.5, between)
    assert np.array_equal(np.concatenate([first, second]), whole, equal_nan=True)
    assert end == last == 3.5


def test_what_is_sent_of_a_long_curve():
    x = np.arange(100_000.0)
    y = np.sin(x / 50)
    y[54_321] = 1000.0
    all_of_it = _data(Series(x, y), None)
    assert len(all_of_it["x"]) <= MOST
    assert 54_321 in all_of_it["x"]
    part = _data(Series(x, y), (1000, 1200))
    assert list(part["x"]) == list(range(999, 1202))


def test_colours_are_the_palettes_in_the_style_and_in_figures():
    sheet = looks.colours_sheet()
    for i in range(len(palette.NAMES)):
        assert f"--c{i}: {palette.LIGHT[i]};" in sheet
        assert f"--c{i}: {palette.DARK[i]};" in sheet
    light, dark = looks.shades(False), looks.shades(True)
    assert light.keys() == dark.keys() >= {"text", "quiet", "line", "paper", "accent"}
    assert light["paper"] == "#ffffff"


@pytest.mark.parametrize("text", ["a $$x$$ b", r"\(x\)", r"\[x\]"])
def test_no_figure_is_given_a_formula(text):
    assert not any(mark in looks.plain(text) for mark in ("$$", r"\(", r"\["))
