"""What many processes, a killer and ``git gc`` do to a ledger: nothing. Small rounds always, large ones by ``-m soak``.

GITLUMO_SOAK_ROUNDS scales the large ones: 200 are what the project promises.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitlumo import Experiment
from gitlumo.git import process
from gitlumo.store import register

ROUNDS = int(os.environ.get("GITLUMO_SOAK_ROUNDS", "20"))
REF = "refs/heads/lumo_experiments"


@pytest.fixture
def make_repo(repo, git, tmp_path):
    """``make_repo(name, ref_store)``: one more repository, dirty, with the same first commit."""

    def make(name, ref_store="files"):
        path = tmp_path / name
        words = ["--ref-format=reftable"] if ref_store == "reftable" else []
        if words and process.run(["init", "--quiet", *words, str(tmp_path / "tried")], check=False).status:
            pytest.skip("git is too old for reftable")
        git("clone", "--quiet", *words, repo, path)
        (path / "train.py").write_text("print('changed')\n")
        (path / "new.py").write_text(f"{name}\n")
        return path

    return make


def ledger_files(repo, wanted):
    """uid to {file: bytes} for the files of all runs whose names begin as ``wanted``, by plain git."""
    names = subprocess.run(["git", "ls-tree", "-r", "-z", REF], cwd=repo, capture_output=True, check=True).stdout
    entries = [line.partition("\t") for line in names.decode().split("\0") if line]
    picked = [(path, meta.split()[2]) for meta, _, path in entries if path.split("/", 3)[3].startswith(wanted)]
    ask = "".join(f"{id}\n" for _, id in picked).encode()
    out = subprocess.run(["git", "cat-file", "--batch"], cwd=repo, input=ask, capture_output=True, check=True).stdout
    runs = {}
    for path, id in picked:
        head, _, out = out.partition(b"\n")
        assert head.startswith(id.encode() + b" blob"), (path, head)
        size = int(head.split()[2])
        folder = "/".join(path.split("/")[:3])
        runs.setdefault(folder, {})[path.split("/", 3)[3]] = out[:size]
        out = out[size + 1 :]
    return runs


# --------------------------------------------------------------------------------------------------- SIGKILL

KILLED = """
import os, sys, gitlumo
def say(text): os.write(1, (text + '\\n').encode())
say('begin')
exp = gitlumo.start('soak', params={'lr': .1})
say('uid ' + exp.uid)
for i in range(int(sys.argv[1])):
    exp.log({'n': i})
    say(f'n {i}')
    if i % 40 == 39: exp.checkpoint()
    if i % 25 == 24: exp.dump_metric('best', i, 'with', [i]); say(f'best {i}')
