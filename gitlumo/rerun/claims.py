"""Which jobs are being done on this machine: two that work on one sweep, or redo the same runs, never do one twice."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator

from gitlumo.errors import LumoError
from gitlumo.rerun.many import Job
from gitlumo.store.claim import hold


class Claims:
    """The jobs that this process has taken on: a locked file each, until it has ended or this process dies."""

    def __init__(self, lumo_dir: str, is_due: Callable[[Job], bool]):
        """Begin with none.

        Args:
            lumo_dir: Where the repository's runs are.
            is_due: Whether a job is still to be done, as the ledger says now.
        """
        self._folder, self._is_due = os.path.join(lumo_dir, "jobs"), is_due
        self._held: dict[str, int] = {}

    def still_due(self, jobs: Iterable[Job], passed_over: Callable[[], None]) -> Iterator[Job]:
        """The jobs that nobody has done meanwhile, or does now; each of them is this process's from here on."""
        for job in jobs:
            if self._take(job.key) and self._is_due(job):
                yield job
            else:
                self.let_go(job)
                passed_over()

    def _take(self, key: str) -> bool:
        with contextlib.suppress(OSError):  # where no file can be made, no run can be recorded, either
            os.makedirs(self._folder, exist_ok=True)
            fd = hold(self._path(key))
            if fd is None:
                return False
            self._held[key] = fd
        return True

    def let_go(self, job: Job) -> None:
        """A job has ended, or is not to be done."""
        fd = self._held.pop(job.key, None)
        if fd is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._path(job.key))
            os.close(fd)

    def _path(self, key: str) -> str:
        return os.path.join(self._folder, hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:32])

    @contextlib.contextmanager
    def alone(self, key: str, what: str) -> Iterator[None]:
        """Within it no other process does the same as a whole.

        Raises:
            LumoError: If one does.
        """
        job = Job(what, (), key)
        if not self._take(key):
            raise LumoError(f"another process goes on with {what}; when it has ended, the same command goes on")
        try:
            yield
        finally:
            self.let_go(job)
