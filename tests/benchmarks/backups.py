"""Backups: an archive of large files beside tar and zstd, a bundle of some runs beside git's own of as many objects."""

from __future__ import annotations

import os
import random
import resource
import shutil
import statistics
import subprocess
import time
from pathlib import Path

from tests.benchmarks import ledgers, place
from tests.benchmarks.figures import Figure, Goal
from tests.benchmarks.metrics import forget_peak, peak
from tests.benchmarks.timing import in_child, seconds

MIB = 1024**2


def backups(work: Path, quick: bool) -> list[Figure]:
    """tar of 2 GB of blobs, its memory and its time; a bundle of 1,000 of 10,000 runs."""
    return [*_tar(work, quick), _bundle(work, quick)]


def _tar(work: Path, quick: bool) -> list[Figure]:
    size = 200 if quick else 2000
    free = shutil.disk_usage(work).free // MIB
    if free < 3 * size:
        raise RuntimeError(f"it needs {3 * size} MB of disk, and {free} are free")
    repo = place.repository(work / "tar")
    folder = in_child(record_blobs, size, cwd=repo)
    ours: list[dict[str, float]] = []
    theirs = list[dict[str, float]]()
    for i in range(3 if quick else 5):
        for subject in ("ours", "theirs") if i % 2 == 0 else ("theirs", "ours"):
            (work / "out.tar.zst").unlink(missing_ok=True)
            os.sync()
            if subject == "ours":
                ours.append(in_child(write_tar, str(work / "out.tar.zst"), cwd=repo))
            else:
                theirs.append(_pipe(Path(folder), work / "out.tar.zst"))
    took, beside = (statistics.median(each["seconds"] for each in each_of) for each_of in (ours, theirs))
    cpu, their_cpu = (statistics.median(each["cpu"] for each in each_of) for each_of in (ours, theirs))
    parts: dict[str, float | str] = {
        "CPU": f"{cpu:.2f} s, theirs {their_cpu:.2f}",
        "MB a second": f"{size / took:.0f}, theirs {size / beside:.0f}",
    }
    grown = max(each["grown"] for each in ours)
    name = f"tar.zst of {size:,} MB of blobs"
    return [
        Figure(name, took, "s", "tar | zstd, synced", beside, Goal(times=1 / 0.7), parts),
        Figure(f"{name}, memory", grown, "MB", "nothing", 0, Goal(most=64)),
    ]


def record_blobs(size: int) -> str:
    """A run with so many MB in its blob_dir, half of which compress, as weights do; returns the folder."""
    from gitlumo import Experiment

    dice = random.Random(1)
    with Experiment("digits") as exp:
        for i in range(4):
            with open(exp.mk_bpath(f"checkpoint{i}.bin"), "wb") as out:
                for _ in range(size // 4):
                    out.write(dice.randbytes(MIB // 2) + bytes(MIB // 2))
    return exp.blob_dir


def write_tar(path: str) -> dict[str, float]:
    """Seconds, CPU seconds, and by how many MB the peak of memory grows."""
    from gitlumo.backup import tar
    from gitlumo.cli.opening import open_here

    home = open_here()
    runs = list(home.runs().newest())
    before, begun, cpu = forget_peak(), time.perf_counter(), time.process_time()
    tar.write(home, runs, path, with_blob=True)
    return {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - cpu, "grown": peak() - before}


def _pipe(folder: Path, out: Path) -> dict[str, float]:
    """Seconds and CPU seconds of ``tar | zstd``, synced as ours is."""
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = 'tar -cf - . | zstd -q -3 -o "$0" && sync "$0"'
    subprocess.run(["sh", "-c", command, out], cwd=folder, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": time.perf_counter() - begun, "cpu": cpu}


def _bundle(work: Path, quick: bool) -> Figure:
    total, some = (1000, 100) if quick else (10_000, 1000)
    repo = place.repository(work / "bundle", files=100)
    ledgers.write(repo, total)
    place.git("gc", "-q", cwd=repo)
    in_child(write_bundle, str(work / "first.bundle"), some, cwd=repo)
    place.git("fetch", "-q", work / "first.bundle", f"{ledgers.BRANCH}:refs/bench", cwd=repo)
    ours, theirs = list[dict[str, float]](), list[float]()
    for i in range(3 if quick else 7):
        for subject in ("ours", "gits") if i % 2 == 0 else ("gits", "ours"):
            if subject == "ours":
                (work / "ours.bundle").unlink(missing_ok=True)
                ours.append(in_child(write_bundle, str(work / "ours.bundle"), some, cwd=repo))
            else:
                command = ("bundle", "create", "-q", work / "gits.bundle", "refs/bench", "main")
                theirs.append(seconds(lambda words=command: place.git(*words, cwd=repo)))
    parts: dict[str, float | str] = {
        "objects": f"{_objects(work / 'ours.bundle'):,}, git's {_objects(work / 'gits.bundle'):,}",
        "of it finding the runs": statistics.median(each["found"] for each in ours),
    }
    took = statistics.median(each["seconds"] for each in ours)
    name = f"bundle of {some:,} of {total:,} runs"
    return Figure(name, took, "s", "git bundle of the same objects", statistics.median(theirs), Goal(times=1.5), parts)


def write_bundle(path: str, some: int) -> dict[str, float]:
    """Seconds of a bundle of the newest runs, and those in which it is found which they are."""
    from gitlumo.backup import bundle
    from gitlumo.cli.opening import open_here

    home = open_here()
    begun = time.perf_counter()
    runs = [found for _, found in zip(range(some), home.runs().newest(), strict=False)]
    found = time.perf_counter() - begun
    bundle.write(home, runs, path)
    return {"seconds": time.perf_counter() - begun, "found": found}


def _objects(path: Path) -> int:
    data = path.read_bytes()
    at = data.index(b"\n\nPACK") + 2
    return int.from_bytes(data[at + 8 : at + 12], "big")
