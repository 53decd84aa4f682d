"""The generator of large ledgers writes what gitlumo would have written."""

from __future__ import annotations

import pytest

from gitlumo import SimpleExperiment
from gitlumo.cli import main
from tests.benchmarks import ledgers

UNTIL = 1795000000.0


MANY = pytest.param(1003, 1, 0, marks=pytest.mark.damages)  # it does not; but a stranger would read them for 20 s


@pytest.mark.parametrize(("runs", "days", "steps"), [(40, 3, 5), MANY])
def test_ledger(git, repo, fsck, capsys, runs, days, steps):
    exp_names = ledgers.EXP_NAMES if days > 1 else ("digits",)
    names = ledgers.write(repo, runs, exp_names=exp_names, days=days, steps=steps, until=UNTIL)
    fsck(repo)
    assert main(["fsck"]) == 0
    assert capsys.readouterr().out == f"{runs} runs checked, 0 problems\n"
    assert len(set(names)) == runs
    assert int(git("rev-list", "--first-parent", "--count", ledgers.BRANCH)) == 2 * runs + 1
    paths = git("ls-tree", "-r", "--name-only", ledgers.BRANCH).splitlines()
    assert any(path.endswith("history/00000.jsonl") for path in paths) == (steps > 0)
    assert any("/1/" in path for path in paths) == (runs > 1000)


def test_a_run_can_follow(git, repo, fsck):
    ledgers.write(repo, 5, steps=2, days=1, exp_names=("digits",))
    with SimpleExperiment("digits") as exp:
        exp.log({"loss": 0.5})
    assert exp.test_name.split(".")[1] == "005"
    fsck(repo)
    listed = git("log", "--first-parent", "--format=%s", "-1", ledgers.BRANCH)
    assert listed == f"{exp.label} finished loss=0.5"


def test_equal_arguments_give_equal_ledgers(git, repo):
    ledgers.write(repo, 12, until=UNTIL)
    tip = git("rev-parse", ledgers.BRANCH)
    git("update-ref", "-d", ledgers.BRANCH)
    ledgers.write(repo, 12, until=UNTIL)
    assert git("rev-parse", ledgers.BRANCH) == tip
