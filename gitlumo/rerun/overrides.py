"""Other parameters for a recorded command: each replaced where it came from, else added as the command writes such.

Pure: words in, words out. What a program makes of its words only the program knows, so what its run recorded tells
which words were a parameter's, and :func:`unmet` says afterwards whether the new run took the new value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitlumo.errors import UsageError
from gitlumo.privacy import MASK, home_relative, mask_text
from gitlumo.store.columns import flat

_TRUE, _FALSE = ("true", "yes", "on", "1", "t", "y"), ("false", "no", "off", "0", "f", "n")
_NONE = ("none", "null", "~", "")
_NUMBER = re.compile(r"-?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|-?(?:inf|nan)", re.ASCII)
_SIMPLE_NEGATIVE = re.compile(r"-\d+|-\d*\.\d+", re.ASCII)  # what argparse takes for a number, not for an option
_ASSIGNMENT = re.compile(r"(?P<plus>\+{0,2})(?P<name>[A-Za-z_][\w./@-]*)=(?P<value>.*)", re.DOTALL)
_WORD = re.compile(r"argv\[(\d+)\]")
JOINED, APART, ASSIGNED, ATTACHED = "--k=v", "--k v", "k=v", "-kv"  # the styles


@dataclass(frozen=True)
class Change:
    """What became of one parameter.

    Attributes:
        key: As it was asked for: ``lr``, ``optim.lr``, ``argv[3]``.
        value: The new value.
        how: ``replaced`` or ``added``.
        old: The value that stood there; None where it was added, or a flag came or went.
        columns: The recorded parameters that should show the value afterwards: one of them; none for ``argv[3]``.
    """

    key: str
    value: str
    how: str
    old: str | None
    columns: tuple[str, ...]

    def __str__(self) -> str:
        """``lr = 0.3 (was 0.1)``."""
        return f"{self.key} = {self.value} ({'added' if self.how == 'added' else f'was {self.old}'})"


@dataclass(frozen=True)
class _Place:
    """Words of a command that say one parameter.

    Attributes:
        at: The first word.
        count: How many words.
        style: How it is written.
        name: What stands before the value: ``--lr``, ``+optim.lr``, ``-l``; empty: a positional word.
        values: Its values; none: a flag that stands alone.
        negated: Whether it is ``--no-amp``.
    """

    at: int
    count: int
    style: str
    name: str
    values: tuple[str, ...] = ()
    negated: bool = False


def override(
    argv: Sequence[str], params: Any, changes: Mapping[str, str], start: int = 1
) -> tuple[list[str], list[Change]]:
    """A command with other parameters.

    Args:
        argv: The recorded words.
        params: What the run recorded as its parameters.
        changes: Parameter to new value. ``argv[3]`` is the word of that number, whatever it means.
        start: The number of the first word that is the script's own; those before it are only changed by number.

    Returns:
        The words, and what became of each change, in the order of ``changes``.

    Raises:
        UsageError: If a change could mean several parameters, or makes no sense.
    """
    words, done = list(argv), []
    recorded = flat(params)
    numbered = {key: _WORD.fullmatch(key) for key in changes}
    for key, value in changes.items():
        match = numbered[key]
        if match:
            done.append(_set_word(words, int(match[1]), key, value))
    for key, value in changes.items():
        if not numbered[key]:
            done.append(_set(words, start, recorded, key, value))
    order = list(changes)
    return words, sorted(done, key=lambda change: order.index(change.key))


def says(argv: Sequence[str], params: Any, key: str, start: int = 1) -> bool:
    """Whether a command says a parameter, so that :func:`override` would replace it."""
    recorded = flat(params)
    return bool(_find(argv, start, recorded, key.lstrip("+"), columns_of(recorded, key)))


def script_start(argv: Sequence[str], script_argv: Sequence[str]) -> int:
    """The number of the first word of a command that is its script's own.

    Args:
        argv: The command of the process: ``python -O train.py --lr .1``.
        script_argv: What the script saw, its name first (``sys.argv``); empty: unknown.
    """
    tail = list(script_argv[1:])
    if script_argv and list(argv[len(argv) - len(tail) :]) == tail:
        return max(1, len(argv) - len(tail))
    return 1


def masked(argv: Sequence[str], listed: Collection[str] | None = None, path: str = "pinfo.obj.argv") -> dict[int, str]:
    """The words of a recorded command that were masked as secrets, and what to call each in ``changes``.

    Args:
        argv: The recorded words.
        listed: ``info/masked.json``, for a word with ``***`` that was so; None: there is none.
        path: What the words are called there.

    Returns:
        Number of the word to a key: ``token`` for ``--token ***`` and ``--token=***``, else ``argv[3]``.
    """
    found = {}
    for i, word in enumerate(argv):
        if MASK not in word or (listed is not None and f"{path}[{i}]" not in listed):
            continue
        name, equals, value = word.partition("=")
        before = argv[i - 1] if i else ""
        if equals and value == MASK:
            found[i] = name.lstrip("-+")
        elif word == MASK and before.startswith("-") and "=" not in before:
            found[i] = before.lstrip("-")
        else:
            found[i] = f"argv[{i}]"
    return found


def columns_of(recorded: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """The recorded parameters (flat) that a key may mean: itself, else all whose last part it is; else itself."""
    plain = key.lstrip("+")
    exact = [name for name in recorded if _plain(name) == _plain(plain)]
    last = [name for name in recorded if _plain(name).endswith("." + _plain(plain))]
    return tuple(exact or last or [plain])


def unmet(changes: Iterable[Change], params: Any) -> list[str]:
    """What a new run's recorded parameters do not show of some changes: a sentence each."""
    recorded, said = flat(params), []
    for change in changes:
        shown = [name for name in change.columns if name in recorded]
        below = any(name.startswith(f"{column}.") for column in change.columns for name in recorded)
        if any(is_value(change.value, recorded[name]) for name in shown) or below or not change.columns:
            continue  # below: a group of parameters (hydra's optim=adam), whose name need not be recorded
        there = ", ".join(f"{name} = {json.dumps(recorded[name], default=str)}" for name in shown)
        said.append(f"{change.key} = {change.value} was asked for; the run recorded {there or 'no such parameter'}")
    return said


