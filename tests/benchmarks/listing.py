"""git lumo log."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.benchmarks import ledgers, place
from tests.benchmarks.figures import Figure, Goal
from tests.benchmarks.timing import interleaved, process


def listing(work: Path, quick: bool) -> list[Figure]:
    """git lumo log of 1,000 runs, the whole process, its output piped."""
    repo = place.repository(work / "code")
    ledgers.write(repo, 1000)
    lumo = process(sys.executable, "-m", "gitlumo", "log", cwd=repo)
    git = process("git", "log", "-50", "--format=%s", "lumo_experiments", cwd=repo)
    bare = process(sys.executable, "-c", "pass")
    version = process(sys.executable, "-m", "gitlumo", "--version", cwd=repo)
    oneline = process(sys.executable, "-m", "gitlumo", "log", "--oneline", cwd=repo)
    medians = [median * 1e3 for median in interleaved(5 if quick else 21, lumo, git, bare, version, oneline)]
    parts = {"python -c pass": medians[2], "git lumo --version": medians[3], "git lumo log --oneline": medians[4]}
    goal = Goal(most=150)
    return [Figure("git lumo log, 1,000 runs", medians[0], "ms", "git log -50", medians[1], goal, parts)]
