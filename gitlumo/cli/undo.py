"""``git lumo undo``: take the latest edit back, or bring it again."""

from __future__ import annotations

import argparse

from gitlumo import wording
from gitlumo.cli.edits import find, say
from gitlumo.cli.opening import open_here
from gitlumo.cli.terminal import shorten
from gitlumo.errors import LumoError

SHOWN = 60  # columns of a value


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument(
        "exp", metavar="EXP", nargs="?", help="the run, whoever edited it (of all runs: your own latest edit)"
    )
    parser.add_argument("--redo", action="store_true", help="undo the latest undo instead")


def run(args: argparse.Namespace) -> int:
    """Undo it, and say what it was."""
    from gitlumo.editing import last_edit, last_edited, told, undo

    opened = open_here()
    if args.exp is None:
        ledger, me = opened.ledger, opened.repository.identity[0]
        view = opened.branch.view()
        found = last_edited(view.objects, view.tree, view.tips.values(), me, redo=args.redo)
        if found is None:
            raise LumoError(f"there is no {_what(args.redo)} by {me}\nof others: git lumo undo EXP")
        record, edit = found
    else:
        target = find(args.exp, opened)
        ledger, record = target.ledger, target.run
        latest = last_edit(record, redo=args.redo)
        if latest is None:
            raise LumoError(f"{target.label} has no {_what(args.redo)}\ntype 'git lumo log --events' to see all edits")
        edit = latest
    gone = undo(ledger, record, edit)
    value = shorten(told(gone.kind, gone.value), SHOWN)
    state = "is back" if args.redo else "undone"
    again = "undo" if args.redo else "undo --redo"
    say(f"{record.name}: {gone.kind} {value} {state} (of {gone.by}, {wording.age(gone.at)})", record.name, again)
    return 0


def _what(redo: bool) -> str:
    return "undo that could be undone" if redo else "edit that could be undone"
