"""Curves in the terminal: the histories of one metric in some runs, one over the other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

from gitlumo import wording
from gitlumo.cli.terminal import Screen, printable, shorten
from gitlumo.store.query import Found
from gitlumo.store.record import history_lines

WIDTH = 80  # where there is no terminal
HEIGHT = 16
LEAST_WIDTH = 20
TICKS = 5
MOST = 512  # pieces of a curve: a terminal has no more columns
_MARKERS = (("braille", "⠒⠒"), ("x", "x"), ("o", "o"), ("+", "+"), ("*", "*"), ("#", "#"), ("@", "@"))
_COLOURS = {"cyan": "cyan", "yellow": "orange", "green": "green", "red": "red"}  # ours to plotext's


Point = tuple[int, float]  # step, value


class Piece(NamedTuple):
    """Some points of a curve that follow each other.

    Attributes:
        ends: Those that are drawn: the least and the greatest, in their order; none if none is finite.
        gap: Whether one of them was not finite.
    """

    ends: list[Point]
    gap: bool


def thinned(points: Iterable[Point], most: int = MOST) -> list[Piece]:
    """A curve in less than ``most`` pieces, in one reading; its extremes stay.

    Args:
        points: In order, any number of them.
        most: How many pieces; even.
    """
    rest = ((step, _float(value)) for step, value in points)
    pieces: list[Piece] = []
    share = 1
    while part := list(islice(rest, share)):
        pieces.append(_piece(part))
        if len(pieces) == most:
            pairs = zip(pieces[::2], pieces[1::2], strict=True)
            pieces = [_piece([*one.ends, *other.ends], one.gap or other.gap) for one, other in pairs]
            share *= 2
    return pieces


def _piece(points: list[Point], gap: bool = False) -> Piece:
    finite = [point for point in points if math.isfinite(point[1])]
    ends = [min(finite, key=itemgetter(1)), max(finite, key=itemgetter(1))] if finite else []
    if ends and ends[0] == ends[1]:
        ends = ends[:1]
    return Piece(sorted(ends, key=finite.index), gap or len(finite) < len(points))


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer that no float holds
        return math.inf


def points_of(found: Found, key: str) -> Iterator[Point]:
    """The history of a run's metric, line by line."""
    for line in history_lines(found.record.read, found.record.paths()):
        if line is not None and key in line.numbers:
            yield line.step, line.numbers[key]


def draw(out: Screen, key: str, curves: Sequence[tuple[str, list[Piece]]]) -> None:
    """Draw the curves of a metric, and say which is whose.

    Args:
        out: Where.
        key: The metric.
        curves: The runs' names, and their curves.
    """
    out.line(out.paint(printable(key), "bold"))
    ends = [point for _, pieces in curves for piece in pieces for point in piece.ends]
    if not ends:
        out.line("  no value of it is finite")
        return
    width = max(LEAST_WIDTH, out.width or WIDTH)
    styles = [_style(i, out.colour) for i in range(len(curves))]
    for line in _picture(curves, styles, ends, width, out.colour):
        out.line(line)
    for (label, _), (_, sign, colour) in zip(curves, styles, strict=True):
        out.line(f"  {out.paint(sign, colour)} {shorten(printable(label), width - 5)}")


def _style(i: int, colour: bool) -> tuple[str, str, str]:
    """plotext's marker, how it looks, and its colour: where there are no colours, each curve has its own marker."""
    marker, sign = _MARKERS[(i // len(_COLOURS) if colour else i) % len(_MARKERS)]
    return marker, sign, list(_COLOURS)[i % len(_COLOURS)]


def _picture(
    curves: Sequence[tuple[str, list[Piece]]],
    styles: Sequence[tuple[str, str, str]],
    ends: Sequence[Point],
    width: int,
    colour: bool,
) -> list[str]:
    # plotext gets numbers from 0 to 1, and our texts for them: it fails on spans that no float holds, and writes 1e-300
    # with all its zeros.
    import plotext

    (first, last), (low, high) = ((min(axis), max(axis)) for axis in zip(*ends, strict=True))
    plotext.clear_figure()
    plotext.limit_size(False, False)
    plotext.plotsize(width, HEIGHT)
    plotext.theme("clear")
    for (_, pieces), (marker, _, paint) in zip(curves, styles, strict=True):
        xs, ys = [], []
        for piece in pieces:
            for step, value in piece.ends:
                xs.append(_share(step, first, last))
                ys.append(_share(value, low, high))
            if piece.gap and xs:
                xs.append(xs[-1])
                ys.append(math.nan)
        plotext.plot(xs, ys, marker=marker, color=_COLOURS[paint])
    plotext.xlim(0, 1)
    plotext.ylim(0, 1)
    steps = sorted({first + (last - first) * i // (TICKS - 1) for i in range(TICKS)})
    plotext.xticks([_share(step, first, last) for step in steps], [str(step) for step in steps])
    shares = [i / (TICKS - 1) for i in range(TICKS)] if low < high else [0.5]
    plotext.yticks(shares, [wording.number(low * (1 - share) + high * share) for share in shares])
    text = plotext.build()
    return [line.rstrip() for line in (text if colour else plotext.uncolorize(text)).rstrip("\n").split("\n")]


def _share(value: float, low: float, high: float) -> float:
    """Where a value lies between two others, from 0 to 1."""
    if low == high:
        return 0.5
    if isinstance(value, int):  # a step, which no float may hold
        return (value - low) / (high - low)
    return (value / 2 - low / 2) / (high / 2 - low / 2)
