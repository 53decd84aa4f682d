"""``git lumo status``: what runs, what waits, how far the remotes are, what is damaged. Looking writes nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import gitlumo
from gitlumo import values
from gitlumo.cli.now import status_of
from gitlumo.cli.opening import open_here
from tests.cli.conftest import KILLED
from tests.cli.test_command import on_a_terminal

pytestmark = pytest.mark.damages


def kill_one() -> None:
    subprocess.run([sys.executable, "-c", KILLED], check=False)


def move_elsewhere(folder: Path) -> None:
    """Let a run seem to be another machine's."""
    pinfo = folder / "info/pinfo.json"
    pinfo.write_text(json.dumps(json.loads(pinfo.read_text()) | {"boot": "another", "host": "node7"}))


def test_nothing(lumo, repo):
    done = lumo("status")
    assert (done.status, done.err) == (0, "")
    assert done.out == "ledger lumo_experiments not here yet (git lumo init)\nnothing runs, nothing waits\n"
    groups = ("running", "elsewhere", "dead", "ended", "remotes", "problems")
    assert [json.loads(lumo("status", "--json").out)[group] for group in groups] == [[]] * 6


def test_a_live_run(lumo, repo):
    with gitlumo.Experiment("digits", "lives") as exp:
        exp.log({"acc": 0.5})
        exp.log({"acc": 0.25, "loss": float("nan")})
        exp.dump_progress(0.25)
        out = lumo("status").out
        for part in (
            "running\n",
            f"digits/lives  process {os.getpid()}  25 %, ",
            " left ",
            "acc=0.25 loss=nan",
            "last heard",
        ):
            assert part in out
        (run,) = json.loads(lumo("status", "--json").out, parse_constant=pytest.fail)["running"]
        assert (run["exp_name"], run["test_name"], run["uid"], run["state"]) == ("digits", "lives", exp.uid, "running")
        assert (run["pid"], run["ratio"], run["metrics"]) == (os.getpid(), 0.25, {"acc": 0.25, "loss": "NaN"})
    assert "nothing runs, nothing waits" in lumo("status").out


def test_when_it_will_be_done(repo):
    """A quarter took 100 s, so the rest takes 300."""
    with gitlumo.Experiment("digits") as exp:
        start = values.time_seconds(exp.properties["progress"]["start"])
        (run,) = status_of(open_here(), now=start + 100).running
        assert (run.ratio, run.left) == (0, None)
        for ratio, left in ((0.25, 300), (1.0, 0)):
            exp.dump_progress(ratio)
            assert status_of(open_here(), now=start + 100).running[0].left == left


def test_the_heartbeat_is_the_last_write(lumo, repo):
    with gitlumo.Experiment("digits") as exp:
        exp.log({"acc": 0.5})
        then = time.time() - 2 * 86400 - 60
        for path in Path(exp.info_dir).rglob("*"):
            os.utime(path, (then, then))
        assert "last heard 2 days ago" in lumo("status").out
        exp.log({"acc": 0.5})
        assert "last heard 0 seconds ago" in lumo("status").out


def test_runs_of_which_nobody_here_may_judge(lumo, repo):
    kill_one()
    folder = repo / ".git/lumo/info/digits/dies"
    move_elsewhere(folder)
    out = lumo("status").out
    assert "digits/dies  on node7" in out
    assert "git lumo recover --force EXP" in out
    assert lumo("recover", "--force", "dies").status == 0
    assert "nothing runs, nothing waits" in lumo("status").out


def test_a_run_of_another_clone(lumo, repo, git, tmp_path):
    clone = tmp_path / "clone"
    with gitlumo.Experiment("digits", "there"):
        git("clone", "--quiet", repo, clone)
        (run,) = json.loads(lumo("status", "--json", cwd=clone).out)["elsewhere"]
        assert run["test_name"] == "there"
        opened = open_here()
        assert len(status_of(opened).elsewhere) == 0  # here it is in the register
        month_later = time.time() + 31 * 86400
    os.chdir(clone)
    assert status_of(open_here(), now=month_later).elsewhere == []


def test_dead_runs_wait_and_nothing_is_written(lumo, repo, git):
    kill_one()
    before = (state_of(repo / ".git"), git("for-each-ref"))
    out = lumo("status").out
    assert "dead\n" in out
    assert "git lumo recover" in out
    assert "digits/dies  killed" in out
    assert "acc=0.5" in out
    assert len(json.loads(lumo("status", "--json").out)["dead"]) == 1
    assert (state_of(repo / ".git"), git("for-each-ref")) == before


