"""Sharing some runs only: a commit that has these beside what the remote has, and nothing else of this ledger.

It is an event as any other. Where both ledgers meet, they join by uid: nothing is there twice, and the rest can follow.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from gitlumo.errors import FormatError, LumoError
from gitlumo.git import pack
from gitlumo.git.objects import Objects, Staging, read_commit
from gitlumo.git.tips import are_in
from gitlumo.home import Home
from gitlumo.share import remotes
from gitlumo.share.remotes import Remote
from gitlumo.store import layout, trees
from gitlumo.store.join import Run
from gitlumo.store.query import TreeFiles
from gitlumo.store.record import RUNNING, Record, best_facts

_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class Wanted:
    """A run that is to be shared.

    Attributes:
        uid: The run.
        name: (exp_name, test_name).
        folder: Where the ledger had it when it was found.
    """

    uid: str
    name: tuple[str, str]
    folder: str

    @classmethod
    def of(cls, run: Record) -> Wanted:
        """The run of a record."""
        return cls(run.uid, (str(run.info("exp_name")), str(run.info("test_name"))), run.folder)


class Selection:
    """Some runs of a ledger, to be put on top of a remote's ledger."""

    def __init__(self, home: Home, remote: Remote, runs: Sequence[Record]):
        self._home = home
        self._remote = remote
        self._wanted = [Wanted.of(run) for run in runs]
        self._made: dict[tuple[str, str | None], str] = {}
        self._packs: list[str] = []

    def commit(self) -> str:
        """The commit to push: the remote's ledger and the runs as the local one has them now.

        Returns:
            The remote's own tip where it has them already.

        Raises:
            LumoError: If one of the runs is not published here.
        """
        local = self._home.repository.refs.read(self._home.settings.ref) or ""
        base = remotes.tip(self._home, self._remote)
        if (local, base) not in self._made:
            self._made[local, base] = self._make(local, base)
        return self._made[local, base]

    def release(self, *, sent: bool) -> None:
        """Leave the commits to git's upkeep, or, if they were not sent, take them back."""
        for base in self._packs:
            pack.unkeep(base) if sent else pack.remove_pack(base)

    def _make(self, local: str, base: str | None) -> str:
        objects = self._home.repository.objects
        runs = find(objects, read_commit(objects, local).tree if local else None, self._wanted)
        commit, base_path = stand_apart(self._home, runs, local, base)
        if base_path:
            self._packs.append(base_path)
        return commit


def find(objects: Objects, tree: str | None, wanted: Sequence[Wanted]) -> list[Run]:
    """Some runs as a ledger has them.

    Args:
        objects: Where it is.
        tree: The ledger's tree.
        wanted: The runs.

    Raises:
        LumoError: If it does not have one of them.
    """
    places = {place.path: place.tree for place in trees.places(objects, tree)}
    found = []
    for each in wanted:
        run = trees.read_run(objects, places[each.folder]) if each.folder in places else None
        if run is None or run.uid != each.uid:
            place = each.folder.split("/")  # a stranger may have moved it
            names = [each.name, (place[0], place[-1].partition("~")[0])]
            run = trees.find(objects, tree, each.uid, names)
        if run is None:
            raise LumoError(
                f"{'/'.join(each.name)} is not published yet\ntype 'git lumo status' to see what it waits for"
            )
        found.append(run)
    return found


def stand_apart(
    home: Home, runs: Sequence[Run], local: str, base: str | None, code: Sequence[str] | None = None
) -> tuple[str, str | None]:
    """The event that has some runs of the local ledger beside what another has; see :meth:`Ledger.stand_apart`.

    Args:
        home: The repository here.
        runs: The runs.
        local: The local ledger's tip.
        base: The other's tip; None: an empty one.
        code: Their code; None: all of it.
    """
    staging = Staging(home.repository.objects)
    commits = codes(home, runs, [local]) if code is None else code
    message = layout.event_message([_event(staging, run) for run in runs])
    return home.ledger.stand_apart(staging, base, runs, message, commits)


def codes(home: Home, runs: Sequence[Run], tips: Collection[str], objects: Objects | None = None) -> list[str]:
    """The commits that runs name as their code.

    A stranger may have written them there. Only what the ledger itself reaches goes along: never another commit of
    mine.

    Args:
        home: The repository here.
        runs: The runs.
        tips: Of the ledger.
        objects: Where the runs are, if not in the database alone.
    """
    there = objects or home.repository.objects
    named = list(dict.fromkeys(commit for run in runs if (commit := code_of(there, run))))
    if any(are_in(home.repository, named, tip) for tip in tips):
        return named
    return [commit for commit in named if any(are_in(home.repository, [commit], tip) for tip in tips)]


def _event(objects: Objects, run: Run) -> tuple[str, str, str]:
    """Kind, uid and subject of the event that shares a run."""
    record, name = _record(objects, run), "/".join(run.name)
    kind = "checkpoint" if record.state == RUNNING else "end"
    return kind, run.uid, layout.event_subject(name, record.state, best_facts(record.metrics))


def code_of(objects: Objects, run: Run) -> str | None:
    """The commit that a run names as its code."""
    try:
        git = _record(objects, run).info("git")
    except FormatError:
        return None
    commit = git.get("commit") if isinstance(git, dict) else None
    return commit if isinstance(commit, str) and _ID.fullmatch(commit) else None


def _record(objects: Objects, run: Run) -> Record:
    files = TreeFiles(objects, run.folder)
    return Record(files.read, files.paths, "/".join(run.name))
