"""exp.checkpoint(push=True): a run that goes on is seen elsewhere, and never waits for the network."""

from __future__ import annotations

import fcntl
import json
import time
from pathlib import Path

import pytest

from gitlumo import Experiment
from gitlumo.errors import LumoWarning


def wait_for(condition) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, "it does not come"
        time.sleep(0.02)


def is_idle(path: Path) -> bool:
    with open(path / ".git/lumo/pushing", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_a_run_that_goes_on_is_seen_elsewhere(pair, ok, tip, shared):
    one, two = pair
    with Experiment("digits", "x", repo=one) as exp:
        exp.log({"loss": 0.5})
        exp.checkpoint(push=True)
        wait_for(lambda: tip(shared))
        ok(two, "pull")
        [run] = json.loads(ok(two, "log", "--json"))
        assert (run["state"], run["metrics"]["loss"]["last"]) == ("running", 0.5)
        wait_for(lambda: is_idle(one))


def test_while_one_push_goes_on_others_are_left_out(pair, record, ok, tip, shared):
    one, _ = pair
    record(one, "a")
    with open(one / ".git/lumo/pushing", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert ok(one, "push", "--if-idle") == ""
    assert tip(shared) == ""
    ok(one, "push", "--if-idle")
    assert tip(shared) == tip(one)


def test_offline_it_goes_on_and_the_next_push_carries_all(pair, ok, tip, shared, recwarn):
    one, _ = pair
    away = shared.rename(shared.parent / "away")
    with Experiment("digits", "x", repo=one) as exp:
        for _ in range(2):
            exp.log({"loss": 0.5})
            exp.checkpoint(push=True)
        wait_for(lambda: (one / ".git/lumo/pushing").exists() and is_idle(one))
        away.rename(shared)
        exp.log({"loss": 0.25})
        exp.checkpoint(push=True)
        wait_for(lambda: tip(shared) == tip(one))
        wait_for(lambda: is_idle(one))
    assert not [each for each in recwarn if issubclass(each.category, LumoWarning)]
    ok(one, "push")
    assert tip(shared) == tip(one)


def test_without_a_remote_it_says_so(repo):
    with Experiment("digits", "x", repo=repo) as exp, pytest.warns(LumoWarning, match="has no remote"):
        exp.checkpoint(push=True)
