"""Live boards while things happen: runs that go on, servers that go, runs that vanish."""

from __future__ import annotations

import os
import signal
import subprocess

import numpy as np

from gitlumo import SimpleExperiment
from tests.board.serving import names, points, tick, until, until_drawn, until_named, wait, went


def test_running_runs_move_and_nothing_is_drawn_anew(repo, serve, visit):
    with SimpleExperiment("digits", params={"lr": 0.1}) as first:
        for step in range(5):
            first.log({"loss": 1 / (step + 1)}, step=step)
    exp = SimpleExperiment("digits", params={"lr": 0.2}).start()
    exp.log({"loss": 1.0}, step=0)
    page = visit(serve(repo).url)
    page.locator(".live", has_text="1 running").wait_for()
    until_drawn(page, [("loss", 2)])
    page.evaluate("void (window.figure = [...Bokeh.index.query((v) => v.model.type === 'Figure')][0])")
    page.locator(".tabulator-row").first.evaluate("(row) => { row.same = true; }")
    before = points(page)
    for step in range(1, 30):
        exp.log({"loss": 1 / (step + 1)}, step=step)
    cells = page.locator(".tabulator-row").first
    cells.locator(".tabulator-cell", has_text="0.03333").wait_for()
    until(lambda: points(page) == before + 29)
    assert page.evaluate("window.figure === [...Bokeh.index.query((v) => v.model.type === 'Figure')][0]")
    assert page.locator(".tabulator-row").first.evaluate("(row) => row.same")
    exp.log({"loss": 0.01, "acc": 0.9}, step=30)  # a metric that was not there
    until_drawn(page, [("acc", 1), ("loss", 2)])
    exp.end()
    page.locator(".tabulator-row", has_text=exp.test_name).get_by_text("finished").wait_for()
    page.locator(".live").wait_for(state="hidden")
    with SimpleExperiment("digits") as third:
        page.locator(".tabulator-row", has_text=third.test_name).wait_for()
    until_named(page, lambda found: found[0] == third.test_name)


def test_the_page_of_a_running_run_keeps_what_is_typed(repo, serve, visit):
    exp = SimpleExperiment("digits").start()
    exp.log({"loss": 1.0})
    page = visit(serve(repo).url + f"&run={exp.uid}")
    page.locator("h1", has_text="running").wait_for()
    page.get_by_role("textbox", name="note").fill("half a tho")
    exp.log({"loss": 0.25})
    page.locator("td", has_text="0.25").first.wait_for()
    assert page.get_by_role("textbox", name="note").input_value() == "half a tho"
    exp.end()


def test_the_server_is_killed_and_comes_back(repo, serve, visit):
    with SimpleExperiment("digits", params={"lr": 0.1}) as exp:
        exp.log({"loss": 1.0})
    board = serve(repo)
    page = visit(board.url + "&q=lr+%3C+1&view=scatter")
    page.evaluate("window.same = true")
    os.kill(board.process.pid, signal.SIGKILL)
    page.get_by_role("alert").get_by_text("The server has gone").wait_for()
    assert "lost" in page.evaluate("document.documentElement.className")
    again = serve(repo, port=board.port)
    assert again.token == board.token
    wait(page, "window.same === undefined && document.documentElement.classList.contains('ready')", 60)
    assert page.locator(".filter input").input_value() == "lr < 1"
    assert "view=scatter" in page.url
    assert page.get_by_role("alert").is_hidden()
    visit.troubles[:] = [each for each in visit.troubles if "WebSocket" not in each and "ERR_CONN" not in each
                         and "Lost websocket" not in each and "Failed to load resource" not in each]  # fmt: skip


