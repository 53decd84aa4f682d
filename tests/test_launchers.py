"""Launchers and the processes that they start: ranks, SLURM's variables, and runs that are handed on to children."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gitlumo import Experiment

LAUNCHER = """
import os, subprocess, sys
ranks, script = int(sys.argv[1]), sys.argv[2]
given = dict(word.split('=', 1) for word in sys.argv[3:])
children = []
for rank in range(ranks):
    env = os.environ | {name: value.replace('%d', str(rank)) for name, value in given.items()}
    children.append(subprocess.Popen([sys.executable, script], env=env))
sys.exit(max(child.wait() for child in children))
"""
RANK = """
import os, gitlumo
with gitlumo.SimpleExperiment('digits', params={'lr': .1}, **OPTIONS) as exp:
    for step in range(5):
        best = exp.dump_metric('acc', step / 10, step=step)
    exp.log({'loss': 1.0})
    assert best == .4 and exp.metrics['loss']['last'] == 1.0
    with open(f'said-{os.getpid()}', 'w') as out:
        print(exp.test_name, exp.uid, exp.blob_dir, file=out)
"""


@pytest.fixture
def launch(repo, git):
    """``launch(ranks, *settings, options='')``: plain processes, as a launcher starts them; what each run is called."""

    def run(ranks, *settings, options="{}"):
        (repo / "rank.py").write_text(RANK.replace("OPTIONS", options))
        done = subprocess.run(
            [sys.executable, "-c", LAUNCHER, str(ranks), "rank.py", *settings],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said = [path.read_text().split() for path in sorted(repo.glob("said-*"))]
        assert len(said) == ranks
        listed = git("ls-tree", "-r", "--name-only", "lumo_experiments").splitlines()
        recorded = [git("show", f"lumo_experiments:{name}") for name in listed if name.endswith("/info/uid.json")]
        return said, [uid.strip('"') for uid in recorded], done.stderr

    return run


TORCHRUN = ("RANK=%d", "LOCAL_RANK=%d", "WORLD_SIZE=4", "MASTER_ADDR=127.0.0.1", "MASTER_PORT=29500")


def test_ranks_of_one_job(launch):
    said, recorded, _ = launch(4, *TORCHRUN)
    assert len(recorded) == 1
    assert sum(uid == recorded[0] for _, uid, _ in said) == 1


def test_ranks_whose_launcher_names_the_run(launch):
    uid = "7" * 32
    said, recorded, _ = launch(4, *TORCHRUN, "LUMO_EXP_TEST_NAME=night-7", f"LUMO_EXP_UID={uid}")
    assert recorded == [uid]
    assert {(name, one) for name, one, _ in said} == {("night-7", uid)}


def test_plain_processes_that_are_handed_one_run_join_it(launch):
    """No rank says who is first: the first that comes records, the others belong to it."""
    uid = "8" * 32
    said, recorded, told = launch(4, "LUMO_EXP_TEST_NAME=night-8", f"LUMO_EXP_UID={uid}")
    names = {name for name, one, _ in said if one == uid}
    assert names == {"night-8"}
    assert uid in recorded
    late = [one for _, one, _ in said if one != uid]  # came when the run had ended: a run of its own
    assert sorted(recorded) == sorted([uid, *late])
    assert told.count("here calls record nothing") == 3 - len(late)


def test_a_name_alone_is_taken_once(launch):
    (repo_said, recorded, _) = launch(1, "LUMO_EXP_TEST_NAME=alone")
    assert repo_said[0][0] == "alone"
    assert len(recorded) == 1


@pytest.mark.parametrize(
    ("settings", "options", "number"),
    [
        (("SLURM_PROCID=%d", "SLURM_NTASKS=3", "SLURM_JOB_ID=77"), "{}", 3),
        (("SLURM_PROCID=%d", "SLURM_NTASKS=3", "SLURM_JOB_ID=77"), "dict(distributed=True)", 1),
        (("SLURM_PROCID=%d", "SLURM_NTASKS=3", "SLURM_JOB_ID=77"), "dict(distributed=False)", 3),
        (("OMPI_COMM_WORLD_RANK=%d",), "{}", 1),
        (("RANK=%d",), "dict(distributed=False)", 3),
    ],
)
def test_what_launchers_set(launch, settings, options, number):
    _, recorded, told = launch(3, *settings, options=options)
    assert len(recorded) == number
    assert told.count("SLURM started several tasks") == (3 if options == "{}" and "SLURM_NTASKS=3" in settings else 0)


PARENT = """
import os, subprocess, sys, gitlumo
before = dict(os.environ)
with gitlumo.Experiment('digits') as exp:
    exp.log({'loss': 1})
    subprocess.run([sys.executable, 'rank.py'], check=True)
    with gitlumo.Experiment('digits') as inner:  # this process's own next run
        assert inner.uid != exp.uid
        inner.log({'inner': 1})
    print(exp.test_name, exp.uid, exp.blob_dir)
assert dict(os.environ) == before
subprocess.run([sys.executable, 'rank.py'], check=True)
"""


@pytest.mark.parametrize(
    ("exp_name", "options", "joins"),
    [("digits", "{}", True), ("other", "{}", False), ("digits", "dict(distributed=False)", False)],
)
def test_a_child_joins_the_run_of_its_parent(repo, git, exp_name, options, joins):
    (repo / "rank.py").write_text(RANK.replace("OPTIONS", options).replace("'digits'", repr(exp_name)))
    done = subprocess.run([sys.executable, "-c", PARENT], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    parent = done.stdout.split()
    said = [path.read_text().split() for path in repo.glob("said-*")]
    assert (parent in said) is joins
    assert ("here calls record nothing" in done.stderr) is joins
    runs = git("log", "--format=%s", "--grep=Lumo-Event: end", "lumo_experiments").splitlines()
    assert len(runs) == (3 if joins else 4)  # the parent's two, and the child's that came when they had ended


def test_a_stale_name_in_a_shell_begins_a_new_run(repo, monkeypatch):
    """A shell that was started by a training keeps the variables for ever."""
    with Experiment("digits") as first:
        pass
    for name, value in (
        ("LUMO_EXP_NAME", "digits"),
        ("LUMO_EXP_TEST_NAME", first.test_name),
        ("LUMO_EXP_UID", first.uid),
    ):
        monkeypatch.setenv(name, value)
    with Experiment("digits") as second:
        second.log({"a": 1})
    assert second.uid != first.uid
    assert second.test_name != first.test_name
