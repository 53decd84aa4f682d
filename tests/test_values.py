"""Values: Python to JSON and back (docs/format.md, section 2)."""

import argparse
import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import json
import math
import pathlib
import time
import types
import typing
import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlumo import values
from gitlumo.errors import FormatError, InvalidValue

NAN, INF = float("nan"), float("inf")


class Color(enum.Enum):
    RED = 1


class Speed(enum.IntEnum):
    FAST = 3


class Tone(enum.StrEnum):
    LOW = "l"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass
class Optim:
    lr: float
    betas: tuple = (0.9, 0.999)


@dataclasses.dataclass
class Config:
    optim: Optim
    seed: int = 1


class Point(typing.NamedTuple):
    x: int
    y: list = []  # noqa: RUF012


class Pydantic:
    def model_dump(self):
        return {"lr": 0.1, "where": pathlib.PurePosixPath("/data")}


class Tensor:
    """A torch tensor's shape: numel(), tolist(), item()."""

    def __init__(self, *items):
        self.items = list(items)

    def numel(self):
        return len(self.items)

    def tolist(self):
        return self.items

    def item(self):
        if len(self.items) != 1:
            raise RuntimeError("a Tensor with several elements cannot be converted to Scalar")
        return self.items[0]


CEST = datetime.timezone(datetime.timedelta(hours=2))
ENCODED = [
    (None, None),
    (True, True),
    (1, 1),
    (2**53 + 1, 2**53 + 1),
    (-(10**40), -(10**40)),
    (0.1, 0.1),
    (NAN, {"$float": "NaN"}),
    (INF, {"$float": "Infinity"}),
    (-INF, {"$float": "-Infinity"}),
    ("größe", "größe"),
    (b"\0\xff", {"$bytes": "AP8="}),
    (bytearray(b"a"), {"$bytes": "YQ=="}),
    (memoryview(b"a"), {"$bytes": "YQ=="}),
    ({"$float": "NaN"}, {"$$float": "NaN"}),
    ({"$$x": 1, "$": 2, "a$": 3}, {"$$$x": 1, "$$": 2, "a$": 3}),
    ({1: "a", "b": 2}, {"1": "a", "b": 2}),
    ({True: 1, False: 2, None: 3}, {"true": 1, "false": 2, "null": 3}),
    ({1.5: 1, (1, 2): 2, Color.RED: 3}, {"1.5": 1, "(1, 2)": 2, "RED": 3}),
    (collections.OrderedDict(b=1, a=2), {"a": 2, "b": 1}),
    (types.MappingProxyType({"a": 1}), {"a": 1}),
    ((1, [2, (3,)]), [1, [2, [3]]]),
    ({3, 1, 2}, [1, 2, 3]),
    ({"z", "é", "a", "🚀", "\uffff"}, ["a", "z", "é", "\uffff", "🚀"]),
    (frozenset({"b", 10, 9, None}), ["b", 10, 9, None]),  # sorted by their JSON
    (pathlib.PurePosixPath("a/b"), "a/b"),
    (pathlib.Path("/x"), "/x"),
    (Color.RED, "RED"),
    (Speed.FAST, "FAST"),
    (Tone.LOW, "LOW"),
    (Rights.READ | Rights.WRITE, "READ|WRITE"),
    (Rights(0), str(Rights(0))),  # which has no name
    ({Rights(0): 1}, {str(Rights(0)): 1}),
    (datetime.datetime(2026, 11, 24, 8, 0, 0, 5, CEST), "2026-11-24T08:00:00.000005+02:00"),
    (datetime.date(2026, 11, 24), "2026-11-24"),
    (datetime.time(8, 0, 1), "08:00:01"),
    (Config(Optim(0.1)), {"optim": {"lr": 0.1, "betas": [0.9, 0.999]}, "seed": 1}),
    (argparse.Namespace(lr=0.1, nested=argparse.Namespace(a=1)), {"lr": 0.1, "nested": {"a": 1}}),
    (types.SimpleNamespace(a=1), {"a": 1}),
    (Pydantic(), {"lr": 0.1, "where": "/data"}),
    (range(3), [0, 1, 2]),
    (collections.deque([1, 2]), [1, 2]),
    (Point(1, y=[2]), {"x": 1, "y": [2]}),
    (datetime.timedelta(minutes=1, microseconds=500000), 60.5),
    (decimal.Decimal("0.1"), 0.1),
    (decimal.Decimal("-Infinity"), {"$float": "-Infinity"}),
    (fractions.Fraction(1, 3), 1 / 3),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (memoryview(array.array("h", [1, 2])), [1, 2]),
    (array.array("d", [1, 2]), [1.0, 2.0]),
    (np.int64(3), 3),
    (np.uint64(2**64 - 1), 2**64 - 1),
    (np.float32(0.5), 0.5),
    (np.float64(0.1), 0.1),
    (np.float32("nan"), {"$float": "NaN"}),
    (np.bool_(True), True),
    (np.str_("x"), "x"),
    (np.bytes_(b"a"), {"$bytes": "YQ=="}),
    (np.arange(3), [0, 1, 2]),
    (np.array([[1.5, NAN], [INF, 2]]), [[1.5, {"$float": "NaN"}], [{"$float": "Infinity"}, 2.0]]),
    (np.array(7), 7),
    (np.zeros(0), []),
    (np.zeros((10, 100), int), [[0] * 100] * 10),
    (Tensor(1, 2), [1, 2]),
    ({"a": np.arange(2), "b": [Optim(1)]}, {"a": [0, 1], "b": [{"lr": 1, "betas": [0.9, 0.999]}]}),
]


