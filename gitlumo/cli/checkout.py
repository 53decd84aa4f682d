"""``git lumo checkout``: the code of a run in a work tree of its own, to look around in."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from dataclasses import dataclass

from gitlumo.cli.opening import Opened, open_here
from gitlumo.cli.terminal import printable
from gitlumo.errors import GitError, LumoError
from gitlumo.git import worktree
from gitlumo.rerun.code import commit_of
from gitlumo.store.query import Found


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("exp", metavar="EXP", help="the run")
    parser.add_argument(
        "dir", metavar="DIR", nargs="?", help="a new or empty folder; none: one beside the repository, named after both"
    )
    parser.add_argument("--json", action="store_true", help="what was done, as one object")


def run(args: argparse.Namespace) -> int:
    """Make it, and say where it is and how it is removed."""
    opened = open_here()
    made = check_out(opened, opened.runs().resolve(args.exp), args.dir)
    if args.json:
        print(json.dumps(made.__dict__, indent=2))
        return 0
    for line in made.missing:
        print(f"warning: {printable(line)}", file=sys.stderr)
    print(f"{printable(made.path)}: the code of {printable(made.exp)}, {made.commit[:12]}")
    print(f'  (to remove it: "{printable(shlex.join(worktree.how_to_remove(made.path)))}")')
    return 0


@dataclass(frozen=True)
class CheckedOut:
    """A work tree that was made.

    Attributes:
        exp: Whose code.
        commit: Which.
        path: Where.
        missing: What could not be put there.
    """

    exp: str
    commit: str
    path: str
    missing: list[str]


def check_out(opened: Opened, found: Found, folder: str | None) -> CheckedOut:
    """Make a work tree of a run's code.

    Args:
        opened: The repository.
        found: The run.
        folder: Where; None: beside the repository.

    Raises:
        LumoError: If the code is not here, or something lies in the folder.
    """
    commit = commit_of(opened.branch, found)
    path = os.path.realpath(folder if folder is not None else _beside(opened, found))
    if os.path.lexists(path) and (not os.path.isdir(path) or os.listdir(path)):
        known = any(entry.path == path for entry in worktree.entries(opened.repository))
        remedy = f"; '{shlex.join(worktree.how_to_remove(path))}' removes it" if known else ""
        raise LumoError(f"{path} is there already, and not an empty folder\nname another folder{remedy}")
    if not os.path.lexists(path):  # somebody may have deleted an earlier one by hand
        worktree.remove(opened.repository, path)
    try:
        missing = worktree.add(opened.repository, path, commit)
    except OSError as error:
        raise GitError(f"{error.filename or path}: {error.strerror}") from None
    return CheckedOut(found.label, commit, path, missing)


def _beside(opened: Opened, found: Found) -> str:
    location = opened.repository.location
    top = location.work_tree or location.common_dir
    return f"{top.removesuffix('.git')}-{found.name}"
