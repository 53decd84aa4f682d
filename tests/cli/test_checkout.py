"""``git lumo checkout`` and ``git lumo branch``: the code of a run, and nothing of the user's is touched."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

import gitlumo


@pytest.fixture
def trained(repo, git, fsck, tree_state):
    """A repository with a run on uncommitted code, which has changed since; nothing of the user's changes."""
    (repo / "train.py").write_text("print('old')\n")
    (repo / "model.py").write_text("size = 1\n")
    gitlumo.SimpleExperiment("digits", "first").start().end()
    (repo / "train.py").write_text("print('new')\n")
    (repo / "model.py").unlink()
    before = tree_state(repo)
    yield repo
    now = tree_state(repo)
    assert {key: now[key] for key in now if key != "refs"} == {key: before[key] for key in before if key != "refs"}
    fsck(repo)


def commit_of(lumo, name="first"):
    return json.loads(lumo("show", name, "--json").out)["git"]["commit"]


def test_a_work_tree_beside_the_repository(trained, lumo, git):
    done = lumo("checkout", "first")
    path = trained.parent / "repo-first"
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        f"{path}: the code of digits/first, {commit_of(lumo)[:12]}",
        f'  (to remove it: "git worktree remove {path}")',
    ]
    assert (path / "train.py").read_text() == "print('old')\n"
    assert (path / "model.py").exists()
    assert git("status", "--porcelain", cwd=path) == ""
    assert git("branch", "--show-current", cwd=path) == ""
    again = lumo("checkout", "first")
    assert again.status == 128
    assert "is there already, and not an empty folder" in again.err
    assert f"'git worktree remove {path}' removes it" in again.err
    git("worktree", "remove", path)
    assert lumo("checkout", "first").status == 0
    shutil.rmtree(path)  # by hand: git still has an entry of it
    assert lumo("checkout", "first").status == 0


def test_code_with_a_submodule_is_removed_as_it_says(repo, lumo, git, tmp_path):
    git("clone", "--quiet", repo, tmp_path / "library")
    git("submodule", "--quiet", "add", tmp_path / "library", "library")
    gitlumo.SimpleExperiment("digits", "first").start().end()
    path = tmp_path / "code"
    hint = f"git worktree remove --force {path}"
    assert f'  (to remove it: "{hint}")' in lumo("checkout", "first", path).out
    assert f"'{hint}' removes it" in lumo("checkout", "first", path).err
    git(*hint.split()[1:])
    assert not path.exists()


def test_a_folder_of_ones_own(trained, lumo, git, tmp_path):
    (tmp_path / "my tree").mkdir()
    done = lumo("checkout", "first", "../my tree", "--json")
    assert json.loads(done.out) == {
        "exp": "digits/first",
        "commit": commit_of(lumo),
        "path": str(tmp_path / "my tree"),
        "missing": [],
    }
    assert (tmp_path / "my tree/model.py").exists()


