"""Where in a command a recorded parameter stands: by its name, else by its value where no other can be meant."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitlumo.rerun.words import is_boolean, is_option, is_value

JOINED, APART, ASSIGNED, ATTACHED, ALONE = "--k=v", "--k v", "k=v", "-kv", "v"  # how a parameter is written
_ASSIGNMENT = re.compile(r"(\+{0,2}[A-Za-z_][\w./@-]*)=(.*)", re.DOTALL)
_ATTACHED = re.compile(r"(-[A-Za-z])(-?\d.*|\.\d.*)", re.DOTALL | re.ASCII)
_NEGATION = re.compile(r"^--no[-_]?")


@dataclass(frozen=True)
class Place:
    """Words of a command that say one parameter.

    Attributes:
        at: The number of the first word.
        count: How many words.
        style: How it is written.
        name: What stands before the value: ``--lr``, ``+optim.lr``, ``-l``; empty: nothing.
        values: Its values; none: a flag that stands without.
        negated: Whether it is ``--no-amp``.
    """

    at: int
    count: int
    style: str
    name: str
    values: tuple[str, ...] = ()
    negated: bool = False

    @property
    def bare(self) -> str:
        """The name without dashes: ``lr``, ``amp`` for ``--no-amp``."""
        return _NEGATION.sub("", self.name) if self.negated else self.name.lstrip("-+")

    @property
    def text(self) -> str:
        """What it says, for reading."""
        return " ".join(self.values) if self.values else str(not self.negated).lower()

    def says(self, value: Any) -> bool:
        """Whether it may have given a recorded value."""
        if not self.values:
            return isinstance(value, bool) and value is not self.negated
        if isinstance(value, list) and value and len(self.values) == 1 and is_value(self.values[0], value[-1]):
            return True
        return all(map(is_value, self.values, value if len(self.values) > 1 else [value]))


def plain(name: str) -> str:
    """A name without what spellings differ in: ``learning-rate`` and ``learning_rate`` are one."""
    return name.replace("-", "_")


def columns_of(recorded: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """The recorded parameters (flat) that a key may mean: itself, else all whose last part it is; else itself."""
    name = plain(key)
    exact = [column for column in recorded if plain(column) == name]
    last = [column for column in recorded if plain(column).endswith("." + name)]
    return tuple(exact or last or [key])


def find(words: Sequence[str], start: int, recorded: Mapping[str, Any], key: str) -> list[Place]:
    """The places that say a parameter, in order.

    Args:
        words: The command.
        start: The number of its first word that may say one.
        recorded: What the run recorded, flat.
        key: The parameter: its whole name, or the last part of it.
    """
    places, columns = _places(words, start, recorded), columns_of(recorded, key)
    only = columns[0] if len(columns) == 1 else None
    names = {plain(key), *([plain(only), plain(only).replace(".", "_")] if only else [])}
    named = [place for place in places if plain(place.bare) in names]
    if named or only is None or only not in recorded:
        return named
    last = only.rpartition(".")[2]
    if columns_of(recorded, last) == columns:  # no other one ends so: --lr can be optim.lr, if it has its value
        named = [place for place in places if plain(place.bare) == plain(last) and place.says(recorded[only])]
    return named or _by_value(words, start, recorded, only, places)


def _places(words: Sequence[str], start: int, recorded: Mapping[str, Any]) -> list[Place]:
    """All places with a name; after ``--`` there are no options."""
    found: list[Place] = []
    options = True
    for i in range(start, len(words)):
        word = words[i]
        if word == "--":
            options = False
        elif options and is_option(word):
            negated = _NEGATION.match(word) and not _option(words, i, recorded, _NEGATION.sub("", word)).values
            place = _option(words, i, recorded, word.lstrip("-"))
            if not negated or not place.values:  # else the word after --no-amp is its own
                found.append(place)
            if negated:
                found.append(Place(i, 1, APART, word, negated=True))
        elif match := _ASSIGNMENT.fullmatch(word):
            found.append(Place(i, 1, ASSIGNED, match[1], (match[2],)))
    return found


def _option(words: Sequence[str], i: int, recorded: Mapping[str, Any], bare: str) -> Place:
    """What the option at ``i`` and the words after it say, if ``bare`` is the parameter that it is about."""
    name, equals, text = words[i].partition("=")
    if equals:
        return Place(i, 1, JOINED, name, (text,))
    if attached := _ATTACHED.fullmatch(name):
        return Place(i, 1, ATTACHED, attached[1], (attached[2],))
    columns = columns_of(recorded, bare)
    value = recorded.get(columns[0]) if len(columns) == 1 else None
    following = words[i + 1 :]
    if isinstance(value, list) and len(value) > 1:
        several = following[: len(value)]
        if len(several) == len(value) and all(map(is_value, several, value)):
            return Place(i, 1 + len(value), APART, name, tuple(several))
    if not following or is_option(following[0]) or following[0] == "--":
        return Place(i, 1, APART, name)
    if isinstance(value, bool) and not is_boolean(following[0]):
        return Place(i, 1, APART, name)  # a flag, and a word of its own after it
    return Place(i, 2, APART, name, (following[0],))


def _by_value(
    words: Sequence[str], start: int, recorded: Mapping[str, Any], column: str, places: Sequence[Place]
) -> list[Place]:
    """The one place where a parameter's value stands under no name of its: ``-l 0.1``, ``-l0.1``, a word alone."""
    value = recorded[column]
    if isinstance(value, list | dict | bool) or value is None or value == "":
        return []
    same = [name for name, other in recorded.items() if is_value(str(value), other)]
    letter = _letter(column)
    short = [place for place in places if place.name == f"-{letter}" and place.values and place.says(value)]
    if short:
        return short if sum(_letter(name) == letter for name in same) == 1 else []
    if len(same) != 1:
        return []  # another parameter has it, too
    taken = {i for place in places for i in range(place.at, place.at + place.count)}
    alone = [i for i in range(start, len(words)) if i not in taken and is_value(words[i], value)]
    return [Place(alone[0], 1, ALONE, "", (words[alone[0]],))] if len(alone) == 1 else []


def _letter(column: str) -> str:
    return column.rpartition(".")[2][:1]
