"""The static board in a browser: every control is used, on the runs of the digits example.

The documentation's pictures: ``GITLUMO_PICTURES=docs/images python -m pytest tests/board/test_page.py -k picture``
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.board.making import TRAININGS, board, digits, faults, until

PICTURES = os.environ.get("GITLUMO_PICTURES")
PICTURES = os.path.abspath(PICTURES) if PICTURES else None


@pytest.fixture(scope="module")
def page_file(tmp_path_factory) -> Path:
    repo = tmp_path_factory.mktemp("digits") / "digits"
    digits(repo)
    return board(repo)


def rows(page):
    """The names of the runs in the table, as it shows them."""
    return page.locator("#table tbody th.name").all_inner_texts()


def column(page, name):
    """The cells of a column."""
    heads = page.locator("#table thead th").evaluate_all("heads => heads.map((head) => head.dataset.name)")
    at = heads.index(name) + 1
    return page.locator(f"#table tbody tr[data-run] > :nth-child({at})").all_inner_texts()


def fragment(page):
    return page.evaluate("location.hash")


def drawn(page):
    """The metrics that have a picture."""
    until(page, "document.querySelectorAll('#charts figure, #charts .empty').length")
    page.wait_for_timeout(100)
    return page.locator("#charts figcaption span:first-child").all_inner_texts()


def test_the_table(page_file, opened):
    page = opened(page_file)
    assert len(rows(page)) == len(TRAININGS)
    assert page.title() == f"digits: {len(TRAININGS)} runs"
    assert sorted(column(page, "state")) == ["● finished"] * 5 + ["✕ failed"]
    heads = page.locator("#table thead th button").all_inner_texts()
    assert heads == ["run", "state", "start", "took", "acc", "loss", "test_acc", "lr", "model", "seed", "note"]


def test_sorting(page_file, opened):
    page = opened(page_file)
    page.click("#table th[data-name='metrics.acc'] button")
    there = [float(text) for text in column(page, "metrics.acc") if text]
    assert there == sorted(there, reverse=True)
    assert column(page, "metrics.acc")[-1] == ""  # neighbours has none
    assert page.get_attribute("#table th[data-name='metrics.acc']", "aria-sort") == "descending"
    page.click("#table th[data-name='metrics.acc'] button")
    assert [float(text) for text in column(page, "metrics.acc") if text] == sorted(there)
    page.click("#table th[data-name='params.model'] button")
    assert column(page, "params.model") == sorted(column(page, "params.model"))
    assert "sort=params.model" in fragment(page)


def test_filtering(page_file, opened):
    page = opened(page_file)
    page.keyboard.press("/")
    page.keyboard.type("lr < 0.05 or model = neighbours")
    until(page, "document.querySelector('#count').textContent.startsWith('2 of 6')")
    assert len(rows(page)) == 2
    page.fill("#filter", "MLP failed")
    until(page, "document.querySelector('#count').textContent.startsWith('1 of 6')")
    assert column(page, "params.model") == ["mlp"]
    page.fill("#filter", "lrr < 1")
    page.wait_for_selector("#filter-said:visible")
    said = page.inner_text("#filter-said")
    assert "no run on this page has a column lrr; did you mean params.lr" in said
    assert page.get_attribute("#filter", "aria-invalid") == "true"
    assert len(rows(page)) == 1  # what was found before stays
    page.fill("#filter", "lr > 100")
    page.wait_for_selector("#table .empty")
    assert page.inner_text("#table .empty") == "No run is like that."
    page.focus("#filter")
    page.keyboard.press("Escape")
    assert len(rows(page)) == 6
    assert fragment(page) == ""


def test_columns(page_file, opened):
    page = opened(page_file)
    page.click("#columns-open")
    page.fill("#columns input[type=search]", "epochs")
    assert page.locator("#columns label:visible").count() == 1
    page.check("#columns input[value='params.epochs']")
    page.keyboard.press("Escape")
    assert "6" in column(page, "params.epochs")
    page.click("#columns-open")
    page.click("#columns button:has-text('Those that differ')")
    assert "uid" in page.locator("#table thead th").evaluate_all("heads => heads.map((head) => head.dataset.name)")
    page.click("#columns button:has-text('All')")
    page.uncheck("#columns input[value='uid']")
    page.click("#columns button:has-text('As at first')")
    page.click("#columns .close")
    assert page.locator("#table thead th").count() == 12


def test_curves(page_file, opened):
    page = opened(page_file)
    assert drawn(page) == ["acc", "loss", "test_acc"]
    assert page.locator("#legend li").count() == 6
    assert "No run is selected: the first 6 of the table are drawn" in page.inner_text("#drawn")
    page.fill("#metrics", "*acc")
    until(page, "document.querySelectorAll('#charts figure').length === 2")
    assert drawn(page) == ["acc", "test_acc"]
    page.fill("#metrics", "nothing")
    page.wait_for_selector("#charts .empty")
    assert "No metric is like nothing; there are: acc" in page.inner_text("#charts .empty")
    page.fill("#metrics", "")
    page.wait_for_selector("#charts figure")
    page.check("#table tbody tr:nth-child(2) input")
    until(page, "document.querySelectorAll('#legend li').length === 1")
    page.click("#select-none")
    until(page, "document.querySelectorAll('#legend li').length === 6")


def test_axes_and_smoothing(page_file, opened):
    page = opened(page_file)
    drawn(page)
    before = page.locator("#charts canvas").first.screenshot()
    for name, change in {
        "x=relative": lambda: page.select_option("#x", "relative"),
        "x=time": lambda: page.select_option("#x", "time"),
        "log=y": lambda: page.check("#log-y"),
        "log=yx": lambda: page.check("#log-x"),
        "smooth=0.8": lambda: page.locator("#smooth").fill("0.8"),
    }.items():
        change()
        until(page, f"location.hash.includes('{name}')")
        page.wait_for_timeout(150)
        after = page.locator("#charts canvas").first.screenshot()
        assert after != before, name
        before = after


def test_zoom_is_linked_and_a_double_click_takes_it_back(page_file, opened):
    page = opened(page_file)
    drawn(page)
    over = page.locator("#charts .u-over").first
    box = over.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 60, steps=4)
    page.mouse.up()
    until(page, "location.hash.includes('zoom')")
    low, high = (float(page.input_value(f".zoom input[aria-label='x {end}']")) for end in ("from", "to"))
    assert (low, high) == pytest.approx((2.5, 4.5), abs=0.02)  # of the steps 1 to 6
    page.reload()
    page.wait_for_selector("#charts .u-over")
    assert float(page.input_value(".zoom input[aria-label='x from']")) == low
    page.locator("#charts .u-over").nth(1).dblclick()
    until(page, "!location.hash.includes('zoom')")
    page.fill(".zoom input[aria-label='x from']", "2")
    page.fill(".zoom input[aria-label='x to']", "3")
    page.keyboard.press("Tab")
    until(page, "location.hash.includes('zoom=2&zoom=3')")
    page.click("#zoom-reset")
    assert "zoom" not in fragment(page)


def test_pointing_at_a_curve_says_what_it_is(page_file, opened):
    page = opened(page_file)
    drawn(page)
    page.check("#table tbody tr:nth-child(3) input")
    until(page, "document.querySelectorAll('#legend li').length === 1")
    page.wait_for_timeout(200)
    box = page.locator("#charts .u-over").first.bounding_box()
    for part in range(1, 20):
        page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * part / 20)
        if page.locator("#charts .tip:visible").count():
            break
    told = page.inner_text("#charts .tip:visible")
    assert re.search(r"digits\S*/\S+\n?.*step \d+: [\d.]+", told, re.DOTALL)


def test_means_over_groups(page_file, opened):
    page = opened(page_file)
    page.fill("#filter", "model = mlp and lr = .1 or model = linear")
    until(page, "document.querySelector('#count').textContent.startsWith('4 of 6')")
    page.click("#group summary")
    page.check("#group input[value='params.model']")
    until(page, "document.querySelectorAll('#legend li').length === 2")
    assert page.locator("#legend li").all_inner_texts() == ["model = mlp (n=2)", "model = linear (n=2)"]
    page.check("#group input[value='params.lr']")
    until(page, "document.querySelectorAll('#legend li').length === 3")
    page.keyboard.press("Escape")
    assert page.locator("#group[open]").count() == 0
    assert page.inner_text("#group summary") == "Group: model, lr"


def test_comparing(page_file, opened):
    page = opened(page_file)
    page.keyboard.press("c")
    assert page.inner_text("#compare .empty") == "Select 2 to 6 runs to compare them; 0 are selected."
    page.fill("#filter", "model = mlp and state = finished")
    until(page, "document.querySelector('#count').textContent.startsWith('2 of 6')")
    page.click("#select-shown")
    page.wait_for_selector("#compare table")
    told = dict.fromkeys(page.locator("#compare tbody th").all_inner_texts())
    assert list(told)[:3] == ["params", "seed", "metrics"]
    assert "lr" not in told
    assert page.locator("#compare td.best").count() == 1  # test_acc alone says which way is better
    assert page.locator("#compare tr:has-text('seed') td").all_inner_texts()[:2] == ["2", "1"]
    assert page.inner_text("#compare .command code").startswith("git lumo diff digits/")
    page.keyboard.press("c")
    page.wait_for_selector("#curves:visible")
    page.click("#tab-compare")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#curves:visible")


def test_all_of_a_run(page_file, opened):
    page = opened(page_file)
    page.click("#table tbody tr:nth-child(2) th button")
    page.wait_for_selector("#details[open] .sheet section")
    told = page.inner_text("#details")
    for part in (
        "failed, with status 1",
        "params",
        "train.py --scan demo",
        "traceback",
        "git lumo rerun digits/",
        "numpy",
    ):
        assert part.lower() in told.lower(), part
    assert "run=" in fragment(page)
    page.click("#details .command button >> nth=1")
    page.wait_for_selector("#details .command button:has-text('Cop'), #details .command button:has-text('Ctrl-C')")
    page.locator("#details details summary").first.click()
    page.go_back()
    page.wait_for_selector("#details:not([open])", state="attached")
    page.go_forward()
    page.wait_for_selector("#details[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("#details:not([open])", state="attached")
    assert "run=" not in fragment(page)


def test_the_keyboard_alone(page_file, opened):
    page = opened(page_file)
    page.focus("#table")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("End")
    page.keyboard.press("x")
    until(page, "document.querySelector('#count').textContent === '6 runs, 2 selected'")
    assert page.locator("#table tr.picked").evaluate_all("rows => rows.map((row) => row.rowIndex)") == [3, 7]
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    page.wait_for_selector("#details[open] h2")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert page.inner_text("#help-head") == "Help"
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.closest('tr')?.rowIndex") == 2


def test_a_bookmark_brings_the_view_back(page_file, opened):
    page = opened(page_file)
    page.fill("#filter", "model = mlp")
    page.click("#table th[data-name='metrics.loss'] button")
    until(page, "document.querySelector('#count').textContent.startsWith('3 of 6')")
    page.check("#table tbody tr:nth-child(3) input")
    page.check("#log-y")
    page.click("#tab-compare")
    address, names = fragment(page), rows(page)
    other = opened(page_file, address)
    assert (rows(other), fragment(other)) == (names, address)
    assert other.input_value("#filter") == "model = mlp"
    assert other.is_checked("#table tbody tr:nth-child(3) input")
    assert other.is_checked("#log-y")
    assert other.is_visible("#compare")


@pytest.mark.parametrize(
    "address", ["#filter=%F0%9F&sort=-&columns=x&runs=nope&x=y&smooth=NaN&zoom=a&zoom=b&tab=q&run=z", "#%"]
)
def test_an_address_that_means_nothing_is_no_error(page_file, opened, address):
    page = opened(page_file, address)
    assert page.locator("#table thead th").count() == 12


def test_light_and_dark(page_file, opened):
    page = opened(page_file, dark=True)
    back = "getComputedStyle(document.documentElement).backgroundColor"
    assert page.evaluate(back) == "rgb(22, 24, 29)"
    assert page.inner_text("#theme") == "Light"
    page.click("#theme")
    assert page.evaluate(back) == "rgb(255, 255, 255)"
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.evaluate(back) == "rgb(255, 255, 255)"


LOOKS = [
    (1280, True),
    (400, False),
    *(pytest.param(*look, marks=pytest.mark.soak) for look in ((1280, False), (400, True))),
]


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_axe_core_finds_no_serious_fault(page_file, opened, width, dark):
    page = opened(page_file, width=width, dark=dark)
    drawn(page)
    assert faults(page) == []
    page.click("#select-shown")
    page.click("#group summary")
    assert faults(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    page.wait_for_selector("#compare table")
    assert faults(page) == []
    for opener in ("#table tbody th button >> nth=1", "#columns-open", "#help-open"):
        page.click(opener)
        page.wait_for_timeout(300)
        assert faults(page) == []
        page.keyboard.press("Escape")


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_is_wider_than_the_window(page_file, opened, width):
    page = opened(page_file, width=width)
    drawn(page)
    page.click("#select-shown")
    wide = "document.documentElement.scrollWidth"
    assert page.evaluate(wide) <= width
    page.click("#tab-compare")
    page.wait_for_selector("#compare table")
    assert page.evaluate(wide) <= width
    page.click("#table tbody th button >> nth=1")
    page.wait_for_selector("#details section")
    assert page.evaluate("document.querySelector('#details').scrollWidth") <= width


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_picture_for_the_documentation(page_file, opened, tmp_path, dark):
    page = opened(page_file, "#smooth=0.3" if dark else "", height=760 if not dark else 560, dark=dark)
    drawn(page)
    if dark:
        page.fill("#filter", "model = mlp")
        until(page, "document.querySelector('#count').textContent.startsWith('3 of 6')")
        page.click("#select-shown")
        page.click("#tab-compare")
        page.wait_for_selector("#compare table")
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(300)
    path = Path(PICTURES or tmp_path, "board-compare.png" if dark else "board.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path)
    assert path.stat().st_size > 20_000
