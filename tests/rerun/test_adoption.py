"""A script in the command of ``git lumo run`` records that run; who ends it when one of the two is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gitlumo.store import journal
from tests.endings import NO_STRACE, has_strace
from tests.test_soak import ROUNDS

PYTHON = sys.executable


def state(run):
    progress = run.info["progress"]
    if progress.get("killed"):
        return "killed"
    return "running" if progress["end"] is None else "finished" if progress["finished"] else "failed"


def wait_for(path, seconds=60):
    until = time.monotonic() + seconds
    while not Path(path).exists():
        assert time.monotonic() < until, f"{path} did not come"
        time.sleep(0.02)


def recover(cwd=None):
    for _ in range(2):
        done = subprocess.run(["git", "lumo", "recover"], cwd=cwd, capture_output=True, text=True, check=True)
    assert done.stdout == "nothing to recover\n"


# ----------------------------------------------------------------------------------------------------- one run

TRAIN = """
exp = gitlumo.start('digits', {'lr': .5, 'net': {'depth': 3}})
assert exp.is_adopted
exp.dump_tags('mine')
exp.dump_note('noted')
for n in range(3): exp.log({'loss': n})
exp.end()
print('trained')
"""


def test_a_script_goes_on_with_the_run(repo, script, lumo_run, runs, fsck, tree_state, nothing_left):
    train = script(TRAIN)
    before = tree_state(repo)
    options = ["--set", "lr=1", "--set", "seed=7", "--tag", "given"]
    done = lumo_run(PYTHON, train, options=options)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"trained\n", b"")
    (run,) = runs().values()
    assert (run.exp_name, state(run)) == ("digits", "finished")
    assert run.info["params"] == {"lr": 0.5, "seed": 7, "net": {"depth": 3}}
    assert run.info["given"] == {"lr": 1, "seed": 7}
    assert (run.info["tags"], run.files["note.md"]) == (["mine"], b"noted")
    assert run.values("loss") == [0, 1, 2]
    assert run.files["text/stdout.txt"] == b"trained\n"
    assert run.info["progress"]["renamed"] == [f"train/{run.test_name}"]
    assert run.info["hooks"]["Diary"]["loaded"] is True
    assert not (repo / ".git/lumo/info/train").exists()
    rows = subprocess.run(["git", "lumo", "log", "--format", "csv"], capture_output=True, text=True, check=True)
    assert len(rows.stdout.splitlines()) == 2
    fsck(repo)
    nothing_left()
    assert tree_state(repo) == before


@pytest.mark.parametrize("way", ["-c", "-m", "#!", "env", "sh", "exec"])
def test_however_it_is_called(repo, script, lumo_run, runs, way):
    text = "exp = gitlumo.start('digits', test_name='one'); exp.log({'n': 1})\n"
    path = script(text, "part.py")
    if way == "#!":
        Path(path).write_text(f"#!{PYTHON}\n{Path(path).read_text()}")
        Path(path).chmod(0o755)
    words = {
        "-c": [PYTHON, "-c", Path(path).read_text()],
        "-m": [PYTHON, "-m", "part"],
        "#!": ["./part.py"],
        "env": ["env", "python3", "part.py"],
        "sh": ["sh", "-c", f"echo first; '{PYTHON}' part.py; exit 3"],
        "exec": ["sh", "-c", f"exec '{PYTHON}' part.py"],
    }[way]
    assert lumo_run(*words).returncode == (3 if way == "sh" else 0)
    (run,) = runs().values()
    assert (run.name.split("/")[0::2], run.values("n")) == (["digits", "one"], [1])
    assert state(run) == ("failed" if way == "sh" else "finished")


def test_how_the_script_ends_is_how_the_run_ends(repo, script, lumo_run, runs):
    failing = script("exp = gitlumo.start('digits')\nexp.log({'n': 1})\nraise ValueError('no')\n")
    assert lumo_run(PYTHON, failing).returncode == 1
    assert lumo_run("sh", "-c", f"'{PYTHON}' '{failing}'; exit 0").returncode == 0  # the script's own word counts
    found = list(runs().values())
    assert [(state(run), run.end_code, run.info["exception"]["type"]) for run in found] == [
        ("failed", 1, "ValueError")
    ] * 2


def test_the_next_script_has_a_run_of_its_own(repo, script, lumo_run, runs, nothing_left):
    train = script("exp = gitlumo.start('digits'); exp.log({'n': int(sys.argv[1])})\n")
    assert lumo_run("sh", "-c", f"'{PYTHON}' '{train}' 1; '{PYTHON}' '{train}' 2").returncode == 0
    found = runs()
    assert sorted(run.values("n") for run in found.values()) == [[1], [2]]
    assert [run.exp_name for run in found.values()] == ["digits", "digits"]
    assert [state(run) for run in found.values()] == ["finished", "finished"]
    nothing_left()


def test_scripts_at_once_of_one_name_are_one_run(repo, script, lumo_run, runs):
    """As the ranks of a job are; a script that records something else at that time has its own."""
    text = """
exp = gitlumo.start(sys.argv[1])
open(f'.git/{sys.argv[2]}', 'w').close()
for name in '123':
    while not os.path.exists(f'.git/{name}'): time.sleep(.02)
