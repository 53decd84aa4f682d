"""How facts are written for people: ages, durations, numbers, flat parameters."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

_SIZES = ("bytes", "KiB", "MiB", "GiB", "TiB")
_UNITS = ((31536000, "year"), (2592000, "month"), (604800, "week"), (86400, "day"), (3600, "hour"), (60, "minute"))


def age(start: object, now: float | None = None) -> str:
    """How long ago a recorded time is, as git's relative dates say it."""
    from gitlumo import values

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
    from gitlumo import values

    start, end = values.time_seconds(progress.get("start")), values.time_seconds(progress.get("end"))
    if end is None and progress.get("killed"):
        end = values.time_seconds(progress.get("last_edit_time"))
    elif end is None:
        end = time.time() if now is None else now
    if start is None or end is None:
        return "?"
    return span(round(end - start, 3))  # as the index has it


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


def usage(found: Mapping[str, Any]) -> str:
    """What a command has used (``info/usage.json``); empty where that is not known."""
    cpu = [value for key in ("cpu_user", "cpu_system") if isinstance(value := found.get(key), (int, float))]
    parts = [f"{span(sum(cpu))} of CPU"] if len(cpu) == 2 else []
    if type(memory := found.get("peak_memory")) is int:
        parts.append(f"{memory / 2**20:.0f} MiB of memory at its peak")
    return ", ".join(parts)


def number(value: object) -> str:
    """A value in few characters: floats to four digits, and integers that no float holds."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "-"}[value]
    if isinstance(value, int) and abs(value) > sys.float_info.max:
        from decimal import Decimal

        return f"{Decimal(value):.4g}"
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


def machine(found: Mapping[str, Any]) -> tuple[str, str]:
    """A recorded machine (``info/machine.json``) as two lines: its hardware, its software; empty where unknown."""
    cpus, usable, memory, gpus = (found.get(key) for key in ("cpus", "usable_cpus", "memory", "gpus"))
    parts = [str(found["cpu"])] if found.get("cpu") else []
    if isinstance(cpus, int):
        some = f"{usable} of " if isinstance(usable, int) and usable != cpus else ""
        parts.append(f"{some}{cpus} CPU{'s' if cpus != 1 else ''}")
    if isinstance(memory, int):
        parts.append(f"{memory / 2**30:.0f} GiB")
    for name, count in Counter(map(str, gpus if isinstance(gpus, list) else [])).items():
        parts.append(f"{count} × {name}" if count > 1 else name)
    if found.get("gpu_driver"):
        parts.append(f"driver {found['gpu_driver']}")
    python = f"{found.get('implementation', 'python')} {found['python']}" if found.get("python") else None
    software = [found.get("os"), found.get("kernel"), found.get("arch"), python]
    return ", ".join(parts), ", ".join(str(part) for part in software if part)
