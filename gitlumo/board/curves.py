"""The curves of a run: its history by metric."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from gitlumo.board.histories import curves_of
from gitlumo.board.thinning import kept
from gitlumo.store.record import Record


@dataclass
class Curve:
    """The values of one metric, in the order in which they were logged.

    Attributes:
        steps: The steps; not always ascending.
        times: Seconds since the run's start.
        values: What was logged; NaN and infinities among it.
        count: How many points there were before it was thinned.
    """

    steps: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    count: int = 0

    def thinned(self, most: int) -> Curve:
        """The curve with at most so many points; see :func:`gitlumo.board.thinning.kept`."""
        places = kept(self.values, most)
        if len(places) == len(self.values):
            return self
        steps, times = [self.steps[i] for i in places], [self.times[i] for i in places]
        return Curve(steps, times, [self.values[i] for i in places], self.count)


def curves(record: Record) -> dict[str, Curve]:
    """All curves of a run, by metric; torn lines of its history are passed over."""
    return {
        key: Curve([_whole(step) for step in each.step], list(each.time), list(each.value), len(each))
        for key, each in curves_of(record).items()
    }


def _whole(step: float) -> int:
    return int(step) if math.isfinite(step) else 0  # a stranger's, which no float holds
