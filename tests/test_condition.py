"""Conditions: what they mean, and that SQL means the same."""

from __future__ import annotations

import datetime
import math
import os
import re
import sqlite3

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gitlumo.condition import C, Compare, all_of, any_of, test
from gitlumo.errors import InvalidValue
from gitlumo.store import columns, indexing
from gitlumo.where import functions, to_sql

holds = test
del test  # pytest would take it for one
NOW = datetime.datetime(2026, 11, 24, 18, 30).timestamp()
A, B = "a" * 40, "b" * 40
MANY = int(os.environ.get("GITLUMO_SOAK_ROUNDS", "2000"))


def found_by_sql(condition, runs):
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(indexing._SCHEMA)
    functions(connection)
    names = {}
    for id, run in enumerate(runs):
        connection.execute("INSERT INTO run (id, place, tree) VALUES (?, ?, x'00')", (id, str(id)))
        for name, value in run.items():
            key = names.setdefault(name, len(names))
            connection.execute("INSERT OR IGNORE INTO name VALUES (?, ?)", (key, name))
            connection.execute("INSERT INTO fact VALUES (?, ?, ?)", (key, id, columns.to_sql(value)))
    sql, bound = to_sql(condition)
    ids = {id for (id,) in connection.execute(f"SELECT id FROM run WHERE {sql}", bound)}
    connection.close()
    return [id in ids for id in range(len(runs))]


# What they mean.

MEANING = [
    (C["params.lr"] < 0.1, {"params.lr": 0.01}, {"params.lr": 0.1}),
    (C["params.lr"] < 0.1, {"params.lr": -math.inf}, {"params.lr": math.nan}),
    (C["params.lr"] < 1, {"params.lr": 0}, {"params.lr": False}),
    (C["params.lr"] < "b", {"params.lr": "a"}, {"params.lr": 1}),
    (C["params.lr"] > 1, {"params.lr": 2}, {"params.lr": "2"}),
    (C["params.lr"] > 1, {"params.lr": 2**70}, {}),
    (C["params.n"] == 2**53 + 1, {"params.n": 2**53 + 1}, {"params.n": float(2**53)}),
    (C["params.n"] == 2**70, {"params.n": 2.0**70}, {"params.n": 2**70 + 1}),
    (C["params.n"] < 2**70, {"params.n": 2**70 - 1}, {"params.n": 2.0**70}),
    (C["params.n"] == 1, {"params.n": 1.0}, {"params.n": True}),
    (C["params.n"] == True, {"params.n": True}, {"params.n": 1}),  # noqa: E712
    (C["params.n"] != 1, {"params.n": "1"}, {"params.n": 1}),
    (C["params.n"] != 1, {}, {"params.n": [0, 1]}),
    (C["params.n"] != math.nan, {"params.n": math.nan}, None),
    (~(C["params.n"] == 1), {}, {"params.n": 1}),
    (C["params.n"].isin([1, "a", True]), {"params.n": 1.0}, {"params.n": 2}),
    (C["params.n"].isin([1, math.nan]), {"params.n": [0, 1]}, {"params.n": math.nan}),
    (C["params.n"].isin([]), None, {"params.n": 1}),
    (C["params.n"] == None, {"params.n": None}, {"params.n": ""}),  # noqa: E711
    (C["params.n"].missing(), {}, {"params.n": []}),
    (C["params.n"] != None, {"params.n": 0}, {"params.n": None}),  # noqa: E711
    (C["tag"] == "best", {"tag": ["best", "paper"]}, {"tag": ["bes"]}),
    (C["tags"] != "best", {}, {"tag": ["best"]}),
    (C["tag"].isin(["best", "paper"]), {"tag": ["x", "paper"]}, {"tag": ["x"]}),
    (C["tag"].contains("best"), {"tag": ["best"]}, {"tag": ["bestest"]}),
    (C["note"].contains("est"), {"note": "bestest"}, {"note": "bes"}),
    (C["params.n"].contains(3), {"params.n": [1, 3.0]}, {"params.n": 3}),
    (C["params.n"] > 100, {"params.n": [1, [128]]}, {"params.n": [1, "128"]}),
    (C["note"].matches("^w.r"), {"note": "warm"}, {"note": "a warm"}),
    (C["tag"].matches(re.compile("^b")), {"tag": ["a", "b"]}, {"tag": ["ab"]}),
    (C["note"].matches("[[a]"), {"note": "["}, {"note": "b"}),  # Python warns of it
    (C["params.n"] == "e\u0301", {"params.n": "e\u0301"}, {"params.n": "é"}),
    (C["params.n"] > "\uffff", {"params.n": "\U0001f600"}, {"params.n": "\ufffe"}),
    (C["commit"] == A, {"git.commit": B, "git.head": A}, {"git.commit": B}),
    (C["git.commit"] != A, {"git.commit": B, "git.head": B}, {"git.commit": B, "git.head": A}),
    (C["git.commit"].missing(), {}, {"git.head": A}),
    (C["metrics.acc.last"] > 0.9, {"metrics.acc": 0.95}, {"metrics.acc": 0.95, "metrics.acc.last": 0.5}),
    (C["metrics.acc.last"].missing(), {"metrics.acc": 0.9, "metrics.acc.last": None}, {"metrics.acc": 0.9}),
    (C["start"] > datetime.datetime(2026, 11, 20), {"start": NOW}, {"start": NOW - 6 * 86400}),
    (C["start"] >= datetime.date(2026, 11, 24), {"start": NOW}, {"start": NOW - 86400}),
    (C["start"] > "2026-11-20", {"start": NOW}, {"start": NOW - 6 * 86400}),
    (C["took"] > "2h", {"took": 7201.0}, {"took": 7200}),
    ((C["params.a"] < 1) & (C["params.b"] < 1) | ~C["params.c"].missing(), {"params.c": 0}, {"params.a": 0}),
]


