"""The live board in a browser: every part is clicked, typed and looked at, on the runs of the digits example."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from gitlumo import Watcher
from tests.board.making import TRAININGS
from tests.board.serving import back, holds, names, tab, tick, until, until_drawn, until_named, wait, went


@pytest.fixture(scope="module")
def repo(trained, tmp_path_factory):
    """A copy, which edits may change."""
    return shutil.copytree(trained, tmp_path_factory.mktemp("live") / "digits", symlinks=True)


@pytest.fixture(scope="module")
def board(repo, serve):
    return serve(repo)


@pytest.fixture
def page(shared):
    back(shared, "6 runs")
    return shared


def heads(page):
    return [each.strip() for each in page.locator(".tabulator-col-title").all_inner_texts() if each.strip()]


def text(page, selector=".sheet"):
    return "\n".join(page.locator(selector).locator("visible=true").all_inner_texts())


def test_table_and_curves(board, page, visit):
    assert len(names(page)) == len(TRAININGS)
    assert heads(page) == ["name", "state", "start", "took", "acc", "loss", "test_acc", "lr", "model", "seed", "note"]
    until_drawn(page, [("acc", 5), ("loss", 5), ("test_acc", 6)])  # neighbours has no loss
    assert "?token" not in page.url
    assert page.locator("#first").count() == 0


def test_sorting_and_the_address(board, page, visit):
    page.locator(".tabulator-col", has_text="acc").first.click()
    page.wait_for_url("**sort=metrics.acc")
    page.locator(".tabulator-col", has_text="acc").first.click()
    page.wait_for_url("**sort=-metrics.acc")
    again = visit(page.url, context=page.context)
    best = Watcher(board.repo).load(columns=["test_name", "metrics.acc"]).sort_values("metrics.acc", ascending=False)
    until_named(again, lambda found: found[:5] == list(best["test_name"])[:5])


def test_sorting_by_two_columns(board, page):
    """The first counts first, also after the browser's history, a rebuilt table and a click with Shift."""

    def best(*keys, ascending):
        frame = Watcher(board.repo).load(columns=["test_name", *keys]).sort_values([*keys], ascending=ascending)
        return list(frame["test_name"])

    wanted = best("params.model", "metrics.acc", ascending=[False, True])
    both = "sort=-params.model&sort=metrics.acc"
    for more in ("", "&columns=name&columns=params.model&columns=metrics.acc"):
        went(page, both + more)
        until_named(page, lambda found: found == wanted)
        page.wait_for_timeout(300)
        assert both in page.url
    went(page, "sort=params.model")
    until_named(page, lambda found: found != wanted)
    page.locator(".tabulator-col", has_text="acc").first.click(modifiers=["Shift"])
    page.wait_for_url("**sort=params.model&sort=metrics.acc")
    until_named(page, lambda found: found == best("params.model", "metrics.acc", ascending=True))


def test_the_filter_its_suggestions_and_its_errors(board, page, visit):
    page.keyboard.press("/")
    page.keyboard.type("mod", delay=30)
    assert page.locator(".filter li").all_inner_texts() == ["model\nparam"]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.type("= mlp and lr < 0.5")
    page.locator(".filter .count", has_text="2 of 6 runs").wait_for()
    wait(page, "location.search.includes('q=model')")
    page.keyboard.type(" and los")
    page.locator(".filter pre:visible").wait_for()
    asked = subprocess.run(
        ["git-lumo", "log", "model = mlp and lr < 0.5 and los"], cwd=board.repo, capture_output=True, text=True
    )
    assert f"fatal: {page.locator('.filter pre').inner_text()}" == asked.stderr.rstrip()
    assert asked.stderr.endswith("^\n")
    until_named(page, lambda found: len(found) == 2)  # what was there stays
    page.keyboard.press("Control+A")
    page.keyboard.type("nolr > 1")
    page.locator(".filter pre", has_text="no run has a column nolr; did you mean").wait_for()
    page.locator(".filter input").fill("lr > 100")
    page.get_by_text("no run is like that").locator("visible=true").wait_for()
    page.locator(".filter input").fill("")
    page.locator(".filter .count", has_text=re.compile("^6 runs")).wait_for()


