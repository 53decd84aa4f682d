"""Backups at whose requests anything may go wrong, and that are killed: after one clean call nothing is lost or twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from gitlumo import SimpleExperiment
from gitlumo.backup import api, refusals
from gitlumo.cli import main
from tests.backup import backups, faults
from tests.backup.backups import backup
from tests.backup.faults import Fault
from tests.backup.proxy import GitHub

ROUNDS = int(os.environ.get("GITLUMO_SOAK_ROUNDS", "40"))
RUNS = 4  # of each repository; every second one is long
EACH = 10  # rounds with one repository


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
        """Somebody writes a note or a tag, the run goes on, or nothing happens; in the end it ends."""
        what = self.dice.choice(("note", "tag", "log", "nothing"))
        name = f"@~{self.dice.randrange(RUNS)}"
        if what == "note":
            main(["note", name, "-m", f"note {self.dice.random()}"])
        elif what == "tag":
            main(["tag", name, self.dice.choice("abc")])
        elif what == "log":
            self.running.log({"loss": self.dice.random()})
            self.running.checkpoint()


def kill_while_backing_up(dice: random.Random) -> None:
    child = subprocess.Popen(
        ["git-lumo", "backup", "--all", "-j", dice.choice("13")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    killer = threading.Timer(dice.uniform(0.3, 3), child.send_signal, (signal.SIGKILL,))
    killer.start()
    child.wait()
    killer.cancel()
    killer.join()


@pytest.mark.soak
def test_nothing_is_lost_and_nothing_is_twice(github, project, tmp_path, fsck, monkeypatch):
    monkeypatch.setattr(api, "TIMEOUT", 1)
    monkeypatch.setattr(refusals, "SECONDARY", 0.01)
    seed = int(os.environ.get("GITLUMO_SOAK_SEED", time.time()))
    print("seed", seed)
    dice = random.Random(seed)
    killed = failed = duplicates = 0
    for number in range(ROUNDS):
        if number % EACH == 0:
            if number:
                repository.running.end()
            folder = tmp_path / f"repo-{number}"
            subprocess.run(["git", "clone", "-q", project, folder], check=True)
            monkeypatch.chdir(folder)
            github.fresh()
            backups.connect(github)
            repository = Repository(dice)
        repository.change()
        github.remaining = github.limit
        for _ in range(dice.randint(1, 2)):
            github.play(some_fault(github, dice), at=dice.randint(1, 25), times=dice.choice((1, 1, 1, 2, 30)))
        if dice.random() < 0.25:
            kill_while_backing_up(dice)
            killed += 1
        else:
            failed += backup("--all", "-j", dice.choice("13")) != 0
        github.well()
        github.land()
        assert backup("--all") == 0, f"round {number} of seed {seed}"
        backups.check(github, tmp_path / f"restored-{number}")
        duplicates += len(github.issues()) - RUNS if number % EACH == EACH - 1 else 0
        github.requests.clear()
        assert backup("--all") == 0
        assert backups.writes(github) == [], f"round {number} of seed {seed}"
        if number % EACH == EACH - 1:
            fsck(".")
            fsck(tmp_path / f"restored-{number}")
    print(f"{ROUNDS} rounds, {failed} failed, {killed} killed, {duplicates} duplicates")
    repository.running.end()
    assert Path(folder).exists()
