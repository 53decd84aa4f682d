"""git lumo log."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.benchmarks import ledgers, place
from tests.benchmarks.figures import Figure, Goal
from tests.benchmarks.timing import interleaved, process


def listing(work: Path, quick: bool) -> list[Figure]:
    """git lumo log of 1,000 runs, the whole process, its output piped."""
    repo, busy = (place.repository(work / name) for name in ("code", "busy"))
    ledgers.write(repo, 1000)
    ledgers.write(busy, 1000, exp_names=["digits"], days=1)
    lumo = [sys.executable, "-m", "gitlumo"]
    subjects = {
        "git lumo log": process(*lumo, "log", cwd=repo),
        "git log -50": process("git", "log", "-50", "--format=%s", "lumo_experiments", cwd=repo),
        "the same, all in one day": process(*lumo, "log", cwd=busy),
        "git lumo log --oneline": process(*lumo, "log", "--oneline", cwd=repo),
        "git lumo --version": process(*lumo, "--version", cwd=repo),
        "python -c pass": process(sys.executable, "-c", "pass"),
    }
    medians = interleaved(5 if quick else 21, *subjects.values())
    found = {name: median * 1e3 for name, median in zip(subjects, medians, strict=True)}
    mine, git = found.pop("git lumo log"), found.pop("git log -50")
    return [Figure("git lumo log, 1,000 runs", mine, "ms", "git log -50", git, Goal(most=150), found)]
