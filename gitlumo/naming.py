"""Which column a name means: a field, then a parameter, then a metric; so no run can change what ``state`` means."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Protocol

from gitlumo.condition import ALIASES, And, Compare, Condition, Missing, Not, Or, sources
from gitlumo.errors import UsageError
from gitlumo.matching import name_text
from gitlumo.store import columns

LISTED = "'git lumo show @' shows those of the newest run"


class Names(Protocol):
    """The columns that are there (:class:`gitlumo.store.index.Index` is one)."""

    def names(self) -> Collection[str]:
        """All that any run has."""

    def types(self, name: str) -> Collection[str]:
        """What SQLite calls the values of one: ``integer``, ``real``, ``text``, ``blob``."""


def resolve(name: str, names: Collection[str]) -> str:
    """The column that a name means.

    Args:
        name: ``state``, ``lr``, ``params.lr``, ``tags``.
        names: All columns that any run has; none: there are no runs, so ``params.lr`` may be right.

    Raises:
        UsageError: If there is none; the message offers the nearest.
    """
    name = ALIASES.get(name, name)
    if name in columns.FIELDS:
        return name
    explicit = name.startswith((columns.PARAMS, columns.METRICS))
    for full in (name,) if explicit else (columns.PARAMS + name, columns.METRICS + name):
        if full in names or sources(full)[1] in names or (explicit and not names):
            return full
    raise UsageError(f"no run has a column {name_text(name)}{_nearest(name, names)}")


def _nearest(name: str, names: Collection[str]) -> str:
    import difflib

    typed: dict[str, list[str]] = {}  # what may be typed for a column
    for full in (*columns.FIELDS, *ALIASES, *sorted(names, reverse=True)):  # params before metrics
        short = full.partition(".")[2] if full.startswith((columns.PARAMS, columns.METRICS)) else full
        for text in {full, short}:
            typed.setdefault(text, []).append(full)
    ends = [full for full in sorted(names, reverse=True) if full.rpartition(".")[2] == name.rpartition(".")[2]]
    close = [full for text in difflib.get_close_matches(name, typed, n=3) for full in typed[text]]
    offered = " or ".join(map(name_text, list(dict.fromkeys([*ends, *close]))[:3]))
    return (f"; did you mean {offered}?" if offered else "") + f" ({LISTED})"


def resolved(condition: Condition, names: Collection[str]) -> Condition:
    """A condition with full names, for one that was made with ``C['lr']``.

    Raises:
        UsageError: If there is no such column.
        InvalidValue: If a name means a field that never compares so.
    """
    match condition:
        case Compare(column) | Missing(column):
            return replace(condition, column=resolve(column, names))
        case Not(part):
            return Not(resolved(part, names))
        case And(parts) | Or(parts):
            return replace(condition, parts=tuple(resolved(part, names) for part in parts))
    raise UsageError(f"not a condition: {condition!r}; one is C['params.lr'] < .1")
