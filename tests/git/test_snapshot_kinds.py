"""Snapshots in all kinds of repositories."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from gitlumo.errors import GitError
from gitlumo.git import snapshot
from gitlumo.git.repository import open_repository
from gitlumo.git.snapshot import Limits
from tests.git.snapshots import PATIENT, edit_names, reasons, take


@pytest.fixture
def with_submodules(repo, git, tmp_path):
    other = tmp_path / "other"
    git("init", "--quiet", other)
    (other / "lib.py").write_text("lib\n")
    git("add", ".", cwd=other)
    git("commit", "-qm", "lib", cwd=other)
    for name in ("lib one", "lib2", "lib3"):
        git("submodule", "--quiet", "add", other, name)
    git("commit", "-qm", "submodules")
    return repo


def test_submodules_are_recorded_at_their_head(with_submodules, git, receive, tree_state):
    repo = with_submodules
    assert not take(repo).dirty
    (repo / "lib one/lib.py").write_text("changed\n")
    (repo / "lib3/new").write_text("untracked\n")
    git("commit", "-q", "--allow-empty", "-m", "on", cwd=repo / "lib2")
    git("submodule", "--quiet", "deinit", "-f", "lib3")
    git("submodule", "--quiet", "update", "--init", "lib3")
    (repo / "lib3/new").write_text("untracked\n")
    before = [tree_state(repo), *(tree_state(repo / name) for name in ("lib one", "lib2", "lib3"))]
    taken = take(repo)
    head = {name: git("rev-parse", "HEAD", cwd=repo / name) for name in ("lib one", "lib2", "lib3")}
    assert taken.submodules == [
        {"path": "lib one", "commit": head["lib one"], "dirty": True},
        {"path": "lib2", "commit": head["lib2"], "dirty": False},
        {"path": "lib3", "commit": head["lib3"], "dirty": True},
    ]
    assert [tree_state(repo), *(tree_state(repo / name) for name in head)] == before
    clone = receive(taken, repo)
    assert head["lib2"] in git("ls-tree", taken.commit, "lib2", cwd=clone)


def test_a_submodule_that_is_not_there_keeps_its_commit(with_submodules, git):
    repo = with_submodules
    git("submodule", "--quiet", "deinit", "-f", "lib2")
    taken = take(repo)
    assert not taken.dirty
    assert [module["dirty"] for module in taken.submodules] == [False, False, False]
    assert taken.submodules[1]["commit"] in git("ls-tree", "HEAD", "lib2")


def test_a_broken_submodule_does_not_take_the_files_with_it(with_submodules, git, receive):
    repo = with_submodules
    (repo / ".git/modules/lib2/index").write_bytes(b"broken")
    (repo / "train.py").write_text("changed\n")
    taken = take(repo)
    assert "lib2" in reasons(taken)
    assert all(module["dirty"] for module in taken.submodules)  # nobody knows
    assert git("show", f"{taken.commit}:train.py", cwd=receive(taken, repo)) == "changed"


def test_inside_a_submodule(with_submodules, git, as_git_commits, receive):
    (with_submodules / "lib2/lib.py").write_text("changed\n")
    (with_submodules / "lib2/new").write_text("new\n")
    taken = take(with_submodules / "lib2")
    assert taken.head == git("rev-parse", "HEAD", cwd=with_submodules / "lib2")
    receive(taken, with_submodules / "lib2")
    assert taken.tree == as_git_commits(with_submodules / "lib2")


def test_without_submodules_nobody_asks_for_them(repo, spawned):
    take(repo)
    assert not any("status" in args for args in spawned)


def test_in_a_linked_worktree(repo, git, tmp_path, as_git_commits, receive):
    git("worktree", "add", "--quiet", tmp_path / "linked")
    (repo / "train.py").write_text("in the main one\n")
    linked = tmp_path / "linked"
    (linked / "train.py").write_text("changed\n")
    (linked / "new").write_text("new\n")
    taken = take(linked)
    receive(taken, repo)
    assert taken.tree == as_git_commits(linked)


def test_from_a_subfolder_and_with_a_detached_head(repo, git, as_git_commits, receive, monkeypatch):
    git("checkout", "--quiet", "--detach")
    (repo / "sub").mkdir()
    (repo / "sub/new").write_text("new\n")
    (repo / "train.py").write_text("changed\n")
    monkeypatch.chdir(repo / "sub")
    taken = snapshot.take(open_repository(), PATIENT, "../.git/lumo/tmp", "../.git/lumo/packs")
    receive(taken, repo)
    assert taken.tree == as_git_commits(repo)


def test_inside_a_hook_with_gits_variables_set(repo, git, as_git_commits, receive, monkeypatch, tmp_path):
    (repo / "train.py").write_text("changed\n")
    (repo / "new").write_text("new\n")
    expected = as_git_commits(repo)
    monkeypatch.setenv("GIT_DIR", ".git")
    monkeypatch.setenv("GIT_INDEX_FILE", ".git/no-such-index")
    monkeypatch.setenv("GIT_WORK_TREE", str(repo))
    monkeypatch.setenv("GIT_PREFIX", "sub/")
    monkeypatch.setenv("GIT_LITERAL_PATHSPECS", "0")
    monkeypatch.setenv("GIT_ICASE_PATHSPECS", "1")
    taken = take(repo)
    assert taken.tree == expected
    assert not (repo / ".git/no-such-index").exists()


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_in_a_bare_locale(repo, locale):
    edit_names(repo, lambda *args: subprocess.run(["git", *args], check=True, cwd=repo))
    (repo / "\udcff.pem").write_text("x")
    program = (
        "from gitlumo.git.repository import open_repository as o; from gitlumo.git.snapshot import take, Limits\n"
        "t = take(o('.'), Limits(timeout=60, exclude=('gr\\xfc\\xdfe',)), '.git/lumo/tmp', '.git/lumo/packs')\n"
        "print(t.tree, len(t.skipped))"
    )
    env = {**os.environ, "LC_ALL": locale, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUTF8": "0"}
    env["PYTHONCOERCECLOCALE"] = "0"
    out = subprocess.run([sys.executable, "-c", program], env=env, check=True, capture_output=True, text=True).stdout
    here = take(repo, Limits(timeout=60, exclude=("grüße",)))
    assert out.split() == [here.tree, "2"]


@pytest.mark.parametrize("name", ["git folder", "a:b", 'quo"te', '"', "new\nline", "back\\slash:", "grüße"])
def test_a_git_folder_anywhere_and_of_any_name(git, tmp_path, name, as_git_commits, receive):
    top = tmp_path / "work"
    git("init", "--quiet", "--separate-git-dir", tmp_path / name, top)
    (top / "a").write_text("a\n")
    git("add", ".", cwd=top)
    git("commit", "-qm", "a", cwd=top)
    (top / "b").write_text("b\n")
    taken = take(top)
    assert taken.tree == as_git_commits(top)
    assert taken.skipped == []


def test_a_git_folder_in_the_tree_is_not_recorded(git, tmp_path, receive):
    top = tmp_path / "work"
    top.mkdir()
    git("init", "--quiet", "--separate-git-dir", top / "meta", top)
    (top / "a").write_text("a\n")
    taken = take(top)
    assert reasons(taken) == {"meta/": "the repository's own folder"}
    assert git("ls-tree", "--name-only", taken.commit, cwd=receive(taken, top)) == "a"


def test_with_sha256(git, tmp_path, receive):
    top = tmp_path / "work"
    git("init", "--quiet", "--object-format=sha256", top)
    (top / "a").write_text("a\n")
    first = take(top)
    receive(first, top)
    git("add", ".", cwd=top)
    git("commit", "-qm", "a", cwd=top)
    assert not take(top).dirty
    (top / "b").write_text("b\n")
    taken = take(top)
    assert len(taken.commit) == 64
    receive(taken, top)


def test_with_reftable(git, tmp_path, receive):
    top = tmp_path / "work"
    git("init", "--quiet", "--ref-format=reftable", top)
    assert take(top).head is None
    (top / "a").write_text("a\n")
    git("add", ".", cwd=top)
    git("commit", "-qm", "a", cwd=top)
    (top / "b").write_text("b\n")
    taken = take(top)
    assert taken.head == git("rev-parse", "HEAD", cwd=top)
    receive(taken, top)


def test_in_a_shallow_clone(repo, git, tmp_path, as_git_commits):
    git("commit", "-q", "--allow-empty", "-m", "second")
    git("clone", "--quiet", "--depth=1", repo.as_uri(), tmp_path / "shallow")
    (tmp_path / "shallow/train.py").write_text("changed\n")
    taken = take(tmp_path / "shallow")
    assert taken.tree == as_git_commits(tmp_path / "shallow")
    assert git("verify-pack", "-v", taken.pack + ".idx").count("\n") < 8


@pytest.mark.parametrize("kind", ["blob:none", "tree:0"])
def test_a_partial_clone_does_not_fetch_for_it(repo, git, tmp_path, kind, receive):
    for name in ("out/a", "out/b", "in/c", "out/d"):
        (repo / name).parent.mkdir(exist_ok=True)
        (repo / name).write_text(f"old {name}\n")
    git("add", ".")
    git("commit", "-qm", "folders")
    old = git("rev-parse", "HEAD:out/a")
    for name in ("out/a", "out/b", "in/c", "out/d"):
        (repo / name).write_text(f"{name}\n")
    git("commit", "-qam", "changed")
    git("config", "uploadpack.allowFilter", "true")
    git("config", "uploadpack.allowAnySHA1InWant", "true")
    clone = tmp_path / "partial"
    git("clone", "--quiet", "--sparse", f"--filter={kind}", repo.as_uri(), clone)
    git("config", "remote.origin.uploadpack", f"touch '{tmp_path}/fetched'; git-upload-pack", cwd=clone)
    assert not take(clone).dirty
    (clone / "train.py").write_text("changed\n")
    (clone / "new").write_text("new\n")
    # Two entries whose blobs are only at the remote: one that write-tree would look for, one that HEAD does not reach.
    git("config", "core.sparseCheckout", "false", cwd=clone)
    git("update-index", "--no-skip-worktree", "out/b", cwd=clone)
    git("update-index", "--assume-unchanged", "out/b", cwd=clone)
    git("update-index", "--cacheinfo", f"100644,{old},out/a", cwd=clone)
    git("update-index", "--assume-unchanged", "out/a", cwd=clone)
    git("config", "core.autocrlf", "input", cwd=clone)  # then git looks into the old blob, whose file has CRs now
    (clone / "out").mkdir()
    (clone / "out/d").write_bytes(b"new\r\n")
    taken = take(clone)
    assert not (tmp_path / "fetched").exists()
    assert taken.skipped == []
    bare = receive(taken, repo)
    assert git("show", f"{taken.commit}:out/a", f"{taken.commit}:out/b", cwd=bare) == "old out/a\nout/b"
    assert git("ls-tree", "-r", "--name-only", taken.commit, cwd=bare).split("\n") == [
        ".gitignore", "in/c", "new", "out/a", "out/b", "out/d", "train.py",
    ]  # fmt: skip


def test_a_bare_repository_has_nothing_to_record(git, tmp_path):
    git("init", "--quiet", "--bare", tmp_path / "bare.git")
    with pytest.raises(GitError, match="bare"):
        take(tmp_path / "bare.git")


@pytest.mark.parametrize("content", [b"", b"1" * 40 + b"\n"])
def test_a_broken_head_is_not_taken_for_none(repo, content):
    (repo / ".git/refs/heads/main").write_bytes(content)
    with pytest.raises(GitError, match="HEAD cannot be read"):
        take(repo)


def test_a_broken_index_is_an_error(repo):
    (repo / ".git/index").write_bytes(b"broken")
    with pytest.raises(GitError):
        take(repo)


def test_a_replaced_head_is_itself(repo, git, receive):
    (repo / "train.py").write_text("changed\n")
    expected = take(repo).commit
    shutil.rmtree(repo / ".git/lumo")
    replacement = git("commit-tree", "-m", "another", "4b825dc642cb6eb9a060e54bf8d69288fbee4904")
    git("replace", "HEAD", replacement)
    assert take(repo).commit == expected
