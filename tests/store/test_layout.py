"""Format v1 (docs/format.md): paths, what makes a run, history lines, edits, messages."""

from __future__ import annotations

import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlumo import values
from gitlumo.errors import FormatError, TooNew
from gitlumo.store import layout
from gitlumo.store.layout import Edit, Line

UID = "0123456789abcdef" * 2
BIG = 2**200 + 1


def strict(text: str | bytes) -> object:
    """JSON as RFC 8259 has it: no NaN, no Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


# Paths


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("params", "info/params.json"),
        ("a/b:c", "info/a%2Fb%3Ac.json"),
        (".git", "info/%2Egit.json"),
        ("-x.-", "info/%2Dx.-.json"),
        ("50%~", "info/50%25%7E.json"),
        ("zähler\n\u200b\u2028", "info/zähler%0A%E2%80%8B%E2%80%A8.json"),
        ("a\u0308", "info/ä.json"),
    ],
)
def test_a_key_is_a_file_name(key, path):
    assert layout.info_path(key) == path
    assert layout.info_key(path) == {"a\u0308": "ä"}.get(key, key)
    assert layout.text_path(key) == path.replace("info/", "text/").replace(".json", ".txt")


def test_only_files_of_info_are_keys():
    for path in ("metrics.json", "info/a/b.json", "text/a.json", "info/a.txt", "info", "xinfo/a.json"):
        assert layout.info_key(path) is None


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("history/00000.jsonl", 0),
        ("history/00017.jsonl", 17),
        ("history/123456.jsonl", 123456),
        ("history/0001.jsonl", None),
        ("history/00001.json", None),
        ("history/a/00001.jsonl", None),
        ("history/0000\u0661.jsonl", None),
        ("history/00001.jsonl\n", None),
    ],
)
def test_chunk_numbers(path, number):
    assert layout.chunk_number(path) == number
    assert number is None or layout.chunk_path(number) == path


def test_days_and_thousands():
    assert layout.is_day("260101")
    assert not any(map(layout.is_day, ("26010", "2601011", "26010a", "26010\u0661", "260101\n")))
    assert all(map(layout.is_thousand, ("1", "12", "0", "260101")))
    assert not any(map(layout.is_thousand, ("", "1a", "\u0662", "1\n")))


# What makes a run, and a tombstone


def identity_of(**changes: object) -> layout.Identity | None:
    progress = {"start": "2026-01-01T08:00:00.000Z", "seq": 4}
    files = {"uid": UID, "exp_name": "digits", "test_name": "base", "progress": progress} | changes
    return layout.read_identity(lambda path: values.to_bytes(files[path[5:-5]]) if path[5:-5] in files else None)


def test_an_identity():
    assert identity_of() == layout.Identity(UID, "digits", "base", "2026-01-01T08:00:00.000Z", 4, False)
    for restored, said in ((True, True), (False, False), (1, False), ("true", False)):
        progress = {"start": "2026-01-01T08:00:00.000Z", "restored": restored}
        found = identity_of(progress=progress)
        assert found
        assert (found.seq, found.restored) == (0, said)


@pytest.mark.parametrize(
    "changes",
    [
        {"uid": UID.upper()},
        {"uid": UID + "0"},
        {"uid": 17},
        {"exp_name": "a~b"},
        {"exp_name": ""},
        {"exp_name": "x" * 101},
        {"exp_name": ["digits"]},
        {"exp_name": ".git"},
        {"test_name": "17"},
        {"test_name": "-x"},
        {"test_name": "a\nb"},
        {"progress": None},
        {"progress": {"start": "yesterday"}},
        {"progress": {"start": 17}},
        {"progress": {"start": "2026-01-01T08:00:00Z"}},
        {"progress": {"start": "2026-01-01T08:00:00.000+00:00"}},
        {"progress": {"start": "2026-W01-1T08:00:00.000Z"}},
        {"progress": {"start": "2026-02-30T08:00:00.000Z"}},
        {"progress": {"start": "2026-01-01T24:00:00.000Z"}},
        {"progress": {"start": "1969-12-31T23:59:59.999Z"}},
        {"progress": {"start": "2026-01-01T08:00:00.000Z", "seq": 2.0}},
        {"progress": {"start": "2026-01-01T08:00:00.000Z", "seq": "2"}},
    ],
)
def test_no_identity(changes):
    assert identity_of(**changes) is None


def test_what_is_a_run_does_not_depend_on_the_version_of_unicode():
    for name in ("\U00013439", "\U0001e4d0", "a\u0308"):  # of Unicode 15; not NFC
        assert identity_of(exp_name=name, test_name=name)


@pytest.mark.parametrize("char", ["\u200c", "\u202e", "\u206f", "\ufeff"])
def test_what_hfs_passes_over_is_in_no_name(char):
    """A stranger's run must not bring ``.git`` into our tree, which ``receive.fsckObjects`` then refuses."""
    assert identity_of(exp_name=f"{char}.git") is identity_of(test_name=f"{char}.git") is None


