"""``git lumo verify``: did the rerun give the same? The verdict is recorded with the run."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gitlumo import values, wording
from gitlumo.cli.opening import open_here
from gitlumo.cli.terminal import align, printable
from gitlumo.errors import LumoError, UsageError
from gitlumo.rerun import verifying
from gitlumo.rerun.verifying import ATOL, RTOL, Verdict
from gitlumo.silence import is_silent
from gitlumo.store.record import RUNNING

if TYPE_CHECKING:
    from gitlumo.cli import edits

EPILOG = """\
Compared are the last, least, greatest and best value of each metric, and how many values there are: two numbers are the
same if |A - B| <= ATOL + RTOL * |A|. The exit status is 0 if all are, else 1.
"""


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EPILOG
    parser.add_argument("exp", metavar="EXP", help="the run")
    parser.add_argument("other", metavar="EXP2", nargs="?", help="the run to compare with; none: run EXP again")
    parser.add_argument("--metric", metavar="KEY", action="append", default=[], help="only this metric")
    parser.add_argument("--rtol", metavar="R", type=_tolerance, default=RTOL, help=f"relative tolerance ({RTOL:g})")
    parser.add_argument("--atol", metavar="A", type=_tolerance, default=ATOL, help=f"absolute tolerance ({ATOL:g})")
    parser.add_argument("--link", metavar="PATH", action="append", default=[], help="as for git lumo rerun")
    parser.add_argument("--env", choices=["uv", "venv"], help="as for git lumo rerun")
    parser.add_argument("--python", metavar="PATH", help="as for git lumo rerun")
    parser.add_argument("-q", "--quiet", action="store_true", help="print the verdict only")
    parser.add_argument("--json", action="store_true", help="the verdict as one object")


def run(args: argparse.Namespace) -> int:
    """Compare, record the verdict, and print it."""
    from gitlumo.cli import edits
    from gitlumo.editing import RERUN, edit_run

    if args.other and (args.link or args.env or args.python):
        raise UsageError("EXP2 has run already: --link, --env and --python are for running EXP again")
    target = edits.find(args.exp)
    _check(target, args.metric)
    other = edits.find(args.other) if args.other else _again(target, args)
    if other.run.uid == target.run.uid:
        raise LumoError(f"{target.label} is the same run; leave out EXP2 to run it again")
    if other.run.state == RUNNING:
        raise LumoError(f"{other.label} is still running; wait for its end")
    then, now = target.run.metrics, other.run.metrics
    verdict = verifying.compare(then, now, args.metric, args.rtol, args.atol)
    edit_run(target.ledger, target.run, RERUN, {"uid": other.run.uid, "verified": verdict.record()})
    if args.json:
        facts_ = {"exp": target.label, "with": other.label, **verdict.record()}
        print(json.dumps(values.encode(facts_), indent=2, ensure_ascii=False))
    else:
        _print(target.label, other.label, verdict)
    return 0 if verdict.same else 1


def _check(target: edits.Target, wanted: Sequence[str]) -> None:
    """See that there is something to compare, before hours of running it again.

    Raises:
        LumoError: If there is not.
    """
    if target.run.state == RUNNING:
        raise LumoError(f"{target.label} is still running; wait for its end")
    there = target.run.metrics
    if not there:
        raise LumoError(f"{target.label} recorded no metrics, so there is nothing to compare")
    unknown = [name for name in wanted if name not in there]
    if unknown:
        raise LumoError(f"{target.label} has no metric {unknown[0]}; it has: {', '.join(sorted(there))}")


def _again(target: edits.Target, args: argparse.Namespace) -> edits.Target:
    """A new run of the same, with nothing changed."""
    from gitlumo.cli import edits
    from gitlumo.rerun import again, streams

    if is_silent(None):
        raise LumoError(f"{target.label} cannot be verified where nothing is recorded: LUMO_DISABLED, or a rank not 0")
    opened = open_here()
    found = opened.runs().resolve(target.run.uid)
    request = again.Request(
        links=args.link, build=args.env, python=args.python, quiet=args.quiet or args.json, repeats=True
    )

    def say(line: str) -> None:
        if not request.quiet:
            print(printable(line), file=sys.stderr)

    sys.stdout.flush()
    with streams.unheard(1) if request.quiet else contextlib.nullcontext():
        outcome, _ = again.rerun(opened.branch, found, request, None, 1, say)
    if outcome.uid is None or outcome.state != "finished":
        raise LumoError(
            f"{outcome.label}, which runs {found.label} again, {outcome.state}; "
            f"'git lumo show {outcome.label}' says more"
        )
    return edits.find(outcome.uid)


def _print(label: str, other: str, verdict: Verdict) -> None:
    count = len(verdict.metrics)
    if verdict.same:
        print(
            printable(
                f"{other} gives the same as {label}: {count} metric{'s' if count != 1 else ''} (rtol {verdict.rtol:g})"
            )
        )
        return
    print(printable(f"{other} does not give the same as {label}:"))
    rows = [["metric", "", "was", "is"]]
    for one in verdict.differences:
        rows.append([printable(one.metric), one.what, wording.number(one.then), wording.number(one.now)])
    for line in align(rows, (2, 3)):
        print(f"  {line}")


def _tolerance(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no tolerance; it is a number from 0")
    return value