say('end')
exp.end()
say('ended')
"""


def killed_round(repo, seed):
    """Run a training and kill it; returns what it said."""
    chance = random.Random(seed)
    command = [sys.executable, "-c", KILLED, str(chance.choice([5, 60, 400]))]
    child = subprocess.Popen(command, cwd=repo, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    lines, seen = [], threading.Event()
    stage = chance.choice([b"begin\n", b"begin\n", b"uid", b"end\n"])

    def read():
        for line in child.stdout:
            lines.append(line)
            if line.startswith(stage):
                seen.set()
        seen.set()

    reader = threading.Thread(target=read)
    reader.start()
    seen.wait(60)
    time.sleep(chance.random() * (0.25 if stage == b"begin\n" else 0.06))
    child.send_signal(signal.SIGKILL)
    child.wait(60)
    reader.join()
    child.stdout.close()
    whole = [line.decode().split() for line in lines if line.endswith(b"\n")]
    return whole, child.returncode


def check_killed(repo, rounds, fsck):
    with Experiment("last", repo=repo):  # recovers all
        pass
    assert register.open_runs(str(repo / ".git/lumo")) == []
    fsck(repo)
    found = ledger_files(repo, ("history/", "info/uid.json", "info/progress.json", "metrics.json"))
    runs = {json.loads(files["info/uid.json"]): files for files in found.values()}
    counts = {"killed": 0, "ended": 0, "values": 0}
    for words, status in rounds:
        uid = next((line[1] for line in words if line[0] == "uid"), None)
        if uid is None:
            continue
        files = runs[uid]  # a run whose start() returned is there
        told = {tuple(line) for line in words if line[0] in ("n", "best")}
        kept = set()
        for path, data in files.items():
            for line in data.splitlines() if path.startswith("history/") else ():
                point = json.loads(line)
                kept |= {(key, str(point[key])) for key in ("n", "best") if key in point}
        assert told <= kept, f"{uid} lost {sorted(told - kept)}"
        progress = json.loads(files["info/progress.json"])
        ended = ["ended"] in words
        assert not ended or (progress["finished"] and progress["killed"] is None), progress
        assert progress["killed"] or progress["end"], progress
        if told:
            assert json.loads(files["metrics.json"])["n"]["count"] == sum(key == "n" for key, _ in kept)
        counts["killed"] += status == -signal.SIGKILL
        counts["ended"] += ended
        counts["values"] += len(told)
    left = subprocess.run(["git", "for-each-ref"], cwd=repo, capture_output=True, text=True, check=True).stdout
    assert len(left.splitlines()) == 4  # main, its remote-tracking ones, the ledger
    subprocess.run(["git", "gc", "-q", "--prune=now"], cwd=repo, check=True)
    fsck(repo)
    assert ledger_files(repo, ("info/uid.json",)).keys() == found.keys()
    return counts


def kill_rounds(make_repo, fsck, count, repos):
    places = [make_repo(f"r{n}") for n in range(repos)]
    jobs = [(places[n % repos], n) for n in range(count)]
    with ThreadPoolExecutor(max(2, os.cpu_count() or 2)) as pool:
        done = list(pool.map(lambda job: killed_round(*job), jobs))
    totals = [check_killed(place, done[n::repos], fsck) for n, place in enumerate(places)]
    return {key: sum(total[key] for total in totals) for key in totals[0]}


def test_sigkill_loses_no_value_whose_call_returned(make_repo, fsck):
    counts = kill_rounds(make_repo, fsck, 12, 2)
    assert counts["values"] > 0


@pytest.mark.soak
def test_soak_sigkill(make_repo, fsck):
    began = time.monotonic()
    counts = kill_rounds(make_repo, fsck, ROUNDS, 4)
    print(f"{ROUNDS} rounds: {counts}, {time.monotonic() - began:.0f} s")
    assert counts["killed"] > ROUNDS // 4


# --------------------------------------------------------------------------------------------------- many writers

RUNS = """
import sys, gitlumo
for n in range(int(sys.argv[1])):
    with gitlumo.SimpleExperiment('many', params={'worker': int(sys.argv[2]), 'n': n}) as exp:
        for i in range(5): exp.log({'loss': 1 / (i + 1)})
"""


UPKEEP = (["gc", "--prune=now"], ["repack", "-a", "-d"], ["pack-refs", "--all"])


@contextmanager
def upkeep_in_a_loop(place):
    """git's own upkeep, over and over; yields how often each has ended well."""
    stop, ended = threading.Event(), [0] * len(UPKEEP)

    def loop():
        while not stop.is_set():
            for i, words in enumerate(UPKEEP):
                command = ["git", *words, *(["--quiet"] if words[0] != "pack-refs" else [])]
                ended[i] += subprocess.run(command, cwd=place, capture_output=True, check=False).returncode == 0

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield ended
    finally:
        stop.set()
        thread.join()


def many_writers(place, git, fsck, processes, runs):
    command = [sys.executable, "-W", "error", "-c", RUNS, str(runs)]
    with upkeep_in_a_loop(place) as upkeep:
        children = [
            subprocess.Popen([*command, str(n)], cwd=place, stderr=subprocess.PIPE, text=True) for n in range(processes)
        ]
        for child in children:
            said = child.communicate(timeout=1200)[1]
            assert child.returncode == 0, said
            assert "gitlumo:" not in said, said
    found = ledger_files(place, ("info/params.json", "info/progress.json", "metrics.json"))
    params = [json.loads(files["info/params.json"]) for files in found.values()]
    assert sorted((p["worker"], p["n"]) for p in params) == [(w, n) for w in range(processes) for n in range(runs)]
    assert all(json.loads(files["info/progress.json"])["finished"] for files in found.values())
    assert all(json.loads(files["metrics.json"])["loss"]["count"] == 5 for files in found.values())
    kinds = git("log", "--first-parent", "--format=%(trailers:key=Lumo-Event,valueonly)", REF, cwd=place).split()
    assert sorted(kinds) == ["end"] * len(found) + ["start"] * len(found)
    assert register.open_runs(str(place / ".git/lumo")) == []
    assert not list((place / ".git/lumo/queue").glob("*"))
    wait_for_repack(place)
    fsck(place)
    return upkeep