def state_of(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture
def unpublished(repo, git, tmp_path):
    """A run that has ended while the ledger was checked out, so that it could not be published."""
    gitlumo.Experiment("digits", "first").start().end()
    exp = gitlumo.Experiment("digits", "waits").start()
    git("worktree", "add", "--quiet", tmp_path / "tree", "lumo_experiments")
    with pytest.warns(gitlumo.errors.LumoWarning):
        exp.end()
    git("worktree", "remove", "--force", tmp_path / "tree")
    return repo


def test_ended_runs_that_wait(lumo, unpublished):
    out = lumo("status").out
    assert "ended, not published\n" in out
    assert "digits/waits  finished" in out
    assert lumo("recover").out == "published digits/waits finished\n"
    assert "nothing runs, nothing waits" in lumo("status").out


def test_one_whose_machine_was_restarted_at_its_end(lumo, unpublished):
    """Its owner neither left it to others nor can be seen: only a person can say that nobody will publish it."""
    (entry,) = (unpublished / ".git/lumo/open").iterdir()
    entry.write_text(json.dumps(json.loads(entry.read_text()) | {"left": False}))
    move_elsewhere(unpublished / ".git/lumo/info/digits/waits")
    assert lumo("recover").out == "nothing to recover\n"
    assert "digits/waits  finished  on node7" in lumo("status").out
    assert lumo("recover", "--force", "waits").out == "published digits/waits finished\n"
    assert json.loads(lumo("show", "waits", "--json").out)["state"] == "finished"
    assert "nothing runs, nothing waits" in lumo("status").out


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("open/{uid}.json", "cannot be read"),
        ("info/digits/dies/info/uid.json", "damaged"),
        ("info/digits/dies/info/progress.json", "damaged"),
        ("info/digits/dies/info/pinfo.json", "pinfo.json"),
    ],
)
def test_what_is_damaged_and_what_mends_it(lumo, repo, file, said):
    kill_one()
    lumo_dir = repo / ".git/lumo"
    (entry,) = (lumo_dir / "open").iterdir()
    (lumo_dir / file.format(uid=entry.stem)).write_text("{")
    done = lumo("status")
    assert done.status == 0
    assert said in done.out
    (problem,) = json.loads(lumo("status", "--json").out)["problems"]
    subprocess.run(["sh", "-c", problem["mend"]], check=True)
    assert json.loads(lumo("status", "--json").out)["problems"] == []
    assert (lumo_dir / "info/digits/dies").exists()


def test_a_folder_that_is_gone(lumo, repo):
    kill_one()
    (repo / ".git/lumo/info/digits/dies").rename(repo / ".git/lumo/info/digits-gone")
    assert "No such file" in lumo("status").out


def test_a_deleted_ledger(lumo, repo, git):
    gitlumo.Experiment("digits").start().end()
    git("branch", "-D", "lumo_experiments")
    done = lumo("status")
    assert done.status == 0
    assert "was deleted" in done.out
    assert "git lumo recover" in done.out


def test_how_far_the_remotes_are(lumo, repo, git, tmp_path):
    git("init", "--quiet", "--bare", tmp_path / "hub.git")
    git("remote", "add", "hub", tmp_path / "hub.git")
    gitlumo.Experiment("digits").start().end()
    assert "hub: has no ledger" in lumo("status").out
    git("push", "--quiet", "hub", "main", "lumo_experiments")
    assert "hub: up to date" in lumo("status").out
    gitlumo.Experiment("digits").start().end()
    assert "hub: 2 events to push" in lumo("status").out
    git("clone", "--quiet", tmp_path / "hub.git", tmp_path / "clone")
    gitlumo.Experiment("digits", repo=tmp_path / "clone").start().end()
    git("push", "--quiet", "origin", "lumo_experiments", cwd=tmp_path / "clone")
    git("fetch", "--quiet", "hub")
    assert 'hub: 2 events to push, 2 events to take in (use "git lumo pull hub")' in lumo("status").out
    (remote,) = json.loads(lumo("status", "--json").out)["remotes"]
    assert remote == {"name": "hub", "ref": "refs/remotes/hub/lumo_experiments", "ahead": 2, "behind": 2}
    lumo("recover")
    assert "hub: 2 events to push (use" in lumo("status").out
    fresh = tmp_path / "fresh"
    git("clone", "--quiet", tmp_path / "hub.git", fresh)
    assert "origin: 4 events to take in" in lumo("status", cwd=fresh).out


def test_watching_without_a_terminal(repo):
    with subprocess.Popen(
        ["git-lumo", "status", "--watch", "0.1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watch:
        shown = [watch.stdout.readline() for _ in range(6)]
        assert shown == 3 * ["ledger lumo_experiments not here yet (git lumo init)\n", "nothing runs, nothing waits\n"]
        watch.send_signal(signal.SIGINT)
        assert watch.wait(20) == 130
        assert watch.stderr.read() == ""


def test_watching_on_a_terminal_redraws(repo):
    """``timeout`` presses Ctrl-C; nothing is paged, and what is long is cut."""
    with gitlumo.Experiment("digits", "lives") as exp:
        exp.log({f"metric-{number}": number for number in range(30)})
        command = ["timeout", "--foreground", "--signal=INT", "1.5", "git-lumo", "status", "--watch", "0.2"]
        _, shown = on_a_terminal(command, {"TERM": "xterm", "COLUMNS": "60", "GIT_PAGER": "sed s/^/paged/"})
    assert shown.count("\033[H\033[2J") >= 2
    assert shown.count("digits/lives") >= 2
    assert "paged" not in shown
    assert "Traceback" not in shown
    assert max(len(line) for line in shown.splitlines() if "digits/lives" in line) <= 60


@pytest.mark.parametrize("seconds", ["0", "-1", "x", "nan", "inf"])
def test_how_often(lumo, repo, seconds):
    done = lumo("status", f"--watch={seconds}")
    assert done.status == 129
    assert "seconds" in done.err


def test_verbs_do_not_care_whether_recording_is_disabled(lumo, repo):
    kill_one()
    off = {"LUMO_DISABLED": "1"}
    on, off_too = (re.sub(r"\d+ seconds? ago", "", lumo("status", env=env).out) for env in (None, off))
    assert on == off_too
    assert lumo("recover", env=off).out == "published digits/dies killed\n"
    assert "digits/dies killed" in lumo("log", "--oneline", env=off).out