def test_ticked_runs_are_drawn_compared_and_bookmarked(board, page, visit):
    tick(page, 1, 2)
    wait(page, "location.search.split('runs=').length === 3")
    until_drawn(page, [("acc", 2), ("loss", 2), ("test_acc", 2)])
    tab(page, "Compare")
    page.locator("h2", has_text="params").wait_for()
    assert re.search(r"seed\s+2\s+1", text(page))
    assert "PARAMS" in text(page)
    again = visit(page.url, context=page.context)
    again.locator("h2", has_text="params").wait_for()
    assert text(again) == text(page)
    again.keyboard.press("1")
    again.locator(".tabulator-row.tabulator-selected").nth(1).wait_for()


def test_settings_of_curves(board, page, visit):
    page.get_by_label("metrics").fill("*acc, nothing*")
    wait(page, "location.search.includes('metrics=')")
    until_drawn(page, [("acc", 5), ("test_acc", 6)])
    page.locator("select[data-id=x]").select_option("relative")
    page.get_by_label("log y").check()
    page.locator("input[data-id=smooth]").fill("0.6")
    wait(page, "location.search.includes('smooth=0.6') && location.search.includes('x=relative')")
    holds(page, "LogAxis")
    page.get_by_text("mean ± std by").click()
    page.locator("details[open]").get_by_label("model").check()
    page.locator(".chips", has_text="model=mlp (n=3)").wait_for()
    wait(page, "location.search.includes('over=params.model')")


def test_parallel_scatter_and_groups(board, page, visit):
    tab(page, "Parallel")
    holds(page, "MultiLine")
    tab(page, "Scatter")
    page.locator("select[data-id=sy]").select_option("metrics.test_acc")
    page.locator("select[data-id=sx]").select_option("params.model")
    page.wait_for_url("**sy=metrics.test_acc**")
    holds(page, "Scatter")
    tab(page, "Groups")
    page.get_by_text("group by").click()
    page.get_by_role("checkbox", name="model").check()
    page.keyboard.press("Escape")
    page.locator("th", has_text="test_acc").wait_for()
    rows = [row.split("\t") for row in page.locator(".sheet tbody tr").locator("visible=true").all_inner_texts()]
    assert {(row[0].strip(), row[1].strip()) for row in rows} == {("mlp", "3"), ("linear", "2"), ("neighbours", "1")}
    page.locator(".sheet tbody tr", has_text="linear").get_by_role("button").click()
    wait(page, "location.search.split('runs=').length === 3 && !location.search.includes('view=')")


def test_the_page_of_a_run(board, page):
    page.locator(".tabulator-cell[tabulator-field=c0]").nth(1).click()
    page.locator("h1").wait_for()
    told = text(page)
    shown = subprocess.run(
        ["git-lumo", "show", page.locator("h1 span").inner_text()], cwd=board.repo, capture_output=True, text=True
    ).stdout
    for fact in re.findall(r"(?m)^  (?:uid|code|command|machine) +(.+)$", shown):
        assert fact in told
    for part in ("NOTE", "TYPE", "PARAMS", "METRICS", "LOCK", "FILES", "seed\n2", "git lumo rerun digits/"):
        assert part in told
    page.get_by_role("button", name="text/report.txt").click()
    page.locator("pre", has_text="precision").wait_for()
    page.keyboard.press("Escape")
    page.locator(".tabulator-row").first.wait_for()
    page.go_back()
    page.locator("h1").wait_for()


