"""git lumo board, live: until rows are seen, until it obeys, and what it costs."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks import ledgers, peers, place
from tests.benchmarks.figures import Figure, Goal
from tests.benchmarks.timing import in_child

POINTS = 10_000
CURVES = 10


def boards_live(work: Path, quick: bool) -> list[Figure]:
    """The live board: command to 200 rows, to obeying, a filter, curves, memory."""
    program = shutil.which("chromium")
    if program is None:
        return []
    from playwright.sync_api import sync_playwright

    from tests.board.conftest import FLAGS

    few, many = (place.repository(work / name) for name in ("few", "many"))
    points = POINTS // 10 if quick else POINTS
    ledgers.write(few, CURVES, steps=points)
    ledgers.write(many, 1000 if quick else 10_000, steps=4)
    in_child(one_more, cwd=few)
    for repo in (few, many):  # the index is there, as after any question
        subprocess.run([sys.executable, "-m", "gitlumo", "log", "lr > 0"], cwd=repo, check=True, capture_output=True)
    rounds = 2 if quick else 7
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=FLAGS)
        seen, obeys = zip(*(_opened(browser, many) for _ in range(rounds)), strict=True)
        filtered, memory = _filtered(browser, many, rounds)
        drawn = [_drawn(browser, few) for _ in range(rounds)]
        others = peers.boards(browser, work, min(rounds, 3))
        browser.close()
    runs = "1,000" if quick else "10,000"
    median: Callable[[Any], float] = lambda each: statistics.median(each) * 1e3  # noqa: E731
    python = _seconds([sys.executable, "-c", "import panel"], rounds) * 1e3
    asked = _seconds([sys.executable, "-m", "gitlumo", "log", "lr < 0.01 and state = finished"], rounds, many) * 1e3
    read = _seconds([sys.executable, "-m", "gitlumo", "show", "@", "--metric", "loss"], rounds, few) * 1e3
    bare = in_child(resident)
    theirs = {f"{name}, {peers.RUNS} runs": took * 1e3 for name, took in others.items()}
    return [
        Figure(
            f"command to 200 rows of {runs} runs", median(seen), "ms", "import panel", python, Goal(most=800), theirs
        ),
        Figure("command to a board that obeys", median(obeys), "ms", "import panel", python, Goal(most=2500)),
        Figure(f"a filter over {runs} runs", median(filtered), "ms", "git lumo log", asked, Goal(most=200)),
        Figure(
            f"{CURVES} curves of {points:,} points, unread",
            median(drawn),
            "ms",
            "git lumo show --metric",
            read,
            Goal(most=300),
        ),
        Figure(f"the server's memory with {runs} runs", memory, "MB", "panel and pandas", bare, Goal(most=250)),
    ]


def resident() -> float:
    """MB of a process that has imported what the board is built on."""
    import pandas  # noqa: F401
    import panel  # noqa: F401

    with open("/proc/self/status", encoding="ascii") as source:
        return next(int(line.split()[1]) / 1024 for line in source if line.startswith("VmRSS"))


def _seconds(command: list[str], rounds: int, cwd: Path | None = None) -> float:
    def once() -> float:
        begun = time.perf_counter()
        subprocess.run(command, cwd=cwd, check=True, capture_output=True)
        return time.perf_counter() - begun

    return statistics.median(once() for _ in range(rounds))


def _opened(browser: Any, repo: Path) -> tuple[float, float]:
    """Seconds from the command to 200 rows that are painted, and until the board stands in their place."""
    from tests.board.serving import Served, wait

    begun = time.time()
    board = Served(repo)
    page = browser.new_context().new_page()
    page.goto(board.url, wait_until="commit")
    page.locator("#first tbody tr").nth(199).wait_for(state="attached")
    page.locator("html.ready").wait_for(state="attached", timeout=60_000)
    origin = page.evaluate("performance.timeOrigin") / 1e3
    paint = wait(page, "performance.getEntriesByName('first-contentful-paint')[0]?.startTime") / 1e3
    ready = page.evaluate("performance.getEntriesByName('ready')[0].startTime") / 1e3
    page.context.close()
    board.stop()
    return origin + paint - begun, origin + ready - begun


def _filtered(browser: Any, repo: Path, rounds: int) -> tuple[list[float], float]:
    """Seconds from a filter that is sent to the count that answers it; and the server's MB afterwards."""
    from tests.board.serving import Served

    board = Served(repo)
    page = browser.new_context().new_page()
    page.goto(board.url)
    page.locator("html.ready").wait_for(state="attached", timeout=60_000)
    box, took = page.locator(".filter input"), []
    for i in range(rounds + 1):
        box.fill(f"lr < 0.0{i + 1} and state = finished")
        begun = time.perf_counter()
        before = page.locator(".filter .count").inner_text()
        box.press("Enter")  # sends it without waiting for more keys
        while page.locator(".filter .count").inner_text() == before:
            page.wait_for_timeout(2)
        took.append(time.perf_counter() - begun)
        page.wait_for_timeout(500)
    memory = board.memory()
    page.context.close()
    board.stop()
    return took[1:], memory


def _drawn(browser: Any, repo: Path) -> float:
    """Seconds from an address with ten runs to their curves of one metric, which the server has not read before."""
    from gitlumo import Watcher
    from tests.board.serving import Served, drawn, went

    before = "metrics=loss&q=name+%3D+last"
    runs = "&".join(f"runs={row['uid']}" for row in Watcher(repo).rows("lr > 0"))
    board = Served(repo, "name = 'last'")
    page = browser.new_context().new_page()
    page.goto(board.url)
    page.locator("html.ready").wait_for(state="attached", timeout=60_000)
    went(page, before)
    page.wait_for_timeout(500)
    begun = time.perf_counter()
    went(page, f"{before}&{runs}")
    while [count for _, count in drawn(page)] != [CURVES]:
        page.wait_for_timeout(2)
    took = time.perf_counter() - begun
    page.context.close()
    board.stop()
    return took


def one_more() -> None:
    """A short run, whose page is there before the others are asked for."""
    from gitlumo import Experiment

    with Experiment("digits", "last", params={"lr": -1.0}) as exp:
        for step in range(3):
            exp.log({"loss": 1.0, "acc": 0.5}, step=step)
