"""Edits from Python, by many at once, beside a live run, and killed at any call."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

import gitlumo
from gitlumo.errors import InvalidValue, LumoError, NoSuchRun, StateError

EDITOR = """
import sys, gitlumo
who = sys.argv[1]
exp = gitlumo.Experiment.from_disk(sys.argv[2])
for number in range(4):
    exp.dump_tags(*gitlumo.Experiment.from_disk(sys.argv[2]).tags, f"{who}.{number}")
    exp.dump_note(f"{who}.{number}")
"""
KILLED_AT = """
import os, signal, sys, gitlumo
exp = gitlumo.Experiment.from_disk(sys.argv[1])
calls, last = 0, int(sys.argv[2])
def count(event, args):
    global calls
    path = str(args[0]) if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.listdir") else ""
    if ".git" in path and "/info/" not in path:
        calls += 1
        if calls == last:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
exp.dump_note("from the edit")
print(calls)
"""
ANOTHER = f"another\n\nLumo-Format: 1\nLumo-Event: edit\nLumo-Uid: {'0' * 32}"


@pytest.fixture
def first(repo):
    with gitlumo.Experiment("digits", "first", params={"lr": 0.1}) as exp:
        exp.dump_note("as the run wrote it")
        exp.dump_tags("draft")
    return exp


def edits(git):
    paths = git("ls-tree", "-r", "--name-only", "lumo_experiments").splitlines()
    return [path for path in paths if "/edits/" in path]


def read(name):
    return gitlumo.Watcher().retrieve(name)


@pytest.mark.parametrize("how", ["from_disk", "retrieve"])
def test_what_a_read_run_can_change(first, git, fsck, repo, how):
    exp = gitlumo.Experiment.from_disk(first.info_dir) if how == "from_disk" else read("first")
    exp.dump_note("better")
    exp.dump_tags("best", "paper")
    exp.dump_deprecated()
    assert (exp.load_note(), exp.tags, exp.properties["deprecated"]) == ("better", ["best", "paper"], True)
    again = read("first")
    assert (again.load_note(), again.tags, again.properties["deprecated"]) == ("better", ["best", "paper"], True)
    assert len(edits(git)) == 3
    exp.dump_note("better")
    exp.dump_tags("paper", "best")
    exp.dump_deprecated(True)
    assert len(edits(git)) == 3  # nothing has changed
    for _ in range(3):
        exp.undo()
    assert (exp.load_note(), exp.tags, exp.properties["deprecated"]) == ("as the run wrote it", ["draft"], False)
    with pytest.raises(StateError, match="no edit"):
        exp.undo()
    with pytest.raises(StateError, match="the note, tags and deprecated"):
        exp.dump_info("params", {})
    fsck(repo)


def test_wrong_arguments_leave_no_trace(first, git):
    exp, before = read("first"), git("rev-parse", "lumo_experiments")
    for call in (lambda: exp.dump_note(3), lambda: exp.dump_tags("a", ""), lambda: exp.dump_deprecated("yes")):
        with pytest.raises(InvalidValue):
            call()
    assert git("rev-parse", "lumo_experiments") == before
    with pytest.raises(StateError):
        gitlumo.Experiment("digits").dump_deprecated()


def test_a_folder_without_a_repository(first, tmp_path):
    shutil.copytree(first.info_dir, tmp_path / "copy")
    exp = gitlumo.Experiment.from_disk(tmp_path / "copy")
    assert exp.load_note() == "as the run wrote it"
    with pytest.raises(StateError, match="no repository"):
        exp.dump_note("x")


def test_ones_own_run(repo, git):
    """What it writes itself is its record; deprecated is an edit, also while it runs, and after."""
    exp = gitlumo.Experiment("digits", "own").start()
    exp.dump_deprecated()
    exp.log({"acc": 0.5})
    assert exp.properties["deprecated"]
    exp.end()
    assert read("own").properties["deprecated"]
    assert read("own").metrics["acc"]["last"] == 0.5
    exp.dump_deprecated(False)
    assert not read("own").properties["deprecated"]


def test_recording_is_disabled(repo, git, monkeypatch):
    monkeypatch.setenv("LUMO_DISABLED", "1")
    exp = gitlumo.Experiment("digits", "silent").start()
    exp.dump_note("kept for itself")
    exp.dump_deprecated()
    exp.undo()
    exp.end()
    assert git("for-each-ref", "refs/heads/lumo_experiments") == ""


def test_an_edit_of_a_live_run(repo, git, fsck):
    exp = gitlumo.Experiment("digits", "live").start()
    other = read("live")
    other.dump_note("looks good")
    other.dump_tags("watch")
    assert (read("live").load_note(), read("live").tags) == ("looks good", ["watch"])  # seen while it runs, too
    (row,) = gitlumo.Watcher().rows()
    assert (row["note"], row["tag"], row["state"]) == ("looks good", ["watch"], "running")
    exp.log({"acc": 0.9})
    exp.checkpoint()
    exp.dump_note("what the run says")
    exp.end()
    done = read("live")
    assert (done.load_note(), done.tags, done.state) == ("looks good", ["watch"], "finished")
    assert done.metrics["acc"]["last"] == 0.9
    fsck(repo)


def test_a_run_that_is_not_published_yet(repo, git):
    git("branch", "lumo_experiments")  # of another kind: runs wait on the disk
    with pytest.warns(gitlumo.errors.LumoWarning):
        exp = gitlumo.Experiment("digits", "waits").start()
    git("branch", "-m", "lumo_experiments", "code")
    with pytest.raises(NoSuchRun, match=r"digits/waits cannot be edited(.|\n)*git lumo status"):
        read("waits").dump_note("x")
    assert git("for-each-ref", "refs/heads/lumo_experiments") == ""
    exp.end()
    read("waits").dump_note("x")
    assert read("waits").load_note() == "x"


def test_a_dead_run_is_published_first(repo, git):
    code = "import gitlumo, os; gitlumo.Experiment('digits', 'dead').start(); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code], check=False)
    read("dead").dump_note("out of memory")
    subjects = git("log", "-2", "--format=%s", "lumo_experiments").splitlines()
    assert subjects == ["digits/dead killed note=out of memory", "digits/dead killed"]


def test_a_run_that_only_a_remote_has(first, repo, git, fsck, tmp_path, monkeypatch):
    clone = tmp_path / "clone"
    git("clone", "--quiet", repo, clone)
    monkeypatch.chdir(clone)
    read("first").dump_tags("seen")
    assert git("merge-base", "--is-ancestor", "origin/lumo_experiments", "lumo_experiments") == ""
    git("fetch", "--quiet", clone, "lumo_experiments:refs/remotes/clone/lumo_experiments", cwd=repo)
    monkeypatch.chdir(repo)
    read("first").dump_note("here")
    exp = read("first")
    assert (exp.load_note(), exp.tags) == ("here", ["seen"])
    fsck(repo)


def test_each_edit_is_later_than_all_that_its_editor_has_seen(first, git, monkeypatch):
    """Also where the clock has been set back."""
    for number in range(3):
        with monkeypatch.context() as patch:
            patch.setattr("time.time", lambda number=number: 2e9 - number * 1e6)
            read("first").dump_note(f"note {number}")
    names = [path.rpartition("/")[2] for path in edits(git)]
    assert read("first").load_note() == "note 2"
    assert [int(name[:17]) for name in names] == [2 * 10**15 + number for number in range(3)]


def test_eight_editors_at_once(first, repo, git, fsck):
    words = [sys.executable, "-c", EDITOR]
    editors = [subprocess.Popen([*words, f"e{n}", first.info_dir], stderr=subprocess.PIPE) for n in range(8)]
    assert [editor.communicate()[1] for editor in editors] == [b""] * 8
    assert len(edits(git)) == 8 * 4 * 2
    assert len({path.rpartition("/")[2][:17] for path in edits(git)}) == 8 * 4 * 2
    assert {f"e{n}.{number}" for n in range(8) for number in range(4)} <= {
        *read("first").tags,
        *git("log", "--format=%s", "lumo_experiments").replace("=+", " ").replace(",+", " ").split(),
    }
    fsck(repo)


def test_killed_at_any_call(first, repo, git, fsck):
    """The edit is there whole or not at all; and the next one is made."""

    def edit(last):
        command = [sys.executable, "-c", KILLED_AT, first.info_dir, str(last)]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    calls, outcomes = int(edit(0)), set()
    for number in range(7):
        read("first").dump_note(f"note {number}")
        assert edit(1 + number * (calls - 1) // 6) == ""
        note = read("first").load_note()
        assert note in (f"note {number}", "from the edit")
        outcomes.add(note == "from the edit")
        fsck(repo)
    assert outcomes == {True, False}


@pytest.mark.damages
def test_a_run_that_a_stranger_has_moved(first, repo, git, monkeypatch):
    """It is found where it lies, and is put where it belongs."""
    place = git("ls-tree", "-rd", "--name-only", "lumo_experiments").splitlines()[2]
    assert place.endswith("/first")
    with monkeypatch.context() as patch:
        patch.setenv("GIT_INDEX_FILE", str(repo / ".git/stranger-index"))
        moved = place.replace("/first", "/moved")
        git("read-tree", f"--prefix={moved}/", f"lumo_experiments:{place}")
        tree = git("write-tree")
    commit = git("commit-tree", tree, "-p", "lumo_experiments", "-m", "moved by hand")
    git("update-ref", "refs/heads/lumo_experiments", commit)
    read("moved").dump_note("found")
    assert read("first").load_note() == "found"
    assert moved not in git("ls-tree", "-rd", "--name-only", "lumo_experiments").splitlines()


def test_the_branch_moves_in_between(first, git, monkeypatch):
    """A lost race is run again, with a new time, and leaves one edit."""
    from gitlumo.store.ledger import Ledger

    commit, raced = Ledger._commit, []

    def overtaken(self, *args):
        made = commit(self, *args)
        if not raced:
            raced.append(made)
            tip = git("rev-parse", "lumo_experiments")
            tree = git("rev-parse", f"{tip}^{{tree}}")
            other = git("commit-tree", tree, "-p", tip, "-m", ANOTHER)
            git("update-ref", "refs/heads/lumo_experiments", other)
        return made

    monkeypatch.setattr(Ledger, "_commit", overtaken)
    read("first").dump_note("mine")
    assert len(edits(git)) == 1
    assert git("log", "-2", "--format=%s", "lumo_experiments").splitlines()[1] == "another"


def test_a_failure_after_the_move_is_not_a_second_edit(first, git, monkeypatch):
    from gitlumo.errors import MissingObject
    from gitlumo.store.ledger import Ledger

    settle, failed = Ledger._settle_tip, []

    def fails(self, tip, base):
        if not failed:
            failed.append(tip)
            raise MissingObject("a gc has just moved it")
        settle(self, tip, base)

    monkeypatch.setattr(Ledger, "_settle_tip", fails)
    read("first").dump_note("once")
    assert failed
    assert len(edits(git)) == 1


def test_a_read_only_repository(first, git, monkeypatch):
    monkeypatch.setattr("gitlumo.git.pack.write_pack", _read_only)
    with pytest.raises((LumoError, OSError)):
        read("first").dump_note("x")
    assert edits(git) == []


def _read_only(*args, **kwargs):
    raise OSError(30, "Read-only file system")
