"""A search with Optuna: the ledger is its memory, so it goes on where it was, on any machine that has the runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gitlumo.errors import LumoError
from gitlumo.parameters import value_of
from gitlumo.rerun.many import Job
from gitlumo.rerun.space import Axis, Choice, Interval, Point
from gitlumo.rerun.sweeping import Sweep
from gitlumo.store.columns import METRICS, PARAMS
from gitlumo.watcher import Row

if TYPE_CHECKING:
    import optuna

TRIAL = "trial"


class Search:
    """Asks for the next point, and is told what came of it."""

    def __init__(self, axes: Sequence[Axis], metric: str, *, minimize: bool, seed: int | None):
        """Begin.

        Args:
            axes: The space.
            metric: What is to become as great, or as small, as it can.
            minimize: Whether small.
            seed: The seed of the search itself.

        Raises:
            LumoError: If Optuna is not installed.
        """
        try:
            import optuna
        except ImportError:
            raise LumoError("a search needs Optuna; type: pip install 'gitlumo[optuna]'") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna, self._metric = optuna, metric
        self._space = {one.name: _distribution(one) for one in axes}
        sampler = optuna.samplers.TPESampler(seed=seed)
        self._study = optuna.create_study(direction="minimize" if minimize else "maximize", sampler=sampler)
        self._open: dict[str, optuna.trial.Trial] = {}
        self.numbers: dict[str, int] = {}

    def remember(self, rows: Sequence[Row]) -> int:
        """Take in the trials that are recorded already; returns how many.

        Args:
            rows: The runs of the sweep.
        """
        known = 0
        for row in rows:
            value = self.value_of(row)
            params = {name: row.columns.get(f"{PARAMS}{name}") for name in self._space}
            if value is None or any(param is None for param in params.values()):
                continue
            with contextlib.suppress(ValueError):  # outside of today's space
                trial = self._optuna.trial.create_trial(params=params, distributions=self._space, value=value)
                self._study.add_trial(trial)
                known += 1
        return known

    def value_of(self, row: Row) -> float | None:
        """What a run has reached; None where it did not finish, or has no such metric."""
        value = row.columns.get(f"{METRICS}{self._metric}")
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
        return float(value) if is_number and row.columns.get("state") == "finished" else None  # type: ignore[arg-type]

    def jobs(self, sweep: Sweep, first: int, count: int) -> Iterator[Job]:
        """What runs the next points, each drawn when it is asked for.

        Args:
            sweep: The command.
            first: The number of the first trial.
            count: How many.
        """
        for number in range(first, first + count):
            trial = self._study.ask(self._space)
            point: Point = {name: _written(trial.params[name]) for name in self._space}
            job = sweep.job(point, {TRIAL: str(number)})
            self._open[job.name] = trial
            self.numbers[job.name] = number
            yield job

    def tell(self, job: Job, row: Row | None) -> None:
        """Tell what came of a point.

        Args:
            job: What has run it.
            row: Its run; None: there is none.
        """
        value = self.value_of(row) if row else None
        state = self._optuna.trial.TrialState
        told = {"state": state.FAIL} if value is None else {"values": value}
        self._study.tell(self._open.pop(job.name), **told)


def _distribution(one: Axis) -> optuna.distributions.BaseDistribution:
    from optuna import distributions

    if isinstance(one, Choice):
        return distributions.CategoricalDistribution([value_of(value) for value in one.values])
    if isinstance(one, Interval) and one.kind == "int":
        return distributions.IntDistribution(int(one.low), int(one.high))
    return distributions.FloatDistribution(one.low, one.high, log=one.kind == "log")


def _written(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)
