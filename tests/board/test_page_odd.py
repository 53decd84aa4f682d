"""The static board with what nobody hopes for: hostile names, odd numbers, too much, nothing."""

from __future__ import annotations

import base64
import json
import math
import os
import subprocess

import pytest

import gitlumo
from gitlumo.board import contents as packing
from gitlumo.board.export import page as assembled
from gitlumo.config import read_settings
from gitlumo.git.repository import open_repository
from gitlumo.pixels import encode
from gitlumo.store import layout
from gitlumo.store.branch import Branch
from gitlumo.store.query import Runs
from tests.benchmarks import ledgers
from tests.board.making import board, until

PAYLOADS = (
    "<img src=x onerror=alert(1)>",
    '"><script>alert(1)</script>',
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "javascript:alert(1)",
    "`${alert(1)}`",
    "__proto__",
    "constructor",
    "' onmouseover='alert(1)",
    "\u202egnp.exe",
)
ACTIVE = """[...document.querySelectorAll('*')].flatMap((each) => [...each.attributes])
    .filter((own) => own.name.startsWith('on')).map((own) => own.name)"""


def texts(page, selector):
    return page.locator(selector).all_inner_texts()


def test_hostile_names_do_nothing(repo, opened):
    for payload in (*PAYLOADS, "last"):
        with gitlumo.SimpleExperiment("digits") as exp:
            exp.dump_info("params", {payload: payload, "nested": {payload: {payload: 1}}, "same": payload})
            exp.log({payload: 0.5, f"m/{payload}": 1.5})
            exp.dump_metric(payload, 0.7, payload, payload)
            exp.dump_note(payload)
            if payload.isprintable():
                exp.dump_tags(payload)
            exp.dump_string("report", payload)
            exp.log_image(payload.replace("/", "-")[:20], encode([[0, 255]], "x")[0])
    page = opened(board(repo))
    page.click("#columns-open")
    page.click("#columns button:has-text('All')")
    page.keyboard.press("Escape")
    page.fill("#filter", "</script>")
    page.wait_for_selector("#filter-said:visible")
    page.fill("#filter", "")
    page.click("#group summary")
    for box in page.locator("#group input").all()[:3]:
        box.check()
    page.keyboard.press("Escape")
    page.wait_for_selector("#legend li")
    for i in range(2, 4):
        page.check(f"#table tbody tr:nth-child({i}) input")
    page.click("#tab-compare")
    page.wait_for_selector("#compare table")
    for i in range(len(PAYLOADS)):
        page.click(f"#table tbody th button >> nth={i}")
        page.wait_for_selector("#details section")
        page.wait_for_timeout(50)
        if i == 3:
            note = page.inner_text("#details .note")
            told = page.inner_text("#details")
            assert note in PAYLOADS
            assert told.count(note) > 5
        assert page.evaluate("document.querySelectorAll('script:not([type])').length") == 1
        assert page.evaluate("[...document.images].every((image) => image.src.startsWith('data:image/png;'))")
        assert page.evaluate(ACTIVE) == []
        page.keyboard.press("Escape")
    assert page.evaluate("({}).polluted === undefined && Object.keys(Object.prototype).length === 0")


def test_links_lead_to_issues_only(repo, opened):
    with gitlumo.SimpleExperiment("digits") as exp:
        exp.log({"acc": 1})
    name = exp.test_name
    for number, value in enumerate(
        (
            {"backend": "github", "repo": "a/b", "number": 7},
            {"backend": "github", "repo": "x", "number": 8, "host": "javascript:alert(1)//"},
            {"backend": "tar", "path": "javascript:alert(1)"},
        )
    ):
        _edit(repo, exp.uid, name, "backup", value, number)
    page = opened(board(repo))
    page.click("#table tbody th button")
    page.wait_for_selector("#details section")
    assert page.evaluate("[...document.links].map((link) => link.href).filter((href) => !href.endsWith('#runs'))") == [
        "https://github.com/a/b/issues/7"
    ]
    assert "tar javascript:alert(1)" in page.inner_text("#details")
    assert "git lumo restore 'github:a/b#7'" not in page.inner_text("#details")  # the latest one is none of GitHub's


