"""``git lumo push``: share runs with a remote; what leaves this machine is shown first."""

from __future__ import annotations

import argparse

from gitlumo.cli.opening import open_here
from gitlumo.cli.terminal import printable
from gitlumo.cli.wire import show
from gitlumo.share import remotes
from gitlumo.share.exchange import push
from gitlumo.store.ledger import Ledger


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("remote", nargs="?", metavar="REMOTE", help="where to (lumo.remote, else origin)")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")


def run(args: argparse.Namespace) -> int:
    """Push, and say what was done."""
    opened = open_here()
    ledger = Ledger(opened.repository, opened.settings)
    pushed = push(ledger, remotes.choose(ledger, args.remote), lambda commit: None, show(args.quiet))
    if not args.quiet:
        print(printable(f"{pushed.remote.name}/{opened.settings.branch} at {pushed.after[:12]}"))
    return 0
