"""``git lumo sweep``: a command with many parameters, each a run; again, only what is not done."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence

from gitlumo import arguments, ids
from gitlumo.cli import jobs
from gitlumo.cli.opening import Opened, natural, open_here, positive
from gitlumo.cli.terminal import printable
from gitlumo.errors import UsageError
from gitlumo.parameters import pairs
from gitlumo.rerun import launchers, space, sweeping
from gitlumo.rerun.claims import Claims
from gitlumo.rerun.many import Done, Job, Launcher, Stop, telling
from gitlumo.rerun.sweeping import Sweep
from gitlumo.silence import is_silent
from gitlumo.store.columns import PARAMS
from gitlumo.watcher import Row, Selection

EPILOG = """\
Values are lists (lr=.1,.01), ranges of integers (seed=1..5) and, for --random and --optuna, log(A,B), uniform(A,B) and
int(A,B). Each parameter is replaced where the command has it, else added in the command's style (--k=v, --k v, k=v).
The runs have params.scan = NAME; called again, the same command runs what has not finished. Of the jobs that run at
once each has a number, $LUMO_SLOT, from 0: CUDA_VISIBLE_DEVICES can be that.
"""

_TRIALS = 50


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.epilog = EPILOG
    parser.add_argument("-n", "--name", metavar="NAME", required=True, help="the sweep: params.scan of its runs")
    parser.add_argument("--grid", metavar="K=VALUES", action="append", default=[], help="all combinations of these")
    parser.add_argument("--random", metavar="N", type=positive, help="N points drawn from the values, not all")
    parser.add_argument("--seed", metavar="S", type=natural, help="what --random and --optuna draw by (0)")
    parser.add_argument("--optuna", metavar="K=VALUES", action="append", default=[], help="search these with Optuna")
    parser.add_argument("--metric", metavar="KEY", help="with --optuna: what is to be best")
    parser.add_argument("--trials", metavar="N", type=natural, help=f"with --optuna: how many runs ({_TRIALS})")
    parser.add_argument("--minimize", action="store_true", help="with --optuna: the least is best")
    parser.add_argument("-j", "--jobs", metavar="N", type=positive, default=1, help="N at a time")
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
    _check(args)
    axes = [space.axis(text, "--grid" if args.grid else "--optuna") for text in args.grid or args.optuna]
    space.check(axes)
    from gitlumo.rerun.programs import program_of

    program_of(words)
    opened = open_here()
    launcher = launchers.launcher(args.launcher, _settings(args.launch), _folder(opened, args.name))
    sweep = Sweep(args.name, words, _options(args))
    if is_silent(None):
        print("nothing is recorded: LUMO_DISABLED is set, or a rank that is not 0", file=sys.stderr)
    if args.optuna:
        return _search(args, opened, sweep, axes, launcher)
    points = list(space.grid(axes) if args.random is None else space.drawn(axes, args.random, args.seed or 0))
    sweeping.check(sweep, points)
    rows = _rows(opened, sweep)
    left = sweeping.outstanding(points, rows)
    _print_plan(sweep, points, left)
    if args.dry_run or not left:
        return 0
    todo = {sweep.job(point): point for point in left}
    claims = Claims(opened.lumo_dir, lambda job: bool(sweeping.outstanding([todo[job]], _rows(opened, sweep))))
    ended, stop = jobs.run(todo, len(todo), args.jobs, launcher, claims)
    done_well = [todo[done.job] for done in ended if done.status == 0]
    now = _rows(opened, sweep)
    _print_runs(now, rows, axes)
    unmet = [] if is_silent(None) else sweeping.outstanding(done_well, now)
    for line in space.text(unmet):
        print(printable(f"warning: the run of {line} has not recorded its parameters so"), file=sys.stderr)
    return _end(ended, stop) or (1 if unmet else 0)


def _check(args: argparse.Namespace) -> None:
    """See that the options make sense, and are such as the others want.

    Raises:
        UsageError: If not.
    """
    if not args.name:
        raise UsageError("how is the sweep called? -n NAME; the same name goes on with it")
    searching = bool(args.optuna)
    for option, is_given, wanted in (
        ("--random", args.random is not None, not searching),
        ("--metric", args.metric is not None, searching),
        ("--trials", args.trials is not None, searching),
        ("--minimize", args.minimize, searching),
        ("--seed", args.seed is not None, searching or args.random is not None),
    ):
        if is_given and not wanted:
            raise UsageError(
                f"{option} is for {'--grid' if searching else '--optuna'}"
                + " --random N" * (option == "--seed" and not searching)
            )
    if args.exp is not None:
        ids.check_exp_name(args.exp)
    arguments.check_tags(args.tag)
    pairs(args.set, "--set")


def _rows(opened: Opened, sweep: Sweep) -> list[Row]:
    """The runs of a sweep, as the ledger has them now, the newest first."""
    with Selection(opened.branch, opened.cache_root) as selection:
        rows = sweeping.runs_of(sweep.name, selection)
        for row in rows:
            _ = row.columns  # are read when they are asked for
        return rows


def _end(ended: Sequence[Done], stop: Stop) -> int:
    if stop:
        print("stopped; the same command goes on with the rest", file=sys.stderr)
    return jobs.status_of(ended, stop)


def _print_plan(sweep: Sweep, points: Sequence[space.Point], left: Sequence[space.Point]) -> None:
    done = f", of which {len(points) - len(left)} are done or go on" if len(left) < len(points) else ""
    print(printable(f"{sweep.name}: {len(points)} runs{done}"), file=sys.stderr)
    for line in space.text(left):
        print(printable(f"  {line}"), file=sys.stderr)


def _print_runs(rows: Sequence[Row], before: Sequence[Row], axes: Sequence[space.Axis]) -> None:
    """Print the runs of a sweep that were not there before, the oldest first."""
    known = {row.columns.get("uid") for row in before}
    made = [row for row in reversed(rows) if row.columns.get("uid") not in known]
    jobs.print_table([one.name for one in axes], [([_param(row, one.name) for one in axes], row) for row in made])


def _param(row: Row, key: str) -> str:
    value = row.columns.get(f"{PARAMS}{key}")
    return "" if value is None else str(value)


def _search(
    args: argparse.Namespace, opened: Opened, sweep: Sweep, axes: Sequence[space.Axis], launcher: Launcher
) -> int:
    from gitlumo.rerun.search import TRIAL, Search

    if args.metric is None:
        raise UsageError("--optuna needs --metric KEY: what is to be best")
    trials = _TRIALS if args.trials is None else args.trials
    search = Search(axes, args.metric, minimize=args.minimize, seed=args.seed)
    rows = _rows(opened, sweep)
    known = search.remember(rows)
    first = 1 + max((n for row in rows if type(n := row.columns.get(f"{PARAMS}{TRIAL}")) is int), default=-1)
    count = max(0, trials - known)
    done = f", of which {known} are done" if known else ""
    print(printable(f"{args.name}: {trials} trials{done}, for the best {args.metric}"), file=sys.stderr)
    if args.dry_run or not count:
        return 0

    def tell(job: Job) -> None:
        number = search.numbers[job.name]
        made = (row for row in _rows(opened, sweep) if row.columns.get(f"{PARAMS}{TRIAL}") == number)
        search.tell(job, next(made, None))

    def launch(todo: Iterable[Job], parallel: int, stop: Stop) -> Iterator[Done | Job]:
        return telling(launcher(todo, parallel, stop), tell)

    with Claims(opened.lumo_dir, bool).alone(f"{args.name}\n{TRIAL}", f"the search {args.name}"):
        ended, stop = jobs.run(search.jobs(sweep, first, count), count, args.jobs, launch)
    _print_runs(_rows(opened, sweep), rows, axes)
    return _end(ended, stop)


def _settings(words: Sequence[str]) -> dict[str, str]:
    for word in words:
        if "=" not in word:
            raise UsageError(f"--launch {word!r}: a setting is given as NAME=VALUE, such as timeout_min=60")
    return dict(tuple(word.split("=", 1)) for word in words)  # type: ignore[misc]


def _folder(opened: Opened, name: str) -> str:
    return os.path.join(opened.cache_root, "launched", ids.key_to_filename(name))


def _options(args: argparse.Namespace) -> list[str]:
    """The options of ``git lumo run`` for each of the runs."""
    words = ["--name", args.exp] if args.exp is not None else []
    words += [word for given in args.set for word in ("--set", given)]
    return words + [f"--tag={tag}" for tag in args.tag]
