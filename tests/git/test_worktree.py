"""Linked work trees: the files of a commit, in every kind of repository, and nothing of the user's touched."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gitlumo.errors import GitError
from gitlumo.git import worktree
from gitlumo.git.repository import open_repository
from tests.git.snapshots import take

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 4\n".format("ab" * 32)


@pytest.fixture
def made(tmp_path, git, tree_state, fsck):
    """``made(repo, commit)``: make a work tree with the user's state compared; returns (path, what is missing)."""

    def run(repo: Path, commit: str = "HEAD", look: bool = True, **options) -> tuple[Path, list[str]]:
        has_tree = git("rev-parse", "--is-bare-repository", cwd=repo) == "false"
        before = tree_state(repo) if has_tree else None
        path = tmp_path / "a linked tree"
        opened = open_repository(repo)
        missing = worktree.add(opened, str(path), git("rev-parse", commit, cwd=repo), **options)
        opened.close()
        assert before is None or tree_state(repo) == before
        fsck(repo)
        assert worktree.is_sound(str(path))
        if look:
            state = worktree.look(str(path))
            assert (state.commit, state.is_detached) == (git("rev-parse", commit, cwd=repo), True)
        return path, missing

    return run


def gone(repo: Path, path: Path) -> bool:
    """Whether neither the work tree nor its entry is left."""
    opened = open_repository(repo)
    return not path.exists() and not [entry for entry in worktree.entries(opened) if entry.path == str(path)]


KINDS = {
    "plain": [],
    "sha256": ["--object-format=sha256"],
    "reftable": ["--ref-format=reftable"],
}


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_kinds(options, git, tmp_path, made, monkeypatch):
    repo = tmp_path / "repo"
    if subprocess.run(["git", "init", "--quiet", *options, repo], capture_output=True).returncode:
        pytest.skip("git is too old for reftable")
    (repo / "train.py").write_text("1\n")
    git("add", "--all", cwd=repo)
    git("commit", "--quiet", "-m", "one", cwd=repo)
    path, missing = made(repo)
    assert missing == []
    assert (path / "train.py").read_text() == "1\n"
    assert worktree.look(str(path)).others == []
    worktree.remove(open_repository(repo), str(path))
    assert gone(repo, path)
    assert not (repo / ".git/worktrees").exists()


def test_the_snapshot_of_a_repository_without_commits(empty_repo, git, made):
    (empty_repo / "train.py").write_text("print(1)\n")
    taken = take(empty_repo)
    for ending in (".pack", ".idx"):
        os.rename(taken.pack + ending, empty_repo / f".git/objects/pack/pack-{taken.commit}{ending}")
    path, _ = made(empty_repo, taken.commit)
    assert (path / "train.py").read_text() == "print(1)\n"


def test_a_bare_repository(repo, git, tmp_path, made):
    git("clone", "--quiet", "--bare", repo, tmp_path / "bare.git")
    path, _ = made(tmp_path / "bare.git")
    assert (path / "train.py").exists()


def test_from_a_linked_work_tree(repo, git, tmp_path, made):
    git("worktree", "add", "--quiet", tmp_path / "other", "-b", "topic")
    path, _ = made(tmp_path / "other")
    assert (path / "train.py").exists()


def test_the_users_hooks_do_not_run(repo, made):
    hook = repo / ".git/hooks/post-checkout"
    hook.write_text("#!/bin/sh\necho ran >>'%s'\n" % (repo.parent / "ran"))
    hook.chmod(0o755)
    made(repo)
    assert not (repo.parent / "ran").exists()


def test_a_lock_keeps_it(repo, git, made):
    path, _ = made(repo, lock="a run is in it")
    assert git("worktree", "remove", path, check=False) == ""
    git("worktree", "prune")
    assert path.exists()
    worktree.lock(str(path), None)
    worktree.lock(str(path), "another")
    assert git("worktree", "list", "--porcelain").endswith("locked another\n")
    worktree.lock(str(path), None)
    git("worktree", "remove", path)
    assert gone(repo, path)