def test_a_run_that_is_purged_while_its_page_is_open(repo, serve, visit):
    with SimpleExperiment("digits", params={"lr": 0.1}) as gone:
        gone.log({"loss": 1.0})
    with SimpleExperiment("digits", params={"lr": 0.2}) as kept:
        kept.log({"loss": 2.0})
    board = serve(repo)
    page = visit(board.url)
    tick(page, 0, 1)
    page.locator(".tabulator-cell[tabulator-field=c0]", has_text=gone.test_name).click()
    page.locator("h1", has_text=gone.test_name).wait_for()
    subprocess.run(["git-lumo", "purge", gone.test_name], check=True, stdout=subprocess.DEVNULL)
    page.get_by_text("is not there any more").wait_for()
    page.get_by_role("button", name="all runs").click()
    until_drawn(page, [("loss", 1)])
    until_named(page, lambda found: found == [kept.test_name])


def test_a_ledger_that_cannot_be_read_is_said_and_the_runs_stay(repo, git, serve, visit):
    with SimpleExperiment("digits") as exp:
        exp.log({"loss": 1.0})
    page = visit(serve(repo).url)
    git("branch", "-m", "lumo_experiments", "elsewhere")
    page.locator(".trouble", has_text="the branch lumo_experiments was deleted").wait_for()
    assert names(page) == [exp.test_name]
    git("branch", "-m", "elsewhere", "lumo_experiments")
    page.locator(".trouble").wait_for(state="hidden")


def test_odd_numbers_and_long_curves(repo, serve, visit):
    with SimpleExperiment("odd") as exp:
        for step, value in enumerate([1.0, float("nan"), float("inf"), -float("inf"), 2.0, 10**400, 3.0]):
            exp.log({"loss": value, "never": float("nan")}, step=step)
    with SimpleExperiment("long") as long:
        for step, value in enumerate(np.sin(np.arange(100_000) / 50)):
            long.log({"wave": float(value) + (1000.0 if step == 54_321 else 0.0)}, step=step)
    page = visit(serve(repo).url)
    until_drawn(page, [("loss", 1), ("never: no finite value", 1), ("wave", 1)])
    assert 900 <= points(page) <= 1100
    most = """[...Bokeh.index.query((v) => v.model.type === 'Figure')].map(({ model }) =>
        Math.max(...model.renderers.flatMap((r) => [...r.data_source.get_array('y')]).filter(Number.isFinite)))"""
    assert page.evaluate(most)[2] > 999  # the one peak of 100,000 points
    figure = page.locator(".bk-Figure").nth(2)
    figure.scroll_into_view_if_needed()
    box = figure.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 120, steps=5)
    page.mouse.up()
    shown = "Bokeh.index.query((v) => v.model.type === 'Figure')"
    spans = f"[...{shown}].map(({{ model: m }}) => m.x_range.end - m.x_range.start)"
    wait(page, f"({spans})[0] < 50_000")
    wait(page, f"new Set({spans}).size === 1")  # zoom is linked
    span = page.evaluate(f"({spans})[0]")
    part = f"""[...{shown}][2].model.renderers[0].data_source.get_array('x')"""
    wait(page, f"((xs) => xs.at(-1) - xs[0] < 1.5 * {span})([...{part}])")  # what is seen is sent, finer


def test_metrics_of_the_machine_are_drawn_when_asked_for(repo, serve, visit):
    with SimpleExperiment("digits") as exp:
        exp.log({"loss": 1.0, "system/cpu": 12.0})
    page = visit(serve(repo).url)
    until_drawn(page, [("loss", 1)])
    page.locator("input[data-id=system]").check()
    until_drawn(page, [("loss", 1), ("system/cpu", 1)])
    assert exp.uid


def test_images(repo, serve, visit):
    board = serve(repo)
    with SimpleExperiment("digits") as exp:
        exp.log_image("a <b>", np.zeros((8, 8)), step=3)
    page = visit(board.url + f"&run={exp.uid}")
    image = page.get_by_role("img", name="a <b>, step 3")
    image.wait_for()
    assert image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 8
    path = image.get_attribute("src")
    answer = board.ask(path, **board.cookie)
    assert answer.headers["Content-Type"] == "image/png"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert board.ask(path.replace("images/", "info/"), **board.cookie).status == 404
    assert board.ask(f"/image/{exp.uid}/metrics.json", **board.cookie).status == 404


