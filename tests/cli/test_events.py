"""``git lumo log --events``: who did what."""

from __future__ import annotations

import json
import re

import pytest

import gitlumo


@pytest.fixture
def two(repo):
    for name in ("first", "second with words"):
        with gitlumo.Experiment("digits", name) as exp:
            exp.log({"acc": 0.5})
            exp.checkpoint()
    return repo


def listed(here_lumo, *words):
    return [(e["run"], e["kind"], e["said"]) for e in json.loads(here_lumo("log", "--json", "--events", *words).out)]


def test_of_one_run(here_lumo, two, monkeypatch):
    here_lumo("note", "first", "-m", "one")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Grace Hopper")
    here_lumo("tag", "first", "best")
    monkeypatch.delenv("GIT_AUTHOR_NAME")
    here_lumo("undo", "first")
    lines = here_lumo("log", "--events", "first").out.splitlines()
    assert [re.split(r"  +", line)[2:] for line in lines[:3]] == [
        ["Ada Lovelace", "undo", "tag"],
        ["Grace Hopper", "tag", "+best (undone)"],
        ["Ada Lovelace", "note", "one"],
    ]
    events = json.loads(here_lumo("log", "--events", "first", "--json").out)
    assert [event["kind"] for event in events] == ["undo", "tag", "note", "end", "checkpoint", "start"]
    assert [event["undone"] for event in events[:3]] == [False, True, False]
    assert events[1]["by"] == "Grace Hopper <ada@example.org>"
    assert len({event["uid"] for event in events}) == 1


def test_of_all_runs(here_lumo, two, git):
    here_lumo("rm", "first")
    found = listed(here_lumo)
    assert found[0] == ("digits/first", "edit", "finished deprecated=true")
    assert found[1] == ("digits/second with words", "end", "finished acc=0.5")
    assert len(found) == 7
    assert len(listed(here_lumo, "-n", "2")) == 2
    newest = json.loads(here_lumo("log", "--events", "--json").out)[0]
    assert newest["commit"] == git("rev-parse", "lumo_experiments")


def test_both_sides_of_a_merge_and_no_code(here_lumo, two, git, tmp_path):
    clone = tmp_path / "clone"
    git("clone", "--quiet", two, clone)
    gitlumo.Experiment("digits", "there", repo=clone).start().end()
    gitlumo.SimpleExperiment("digits", "here").start().end()
    git("fetch", "--quiet", clone, "lumo_experiments:refs/remotes/clone/lumo_experiments")
    assert here_lumo("rm", "there").status == 0
    found = listed(here_lumo)
    assert {run for run, _, _ in found} == {"digits/first", "digits/second with words", "digits/here", "digits/there"}
    assert len(found) == len(set(found)) == 11


def test_a_commit_of_several_runs(here_lumo, two, git):
    """Who holds the lock publishes others' events with its own: each is listed."""
    from gitlumo.git.objects import Commit
    from gitlumo.store.events import of_commit
    from gitlumo.store.layout import event_message

    told = [("end", "0" * 32, "digits/a finished acc=1"), ("start", "1" * 32, "digits/b running")]
    commit = Commit("", (), "Ada <a@b> 5 +0000", "Ada <a@b> 5 +0000", event_message(told))
    found = list(of_commit("c" * 40, commit))
    assert [(event.name, event.kind, event.uid[0], event.said) for event in found] == [
        (("digits", "a"), "end", "0", "finished acc=1"),
        (("digits", "b"), "start", "1", "running"),
    ]


def test_a_shallow_clone(here_lumo, two, git, tmp_path, monkeypatch):
    git("clone", "--quiet", "--depth=1", "--no-single-branch", f"file://{two}", tmp_path / "shallow")
    monkeypatch.chdir(tmp_path / "shallow")
    assert [kind for _, kind, _ in listed(here_lumo)] == ["end"]
    assert here_lumo("log", "--events", "first").status == 0


def test_no_events(here_lumo, repo):
    assert here_lumo("log", "--events").out == ""
    assert json.loads(here_lumo("log", "--events", "--json").out) == []
