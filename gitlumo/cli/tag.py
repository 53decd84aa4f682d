"""``git lumo tag``: list a run's tags, add some, or remove some."""

from __future__ import annotations

import argparse

from gitlumo import arguments
from gitlumo.cli.edits import find, say
from gitlumo.cli.terminal import printable
from gitlumo.errors import LumoError, UsageError


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("exp", metavar="EXP", help="the run")
    parser.add_argument("tags", metavar="TAG", nargs="*", help="tags to add, a + in front or not; none: list them")
    parser.add_argument("-d", "--delete", metavar="TAG", nargs="+", action="extend", default=[], help="tags to remove")


def run(args: argparse.Namespace) -> int:
    """List or change them."""
    from gitlumo.editing import TAG, edit_run, retag, told

    add, remove = ([tag.removeprefix("+") for tag in tags] for tags in (args.tags, args.delete))
    arguments.check_tags(add)  # whatever is there can be removed
    both = set(add) & set(remove)
    if both:
        raise UsageError(f"'{min(both)}' is to be added and to be removed")
    target = find(args.exp)
    there = target.run.edited["tags"]
    unknown = [tag for tag in remove if tag not in there]
    if unknown:
        raise LumoError(f"{target.label} has no tag '{unknown[0]}'; it has: {', '.join(there) or 'none'}")
    if not (add or remove):
        for tag in there:
            print(printable(tag))
        return 0
    value = retag(target.run, add, remove)
    if value["add"] or value["remove"]:
        edit_run(target.ledger, target.run, TAG, value)
        say(f"{target.label}: tags {told(TAG, value)}", undo=target.label)
    else:
        say(f"{target.label}: has {', '.join(add)} already")
    return 0
