"""Live sharing: a run is published and pushed while it goes on, and the training never waits for that."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gitlumo import Experiment
from gitlumo.share import live
from tests.share.conftest import REF
from tests.share.living import runs, states, until


@pytest.mark.parametrize("url", ["path", "http"], indirect=True)
def test_a_running_run_is_seen_elsewhere(url, clone, ok, paced, fsck, shared):
    one, two = clone(url, "one"), clone(url, "two")
    paced(one)
    with Experiment("digits", "lives", repo=one) as exp:
        exp.log({"acc": 0.25})

        def seen() -> bool:
            ok(two, "fetch", "-q")
            return [run["metrics"]["acc"]["best"] for run in runs(ok, two) if "acc" in run["metrics"]] == [0.25]

        until(seen, "the metric arrives")
        assert states(ok, two) == {"lives": "running"}
        exp.log({"acc": 0.5})
    ok(two, "fetch", "-q")  # the end waits for its push
    assert states(ok, two) == {"lives": "finished"}
    for path in (one, two, shared):
        fsck(path)


def test_without_the_setting_nothing_is_pushed(pair, record, tip, shared):
    record(pair[0])
    assert tip(shared) == ""


def test_checkpoint_pushes_when_asked_and_so_does_the_end(pair, ok, tip, shared, pushes):
    one, two = pair
    with Experiment("digits", "asked", repo=one) as exp:
        exp.checkpoint()
        assert exp._live is None
        exp.log({"acc": 1})
        exp.checkpoint(push=True)
        until(lambda: tip(shared) == tip(one), "the checkpoint arrives")
    assert tip(shared) == tip(one)
    assert pushes() == 2
    ok(two, "pull", "-q")
    assert states(ok, two) == {"asked": "finished"}


def test_what_is_asked_while_a_push_goes_on_is_skipped(pair, monkeypatch):
    started, go = [], threading.Event()

    def push(self, asked):
        started.append(asked)
        assert go.wait(60)

    monkeypatch.setattr(Experiment, "_share", push)
    monkeypatch.setattr(Experiment, "_share_end", lambda self: None)
    with Experiment("digits", repo=pair[0]) as exp:
        exp.checkpoint(push=True)
        until(lambda: started, "the first push begins")
        for _ in range(5):
            exp.checkpoint(push=True)
        assert started == [True]
        go.set()
        until(lambda: not exp._live.asked.is_set(), "it ends")
        exp.checkpoint(push=True)
        until(lambda: len(started) == 2, "the next one begins")
    exp._live.join(60)
    assert started == [True, True]


def test_the_training_thread_starts_no_process_and_opens_no_connection(pair, paced, monkeypatch):
    """But at the start, at a checkpoint, at the end. What pushes is started by the thread."""
    one, _ = pair
    paced(one)
    by: list[tuple[str, threading.Thread]] = []
    share = Experiment._share

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if is_training and event in ("subprocess.Popen", "os.posix_spawn", "os.fork", "socket.connect"):
            by.append((event, threading.current_thread()))

    is_training = False
    shared_once = threading.Event()
    monkeypatch.setattr(Experiment, "_share", lambda self, asked: (share(self, asked), shared_once.set()))
    sys.addaudithook(watch)
    with Experiment("digits", repo=one) as exp:
        is_training = True
        while not shared_once.is_set():
            exp.log({"loss": 1})
            exp.dump_info("more", {"is": 1})
            exp.dump_progress(0.5)
        is_training = False
    assert [event for event, thread in by if thread is threading.main_thread()] == []
    assert [event for event, _ in by] == ["subprocess.Popen"]  # and only one


def test_pushes_are_no_more_than_beats(pair, paced, pushes, monkeypatch, git):
    """One a beat; none where there is no news; the last one at the end."""
    one, _ = pair
    paced(one, "300s")
    with Experiment("digits", repo=one) as exp:
        assert exp._share(False) is None
        assert pushes() == 1
        for _ in range(3):
            exp._share(False)  # no news
        assert pushes() == 1
        exp.log({"acc": 1})
        exp._share(False)  # so soon: another run's events would be carried by the last one's successor
        assert pushes() == 1
        os.utime(one / ".git/lumo/pushing", (1, 1))
        exp.log({"acc": 2})
        exp._share(False)
        assert pushes() == 2
    assert pushes() == 3
    events = git("log", "--format=%(trailers:key=Lumo-Event,valueonly,separator=)", "--reverse", REF, cwd=one).split()
    assert events == ["start", "checkpoint", "checkpoint", "checkpoint", "end"]


def test_never_two_at_once(tmp_path):
    with live.turn(str(tmp_path)) as first, live.turn(str(tmp_path)) as second:
        assert (first, second) == (True, False)
    with live.turn(str(tmp_path), 100.0) as soon:
        assert not soon
    os.utime(tmp_path / "pushing", (1, 1))
    with live.turn(str(tmp_path), 100.0) as later:
        assert later


def test_while_somebody_pushes_a_beat_publishes_only(pair, paced, tip, shared, pushes):
    one, _ = pair
    paced(one, "300s")
    with Experiment("digits", repo=one) as exp, live.turn(str(one / ".git/lumo")):
        before = tip(one)
        exp._share(False)
        assert tip(one) != before
        assert tip(shared) == ""
        assert "AutoPush" not in exp._hook_states
        assert pushes() == 0


def test_what_the_run_publishes_itself_comes_after(pair, git, ok):
    """A number that is not the folder's is late, and one of a run that others have ended is void."""
    one, _ = pair
    with Experiment("digits", repo=one) as exp:
        exp.log({"acc": 1})
        seq = exp._mark()
        exp.checkpoint()
        exp.log({"acc": 3})
        before = git("rev-parse", REF, cwd=one)
        live.publish(exp.ledger, exp.uid, seq)
        assert git("rev-parse", REF, cwd=one) == before
        exp.log({"acc": 2})
        live.publish(exp.ledger, exp.uid, exp._mark())
        assert git("rev-parse", REF, cwd=one) != before
    after = git("rev-parse", REF, cwd=one)
    live.publish(exp.ledger, exp.uid, exp._progress["seq"])  # not in the register any more
    assert git("rev-parse", REF, cwd=one) == after
    assert states(ok, one)[exp.test_name] == "finished"


