"""Clones that record, edit, push and pull at random, killed at random, over a wire that is cut at random.

In the end, after one push each and then one pull each, all have the same tip with every run and every value that any
call had kept, and nobody was ever asked anything.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.share import servers

ROUNDS = int(os.environ.get("GITLUMO_SOAK_ROUNDS", "40"))
RUN = """
import sys, gitlumo
exp = gitlumo.start('digits', params={'seed': int(sys.argv[1])})
print('run', exp.uid, flush=True)
for n in range(15):
    exp.log({'n': n})
    print('kept', n, flush=True)
    if n == 7:
        exp.checkpoint()
exp.end()
"""


@dataclass
class Worker:
    """What one clone has done.

    Attributes:
        path: The clone.
        dice: Its own.
        kept: Run to how many values were kept.
        killed: How many processes.
        said: What failed, and was not killed.
    """

    path: Path
    dice: random.Random
    kept: dict[str, int] = field(default_factory=dict)
    killed: int = 0
    said: list[str] = field(default_factory=list)

    def work(self, rounds: int) -> None:
        for _ in range(rounds):
            what = self.dice.choice(("run", "run", "edit", "push", "push", "pull", "fetch"))
            if what == "run":
                self.record()
            elif what == "edit":
                self.run("git-lumo", "note", "@", "-m", f"note {self.dice.random()}")
            else:
                self.run("git-lumo", what)

    def record(self) -> None:
        out = self.run(sys.executable, "-W", "ignore", "-c", RUN, str(self.dice.randrange(10**6)))
        words = [line.split() for line in out.splitlines()]
        uid = next((word for kind, word in filter(_is_pair, words) if kind == "run"), None)
        if uid:
            self.kept[uid] = sum(1 for pair in words if _is_pair(pair) and pair[0] == "kept")

    def run(self, *command: str) -> str:
        child = subprocess.Popen(
            command, cwd=self.path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        killer = None
        if self.dice.random() < 0.3:
            killer = threading.Timer(self.dice.uniform(0, 1.5), _kill, (child, self.dice.random() < 0.5))
            killer.start()
        out, err = child.communicate(timeout=300)
        if killer:
            killer.cancel()
            killer.join()
        if child.returncode == -signal.SIGKILL:
            self.killed += 1
        elif child.returncode:
            self.said.append(err)
        return out


def _is_pair(words: list[str]) -> bool:
    return len(words) == 2 and words[0] in ("run", "kept")


def _kill(child: subprocess.Popen[str], all_below: bool) -> None:
    """SIGKILL to a process, and perhaps to all that it has started."""
    victims = [child.pid, *(_below(child.pid) if all_below else ())]
    for pid in victims:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _below(pid: int) -> list[int]:
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            parent = int(Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()[1])
            if entry.isdigit() and parent == pid:
                found += [int(entry), *_below(int(entry))]
    return found


def _cut_at_random(server: servers.HttpServer, stop: threading.Event, dice: random.Random) -> None:
    while not stop.wait(dice.uniform(0.3, 1.5)):
        setattr(server, dice.choice(("cut", "cut_answer")), dice.choice((0, 50, 500, 5000)))
        stop.wait(dice.uniform(0.05, 0.4))
        server.cut = server.cut_answer = None
    server.cut = server.cut_answer = None


def soak(paths: list[Path], rounds: int, seed: int, server: servers.HttpServer | None) -> list[Worker]:
    workers = [Worker(path, random.Random(seed + i)) for i, path in enumerate(paths)]
    threads = [threading.Thread(target=worker.work, args=(rounds,)) for worker in workers]
    stop = threading.Event()
    if server:
        threads.append(threading.Thread(target=_cut_at_random, args=(server, stop, random.Random(seed))))
    for thread in threads:
        thread.start()
    for thread in threads[: len(workers)]:
        thread.join()
    stop.set()
    for thread in threads:
        thread.join()
    return workers


def check(workers: list[Worker], shared: Path, ok, tip, fsck) -> None:
    time.sleep(1)  # what was killed has let go of its files
    for worker in workers:
        ok(worker.path, "push", "-q")
    for worker in workers:
        ok(worker.path, "pull", "-q")
    assert {tip(worker.path) for worker in workers} == {tip(shared)}
    rows = json.loads(ok(workers[0].path, "log", "--json", "--all", "-n", "0"))
    found = {row["uid"]: row["metrics"].get("n", {}).get("count", 0) for row in rows}
    for worker in workers:
        for uid, kept in worker.kept.items():
            assert found.get(uid, -1) >= kept, f"run {uid} of {worker.path.name}: {kept} values were kept"
        ok(worker.path, "fsck")
        fsck(worker.path)
    fsck(shared)
    said = [line for worker in workers for err in worker.said for line in err.splitlines()]
    assert not [line for line in said if "Traceback" in line or "Username" in line or "fault of gitlumo" in line], said


def test_three_for_a_moment(shared, http, clone, ok, tip, fsck):
    paths = [clone(http.url("shared.git"), f"c{i}") for i in range(3)]
    workers = soak(paths, 5, 7, http)
    check(workers, shared, ok, tip, fsck)
    assert sum(len(worker.kept) for worker in workers)


@pytest.mark.soak
def test_eight_over_http(shared, http, clone, ok, tip, fsck):
    began = time.monotonic()
    paths = [clone(http.url("shared.git"), f"c{i}") for i in range(8)]
    seed = random.SystemRandom().randrange(10**6)
    workers = soak(paths, ROUNDS, seed, http)
    check(workers, shared, ok, tip, fsck)
    _tell(workers, seed, began)


@pytest.mark.soak
def test_four_over_ssh(shared, clone, ok, tip, fsck, tmp_path, monkeypatch):
    program = servers.sshd_program()
    if program is None:
        pytest.skip("sshd is not installed")
    began = time.monotonic()
    seed = random.SystemRandom().randrange(10**6)
    with servers.sshd(program, tmp_path / "ssh", shared.parent) as (url, command):
        monkeypatch.setenv("GIT_SSH_COMMAND", command)
        paths = [clone(f"{url}/shared.git", f"c{i}") for i in range(4)]
        workers = soak(paths, ROUNDS, seed, None)
        check(workers, shared, ok, tip, fsck)
    _tell(workers, seed, began)


def _tell(workers: list[Worker], seed: int, began: float) -> None:
    runs, killed = (sum(counts) for counts in zip(*((len(w.kept), w.killed) for w in workers), strict=True))
    failed = sum(len(worker.said) for worker in workers)
    print(f"seed {seed}: {len(workers)} clones, {runs} runs, {killed} processes killed, {failed} commands failed, "
          f"{time.monotonic() - began:.0f} s")  # fmt: skip
