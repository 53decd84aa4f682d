"""Partial clones: what is missing is asked for once, and recording needs no remote."""

import json
import os
import shutil
import subprocess
import sys
import warnings

import pytest

from gitlumo import Experiment, SimpleExperiment
from gitlumo.errors import LumoWarning
from gitlumo.store import upkeep
from gitlumo.store.register import open_runs

REF = "refs/heads/lumo_experiments"


@pytest.fixture
def source(repo, git, tmp_path):
    """A repository with five runs, to clone from."""
    git("config", "uploadpack.allowFilter", "true")
    git("config", "uploadpack.allowAnySHA1InWant", "true")
    for seed in range(5):
        with SimpleExperiment("digits", params={"seed": seed}) as exp:
            exp.log({"loss": seed})
    return repo


@pytest.fixture(params=["blob:none", "tree:0"])
def partial(request, source, git, tmp_path, monkeypatch):
    clone = tmp_path / "partial"
    git("clone", "--quiet", f"--filter={request.param}", f"file://{source}", clone)
    monkeypatch.chdir(clone)
    return clone


def lumo(*args, status=0):
    done = subprocess.run([sys.executable, "-m", "gitlumo", *args], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def missing(git):
    """The objects of the tip that are not here; from the commit, as git fetches a tree that it is asked to name."""
    words = ("--objects", "--missing=print", "--no-object-names", "--no-walk")
    listed = git("rev-list", *words, "origin/lumo_experiments")
    return [line for line in listed.splitlines() if line.startswith("?")]


def test_reading_brings_all_at_once(source, partial, git, fsck, monkeypatch, tmp_path, request):
    assert len(missing(git)) >= 1
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    runs = json.loads(lumo("log", "--json"))
    monkeypatch.delenv("GIT_TRACE")
    assert [run["params"]["seed"] for run in runs] == [4, 3, 2, 1, 0]
    filtered = request.node.callspec.params["partial"]
    fetches = (tmp_path / "trace").read_text().count("git fetch ")
    assert fetches == {"blob:none": 1, "tree:0": 2}[filtered]  # trees, then blobs, however many runs there are
    assert missing(git) == []
    assert lumo("show", "@~1", "--json")
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "again"))
    lumo("log")
    assert "git fetch " not in (tmp_path / "again").read_text()
    fsck(partial)


def test_recording_joins_what_is_there(source, partial, git, fsck):
    with SimpleExperiment("digits", params={"seed": 5}) as exp:
        exp.log({"loss": 5})
    assert [run["params"]["seed"] for run in json.loads(lumo("log", "--json"))] == [5, 4, 3, 2, 1, 0]
    fsck(partial)


def test_without_the_remote(source, partial, git, fsck, request):
    shutil.rmtree(source)
    said = lumo("log", status=128)
    assert said.startswith("fatal: objects of the ledger are missing in this partial clone, and could not be fetched: ")
    assert "git fetch" in said
    with warnings.catch_warnings(record=True, action="always") as found, Experiment("digits") as exp:
        exp.log({"loss": 1})
    told = [str(item.message) for item in found if item.category is LumoWarning]
    published = git("rev-parse", "--verify", "--quiet", REF, check=False)
    assert bool(told) != bool(published)  # it is in the ledger, or it says that it is not
    if told:
        assert "could not be fetched" in told[0]
        assert [run.uid for run in open_runs(str(partial / ".git/lumo"))] == [exp.uid]
    source.mkdir()


def test_small_packs_are_rolled_up(source, partial, git, fsck, monkeypatch):
    monkeypatch.setattr(upkeep, "ROLL_UP_AT", 6)
    monkeypatch.setattr(upkeep, "ROLL_UP_PAUSE", 0.0)
    for seed in range(6):
        with Experiment("more", params={"seed": seed}) as exp:
            exp.log({"loss": seed})
    packs = [name for name in os.listdir(".git/objects/pack") if name.endswith(".pack")]
    promised = [name for name in os.listdir(".git/objects/pack") if name.endswith(".promisor")]
    assert len(packs) - len(promised) <= 6  # of 12 events
    assert not [name for name in os.listdir(".git/objects/pack") if name.endswith(".keep")]
    assert os.listdir(".git/lumo/tmp") == []
    fsck(partial)
    assert len(json.loads(lumo("log", "--json"))) == 11