def is_value(text: str, value: Any) -> bool:
    """Whether a word of a command line is a recorded value: ``1e-3`` is 0.001, ``true`` is True, ``1,2`` is [1, 2]."""
    if isinstance(value, bool):
        return text.lower() in (_TRUE if value else _FALSE)
    if isinstance(value, int | float):
        return _is_number(text, value)
    if value is None:
        return text.lower() in _NONE
    if isinstance(value, list):
        elements = _elements(text)
        return len(elements) == len(value) and all(map(is_value, elements, value))
    if isinstance(value, str):
        return value in (text, _unquoted(text), home_relative(text), mask_text(text), MASK)
    return str(value) == text


def _is_number(text: str, value: int | float) -> bool:
    try:
        return int(text) == value
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return False
    return number == value or (number != number and value != value)


def _elements(text: str) -> list[str]:
    """``[1, 2]``, ``1,2`` and ``1 2`` as words."""
    inner = text.strip()
    if inner[:1] + inner[-1:] in ("[]", "()"):
        inner = inner[1:-1]
    return [_unquoted(part) for part in re.split(r"\s*,\s*|\s+", inner.strip()) if part]


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _plain(name: str) -> str:
    """A name without what spellings differ in."""
    return name.replace("-", "_")


def _set_word(words: list[str], number: int, key: str, value: str) -> Change:
    if number >= len(words):
        raise UsageError(f"{key}: the command has {len(words)} words, argv[0] to argv[{len(words) - 1}]")
    old, words[number] = words[number], value
    return Change(key, value, "replaced", old, ())


def _set(words: list[str], start: int, recorded: Mapping[str, Any], key: str, value: str) -> Change:
    name = key.lstrip("+")
    if not name or name.startswith("-"):
        raise UsageError(f"{key}={value}: a parameter is named as it was recorded, without dashes: lr=0.1")
    columns = columns_of(recorded, key)
    places = _find(words, start, recorded, name, columns)
    if not places:
        if len(columns) > 1:
            raise UsageError(f"{name} can be {' or '.join(columns)}; say which")
        _add(words, start, recorded, key, value, columns[0])
        return Change(key, value, "added", None, columns)
    current = recorded.get(columns[0]) if len(columns) == 1 else None
    last = places[-1]  # of several the last one counts
    if isinstance(current, list) and len(places) == len(current) > 1 and all(len(p.values) == 1 for p in places):
        old = ",".join(place.values[0] for place in places)  # each gave one element
        for place in reversed(places[1:]):
            del words[place.at : place.at + place.count]
        first = places[0]
        words[first.at : first.at + first.count] = [w for item in _elements(value) for w in _written(first, item)]
    else:
        old = " ".join(last.values) if last.values else str(not last.negated).lower()
        words[last.at : last.at + last.count] = _written(last, value, isinstance(current, list))
    return Change(key, value, "replaced", old, columns)


