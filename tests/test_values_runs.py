"""Any value, through a real run: stored and read back as docs/format.md says, or refused without a trace."""

from __future__ import annotations

import base64
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import itertools
import json
import math
import pathlib
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from unittest import mock

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import gitlumo
from gitlumo import values
from gitlumo.errors import InvalidName, InvalidValue
from tests.test_wrong_input import content

REFUSED = object()  # what a value becomes that cannot be stored


class Case(NamedTuple):
    """A value and its JSON, or REFUSED."""

    value: Any
    stored: Any

    def __repr__(self) -> str:
        return f"Case({values.shown(self.value)}, {'REFUSED' if self.stored is REFUSED else repr(self.stored)})"


class Level(enum.Enum):
    LOW = "value"


@dataclasses.dataclass
class Field:
    x: Any
    y: int = 2


class Answers:
    """Has every attribute."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: Answers()


class Raises:
    """Has none, and says so in its own way."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class RaisesLate:
    @property
    def shape(self) -> Any:
        raise KeyError("shape")

    tolist = item = numel = __fspath__ = shape


class Itself:
    def tolist(self) -> Any:
        return [self]


class Again:
    def model_dump(self) -> Any:
        return self


class Endless(Mapping[Any, Any], Sequence[Any]):  # type: ignore[misc]
    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Any]:
        return itertools.count()

    def __getitem__(self, key: Any) -> Any:
        return key


class BadDict(dict[Any, Any]):
    def items(self) -> Any:
        raise RuntimeError


class BadInt(int):
    def __int__(self) -> int:
        raise RuntimeError

    __index__ = __str__ = __repr__ = __int__  # type: ignore[assignment]


class BadKey:
    def __str__(self) -> str:
        raise RuntimeError


def cycle() -> Any:
    a: list[Any] = [1]
    return a.append({"a": a}) or a  # type: ignore[func-returns-value]


def laughs() -> Any:
    """2^60 values of which hardly any takes memory."""
    value: Any = [0]
    for _ in range(60):
        value = [value, value]
    return value


HOSTILE: list[Any] = [
    *(object(), Answers(), Raises(), RaisesLate(), Itself(), Again(), Endless(), BadDict(a=1), {BadKey(): 1}),
    *({object(): 1}, {print: 1, (lambda: 1): 1}, {10**5000: 1}, {"\udc80": 1}, {1: 1, "1": 2}, cycle(), laughs()),
    *(itertools.count(), (x for x in ()), iter([]), print, len, int, Level, Field, math, ..., NotImplemented, slice(1)),
    *(mock.Mock(), mock.Mock(spec=dict), mock.Mock(spec=str), mock.NonCallableMagicMock(spec=[]), ValueError("x")),
    *(1j, np.complex128(1), np.zeros(1001), np.array([1, object()]), 10**5000, -(10**4300), 2**14280, datetime.UTC),
    *("\ud800", "a\udfffb", decimal.Decimal("1e999"), fractions.Fraction(10**400), {"a": {"b": [Raises()]}}),
]


def case(value: Any) -> Case:
    """A value that is its own JSON."""
    return Case(value, value)


def refused(values: Iterable[Any]) -> Any:
    return st.sampled_from([Case(value, REFUSED) for value in values])


texts = st.text(st.characters(codec="utf-8"), max_size=20)
names = texts.filter(lambda t: t.strip("./") and not set("/\0") & set(t))
leaves = st.one_of(
    st.sampled_from([None, True, False]).map(case),
    st.sampled_from([Case(Level.LOW, "LOW"), Case(BadInt(3), 3), Case(np.bool_(True), True)]),
    st.integers().map(case),
    st.integers(-(2**300), -(2**53)).map(case),
    st.integers(-128, 127).map(lambda n: Case(np.int8(n), n)),
    st.floats().map(lambda x: Case(x, of_float(x))),
    st.floats().map(lambda x: Case(np.float64(x), of_float(x))),
    st.floats(width=32).map(lambda x: Case(np.array(x, "f4"), of_float(x))),
    st.floats(width=16).map(lambda x: Case(np.float16(x), of_float(x))),
    st.decimals(allow_nan=False).map(lambda d: Case(d, of_float(float(d)) if fits(d) else REFUSED)),
    st.fractions().map(lambda f: Case(f, float(f))),
    texts.map(case),
    texts.map(lambda t: Case(np.str_(t), str(np.str_(t)))),
    st.binary(max_size=20).map(lambda b: Case(b, {"$bytes": base64.b64encode(b).decode()})),
    st.binary(max_size=20).map(lambda b: Case(memoryview(b), {"$bytes": base64.b64encode(b).decode()})),
    st.datetimes(timezones=st.timezones()).map(lambda d: Case(d, d.isoformat())),
    st.dates().map(lambda d: Case(d, d.isoformat())),
    st.timedeltas().map(lambda d: Case(d, d.total_seconds())),
    names.map(lambda t: Case(pathlib.PurePosixPath("a", t), f"a/{t}")),
    st.lists(st.integers(-9, 9), max_size=9).map(lambda n: Case(np.array(n, "i2"), n)),
    refused(HOSTILE),
)
keys = st.one_of(
    texts.map(lambda t: Case(t, "$" + t if t.startswith("$") else t)),
    st.sampled_from(["2", "null"]).map(case),
    st.sampled_from([Case(None, "null"), Case(True, "true"), Case(2, "2"), Case(1.5, "1.5"), Case(np.int64(3), "3")]),
    st.sampled_from([Case(Level.LOW, "LOW"), Case("$float", "$$float"), Case((1, "a"), "(1, 'a')")]),
)


