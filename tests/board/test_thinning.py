"""Curves with fewer points: what may never be lost."""

from __future__ import annotations

import math
import random

from hypothesis import given
from hypothesis import strategies as st

from gitlumo.board.curves import Curve, curves
from gitlumo.board.thinning import kept
from gitlumo.store.record import Record

CURVES = st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=400)


@given(CURVES, st.integers(8, 60))
def test_ends_extremes_and_the_order_stay_and_no_more_than_asked_for(values, most):
    places = list(kept(values, most))
    assert len(places) <= max(most, 0)
    assert places == sorted(set(places))
    if not values:
        return
    assert (places[0], places[-1]) == (0, len(values) - 1)
    drawn = [values[i] for i in places]
    finite = [value for value in values if math.isfinite(value)]
    if finite:
        there = [value for value in drawn if math.isfinite(value)]
        assert (min(there), max(there)) == (min(finite), max(finite))
    if len(values) > len(finite):
        assert any(not math.isfinite(value) for value in drawn)
    for infinity in (math.inf, -math.inf):
        if values.count(infinity) == 1 and len(finite) == len(values) - 1:
            assert infinity in drawn


def test_a_single_peak_among_100_000_points_stays_and_so_does_a_gap():
    dice = random.Random(1)
    values = [dice.gauss(0, 1) for _ in range(100_000)]
    values[54_321], values[77_777] = 1000.0, math.nan
    places = kept(values, 200)
    assert 54_321 in places
    assert 77_777 in places
    assert len(places) <= 200


def test_few_points_are_all_kept():
    assert list(kept([3.0, math.nan, 1.0], 8)) == [0, 1, 2]


def test_a_runs_curves_are_what_it_logged():
    history = (
        b'{"step":0,"time":0.5,"loss":1.5,"acc":"NaN"}\n'
        b'{"step":5,"time":0.75,"loss":"Infinity"}\n'
        b"{torn\n"
        b'{"step":2,"time":1.0,"loss":1' + b"0" * 400 + b',"$step":7}\n'
    )
    record = Record({"history/00000.jsonl": history}.get, lambda: ["history/00000.jsonl"], "here")
    found = curves(record)
    assert found["loss"] == Curve([0, 5, 2], [0.5, 0.75, 1.0], [1.5, math.inf, math.inf], 3)
    assert math.isnan(found["acc"].values[0])
    assert found["step"] == Curve([2], [1.0], [7.0], 1)


def test_a_thinned_curve_says_how_many_points_it_had():
    curve = Curve(list(range(1000)), [i / 10 for i in range(1000)], [math.sin(i / 30) for i in range(1000)], 1000)
    thin = curve.thinned(50)
    assert thin.count == 1000
    assert len(thin.steps) == len(thin.times) == len(thin.values) <= 50
    assert all(thin.times[i] == step / 10 for i, step in enumerate(thin.steps))
    assert curve.thinned(1000) is curve
