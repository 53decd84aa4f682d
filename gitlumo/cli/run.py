"""``git lumo run``: run any command as an experiment."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal

from gitlumo import arguments
from gitlumo.errors import UsageError
from gitlumo.parameters import pairs

EPILOG = """\
The command runs in this folder, with this terminal, and its exit status is that of git-lumo run; a signal that kills it
kills git-lumo, too. (As 'git lumo run', git stands in between: it dies of Ctrl-C at once, and turns a death by a signal
into a status of 128 and more.) Where what it wrote could not be passed on, as to a full disk, a status of 0 becomes 1.
A Python script in it that starts an experiment of gitlumo records this run. Programs in any language write metrics into
the file $LUMO_METRICS, an object of JSON a line: {"step": 3, "loss": 0.31}.
"""


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EPILOG
    parser.add_argument("-n", "--name", metavar="NAME", help="the experiment; else as the script is called")
    parser.add_argument("--set", metavar="K=V", action="append", default=[], help="a parameter to record")
    parser.add_argument("--tag", metavar="T", action="append", default=[], help="a tag for the run")
    parser.add_argument("--note", metavar="TEXT", help="the run's note")
    parser.add_argument(
        "--metric",
        metavar="REGEX",
        action="append",
        default=[],
        help="find metrics in what it prints: 'loss=(?P<loss>\\S+)', or a group for the name and one for the value",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print no report at the end")
    parser.add_argument("command", metavar="-- CMD", nargs=argparse.REMAINDER, help="the command and its arguments")


def run(args: argparse.Namespace) -> int:
    """Run it; the status is the command's."""
    words = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not words:
        raise UsageError("which command is to run? git lumo run [-n NAME] [--set K=V]... -- CMD ARGS...")
    tags = [tag.removeprefix("+") for tag in args.tag]
    arguments.check_tags(tags)
    params = pairs(args.set, "--set")
    from gitlumo.rerun.running import Task, run

    task = Task(words, args.name, params=params, tags=tags, note=args.note, patterns=args.metric, quiet=args.quiet)
    return end_as(run(task).status)


def end_as(status: int) -> int:
    """End as a command has ended: by the signal that killed it, without a core file of ours."""
    if status < 0:
        import resource

        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        with contextlib.suppress(OSError, ValueError):  # not one whose handling can be changed
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status if status >= 0 else 128 - status
