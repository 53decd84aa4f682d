"""``git lumo sweep``: many parameters, each a run; what is done is not done again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

QUADRATIC = """\
import argparse, gitlumo, os, pathlib, time
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--wd", type=float, default=0)
parser.add_argument("--scan")  # what the sweep calls it counts
args = parser.parse_args()
with gitlumo.Experiment("quadratic", params=args) as exp:
    pathlib.Path(os.environ.get("SEEN", os.devnull)).open("a").write(f"{os.environ.get('LUMO_SLOT')} ")
    time.sleep(float(os.environ.get("SLEEP", "0")))
    if os.environ.get("FAIL") and args.lr == 0.3:
        raise SystemExit(3)
    exp.dump_metric("acc", 1 - (args.lr - 0.2) ** 2)
"""


@pytest.fixture
def quadratic(repo):
    (repo / "q.py").write_text(QUADRATIC)
    return repo


def scans(lumo, name):
    return [run for run in json.loads(lumo("log", "--json", direct=True).out) if run["params"].get("scan") == name]


def points(runs, *keys):
    return sorted(tuple(run["params"][key] for key in keys) for run in runs)


def test_a_grid_and_what_failed_again(quadratic, lumo, tree_state, fsck):
    before = tree_state(quadratic)
    command = ["sweep", "-n", "first", "--grid", "lr=.1,.3", "--grid", "wd=0,1e-4", "-j", "2", "--", sys.executable]
    plan = lumo(*command, "q.py", direct=True, env={"FAIL": "1"})
    assert plan.status == 1
    assert plan.err.splitlines()[:3] == ["first: 4 runs", "  lr=.1 wd=0", "  lr=.1 wd=1e-4"]
    runs = scans(lumo, "first")
    assert points(runs, "lr", "wd") == [(0.1, 0), (0.1, 0.0001), (0.3, 0), (0.3, 0.0001)]
    assert {run["state"] for run in runs if run["params"]["lr"] == 0.3} == {"failed"}
    assert {run["exp_name"] for run in runs} == {"quadratic"}
    assert len({run["test_name"] for run in runs}) == 4
    again = lumo(*command, "q.py", direct=True)
    assert (again.status, again.err.splitlines()[0]) == (0, "first: 4 runs, of which 2 are done or go on"), again.err
    assert len(scans(lumo, "first")) == 6
    done = lumo(*command, "q.py", direct=True)
    assert (done.status, done.out, len(scans(lumo, "first"))) == (0, "", 6)
    assert tree_state(quadratic) == before
    fsck(quadratic)


def test_a_script_that_does_not_take_a_parameter(quadratic, lumo):
    (quadratic / "q.py").write_text(QUADRATIC.replace("params=args", "params={'lr': 0.5}"))
    done = lumo("sweep", "-n", "u", "--grid", "lr=.1,.5", "--", sys.executable, "q.py", direct=True)
    assert (done.status, done.err.count("warning: the run of lr=.1 has not recorded")) == (1, 1), done.err


def test_dry_run_and_random_points_are_the_same_each_time(quadratic, lumo):
    words = ["sweep", "-n", "r", "--grid", "lr=log(1e-5,1e-1)", "--random", "3", "--dry-run"]
    first, second, other = (
        lumo(*words, *seed, "--", sys.executable, "q.py", direct=True) for seed in ([], [], ["--seed", "1"])
    )
    assert (first.status, first.out, first.err.count("  lr=")) == (0, "", 3)
    assert first.err == second.err != other.err
    assert scans(lumo, "r") == []


def test_parameters_are_put_where_the_command_has_them(quadratic, lumo):
    done = lumo("sweep", "-n", "p", "--grid", "lr=.2", "--", sys.executable, "q.py", "--lr", "1", direct=True)
    assert done.status == 0, done.err
    (run,) = scans(lumo, "p")
    assert run["execute"]["exec_argv"] == ["q.py", "--lr", ".2"]
    assert run["params"]["lr"] == 0.2


def test_slots(quadratic, lumo, tmp_path):
    env = {"SEEN": str(tmp_path / "seen"), "SLEEP": "1"}
    lumo("sweep", "-n", "s", "--grid", "lr=1..2", "-j", "2", "--", sys.executable, "q.py", direct=True, env=env)
    assert sorted((tmp_path / "seen").read_text().split()) == ["0", "1"]


def test_ctrl_c_leaves_the_rest_for_the_next_call(quadratic, lumo, fsck):
    command = ["git-lumo", "sweep", "-n", "c", "--grid", "lr=1..3", "--", sys.executable, "q.py"]
    with subprocess.Popen(
        command,
        env={**os.environ, "SLEEP": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as sweep:
        until = time.monotonic() + 60
        while not any(run["state"] == "finished" for run in scans(lumo, "c")) and time.monotonic() < until:
            time.sleep(0.05)
        os.killpg(sweep.pid, 2)
        _, said = sweep.communicate()
    assert (sweep.returncode, b"goes on with the rest" in said) == (130, True)
    assert lumo(*command[1:], direct=True).status == 0
    finished = [run for run in scans(lumo, "c") if run["state"] == "finished"]
    assert points(finished, "lr") == [(1,), (2,), (3,)]
    fsck(quadratic)


def test_a_search_goes_on_where_it_was(quadratic, lumo):
    words = ["sweep", "-n", "o", "--optuna", "lr=log(1e-3,1)", "--metric", "acc", "--seed", "0"]
    done = lumo(*words, "--trials", "4", "--", sys.executable, "q.py", direct=True)
    assert done.status == 0, done.err
    first = scans(lumo, "o")
    assert points(first, "trial") == [(0,), (1,), (2,), (3,)]
    assert all(1e-3 <= run["params"]["lr"] <= 1 for run in first)
    more = lumo(*words, "--trials", "6", "-j", "2", "--", sys.executable, "q.py", direct=True)
    assert more.err.startswith("o: 6 trials, of which 4 are done, for the best acc"), more.err
    assert points(scans(lumo, "o"), "trial") == [(i,) for i in range(6)]
    enough = lumo(*words, "--trials", "6", "--", sys.executable, "q.py", direct=True)
    assert (enough.status, enough.out) == (0, "")


def test_the_runs_of_a_cluster_come_back(quadratic, lumo, fsck):
    words = ["sweep", "-n", "l", "--grid", "lr=.1,.3", "--launcher", "submitit", "--launch", "timeout_min=2", "-j", "2"]
    done = lumo(*words, "--", sys.executable, "q.py", direct=True, env={"FAIL": "1"})
    assert done.status == 1, done.err
    assert sorted((run["params"]["lr"], run["state"]) for run in scans(lumo, "l")) == [
        (0.1, "finished"),
        (0.3, "failed"),
    ]
    fsck(quadratic)


def test_what_another_machine_has_done_is_done(quadratic, lumo, git, tmp_path):
    git("add", "q.py")
    git("commit", "--quiet", "--message", "a sweep")
    git("clone", "--quiet", "--bare", quadratic, tmp_path / "hub.git")
    git("remote", "add", "origin", tmp_path / "hub.git")
    git("clone", "--quiet", tmp_path / "hub.git", tmp_path / "node")
    command = ["sweep", "-n", "m", "--grid", "lr=.1,.2,.3", "--", sys.executable, "q.py"]
    lumo(*command, direct=True, cwd=tmp_path / "node", env={"FAIL": "1"})
    git("push", "--quiet", "origin", "lumo_experiments", cwd=tmp_path / "node")
    git("fetch", "--quiet", "origin")
    done = lumo(*command, direct=True)
    assert (done.status, done.err.splitlines()[:2]) == (0, ["m: 3 runs, of which 2 are done or go on", "  lr=.3"])
    assert points([run for run in scans(lumo, "m") if run["state"] == "finished"], "lr") == [(0.1,), (0.2,), (0.3,)]


@pytest.mark.parametrize("number", [2, 15])
def test_a_cluster_s_jobs_are_cancelled(quadratic, lumo, fsck, number):
    command = ["git-lumo", "sweep", "-n", "k", "--grid", "lr=1..3", "--launcher", "submitit", "-j", "2", "--"]
    with subprocess.Popen(
        [*command, sys.executable, "q.py"],
        env={**os.environ, "SLEEP": "60"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as sweep:
        until = time.monotonic() + 60
        while len(scans(lumo, "k")) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        sweep.send_signal(number)  # the key was not pressed here, or this is no terminal: only the sweep hears of it
        _, said = sweep.communicate(timeout=30)
    assert sweep.returncode == 128 + number
    assert (b"Traceback" in said, said.count(b": cancelled")) == (False, 2), said
    until = time.monotonic() + 10
    while any(run["state"] == "running" for run in scans(lumo, "k")) and time.monotonic() < until:
        time.sleep(0.05)
    assert [run["state"] for run in scans(lumo, "k")] == ["failed", "failed"]
    fsck(quadratic)


def test_wrong_usage(quadratic, lumo):
    python = ["--", sys.executable, "q.py"]
    for words in (
        ["-n", "x", "--grid", "lr=1"],
        ["-n", "x", *python],
        ["--grid", "lr=1", *python],
        ["-n", "x", "--grid", "lr", *python],
        ["-n", "x", "--grid", "lr=1,,2", *python],
        ["-n", "x", "--grid", "lr=1,1", *python],
        ["-n", "x", "--grid", "lr=5..1", *python],
        ["-n", "x", "--grid", "lr=log(0,1)", "--random", "2", *python],
        ["-n", "x", "--grid", "lr=log(1e-5,1)", *python],
        ["-n", "x", "--grid", "lr=1", "--grid", "lr=2", *python],
        ["-n", "x", "--grid", "scan=1", *python],
        ["-n", "x", "--optuna", "lr=1,2", *python],
        ["-n", "x", "--grid", "lr=1", "--optuna", "wd=1,2", "--metric", "acc", *python],
        ["-n", "x", "--grid", "lr=1", "--launch", "a=1", *python],
        ["-n", "", "--grid", "lr=1", *python],
        ["-n", "x", "--grid", "lr=1", "-j", "0", *python],
        ["-n", "x", "--grid", "lr=1", "--random", "0", *python],
        ["-n", "x", "--grid", "lr=1", "--seed", "0", *python],
        ["-n", "x", "--grid", "lr=1", "--metric", "acc", *python],
        ["-n", "x", "--optuna", "lr=1,2", "--metric", "acc", "--random", "2", *python],
        ["-n", "x", "--grid", "lr=1", "--launcher", "submitit", "--launch", "nosuch=1", *python],
    ):
        done = lumo("sweep", *words, direct=True)
        assert (done.status, done.out, "Traceback" in done.err) == (129, "", False), (words, done.err)
    assert lumo("sweep", "-n", "x", "--grid", "lr=1", "--", "nosuch", direct=True).status == 127
    assert lumo("sweep", "-n", "x", "--grid", "lr=1", "--exp", "a/b", *python, direct=True).status == 128
    assert scans(lumo, "x") == []


def test_two_at_once_do_each_point_once(quadratic, lumo, fsck):
    command = ["git-lumo", "sweep", "-n", "2023", "--grid", "lr=1..5", "--", sys.executable, "q.py"]
    both = [subprocess.Popen(command, env={**os.environ, "SLEEP": "0.3"}, stderr=subprocess.PIPE) for _ in range(2)]
    said = b"".join(one.communicate()[1] for one in both)
    assert [one.returncode for one in both] == [0, 0]
    assert points(scans(lumo, 2023), "lr") == [(1,), (2,), (3,), (4,), (5,)]
    assert b"done meanwhile, or go on, by another process" in said, said
    assert lumo(*command[1:], direct=True).err == "2023: 5 runs, of which 5 are done or go on\n"
    assert os.listdir(quadratic / ".git/lumo/jobs") == []
    fsck(quadratic)


def test_the_table_is_of_the_runs_that_were_made_now(quadratic, lumo):
    command = ["sweep", "-n", "t", "--grid", "lr=1", "--", sys.executable]
    assert "failed" in lumo(*command, "gone.py", direct=True).out
    (quadratic / ".git/lumo/jobs").rmdir()
    (quadratic / ".git/lumo/jobs").write_text("")  # no lock can be made there
    done = lumo(*command, "q.py", direct=True, env={"LUMO_DISABLED": "1"})
    assert (done.status, len(done.out.splitlines()), "not recorded its parameters" in done.err) == (0, 1, False)
    assert "nothing is recorded" in done.err


def test_nothing_of_a_sweep_is_written_elsewhere(quadratic, lumo, git, tmp_path):
    git("config", "lumo.cacheRoot", tmp_path / "cache" / "root")
    words = ["--grid", "lr=1", "--launcher", "submitit", "--", sys.executable, "q.py"]
    assert lumo("sweep", "-n", "../../out", *words, direct=True).status == 0
    assert os.listdir(tmp_path / "cache") == ["root"]
    assert os.listdir(tmp_path / "cache" / "root" / "launched") == ["%2E.%2F..%2Fout"]


def test_two_searches_at_once(quadratic, lumo):
    command = ["git-lumo", "sweep", "-n", "o", "--optuna", "lr=log(1e-3,1)", "--metric", "acc", "--trials", "2"]
    command += ["--", sys.executable, "q.py"]
    both = [subprocess.Popen(command, env={**os.environ, "SLEEP": "2"}, stderr=subprocess.PIPE) for _ in range(2)]
    said = b"".join(one.communicate()[1] for one in both)
    assert sorted(one.returncode for one in both) == [0, 128]
    assert b"fatal: another process goes on with the search o" in said
    assert points(scans(lumo, "o"), "trial") == [(0,), (1,)]