@pytest.mark.parametrize(("condition", "yes", "no"), MEANING, ids=lambda value: repr(value)[:60])
def test_meaning(condition, yes, no):
    runs = [run for run in (yes, no) if run is not None]
    expected = [run is yes for run in runs]
    assert [holds(condition, run) for run in runs] == expected
    assert found_by_sql(condition, runs) == expected


@pytest.mark.parametrize("make", [
    lambda: bool(C["x"] == 1),
    lambda: 0 < C["x"] < 1,
    lambda: (C["x"] == 1) and (C["y"] == 1),
    lambda: not (C["x"] < 1),
])  # fmt: skip
def test_a_condition_is_no_bool(make):
    with pytest.raises(TypeError, match=re.escape("combine conditions with & and | and ~")):
        make()


def test_a_column_is_no_condition():
    with pytest.raises(TypeError, match="alone is no condition"):
        bool(C["deprecated"])
    with pytest.raises(TypeError):
        (C["x"] == 1) & C["deprecated"]


@pytest.mark.parametrize(("make", "said"), [
    (lambda: C[1], "a column's name is a string, not int 1"),
    (lambda: C["params.\ud800"], "is not valid Unicode"),
    (lambda: C["x"] < None, "x: NoneType None compares with nothing; None: C['x'].missing()"),
    (lambda: C["x"] == b"a", "x: bytes b'a' compares with nothing"),
    (lambda: C["x"] == [1], "compares with nothing"),
    (lambda: C["x"] < True, "true and false have no order: write x = true"),
    (lambda: C["x"].isin("best"), "isin takes a list, not the text 'best': write isin(['best'])"),
    (lambda: C["x"].matches("("), 'not a regular expression: "(": missing ), unterminated subpattern at position 0'),
    (lambda: C["x"].matches(1), "~ takes a regular expression, not 1"),
    (lambda: C["took"] == "soon", "took: 'soon' is not a duration: 90s, 1.5 m, 2h, 1h 30m, 3 days"),
    (lambda: C["start"] > "soon", "start: 'soon' is not a time: 2026-11-20"),
    (lambda: C["exp"] == 1, "exp is a text, and 1 is a number: that never holds"),
    (lambda: C["ratio"].contains("a"), 'ratio is a number, and "a" is a text: that never holds'),
    (lambda: C["state"] == "done", "state is running, finished, failed or killed, never done"),
    (lambda: C["state"].isin(["finished", "faild"]), "never faild; did you mean failed?"),
    (lambda: C["deprecated"] == "yes", 'deprecated is true or false, and "yes" is a text: that never holds'),
])  # fmt: skip
def test_wrong_values(make, said):
    with pytest.raises(InvalidValue, match=re.escape(said)):
        make()


def test_large_conditions():
    runs = [{"params.n": n, "params.t": str(n), "git.head": f"{n:040x}"} for n in (1, 1499, 70_000)]
    some = any_of(C["params.n"] == n for n in range(1500))
    assert found_by_sql(some, runs) == [True, True, False]
    assert found_by_sql(all_of(C["params.n"] != n for n in range(1500)), runs) == [False, False, True]
    assert found_by_sql(C["params.t"].isin(map(str, range(60_000))), runs) == [True, True, False]
    assert found_by_sql(C["git.commit"].isin(f"{n:040x}" for n in range(60_000)), runs) == [True, True, False]


