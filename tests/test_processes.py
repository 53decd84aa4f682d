"""Runs and processes: ranks, launchers, several runs in one process, forked children, threads."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest

from gitlumo import Experiment, ExpHook, SimpleExperiment
from gitlumo.errors import InvalidName, StateError


def tree(folder):
    return {str(path): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


def python(script, *args):
    done = subprocess.run(
        [sys.executable, "-c", script, *args], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# ------------------------------------------------------------------------------------- names, ranks, being silent


def test_a_launcher_names_the_next_run_only(repo, monkeypatch):
    monkeypatch.setenv("LUMO_EXP_TEST_NAME", "night-7")
    with Experiment("digits", "mine") as given:
        assert given.test_name == "mine"
    with Experiment("digits") as first, Experiment("digits") as second:
        assert first.test_name == "night-7"
        assert re.fullmatch(r"\d{6}\.000\.[0-9a-z]{4}t", second.test_name)
    assert "LUMO_EXP_TEST_NAME" not in os.environ
    monkeypatch.setenv("LUMO_EXP_TEST_NAME", "a/b")
    before = tree(repo)
    with pytest.raises(InvalidName, match="a/b"):
        Experiment("digits").start()
    assert tree(repo) == before


def use(exp):
    """Every call; what is read back is local."""
    with exp:
        exp.log({"loss": 0.5}, step=1)
        assert exp.dump_metric("acc", 0.9, "cls", [1, 2]) == 0.9
        assert exp.dump_metric("acc", 0.8) == 0.9
        assert exp.dump_metrics({"a": 1, "b": 2}, cmp="min") == {"a": 1, "b": 2}
        exp.dump_info("params", {"lr": 0.1})
        exp.dump_note("note")
        exp.dump_tags("a")
        exp.dump_string("s", "text")
        exp.dump_string("s", "more", append=True)
        exp.dump_progress(0.5)
        exp.checkpoint()
        assert (exp.load_info("params"), exp.load_note(), exp.load_string("s")) == ({"lr": 0.1}, "note", "textmore")
        assert exp.metrics["acc"]["with"] == {"cls": [1, 2]}
        assert [(point["step"], point["loss"]) for point in exp.history("loss")] == [(1, 0.5)]
        assert (exp.properties["tags"], exp.properties["progress"]["ratio"], exp.state) == (["a"], 0.5, "running")
        assert exp.test_name
    assert exp.state == exp.properties["state"] == "finished"
    with pytest.raises(StateError):
        exp.log({"a": 1})


SILENT = [
    ({"LUMO_DISABLED": "1"}, None),
    ({"LUMO_DISABLED": "1", "RANK": "0"}, False),
    ({"RANK": "1"}, None),
    ({"RANK": "0", "LOCAL_RANK": "2"}, None),
    ({"OMPI_COMM_WORLD_RANK": "3"}, None),
    ({"SLURM_PROCID": "1"}, True),
]


@pytest.mark.parametrize(("env", "distributed"), SILENT)
def test_silent_runs_give_local_values_and_write_nothing(repo, sealed, monkeypatch, env, distributed):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    before = tree(repo) | tree(sealed)
    use(SimpleExperiment("digits", distributed=distributed))
    assert tree(repo) | tree(sealed) == before


def test_disabled_needs_no_repository(monkeypatch, tmp_path):
    monkeypatch.setenv("LUMO_DISABLED", "1")
    use(SimpleExperiment("digits"))
    assert os.listdir(tmp_path) == []


RECORDED = [
    ({"RANK": "0"}, None, 0),
    ({"LUMO_DISABLED": "0", "LOCAL_RANK": "0", "SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, None, 0),
    ({"SLURM_PROCID": "1", "SLURM_NTASKS": "1"}, None, 0),
    ({"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, None, 1),
    ({"SLURM_PROCID": "0", "SLURM_NTASKS": "2"}, True, 0),
    ({"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, False, 0),
    ({"RANK": "1"}, False, 0),
]


@pytest.mark.parametrize(("env", "distributed", "warned"), RECORDED)
def test_recorded_ranks(repo, git, monkeypatch, env, distributed, warned):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with warnings.catch_warnings(record=True, action="always") as said:
        use(Experiment("digits", distributed=distributed))
    assert ["distributed=" in str(item.message) for item in said] == [True] * warned
    assert len(git("ls-tree", "-d", "--name-only", "lumo_experiments:digits").splitlines()) == 1


def test_logging_silently_stays_cheap(monkeypatch):
    monkeypatch.setenv("LUMO_DISABLED", "1")
    exp = Experiment("digits").start()
    times = []
    for _ in range(4):
        began = time.perf_counter()
        for _ in range(5000):
            exp.log({"loss": 0.5, "a longer name of a metric, to have it grow faster": 0.5})
        times.append(time.perf_counter() - began)
    assert times[-1] < 3 * times[0] + 0.05
    assert len(exp.history("loss")) == 20000
    exp.end()


# ------------------------------------------------------------------------------------- several runs in one process


def test_two_runs_nested(repo, git):
    with SimpleExperiment("outer") as outer:
        outer.log({"a": 1})
        with SimpleExperiment("inner") as inner:
            inner.log({"b": 2})
            outer.log({"a": 3})
        assert (inner.state, outer.state) == ("finished", "running")
        other = Experiment("outer").start()
        outer.log({"a": 4})
    other.log({"c": 1})
    other.end()
    assert outer.test_name != other.test_name
    for exp, values in ((outer, {"a": [1, 3, 4]}), (inner, {"b": [2]}), (other, {"c": [1]})):
        place = f"{exp.exp_name}/{exp.test_name[:6]}/{exp.test_name}"
        text = git("show", f"lumo_experiments:{place}/history/00000.jsonl")
        for key, numbers in values.items():
            assert [int(n) for n in re.findall(rf'"{key}":(\d+)', text)] == numbers
        assert set(exp.metrics) == set(values)


def test_threads_logging_at_once_lose_nothing(repo):
    exp = Experiment("digits").start()
    errors = []

    def work(thread):
        try:
            for i in range(200):
                exp.log({f"m{thread}": i, "all": i})
                exp.dump_note(f"{thread} {i}")
                exp.dump_tags(f"t{thread}")
                exp.dump_string(f"s{thread}", "x", append=True)
                exp.dump_info("list", [i], append=True)
                if i % 50 == 0:
                    exp.checkpoint()
                    exp.dump_progress(i / 200)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    exp.end()
    assert not errors
    assert [point["all"] for point in exp.history("all")].count(199) == 6
    for n in range(6):
        assert [point[f"m{n}"] for point in exp.history(f"m{n}")] == list(range(200))
        assert exp.load_string(f"s{n}") == "x" * 200
    assert len(exp.load_info("list")) == 1200
    assert Experiment.from_disk(exp.info_dir).metrics == exp.metrics
    assert exp.metrics["all"]["count"] == 1200


class LateThread(ExpHook):
    """Another thread logs while the run ends."""

    def on_end(self, exp):
        def log():
            try:
                exp.log({"late": 1})
                self.result = "recorded"
            except StateError:
                self.result = "refused"

        self.thread = threading.Thread(target=log)
        self.thread.start()
        time.sleep(0.05)


class LateEnd(ExpHook):
    """Another thread ends the run while it ends."""

    def on_end(self, exp):
        self.thread = threading.Thread(target=exp.end)
        self.thread.start()
        time.sleep(0.05)


def test_a_value_that_comes_while_the_run_ends_is_published_or_refused(repo, git):
    hook = LateThread()
    exp = Experiment("digits", hooks=[hook]).start()
    exp.log({"loss": 1})
    exp.end()
    hook.thread.join()
    published = git("show", f"lumo_experiments:digits/{exp.test_name[:6]}/{exp.test_name}/history/00000.jsonl")
    assert ("late" in published) == (hook.result == "recorded")


def test_two_threads_end_a_run_once(repo, git):
    exp = Experiment("digits", hooks=[LateEnd()]).start()
    exp.end()
    exp.hooks[0].thread.join()
    kinds = git("log", "--format=%(trailers:key=Lumo-Event,valueonly)", "lumo_experiments").split()
    assert kinds == ["end", "start"]


# ---------------------------------------------------------------------------------------------------- forked children

FORK = """
import multiprocessing, os, signal, sys, threading
from pathlib import Path
import gitlumo
how = sys.argv[1]

