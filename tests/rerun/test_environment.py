"""In what an environment differs: real interpreters and virtual environments, and recorded ones that are damaged."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gitlumo import capture, hardware
from gitlumo.errors import LumoError
from gitlumo.rerun import environment
from gitlumo.rerun.environment import UNKNOWN, Difference, Interpreter, ask, compare

HERE = ".".join(map(str, sys.version_info[:3]))


def info(**properties):
    return properties.get


@pytest.fixture(scope="session")
def bare(sealed, tmp_path_factory):
    """A virtual environment of this Python's with two packages, made without pip."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    for name in ("Alpha_One-1.0", "beta-2.0"):
        (site / f"{name}.dist-info").mkdir()
    return folder / "bin" / "python"


# --------------------------------------------------------------------------------------------- what is asked


def test_another_interpreter_is_asked(bare):
    found = ask(str(bare))
    assert found.version == HERE
    assert found.implementation == sys.implementation.name
    assert found.packages == {"alpha-one": "1.0", "beta": "2.0", "python": HERE}


def test_our_own_is_not_started(monkeypatch):
    monkeypatch.setattr(subprocess, "run", None)
    assert ask(sys.executable).packages == capture.installed_packages()
    assert ask(sys.executable, dict(os.environ)).version == HERE


def test_the_variables_and_the_folder_in_which_it_will_run(bare, tmp_path):
    (tmp_path / "libs/gamma-3.dist-info").mkdir(parents=True)
    environ = {**os.environ, "PYTHONPATH": "libs"}
    assert ask(str(bare), environ, str(tmp_path)).packages["gamma"] == "3"
    assert "gamma" not in ask(str(bare), environ, "/").packages
    assert ask(sys.executable, environ, str(tmp_path)).packages["gamma"] == "3"


