"""A condition as SQL over the index: what SQLite compares as Python does, it compares; the rest a Python function.

SQLite holds texts, floats but NaN and 64-bit integers as they are, and compares integers with floats exactly; all else
(lists, true and false, NaN, larger integers) is a blob of JSON, which :func:`functions` reads. A comparison walks one
column of the index, which lies together in it.
"""

from __future__ import annotations

import functools
import json
import sqlite3
from collections.abc import Callable

from gitlumo import condition as c
from gitlumo import matching
from gitlumo.store import columns

_COLUMN = "key IN (SELECT id FROM name WHERE name IN ({}))"
_NATIVE = {matching.NUMBER: "typeof(value) IN ('integer', 'real')", matching.TEXT: "typeof(value) = 'text'"}
Sql = tuple[str, list[columns.Column]]


def functions(connection: sqlite3.Connection) -> None:
    """Register what :func:`to_sql` calls."""
    connection.create_function("gitlumo_holds", 2, _holds, deterministic=True)


def _holds(comparison: bytes, held: int | float | str | bytes) -> bool:
    return _decoded(comparison)(columns.from_sql(held))


@functools.lru_cache(maxsize=64)
def _decoded(comparison: bytes) -> Callable[[object], bool]:
    op, value = columns.from_sql(comparison)
    return matching.predicate(op, tuple(value) if isinstance(value, list) else value)


def to_sql(condition: c.Condition) -> Sql:
    """An expression over ``run.id``, and what it binds.

    It means what :func:`gitlumo.condition.test` says of each run's columns.
    """
    match condition:
        case c.Compare(column):
            return _runs(column, *_compared(condition))
        case c.Missing(column):
            sql, bound = _runs(column, "value <> ?", [columns.to_sql(None)])
            return f"NOT {sql}", bound
        case c.Not(part):
            sql, bound = to_sql(part)
            return f"NOT {sql}", bound
        case c.And(parts):
            return _joined(" AND ", [to_sql(part) for part in parts])
        case c.Or(parts):
            return _joined(" OR ", [to_sql(part) for part in parts])
    raise TypeError(f"not a condition: {condition!r}")


def _joined(word: str, parts: list[Sql]) -> Sql:
    """Parts joined as a balanced tree: SQLite refuses a deep one."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    (left, first), (right, second) = _joined(word, parts[:middle]), _joined(word, parts[middle:])
    return f"({left}{word}{right})", first + second


def _runs(column: str, sql: str, bound: list[columns.Column]) -> Sql:
    """The runs in which a value of a column fulfils an expression over ``value``."""
    names, otherwise = c.sources(column)
    named = _COLUMN.format(", ".join("?" * len(names)))
    found = f"run.id IN (SELECT run FROM fact WHERE {named} AND {sql})"
    if otherwise is None:
        return found, [*names, *bound]
    lacks = f"NOT EXISTS (SELECT 1 FROM fact WHERE {named} AND run = other.run)"
    more = f"run.id IN (SELECT run FROM fact AS other WHERE {_COLUMN.format('?')} AND {sql} AND {lacks})"
    return f"({found} OR {more})", [*names, *bound, otherwise, *bound, *names]


def _compared(compare: c.Compare) -> Sql:
    """A comparison as an expression over ``value``."""
    op, value = compare.op, compare.value
    comparison = columns.to_sql([op, list(value) if isinstance(value, tuple) else value])
    held: Sql = ("gitlumo_holds(?, value)", [comparison])
    native = _native(op, value)
    if native is None:
        return held
    return f"({native[0]} OR typeof(value) = 'blob' AND {held[0]})", native[1] + held[1]


def _native(op: str, value: matching.Literal | tuple[matching.Literal, ...]) -> Sql | None:
    """The same for what SQLite holds as it is; None: it cannot compare that."""
    if isinstance(value, tuple):
        return _one_of(value)
    bound = columns.to_sql(value)
    if op == "~" or isinstance(bound, bytes):
        return None if matching.kind_of(value) != matching.TRUTH else ("0", [])
    kind = _NATIVE[matching.TEXT if isinstance(value, str) else matching.NUMBER]
    if op == "contains":
        return (f"{kind} AND instr(value, ?)", [bound]) if isinstance(value, str) else ("0", [])
    return (f"{kind} AND value {op} ?", [bound]) if op in matching.ORDERS else ("value = ?", [bound])


def _one_of(items: tuple[matching.Literal, ...]) -> Sql | None:
    """Texts and integers as one JSON array, because SQLite binds some thousand values at the most."""
    held = [columns.to_sql(item) for item in items if not isinstance(item, bool)]
    if any(isinstance(item, bytes) for item in held):
        return None
    floats: list[columns.Column] = [item for item in held if isinstance(item, float)]
    exact = json.dumps([item for item in held if not isinstance(item, float)])
    sql = f"(value IN (SELECT value FROM json_each(?)) OR value IN ({', '.join('?' * len(floats))}))"
    return sql, [exact, *floats]
