"""Which run repeats which: ``git lumo log --graph`` and ``git lumo show``."""

from __future__ import annotations

import pytest

from gitlumo import Experiment
from gitlumo.cli.lineage import Repeat, graph


def record(name, parent=None, acc=0.5):
    with Experiment("digits", name) as exp:
        if parent is not None:
            exp.record_info("rerun", {"from": parent if isinstance(parent, str) else parent.uid, "repeat": 0})
        exp.log({"acc": acc})
    return exp


@pytest.fixture
def family(repo):
    base = record("base")
    record("other", acc=0.1)
    child = record("child", base)
    record("grandchild", child)
    record("lost", "0" * 32)
    record("child-2", base)
    return base


def names(text):
    return [line.split(" finished")[0] for line in text.splitlines()]


def test_graph(here_lumo, family):
    drawn = ["* digits/base", "| * digits/child-2", "| * digits/child", "| | * digits/grandchild",
             "* digits/lost", "* digits/other"]  # fmt: skip
    assert names(here_lumo("log", "--graph", "--oneline").out) == drawn
    table = here_lumo("log", "--graph").out.splitlines()
    assert [line[:24].rstrip() for line in table[1:]] == drawn
    assert [
        line[:24].rstrip() for line in here_lumo("log", "--graph", "--columns", "acc").out.splitlines()[1:]
    ] == drawn
    assert "*" not in here_lumo("log", "--oneline").out


def test_graph_of_some(here_lumo, family):
    assert names(here_lumo("log", "--graph", "--oneline", "acc > .2", "name != base").out) == [
        "* digits/child-2", "* digits/lost", "* digits/child", "| * digits/grandchild"
    ]  # fmt: skip
    assert names(here_lumo("log", "--graph", "--oneline", "-n", "2").out) == ["* digits/child-2", "* digits/lost"]
    assert here_lumo("log", "--graph", "acc > 9").out == "no run is like that\n"


@pytest.mark.parametrize("option", [["--json"], ["--format", "csv"], ["--group-by", "acc"], ["--events"]])
def test_what_it_does_not_go_with(here_lumo, family, option):
    done = here_lumo("log", "--graph", *option)
    assert (done.status, done.out) == (129, "")
    assert "--graph" in done.err


def test_each_once_in_rings():
    ring = [
        Repeat("r", "p"),
        Repeat("p", "q"),
        Repeat("q", "p"),
        Repeat("self", "self"),
        Repeat("", ""),
        Repeat("", ""),
    ]
    assert sorted(place for place, _ in graph(ring)) == list(range(6))
    chain = [Repeat(str(i), str(i - 1)) for i in range(3000)]
    assert [place for place, _ in graph(chain[::-1])] == list(range(3000))[::-1]


def test_show_names_them(here_lumo, family):
    base = here_lumo("show", "base").out
    assert "rerun as" not in base  # there is no index yet, and nothing in the run's own files says so
    child = here_lumo(
        "show",
        "child",
    ).out  # exact name
    assert "rerun of  digits/base\n" in child
    assert "rerun as  digits/grandchild\n" in child
    assert [line for line in here_lumo("show", "base").out.splitlines() if "rerun as" in line] == [
        "  rerun as  digits/child-2", "  rerun as  digits/child"
    ]  # fmt: skip
    assert f"rerun of  {'0' * 32}\n" in here_lumo("show", "lost").out
