"""Conditions: what they mean, that SQL means the same, and the text of them."""

from __future__ import annotations

import contextlib
import datetime
import math
import os
import re
import sqlite3

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gitlumo import times
from gitlumo.condition import C, Compare, all_of, any_of, test
from gitlumo.errors import GitError, InvalidValue, UsageError
from gitlumo.expression import parse
from gitlumo.naming import LISTED, resolved
from gitlumo.store import columns, index
from gitlumo.where import functions, to_sql

holds = test
del test  # pytest would take it for one
NOW = datetime.datetime(2026, 11, 24, 18, 30).timestamp()
A, B = "a" * 40, "b" * 40
MANY = int(os.environ.get("GITLUMO_SOAK_ROUNDS", "2000"))


class There:
    """Columns that are there, and their types; ``blob`` is any."""

    def __init__(self, **types):
        self.held = {name.replace("__", "."): {kind} for name, kind in types.items()}

    def names(self):
        return list(self.held)

    def types(self, name):
        return self.held.get(name, set())


THERE = There(params__lr="real", params__wd="blob", params__model="text", params__state="text", params__optim__eps="real",
              metrics__lr="real", metrics__acc="real", params__layers="blob")  # fmt: skip


class Revisions:
    def commit(self, text):
        if text == "nope":
            raise GitError("unknown revision 'nope'")
        return {"HEAD~3": A}.get(text, text)

    def between(self, text):
        if text == "nope..":
            raise GitError("unknown revision 'nope'")
        return [A, B]


def read(text, there=THERE):
    return parse(text, there, Revisions(), NOW)


def found_by_sql(condition, runs):
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(index._SCHEMA)
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
    (lambda: C["deprecated"] == "yes", 'deprecated is true or false, and "yes" is a text: that never holds'),
])  # fmt: skip
def test_wrong_values(make, said):
    with pytest.raises(InvalidValue, match=re.escape(said)):
        make()


def test_large_conditions():
    runs = [{"params.n": n, "params.t": str(n), "git.head": f"{n:040x}"} for n in (1, 4999, 70_000)]
    some = any_of(C["params.n"] == n for n in range(5000))
    assert found_by_sql(some, runs) == [True, True, False]
    assert found_by_sql(all_of(C["params.n"] != n for n in range(5000)), runs) == [False, False, True]
    assert found_by_sql(C["params.t"].isin(map(str, range(60_000))), runs) == [True, True, False]
    assert found_by_sql(C["git.commit"].isin(f"{n:040x}" for n in range(60_000)), runs) == [True, True, False]


def test_what_sqlite_holds_is_compared_by_sqlite():
    connection = sqlite3.connect(":memory:")
    connection.executescript(index._SCHEMA)
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


# The text.

WORDS = [
    "a",
    "params.lr",
    "exp",
    "(",
    ")",
    ",",
    "=",
    "!=",
    "~",
    "in",
    "not",
    "and",
    "or",
    "'",
    '"',
    "`",
    "1",
    "\\",
    "[",
    "&",
]
odd_names = st.text(max_size=6) | st.sampled_from(["a b", "a.b", 'a"b', "a`b", "`", "a\nb", "and", "x.last", "Ω", "0"])
odd = st.tuples(st.sampled_from(["params.", "metrics."]), odd_names).map("".join)
written = tree(
    odd.flatmap(lambda name: compared(name, literals))
    | st.sampled_from(["exp", "git.commit", "note", "tag"]).flatmap(lambda name: compared(name, texts))
    | st.tuples(st.sampled_from(["start", "took", "ratio"]), st.sampled_from(["=", "<", ">="]), numbers).map(
        lambda three: C[three[0]]._compare(*three[1:])
    )
    | st.booleans().map(lambda value: C["deprecated"] == value)
)


class Everything:
    def names(self):
        return self

    def __iter__(self):
        return iter(())

    def types(self, name):
        return {"blob"}


def check_text(condition):
    assert read(repr(condition), Everything()) == condition


@settings(max_examples=300)
@given(written)
def test_repr_is_read_back(condition):
    check_text(condition)


@pytest.mark.soak
def test_soak_repr_is_read_back():
    settings(max_examples=MANY)(given(written)(check_text))()


@given(st.text(max_size=40) | st.lists(st.sampled_from(WORDS)).map(" ".join))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(UsageError):
        assert read(repr(read(text))) == read(text)


