"""One state is one snapshot; what is left out of it, and how long it may take."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from pathlib import Path

import pytest

from gitlumo.errors import GitError
from gitlumo.git import snapshot
from gitlumo.git.repository import open_repository
from gitlumo.git.snapshot import Limits, Snapshot
from tests.git.snapshots import alive_in, edit_unmerged, fail_on, reasons, take


def test_one_state_is_one_commit_whoever_makes_it(repo, git, tmp_path, receive, monkeypatch):
    commits = {}
    settings = [
        {},
        {"user.name": "Somebody Else", "user.email": "else@example.org"},
        {"commit.gpgSign": "true", "gpg.program": "/bin/false"},
        {"i18n.commitEncoding": "ISO-8859-1"},
        {"core.splitIndex": "true", "core.untrackedCache": "true", "index.version": "4", "feature.manyFiles": "true"},
        {"pack.packSizeLimit": "1m", "pack.indexVersion": "1", "pack.compression": "0", "core.compression": "9",
         "pack.writeReverseIndex": "true", "pack.writeBitmaps": "true"},
        {"pack.compression": "9", "gc.auto": "0"},
        {"add.ignoreErrors": "true", "status.showUntrackedFiles": "no", "core.quotePath": "false"},
    ]  # fmt: skip
    packs = set()
    for at, setting in enumerate(settings):
        monkeypatch.setenv("TZ", f"XXX{at}")
        clone = tmp_path / f"state{at}"
        git("clone", "--quiet", repo, clone)
        for name, value in setting.items():
            git("config", name, value, cwd=clone)
        (clone / "train.py").write_text("changed\n")
        (clone / "grüße").write_text("new\n")
        if "gc.auto" in setting:  # the new objects are in a pack already, compressed in another way
            git("add", ".", cwd=clone)
            git("repack", "-a", "-d", "-q", cwd=clone)
        taken = take(clone)
        assert Path(taken.pack + ".idx").read_bytes().startswith(b"\xfftOc\0\0\0\2")
        commits[at] = taken.commit
        packs.add(Path(taken.pack + ".pack").read_bytes())
        receive(taken, clone)
    linked = tmp_path / "linked"
    git("worktree", "add", "--quiet", "--detach", linked)
    (linked / "train.py").write_text("changed\n")
    (linked / "grüße").write_text("new\n")
    commits["linked"] = take(linked).commit
    assert len(set(commits.values())) == 1, commits
    assert len(packs) == 1


def test_it_is_one_pack_whatever_its_size(repo, git, receive):
    git("config", "pack.packSizeLimit", "1m")
    for n in range(3):
        (repo / f"noise{n}").write_bytes(os.urandom(900_000))
    receive(take(repo), repo)


def test_a_known_commit_needs_no_pack(repo):
    (repo / "train.py").write_text("changed\n")
    asked = []
    taken = take(repo, known=lambda commit: not asked.append(commit))
    assert taken.pack is None
    assert asked == [taken.commit]
    assert not (repo / ".git/lumo/packs").exists()
    assert take(repo).commit == taken.commit


def test_a_pack_that_is_there_is_not_made_again(repo, spawned):
    (repo / "train.py").write_text("changed\n")
    taken = take(repo)
    assert taken.pack == str(repo / ".git/lumo/packs" / taken.commit)
    assert sorted(os.listdir(repo / ".git/lumo/packs")) == [f"{taken.commit}.idx", f"{taken.commit}.pack"]
    spawned.clear()
    assert take(repo) == taken
    assert not any("pack-objects" in args for args in spawned)
    os.unlink(taken.pack + ".idx")
    assert take(repo) == taken
    assert os.path.exists(taken.pack + ".idx")


def test_the_pack_holds_what_merely_lies_in_the_database(repo, git, receive):
    (repo / "train.py").write_text("changed\n")
    git("add", "train.py")  # the blob is there, but gc may take it
    taken = take(repo)
    receive(taken, repo)
    assert git("hash-object", "train.py") in git("verify-pack", "-v", taken.pack + ".idx")


def test_a_pack_folder_on_another_disk(repo, receive, monkeypatch):
    (repo / "train.py").write_text("changed\n")
    replace = os.replace

    def far(source, target):
        if "/tmp/" in str(source).replace(str(repo), "") and "/packs/" in str(target):
            raise OSError(errno.EXDEV, "far")
        return replace(source, target)

    monkeypatch.setattr(os, "replace", far)
    taken = take(repo)
    assert len(os.listdir(repo / ".git/lumo/packs")) == 2
    receive(taken, repo)


@pytest.mark.parametrize("ignore", ["true", "false"])
def test_a_tracked_file_that_git_refuses_does_not_take_the_others_with_it(repo, git, receive, ignore):
    git("config", "add.ignoreErrors", ignore)
    for n in range(30):
        (repo / f"f{n:02d}").write_text("old\n")
    git("add", ".")
    git("commit", "-qm", "files")
    for n in range(30):
        (repo / f"f{n:02d}").write_text(f"new {n}\n")
    (repo / "train.py").unlink()
    fail_on(repo, git, "f07")
    fail_on(repo, git, "f21")
    taken = take(repo)
    assert reasons(taken) == {"f07": "external filter 'false' failed 1", "f21": "external filter 'false' failed 1"}
    clone = receive(taken, repo)
    shown = git("show", *(f"{taken.commit}:f{n:02d}" for n in range(30)), cwd=clone).split("\n")
    assert shown == [f"new {n}" if n not in (7, 21) else "old" for n in range(30)]
    assert "train.py" not in git("ls-tree", "--name-only", taken.commit, cwd=clone)


def test_a_tracked_change_that_is_left_out_is_dirt(repo, git):
    (repo / "train.py").write_text("changed\n")
    fail_on(repo, git, "train.py")
    taken = take(repo)
    assert (taken.commit, taken.pack) == (taken.head, None)
    assert taken.dirty


def test_a_refused_file_of_the_same_second_does_not_stop_the_others(repo, git, receive):
    (repo / "racy").write_text("1\n")
    git("add", "racy")
    git("commit", "-qm", "racy")
    index = (repo / ".git/index").stat()
    (repo / "train.py").write_text("changed\n")
    (repo / "racy").write_text("2\n")
    os.utime(repo / "racy", ns=(index.st_mtime_ns, index.st_mtime_ns))
    fail_on(repo, git, "racy")
    taken = take(repo)
    assert set(reasons(taken)) == {"racy"}
    clone = receive(taken, repo)
    assert git("show", f"{taken.commit}:racy", f"{taken.commit}:train.py", cwd=clone) == "1\nchanged"


def test_an_unmerged_file_that_git_refuses_is_as_in_head(repo, git):
    edit_unmerged(repo, git)
    fail_on(repo, git, "train.py")
    taken = take(repo)
    assert set(reasons(taken)) == {"train.py"}
    assert (taken.commit, taken.tree, taken.dirty) == (taken.head, git("rev-parse", "HEAD^{tree}"), True)


def test_a_refused_file_is_found_also_where_git_does_not_name_it(repo, git, receive):
    for n in range(20):
        (repo / f"new\x01{n:02d}").write_text(f"{n}\n")  # git prints control characters as "?"
    fail_on(repo, git, "*13")
    taken = take(repo)
    assert reasons(taken) == {"new\x0113": "external filter 'false' failed 1"}
    assert len(git("ls-tree", "--name-only", taken.commit, cwd=receive(taken, repo)).split("\n")) == 21


def test_an_untracked_file_that_git_refuses_does_not_take_the_others_with_it(repo, git, receive):
    for n in range(10):
        (repo / f"f{n}").write_text(f"{n}\n")
    fail_on(repo, git, "f3")
    taken = take(repo)
    assert reasons(taken) == {"f3": "external filter 'false' failed 1"}
    listed = git("ls-tree", "--name-only", taken.commit, cwd=receive(taken, repo)).split("\n")
    assert listed == [".gitignore", *(f"f{n}" for n in range(10) if n != 3), "train.py"]


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a normal user: root reads everything")
def test_what_cannot_be_read_is_left_out(repo, git, receive):
    (repo / "tracked").write_text("old\n")
    git("add", ".")
    git("commit", "-qm", "tracked")
    (repo / "tracked").write_text("new\n")
    (repo / "train.py").write_text("new\n")
    (repo / "new").write_text("new\n")
    (repo / "folder").mkdir()
    for name, mode in (("tracked", 0), ("new", 0), ("folder", 0)):
        (repo / name).chmod(mode)
    taken = take(repo)
    (repo / "folder").chmod(0o755)
    assert reasons(taken) == {
        "folder/": "Permission denied",
        "new": "unreadable",
        "tracked": 'open("tracked"): Permission denied',
    }
    clone = receive(taken, repo)
    assert git("show", f"{taken.commit}:tracked", f"{taken.commit}:train.py", cwd=clone) == "old\nnew"


def test_secrets_large_files_and_excluded_ones_stay_at_home(repo, git, receive):
    (repo / ".env").write_text("SECRET=1\n")
    (repo / "deploy").mkdir()
    (repo / "deploy/id_rsa").write_text("SECRET\n")
    (repo / "model.bin").write_bytes(b"x" * 2000)
    (repo / "data").mkdir()
    (repo / "data/a").write_text("a\n")
    (repo / "kept").write_text("kept\n")
    taken = take(repo, Limits(max_file=1000, exclude=("data/",), timeout=60))
    assert taken.skipped == [
        {"path": ".env", "reason": "looks like a secret"},
        {"path": "data/", "reason": "excluded by the user"},
        {"path": "deploy/id_rsa", "reason": "looks like a secret"},
        {"path": "model.bin", "reason": "larger than 1000 bytes", "size": 2000},
    ]
    clone = receive(taken, repo)
    assert git("ls-tree", "-r", "--name-only", taken.commit, cwd=clone) == ".gitignore\nkept\ntrain.py"


def test_tracked_files_were_the_users_own_decision(repo, git):
    for name, size in ((".env", 10), ("large", 5000)):
        (repo / name).write_bytes(b"x" * size)
    git("add", "-f", ".")
    taken = take(repo, Limits(max_file=1000, max_total=1000, exclude=("large",), timeout=60))
    assert taken.skipped == []


def test_a_tree_with_nothing_but_what_is_left_out_is_clean(repo):
    (repo / ".env").write_text("SECRET=1\n")
    taken = take(repo)
    assert (taken.commit, taken.dirty, taken.pack) == (taken.head, False, None)
    assert len(taken.skipped) == 1


def test_limits_leave_out_whole_folders(repo, git, receive):
    for n in range(30):
        (repo / f"out/{n}").parent.mkdir(exist_ok=True)
        (repo / f"out/{n}").write_text(f"{n}\n")
    (repo / "new").write_text("new\n")
    taken = take(repo, Limits(max_files=10, timeout=60))
    assert taken.skipped == [{"path": "out/", "reason": "more than 10 untracked files together"}]
    taken = take(repo, Limits(max_total=10, timeout=60))
    assert taken.skipped == [
        {"path": "out/", "reason": "more than 10 bytes of untracked files together", "size": 10 * 2 + 20 * 3}
    ]
    assert "new" in git("ls-tree", "--name-only", taken.commit, cwd=receive(taken, repo))


def test_nested_repositories_are_left_out(repo, git):
    git("init", "--quiet", "nested")
    (repo / "nested/x").write_text("x\n")
    git("worktree", "add", "--quiet", "linked")
    taken = take(repo)
    assert reasons(taken) == {"linked/": "nested repository", "nested/": "nested repository"}
    assert not taken.dirty


def test_names_that_git_reserves_are_left_out(repo, git, receive):
    for name in ("GIT~1", ".git ", "\u200c.git", ".GIT"):
        (repo / "folder" / name).parent.mkdir(exist_ok=True)
        (repo / "folder" / name).write_text("x\n")
    (repo / ".gitmodules").symlink_to("elsewhere")
    (repo / "kept").write_text("kept\n")
    taken = take(repo)
    reserved = "a name that git reserves"
    names = ("GIT~1", ".git ", "\u200c.git", ".GIT")
    assert reasons(taken) == {".gitmodules": reserved} | {f"folder/{name}": reserved for name in names}
    clone = receive(taken, repo)
    assert git("ls-tree", "-r", "--name-only", taken.commit, cwd=clone) == ".gitignore\nkept\ntrain.py"


def test_what_was_left_out_is_json_sorted_and_bounded(repo, monkeypatch):
    monkeypatch.setattr(snapshot, "_SHOWN", 3)
    for n in range(5):
        (repo / f"{n}.pem").write_text("x")
    (Path(os.fsdecode(os.fsencode(repo) + b"/\xff.key"))).write_text("x")
    taken = take(repo)
    secret = "looks like a secret"
    assert taken.skipped == [
        *({"path": f"{n}.pem", "reason": secret} for n in range(3)),
        {"path": "(3 more)", "reason": secret},
    ]
    monkeypatch.setattr(snapshot, "_SHOWN", 10)
    taken = take(repo)
    assert json.loads(json.dumps(taken.skipped)) == taken.skipped
    assert taken.skipped[-1]["path"] == "\ufffd.key"


def test_a_full_disk_is_an_error_not_a_list_of_files(repo, fake_git):
    for n in range(10):
        (repo / f"f{n}").write_text("x\n")
    fake_git('case "$*" in *update-index*) echo "error: write: No space left on device" >&2; exit 128;; esac')
    with pytest.raises(GitError, match="No space left"):
        take(repo)


def test_slow_tracked_files_leave_head(repo, git, tree_state):
    git("config", "filter.slow.clean", "sleep 30")
    (repo / ".git/info/attributes").write_text("*.py filter=slow\n")
    (repo / "train.py").write_text("changed\n")
    before = tree_state(repo)
    began = time.monotonic()
    taken = take(repo, Limits(timeout=0.5))
    assert time.monotonic() - began < 1.5
    assert taken == Snapshot(
        commit=git("rev-parse", "HEAD"),
        head=git("rev-parse", "HEAD"),
        tree=git("rev-parse", "HEAD^{tree}"),
        dirty=True,
        skipped=[{"path": "./", "reason": "took too long to look at"}],
        submodules=[],
        pack=None,
    )
    assert alive_in(repo) == []
    assert tree_state(repo) == before


def test_slow_tracked_files_without_commits_leave_nothing(empty_repo, git, receive):
    (empty_repo / "train.py").write_text("added\n")
    git("add", ".")
    git("config", "filter.slow.clean", "sleep 30")
    (empty_repo / ".git/info/attributes").write_text("*.py filter=slow\n")
    (empty_repo / "train.py").write_text("changed\n")
    taken = take(empty_repo, Limits(timeout=0.5))
    assert (taken.head, taken.dirty, len(taken.skipped)) == (None, True, 1)
    assert git("ls-tree", taken.commit, cwd=receive(taken, empty_repo)) == ""


def test_slow_untracked_files_leave_the_tracked_ones(repo, git, receive):
    git("config", "filter.slow.clean", "sleep 30")
    (repo / ".git/info/attributes").write_text("*.slow filter=slow\n")
    (repo / "train.py").write_text("changed\n")
    for name in ("a/1.slow", "a/2", "b"):
        (repo / name).parent.mkdir(exist_ok=True)
        (repo / name).write_text("x\n")
    began = time.monotonic()
    taken = take(repo, Limits(timeout=2))
    assert time.monotonic() - began < 3
    assert reasons(taken) == {"a/": "took too long to look at", "b": "took too long to look at"}
    assert alive_in(repo) == []
    clone = receive(taken, repo)
    assert git("show", f"{taken.commit}:train.py", cwd=clone) == "changed"


def test_a_slow_folder_does_not_hide_the_others(repo, git, receive, fake_git):
    (repo / "train.py").write_text("changed\n")
    for name in (":(exclude)a/1", "a/1", "slow/1", "z/1", "root", ".gitmodules"):
        (repo / name).parent.mkdir(exist_ok=True)
        (repo / name).write_text("")
    git("init", "--quiet", "nested")
    git("update-index", "--assume-unchanged", ".gitignore")
    (repo / ".gitignore").write_text("*.log\n")
    fake_git('case "$*" in *"-o --exclude-standard"|*"-o --exclude-standard -- slow") sleep 30;; esac')
    began = time.monotonic()
    taken = take(repo, Limits(timeout=3))
    assert time.monotonic() - began < 4
    assert reasons(taken) == {"nested/": "nested repository", "slow/": "took too long to look at"}
    assert alive_in(repo) == []
    clone = receive(taken, repo)
    listed = git("ls-tree", "-r", "--name-only", taken.commit, cwd=clone).split("\n")
    assert listed == [".gitignore", ".gitmodules", ":(exclude)a/1", "a/1", "root", "train.py", "z/1"]
    assert git("show", f"{taken.commit}:.gitignore", cwd=clone) == "*.log"


def test_many_refused_files_do_not_take_longer_than_the_limit(repo, git, receive):
    for n in range(3000):
        (repo / f"f{n}").write_text(f"{n}\n")
    (repo / "train.py").write_text("changed\n")
    fail_on(repo, git, "f*")
    began = time.monotonic()
    taken = take(repo, Limits(timeout=2))
    assert time.monotonic() - began < 3
    assert set(reasons(taken).values()) == {"external filter 'false' failed 1", "took too long to look at"}
    assert git("show", f"{taken.commit}:train.py", cwd=receive(taken, repo)) == "changed"


def test_a_disk_without_room_for_the_index_leaves_nothing(repo, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="full"):
        take(repo)


def test_a_git_that_never_answers_is_an_error(repo, fake_git):
    fake_git("sleep 30")
    real = open_repository  # which the fake one would stop as well
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.environ["PATH"].partition(os.pathsep)[2])
        repository = real(repo)
    began = time.monotonic()
    with pytest.raises(GitError, match="did not answer"):
        snapshot.take(repository, Limits(timeout=0.3), str(repo / ".git/lumo/tmp"), str(repo / ".git/lumo/packs"))
    assert time.monotonic() - began < 1.3
    assert alive_in(repo) == []
    assert os.listdir(repo / ".git/lumo/tmp") == []
