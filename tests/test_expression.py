"""The text of a condition: read, written, refused with a caret below the place."""

from __future__ import annotations

import contextlib
import datetime
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitlumo.condition import C, all_of
from gitlumo.errors import GitError, UsageError
from gitlumo.expression import parse
from gitlumo.naming import LISTED, resolved
from gitlumo.where import to_sql
from tests.test_condition import MANY, NOW, A, B, check_sql, compared, literals, numbers, texts, tree

C40 = "c" * 40  # a commit that this clone has not


class There:
    """Columns that are there, and their types; ``blob`` is any."""

    def __init__(self, **types):
        self.held = {name.replace("__", "."): {kind} for name, kind in types.items()}

    def names(self):
        return list(self.held)

    def types(self, name):
        return self.held.get(name, set())


THERE = There(
    **dict.fromkeys(["params__lr", "params__optim__eps", "metrics__lr", "metrics__acc"], "real"),
    **dict.fromkeys(["params__model", "params__state"], "text"),
    **dict.fromkeys(["params__wd", "params__layers"], "blob"),
)


class Revisions:
    def commit(self, text):
        if text in ("nope", C40):
            raise GitError("unknown revision 'nope'")
        return {"HEAD~3": A}.get(text, text)

    def between(self, text):
        if text == "nope..":
            raise GitError("unknown revision 'nope'")
        return [A, B]


def read(text, there=THERE):
    return parse(text, there, Revisions(), NOW)


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
    again = read(repr(condition), Everything())
    assert again == condition
    assert to_sql(again) == to_sql(condition)  # conditions are equal if their texts are


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
    "note ~ none": C["note"].matches("none"),
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
    f"git.commit = {C40}": C["git.commit"] == C40,
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
    "model in (a, «3»)": (
        'params.model is a text in every run, and 3 is a number: that never holds; write "3" for the text'
    ),
    "lr < «'a'»": 'params.lr is a number in every run, and "a" is a text: that never holds',
    "lr < «abc»": 'params.lr is a number in every run, and "abc" is a text: that never holds',
    "lr = «true»": "params.lr is a number in every run, and true is true or false: that never holds",
    "acc contains «3»": "metrics.acc is a number in every run, and contains is for texts: that never holds",
    "acc ~ «3»": 'metrics.acc is a number in every run, and "3" is a text: that never holds',
    "wd < «true»": "true and false have no order: write params.wd = true",
    "deprecated = «1»": "deprecated is true or false, and 1 is a number: that never holds",
    "state = «finishd»": "state is running, finished, failed or killed, never finishd; did you mean finished?",
    "state not in (failed, «Killd»)": "state is running, finished, failed or killed, never Killd; did you mean killed?",
    "took ~ «soon»": 'took is a number, and "soon" is a text: that never holds',
    "took ~ «1»": 'took is a number, and "1" is a text: that never holds',
    "«acc.lst» > 1": f"no run has a column acc.lst; did you mean metrics.acc? ({LISTED})",
    "«lrr» < 1": f"no run has a column lrr; did you mean params.lr or metrics.lr? ({LISTED})",
    "«eps» < 1": f"no run has a column eps; did you mean params.optim.eps or exp? ({LISTED})",
    "«config.lr» < 1": f"no run has a column config.lr; did you mean params.lr or metrics.lr? ({LISTED})",
    "missing(«weight_decay»)": f"no run has a column weight_decay ({LISTED})",
    "«zzz» = 1": f"no run has a column zzz ({LISTED})",
    "«params.zzz» = 1": (
        f"no run has a column params.zzz; did you mean params.wd or params.lr or params.state? ({LISTED})"
    ),
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