def _edit(repo, uid, name, kind, value, number):
    """Publish an edit as a stranger would write it."""
    repository = open_repository(repo)
    branch = Branch(repository, read_settings(repository.config))
    view = branch.view()
    place = Runs(view.objects, view.tree).resolve(name).path
    id = f"{number:016x}"
    file = layout.edit_name(1_800_000_000_000_000 + number, id)
    edit = layout.Edit(file, uid, kind, value, "A <a@b>", f"2026-01-0{number + 1}T00:00:00.000Z", id)
    repository.close()
    environment = {**os.environ, "GIT_INDEX_FILE": str(repo / ".git/scratch")}

    def git(*words, **more):
        done = subprocess.run(["git", *words], cwd=repo, check=True, capture_output=True, **more)
        return done.stdout.decode().strip()

    git("read-tree", "lumo_experiments", env=environment)
    blob = git("hash-object", "-w", "--stdin", input=layout.edit_to_bytes(edit))
    git("update-index", "--add", "--cacheinfo", f"100644,{blob},{place}/edits/{file}", env=environment)
    tree = git("write-tree", env=environment)
    message = git("log", "-1", "--format=%B", "lumo_experiments")
    commit = git("commit-tree", tree, "-p", "lumo_experiments", "-m", message)
    git("update-ref", "refs/heads/lumo_experiments", commit)


def test_what_is_not_finite_is_a_mark_and_a_gap(repo, opened):
    with gitlumo.SimpleExperiment("digits", params={"wd": math.nan, "clip": math.inf, "big": 2**60 + 1}) as exp:
        for step in range(20):
            odd = {5: math.nan, 9: math.inf, 12: -math.inf}.get(step, 1.0 / (1 + step))
            exp.log({"loss": odd, "below": -1.0 * step, "never": math.nan}, step=step)
    page = opened(board(repo))
    page.wait_for_selector("#charts canvas")
    notes = dict(
        zip(texts(page, "#charts figcaption span:first-child"), texts(page, "#charts figcaption .muted"), strict=True)
    )
    assert notes == {"loss": "3 not finite", "below": "", "never": "20 not finite"}
    page.check("#log-y")
    until(page, "document.querySelector('#charts').textContent.includes('20 at 0 or below')")
    row = dict(
        zip(
            page.locator("#table thead th").evaluate_all("heads => heads.map((head) => head.dataset.name)"),
            texts(page, "#table tbody tr[data-run] > *"),
            strict=True,
        )
    )
    assert row["metrics.never"] == "NaN"
    page.fill("#filter", "wd = nan or big = 1152921504606846977 and clip >= inf and big > 1152921504606846976")
    until(page, "!document.querySelector('#filter-said').hidden === false")
    assert page.locator("#table tbody tr[data-run]").count() == 1
    page.click("#table tbody th button")
    page.wait_for_selector("#details section")
    told = page.inner_text("#details").split("\n")
    assert [told[told.index(key) + 1] for key in ("wd", "clip", "big")] == ["NaN", "∞", "1152921504606846977"]


def test_100_000_points_are_thinned_and_say_so_and_the_peak_stays(repo, opened):
    with gitlumo.Experiment("digits") as exp:
        for step in range(100_000):
            exp.log({"loss": 1000.0 if step == 54_321 else step % 100}, step=step)
    path = board(repo)
    assert path.stat().st_size < 200_000
    page = opened(path)
    page.wait_for_selector("#charts canvas")
    assert "1 of 1 curve thinned" in page.inner_text("#drawn")
    assert "1 curve of 1 thinned to at most 1,000 points, peaks kept" in page.inner_text("#foot")
    box = page.locator("#charts .u-over").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 54_321 / 99_999, box["y"] + 12)
    page.mouse.move(box["x"] + box["width"] * 54_321 / 99_999, box["y"] + 10)
    until(page, "document.querySelector('#charts .tip').textContent.includes('step 54321: 1000')")


