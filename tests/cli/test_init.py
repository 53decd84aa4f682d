"""``git lumo init``: the ledger is there afterwards, and nothing else has changed."""

from __future__ import annotations

import pytest

import gitlumo


def test_an_empty_ledger(lumo, repo, git, fsck, tree_state):
    before = tree_state(repo)
    done = lumo("init")
    tip = git("rev-parse", "lumo_experiments")
    assert (done.status, done.err) == (0, "")
    assert done.out == f"made lumo_experiments at {tip[:12]} (0 runs)\n"
    assert tree_state(repo) == before
    assert list((repo / ".git/objects/pack").glob("*.keep")) == []
    assert lumo("init").out == f"ready before: lumo_experiments at {tip[:12]} (0 runs)\n"
    assert git("rev-parse", "lumo_experiments") == tip
    assert lumo("doctor").status == 0
    fsck(repo)


def test_every_ledger_has_the_same_root(lumo, repo, git):
    lumo("init")
    root = git("rev-parse", "lumo_experiments")
    gitlumo.Experiment("digits").start().end()
    assert git("rev-list", "--max-parents=0", "--first-parent", "lumo_experiments") == root


@pytest.mark.parametrize("kind", ["empty", "bare", "worktree", "detached"])
def test_any_repository(lumo, repo, git, tmp_path, kind):
    place = {"detached": repo}.get(kind, tmp_path / kind)
    if kind == "worktree":
        git("worktree", "add", "--quiet", "--detach", place)
    elif kind == "detached":
        git("switch", "--quiet", "--detach")
    else:
        git("init", "--quiet", *(["--bare"] if kind == "bare" else []), place)
    assert lumo("init", cwd=place).out.startswith("made lumo_experiments")
    assert git("log", "--format=%s", "lumo_experiments", cwd=place) == "gitlumo ledger"
    assert lumo("init", cwd=place).out.startswith("ready before")


def test_what_a_remote_has_is_taken_in(lumo, repo, git, tmp_path):
    gitlumo.Experiment("digits", "there").start().end()
    clone = tmp_path / "clone"
    git("clone", "--quiet", repo, clone)
    tip = git("rev-parse", "lumo_experiments")
    assert lumo("init", cwd=clone).out == (
        f"made lumo_experiments at {tip[:12]} (1 run), from origin/lumo_experiments\n"
    )
    assert git("rev-parse", "lumo_experiments", cwd=clone) == tip
    assert lumo("init", cwd=clone).out.startswith("ready before")
    gitlumo.Experiment("digits", "here", repo=clone).start().end()
    gitlumo.Experiment("digits", "more").start().end()
    git("fetch", "--quiet", cwd=clone)
    assert lumo("init", cwd=clone).out.startswith("joined lumo_experiments")
    assert lumo("log", "--oneline", cwd=clone).out.count("\n") == 3


def test_a_deleted_ledger_comes_back(lumo, repo, git):
    gitlumo.Experiment("digits").start().end()
    tip = git("rev-parse", "lumo_experiments")
    git("branch", "-D", "lumo_experiments")
    assert lumo("init").out == f"brought back: lumo_experiments at {tip[:12]} (1 run)\n"


def test_no_repository(lumo, tmp_path):
    done = lumo("init", cwd=tmp_path)
    assert done.status == 128
    assert "git init" in done.err


@pytest.mark.damages
def test_a_branch_that_is_no_ledger_is_left_alone(lumo, repo, git):
    git("branch", "lumo_experiments")
    done = lumo("init")
    assert done.status == 128
    assert "git branch -m" in done.err
    assert git("rev-parse", "lumo_experiments") == git("rev-parse", "main")
