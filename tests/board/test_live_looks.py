"""How the live board looks, and whether all can use it.

The documentation's pictures:
``GITLUMO_PICTURES=docs/images python -m pytest tests/board/test_live_looks.py -k picture``
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.board.making import faults
from tests.board.serving import holds, tab, tick, until_drawn, went

PICTURES = os.environ.get("GITLUMO_PICTURES")
PICTURES = os.path.abspath(PICTURES) if PICTURES else None
TABULATORS = {"aria-required-children"}  # its grid holds what scrolls it, which is no row
LARGEST = 150_000  # bytes of a picture


@pytest.fixture(scope="module")
def board(trained, serve):
    return serve(trained)


NARROW = pytest.param(400, True, id="narrow", marks=pytest.mark.soak)


@pytest.mark.parametrize(("width", "dark"), [pytest.param(1280, False, id="wide"), NARROW])
def test_axe_core_finds_no_serious_fault(board, visit, width, dark):
    page = visit(board.url, width=width, dark=dark)
    found = []

    def look(where):
        found.extend((where, id, html) for id, html in faults(page) if not (id in TABULATORS and "tabulator" in html))
        assert page.evaluate("document.documentElement.scrollWidth") <= width, where

    holds(page, "Figure")
    look("runs")
    tick(page, 0, 2)
    page.get_by_text("columns", exact=True).click()
    look("columns")
    page.keyboard.press("Escape")
    for name, model in (("Parallel", "MultiLine"), ("Scatter", "Scatter")):
        tab(page, name)
        holds(page, model)
        look(name)
    tab(page, "Groups")
    page.get_by_text("group by").click()
    page.get_by_role("checkbox", name="model").check()
    page.locator(".sheet:visible tbody tr").first.wait_for()
    look("groups")
    tab(page, "Compare")
    page.locator("h2", has_text="params").wait_for()
    look("compare")
    tab(page, "Bin")
    page.get_by_text("the bin is empty").wait_for()
    look("bin")
    tab(page, "Runs")
    page.locator(".filter input").fill("lr < 0.1 an")
    page.locator(".filter pre:visible").wait_for()
    look("an error")
    page.locator(".filter input").fill("lr > 100")
    page.get_by_text("no run is like that").wait_for()
    look("no run")
    went(page, "")
    page.locator(".tabulator-cell[tabulator-field=c0]").nth(1).click()
    page.locator("h1").wait_for()
    page.get_by_role("button", name="text/report.txt").click()
    page.locator("pre", has_text="precision").wait_for()
    look("a run")
    page.locator("h1").click()
    page.keyboard.press("?")
    page.locator("dialog[open]").wait_for()
    look("help")
    assert found == []


def picture(page, name, folder):
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    path = Path(PICTURES or folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path)
    assert 20_000 < path.stat().st_size < LARGEST


def test_a_picture_for_the_documentation(board, visit, tmp_path):
    page = visit(board.url, height=760)
    until_drawn(page, [("acc", 5), ("loss", 5), ("test_acc", 6)])
    picture(page, "board-live.png", tmp_path)


def test_a_narrow_and_dark_picture(board, visit, tmp_path):
    page = visit(board.url, width=400, height=760, dark=True)
    tick(page, 1, 2)
    page.keyboard.press("c")
    page.locator("h2", has_text="params").wait_for()
    picture(page, "board-live-narrow.png", tmp_path)
