"""A whole ledger that comes from elsewhere, its objects at hand: taken into the one here, or laid beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from gitlumo.backup import checking
from gitlumo.backup.checking import DAMAGED, Checked
from gitlumo.backup.parcel import Parcel
from gitlumo.backup.restoring import PURGED, RESTORED, THERE, Backup, Outcome
from gitlumo.errors import LumoError
from gitlumo.git.objects import Objects, read_commit
from gitlumo.home import Home
from gitlumo.share.selection import Published
from gitlumo.store import check as format_check
from gitlumo.store import join, trees
from gitlumo.store.join import Run
from gitlumo.store.query import Found, TreeFiles


def take(home: Home, tip: str, origin: str) -> list[Outcome]:
    """Join a ledger with the one here.

    Args:
        home: The repository here, which has its objects.
        tip: Its tip.
        origin: Where it is from, for messages.

    Raises:
        NotALedger: If it is none.
        LumoError: If the ledger cannot be written.
    """
    view = home.ledger.view()
    before = _runs(view.objects, view.tree)
    objects = home.repository.objects
    coming = _runs(objects, read_commit(objects, tip).tree)
    home.ledger.take(tip, "lumo restore")
    with contextlib.suppress(LumoError, OSError):
        home.ledger.look_after()
    return [_outcome(objects, run, before, origin) for run in coming.values() if not run.purged]


def _runs(objects: Objects, tree: str | None) -> dict[str, Run]:
    found = (trees.read_run(objects, place.tree) for place in trees.places(objects, tree))
    return join.collect(run for run in found if run)


def _outcome(objects: Objects, run: Run, before: Mapping[str, Run], origin: str) -> Outcome:
    there = before.get(run.uid)
    outcome = RESTORED if there is None else PURGED if there.purged else THERE
    code = Published(run, TreeFiles(objects, run.folder)).code
    return Outcome(Backup(Parcel(run.identity, {}), origin), outcome, None if not code or objects.has(code) else code)


def check(home: Home, seen: Home, tip: str, founds: Sequence[Found]) -> Iterator[Checked]:
    """What the runs of a ledger are beside those here, and which of some it lacks.

    Args:
        home: The repository here.
        seen: The same, with the other ledger's objects.
        tip: The other ledger's tip.
        founds: The runs of which those that it lacks are to be told.
    """
    ledger, objects = checking.Ledger(home), seen.repository.objects
    coming = _runs(objects, read_commit(objects, tip).tree)
    for run in coming.values():
        if not run.purged:
            problems = format_check.check_run(objects, run.folder, run.uid)
            wrong = next((problem for problem in problems if not format_check.TORN.fullmatch(problem)), None)
            name = "/".join(run.name)
            yield Checked(name, run.uid, DAMAGED, wrong) if wrong else ledger.beside(run)
    yield from checking.lacking(founds, {run.uid for run in coming.values() if not run.purged})
