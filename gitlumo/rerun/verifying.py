"""Whether two runs reached the same: their metrics, compared within a tolerance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitlumo.store.columns import of_the_run

RTOL, ATOL = 1e-5, 1e-8  # as numpy.allclose: what other orders of adding up differ by
_NUMBERS = ("last", "min", "max", "best")


@dataclass(frozen=True)
class Difference:
    """One number that is not the same.

    Attributes:
        metric: Of which metric.
        what: ``last``, ``min``, ``max``, ``best``, or ``count``.
        then: The first run's; None: it has no such metric.
        now: The second's.
    """

    metric: str
    what: str
    then: float | int | None
    now: float | int | None


@dataclass(frozen=True)
class Verdict:
    """What a comparison has found.

    Attributes:
        metrics: Which metrics were compared.
        differences: What is not the same.
        rtol: How far two numbers may be apart, as a part of the first.
        atol: And how far whatever they are.
    """

    metrics: list[str]
    differences: list[Difference]
    rtol: float
    atol: float

    @property
    def same(self) -> bool:
        """Whether all is the same, and there was something to compare."""
        return bool(self.metrics) and not self.differences

    def record(self) -> dict[str, Any]:
        """As the ledger keeps it."""
        differs: dict[str, dict[str, list[float | int | None]]] = {}
        for one in self.differences:
            differs.setdefault(one.metric, {})[one.what] = [one.then, one.now]
        return {"same": self.same, "metrics": self.metrics, "differs": differs, "rtol": self.rtol, "atol": self.atol}


def compare(
    then: Mapping[str, Mapping[str, Any]],
    now: Mapping[str, Mapping[str, Any]],
    wanted: Sequence[str] = (),
    rtol: float = RTOL,
    atol: float = ATOL,
) -> Verdict:
    """Compare the metrics of two runs: the last, least, greatest and best value of each, and how many there are.

    Two numbers are the same if ``|then - now| <= atol + rtol * |then|``, if both are NaN, or the same infinity.

    Args:
        then: The first run's, as :attr:`gitlumo.Experiment.metrics` has them.
        now: The second's.
        wanted: Which ones; none: all that one of them has, but for those of the machine.
        rtol: See above.
        atol: See above.
    """
    names = list(dict.fromkeys(wanted)) or sorted(of_the_run({**then, **now}))
    differences = []
    for name in names:
        a, b = then.get(name), now.get(name)
        if a is None or b is None:
            last_a, last_b = (one.get("last") if one else None for one in (a, b))
            differences.append(Difference(name, "last", last_a, last_b))
            continue
        for what in _NUMBERS:
            if not _alike(a.get(what), b.get(what), rtol, atol):
                differences.append(Difference(name, what, a.get(what), b.get(what)))
        if a.get("count") != b.get("count"):
            differences.append(Difference(name, "count", a.get("count"), b.get("count")))
    return Verdict(names, differences, rtol, atol)


def _alike(a: Any, b: Any, rtol: float, atol: float) -> bool:
    if not all(isinstance(value, (int, float)) for value in (a, b)):
        return a is b
    if a == b:
        return True
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    if math.isinf(a) or math.isinf(b):
        return False
    try:
        return bool(abs(a - b) <= atol + rtol * abs(a))
    except OverflowError:  # an integer that is greater than any float
        return False
