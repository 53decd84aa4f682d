"""One at a time: whoever wants to own a run, to publish what a dead owner has left, or to do what others might do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from gitlumo import locks
from gitlumo.errors import StateError

PATIENCE = 10.0


@contextlib.contextmanager
def alone(lumo_dir: str) -> Iterator[None]:
    """Alone among this repository's processes that take over runs or recover them; who dies lets go.

    Raises:
        StateError: If another process does not let go for :data:`PATIENCE` seconds.
        OSError: If the lock's file cannot be made.
    """
    path = os.path.join(lumo_dir, "claim")
    said = (
        f"another process has been taking over or recovering runs for {PATIENCE:.0f} seconds\n"
        f"type 'fuser {path}' to see which"
    )
    with locks.alone(path, PATIENCE, lambda: StateError(said)):
        yield


def hold(path: str) -> int | None:
    """A descriptor that holds the flock of a file; None: another process has it, or has just removed the file.

    Raises:
        OSError: If there can be no such file.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    try:
        import fcntl

        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.stat(path), os.fstat(fd)):
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    except ImportError:  # a system without flock
        return fd
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None
