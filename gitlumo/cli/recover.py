"""``git lumo recover``: publish what dead runs left, and bring back a ledger that was deleted."""

from __future__ import annotations

import argparse
import sys

from gitlumo.beginning import roots
from gitlumo.cli.opening import Opened, open_here
from gitlumo.cli.terminal import printable
from gitlumo.errors import LumoError
from gitlumo.store.record import RUNNING
from gitlumo.store.recovery import recover_all
from gitlumo.store.register import open_runs


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument(
        "--force",
        metavar="EXP",
        help="take this run for dead although its process cannot be seen here (it ran elsewhere, or before a restart)",
    )


def run(args: argparse.Namespace) -> int:
    """Recover, and say what was done."""
    opened = open_here()
    ledger = opened.ledger
    info_root = roots(opened.settings, ledger.lumo_dir)["info_root"]
    result = recover_all(ledger, info_root, _forced(opened, args.force))
    for line in result.published:
        print(printable(f"published {line}"))
    for line in result.troubles:
        print(f"warning: {printable(line)}", file=sys.stderr)
    if not result.published and not result.troubles:
        print("nothing to recover")
    return 0


def _forced(opened: Opened, name: str | None) -> str | None:
    if name is None:
        return None
    found = opened.runs().resolve(name)
    waiting = {run.uid for run in open_runs(opened.lumo_dir)}
    if found.record.state != RUNNING and found.record.uid not in waiting:
        raise LumoError(f"{found.label} is {found.record.state}, not running; there is nothing to force")
    return found.record.uid
