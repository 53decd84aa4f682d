"""How a recorded value compares with one that was asked for, and how such a value is written."""

from __future__ import annotations

import functools
import operator
import re
import warnings
from collections.abc import Callable, Collection
from typing import Any

from gitlumo.errors import InvalidValue
from gitlumo.store import columns

Literal = bool | int | float | str
ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
KEYWORDS = frozenset({"and", "or", "not", "in", "contains", "missing"})
NUMBER, TEXT, TRUTH = "a number", "a text", "true or false"
_NUMBERS = columns.TIMES | {"took", "ratio", "end_code"}
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_PLAIN_TEXT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_NO_TEXT = KEYWORDS | {"true", "false", "nan", "inf", "infinity", "none", "null"}


def kind_of(value: object) -> str | None:
    """What a value compares as: :data:`NUMBER`, :data:`TEXT`, :data:`TRUTH`; None: with nothing."""
    kind = type(value)
    return NUMBER if kind in (int, float) else TEXT if kind is str else TRUTH if kind is bool else None


def field_kind(column: str) -> str | None:
    """What a field holds (``tag`` many of them); None for a parameter, a metric or a bare name."""
    if column not in columns.FIELDS:
        return None
    return NUMBER if column in _NUMBERS else TRUTH if column == "deprecated" else TEXT


def mismatch(op: str, value: Literal, kinds: Collection[str]) -> bool:
    """Whether a comparison never holds where a column's values are of these kinds."""
    return kind_of(value) not in kinds or (op in ("~", "contains") and TEXT not in kinds)


def check(column: str, op: str, value: Literal) -> None:
    """Refuse a comparison that makes no sense, or that never holds of a field.

    Raises:
        InvalidValue: What is wrong.
    """
    kind = field_kind(column)
    if op == "~":
        if not isinstance(value, str):
            raise InvalidValue(f"~ takes a regular expression, not {literal_text(value)}")
        _regex(value)
    if op in ORDERS and isinstance(value, bool):
        raise InvalidValue(f"true and false have no order: write {name_text(column)} = {literal_text(value)}")
    if kind and mismatch(op, value, (kind,)):
        shown = quoted(value) if isinstance(value, str) else literal_text(value)
        what = f"{shown} is {kind_of(value)}" if kind_of(value) != kind else f"{op} is for texts"
        raise InvalidValue(f"{column} is {kind}, and {what}: that never holds")
    if column == "state" and op in ("=", "in") and value not in columns.STATES:
        raise InvalidValue(f"{column} is {columns.FIELDS[column]}, never {literal_text(value)}{_nearest_state(value)}")


def _nearest_state(value: Literal) -> str:
    import difflib

    near = difflib.get_close_matches(str(value).lower(), columns.STATES, 1)
    return f"; did you mean {near[0]}?" if near else ""


@functools.lru_cache(maxsize=64)
def _regex(text: str) -> re.Pattern[str]:
    try:
        with warnings.catch_warnings(action="ignore"):
            return re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise InvalidValue(f"not a regular expression: {quoted(text)}: {error}") from None


def predicate(op: str, value: Literal | tuple[Literal, ...]) -> Callable[[object], bool]:
    """A comparison as a function of a recorded value."""
    scalar = _scalar(op, value)
    element = _scalar("=", value) if op == "contains" else scalar

    def holds(held: object, scalar: Callable[[Any], bool] = scalar) -> bool:
        return any(holds(item, element) for item in held) if isinstance(held, list) else scalar(held)

    return holds


def _scalar(op: str, value: Any) -> Callable[[Any], bool]:
    if op == "in":
        wanted = {(kind_of(item), item) for item in value if item == item}  # a set finds the very NaN that is in it
        return lambda held: (kind_of(held), held) in wanted if kind_of(held) else False
    if op == "~":
        search = _regex(value).search
        return lambda held: isinstance(held, str) and search(held) is not None
    if op == "contains":
        return lambda held: isinstance(held, str) and isinstance(value, str) and value in held
    kind = kind_of(value)
    compare: Callable[[Any, Any], bool] = ORDERS.get(op, operator.eq)
    return lambda held: kind_of(held) == kind and compare(held, value)


def name_text(name: str) -> str:
    """A column's name as an expression has it: in backquotes where it must be."""
    if _PLAIN_NAME.fullmatch(name) and name.lower() not in KEYWORDS:
        return name
    prefix = next((prefix for prefix in (columns.PARAMS, columns.METRICS) if name.startswith(prefix)), "")
    return f"{prefix}`{name[len(prefix) :].replace('`', '``')}`"


def name_of(text: str) -> str:
    """The inverse of :func:`name_text`."""
    return re.sub(r"`((?:[^`]|``)*)`", lambda quoted: quoted[1].replace("``", "`"), text)


def literal_text(value: Literal) -> str:
    """A value as an expression has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return repr(value)
    if _PLAIN_TEXT.fullmatch(value) and value.lower() not in _NO_TEXT:
        return value
    return quoted(value)


def quoted(text: str) -> str:
    """A text in quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\x{ord(found[0]):02x}", escaped) + '"'