def test_runs_without_metrics(repo, opened):
    for _ in range(2):
        with gitlumo.SimpleExperiment("digits", params={"lr": 1}):
            pass
    page = opened(board(repo))
    until(page, "document.querySelector('#charts .empty')")
    assert page.inner_text("#charts .empty") == "These runs have logged no metric."
    page.click("#group summary")
    assert "do not differ in any parameter" in page.inner_text("#group")
    page.click("#select-shown")
    page.click("#tab-compare")
    page.wait_for_selector("#compare .command")
    page.click("#table tbody th button >> nth=0")
    page.wait_for_selector("#details section")
    assert "none was logged" in page.inner_text("#details")


def test_no_runs_at_all(repo, opened):
    path = board(repo)
    assert path.stat().st_size <= 150_000
    page = opened(path)
    assert "No runs: when this file was made there were none" in page.inner_text("#table")
    until(page, "document.querySelector('#charts .empty')")
    assert page.inner_text("#charts .empty") == "There is nothing to draw."
    for key in ("j", "x", "End", "c", "c", "/"):
        page.keyboard.press(key)
    page.keyboard.type("words")
    page.wait_for_timeout(200)
    page.click("#select-shown")
    page.click("#columns-open")


def test_2000_runs(tmp_path, git, opened):
    git("init", "--quiet", tmp_path / "many")
    git("commit", "--quiet", "--allow-empty", "--message", "x", cwd=tmp_path / "many")
    ledgers.write(tmp_path / "many", 2000, steps=8)
    page = opened(board(tmp_path / "many"))
    assert page.inner_text("#count") == "2,000 runs"
    assert page.locator("#table tbody tr[data-run]").count() < 60  # the others are not in the document
    assert page.get_attribute("#table table", "aria-rowcount") == "2001"
    page.focus("#table")
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.closest('tr').ariaRowIndex") == "2001"
    page.evaluate("document.querySelector('#table').scrollTop = 20000")
    until(page, "[...document.querySelectorAll('#table tr[data-run]')].some((row) => Number(row.ariaRowIndex) === 750)")
    page.fill("#filter", "lr < 0.001 and optim.name = adam or depth = 50 and state != finished")
    until(page, "document.querySelector('#count').textContent.includes(' of 2,000 runs')")
    page.click("#table th[data-name='metrics.loss'] button")
    values = [float(text) for text in texts(page, "#table tbody tr[data-run] > :nth-child(7)")]
    assert values == sorted(values, reverse=True)
    page.click("#select-shown")
    until(page, "document.querySelector('#drawn').textContent.includes('a picture has 40 lines at most')")
    page.click("#tab-compare")
    assert "Select 2 to 6 runs" in page.inner_text("#compare")
    page.click("#tab-curves")
    page.click("#group summary")
    page.check("#group input[value='params.depth']")
    until(page, "document.querySelectorAll('#legend li').length === 3")
    counts = [int(text.split("n=")[1].rstrip(")")) for text in texts(page, "#legend li")]
    assert f"{sum(counts):,} of 2,000 runs" in page.inner_text("#count")
    page.click("#select-none")


def test_images(repo, opened):
    with gitlumo.SimpleExperiment("digits") as exp:
        for step in range(2):
            exp.log_image("conf", encode([[0, 255], [step, 0]], "x")[0], step=step)
        exp.log_image("large", encode([[0]], "x")[0] + bytes(packing.ONE_IMAGE))
    page = opened(board(repo))
    page.click("#table tbody th button")
    page.wait_for_selector("#details .images img")
    assert texts(page, "#details .images figcaption") == ["conf, step 0", "conf, step 1"]
    until(page, "[...document.images].every((image) => image.naturalWidth === 2)")
    assert "1 more image is not in this page" in page.inner_text("#details")
    assert "1 image left out" in page.inner_text("#foot")


def test_code_that_differs_is_told_of_by_the_names_of_its_files(repo, opened):
    for text in ("1", "2", "3"):
        (repo / "train.py").write_text(text)
        if text == "3":
            (repo / "new.py").write_text("secret = 1")
        with gitlumo.SimpleExperiment("digits"):
            pass
    path = board(repo)
    page = opened(path)
    page.click("#select-shown")
    page.click("#tab-compare")
    page.wait_for_selector("#compare th.file")
    rows = page.locator("#compare tr:has(th.file)").all_inner_texts()
    assert [row.split("\t") for row in rows] == [
        ["new.py", "version A", "–", "–"],
        ["train.py", "version A", "version B", "version C"],
    ]
    assert page.inner_text("#compare .command code").endswith("--code")
    assert "how the code differs, as a patch; the code itself is not in this page" in page.inner_text("#compare")


