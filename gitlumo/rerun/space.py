"""The space of a sweep's parameters: ``lr=.1,.01``, ``seed=1..5``, ``lr=log(1e-5,1e-1)``, ``x=uniform(0,1)``."""

from __future__ import annotations

import csv
import itertools
import math
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gitlumo.errors import UsageError

_RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)", re.ASCII)
_DRAWN = re.compile(r"(log|uniform|int)\(\s*([^,()]+)\s*,\s*([^,()]+)\s*\)")
MOST = 100_000

Point = dict[str, str]
"""A value, as it is written on a command line, for each parameter."""


@dataclass(frozen=True)
class Choice:
    """A parameter with some values."""

    name: str
    values: tuple[str, ...]

    def draw(self, source: random.Random) -> str:
        """One of them."""
        return source.choice(self.values)


@dataclass(frozen=True)
class Interval:
    """A parameter with values from ``low`` to ``high``: ``log`` evenly in the exponent, ``uniform``, or ``int``."""

    name: str
    kind: str
    low: float
    high: float

    def draw(self, source: random.Random) -> str:
        """One of them."""
        if self.kind == "int":
            return str(source.randint(int(self.low), int(self.high)))
        if self.kind == "log":
            return repr(math.exp(source.uniform(math.log(self.low), math.log(self.high))))
        return repr(source.uniform(self.low, self.high))


Axis = Choice | Interval


def axis(text: str, option: str) -> Axis:
    """A parameter's values.

    Args:
        text: ``NAME=VALUES``.
        option: What it was given to, for the error.

    Raises:
        UsageError: If it makes no sense.
    """
    name, equals, values = text.partition("=")
    if not name or not equals or not values:
        raise UsageError(f"{option} {text!r}: give a parameter and its values, such as lr=.1,.01")
    drawn, counted = _DRAWN.fullmatch(values), _RANGE.fullmatch(values)
    if drawn:
        return _interval(name, drawn[1], drawn[2], drawn[3], f"{option} {text!r}")
    if counted:
        low, high = int(counted[1]), int(counted[2])
        if not low <= high <= low + MOST:
            raise UsageError(f"{option} {text!r}: from {low} to {high} are no values, or too many")
        return Choice(name, tuple(str(i) for i in range(low, high + 1)))
    found = tuple(next(csv.reader([values], skipinitialspace=True)))  # "a,b" in quotes is one value
    twice = [value for value in found if found.count(value) > 1]
    if twice or "" in found:
        raise UsageError(
            f"{option} {text!r}: {twice[0]!r} is there twice" if twice else f"{option} {text!r}: empty value"
        )
    return Choice(name, found)


def _interval(name: str, kind: str, low: str, high: str, asked: str) -> Interval:
    try:
        a, b = (int(low), int(high)) if kind == "int" else (float(low), float(high))
    except ValueError:
        raise UsageError(f"{asked}: {low} and {high} are to be {'integers' if kind == 'int' else 'numbers'}") from None
    if not (math.isfinite(a) and math.isfinite(b) and a < b and (kind != "log" or a > 0)):
        raise UsageError(f"{asked}: it goes from a lesser number to a greater one{', both above 0' * (kind == 'log')}")
    return Interval(name, kind, a, b)


def check(axes: Sequence[Axis]) -> None:
    """See that each parameter is there once.

    Raises:
        UsageError: If one is not.
    """
    names = [one.name for one in axes]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{name} is given twice; give all its values at once: {name}=A,B")


def grid(axes: Sequence[Axis]) -> Iterator[Point]:
    """All combinations; the last parameter changes first.

    Raises:
        UsageError: If a parameter has no end of values, or there are too many combinations.
    """
    check(axes)
    endless = [one.name for one in axes if isinstance(one, Interval)]
    if endless:
        raise UsageError(f"{endless[0]} is an interval; '--random N' draws N values, --optuna searches it")
    choices = [one for one in axes if isinstance(one, Choice)]
    if math.prod(len(one.values) for one in choices) > MOST:
        raise UsageError(f"that are more than {MOST} combinations; '--random N' draws some of them")
    for values in itertools.product(*(one.values for one in choices)):
        yield dict(zip((one.name for one in choices), values, strict=True))


def drawn(axes: Sequence[Axis], count: int, seed: int) -> Iterator[Point]:
    """Some points, all different, the same for the same seed; fewer where there are not so many."""
    check(axes)
    source, seen = random.Random(seed), set[tuple[str, ...]]()
    most = math.prod(len(one.values) if isinstance(one, Choice) else MOST for one in axes)
    misses = 0
    while len(seen) < min(count, most) and misses < 100 * MOST:
        point = tuple(one.draw(source) for one in axes)
        if point in seen:
            misses += 1
            continue
        seen.add(point)
        yield dict(zip((one.name for one in axes), point, strict=True))


def text(points: Iterable[Point]) -> Iterator[str]:
    """Points for reading: ``lr=.1 wd=0``."""
    for point in points:
        yield " ".join(f"{name}={value}" for name, value in point.items())
