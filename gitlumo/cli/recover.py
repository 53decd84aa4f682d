"""``git lumo recover``: publish what dead runs left, and bring back a ledger that was deleted."""

from __future__ import annotations

import argparse

from gitlumo.cli.opening import open_here
from gitlumo.cli.terminal import printable
from gitlumo.errors import LumoError
from gitlumo.store.ledger import Ledger


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
    ledger = Ledger(opened.repository, opened.settings)
    for line in recovered(ledger, _forced(args.force)):
        print(printable(line))
    return 0


def _forced(name: str | None) -> str | None:
    if name is None:
        return None
    found = open_here().runs().resolve(name)
    if found.record.state != "running":
        raise LumoError(f"{found.label} is {found.record.state}, not running; there is nothing to force")
    return found.record.uid


def recovered(ledger: Ledger, force: str | None) -> list[str]:
    """Do all that there is to do.

    Args:
        ledger: The ledger.
        force: The uid of a run to take for dead.

    Returns:
        What was done, a line each.
    """
    from gitlumo.beginning import roots
    from gitlumo.store import recovery

    done = []
    lost = ledger.lost_tip()
    if lost:
        ledger.take_in()
        done.append(f"brought {ledger.settings.branch} back at {lost[:12]}")
    done += [f"published {what}" for what in recovery.recover(ledger, force=force)]
    for pending in recovery.unpublished(ledger, roots(ledger.settings, ledger.lumo_dir)["info_root"]):
        recovery.publish(ledger, pending)
        done.append(f"published {pending.record.name} {pending.record.state}, which was only on this disk")
    ledger.look_after()
    return done or ["nothing to recover"]
