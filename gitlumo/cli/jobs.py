"""Many runs at a time, as they are shown: a bar while they run, a table at the end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

from gitlumo import wording
from gitlumo.cli.terminal import align, bar, printable, shorten
from gitlumo.rerun.claims import Claims
from gitlumo.rerun.many import Done, Job, Launcher, Progress, Stop, run_all, telling
from gitlumo.store.columns import METRICS, SUFFIXES
from gitlumo.watcher import Row


def run(
    jobs: Iterable[Job], total: int, parallel: int, launcher: Launcher, claims: Claims | None = None
) -> tuple[list[Done], Stop]:
    """Run jobs, with a bar on a terminal, and say at the end what those that failed have said.

    Args:
        jobs: What to run.
        total: How many.
        parallel: How many at a time.
        launcher: What runs them.
        claims: Says which of them are still to be done; None: all.
    """
    progress = Progress(total)
    is_terminal = sys.stderr.isatty()
    if claims is not None:
        jobs, launcher = claims.still_due(jobs, progress.pass_over), _letting_go(launcher, claims)
    ended, stop = run_all(jobs, parallel, launcher, progress, _draw if is_terminal else lambda progress: None)
    if is_terminal:
        print("\r\033[K", end="", file=sys.stderr)
    if progress.passed_over:
        print(f"{progress.passed_over} others were done meanwhile, or go on, by another process", file=sys.stderr)
    for done in ended:
        if done.status and done.said:
            last = [line for line in done.said.splitlines() if line.strip()][-3:]
            print(f"{printable(done.job.name)}: {printable(' | '.join(last))}", file=sys.stderr)
    return ended, stop


def _letting_go(launcher: Launcher, claims: Claims) -> Launcher:
    return lambda jobs, parallel, stop: telling(launcher(jobs, parallel, stop), claims.let_go)


def _draw(progress: Progress) -> None:
    now = f": {', '.join(progress.running)}" if progress.running else ""
    line = f"{bar(progress.done, progress.total, progress.failed)}{now}"
    width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
    print(f"\r\033[K{shorten(printable(line), width - 1)}", end="", file=sys.stderr, flush=True)


def print_table(heads: Sequence[str], rows: Iterable[tuple[Sequence[str], Row | None]]) -> None:
    """Print a line a run: what was asked, then its name, state, duration and metrics."""
    listed = list(rows)
    names = sorted({name for _, row in listed if row for name in row.columns if _is_shown(name)})
    cells = [[*heads, "run", "state", "took", *(name.removeprefix(METRICS) for name in names)]]
    for asked, row in listed:
        found = row.columns if row else {}
        label = row.found.label if row else ""
        took = found.get("took")
        shown = [wording.span(took) if isinstance(took, (int, float)) else ""]
        shown += [wording.number(found[name]) if name in found else "" for name in names]
        cells.append([*map(printable, asked), printable(label), str(found.get("state") or "not run"), *shown])
    right = range(len(heads) + 2, len(cells[0]))
    for line in align(cells, right):
        print(line)


def _is_shown(name: str) -> bool:
    return name.startswith(METRICS) and not name.endswith(SUFFIXES)


def status_of(ended: Sequence[Done], stop: Stop) -> int:
    """The exit status of it all: 128 and the signal that stopped it, 1 if one failed, else 0."""
    if stop.number is not None:
        return 128 + stop.number
    return 1 if any(done.status for done in ended) else 0
