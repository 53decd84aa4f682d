"""Errors of an expression: what was expected, and a caret below the place."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from gitlumo.errors import UsageError

if TYPE_CHECKING:
    from lark import UnexpectedInput

_WINDOW = 76  # columns of a long expression that are shown
_COLUMN = "expected a column, not, missing(COLUMN) or ("
_OP = "expected =, !=, <, <=, >, >=, ~, !~, in, not in or contains"
_VALUE = "expected a value"
_LIST = "expected a list in parentheses, as in (best, paper)"
_END = "expected and, or, or the end"
_FOR_COLUMN = {
    '"': "a column's name stands without quotes, or in backquotes: params.`a b`",
    "'": "a column's name stands without quotes, or in backquotes: params.`a b`",
    "`": "this backquote is not closed",
    "!": "write not",
}
_FOR_VALUE = {
    "(": "write in (a, b) for one of several; a text with parentheses is quoted",
    "[": "write in (a, b) for one of several; a text with brackets is quoted",
    "`": "a text stands in quotes, not in backquotes",
}
_AFTER_VALUE = {
    "&": "write and",
    "|": "write or; a text with | is quoted",
    **dict.fromkeys("<>=!~", "a comparison has one value: write lr > 0.1 and lr < 1 for two comparisons"),
    ",": "write in (a, b) for one of several",
    ")": "this ) was never opened",
    **dict.fromkeys("[](", "a text with brackets or parentheses is quoted"),
}
_TYPED = (  # what is typed elsewhere, after a column
    (r"is\s+not\s+(null|none)\b|exists\b", "write not missing(COLUMN)"),
    (r"is\s+(null|none)\b", "write missing(COLUMN)"),
    (r"is\s+not\b", "write !="),
    (r"(is|eq|equals)\b", "write ="),
    (r"not\s+(like|ilike|regexp|matches)\b", "write !~ and a regular expression"),
    (r"(like|ilike|regexp|rlike|matches|startswith|endswith)\b", "write ~ and a regular expression, or contains"),
    (r"(has|includes)\b", "write contains"),
    (r"between\b", "write COLUMN >= 1 and COLUMN <= 2"),
    (r"\(", "there are no functions but missing(COLUMN)"),
)


class ExpressionError(UsageError):
    """An expression that means nothing; the message points at the place."""


def pointed(text: str, start: int, end: int, said: str) -> ExpressionError:
    """An error at a place in an expression.

    Args:
        text: The expression.
        start: Where it begins.
        end: Where it ends.
        said: What is wrong there.
    """
    shown = "".join(" " if unicodedata.category(letter) == "Cc" else letter for letter in text)
    first = max(0, min(start - _WINDOW // 2, len(shown) - _WINDOW))
    left, right = ("..." if first else ""), ("..." if first + _WINDOW < len(shown) else "")
    last = min(first + _WINDOW, len(shown))
    before, place = left + shown[first:start], shown[start : min(end, last)]
    carets = " " * _width(before) + "^" * max(1, _width(place))
    return ExpressionError(f"{said}\n    {left}{shown[first:last]}{right}\n    {carets}")


def _width(text: str) -> int:
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)


def syntax_error(text: str, error: UnexpectedInput) -> ExpressionError:
    """What the parser refused, in words."""
    token = getattr(error, "token", None)
    start = len(text) if token is not None and token.type == "$END" else error.pos_in_stream or 0
    allowed = set(getattr(error, "allowed", None) or getattr(error, "expected", None) or ())
    word = re.compile(r"[\w.]+|[=<>!~&|]+|.?", re.DOTALL).match(text, start)
    end = word.end() if word else start
    return pointed(text, start, end, _said(text[start:], allowed))


def _said(rest: str, allowed: set[str]) -> str:
    if "STRING" in allowed and rest.startswith(('"', "'")):
        return "this quote is not closed"
    if "OP" in allowed:
        return _typed(rest) or _OP
    if "NAME" in allowed:
        return _first(rest, _FOR_COLUMN) or _COLUMN
    if "WORD" in allowed and "_AND" not in allowed:
        return _LIST if "LPAR" in allowed else _first(rest, _FOR_VALUE) or _VALUE
    if allowed == {"_IN"}:
        return _typed(f"not {rest}") or "expected in after not"
    if allowed <= {"RPAR", "COMMA"}:
        return "expected , or )" if "COMMA" in allowed else "expected )"
    return _first(rest, _AFTER_VALUE) or _END


def _typed(rest: str) -> str | None:
    return next((said for typed, said in _TYPED if re.match(typed, rest, re.IGNORECASE)), None)


def _first(rest: str, table: dict[str, str]) -> str | None:
    return next((said for typed, said in table.items() if rest.startswith(typed)), None)
