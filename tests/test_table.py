"""Columns that grow are as if they had been made at once."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from gitlumo.frames import _COPIES_LATE
from gitlumo.store import columns
from gitlumo.table import ROOM, Column, Table

NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=True, allow_infinity=True)
TEXTS = st.sampled_from(["adam", "sgd", "größe", ""]) | st.text(max_size=3)
FLAGS = st.booleans()
LISTS = st.lists(TEXTS, max_size=2)
ONE_KIND = st.sampled_from([NUMBERS, st.integers(-5, 2**60), TEXTS, FLAGS, LISTS])
ANY = ONE_KIND.flatmap(lambda kind: st.lists(st.none() | kind, max_size=12)) | st.lists(
    st.none() | NUMBERS | TEXTS | FLAGS | LISTS, max_size=12
)


def table(values):
    """Of one column, as the index has it; None is where there is nothing."""
    places = [i for i, value in enumerate(values) if value is not None]
    held = [columns.to_sql(values[i]) for i in places]
    made = Column.of("params.x", len(values), np.array(places, dtype="int64"), held)
    return Table(np.zeros(len(values), dtype="int64"), {"params.x": made} if held else {})


def shown(made):
    return made.frame({"params.x": "x"})["x"]


def equal(a, b):
    if a is pd.NA or b is pd.NA or a != a or b != b:
        return pd.isna(a) is pd.isna(b) is True
    if type(a) is not type(b) and isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return float(a) == float(b)  # an integer that has stood beside floats stays the float that it was
    return bool(a == b)


@given(ANY, ANY)
def test_rows_that_come_later(old, new):
    grown, whole = table(old).with_before(table(new)), table(new + old)
    assert all(map(equal, shown(grown), shown(whole)))
    kinds = {made.columns["params.x"].kind if made.columns else None for made in (grown, whole)}
    assert len(kinds) == 1 or kinds <= {"few", "text", "any"} or kinds == {"number", "any"}
    if kinds <= {"integer", "number", "truth"}:
        assert shown(grown).dtype == shown(whole).dtype


def test_integers_beside_a_run_without_stay_exact():
    grown = shown(table([2**60 + 1, 7]).with_before(table([None])))
    assert list(grown.dropna()) == [2**60 + 1, 7]
    assert grown.dtype == "Int64"


def test_what_was_shown_stays_as_it_is():
    runs = table([1.0, 2.0])
    first = runs.frame({"params.x": "x"})
    assert runs.with_before(table([3.0])) is runs  # in place
    second = runs.frame({"params.x": "x"})
    mine = first.copy(deep=not _COPIES_LATE)
    mine.loc[0, "x"] = 99.0
    assert list(second["x"]) == [3, 1, 2]
    assert np.shares_memory(first["x"].to_numpy(), second["x"].to_numpy())


def test_more_than_there_is_room_for():
    many = list(range(ROOM + 1))
    runs = table([1])
    grown = runs.with_before(table(many))
    assert grown is not runs
    assert list(shown(grown)) == [*many, 1]
    assert len(grown) == len(many) + 1
