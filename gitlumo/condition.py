"""Conditions on runs: one tree of nodes for ``C['params.lr'] < .1`` and for the text ``params.lr < 0.1``.

:func:`test` is the meaning; :mod:`gitlumo.where` asks the same of the index. The rules:

- **A condition is true or false of each run, never unknown**, and ``!=`` is ``not =``: one of the two finds a run. So
  ``tag != best`` finds runs without any tag, as in pandas, Python and MongoDB, and unlike SQL. All other comparisons
  are false of a run that lacks the column. Null is lacking: ``missing(params.wd)`` is true where ``wd`` was None.
- **Numbers compare with numbers only**, exactly, as Python does (also integers beyond 2**63 with floats), texts with
  texts, by code point; true and false only for equality. What is of another type than asked for does not match. NaN
  equals nothing and has no order: ``not missing(loss) and not loss <= inf`` finds it.
- **A list matches if one of its elements does**: ``tag = best``, ``tag in (best, paper)``, ``tag ~ ^pap``.
  ``contains`` asks for an element of a list, for a part of a text.
- ``git.commit`` is also the commit on which a snapshot of a dirty work tree was made, because that one the user knows.
  ``metrics.acc.last`` (``.min``, ``.max``) is ``metrics.acc`` where only that is recorded: there they are the same.
"""

from __future__ import annotations

import datetime
import functools
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from gitlumo import times, values
from gitlumo.errors import InvalidValue
from gitlumo.matching import Literal, check, kind_of, literal_text, name_text, predicate
from gitlumo.store import columns

Run = Mapping[str, columns.Column]

ALSO = {"git.commit": ("git.commit", "git.head")}
ALIASES = {
    "exp_name": "exp",
    "test_name": "name",
    "tags": "tag",
    "commit": "git.commit",
    "branch": "git.branch",
    "duration": "took",
}


class Condition:
    """What a run fulfils or not; immutable. Its repr is what :func:`gitlumo.expression.parse` reads."""

    def __and__(self, other: Condition) -> Condition:
        return all_of([self, other]) if isinstance(other, Condition) else NotImplemented

    def __or__(self, other: Condition) -> Condition:
        return any_of([self, other]) if isinstance(other, Condition) else NotImplemented

    def __invert__(self) -> Condition:
        return self.part if isinstance(self, Not) else Not(self)

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "a condition is neither true nor false before a run is there: combine conditions with & and | and ~, each "
            "in parentheses, as in (C['params.lr'] < .1) & (C['state'] == 'finished'); not with and, or, not, 0 < x < 1"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))


@dataclass(frozen=True, eq=False, repr=False)
class Compare(Condition):
    """A column and a value.

    Attributes:
        column: The column's name.
        op: ``=``, ``<``, ``<=``, ``>``, ``>=``, ``~`` (a regular expression is found in it), ``contains``, ``in``.
        value: What with; for ``in`` a tuple.
    """

    column: str
    op: str
    value: Literal | tuple[Literal, ...]

    def __post_init__(self) -> None:
        for value in self.value if isinstance(self.value, tuple) else (self.value,):
            check(self.column, self.op, value)

    @functools.cached_property
    def holds(self) -> Callable[[object], bool]:
        """Whether it holds for a recorded value."""
        return predicate(self.op, self.value)

    def __repr__(self) -> str:
        if isinstance(self.value, tuple):
            return f"{name_text(self.column)} in ({', '.join(self._shown(item) for item in self.value)})"
        return f"{name_text(self.column)} {self.op} {self._shown(self.value)}"

    def _shown(self, value: Literal) -> str:
        return f"@{value!r}" if self.column in columns.TIMES else literal_text(value)


@dataclass(frozen=True, eq=False, repr=False)
class Missing(Condition):
    """A run has no such column, or null in it."""

    column: str

    def __repr__(self) -> str:
        return f"missing({name_text(self.column)})"


@dataclass(frozen=True, eq=False, repr=False)
class Not(Condition):
    """The other runs; made by ``~``."""

    part: Condition

    def __repr__(self) -> str:
        part = self.part
        if isinstance(part, (And, Or)):
            return f"not ({part})"
        if isinstance(part, Compare) and part.op in ("=", "~", "in"):
            opposite = {"=": "!=", "~": "!~", "in": "not in"}[part.op]
            name = name_text(part.column)
            return f"{name} {opposite} {repr(part)[len(name) + len(part.op) + 2 :]}"
        return f"not {part}"


@dataclass(frozen=True, eq=False, repr=False)
class And(Condition):
    """All of several; made by :func:`all_of`."""

    parts: tuple[Condition, ...]

    def __repr__(self) -> str:
        return " and ".join(f"({part})" if isinstance(part, Or) else repr(part) for part in self.parts)


