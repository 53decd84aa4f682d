"""What people write for a time or a duration, as seconds: ``2026-11-20``, ``2 days ago``, ``1.5 h``."""

from __future__ import annotations

import datetime
import re

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_UNITS = {
    **{unit: unit for unit in _SECONDS},
    **{"sec": "s", "second": "s", "min": "m", "minute": "m", "hr": "h", "hour": "h", "day": "d", "week": "w"},
}
_MONTHS = {"month": 1, "year": 12}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)[.\s]*([a-z]+)[.\s]*")
TIMES = "a time: 2026-11-20, 2026-11-20T18:00, 2 days ago, yesterday, today"
DURATIONS = "a duration: 90s, 1.5 m, 2h, 1h 30m, 3 days"


def duration(text: str) -> float:
    """Seconds in ``90s``, ``1.5 m``, ``1h 30m``, ``2 days``; a number alone is seconds.

    Raises:
        ValueError: If it is no duration.
    """
    try:
        return float(text)
    except ValueError:
        return sum(amount * _SECONDS[unit] for amount, unit in _parts(text, _UNITS))


def moment(text: str, now: float) -> float:
    """Seconds since 1970 of a time.

    Without an offset it is in the local zone. A day alone is its first moment (git's ``--since`` takes the time of day
    from the clock, so that the same command finds other commits an hour later).

    Args:
        text: ISO 8601; ``now``, ``today``, ``yesterday``; ``2 days ago`` and git's ``2.days.ago``; ``@1764000000``.
        now: Seconds since 1970.

    Raises:
        ValueError: If it is no time.
    """
    text = text.strip()
    word = text.lower()
    try:
        if word.startswith("@"):
            return float(word[1:])
        if word == "now":
            return now
        today = datetime.datetime.fromtimestamp(now).replace(hour=0, minute=0, second=0, microsecond=0)
        if word in ("today", "yesterday"):
            return (today - datetime.timedelta(days=word == "yesterday")).timestamp()
        if word.endswith("ago"):
            return _before(word.removesuffix("ago"), now)
        return datetime.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"not a time: {text!r}") from None


def _before(text: str, now: float) -> float:
    months, seconds = 0.0, 0.0
    for amount, unit in _parts(text, {**_UNITS, **{unit: unit for unit in _MONTHS}}):
        if unit in _MONTHS:
            months += amount * _MONTHS[unit]
        else:
            seconds += amount * _SECONDS[unit]
    if not months:
        return now - seconds
    then = datetime.datetime.fromtimestamp(now)
    year, month = divmod(then.year * 12 + then.month - 1 - int(months), 12)
    for day in range(then.day, then.day - 4, -1):  # a month before 31 March is the last of February
        try:
            return then.replace(year=year, month=month + 1, day=day).timestamp() - seconds
        except ValueError:
            continue
    raise ValueError("a year that no calendar has")


def _parts(text: str, units: dict[str, str]) -> list[tuple[float, str]]:
    text = text.strip().lower()
    if not text or _PART.sub("", text):
        raise ValueError(f"not a duration: {text!r}")
    found = [
        (float(amount), units.get(name) or units.get(name.removesuffix("s"))) for amount, name in _PART.findall(text)
    ]
    known = [(amount, unit) for amount, unit in found if unit]
    if len(known) < len(found):
        raise ValueError(f"not a duration: {text!r}")
    return known
