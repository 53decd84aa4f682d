"""A ledger with one run of each kind, and the command as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import gitlumo
from gitlumo.cli import main

KILLED = """
import gitlumo, os, signal
exp = gitlumo.Experiment('digits', 'dies')
exp.start()
exp.log({'acc': .5})
os.kill(os.getpid(), signal.SIGKILL)
"""


@dataclass
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def lumo():
    """``lumo(*args, git=(), cwd=None, env=None)``: how ``git <git> lumo <args>`` ends."""

    def run(*args, git=(), cwd=None, env=None, direct=False):
        command = ["git-lumo", *args] if direct else ["git", *git, "lumo", *args]
        done = subprocess.run(
            command, cwd=cwd, env=None if env is None else {**os.environ, **env}, capture_output=True, encoding="utf-8"
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def ledger(repo: Path) -> Path:
    """A repository with three runs: finished ``first``, failed ``second``, killed ``dies`` (not recovered yet)."""
    with gitlumo.Experiment("digits", "first", params={"lr": 0.1, "model": "mlp", "optim": {"wd": 0}}) as exp:
        for step in range(3):
            exp.log({"loss": 1 / (step + 1)}, step=step)
            exp.dump_metric("acc", step / 4, "per_class", [0.5, step / 4], step=step)
        exp.dump_note("it works\nreally")
        exp.dump_tags("best")
    with (
        pytest.raises(ZeroDivisionError),
        gitlumo.SimpleExperiment("digits", "second", params={"lr": 1, "model": "mlp"}),
    ):
        _ = 1 / 0
    subprocess.run([sys.executable, "-c", KILLED], check=False)
    return repo


@pytest.fixture
def here_lumo(capfd):
    """``here_lumo(*args)``: how ``git lumo <args>`` ends, run in this process: ten times faster."""

    def run(*args):
        capfd.readouterr()
        status = main(args)
        said = capfd.readouterr()
        return Done(status, said.out, said.err)

    return run
