"""Locks on files (flock(2)): an open descriptor holds one, so who dies lets go; no child inherits it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator

PAUSE = 0.005


@contextlib.contextmanager
def alone(path: str, patience: float, refuse: Callable[[], Exception]) -> Iterator[None]:
    """Alone among the processes that hold a file's lock; where there are no locks, with whoever else is there.

    Args:
        path: The file; it is made, with its folder.
        patience: How many seconds to wait for another process.
        refuse: Makes the error that is raised then.

    Raises:
        OSError: If the file cannot be made.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        until = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise refuse() from None
                time.sleep(PAUSE)
            except OSError:
                break  # a file system without locks
        yield
    finally:
        os.close(fd)
