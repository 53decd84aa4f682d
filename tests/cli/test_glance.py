"""``git lumo log`` from the index says what the ledger says, and the ledger is asked where it must be."""

import re
import subprocess
import sys

import pytest

from gitlumo import Experiment, Watcher


def record(**params):
    with Experiment("digits", params=params) as exp:
        exp.dump_metric("acc", params.get("seed", 0) / 10)
        exp.log({"loss": 1.5})
        exp.dump_note("größe\nsecond line")
    return exp


def log(*args):
    """What it prints, and whether an engine was imported: then the ledger was read."""
    code = (
        "import sys; from gitlumo.cli import main; status = main(['log', *sys.argv[1:]])\n"
        "print('pygit2' in sys.modules, file=sys.stderr); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=True)
    return done.stdout, done.stderr.splitlines()[-1] == "True"


@pytest.mark.parametrize("options", [(), ("--oneline",), ("-n", "2"), ("--all",)])
def test_the_same_from_both(repo, options):
    for seed in range(3):
        record(seed=seed, deep={"b": {"c": 1}, "a": None}, lr=10.0**-seed, odd=float("nan"))
    Watcher().retrieve("@~1").dump_deprecated()
    first, read = log(*options)
    assert read
    log()  # brings the index up to date, where the first did not
    again, read = log(*options)
    assert not read
    assert [re.sub(r"\d+ seconds? ago", "now", line).split() for line in again.splitlines()] == [
        re.sub(r"\d+ seconds? ago", "now", line).split() for line in first.splitlines()
    ]


def test_what_is_new_is_seen(repo, git, tmp_path):
    record(seed=1)
    log()
    assert log()[1] is False
    record(seed=2)
    assert len(log()[0].splitlines()) == 3
    with Experiment("digits", params={"seed": 3}) as exp:
        assert len(log()[0].splitlines()) == 4
        exp.log({"acc": 0.25})
        assert "0.25" in log()[0]
    git("clone", "--quiet", repo, tmp_path / "clone")
    git("update-ref", "refs/heads/lumo_experiments", "lumo_experiments~2")
    assert len(log()[0].splitlines()) == 3
    git("remote", "add", "origin", tmp_path / "clone")
    git("update-ref", "refs/remotes/origin/lumo_experiments", "lumo_experiments@{1}")
    assert len(log()[0].splitlines()) == 4


def test_a_large_ledger_is_not_indexed_by_a_look_at_it(repo, monkeypatch, capsys):
    from gitlumo.cli import glance, main

    for seed in range(3):
        record(seed=seed)
    monkeypatch.setattr(glance, "MOST", 2)
    assert main(["log"]) == 0
    assert not list((repo / ".git/lumo").glob("index*"))
    monkeypatch.setattr(glance, "MOST", 3)
    assert main(["log"]) == 0
    assert len(list((repo / ".git/lumo").glob("index*"))) == 1
