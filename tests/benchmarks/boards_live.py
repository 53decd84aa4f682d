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

LIVE = 20  # runs at once, ten lines a second each
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
        moving = _moving(browser, place.repository(work / "moving"), 3 if quick else 20)
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
        Figure(f"the browser with {LIVE} live runs", *moving, Goal(most=30)),
        Figure("a sample of the machine each 5 s", *in_child(sampled, 20 if quick else 200, cwd=few), Goal(most=0.1)),
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


def _moving(browser: Any, repo: Path, seconds: float) -> tuple[float, str, str, float]:
    """Percent of a core that a browser takes that looks at live runs; and one that looks at none."""
    import psutil

    from tests.board.serving import Served

    def busy() -> float:
        before, begun = _cpu_seconds(chromium), time.perf_counter()
        page.wait_for_timeout(seconds * 1e3)
        return 100 * (_cpu_seconds(chromium) - before) / (time.perf_counter() - begun)

    board = Served(repo)
    page = browser.new_context().new_page()
    page.goto(board.url)
    page.locator("html.ready").wait_for(state="attached", timeout=60_000)
    chromium = [each for each in psutil.Process().children(recursive=True) if "chrom" in each.name()]
    idle = busy()
    command = [sys.executable, "-c", f"from tests.benchmarks.boards_live import training; training({seconds + 60})"]
    runs = [subprocess.Popen(command, cwd=repo, stderr=subprocess.DEVNULL) for _ in range(LIVE)]
    try:
        page.locator(".live", has_text=f"{LIVE} running").wait_for(timeout=60_000)
        page.wait_for_timeout(3000)
        moving = busy()
    finally:
        for run in runs:
            run.terminate()
            run.wait()
    page.context.close()
    board.stop()
    return moving, "% of a core", "without live runs", idle


def _cpu_seconds(processes: list[Any]) -> float:
    return sum(each.cpu_times().user + each.cpu_times().system for each in processes if each.is_running())


def training(seconds: float) -> None:
    """A run that logs ten times a second."""
    from gitlumo import SimpleExperiment

    with SimpleExperiment("live") as exp:
        begun = time.monotonic()
        for step in range(int(seconds * 10)):
            exp.log({"loss": 1 / (step + 1)}, step=step)
            time.sleep(max(0.0, begun + (step + 1) / 10 - time.monotonic()))


def sampled(count: int) -> tuple[float, str, str, float]:
    """Percent of a core that samples of the machine take, one each 5 seconds; and psutil alone for its CPU."""
    import psutil

    from gitlumo import SimpleExperiment
    from gitlumo.sampling import Machine

    machine = Machine()

    def percent(take: Callable[[], Any]) -> float:
        take()
        spent = 0.0
        for _ in range(count):
            before = time.process_time()
            take()
            spent += time.process_time() - before
            time.sleep(0.005)  # else there is no load to tell
        return 100 * spent / count / 5

    with SimpleExperiment("sampled") as exp:
        ours = percent(lambda: exp.log(machine.sample()))
    return ours, "% of a core", "psutil.cpu_percent", percent(psutil.cpu_percent)


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
