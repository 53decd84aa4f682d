"""Sharing some runs only: a commit that has these beside what the remote has, and nothing else of this ledger.

It is an event as any other. Where both ledgers meet, they join by uid: nothing is there twice, and the rest can follow.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from gitlumo.errors import LumoError
from gitlumo.git import pack
from gitlumo.git.objects import Staging, read_commit
from gitlumo.home import Home
from gitlumo.share import remotes
from gitlumo.share.remotes import Remote
from gitlumo.store import layout, trees
from gitlumo.store.join import Run
from gitlumo.store.query import TreeFiles
from gitlumo.store.record import RUNNING, Record, best_facts

_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Selection:
    """Some runs of a ledger, to be put on top of a remote's ledger."""

    def __init__(self, home: Home, remote: Remote, runs: Sequence[Record]):
        self._home = home
        self._remote = remote
        self._wanted = [(run.uid, (str(run.info("exp_name")), str(run.info("test_name"))), run.folder) for run in runs]
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
        staging = Staging(self._home.repository.objects)
        tree = read_commit(staging, local).tree
        runs = [_find(staging, tree, *wanted) for wanted in self._wanted]
        code = [
            commit for commit in map(partial(_code, staging), runs) if commit and staging.is_ancestor(commit, local)
        ]
        message = layout.event_message([_event(staging, run) for run in runs])
        commit, base_path = self._home.ledger.stand_apart(staging, base, runs, message, dict.fromkeys(code))
        if base_path:
            self._packs.append(base_path)
        return commit


def _find(staging: Staging, tree: str, uid: str, name: tuple[str, str], folder: str) -> Run:
    place = folder.split("/")  # a stranger may have moved it
    run = trees.find(staging, tree, uid, [name, (place[0], place[-1].partition("~")[0])])
    if run is None:
        raise LumoError(f"{'/'.join(name)} is not published yet\ntype 'git lumo status' to see what it waits for")
    return run


def _event(staging: Staging, run: Run) -> tuple[str, str, str]:
    """Kind, uid and subject of the event that shares a run."""
    record, name = _record(staging, run), "/".join(run.name)
    kind = "checkpoint" if record.state == RUNNING else "end"
    return kind, run.uid, layout.event_subject(name, record.state, best_facts(record.metrics))


def _code(staging: Staging, run: Run) -> str | None:
    """The commit that a run names as its code.

    A stranger may have written it there. Only what the ledger itself reaches goes along: never another commit of mine.
    """
    git = _record(staging, run).info("git")
    commit = git.get("commit") if isinstance(git, dict) else None
    return commit if isinstance(commit, str) and _ID.fullmatch(commit) else None


def _record(staging: Staging, run: Run) -> Record:
    files = TreeFiles(staging, run.folder)
    return Record(files.read, files.paths, "/".join(run.name))
