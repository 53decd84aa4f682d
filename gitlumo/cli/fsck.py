"""``git lumo fsck``: check every run against docs/format.md."""

from __future__ import annotations

import argparse

from gitlumo.cli.opening import open_here
from gitlumo.cli.terminal import printable
from gitlumo.store.check import check_ledger


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options: none."""


def run(args: argparse.Namespace) -> int:
    """Print what is wrong; 1 if anything is."""
    view = open_here().branch.view()
    runs, problems = check_ledger(view.objects, view.tree)
    for problem in problems:
        print(printable(problem))
    print(f"{runs} run{'s' if runs != 1 else ''} checked, {len(problems)} problem{'s' if len(problems) != 1 else ''}")
    return 1 if problems else 0