def of_float(x: float) -> Any:
    return x if math.isfinite(x) else {"$float": "NaN" if math.isnan(x) else "Infinity" if x > 0 else "-Infinity"}


def fits(number: decimal.Decimal) -> bool:
    return not number.is_finite() or math.isfinite(float(number))


def listed(cases: list[Case]) -> Case:
    stored = [case.stored for case in cases]
    return Case([case.value for case in cases], REFUSED if REFUSED in stored else stored)


def mapped(pairs: list[tuple[Case, Case]]) -> Case:
    """A dict; REFUSED where two of its keys become one."""
    last = {key.value: (key.stored, item.stored) for key, item in pairs}
    stored = dict(last.values())
    refused = len(stored) < len(last) or any(item is REFUSED for item in stored.values())
    return Case({key.value: item.value for key, item in pairs}, REFUSED if refused else stored)


def wrapped(make: Callable[[Any], Any], around: Callable[[Any], Any] = lambda stored: stored) -> Callable[[Case], Case]:
    return lambda case: Case(make(case.value), REFUSED if case.stored is REFUSED else around(case.stored))


def nest(inner: Any) -> Any:
    lists = st.lists(inner, max_size=4).map(listed)
    dicts = st.lists(st.tuples(keys, inner), max_size=4).map(mapped)
    return st.one_of(
        lists,
        lists.map(wrapped(tuple)),
        lists.map(wrapped(collections.deque)),
        dicts,
        dicts.map(wrapped(types.MappingProxyType)),
        dicts.map(wrapped(collections.OrderedDict)),
        inner.map(wrapped(Field, lambda stored: {"x": stored, "y": 2})),
        inner.map(wrapped(lambda value: types.SimpleNamespace(_a=value), lambda stored: {"_a": stored})),
    )


anything = st.recursive(leaves, nest, max_leaves=8)


@pytest.fixture
def small(monkeypatch):
    """What has no end is refused sooner."""
    monkeypatch.setattr(values, "MAX_VALUES", 1000)


def test_any_value_is_stored_or_refused_without_a_trace(repo, git, small):
    exp = gitlumo.Experiment("values").start()
    kept: dict[str, bytes] = {}

    @hypothesis.settings(deadline=None, max_examples=100, database=None)
    @hypothesis.given(st.lists(anything, min_size=1, max_size=8))
    def fuzz(batch):
        for i, (value, json_value) in enumerate(batch):
            place = pathlib.Path(exp.info_dir, f"info/k{i}.json")
            if json_value is REFUSED:
                before = content(exp.info_dir)
                with pytest.raises(InvalidValue, match=rf"^k{i}[:.\[]"):
                    exp.dump_info(f"k{i}", value)
                assert content(exp.info_dir) == before
            else:
                exp.dump_info(f"k{i}", value)
                data = place.read_bytes()
                # format.md, section 2: equal values are equal blobs, so the bytes are known
                assert data == json.dumps(json_value, sort_keys=True, indent=2, ensure_ascii=False).encode() + b"\n"
                kept[f"k{i}"] = data

    fuzz()
    exp.end()
    assert len(kept) == 8
    tip = "lumo_experiments:" + git("ls-tree", "-d", "-r", "--name-only", "lumo_experiments").split("\n")[2]
    for key, data in kept.items():
        assert git("show", f"{tip}/info/{key}.json").encode() + b"\n" == data


