"""Whether backups are there, whole and up to date: each run of a backup beside what the ledger here has of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gitlumo.home import Home
from gitlumo.store import join, trees
from gitlumo.store.join import Run
from gitlumo.store.query import Found

WHOLE, DAMAGED = "whole", "damaged"
OLDER, NEWER = "older than the ledger", "newer than the ledger"
GONE, LACKING = "not in the ledger", "not in the backup"


@dataclass(frozen=True)
class Checked:
    """What is known of one run of a backup.

    Attributes:
        name: ``<exp_name>/<test_name>``.
        uid: The run.
        state: :data:`WHOLE`, :data:`DAMAGED`, :data:`OLDER`, :data:`NEWER`, :data:`GONE` or :data:`LACKING`.
        said: What is wrong where it is damaged.
    """

    name: str
    uid: str
    state: str
    said: str = ""


class Ledger:
    """The runs that the ledgers here have."""

    def __init__(self, home: Home):
        view = home.ledger.view()
        self.objects = view.objects
        found = (trees.read_run(view.objects, place.tree) for place in trees.places(view.objects, view.tree))
        self._runs = join.collect(run for run in found if run)

    def beside(self, run: Run, marked: Run | None = None) -> Checked:
        """What a run of a backup is beside the ledger's.

        Args:
            run: The run as the backup has it.
            marked: The same as it is once it is restored.
        """
        name, there = "/".join(run.name), self._runs.get(run.uid)
        if there is None or there.purged:
            return Checked(name, run.uid, GONE)
        mine = marked if marked and there.identity.restored else run
        if (mine.record, mine.edits) == (there.record, there.edits):
            return Checked(name, run.uid, WHOLE)
        return Checked(name, run.uid, OLDER if join.unite(there, mine) == there else NEWER)


def lacking(founds: Sequence[Found], there: set[str]) -> Iterator[Checked]:
    """The runs of a selection that a backup has not.

    Args:
        founds: The selection.
        there: The uids of the runs that it has.
    """
    for found in founds:
        if found.record.uid not in there:
            yield Checked(found.label, found.record.uid, LACKING)
