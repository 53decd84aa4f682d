"""The repository here with its settings: what verbs and sharing begin with. What reads its ledger is imported later."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

from gitlumo.config import Settings
from gitlumo.git.repository import Repository

if TYPE_CHECKING:
    from gitlumo.store.ledger import Ledger


class Home:
    """A repository and its settings."""

    def __init__(self, repository: Repository, settings: Settings):
        self.repository = repository
        self.settings = settings

    @property
    def lumo_dir(self) -> str:
        """Where everything of gitlumo lies in it."""
        return self.repository.location.lumo_dir

    @property
    def is_recording(self) -> bool:
        """Whether runs are registered here; see :func:`gitlumo.store.register.open_runs`."""
        try:
            return bool(os.listdir(os.path.join(self.lumo_dir, "open")))
        except OSError:
            return False

    @cached_property
    def ledger(self) -> Ledger:
        """Its ledger, to write to."""
        from gitlumo.store.ledger import Ledger

        return Ledger(self.repository, self.settings)