def _written(place: _Place, value: str, several: bool = False) -> list[str]:
    """The words that say a parameter in the way in which a place does; ``several``: it may take more than one."""
    if not place.name:
        return [value]
    if not place.values:
        return _flag(place, value)
    if place.style in (ASSIGNED, JOINED):
        return [f"{place.name}={value}"]
    if place.style == ATTACHED:
        return [f"{place.name}{value}"]
    if len(place.values) > 1:
        return [place.name, *_elements(value)]
    if several and len(value.split()) > 1:
        return [place.name, *value.split()]
    if (
        value.startswith("-")
        and value != "-"
        and not (place.values[0].startswith("-") and _SIMPLE_NEGATIVE.fullmatch(value))
    ):  # else it may be read as an option
        return [f"{place.name}={value}" if place.name.startswith("--") else f"{place.name}{value}"]
    return [place.name, value]


def _flag(place: _Place, value: str) -> list[str]:
    if value.lower() not in (*_TRUE, *_FALSE):
        raise UsageError(f"{place.name} stands without a value in the command: it can be true or false, not {value!r}")
    wanted = value.lower() in _TRUE
    if wanted != place.negated:
        return [place.name]
    return [re.sub("^--no[-_]", "--", place.name)] if wanted else []


def _add(words: list[str], start: int, recorded: Mapping[str, Any], key: str, value: str, column: str) -> None:
    end = words.index("--", start) if "--" in words[start:] else len(words)
    styles = _styles(words[start:end])
    style = max(styles, key=lambda name: styles[name]) if any(styles.values()) else JOINED
    if style == ASSIGNED or key.startswith("+"):
        words.append(f"{key}={value}")
        return
    name = f"--{_spelled(key, words[start:end])}"
    current = recorded.get(column)
    if isinstance(current, bool) and value.lower() in (*_TRUE, *_FALSE):
        wanted = value.lower() in _TRUE
        no = "--no_" if "_" in name else "--no-"
        words[end:end] = [name if wanted else no + name[2:]]
    elif style == APART and not value.startswith("-"):
        words[end:end] = [name, value]
    else:
        words[end:end] = [f"{name}={value}"]


def _styles(words: Sequence[str]) -> dict[str, int]:
    """How often a command writes its parameters in each style; of equals the first counts."""
    counts = dict.fromkeys((JOINED, APART, ASSIGNED), 0)
    for i, word in enumerate(words):
        if word.startswith("--"):
            follows = i + 1 < len(words) and not _is_option(words[i + 1])
            if "=" in word or follows:
                counts[JOINED if "=" in word else APART] += 1
        elif _ASSIGNMENT.fullmatch(word) and not (i and words[i - 1].startswith("-") and "=" not in words[i - 1]):
            counts[ASSIGNED] += 1
    return counts


def _spelled(key: str, words: Sequence[str]) -> str:
    """A new option's name: with the command's dashes or underscores, as far as it shows them."""
    names = [word[2:].partition("=")[0] for word in words if word.startswith("--")]
    if "-" not in key and any("-" in name for name in names) and not any("_" in name for name in names):
        return key.replace("_", "-")
    return key


def _is_option(word: str) -> bool:
    return word.startswith("-") and word != "-" and not _NUMBER.fullmatch(word)


