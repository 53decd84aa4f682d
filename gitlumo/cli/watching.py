"""``git lumo log --watch``: the same again and again, with what a remote has got meanwhile."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable

from gitlumo.cli import log
from gitlumo.cli.opening import open_here
from gitlumo.cli.terminal import CLEAR, printable, shorten
from gitlumo.cli.wire import interruptible, show
from gitlumo.errors import LumoError, UsageError
from gitlumo.share import exchange, remotes
from gitlumo.share.live import within

REDRAW_SECONDS = 2.0
FETCH_SECONDS = 10.0
PATIENCE = 60.0  # seconds that a fetch may take
AROUND = 5  # lines of the screen that are not rows: ours, the heads, columns left out, the cursor's


def fetch_first(name: str) -> None:
    """Fetch a remote's runs, as ``git lumo fetch`` does.

    Args:
        name: The remote; empty: the one that is meant without a name.
    """
    home = open_here()
    with interruptible("fetch"):
        exchange.fetch(home, remotes.choose(home, name or None), show())
    home.repository.close()


def watch(args: argparse.Namespace, draw: Callable[[argparse.Namespace], int]) -> int:
    """Draw what was asked for until Ctrl-C, which ends the program with 130.

    Raises:
        UsageError: If there is no terminal.
        LumoError: If there is no such remote; but one that cannot be reached now is asked again.
    """
    if not sys.stdout.isatty():
        raise UsageError("--watch draws on a terminal again and again, and standard output is none; leave it out")
    os.environ["GIT_PAGER"] = "cat"
    sys.stdout.reconfigure(line_buffering=False)  # type: ignore[union-attr]  # a picture comes as a whole
    pause = args.watch or (REDRAW_SECONDS if args.remote is None else FETCH_SECONDS)
    source = _Source(args.remote) if args.remote is not None else None
    is_first, whole = True, args.number == log.ROWS
    while True:
        if source and not is_first:
            source.ask()
        size = shutil.get_terminal_size()
        if whole:  # nobody has said how many rows
            args.number = min(log.ROWS, max(1, size.lines - AROUND))
        heading = f"{time.strftime('%H:%M:%S')}{f'  {source.said}' if source else ''}"
        print(CLEAR + shorten(printable(heading), size.columns))
        draw(args)
        sys.stdout.flush()
        if not (source and is_first):
            time.sleep(pause)
        is_first = False


class _Source:
    """The remote from which news come.

    Attributes:
        said: How it answered last.
    """

    def __init__(self, name: str):
        home = open_here()
        self._name = remotes.choose(home, name or None).name
        home.repository.close()
        self._since = ""
        self.said = f"asking {self._name}"

    def ask(self) -> None:
        """Fetch what it has got."""
        home = open_here()
        try:
            with within(PATIENCE):
                exchange.fetch(home, remotes.choose(home, self._name))
            self._since = time.strftime("%H:%M:%S")
            self.said = f"{self._name} as of now"
        except LumoError as error:
            known = f"as of {self._since}" if self._since else "not asked yet"
            self.said = f"{self._name} {known}: {str(error).partition(chr(10))[0]}"
        finally:
            home.repository.close()
