"""``git lumo doctor``: who does the work here, what is not well, and the command that mends it."""

from __future__ import annotations

import argparse
import json

from gitlumo.cli.health import Health, examine
from gitlumo.cli.opening import Opened
from gitlumo.cli.status import problem_lines
from gitlumo.cli.terminal import Screen, printable, screen
from gitlumo.config import Settings
from gitlumo.git.repository import open_repository


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("--json", action="store_true", help="all of it, as one object")


def run(args: argparse.Namespace) -> int:
    """Print it; 1 if something is not well."""
    repository = open_repository()
    opened = Opened(repository, Settings(repository.config))  # as they are: it says itself which make no sense
    health = examine(opened)
    with screen(opened.repository.config, opened.repository.git_args, paged=False) as out:
        if args.json:
            out.line(json.dumps(as_json(health), indent=2, sort_keys=True))
        else:
            _print(out, health)
    return 1 if health.problems else 0


def as_json(health: Health) -> dict[str, object]:
    """What ``--json`` prints."""
    found = {name: [vars(problem) for problem in getattr(health, name)] for name in ("problems", "notes")}
    return {"healthy": not health.problems, "facts": health.facts, **found}


def _print(out: Screen, health: Health) -> None:
    width = max(map(len, health.facts))
    for name, fact in health.facts.items():
        out.line(f"{out.paint(f'{name:{width}}', 'bold')}  {printable(fact)}")
    for heading, colour, problems in (("note", "yellow", health.notes), ("not well", "red", health.problems)):
        if problems:
            out.line(f"\n{out.paint(heading, colour)}")
        for problem in problems:
            for line in problem_lines(problem):
                out.line(line)
    if not health.problems:
        out.line("\nall is well")
