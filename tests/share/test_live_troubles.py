"""Live sharing where something is wrong: the training goes on, nothing is lost or broken, one warning says it."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from gitlumo import Experiment, SimpleExperiment, sharing
from gitlumo.errors import LumoWarning
from gitlumo.git import process
from tests.share.living import black_hole, pushers, runs, states, until

SCRIPT = """
import sys, time
from gitlumo import Experiment
with Experiment('digits', 'lives') as exp:
    exp.log({'acc': 0.25})
    while True:
        time.sleep(.02)
        exp.log({'loss': 1.0})
"""


def test_a_remote_that_never_answers_holds_nothing_up(pair, git, paced, monkeypatch, fsck, tip, shared, ok):
    """The training logs on, the end waits for its bound only, one warning says so; the next push carries all."""
    one, _ = pair
    paced(one)
    monkeypatch.setattr(sharing, "LAST", 0.5)
    monkeypatch.setattr(sharing, "LIMIT", 5.0)
    with black_hole() as hole:
        git("remote", "set-url", "origin", hole, cwd=one)
        with pytest.warns(LumoWarning) as said:  # noqa: PT031
            exp = Experiment("digits", "lives", repo=one)
            exp.start()
            until(lambda: (one / ".git/lumo/pushing").exists(), "a push begins")
            for step in range(1000):
                exp.log({"loss": step})
            exp.end()
        assert pushers(one)
        assert exp.state == "finished"
        assert [str(warning.message) for warning in said] == [
            "digits/lives could not be pushed: not within 0.5 seconds; that goes on in the background; it is recorded"
            " here all the same, and the next push carries all (this is said once)"
        ]
        until(lambda: not pushers(one), "what pushed is gone by itself")
    git("remote", "set-url", "origin", shared, cwd=one)
    ok(one, "push", "-q")
    assert tip(shared) == tip(one)
    fsck(one)


def test_offline_it_goes_on_and_says_so_once(pair, git, paced, tip, shared, ok):
    one, two = pair
    paced(one, "300s")
    git("remote", "set-url", "origin", one.parent / "nowhere.git", cwd=one)
    with pytest.warns(LumoWarning) as said, SimpleExperiment("digits", "lives", repo=one) as exp:  # noqa: PT031
        for step in range(3):
            exp.log({"loss": step})
            exp._share(False)
            os.utime(one / ".git/lumo/pushing", (1, 1))
        assert "origin" in exp.properties["hooks"]["AutoPush"]["msg"]
        assert not exp.properties["hooks"]["AutoPush"]["loaded"]
        git("remote", "set-url", "origin", shared, cwd=one)
        exp._share(False)  # no news, but the last one was not pushed
        assert tip(shared) == tip(one)
        assert exp.properties["hooks"]["AutoPush"] == {"loaded": True, "msg": ""}
    assert len(said) == 1
    ok(two, "fetch", "-q")
    assert runs(ok, two)[0]["metrics"]["loss"]["count"] == 3


def test_secrets_stay_here(pair, paced, tip, shared):
    one, _ = pair
    paced(one, "300s")
    (one / "new.py").write_text("key = 'ghp_" + "a1B2" * 9 + "'\n")
    with pytest.warns(LumoWarning, match="secrets would leave"), SimpleExperiment("digits", repo=one) as exp:
        exp._share(False)
    assert tip(shared) == ""


def test_nobody_is_asked(pair, http, git, paced, tmp_path):
    one, _ = pair
    paced(one, "300s")
    asked = tmp_path / "asked"
    helper = tmp_path / "askpass"
    helper.write_text(f"#!/bin/sh\necho x >> {asked}\n")
    helper.chmod(0o755)
    git("config", "core.askPass", helper, cwd=one)
    git("remote", "set-url", "origin", f"http://127.0.0.1:{http.server_port}/shared.git", cwd=one)
    with pytest.warns(LumoWarning, match="nobody can be asked"), Experiment("digits", repo=one) as exp:
        exp._share(False)
    assert not asked.exists()


def test_killed_in_the_middle(pair, paced, tip, shared, fsck, ok):
    """The next start, or push, publishes what it has left, and all is sound."""
    one, two = pair
    paced(one)
    child = subprocess.Popen([sys.executable, "-c", SCRIPT], cwd=one, stderr=subprocess.DEVNULL)
    try:
        until(lambda: tip(shared), "something arrives")
    finally:
        child.kill()
        child.wait()
    until(lambda: not pushers(one), "what pushed is gone")
    ok(one, "push", "-q")
    ok(two, "pull", "-q")
    assert states(ok, one) == states(ok, two) == {"lives": "killed"}
    ok(two, "fsck")
    for path in (one, two, shared):
        fsck(path)


def test_a_killed_pusher_leaves_nothing_broken(pair, paced, tip, shared, fsck, monkeypatch, ok):
    one, _ = pair
    paced(one, "300s")
    delay = 0.0

    def wait_and_kill(self, timeout=None):
        time.sleep(delay)
        self.kill()
        return wait(self)

    def run_killed(self, words, **keywords):
        made(self, words, **keywords)
        if "gitlumo.share.live" in words:
            self.wait = lambda timeout=None: wait_and_kill(self)

    made, wait = process.Child.__init__, process.Child.wait
    monkeypatch.setattr(process.Child, "__init__", run_killed)
    with pytest.warns(LumoWarning, match="could not be pushed"), Experiment("digits", repo=one) as exp:  # noqa: PT031
        for number in range(8):
            delay = 0.1 * (number + 1)
            exp.log({"loss": number})
            exp._share(False)
        monkeypatch.undo()
        os.utime(one / ".git/lumo/pushing", (1, 1)) if (one / ".git/lumo/pushing").exists() else None
        exp._share(False)
    assert tip(shared) == tip(one)
    ok(one, "fsck")
    fsck(one)
    fsck(shared)