def test_a_tombstone():
    value = {"uid": UID, "exp_name": "digits", "test_name": "base", "start": "2026-01-01T08:00:00.000Z"}
    found = layout.read_tombstone(values.to_bytes(value | {"at": "", "by": ""}))
    assert found == layout.Identity(UID, "digits", "base", "2026-01-01T08:00:00.000Z", 0, False)
    for key in value:
        assert layout.read_tombstone(values.to_bytes({k: v for k, v in value.items() if k != key})) is None
    assert layout.read_tombstone(b"") is layout.read_tombstone(b"[]") is None


@pytest.mark.parametrize(
    ("data", "error"),
    [(b'{"version": 1}', None), (b'{"version": 2}', TooNew), (None, FormatError)]
    + [(data, FormatError) for data in (b"", b"1", b'{"version": "1"}', b'{"version": true}', b"{}")],
)
def test_versions(data, error):
    if error is None:
        layout.check_version(lambda _: data)
    else:
        with pytest.raises(FormatError) as raised:
            layout.check_version(lambda _: data)
        assert type(raised.value) is error


# History

LINES = [
    ((0, 0.0, {}), '{"step":0,"time":0.000}'),
    ((3, 3.2174, {"loss": 0.31}), '{"step":3,"time":3.217,"loss":0.31}'),
    ((-1, 1.0, {"step": 1, "time": 2, "$x": 3}), '{"step":-1,"time":1.000,"$step":1,"$time":2,"$$x":3}'),
    ((1, 1.0, {"$cmp": 1, "$with": 2}), '{"step":1,"time":1.000,"$$cmp":1,"$$with":2}'),
    ((1, 1.0, {"a": math.inf, "b": -math.inf}), '{"step":1,"time":1.000,"a":"Infinity","b":"-Infinity"}'),
    ((BIG, 1.0, {"a": BIG, "b": -BIG}), f'{{"step":{BIG},"time":1.000,"a":{BIG},"b":-{BIG}}}'),
    ((1, 1.0, {"a": 1e300, "b": 5e-324, "c": -0.0}), '{"step":1,"time":1.000,"a":1e+300,"b":5e-324,"c":-0.0}'),
    ((1, 1.0, {'q"\\\n': 1, "ä": 2}), '{"step":1,"time":1.000,"q\\"\\\\\\n":1,"ä":2}'),
    ((1, 1.0, {"a": 1}, {"$cmp": "min"}), '{"step":1,"time":1.000,"a":1,"$cmp":"min"}'),
    ((1, 1.0, {"a": 1}, {"$cmp": None}), '{"step":1,"time":1.000,"a":1,"$cmp":null}'),
    ((1, 1.0, {"a": 1}, {"$with": {"$$k": [1]}}), '{"step":1,"time":1.000,"a":1,"$with":{"$$k":[1]}}'),
]


@pytest.mark.parametrize(("call", "line"), LINES)
def test_a_line_is_one_call(call, line):
    data = layout.format_line(*call)
    assert data == line.encode() + b"\n"
    strict(data)
    step, seconds, numbers, *more = call
    extra = more[0] if more else {}
    companions = {"$k": [1]} if "$with" in extra else {}
    assert layout.parse_line(data) == Line(step, round(seconds, 3), numbers, extra.get("$cmp", False), companions)


def test_a_line_says_nan():
    data = layout.format_line(1, 1.0, {"a": math.nan})
    assert data == b'{"step":1,"time":1.000,"a":"NaN"}\n'
    parsed = layout.parse_line(data)
    assert parsed
    assert math.isnan(parsed.numbers["a"])


keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4) | st.sampled_from(["step", "$", "$$x"])
numbers = st.integers() | st.floats(allow_nan=False)