exp.log({'n': int(sys.argv[2])})
"""
    train = script(text)
    line = f"'{PYTHON}' '{train}' digits 1 & while ! [ -e .git/1 ]; do sleep .05; done; "
    line += f"'{PYTHON}' '{train}' digits 2 & '{PYTHON}' '{train}' other 3; wait"
    assert lumo_run("sh", "-c", line).returncode == 0
    found = runs()
    assert {name: run.values("n") for name, run in found.items()} == {"digits": [1], "other": [3]}
    assert {state(run) for run in found.values()} == {"finished"}


@pytest.mark.parametrize("env", ["LUMO_DISABLED=1", "RANK=1"])
def test_a_silent_script(repo, script, lumo_run, runs, env, nothing_left):
    train = script("exp = gitlumo.start('digits'); exp.log({'n': 1}); exp.end()\n")
    assert lumo_run("env", env, PYTHON, train, options=["-n", "d"]).returncode == 0
    assert {name: (run.lines, state(run)) for name, run in runs().items()} == {"d": ([], "finished")}
    nothing_left()


def test_a_script_in_another_repository(repo, git, tmp_path, script, lumo_run, runs, nothing_left):
    git("clone", "--quiet", repo, tmp_path / "other")
    train = script("os.chdir(sys.argv[1])\nexp = gitlumo.start('digits'); exp.log({'n': 1}); exp.end()\n")
    assert lumo_run(PYTHON, train, str(tmp_path / "other"), options=["-n", "d"]).returncode == 0
    assert {name: (run.lines, state(run)) for name, run in runs().items()} == {"d": ([], "finished")}
    (other,) = runs(tmp_path / "other").values()
    assert (other.exp_name, other.values("n"), state(other)) == ("digits", [1], "finished")
    assert other.info["uid"] != runs()["d"].info["uid"]
    nothing_left()
    nothing_left(tmp_path / "other")


def test_the_children_of_a_script_join_it(repo, script, lumo_run, runs):
    text = """
exp = gitlumo.start('digits')
exp.log({'n': 1})
if len(sys.argv) == 1: subprocess.run([sys.executable, __file__, 'child'], check=True)
"""
    assert lumo_run(PYTHON, script(text)).returncode == 0
    (run,) = runs().values()
    assert run.values("n") == [1]


# -------------------------------------------------------------------------------------------------------- names


def test_a_name_that_is_taken(repo, script, lumo_run, runs, nothing_left):
    named = script("exp = gitlumo.start('digits', test_name='mine'); exp.log({'n': 1})\n")
    assert lumo_run(PYTHON, named).returncode == 0
    done = lumo_run(PYTHON, named)
    assert done.returncode == 1
    assert b"digits/mine exists already" in done.stderr
    found = runs()
    assert {name: (run.values("n"), state(run)) for name, run in found.items()} == {
        "digits": ([1], "finished"),
        "train": ([], "failed"),
    }
    nothing_left()


def test_another_experiment_that_has_the_name(repo, script, lumo_run, runs, monkeypatch, fsck):
    """A launcher's name for the run is not the script's choice: then both keep it, told apart by their uids."""
    first = script("gitlumo.start('digits', test_name='night').end()\n", "first.py")
    assert lumo_run(PYTHON, first).returncode == 0
    train = script("exp = gitlumo.start('digits'); exp.log({'n': 2}); exp.end()\n")
    assert lumo_run(PYTHON, train, env={"LUMO_EXP_TEST_NAME": "night"}).returncode == 0
    found = list(runs().values())
    assert sorted(run.name.split("~")[0].split("/")[-1] for run in found) == ["night", "night"]
    assert sorted((run.values("n"), state(run)) for run in found) == [([], "finished"), ([2], "finished")]
    fsck(repo)


# --------------------------------------------------------------------------------------- a history of two writers

SMALL_CHUNKS = "import gitlumo.store.layout\ngitlumo.store.layout.HISTORY_CHUNK = 2000\n"
BOTH = """
exp = gitlumo.start('digits')
other = subprocess.Popen([sys.executable, '-c', '''
import os, time
for n in range(1500):
    with open(os.environ['LUMO_METRICS'], 'a') as out: out.write('{"step": %d, "b": %d}\\\\n' % (n, n))
    if n % 50 == 0: time.sleep(.02)
'''], env={**os.environ, 'PYTHONPATH': ''})
n = 0
while other.poll() is None or n < 1500:
    exp.log({'a': n})
    n += 1
    if n % 10 == 0: time.sleep(.001)
    if n % 400 == 0: exp.checkpoint()
print(n)
"""


def test_two_write_the_history(repo, script, lumo_run, runs, tmp_path, fsck):
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(SMALL_CHUNKS)
    done = lumo_run(PYTHON, script(BOTH), env={"PYTHONPATH": str(tmp_path / "site")})
    assert (done.returncode, done.stderr) == (0, b"")
    (run,) = runs().values()
    assert sorted(run.values("a")) == list(range(int(done.stdout)))
    assert run.values("b") == list(range(1500))
    chunks = sorted(path for path in run.files if path.startswith("history/"))
    assert chunks == [f"history/{n:05d}.jsonl" for n in range(len(chunks))]
    assert len(chunks) > 20
    assert all(2000 <= len(run.files[path]) < 2200 for path in chunks[:-1])
    fsck(repo)


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
    """However it was killed: no line told is lost, one run, ended."""
    recover(place)
    said = place / ".git/said"
    told = [int(line) for line in said.read_text().split()] if said.exists() else []
    found = runs(place)
    with_lines = [run for run in found.values() if run.lines]
    assert len(found) <= 1
    if told:
        (run,) = with_lines
        kept = run.values("n")
        assert kept == sorted(set(kept))
        assert set(told) <= set(kept)
    assert all(state(run) != "running" for run in found.values()), [run.info["progress"] for run in found.values()]
    for run in found.values():
        assert (run.info["exp_name"], run.info["test_name"]) == (run.exp_name, run.test_name)
        assert not run.lines or run.files.get("metrics.json")
    fsck(place)
    assert journal.open_runs(str(place / ".git/lumo")) == []
    return next(iter(found.values()), None)


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