class Marks(gitlumo.ExpHook):
    def on_exception(self, exp, error): self.mark('exception')
    def on_end(self, exp): self.mark('end')
    def on_progress(self, exp): self.mark('progress')
    def mark(self, stage):
        if os.getpid() != parent:
            Path('hook-in-child').write_text(stage)

parent = os.getpid()

def everything():
    signal.alarm(20)
    exp.log({'loss': 99.0}); exp.dump_metric('acc', 99.0); exp.dump_metrics({'x': 1})
    exp.dump_info('child', 1); exp.dump_note('child'); exp.dump_tags('child'); exp.dump_string('child', 'x')
    exp.dump_progress(.9); exp.checkpoint()

def state():
    git = Path('.git')
    return {str(p): p.read_bytes() for p in git.rglob('*') if p.is_file()}

with gitlumo.SimpleExperiment('digits', hooks=[Marks]) as exp:
    exp.log({'loss': 1.0})
    exp.dump_note('parent')
    before = state()
    if how == 'multiprocessing':
        worker = multiprocessing.get_context('fork').Process(target=everything)
        worker.start(); worker.join()
        status = worker.exitcode
    else:
        held = threading.Event(); done = threading.Event()
        def hold():
            with exp._lock: held.set(); done.wait()
        if how == 'while another thread logs':
            thread = threading.Thread(target=hold); thread.start(); held.wait()
        pid = os.fork()
        if not pid:
            everything()
            if how == 'raise': raise ValueError('in the child')
            if how == 'exit': sys.exit(5)
            if how == 'end': exp.end(); sys.exit()
            if how == 'with':
                with exp: pass
            if how == 'own':
                with gitlumo.Experiment('childs') as own: own.log({'loss': 7.0})
            if how != 'fall through': os._exit(0)
        else:
            status = os.waitpid(pid, 0)[1]
            done.set()
    if os.getpid() == parent:
        after = state()
        mine = {p for p in before.keys() | after.keys() if before.get(p) != after.get(p)}
        print('status', status, 'changed', sorted(mine) if how != 'own' else [])
        exp.log({'loss': 2.0})
