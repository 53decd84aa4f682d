"""``git lumo branch``: a branch at the code of a run."""

from __future__ import annotations

import argparse
import os
import shlex

from gitlumo.cli.opening import open_here
from gitlumo.cli.terminal import printable
from gitlumo.errors import LumoError
from gitlumo.git import process
from gitlumo.rerun.code import commit_of


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("name", metavar="NAME", help="the new branch")
    parser.add_argument("exp", metavar="EXP", help="the run")
    parser.add_argument("-f", "--force", action="store_true", help="move the branch there if it exists, as git does")


def run(args: argparse.Namespace) -> int:
    """Make it, and say where it is."""
    opened = open_here()
    expanded = process.run([*opened.repository.git_args, "check-ref-format", "--branch", args.name]).out
    name = os.fsdecode(expanded).removesuffix("\n")
    if name.casefold() == opened.settings.branch.casefold():  # one file, where file systems do not tell them apart
        raise LumoError(f"{name} is the ledger of all runs; the branch of a run's code needs another name")
    found = opened.runs().resolve(args.exp)
    commit = commit_of(opened.branch, found)
    force = ["--force"] if args.force else []
    process.run([*opened.repository.git_args, "branch", "--quiet", "--no-track", *force, "--", name, commit])
    quoted = shlex.quote(printable(name))
    print(f"{printable(name)} is at {commit[:12]}, the code of {printable(found.label)}")
    print(f'  (use "git switch {quoted}" to work on it, "git branch -D {quoted}" to remove it)')
    return 0
