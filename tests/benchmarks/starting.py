"""Imports, start and end, and the ledger's part in them."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks import ledgers, place
from tests.benchmarks.figures import Figure, Goal
from tests.benchmarks.tape import Tape
from tests.benchmarks.timing import in_child, interleaved, process, seconds

PARAMS = {"lr": 0.1, "depth": 50, "optim": {"name": "adam", "decay": 1e-4}}
FIRST_START = (
    "import sys, time\nsys.path.append(sys.argv[1])\nimport gitlumo\n"
    "exp = gitlumo.start('digits', {'lr': .1})\nprint(time.monotonic())\nexp.end()\n"
)


def imports(work: Path, quick: bool) -> list[Figure]:
    """``import gitlumo`` beside bare Python, whole processes; and the first start() of a fresh process."""
    rounds = 7 if quick else 41
    python = sys.executable
    whole = [process(python, "-c", line) for line in ("import gitlumo", "from gitlumo import start", "pass")]
    mine, used, bare = (median * 1e3 for median in interleaved(rounds, *whole))
    parts = {"from gitlumo import start": used}
    repo, packages = _dirty_repository(work)
    samples = []
    for i in range(3 if quick else 11):
        place.edit(repo, i)
        begun = time.monotonic()
        command = [python, "-c", FIRST_START, str(packages)]
        done = subprocess.run(command, cwd=repo, capture_output=True, text=True, check=True)
        samples.append(float(done.stdout) - begun)
    return [
        Figure("import gitlumo", mine, "ms", "python -c pass", bare, Goal(over=60), parts),
        Figure("first start(), Python included", statistics.median(samples) * 1e3, "ms", "python -c pass", bare),
    ]


def start_end(work: Path, quick: bool) -> list[Figure]:
    """start() and end() of a SimpleExperiment, warm: 1,000 files, 10 dirty, 1,000 runs, 200 packages."""
    repo, packages = _dirty_repository(work)
    found = in_child(start_and_end, str(packages), 5 if quick else 21, cwd=repo)
    parts: dict[str, float | str] = {name: value * 1e3 for name, value in found["parts"].items()}
    parts["git processes"] = " ".join(found["git"])
    figure = Figure(
        "start + end",
        found["mine"] * 1e3,
        "ms",
        "the same git processes bare",
        found["bare"] * 1e3,
        Goal(most=80),
        parts,
    )
    return [figure]


def event(work: Path, quick: bool) -> list[Figure]:
    """Ledger.publish alone, in a ledger of 1,000 runs, beside a bare write and fsync of two files of the same sizes."""
    return [*_events(work / "days", 10, Goal(most=3, over=3), quick), *_events(work / "day", 1, None, quick)]


def _events(work: Path, days: int, goal: Goal | None, quick: bool) -> list[Figure]:
    repo = place.repository(work)
    ledgers.write(repo, 1000, exp_names=["digits"], days=days)
    found = in_child(publish_beside_write, 7 if quick else 25, cwd=repo)
    return [
        Figure(
            f"the ledger's part of {kind}" + ("" if days > 1 else ", 1,000 in one day"),
            found[kind][0] * 1e3,
            "ms",
            "write and fsync of pack and index",
            found[kind][1] * 1e3,
            goal,
            {"pack and index": f"{found[kind][2]:.0f} bytes"},
        )
        for kind in ("start", "end")
    ]


def _dirty_repository(work: Path) -> tuple[Path, Path]:
    repo = place.repository(work / "code", 1000, 20)
    place.soil(repo, 10)
    ledgers.write(repo, 1000, exp_names=["digits"], days=1)
    return repo, place.packages(work / "packages", 200)


def start_and_end(packages: str, rounds: int) -> dict[str, Any]:
    """Median seconds of start and end, of their parts, and of the same git processes bare."""
    from gitlumo import SimpleExperiment

    sys.path.append(packages)
    repo = Path.cwd()
    tape = Tape()
    samples: dict[str, list[float]] = {"start()": [], "end()": []}
    bare: list[float] = []
    with _watched(samples):
        for i in range(rounds + 2):
            place.edit(repo, i)
            with tape.recording() if i == 1 else contextlib.nullcontext():
                exp: Any = SimpleExperiment("digits", params=PARAMS)
                started = seconds(exp.start)
                for step in range(10):
                    exp.log({"loss": 1 / (1 + step)}, step=step)
                ended = seconds(exp.end)
            if i < 2:
                for found in samples.values():
                    found.clear()
                continue
            samples["start()"].append(started)
            samples["end()"].append(ended)
            place.edit(repo, 1)
            tape.prepare(".git/index")
            bare.append(seconds(tape.play))
            tape.clear()
    both = [a + b for a, b in zip(samples["start()"], samples["end()"], strict=True)]
    parts = {name: statistics.median(found) for name, found in samples.items() if found}
    return {"mine": statistics.median(both), "bare": statistics.median(bare), "parts": parts, "git": tape.words}


@contextlib.contextmanager
def _watched(samples: dict[str, list[float]]) -> Iterator[None]:
    """Note what each part of a start and an end takes."""
    from gitlumo import beginning, hooks
    from gitlumo.store.ledger import Ledger

    restore = []
    parts = [(beginning, "begin"), (Ledger, "publish"), (Ledger, "look_after")]
    parts += [(hook, stage) for hook in hooks.BUILT_IN for stage in ("on_start", "on_end") if stage in vars(hook)]
    for owner, name in parts:
        inner = getattr(owner, name)
        label = f"{owner.__name__.rpartition('.')[2]}.{name}"

        def timed(*args: Any, _inner: Any = inner, _label: str = label, **options: Any) -> Any:
            begun = time.perf_counter()
            try:
                return _inner(*args, **options)
            finally:
                kind = f" ({args[1].kind})" if _label == "Ledger.publish" else ""
                samples.setdefault(_label + kind, []).append(time.perf_counter() - begun)

        setattr(owner, name, timed)
        restore.append((owner, name, inner))
    try:
        yield
    finally:
        for owner, name, inner in restore:
            setattr(owner, name, inner)


def publish_beside_write(runs: int) -> dict[str, list[float]]:
    """Of start and end: median seconds of ``Ledger.publish``, of the bare writes, and how many bytes they write."""
    from gitlumo import SimpleExperiment
    from gitlumo.store.ledger import Ledger

    samples: dict[str, list[tuple[float, float, int]]] = {"start": [], "end": []}
    publish = Ledger.publish

    def timed(self: Ledger, event: Any) -> str:
        begun = time.perf_counter()
        tip = publish(self, event)
        took = time.perf_counter() - begun
        sizes = _last_pack(Path(".git/objects/pack"))
        samples[event.kind].append((took, seconds(lambda: _write(sizes)), sum(sizes)))
        return tip

    Ledger.publish = timed  # type: ignore[method-assign]
    try:
        for i in range(runs + 1):
            with SimpleExperiment("digits", params=PARAMS | {"seed": i}) as exp:
                for step in range(10):
                    exp.log({"loss": 1 / (1 + step)}, step=step)
    finally:
        Ledger.publish = publish  # type: ignore[method-assign]
    medians = {
        kind: [statistics.median(column) for column in zip(*rows[1:], strict=True)] for kind, rows in samples.items()
    }
    assert set(map(len, medians.values())) == {3}
    return medians


def _last_pack(folder: Path) -> list[int]:
    pack = max(folder.glob("*.pack"), key=lambda path: path.stat().st_mtime_ns)
    return [path.stat().st_size for path in (pack, pack.with_suffix(".idx"))]


def _write(sizes: list[int]) -> None:
    """Two new files of these sizes in the same file system; they stay: ext4 is slow where files were deleted."""
    for size in sizes:
        fd = os.open(f".git/lumo/bare-{os.urandom(8).hex()}", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(fd, bytes(size))
        os.fsync(fd)
        os.close(fd)
