"""The work trees in which recorded code runs again: a new one, and one that is used again."""

from __future__ import annotations

import itertools
import os
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import place
from tests.benchmarks.figures import Figure, Goal
from tests.benchmarks.timing import in_child, interleaved, process, seconds


def worktree(work: Path, quick: bool) -> list[Figure]:
    """A work tree of 1,000 files for a rerun, new beside git worktree add, idle beside git status."""
    files = 200 if quick else 1_000
    repo = place.repository(work / "code", files, 50)
    made, plain = in_child(make_new_ones, str(repo), str(work), 3 if quick else 21)
    again, status = in_child(take_an_idle_one, str(repo), str(work), 5 if quick else 21)
    name = f"work tree of {files:,} files"
    return [
        Figure(f"{name}, new", made * 1e3, "ms", "git worktree add", plain * 1e3, Goal(times=1.3)),
        Figure(f"{name}, idle", again * 1e3, "ms", "git status --ignored", status * 1e3, Goal(most=100)),
    ]


def make_new_ones(repo: str, work: str, rounds: int) -> list[float]:
    """Median seconds until a new one can be used, and of ``git worktree add``; what was made goes between rounds."""
    from gitlumo.git.repository import open_repository
    from gitlumo.rerun import worktrees

    opened = open_repository(repo)
    commit = place.git("rev-parse", "HEAD", cwd=repo)
    cache, plain = os.path.join(work, "cache"), os.path.join(work, "plain")

    def mine() -> None:
        with worktrees.lease(opened, cache, commit) as lease:
            assert not lease.was_there

    subjects: list[Callable[[], object]] = [
        mine,
        process("git", "worktree", "add", "--quiet", "--detach", plain, commit, cwd=repo),
    ]
    samples: list[list[float]] = [[], []]
    for i, k in itertools.product(range(rounds + 1), range(2)):
        which = k if i % 2 else 1 - k
        samples[which].append(seconds(subjects[which]))
        for path in (cache, plain):
            shutil.rmtree(path, ignore_errors=True)
        place.git("worktree", "prune", cwd=repo)
    return [statistics.median(sample[1:]) for sample in samples]


def take_an_idle_one(repo: str, work: str, rounds: int) -> list[float]:
    """Median seconds of taking one that is there and giving it back, and of ``git status --ignored`` in it."""
    from gitlumo.git.repository import open_repository
    from gitlumo.rerun import worktrees

    opened = open_repository(repo)
    commit = place.git("rev-parse", "HEAD", cwd=repo)
    cache = os.path.join(work, "cache")
    with worktrees.lease(opened, cache, commit) as first:
        pass

    def mine() -> None:
        with worktrees.lease(opened, cache, commit) as lease:
            assert lease.was_there

    return interleaved(rounds, mine, process("git", "status", "--porcelain", "--ignored", cwd=first.path))
