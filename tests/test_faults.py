"""Killed, or refused a write, at each system call of a run in turn: sampled always, all of them by ``-m soak``."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gitlumo.store import register
from tests.endings import NO_STRACE, has_strace
from tests.test_soak import ROUNDS, ledger_files

pytestmark = pytest.mark.skipif(not has_strace(), reason=NO_STRACE)

# 'say' uses a call that nothing else does, so that it can be told apart, and is never refused.
RUN = """
import os, sys, warnings
import gitlumo
def say(*words): os.writev(1, [(' '.join(map(str, words)) + '\\n').encode()])
warned = []
def call(what, *words):
    with warnings.catch_warnings(record=True, action='always') as new: what()
    warned.extend(new)
    if not warned: say(*words)
say('begin')
try: exp = gitlumo.SimpleExperiment('d', params={'lr': .1})
finally: say('made')
try: call(exp.start, 'started')
except gitlumo.LumoError: say('refused'); sys.exit(0)
say('uid', exp.uid)
for n in range(3): call(lambda: exp.log({'n': n}), 'n', n)
call(exp.checkpoint, 'checkpoint')
call(lambda: exp.log({'n': 3}), 'n', 3)
call(lambda: exp.dump_note('noted'), 'note')
call(exp.end, 'ended')
say('done')
"""
CALL = re.compile(r"\w+\(")
REFUSED = "write,pwrite64,mkdir,rename,link,unlink,fsync,fdatasync,ftruncate"


@pytest.fixture
def places(repo, git, tmp_path):
    """Repositories with changes that are not committed."""
    made = [tmp_path / f"r{n}" for n in range(min(4, os.cpu_count() or 2))]
    for place in made:
        git("clone", "--quiet", repo, place)
        (place / "train.py").write_text("print('changed')\n")
        (place / "new.py").write_text("new\n")
        git("lumo", "recover", cwd=place)
    return made


def run(place, *options, out="/dev/null"):
    command = ["strace", "-qq", "-o", str(out), *options, sys.executable, "-c", RUN]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, timeout=120)
    return [tuple(line.split()) for line in done.stdout.splitlines()], done.returncode, done.stderr


def spots(place, tmp_path, calls, count, so_on=False):
    """Options of strace for a fault at each system call, or at ``count`` of them, from before start() to after the end.

    strace counts each kind of call apart: ``write:...:when=7`` is the seventh write.

    Args:
        calls: Kinds of calls, ``all`` or with commas.
        so_on: Whether the fault is to stay, in all kinds of calls.
    """
    trace = tmp_path / "trace"
    run(place, "-e", f"trace={calls}" if calls == "all" else f"trace={calls},writev", out=trace)
    names = [line.partition("(")[0] for line in trace.read_text(errors="replace").splitlines() if CALL.match(line)]
    said = [number for number, name in enumerate(names) if name == "writev"]
    places = [n for n in range(said[0], said[-1] + 1) if calls == "all" or names[n] != "writev"]
    assert len(places) > 20
    found = []
    for n in places if count is None else places[:: len(places) // count]:
        kinds = calls.split(",") if so_on else [names[n]]
        more = "+" if so_on else ""
        found.append([f"{kind}:{{fault}}:when={names[:n].count(kind) + 1}{more}" for kind in kinds])
    return found


def play(places, picked, fault, tree_state, fsck):
    """Run with the fault at each of some calls; returns what each run said. Nothing told is lost afterwards."""
    before = [tree_state(place) for place in places]
    options = [[word for spot in spots for word in ("-e", "inject=" + spot.format(fault=fault))] for spots in picked]
    jobs = [(places[i % len(places)], words) for i, words in enumerate(options)]
    with ThreadPoolExecutor(len(places)) as pool:
        done = list(pool.map(lambda job: run(job[0], *job[1]), jobs))
    for index, place in enumerate(places):
        check(place, [words for words, *_ in done[index :: len(places)]], fsck)
        assert tree_state(place) == before[index]
    return done


def wait_for_roll_up(place):
    """Until a detached 'git repack' has ended, during which packs vanish under git fsck."""
    before, packs = None, place / ".git/objects/pack"
    while (place / ".git/lumo/rolled-up").exists() and (now := sorted(os.listdir(packs))) != before:
        before = now
        time.sleep(1)


def check(place, rounds, fsck):
    for _ in range(2):  # the second one has nothing to do
        done = subprocess.run(["git", "lumo", "recover"], cwd=place, capture_output=True, text=True, check=True)
        assert done.stderr == ""
    assert done.stdout == "nothing to recover\n"
    assert register.open_runs(str(place / ".git/lumo")) == []
    wait_for_roll_up(place)
    fsck(place)
    found = ledger_files(place, ("history/", "info/uid.json", "info/progress.json", "metrics.json", "note.md"))
    runs = {json.loads(files["info/uid.json"]): files for files in found.values()}
    for words in rounds:
        uid = next((word[1] for word in words if word[0] == "uid"), None)
        if uid is None:
            continue
        if uid not in runs:  # the disk took nothing at all of it
            assert not {"started", "n", "note", "ended"} & {word[0] for word in words}
            continue
        files = runs[uid]
        lines = files.get("history/00000.jsonl", b"").splitlines()
        kept = [json.loads(line)["n"] for line in lines if line.endswith(b"}")]
        assert len(kept) == len(set(kept)), kept
        told = {int(word[1]) for word in words if word[0] == "n"}
        assert told <= set(kept), f"{uid} lost {told - set(kept)}"
        assert not kept or json.loads(files["metrics.json"])["n"]["count"] == len(kept)
        assert ("note",) not in words or files["note.md"] == b"noted"
        progress = json.loads(files["info/progress.json"])
        assert progress["killed"] or progress["end"], progress
        assert ("ended",) not in words or (progress["finished"] and not progress["killed"]), progress


def killed(places, tmp_path, tree_state, fsck, count):
    picked = spots(places[0], tmp_path, "all", count)
    done = play(places, picked, "signal=KILL", tree_state, fsck)
    assert sum(status == -signal.SIGKILL for _, status, _ in done) > 0.8 * len(picked)
    return len(picked)


def refused(places, tmp_path, tree_state, fsck, count, error, so_on):
    picked = spots(places[0], tmp_path, REFUSED, count, so_on)
    for words, status, errors in play(places, picked, f"error={error}", tree_state, fsck):  # the training goes on
        assert status == 0, errors
        assert words[-1] in (("done",), ("refused",)), errors
    return len(picked)


def test_killed_at_a_system_call(places, tmp_path, tree_state, fsck):
    killed(places, tmp_path, tree_state, fsck, 10)


@pytest.mark.parametrize("so_on", [False, True], ids=["once", "from then on"])
def test_no_space_at_a_write(places, tmp_path, tree_state, fsck, so_on):
    refused(places, tmp_path, tree_state, fsck, 6, "ENOSPC", so_on)


@pytest.mark.soak
def test_soak_killed_at_each_system_call(places, tmp_path, tree_state, fsck):
    """Of about 3,700, which take ten minutes; with fewer rounds at so many of them, evenly spread."""
    print(killed(places, tmp_path, tree_state, fsck, None if ROUNDS >= 200 else 8 * ROUNDS), "system calls")


@pytest.mark.soak
@pytest.mark.parametrize("so_on", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EROFS"])
def test_soak_refused_at_each_write(places, tmp_path, tree_state, fsck, error, so_on):
    print(refused(places, tmp_path, tree_state, fsck, None, error, so_on), "writes refused by", error)
