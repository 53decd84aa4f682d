"""Live sharing: a run is published and pushed while it goes on, and the training never waits for that."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitlumo import Experiment, SimpleExperiment, sharing
from gitlumo.errors import LumoWarning
from gitlumo.share import live
from tests.share.conftest import REF

SCRIPT = """
import sys, time
from gitlumo import Experiment
with Experiment('digits', 'lives') as exp:
    exp.log({'acc': 0.25})
    while True:
        time.sleep(.02)
        exp.log({'loss': 1.0})
"""


def until(true: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Wait for what happens in another process."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.02)


def states(ok, path: Path) -> dict[str, str]:
    return {run["test_name"]: run["state"] for run in runs(ok, path)}


def runs(ok, path: Path) -> list[dict]:
    return json.loads(ok(path, "log", "--json"))


@pytest.fixture
def pushes(hook, tmp_path):
    """``pushes()``: how many the shared repository has got."""
    log = tmp_path / "pushes"
    hook(f"echo x >> {log}")
    return lambda: len(log.read_text().splitlines()) if log.exists() else 0


@pytest.fixture
def paced(git):
    """``paced(path, pace)``: share what runs there."""
    return lambda path, pace="1s": git("config", "lumo.autoPush", pace, cwd=path)


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """The address of a repository on a server that takes connections, and never answers; checks nobody is left."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    held.append(server.accept()[0])

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/x.git"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in held:
                connection.close()


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


def test_a_remote_that_never_answers_holds_nothing_up(pair, git, paced, monkeypatch, fsck, tip, shared):
    """The training logs on, the end waits for its bound only, one warning says so; the next push carries all."""
    one, _ = pair
    paced(one)
    monkeypatch.setattr(sharing, "LAST", 0.5)
    monkeypatch.setattr(sharing, "LIMIT", 3.0)
    with black_hole() as hole:
        git("remote", "set-url", "origin", hole, cwd=one)
        with pytest.warns(LumoWarning) as said:  # noqa: PT031
            exp = Experiment("digits", "lives", repo=one)
            exp.start()
            until(lambda: (one / ".git/lumo/pushing").exists(), "a push begins")
            for step in range(1000):
                exp.log({"loss": step})
            exp.end()
        assert exp.state == "finished"
        assert [str(warning.message) for warning in said] == [
            "digits/lives could not be pushed: not within 0.5 seconds; that goes on in the background; it is recorded"
            " here all the same, and the next push carries all (this is said once)"
        ]
        until(lambda: not pushers(), "what pushed is gone by itself")
    git("remote", "set-url", "origin", shared, cwd=one)
    live_push(one)
    assert tip(shared) == tip(one)
    fsck(one)


def pushers() -> list[str]:
    """The processes of this test machine's session that push, ours and git's."""
    out = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    here = os.getcwd()
    return [line for line in out.splitlines() if here in line and ("gitlumo.share.live" in line or " push " in line)]


def live_push(path: Path) -> None:
    subprocess.run(["git-lumo", "push", "-q"], cwd=path, check=True)


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


def test_what_the_run_publishes_itself_comes_after(pair, git, ok):
    """A number that is not the folder's is late, and one of a run that others have ended is void."""
    one, _ = pair
    with Experiment("digits", repo=one) as exp:
        exp.log({"acc": 1})
        seq = exp._mark()
        exp.checkpoint()
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
    until(lambda: not pushers(), "what pushed is gone")
    ok(one, "push", "-q")
    ok(two, "pull", "-q")
    assert states(ok, one) == states(ok, two) == {"lives": "killed"}
    ok(two, "fsck")
    for path in (one, two, shared):
        fsck(path)


def test_a_killed_pusher_leaves_nothing_broken(pair, paced, tip, shared, fsck, monkeypatch, ok):
    one, _ = pair
    paced(one, "300s")
    start = Experiment._start_push

    def start_and_kill(self, *args, **keywords):
        child = start(self, *args, **keywords)
        time.sleep(delay)
        child.kill()
        return child

    monkeypatch.setattr(Experiment, "_start_push", start_and_kill)
    with pytest.warns(LumoWarning, match="could not be pushed"), Experiment("digits", repo=one) as exp:  # noqa: PT031
        for number in range(8):
            delay = 0.05 * (number + 1)
            exp.log({"loss": number})
            exp._share(False)
        monkeypatch.undo()
        os.utime(one / ".git/lumo/pushing", (1, 1)) if (one / ".git/lumo/pushing").exists() else None
        exp._share(False)
    assert tip(shared) == tip(one)
    ok(one, "fsck")
    fsck(one)
    fsck(shared)


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
    child = subprocess.Popen(["git-lumo", "run", "-q", "--", sys.executable, "-c", script], cwd=one)

    def seen() -> bool:
        ok(two, "fetch", "-q")
        return [run["metrics"]["acc"]["last"] for run in runs(ok, two) if "acc" in run["metrics"]] == [0.5]

    until(seen, "the metric arrives")
    assert list(states(ok, two).values()) == ["running"]
    (tmp_path / "go").touch()
    assert child.wait(60) == 0
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
