"""The terminal as git treats it: pager, colour, width, and no control characters from recorded data."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import IO

from gitlumo.git import process

_COLOURS = {"green": "32", "red": "31", "yellow": "33", "cyan": "36", "bold": "1", "dim": "2"}
STATE_COLOURS = {"finished": "green", "failed": "red", "killed": "red", "running": "yellow"}
_BAR = 20  # characters
CLEAR = "\033[H\033[2J"  # the cursor home, the screen empty (ECMA-48)
_BAD = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: str, *, newlines: bool = False) -> str:
    """A text without what could steer a terminal: control and format characters become ``?``.

    Args:
        text: From a record, or an error that quotes one.
        newlines: Whether newlines and tabs stay.
    """
    kept = "\n\t" if newlines else ""
    return "".join(c if c in kept or unicodedata.category(c) not in _BAD else "?" for c in text)


def width_of(text: str) -> int:
    """How many columns a text takes: wide East Asian characters and emoji two, combining marks none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def shorten(text: str, width: int) -> str:
    """A text of at most ``width`` columns, cut with an ellipsis."""
    if width_of(text) <= width:
        return text
    result, used = "", 0
    for char in text:
        if used + width_of(char) > width - 1:
            break
        result += char
        used += width_of(char)
    return result + "…"


class Screen:
    """Where a verb prints: perhaps through a pager, perhaps in colour.

    Attributes:
        colour: Whether colours are shown.
        width: Columns of the terminal; None where it is none.
    """

    def __init__(self, out: IO[str], colour: bool, width: int | None):
        self._out = out
        self.has_printed = False
        self.colour = colour
        self.width = width

    def line(self, text: str = "") -> None:
        """Print one line."""
        self.has_printed = True
        self._out.write(text + "\n")

    def paint(self, text: str, colour: str | None) -> str:
        """A text in a colour, where colours are shown."""
        return f"\033[{_COLOURS[colour]}m{text}\033[m" if self.colour and colour and text else text


def bar(done: int, total: int, failed: int) -> str:
    """How far some jobs are."""
    filled = _BAR * done // max(1, total)
    lost = f", {failed} failed" if failed else ""
    return f"[{'#' * filled}{'.' * (_BAR - filled)}] {done}/{total}{lost}"


def align(cells: list[list[str]], right: Collection[int] = ()) -> list[str]:
    """Rows of cells as lines of equal columns.

    Args:
        cells: Rows of equally many cells.
        right: Columns that are aligned to the right.
    """
    widths = [max(map(width_of, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(_pad(*cell, i in right) for i, cell in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in cells
    ]


def _pad(cell: str, width: int, right: bool) -> str:
    space = " " * (width - width_of(cell))
    return space + cell if right else cell + space


@contextlib.contextmanager
def screen(config: Mapping[str, Sequence[str]], git_args: Sequence[str], *, paged: bool = True) -> Iterator[Screen]:
    """Open the screen: a pager on a terminal, as ``git var GIT_PAGER`` names it, and colours as ``color.ui`` says.

    Args:
        config: git's configuration.
        git_args: Arguments that name the repository to git.
        paged: Whether what is printed may be long.
    """
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    terminal = sys.stdout.isatty()
    colour = _wants_colour(config, terminal)
    import shutil

    columns = shutil.get_terminal_size().columns if terminal else None
    pager = _pager(config, git_args) if terminal and paged else None
    if pager is None:
        yield Screen(sys.stdout, colour, columns)
        return
    env = {"LESS": "FRX", "LV": "-c"} | dict(os.environ)
    shown = subprocess.Popen(
        ["sh", "-c", pager], stdin=subprocess.PIPE, env=env, encoding="utf-8", errors="backslashreplace"
    )
    assert shown.stdin is not None
    try:
        yield Screen(shown.stdin, colour, columns)
    finally:
        with contextlib.suppress(BrokenPipeError):
            shown.stdin.close()
        while True:
            try:
                shown.wait()
                break
            except KeyboardInterrupt:  # Ctrl-C is the pager's, as in git
                continue


def _pager(config: Mapping[str, Sequence[str]], git_args: Sequence[str]) -> str | None:
    if (config.get("pager.lumo") or ["true"])[-1].lower() in ("false", "no", "off", "0"):
        return None
    told = process.run([*git_args, "var", "GIT_PAGER"], check=False)
    pager = told.out.decode().strip()
    return None if told.status != 0 or pager in ("", "cat") else pager


def _wants_colour(config: Mapping[str, Sequence[str]], terminal: bool) -> bool:
    choice = (config.get("color.lumo") or config.get("color.ui") or ["auto"])[-1].lower()
    if choice in ("always",):
        return True
    if choice in ("never", "false", "no", "off", "0"):
        return False
    return terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") not in ("", "dumb")
