"""A script in the command of ``git lumo run`` records that run; who ends it when one of the two is killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PYTHON = sys.executable


def state(run):
    progress = run.info["progress"]
    if progress.get("killed"):
        return "killed"
    return "running" if progress["end"] is None else "finished" if progress["finished"] else "failed"


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
    assert run.info["execute"]["given"] == {"lr": 1, "seed": 7}
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


def test_a_script_that_becomes_another_program(repo, script, lumo_run, runs, nothing_left):
    """By exec: what it had adopted it records no more, and what it starts then is a run of its own."""
    text = """
n = len(sys.argv)
exp = gitlumo.start('digits')
exp.log({'n': n})
if n < 3: os.execv(sys.executable, [sys.executable, *sys.argv, 'more'])
"""
    assert lumo_run(PYTHON, script(text)).returncode == 0
    found = list(runs().values())
    assert sorted(run.values("n") for run in found) == [[1], [2], [3]]
    nothing_left()


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