def test_what_lies_in_it(repo, git, made):
    path, _ = made(repo)
    (path / "train.py").write_text("2\n")
    (path / "new\nfile").write_text("")
    (path / "run.log").write_text("")
    (path / "__pycache__").mkdir()
    (path / "__pycache__/a.pyc").write_text("")
    state = worktree.look(str(path))
    assert state.changed == ["train.py"]
    assert sorted(state.others) == ["__pycache__/", "new\nfile", "run.log"]
    git("switch", "--quiet", "-c", "mine", cwd=path)
    assert not worktree.look(str(path)).is_detached


def test_write_protected_folders_go_too(repo, made):
    path, _ = made(repo)
    (path / "kept/deep").mkdir(parents=True)
    (path / "kept/deep/file").write_text("")
    (path / "kept/deep").chmod(0o500)
    (path / "kept").chmod(0o500)
    worktree.remove(open_repository(repo), str(path))
    assert gone(repo, path)


def test_an_unknown_commit_leaves_nothing(repo, tmp_path):
    opened = open_repository(repo)
    with pytest.raises(GitError, match="cannot put the code 1111"):
        worktree.add(opened, str(tmp_path / "tree"), "1" * 40, "why")
    assert gone(repo, tmp_path / "tree")
    assert list(worktree.entries(opened)) == []


def test_what_lies_there_stays(repo, tmp_path, git):
    opened = open_repository(repo)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/.git").write_text("somebody's")
    (tmp_path / "file").write_text("somebody's")
    for name in ("full", "file"):
        with pytest.raises(GitError, match="is there already"):
            worktree.add(opened, str(tmp_path / name), git("rev-parse", "HEAD"))
    assert (tmp_path / "full/.git").read_text() == (tmp_path / "file").read_text() == "somebody's"


def test_a_repository_that_names_its_work_tree(repo, git, made):
    git("config", "core.worktree", repo)
    path, _ = made(repo)
    assert git("rev-parse", "--show-toplevel", cwd=path) == str(path)


def test_behind_a_symbolic_link(repo, git, tmp_path):
    (tmp_path / "real").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "link")
    path = str(tmp_path / "link/tree")
    opened = open_repository(repo)
    worktree.add(opened, path, git("rev-parse", "HEAD"))
    assert worktree.is_sound(path)
    worktree.remove(opened, path)
    assert list(worktree.entries(opened)) == []


def test_half_made_ones_are_removed(repo, git, made, tmp_path):
    """As a SIGKILL leaves them: the entry without its pointer, or the folder without its ``.git``."""
    path, _ = made(repo, lock="mine")
    opened = open_repository(repo)
    (entry,) = worktree.entries(opened)
    (path / ".git").unlink()
    os.unlink(os.path.join(entry.admin, "gitdir"))
    worktree.remove(opened, str(path), "another")
    assert len(list(worktree.entries(opened))) == 1
    worktree.remove(opened, str(path), "mine")
    assert list(worktree.entries(opened)) == []
    assert not path.exists()


def test_relative_paths(repo, git, made):
    """git 2.48 writes them where ``worktree.useRelativePaths`` says so."""
    path, _ = made(repo)
    (entry,) = worktree.entries(open_repository(repo))
    (path / ".git").write_text(f"gitdir: {os.path.relpath(entry.admin, path)}\n")
    Path(entry.admin, "gitdir").write_text(f"{os.path.relpath(path / '.git', entry.admin)}\n")
    assert worktree.is_sound(str(path))
    worktree.discard(str(path))
    assert gone(repo, path)


# --------------------------------------------------------------------------------------------------- submodules


@pytest.fixture
def nested(repo, git, tmp_path):
    """A repository with a submodule in a submodule, all checked out, one file of each not committed."""
    for name in ("deep", "lib"):
        git("init", "--quiet", tmp_path / name)
        (tmp_path / name / f"{name}.py").write_text("x = 1\n")
        if name == "lib":
            git("submodule", "--quiet", "add", tmp_path / "deep", "deep", cwd=tmp_path / name)
        git("add", "--all", cwd=tmp_path / name)
        git("commit", "--quiet", "-m", name, cwd=tmp_path / name)
    git("submodule", "--quiet", "add", tmp_path / "lib", "my libs/lib")
    git("submodule", "--quiet", "update", "--init", "--recursive")
    git("commit", "--quiet", "-m", "with a submodule")
    return repo


