"""How the runs of a repository are now: what 'git lumo status' prints, and 'git lumo doctor' looks at."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from gitlumo import machine, values
from gitlumo.cli.opening import Opened
from gitlumo.errors import FormatError, LumoError
from gitlumo.share.distance import Remote, distances
from gitlumo.store import register
from gitlumo.store.branch import View
from gitlumo.store.pending import Pending, last_heard, open_run
from gitlumo.store.query import Runs
from gitlumo.store.record import RUNNING, Record

LOOK_BACK = 30 * 86400.0


@dataclass(frozen=True)
class RunNow:
    """A run that is not done.

    Attributes:
        name: ``<exp_name>/<test_name>``.
        uid: Its uid.
        state: See :mod:`gitlumo.store.record`.
        host: Where it runs, None where that was not recorded.
        pid: Its process there.
        start: When it started, as recorded.
        ratio: The share that is done, from 0 to 1; None: it did not say.
        left: How many seconds it may still take, by that share; None: nobody can say.
        heard: When it last wrote, in seconds since 1970.
        metrics: The last value of each metric.
    """

    name: str
    uid: str
    state: str
    host: str | None
    pid: int | None
    start: str | None
    ratio: float | None
    left: float | None
    heard: float | None
    metrics: dict[str, int | float]


@dataclass(frozen=True)
class Problem:
    """What is not well, and the command, or the words, that mend it."""

    what: str
    mend: str


@dataclass
class Status:
    """What there is to say of a repository now.

    Attributes:
        branch: The ledger's branch.
        tip: Where it is; None: there is no local one.
        running: Runs of this machine.
        elsewhere: Runs that nobody here may judge: other hosts', other clones', those of before a restart.
        dead: Runs whose process is gone, which 'recover' publishes.
        ended: Runs that have ended and could not be published.
        remotes: The remotes' ledgers.
        problems: What is damaged.
    """

    branch: str
    tip: str | None
    running: list[RunNow] = field(default_factory=list)
    elsewhere: list[RunNow] = field(default_factory=list)
    dead: list[RunNow] = field(default_factory=list)
    ended: list[RunNow] = field(default_factory=list)
    remotes: list[Remote] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def status_of(opened: Opened, now: float | None = None) -> Status:
    """Look at a repository; writes nothing."""
    now = time.time() if now is None else now
    branch, repository = opened.branch, opened.repository
    status = Status(opened.settings.branch, repository.refs.read(opened.settings.ref))
    _add_registered(opened, status, now)
    try:
        view = branch.view()
        status.remotes = list(distances(repository, status.tip, view.tips, opened.settings.branch))
        registered = {run.uid for run in register.open_runs(branch.lumo_dir)}
        status.elsewhere += [run for run in _running_in(view, now) if run.uid not in registered]
    except LumoError as error:
        what, _, mend = str(error).partition("\n")
        status.problems.append(Problem(what, mend or "git fsck"))
    return status


def _add_registered(opened: Opened, status: Status, now: float) -> None:
    """Sort the runs of the register by what is to be done with them."""
    lumo_dir, here = opened.lumo_dir, machine.this_process(opened.settings.hostname)
    status.problems += _damaged_entries(lumo_dir)
    for entry in register.open_runs(lumo_dir):
        try:
            pending = open_run(entry, opened.settings.snapshot_max_file, here)
            if pending is None:
                continue  # its start was cut short, or is under way
            run = _run_now(pending.record, pending.record.name, last_heard(pending.folder), now)
        except (OSError, FormatError) as error:
            path = register.path_of(lumo_dir, entry.uid)
            if os.path.exists(path):  # else it has just been published
                status.problems.append(Problem(f"a run that cannot be published: {_said(error)}", _forget(path)))
            continue
        _group(status, pending).append(run)


def _group(status: Status, pending: Pending) -> list[RunNow]:
    if pending.final:
        return status.ended
    if pending.dead:
        return status.dead
    return status.elsewhere if pending.dead is None else status.running


def _damaged_entries(lumo_dir: str) -> Iterator[Problem]:
    folder = os.path.join(lumo_dir, "open")
    readable = {register.path_of(lumo_dir, run.uid) for run in register.open_runs(lumo_dir)}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        path = os.path.join(folder, name)
        if name.endswith(".json") and path not in readable and os.path.exists(path):
            yield Problem(f"the register has an entry that cannot be read: {path}", _forget(path))


def _forget(path: str) -> str:
    return f"rm {shlex.quote(path)}   # forgets the run; what its folder has stays there"


def _said(error: Exception) -> str:
    return f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)


def _running_in(view: View, now: float) -> Iterator[RunNow]:
    """Runs of the last month of which the ledgers know a start and no end."""
    since = values.time_text(now - LOOK_BACK)
    for found in Runs(view.objects, view.tree).newest():
        if found.start and found.start < since:
            return
        try:
            if found.record.state == RUNNING:
                found.record.check()
                heard = values.time_seconds(found.record.progress.get("last_edit_time"))
                yield _run_now(found.record, found.label, heard, now)
        except FormatError:
            continue  # 'git lumo fsck' says what is wrong


def _run_now(record: Record, name: str, heard: float | None, now: float) -> RunNow:
    progress, pinfo = record.progress, record.info("pinfo") or {}
    ratio, start = progress.get("ratio"), progress.get("start")
    ratio = ratio if isinstance(ratio, (int, float)) and 0 <= ratio <= 1 else None
    began = values.time_seconds(start)
    left = (now - began) * (1 - ratio) / ratio if ratio and began is not None else None
    metrics = {key: metric["last"] for key, metric in record.metrics.items() if metric.get("last") is not None}
    host, pid = pinfo.get("host"), pinfo.get("pid")
    return RunNow(name, record.uid, record.state, host, pid, start, ratio, left, heard, metrics)
