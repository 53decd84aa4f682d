"""A rerun beside the same run, and a sweep beside its commands."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks import place
from tests.benchmarks.figures import Figure, Goal
from tests.benchmarks.timing import interleaved, process


def again(work: Path, quick: bool) -> list[Figure]:
    """A second rerun of one commit beside git lumo run of its command; a sweep of trivial runs."""
    repo = place.repository(work / "code", 200 if quick else 1_000, 50)
    command = [sys.executable, "-c", "pass"]
    lumo = [sys.executable, "-m", "gitlumo"]
    _do([*lumo, "run", "-q", "-n", "first", "--", *command], repo)
    uid = place.git("log", "-1", "--format=%(trailers:key=Lumo-Uid,valueonly)", "lumo_experiments", cwd=repo).strip()
    _do([*lumo, "rerun", "-q", uid], repo)  # makes the work tree
    rerun, run = interleaved(
        3 if quick else 15,
        process(*lumo, "rerun", "-q", uid, cwd=str(repo)),
        process(*lumo, "run", "-q", "-n", "first", "--", *command, cwd=str(repo)),
    )
    return [
        Figure("rerun, the second of a commit", rerun * 1e3, "ms", "git lumo run", run * 1e3, Goal(over=100)),
        _sweep(repo, lumo, 10 if quick else 200),
    ]


def _sweep(repo: Path, lumo: Sequence[str], count: int) -> Figure:
    """Seconds a run, of which two go on at a time."""
    command = [sys.executable, "-S", "-c", "pass"]
    started = time.perf_counter()
    _do([*lumo, "sweep", "-n", "trivial", "--grid", f"i=1..{count}", "-j", "2", "--", *command], repo)
    took = time.perf_counter() - started
    started = time.perf_counter()
    for _ in range(count):
        subprocess.run(command, cwd=repo, check=True)
    bare = time.perf_counter() - started
    name = f"sweep of {count} trivial runs, -j 2"
    return Figure(name, took / count * 1e3, "ms", "the command, one by one", bare / count * 1e3, Goal(over=300))


def _do(words: Sequence[str], repo: Path) -> None:
    subprocess.run(words, cwd=repo, check=True, capture_output=True)
