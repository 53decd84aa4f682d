"""Sharing some runs only: a commit that has these beside what the remote has, and nothing else of this ledger.

It is an event as any other. Where both ledgers meet, they join by uid: nothing is there twice, and the rest can follow.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

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

_GIT = layout.info_path("git")
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
        commit, base_path = stand_apart(self._home, runs, base, codes(self._home, runs, [local]))
        if base_path:
            self._packs.append(base_path)
        return commit


@dataclass(frozen=True)
class Published:
    """A run as a ledger has it.

    Attributes:
        run: What a join knows of it.
        files: Its files.
        known: What is known of the code that runs name, by the blob that says it.
    """

    run: Run
    files: TreeFiles
    known: dict[str, str | None] = field(default_factory=dict)

    @property
    def record(self) -> Record:
        """The run, to read."""
        return Record(self.files.read, self.files.paths, "/".join(self.run.name))

    @property
    def code(self) -> str | None:
        """The commit that it names as its code; many name the same in the same words, which are read once."""
        id = self.files.id(_GIT) or ""
        if id not in self.known:
            try:
                git = self.record.info("git")
            except FormatError:
                git = None
            commit = git.get("commit") if isinstance(git, dict) else None
            self.known[id] = commit if isinstance(commit, str) and _ID.fullmatch(commit) else None
        return self.known[id]

    def event(self) -> tuple[str, str, str]:
        """Kind, uid and subject of the event that shares it."""
        record = self.record
        state = record.state
        kind = "checkpoint" if state == RUNNING else "end"
        return kind, self.run.uid, layout.event_subject("/".join(self.run.name), state, best_facts(record.metrics))


def find(objects: Objects, tree: str | None, wanted: Sequence[Wanted]) -> list[Published]:
    """Some runs as a ledger has them.

    Args:
        objects: Where it is.
        tree: The ledger's tree.
        wanted: The runs.

    Raises:
        LumoError: If it does not have one of them.
    """
    ledger = TreeFiles(objects, tree) if tree else None
    found, known = list[Published](), dict[str, str | None]()
    for each in wanted:
        above, _, name = each.folder.rpartition("/")
        entry = ledger.folder(above).get(name) if ledger else None
        run = trees.read_run(objects, entry.id) if entry and entry.is_tree else None
        if run is None or run.uid != each.uid:
            place = each.folder.split("/")  # a stranger may have moved it
            names = [each.name, (place[0], place[-1].partition("~")[0])]
            run = trees.find(objects, tree, each.uid, names)
        if run is None:
            raise LumoError(
                f"{'/'.join(each.name)} is not published yet\ntype 'git lumo status' to see what it waits for"
            )
        found.append(Published(run, TreeFiles(objects, run.folder), known))
    return found


def stand_apart(
    home: Home, runs: Sequence[Published], base: str | None, code: Collection[str]
) -> tuple[str, str | None]:
    """The event that has some runs beside what another ledger has; see :meth:`Ledger.stand_apart`.

    Args:
        home: The repository here.
        runs: The runs.
        base: The other ledger's tip; None: an empty one.
        code: Their code, as far as it goes along.
    """
    message = layout.event_message([each.event() for each in runs])
    staging = Staging(home.repository.objects)
    return home.ledger.stand_apart(staging, base, [each.run for each in runs], message, code)


def codes(home: Home, runs: Sequence[Published], tips: Collection[str]) -> list[str]:
    """The commits that runs name as their code.

    A stranger may have written them there. Only what the ledger itself reaches goes along: never another commit of
    mine.

    Args:
        home: The repository here.
        runs: The runs.
        tips: Of the ledger.
    """
    named = list(dict.fromkeys(each.code for each in runs if each.code))
    if any(are_in(home.repository, named, tip) for tip in tips):
        return named
    return [commit for commit in named if any(are_in(home.repository, [commit], tip) for tip in tips)]
