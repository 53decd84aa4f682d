"""Other parameters for a recorded command: each replaced where it came from, else added as the command writes such.

Pure: words in, words out. What a program makes of its words only the program knows, so what its run recorded tells
which words were a parameter's, and :func:`unmet` says afterwards whether the new run took the new value.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitlumo.errors import UsageError
from gitlumo.privacy import MASK, is_secret_name, mask_words
from gitlumo.rerun.places import ALONE, APART, ASSIGNED, ATTACHED, JOINED, Place, columns_of, find, plain
from gitlumo.rerun.words import TRUE, elements, is_boolean, is_option, is_safe_apart, is_value
from gitlumo.store.columns import flat

_WORD = re.compile(r"argv\[(\d+)\]", re.ASCII)
_NAME = re.compile(r"-{0,2}\+{0,2}([A-Za-z_][\w.-]*)", re.ASCII)


@dataclass(frozen=True)
class Change:
    """What became of one parameter.

    Attributes:
        key: As it was asked for: ``lr``, ``optim.lr``, ``argv[3]``.
        value: The new value.
        old: What the command said; None: nothing, so it was added.
        columns: The recorded parameters one of which should show the value afterwards; none for ``argv[3]``.
    """

    key: str
    value: str
    old: str | None
    columns: tuple[str, ...] = ()

    @property
    def is_secret(self) -> bool:
        """Whether the value is not to be shown: it stands for a masked one, or its name says so."""
        return is_secret_name(self.key) or MASK in (self.old or "")

    def __str__(self) -> str:
        """``lr = 0.3 (was 0.1)``."""
        value = MASK if self.is_secret else self.value
        return f"{self.key} = {value} ({'added' if self.old is None else f'was {self.old}'})"


def override(
    argv: Sequence[str], params: Any, changes: Mapping[str, str], start: int = 1
) -> tuple[list[str], list[Change]]:
    """A command with other parameters.

    Args:
        argv: The recorded words.
        params: What the run recorded as its parameters.
        changes: Parameter to new value. ``argv[3]`` is the word of that number, whatever it means.
        start: The number of the first word that is the script's own (:func:`script_start`); those before it are
            changed by number only.

    Returns:
        The words, and what became of each change, in the order of ``changes``.

    Raises:
        UsageError: If a change makes no sense, could mean several parameters, or means the words of another one.
    """
    recorded, words = flat(params), list(argv)
    taken: dict[int, str] = {}
    edits: list[tuple[int, int, list[str]]] = []
    added: list[tuple[str, str]] = []
    done = []
    for key, value in changes.items():
        if "\0" in value:
            raise UsageError(f"{key}: a word of a command cannot hold a null character")
        places, columns = _wanted(words, start, recorded, key)
        written, old = _written(places, value, recorded, columns)
        done.append(Change(key, value, old, columns))
        edits += written
        if old is None:
            added.append((key, value))
        for at, count, _ in written:
            for i in range(at, at + count):
                if i in taken:
                    raise UsageError(f"{taken[i]} and {key} are the same word of the command, {words[i]!r}; give one")
                taken[i] = key
    for at, count, new in sorted(edits, reverse=True):
        words[at : at + count] = new
    for key, value in added:
        _add(words, start, argv[start:], recorded, key, value)
    return words, done


def says(argv: Sequence[str], params: Any, key: str, start: int = 1) -> bool:
    """Whether a command says a parameter, so that :func:`override` would replace it."""
    return bool(find(argv, start, flat(params), key))


def script_start(argv: Sequence[str], script_argv: Sequence[str]) -> int:
    """The number of the first word of a command that is its script's own.

    Args:
        argv: The command of the process: ``python -O train.py --lr .1``.
        script_argv: What the script saw, its name first (``sys.argv``); empty: unknown.
    """
    first = len(argv) - len(script_argv) + 1
    known = bool(script_argv) and first > 0 and list(argv[first:]) == list(script_argv[1:])
    return first if known else 1


def masked(
    argv: Sequence[str],
    listed: Collection[str],
    changes: Collection[str] = (),
    start: int = 1,
    place: str = "pinfo.obj.argv",
) -> dict[int, str]:
    """The words of a recorded command that were masked as secrets and are not given anew.

    Args:
        argv: The recorded words.
        listed: ``info/masked.json``: a word with ``***`` that is not there was so.
        changes: The parameters that are given.
        start: See :func:`override`.
        place: What the words are called in ``listed``.

    Returns:
        Number of the word to the key that :func:`override` takes for it: ``token``, else ``argv[3]``.
    """
    found = {i: _key(argv, i, start) for i, word in enumerate(argv) if MASK in word and f"{place}[{i}]" in listed}
    often = Counter(found.values())
    found = {i: key if often[key] == 1 else f"argv[{i}]" for i, key in found.items()}
    given = {plain(key.lstrip("+")) for key in changes}
    return {i: key for i, key in found.items() if plain(key) not in given and f"argv[{i}]" not in given}


def _key(argv: Sequence[str], i: int, start: int) -> str:
    """What a word is the value of, as far as its option says."""
    name, equals, _ = argv[i].partition("=")
    if not equals and i > start and is_option(argv[i - 1]):
        name, equals = argv[i - 1], "="
    match = _NAME.fullmatch(name)
    return match[1] if match and equals and i >= start else f"argv[{i}]"


def unmet(changes: Iterable[Change], params: Any) -> list[str]:
    """What a new run's recorded parameters do not show of some changes: a sentence each."""
    recorded, said = flat(params), []
    for change in changes:
        shown = {column: recorded[column] for column in change.columns if column in recorded}
        group = any(name.startswith(f"{column}.") for column in change.columns for name in recorded)
        if not change.columns or group:  # hydra's optim=adam chooses a group, whose name need not be recorded
            continue
        if not any(value == MASK or is_value(change.value, value) for value in shown.values()):
            there = ", ".join(f"{name} = {json.dumps(value, default=str)}" for name, value in shown.items())
            said.append(f"{change.key} = {change.value} was asked for; the run recorded {there or 'no such parameter'}")
    return said


