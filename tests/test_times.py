"""Times and durations as people write them."""

from __future__ import annotations

import datetime

import pytest

from gitlumo import times

NOW = datetime.datetime(2026, 11, 24, 18, 30).timestamp()


@pytest.mark.parametrize(("text", "seconds"), [
    ("90s", 90), ("90", 90), ("1.5 m", 90), ("2h", 7200), ("1h 30m", 5400), ("1h30m", 5400), ("3 Days", 259200),
    ("2 minutes", 120), ("250ms", 0.25), ("1 week", 604800),
])  # fmt: skip
def test_duration(text, seconds):
    assert times.duration(text) == seconds


@pytest.mark.parametrize(("text", "when"), [
    ("now", (2026, 11, 24, 18, 30)),
    ("Today", (2026, 11, 24)),
    ("yesterday", (2026, 11, 23)),
    ("2 days ago", (2026, 11, 22, 18, 30)),
    ("2.days.ago", (2026, 11, 22, 18, 30)),
    ("1 day 2 hours ago", (2026, 11, 23, 16, 30)),
    ("1 month ago", (2026, 10, 24, 18, 30)),
    ("2 years ago", (2024, 11, 24, 18, 30)),
    ("2026-11-20", (2026, 11, 20)),
    ("2026-11-20T10:15", (2026, 11, 20, 10, 15)),
])  # fmt: skip
def test_moment(text, when):
    assert times.moment(text, NOW) == datetime.datetime(*when).timestamp()


def test_moments_elsewhere():
    assert times.moment("2026-11-20T10:00:00+02:00", NOW) == times.moment("2026-11-20T08:00Z", NOW)
    march = datetime.datetime(2026, 3, 31).timestamp()
    assert times.moment("1 month ago", march) == datetime.datetime(2026, 2, 28).timestamp()


@pytest.mark.parametrize(
    "text", ["", "ago", "2 ago", "2 moons ago", "soon", "2026-13-01", "9999 years ago", "@x", "1s x"]
)
def test_no_time(text):
    with pytest.raises(ValueError, match="not a "):
        times.moment(text, NOW)
    with pytest.raises(ValueError, match="not a "):
        times.duration(text)
