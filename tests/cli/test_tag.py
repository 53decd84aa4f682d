"""``git lumo tag``: adding, removing and listing."""

from __future__ import annotations

import pytest

import gitlumo


@pytest.fixture
def one(repo):
    with gitlumo.Experiment("digits", "first") as exp:
        exp.dump_tags("draft")
    return repo


def test_add_remove_and_list(here_lumo, one, git):
    done = here_lumo("tag", "first", "best", "+paper", "-d", "draft")
    assert (done.status, done.err) == (0, "")
    assert "tags +best,+paper,-draft" in done.out
    assert "git lumo undo digits/first" in done.out
    assert here_lumo("tag", "first").out == "best\npaper\n"
    assert gitlumo.Watcher().retrieve("first").tags == ["best", "paper"]
    assert git("log", "-1", "--format=%s", "lumo_experiments").endswith("tag=+best,+paper,-draft")


def test_what_is_there_already_is_no_event(here_lumo, one, git):
    before = git("rev-parse", "lumo_experiments")
    assert "already" in here_lumo("tag", "first", "draft").out
    assert git("rev-parse", "lumo_experiments") == before


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["-d", "nosuch"], 128, "no tag 'nosuch'; it has: draft"),
        (["+"], 128, "a tag is a word"),
        (["a\nb"], 128, "a tag is a word"),
        (["--", "-x"], 128, "tag '-x': it must not begin with '-'"),
        (["+-x"], 128, "tag '-x': it must not begin with '-'"),
        (["a", "-d", "a"], 129, "to be added and to be removed"),
    ],
)
def test_wrong_tags_leave_no_trace(here_lumo, one, git, words, status, said):
    before = git("rev-parse", "lumo_experiments")
    done = here_lumo("tag", "first", *words)
    assert done.status == status
    assert said in done.err
    assert git("rev-parse", "lumo_experiments") == before


def test_of_a_run_that_goes_on(here_lumo, repo):
    exp = gitlumo.Experiment("digits", "live").start()
    assert here_lumo("tag", "live", "watch").status == 0
    assert here_lumo("tag", "live").out == "watch\n"
    exp.end()
    assert here_lumo("tag", "live").out == "watch\n"
