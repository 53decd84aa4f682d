"""``git lumo undo``: the latest edit of a run, or one's own latest of all; and back again."""

from __future__ import annotations

import pytest

import gitlumo


@pytest.fixture
def two(repo):
    for name in ("first", "second"):
        gitlumo.Experiment("digits", name).start().end()
    return repo


def notes(here_lumo):
    return [here_lumo("note", name).out.strip() for name in ("first", "second")]


def test_back_and_forth(here_lumo, two, fsck):
    """Undoing goes further back each time, redoing the same way forth."""
    for text in ("one", "two", "three"):
        here_lumo("note", "first", "-m", text)
    seen = []
    for words in (["undo"], ["undo"], ["undo", "--redo"], ["undo", "--redo"], ["undo"], ["undo"], ["undo"]):
        done = here_lumo(*words, "first")
        assert (done.status, done.err) == (0, "")
        seen.append(notes(here_lumo)[0])
    assert seen == ["two", "one", "two", "three", "two", "one", ""]
    done = here_lumo("undo", "first")
    assert done.status == 128
    assert "digits/first has no edit that could be undone" in done.err
    fsck(two)


def test_it_says_what_and_how_to_go_back(here_lumo, two):
    here_lumo("tag", "first", "best")
    done = here_lumo("undo", "first")
    assert "digits/first: tag +best undone (of Ada Lovelace <ada@example.org>, " in done.out
    assert '"git lumo undo --redo digits/first"' in done.out
    done = here_lumo("undo", "--redo", "first")
    assert "tag +best is back" in done.out
    assert '"git lumo undo digits/first"' in done.out
    assert here_lumo("tag", "first").out == "best\n"


def test_without_a_name_ones_own_latest(here_lumo, two, monkeypatch):
    here_lumo("note", "first", "-m", "one")
    here_lumo("note", "second", "-m", "two")
    here_lumo("note", "first", "-m", "three")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Grace Hopper")
    here_lumo("note", "second", "-m", "grace")
    monkeypatch.delenv("GIT_AUTHOR_NAME")
    seen = []
    for words in (["undo"], ["undo"], ["undo"], ["undo", "--redo"]):
        assert here_lumo(*words).status == 0
        seen.append(notes(here_lumo))
    # Grace's note of the second run stays; what is undone below it is not seen
    assert seen == [["one", "grace"], ["one", "grace"], ["", "grace"], ["one", "grace"]]
    assert here_lumo("undo", "second").status == 0
    assert notes(here_lumo) == ["one", ""]


def test_nothing_to_undo(here_lumo, repo):
    for words in (["undo"], ["undo", "--redo"]):
        done = here_lumo(*words)
        assert done.status == 128
        assert "could be undone by Ada Lovelace <ada@example.org>" in done.err
    gitlumo.Experiment("digits", "first").start().end()
    assert here_lumo("undo", "first").status == 128
    assert here_lumo("undo", "--redo", "first").status == 128


def test_an_edit_in_a_clone_is_undone_here(here_lumo, two, git, tmp_path, monkeypatch):
    clone = tmp_path / "clone"
    git("clone", "--quiet", two, clone)
    gitlumo.Watcher(clone).retrieve("first").dump_note("there")
    git("fetch", "--quiet", clone, "lumo_experiments:refs/remotes/clone/lumo_experiments")
    assert notes(here_lumo)[0] == "there"
    assert here_lumo("undo").status == 0
    assert notes(here_lumo)[0] == ""
