"""A tape of the git processes that a piece of code runs, to run the same ones bare."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gitlumo.git import process

_NULL: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)


class Tape:
    """Which git was started with what, what it read, and in which order they were started and waited for."""

    def __init__(self) -> None:
        self._steps: list[tuple[str, int]] = []
        self._commands: list[dict[str, Any]] = []
        self._read: dict[int, bytes | None] = {}

    def __len__(self) -> int:
        return len(self._commands)

    @property
    def words(self) -> list[str]:
        """The git commands' names."""
        return [
            next(w for w in c["args"] if w.replace("-", "").isalpha() and w[0] != "-" and w != "git")
            for c in self._commands
        ]

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record what is started meanwhile, git's upkeep in the background apart."""
        tape, child = self, process.Child

        class Recorded(child):  # type: ignore[misc, valid-type]
            def __init__(self, args: Any, **options: Any):
                self._at = len(tape._commands) if options.get("stdout") == subprocess.PIPE else -1
                if self._at >= 0:
                    tape._steps.append(("start", self._at))
                    tape._commands.append({"args": list(args), "cwd": options.get("cwd"), "env": options.get("env")})
                super().__init__(args, **options)

            def communicate(self, input: Any = None, timeout: float | None = None) -> Any:
                if self._at >= 0:
                    tape._read[self._at] = input
                    tape._steps.append(("wait", self._at))
                return super().communicate(input, timeout)

        process.Child = Recorded  # type: ignore[misc]
        try:
            yield
        finally:
            process.Child = child  # type: ignore[misc]

    def prepare(self, index: str) -> None:
        """Make the folders anew that the snapshot's processes work in."""
        for room in self._rooms():
            os.makedirs(os.path.join(room, "objects"))
            shutil.copy2(index, os.path.join(room, "index"))

    def play(self) -> None:
        """Run the same processes in the same order."""
        running: dict[int, subprocess.Popen[bytes]] = {}
        for what, at in self._steps:
            if what == "start":
                running[at] = subprocess.Popen(**self._commands[at], **_NULL)
            else:
                running.pop(at).communicate(self._read[at])

    def clear(self) -> None:
        """Take away what :meth:`prepare` made."""
        for room in self._rooms():
            shutil.rmtree(room)

    def _rooms(self) -> set[str]:
        places = (command["env"].get("GIT_INDEX_FILE") for command in self._commands if command["env"])
        return {os.path.dirname(place) for place in places if place}
