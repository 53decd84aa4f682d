"""Wrong arguments, and calls at the wrong time: an error at the call, and no trace."""

from __future__ import annotations

import math
import os
import warnings
from pathlib import Path

import numpy as np
import pytest

import gitlumo
from gitlumo import Experiment
from gitlumo.errors import InvalidName, InvalidValue, NotARepository, StateError


def content(folder):
    """Path to bytes of all files, and the folders, below one."""
    found = {}
    for top, folders, names in os.walk(folder):
        found.update({os.path.join(top, name): None for name in folders})
        found.update({path: Path(path).read_bytes() for path in (os.path.join(top, name) for name in names)})
    return found


@pytest.fixture
def exp(repo):
    with Experiment("digits") as made:
        yield made


ARRAY = np.array([0.9, 0.96])
DEEP = {"a": {"b": [1, {"c": object()}]}}
WRONG = {
    "a metric's name is an integer": (lambda e: e.log({1: 0.5}), InvalidValue, "name is a string"),
    "a metric's name is None": (lambda e: e.dump_metric(None, 0.5), InvalidValue, "name is a string"),
    "a metric's name is empty": (lambda e: e.log({"": 0.5}), InvalidValue, "not empty"),
    "a metric's name is no Unicode": (lambda e: e.log({"a\udc80": 1}), InvalidValue, "Unicode"),
    "one of two is wrong": (lambda e: e.log({"a": 1, "b": "x"}), InvalidValue, "'b'"),
    "a string": (lambda e: e.log({"acc": "0.9"}), InvalidValue, "'acc'.*str '0.9'"),
    "a list": (lambda e: e.dump_metric("acc", [0.9]), InvalidValue, "'acc'.*list"),
    "None": (lambda e: e.dump_metric("acc", None), InvalidValue, "'acc'.*None"),
    "complex": (lambda e: e.log({"acc": 1j}), InvalidValue, "'acc'.*complex"),
    "an array of 2": (lambda e: e.log({"acc": ARRAY}), InvalidValue, "'acc'.*ndarray"),
    "metrics is no dict": (lambda e: e.log([("acc", 1)]), InvalidValue, "dict such as"),
    "the step is a string": (lambda e: e.log({"acc": 1}, step="one"), InvalidValue, "step"),
    "the step is a fraction": (lambda e: e.log({"acc": 1}, step=1.5), InvalidValue, "step"),
    "cmp is wrong": (lambda e: e.dump_metric("acc", 1, cmp="best"), InvalidValue, "'max', 'min' or None"),
    "cmp is wrong, positional": (lambda e: e.dump_metric("acc", 1, "best"), InvalidValue, "'max', 'min' or None"),
    "cmp is an array": (lambda e: e.dump_metric("acc", 1, ARRAY), InvalidValue, "'max', 'min' or None"),
    "cmp of several is wrong": (lambda e: e.dump_metrics({"acc": 1}, "up"), InvalidValue, "'max', 'min' or None"),
    "odd companions": (lambda e: e.dump_metric("acc", 1, "a", 1, "b"), InvalidValue, "pairs"),
    "a companion without a name": (lambda e: e.dump_metric("acc", 1, 5, 6), InvalidValue, "pairs"),
    "a companion that cannot be stored": (lambda e: e.dump_metric("acc", 1, "f", print), InvalidValue, r"f: a builtin"),
    "params that cannot be stored": (lambda e: e.dump_info("params", DEEP), InvalidValue, r"params\.a\.b\[1\]\.c"),
    "two keys become one": (lambda e: e.dump_info("params", {1: 1, "1": 2}), InvalidValue, "two keys"),
    "a large array": (lambda e: e.dump_info("w", np.zeros(1001)), InvalidValue, "1001 elements"),
    "append to another kind": (lambda e: e.dump_info("kept", [1], append=True), InvalidValue, "kept"),
    "a key of gitlumo's own": (lambda e: e.dump_info("uid", "x"), InvalidName, "uid"),
    "a key that is no string": (lambda e: e.dump_info(3, "x"), InvalidName, "string"),
    "an empty key": (lambda e: e.dump_info("", 1), InvalidName, "empty"),
    "a key of 300 characters": (lambda e: e.dump_info("k" * 300, 1), InvalidName, "too long"),
    "a note that is no string": (lambda e: e.dump_note(5), InvalidValue, "note"),
    "a text that is no string": (lambda e: e.dump_string("r", b"x"), InvalidValue, "string"),
    "a text without a key": (lambda e: e.dump_string("", "x"), InvalidName, "key"),
    "a tag that is no word": (lambda e: e.dump_tags("a", 3), InvalidValue, "tag"),
    "a tag that looks like an option": (lambda e: e.dump_tags("-d"), InvalidValue, "must not begin with '-'"),
    "an empty tag": (lambda e: e.dump_tags(" "), InvalidValue, "tag"),
    "a ratio above 1": (lambda e: e.dump_progress(1.1), InvalidValue, "between 0 and 1"),
    "a ratio that is no number": (lambda e: e.dump_progress("half"), InvalidValue, "ratio"),
    "a ratio that is NaN": (lambda e: e.dump_progress(math.nan), InvalidValue, "between 0 and 1"),
    "an end code that is no integer": (lambda e: e.end("bad"), InvalidValue, "end_code"),
    "start twice": (lambda e: e.start(), StateError, "being recorded"),
    "a name that is taken": (lambda e: Experiment("digits", e.test_name).start(), StateError, "exists already"),
}


