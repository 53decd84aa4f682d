"""In what runs differ: pure, over their records. What is equal in all of them is left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gitlumo.store.columns import PARAMS, columns_of, of_the_run
from gitlumo.store.record import Record

SECTIONS = ("params", "metrics", "lock", "environment", "command", "code")
_MACHINE = ("os", "arch", "cpu", "gpus", "gpu_driver")
_HOST, _COMMAND, _COMMIT = "host", "command", "git.commit"


@dataclass(frozen=True)
class Difference:
    """One thing in which some runs differ.

    Attributes:
        section: One of :data:`SECTIONS`.
        key: The parameter, the metric, the package, ...
        values: The value of each run that has it, by the run's place in the comparison.
        better: ``max`` or ``min`` where a metric says which value is the better one.
    """

    section: str
    key: str
    values: Mapping[int, Any] = field(hash=False)
    better: str | None = None

    @property
    def change(self) -> float | None:
        """How much greater a metric of the second of two runs is, relative to the first; None where that is nothing."""
        a, b = self.values.get(0), self.values.get(1)
        if self.section != "metrics" or a is None or b is None or a == 0:
            return None
        try:
            change = (b - a) / abs(a)
        except OverflowError:
            return None
        return float(change) if math.isfinite(change) else None


def compare(runs: Sequence[Record], tree_of: Callable[[str], str | None]) -> list[Difference]:
    """In what some runs differ, by section, then in the order of the first run that has it.

    Args:
        runs: The runs.
        tree_of: The tree of a commit, None where the commit is not here: equal trees are equal code.

    Raises:
        FormatError: If a run is damaged.
    """
    facts = [compared(run) for run in runs]
    directions = [{key: metric.get("cmp") for key, metric in run.metrics.items()} for run in runs]
    found = []
    for section in SECTIONS:
        for key in dict.fromkeys(key for each in facts for key in each[section]):
            values = {i: each[section][key] for i, each in enumerate(facts) if key in each[section]}
            seen: Iterable[Any] = values.values()
            if section == "code":
                seen = [tree_of(str(commit)) or commit for commit in values.values()]
            if len(values) < len(runs) or not all_same(seen):
                better = {each.get(key) for each in directions if key in each} if section == "metrics" else set()
                found.append(Difference(section, key, values, better.pop() if len(better) == 1 else None))
    return found


def compared(run: Record) -> dict[str, dict[str, Any]]:
    """What is compared of a run, by section; of a metric its best value.

    Raises:
        FormatError: If the run is damaged.
    """
    columns, lock = columns_of(run), dict(run.info("lock") or {})
    env = run.info("env")
    params = {key.removeprefix(PARAMS): value for key, value in columns.items() if key.startswith(PARAMS)}
    whole = run.info("params")
    if whole is not None and not isinstance(whole, Mapping):
        params = {"": whole}
    surroundings = {"python": lock.pop("python", None), "host": columns.get(_HOST)}
    machine = run.info("machine")
    surroundings |= {key: machine.get(key) for key in _MACHINE} if isinstance(machine, Mapping) else {}
    surroundings["seed"] = run.info("seed")
    surroundings |= dict(env) if isinstance(env, Mapping) else {}
    return {
        "params": params,
        "metrics": {key: metric.get("best") for key, metric in of_the_run(run.metrics).items()},
        "lock": lock,
        "environment": {key: value for key, value in surroundings.items() if value is not None},
        "command": {"": columns[_COMMAND]} if _COMMAND in columns else {},
        "code": {"": columns[_COMMIT]} if _COMMIT in columns else {},
    }


def all_same(values: Iterable[Any]) -> bool:
    """Whether all of some values are the same one."""
    first, *rest = values
    return all(same(first, value) for value in rest)


def same(a: Any, b: Any) -> bool:
    """Whether two recorded values are the same one: 1 is 1.0 but not true, NaN is NaN, also deep inside."""
    if _is_number(a) and _is_number(b):
        return bool(a == b or (a != a and b != b))
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and bool(a == b)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
