"""Engines beside each other, many writers at once, and a large repository."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.benchmarks import ledgers, place
from tests.benchmarks.figures import Figure, Goal
from tests.benchmarks.timing import in_child, interleaved, process, seconds

HIDE = "import sys; sys.modules['pygit2'] = None; "
LOG = "from gitlumo.cli import main; sys.argv = ['git-lumo', 'log']; sys.exit(main())"
STATUS = ("git", "--no-optional-locks", "status", "--porcelain")


def engines(work: Path, quick: bool) -> list[Figure]:
    """An event, and a listing of 1,000 runs as a whole process, through dulwich beside pygit2."""
    runs = 100 if quick else 1000
    repo = place.repository(work / "runs")
    ledgers.write(repo, runs, exp_names=["digits"], days=10)
    rounds = 7 if quick else 25
    events = {engine: in_child(publish, engine, rounds, cwd=repo) * 1e3 for engine in ("pygit2", "dulwich")}
    listing = [process(sys.executable, "-c", head + LOG, cwd=repo) for head in (HIDE, "import sys; ")]
    slow, fast = (median * 1e3 for median in interleaved(3 if quick else 11, *listing))
    return [
        Figure("an event through dulwich", events["dulwich"], "ms", "through pygit2", events["pygit2"], Goal(times=10)),
        Figure(f"git lumo log of {runs:,} runs through dulwich", slow, "ms", "through pygit2", fast, Goal(times=10)),
    ]


def publish(engine: str, rounds: int) -> float:
    """The median seconds of a checkpoint."""
    if engine == "dulwich":
        sys.modules["pygit2"] = None  # type: ignore[assignment]
    from gitlumo import Experiment

    samples = []
    with Experiment("digits") as exp:
        if exp.repository.engine.objects != engine:
            raise RuntimeError(f"not through {engine}")
        for step in range(rounds + 2):
            exp.log({"loss": 1 / (1 + step)})
            samples.append(seconds(exp.checkpoint))
    return statistics.median(samples[2:])


def writers(work: Path, quick: bool) -> list[Figure]:
    """64 processes that publish as fast as they can, beside one; milliseconds an event (5 are 200 a second)."""
    number, events = (8, 5) if quick else (64, 20)
    repo = place.repository(work / "many")
    took = in_child(publish_at_once, number, events, cwd=repo)
    told = place.git("log", "--format=%(trailers:key=Lumo-Event,valueonly)", ledgers.BRANCH, cwd=repo)
    there = told.split().count("checkpoint")
    alone = in_child(publish_at_once, 1, 4 * events, cwd=place.repository(work / "one"))
    parts: dict[str, float | str] = {
        "events a second": f"{number * events / took:.0f}",
        "events lost": f"{number * events - there}",
        "commits": place.git("rev-list", "--count", ledgers.BRANCH, cwd=repo),
    }
    each, beside = took / (number * events) * 1e3, alone / (4 * events) * 1e3
    return [Figure(f"an event of {number} writers", each, "ms", "of one writer", beside, Goal(most=5), parts)]


def publish_at_once(number: int, events: int) -> float:
    """Seconds from the first event of ``number`` processes to the last one's end."""
    context = multiprocessing.get_context("fork")
    barrier, spans = context.Barrier(number), context.Queue()
    children = [context.Process(target=_write, args=(i, events, barrier, spans)) for i in range(number)]
    for child in children:
        child.start()
    found = [spans.get(timeout=600) for _ in children]
    for child in children:
        child.join()
        if child.exitcode:
            raise RuntimeError(f"a writer ended with {child.exitcode}")
    return float(max(end for _, end in found) - min(begun for begun, _ in found))


def _write(i: int, events: int, barrier: Any, spans: Any) -> None:
    from gitlumo import Experiment

    exp = Experiment("digits", params={"i": i}).start()
    barrier.wait()
    begun = time.monotonic()
    for step in range(events):
        exp.log({"loss": 1 / (1 + step)})
        exp.checkpoint()
    spans.put((begun, time.monotonic()))
    barrier.wait()  # nobody's end is measured
    exp.end()


def large(work: Path, quick: bool) -> list[Figure]:
    """start() in 100,000 files and 20,000 commits, 10 files dirty, beside git status."""
    repo = work / "large"
    _make_large(repo, *((2000, 200) if quick else (100_000, 20_000)))
    place.soil(repo, 10)
    found = in_child(start_beside_status, 3 if quick else 7, cwd=repo)
    first, status = found["first"] * 1e3, found["status"] * 1e3
    parts: dict[str, float | str] = {"the first of a process, with imports": first}
    mine = found["start"] * 1e3
    return [Figure("start() in a large repository", mine, "ms", "git status", status, Goal(times=2), parts)]


def start_beside_status(rounds: int) -> dict[str, float]:
    """Median seconds of start() and of git status; and of the first start()."""
    from gitlumo import SimpleExperiment

    samples: dict[str, list[float]] = {"start": [], "status": []}
    for i in range(rounds + 1):
        place.edit(Path.cwd(), i)
        exp = SimpleExperiment("digits")
        samples["start"].append(seconds(exp.start))
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
            exp.end()
        samples["status"].append(seconds(lambda: subprocess.run(STATUS, stdout=subprocess.DEVNULL, check=True)))
    return {
        "first": samples["start"][0],
        "start": statistics.median(samples["start"][1:]),
        "status": statistics.median(samples["status"]),
    }


def _make_large(repo: Path, files: int, commits: int) -> None:
    place.git("init", "--quiet", repo, cwd=repo.parent)
    importing = subprocess.Popen(["git", "fast-import", "--quiet"], cwd=repo, stdin=subprocess.PIPE)
    assert importing.stdin
    with importing.stdin as out:
        for k in range(commits):
            out.write(b"commit refs/heads/main\ncommitter Ada <ada@example.org> %d +0000\ndata 0\n" % (1700000000 + k))
            for i in range(files) if k == 0 else [k % files]:
                data = b"RATE = %d\n" % (i + k)
                out.write(b"M 100644 inline part%03d/module%05d.py\ndata %d\n%s\n" % (i % 1000, i, len(data), data))
    if importing.wait():
        raise RuntimeError(f"git fast-import ended with {importing.returncode}")
    place.git("reset", "--quiet", "--hard", cwd=repo)
    place.git("repack", "-a", "-d", "--quiet", cwd=repo)
    time.sleep(1.1)  # so that git's index is younger than the files: none is racy
    place.git("update-index", "--refresh", cwd=repo)