@pytest.mark.parametrize(("call", "kind", "says"), WRONG.values(), ids=WRONG.keys())
def test_wrong_input_raises_and_leaves_no_trace(exp, repo, call, kind, says):
    exp.dump_info("kept", {"a": 1})
    exp.log({"kept": 1})
    before, metrics = content(repo / ".git"), exp.metrics
    with warnings.catch_warnings(action="error"), pytest.raises(kind, match=says) as raised:
        call(exp)
    assert isinstance(raised.value, {InvalidValue: TypeError, InvalidName: ValueError, StateError: RuntimeError}[kind])
    assert content(repo / ".git") == before
    assert exp.metrics == metrics
    assert exp.state == "running"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "empty"),
        ("x" * 300, "300 bytes"),
        ("é" * 51, "102 bytes"),
        *[(bad, "may not stand") for bad in ("a/b", "a:b", "a~1", "a\\b", "a\nb", "\u200c.git", "a\udc80", "a\x7f")],
        *[(bad, "must not begin") for bad in ("-x", ".git", "..")],
        (None, "string"),
        (5, "string"),
        (b"x", "string"),
    ],
)
def test_names_against_the_rules(repo, name, says):
    before = content(repo)
    with pytest.raises(InvalidName, match=says):
        gitlumo.start(name)
    if name is not None:
        with pytest.raises(InvalidName, match=says):
            gitlumo.start("digits", test_name=name)
    assert content(repo) == before


def test_other_wrong_beginnings_leave_no_trace(repo):
    before = content(repo)
    for call, kind, says in (
        (lambda: gitlumo.start("digits", test_name="123"), InvalidName, "digits only"),
        (lambda: gitlumo.start("digits", params=DEEP), InvalidValue, r"params\.a\.b\[1\]\.c"),
        (lambda: Experiment("digits", hooks=[3]), InvalidValue, "ExpHook"),
        (lambda: gitlumo.start("digits", repo="nowhere"), NotARepository, "nowhere"),
    ):
        with pytest.raises(kind, match=says):
            call()
    assert content(repo) == before


CALLS = {
    "log": lambda e: e.log({"a": 1}),
    "dump_metric": lambda e: e.dump_metric("a", 1),
    "dump_metrics": lambda e: e.dump_metrics({"a": 1}),
    "dump_info": lambda e: e.dump_info("a", 1),
    "dump_note": lambda e: e.dump_note("a"),
    "dump_tags": lambda e: e.dump_tags("a"),
    "dump_string": lambda e: e.dump_string("a", "b"),
    "dump_progress": lambda e: e.dump_progress(0.5),
    "checkpoint": lambda e: e.checkpoint(),
}
BEFORE = {
    "end": lambda e: e.end(),
    "info_dir": lambda e: e.info_dir,
    "mk_ipath": lambda e: e.mk_ipath("x"),
    "load_info": lambda e: e.load_info("params"),
    "properties": lambda e: e.properties,
}


@pytest.mark.parametrize("call", [*CALLS, *BEFORE])
def test_calls_before_start(repo, call):
    before = content(repo)
    with pytest.raises(StateError, match=r"start|not started"):
        {**CALLS, **BEFORE}[call](Experiment("digits"))
    assert content(repo) == before


@pytest.mark.parametrize("call", [*CALLS, "start"])
def test_calls_after_end(repo, call):
    exp = Experiment("digits").start()
    exp.end()
    before = content(repo / ".git")
    with pytest.raises(StateError, match="ended"):
        {**CALLS, "start": lambda e: e.start()}[call](exp)
    exp.end(1)
    assert content(repo / ".git") == before
    assert exp.state == "finished"
