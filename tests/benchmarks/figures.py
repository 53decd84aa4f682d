"""What a case reports: a figure, its comparator's, and whether the goal is met."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Goal:
    """Bounds of which one is enough: on the figure, on what it is over its comparator, on the ratio of the two."""

    most: float | None = None
    over: float | None = None
    times: float | None = None

    def met(self, value: float, beside: float) -> bool:
        return (
            (self.most is not None and value <= self.most)
            or (self.over is not None and value - beside <= self.over)
            or (self.times is not None and value <= self.times * beside)
        )

    def text(self, unit: str) -> str:
        bounds = [
            None if self.most is None else f"<= {self.most:g} {unit}",
            None if self.over is None else f"<= {self.over:g} {unit} over",
            None if self.times is None else f"<= {self.times:g} x",
        ]
        return " or ".join(bound for bound in bounds if bound)


@dataclass(frozen=True)
class Figure:
    """One measured figure.

    Attributes:
        name: What was measured.
        value: In ``unit``.
        unit: us, ms, s, MB, KB, % of a core.
        comparator: What it is compared with.
        beside: The comparator's figure in the same unit.
        goal: None: there is none.
        parts: Where it goes, or what was measured besides: name to a number in the same unit, or to a text.
    """

    name: str
    value: float
    unit: str
    comparator: str
    beside: float
    goal: Goal | None = None
    parts: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        return self.value / self.beside if self.beside else None

    @property
    def met(self) -> bool | None:
        return self.goal.met(self.value, self.beside) if self.goal else None

    def facts(self) -> dict[str, Any]:
        """For ``--json``."""
        goal = self.goal.text(self.unit) if self.goal else None
        found = {"name": self.name, "value": self.value, "unit": self.unit, "comparator": self.comparator}
        return {**found, "beside": self.beside, "ratio": self.ratio, "goal": goal, "met": self.met} | (
            {"parts": dict(self.parts)} if self.parts else {}
        )

    def lines(self) -> Iterable[str]:
        """For people."""
        value, beside = (f"{short(number)} {self.unit}" for number in (self.value, self.beside))
        ratio = "-" if self.ratio is None or self.ratio >= 1000 else f"{self.ratio:.2f} x"
        goal = f"goal {self.goal.text(self.unit)}" if self.goal else "no goal"
        met = {True: "met", False: "MISSED", None: ""}[self.met]
        yield f"{self.name:34} {value:>10}   {self.comparator}: {beside}   {ratio}   {goal}   {met}".rstrip()
        for name, part in self.parts.items():
            yield f"  {name:32} {part if isinstance(part, str) else f'{short(part)} {self.unit}':>10}"


def short(number: float) -> str:
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.3g}"
