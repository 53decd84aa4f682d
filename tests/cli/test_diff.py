"""``git lumo diff``: how differences are shown, and git's own diff of the code."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

import gitlumo
from tests.cli.test_command import on_a_terminal


def record(name, params, metrics=(), cls=gitlumo.Experiment, **info):
    with cls("digits", name) as exp:
        exp.dump_info("params", params)
        for key, value, cmp in metrics:
            exp.dump_metric(key, value, cmp=cmp)
        for key, value in info.items():
            exp.record_info(key, value)
    return exp


@pytest.fixture
def two(repo):
    """Two runs of different code: a file that was changed, and one that is new."""
    metrics = [("acc", 0.5, "max"), ("loss", 0.5, "min")]
    lock = {"numpy": "2.0", "python": "3.11", "same": "1"}
    record("first", {"lr": 0.1, "optim": {"wd": 0}, "nan": float("nan")}, metrics, gitlumo.SimpleExperiment, lock=lock)
    (repo / "train.py").write_text("print('better')\n")
    metrics = [("acc", 0.75, "max"), ("loss", 0.25, "min")]
    lock |= {"numpy": "2.1", "new": "1"}
    record("second", {"lr": 1, "drop": 0.5, "nan": float("nan")}, metrics, gitlumo.SimpleExperiment, lock=lock)
    return repo


def lines(done):
    assert (done.status, done.err) == (0, "")
    return [re.sub(r" +", " ", line) for line in done.out.splitlines()]


def test_two_runs(here_lumo, two):
    shown = lines(here_lumo("diff", "first", "second"))
    assert shown[:-1] == [
        "--- digits/first",
        "+++ digits/second",
        "params",
        " lr 0.1 -> 1",
        "- optim.wd 0",
        "+ drop 0.5",
        "metrics",
        " acc 0.5 -> 0.75 (+50.0%)",
        " loss 0.5 -> 0.25 (-50.0%)",
        "lock",
        " numpy 2.0 -> 2.1",
        "+ new 1",
        "code",
    ]
    assert re.fullmatch(r" [0-9a-f]{12} -> [0-9a-f]{12}", shown[-1])


def test_more_than_two_are_a_table(here_lumo, two):
    record("third", {"lr": 1, "optim": {"wd": 0}, "nan": float("nan")})
    out = here_lumo("diff", "first", "second", "third").out
    rows = [re.split(r" {2,}", line.strip()) for line in out.splitlines()]
    assert rows[0] == ["params", "digits/first", "digits/second", "digits/third"]
    assert rows[1:4] == [["lr", "0.1", "1", "1"], ["optim.wd", "0", "0"], ["drop", "0.5"]]
    head, wd = out.splitlines()[0], out.splitlines()[2]
    assert wd.index("0", 10) == head.index("digits/first")
    assert wd.rindex("0") == head.index("digits/third")


def test_equal_runs(here_lumo, two):
    assert here_lumo("diff", "first", "first").out == ""
    assert here_lumo("diff", "first", "first", "--exit-code").status == 0
    assert here_lumo("diff", "first", "second", "--exit-code").status == 1
    nothing = {"runs": ["digits/first", "digits/first"], "differences": {}, "changes": {}}
    assert json.loads(here_lumo("diff", "first", "first", "--json").out) == nothing


def test_json(here_lumo, two):
    told = json.loads(here_lumo("diff", "first", "second", "--json").out)
    assert told["runs"] == ["digits/first", "digits/second"]
    assert told["differences"]["params"] == {
        "lr": {"digits/first": 0.1, "digits/second": 1},
        "optim.wd": {"digits/first": 0},
        "drop": {"digits/second": 0.5},
    }
    assert told["changes"] == {"acc": 0.5, "loss": -0.5}
    assert len(told["differences"]["code"]["code"]["digits/first"]) == 40
    record("odd", {"$x": float("inf")}, [("acc", float("nan"), "max")])
    told = json.loads(here_lumo("diff", "first", "odd", "--json").out)
    assert told["differences"]["params"]["$$x"] == {"digits/odd": {"$float": "Infinity"}}
    assert told["differences"]["metrics"]["acc"] == {"digits/first": 0.5, "digits/odd": "NaN"}


def test_the_code(here_lumo, two, git):
    shown = here_lumo("diff", "first", "second", "--stat")
    assert " train.py | 2 +-" in shown.out
    assert "@@" not in shown.out
    patch = here_lumo("diff", "first", "second", "--code").out
    assert "-print('training')\n+print('better')\n" in patch
    git("checkout", "--quiet", "train.py")
    subprocess.run(["git", "apply"], input=patch, text=True, check=True)  # as it was piped
    assert (two / "train.py").read_text() == "print('better')\n"


def test_code_of_other_bytes_is_piped_as_it_is(two, git):
    (two / "latin.txt").write_bytes(b"gr\xf6\xdfer\n")
    record("third", {}, cls=gitlumo.SimpleExperiment)
    piped = subprocess.run(["git", "lumo", "diff", "second", "third", "--code"], capture_output=True, check=True).stdout
    assert b"+gr\xf6\xdfer\n" in piped


def test_the_same_tree_on_another_commit_is_the_same_code(here_lumo, two, git):
    git("commit", "--quiet", "--all", "--message", "what was recorded")
    record("third", {}, cls=gitlumo.SimpleExperiment)
    assert "code" not in here_lumo("diff", "second", "third").out.splitlines()
    assert "code" in here_lumo("diff", "first", "third").out.splitlines()


@pytest.mark.parametrize("commit", ["0" * 40, "--output=owned", "HEAD", "x", ""])
@pytest.mark.damages
def test_code_that_is_not_here(here_lumo, two, commit):
    """Also what a stranger wrote in place of a commit: git is never given it."""
    record("third", {}, git={"commit": commit})
    for words in (["--code"], ["--stat"], []):
        done = here_lumo("diff", "first", "third", *words)
        assert (done.status, done.err) == (0, "")
        assert "diff --git" not in done.out
        assert "not in this repository" in done.out
    assert not (two / "owned").exists()


def test_on_a_terminal(two):
    (two / "evil.py").write_text("# \033]0;owned\007\n")
    record(
        "evil",
        {"lr": 1, "drop": 0.5, "\033[2Jkey": "\033]0;owned\007"},
        [("acc", 0.7, "max")],
        gitlumo.SimpleExperiment,
    )
    status, out = on_a_terminal(
        ["git-lumo", "diff", "second", "evil", "--code"], {"TERM": "xterm", "GIT_PAGER": "cat", "COLUMNS": "80"}
    )
    assert status == 0
    assert "\033]" not in out
    assert "\033[2J" not in out
    assert "\007" not in out
    assert "\033[1mparams\033[m" in out
    assert "\033[31m(-6.7%)\033[m" in out  # worse: the greatest is best
    assert "\033[32m+" in out  # git's own colours


def test_values_that_look_the_same(here_lumo, repo):
    record("a", {"lr": "1", "eps": 0.100001, "text": "x\ny", "list": [1, 2]}, [("acc", 0.900001, "max")])
    record("b", {"lr": 1, "eps": 0.100002, "text": "x y", "list": [1, 3]}, [("acc", 0.900002, "max")])
    shown = lines(here_lumo("diff", "a", "b"))
    assert ' lr "1" -> 1' in shown
    assert " eps 0.100001 -> 0.100002" in shown
    assert " acc 0.900001 -> 0.900002 (+0.0%)" in shown
    assert " text x?y -> x y" in shown
    assert " list [1, 2] -> [1, 3]" in shown


def test_wrong_usage(here_lumo, two):
    assert here_lumo("diff", "first").status == 129
    assert here_lumo("diff", "first", "second", "--json", "--stat").status == 129
    assert here_lumo("diff", "first", "nosuch").status == 128