@given(st.integers(), st.floats(0, 1e9), st.dictionaries(keys, numbers), st.booleans())
def test_every_line_reads_back(step, seconds, metrics, cached):
    names: dict[str, str] | None = {} if cached else None
    for _ in range(2):
        data = layout.format_line(step, seconds, metrics, None, names)
        assert data.count(b"\n") == 1
        parsed = layout.parse_line(data)
        assert parsed
        assert (parsed.step, parsed.numbers) == (step, metrics)
        assert [type(number) for number in parsed.numbers.values()] == [type(number) for number in metrics.values()]


GOOD = b'{"step":1,"time":1.000,"loss":0.25}'


@pytest.mark.parametrize("cut", range(len(GOOD)))
def test_a_torn_line_is_no_line(cut):
    assert layout.parse_line(GOOD[:cut]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b"\xff\xff",
        b"[" * 100_000,
        b'{"time":1}',
        b'{"step":1}',
        b'{"step":1.0,"time":1}',
        b'{"step":true,"time":1}',
        b'{"step":1,"time":"NaN"}',
        b'{"step":1,"time":1e999}',
        b'{"step":1,"time":1,"a":null}',
        b'{"step":1,"time":1,"a":true}',
        b'{"step":1,"time":1,"a":"nan"}',
        b'{"step":1,"time":1,"a":{"$float":"NaN"}}',
        b'{"step":1,"time":1,"$cmp":"mean"}',
        b'{"step":1,"time":1,"$cmp":["max"]}',
        b'{"step":1,"time":1,"$cmp":0}',
        b'{"step":1,"time":1,"$with":[1]}',
        b'{"step":1,"time":1,"$with":{"$bytes":"!"}}',
        GOOD + GOOD,
        b'{"step":1,"time":1,"a":' + b"9" * 10_000 + b"}",
    ],
)
def test_what_is_no_line(data):
    assert layout.parse_line(data) is None


def test_names_of_the_future_are_passed_over():
    parsed = layout.parse_line(b'{"step":1,"time":1,"$new":{},"$loss":7,"loss":1,"$step":2}')
    assert parsed
    assert parsed.numbers == {"loss": 1, "step": 2}


# Edits


def edits(*kinds: tuple[str, object]) -> list[Edit]:
    """Edits at the times 0, 1, 2, ...; their ids are e0, e1, e2, ..."""
    names = [layout.edit_name(time, f"{time:016x}") for time in range(len(kinds))]
    return [
        Edit(name, UID, kind, value, "", "", f"e{i}")
        for i, (name, (kind, value)) in enumerate(zip(names, kinds, strict=True))
    ]


NOTE = ("note", "x")
ACTIVE = [
    ([NOTE, NOTE], "e0 e1"),
    ([NOTE, ("undo", "e0")], ""),
    ([NOTE, ("undo", "e0"), ("undo", "e1")], "e0"),
    ([NOTE, ("undo", "e0"), ("undo", "e1"), ("undo", "e2")], ""),
    ([NOTE, ("undo", "e0"), ("undo", "e0"), ("undo", "e1")], ""),
    ([("undo", "e1"), NOTE], "e1"),
    ([("undo", "e0"), NOTE], "e1"),
    ([NOTE, ("undo", "nothing"), ("undo", None), ("undo", ["e0"])], "e0"),
    ([("undo", "e2"), NOTE, ("undo", "e1"), ("undo", "e0")], ""),
    ([NOTE, ("of the future", 1)], "e0 e1"),
]


@pytest.mark.parametrize(("kinds", "active"), ACTIVE)
def test_active_edits(kinds, active):
    for order in itertools.permutations(edits(*kinds)):
        assert " ".join(edit.id for edit in layout.active_edits(order)) == active


@given(st.lists(st.integers(-(2**50), 2**50), max_size=6))
def test_the_clock_is_strictly_above_all_that_was_seen(clocks):
    """Whatever the editors' clocks say, in every order."""
    names: list[str] = []
    for clock in clocks:
        time = layout.next_edit_time(names, clock / 1_000_000)
        assert time >= int(clock / 1_000_000 * 1_000_000)
        name = layout.edit_name(time, "f" * 16)
        assert len(name) == 17 + 1 + 16 + 5
        assert all(name[:17] > other[:17] for other in names)
        names.append(name)


def test_the_clock_ends():
    last = layout.edit_name(layout.MAX_EDIT_TIME, "0" * 16)
    assert last.startswith("8" + "9" * 16)
    with pytest.raises(FormatError):
        layout.next_edit_time([last], 1)
    hostile = ["9" * 17 + "-" + "0" * 16 + ".json", "x.json", "\u0669" * 17 + "-" + "0" * 16 + ".json"]
    assert layout.next_edit_time(hostile, 1) == 1_000_000


