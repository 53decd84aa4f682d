"""The colour of a run: the same in every picture, on every machine, for ever.

The eight differ for all eyes: the least distance of two of them in OKLab is 0.10, for protanopes, deuteranopes and
tritanopes too (simulated after Machado et al., 2009); of Okabe and Ito's it is 0.08. Each stands out of its background,
white or nearly black, by a contrast of 3 at least. tests/board/test_palette.py holds them to both.
"""

from __future__ import annotations

import zlib

NAMES = ("blue", "orange", "green", "plum", "teal", "violet", "red", "olive")
LIGHT = ("#1d4a93", "#d66919", "#4f9f77", "#7e2757", "#367a85", "#af64e0", "#a74639", "#463e07")  # on white
DARK = ("#337aef", "#ea9602", "#6fbe95", "#b9649f", "#a1e5f1", "#ca99ef", "#e14b39", "#ede091")  # on nearly black


def colour(uid: str) -> int:
    """Which of the colours a run has: a place in :data:`LIGHT` and in :data:`DARK`.

    Args:
        uid: The run's uid.
    """
    return zlib.crc32(uid.encode("utf-8", "surrogateescape")) % len(NAMES)
