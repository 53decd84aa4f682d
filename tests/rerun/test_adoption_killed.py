"""Who ends a run when ``git lumo run`` or the script in its command is killed, or the script outlives the command."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from gitlumo.store import register
from tests.endings import NO_STRACE, has_strace
from tests.rerun.test_adoption import PYTHON, state
from tests.test_soak import ROUNDS


def wait_for(path, seconds=60):
    until = time.monotonic() + seconds
    while not Path(path).exists():
        assert time.monotonic() < until, f"{path} did not come"
        time.sleep(0.02)


def recover(cwd=None):
    for _ in range(2):
        done = subprocess.run(["git", "lumo", "recover"], cwd=cwd, capture_output=True, text=True, check=True)
    assert done.stdout == "nothing to recover\n"


# ----------------------------------------------------------------------------------------------- who is left alone

LIVES = """
exp = gitlumo.start('digits')
said = open('.git/said', 'w')
def wait(name):
    open(f'.git/{name}', 'w').close()
    while not os.path.exists(f'.git/{name}-on'): time.sleep(.02)
n = 0
def log():
    global n
    exp.log({'n': n}); n += 1
for _ in range(5): log()
wait('ready')
for _ in range(5): log()
exp.checkpoint()
wait('more')
exp.end()
open('.git/ended', 'w').close()
"""


def on(name):
    wait_for(f".git/{name}")
    Path(f".git/{name}-on").touch()


def pids():
    """Of the processes that stand in this repository."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.readlink(f"/proc/{name}/cwd") == os.getcwd() and int(name) != os.getpid():
                    found.append(int(name))
            except OSError:
                continue
    return found


def test_the_runner_is_killed_and_the_script_goes_on(repo, script, runs, fsck, tree_state, nothing_left):
    train = script(LIVES)
    before = tree_state(repo)
    with subprocess.Popen(["git-lumo", "run", "--", PYTHON, train], stderr=subprocess.PIPE) as runner:
        wait_for(".git/ready")
        runner.kill()
    recover()  # the run is not dead: somebody records it
    assert state(runs()["digits"]) == "running"
    shown = subprocess.run(["git", "lumo", "log", "--format", "csv"], capture_output=True, text=True, check=True).stdout
    assert "running" in shown.splitlines()[1]
    on("ready")
    on("more")
    wait_for(".git/ended")
    while pids():
        time.sleep(0.02)
    recover()
    (run,) = runs().values()
    assert (state(run), run.values("n")) == ("finished", list(range(10)))
    assert run.info["pinfo"]["obj"]["argv"] == [PYTHON, "train.py"]  # the command is still the run's
    fsck(repo)
    nothing_left()
    assert tree_state(repo) == before


def test_the_script_is_killed(repo, script, runs, nothing_left):
    with subprocess.Popen(["git-lumo", "run", "-q", "--", PYTHON, script(LIVES)]) as runner:
        wait_for(".git/ready")
        (child,) = [pid for pid in pids() if pid != runner.pid]
        os.kill(child, signal.SIGKILL)
        assert runner.wait(60) == -signal.SIGKILL
    (run,) = runs().values()
    assert (state(run), run.end_code, run.values("n")) == ("killed", 137, list(range(5)))
    nothing_left()


def test_both_are_killed(repo, script, runs, fsck, nothing_left):
    with subprocess.Popen(["git-lumo", "run", "-q", "--", PYTHON, script(LIVES)]) as runner:
        wait_for(".git/ready")
        for pid in pids():
            os.kill(pid, signal.SIGKILL)
        runner.wait(60)
    recover()
    (run,) = runs().values()
    assert (state(run), run.values("n")) == ("killed", list(range(5)))
    fsck(repo)


