"""``git lumo status``: what runs now, what waits to be published, how far the remotes are, what is damaged."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from gitlumo import values, wording
from gitlumo.cli.now import Problem, RunNow, Status, status_of
from gitlumo.cli.opening import open_here, seconds
from gitlumo.cli.terminal import CLEAR, Screen, align, printable, screen, shorten
from gitlumo.store.record import RUNNING

REDRAW_SECONDS = 2.0
RECOVER = 'use "git lumo recover" to publish them'
GROUPS = {  # of Status: heading and hint
    "running": ("running", ""),
    "elsewhere": (
        "running elsewhere, as far as is known here",
        'if one is dead, where it ran: "git lumo recover --force EXP"',
    ),
    "dead": ("dead", RECOVER),
    "ended": ("ended, not published", RECOVER),
}


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("--json", action="store_true", help="all of it, as one object")
    parser.add_argument(
        "--watch",
        type=seconds,
        nargs="?",
        const=REDRAW_SECONDS,
        metavar="SECONDS",
        help="print it again each SECONDS (2), until Ctrl-C",
    )


def run(args: argparse.Namespace) -> int:
    """Print it, perhaps again and again."""
    if args.watch is None:
        _print(args.json)
        return 0
    while True:
        _print(args.json, clear=sys.stdout.isatty())
        sys.stdout.flush()
        time.sleep(args.watch)


def _print(as_object: bool, *, clear: bool = False) -> None:
    opened = open_here()
    try:
        status = status_of(opened)
        with screen(opened.repository.config, opened.repository.git_args, paged=False) as out:
            if clear:
                out.line(CLEAR + time.strftime("%H:%M:%S"))
            if as_object:
                out.line(json.dumps(as_json(status), indent=2, sort_keys=True))
            else:
                for line in _lines(out, status):
                    out.line(line)
    finally:
        opened.repository.close()


def as_json(status: Status) -> dict[str, Any]:
    """What ``--json`` prints: times as the format spells them."""
    groups = {group: getattr(status, group) for group in GROUPS}
    return {
        "ledger": {"branch": status.branch, "tip": status.tip},
        **{group: [_run_to_json(run) for run in runs] for group, runs in groups.items()},
        "remotes": [vars(remote) for remote in status.remotes],
        "problems": [vars(problem) for problem in status.problems],
    }


def _run_to_json(run: RunNow) -> dict[str, Any]:
    exp_name, _, test_name = run.name.partition("/")
    return {
        **{key: getattr(run, key) for key in ("uid", "state", "host", "pid", "start", "ratio")},
        "exp_name": exp_name,
        "test_name": test_name,
        "eta_seconds": None if run.left is None else round(run.left, 1),
        "last_heard": None if run.heard is None else values.time_text(run.heard),
        "metrics": {key: values.encode_number(value) for key, value in run.metrics.items()},
    }


def _lines(out: Screen, status: Status) -> Iterator[str]:
    yield from _ledger(out, status)
    for group in GROUPS:
        yield from _group_lines(out, group, getattr(status, group))
    if status.problems:
        yield ""
        yield out.paint("damaged", "red")
        for problem in status.problems:
            yield from problem_lines(problem)
    if not (status.problems or any(getattr(status, group) for group in GROUPS)):
        yield "nothing runs, nothing waits"


def problem_lines(problem: Problem) -> Iterator[str]:
    """A problem, and below it what mends it."""
    for line in problem.what.split("\n"):
        yield f"  {printable(line)}"
    for line in filter(None, problem.mend.split("\n")):
        yield f"    {printable(line)}"


def _ledger(out: Screen, status: Status) -> Iterator[str]:
    at = f"at {status.tip[:12]}" if status.tip else "not here yet (git lumo init)"
    yield f"ledger {out.paint(printable(status.branch), 'bold')} {at}"
    for remote in status.remotes:
        name = printable(remote.name)
        if remote.ahead is None or remote.behind is None:
            yield f"  {name}: git cannot compare with it (git lumo doctor)"
        elif remote.ref is None:
            yield f'  {name}: has no ledger, as far as is known here (use "git lumo push {name}")'
        elif remote.behind:
            ahead = f"{_count(remote.ahead)} to push, " if remote.ahead else ""
            yield f'  {name}: {ahead}{_count(remote.behind)} to take in (use "git lumo pull {name}")'
        elif remote.ahead:
            yield f'  {name}: {_count(remote.ahead)} to push (use "git lumo push {name}")'
        else:
            yield f"  {name}: up to date"


def _count(events: int) -> str:
    return f"{events} event{'s' if events != 1 else ''}"


def _group_lines(out: Screen, group: str, runs: list[RunNow]) -> Iterator[str]:
    if not runs:
        return
    heading, hint = GROUPS[group]
    yield ""
    yield out.paint(heading, "bold")
    if hint:
        yield f"  ({hint})"
    newest = sorted(runs, key=lambda run: run.start or "", reverse=True)
    columns = zip(*(map(printable, _row(run, group)) for run in newest), strict=True)
    for line in align([list(row) for row in zip(*filter(any, columns), strict=True)]):
        yield "  " + (shorten(line, out.width - 2) if out.width else line)


def _row(run: RunNow, group: str) -> list[str]:
    where = {"running": f"process {run.pid}", "elsewhere": f"on {run.host}" if run.host else ""}.get(group, "")
    share = f"{100 * run.ratio:.0f} %" if run.ratio else ""  # 0: it has not said one
    if group == "running" and run.left is not None:
        share = f"{share}, {wording.span(run.left)} left"
    heard = "never heard" if run.heard is None else f"last heard {wording.age(values.time_text(run.heard))}"
    numbers = " ".join(f"{key}={wording.number(value)}" for key, value in run.metrics.items())
    return [run.name, run.state if run.state != RUNNING else "", where, share, heard, numbers]
