"""``git lumo board --html``: the command. What the page does stands in tests/board."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
import stat
import zlib

import pytest

import gitlumo

pytestmark = pytest.mark.damages


def block(text, name):
    """A block of the page's data."""
    data = re.search(rf'<script type="(\S+)" id="data-{name}">(.*?)</script>', text)
    return json.loads(data[2] if data[1] == "application/json" else zlib.decompress(base64.b64decode(data[2]), -15))


def test_a_file(lumo, ledger):
    done = lumo("board", "--html", "a.html")
    assert (done.status, done.err) == (0, "")
    assert re.fullmatch(r"a\.html: 3 runs, \d curves, 1\d\d\.\d KiB\n", done.out)
    text = (ledger / "a.html").read_text()
    head, table = block(text, "head"), block(text, "table")
    assert (head["repository"], head["runs"], head["thinned"]) == ("repo", 3, 0)
    assert sorted(table["labels"]) == ["digits/dies", "digits/first", "digits/second"]
    assert [value for value in table["columns"]["params.lr"] if value is not None] == [1, 0.1]
    curves = block(text, "curves-0")[table["labels"].index("digits/first")]
    assert curves["loss"] == [3, [0, 1, 1], curves["loss"][2], curves["loss"][3], [1, 0.5, 0.33333]]


def test_its_policy_allows_its_own_script_and_style_alone(lumo, ledger):
    text = lumo("board", "--html", "-").out
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1])
    assert policy.startswith("default-src 'none'; ")
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        hashed = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{directive} 'sha256-{hashed}';" in policy
    assert "unsafe" not in policy
    assert not re.findall(r'(?:src|href)="(?!#)', text.partition("<script>")[0])


def test_the_licence_of_the_chart_library_is_in_the_file(lumo, ledger):
    assert "/*! https://github.com/leeoniya/uPlot (v1.6.32) */" in lumo("board", "--html", "-").out


def test_some_runs(lumo, ledger):
    for words, labels in {
        ("lr < 0.5",): ["digits/first"],
        ("lr < 0.5", "acc > 5"): [],
        ("--sort", "-lr", "--columns", "lr,acc", "-n", "1"): ["digits/second"],
        ("--since", "2 days ago", "state != killed"): ["digits/second", "digits/first"],
        ("--until", "2 days ago"): [],
    }.items():
        text = lumo("board", "--html", "-", *words).out
        assert block(text, "table")["labels"] == labels, words
    assert block(lumo("board", "--html", "-", "--columns", "lr,acc").out, "head")["shown"] == [
        "params.lr",
        "metrics.acc",
    ]


def test_deprecated_runs_are_left_out(lumo, ledger):
    lumo("recover")
    lumo("rm", "second")
    assert "digits/second" not in block(lumo("board", "--html", "-").out, "table")["labels"]
    assert "digits/second" in block(lumo("board", "--html", "-", "--all").out, "table")["labels"]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--html", "a.html", "nosuch < 1"], 129, "no run has a column nosuch"),
        (["--html", "a.html", "--columns", "nosuch"], 129, "no run has a column nosuch"),
        (["--html", "a.html", "--points", "3"], 129, "a curve has 8 points or more"),
        (["--html", "none/a.html"], 128, "none: No such file or directory; name another place"),
        (["--html", "train.py"], 128, "train.py is there already; --force writes over it"),
        (["--html", "."], 128, ". is there already"),
        (["--html", ""], 128, "--html names no file"),
        (["lr <"], 129, "    lr <\n        ^"),
        (["nosuch = 1"], 129, "    nosuch = 1\n    ^^^^^^"),
        (["state = finishd"], 129, "did you mean finished?"),
        (["--no-open", "--port", "99999"], 129, "a port is 0 to 65535, not 99999"),
    ],
)
def test_what_cannot_be_done(lumo, ledger, words, status, said):
    done = lumo("board", *words)
    assert done.status == status
    assert said in done.err
    assert done.out == ""
    assert not (ledger / "a.html").exists()
    assert (ledger / "train.py").read_text() == "print('training')\n"


def test_force_writes_over_a_file(lumo, ledger):
    (ledger / "a.html").write_text("x")
    assert lumo("board", "--html", "a.html").status == 128
    assert lumo("board", "--html", "a.html", "-f").status == 0
    assert (ledger / "a.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("words", [("board", "--html"), ("archive", "@", "-o")])
def test_what_is_no_regular_file_is_never_replaced(lumo, ledger, words):
    os.mkfifo("pipe.tar")
    done = lumo(*words, "pipe.tar", "--force")
    assert (done.status, done.out) == (128, "")
    assert "pipe.tar is no regular file, and is not replaced by one; -: standard output" in done.err
    assert stat.S_ISFIFO(os.lstat("pipe.tar").st_mode)


def test_a_repository_without_runs(lumo, repo):
    done = lumo("board", "--html", "a.html")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("a.html: 0 runs, 0 curves, ")
    assert (repo / "a.html").stat().st_size <= 150_000


def test_outside_a_repository(lumo, tmp_path):
    done = lumo("board", "--html", "a.html", cwd=tmp_path)
    assert done.status == 128
    assert "fatal: not a git repository" in done.err


def test_what_was_thinned_is_told(lumo, repo):
    with gitlumo.Experiment("digits") as exp:
        for step in range(50):
            exp.log({"loss": step * 1.0}, step=step)
    done = lumo("board", "--html", "a.html", "--points", "10")
    assert "1 of the curves thinned to at most 10 points; their peaks stay" in done.out
    count, steps, *_, values = block((repo / "a.html").read_text(), "curves-0")[0]["loss"]
    assert (count, sum(steps), values[0], values[-1]) == (50, 49, 0, 49)
    assert len(values) <= 10


def test_the_same_runs_make_the_same_data(lumo, ledger):
    first, second = (lumo("board", "--html", "-", "state = finished").out for _ in range(2))
    without = [re.sub(r'"made":\d+', "", text) for text in (first, second)]
    assert without[0] == without[1]