numbers = st.one_of(
    st.floats().map(case),
    st.integers().map(case),
    st.integers(2**63, 2**400).map(case),
    st.integers(-128, 127).map(lambda n: Case(np.array([n], "i1"), n)),
    st.floats(width=16).map(lambda x: Case(np.float16(x), x)),
    st.floats(width=32).map(lambda x: Case(np.array(x, "f4"), x)),
    st.decimals(allow_nan=False).map(lambda d: Case(d, float(d) if fits(d) else REFUSED)),
    st.fractions().map(lambda f: Case(f, float(f))),
    st.sampled_from([Case(True, 1), Case(np.bool_(False), 0), Case(BadInt(3), 3)]),
    refused([*HOSTILE, "1", None, [1], {}, b"1", Level.LOW, mock.MagicMock(), decimal.Decimal("sNaN")]),
)
steps = st.one_of(
    st.just(Case(None, None)),
    st.integers(-(2**63) + 1, 2**63 - 1).map(case),
    st.integers(0, 100).flatmap(
        lambda n: st.sampled_from([np.int64(n), float(n), np.array(n)]).map(lambda x: Case(x, n))
    ),
    refused([0.5, math.nan, math.inf, "1", 2**63, 10**5000, [1], Raises(), mock.Mock(), 1j]),
)
metrics = st.one_of(
    texts.filter(bool).map(case),
    st.sampled_from(["step", "time", "$x", "a" * 300]).map(case),
    refused([1, None, b"a", "", "\ud800", Raises()]),
)


def test_any_number_is_recorded_or_refused_without_a_trace(repo, git, small):
    exp = gitlumo.Experiment("numbers").start()
    history = pathlib.Path(exp.info_dir, "history/00000.jsonl")
    exp.log({"first": 0})
    last: dict[str, Any] = {}

    @hypothesis.settings(deadline=None, max_examples=200, database=None)
    @hypothesis.given(st.lists(st.tuples(metrics, numbers), min_size=1, max_size=3), steps)
    def fuzz(pairs, step):
        given = {key.value: number.value for key, number in pairs}
        wanted = {key.value: number.stored for key, number in pairs}
        before = history.read_bytes()
        if REFUSED in (*wanted.values(), step.stored, *(key.stored for key, _ in pairs)):
            known = repr(exp.metrics)
            with pytest.raises(InvalidValue):
                exp.log(given, step=step.value)
            assert (history.read_bytes(), repr(exp.metrics)) == (before, known)
            return
        exp.log(given, step=step.value)
        after = history.read_bytes()
        assert after.startswith(before)
        line = json.loads(after[len(before) :], parse_constant=pytest.fail)
        if step.value is not None:
            assert line["step"] == step.stored
        for name, number in wanted.items():
            stored = line["$" + name if name in ("step", "time") or name.startswith("$") else name]
            if isinstance(number, float) and not math.isfinite(number):
                number = of_float(number)["$float"]
            assert (stored, type(stored)) == (number, type(number))
            last[name] = number

    fuzz()
    exp.end()
    folder = git("ls-tree", "-d", "-r", "--name-only", "lumo_experiments").split("\n")[2]
    summary = json.loads(git("show", f"lumo_experiments:{folder}/metrics.json"))
    assert {name: summary["$" + name if name.startswith("$") else name]["last"] for name in last} == last


def test_sizes(repo, git):
    params = {f"layer{i}.weight": i / 7 for i in range(10_000)}
    text = "grüße 🚀\n" * 350_000  # 5 MB
    with gitlumo.Experiment("sizes") as exp:
        exp.dump_info("params", params)
        exp.dump_info("text", text)
        before = content(exp.info_dir)
        for much in ({"a": [text, text, text]}, b"x" * 8_000_000):
            with pytest.raises(InvalidValue, match=r"^much: .*bytes"):
                exp.dump_info("much", much)
        assert content(exp.info_dir) == before
        assert exp.load_info("params") == params
        assert exp.load_info("text") == text
    folder = git("ls-tree", "-d", "-r", "--name-only", "lumo_experiments").split("\n")[2]
    assert json.loads(git("show", f"lumo_experiments:{folder}/info/params.json")) == params
    assert json.loads(git("show", f"lumo_experiments:{folder}/info/text.json")) == text


def test_a_path_below_the_home_folder_is_relative_to_it(repo, sealed, git):
    home = str(sealed)
    given = {
        "data": f"{home}/data",
        "home": home,
        "list": [pathlib.Path(home, "a b")],
        "other": home + "x",
        "text": f"at {home}",
    }
    told = {"data": "~/data", "home": "~", "list": ["~/a b"], "other": home + "x", "text": f"at {home}"}
    with gitlumo.start("paths", params=given) as exp:
        exp.dump_metric("acc", 1, "best", f"{home}/best.pt")
        assert exp.load_info("params") == told
        assert exp.metrics["acc"]["with"] == {"best": "~/best.pt"}
        assert not exp.properties.get("masked")


@pytest.mark.parametrize("key", [None, 1, b"a", mock.Mock()], ids=lambda key: type(key).__name__)
def test_a_property_has_a_name(repo, key):
    with gitlumo.Experiment("names") as exp:
        before = content(exp.info_dir)
        with pytest.raises(InvalidName):
            exp.dump_info(key, 1)
        assert content(exp.info_dir) == before
