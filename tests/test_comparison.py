"""In what runs differ: values of every kind, over records that lie in memory."""

from __future__ import annotations

import math

import pytest

from gitlumo import values
from gitlumo.comparison import compare, same
from gitlumo.store import record
from gitlumo.store.layout import Line
from gitlumo.store.record import Record

NAN = math.nan


def run(params=None, lock=None, metrics=None, **info):
    """A record with these properties; ``metrics`` is ``{name: (value, cmp)}``."""
    told = {"exp_name": "digits", "test_name": "a", "uid": "0" * 32, "progress": {"start": None}}
    told |= {"params": params or {}, "lock": lock or {}, **info}
    files = {f"info/{key}.json": values.to_bytes(values.encode(value)) for key, value in told.items()}
    lines = [Line(0, 0.0, {key: value}, cmp, {}) for key, (value, cmp) in (metrics or {}).items()]
    files["metrics.json"] = record.metrics_to_bytes(record.fold(lines))
    return Record(files.get, lambda: files, "digits/a")


def differences(*runs, tree_of=lambda commit: None):
    return {(d.section, d.key): dict(d.values) for d in compare(runs, tree_of)}


@pytest.mark.parametrize(
    ("a", "b", "are"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (1, "1", False),
        (NAN, NAN, True),
        ([1, [NAN]], [1.0, [NAN]], True),
        ([1, 2], [1], False),
        ({"a": NAN}, {"a": NAN}, True),
        ({"a": 1}, {"b": 1}, False),
        (2**63, 2**63 + 1, False),
        (2**53, float(2**53 + 1), True),
        (None, 0, False),
        (b"x", b"x", True),
        (0.0, -0.0, True),
    ],
)
def test_same(a, b, are):
    assert same(a, b) is same(b, a) is are


def test_equal_things_are_left_out():
    one = run({"lr": 0.1, "nan": NAN, "deep": {"list": [1, NAN]}}, {"numpy": "2"}, {"acc": (NAN, "max")})
    assert differences(one, one, one) == {}


def test_machine_and_seed():
    one = run(machine={"cpu": "A", "gpus": ["T4"], "memory": 1, "kernel": "Linux 1"}, seed=7)
    other = run(machine={"cpu": "B", "gpus": ["T4"], "memory": 2, "kernel": "Linux 2"}, seed=8)
    assert differences(one, other) == {("environment", "cpu"): {0: "A", 1: "B"}, ("environment", "seed"): {0: 7, 1: 8}}
    assert differences(one, run(machine=["none"], seed=7)) == {
        ("environment", "cpu"): {0: "A"},
        ("environment", "gpus"): {0: ["T4"]},
    }


def test_params_and_lock():
    a = run({"lr": 0.1, "optim": {"wd": 0, "name": "adam"}}, {"numpy": "1", "old": "1", "python": "3.11"})
    b = run({"lr": 1, "optim": {"wd": 0}}, {"numpy": "2", "new": "1", "python": "3.13"})
    assert differences(a, b) == {
        ("params", "lr"): {0: 0.1, 1: 1},
        ("params", "optim.name"): {0: "adam"},
        ("lock", "numpy"): {0: "1", 1: "2"},
        ("lock", "old"): {0: "1"},
        ("lock", "new"): {1: "1"},
        ("environment", "python"): {0: "3.11", 1: "3.13"},
    }
    assert differences(a, b, a)["lock", "new"] == {1: "1"}


def test_surroundings_and_command():
    a = run(env={"CUDA": "0"}, pinfo={"host": "x", "obj": {"argv": ["train.py", "a b"]}})
    b = run(env={"CUDA": "1"}, pinfo={"host": "y", "obj": {"argv": ["train.py"]}})
    assert differences(a, b) == {
        ("environment", "CUDA"): {0: "0", 1: "1"},
        ("environment", "host"): {0: "x", 1: "y"},
        ("command", ""): {0: "train.py 'a b'", 1: "train.py"},
    }


@pytest.mark.parametrize(
    ("a", "b", "change"),
    [
        (0.5, 0.75, 0.5),
        (-2, -1, 0.5),
        (0, 1, None),
        (NAN, 1, None),
        (1, math.inf, None),
        (1, 10**400, None),
        (4, 1, -0.75),
    ],
)
def test_change_of_a_metric(a, b, change):
    (found,) = compare([run(metrics={"acc": (a, "max")}), run(metrics={"acc": (b, "max")})], lambda commit: None)
    assert found.change == change
    assert found.better == "max"


def test_the_best_counts():
    lines = [Line(i, 0.0, {"acc": value}, "max", {}) for i, value in enumerate((0.5, 0.9, 0.7))]
    up = record.fold(lines)
    assert record.best_facts({"acc": up["acc"].summary()}) == {"acc": 0.9}
    (found,) = compare([run(metrics={"acc": (0.9, "max")}), run(metrics={"acc": (0.9, "max"), "f1": (1, None)})], str)
    assert (found.key, found.values, found.better) == ("f1", {1: 1}, None)


def test_equal_trees_are_equal_code():
    a, b, c = (run(git={"commit": letter * 40}) for letter in "abc")
    assert differences(a, b, tree_of={"a" * 40: "t", "b" * 40: "t"}.get) == {}
    assert differences(a, c, tree_of={"a" * 40: "t", "c" * 40: "u"}.get) == {("code", ""): {0: "a" * 40, 1: "c" * 40}}
    assert differences(a, b) == {("code", ""): {0: "a" * 40, 1: "b" * 40}}  # neither is here
    assert differences(a, a) == {}


def test_what_no_run_of_ours_would_record():
    assert differences(run(["a"]), run(["b"])) == {("params", ""): {0: ["a"], 1: ["b"]}}
    assert differences(run(env=["a"], pinfo={"obj": 3}, git={"commit": 3}), run()) == {("code", ""): {0: 3}}


def test_ten_thousand_params():
    many = {f"p{i}": i for i in range(10_000)}
    found = compare([run(many), run(many | {"p77": -1})], lambda commit: None)
    assert [difference.key for difference in found] == ["p77"]
