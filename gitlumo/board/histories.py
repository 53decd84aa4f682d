"""The curves of runs as numpy arrays: read once, and of a run that goes on only what is new."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gitlumo.store import layout
from gitlumo.store.record import Metric, Record, fold_into

if TYPE_CHECKING:
    import numpy as np

_loads: Callable[[bytes], Any]
try:
    from orjson import loads as _loads  # takes a fifth of the time
except ImportError:  # it is of an extra
    from json import loads as _loads

_OURS = frozenset({"step", "time", "$cmp", "$with"})
_MANY = 64  # metrics: then line by line is as fast


@dataclass
class Curve:
    """One metric of a run: equally many steps, times (seconds since its start) and values."""

    step: array[float] = field(default_factory=lambda: array("d"))
    time: array[float] = field(default_factory=lambda: array("d"))
    value: array[float] = field(default_factory=lambda: array("d"))

    def __len__(self) -> int:
        return len(self.value)

    def arrays(self, since: int = 0) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Copies as arrays, from a point on; another thread may be adding to it, the values last."""
        import numpy as np

        end = len(self.value)
        step, time, value = (np.array(each[since:end], dtype="float64") for each in (self.step, self.time, self.value))
        return step, time, value


Curves = dict[str, Curve]


def add(curves: Curves, lines: Iterable[layout.Line]) -> None:
    """Take in some lines of history."""
    for line in lines:
        for key, number in line.numbers.items():
            curve = curves.get(key)
            if curve is None:
                curve = curves[key] = Curve()
            curve.step.append(_float(line.step))
            curve.time.append(line.time)
            curve.value.append(_float(number))


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # an integer that no float holds
        return float("inf") if number > 0 else float("-inf")


def curves_of(record: Record) -> Curves:
    """All curves of a run."""
    curves: Curves = {}
    chunks = sorted((number, path) for path in record.paths() if (number := layout.chunk_number(path)) is not None)
    for _, path in chunks:
        data = record.read(path) or b""
        if not _add_whole(curves, data):
            add(curves, (line for raw in data.split(b"\n") if raw and (line := layout.parse_line(raw))))
    return curves


def _add_whole(curves: Curves, data: bytes) -> bool:
    """Take in a chunk in one piece, as nearly all can be: all its lines whole, all its numbers finite.

    Returns:
        False where it must be read line by line; then nothing was taken.
    """
    try:
        rows = _loads(b"[" + data.rstrip(b"\n").replace(b"\n", b",") + b"]")
        kinds = dict.fromkeys(map(tuple, rows))
        names = dict.fromkeys(name for kind in kinds for name in kind if name not in _OURS)
        if len(names) > _MANY or any(name.startswith("$") for name in names):
            return False
        found, shared = {}, {}
        for name in names:
            having = frozenset(kind for kind in kinds if name in kind)
            if having not in shared:
                some = rows if len(having) == len(kinds) else [row for row in rows if name in row]
                shared[having] = some, *(array("d", [row[each] for row in some]) for each in ("step", "time"))
            some, step, time = shared[having]
            found[name] = step, time, array("d", [row[name] for row in some])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return False
    for name, columns in found.items():
        curve = curves.setdefault(name, Curve())
        for there, more in zip((curve.step, curve.time, curve.value), columns, strict=True):
            there.extend(more)
    return True


class Tail:
    """The history of a run that goes on, read as it grows.

    Attributes:
        curves: All that there is so far.
        metrics: The same as summaries, for ``metrics.json``.
    """

    def __init__(self, info_dir: str):
        self.info_dir = info_dir
        self.curves: Curves = {}
        self.metrics: dict[str, Metric] = {}
        self._read: dict[str, int] = {}  # how much of each chunk

    def follow(self) -> bool:
        """Read what is new; whether there was any."""
        folder = os.path.join(self.info_dir, layout.HISTORY)
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            return False
        grown = False
        for name in names:
            if layout.chunk_number(f"{layout.HISTORY}/{name}") is None:
                continue
            at = self._read.get(name, 0)
            with open(os.path.join(folder, name), "rb") as source:
                source.seek(at)
                data = source.read()
            whole = data[: data.rfind(b"\n") + 1]
            if whole:
                self._read[name] = at + len(whole)
                lines = [line for raw in whole.split(b"\n") if raw and (line := layout.parse_line(raw))]
                add(self.curves, lines)
                fold_into(self.metrics, lines)
                grown = grown or bool(lines)
        return grown