def test_what_sqlite_holds_is_compared_by_sqlite():
    connection = sqlite3.connect(":memory:")
    connection.executescript(indexing._SCHEMA)
    called = []
    connection.create_function("gitlumo_holds", 2, lambda *args: called.append(args))
    connection.execute("INSERT INTO run (id, place, tree) VALUES (1, 'x', x'00')")
    connection.execute("INSERT INTO name VALUES (1, 'params.lr'), (2, 'exp'), (3, 'tag')")
    connection.execute("INSERT INTO fact VALUES (1, 1, 0.1), (2, 1, 'digits'), (3, 1, ?)", (columns.to_sql(["a"]),))
    number = (C["params.lr"] < 1) & C["params.lr"].isin([0.1, 2]) & (C["params.lr"] != 2)
    for condition in (number, (C["exp"] == "digits") & (C["exp"] > "a") & C["exp"].contains("dig")):
        sql, bound = to_sql(condition)
        assert connection.execute(f"SELECT id FROM run WHERE {sql}", bound).fetchall() == [(1,)]
    assert called == []
    sql, bound = to_sql(C["tag"] == "a")
    connection.execute(f"SELECT id FROM run WHERE {sql}", bound).fetchall()
    assert len(called) == 1
    connection.close()


# SQL means the same.

edges = [0, -1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**70, 0.5, -0.0, 1e300, 5e-324, 2.0**53]
numbers = st.sampled_from(edges) | st.integers() | st.floats() | st.integers(-3, 3)
texts = st.text(max_size=4) | st.sampled_from(
    ["", "a", "ab", "b", "é", "e\u0301", "\0", "a\0b", "\U0001f600", "1", "null"]
)
literals = st.booleans() | numbers | texts
held = st.recursive(st.none() | literals, lambda inner: st.lists(inner, max_size=3), max_leaves=4) | st.just({})
NAMES = ["params.a", "params.b", "metrics.m", "metrics.m.last", "git.commit", "git.head", "tag"]
rows = st.dictionaries(st.sampled_from(NAMES), held, max_size=7)
regexes = texts.map(re.escape) | st.sampled_from(["", "^", "a|b", ".", r"\d", "(?i)A", "[^a]", "$", r"\bé"])


def tree(leaves):
    """Conditions of and, or, not over some."""
    return st.recursive(
        leaves,
        lambda inner: (
            inner.map(lambda part: ~part)
            | st.tuples(inner, inner).map(lambda two: two[0] & two[1])
            | st.tuples(inner, inner).map(lambda two: two[0] | two[1])
        ),
        max_leaves=5,
    )


def compared(column, literals):
    """All comparisons of a column."""
    ops = st.sampled_from(["=", "<", "<=", ">", ">=", "contains"])
    scalar = st.tuples(ops, literals).filter(lambda two: two[0] in ("=", "contains") or not isinstance(two[1], bool))
    return (
        scalar.map(lambda two: C[column]._compare(*two))
        | st.lists(literals, max_size=4).map(C[column].isin)
        | regexes.map(C[column].matches)
        | st.just(C[column].missing())
    )


anything = tree(
    st.sampled_from(NAMES[:4]).flatmap(lambda name: compared(name, literals))
    | st.sampled_from(NAMES[4:]).flatmap(lambda name: compared(name, texts))
)


def check_sql(condition, runs):
    assert found_by_sql(condition, runs) == [holds(condition, run) for run in runs]


@settings(max_examples=300)
@given(anything, st.lists(rows, min_size=1, max_size=5))
@example(C["params.a"] == 2**63, [{"params.a": 2.0**63}, {"params.a": 2**63 - 1}])
@example(C["params.a"].isin([2.0**63, 1]), [{"params.a": 2**63}, {"params.a": 2**63 - 1}, {"params.a": [1.0]}])
def test_sql_means_the_same(condition, runs):
    check_sql(condition, runs)


@pytest.mark.soak
def test_soak_sql_means_the_same():
    settings(max_examples=MANY)(given(anything, st.lists(rows, min_size=1, max_size=5))(check_sql))()


@settings(max_examples=300)
@given(st.sampled_from(["=", "<", "<=", ">", ">=", "contains"]), literals, st.lists(held, min_size=1, max_size=12))
def test_one_comparison_of_many_values(op, literal, values):
    if not isinstance(literal, bool) or op in ("=", "contains"):
        check_sql(Compare("params.a", op, literal), [{"params.a": value} for value in values])