TEXTS = {
    "params.lr < 0.1 and acc > .9": (C["params.lr"] < 0.1) & (C["metrics.acc"] > 0.9),
    "lr = 1 or lr==2 and wd = 3": (C["params.lr"] == 1) | (C["params.lr"] == 2) & (C["params.wd"] == 3),
    "(lr=1 or lr=2) AND NOT wd=3": ((C["params.lr"] == 1) | (C["params.lr"] == 2)) & (C["params.wd"] != 3),
    "exp = digits": C["exp"] == "digits",
    "exp_name = 007": C["exp"] == "007",
    "state != failed": C["state"] != "failed",
    "params.state = failed": C["params.state"] == "failed",
    "metrics.lr > 1": C["metrics.lr"] > 1,
    "optim.eps > 1": C["params.optim.eps"] > 1,
    "acc.last > 1": C["metrics.acc.last"] > 1,
    "tag in (best, paper)": C["tag"].isin(["best", "paper"]),
    "tags not in ('best',)": ~C["tag"].isin(["best"]),
    "tag contains best": C["tag"].contains("best"),
    "note ~ warm": C["note"].matches("warm"),
    r'note !~ "two \d\"\u0041\\n"': ~C["note"].matches('two \\d"A\\n'),
    "note~1": C["note"].matches("1"),
    "model = 'a b'": C["params.model"] == "a b",
    "model = null-space": C["params.model"] == "null-space",
    'model = "null"': C["params.model"] == "null",
    "model contains m": C["params.model"].contains("m"),
    "layers contains 3": C["params.layers"].contains(3),
    "missing(params.wd)": C["params.wd"].missing(),
    "not missing( wd )": ~C["params.wd"].missing(),
    "wd = true": C["params.wd"] == True,  # noqa: E712
    "wd = False": C["params.wd"] == False,  # noqa: E712
    "wd = 1e-3": C["params.wd"] == 1e-3,
    "wd = 1_000": C["params.wd"] == 1000,
    "wd = 0x10": C["params.wd"] == 16,
    "wd=-inf": C["params.wd"] == -math.inf,
    "wd != nan": C["params.wd"] != math.nan,
    "wd = a=b": C["params.wd"] == "a=b",
    f"wd = {2**70}": C["params.wd"] == 2**70,
    "params.`wd` = 1": C["params.wd"] == 1,
    "`params.wd` = 1": C["params.wd"] == 1,
    "git.commit = HEAD~3": C["git.commit"] == A,
    "commit != HEAD~3": C["git.commit"] != A,
    "git.commit in A..B": C["git.commit"].isin([A, B]),
    "git.commit in (HEAD~3, v1)": C["git.commit"].isin([A, "v1"]),
    "git.commit not in A..B": ~C["git.commit"].isin([A, B]),
    "git.commit ~ ^aa": C["git.commit"].matches("^aa"),
    "branch = main": C["git.branch"] == "main",
    "took > 2h": C["took"] > 7200.0,
    "duration < 90s": C["took"] < 90.0,
    "took > 1.5 m": C["took"] > 90.0,
    "took > 12": C["took"] > 12,
    "start > 2 days ago and lr = 1": (C["start"] > NOW - 2 * 86400) & (C["params.lr"] == 1),
    "start > 2026-11-20 18:00": C["start"] > datetime.datetime(2026, 11, 20, 18),
    "start > 2026-11-20": C["start"] > datetime.datetime(2026, 11, 20),
    "start = @5": C["start"] == 5,
    "end > yesterday": C["end"] > datetime.datetime(2026, 11, 23),
}


@pytest.mark.parametrize(("text", "condition"), TEXTS.items(), ids=TEXTS)
def test_text(text, condition):
    assert read(text) == condition


def test_no_runs():
    assert read("params.lr < 1", There()) == (C["params.lr"] < 1)
    with pytest.raises(UsageError, match="no run has a column lr"):
        read("lr < 1", There())


def test_names_of_python_conditions_are_resolved():
    condition = (C["lr"] < 1) & ~(C["tags"].missing() | (C["acc"] > 1))
    full = (C["params.lr"] < 1) & ~(C["tag"].missing() | (C["metrics.acc"] > 1))
    assert resolved(condition, THERE.names()) == full
    with pytest.raises(UsageError, match=re.escape("no run has a column lrr; did you mean params.lr")):
        resolved(C["lrr"] < 1, THERE.names())
    with pytest.raises(UsageError, match="not a condition: 'lr < 1'"):
        resolved("lr < 1", THERE.names())


