"""How fast GitHub is written to, by several threads together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Pace:
    """At least so many seconds between two writes, whoever makes them (GitHub's best practices ask for one)."""

    def __init__(self, seconds: float):
        self._seconds, self._lock, self._last = seconds, threading.Lock(), 0.0

    def write(self, call: Callable[[], T]) -> T:
        """Make a call that writes, when it is time for it."""
        with self._lock:
            time.sleep(max(0.0, self._last + self._seconds - time.monotonic()))
            try:
                return call()
            finally:
                self._last = time.monotonic()