def without_secrets(words: Sequence[str], changes: Iterable[Change]) -> list[str]:
    """A changed command as it may be printed: without the secrets that were given anew."""
    secrets = {change.value for change in changes if change.is_secret and change.value}
    result = []
    for word in words:
        name, equals, value = word.partition("=")
        result.append(MASK if word in secrets else f"{name}={MASK}" if equals and value in secrets else word)
    return mask_words(result)[0]


def _wanted(
    words: Sequence[str], start: int, recorded: Mapping[str, Any], key: str
) -> tuple[list[Place], tuple[str, ...]]:
    """The places of a change, and the parameters that it may mean."""
    match = _WORD.fullmatch(key)
    if match:
        i = int(match[1])
        if i >= len(words):
            raise UsageError(f"{key}: the command's words are argv[0] to argv[{len(words) - 1}]")
        return [Place(i, 1, ALONE, "", (words[i],))], ()
    name = key.lstrip("+")
    if not name or name.startswith("-") or "=" in name:
        raise UsageError(f"{key!r} names no parameter; it is named as it was recorded, without dashes: lr=0.1")
    places, columns = find(words, start, recorded, name), columns_of(recorded, name)
    if not places and len(columns) > 1:
        raise UsageError(f"{key} can be {' or '.join(columns)}; say which")
    return places, columns