@pytest.mark.parametrize(("value", "json_value"), ENCODED, ids=[type(value).__name__ for value, _ in ENCODED])
def test_encode(value, json_value):
    got = values.encode(value)
    assert got == json_value
    # also in its types (1 is not 1.0, numpy's float is not ours), and the same after a round through a file
    assert shown(got) == shown(json_value) == shown(values.from_bytes(values.to_bytes(got)))


def shown(value):
    """A value as text, by which 1, 1.0 and True differ and NaN is NaN."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {shown(item)}" for key, item in sorted(value.items())) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    return repr(value)


def test_a_naive_datetime_is_local_time(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "XYZ-05:30")
        time.tzset()
        assert values.encode(datetime.datetime(2026, 11, 24, 8)) == "2026-11-24T08:00:00+05:30"
    time.tzset()


LOOP: list = []
LOOP.append(LOOP)
DEEP = 1
for _ in range(102):
    DEEP = {"k": DEEP}

REFUSED = [
    (object(), r"^p: .*object"),
    ({"a": [1, {"b": object()}]}, r"^p\.a\[1\]\.b: "),
    ({"a": (1, lambda: 1)}, r"^p\.a\[1\]: .*function"),
    ({"a": {1j}}, r"^p\.a\{\.\.\.\}: .*complex"),
    (int, "the class int"),
    (Optim, "the class Optim"),
    (np.float64, "the class float64"),
    (np.complex64(1), "complex"),
    (np.array([1, object()]), r"^p\[1\]: "),
    (np.zeros(1001), "^p: an array of 1001 elements"),
    (np.zeros((501, 2)), "1002 elements"),
    ({"w": Tensor(*range(1001))}, r"^p\.w: .*1001"),
    ({1: "a", "1": "b"}, "^p: two keys become '1'"),
    ({None: 1, "null": 2}, "two keys become 'null'"),
    ({"x": {True: 1, "true": 2}}, r"^p\.x: two keys"),
    ("\ud800", "^p: .*Unicode"),
    ({"a": "\udcff"}, r"^p\.a: "),
    ({"\ud800": 1}, r"^p\.'\\ud800'"),
    (10**5000, "^p: .*large"),
    (LOOP, "nested deeper than 100"),
    (DEEP, "nested deeper than 100"),
    (datetime.datetime.min, "^p: "),
]


@pytest.mark.parametrize(("value", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_cannot_be_stored(monkeypatch, value, message):
    monkeypatch.setenv("TZ", "XYZ-05:30")  # where the year 1 has begun before it begins in UTC
    time.tzset()
    try:
        with pytest.raises(InvalidValue, match=message) as caught:
            values.encode(value, "p")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert isinstance(caught.value, TypeError)
    str(caught.value).encode()


def test_an_array_of_1000_elements_is_small():
    assert values.encode(np.zeros(1000)) == [0.0] * 1000
    assert values.encode(list(range(2000))) == list(range(2000))  # a list is no array


def test_100_levels():
    value: object = 1
    for _ in range(100):
        value = [value]
    assert values.decode(values.from_bytes(values.to_bytes(values.encode(value)))) == value


def test_the_file():
    data = values.to_bytes(values.encode({"b": [1, 2.0], "a": {"ö": None, "$x": []}, "\uffff": 1, "🚀": 2}))
    text = '{\n  "a": {\n    "$$x": [],\n    "ö": null\n  },\n  "b": [\n    1,\n    2.0\n  ],\n'
    assert data == f'{text}  "\uffff": 1,\n  "🚀": 2\n}}\n'.encode()


NOT_JSON = [b"", b"{", b"\xff", b"{'a': 1}", b"[" * 100000, b"1" * 5000, b"{} {}", '{"a": 1}'.encode("utf-16")]
NOT_JSON += [b"NaN", b'{"a": [Infinity]}', b"-Infinity", b'"\\ud800"', b'{"\\udc00": 1}']


@pytest.mark.parametrize("data", NOT_JSON)
def test_what_is_not_json(data):
    with pytest.raises(FormatError):
        values.from_bytes(data)


@pytest.mark.parametrize("depth", [100, 900, 5000])
@pytest.mark.parametrize(("left", "right"), [(b"[", b"]"), (b'{"a":', b"}")], ids=["lists", "objects"])
def test_a_strangers_depth_is_an_error_of_ours(left, right, depth):
    try:
        values.decode(values.from_bytes(left * depth + b"1" + right * depth))
    except FormatError:
        assert depth > 100


leaves = (
    st.none() | st.booleans() | st.integers() | st.integers(2**53, 2**200) | st.floats() | st.binary(max_size=20)
    | st.text(st.characters(codec="utf-8")) | st.sampled_from(["NaN", "Infinity", "$float", "YQ=="])
)  # fmt: skip
keys = st.text(st.characters(codec="utf-8")) | st.sampled_from(["$float", "$bytes", "$", "$$float", "a"])
nested = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=20
)


@given(nested)
def test_every_value_comes_back(value):
    data = values.to_bytes(values.encode(value))
    assert shown(values.decode(values.from_bytes(data))) == shown(value)
    assert data.endswith(b"\n")
    assert not data.endswith(b"\n\n")
    json.loads(data.decode("utf-8"), parse_constant=pytest.fail)
    assert values.to_bytes(values.from_bytes(data)) == data  # one value, one blob


@given(st.sets(st.text(st.characters(codec="utf-8")) | st.integers() | st.floats(allow_nan=False)))
def test_sets_are_sorted_by_their_json(value):
    encoded = values.encode(value)
    lines = [json.dumps(item, ensure_ascii=False) for item in encoded]
    assert lines == sorted(lines)
    assert len(lines) == len(value)


@pytest.mark.parametrize(
    "value",
    [{"$float": "nan"}, {"$float": 1}, {"$float": []}, {"$float": {}}, {"$float": "NaN", "x": 1}, {"$bytes": 1}],
)
def test_decode_takes_what_a_stranger_wrote(value):
    assert values.decode(value).keys() == {key.removeprefix("$") for key in value}


@pytest.mark.parametrize("text", ["=", "a", "ab\n", "Ä"])
def test_bytes_that_are_not_base64(text):
    with pytest.raises(FormatError):
        values.decode({"$bytes": text})


# --- metrics ---


class Half:
    def item(self):
        return 0.5


NUMBERS = [(1, 1), (0.5, 0.5), (True, 1), (2**60, 2**60), (Speed.FAST, 3), (np.float32(0.5), 0.5)]
NUMBERS += [(np.int8(-3), -3), (np.bool_(True), 1), (np.array([2.5]), 2.5), (Tensor(3), 3), (Half(), 0.5), (INF, INF)]


@pytest.mark.parametrize(("value", "number"), NUMBERS)
def test_numbers(value, number):
    got = values.number(value, "acc")
    assert (got, type(got)) == (number, type(number))


@pytest.mark.parametrize(
    "value",
    ["1", None, 1j, np.complex64(1), [1], {}, np.arange(2), Tensor(1, 2), np.str_("1"), float, Half, b"1", 10**5000],
    ids=lambda value: type(value).__name__,
)
def test_no_numbers(value):
    with pytest.raises(InvalidValue, match="metric 'acc'"):
        values.number(value, "acc")


@pytest.mark.parametrize(
    ("number", "json_value"),
    [(1, 1), (0.5, 0.5), (NAN, "NaN"), (INF, "Infinity"), (-INF, "-Infinity"), (10**400, 10**400)],
)
def test_where_only_numbers_may_stand(number, json_value):
    assert values.encode_number(number) == json_value
    back = values.decode_number(json_value)
    assert back == number or (math.isnan(back) and math.isnan(number))


@pytest.mark.parametrize("json_value", ["nan", "", None, True, [], {}, "inf"])
def test_what_is_no_number_there(json_value):
    assert values.decode_number(json_value) is None


# --- times ---


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1795507200, "2026-11-24T08:00:00.000Z"),
        (1.0004, "1970-01-01T00:00:01.000Z"),
        (1.9996, "1970-01-01T00:00:02.000Z"),
        (-0.25, "1969-12-31T23:59:59.750Z"),
    ],
)
def test_times(seconds, text):
    assert values.time_text(seconds) == text
    assert values.time_seconds(text) == pytest.approx(seconds, abs=0.0005)


@given(st.floats(-1e9, 1e11))
def test_every_time_comes_back(seconds):
    assert values.time_seconds(values.time_text(seconds)) == pytest.approx(seconds, abs=0.00051)


NO_TIMES = [None, 5, "", "now", "2026-11-24", "2026-11-24T08:00:00", "2026-13-01T00:00:00Z", "2026-02-29T08:00:00.000Z"]


@pytest.mark.parametrize("text", [*NO_TIMES, "2026-11-24T08:60:00.000Z", "2026-11-24T25:00:00.000Z"])
def test_no_times(text):
    assert values.time_seconds(text) is None
    with pytest.raises(FormatError):
        values.day_text(text)


def test_no_run_started_before_1970():
    with pytest.raises(FormatError):
        values.day_text("1969-12-31T23:59:59Z")


@pytest.mark.parametrize(
    ("start", "day"),
    [
        ("2026-11-24T23:59:59.999Z", "261124"),
        ("2026-11-24T23:30:00-01:00", "261125"),
        ("1970-01-01T00:00:00Z", "700101"),
    ],
)
def test_the_day_is_utc(start, day):
    assert values.day_text(start) == day


@given(st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(9999, 12, 31)))
def test_every_day(moment):
    assert values.day_text(moment.isoformat(timespec="milliseconds") + "Z") == moment.strftime("%y%m%d")


@pytest.mark.parametrize(
    "data",
    [
        b'{"a": {"$float": "NaN"}}',
        b'{"a": {"\\u0024bytes": "QQ=="}}',
        b'{"$$a": 1, "b": [1, 2.5, "x", null, true]}',
        b'[{"a": {"b": {"c": ["$"]}}}]',
        b"[" * 300 + b"]" * 300,
    ],
)
def test_what_is_read_is_decoded(data):
    assert repr(values.read(data)) == repr(values.decode(values.from_bytes(data)))


def test_what_is_nested_too_deep_is_not_read():
    with pytest.raises(FormatError):
        values.read(b'{"a":' * 200_000 + b"1" + b"}" * 200_000)


def test_where_there_is_nothing_to_decode_nothing_is_walked(monkeypatch):
    monkeypatch.setattr(values, "decode", lambda value: pytest.fail("walked"))
    assert values.read(b'{"a": [1, {"b": "x"}]}') == {"a": [1, {"b": "x"}]}
