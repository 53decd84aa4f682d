"""A run's model: folding the history, metrics.json, what edits make of a run."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlumo import values
from gitlumo.errors import FormatError, TooNew
from gitlumo.store import layout, record
from gitlumo.store.layout import Edit, Line
from gitlumo.store.record import Record

UID = "0123456789abcdef" * 2
NAN, INF = math.nan, math.inf


def line(step: int, numbers: dict, cmp: str | bool | None = False, companions: dict | None = None) -> Line:
    return Line(step, step / 10, numbers, cmp, companions or {})


def summary_of(numbers: list, cmp: str | bool | None = False) -> dict:
    """The summary of a metric whose steps are 10, 11, ... and whose companion is its position."""
    lines = [line(10 + i, {"m": value}, cmp, {"i": i}) for i, value in enumerate(numbers)]
    return record.fold(lines)["m"].summary()


# Values, cmp, then: last, min, max, best, index of the call that gave best
FOLDS = [
    ([3], "max", 3, 3, 3, 3, 0),
    ([1, 3, 2], "max", 2, 1, 3, 3, 1),
    ([1, 3, 2], "min", 2, 1, 3, 1, 0),
    ([1, 3, 2], None, 2, 1, 3, 2, 2),
    ([1, 3, 2], False, 2, 1, 3, 2, 2),
    ([2, 1, 1, 2], "max", 2, 1, 2, 2, 0),
    ([2, 1, 1, 2], "min", 2, 1, 2, 1, 1),
    ([1, 1.0, True + 0], "max", 1, 1, 1, 1, 0),
    ([0.0, -0.0], "min", -0.0, 0.0, 0.0, 0.0, 0),
    ([NAN], "max", NAN, NAN, NAN, NAN, 0),
    ([NAN, NAN], "min", NAN, NAN, NAN, NAN, 0),
    ([NAN, 1, 2], "max", 2, 1, 2, 2, 2),
    ([NAN, NAN, 2, 1, NAN, 3], "min", 3, 1, 3, 1, 3),
    ([1, NAN, 0], "max", 0, 0, 1, 1, 0),
    ([INF, 1, -INF], "max", -INF, -INF, INF, INF, 0),
    ([NAN, -INF], "max", -INF, -INF, -INF, -INF, 1),
    ([2**200, 1e10, 2**200 + 1], "max", 2**200 + 1, 1e10, 2**200 + 1, 2**200 + 1, 2),
    ([10**400, INF, 1], "max", 1, 1, INF, INF, 1),
]


@pytest.mark.parametrize(("numbers", "cmp", "last", "least", "greatest", "best", "at"), FOLDS)
def test_fold(numbers, cmp, last, least, greatest, best, at):
    found = summary_of(numbers, cmp)
    expected = {"last": last, "min": least, "max": greatest, "best": best, "best_step": 10 + at, "with": {"i": at}}
    expected |= {"cmp": cmp or None, "count": len(numbers)}
    assert repr({key: found[key] for key in sorted(expected)}) == repr(dict(sorted(expected.items())))


def test_cmp_holds_until_set_anew():
    lines = [line(0, {"a": 1, "b": 1}, "max"), line(1, {"a": 2, "b": 2}), line(2, {"a": 3}, "min"), line(3, {"b": 3})]
    found = record.fold(lines)
    assert [(found[key].cmp, found[key].best) for key in "ab"] == [("min", 1), ("max", 3)]
    assert record.fold([*lines, line(4, {"a": 2}, None)])["a"].summary()["best_step"] == 4


numbers = st.integers(-3, 3) | st.sampled_from([0.5, -0.0, NAN, INF, -INF])


@given(st.lists(numbers, min_size=1, max_size=8), st.sampled_from(["max", "min", None]))
def test_fold_is_what_the_page_says(values_, cmp):
    """``best`` is the greatest, the least or the last; of equal ones the first; a NaN while there is no number."""
    real = [(value, i) for i, value in enumerate(values_) if value == value] or [(values_[0], 0)]
    least = min(real, key=lambda pair: pair[0])
    greatest = max(real, key=lambda pair: (pair[0], -pair[1])) if len(real) > 1 else real[0]
    last = (values_[-1], len(values_) - 1)
    best = {"max": greatest, "min": least, None: last}[cmp]
    found = summary_of(values_, cmp)
    assert repr([found[key] for key in ("last", "min", "max", "best", "best_step", "with")]) == repr(
        [last[0], least[0], greatest[0], best[0], 10 + best[1], {"i": best[1]}]
    )


def test_metrics_json():
    metrics = record.fold([line(7, {"zä": NAN, "a": 2**70}, "max", {"$k": b"\0", "cls": [0.5], "x": INF})])
    assert record.metrics_to_bytes({"a": metrics["a"]}).decode() == (
        '{\n  "a": {\n    "best": 1180591620717411303424,\n    "best_step": 7,\n    "cmp": "max",\n    "count": 1,\n'
        '    "last": 1180591620717411303424,\n    "max": 1180591620717411303424,\n    "min": 1180591620717411303424,\n'
        '    "with": {\n      "$$k": {\n        "$bytes": "AA=="\n      },\n      "cls": [\n        0.5\n      ],\n'
        '      "x": {\n        "$float": "Infinity"\n      }\n    }\n  }\n}\n'
    )
    data = record.metrics_to_bytes(metrics)
    assert b'"best": "NaN"' in data
    back = record.metrics_from_bytes(data)
    assert list(back) == ["a", "zä"]
    assert repr(back) == repr({key: dict(sorted(metrics[key].summary().items())) for key in ("a", "zä")})


@pytest.mark.parametrize("data", [b"", b"[]", b'{"a": 1}', b"{", b"\xff"])
def test_damaged_metrics_say_so(data):
    with pytest.raises(FormatError):
        record.metrics_from_bytes(data)


# A run as files


def run_of(files: dict[str, bytes | object]) -> Record:
    """A record over files; what is no bytes is written as JSON."""
    info = {"uid": UID, "exp_name": "digits", "test_name": "base", "format": {"version": 1}}
    info["progress"] = {"start": "2026-01-01T08:00:00.000Z", "seq": 2, "end": None, "killed": None}
    whole = {layout.info_path(key): value for key, value in info.items()} | files
    data = {path: value if isinstance(value, bytes) else values.to_bytes(value) for path, value in whole.items()}
    return Record(data.get, lambda: random.sample(sorted(data), len(data)), "digits/260101/base")


def test_history_is_read_by_the_numbers_of_its_chunks():
    run = run_of(
        {
            "history/100000.jsonl": b'{"step":3,"time":3,"a":3}\n',
            "history/00002.jsonl": b'{"step":1,"time":1,"a":1,"step_":7}\n\n{"step":2,"time":2,"$step":5}\n{"st\n',
            "history/00011.jsonl": b'{"step":9,"ti\n{"step":2,"time":2.5,"a":"NaN"}\n',
            "history/note.txt": b"no chunk",
        }
    )
    assert [(point["step"], point["time"]) for point in run.history()] == [(1, 1), (2, 2), (2, 2.5), (3, 3)]
    assert run.history()[1] == {"step": 2, "time": 2, "$step": 5}
    assert repr(run.history("a")[1]) == repr({"step": 2, "time": 2.5, "a": NAN})
    assert run.history("step") == [{"step": 2, "time": 2, "$step": 5}]
    assert list(record.history_lines(run.read, run.paths())).count(None) == 2


STATES = [
    ({"end": None}, "running"),
    ({"end": "t", "end_code": 0}, "finished"),
    ({"end": "t", "end_code": 1}, "failed"),
    ({"end": "t", "end_code": None}, "failed"),
    ({"end": None, "killed": "t"}, "killed"),
    ({"end": "t", "end_code": 0, "killed": "t"}, "killed"),
]


@pytest.mark.parametrize(("progress", "state"), STATES)
def test_states(progress, state):
    assert run_of({"info/progress.json": progress}).state == state


def edit_files(*edits: tuple) -> dict[str, bytes | object]:
    """Edits, given as (kind, value), at the times 1, 2, ...; their ids are 1, 2, ... in sixteen digits."""
    files: dict[str, bytes | object] = {}
    for n, (kind, value) in enumerate(edits, 1):
        id = f"{n:016x}"
        edit = {"uid": UID, "kind": kind, "value": value, "by": "Ada <a@b>", "at": f"t{n}", "id": id}
        files[f"edits/{layout.edit_name(n, id)}"] = edit
    return files


OWN = {"note.md": b"die Note", "info/tags.json": ["a", "b"], "info/rerun.json": {"from": "f" * 32}}
EDITED = [
    ([], {"note": "die Note", "tags": ["a", "b"], "deprecated": False, "backup": {}, "rerun": {"from": "f" * 32}}),
    ([("note", "1"), ("note", "2")], {"note": "2"}),
    ([("note", "1"), ("note", "2"), ("undo", f"{2:016x}")], {"note": "1"}),
    ([("note", "1"), ("undo", f"{1:016x}")], {"note": "die Note"}),
    ([("note", "1"), ("undo", f"{1:016x}"), ("undo", f"{2:016x}")], {"note": "1"}),
    ([("note", "")], {"note": ""}),
    ([("note", 17), ("deprecated", "yes"), ("tag", []), ("new", 1)], {"note": "die Note", "deprecated": False}),
    ([("deprecated", True)], {"deprecated": True}),
    ([("deprecated", True), ("deprecated", False)], {"deprecated": False}),
    ([("tag", {"add": ["c", "a"], "remove": ["b"]})], {"tags": ["a", "c"]}),
    ([("tag", {"remove": ["a", "x"]}), ("tag", {"add": ["a"]})], {"tags": ["b", "a"]}),
    ([("tag", {"add": ["c"]}), ("tag", {"remove": ["c"]}), ("undo", f"{2:016x}")], {"tags": ["a", "b", "c"]}),
    ([("tag", {"add": 5, "remove": "ab"}), ("tag", {"add": ["c", 7, ["d"]]})], {"tags": ["a", "b", "c"]}),
    ([("backup", {"n": 1}), ("backup", {"n": 2})], {"backup": {"t1": {"n": 1}, "t2": {"n": 2}}}),
    ([("rerun", {"uid": "1"}), ("rerun", {"uid": "2"})], {"rerun": {"from": "f" * 32, "rerun_at": ["1", "2"]}}),
]


@pytest.mark.parametrize(("edits", "expected"), EDITED)
def test_edits_beat_what_the_run_wrote(edits, expected):
    run = run_of(OWN | edit_files(*edits))
    properties = run.properties
    assert {key: properties[key] for key in expected} == expected
    assert run.note == expected.get("note", "die Note")


def test_edits_of_a_run_that_wrote_nonsense():
    nonsense = {"info/tags.json": ["a", ["b"], 7], "info/rerun.json": {"rerun_at": 5}}
    edited = run_of(nonsense | edit_files(("tag", {"add": ["c"]}), ("rerun", {"uid": "1"}))).properties
    assert (edited["tags"], edited["rerun"]) == (["a", "c"], {"rerun_at": ["1"]})


def test_backups_of_one_moment_are_all_kept():
    facts = {"backup": {}}
    for id in "ab":
        record.apply_edit(facts, Edit("", UID, "backup", {"id": id}, "", "t", id))
    assert sorted(facts["backup"].values(), key=str) == [{"id": "a"}, {"id": "b"}]


def test_edits_of_another_uid_and_odd_names_are_not_read():
    good, other = edit_files(("note", "1"), ("note", "2")).items()
    odd = {"edits/readme.txt": b"x", "edits/a/b.json": b"{}", "edits/00000000000000003-x.json": good[1]}
    run = run_of({**odd, good[0]: good[1], other[0]: {**other[1], "uid": "f" * 32}})
    assert [edit.value for edit in run.edits] == ["1"]


def test_properties_have_every_key_also_where_nothing_was_written():
    found = run_of({}).properties
    absent = {"params": {}, "tags": [], "note": "", "exception": None, "metrics": {}, "deprecated": False, "lock": {}}
    assert {key: found[key] for key in absent} == absent
    assert (found["state"], found["uid"]) == ("running", UID)
    found["params"]["x"] = found["tags"].append("x")  # a caller's own copy
    assert run_of({}).properties["params"] == {}


def test_params_come_back_as_they_were():
    params = {"$x": b"\0\xff", "deep": [{"$float": INF}, None, True, "ä"], "lr": NAN, "n": 2**70}
    assert repr(run_of({"info/params.json": values.encode(params)}).info("params")) == repr(params)


def test_damage_names_file_and_run():
    run = run_of({"info/params.json": b"{", "metrics.json": b"[]"})
    for read in (lambda: run.info("params"), lambda: run.metrics, lambda: run.properties):
        with pytest.raises(FormatError, match=r"^digits/260101/base"):
            read()


def test_check():
    run_of({}).check()
    with pytest.raises(TooNew, match=r"^digits/260101/base: .*2"):
        run_of({"info/format.json": {"version": 2}}).check()
    for path, data in itertools.product(["info/format.json", "info/uid.json", "info/progress.json"], [b"", b"[]"]):
        with pytest.raises(FormatError, match=r"^digits/260101/base"):
            run_of({path: data}).check()


def test_json_is_strict_and_spells_what_json_cannot_hold():
    run = run_of({"metrics.json": record.metrics_to_bytes(record.fold([line(1, {"a": NAN}, "max", {"c": INF})]))})
    shown = values.from_bytes(record.to_json(run.properties, [{"step": 1, "a": INF}]).encode())
    assert (shown["metrics"]["a"]["best"], shown["history"]) == ("NaN", [{"step": 1, "a": "Infinity"}])
    assert shown["metrics"]["a"]["with"] == {"c": {"$float": "Infinity"}}