def test_lines_that_come_meanwhile_wait_for_the_next_time(pair, ok, monkeypatch, git):
    """What is published is whole: the summary is that of the history beside it."""
    one, _ = pair
    fold = live.record.fold

    def fold_while_it_goes_on(lines):
        found = fold(lines)
        exp.log({"acc": 2})
        return found

    with Experiment("digits", repo=one) as exp:
        exp.log({"acc": 1})
        seq = exp._mark()
        monkeypatch.setattr(live.record, "fold", fold_while_it_goes_on)
        live.publish(exp.ledger, exp.uid, seq)
        monkeypatch.undo()
        folder = f"{REF}:digits/{exp.test_name[:6]}/{exp.test_name}"
        assert git("show", f"{folder}/history/00000.jsonl", cwd=one).count("\n") == 0  # one line
        assert json.loads(git("show", f"{folder}/metrics.json", cwd=one))["acc"]["last"] == 1
        ok(one, "fsck")
    assert runs(ok, one)[0]["metrics"]["acc"]["last"] == 2


@pytest.mark.parametrize("adopts", [False, True])
def test_git_lumo_run_shares_its_command(pair, paced, tip, shared, ok, adopts, tmp_path):
    """Also where a script in it records the run: then that one shares it, and the end is the runner's."""
    one, two = pair
    paced(one)
    wait = f"import os, time\nwhile not os.path.exists({str(tmp_path / 'go')!r}): time.sleep(.02)\n"
    if adopts:
        script = f"import gitlumo\nexp = gitlumo.start('digits')\nexp.log({{'acc': .5}})\n{wait}"
    else:
        script = f"import os\nopen(os.environ['LUMO_METRICS'], 'a').write('{{\"acc\": 0.5}}\\n')\n{wait}"
    errors = (tmp_path / "errors").open("w+")
    child = subprocess.Popen(["git-lumo", "run", "-q", "--", sys.executable, "-c", script], cwd=one, stderr=errors)

    def seen() -> bool:
        ok(two, "fetch", "-q")
        return [run["metrics"]["acc"]["last"] for run in runs(ok, two) if "acc" in run["metrics"]] == [0.5]

    until(seen, "the metric arrives")
    assert list(states(ok, two).values()) == ["running"]
    time.sleep(2.5)  # for two beats of whoever does not record it
    (tmp_path / "go").touch()
    assert child.wait(60) == 0
    with errors:
        errors.seek(0)
        assert errors.read() == ""
    ok(two, "fetch", "-q")
    assert list(states(ok, two).values()) == ["finished"]
    ok(two, "fsck")


def test_the_end_of_a_program_without_end(pair, paced, tip, shared, ok):
    one, two = pair
    paced(one, "300s")
    script = "import gitlumo\nexp = gitlumo.start('digits')\nexp.log({'acc': 1})\n"
    done = subprocess.run([sys.executable, "-c", script], cwd=one, capture_output=True, text=True, check=True)
    assert "Warning" not in done.stderr
    ok(two, "fetch", "-q")
    assert list(states(ok, two).values()) == ["finished"]


def test_silent_runs_share_nothing(pair, paced, monkeypatch):
    paced(pair[0])
    monkeypatch.setenv("LUMO_DISABLED", "1")
    with Experiment("digits", repo=pair[0]) as exp:
        exp.checkpoint(push=True)
        assert exp._live is None


def test_a_bad_setting_is_said_at_the_start(pair, paced, lumo):
    paced(pair[0], "often")
    status, _, err = lumo(pair[0], "run", "--", "true")
    assert status == 129
    assert "lumo.autoPush is 'often'; it can be off, or an interval" in err


def test_signals_reach_the_runner_not_the_thread(pair, paced):
    """A command's end is heard at once, also with a thread that waits: its SIGCHLD goes to who listens."""
    paced(pair[0])
    for _ in range(5):
        subprocess.run(["git-lumo", "run", "-q", "--", "true"], cwd=pair[0], check=True, timeout=60)


def test_a_thread_hears_no_signal(pair, paced):
    paced(pair[0], "300s")
    with Experiment("digits", repo=pair[0]) as exp:
        blocked = Path(f"/proc/self/task/{exp._live.native_id}/status")
        if blocked.exists():
            line = next(line for line in blocked.read_text().splitlines() if line.startswith("SigBlk"))
            assert int(line.split()[1], 16) >> (signal.SIGCHLD - 1) & 1
    assert signal.SIGCHLD not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