def test_what_lies_in_the_current_folder_is_not_imported(bare, tmp_path):
    for name in ("json", "sys", "site"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')\n")
    (tmp_path / "gamma-3.dist-info").mkdir()
    assert "gamma" not in ask(str(bare), cwd=str(tmp_path)).packages


def test_it_is_quick(bare):
    begun = time.monotonic()
    ask(str(bare))
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(("text", "message"), [
    (None, "cannot run {}: No such file or directory; name another Python: --python PATH"),
    ("#!/bin/sh\necho no python3.9 here >&2\nexit 127\n", "{} is no Python that runs; it says: no python3.9 here"),
    ("#!/bin/sh\necho '[1, 2]'\n", "{} is no Python that runs; it says: nothing"),
    ("#!/bin/sh\nexec sleep 60\n", "{} does not say within 0.2 s which Python it is"),
])  # fmt: skip
def test_what_is_no_interpreter(tmp_path, monkeypatch, text, message):
    monkeypatch.setattr(environment, "SECONDS", 0.2 if text and "sleep" in text else 20)
    path = tmp_path / "python"
    if text:
        path.write_text(text)
        path.chmod(0o755)
    with pytest.raises(LumoError) as error:
        ask(str(path))
    assert str(error.value) == message.format(path)


# --------------------------------------------------------------------------------------------- what differs


def test_the_same_environment(monkeypatch):
    monkeypatch.setenv("SCALE", "2")
    lock = capture.installed_packages()
    recorded = info(lock=lock, env={"SCALE": "2"}, machine=hardware.describe())
    found = compare(recorded, ask(sys.executable), os.environ)
    assert not found
    assert found.lines() == [UNKNOWN]


def test_all_that_differs():
    here = Interpreter("python", "cpython", {"python": "3.11.7", "numpy": "2.0", "more": "1", "pip": "26"})
    lock = {
        "python": "3.11.2",
        "numpy": "1.26",
        "torch": "2.1+cu118",
        "pip": "23",
        "gitlumo": "0.1",
        "torch.version.cuda": "11",
    }
    machine = {"os": "Debian 3", "arch": "vax", "cpu": "VAX", "gpus": ["A100", "A100"], "gpu_driver": "535", "cpus": 1}
    found = compare(
        info(lock=lock, env={"A": "1", "B": "2", "C": "***", "D": "~/data", "E": "5"}, machine=machine),
        here,
        {"A": "1", "B": "3", "D": os.path.expanduser("~/data")},
    )
    assert found
    assert found.lines()[:5] == [
        "python: 3.11.2 was recorded, here is 3.11.7",
        "missing: torch==2.1+cu118, gitlumo==0.1",
        "other version: numpy 1.26 (here 2.0)",
        "variable: B was '2', here it is '3'",
        "variable: E was '5', here it is not set",
    ]
    assert [line.partition(":")[0] for line in found.lines()[5:]] == [
        "system", "architecture", "processor", "GPUs", "GPU driver", "unknown"
    ]  # fmt: skip
    assert found.lines()[8].startswith("GPUs: it was A100, A100, here it is ")


def test_another_machine_alone_is_no_difference():
    found = compare(info(lock={"python": HERE}, machine={"gpus": ["A100"]}), ask(sys.executable), {})
    assert not found
    assert found.lines()[0].startswith("GPUs: it was A100, here it is ")


def test_another_implementation():
    here = Interpreter("pypy3", "pypy", {"python": HERE})
    found = compare(info(lock={"python": HERE}, machine={"implementation": "cpython"}), here, {})
    assert found.python == (f"cpython {HERE}", f"pypy {HERE}")


def test_another_version_of_gitlumo_or_pip_is_no_difference():
    here = Interpreter("python", "cpython", {"python": HERE, "gitlumo": "9"})
    assert not compare(info(lock={"python": HERE, "gitlumo": "0.1", "pip": "1"}), here, {})


def test_many_packages_are_counted():
    lines = Difference(missing={f"p{n:02}": "1" for n in range(20)}).lines()
    assert lines[0].endswith("p07==1, and 12 more")


@pytest.mark.parametrize("value", [None, [], "text", {"a": 1}, 3])
def test_what_was_not_recorded_or_is_damaged(value):
    found = compare(info(lock=value, env=value, machine=value), ask(sys.executable), {})
    assert found
    assert found.lines()[0] == "packages: the run recorded none"


# --------------------------------------------------------------------------------------------- from where packages are


def test_origins_of_packages(tmp_path, monkeypatch, repo):
    import json

    from gitlumo import Experiment
    from gitlumo.hooks import LockFile

    site = tmp_path / "site"
    told = {
        "tool": {"url": "https://u:secret@h/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
        "part": {"url": "https://h/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}, "subdirectory": "p"},
        "mine": {"url": f"file://{repo}", "dir_info": {"editable": True}},
        "deep": {"url": f"file://{repo}/libs/a%20b", "dir_info": {}},
        "home": {"url": f"file://{Path.home()}/w/x.whl", "archive_info": {}},
        "odd": ["no object"],
        "plain": None,
    }
    for name, value in told.items():
        folder = site / f"{name}-1.dist-info"
        folder.mkdir(parents=True)
        if value is not None:
            (folder / "direct_url.json").write_text(json.dumps(value))
    (site / "torn-1.dist-info").mkdir()
    (site / "torn-1.dist-info/direct_url.json").write_text("{")
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    with Experiment("digits", hooks=[LockFile]) as exp:
        found = exp.load_info("lock_origins")
    found.pop("gitlumo", None)
    assert found == {
        "tool": {"url": "git+https://***@h/x.git@abc"},
        "part": {"url": "git+https://h/x.git@abc#subdirectory=p"},
        "mine": {"path": ".", "editable": True},
        "deep": {"path": "libs/a b", "editable": False},
        "home": {"path": "~/w/x.whl", "editable": False},
    }
    assert exp.properties["masked"] == ["lock_origins.tool.url"]
    assert {"plain", "odd", "torn"} <= set(exp.load_info("lock"))
