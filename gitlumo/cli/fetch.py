"""``git lumo fetch``: bring a remote's runs up to date here, and write no local branch."""

from __future__ import annotations

import argparse

from gitlumo.cli.opening import Opened, open_here
from gitlumo.cli.terminal import printable
from gitlumo.cli.wire import interruptible, show
from gitlumo.share import remotes
from gitlumo.share.exchange import Fetched, fetch


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("remote", nargs="?", metavar="REMOTE", help="from where (lumo.remote, else origin)")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("--json", action="store_true", help="what came, as one object")


def run(args: argparse.Namespace) -> int:
    """Fetch, and say what came."""
    opened = open_here()
    with interruptible("fetch"):
        fetched = fetch(opened, remotes.choose(opened, args.remote), show(args.quiet or args.json))
    if args.json:
        import json

        print(json.dumps(as_json(fetched), indent=2, sort_keys=True))
    elif not args.quiet:
        for line in told(opened, fetched):
            print(printable(line))
    return 0


def as_json(fetched: Fetched) -> dict[str, object]:
    """What ``--json`` prints."""
    return fetched._asdict() | {"remote": fetched.remote.name}


def told(opened: Opened, fetched: Fetched) -> list[str]:
    """What a fetch did, in lines."""
    name, branch = fetched.remote.name, opened.settings.branch
    if fetched.after is None:
        if fetched.before is None:
            return [f"{name} has no ledger yet; 'git lumo push {name}' makes it"]
        return [f"{name} has no ledger any more; what it had stays here, and 'git lumo push {name}' brings it back"]
    if fetched.before == fetched.after:
        return [f"{name} has nothing new: {name}/{branch} at {fetched.after[:12]}"]
    lines = [f"{name}/{branch} at {fetched.after[:12]}" + (f", was at {fetched.before[:12]}" if fetched.before else "")]
    if fetched.rewritten:
        lines.append(
            f"the branch was replaced there: what {fetched.before[:12] if fetched.before else ''} had and it no longer"
            " has stays here, and goes back with the next push"
        )
    return lines