@pytest.mark.damages
def test_a_damaged_run_is_told_of_and_the_others_are_whole(repo, opened, git):
    ledgers.write(repo, 3, steps=4)
    tree = git("ls-tree", "-r", "lumo_experiments").splitlines()
    path = next(line.split("\t")[1] for line in tree if line.endswith("info/git.json"))
    (repo / ".git/x").write_text("{torn")
    blob = git("hash-object", "-w", repo / ".git/x")
    listing = git("ls-tree", "-r", "--full-tree", "lumo_experiments").replace(
        next(line for line in tree if line.endswith(path)), f"100644 blob {blob}\t{path}"
    )
    git("read-tree", "--empty")
    git("update-index", "--index-info", input=listing + "\n")
    commit = git("commit-tree", git("write-tree"), "-p", "lumo_experiments", "-m", "x\n\nLumo-Format: 1")
    git("update-ref", "refs/heads/lumo_experiments", commit)
    page = opened(board(repo))
    assert sum("damaged" in text for text in texts(page, "#table td.state")) == 1
    page.click("#select-shown")
    page.click("#tab-compare")
    until(page, "document.querySelector('#compare').textContent.includes('is damaged, and cannot be compared')")
    page.click("#table tr:has-text('damaged') th button")
    until(page, "document.querySelector('#details').textContent.includes('This run is damaged')")
    assert "git.json" in page.inner_text("#details")


def test_a_torn_file_and_an_old_browser_are_told_of(repo, browser, tmp_path):
    text = board(repo).read_text()
    place = text.index('id="data-table">') + len('id="data-table">')
    torn = tmp_path / "torn.html"
    torn.write_text(text[:place] + "AAAA" + text[place + 4 :])
    page = browser.new_page()
    page.goto(torn.as_uri())
    page.wait_for_selector("[role=alert].empty")
    assert page.inner_text("#table") == 'the file is damaged: its part "table" cannot be unpacked'
    page.add_init_script("delete globalThis.DecompressionStream")
    page.goto((repo / "board.html").as_uri())
    page.wait_for_selector("[role=alert].empty")
    assert page.inner_text("#table").startswith("this browser cannot unpack the data: it takes Chrome 103")
    page.close()


def test_the_policy_lets_nothing_else_run(repo, browser):
    page = browser.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(board(repo).as_uri())
    page.wait_for_selector("html[data-ready]")
    for attempt in (
        "document.body.innerHTML = '<b>x</b>'",
        "document.body.appendChild(document.createElement('script')).text = 'globalThis.ran = 1'",
        "document.body.setAttribute('onclick', 'globalThis.ran = 1')",
        "new Function('return 1')()",
    ):
        page.evaluate(
            f"(() => {{ try {{ {attempt} }} catch {{ globalThis.refused = (globalThis.refused ?? 0) + 1 }} }})()"
        )
    page.evaluate("fetch('https://example.org/').catch(() => 0)")
    page.evaluate("new Image().src = 'https://example.org/x.png'")
    page.click("#about")  # the handler is there now, and may not run
    page.wait_for_timeout(200)
    assert page.evaluate("[globalThis.ran ?? null, globalThis.refused]") == [None, 3]
    assert sum("Content Security Policy" in text or "requires 'Trusted" in text for text in said) >= 4
    page.close()


def test_the_template_takes_no_mark_from_the_data():
    made = assembled("<!--data--><!--script-->", {"x": "<!--script--></script>"}, {"table": {}}).decode()
    assert made.count("</script>") == 3
    assert "&lt;!--data--&gt;" in made
    head = made.split('id="data-head">')[1].split("</script>")[0]
    assert json.loads(head) == {"x": "<!--script--></script>"}
    assert base64.b64decode(made.split('id="data-table">')[1].split("<")[0])
