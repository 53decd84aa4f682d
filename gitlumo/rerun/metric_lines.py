"""Metrics of programs in any language: lines of JSON in a file, and patterns found in what they print.

The file is named by ``$LUMO_METRICS``; a line is one call: ``{"step": 3, "loss": 0.31, "acc": 0.9}``.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from gitlumo.errors import UsageError

VARIABLE = "LUMO_METRICS"
_MAX_LINE = 1024 * 1024
_ESCAPES = re.compile(rb"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")  # ECMA-48, and titles
_STEP = "step"


@dataclass(frozen=True)
class Call:
    """Values of some metrics, and their step; None: the next."""

    metrics: dict[str, float | int]
    step: int | None


class MetricFile:
    """The file into which a program writes, read while it grows."""

    def __init__(self, path: str):
        """Make it, empty; where that is not possible, ``trouble`` says why, and what is written goes nowhere."""
        self.path = path
        self.bad = 0
        self.trouble: OSError | None = None
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            self._fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        except OSError as error:
            self.trouble, self.path = error, os.devnull
            self._fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._at = 0
        self._rest = b""

    def calls(self, *, last: bool = False) -> Iterator[Call]:
        """What has come since; lines that are no such JSON are counted as ``bad`` and passed over.

        Args:
            last: Whether nothing more will come: then a line without its end counts.
        """
        size = os.fstat(self._fd).st_size
        if size < self._at:  # written anew
            self._at, self._rest = 0, b""
        while self._at < size and (piece := os.pread(self._fd, _MAX_LINE, self._at)):
            self._at += len(piece)
            *lines, self._rest = (self._rest + piece).split(b"\n")
            for line in lines:
                yield from self._call(line)
            if len(self._rest) > _MAX_LINE:
                self._rest = b"\0"  # which no JSON has: the line will not count, whatever comes
        if last and self._rest:
            rest, self._rest = self._rest, b""
            yield from self._call(rest)

    def _call(self, line: bytes) -> Iterator[Call]:
        if not line.strip():
            return
        try:
            found = json.loads(line, parse_float=float)
        except (ValueError, RecursionError):
            found = None
        step = found.pop(_STEP, None) if isinstance(found, dict) else None
        numbers = {key: _number(value) for key, value in found.items()} if isinstance(found, dict) else {}
        metrics = {key: number for key, number in numbers.items() if number is not None}
        if len(metrics) < len(numbers) or not metrics or not (step is None or type(step) is int):
            self.bad += 1
        if metrics:
            yield Call(metrics, step if type(step) is int else None)

    def close(self) -> None:
        """Take the file away."""
        os.close(self._fd)
        if self.trouble is None:
            with contextlib.suppress(OSError):  # somebody has done so
                os.unlink(self.path)


def _number(value: object) -> float | int | None:
    if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    return value if type(value) in (int, float) else None  # type: ignore[return-value]


class Patterns:
    """Regular expressions that find metrics in what a program prints, line by line."""

    def __init__(self, patterns: list[str]):
        r"""Take them.

        Args:
            patterns: Each with named groups, which name the metrics (and ``step``): ``loss=(?P<loss>\S+)``; or with two
                groups without names: a metric's name and its value.

        Raises:
            UsageError: If one is no regular expression, or has no such groups.
        """
        self._patterns = [_compiled(pattern) for pattern in patterns]
        self._rest: dict[str, bytes] = {}

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._patterns)

    def calls(self, stream: str, data: bytes) -> Iterator[Call]:
        """What the lines that a stream has finished say.

        Args:
            stream: Its name.
            data: The next piece of it.
        """
        *lines, rest = re.split(rb"[\r\n]+", self._rest.get(stream, b"") + data)
        self._rest[stream] = rest[-_MAX_LINE:]
        for line in lines:
            yield from self._call(line)

    def rest(self) -> Iterator[Call]:
        """What the last lines say, which have no end."""
        for stream, line in self._rest.items():
            self._rest[stream] = b""
            yield from self._call(line)

    def _call(self, line: bytes) -> Iterator[Call]:
        text = _ESCAPES.sub(b"", line).decode("utf-8", "replace")
        metrics: dict[str, float | int] = {}
        step: int | None = None
        for pattern in self._patterns:
            for match in pattern.finditer(text):
                named = match.groupdict() or {match[1]: match[2]}
                for key, value in named.items():
                    number = _parsed(value)
                    if key == _STEP and type(number) is int:
                        step = number
                    elif number is not None and key != _STEP:
                        metrics[key] = number
        if metrics:
            yield Call(metrics, step)


def is_pattern(text: str) -> bool:
    """Whether a text is a pattern that finds metrics."""
    try:
        _compiled(text)
    except UsageError:
        return False
    return True


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--metric {pattern!r} is no regular expression: {error}") from None
    if not found.groupindex and found.groups != 2:
        raise UsageError(
            f"--metric {pattern!r} does not say which metric it finds\n"
            r"name its group, 'loss=(?P<loss>\S+)', or give a group for the name and one for the value, '(\w+)=(\S+)'"
        )
    return found


def _parsed(text: str | None) -> float | int | None:
    if text is None:
        return None
    text = text.strip().rstrip(",;%")
    try:
        return int(text) if re.fullmatch(r"[-+]?\d+", text, re.ASCII) else float(text)
    except ValueError:
        return None
