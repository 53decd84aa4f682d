"""What callers may pass to an experiment: checked at the call, before anything is written."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Iterable
from typing import Any

from gitlumo import values
from gitlumo.errors import InvalidValue

MAX_BITS = 63  # of a step, and a sign: what pandas, SQLite and most readers of JSON hold


def check_metric(key: object) -> None:
    """See that a metric may be called so.

    Raises:
        InvalidValue: If not.
    """
    if not isinstance(key, str) or not key:
        raise InvalidValue(f"a metric's name is a string that is not empty, not {values.shown(key)}")
    values.encode(key, f"metric {key!a}")


def integer(value: Any, what: str) -> int:
    """A step, an end code as an integer; numpy integers and floats without a fraction are taken, too.

    Raises:
        InvalidValue: For anything else.
    """
    number = None
    with contextlib.suppress(TypeError):
        number = int(value) if isinstance(value, float) and value.is_integer() else operator.index(value)
    if number is None or number.bit_length() > MAX_BITS:
        raise InvalidValue(f"{what} must be an integer of at most 64 bits, not {values.shown(value)}")
    return number


def resume(value: Any) -> str | None:
    """What names the run to go on with.

    Raises:
        InvalidValue: If it is no text.
    """
    if value is None or (isinstance(value, str) and value.strip()):
        found: str | None = value
        return found
    raise InvalidValue(f"resume is 'auto', or names a run as 'git lumo show' takes it; not {value!r}")


def read_companions(words: tuple[Any, ...], cmp: Any) -> tuple[str | None, dict[str, Any]]:
    """What the positional arguments after a metric's value mean: ``cmp`` alone, or pairs of companions.

    Returns:
        ``cmp``, and companion to value.

    Raises:
        InvalidValue: If they mean nothing.
    """
    if len(words) == 1:
        cmp, words = words[0], ()
    if cmp is not None and not (isinstance(cmp, str) and cmp in ("max", "min")):
        raise InvalidValue(
            f"cmp can be 'max', 'min' or None, not {cmp!r}; companions come in pairs: 'cls_acc', [.9, .96]"
        )
    if len(words) % 2 or not all(isinstance(name, str) for name in words[::2]):
        raise InvalidValue(f"companions come in pairs of a name and a value, not {words!r}")
    return cmp, dict(zip(words[::2], words[1::2], strict=True))


def text_bytes(key: str, text: object) -> bytes:
    """A text in UTF-8.

    Raises:
        InvalidValue: If it is no string, or holds lone surrogates.
    """
    if not isinstance(text, str):
        raise InvalidValue(f"{key}: a text is a string, not {type(text).__name__}")
    values.encode(text, key)
    return text.encode("utf-8")


def check_tags(tags: Iterable[object]) -> None:
    """See that new tags are words, and no options where they are typed.

    Raises:
        InvalidValue: If not.
    """
    for tag in tags:
        if not isinstance(tag, str) or not tag.strip() or not tag.isprintable():
            raise InvalidValue(f"a tag is a word, not {tag!r}")
        if tag.startswith("-"):
            raise InvalidValue(f"tag {tag!r}: it must not begin with '-'")


def appended(key: str, old: Any, new: values.Json) -> values.Json:
    """What ``dump_info(append=True)`` makes of a recorded value (None: nothing was recorded) and a new JSON value.

    Raises:
        InvalidValue: If they do not go together.
    """
    before = values.encode(old, key) if old is not None else None
    if before is None:
        return new
    if isinstance(before, dict) and isinstance(new, dict):
        return before | new
    if isinstance(before, list):
        return before + (new if isinstance(new, list) else [new])
    raise InvalidValue(f"{key}: a {type(new).__name__} cannot be added to a {type(before).__name__}")


def check_backend(backend: object) -> None:
    """See that runs can be backed up there.

    Raises:
        InvalidValue: If not.
    """
    if backend != "github":
        raise InvalidValue(f"backup({backend!r}): the backend can be 'github'; for files there is git lumo backup --to")


def check_names(**lists: object) -> None:
    """See that arguments are lists of strings.

    Raises:
        InvalidValue: For one that is not; names it.
    """
    for name, given in lists.items():
        if not isinstance(given, (list, tuple)) or not all(isinstance(item, str) for item in given):
            raise InvalidValue(f"{name} must be a list of strings, not {given!r}")