def _find(
    words: Sequence[str], start: int, recorded: Mapping[str, Any], key: str, columns: Sequence[str]
) -> list[_Place]:
    """The places that say a parameter: by its name, else where its recorded value stands and no other is meant."""
    places = _places(words, start, recorded)
    names = {_plain(key), *([_plain(columns[0]), _plain(columns[0]).replace(".", "_")] if len(columns) == 1 else [])}
    named = [place for place in places if _plain(_bare(place)) in names]
    if named or len(columns) != 1 or columns[0] not in recorded:
        return named
    column, value = columns[0], recorded[columns[0]]
    last = column.rpartition(".")[2]
    if columns_of(recorded, last) == columns:  # no other parameter ends so: --lr may be optim.lr
        named = [place for place in places if _plain(_bare(place)) == _plain(last) and _shows(place, value)]
    return named or _by_value(words, start, recorded, column, places)


def _bare(place: _Place) -> str:
    name = place.name.lstrip("-+")
    return re.sub("^no[-_]?", "", name) if place.negated else name


def _shows(place: _Place, value: Any) -> bool:
    """Whether a place says a recorded value."""
    if not place.values:
        return value is not place.negated and isinstance(value, bool)
    if len(place.values) > 1:
        return isinstance(value, list)
    return is_value(place.values[0], value) or (isinstance(value, list) and is_value(place.values[0], value[-1:]))


def _places(words: Sequence[str], start: int, recorded: Mapping[str, Any]) -> list[_Place]:
    """All places with a name."""
    found: list[_Place] = []
    options = True
    for i in range(start, len(words)):
        word = words[i]
        if word == "--":
            options = False
        elif options and _is_option(word):
            place = _option(words, i, recorded)
            found.append(place)
            if word.startswith("--no") and "=" not in word and _is_flag(words, i, recorded):
                found.append(_Place(i, 1, APART, word, (), True))
        elif match := _ASSIGNMENT.fullmatch(word):
            name = f"{match['plus']}{match['name']}"
            found.append(_Place(i, 1, ASSIGNED, name, (match["value"],)))
    return found


def _recorded(recorded: Mapping[str, Any], name: str) -> Any:
    columns = columns_of(recorded, name)
    return recorded.get(columns[0]) if len(columns) == 1 else None


def _is_flag(words: Sequence[str], i: int, recorded: Mapping[str, Any]) -> bool:
    """Whether ``--no-amp`` is one: the next word is none of its own."""
    value = _recorded(recorded, re.sub("^--no[-_]?", "", words[i]))
    return i + 1 == len(words) or _is_option(words[i + 1]) or words[i + 1] == "--" or isinstance(value, bool)


def _option(words: Sequence[str], i: int, recorded: Mapping[str, Any]) -> _Place:
    name, equals, text = words[i].partition("=")
    if equals:
        return _Place(i, 1, JOINED, name, (text,))
    value = _recorded(recorded, name.lstrip("-"))
    following = words[i + 1 :]
    if isinstance(value, list) and value:
        several = following[: len(value)]
        if len(several) == len(value) > 1 and all(map(is_value, several, value)):
            return _Place(i, 1 + len(value), APART, name, tuple(several))
    if not following or _is_option(following[0]) or following[0] == "--":
        return _Place(i, 1, APART, name)
    if isinstance(value, bool) and following[0].lower() not in (*_TRUE, *_FALSE):
        return _Place(i, 1, APART, name)  # a flag, and a word of its own after it
    return _Place(i, 2, APART, name, (following[0],))


def _by_value(
    words: Sequence[str], start: int, recorded: Mapping[str, Any], column: str, places: Sequence[_Place]
) -> list[_Place]:
    """The one place where a parameter's recorded value stands under no name: ``-l 0.1``, ``-l0.1``, a word alone."""
    value = recorded[column]
    if isinstance(value, list | dict | bool) or value is None or value == "":
        return []
    if sum(is_value(str(value), other) for other in recorded.values()) != 1:
        return []  # another parameter has it, too
    letter = "-" + column.rpartition(".")[2][:1]
    short = [place for place in places if place.name == letter and place.values and is_value(place.values[0], value)]
    short += [
        _Place(place.at, 1, ATTACHED, letter, (words[place.at][2:],))
        for place in places
        if len(words[place.at]) > 2 and words[place.at].startswith(letter) and is_value(words[place.at][2:], value)
    ]
    if short:
        return short if len(short) == 1 else []
    taken = {i for place in places for i in range(place.at, place.at + place.count)}
    alone = [i for i in range(start, len(words)) if i not in taken and is_value(words[i], value)]
    return [_Place(alone[0], 1, "", "", (words[alone[0]],))] if len(alone) == 1 else []