def _written(
    places: Sequence[Place], value: str, recorded: Mapping[str, Any], columns: Sequence[str]
) -> tuple[list[tuple[int, int, list[str]]], str | None]:
    """Which words to write instead of which: (number, count, words); and what they said before, None: nothing."""
    current = recorded.get(columns[0]) if len(columns) == 1 else None
    if not places:
        same = columns[0] in recorded and is_value(value, current)  # it has it without being told
        return [], value if same else None
    one_each = isinstance(current, list) and len(places) == len(current) and all(len(p.values) == 1 for p in places)
    if one_each and (len(places) > 1 or (places[0].style == JOINED and len(value.split()) > 1)):
        first, *others = places
        new = [word for item in elements(value) for word in _words(first, item, several=False)]
        old = ",".join(place.text for place in places)
        return [(first.at, first.count, new), *((place.at, place.count, []) for place in others)], old
    *others, last = places  # which won over the others
    new = _words(last, value, isinstance(current, list))
    flags = [place for place in others if not new and not place.values]  # each of them would say true
    return [(last.at, last.count, new), *((place.at, place.count, []) for place in flags)], last.text


def _words(place: Place, value: str, several: bool) -> list[str]:
    """The words that say a parameter as a place does; ``several``: it may take more than one value."""
    if place.style == ALONE:
        return [value]
    if not place.values:
        return _flag(place, value)
    if place.style in (ASSIGNED, JOINED):
        return [f"{place.name}={value}"]
    if place.style == ATTACHED:
        return [f"{place.name}{value}"]
    if len(place.values) > 1:
        return [place.name, *elements(value)]
    if several and len(value.split()) > 1:
        return [place.name, *value.split()]
    if is_safe_apart(value, place.values[0]):
        return [place.name, value]
    return [f"{place.name}={value}" if place.name.startswith("--") else f"{place.name}{value}"]


def _flag(place: Place, value: str) -> list[str]:
    if not is_boolean(value):
        raise UsageError(f"{place.name} stands without a value in the command: it can be true or false, not {value!r}")
    wanted = value.lower() in TRUE
    if wanted != place.negated:
        return [place.name]
    return [f"--{place.bare}"] if wanted else []  # without --amp it is false, unless the program knows --no-amp, too


def _add(
    words: list[str], start: int, written: Sequence[str], recorded: Mapping[str, Any], key: str, value: str
) -> None:
    """Add a parameter as a command writes most of its own: before ``--``, after which there are no options."""
    style = _style(written)
    if style == ASSIGNED or key.startswith("+"):
        words.append(f"{key}={value}")
        return
    name = f"--{_spelled(key, written)}"
    columns = columns_of(recorded, key)
    current = recorded.get(columns[0])
    if isinstance(current, bool) and is_boolean(value):
        no = "--no_" if "_" in name else "--no-"
        new = [name if value.lower() in TRUE else no + name[2:]]
    elif isinstance(current, list) and len(value.split()) > 1:
        new = [name, *value.split()]
    elif style == APART and is_safe_apart(value, ""):
        new = [name, value]
    else:
        new = [f"{name}={value}"]
    end = words.index("--", start) if "--" in words[start:] else len(words)
    words[end:end] = new


def _style(words: Sequence[str]) -> str:
    """How a command writes most of its parameters; of equally many, and if there are none, ``--k=v``."""
    counts = dict.fromkeys((JOINED, APART, ASSIGNED), 0)
    for i, word in enumerate(words):
        if word == "--":
            break
        if word.startswith("--"):
            if "=" in word:
                counts[JOINED] += 1
            elif i + 1 < len(words) and not is_option(words[i + 1]) and words[i + 1] != "--":
                counts[APART] += 1
        elif _NAME.fullmatch(word.partition("=")[0]) and "=" in word and not word.startswith("-"):
            counts[ASSIGNED] += 1
    return max(counts, key=lambda style: counts[style])


def _spelled(key: str, words: Sequence[str]) -> str:
    """A new option's name: with the command's dashes, if it has such and no underscores."""
    names = [word[2:].partition("=")[0] for word in words if word.startswith("--")]
    dashes, underscores = (any(sign in name for name in names) for sign in "-_")
    return key.replace("_", "-") if dashes and not underscores else key
