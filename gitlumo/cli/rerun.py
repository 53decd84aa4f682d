"""``git lumo rerun``: run recorded runs again, with the code that they ran with."""

from __future__ import annotations

import argparse
import signal
import sys

from gitlumo import arguments
from gitlumo.cli.opening import natural, open_here, positive
from gitlumo.cli.run import end_as
from gitlumo.cli.terminal import printable
from gitlumo.errors import LumoError, UsageError
from gitlumo.store.query import Found
from gitlumo.store.record import RUNNING

EPILOG = """\
The recorded code runs in a work tree of its own, in the cache folder; yours is not touched. Parameters are replaced
where the command has them (--lr=0.1, --lr 0.1, lr=0.1), else added in its style. The exit status is the command's, and
1 if the new run has not recorded a parameter as it was asked for.
"""


_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)  # end --repeat; a lack of memory does not
INTERMIXED = True  # K=V may stand after options, too


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EPILOG
    parser.add_argument("exp", metavar="EXP", nargs="?", help="the run; with --where none")
    parser.add_argument("changes", metavar="K=V", nargs="*", help="a parameter's new value; argv[3]=V for a word")
    parser.add_argument("--where", metavar="EXPR", help="all runs that are like that, and not redone: 'state = failed'")
    parser.add_argument("-j", "--jobs", metavar="N", type=positive, default=1, help="with --where: N at a time")
    parser.add_argument("--seed", metavar="S", type=_seed, help="the seed; with --repeat the first of them")
    parser.add_argument("--repeat", metavar="N", type=positive, help="N runs, each with a seed of its own")
    parser.add_argument("--here", action="store_true", help="in your own work tree, with the code as it is there now")
    parser.add_argument(
        "--link", metavar="PATH", action="append", default=[], help="link a file or folder of your tree"
    )
    parser.add_argument("--strict", action="store_true", help="refuse where the environment is not the recorded one")
    parser.add_argument("--env", choices=["uv", "venv"], help="build the recorded packages into an environment")
    parser.add_argument("--python", metavar="PATH", help="the Python to run it with")
    parser.add_argument("--tag", metavar="T", action="append", default=[], help="a tag for the new runs")
    parser.add_argument("--note", metavar="TEXT", help="the note of the new runs")
    parser.add_argument("-n", "--dry-run", action="store_true", help="say what would run, and run nothing")
    parser.add_argument("-y", "--yes", action="store_true", help="ask nothing: also one that is running runs again")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but what the command prints")


def run(args: argparse.Namespace) -> int:
    """Run it again; the status is the command's."""
    from gitlumo.rerun import again

    if args.where is not None:
        from gitlumo.cli import rerun_many

        return rerun_many.run(args, _changes([*([args.exp] if args.exp is not None else []), *args.changes]))
    if args.exp is None:
        raise UsageError("which run is to run again? git lumo rerun EXP [K=V...], or --where EXPR")
    if args.jobs > 1:
        raise UsageError("-j is for many runs: --where EXPR")
    changes = _changes(args.changes)
    tags = [tag.removeprefix("+") for tag in args.tag]
    arguments.check_tags(tags)
    if args.here and args.link:
        raise UsageError("--link is for a work tree of its own; with --here it runs where those files are")
    request = again.Request(
        changes, args.seed, args.repeat, args.here, args.link, args.strict, args.env, args.python, tags, args.note,
        args.quiet,
    )  # fmt: skip
    opened = open_here()
    found = opened.runs().resolve(args.exp)
    found.record.check()
    _ask(found, args)

    def say(line: str) -> None:
        if not args.quiet:
            print(printable(line), file=sys.stderr)

    worst = 0
    for number, seed in enumerate(again.seeds(request), 1):
        if args.dry_run:
            again.rehearse(opened.branch, found, request, seed, say)
            continue
        outcome, unmet = again.rerun(opened.branch, found, request, seed, number, say)
        for line in unmet:
            print(f"warning: {printable(line)}", file=sys.stderr)
        worst = worst or outcome.status or (1 if unmet else 0)
        if (-outcome.status if outcome.status < 0 else outcome.status - 128) in _STOPS:
            break
    return end_as(worst)


def _changes(words: list[str]) -> dict[str, str]:
    changes: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise UsageError(f"{word!r}: a parameter's new value is given as NAME=VALUE, such as lr=0.1")
        if name in changes:
            raise UsageError(f"{name} is given twice")
        changes[name] = value
    return changes


def _ask(found: Found, args: argparse.Namespace) -> None:
    """See that a run which still goes on is meant."""
    if found.record.state != RUNNING or args.yes or args.dry_run:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise LumoError(f"{found.label} is running; with --yes it runs again all the same, beside the one that goes on")
    print(printable(f"{found.label} is running. Run it again beside that? [y/N] "), end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise LumoError("nothing was run")


def _seed(text: str) -> int:
    value = natural(text)
    if value >= 2**31:
        raise argparse.ArgumentTypeError(f"{text} is no seed that every library takes; it can be 0 to 2147483647")
    return value
