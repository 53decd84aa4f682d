"""The code snapshot: the tree that git itself would commit, made without touching anything of the user's."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gitlumo.git import snapshot
from gitlumo.git.repository import open_repository
from gitlumo.git.snapshot import Snapshot
from tests.git.snapshots import MESSAGE, PATIENT, edit_names, edit_unmerged, everything, fail_on, reasons, take


def test_a_clean_tree_is_its_head(repo, git):
    taken = take(repo)
    assert taken == Snapshot(
        commit=git("rev-parse", "HEAD"),
        head=git("rev-parse", "HEAD"),
        tree=git("rev-parse", "HEAD^{tree}"),
        dirty=False,
        skipped=[],
        submodules=[],
        pack=None,
    )


def test_a_head_from_before_1970_is_as_old_as_a_commit_may_be(repo, git):
    head = git("cat-file", "commit", "HEAD").replace(git("show", "-s", "--format=%ct", "HEAD") + " +", "-5 +") + "\n"
    git("reset", "-q", "--soft", git("hash-object", "-t", "commit", "-w", "--literally", "--stdin", input=head))
    (repo / "train.py").write_text("changed\n")
    taken = take(repo)
    shutil.copy(taken.pack + ".pack", repo / ".git/objects/pack/pack-x.pack")
    git("index-pack", ".git/objects/pack/pack-x.pack")
    assert "gitlumo@localhost> 0 +0000" in git("cat-file", "commit", taken.commit)


def test_a_clean_tree_of_a_thousand_files_takes_four_processes(repo, git, spawned):
    for n in range(1000):
        (repo / f"f{n}").write_text(f"{n}\n")
    git("add", ".")
    git("commit", "-qm", "many")
    repository = open_repository(repo)
    assert repository.config
    spawned.clear()
    taken = snapshot.take(repository, PATIENT, str(repo / ".git/lumo/tmp"), str(repo / ".git/lumo/packs"))
    assert not taken.dirty
    assert len(spawned) <= 4
    spawned.clear()
    (repo / "f1").write_text("changed\n")
    (repo / "new").write_text("new\n")
    taken = snapshot.take(repository, PATIENT, str(repo / ".git/lumo/tmp"), str(repo / ".git/lumo/packs"))
    assert taken.pack
    assert len(spawned) <= 7


def test_the_commit_is_the_one_of_the_format(repo, git, receive):
    (repo / "train.py").write_text("changed\n")
    taken = take(repo)
    assert taken.dirty
    assert taken.head == git("rev-parse", "HEAD")
    clone = receive(taken, repo)
    when = git("show", "-s", "--format=%ct", "HEAD")
    assert git("cat-file", "commit", taken.commit, cwd=clone) + "\n" == (
        f"tree {taken.tree}\nparent {taken.head}\nauthor gitlumo <gitlumo@localhost> {when} +0000\n"
        f"committer gitlumo <gitlumo@localhost> {when} +0000\n\n{MESSAGE}"
    )


def test_without_commits_it_has_no_parent(empty_repo, git, receive):
    (empty_repo / "a").write_text("a\n")
    git("add", "a")
    (empty_repo / "b").write_text("b\n")
    taken = take(empty_repo)
    assert (taken.head, taken.dirty) == (None, True)
    clone = receive(taken, empty_repo)
    assert git("ls-tree", "--name-only", taken.commit, cwd=clone) == "a\nb"
    assert git("show", "-s", "--format=%P|%ct", taken.commit, cwd=clone) == "|1679616000"


def test_nothing_at_all_is_an_empty_tree(empty_repo, git, receive):
    taken = take(empty_repo)
    assert git("ls-tree", taken.commit, cwd=receive(taken, empty_repo)) == ""


def edit_content(repo, git):
    (repo / "train.py").write_text("changed\n")


def edit_staged(repo, git):
    (repo / "train.py").write_text("staged\n")
    git("add", "train.py")
    (repo / "train.py").write_text("and on\n")


def edit_delete(repo, git):
    (repo / "train.py").unlink()


def edit_rename(repo, git):
    git("mv", "train.py", "renamed.py")
    (repo / ".gitignore").rename(repo / "ignore.txt")


def edit_mode(repo, git):
    (repo / "train.py").chmod(0o755)


def edit_link(repo, git):
    (repo / "train.py").unlink()
    (repo / "train.py").symlink_to("elsewhere")
    (repo / "new link").symlink_to("/nowhere")


def edit_file_to_folder(repo, git):
    (repo / "train.py").unlink()
    (repo / "train.py").mkdir()
    (repo / "train.py/inner").write_text("x\n")


def edit_folder_to_link(repo, git):
    (repo / "folder").mkdir()
    (repo / "folder/x").write_text("x\n")
    git("add", ".")
    git("commit", "-qm", "folder")
    (repo / "folder").rename(repo / "moved")
    (repo / "folder").symlink_to("moved")


def edit_filter(repo, git):
    git("config", "filter.shout.clean", "tr a-z A-Z")
    (repo / ".gitattributes").write_text("*.txt filter=shout\n*.crlf text eol=crlf\n")
    (repo / "quiet.txt").write_text("quiet\n")
    (repo / "lines.crlf").write_bytes(b"a\r\nb\r\n")
    git("add", ".gitattributes", "quiet.txt")
    git("commit", "-qm", "filtered")
    (repo / "quiet.txt").write_text("still quiet\n")


def edit_intent_to_add(repo, git):
    (repo / "meant.py").write_text("meant\n")
    git("add", "-N", "meant.py")


def edit_ignored(repo, git):
    (repo / "run.log").write_text("ignored\n")
    (repo / "forced.log").write_text("forced\n")
    git("add", "-f", "forced.log")
    (repo / ".git/info/exclude").write_text("local\n")
    (repo / "local").write_text("ignored\n")


EDITS = [
    edit_content, edit_staged, edit_delete, edit_rename, edit_mode, edit_link, edit_file_to_folder,
    edit_folder_to_link, edit_filter, edit_intent_to_add, edit_ignored, edit_unmerged, edit_names,
]  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_the_tree_is_what_git_would_commit(repo, git, receive, as_git_commits, edit):
    edit(repo, git)
    taken = take(repo)
    assert taken.skipped == []
    assert taken.dirty
    receive(taken, repo)
    assert taken.tree == as_git_commits(repo)


@pytest.mark.parametrize("edit", EDITS)
def test_also_where_git_add_fails(repo, git, receive, as_git_commits, edit):
    edit(repo, git)
    expected = as_git_commits(repo)
    (repo / "zz tracked").write_text("will fail\n")
    git("add", "zz tracked")
    (repo / "zz tracked").unlink()
    os.mkfifo(repo / "zz tracked")
    taken = take(repo)
    assert set(reasons(taken)) == {"zz tracked"}
    clone = receive(taken, repo)
    differing = git("diff-tree", "-r", "--name-only", expected, taken.tree, cwd=repo, check=False)
    assert (
        differing in ("", "zz tracked")
        or git("diff-tree", "--name-only", expected, taken.tree, cwd=clone) == "zz tracked"
    )


def test_an_edit_within_the_second_of_the_add_is_seen(repo, git, receive):
    git("config", "core.trustctime", "false")  # only so that the test can set all times that git compares
    (repo / "same").write_text("old\n")
    moment = 1_700_000_000 * 10**9
    os.utime(repo / "same", ns=(moment, moment))
    git("add", "same")
    git("commit", "-qm", "same")
    os.utime(repo / ".git/index", ns=(moment, moment))
    with open(repo / "same", "r+") as file:
        file.write("new\n")
    os.utime(repo / "same", ns=(moment, moment))
    taken = take(repo)
    assert git("show", f"{taken.commit}:same", cwd=receive(taken, repo)) == "new"
    assert (repo / ".git/index").stat().st_mtime_ns == moment


@pytest.mark.parametrize("ignore_stat", ["false", "true"])
def test_files_that_git_was_told_not_to_look_at_are_recorded_as_they_lie(repo, git, receive, ignore_stat):
    git("config", "core.ignoreStat", ignore_stat)
    for name in ("assumed", "skipped", "both", "assumed away", "skipped away", "same"):
        (repo / name).write_text("old\n")
    git("add", ".")
    git("commit", "-qm", "files")
    git("update-index", "--assume-unchanged", "assumed", "both", "assumed away", "same")
    git("update-index", "--skip-worktree", "skipped", "both", "skipped away", "same")
    assert not take(repo).dirty
    for name in ("assumed", "skipped", "both"):
        (repo / name).write_text("new\n")
    (repo / "assumed away").unlink()
    (repo / "skipped away").unlink()
    taken = take(repo)
    clone = receive(taken, repo)
    names = ("assumed", "skipped", "both", "assumed away", "skipped away", "same")
    shown = {name: git("show", f"{taken.commit}:{name}", cwd=clone) for name in names}
    assert shown == dict(zip(names, ["new", "new", "new", "old", "old", "old"], strict=True))


def test_a_file_in_the_place_of_a_folder_that_git_does_not_look_at(repo, git, receive):
    (repo / "folder").mkdir()
    (repo / "folder/x").write_text("x\n")
    git("add", ".")
    git("commit", "-qm", "folder")
    git("update-index", "--skip-worktree", "folder/x")
    shutil.rmtree(repo / "folder")
    (repo / "folder").write_text("a file\n")
    taken = take(repo)
    assert taken.skipped == []
    assert git("show", f"{taken.commit}:folder", cwd=receive(taken, repo)) == "a file"


@pytest.mark.parametrize("options", [["--cone"], ["--no-cone"], ["--cone", "--sparse-index"]])
def test_a_sparse_checkout_keeps_what_is_not_checked_out(repo, git, receive, options):
    for name in ("in/a", "out/b", "out/c", "far/d"):
        (repo / name).parent.mkdir(exist_ok=True)
        (repo / name).write_text("old\n")
    git("add", ".")
    git("commit", "-qm", "folders")
    git("sparse-checkout", "set", *options, "in")
    assert not (repo / "far").exists()
    assert not take(repo).dirty
    (repo / "in/a").write_text("new\n")
    (repo / "out").mkdir()
    (repo / "out/b").write_text("new\n")
    (repo / "out/untracked").write_text("new\n")
    taken = take(repo)
    clone = receive(taken, repo)
    content = {
        name: git("show", f"{taken.commit}:{name}", cwd=clone)
        for name in ("in/a", "out/b", "out/c", "far/d", "out/untracked")
    }
    assert content == {"in/a": "new", "out/b": "new", "out/c": "old", "far/d": "old", "out/untracked": "new"}


def test_a_sparse_checkout_keeps_it_also_where_git_add_fails(repo, git, receive):
    for name in ("in/a", "in/b", "out/c"):
        (repo / name).parent.mkdir(exist_ok=True)
        (repo / name).write_text("old\n")
    git("add", ".")
    git("commit", "-qm", "folders")
    git("sparse-checkout", "set", "in")
    for name in ("in/a", "in/b"):
        (repo / name).write_text("new\n")
    fail_on(repo, git, "a")
    taken = take(repo)
    assert set(reasons(taken)) == {"in/a"}
    clone = receive(taken, repo)
    assert git("show", *(f"{taken.commit}:{name}" for name in ("in/a", "in/b", "out/c")), cwd=clone) == "old\nnew\nold"


def test_an_fsmonitor_is_not_believed_and_hooks_do_not_run(repo, git, receive, tmp_path, as_git_commits):
    ran = tmp_path / "ran"
    for name in ("fsmonitor", "post-index-change", "pre-commit"):
        hook = repo / ".git/hooks" / name
        hook.write_text(f"#!/bin/sh\necho {name} >> '{ran}'\nprintf 'token\\0'\n")
        hook.chmod(0o755)
    git("config", "core.fsmonitor", ".git/hooks/fsmonitor")
    git("update-index", "--fsmonitor")
    git("status")
    git("status")
    (repo / "train.py").write_text("changed behind the monitor's back\n")
    assert git("status", "--porcelain") == ""  # it lies
    ran.unlink()
    taken = take(repo)
    assert taken.dirty
    assert not ran.exists()
    receive(taken, repo)


def test_a_split_index_is_read_and_left_split(repo, git, receive, as_git_commits):
    git("config", "core.splitIndex", "true")
    git("update-index", "--split-index")
    (repo / "second").write_text("2\n")
    git("add", "second")
    (repo / "train.py").write_text("changed\n")
    before = everything(repo, repo / ".git")
    taken = take(repo)
    after = everything(repo, repo / ".git")
    for path in list(before):  # reading it, git marks the shared part as in use
        if "sharedindex." in path:
            assert after.pop(path)[:2] == before.pop(path)[:2]
    assert after == before
    assert any(name.startswith("sharedindex.") for name in os.listdir(repo / ".git"))
    receive(taken, repo)
    assert taken.tree == as_git_commits(repo)


@pytest.mark.parametrize("home", [True, False])
def test_a_home_folder_that_tracks_dotfiles_keeps_the_rest_private(repo, git, monkeypatch, home):
    (repo / "private.txt").write_text("mine")
    git("config", "status.showUntrackedFiles", "no")
    if home:
        monkeypatch.setenv("HOME", str(repo))
    taken = take(repo)
    assert (taken.commit == taken.head) is home
    assert reasons(taken) == ({"./": "untracked files of a home folder"} if home else {})


def test_line_ends_are_no_reason_to_refuse_a_file(repo, git, receive):
    git("config", "core.autocrlf", "input")
    git("config", "core.safecrlf", "true")
    (repo / "train.py").write_bytes(b"a\r\nb\r\n")
    (repo / "new").write_bytes(b"a\r\nb\r\n")
    taken = take(repo)
    assert taken.skipped == []
    clone = receive(taken, repo)
    assert git("cat-file", "blob", f"{taken.commit}:new", cwd=clone) == "a\nb"


def test_filters_see_the_users_locale_and_git_speaks_english(repo, git, receive, monkeypatch):
    monkeypatch.setenv("LC_ALL", "en_GB.UTF-8")
    git("config", "filter.locale.clean", 'echo "$LC_ALL|$LC_CTYPE|$LANG|$LC_MESSAGES"')
    (repo / ".gitattributes").write_text("*.txt filter=locale\n")
    (repo / "a.txt").write_text("x\n")
    taken = take(repo)
    assert git("show", f"{taken.commit}:a.txt", cwd=receive(taken, repo)) == "||en_GB.UTF-8|C"


def test_nothing_of_the_users_changes(repo, git, tree_state):
    (repo / "train.py").write_text("stashed\n")
    git("stash")
    (repo / "train.py").write_text("staged\n")
    git("add", "train.py")
    (repo / "train.py").write_text("changed\n")
    (repo / "new").write_text("new\n")
    (repo / ".env").write_text("SECRET=1\n")
    git("update-index", "--assume-unchanged", ".gitignore")
    before = tree_state(repo), everything(repo, repo / ".git")
    for _ in range(2):
        taken = take(repo)
        assert taken.pack
    assert (tree_state(repo), everything(repo, repo / ".git")) == before


def test_nothing_changes_when_it_is_killed(repo, git, tree_state, tmp_path):
    git("config", "filter.slow.clean", f"touch '{tmp_path}/begun'; sleep 30")
    (repo / ".git/info/attributes").write_text("*.py filter=slow\n")
    (repo / "train.py").write_text("changed\n")
    (repo / "new").write_text("new\n")
    before = tree_state(repo), everything(repo, repo / ".git")
    program = (
        "from gitlumo.git.repository import open_repository as o; from gitlumo.git.snapshot import take, Limits\n"
        "take(o('.'), Limits(timeout=30), '.git/lumo/tmp', '.git/lumo/packs')"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    deadline = time.monotonic() + 20
    while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    rooms = list((repo / ".git/lumo/tmp").iterdir())
    assert [room.name.split("-")[:2] for room in rooms] == [["snapshot", str(child.pid)]]
    assert (tree_state(repo), everything(repo, repo / ".git")) == before
    _kill_all_that_stand_in(rooms[0])


def _kill_all_that_stand_in(room: Path) -> None:
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if str(room).encode() in (process / "environ").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)
            except OSError:
                continue
