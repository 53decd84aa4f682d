"""Parameters on a command line: ``K=V``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from gitlumo.errors import UsageError

_WORDS = {"true": True, "false": False, "null": None, "none": None}


def pairs(words: Iterable[str], option: str) -> dict[str, Any]:
    """Parameters by their names; ``optim.lr=.1`` is nested.

    Args:
        words: ``K=V`` each.
        option: What they were given to, for the error.

    Raises:
        UsageError: If one has no name or no ``=``, or two do not fit together.
    """
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not name or not equals:
            raise UsageError(f"{option} {word!r}: a parameter is given as NAME=VALUE, such as lr=0.1")
        at = found
        *above, last = name.split(".")
        for part in above:
            at = at.setdefault(part, {})
            if not isinstance(at, dict):
                raise UsageError(f"{option} {word!r}: {part} has a value already")
        if isinstance(at.get(last), dict):
            raise UsageError(f"{option} {word!r}: {last} has parameters of its own already")
        at[last] = value_of(text)
    return found


def value_of(text: str) -> Any:
    """The value that a text means: a number, true, false, null, a JSON list or object, else the text itself."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for read in (int, float, json.loads):
        try:
            return read(text) if "_" not in text or read is json.loads else text
        except (ValueError, RecursionError):
            continue
    return text