def wait_for_repack(place):
    """The detached roll-up of small packs may still run."""
    until = time.monotonic() + 60
    while list((place / ".git/objects/pack").glob("*tmp*")) and time.monotonic() < until:
        time.sleep(0.05)


@pytest.mark.parametrize("ref_store", ["files", "reftable"])
def test_many_writers(make_repo, git, fsck, ref_store):
    assert min(many_writers(make_repo("many", ref_store), git, fsck, 4, 3)) > 0


@pytest.mark.soak
@pytest.mark.parametrize("ref_store", ["files", "reftable"])
def test_soak_many_writers(make_repo, git, fsck, ref_store):
    began = time.monotonic()
    runs = max(2, ROUNDS // 20)
    upkeep = many_writers(make_repo("many", ref_store), git, fsck, 32, runs)
    print(
        f"{ref_store}: 32 processes of {runs} runs beside {upkeep} rounds of {UPKEEP}: {time.monotonic() - began:.0f} s"
    )


# --------------------------------------------------------------------------------------------------- git gc

EVENTS = """
import sys, gitlumo
exp = gitlumo.start('gc', params={'worker': sys.argv[2]})
for n in range(int(sys.argv[1])):
    exp.log({'n': n})
    exp.checkpoint()
exp.end()
"""


def beside_gc(place, git, fsck, processes, events, gcs):
    """Record events while gc runs in a loop, at least ``gcs`` times, and while somebody looks at the tip."""
    stop, seen, faults, collected = threading.Event(), [], [], []

    def look():
        while not stop.is_set():
            tip = git("rev-parse", "--quiet", "--verify", REF, cwd=place, check=False)
            if not tip:
                continue
            for command in (["log", "-1", "--format=%H", tip], ["cat-file", "-p", f"{tip}^{{tree}}"]):
                done = subprocess.run(["git", *command], cwd=place, capture_output=True, text=True, check=False)
                if done.returncode:
                    faults.append((tip, done.stderr))
            seen.append(tip)

    def collect():
        while not stop.is_set() or len(collected) < gcs:
            done = subprocess.run(
                ["git", "gc", "-q", "--prune=now"], cwd=place, capture_output=True, text=True, check=False
            )
            collected.append(done.stderr if done.returncode else "")

    command = [sys.executable, "-W", "error", "-c", EVENTS, str(events)]
    children = [
        subprocess.Popen([*command, str(n)], cwd=place, stderr=subprocess.PIPE, text=True) for n in range(processes)
    ]
    threads = [threading.Thread(target=look), threading.Thread(target=collect)]
    for thread in threads:
        thread.start()
    try:
        said = [child.communicate(timeout=1200)[1] for child in children]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert [child.returncode for child in children] == [0] * processes, said
    told = [text for text in said if "gitlumo:" in text]
    assert not told, f"{len(faults)} of {len(seen)} looks failed: {faults[:3]}\n" + "\n".join(told)
    assert not faults, faults[:3]
    kinds = git("log", "--first-parent", "--format=%(trailers:key=Lumo-Event,valueonly)", REF, cwd=place).split()
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "start": processes,
        "checkpoint": processes * events,
        "end": processes,
    }
    found = ledger_files(place, ("history/",))
    assert [len(files["history/00000.jsonl"].splitlines()) for files in found.values()] == [events] * processes
    wait_for_repack(place)
    fsck(place)
    return {"gcs": len(collected), "gcs that failed": sum(map(bool, collected)), "looks": len(seen)}


def test_events_beside_gc(make_repo, git, fsck):
    counts = beside_gc(make_repo("gc"), git, fsck, 2, 20, 5)
    assert counts["gcs"] >= 5
    assert counts["looks"] > 0


@pytest.mark.soak
def test_soak_events_beside_gc(make_repo, git, fsck):
    began = time.monotonic()
    counts = beside_gc(make_repo("gc"), git, fsck, 4, max(10, ROUNDS * 5 // 4), min(80, ROUNDS))
    print(f"4 processes of {max(10, ROUNDS * 5 // 4)} events: {counts}, {time.monotonic() - began:.0f} s")


def test_the_tests_see_a_loss(make_repo, fsck):
    place = make_repo("lost")
    words, status = killed_round(place, 11)
    uid = next((line[1] for line in words if line[0] == "uid"), None)
    assert uid
    with pytest.raises(AssertionError, match=r"lost .*'n', '-1'"):
        check_killed(place, [([*words, ["n", "-1"]], status)], fsck)
    assert Path(place, ".git").is_dir()
