"""Questions about many runs: the index, filters, data frames."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from tests.benchmarks import ledgers, place
from tests.benchmarks.figures import Figure, Goal
from tests.benchmarks.timing import in_child, interleaved, process, seconds


def asking(work: Path, quick: bool) -> list[Figure]:
    """log, a filter, load() and the index, with 100 to 100,000 runs (minutes: it makes them first)."""
    sizes = (100, 1000) if quick else (100, 1000, 10_000, 100_000)
    repos = {runs: _ledger(work / str(runs), runs) for runs in sizes}
    clone = work / "clone"
    middle, most = sizes[-2], sizes[-1]
    url = f"file://{repos[middle]}"
    cloning = statistics.median(
        seconds(lambda: (shutil.rmtree(clone, ignore_errors=True), place.git("clone", "--quiet", url, clone, cwd=work)))
        for _ in range(3)
    )
    made = in_child(make_index, cwd=clone)
    figures = [
        Figure(
            f"the index of {middle:,} runs after a fresh clone", made["took"], "s", "that clone", cloning, Goal(times=1)
        ),
        Figure(f"the index, a run of {middle:,}", made["bytes"] / middle / 1024, "KB", "", 0, Goal(most=1)),
    ]
    logs = [process("git-lumo", "log", cwd=repo) for repo in repos.values()]
    for repo in repos.values():
        in_child(make_index, cwd=repo)
    medians = [median * 1e3 for median in interleaved(3 if quick else 11, *logs, process(sys.executable, "-c", "pass"))]
    for runs, took in zip(sizes, medians[:-1], strict=True):
        figures.append(
            Figure(f"git lumo log of {runs:,} runs", took, "ms", "python -c pass", medians[-1], Goal(most=120))
        )
    figures.append(
        Figure(f"the log of {most:,} runs", medians[-2], "ms", f"of {sizes[0]:,}", medians[0], Goal(times=1.3))
    )
    for runs in sizes[1::2]:
        found = in_child(load, cwd=repos[runs])
        goal = {1000: Goal(most=100), 100_000: Goal(most=1500)}.get(runs)
        figures.append(Figure(f"load() of {runs:,} runs", found["load"] * 1e3, "ms", "", 0, None if quick else goal))
        parts: dict[str, float | str] = {"again, nothing new": found["again"] * 1e3}
        name = f"load() after one new run, of {runs:,}"
        figures.append(Figure(name, found["more"] * 1e3, "ms", "", 0, Goal(most=20), parts))
        parts = {"runs found": f"{found['found']:.0f}"}
        name = f"a parameter and a metric over {runs:,} runs"
        figures.append(Figure(name, found["filter"] * 1e3, "ms", "", 0, Goal(most=250), parts))
    return figures


def _ledger(path: Path, runs: int) -> Path:
    path.mkdir(parents=True)
    repo = place.repository(path)
    ledgers.write(repo, runs, exp_names=["digits", "cifar"], days=max(1, runs // 200))
    place.git("repack", "-a", "-d", "--quiet", cwd=repo)
    return repo


def make_index() -> dict[str, float]:
    """Seconds to make the index, and its bytes."""
    from gitlumo.store.index import FILE
    from gitlumo.watcher import Watcher

    watcher = Watcher()
    begun = time.perf_counter()
    watcher._select().close()
    took = time.perf_counter() - begun
    return {"took": took, "bytes": os.path.getsize(Path(".git/lumo") / FILE)}


def load() -> dict[str, float]:
    """Median seconds of loads after the imports, and of a filter."""
    import pandas  # noqa: F401

    import gitlumo.frames  # noqa: F401
    from gitlumo import C, Experiment, Watcher

    samples: dict[str, list[float]] = {name: [] for name in ("load", "again", "more", "filter")}
    where: Any = (C["params.lr"] < 0.001) & (C["metrics.loss"] > 2.3)
    found = 0
    for i in range(4):
        watcher = Watcher()
        samples["load"].append(seconds(watcher.load))
        samples["again"].append(seconds(watcher.load))
        with Experiment("digits", params={"lr": 0.1, "seed": i}) as exp:
            exp.log({"loss": 1.0})
        samples["more"].append(seconds(watcher.load))
        with watcher._select() as selection:
            begun = time.perf_counter()
            found = sum(1 for _ in selection.rows(where))
            samples["filter"].append(time.perf_counter() - begun)
    return {name: statistics.median(taken[1:]) for name, taken in samples.items()} | {"found": found}
