"""What every verb begins with: the repository, its settings, its branch, its runs."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitlumo.config import Settings, read_settings
from gitlumo.git.repository import Repository, open_repository
from gitlumo.store.branch import Branch

if TYPE_CHECKING:
    from gitlumo.store.query import Runs


@dataclass(frozen=True)
class Opened:
    """A repository that a verb works on."""

    repository: Repository
    settings: Settings
    branch: Branch

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

        return roots(self.settings, self.branch.lumo_dir)["cache_root"]


def open_here() -> Opened:
    """Open the repository of the current folder, or of ``GIT_DIR``.

    Raises:
        NotARepository: If there is none.
        UsageError: If a setting makes no sense.
    """
    repository = open_repository()
    settings = read_settings(repository.config)
    return Opened(repository, settings, Branch(repository, settings))


def natural(text: str) -> int:
    """An argparse type: an integer that is not negative."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0")
    return value
