"""A curve in one line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"


def draw(numbers: Sequence[float], width: int) -> str:
    """A curve of at most ``width`` characters.

    Args:
        numbers: The values in order; where there are more than fit, each character is the last of its share.
        width: Greatest number of characters.

    Returns:
        Block characters; ``×`` for what is not finite.
    """
    numbers = [_float(n) for n in numbers]
    if len(numbers) > width:
        numbers = [numbers[(i + 1) * len(numbers) // width - 1] for i in range(width)]
    finite = [n for n in numbers if math.isfinite(n)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    span = high - low
    return "".join(_bar((n - low) / span if span else 0.5) if math.isfinite(n) else "×" for n in numbers)


def _bar(share: float) -> str:
    return _BARS[min(len(_BARS) - 1, max(0, int(share * len(_BARS))))] if math.isfinite(share) else "×"


def number(value: float) -> str:
    """A number in six digits."""
    try:
        return f"{value:.6g}"
    except OverflowError:  # an integer that no float holds
        return f"{'-' if value < 0 else ''}1e{len(str(abs(value))) - 1}"


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
