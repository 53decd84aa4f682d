"""Curves with fewer points that look the same: peaks stay, and so does what is not finite."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import compress


def kept(values: Sequence[float], most: int) -> Sequence[int]:
    """Which points of a curve to draw: of each of equal shares the least and the greatest, the first and the last.

    In a share with values that are not finite one of these stays, too: an infinity rather than a NaN, so that a gap is
    still a gap and a mark is still there.

    Args:
        values: In order; for numpy's arrays give ``array.tolist()``, which is ten times faster.
        most: How many points may stay, 8 or more.

    Returns:
        Their places, ascending; all of them if there are no more than ``most``.
    """
    count = len(values)
    if count <= most:
        return range(count)
    finite = all(map(math.isfinite, values))
    shares = (most - 2) // (2 if finite else 3)
    found = {0, count - 1}
    for i in range(shares):
        first, end = i * count // shares, (i + 1) * count // shares
        part = values[first:end]
        if finite:
            found |= {first + part.index(min(part)), first + part.index(max(part))}
            continue
        good = [math.isfinite(value) for value in part]
        numbers = list(compress(part, good))
        if numbers:
            found |= {first + part.index(min(numbers)), first + part.index(max(numbers))}
        if not all(good):
            found.add(first + max(range(len(part)), key=lambda at: (not good[at], part[at] == part[at], -at)))
    return sorted(found)