EDIT = {"uid": UID, "kind": "note", "value": "x", "by": "Ada <a@b>", "at": "2026", "id": "a" * 16}
EDIT_NAME = layout.edit_name(17, "a" * 16)


def test_an_edit_reads_back():
    found = layout.parse_edit(EDIT_NAME, values.to_bytes(EDIT), UID)
    assert found == Edit(EDIT_NAME, UID, "note", "x", "Ada <a@b>", "2026", "a" * 16)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("x.json", {}),
        (EDIT_NAME + "~", {}),
        (EDIT_NAME.replace("a", "A"), {"id": "A" * 16}),
        ("9" + EDIT_NAME[1:], {}),
        (EDIT_NAME, {"uid": "f" * 32}),
        (EDIT_NAME, {"id": "b" * 16}),
        (EDIT_NAME, {"kind": 1}),
        (EDIT_NAME, {"by": None}),
        (EDIT_NAME, {"at": 17}),
    ],
)
def test_what_is_no_edit(name, change):
    assert layout.parse_edit(name, values.to_bytes(EDIT | change), UID) is None


def test_a_damaged_edit_is_no_edit():
    assert layout.parse_edit(EDIT_NAME, b"{", UID) is layout.parse_edit(EDIT_NAME, b"[]", UID) is None


# Messages


def test_trailers_are_git_s(git):
    message = layout.event_message([("start", UID, "digits/base running a: b"), ("end", "f" * 32, "x/y failed")])
    parsed = git("interpret-trailers", "--parse", cwd=".", input=message)
    assert parsed.splitlines() == [
        "Lumo-Format: 1", "Lumo-Event: start", f"Lumo-Uid: {UID}", "Lumo-Event: end", "Lumo-Uid: " + "f" * 32,
    ]  # fmt: skip
    merged = git("interpret-trailers", "--parse", cwd=".", input=layout.merge_message(3, ["a/260101/b"]))
    assert merged.splitlines() == ["Lumo-Format: 1", "Lumo-Merge: 3"]
    assert git("interpret-trailers", "--parse", cwd=".", input=layout.ROOT_MESSAGE) == "Lumo-Format: 1"


@pytest.mark.parametrize(
    ("facts", "subject"),
    [
        ({}, "digits/base running"),
        ({"lr": 0.1, "n": 3, "big": 1e20, "x": 1 / 3}, "digits/base running lr=0.1 n=3 big=1e+20 x=0.333333"),
        ({"nan": math.nan, "t": True, "s": "ä b"}, "digits/base running nan=nan t=True s=ä b"),
        ({"a": "1\n\nLumo-Event: x", "\x1b": "\u202e"}, "digits/base running a=1??Lumo-Event: x ?=?"),
        ({"a": "x" * 200, "b": 1}, "digits/base running"),
        ({"a": 1, "b": "x" * 98, "c": 1}, "digits/base running a=1"),
        ({"a": 1, "b": "x" * 94, "c": 1}, "digits/base running a=1 b=" + "x" * 94),
    ],
)
def test_subjects(facts, subject):
    assert layout.event_subject("digits/base", "running", facts) == subject
    assert len(subject) <= layout.MAX_SUBJECT


def test_odd_paths():
    assert not any(map(layout.is_odd, ("digits/260101/1/ä b~c", "a")))
    assert all(map(layout.is_odd, ("a\nb", "Lumo-Event: x", "\x7f", "\x85", "\udcff")))


def test_the_merge_message():
    many = [f"e/260101/{n:02d}" for n in range(23)]
    head, tail = "merge 2 ledgers\n\n", "Lumo-Format: 1\nLumo-Merge: 2\n"
    assert layout.merge_message(2, []) == head + tail
    assert layout.merge_message(2, ["b", "a", "b"]) == f"{head}a\nb\n\n{tail}"
    assert layout.merge_message(2, many[:20]) == head + "\n".join(many[:20]) + f"\n\n{tail}"
    assert layout.merge_message(2, many) == head + "\n".join(many[:20]) + f"\nand 3 more\n\n{tail}"
    # By bytes: U+1F600 comes after U+FF5E, although its first UTF-16 unit is smaller.
    assert layout.merge_message(2, ["\U0001f600", "\uff5e", "Z", "a"]) == f"{head}Z\na\n\uff5e\n\U0001f600\n\n{tail}"
