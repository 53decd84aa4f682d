"""A second process that reads runs for the index while the first one does, on another core.

It is asked in lines of JSON and answers in such. It ends with the first one, whatever becomes of that; and where it
does not start, or cannot read what the first one can, the first one reads alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Generator

from gitlumo.git import process
from gitlumo.git.objects import Staging
from gitlumo.git.repository import Location, Repository
from gitlumo.store.branch import View
from gitlumo.store.reading import Part, Places, read_part

ENOUGH = 1000  # runs that are read alone: a process takes as long to start
_READY = b"ready\n"


def parts(view: View, take: Callable[[int], Places | None], size: int) -> Generator[Part]:
    """Read runs, in no order; to be closed.

    Args:
        view: The ledger.
        take: Gives so many runs of those that are left; None: there are no more.
        size: How many at once.
    """
    second, given, alone = None, None, ENOUGH
    try:
        while (batch := take(size)) is not None:
            yield read_part(view.objects, batch)
            if 0 < alone <= len(batch):
                second = _second(view)
            alone -= len(batch)
            if second:
                before, found = given, second.take() if given else None
                given = take(size * 3 // 2) if second.is_ready else None  # more, because it does not write
                second.give(given)
                if before:
                    yield found or read_part(view.objects, before)
        if second and given:
            yield second.take() or read_part(view.objects, given)
    finally:
        if second:
            second.close()


def _second(view: View) -> SecondReader | None:
    """A second process, if one can help."""
    ours = isinstance(view.objects, Staging) and view.objects.new  # trees that nobody else has
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if sys.executable and cores > 1 and not ours:
        with contextlib.suppress(OSError):
            return SecondReader(view.location)
    return None


class SecondReader:
    """The second process, as the first one sees it."""

    def __init__(self, location: Location):
        """Start it.

        Args:
            location: The repository.
        """
        self.is_broken = False
        self._said_ready = False
        self._child = process.Child(
            [sys.executable, "-P", "-m", "gitlumo.store.second_reader", json.dumps(location._asdict())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=process.environment(),
        )
        assert self._child.stdin
        assert self._child.stdout
        self._questions, self._answers = self._child.stdin, self._child.stdout

    @property
    def is_ready(self) -> bool:
        """Whether it has started, and is one of ours."""
        if not self._said_ready and not self.is_broken:
            poll = select.poll()
            poll.register(self._answers, select.POLLIN)
            if poll.poll(0):
                self._said_ready = self._answers.readline() == _READY
                self.is_broken = not self._said_ready
        return self._said_ready and not self.is_broken

    def give(self, places: Places | None) -> None:
        """Give it runs to read."""
        if places:
            try:
                self._questions.write(json.dumps(places).encode() + b"\n")
                self._questions.flush()
            except OSError:
                self.is_broken = True

    def take(self) -> Part | None:
        """What it was given, read; None if it has not read it, or has found damages, which may be its own."""
        part = None
        if not self.is_broken:
            with contextlib.suppress(OSError, ValueError):
                part = _from_json(self._answers.readline())
        self.is_broken = part is None
        return part

    def close(self) -> None:
        """End it."""
        process.kill(self._child, group=False)


def _to_json(part: Part) -> str:
    if any(run[-1] for run in part.runs):
        raise ValueError("what is damaged is not ours to say")
    return json.dumps(part, default=lambda held: [held.decode()], ensure_ascii=False, separators=(",", ":"))


def _from_json(text: bytes) -> Part:
    runs, facts = json.loads(text)
    for column in facts.values():
        column[1] = [held[0].encode() if type(held) is list else held for held in column[1]]
    return Part(runs, facts)


def main() -> None:
    """Read what is asked for, until there are no more questions."""
    objects = Repository(Location(**json.loads(sys.argv[1]))).objects
    out = sys.stdout.buffer
    out.write(_READY)
    out.flush()
    for line in sys.stdin.buffer:
        out.write(_to_json(read_part(objects, json.loads(line))).encode() + b"\n")
        out.flush()


if __name__ == "__main__":
    main()
