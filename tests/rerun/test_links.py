"""Data that no snapshot holds, linked into a work tree: there for the run, never in its snapshot, gone afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gitlumo.errors import LumoError
from gitlumo.git.repository import open_repository
from gitlumo.rerun import links, worktrees

SCRIPT = """
import gitlumo
exp = gitlumo.SimpleExperiment('digits').start()
exp.log({'lines': len(open('data, all/raw set/x').read())})
exp.end()
"""

KILLED = """
import os, signal, sys
from gitlumo.git.repository import open_repository
from gitlumo.rerun import worktrees
with worktrees.lease(open_repository(sys.argv[1]), *sys.argv[2:]) as lease:
    lease.link(sys.argv[1], ["model.bin"])
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def data(repo, git):
    """A repository with data that is too large for snapshots, and a commit of its code."""
    (repo / "data, all/raw set").mkdir(parents=True)
    (repo / "data, all/raw set/x").write_text("12345")
    (repo / "model.bin").write_text("1")
    (repo / "train.py").write_text(SCRIPT)
    git("commit", "--quiet", "-m", "code", "train.py")
    return repo


def lease(repo, git):
    opened = open_repository(repo)
    return worktrees.lease(opened, str(repo.parent / "cache"), git("rev-parse", "HEAD", cwd=repo))


def test_a_run_sees_them_and_its_snapshot_does_not(data, git, tree_state):
    before = tree_state(data)
    wanted = ["data, all/raw set/", str(data / "model.bin")]
    with lease(data, git) as first:
        assert first.variables == {}
        first.link(str(data), wanted)
        for _ in range(2):  # a second program may be started there
            done = subprocess.run(
                [sys.executable, "train.py"], cwd=first.path, env=os.environ | first.variables, capture_output=True
            )
            assert done.returncode == 0
        assert os.path.islink(Path(first.path) / "model.bin")
    assert tree_state(data) == before
    runs = json.loads(subprocess.run(["git", "lumo", "log", "--json"], capture_output=True, check=True).stdout)
    assert len(runs) == 2
    for run in runs:
        assert run["metrics"]["lines"]["last"] == 5
        assert run["git"]["commit"] == first.commit
        assert sorted(item["path"] for item in run["git"]["skipped"]) == ["data, all/raw set", "model.bin"]
    with lease(data, git) as second:
        assert (second.path, second.was_there) == (first.path, True)
        assert os.listdir(second.path) == os.listdir(first.path)
        assert git("status", "--porcelain", "--ignored", cwd=second.path) == ""


def test_links_of_a_killed_run_go(data, git):
    words = [sys.executable, "-c", KILLED, str(data), str(data.parent / "cache"), git("rev-parse", "HEAD")]
    assert subprocess.run(words).returncode < 0
    with lease(data, git) as second:
        assert second.was_there
        assert second.variables == {}
        assert not (Path(second.path) / "model.bin").exists()
    assert (data / "model.bin").read_text() == "1"


WRONG = {
    "../other": "is not a file or folder in the work tree",
    ".": "is not a file or folder in the work tree",
    ".git/config": "is not a file or folder in the work tree",
    "nothing": "there is no nothing",
    "train.py": "the recorded code has train.py itself",
}


@pytest.mark.parametrize(("path", "said"), WRONG.items(), ids=WRONG)
def test_what_cannot_be_linked(data, git, path, said):
    with lease(data, git) as first:
        with pytest.raises(LumoError, match=said):
            first.link(str(data), ["model.bin", path])
        assert not (Path(first.path) / "model.bin").exists()
        assert first.variables == {}


def test_no_link_in_a_link(data, git):
    with lease(data, git) as first, pytest.raises(LumoError, match="lies in data, all, which is linked as a whole"):
        first.link(str(data), ["data, all", "data, all/raw set"])


def test_recorded_code_does_not_lead_them_astray(data, git, tmp_path):
    """A folder of the code may be a link to anywhere; nothing is made there."""
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", data / "out")
    git("add", "out")
    git("commit", "--quiet", "-m", "a link")
    (data / "out").unlink()
    (data / "out").mkdir()
    (data / "out/big").write_text("")
    with lease(data, git) as first, pytest.raises(LumoError, match="leads out of it"):
        first.link(str(data), ["out/big"])
    assert os.listdir(tmp_path / "elsewhere") == []


def test_what_is_set_already_stays():
    environ = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "a.b", "GIT_CONFIG_VALUE_0": "c"}
    assert links.variables(["my data/x*"], environ) == {
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_1": "lumo.snapshotExclude",
        "GIT_CONFIG_VALUE_1": "/my?data/x?",
    }
