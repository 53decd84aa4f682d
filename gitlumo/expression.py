r"""The text of a condition: ``params.lr < 0.1 and acc > .9``, ``tag in (best, paper)``, ``start > 2 days ago``.

Comparisons are ``=`` (``==``), ``!=``, ``<``, ``<=``, ``>``, ``>=``, ``~`` and ``!~`` (a regular expression), ``in``,
``not in`` and ``contains``; ``missing(column)``; ``and``, ``or``, ``not`` and parentheses join them. A text is a bare
word or stands in quotes, with ``\n``, ``\t``, ``\xHH``, ``\uHHHH`` and ``\\`` (any other backslash is itself, for
regular expressions); odd characters of a column's name stand in backquotes.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from gitlumo import times, values
from gitlumo.condition import Compare, Condition, Missing, all_of, any_of, sources
from gitlumo.errors import InvalidValue, LumoError, UsageError
from gitlumo.matching import (
    KEYWORDS,
    NUMBER,
    TEXT,
    Literal,
    field_kind,
    kind_of,
    literal_text,
    mismatch,
    name_of,
    name_text,
    quoted,
)
from gitlumo.naming import Names, resolve
from gitlumo.pointing import ExpressionError, pointed, syntax_error
from gitlumo.store import columns

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

_GRAMMAR = r"""
?start: either
?either: both (_OR both)*
?both: negated (_AND negated)*
?negated: _NOT negated -> no
    | "(" either ")"
    | _MISSING "(" NAME ")" -> missing
    | NAME (OP | CONTAINS) value -> compare
    | NAME [NOT] _IN value -> range
    | NAME [NOT] _IN "(" [value ("," value)* ","?] ")" -> within
value: (WORD | STRING)+