def test_odd_names_are_offered_as_they_are_typed():
    there = There(**{"params__two words": "real"})
    with pytest.raises(UsageError, match=re.escape("did you mean params.`two words`?")):
        read("twowords < 1", there)


WRONG = {  # between « and » is the place
    "start = «2026-11-20»": "start is a moment, which is hardly ever met: write start >= ... and start < ...",
    "start > «2026»": "2026 is not a time: 2026-11-20, 2026-11-20T18:00, 2 days ago, yesterday, today",
    "start < «abc»": "abc is not a time: 2026-11-20, 2026-11-20T18:00, 2 days ago, yesterday, today",
    "took > «soon»": "soon is not a duration: 90s, 1.5 m, 2h, 1h 30m, 3 days",
    "git.commit = «nope»": "unknown revision 'nope'",
    "git.commit in «nope..»": "unknown revision 'nope'",
    "git.commit in «A»": "expected a list in parentheses, as in (best, paper) or a range of commits, A..B",
    "tag in «best»": "expected a list in parentheses, as in (best, paper)",
    "wd = «null»": 'write missing(params.wd) for no value, "null" for the text',
    "exception != «None»": 'write missing(exception) for no value, "None" for the text',
    "model = «3»": 'params.model is a text in every run, and 3 is a number: that never holds; write "3" for the text',
    "model in (a, «3»)": 'params.model is a text in every run, and 3 is a number: that never holds; write "3" for the text',
    "lr < «'a'»": 'params.lr is a number in every run, and "a" is a text: that never holds',
    "lr < «abc»": 'params.lr is a number in every run, and "abc" is a text: that never holds',
    "lr = «true»": "params.lr is a number in every run, and true is true or false: that never holds",
    "acc contains «3»": "metrics.acc is a number in every run, and contains is for texts: that never holds",
    "acc ~ «3»": 'metrics.acc is a number in every run, and "3" is a text: that never holds',
    "wd < «true»": "true and false have no order: write params.wd = true",
    "deprecated = «1»": "deprecated is true or false, and 1 is a number: that never holds",
    "took ~ «1»": 'took is a number, and "1" is a text: that never holds',
    "«acc.lst» > 1": f"no run has a column acc.lst; did you mean metrics.acc? ({LISTED})",
    "«lrr» < 1": f"no run has a column lrr; did you mean params.lr or metrics.lr? ({LISTED})",
    "«eps» < 1": f"no run has a column eps; did you mean params.optim.eps or exp? ({LISTED})",
    "«config.lr» < 1": f"no run has a column config.lr; did you mean params.lr or metrics.lr? ({LISTED})",
    "missing(«weight_decay»)": f"no run has a column weight_decay ({LISTED})",
    "«zzz» = 1": f"no run has a column zzz ({LISTED})",
    "«params.zzz» = 1": f"no run has a column params.zzz; did you mean params.wd or params.lr or params.state? ({LISTED})",
    "«0.1» < lr": "a comparison begins with a column: write lr > 0.1 and lr < 1",
    "lr < 1 «<» 2": "a comparison has one value: write lr > 0.1 and lr < 1 for two comparisons",
    "0.1 < lr «<» 1": "a comparison has one value: write lr > 0.1 and lr < 1 for two comparisons",
    "lr = 1 «&» wd = 2": "write and",
    "lr = 1 «||» wd = 2": "write or; a text with | is quoted",
    "«!»(lr = 1)": "write not",
    "model «like» '%x%'": "write ~ and a regular expression, or contains",
    "model not «like» '%x%'": "write !~ and a regular expression",
    "wd «is» null": "write missing(COLUMN)",
    "wd «is» not None": "write not missing(COLUMN)",
    "lr «between» 1 and 2": "write COLUMN >= 1 and COLUMN <= 2",
    "lr «<>» 1": "<> is no comparison: write !=",
    "lr «=~» x": "=~ is no comparison: write ~",
    "lr «=!» x": "=! is no comparison: write =, !=, <, <=, >, >=, ~ or !~",
    "model = «[»a, b]": "write in (a, b) for one of several; a text with brackets is quoted",
    "model in «[»a, b]": "expected a list in parentheses, as in (best, paper)",
    "model in (a, b«»": "expected , or )",
    "model in «»": "expected a list in parentheses, as in (best, paper)",
    "model in (a b, «»": "expected a value",
    "(lr = 1«»": "expected )",
    "lr = 1«)»": "this ) was never opened",
    "«'»lr' = 1": "a column's name stands without quotes, or in backquotes: params.`a b`",
    "«`»lr = 1": "this backquote is not closed",
    "model = «`»a`": "a text stands in quotes, not in backquotes",
    "note ~ don«'»t": "this quote is not closed",
    'note ~ «"»warm': "this quote is not closed",
    "note ~ «(»a|b)": "write in (a, b) for one of several; a text with parentheses is quoted",
    "note ~ ^a«[»0-9]": "a text with brackets or parentheses is quoted",
    'note ~ «"("»': 'not a regular expression: "(": missing ), unterminated subpattern at position 0',
    "model = a«,» b": "write in (a, b) for one of several",
    "max«(»acc) > 1": "there are no functions but missing(COLUMN)",
    "lr«»": "expected =, !=, <, <=, >, >=, ~, !~, in, not in or contains",
    "lr =«»": "expected a value",
    "lr = 1 and«»": "expected a column, not, missing(COLUMN) or (",
    "not«»": "expected a column, not, missing(COLUMN) or (",
    "lr = 1 «wd» ": "expected and, or, or the end; a text with blanks is quoted",
    "lr = 1 wd «=» 2": "a comparison has one value: write lr > 0.1 and lr < 1 for two comparisons",
    "model = two «words»": "expected and, or, or the end; a text with blanks is quoted",
    "lr = «and»": 'expected a value, not and; write "and" for the text',
    "or «lr» = 1": "expected =, !=, <, <=, >, >=, ~, !~, in, not in or contains",
    "lr = 1 and and «wd» = 1": "expected =, !=, <, <=, >, >=, ~, !~, in, not in or contains",
    "deprecated«»": "expected =, !=, <, <=, >, >=, ~, !~, in, not in or contains",
    "lr «!» 1": "! is no comparison: write =, !=, <, <=, >, >=, ~ or !~",
}


