"""A word of a command line, and the value that a program made of it."""

from __future__ import annotations

import re
from typing import Any

from gitlumo.privacy import home_relative, mask_text

TRUE, FALSE = ("true", "yes", "on", "1", "t", "y"), ("false", "no", "off", "0", "f", "n")
_NONE = ("none", "null", "~", "")
_NUMBER = re.compile(r"-(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|-(?:inf|nan)", re.ASCII)
_SIMPLE_NEGATIVE = re.compile(r"-\d+|-\d*\.\d+", re.ASCII)


def is_option(word: str) -> bool:
    """Whether a word names an option: ``--lr``, ``-l``; not ``-`` and not ``-1e-3``."""
    return word.startswith("-") and word != "-" and not _NUMBER.fullmatch(word)


def is_safe_apart(word: str, before: str) -> bool:
    """Whether a word can follow its option where ``before`` did: argparse takes ``-1`` for a value, ``-1e-3`` not."""
    if not word.startswith("-") or word == "-":
        return True
    return before.startswith("-") and _SIMPLE_NEGATIVE.fullmatch(word) is not None


def is_boolean(word: str) -> bool:
    """Whether a word says true or false."""
    return word.lower() in TRUE or word.lower() in FALSE


def is_value(word: str, value: Any) -> bool:
    """Whether a word is a recorded value: ``1e-3`` is 0.001, ``true`` is True, ``1,2`` is [1, 2]."""
    if isinstance(value, bool):
        return word.lower() in (TRUE if value else FALSE)
    if isinstance(value, int | float):
        return _is_number(word, value)
    if value is None:
        return word.lower() in _NONE
    if isinstance(value, list):
        found = elements(word)
        return len(found) == len(value) and all(map(is_value, found, value))
    if isinstance(value, str):
        return value in (word, _unquoted(word), home_relative(word), mask_text(word))
    return str(value) == word


def _is_number(word: str, value: int | float) -> bool:
    for kind in (int, float):
        try:
            number = kind(word)
        except (ValueError, OverflowError):
            continue
        return bool(number == value or (number != number and value != value))
    return False


def elements(word: str) -> list[str]:
    """A list as words: ``[1, 2]``, ``1,2`` and ``1 2`` are all two."""
    inner = word.strip()
    if inner[:1] + inner[-1:] in ("[]", "()"):
        inner = inner[1:-1]
    return [_unquoted(part) for part in re.split(r"\s*,\s*|\s+", inner.strip()) if part]


def _unquoted(word: str) -> str:
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"" else word
