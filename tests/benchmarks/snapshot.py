"""The snapshot of a large work tree."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks import place
from tests.benchmarks.figures import Figure, Goal
from tests.benchmarks.timing import in_child


def snapshot(work: Path, quick: bool) -> list[Figure]:
    """A snapshot of 20,000 files in 100 folders, 10 dirty, beside git status; a file is edited between two."""
    files = 2_000 if quick else 20_000
    repo = place.repository(work / "code", files, 100)
    place.soil(repo, 10)
    mine, again, status = in_child(take_beside_status, str(repo), 5 if quick else 15)
    name = f"snapshot of {files:,} files"
    parts = {"of the same tree again": again * 1e3}
    return [Figure(name, mine * 1e3, "ms", "git status", status * 1e3, Goal(times=2), parts)]


def take_beside_status(repo: str, rounds: int) -> list[float]:
    """Median seconds of a snapshot after an edit, of one more without, and of ``git status``."""
    from gitlumo.git import snapshot
    from gitlumo.git.repository import open_repository
    from tests.benchmarks.timing import interleaved, process

    opened = open_repository(repo)
    limits = snapshot.Limits()
    tmp, code = (f"{opened.location.lumo_dir}/{name}" for name in ("tmp", "code"))
    edits = iter(range(10**6))
    taken = []

    def after_an_edit() -> None:
        place.edit(Path(repo), next(edits))
        taken.append(snapshot.take(opened, limits, tmp, code))

    def again() -> None:
        found = snapshot.take(opened, limits, tmp, code, known=lambda commit: commit == taken[-1].commit)
        assert found.commit == taken[-1].commit

    status = process("git", "--no-optional-locks", "status", "--porcelain", cwd=repo)
    medians = interleaved(rounds, after_an_edit, again, status)
    assert taken[-1].dirty
    assert not taken[-1].skipped
    return medians
