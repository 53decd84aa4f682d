"""``git lumo rerun --where``: only what failed, once each; what is redone is not redone again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time


def listed(lumo, **more):
    return json.loads(lumo("log", "--json", direct=True, **more).out)


def test_only_what_failed_runs_again_and_once(repo, lumo, fsck, tree_state):
    (repo / "scan.py").write_text(
        "import gitlumo, os, signal, sys, time\n"
        "lr = int(sys.argv[1])\n"
        "with gitlumo.SimpleExperiment('scan') as exp:\n"
        "    exp.dump_info('params', {'scan': 'ssl-2023', 'lr': lr})\n"
        "    time.sleep(float(os.environ.get('SLEEP', '0')))\n"
        "    if 'FAIL' in os.environ and lr in (3, 7):\n"
        "        raise MemoryError\n"
        "    if 'FAIL' in os.environ and lr == 11:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    exp.dump_metric('acc', lr / 12)\n"
    )
    for lr in range(12):
        subprocess.run(
            [sys.executable, "scan.py", str(lr)], cwd=repo, env={**os.environ, "FAIL": "1"}, capture_output=True
        )
    before = tree_state(repo)
    where = "scan = ssl-2023 and state in (failed, killed)"
    assert lumo("rerun", "--where", where, "--dry-run", direct=True).err.count("to run again") == 3
    command = ["git-lumo", "rerun", "--where", where]
    with subprocess.Popen(
        command, cwd=repo, env={**os.environ, "SLEEP": "3"}, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        until = time.monotonic() + 60
        while not _is_done(lumo, 1) and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)
        os.killpg(process.pid, 2)  # Ctrl-C
        out = process.communicate()[0].decode()
    assert process.returncode == 130
    assert "finished" in out
    finished = [run for run in listed(lumo) if run["rerun"].get("from") and run["state"] == "finished"]
    assert len(finished) == 1
    done = lumo("rerun", "--where", where, "-j", "2", direct=True)
    assert (done.status, done.err.count("to run again")) == (0, 2), done.err
    finished = [run for run in listed(lumo) if run["rerun"].get("from") and run["state"] == "finished"]
    assert sorted(run["params"]["lr"] for run in finished) == [3, 7, 11]
    done = lumo("rerun", "--where", where, direct=True)
    assert (done.status, "no run is to run again" in done.err) == (0, True)
    assert tree_state(repo) == before
    fsck(repo)


def _is_done(lumo, count):
    return sum(run["state"] == "finished" and bool(run["rerun"].get("from")) for run in listed(lumo)) >= count
