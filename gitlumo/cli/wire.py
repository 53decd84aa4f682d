"""git's progress on the terminal, as git shows it."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator

from gitlumo.git.transport import Show

_STEERING = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")  # a server's messages are data; git ends lines with \r, \n


def show(quiet: bool = False) -> Show | None:
    """Where git's messages go: to the terminal on standard error, if it is one."""
    if quiet or not sys.stderr.isatty():
        return None
    return _relay


def _relay(data: bytes) -> None:
    sys.stderr.buffer.write(_STEERING.sub(b"?", data))
    sys.stderr.buffer.flush()


@contextlib.contextmanager
def interruptible(verb: str, means: str = "goes on, and nothing is lost") -> Iterator[None]:
    """On Ctrl-C say what that means."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"interrupted; 'git lumo {verb}' again {means}", file=sys.stderr)
        raise
