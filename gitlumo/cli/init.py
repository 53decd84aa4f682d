"""``git lumo init``: make a repository ready for runs; repeated, it changes nothing."""

from __future__ import annotations

import argparse

from gitlumo.cli.opening import Opened, open_here
from gitlumo.cli.terminal import printable
from gitlumo.store import trees


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--hooks",
        action="store_true",
        help="let each git push share the runs, too (pre-push); in a bare repository guard the ledger (pre-receive)",
    )
    which.add_argument("--no-hooks", action="store_true", help="take that away again")


def run(args: argparse.Namespace) -> int:
    """Make it ready, and say what was done."""
    opened = open_here()
    print(printable(make_ready(opened)))
    if args.hooks or args.no_hooks:
        from gitlumo.cli import hooking

        print(
            printable(
                hooking.install(opened.repository) if args.hooks else hooking.remove(opened.repository), newlines=True
            )
        )
    return 0


def make_ready(opened: Opened) -> str:
    """Make the ledger's branch, or bring it up to what the remotes have.

    Returns:
        What was done, in a line.

    Raises:
        NotALedger: If the branch holds something else, or is checked out.
    """
    ledger = opened.ledger
    before, tips, lost = opened.repository.refs.read(opened.settings.ref), ledger.tips(), ledger.lost_tip()
    after = ledger.set_up()
    ledger.look_after()
    view = ledger.view()
    count = sum(1 for _ in trees.places(view.objects, view.tree))
    place = f"{opened.settings.branch} at {after[:12]} ({count} run{'s' if count != 1 else ''})"
    if before == after:
        return f"ready before: {place}"
    if lost:
        return f"brought back: {place}"
    sources = [name.removeprefix("refs/remotes/") for name in tips if name != opened.settings.ref]
    return f"{'joined' if before else 'made'} {place}{', from ' + ' and '.join(sources) if sources else ''}"
