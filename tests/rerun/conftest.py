"""Commands that run as experiments: real processes, and what plain git finds in the ledger afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gitlumo.store import register
from tests.test_soak import ledger_files


@dataclass
class Recorded:
    """One run, as the ledger has it: its name, its files, its properties."""

    name: str
    files: dict[str, bytes]
    info: dict[str, object] = field(init=False)

    def __post_init__(self):
        read = {path[5:-5]: data for path, data in self.files.items() if path.startswith("info/")}
        self.info = {key: json.loads(data) for key, data in read.items()}

    @property
    def exp_name(self):
        return self.name.split("/")[0]

    @property
    def test_name(self):
        return self.name.split("/")[-1]

    @property
    def end_code(self):
        return self.info["progress"]["end_code"]

    @property
    def lines(self):
        """All lines of its history, parsed: a torn one fails."""
        chunks = sorted(path for path in self.files if path.startswith("history/"))
        return [json.loads(line) for path in chunks for line in self.files[path].splitlines()]

    def values(self, key):
        return [line[key] for line in self.lines if key in line]


@pytest.fixture
def runs(git):
    """``runs(cwd=None)``: the runs in the ledger by exp_name; several of one experiment as ``name#2`` and so on."""

    def read(cwd=None):
        place = cwd or Path.cwd()
        if not git("rev-parse", "--verify", "--quiet", "lumo_experiments", cwd=place, check=False):
            return {}
        found = {}
        for name, files in ledger_files(place, "").items():
            run = Recorded(name, files)
            number = sum(key.partition("#")[0] == run.exp_name for key in found)
            found[run.exp_name + (f"#{number + 1}" if number else "")] = run
        uids = [run.info["uid"] for run in found.values()]
        assert len(uids) == len(set(uids)), "a run lies twice in the ledger"
        return found

    return read


@pytest.fixture
def lumo_run(sealed):
    """``lumo_run(*words, options=(), **of_subprocess)``: how ``git-lumo run -q <options> -- <words>`` ends."""

    def run(*words, options=(), env=None, **more):
        return subprocess.run(
            ["git-lumo", "run", "-q", *options, "--", *words],
            env=None if env is None else {**os.environ, **env},
            stdin=more.pop("stdin", None if "input" in more else subprocess.DEVNULL),
            stdout=more.pop("stdout", subprocess.PIPE),
            stderr=more.pop("stderr", subprocess.PIPE),
            timeout=60,
            check=False,
            **more,
        )

    return run


@pytest.fixture
def script(repo, git):
    """``script(text, name='train.py')``: a Python script in the repository; returns its path."""

    def write(text, name="train.py"):
        path = repo / name
        path.write_text("import os, signal, subprocess, sys, time\nimport gitlumo\n" + text)
        return str(path)

    return write


@pytest.fixture
def nothing_left(repo):
    """``nothing_left(cwd=None)`` fails where a run left more on the disk than it should."""

    def check(cwd=None):
        lumo_dir = Path(cwd or repo) / ".git/lumo"
        assert register.open_runs(str(lumo_dir)) == []
        assert not list((lumo_dir / "metrics").glob("*"))
        assert not list((lumo_dir / "tmp").glob("*"))
        for folder in (lumo_dir / "info").glob("*"):
            assert list(folder.iterdir()), f"{folder} is empty"

    return check


PYTHON = sys.executable
