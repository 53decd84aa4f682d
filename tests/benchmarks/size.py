"""What runs and metrics take in the object database after git gc."""

from __future__ import annotations

import gzip
import os
import random
import subprocess
from collections import Counter
from pathlib import Path

from tests.benchmarks import ledgers, place
from tests.benchmarks.figures import Figure, Goal
from tests.benchmarks.place import git
from tests.benchmarks.timing import in_child

CACHES = ("commit-graph", ".rev", ".bitmap")  # which git makes of the objects, and anew where they are not there


def size(work: Path, quick: bool) -> list[Figure]:
    """Bytes a run without history, 1,000 in one day; and 10,000 scalars in one run."""
    number = 100 if quick else 1000
    repo = place.repository(work / "recorded")
    before = _stored(repo)
    in_child(record_runs, number, cwd=repo)
    figures = [_runs_figure(f"a run, {number:,} in one day", repo, before, number, Goal(most=2))]
    if not quick:
        repo = place.repository(work / "made")
        before = _stored(repo)
        ledgers.write(repo, 10_000, exp_names=["digits"], days=1, steps=0)
        git("repack", "-adfq", cwd=repo)  # fast-import's deltas are long chains, of which gc would keep all
        figures.append(_runs_figure("a run, 10,000 in one day (made)", repo, before, 10_000))
    repo = place.repository(work / "scalars")
    before = _stored(repo)
    in_child(record_scalars, 10_000, cwd=repo)
    history = b"".join(data for path, data in _files(repo) if "/history/" in path)
    took, beside = (_stored(repo) - before) / 1e6, len(gzip.compress(history)) / 1e6
    parts = {"history as it is": len(history) / 1e6}
    figures.append(Figure("10,000 scalars in one run", took, "MB", "gzip of history/", beside, Goal(most=0.2), parts))
    return figures


def record_runs(number: int) -> None:
    """Runs without history, through the real way of writing: SimpleExperiments, each in a process of its own."""
    from gitlumo import SimpleExperiment

    for i in range(number):
        child = os.fork()
        if child:
            if os.waitpid(child, 0)[1]:
                raise RuntimeError(f"run {i} failed")
            continue
        try:
            params = {
                "lr": 10 ** -(1 + i % 40 / 10),
                "depth": (18, 34, 50)[i % 3],
                "seed": i,
                "optim": {"name": "adam"},
            }
            SimpleExperiment("digits", params=params).start().end()
            _wait_for_children()
            os._exit(0)
        finally:
            os._exit(1)


def record_scalars(number: int) -> None:
    """One run that logs ``number`` scalars, noisy ones of full precision."""
    from gitlumo import SimpleExperiment

    dice = random.Random(1)
    with SimpleExperiment("digits", params={"lr": 0.1}) as exp:
        for step in range(number):
            exp.log({"loss": 2.3 / (1 + step / 100) + dice.gauss(0, 0.02)}, step=step)
    _wait_for_children()


def _wait_for_children() -> None:
    """Let a roll-up in the background end."""
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        return


def _runs_figure(name: str, repo: Path, before: int, number: int, goal: Goal | None = None) -> Figure:
    unpacked = sum(_object_files(repo).values()) - before
    whole = (_stored(repo) - before) / number
    caches = sum(size for kind, size in _object_files(repo).items() if kind in CACHES) / number
    took = whole / 1024
    content = b"".join(data for _, data in _files(repo))
    beside = len(gzip.compress(content)) / number / 1024
    parts = {"before git gc": _bytes(unpacked / number), "without git's caches": _bytes(whole - caches)} | _shares(
        repo, number
    )
    return Figure(name, took, "KB", "gzip of all its files", beside, goal, parts)


def _stored(repo: Path) -> int:
    """Bytes of the object database after ``git gc``."""
    git("reflog", "expire", "--expire=now", "--all", cwd=repo)
    git("gc", "--quiet", "--prune=now", cwd=repo)
    return sum(_object_files(repo).values())


def _object_files(repo: Path) -> Counter[str]:
    """Bytes of the object database by kind of file."""
    sizes: Counter[str] = Counter()
    for path in (repo / ".git/objects").rglob("*"):
        if path.is_file():
            sizes[path.suffix or path.name] += path.stat().st_size
    return sizes


def _files(repo: Path) -> list[tuple[str, bytes]]:
    """The ledger's files at its tip: path and content."""
    lines = git("ls-tree", "-r", "-z", ledgers.BRANCH, cwd=repo).split("\0")[:-1]
    named = [line.split("\t") for line in lines]
    ids = "".join(f"{about.split(' ')[2]}\n" for about, _ in named)
    command = ["git", "cat-file", "--batch"]
    out = subprocess.run(command, cwd=repo, input=ids.encode(), capture_output=True, check=True).stdout
    files, at = [], 0
    for _, path in named:
        end = out.index(b"\n", at)
        length = int(out[at:end].split(b" ")[2])
        files.append((path, out[end + 1 : end + 1 + length]))
        at = end + 2 + length
    return files


def _shares(repo: Path, number: int) -> dict[str, str]:
    """Objects and bytes a run, by kind of file and of object."""
    named = dict(
        line.partition(" ")[::2]
        for line in git("rev-list", "--objects", ledgers.BRANCH, "--not", "main", cwd=repo).split("\n")
    )
    form = "--batch-check=%(objectname) %(objecttype) %(objectsize:disk)"
    asked = "".join(f"{id}\n" for id in named)
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for line in git("cat-file", form, cwd=repo, stdin=asked.encode()).split("\n"):
        id, kind, length = line.split(" ")
        name = kind if kind == "commit" else f"{kind} {_kind(kind, named[id])}"
        counts[name] += 1
        sizes[name] += int(length)
    files = {f"files: {name}": _bytes(length / number) for name, length in _object_files(repo).most_common(4)}
    total, objects = sum(sizes.values()) / number, sum(counts.values()) / number
    shares = {
        name: f"{_bytes(length / number)} in {counts[name] / number:.3g} objects" for name, length in sizes.items()
    }
    largest = {name: shares[name] for name, length in sizes.most_common() if length / number >= 5}
    return files | {"objects": f"{_bytes(total)} in {objects:.3g} objects"} | largest


def _bytes(number: float) -> str:
    return f"{number:8.0f} bytes"


def _kind(kind: str, path: str) -> str:
    parts = path.split("/") if path else []
    if kind == "blob":
        return "/".join(parts[3 + parts[2].isdecimal() :])
    if len(parts) >= 3 and parts[2].isdecimal():
        return ("thousand", "run", "info")[len(parts) - 3] if len(parts) < 6 else parts[-1]
    return ("root", "exp_name", "day", "run", "info")[len(parts)] if len(parts) < 5 else parts[-1]
