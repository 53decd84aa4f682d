"""How the runs of some commits did beside those of the commits below them: what a pull request is asked for."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gitlumo import values
from gitlumo.comparison import Difference, all_same, compare
from gitlumo.store.columns import flat, of_the_run
from gitlumo.store.record import FINISHED, Record

SEED = "seed"  # runs that differ in nothing else are one line
SURROUNDINGS = ("lock", "environment")
_NOT_TOLD = frozenset({"host", SEED})  # other machines and seeds are no surprise


@dataclass(frozen=True)
class Ran:
    """A run that a report tells of.

    Attributes:
        label: ``<exp_name>/<test_name>``.
        record: The run.
        head: The commit on which it ran; None where it does not say.
        state: Its state.
    """

    label: str
    record: Record
    head: str | None
    state: str


@dataclass(frozen=True)
class Spread:
    """A metric of some runs: the best value of each.

    Attributes:
        mean: Their mean.
        deviation: Their standard deviation; None of one value.
        count: How many runs have it.
    """

    mean: float
    deviation: float | None
    count: int


@dataclass
class Line:
    """Runs that are alike but for the seed.

    Attributes:
        runs: Their labels.
        states: State to how many are in it.
        params: Their parameters, without the seed.
        metrics: Metric to its spread.
        changes: Metric to how much greater it is than in the base, relative to that.
    """

    runs: list[str]
    states: dict[str, int]
    params: dict[str, Any]
    metrics: dict[str, Spread]
    changes: dict[str, float] = field(default_factory=dict)


@dataclass
class Section:
    """What is compared with each other: the runs of one experiment.

    Attributes:
        name: The exp_name; empty where runs were named one by one.
        base: The lines of the base.
        lines: The others.
        params: The parameters in which any of the lines differ.
        metrics: Metric to ``max``, ``min`` or None: which value is the better one.
        commit: The commit on which the base's runs ran; None where they were named, or there are none.
        surroundings: In what packages and machine of the first run differ from the base's.
    """

    name: str
    base: list[Line]
    lines: list[Line]
    params: list[str]
    metrics: dict[str, str | None]
    commit: str | None
    surroundings: list[Difference]


def by_commits(runs: Iterable[Ran], ours: Sequence[str], theirs: Sequence[str]) -> list[Section]:
    """A section for each experiment that ran on some commits.

    Its base are the finished runs of it on the newest one of the other commits that has any.

    Args:
        runs: All runs.
        ours: The commits that a report is of.
        theirs: Those that they are compared with, the newest first.
    """
    wanted, ranks = set(ours), {commit: rank for rank, commit in enumerate(theirs)}
    told: dict[str, list[Ran]] = {}
    before: dict[str, list[Ran]] = {}
    for run in runs:
        name = run.label.partition("/")[0]
        if run.head in wanted:
            told.setdefault(name, []).append(run)
        elif run.head in ranks and run.state == FINISHED:
            before.setdefault(name, []).append(run)
    sections = []
    for name in sorted(told):
        known = before.get(name, [])
        commit = min((run.head for run in known if run.head), key=ranks.__getitem__, default=None)
        sections.append(section(name, [run for run in known if run.head == commit], told[name], commit))
    return sections


def section(name: str, base: Sequence[Ran], runs: Sequence[Ran], commit: str | None = None) -> Section:
    """Compare runs with those of their base."""
    before, after = _lines(base), _lines(runs)
    for line in after:
        line.changes = dict(_changes(_match(line, before), line))
    every = [*before, *after]
    keys = dict.fromkeys(key for line in every for key in line.params)
    differing = [key for key in keys if not all_same(line.params.get(key) for line in every)]
    surroundings = _surroundings(base, runs)
    return Section(name, before, after, differing, _directions([*runs, *base]), commit, surroundings)


def _lines(runs: Sequence[Ran]) -> list[Line]:
    groups: dict[bytes, list[Ran]] = {}
    for run in runs:
        groups.setdefault(values.to_bytes(values.encode(_params(run.record))), []).append(run)
    lines = []
    for group in groups.values():
        metrics: dict[str, list[float]] = {}
        states: dict[str, int] = {}
        for run in group:
            states[run.state] = states.get(run.state, 0) + 1
            for key, summary in of_the_run(run.record.metrics).items():
                best = summary.get("best")
                if isinstance(best, (int, float)):
                    metrics.setdefault(key, []).append(best)
        spreads = {key: _spread(numbers) for key, numbers in metrics.items()}
        lines.append(Line([run.label for run in group], states, _params(group[0].record), spreads))
    return lines


def _params(run: Record) -> dict[str, Any]:
    found = flat(run.info("params"))
    return {key: value for key, value in found.items() if key.rpartition(".")[2] != SEED}


def _spread(numbers: Sequence[float]) -> Spread:
    try:
        mean = statistics.fmean(numbers)
        deviation = statistics.stdev(numbers) if len(numbers) > 1 and all(map(math.isfinite, numbers)) else None
    except (OverflowError, ValueError):  # an integer that is greater than any float; infinities of both signs
        return Spread(math.nan, None, len(numbers))
    return Spread(mean, deviation, len(numbers))


def _match(line: Line, base: Sequence[Line]) -> Line | None:
    """The line of the base with which one is compared: that of the same parameters, or the only one."""
    same = [other for other in base if other.params == line.params]
    return same[0] if same else base[0] if len(base) == 1 else None


def _changes(base: Line | None, line: Line) -> Iterable[tuple[str, float]]:
    for key, spread in line.metrics.items():
        there = base.metrics.get(key) if base else None
        if there and there.mean != 0:
            change = (spread.mean - there.mean) / abs(there.mean)
            if math.isfinite(change):
                yield key, change


def _directions(runs: Sequence[Ran]) -> dict[str, str | None]:
    """Each metric, and which value of it is the better one; None where runs do not say, or not the same."""
    found: dict[str, set[str | None]] = {}
    for run in runs:
        for key, summary in of_the_run(run.record.metrics).items():
            found.setdefault(key, set()).add(summary.get("cmp"))
    return {key: next(iter(said)) if len(said) == 1 else None for key, said in found.items()}


def _surroundings(base: Sequence[Ran], runs: Sequence[Ran]) -> list[Difference]:
    if not base or not runs:
        return []
    nothing: Callable[[str], str | None] = lambda commit: None  # noqa: E731
    found = compare([base[0].record, runs[0].record], nothing)
    return [each for each in found if each.section in SURROUNDINGS and each.key not in _NOT_TOLD]


def as_json(sections: Iterable[Section]) -> list[dict[str, Any]]:
    """The sections as JSON holds them."""
    return [
        {
            "exp": each.name,
            "base": {"commit": each.commit, "runs": [_line_json(line) for line in each.base]},
            "runs": [_line_json(line) for line in each.lines],
            "metrics": each.metrics,
            "surroundings": {
                part.key: [values.encode(part.values.get(i)) for i in (0, 1)] for part in each.surroundings
            },
        }
        for each in sections
    ]


def _line_json(line: Line) -> Mapping[str, Any]:
    def number(value: float | None) -> Any:
        return None if value is None else values.encode_number(value)

    metrics = {
        key: {"mean": number(each.mean), "std": number(each.deviation), "n": each.count}
        for key, each in line.metrics.items()
    }
    return {
        "runs": line.runs,
        "states": line.states,
        "params": values.encode(line.params),
        "metrics": metrics,
        "changes": line.changes,
    }
