"""git lumo board --html."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks import ledgers, place
from tests.benchmarks.figures import Figure, Goal

STEPS = (100, 300, 500, 1000)
METRICS = 5


def boards(work: Path, quick: bool) -> list[Figure]:
    """The static board: its size without runs and with 1,000, and when a browser has painted it."""
    empty, full = (place.repository(work / name) for name in ("empty", "full"))
    runs = 50 if quick else 1000
    ledgers.write(full, runs, steps=STEPS, metrics=METRICS)
    seconds = {}
    for repo in (empty, full):
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "gitlumo", "board", "--html", "board.html"],
            cwd=repo,
            check=True,
            capture_output=True,
        )
        seconds[repo] = time.perf_counter() - begun
    library = place.ROOT / "gitlumo/board/page/uPlot.iife.min.js"
    sizes = [path.stat().st_size for path in (empty / "board.html", full / "board.html", library)]
    about = f"{runs:,} runs with {METRICS} metrics of {STEPS[0]} to {STEPS[-1]:,} points"
    history = sum(len(data) for data in _histories(full))
    figures = [
        Figure("a board without runs", sizes[0] / 1e3, "KB", "the chart library in it", sizes[2] / 1e3, Goal(most=150)),
        Figure(about, sizes[1] / 1e6, "MB", "history/ as it is", history / 1e6, Goal(most=5)),
        Figure("writing that", seconds[full], "s", "a board without runs", seconds[empty]),
    ]
    if program := shutil.which("chromium"):
        rounds = 3 if quick else 7
        painted, listed = _painted(program, full / "board.html", rounds)
        bare, _ = _painted(program, empty / "board.html", rounds)
        parts = {"its table is there": listed * 1e3}
        figures.append(
            Figure("that board's first paint", painted * 1e3, "ms", "without runs", bare * 1e3, Goal(most=1000), parts)
        )
    return figures


def _histories(repo: Path) -> Sequence[bytes]:
    names = place.git("ls-tree", "-r", "--name-only", "lumo_experiments", cwd=repo).splitlines()
    asked = "".join(f"lumo_experiments:{name}\n" for name in names if "/history/" in name)
    batch = ["git", "cat-file", "--batch"]
    return [subprocess.run(batch, cwd=repo, input=asked.encode(), check=True, capture_output=True).stdout]


def _painted(program: str, path: Path, rounds: int) -> tuple[float, float]:
    """Medians of seconds from the navigation's start to the first contentful paint, and until the table is there."""
    from playwright.sync_api import sync_playwright

    from tests.board.conftest import FLAGS, READY

    paints, tables = [], []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=FLAGS)
        for _ in range(rounds):
            page = browser.new_context().new_page()
            page.goto(path.as_uri())
            page.wait_for_selector(READY)
            tables.append(page.evaluate("performance.getEntriesByName('table')[0].startTime") / 1e3)
            page.wait_for_timeout(300)
            paints.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1e3)
            page.context.close()
        browser.close()
    return statistics.median(paints), statistics.median(tables)
