"""Sweeps: a command with many parameters, each a run with ``params.scan``; what has been done is not done again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gitlumo.adopting import SCAN
from gitlumo.condition import Compare
from gitlumo.errors import UsageError
from gitlumo.parameters import pairs, value_of
from gitlumo.rerun.many import Job
from gitlumo.rerun.overrides import override
from gitlumo.rerun.space import Point, text
from gitlumo.store.columns import PARAMS, Column, flat, same
from gitlumo.watcher import Row, Selection

_SETTLED = ("finished", "running")


@dataclass(frozen=True)
class Sweep:
    """A command that is to run with many parameters.

    Attributes:
        name: What ``params.scan`` says.
        words: The command line.
        options: Further options of ``git lumo run`` for each run.
    """

    name: str
    words: Sequence[str]
    options: Sequence[str] = ()

    def job(self, point: Point, more: Mapping[str, str] | None = None) -> Job:
        """What runs one point; ``more`` is recorded beside its parameters."""
        told = {SCAN: self.name, **point, **(more or {})}
        given = [word for name, value in told.items() for word in ("--set", f"{name}={value}")]
        words = ("run", "-q", *given, *self.options, "--", *self.command(point))
        called = next(text([{**point, **(more or {})}]))
        return Job(called, words, f"{self.name}\n{called}")

    def command(self, point: Point) -> list[str]:
        """The command line of one point: each parameter where it is already, else added in the command's style."""
        return override(list(self.words), {}, point)[0]


def runs_of(name: str, selection: Selection) -> list[Row]:
    """The runs of a sweep, the newest first."""
    return list(selection.rows(Compare(f"{PARAMS}{SCAN}", "=", value_of(name))))


def outstanding(points: Iterable[Point], rows: Sequence[Row]) -> list[Point]:
    """The points for which no run has finished or goes on.

    Args:
        points: All of a sweep.
        rows: Its runs; see :func:`runs_of`.
    """
    settled = [row.columns for row in rows if row.columns.get("state") in _SETTLED]
    return [point for point in points if not any(_is_at(run, point) for run in settled)]


def _is_at(run: dict[str, Column], point: Point) -> bool:
    wanted = flat(pairs([f"{name}={value}" for name, value in point.items()], "--grid"))
    return all(_alike(run.get(f"{PARAMS}{name}"), value) for name, value in wanted.items())


def _alike(there: Column, wanted: Column) -> bool:
    """Whether a run recorded a value; a script may have made a float of an integer."""
    numbers = all(type(value) in (int, float) for value in (there, wanted))
    return there == wanted if numbers else same(there, wanted)


def check(sweep: Sweep, points: Sequence[Point]) -> None:
    """See that the command can be given the parameters.

    Raises:
        UsageError: If it cannot, or one of them is the sweep's name.
    """
    if points and SCAN in points[0]:
        raise UsageError(f"{SCAN} is the name of the sweep, -n; call the parameter something else")
    for point in points[:1]:
        sweep.command(point)
