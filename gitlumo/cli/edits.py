"""What the verbs that edit have in common: the run that they are about, and how they say what they did."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from gitlumo.cli.opening import Opened, open_here
from gitlumo.cli.terminal import printable

if TYPE_CHECKING:
    from gitlumo.store.ledger import Ledger
    from gitlumo.store.record import Record


class Target(NamedTuple):
    """A run that is edited, and the ledger that has it."""

    ledger: Ledger
    run: Record
    label: str

    @property
    def quoted(self) -> str:
        """The label as a shell takes it."""
        return shlex.quote(printable(self.label))


def find(name: str, opened: Opened | None = None) -> Target:
    """The run that the user means.

    Raises:
        NoSuchRun: If no run, or more than one, is meant.
        FormatError: If it is damaged, or of a later format.
    """
    opened = opened or open_here()
    found = opened.runs().resolve(name)
    found.record.check()
    return Target(opened.ledger, found.record, found.label)


def say(what: str, undo: str | None = None, verb: str = "undo") -> None:
    """Say what was done, and how that is undone.

    Args:
        what: One line.
        undo: The label of the run; None: there is nothing to undo.
        verb: What undoes it.
    """
    print(printable(what))
    if undo is not None:
        print(f'  (to undo this: "git lumo {verb} {shlex.quote(printable(undo))}")')
