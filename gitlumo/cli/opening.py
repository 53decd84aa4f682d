"""What every verb begins with: the repository, its settings, its branch, its runs."""

from __future__ import annotations

import argparse
from functools import cached_property
from typing import TYPE_CHECKING

from gitlumo.config import read_settings
from gitlumo.git import process
from gitlumo.git.repository import open_repository
from gitlumo.home import Home

if TYPE_CHECKING:
    from gitlumo.store.branch import Branch
    from gitlumo.store.index import Index
    from gitlumo.store.query import Runs


class Opened(Home):
    """A repository that a verb works on."""

    @cached_property
    def branch(self) -> Branch:
        """The ledger's branch."""
        from gitlumo.store.branch import Branch

        return Branch(self.repository, self.settings)

    def index(self) -> Index | None:
        """The index, if it is of the tips that are there; neither an engine nor an object is needed for it."""
        from gitlumo.store.index import peek

        return peek(self.lumo_dir, self._tips())

    def _tips(self) -> set[str]:
        """Where the ledger's branch and its remote-tracking kin are; git says so sooner than an engine is there."""
        ref, ending = self.settings.ref, f"/{self.settings.branch}"
        words = ["for-each-ref", "--format=%(objectname) %(refname)", ref, "refs/remotes/"]
        out = process.ask([*self.repository.git_args, *words]).out.decode("utf-8", "surrogateescape")
        pairs = (line.split(" ", 1) for line in out.split("\n")[:-1])
        return {id for id, name in pairs if name == ref or (name.endswith(ending) and name.count("/") >= 3)}

    def runs(self) -> Runs:
        """All runs: those of the ledgers here, and those that wait to be published.

        Raises:
            LumoError: If the ledger cannot be read.
        """
        from gitlumo.store.pending import pending_runs
        from gitlumo.store.query import Runs

        view = self.branch.view()
        return Runs(view.objects, view.tree, pending_runs(self.branch))

    @property
    def cache_root(self) -> str:
        """Where the index lies if the repository cannot be written."""
        from gitlumo.beginning import roots

        return roots(self.settings, self.lumo_dir)["cache_root"]


def open_here() -> Opened:
    """Open the repository of the current folder, or of ``GIT_DIR``.

    Raises:
        NotARepository: If there is none.
        UsageError: If ``lumo.branch`` makes no sense.
    """
    repository = open_repository()
    return Opened(repository, read_settings(repository.config))


def natural(text: str) -> int:
    """An argparse type: an integer that is not negative."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0")
    return value


def positive(text: str) -> int:
    """An argparse type: an integer from 1."""
    value = natural(text)
    if value < 1:
        raise argparse.ArgumentTypeError("it can be 1 or more")
    return value


def seconds(text: str) -> float:
    """An argparse type: how often something is done."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.1")
    return value
