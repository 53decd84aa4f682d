"""Putting runs back into a ledger: whole, checked, and marked so that none takes the place of a run that is there."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gitlumo.backup import parcel
from gitlumo.backup.parcel import Parcel
from gitlumo.errors import FormatError, GitError, LumoError
from gitlumo.git import transport
from gitlumo.git.objects import Objects
from gitlumo.git.repository import Repository
from gitlumo.git.transport import Show
from gitlumo.home import Home
from gitlumo.store import layout, trees
from gitlumo.store.join import Run
from gitlumo.store.record import RUNNING, best_facts

RESTORED, THERE, PURGED = "restored", "there already", "purged here"
_TOLD = 3  # problems of a damaged run


@dataclass(frozen=True)
class Backup:
    """A run that comes back.

    Attributes:
        parcel: The run.
        origin: Where it was, for messages.
        lost: What of it did not come along, see :func:`gitlumo.backup.parcel.marked`.
    """

    parcel: Parcel
    origin: str
    lost: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What became of one run.

    Attributes:
        backup: The run.
        outcome: :data:`RESTORED`, :data:`THERE` or :data:`PURGED`.
        missing_code: The commit of its code, if that is neither here nor at a remote.
        kept: Files beside its record that were here already, and are others than the backup's.
    """

    backup: Backup
    outcome: str
    missing_code: str | None
    kept: tuple[str, ...] = ()


def restore(home: Home, backups: Sequence[Backup], show: Show | None = None) -> list[Outcome]:
    """Put runs into the ledger: one event for all that are not there yet.

    A run that the ledger has stays as it is, but for edits that it lacks; one that was purged stays away.

    Args:
        home: The repository here.
        backups: The runs.
        show: Where git's progress goes while it fetches code.

    Raises:
        FormatError: If one of them breaks the format; then nothing is written.
        LumoError: If the ledger cannot be written.
    """
    objects = home.repository.objects
    for backup in backups:
        check(objects, backup)
    view = home.ledger.view()
    there = [_there(view.objects, view.tree, backup.parcel) for backup in backups]
    coming = [backup for backup, run in zip(backups, there, strict=True) if not (run and run.purged)]
    commits = dict.fromkeys(commit for backup in coming if (commit := backup.parcel.code))
    code = bring_code(home.repository, commits, show)
    if coming:
        parcels = [parcel.marked(backup.parcel, backup.lost) for backup in coming]
        home.ledger.restore(
            lambda staging: [parcel.stage(staging, each) for each in parcels],
            layout.event_message([_event(each) for each in parcels]),
            [commit for commit in commits if commit in code],
        )
        with contextlib.suppress(LumoError, OSError):
            home.ledger.look_after()
    return [
        Outcome(
            backup,
            PURGED if run and run.purged else THERE if run else RESTORED,
            backup.parcel.code if backup.parcel.code not in code else None,
        )
        for backup, run in zip(backups, there, strict=True)
    ]


def check(objects: Objects, backup: Backup) -> None:
    """See that a run may go into a ledger.

    Raises:
        FormatError: If it may not; says why.
    """
    found = parcel.marked(backup.parcel, backup.lost)
    wrong = list(parcel.problems(objects, found))
    if wrong:
        more = [f"and {len(wrong) - _TOLD} more"] if len(wrong) > _TOLD else []
        lines = "\n".join(f"  {line}" for line in (*wrong[:_TOLD], *more))
        raise FormatError(f"{backup.origin} does not hold a sound run; nothing was restored\n{lines}")


def _there(objects: Objects, tree: str | None, wanted: Parcel) -> Run | None:
    return trees.find(objects, tree, wanted.identity.uid, wanted.identity.names)


def _event(wanted: Parcel) -> tuple[str, str, str]:
    record = wanted.record
    kind = "checkpoint" if record.state == RUNNING else "end"
    subject = layout.event_subject(wanted.name, record.state, best_facts(record.metrics))
    return kind, wanted.identity.uid, subject


def bring_code(repository: Repository, commits: Collection[str], show: Show | None = None) -> set[str]:
    """Have commits here, if any remote gives them away (gitprotocol-v2(5): a server may be asked for any object).

    Returns:
        Those that are here, with all that they reach.
    """
    here = _whole(repository, commits)
    for remote in repository.remote_urls():
        missing = [commit for commit in commits if commit not in here]
        if not missing:
            break
        if not _fetch(repository, remote, missing, show) and len(missing) > 1:  # it has some of them, perhaps
            for commit in missing:
                _fetch(repository, remote, [commit], show)
        repository.objects.refresh()
        here |= _whole(repository, missing)
    return here


def _fetch(repository: Repository, remote: str, commits: Sequence[str], show: Show | None) -> bool:
    words = ["fetch", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--refmap="]
    try:
        transport.talk([*repository.git_args, *words], remote, commits, show)
    except GitError:
        return False
    return True


def _whole(repository: Repository, commits: Collection[str]) -> set[str]:
    """Those that are here with all that they reach; mostly all are, and are walked through together."""
    there = {commit for commit in commits if repository.objects.has(commit)}
    if not there or repository.is_whole(*there):
        return there
    return {commit for commit in there if repository.is_whole(commit)}
