"""Events that wait for the lock: who holds it publishes them with its own, whoever is killed meanwhile."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitlumo import Experiment
from gitlumo.store import layout, queue, upkeep

REF = "refs/heads/lumo_experiments"
LOCK = ".git/lumo/lock"


@contextmanager
def held():
    """The ledger's lock, held by somebody else."""
    fd = os.open(LOCK, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def requests():
    return sorted(Path(".git/lumo/queue").glob("*.json"))


def eventually(condition):
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.002)


def started(number):
    exps = [Experiment("digits", params={"i": i}).start() for i in range(number)]
    for i, exp in enumerate(exps):
        exp.log({"loss": i})
    return exps


def checkpoints_at_once(exps, meanwhile=lambda: None):
    """Let all publish while somebody holds the lock; ``meanwhile`` runs once all wait."""
    threads = [threading.Thread(target=exp.checkpoint) for exp in exps]
    with held():
        for thread in threads:
            thread.start()
        eventually(lambda: len(requests()) >= len(exps))
        meanwhile()
    for thread in threads:
        thread.join(30)


def messages(git):
    return git("log", "-z", "--format=%B", REF).split("\0")


def test_one_commit_for_all_that_wait(repo, git, fsck):
    exps = started(5)
    before = int(git("rev-list", "--count", REF))
    checkpoints_at_once(exps)
    assert int(git("rev-list", "--count", REF)) == before + 1
    subject, _, rest = messages(git)[0].partition("\n")
    assert re.fullmatch(r"digits/\S+ running loss=\d, and 4 more", subject)
    assert set(re.findall("Lumo-Uid: (.*)", rest)) == {exp.uid for exp in exps}
    assert rest.count("Lumo-Event: checkpoint") == 5
    body = rest.split("\n\n")[0].strip().split("\n")
    assert sorted(body) == sorted(f"{exp.label} running loss={i}" for i, exp in enumerate(exps))
    for i, exp in enumerate(exps):
        day = exp.test_name[:6]
        assert json.loads(git("show", f"{REF}:digits/{day}/{exp.test_name}/metrics.json"))["loss"]["last"] == i
    assert not requests()
    fsck(repo)
    for exp in exps:
        exp.end()


def test_only_what_is_reachable_is_in_the_pack(repo, git):
    exps = started(4)
    there = set(Path(".git/objects/pack").glob("*.idx"))
    checkpoints_at_once(exps)
    (made,) = set(Path(".git/objects/pack").glob("*.idx")) - there
    with open(made, "rb") as index:
        out = subprocess.run(["git", "show-index"], stdin=index, capture_output=True, text=True, check=True).stdout
    packed = {line.split()[1] for line in out.splitlines()}
    reached = set(git("rev-list", "--objects", "--no-object-names", REF).split())
    assert packed <= reached
    for exp in exps:
        exp.end()


def test_nobody_waits_without_need(repo):
    (exp,) = started(1)
    exp.checkpoint()
    exp.end()
    assert not Path(".git/lumo/queue").exists()


HOLDER = """
import fcntl, os, sys, time
fcntl.flock(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)
print('held', flush=True)
time.sleep(60)
"""


def test_the_holder_is_killed(repo, git):
    exps = started(3)
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, LOCK], stdout=subprocess.PIPE)
    holder.stdout.readline()
    threads = [threading.Thread(target=exp.checkpoint) for exp in exps]
    for thread in threads:
        thread.start()
    eventually(lambda: len(requests()) == 3)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    for thread in threads:
        thread.join(30)
    assert not requests()
    assert "\n".join(messages(git)).count("Lumo-Event: checkpoint") == 3
    for exp in exps:
        exp.end()


WAITER = """
import os, signal, sys
import gitlumo
exp = gitlumo.Experiment('waiter').start()
exp.log({'loss': 7})
print(exp.uid, flush=True)
sys.stdin.readline()
exp.checkpoint()
"""