def test_a_script_that_resumes_goes_on_with_what_was_killed(repo, script, lumo_run, runs, fsck, nothing_left):
    """Its metrics are where the others are; the second command is a run without any."""
    text = """
exp = gitlumo.start('digits', resume='auto')
done = exp.metrics['n']['count'] if exp.metrics else 0
for n in range(done, done + 3): exp.log({'n': n})
if done == 0:
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    train = script(text)
    assert lumo_run(PYTHON, train).returncode == -signal.SIGKILL
    while pids():
        time.sleep(0.02)
    assert lumo_run(PYTHON, train).returncode == 0
    assert {name: (state(run), run.values("n")) for name, run in runs().items()} == {
        "digits": ("finished", list(range(6))),
        "train": ("finished", []),
    }
    fsck(repo)
    nothing_left()


def test_a_script_that_the_command_leaves_behind(repo, script, lumo_run, runs, fsck, nothing_left):
    train = script(LIVES)
    line = f"'{PYTHON}' '{train}' >.git/log 2>&1 & while ! [ -e .git/ready ]; do sleep .05; done; exit 4"
    done = lumo_run("sh", "-c", line)
    assert done.returncode == 4
    assert b"goes on with digits/" in done.stderr
    recover()
    assert state(runs()["digits"]) == "running"
    on("ready")
    on("more")
    wait_for(".git/ended")
    while pids():
        time.sleep(0.02)
    (run,) = runs().values()
    assert (state(run), run.end_code, run.values("n")) == ("finished", 0, list(range(10)))
    assert run.info["pinfo"]["obj"]["argv"] == ["sh", "-c", line]
    assert Path(".git/log").read_text().count("Traceback") == 0
    fsck(repo)
    nothing_left()


def test_a_script_that_comes_too_late_has_a_run_of_its_own(repo, script, lumo_run, runs, nothing_left):
    train = script(f"wait = '.git/go'\nwhile not os.path.exists(wait): time.sleep(.02)\n{LIVES}")
    assert lumo_run("sh", "-c", f"'{PYTHON}' '{train}' >.git/log 2>&1 & exit 4", options=["-n", "d"]).returncode == 4
    Path(".git/go").touch()
    on("ready")
    on("more")
    wait_for(".git/ended")
    while pids():
        time.sleep(0.02)
    assert {name: (state(run), run.values("n")) for name, run in runs().items()} == {
        "d": ("failed", []),
        "digits": ("finished", list(range(10))),
    }
    nothing_left()


# ------------------------------------------------------------------------------------ killed at each system call

FAULTY = """
exp = gitlumo.start('digits', test_name='mine')
said = os.open('.git/said', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for n in range(8):
    exp.log({'n': n})
    os.write(said, b'%d\\n' % n)
    time.sleep(.02)
exp.end()
"""


@pytest.fixture
def places(script, git, repo, tmp_path):
    """Repositories in which the same script can be killed at once."""
    script(FAULTY)
    git("add", "--all")
    git("commit", "--quiet", "--message", "train")
    made = [tmp_path / f"r{n}" for n in range(2)]
    for place in made:
        git("clone", "--quiet", repo, place)
    return made


def check(place, runs, fsck):
    """However it was killed: no line told is lost, one run, ended; that is returned."""
    recover(place)
    said = place / ".git/said"
    told = [int(line) for line in said.read_text().split()] if said.exists() else []
    found = runs(place)
    if len(found) == 2:  # the runner was killed before the script began, which has its own then
        assert (state(found["train"]), found["train"].lines) == ("killed", [])
    assert len(found) <= 2
    if told:
        (run,) = (run for run in found.values() if run.lines)
        kept = run.values("n")
        assert kept == sorted(set(kept))
        assert set(told) <= set(kept)
    assert all(state(run) != "running" for run in found.values()), [run.info["progress"] for run in found.values()]
    for run in found.values():
        assert (run.info["exp_name"], run.info["test_name"]) == (run.exp_name, run.test_name)
        assert not run.lines or run.files.get("metrics.json")
    fsck(place)
    assert register.open_runs(str(place / ".git/lumo")) == []
    return found.get("digits") or found.get("train")


def clear(place, git):
    """As if nothing had been recorded."""
    subprocess.run(["rm", "-rf", place / ".git/lumo", place / ".git/said"], check=True)
    git("update-ref", "-d", "refs/heads/lumo_experiments", cwd=place, check=False)


def stand_in(place):
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and _cwd(pid) == str(place)]


def _cwd(pid):
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return None


@pytest.mark.skipif(not has_strace(), reason=NO_STRACE)
@pytest.mark.parametrize("when", range(1, 10))
def test_the_script_is_killed_at_a_rename(places, runs, fsck, when):
    """Of which the adoption needs some: the note, the register, the folder, the names."""
    place = places[0]
    strace = ["strace", "-qq", "-o", "/dev/null", "-e", f"inject=rename,renameat2:signal=KILL:when={when}"]
    words = ["git-lumo", "run", "-q", "--", *strace, PYTHON, "train.py"]
    done = subprocess.run(words, cwd=place, capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert b"Warning" not in done.stderr
    run = check(place, runs, fsck)
    assert state(run) == "killed"
    assert run.exp_name in ("train", "digits")


RUN = ["git-lumo", "run", "-q", "--"]
SCRIPT = [PYTHON, "train.py"]


def kill_at_calls(places, runs, fsck, git, trace, before, after, count):
    """Kill what ``after`` starts at system calls, from its first ``mkdir`` on (imports come before); how it ended."""
    kinds = "openat,read,write,rename,unlink,mkdir,fsync,poll,wait4,flock,close,fstat"
    strace = ["strace", "-qq", "-o", trace, "-e", f"trace={kinds}"]
    subprocess.run([*before, *strace, *after], cwd=places[0], check=True)
    names = [line.partition("(")[0] for line in trace.read_text(errors="replace").splitlines() if line[0].isalpha()]
    first = names.index("mkdir")
    ended = set()
    for i, n in enumerate(range(first, len(names), max(1, (len(names) - first) // count))):
        place = places[i % 2]
        clear(place, git)
        fault = f"inject={names[n]}:signal=KILL:when={names[: n + 1].count(names[n])}"
        strace = ["strace", "-qq", "-o", "/dev/null", "-e", fault]
        subprocess.run([*before, *strace, *after], cwd=place, check=False, timeout=60)
        until = time.monotonic() + 60
        while stand_in(place):
            assert time.monotonic() < until
            time.sleep(0.02)
        try:
            run = check(place, runs, fsck)
        except AssertionError as error:
            raise AssertionError(f"killed at call {n} of {len(names)}, {fault}: {error}") from error
        ended.add(state(run) if run else None)
    return ended


@pytest.mark.skipif(not has_strace(), reason=NO_STRACE)
def test_the_runner_is_killed_at_a_system_call(places, runs, fsck, git, tmp_path):
    """At some, from before its start to after its end; the script, if it has begun, goes on."""
    assert {"finished", "killed"} <= kill_at_calls(places, runs, fsck, git, tmp_path / "t", [], [*RUN, *SCRIPT], 10)


@pytest.mark.soak
@pytest.mark.skipif(not has_strace(), reason=NO_STRACE)
@pytest.mark.parametrize("who", ["runner", "script"])
def test_soak_killed_at_many_system_calls(places, runs, fsck, git, tmp_path, who):
    before, after = ([], [*RUN, *SCRIPT]) if who == "runner" else (RUN, SCRIPT)
    kill_at_calls(places, runs, fsck, git, tmp_path / "t", before, after, 2 * ROUNDS)