def test_submodules_come_from_what_is_here(nested, tmp_path, made):
    for name in ("deep", "lib"):
        os.rename(tmp_path / name, tmp_path / f"{name} is away")
    path, missing = made(nested)
    assert missing == []
    assert (path / "my libs/lib/lib.py").exists()
    assert (path / "my libs/lib/deep/deep.py").exists()
    state = worktree.look(str(path))
    assert state.changed == state.others == []


def test_a_submodule_that_is_not_here_is_named(nested, git, tmp_path, made):
    git("clone", "--quiet", nested, tmp_path / "clone")
    path, missing = made(tmp_path / "clone")
    assert len(missing) == 1
    assert "my libs/lib" in missing[0]
    assert "is not on this machine" in missing[0]
    assert "git submodule update --init 'my libs/lib'" in missing[0]
    assert (path / "train.py").exists()


def test_a_commit_of_a_submodule_that_is_not_here_is_named(nested, git, made):
    tree = nested / "my libs/lib"
    git("update-index", "--cacheinfo", f"160000,{'1' * 40},my libs/lib")
    git("commit", "--quiet", "-m", "a commit that nobody has")
    _, missing = made(nested)
    assert "is not in its repository here" in missing[0]
    assert tree.is_dir()


# ---------------------------------------------------------------------------------- LFS, sparse and partial clones


@pytest.fixture
def large(repo, git):
    """A repository with a file that goes through the filter ``lfs``, which nobody has configured."""
    (repo / ".gitattributes").write_text("*.bin filter=lfs\n")
    (repo / "model.bin").write_text(POINTER)
    git("add", "--all")
    git("commit", "--quiet", "-m", "a large file")
    return repo


def test_lfs_files_are_smudged_by_git(large, git, made):
    git("config", "filter.lfs.smudge", "tr a-z A-Z")
    git("config", "filter.lfs.clean", "tr A-Z a-z")
    path, missing = made(large)
    assert missing == []
    assert (path / "model.bin").read_text() == POINTER.upper()


def test_lfs_pointers_are_announced(large, made):
    path, missing = made(large)
    assert "1 LFS files are only pointers (model.bin)" in missing[0]
    assert (path / "model.bin").read_text() == POINTER


def test_an_lfs_filter_that_fails(large, git, made):
    """git-lfs cannot be run, or the object is on no server that answers: the pointer, and nothing fails."""
    git("config", "filter.lfs.process", "git-lfs-that-is-not-there filter-process")
    git("config", "filter.lfs.required", "true")
    path, missing = made(large, look=False)  # git cannot even tell then whether the file has changed
    assert "only pointers" in missing[0]
    assert (path / "train.py").exists()


def test_a_sparse_checkout(repo, git, made):
    for name in ("in", "out"):
        (repo / name).mkdir()
        (repo / name / "file").write_text(name)
    git("add", "--all")
    git("commit", "--quiet", "-m", "folders")
    git("sparse-checkout", "set", "in")
    path, missing = made(repo)
    assert (path / "in/file").exists()
    assert not (path / "out").exists()
    assert "left out, as the sparse checkout here says" in missing[0]


def test_a_partial_clone_fetches_what_it_needs(repo, git, tmp_path, made, fsck):
    git("config", "uploadpack.allowFilter", "true")
    git("clone", "--quiet", "--no-checkout", "--filter=blob:none", f"file://{repo}", tmp_path / "clone")
    path, missing = made(tmp_path / "clone")
    assert missing == []
    assert (path / "train.py").read_text() == "print('training')\n"


def test_a_partial_clone_without_its_remote_says_so(repo, git, tmp_path):
    git("config", "uploadpack.allowFilter", "true")
    git("clone", "--quiet", "--no-checkout", "--filter=blob:none", f"file://{repo}", tmp_path / "clone")
    commit = git("rev-parse", "HEAD")
    os.rename(repo, tmp_path / "away")
    os.chdir(tmp_path / "clone")
    opened = open_repository(tmp_path / "clone")
    with pytest.raises(GitError, match="cannot put the code"):
        worktree.add(opened, str(tmp_path / "tree"), commit)
    assert gone(tmp_path / "clone", tmp_path / "tree")
    os.rename(tmp_path / "away", repo)