def test_sync_state(repo, git, serve, visit, tmp_path):
    with SimpleExperiment("digits"):
        pass
    git("init", "--bare", "--quiet", tmp_path / "origin.git")
    git("remote", "add", "origin", tmp_path / "origin.git")
    page = visit(serve(repo).url)
    page.get_by_text("origin: 2 to push").wait_for()
    git("push", "--quiet", "origin", "lumo_experiments")
    git("fetch", "--quiet", "origin")
    page.get_by_text("origin: up to date").wait_for()
    git("clone", "--quiet", tmp_path / "origin.git", tmp_path / "other")
    git("branch", "lumo_experiments", "origin/lumo_experiments", cwd=tmp_path / "other")
    subprocess.run(["git-lumo", "note", "@", "-m", "by somebody else"], cwd=tmp_path / "other", check=True)
    git("push", "--quiet", "origin", "lumo_experiments", cwd=tmp_path / "other")
    git("fetch", "--quiet", "origin")
    page.get_by_text("origin: 1 to pull").wait_for()


def test_the_code_of_two_runs_is_compared(repo, git, serve, visit):
    uids = []
    for line in ("print('training')\n", "print('<b>other</b>')\n"):
        (repo / "train.py").write_text(line)
        with SimpleExperiment("digits") as exp:
            uids.append(exp.uid)
    page = visit(serve(repo).url + f"&view=compare&runs={uids[0]}&runs={uids[1]}")
    page.locator("pre.diff .plus", has_text="+print('<b>other</b>')").wait_for()
    page.locator("pre.diff .minus", has_text="-print('training')").wait_for()


ODD = "group=params.lr&axes=params.x&sx=a&runs=b&smooth=x&columns=nope"


def test_each_view_with_nothing_in_it(empty_repo, serve, visit):
    page = visit(serve(empty_repo).url + f"&view=runs&{ODD}")
    page.locator(".empty:visible").first.wait_for()
    for view in ("parallel", "scatter", "groups", "compare", "bin", "nonsense"):
        went(page, f"view={view}&{ODD}")
        shown = "Runs" if view == "nonsense" else view.capitalize()
        page.locator(f"[role=tab][aria-selected=true]:text-is('{shown}')").wait_for()
        page.locator(".empty:visible").first.wait_for()


def test_a_run_whose_branch_is_deleted_while_its_page_is_open(repo, git, serve, visit):
    with SimpleExperiment("digits") as exp:
        exp.log({"loss": 1.0})
    page = visit(serve(repo).url + f"&run={exp.uid}")
    page.locator("h1", has_text=exp.test_name).wait_for()
    git("branch", "-D", "lumo_experiments")
    page.locator(".trouble", has_text="the branch lumo_experiments was deleted").wait_for()
    page.locator(".sheet .error:visible", has_text="the branch lumo_experiments was deleted").wait_for()
    page.get_by_role("button", name="all runs").click()
    until_named(page, lambda found: found == [exp.test_name])  # as it was seen last


def test_a_large_image(repo, git, serve, visit):
    noise = np.random.default_rng(1).integers(0, 256, (2600, 2600, 3), dtype="uint8")
    with SimpleExperiment("digits") as exp:
        exp.log_image("noise", noise)
    board = serve(repo)
    page = visit(board.url + f"&run={exp.uid}")
    page.get_by_text("(larger than lumo.snapshotMaxFile)").wait_for()
    git("config", "lumo.snapshotMaxFile", "40m")
    with SimpleExperiment("digits") as exp:
        exp.log_image("noise", noise)
    went(page, f"run={exp.uid}")
    image = page.get_by_role("img", name="noise")
    image.scroll_into_view_if_needed()
    assert image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 2600
    page.get_by_label("add a tag").fill("large")
    page.keyboard.press("Enter")
    page.locator(".said", has_text="tags +large").wait_for()
