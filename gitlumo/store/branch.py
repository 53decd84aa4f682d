"""The ledger's branch as readers see it: which tips there are, and the join of their trees. Nothing here writes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gitlumo.config import BRANCH, Settings
from gitlumo.errors import GitError, LumoError, MissingObject, NotALedger
from gitlumo.git.objects import Commit, Objects, Staging, read_commit
from gitlumo.git.repository import Location, Repository
from gitlumo.store import merging, trees

RECENT = 100


@dataclass(frozen=True)
class View:
    """A ledger as a reader sees it: the join of the local and the remote-tracking branches.

    Attributes:
        objects: Where its objects are, also those that only the join made.
        tree: The id of its tree; None: there is no ledger.
        tips: Ref name to commit id of each ledger that is in it.
        location: The repository.
    """

    objects: Objects
    tree: str | None
    tips: dict[str, str]
    location: Location


class Branch:
    """The branch that holds the ledger, and its remote-tracking kin.

    Attributes:
        repository: Where it is.
        settings: The repository's settings.
        lumo_dir: gitlumo's folder in the git common dir.
    """

    def __init__(self, repository: Repository, settings: Settings):
        self.repository = repository
        self.settings = settings
        self.lumo_dir = repository.location.lumo_dir
        self._hint = os.path.join(self.lumo_dir, "tip")
        self._ledgers: dict[str, bool] = {}

    def tips(self) -> dict[str, str]:
        """The tips of all ledgers here: the local branch first, then remote-tracking ones; ref name to commit id.

        Raises:
            NotALedger: If the local branch holds something else.
        """
        ref = self.settings.ref
        local = self.repository.refs.read(ref)
        if local and not self.is_ledger(local):
            raise NotALedger(
                f"the branch {self.settings.branch} is not a ledger of runs but holds commits of another kind\n"
                f"{self._other_name()}"
            )
        found = {ref: local} if local else {}
        ending = f"/{self.settings.branch}"
        for name, id in self.repository.refs.list("refs/remotes/").items():
            if name.endswith(ending) and name.count("/") >= 3 and self.is_ledger(id):
                found[name] = id
        return found

    def _other_name(self) -> str:
        """What to type where the branch is somebody's: the ledger moves, the user's branch is left alone."""
        if self.settings.branch != BRANCH:
            return f"give the ledger another name:  git config lumo.branch {BRANCH}"
        return (
            "give the ledger another name:  git config lumo.branch lumo_runs\n"
            f"or that branch:                git branch -m {BRANCH} {BRANCH}-old"
        )

    def is_ledger(self, tip: str) -> bool:
        """Whether a commit, or a recent one on its first-parent line, bears a ``Lumo-Format`` trailer."""
        if tip not in self._ledgers:
            objects = self.repository.objects
            if not objects.has(tip):  # a gc may have put it into another pack just now
                objects.refresh()
            read_commit(objects, tip)  # what cannot be read is not "no ledger"
            self._ledgers[tip] = any(commit.trailers("Lumo-Format") for _, commit in self._line(tip, RECENT))
        return self._ledgers[tip]

    def _line(self, tip: str, limit: int) -> Iterator[tuple[str, Commit]]:
        """The first-parent line from a commit; in a shallow clone it ends early."""
        at: str | None = tip
        for _ in range(limit):
            if at is None:
                return
            try:
                commit = read_commit(self.repository.objects, at)
            except (MissingObject, GitError):
                return
            yield at, commit
            at = commit.parents[0] if commit.parents else None

    def view(self) -> View:
        """The joined tree of all ledgers here; writes nothing.

        Raises:
            NotALedger: If the local branch holds something else.
            LumoError: If the branch was deleted.
        """
        tips = self.tips()
        if not tips and self.lost_tip():
            raise LumoError(
                f"the branch {self.settings.branch} was deleted (it was at {str(self.lost_tip())[:12]})\n"
                "type 'git lumo recover' to bring it back"
            )
        if self.repository.is_partial:
            self.complete()
        staging = Staging(self.repository.objects)
        tree = self.joined(staging, tips.values())
        return View(staging if staging.new else staging.base, tree, tips, self.repository.location)

    def joined(self, staging: Staging, tips: Iterable[str]) -> str | None:
        """The tree of the join of some ledgers; None: of none.

        Raises:
            MissingObject: If one of the tips is not there any more.
        """
        tree: str | None = None
        for tip in merging.heads(staging, tips):
            tree = trees.join_trees(staging, tree, read_commit(staging, tip).tree)
        return tree

    def complete(self) -> None:
        """Have git bring what the tips' trees lack in a partial clone.

        Raises:
            GitError: If the remote does not give it.
        """
        from gitlumo.git.partial import bring

        bring(self.repository, self.tips().values())

    def lost_tip(self) -> str | None:
        """The tip to which this repository last moved the branch, if the branch is gone and the commit is not."""
        if self.repository.refs.read(self.settings.ref):
            return None
        try:
            with open(self._hint, encoding="ascii") as source:
                branch, _, tip = source.read().strip().rpartition(" ")
        except (OSError, ValueError):
            return None
        found = branch == self.settings.branch and self.repository.objects.has(tip) and self.repository.is_whole(tip)
        return tip if found else None

    def has_snapshot(self, commit: str) -> bool:
        """Whether a recent event of the local branch already reaches a snapshot."""
        tip = self.repository.refs.read(self.settings.ref)
        return bool(tip) and any(commit in found.parents[1:] for _, found in self._line(tip or "", RECENT))

    def has_code(self, commit: str) -> bool:
        """Whether a run's code is here: in the object database, or waiting for the event that brings it."""
        return os.path.exists(self.code_pack(commit) + ".idx") or self.repository.objects.has(commit)

    def code_pack(self, snapshot: str) -> str:
        """Where a snapshot's objects wait for the event that brings them: a pack and its index, path without ending."""
        return os.path.join(self.lumo_dir, "code", snapshot)