def test_who_waits_is_killed(repo, git, fsck):
    """Its event is published all the same, by the next who publishes, and then it is found dead."""
    command = [sys.executable, "-c", WAITER]
    waiter = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    uid = waiter.stdout.readline().strip()
    with held():
        waiter.stdin.write("go\n")
        waiter.stdin.flush()
        eventually(requests)
        waiter.send_signal(signal.SIGKILL)
        waiter.wait()
    waiter.stdin.close()
    waiter.stdout.close()
    assert len(requests()) == 1
    with Experiment("next"):
        pass
    assert not requests()
    said = "\n".join(messages(git))
    assert f"Lumo-Event: end\nLumo-Uid: {uid}" in said
    path = next(p for p in git("ls-tree", "-r", "--name-only", REF).splitlines() if "waiter/" in p and "metrics" in p)
    assert json.loads(git("show", f"{REF}:{path}"))["loss"]["last"] == 7
    fsck(repo)


def _of(exp, **changes):
    branch = "lumo_experiments"
    scope = f"{branch} Ada Lovelace <ada@example.org>"
    event = {"scope": scope, "info_dir": exp._folder.info_dir, "kind": "checkpoint", "subject": "x", "snapshot": None}
    return json.dumps(event | changes).encode()


STRANGE = {
    "no JSON": lambda exp: b"{",
    "a list": lambda exp: b"[]",
    "empty": lambda exp: b"",
    "deep": lambda exp: b"[" * 100_000,
    "no folder": lambda exp: _of(exp, info_dir="/nowhere"),
    "a folder that is no run": lambda exp: _of(exp, info_dir=os.getcwd()),
    "numbers": lambda exp: _of(exp, info_dir=1, subject=2),
    "a NUL": lambda exp: _of(exp, info_dir="a\0b"),
    "another branch": lambda exp: _of(exp, scope="other Ada Lovelace <ada@example.org>"),
    "another committer": lambda exp: _of(exp, scope="lumo_experiments Eve <eve@example.org>"),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_strange_requests_disturb_nobody(repo, git, kind):
    other, mine = started(2)
    folder = Path(".git/lumo/queue")
    folder.mkdir()
    strange = folder / "1-strange.json"
    strange.write_bytes(STRANGE[kind](other))
    mine.checkpoint()
    assert re.findall("Lumo-Uid: (.*)", messages(git)[0]) == [mine.uid]
    assert strange.exists()
    long_ago = time.time() - upkeep.LEFTOVER_SECONDS - 1
    os.utime(strange, (long_ago, long_ago))
    mine.end()
    assert not strange.exists()
    other.end()


def test_what_others_break_is_theirs(repo, git):
    """A file that changes while the holder records it fails the waiter's event, and not the holder's."""
    waiter, mine = started(2)
    big = Path(waiter.mk_ipath("big.bin"))
    big.write_bytes(os.urandom(200_000))
    folder = Path(".git/lumo/queue")
    folder.mkdir()
    (folder / "1-a.json").write_bytes(_of(waiter))
    read = queue.Folder.blobs

    def changing(self, hash_name):
        blobs = read(self, hash_name)
        big.write_bytes(os.urandom(200_000))
        return blobs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(queue.Folder, "blobs", changing)
        mine.checkpoint()
    assert re.findall("Lumo-Uid: (.*)", messages(git)[0]) == [mine.uid]
    for exp in (waiter, mine):
        exp.end()


def test_the_message_of_several():
    events = [("start", "a" * 32, "x/a running"), ("end", "b" * 32, "x/b failed")]
    assert layout.event_message(events) == (
        "x/a running, and 1 more\n\nx/a running\nx/b failed\n\nLumo-Format: 1\n"
        f"Lumo-Event: start\nLumo-Uid: {'a' * 32}\nLumo-Event: end\nLumo-Uid: {'b' * 32}\n"
    )
    assert layout.event_message(events[:1]).startswith("x/a running\n\nLumo-Format: 1\n")
