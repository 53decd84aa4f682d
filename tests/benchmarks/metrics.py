"""Logging: what one call costs, and what memory a million of them take."""

from __future__ import annotations

import os
import statistics
from pathlib import Path
from typing import Any

from tests.benchmarks.figures import Figure, Goal
from tests.benchmarks.place import repository
from tests.benchmarks.timing import in_child, seconds

BATCH = 2000


def scalar(work: Path, quick: bool) -> list[Figure]:
    """One call of log(), kept after SIGKILL, beside a bare os.write of the same bytes."""
    repo = repository(work / "code")
    figures = []
    for number, name in ((1, "one scalar"), (4, "four scalars in one call")):
        mine, bare = in_child(log_beside_write, str(repo), number, 5 if quick else 40)
        goal = Goal(most=10) if number == 1 else None
        figures.append(Figure(name, mine * 1e6, "us", "os.write of the same bytes", bare * 1e6, goal))
    return figures


def log_beside_write(repo: str, number: int, batches: int) -> tuple[float, float]:
    """Seconds a call of ``log()`` with ``number`` metrics, and of ``os.write``: medians over batches."""
    from gitlumo import Experiment

    keys = [f"loss{i}" if i else "loss" for i in range(number)]
    history = []
    with Experiment("scalars", repo=repo) as exp:
        bare = os.open(exp.mk_bpath("bare"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for batch in range(batches + 1):
            calls = [(i, {key: 2.3 / (1 + i / 7 + k) for k, key in enumerate(keys)}) for i in _steps(batch)]
            took = seconds(lambda calls=calls: [exp.log(numbers, step=i) for i, numbers in calls])
            lines = _last_lines(exp.info_dir)
            history.append(
                (took / BATCH, seconds(lambda lines=lines: [os.write(bare, line) for line in lines]) / BATCH)
            )
        os.close(bare)
    mine, beside = zip(*history[1:], strict=True)
    return statistics.median(mine), statistics.median(beside)


def _steps(batch: int) -> range:
    return range(batch * BATCH, (batch + 1) * BATCH)


def _last_lines(info_dir: str) -> list[bytes]:
    """The lines of the last batch: it may be spread over two chunks, or three."""
    chunks = sorted(Path(info_dir, "history").iterdir())[-3:]
    return b"".join(chunk.read_bytes() for chunk in chunks).splitlines(keepends=True)[-BATCH:]


def memory(work: Path, quick: bool) -> list[Figure]:
    """How much the memory's peak grows over what it is after start(), end() included."""
    repo = repository(work / "code")
    number = 100_000 if quick else 1_000_000
    grown: dict[str, float] = in_child(log_many, str(repo), number)
    bare = in_child(write_many, str(work / "bare"), number)
    parts = {name: grown[name] for name in ("while logging", "in end()")} | {
        "in end() without the built-in hooks": in_child(log_many, str(repo), number, False)["in end()"]
    }
    name = f"memory, {number:,} scalars"
    return [Figure(name, max(grown.values()), "MB", "a loop of os.write", bare, Goal(most=20), parts)]


def log_many(repo: str, number: int, built_in: bool = True) -> dict[str, Any]:
    """By how many MB the peak grows while ``number`` scalars are logged, and in end()."""
    from gitlumo import Experiment, SimpleExperiment

    exp = (SimpleExperiment if built_in else Experiment)("scalars", repo=repo).start()
    before = forget_peak()
    for i in range(number):
        exp.log({"loss": 2.3 / (1 + i / 1000)}, step=i)
    logging = peak() - before
    forget_peak()
    exp.end()
    return {"while logging": logging, "in end()": peak() - before}


def write_many(path: str, number: int) -> float:
    """The same of a loop that writes such lines and nothing else."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    before = forget_peak()
    for i in range(number):
        os.write(fd, f'{{"step":{i},"time":{i / 1e5:.3f},"loss":{2.3 / (1 + i / 1000)!r}}}\n'.encode())
    os.close(fd)
    return peak() - before


def forget_peak() -> float:
    """Reset the peak (proc_pid_clear_refs(5)); returns the memory in use, in MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def peak() -> float:
    return _status("VmHWM")


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) / 1024
