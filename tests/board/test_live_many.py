"""A live board over 2,000 generated runs."""

from __future__ import annotations

import pytest

from gitlumo import Watcher
from tests.board.serving import back, holds, tab, until_named, wait

pytestmark = pytest.mark.soak  # long
FIRST = "#first tbody td:nth-child(3), #first thead th:nth-child(n + 3)"
TABLE = ".tabulator-row:nth-child(-n + 12) .tabulator-cell[tabulator-field=c0], .tabulator-col[tabulator-field^=c]"
PLACES = """(elements) => elements.map((each) => {
    const { x, y } = each.getBoundingClientRect();
    return [each.textContent.trim(), Math.round(x), Math.round(y)];
})"""


@pytest.fixture(scope="module")
def board(many, serve):
    return serve(many)


@pytest.fixture
def page(shared):
    back(shared, "2000 runs")
    return shared


def test_the_first_page_has_200_rows_and_none_of_them_moves(board, browser):
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.add_init_script("window.WebSocket = class { constructor() {} addEventListener() {} close() {} send() {} };")
    page.goto(board.url)
    before = page.locator(FIRST).evaluate_all(PLACES)
    assert page.locator("#first tbody tr").count() == 200
    other = context.new_page()
    other.goto(page.url)
    other.locator("html.ready").wait_for(state="attached")
    after = {text: [x, y] for text, x, y in other.locator(TABLE).evaluate_all(PLACES)}
    context.close()
    there = {text: [x, y] for text, x, y in before}
    assert len(after) > 20
    for text, place in after.items():
        assert all(abs(a - b) <= 1 for a, b in zip(place, there[text], strict=True)), text


def test_pages_are_sent_one_at_a_time_and_sorting_is_of_all_runs(board, page):
    assert (
        page.evaluate(
            "Bokeh.index.query((v) => v.model.type.includes('DataTabulator')).next().value.model.source.get_length()"
        )
        == 200
    )
    page.locator(".tabulator-page", has_text="Next").click()
    frame = Watcher(board.repo).load(columns=["test_name", "metrics.loss"])
    page.locator(".tabulator-row", has_text=frame["test_name"].iloc[200]).wait_for()
    page.locator(".tabulator-col[tabulator-field=c5]").click()
    page.wait_for_url("**sort=metrics.loss")
    best = frame.sort_values("metrics.loss", kind="stable")["test_name"].iloc[:3]
    for name in best:
        page.locator(".tabulator-row", has_text=name).wait_for()


def test_the_filter_finds_what_the_command_line_finds(board, page):
    expression = "lr < 0.001 and depth = 18 and not state = killed"
    page.locator(".filter input").fill(expression)
    wanted = Watcher(board.repo).load(expression, columns=["test_name"])
    page.locator(".filter .count", has_text=f"{len(wanted)} of 2000 runs").wait_for()
    page.locator(".tabulator-row", has_text=wanted["test_name"].iloc[0]).wait_for()
    until_named(page, lambda found: set(found) <= set(wanted["test_name"]))


def test_groups_of_all_runs(board, page):
    tab(page, "Groups")
    page.get_by_text("group by").click()
    page.get_by_role("checkbox", name="depth").check()
    page.keyboard.press("Escape")
    page.locator(".sheet tbody tr").nth(2).wait_for()
    counts = [int(text) for text in page.locator(".sheet tbody td:nth-child(2)").all_inner_texts()]
    assert sum(counts) == 2000


def test_all_runs_at_once_in_pictures(board, page):
    tab(page, "Parallel")
    holds(page, "MultiLine")
    tab(page, "Scatter")
    length = "Bokeh.index.query((v) => v.model.type === 'Scatter').next().value?.parent.model.data_source.get_length()"
    assert wait(page, length) == 2000