def test_what_lies_in_the_folder_stays(trained, lumo, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis").write_text("1")
    (tmp_path / "file").write_text("2")
    for name in ("full", "file"):
        done = lumo("checkout", "first", f"../{name}")
        assert (done.status, done.out) == (128, "")
        assert "is there already" in done.err
    assert os.listdir(tmp_path / "full") == ["thesis"]
    assert (tmp_path / "file").read_text() == "2"


def test_hooks_of_the_recorded_code_do_not_run(trained, lumo, git, tmp_path):
    """``core.hooksPath`` may be relative to the work tree, whose hooks are a stranger's then."""
    (trained / "hooks").mkdir()
    (trained / "hooks/post-checkout").write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n")
    (trained / "hooks/post-checkout").chmod(0o755)
    gitlumo.SimpleExperiment("digits", "hooked").start().end()
    shutil.rmtree(trained / "hooks")
    git("config", "core.hooksPath", "hooks")
    assert lumo("checkout", "hooked").status == 0
    assert (tmp_path / "repo-hooked/hooks/post-checkout").exists()
    assert not (tmp_path / "ran").exists()


def test_a_run_of_another_clone(trained, lumo, git, tmp_path):
    git("clone", "--quiet", trained, tmp_path / "clone")
    done = lumo("checkout", "@", cwd=tmp_path / "clone")
    assert (done.status, done.err) == (0, "")
    assert (tmp_path / "clone-first/train.py").read_text() == "print('old')\n"


def test_bare(trained, lumo, git, tmp_path):
    git("clone", "--quiet", "--bare", trained, tmp_path / "bare.git")
    assert lumo("checkout", "@", git=["--git-dir", str(tmp_path / "bare.git")]).status == 0
    assert (tmp_path / "bare-first/model.py").exists()


def test_no_code(trained, lumo):
    gitlumo.Experiment("digits", "plain").start().end()
    for words in (["checkout", "plain"], ["branch", "x", "plain"], ["archive", "plain"]):
        done = lumo(*words)
        assert (done.status, done.out) == (128, "")
        assert "digits/plain recorded no code" in done.err


@pytest.mark.damages  # the run's code is taken away
def test_code_that_is_not_here(trained, lumo, git, tmp_path):
    git("clone", "--quiet", "--depth=1", "--no-single-branch", f"file://{trained}", tmp_path / "shallow")
    commit = commit_of(lumo)
    done = lumo("checkout", "@", cwd=tmp_path / "shallow")
    assert done.status == 128
    assert f"the code of digits/first, {commit[:12]}, is not here" in done.err
    assert "git fetch --unshallow" in done.err
    assert not (tmp_path / "shallow-first").exists()
    git("fetch", "--quiet", "--unshallow", cwd=tmp_path / "shallow")
    assert lumo("checkout", "@", cwd=tmp_path / "shallow").status == 0


@pytest.mark.damages  # a stranger's record
@pytest.mark.parametrize("commit", ["--upload-pack=touch ran", "HEAD", "../../x", "0" * 39])
def test_a_strangers_commit_is_no_option(trained, lumo, git, commit):
    exp = gitlumo.Experiment("digits", "strange").start()
    exp.record_info("git", {"commit": commit})
    exp.end()
    for words in (["checkout", "strange"], ["branch", "x", "strange"], ["show", "strange:train.py"]):
        done = lumo(*words)
        assert (done.status, done.out) == (128, "")
        assert "info/git.json" in done.err
    assert not Path("ran").exists()


# ------------------------------------------------------------------------------------------------------------ branch


def test_a_branch(trained, lumo, git):
    commit = commit_of(lumo)
    done = lumo("branch", "idea", "first")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        f"idea is at {commit[:12]}, the code of digits/first",
        '  (use "git switch idea" to work on it, "git branch -D idea" to remove it)',
    ]
    assert git("rev-parse", "refs/heads/idea") == commit
    assert git("config", "--get-regexp", "^branch.", check=False) == ""


def test_one_that_exists(trained, lumo, git):
    git("branch", "idea")
    done = lumo("branch", "idea", "first")
    assert (done.status, done.err) == (128, "fatal: a branch named 'idea' already exists\n")
    assert lumo("branch", "-f", "idea", "first").status == 0
    assert git("rev-parse", "idea") == commit_of(lumo)
    checked_out = lumo("branch", "-f", "main", "first")
    assert checked_out.status == 128
    assert "main" in checked_out.err


@pytest.mark.parametrize("name", ["a b", "..", "x.lock", "", "HEAD", "@{-1}"])
def test_gits_own_rules_for_names(trained, lumo, git, name):
    done = lumo("branch", name, "first")
    assert done.status == 128
    assert done.err.startswith("fatal: ")
    assert git("for-each-ref", "--format=%(refname:short)", "refs/heads").splitlines() == ["lumo_experiments", "main"]


@pytest.mark.parametrize("name", ["lumo_experiments", "Lumo_Experiments"])
def test_never_the_ledger(trained, lumo, git, name):
    tip = git("rev-parse", "lumo_experiments")
    done = lumo("branch", "--force", name, "first")
    assert done.status == 128
    assert "is the ledger of all runs" in done.err
    assert git("rev-parse", "lumo_experiments") == tip


def test_usage(trained, lumo):
    assert lumo("branch", "x").status == lumo("checkout").status == 129
    assert "no run is called 'nix'" in lumo("branch", "x", "nix").err
