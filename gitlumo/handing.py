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
# Set by who records the command that runs: a script in it goes on with that run, after so many runs of its own.
RUNNER = "LUMO_EXP_RUNNER"
_NAMES = (EXP_NAME, TEST_NAME, UID, RUNNER)


@dataclass(frozen=True)
class Handed:
    """A run that another process has named.

    Attributes:
        test_name: Its name.
        uid: Its uid; None where only its name was given.
        is_run: Whether that process only runs this one's command, and so leaves the recording to this one.
    """

    test_name: str
    uid: str | None
    is_run: bool = False


_mine: list[tuple[int, dict[str, str]]] = []  # what is said of the open runs of this process; a fork copies the list
_asked = (0, 0)  # the process, and how many of its runs have asked :func:`take`
_kept: dict[str, str] = {}  # what others have said to this process, while its own run stands in its environment


def hand_on(exp_name: str, test_name: str, uid: str) -> None:
    """From now on, children that record the same experiment join this run."""
    if not _own():
        _kept.clear()
        _kept.update({name: os.environ[name] for name in _NAMES if name in os.environ})
    said = {EXP_NAME: exp_name, TEST_NAME: test_name, UID: uid}
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


def forget_runner() -> None:
    """What is started now is a run of its own, though somebody runs this process as the command of one."""
    if RUNNER in os.environ:
        for name in _NAMES:
            os.environ.pop(name, None)


def without(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables for a process whose runs are its own, whatever was said to this one."""
    return {name: value for name, value in environ.items() if name not in _NAMES}


def nth() -> int:
    """Which of the runs of this process the last one is that has asked :func:`take`, from 0; -1: there was none."""
    pid, count = _asked
    return count - 1 if pid == os.getpid() else -1


def take(exp_name: str, given: str | None = None) -> Handed | None:
    """What another process has said of this one's next run of an experiment; it is said once, so it goes.

    Args:
        exp_name: The experiment.
        given: The run's name, where the script gives it one: then only who runs the script's command is listened to.

    Raises:
        InvalidName: If the name breaks the rules.
    """
    global _asked
    before = nth() + 1
    _asked = os.getpid(), before + 1
    shows_mine = any(own[UID] == os.environ.get(UID) for own in _own())
    said: MutableMapping[str, str] = _kept if shows_mine else os.environ
    test_name, uid, is_run = said.get(TEST_NAME), said.get(UID), RUNNER in said
    if is_run and before < (int(said[RUNNER]) if said[RUNNER].isdecimal() else 0):
        return None  # the recorded one was a later run of its process
    if not test_name or not (is_run or (given is None and said.get(EXP_NAME, exp_name) == exp_name)):
        return None
    for name in _NAMES:
        said.pop(name, None)
    return Handed(ids.check_test_name(test_name), uid if ids.is_uid(uid) else None, is_run and ids.is_uid(uid))
