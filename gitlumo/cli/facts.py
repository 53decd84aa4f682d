"""How facts are written for people: ages, durations, numbers, flat parameters."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from gitlumo import values

_SIZES = ("bytes", "KiB", "MiB", "GiB", "TiB")
_UNITS = ((31536000, "year"), (2592000, "month"), (604800, "week"), (86400, "day"), (3600, "hour"), (60, "minute"))


def age(start: object, now: float | None = None) -> str:
    """How long ago a recorded time is, as git's relative dates say it."""
    return age_of(values.time_seconds(start), now)


def age_of(then: object, now: float | None = None) -> str:
    """How long ago it is, from seconds since 1970."""
    if not isinstance(then, (int, float)):
        return "?"
    seconds = int((time.time() if now is None else now) - then)
    if seconds < 0:
        return "in the future"
    for size, unit in _UNITS:
        if seconds >= 2 * size or (seconds >= size and unit in ("day", "hour", "minute")):
            count = seconds // size
            return f"{count} {unit}{'s' if count != 1 else ''} ago"
    return f"{seconds} second{'s' if seconds != 1 else ''} ago"


def duration(progress: Mapping[str, Any], now: float | None = None) -> str:
    """How long a run took; of a killed one until it was last heard, of a running one until now."""
    start, end = values.time_seconds(progress.get("start")), values.time_seconds(progress.get("end"))
    if end is None and progress.get("killed"):
        end = values.time_seconds(progress.get("last_edit_time"))
    elif end is None:
        end = time.time() if now is None else now
    if start is None or end is None:
        return "?"
    return span(end - start)


def span(seconds: float) -> str:
    """A time span in its two greatest units."""
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (rest, "s")]
    while parts[0][0] == 0:
        parts.pop(0)
    return " ".join(f"{count}{unit}" for count, unit in parts[:2])


def number(value: object) -> str:
    """A value in few characters: floats to four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "-"}[value]
    return str(value)


def count(number: int, noun: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{number} {noun}{'s' if number != 1 else ''}"


def size(count: int) -> str:
    """A number of bytes in its greatest unit."""
    number = float(count)
    for unit in _SIZES:
        if number < 1024 or unit == _SIZES[-1]:
            break
        number /= 1024
    return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