if os.getpid() == parent:
    assert exp.properties['hooks']['Marks']['loaded']
    print([p['loss'] for p in exp.history('loss')], exp.load_note(), exp.state, exp.properties.get('child'))
"""
WAYS = {
    "multiprocessing": 0,
    "_exit": 0,
    "raise": 1 << 8,
    "exit": 5 << 8,
    "end": 0,
    "with": 0,
    "own": 0,
    "fall through": 0,
    "while another thread logs": 0,
}


@pytest.mark.parametrize(("how", "status"), WAYS.items(), ids=WAYS.keys())
def test_a_forked_child_never_writes_into_the_parents_run(repo, git, how, status):
    said = python(FORK, how).splitlines()
    assert said == [f"status {status} changed []", "[1.0, 2.0] parent finished None"]
    assert not (repo / "hook-in-child").exists()
    subjects = git("log", "--format=%s", "--grep=^Lumo-Event:", "lumo_experiments").splitlines()
    assert len(subjects) == (4 if how == "own" else 2)
    if how == "own":
        assert any(line.startswith("childs/") and "loss=7" in line for line in subjects)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_may_record_runs_of_their_own(repo, git, method):
    script = """
import multiprocessing, sys
import gitlumo
def work(n):
    with gitlumo.Experiment('digits') as exp:
        exp.log({'n': n})
if __name__ == '__main__':
    context = multiprocessing.get_context(sys.argv[1])
    workers = [context.Process(target=work, args=(n,)) for n in range(3)]
    for worker in workers: worker.start()
    for worker in workers: worker.join(); assert worker.exitcode == 0
"""
    Path("work.py").write_text(script)
    subprocess.run([sys.executable, "work.py", method], check=True, timeout=60)
    day = git("ls-tree", "--name-only", "lumo_experiments:digits")
    assert len(git("ls-tree", "--name-only", f"lumo_experiments:digits/{day}").splitlines()) == 3


def test_a_run_may_start_in_a_forked_child(repo, git):
    script = """
import os, gitlumo
exp = gitlumo.Experiment('digits')
pid = os.fork()
if not pid:
    with exp: exp.log({'a': 5})
else:
    assert os.waitpid(pid, 0)[1] == 0
"""
    python(script)
    assert "a=5" in git("log", "-1", "--format=%s", "lumo_experiments")
