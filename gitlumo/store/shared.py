"""A run that two processes write: who runs a command, and the script in it, which has adopted the run."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from typing import Any

from gitlumo import values
from gitlumo.store import layout
from gitlumo.store.journal import TEMPORARY, Journal, write_whole

_NOTE = TEMPORARY + "adopter"  # in the run's folder: which process has adopted it


class SharedJournal(Journal):
    """The writer of a folder in which another process writes history, too, and which that one may move."""

    def __init__(
        self,
        where: Callable[[], str],
        trouble: Callable[[OSError], None],
        guard: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
    ):
        """Open a folder that exists.

        Args:
            where: Says where it lies now.
            trouble: See :class:`Journal`.
            guard: Within it nobody moves the folder.
        """
        super().__init__(where(), trouble)
        self._where, self._guard = where, guard

    def _write(self, line: bytes) -> None:
        self._all_but_newline = False
        if self._fd >= 0 and not self._is_ours():
            self._fd = -1
        while not self._take():
            self.close()
            self._chunk += 1
        try:
            self._put(line)
        finally:
            if self._fd >= 0:
                _lock(self._fd, False)

    def _take(self) -> bool:
        """Lock the chunk, and see how long it is now; False: it is full, or there is one after it."""
        is_new = self._fd < 0
        if is_new:
            self._open()
        _lock(self._fd, True)
        if not is_new and os.fstat(self._fd).st_size == self._size:  # nobody else has written
            return True
        self._look()
        following = os.path.join(self.info_dir, layout.chunk_path(self._chunk + 1))
        return self._size < layout.HISTORY_CHUNK and not os.path.exists(following)

    def _open(self) -> None:
        with self._guard():
            self.info_dir = self._where()
            super()._open()


def _lock(fd: int, on: bool) -> None:
    import fcntl

    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(fd, fcntl.LOCK_EX if on else fcntl.LOCK_UN)


def write_note(info_dir: str, pinfo: values.Json, image: str | None, *, ended: bool) -> None:
    """Note which process has adopted a run.

    Args:
        info_dir: The run's folder.
        pinfo: The process, as ``info/pinfo.json`` describes one.
        image: See :func:`gitlumo.machine.image_of`.
        ended: Whether it has recorded all that it will.

    Raises:
        OSError: If that cannot be written.
    """
    note = {"pinfo": pinfo, "image": image, "ended": ended}
    write_whole(os.path.join(info_dir, _NOTE), json.dumps(note).encode())


def read_note(info_dir: str) -> dict[str, Any] | None:
    """What :func:`write_note` has noted; None: nothing."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        with open(os.path.join(info_dir, _NOTE), "rb") as source:
            note = json.load(source)
        if isinstance(note["pinfo"]["obj"], dict):
            return {"pinfo": note["pinfo"], "image": note["image"], "ended": note["ended"] is True}
    return None
