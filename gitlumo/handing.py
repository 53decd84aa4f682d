"""What a process hands on to its children by its environment: the run that it records, so that theirs join it.

A launcher sets the same variables to name the run of the processes that it starts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

from gitlumo import ids

EXP_NAME = "LUMO_EXP_NAME"
TEST_NAME = "LUMO_EXP_TEST_NAME"
UID = "LUMO_EXP_UID"
_NAMES = (EXP_NAME, TEST_NAME, UID)


@dataclass(frozen=True)
class Handed:
    """A run that another process has named; ``uid`` is None where only its name was given."""

    test_name: str
    uid: str | None


_mine: list[tuple[int, dict[str, str]]] = []  # what is said of the open runs of this process; a fork copies the list
_kept: dict[str, str] = {}  # what others have said to this process, while its own run stands in its environment


def hand_on(exp_name: str, test_name: str, uid: str) -> None:
    """From now on, children that record the same experiment join this run."""
    if not _own():
        _kept.clear()
        _kept.update({name: os.environ[name] for name in _NAMES if name in os.environ})
    said = dict(zip(_NAMES, (exp_name, test_name, uid), strict=True))
    _mine.append((os.getpid(), said))
    _show(said)


def take_back(uid: str) -> None:
    """The run has ended: children join the one before it, if that is still open."""
    _mine[:] = [(os.getpid(), said) for said in _own() if said[UID] != uid]
    if os.environ.get(UID) == uid:
        _show(_mine[-1][1] if _mine else _kept)


def _own() -> list[dict[str, str]]:
    return [said for pid, said in _mine if pid == os.getpid()]


def _show(values: Mapping[str, str]) -> None:
    for name in _NAMES:
        os.environ.pop(name, None)
    os.environ.update(values)


def take(exp_name: str) -> Handed | None:
    """What another process has said of this one's next run of an experiment; it is said once, so it goes.

    Raises:
        InvalidName: If the name breaks the rules.
    """
    shows_mine = any(own[UID] == os.environ.get(UID) for own in _own())
    said: MutableMapping[str, str] = _kept if shows_mine else os.environ
    test_name, uid = said.get(TEST_NAME), said.get(UID)
    if not test_name or said.get(EXP_NAME, exp_name) != exp_name:
        return None
    for name in _NAMES:
        said.pop(name, None)
    return Handed(ids.check_test_name(test_name), uid if ids.is_uid(uid) else None)
