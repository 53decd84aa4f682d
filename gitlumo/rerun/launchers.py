"""What runs the jobs of a sweep: a table of functions of one signature (:data:`gitlumo.rerun.many.Launcher`)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from gitlumo.errors import LumoError, UsageError
from gitlumo.parameters import value_of
from gitlumo.rerun.many import Done, Job, Launcher, Stop, run_here, run_one
from gitlumo.rerun.streams import unheard

_PAUSE = 0.2  # seconds between two looks at what runs elsewhere


def launcher(name: str, options: Mapping[str, str], folder: str) -> Launcher:
    """The launcher of this name.

    Args:
        name: One of :data:`LAUNCHERS`.
        options: Its settings, as its own documentation names them.
        folder: Where it may keep its files.

    Raises:
        UsageError: If it takes no such options.
        LumoError: If what it needs is not installed.
    """
    return LAUNCHERS[name](options, folder)


def _here(options: Mapping[str, str], folder: str) -> Launcher:
    if options:
        raise UsageError(f"--launcher local takes no options, but {next(iter(options))} was given")
    return run_here


def _submitit(name: str, cluster: str, options: Mapping[str, str], folder: str) -> Launcher:
    """Jobs of a cluster, by submitit: each waits in the cluster's queue, ``parallel`` of them at most at a time."""
    try:
        import submitit
    except ImportError:
        raise LumoError(f"--launcher {name} needs submitit; type: pip install 'gitlumo[slurm]'") from None
    try:
        executor = submitit.AutoExecutor(folder=os.path.join(folder, "%j"), cluster=cluster)
        executor.update_parameters(**{key: value_of(value) for key, value in options.items()})
    except (NameError, TypeError, RuntimeError, AssertionError) as error:
        raise UsageError(f"--launcher {name}: {error}") from None
    return partial(_by_submitit, executor)


def _by_submitit(executor: Any, jobs: Iterable[Job], parallel: int, stop: Stop) -> Iterator[Done | Job]:
    waiting, running = iter(jobs), list[tuple[Job, Any]]()
    is_over = is_cancelled = False
    while True:
        while len(running) < parallel and not is_over and not stop:
            job = next(waiting, None)
            if job is None:
                is_over = True
                break
            with unheard(2):  # submitit's own processes print tracebacks when they are cancelled
                running.append((job, executor.submit(run_one, job, {})))
            yield job
        if not running:
            return
        if stop and not is_cancelled:
            is_cancelled = True
            for _, submitted in running:
                submitted.cancel(check=False)
        for pair in [pair for pair in running if pair[1].done()]:
            running.remove(pair)
            yield _result(*pair, stop)
        time.sleep(_PAUSE)


def _result(job: Job, submitted: Any, stop: Stop) -> Done:
    if stop.number is not None and not submitted.paths.result_pickle.exists():  # submitit would wait 15 s for it
        return Done(job, 128 + stop.number, "cancelled")
    try:
        found = submitted.result()
    except Exception as error:  # whatever the cluster says
        return Done(job, 1, str(error)[-2000:])
    return Done(job, found.status, found.said)


LAUNCHERS: dict[str, Callable[[Mapping[str, str], str], Launcher]] = {
    "local": _here,
    "slurm": partial(_submitit, "slurm", "slurm"),
    "submitit": partial(_submitit, "submitit", "local"),
}
