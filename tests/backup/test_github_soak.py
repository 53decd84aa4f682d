"""Backups whose requests go wrong at random, or that are killed: after one clean call nothing is lost or twice."""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from collections import Counter

import pytest

from gitlumo import SimpleExperiment
from gitlumo.backup import api, refusals
from gitlumo.cli import main
from tests.backup import backups, faults
from tests.backup.backups import backup
from tests.backup.faults import Answer, Cut, Fault, Request
from tests.backup.proxy import GitHub

ROUNDS = int(os.environ.get("GITLUMO_SOAK_ROUNDS", "40"))
RUNS = 4  # of each repository; every second one is long
EACH = 3  # rounds with one repository


def some_fault(github: GitHub, dice: random.Random) -> Fault:
    return dice.choice(
        [
            faults.cut_before, faults.cut_within, faults.cut_after, faults.reset_before, faults.silent_before,
            faults.silent_after, faults.server_error, faults.bad_gateway, faults.unavailable,
            faults.unavailable_after, faults.html(502), faults.html(200), faults.secondary_limit(0),
            faults.secondary_limit(0, status=429), faults.primary_limit(0), faults.bad_credentials,
            faults.missing_scope(), faults.not_found, faults.issues_disabled,
            faults.invalid("Issue", "body", "is too long"), github.late(dice.randint(1, 5)),
        ]
    )  # fmt: skip


class Repository:
    """A repository with runs, which change between the rounds."""

    def __init__(self, dice: random.Random):
        self.dice = dice
        for number in range(RUNS - 1):
            backups.record(long=backups.LONG * (number % 2), seed=number)
        self.running = SimpleExperiment("digits", params={"seed": RUNS}).start()

    def change(self) -> None:
        """Somebody writes a note or a tag, or the run goes on."""
        for _ in range(self.dice.randint(1, 3)):
            what = self.dice.choice(("note", "tag", "log"))
            name = f"@~{self.dice.randrange(RUNS)}"
            if what == "note":
                main(["note", name, "-m", f"note {self.dice.random()}"])
            elif what == "tag":
                main(["tag", name, f"t{self.dice.randrange(100)}"])
            else:
                self.running.log({"loss": self.dice.random()})
                self.running.checkpoint()


def kill_while_backing_up(github: GitHub, dice: random.Random, at: int) -> None:
    """Kill it at a request, before or after GitHub gets it, or just afterwards."""
    command = ["git-lumo", "backup", "--all", "-j", dice.choice("13")]
    when, child = dice.choice(("before", "after", "later")), list[subprocess.Popen[bytes]]()

    def kill(request: Request, forward: faults.Forward) -> Answer:
        answer = None if when == "before" else forward()
        if when == "later":
            threading.Timer(dice.uniform(0, 0.1), child[0].kill).start()
        else:
            child[0].kill()
        if answer is None or when == "after":
            raise Cut
        return answer

    github.play(kill, at=at)
    child.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    child[0].wait()


@pytest.mark.soak
def test_nothing_is_lost_and_nothing_is_twice(github, project, tmp_path, fsck, monkeypatch):
    monkeypatch.setattr(api, "TIMEOUT", 1)
    monkeypatch.setattr(refusals, "SECONDARY", 0.01)
    seed = int(os.environ.get("GITLUMO_SOAK_SEED", time.time()))
    print("seed", seed)
    dice = random.Random(seed)
    counts: Counter[str] = Counter()
    repository: Repository | None = None
    for number in range(ROUNDS):
        is_first = number % EACH == 0
        if is_first or repository is None:
            if repository:
                repository.running.end()
            subprocess.run(["git", "clone", "-q", project, tmp_path / f"repo-{number}"], check=True)
            monkeypatch.chdir(tmp_path / f"repo-{number}")
            github.fresh()
            backups.connect(github)
            repository = Repository(dice)
        else:
            repository.change()
        github.remaining = github.limit
        at = dice.randint(1, 25 if is_first else 8)
        if dice.random() < 0.25:
            kill_while_backing_up(github, dice, at)
            counts["killed"] += 1
        else:
            github.play(some_fault(github, dice), at=at, times=dice.choice((1, 1, 1, 2, 30)))
            counts["failed"] += backup("--all", "-j", dice.choice("13")) != 0
        counts["met"] += github.met
        github.well()
        github.land()
        assert backup("--all") == 0, f"round {number} of seed {seed}"
        backups.check(github, tmp_path / f"restored-{number}")
        github.requests.clear()
        assert backup("--all") == 0
        assert backups.writes(github) == [], f"round {number} of seed {seed}"
        if number % EACH == EACH - 1:
            counts["duplicates"] += len(github.issues()) - RUNS
            fsck(".")
            fsck(tmp_path / f"restored-{number}")
    print(f"{ROUNDS} rounds", dict(counts))
    if repository:
        repository.running.end()
    assert counts["met"] > ROUNDS / 2
