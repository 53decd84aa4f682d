"""A run that goes on has one owner: of many at once, and whenever one of them is killed or finds a full disk."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import pytest

from gitlumo import Experiment, resuming
from gitlumo.errors import LumoError, StateError
from gitlumo.store import claim, register
from tests.resuming import (
    BRANCH,
    CUT,
    PRELUDE,
    child,
    damage,
    die,
    files_of,
    go_on,
    ledger,
    open_uids,
    published,
    python,
)

# ----------------------------------------------------------------------------------------------------- two at once

RACE = """
exp = Experiment('digits', resume=sys.argv[1])
print('ready', flush=True); sys.stdin.readline()
try: exp.start()
except gitlumo.LumoError as error:
    print(type(error).__name__, str(error).split(';')[0], flush=True); os._exit(0)
for i in range(20): exp.log({'a': 100 + i})
print('won', exp.test_name, exp.uid, flush=True); sys.stdin.readline()
exp.end()
"""


@pytest.mark.parametrize(("count", "resume"), [(2, "run"), (8, "run"), (3, "auto")])
def test_of_many_at_once_one_becomes_the_owner(repo, fsck, count, resume):
    die()
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", PRELUDE + RACE, resume],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("\n")
        racer.stdin.flush()
    said = [racer.stdout.readline().split() for racer in racers]
    winners = [words for words in said if words[:2] == ["won", "run"]]
    assert len(winners) == 1, said
    for words in said:
        if words not in winners:
            assert words[0] == "won" if resume == "auto" else words[0:2] == ["StateError", "digits/run"], said
    uid = winners[0][2]
    assert uid in open_uids()  # no other has struck it out
    for racer in racers:
        racer.communicate("\n")
    record = published(uid)
    assert [point["a"] for point in record.history("a")] == [1, *range(100, 120)]
    assert (record.state, len(record.progress["resumed"])) == ("finished", 1)
    assert open_uids() == []
    fsck(repo)


def test_a_recovery_that_saw_it_dead_leaves_a_run_to_its_new_owner(repo, git):
    die()
    recovery = subprocess.Popen(
        [
            sys.executable,
            "-c",
            PRELUDE
            + "from gitlumo.store import recovery\n"
            + "real = recovery.alone\n"
            + "def late(path): print('saw', flush=True); sys.stdin.readline(); return real(path)\n"
            + "recovery.alone = late\n"
            + "with Experiment('other'): pass",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert recovery.stdout.readline() == "saw\n"
    with go_on() as exp:
        recovery.communicate("\n")
        assert recovery.returncode == 0
        assert open_uids() == [exp.uid]
        assert " killed" not in git("log", "--format=%s", "-1", f"{BRANCH}", "--grep", f"Lumo-Uid: {exp.uid}")
        assert published(exp.uid).state == "running"


def test_what_was_found_is_read_again_once_alone(repo):
    """Another has gone on with the run, and died, since it was found."""
    die()
    with Experiment("other"):
        pass
    found = resuming.find(ledger(), "digits", None, "run")
    assert child("exp = Experiment('digits', resume='run').start(); exp.log({'a': 2}); die()") == -signal.SIGKILL
    with Experiment("other"):
        pass
    resumed = resuming.take_over(ledger(), found, str(repo / ".git/lumo/info"))
    assert [entry["after"] for entry in resumed.progress["resumed"]] == ["killed", "killed"]
    assert resumed.progress["seq"] == 6  # start 2, killed 3; start 5, killed 6


@pytest.mark.parametrize(("resume", "name"), [("auto", None), ("auto", "run"), ("run", None)])
def test_another_was_faster(repo, monkeypatch, resume, name):
    """Between finding the run and becoming its owner."""
    die()
    real, owners = resuming.find, []

    def find(*args):
        found = real(*args)
        if not owners:
            owners.append(go_on())
            owners[0].start()
        return found

    monkeypatch.setattr(resuming, "find", find)
    if (resume, name) == ("auto", None):
        with go_on(resume) as exp:
            assert exp.test_name != "run"
    else:
        with pytest.raises(StateError, match="has an owner"):
            go_on(resume, test_name=name).start()
    owners[0].end()
    assert published(owners[0].uid).state == "finished"


@pytest.mark.damages
def test_what_goes_on_is_newer_than_all_that_is_known(repo, git):
    die()
    (run,) = register.open_runs(ledger().lumo_dir)
    found = resuming.find(ledger(), "digits", None, "run")
    progress = {**published(run.uid).progress, "seq": 20}
    damage(git, run.uid, "run", {"info/progress.json": json.dumps(progress).encode()})
    resumed = resuming.take_over(ledger(), found, str(repo / ".git/lumo/info"))
    assert resumed.progress["seq"] == 20


def test_another_that_hangs_while_it_takes_over(repo, monkeypatch):
    die()
    monkeypatch.setattr(claim, "PATIENCE", 0.02)
    with claim.alone(str(repo / ".git/lumo")):
        with pytest.raises(StateError, match=r"another process has been taking over .*\ntype 'fuser .*lumo/claim'"):
            go_on().start()
        with Experiment("digits") as new:  # what is dead is left for later
            assert new.test_name != "run"
        assert len(open_uids()) == 1
    with go_on() as exp:
        assert exp.resumed


def test_where_no_lock_can_be_made_nothing_goes_on(repo):
    die()
    (repo / ".git/lumo/claim").mkdir()
    before = files_of(repo)
    with pytest.raises(LumoError, match=r"^digits/run cannot go on: .*/lumo/claim: Is a directory$"):
        go_on().start()
    assert files_of(repo) == before


@pytest.mark.parametrize("ending", ["exp.end()", "die()"])
def test_killed_while_it_takes_over_at_each_write(repo, fsck, ending):
    child("exp = Experiment('digits', 'run').start(); exp.log({'a': 0}); exp.dump_note('n'); " + ending)
    for n in range(1, 6):  # the torn line, pinfo, progress, the register; and what start() writes next
        python(CUT, n - 1, status=-signal.SIGKILL)
        child(f"exp = Experiment('digits', resume='run').start(); exp.log({{'a': {n}}}); {ending}")
    with go_on() as exp:
        assert exp.load_note() == "n"
    record = published(exp.uid)
    assert [point["a"] for point in record.history("a")] == [0, 1, 2, 3, 4, 5]
    owners = record.progress["resumed"]
    # The ledger says of the one that was killed once it was registered; of the others it never knew.
    after = ["finished"] * 5 + ["killed", "finished"] if ending == "exp.end()" else ["killed"] * 7
    assert [entry["after"] for entry in owners] == after
    assert (record.state, open_uids()) == ("finished", [])
    fsck(repo)


FULL = """
import resource
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from gitlumo import resuming
real, n = journal.write_whole, int(sys.argv[1])
def write(path, data):
    global n
    n -= 1
    if n < 0: resource.setrlimit(resource.RLIMIT_FSIZE, (0, -1))  # from here on the disk takes nothing
    return real(path, data)
journal.write_whole = write
try: Experiment('digits', resume='run').start()
except gitlumo.LumoError as error: print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
journal.write_whole = real
print('ready', flush=True); sys.stdin.readline()
"""


@pytest.mark.parametrize("n", [0, 1, 2])
def test_a_full_disk_is_said_and_leaves_the_run_as_it_was(repo, n):
    with Experiment("digits", "run") as exp:
        exp.log({"a": 1})
    full = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + FULL, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    said = full.stdout.readline()
    assert re.match(r"digits/run cannot go on: .*/lumo/.*: File too large\n", said), said
    assert full.stdout.readline() == "ready\n"
    assert open_uids() == []
    with go_on() as again:  # although that process still lives
        again.log({"a": 2})
    full.communicate("\n")
    record = published(exp.uid)
    assert [entry["after"] for entry in record.progress["resumed"]] == ["finished"]
    assert [point["a"] for point in record.history("a")] == [1, 2]
