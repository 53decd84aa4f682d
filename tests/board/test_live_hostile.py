"""A live board over a stranger's clone: what is recorded there does nothing in the browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitlumo import SimpleExperiment
from tests.board.serving import holds, tab, tick, until_drawn

SCRIPTS = (
    "<img src=x onerror=\"window.ran='img'\">",
    "<script>window.ran='script'</script>",
    "<svg/onload=window.ran='svg'>",
    "{{constructor.constructor('window.ran=1')()}}",
    "[click](javascript:window.ran='link')",
    "$$\\href{javascript:window.ran=1}{x}$$",
    "&lt;img src=x onerror=window.ran=1&gt;",
    "@{uid}{safe} $name",
)
NEVER = "window.ran === undefined"


@pytest.fixture
def hostile(repo, git):
    """Two runs with scripts wherever a text can stand."""
    git("config", "user.name", SCRIPTS[0].replace("<", "").replace(">", ""))
    for i, lr in enumerate((0.1, 0.2)):
        name = SCRIPTS[0].replace("/", "").replace(":", "")
        with SimpleExperiment(name[:90], params={"lr": lr}) as exp:
            exp.dump_info("params", {"lr": lr, "x": SCRIPTS[i], **dict(zip(SCRIPTS, SCRIPTS[::-1], strict=True))})
            for script in SCRIPTS:
                exp.log({script: lr, "loss": lr}, step=0)
                exp.log({script: lr / 2, "loss": lr}, step=1)
                exp.dump_string(script, script)
            exp.dump_note("\n".join(SCRIPTS))
            exp.dump_tags(*SCRIPTS[:3])
            exp.dump_metric("acc", lr, SCRIPTS[0], SCRIPTS[1])
            exp.log_image(SCRIPTS[0], [[0, 1], [1, 0]])
            Path(exp.mk_ipath("files", "a<b>.txt")).write_text(SCRIPTS[1])
        (repo / "train.py").write_text(SCRIPTS[1] + "\n")
    return repo


def test_nothing_that_is_recorded_runs(hostile, serve, visit):
    board = serve(hostile)
    page = visit(board.url)
    holds(page, "Figure")
    figure = page.locator(".bk-Figure").first
    figure.scroll_into_view_if_needed()
    around = figure.bounding_box()
    for share in (0.2, 0.5, 0.9):  # what hovers tells names
        page.mouse.move(around["x"] + around["width"] * share, around["y"] + around["height"] * 0.5, steps=3)
    page.get_by_text("columns", exact=True).click()
    page.keyboard.press("Escape")
    tick(page, 0, 1)
    page.get_by_text("mean ± std by").click()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("img", delay=20)
    page.locator(".filter li", has_text="onerror").first.wait_for()
    page.keyboard.press("Control+A")
    page.keyboard.type("`<img src=x onerror=window.ran=1>` = 1", delay=5)
    page.locator(".filter pre", has_text="no run has a column").wait_for()
    page.locator(".filter input").fill("")
    page.keyboard.press("Escape")
    for name in ("Parallel", "Scatter", "Compare", "Groups", "Bin"):
        tab(page, name)
        if name == "Parallel":
            holds(page, "MultiLine")
        elif name == "Compare":
            page.locator("pre.diff:visible").wait_for()
        elif name == "Scatter":
            holds(page, "Scatter")
            box = page.locator(".bk-Figure:visible").bounding_box()
            for i in range(10):
                page.mouse.move(box["x"] + box["width"] * i / 10, box["y"] + box["height"] * (1 - i / 10))
        assert page.evaluate(NEVER), name
    tab(page, "Runs")
    page.locator(".tabulator-cell[tabulator-field=c0]").first.click()
    page.locator("h2", has_text="images").wait_for()
    for button in page.locator(".sheet .chips button").locator("visible=true").all():
        button.click()
        page.locator("h2", has_text=button.inner_text()).wait_for()
    assert page.get_by_role("textbox", name="note").input_value() == "\n".join(SCRIPTS)
    for each in page.locator("img").all():
        assert each.get_attribute("src").startswith(("/image/", "data:"))
    assert page.locator(".sheet script, .sheet svg, .sheet iframe").count() == 0
    assert page.evaluate(NEVER)


def test_names_are_shown_as_they_are(repo, serve, visit):
    key = "<b>&amp;$$x$$"
    with SimpleExperiment("digits", params={key: 1}) as exp:
        exp.log({key: 1.0})
    with SimpleExperiment("digits", params={key: 2}) as exp:
        exp.log({key: 2.0})
    page = visit(serve(repo).url)
    heads = [each.strip() for each in page.locator(".tabulator-col-title").all_inner_texts() if each.strip()]
    assert heads[-2:] == [key, key]  # the metric and the parameter
    until_drawn(page, [("<b>&amp;$\u200b$x$\u200b$", 2)])