@pytest.mark.parametrize(("marked", "said"), WRONG.items(), ids=WRONG)
def test_wrong_expressions(marked, said):
    start, end = marked.index("«"), marked.index("»") - 1
    text = marked.replace("«", "").replace("»", "")
    with pytest.raises(UsageError) as caught:
        read(text)
    assert str(caught.value) == f"{said}\n    {text}\n    {' ' * start}{'^' * (end - start or 1)}"
    assert caught.value.status == 129


def test_the_place_in_a_long_expression():
    text = " or ".join(["lr = 1"] * 50 + ["lr = = 1"] + ["lr = 1"] * 50)
    with pytest.raises(UsageError) as caught:
        read(text)
    _, shown, carets = str(caught.value).split("\n")
    assert len(shown) < 90
    assert shown[carets.index("^") - 4 :].startswith("r = = 1")


def test_the_place_behind_wide_letters_and_newlines():
    with pytest.raises(UsageError) as caught:
        read("exp = 漢字\nand lr ! 1")
    assert str(caught.value).split("\n")[1:] == ["    exp = 漢字 and lr ! 1", "                      ^"]


@pytest.mark.parametrize("text", ["(lr = 1 and not " * 60 + "(lr = 1" + ")" * 61, "not " * 5000 + "lr = 1"])
def test_nested_too_deep(text):
    with pytest.raises(UsageError, match="nested deeper than 100 levels"):
        read(text)


def test_as_deep_as_it_may_be():
    condition = read("(" * 5000 + "lr = 1 or not (wd = 1 and " * 33 + "lr = 2" + ")" * 5033)
    check_sql(condition, [{"params.lr": 1}, {"params.lr": 2}, {"params.wd": 1}])
    check_text(condition)


def test_a_long_chain_is_not_deep():
    assert read(" and ".join(["lr = 1"] * 5000)) == all_of([C["params.lr"] == 1] * 5000)


def test_an_integer_that_python_does_not_read():
    with pytest.raises(UsageError, match="an integer of 5000 digits is too large"):
        read(f"wd = {'9' * 5000}")


def test_no_unicode():
    with pytest.raises(UsageError, match="not valid Unicode"):
        read("exp = a\udc80")
    with pytest.raises(UsageError, match="not valid Unicode"):
        read(r'exp = "\ud800"')


# Times.


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