def test_edits_are_events_and_can_be_undone(board, page, visit, git):
    page.locator(".tabulator-cell[tabulator-field=c0]").nth(3).click()
    name = page.locator("h1 span").inner_text()
    page.get_by_label("add a tag").fill("best")
    page.keyboard.press("Enter")
    page.locator(".said", has_text="tags +best").wait_for()
    page.get_by_role("textbox", name="note").fill("it <b>works</b>")
    page.get_by_role("button", name="save the note").click()
    page.locator(".said", has_text="the note is written").wait_for()
    page.get_by_role("button", name="deprecate").click()
    page.locator(".said", has_text="it is in the bin").wait_for()
    subjects = git("log", "--format=%s", "-3", "lumo_experiments", cwd=board.repo).splitlines()
    assert [subject.partition(" ")[0] for subject in subjects] == [name] * 3
    assert ["note=" in each or "tag=" in each or "deprecated=" in each for each in subjects] == [True] * 3
    page.keyboard.press("Escape")
    page.locator(".filter .count", has_text="5 of 6").wait_for()
    tab(page, "Bin")
    page.locator(".sheet td", has_text=name).wait_for()
    page.get_by_role("button", name="bring it back").click()
    page.get_by_text("the bin is empty").wait_for()
    tab(page, "Runs")
    page.locator(".filter .count", has_text=re.compile("^6 runs")).wait_for()
    page.locator(".tabulator-row", has_text="it <b>works</b>").wait_for()


def test_columns_are_chosen_hidden_and_moved(board, page, visit):
    page.get_by_text("columns", exact=True).click()
    page.locator("details[open]").get_by_label("loss", exact=True).uncheck()
    page.locator("details[open]").get_by_label("host").check()
    page.locator(".tabulator-col", has_text="host").wait_for()
    assert page.locator(".tabulator-col", has_text="loss").count() == 0
    assert "columns=host" in page.url
    first, last = (page.locator(".tabulator-col", has_text=name).first.bounding_box() for name in ("state", "took"))
    page.mouse.move(last["x"] + 20, last["y"] + 10)
    page.mouse.down()
    page.locator(".tabulator-moving").first.wait_for()  # Tabulator takes a longer press for a move
    page.mouse.move(first["x"] + 5, first["y"] + 10, steps=8)
    page.mouse.up()
    until(lambda: (found := heads(page)).index("took") < found.index("state"))


def test_keys(board, page, visit):
    for key in ("j", "j", "x"):
        page.keyboard.press(key)
    page.locator(".tabulator-row.tabulator-selected.cursor").wait_for()
    page.keyboard.press("?")
    page.locator("dialog[open]", has_text="compare what is ticked").wait_for()
    page.keyboard.press("?")
    page.locator("dialog[open]").wait_for(state="detached")
    page.keyboard.press("Enter")
    page.locator("h1").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    page.get_by_text("1 are ticked").wait_for()


@pytest.mark.parametrize("dark", [False, True])
def test_narrow_dark_and_light(board, visit, dark):
    page = visit(board.url, width=400, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    paper = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert paper == ("rgb(13, 17, 23)" if dark else "rgb(255, 255, 255)")
    page.get_by_role("button", name="light or dark").click()
    wait(page, f"getComputedStyle(document.documentElement).backgroundColor !== '{paper}'")
    until_named(page, lambda found: len(found) > 2)


def test_two_pages_at_once(board, visit):
    one, other = visit(board.url), visit(board.url, dark=True)
    one.locator(".filter input").fill("model = mlp")
    one.locator(".filter .count", has_text="3 of 6").wait_for()
    until_named(one, lambda found: len(found) == 3)
    assert len(names(other)) == 6
    one.locator(".tabulator-cell[tabulator-field=c0]").first.click()
    one.get_by_label("add a tag").fill("seen")
    one.keyboard.press("Enter")
    other.locator(".tabulator-cell", has_text="seen").wait_for()  # what is edited in one is in the other one
    one.get_by_role("button", name="undo the last edit").click()
    other.locator(".tabulator-cell", has_text="seen").wait_for(state="detached")


def test_an_empty_repository_and_its_first_run(empty_repo, serve, visit):
    page = visit(serve(empty_repo).url)
    page.get_by_text("no runs yet; try: with gitlumo").locator("visible=true").wait_for()
    from gitlumo import start

    with start("digits", params={"lr": 0.1}) as exp:
        exp.log({"loss": 1.0})
    page.locator(".tabulator-row", has_text=exp.test_name).wait_for()
