"""Colours that all eyes tell apart, and that stand out of the background."""

from __future__ import annotations

import itertools
import math

import pytest

from gitlumo.board import palette

# Machado, Oliveira and Fernandes, 2009, severity 1: what protanopes, deuteranopes and tritanopes see of linear RGB.
EYES = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
OKLAB_LMS = ((0.4122214708, 0.5363325363, 0.0514459929), (0.2119034982, 0.6806995451, 0.1073969566),
             (0.0883024619, 0.2817188376, 0.6299787005))  # fmt: skip
OKLAB = ((0.2104542553, 0.7936177850, -0.0040720468), (1.9779984951, -2.4285922050, 0.4505937099),
         (0.0259040371, 0.7827717662, -0.8086757660))  # fmt: skip


def linear(colour: str) -> list[float]:
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def through(matrix, vector):
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def oklab(colour: str, eyes: str) -> list[float]:
    seen = [min(1.0, max(0.0, part)) for part in through(EYES[eyes], linear(colour))]
    return through(OKLAB, [math.cbrt(part) for part in through(OKLAB_LMS, seen)])


def luminance(colour: str) -> float:
    return sum(a * b for a, b in zip((0.2126, 0.7152, 0.0722), linear(colour), strict=True))


@pytest.mark.parametrize("colours", [palette.LIGHT, palette.DARK], ids=["light", "dark"])
@pytest.mark.parametrize("eyes", EYES)
def test_all_eyes_tell_the_colours_apart(colours, eyes):
    distances = {
        (a, b): math.dist(oklab(a, eyes), oklab(b, eyes)) for a, b in itertools.combinations(colours, 2)
    }  # 0.02 is just noticeable
    assert min(distances.values()) > 0.095, min(distances, key=distances.get)


@pytest.mark.parametrize(("colours", "background"), [(palette.LIGHT, "#ffffff"), (palette.DARK, "#16181d")])
def test_each_colour_stands_out_of_the_background(colours, background):
    for colour in colours:
        dark, bright = sorted((luminance(colour), luminance(background)))
        assert (bright + 0.05) / (dark + 0.05) >= 3, colour


def test_each_colour_is_given_to_as_many_runs():
    uids = [f"{i:032x}" for i in range(8000)]
    counts = [sum(palette.colour(uid) == i for uid in uids) for i in range(len(palette.NAMES))]
    assert min(counts) > 900
    assert len(palette.LIGHT) == len(palette.DARK) == len(palette.NAMES)


def test_a_run_keeps_its_colour_for_ever():  # bookmarks, slides and papers have it
    assert palette.colour("e50c3dee2ed898cf53e73cecb3644331") == 7
    assert palette.colour("0" * 32) == 0