@dataclass(frozen=True, eq=False, repr=False)
class Or(Condition):
    """Any of several; made by :func:`any_of`."""

    parts: tuple[Condition, ...]

    def __repr__(self) -> str:
        return " or ".join(map(repr, self.parts))


def all_of(conditions: Iterable[Condition]) -> Condition:
    """One condition that is true where all of these are (at least one)."""
    parts = [part for each in conditions for part in (each.parts if isinstance(each, And) else (each,))]
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def any_of(conditions: Iterable[Condition]) -> Condition:
    """One condition that is true where any of these is (at least one)."""
    parts = [part for each in conditions for part in (each.parts if isinstance(each, Or) else (each,))]
    return parts[0] if len(parts) == 1 else Or(tuple(parts))


# The plain evaluation.


def test(condition: Condition, run: Run) -> bool:
    """Whether a run, as its columns, fulfils a condition: the definition of what conditions mean."""
    match condition:
        case Compare(column):
            return any(condition.holds(value) for value in _values(column, run))
        case Missing(column):
            return not _values(column, run)
        case Not(part):
            return not test(part, run)
        case And(parts):
            return all(test(part, run) for part in parts)
        case Or(parts):
            return any(test(part, run) for part in parts)
    raise TypeError(f"not a condition: {condition!r}")


def sources(column: str) -> tuple[tuple[str, ...], str | None]:
    """Where a column's values stand: under which names, and under which one if a run has none of these."""
    return ALSO.get(column, (column,)), columns.base_of(column)


def _values(column: str, run: Run) -> list[columns.Column]:
    names, otherwise = sources(column)
    if otherwise is not None and not any(name in run for name in names):
        names = (otherwise,)
    return [value for name in names if (value := run.get(name)) is not None]


# C['params.lr'] < .1


class Column:
    """A column to compare; made by ``C[name]``."""

    def __init__(self, name: str):
        self._name = name

    def __eq__(self, value: object) -> Condition:  # type: ignore[override]
        return self.missing() if value is None else self._compare("=", value)

    def __ne__(self, value: object) -> Condition:  # type: ignore[override]
        return ~(self == value)

    def __lt__(self, value: object) -> Condition:
        return self._compare("<", value)

    def __le__(self, value: object) -> Condition:
        return self._compare("<=", value)

    def __gt__(self, value: object) -> Condition:
        return self._compare(">", value)

    def __ge__(self, value: object) -> Condition:
        return self._compare(">=", value)

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> NoReturn:
        raise TypeError(f"C[{self._name!r}] alone is no condition: compare it, as in C[{self._name!r}] == True")

    def __repr__(self) -> str:
        return f"C[{self._name!r}]"

    def isin(self, items: Iterable[object]) -> Condition:
        """It is one of these; a list: one of its elements is."""
        if isinstance(items, str):
            raise InvalidValue(f"isin takes a list, not the text {items!r}: write isin([{items!r}])")
        return Compare(self._name, "in", tuple(self._literal(item) for item in items))

    def contains(self, value: object) -> Condition:
        """A text has this part; a list has this element."""
        return self._compare("contains", value)

    def matches(self, regex: str) -> Condition:
        """A regular expression is found in it (:func:`re.search`)."""
        return self._compare("~", regex.pattern if isinstance(regex, re.Pattern) else regex)

    def missing(self) -> Condition:
        """A run has no such column, or null in it."""
        return Missing(self._name)

    def _compare(self, op: str, value: object) -> Condition:
        return Compare(self._name, op, self._literal(value))

    def _literal(self, value: object) -> Literal:
        """A value as it would be recorded; for a time or a duration in seconds."""
        try:
            if self._name in columns.TIMES:
                if isinstance(value, datetime.datetime):
                    return value.timestamp()
                if isinstance(value, (str, datetime.date)):
                    return times.moment(str(value), time.time())
            if self._name == "took" and isinstance(value, str):
                return times.duration(value)
        except ValueError:
            wanted = times.DURATIONS if self._name == "took" else times.TIMES
            raise InvalidValue(f"{self._name}: {value!r} is not {wanted}") from None
        plain = values.decode(values.encode(value, self._name))
        if kind_of(plain) is None:
            raise InvalidValue(f"{self._name}: {values.shown(value)} compares with nothing; None: {self}.missing()")
        return math.nan if plain != plain else plain


class _Columns:
    """``C['params.lr']``."""

    def __getitem__(self, name: str) -> Column:
        if not isinstance(name, str):
            raise InvalidValue(f"a column's name is a string, not {values.shown(name)}")
        values.encode(name, "a column's name")  # it is Unicode
        return Column(ALIASES.get(name, name))


C = _Columns()
