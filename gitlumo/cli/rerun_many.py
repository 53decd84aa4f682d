"""``git lumo rerun --where``: of the runs that are like that, those that were not redone, some at a time."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping

from gitlumo.cli import jobs
from gitlumo.cli.listing import Wanted, chosen
from gitlumo.cli.opening import Opened, open_here
from gitlumo.cli.terminal import printable
from gitlumo.errors import LumoError
from gitlumo.expression import parse
from gitlumo.rerun.claims import Claims
from gitlumo.rerun.lineages import Outstanding, newest_reruns, outstanding
from gitlumo.rerun.many import Job, run_here
from gitlumo.revisions import Revisions
from gitlumo.watcher import Selection


def run(args: argparse.Namespace, changes: Mapping[str, str]) -> int:
    """Run them again; 0 if all have finished."""
    opened = open_here()
    with Selection(opened.branch, opened.cache_root) as selection:
        left = _asked(opened, selection, args.where)
    if left.redone:
        print(f"{left.redone} of them are redone already, or go on now", file=sys.stderr)
    if not left.runs:
        print("no run is to run again", file=sys.stderr)
        return 0
    rows = {str(row.columns["uid"]): row for row in left.runs}
    names = {uid: row.found.label for uid, row in rows.items()}
    for label in names.values():
        print(printable(f"to run again: {label}"), file=sys.stderr)
    if args.dry_run:
        return 0
    words = [*(f"{name}={value}" for name, value in changes.items()), *_options(args)]
    todo = [Job(label, ["rerun", "-q", "-y", uid, *words], uid) for uid, label in names.items()]

    def is_due(job: Job) -> bool:
        with Selection(opened.branch, opened.cache_root) as selection:
            return bool(outstanding([rows[job.key]], selection).runs)

    ended, stop = jobs.run(todo, len(todo), args.jobs, run_here, Claims(opened.lumo_dir, is_due))
    with Selection(opened.branch, opened.cache_root) as selection:
        again = newest_reruns(list(names), selection)
        started = {done.job.name for done in ended}
        jobs.print_table(
            ["of"], [([label], again.get(uid) if label in started else None) for uid, label in names.items()]
        )
    if stop:
        print("stopped; the same command goes on with the rest", file=sys.stderr)
    return jobs.status_of(ended, stop)


def _asked(opened: Opened, selection: Selection, text: str) -> Outstanding:
    where = parse(text, selection, Revisions(opened.repository), time.time())
    left = outstanding(chosen(selection, Wanted(where)), selection)
    damaged = [row for row in left.runs if not row.columns.get("uid")]
    if damaged:
        raise LumoError(f"{damaged[0].found.label} is damaged; 'git lumo fsck' says how")
    return left


def _options(args: argparse.Namespace) -> list[str]:
    """The options that are for each of the runs."""
    words = [f"--{name}" for name in ("here", "strict") if getattr(args, name)]
    for name in ("seed", "repeat", "env", "python", "note"):
        value = getattr(args, name)
        words += [] if value is None else [f"--{name}={value}"]
    return words + [f"--{name}={value}" for name in ("link", "tag") for value in getattr(args, name)]
