"""``git lumo notes``: let ``git log --notes=lumo`` say which runs each commit had."""

from __future__ import annotations

import argparse

from gitlumo import wording
from gitlumo.cli.opening import open_here
from gitlumo.cli.terminal import printable
from gitlumo.errors import LumoError


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("--rebuild", action="store_true", help="make them of nothing, instead of what has changed")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")


def run(args: argparse.Namespace) -> int:
    """Update them, and say so."""
    from gitlumo.share import noting

    opened = open_here()
    noted = noting.update(opened.ledger, anew=args.rebuild)
    if noted is None:
        raise LumoError("there are no runs yet of which notes could tell\nrecord one:  git lumo run -- COMMAND")
    if args.quiet:
        return 0
    place = f"{noting.REF} at {noted.after[:12]}"
    if noted.before == noted.after:
        print(printable(f"up to date: {place}"))
    else:
        print(printable(f"{place}: {wording.count(noted.commits, 'commit')} noted anew"))
        print('  (read them with "git log --notes=lumo")')
    return 0
