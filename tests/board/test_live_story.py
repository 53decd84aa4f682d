"""An afternoon with the live board, from the first training to the file that is sent to a colleague."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from gitlumo import Watcher
from tests.board.making import board as write_board
from tests.board.making import example
from tests.board.serving import environment, points, tick, until, until_drawn, until_named

AUGMENT = '''"""Brighter digits."""


def augment(images, labels):
    return images * 1.1, labels
'''


@pytest.fixture
def train(tmp_path):
    """``train(*words)``: begins a training; at the end all have ended well."""
    begun = []

    def begin(*words):
        command = [sys.executable, "train.py", "--epochs", "60", *words]
        begun.append(subprocess.Popen(command, cwd=tmp_path / "digits", stderr=subprocess.DEVNULL, env=environment()))
        return begun[-1]

    yield begin
    assert [each.wait(120) for each in begun] == [0] * len(begun)


def test_the_story(tmp_path, train, serve, visit, opened):
    repo = tmp_path / "digits"
    example(repo)
    board = serve(repo)
    page = visit(board.url)
    page.get_by_text("no runs yet").locator("visible=true").wait_for()
    page.evaluate("window.same = true")

    train("--lr", "0.1", "--seed", "1")
    train("--lr", "0.1", "--seed", "2").wait()
    until_drawn(page, [("acc", 2), ("loss", 2), ("test_acc", 2)])
    (repo / "augment.py").write_text(AUGMENT)
    third = train("--lr", "0.3")
    page.locator(".live", has_text="1 running").wait_for()
    until_drawn(page, [("acc", 3), ("loss", 3), ("test_acc", 3)])
    page.evaluate("void (window.figure = Bokeh.index.query((view) => view.model.type === 'Figure').next().value)")
    before = points(page)
    until(lambda: points(page) > before + 12)  # the curves move
    third.wait()
    page.locator(".live").wait_for(state="hidden")
    page.locator(".tabulator-row", has_text="finished").nth(2).wait_for()
    until(lambda: points(page) == 3 * 3 * 60)
    same = "window.same && window.figure === Bokeh.index.query((v) => v.model.type === 'Figure').next().value"
    assert page.evaluate(same)  # nothing was loaded again, nor drawn anew

    page.locator(".filter input").fill("lr < 0.2 and state = finished")
    page.locator(".filter .count", has_text="2 of 3 runs").wait_for()
    until_named(page, lambda found: len(found) == 2)
    page.locator(".filter input").fill("")
    page.locator(".filter .count", has_text=re.compile("^3 runs")).wait_for()

    page.get_by_text("mean ± std by").click()
    page.locator("details[open]").get_by_label("lr", exact=True).check()
    page.locator(".chips", has_text="lr=0.1 (n=2)").wait_for()
    until_drawn(page, [("acc", 2), ("loss", 2), ("test_acc", 2)])
    page.keyboard.press("Escape")

    page.get_by_text("mean ± std by").click()
    page.locator("details[open]").get_by_label("lr", exact=True).uncheck()
    page.keyboard.press("Escape")
    until_drawn(page, [("acc", 3), ("loss", 3), ("test_acc", 3)])

    page.locator(".tabulator-col", has_text="test_acc").click()
    page.wait_for_url("**sort=metrics.test_acc")
    page.locator(".tabulator-col", has_text="test_acc").click()
    page.wait_for_url("**sort=-metrics.test_acc")
    runs = Watcher(repo).load(columns=["test_name", "metrics.test_acc", "params.lr"])
    runs = runs.sort_values("metrics.test_acc", ascending=False, kind="stable")
    order = list(runs["test_name"])
    until_named(page, lambda found: found == order)
    lrs = list(runs["params.lr"])
    tick(page, lrs.index(0.3), lrs.index(0.1))
    until_drawn(page, [("acc", 2), ("loss", 2), ("test_acc", 2)])
    page.keyboard.press("c")
    page.locator("pre.diff .file", has_text="augment.py").first.wait_for()
    page.locator("pre.diff span", has_text="return images * 1.1, labels").wait_for()

    page.keyboard.press("1")
    page.locator(".tabulator-cell[tabulator-field=c0]", has_text=order[0]).click()
    page.get_by_label("add a tag").fill("best")
    page.keyboard.press("Enter")
    page.locator(".said", has_text="tags +best").wait_for()
    page.get_by_role("button", name="all runs").click()
    page.locator(".tabulator-row", has_text="best").first.wait_for()

    bookmark = page.url
    page.reload()
    page.locator("html.ready").wait_for(state="attached")
    for seen in (page, visit(bookmark, context=page.context)):
        until_named(seen, lambda found: found == order)
        until_drawn(seen, [("acc", 2), ("loss", 2), ("test_acc", 2)])
        seen.locator(".tabulator-row.tabulator-selected").nth(1).wait_for()

    still = opened(write_board(repo, "--sort", "-test_acc"))  # from disk, with the network cut
    assert still.locator("#table tbody th.name").all_inner_texts() == [f"digits/{name}" for name in order]
    still.locator("#table tbody tr[data-run]", has_text="best").wait_for()
