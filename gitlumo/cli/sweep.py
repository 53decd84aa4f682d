"""``git lumo sweep``: a command with many parameters, each a run; again, only what is not done."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence

from gitlumo import arguments
from gitlumo.cli import jobs
from gitlumo.cli.opening import Opened, natural, open_here
from gitlumo.cli.terminal import printable
from gitlumo.errors import UsageError
from gitlumo.parameters import pairs
from gitlumo.rerun import launchers, space, sweeping
from gitlumo.rerun.many import Done, Job, Launcher, Stop
from gitlumo.rerun.sweeping import Sweep
from gitlumo.store.columns import PARAMS
from gitlumo.watcher import Row, Selection

EPILOG = """\
Values are lists (lr=.1,.01), ranges of integers (seed=1..5) and, for --random and --optuna, log(A,B), uniform(A,B) and
int(A,B). Each parameter is replaced where the command has it, else added in the command's style (--k=v, --k v, k=v).
The runs have params.scan = NAME; called again, the same command runs what has not finished. Of the jobs that run at
once each has a number, $LUMO_SLOT, from 0: CUDA_VISIBLE_DEVICES can be that.
"""


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EPILOG
    parser.add_argument("-n", "--name", metavar="NAME", required=True, help="the sweep: params.scan of its runs")
    parser.add_argument("--grid", metavar="K=VALUES", action="append", default=[], help="all combinations of these")
    parser.add_argument("--random", metavar="N", type=natural, help="N points drawn from the values, not all")
    parser.add_argument("--seed", metavar="S", type=natural, help="what --random and --optuna draw by (0)")
    parser.add_argument("--optuna", metavar="K=VALUES", action="append", default=[], help="search these with Optuna")
    parser.add_argument("--metric", metavar="KEY", help="with --optuna: what is to be best")
    parser.add_argument("--trials", metavar="N", type=natural, default=50, help="with --optuna: how many runs (50)")
    parser.add_argument("--minimize", action="store_true", help="with --optuna: the least is best")
    parser.add_argument("-j", "--jobs", metavar="N", type=natural, default=1, help="N at a time")
    parser.add_argument("--launcher", choices=sorted(launchers.LAUNCHERS), default="local", help="what runs them")
    parser.add_argument("--launch", metavar="K=V", action="append", default=[], help="the launcher's own settings")
    parser.add_argument("--exp", metavar="NAME", help="the experiment; else as the script is called")
    parser.add_argument("--set", metavar="K=V", action="append", default=[], help="a parameter to record with each run")
    parser.add_argument("--tag", metavar="T", action="append", default=[], help="a tag for each run")
    parser.add_argument("--dry-run", action="store_true", help="print the plan, and run nothing")
    parser.add_argument("command", metavar="-- CMD", nargs=argparse.REMAINDER, help="the command and its arguments")


def run(args: argparse.Namespace) -> int:
    """Run it; 0 if all have finished."""
    words = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not words:
        raise UsageError("which command is to run? git lumo sweep -n NAME --grid K=VALUES -- CMD ARGS...")
    if bool(args.grid) == bool(args.optuna):
        raise UsageError("which parameters? --grid K=VALUES, or --optuna K=VALUES --metric KEY")
    arguments.check_tags(args.tag)
    pairs(args.set, "--set")
    axes = [space.axis(text, "--grid" if args.grid else "--optuna") for text in args.grid or args.optuna]
    space.check(axes)
    from gitlumo.rerun.programs import program_of

    program_of(words)
    opened = open_here()
    launcher = launchers.launcher(args.launcher, _settings(args.launch), _folder(opened, args.name))
    sweep = Sweep(args.name, words, _options(args))
    if args.optuna:
        return _search(args, opened, sweep, axes, launcher)
    points = list(space.grid(axes) if args.random is None else space.drawn(axes, args.random, args.seed or 0))
    sweeping.check(sweep, points)
    with Selection(opened.branch, opened.cache_root) as selection:
        left = sweeping.outstanding(points, sweeping.runs_of(args.name, selection))
    _print_plan(sweep, points, left)
    if args.dry_run or not left:
        return 0
    todo = {sweep.job(point): point for point in left}
    ended, stop = jobs.run(todo, len(todo), max(1, args.jobs), launcher)
    done_well = [todo[done.job] for done in ended if done.status == 0]
    unmet = _print_runs(opened, args.name, [one.name for one in axes], len(ended), done_well)
    for line in space.text(unmet):
        print(printable(f"warning: the run of {line} has not recorded its parameters so"), file=sys.stderr)
    return _end(ended, stop) or (1 if unmet else 0)


def _end(ended: Sequence[Done], stop: Stop) -> int:
    if stop:
        print("stopped; the same command goes on with the rest", file=sys.stderr)
    return jobs.status_of(ended, stop)


def _print_plan(sweep: Sweep, points: Sequence[space.Point], left: Sequence[space.Point]) -> None:
    done = f", of which {len(points) - len(left)} are done or go on" if len(left) < len(points) else ""
    print(printable(f"{sweep.name}: {len(points)} runs{done}"), file=sys.stderr)
    for line in space.text(left):
        print(printable(f"  {line}"), file=sys.stderr)


def _print_runs(
    opened: Opened, name: str, keys: Sequence[str], count: int, points: Sequence[space.Point] = ()
) -> list[space.Point]:
    """Print the runs that were made now, the newest of the sweep; returns points that none of it has recorded."""
    with Selection(opened.branch, opened.cache_root) as selection:
        rows = sweeping.runs_of(name, selection)
        jobs.print_table(keys, [([_param(row, key) for key in keys], row) for row in reversed(rows[:count])])
        return sweeping.outstanding(points, rows)


def _param(row: Row, key: str) -> str:
    value = row.columns.get(f"{PARAMS}{key}")
    return "" if value is None else str(value)


def _search(
    args: argparse.Namespace, opened: Opened, sweep: Sweep, axes: Sequence[space.Axis], launcher: Launcher
) -> int:
    from gitlumo.rerun.search import TRIAL, Search, telling

    if args.metric is None:
        raise UsageError("--optuna needs --metric KEY: what is to be best")
    search = Search(axes, args.metric, minimize=args.minimize, seed=args.seed)
    with Selection(opened.branch, opened.cache_root) as selection:
        rows = sweeping.runs_of(args.name, selection)
        known = search.remember(rows)
    first = 1 + max((n for row in rows if type(n := row.columns.get(f"{PARAMS}{TRIAL}")) is int), default=-1)
    count = max(0, args.trials - known)
    done = f", of which {known} are done" if known else ""
    print(printable(f"{args.name}: {args.trials} trials{done}, for the best {args.metric}"), file=sys.stderr)
    if args.dry_run or not count:
        return 0

    def tell(job: Job) -> None:
        with Selection(opened.branch, opened.cache_root) as selection:
            made = [row for row in sweeping.runs_of(args.name, selection)
                    if row.columns.get(f"{PARAMS}{TRIAL}") == search.numbers[job.name]]  # fmt: skip
        search.tell(job, made[0] if made else None)

    def launch(todo: Iterator[Job], parallel: int, stop: Stop) -> Iterator[Done | Job]:
        return telling(launcher(todo, parallel, stop), tell)

    ended, stop = jobs.run(search.jobs(sweep, first, count), count, max(1, args.jobs), launch)  # type: ignore[arg-type]
    _print_runs(opened, args.name, [one.name for one in axes], len(ended))
    return _end(ended, stop)


def _settings(words: Sequence[str]) -> dict[str, str]:
    for word in words:
        if "=" not in word:
            raise UsageError(f"--launch {word!r}: a setting is given as NAME=VALUE, such as timeout_min=60")
    return dict(tuple(word.split("=", 1)) for word in words)  # type: ignore[misc]


def _folder(opened: Opened, name: str) -> str:
    return os.path.join(opened.cache_root, "launched", name)


def _options(args: argparse.Namespace) -> list[str]:
    """The options of ``git lumo run`` for each of the runs."""
    words = ["--name", args.exp] if args.exp is not None else []
    words += [word for given in args.set for word in ("--set", given)]
    return words + [f"--tag={tag}" for tag in args.tag]
