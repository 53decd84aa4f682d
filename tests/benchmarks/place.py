"""Where a benchmark works: a sealed machine in a temporary folder, real repositories in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
# git's own upkeep would run behind a measurement's back.
QUIET = "[gc]\n    auto = 0\n[maintenance]\n    auto = false\n"


@contextlib.contextmanager
def sealed() -> Iterator[Path]:
    """An empty HOME, git's configuration, language and zone as in the tests; yields a folder that goes away."""
    from tests.conftest import FORGOTTEN, FORGOTTEN_NAMES, GITCONFIG

    before = dict(os.environ)
    top = Path(tempfile.mkdtemp(prefix="gitlumo-benchmarks-")).resolve()
    try:
        for name in before:
            if name.startswith((*FORGOTTEN, "PYTHON")) or name in FORGOTTEN_NAMES:
                del os.environ[name]
        for name in ("home", "tmp", "work"):
            (top / name).mkdir()
        config = top / "home/.gitconfig"
        config.write_text(GITCONFIG + QUIET)
        os.environ.update(
            HOME=str(top / "home"),
            GIT_CONFIG_GLOBAL=str(config),
            GIT_CONFIG_NOSYSTEM="1",
            LC_ALL="C.UTF-8",
            TZ="UTC",
            TMPDIR=str(top / "tmp"),
            PYTHONPATH=str(ROOT),
            PYTHONPYCACHEPREFIX=str(top / "compiled"),  # as if all had been imported before
        )
        time.tzset()
        yield top / "work"
    finally:
        os.environ.clear()
        os.environ.update(before)
        time.tzset()
        _remove(top)


def _remove(top: Path) -> None:
    """Remove a folder, in which a detached roll-up of packs may still be at work."""
    for _ in range(100):
        shutil.rmtree(top, ignore_errors=True)
        if not top.exists():
            return
        time.sleep(0.1)
    shutil.rmtree(top)


def git(*args: str | Path, cwd: str | Path, stdin: bytes | None = None) -> str:
    """What the git program prints, without the last newline."""
    done = subprocess.run(["git", *map(str, args)], cwd=cwd, input=stdin, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"git {' '.join(map(str, args))}: {done.stderr.decode('utf-8', 'replace')}")
    return done.stdout.decode("utf-8", "surrogateescape").removesuffix("\n")


def repository(path: Path, files: int = 1, folders: int = 1) -> Path:
    """A repository with one commit of ``files`` small Python files, packed, of which none is racy to git."""
    git("init", "--quiet", path, cwd=path.parent)
    past = time.time() - 3600
    for i in range(files):
        file = path / f"part{i % folders:03d}" / f"module{i:05d}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f'"""Module {i}."""\n\nRATE = {i / 7!r}\n\n\ndef layer(x):\n    return x * {i}\n')
        os.utime(file, (past, past))
    git("add", "--all", cwd=path)
    git("commit", "--quiet", "--message", "the code", cwd=path)
    git("gc", "--quiet", cwd=path)
    return path


def soil(path: Path, number: int) -> None:
    """Make ``number`` files dirty: one in five is untracked, the others are tracked ones that were edited."""
    untracked = number // 5
    for i in range(untracked):
        (path / f"notes{i}.txt").write_text(f"note {i}\n")
    for file in sorted(path.glob("part*/*.py"))[: number - untracked]:
        file.write_text(file.read_text() + "\n# edited\n")


def edit(path: Path, i: int) -> None:
    """Edit one dirty file, as people do between two runs; equal ``i`` give equal bytes."""
    (path / "part000/module00000.py").write_text(f"RATE = {i}\n" * 20)


def packages(path: Path, number: int) -> Path:
    """A folder for ``sys.path`` that brings the installed packages to ``number``."""
    there = {name for folder in sys.path if os.path.isdir(folder) for name in os.listdir(folder)}
    path.mkdir()
    for i in range(number - sum(name.endswith(".dist-info") for name in there)):
        (path / f"some_package_{i}-{i % 7}.{i % 11}.{i % 13}.dist-info").mkdir()
    return path