_OR.2: /or(?=[\s()]|$)/i
_AND.2: /and(?=[\s()]|$)/i
_NOT.2: /not(?=[\s(]|$)/i
NOT.2: /not(?=\s)/i
_IN.2: /in(?=[\s("']|$)/i
CONTAINS.2: /contains(?=[\s"']|$)/i
_MISSING.2: /missing(?=\s*\()/i
OP: /[=<>!~]+/
NAME: /([^\s()\[\],"'`&|<>=!~]|`([^`]|``)*`)+/
WORD: /[^\s()\[\],"'`&|<>=!~][^\s()\[\],"'`&|<>]*/
STRING: /"([^"\\]|\\.)*"|'([^'\\]|\\.)*'/s
%ignore /\s+/
"""
_DEPTH = 100
_OPS = {"=", "<", "<=", ">", ">=", "~", "contains"}
_SAME = {"==": "=", "!=": "=", "!~": "~"}  # of the last two, not
_TYPED = {"<>": "!=", "===": "=", "=~": "~", "=<": "<=", "=>": ">=", "~=": "~", "~~": "~"}
_INTEGER = re.compile(r"[+-]?(?:[0-9]+(?:_[0-9]+)*|0[xX][0-9a-fA-F]+)")
_COMMITS = ("git.commit", "git.head")
_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U000[0-9a-fA-F]{5}|U0010[0-9a-fA-F]{4}|[nt\\\"'])", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t"}
_KINDS = {"integer": NUMBER, "real": NUMBER, "text": TEXT}


class Revisions(Protocol):
    """What git says of revisions; raises :class:`LumoError` for what is none."""

    def commit(self, text: str) -> str:
        """The id of the commit that ``HEAD~3`` names."""

    def between(self, text: str) -> list[str]:
        """The ids of the commits of ``A..B``."""


def parse(text: str, names: Names, revisions: Revisions, now: float | None = None) -> Condition:
    """The condition that a text means.

    Args:
        text: The expression.
        names: The columns that are there.
        revisions: What resolves revisions.
        now: Seconds since 1970, for ``2 days ago``; None: the clock's.

    Raises:
        UsageError: If it means none; the message points at the place.
    """
    import lark

    if not text.strip():
        raise UsageError("an empty expression; one is: params.lr < 0.1 and state = finished")
    try:
        text.encode()
        tree = _parser().parse(text)
        return _Reader(text, names, revisions, time.time() if now is None else now).condition(tree)
    except lark.UnexpectedInput as error:
        raise syntax_error(text, error) from None
    except UnicodeEncodeError:
        raise UsageError(f"not valid Unicode: {text!a}") from None


@functools.cache
def _parser() -> Lark:
    import lark

    return lark.Lark(_GRAMMAR, parser="lalr", maybe_placeholders=True)


class _Reader:
    """Reads the tree of one expression."""

    def __init__(self, text: str, names: Names, revisions: Revisions, now: float):
        self.text, self.revisions, self.now = text, revisions, now
        self.there: Collection[str] = frozenset(names.names())
        self.types = functools.cache(names.types)

    def condition(self, tree: Tree[Token], depth: int = 0) -> Condition:
        if depth > _DEPTH:
            raise UsageError(f"the expression is nested deeper than {_DEPTH} levels")
        parts: list[Any] = tree.children
        match tree.data:
            case "either":
                return any_of([self.condition(part, depth + 1) for part in parts])
            case "both":
                return all_of([self.condition(part, depth + 1) for part in parts])
            case "no":
                return ~self.condition(parts[0], depth + 1)
            case "missing":
                return Missing(self.column(parts[0]))
            case "compare":
                return self.compare(*parts)
        name, negation, *rest = parts
        column = self.column(name)
        if tree.data == "range":
            found: Condition = Compare(column, "in", tuple(self.between(column, rest[0])))
        else:
            found = Compare(column, "in", tuple(self.checked(column, "in", value) for value in rest if value))
        return ~found if negation else found

    def column(self, token: Token) -> str:
        name = name_of(token)
        if name == token and name.lower() in KEYWORDS:
            self.wrong(f"expected a column, not {name}", token)
        try:
            return resolve(name, self.there)
        except UsageError as error:
            if name == token and re.match(r"[-+.]?[0-9]", name):
                self.wrong("a comparison begins with a column: write lr > 0.1 and lr < 1", token)
            self.wrong(str(error), token)

    def compare(self, name: Token, op: Token, value: Tree[Token]) -> Condition:
        column, meant = self.column(name), _SAME.get(op, op.lower())
        if meant not in _OPS:
            self.wrong(f"{op} is no comparison: write {_TYPED.get(op, '=, !=, <, <=, >, >=, ~ or !~')}", op)
        found = Compare(column, meant, self.checked(column, meant, value))
        return ~found if op.startswith("!") else found

    def checked(self, column: str, op: str, value: Tree[Token]) -> Literal:
        """A value that can be compared so with a column."""
        try:
            literal = self.literal(column, op, value)
            Compare(column, op, (literal,) if op == "in" else literal)
        except ExpressionError:
            raise
        except LumoError as error:
            self.wrong(str(error), value)
        kinds = self.kinds(column)
        if kinds and mismatch(op, literal, kinds):
            held, asked = " or ".join(sorted(kinds)), kind_of(literal)
            shown = quoted(literal) if isinstance(literal, str) else literal_text(literal)
            said = f"{shown} is {asked}" if asked not in kinds else f"{op} is for texts"
            quote = f'; write "{shown}" for the text' if kinds == {TEXT} and asked != TEXT else ""
            self.wrong(f"{name_text(column)} is {held} in every run, and {said}: that never holds{quote}", value)
        return literal

    def kinds(self, column: str) -> set[str] | None:
        """What the values of a parameter or a metric compare as; None: that is not known."""
        if field_kind(column):
            return None
        otherwise = sources(column)[1]
        types = {*self.types(column), *(self.types(otherwise) if otherwise else ())}
        return {_KINDS[each] for each in types} if types <= _KINDS.keys() else None

    def literal(self, column: str, op: str, value: Tree[Token]) -> Literal:
        first: Token = value.children[0]  # type: ignore[assignment]
        text = " ".join(_unquoted(token) for token in value.children)  # type: ignore[arg-type]
        bare = first.type == "WORD"
        if bare and first.lower() in KEYWORDS:
            self.wrong(f'expected a value, not {first}; write "{first}" for the text', first)
        values.encode(text, column)
        if column in columns.TIMES:
            return self.moment(column, op, text, value)
        if column == "took" and op != "~" and _number(text) is None:
            try:
                return times.duration(text)
            except ValueError:
                self.wrong(f"{text} is not {times.DURATIONS}", value)
        if len(value.children) > 1:
            self.wrong("expected and, or, or the end; a text with blanks is quoted", value.children[1])
        if bare and op != "~" and first.lower() in ("null", "none"):
            said = f'write missing({name_text(column)}) for no value, "{first}" for the text'
            self.wrong(said, value)
        if column in _COMMITS and op in ("=", "in"):
            return text if _ID.fullmatch(text) else self.revisions.commit(text)
        if not bare or op == "~" or field_kind(column) == TEXT:
            return text
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        number = _number(text)
        return text if number is None else number

    def moment(self, column: str, op: str, text: str, value: Tree[Token]) -> float:
        instant = _number(text[1:]) if text.startswith("@") else None
        if instant is not None:
            return instant
        try:
            found = times.moment(text, self.now)
        except ValueError:
            self.wrong(f"{text} is not {times.TIMES}", value)
        if op in ("=", "in"):
            self.wrong(
                f"{column} is a moment, which is hardly ever met: write {column} >= ... and {column} < ...", value
            )
        return found

    def between(self, column: str, value: Tree[Token]) -> list[str]:
        text = " ".join(_unquoted(token) for token in value.children)  # type: ignore[arg-type]
        if column not in _COMMITS or ".." not in text:
            more = " or a range of commits, A..B" if column in _COMMITS else ""
            self.wrong(f"expected a list in parentheses, as in (best, paper){more}", value)
        try:
            return self.revisions.between(text)
        except LumoError as error:
            self.wrong(str(error), value)

    def wrong(self, said: str, where: Any) -> NoReturn:
        """Refuse the expression, pointing at a token or a value."""
        tokens = getattr(where, "children", [where])
        raise pointed(self.text, tokens[0].start_pos, tokens[-1].end_pos, said)


def _number(word: str) -> int | float | None:
    if not word.isascii():
        return None
    if _INTEGER.fullmatch(word):
        return values.number(_integer(word), "value")
    try:
        return float(word)
    except ValueError:
        return None


def _integer(word: str) -> int:
    try:
        return int(word, 16 if "x" in word.lower() else 10)
    except ValueError:  # more digits than Python reads
        raise InvalidValue(f"an integer of {len(word)} digits is too large") from None


def _unquoted(token: Token) -> str:
    if token.type != "STRING":
        return str(token)
    return _ESCAPE.sub(_meant, token[1:-1])


def _meant(escape: re.Match[str]) -> str:
    code = escape[1]
    return _ESCAPED.get(code) or (chr(int(code[1:], 16)) if code[0] in "xuU" else code)
