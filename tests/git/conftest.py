"""What the tests of the git door need of git besides."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from gitlumo.git import process
from gitlumo.git.snapshot import Snapshot
from tests.git.snapshots import REAL_GIT


@pytest.fixture
def receive(git, tmp_path):
    """``receive(snapshot, repo)``: index the pack in a clone that has HEAD and nothing else; returns the clone."""

    def run(taken: Snapshot, path: Path, *clone_options: str) -> Path:
        clone = tmp_path / f"clone{len(list(tmp_path.iterdir()))}"
        if taken.head:
            git("clone", "--quiet", "--no-local", "--bare", *clone_options, path, clone)
            git("cat-file", "-e", taken.head, cwd=clone)
        else:
            git(
                "init", "--quiet", "--bare", f"--object-format={'sha256' if len(taken.commit) == 64 else 'sha1'}", clone
            )
        for ending in (".pack", ".idx"):
            shutil.copy(taken.pack + ending, clone / "objects/pack" / f"pack-{taken.commit}{ending}")
        git("index-pack", "--strict", clone / "objects/pack" / f"pack-{taken.commit}.pack", cwd=clone)
        git("update-ref", "refs/heads/received", taken.commit, cwd=clone)
        git("fsck", "--strict", "--no-dangling", cwd=clone)
        assert git("rev-parse", f"{taken.commit}^{{tree}}", cwd=clone) == taken.tree
        return clone

    return run


@pytest.fixture
def as_git_commits(git, tmp_path, monkeypatch):
    """``as_git_commits(repo)``: the tree of ``git add -A`` with everything in a copy of the repository's index."""

    def run(path: Path) -> str:
        git_dir = Path(git("rev-parse", "--absolute-git-dir", cwd=path))
        with monkeypatch.context() as patch:
            patch.setenv("GIT_INDEX_FILE", str(tmp_path / "oracle-index"))
            if (git_dir / "index").exists():
                shutil.copy2(git_dir / "index", tmp_path / "oracle-index")
            git("add", "--all", "--sparse", cwd=path)
            return git("write-tree", cwd=path)

    return run


@pytest.fixture
def fake_git(tmp_path, monkeypatch):
    """``fake_git(script)``: lines of sh that see git's arguments before the real git does."""

    def install(script: str) -> None:
        (tmp_path / "bin").mkdir()
        program = tmp_path / "bin/git"
        program.write_text(f'#!/bin/sh\n{script}\nexec {REAL_GIT} "$@"\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    yield install
    (tmp_path / "bin/git").unlink(missing_ok=True)  # before the repository is checked


@pytest.fixture
def spawned(monkeypatch):
    """Command lines of all processes that are started."""
    calls: list[list[str]] = []

    class Counting(process.Child):
        def __init__(self, args, *rest, **more):
            calls.append(args)
            super().__init__(args, *rest, **more)

    monkeypatch.setattr(subprocess, "Popen", Counting)
    monkeypatch.setattr(process, "Child", Counting)
    return calls
