"""Metrics of programs in any language: JSON lines in a file, patterns in what is printed."""

from __future__ import annotations

import json
import math
import os
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlumo.errors import UsageError
from gitlumo.rerun.metric_lines import Call, MetricFile, Patterns

NUMBERS = st.one_of(st.integers(-(10**20), 10**20), st.floats(allow_nan=False))
CALLS = st.lists(st.tuples(st.dictionaries(st.sampled_from("abc"), NUMBERS, min_size=1), st.none() | st.integers(0, 9)))


def line_of(metrics, step):
    return json.dumps(metrics if step is None else {"step": step, **metrics}).encode()


def read(tmp_path, pieces):
    """What is read of a file that grows by pieces."""
    path = tmp_path / "metrics/file.jsonl"
    with closing(MetricFile(str(path))) as file:
        calls = []
        for piece in pieces:
            with open(path, "ab") as out:
                out.write(piece)
            calls += file.calls()
        calls += file.calls(last=True)
    assert not path.exists()
    return calls, file.bad


@given(calls=CALLS, cuts=st.lists(st.integers(0, 300)), ends=st.booleans())
def test_every_call_comes_however_the_file_grows(tmp_path_factory, calls, cuts, ends):
    data = b"\n".join(line_of(*call) for call in calls) + b"\n" * ends
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[a:b] for a, b in pairwise(places)]
    found, bad = read(tmp_path_factory.mktemp("m"), pieces)
    assert found == [Call(metrics, step) for metrics, step in calls]
    assert bad == 0


@given(junk=st.binary(max_size=200))
def test_no_bytes_make_it_fail(tmp_path_factory, junk):
    found, _ = read(tmp_path_factory.mktemp("m"), [junk, b'\n{"a": 1}\n'])
    assert found[-1] == Call({"a": 1}, None)


@pytest.mark.parametrize(
    ("line", "calls", "bad"),
    [
        ('{"loss": NaN, "acc": Infinity}', [({"loss": math.nan, "acc": math.inf}, None)], 0),
        ('{"loss": "NaN", "acc": "-Infinity"}', [({"loss": math.nan, "acc": -math.inf}, None)], 0),
        ('{"a": 1, "b": "text"}', [({"a": 1}, None)], 1),
        ('{"a": true}', [], 1),
        ('{"a": {"b": 1}}', [], 1),
        ('{"step": 1.5, "a": 1}', [({"a": 1}, None)], 1),
        ('{"step": 3}', [], 1),
        ("{}", [], 1),
        ("[1]", [], 1),
        ("loss=1", [], 1),
        ("", [], 0),
        ("  \r", [], 0),
        ('{"a": 1}\r', [({"a": 1}, None)], 0),
        ("[" * 100_000, [], 1),
        ('{"a": ' + "9" * 5000 + "}", [], 1),
        ('{"a": 1' + " " * 3_000_000 + "}", [], 1),
    ],
)
def test_line(tmp_path, line, calls, bad):
    found, found_bad = read(tmp_path, [line.encode() + b"\n", b'{"z": 0}\n'])
    assert repr(found) == repr([*(Call(*call) for call in calls), Call({"z": 0}, None)])
    assert found_bad == bad


def test_a_file_that_is_written_anew(tmp_path):
    with closing(MetricFile(str(tmp_path / "f"))) as file:
        Path(file.path).write_bytes(b'{"a": 1}\n{"a": 2}\n{"a":')
        assert [call.metrics for call in file.calls()] == [{"a": 1}, {"a": 2}]
        Path(file.path).write_bytes(b'{"a": 3}\n')
        assert [call.metrics for call in file.calls()] == [{"a": 3}]
        os.unlink(file.path)  # by the command: no matter
        assert list(file.calls(last=True)) == []


def test_a_place_where_no_file_can_be(tmp_path):
    (tmp_path / "taken").write_text("a file\n")
    with closing(MetricFile(str(tmp_path / "taken/f"))) as file:
        assert isinstance(file.trouble, OSError)
        Path(file.path).write_text('{"a": 1}\n')  # goes nowhere
        assert list(file.calls(last=True)) == []
    assert Path(os.devnull).exists()


# ---------------------------------------------------------------------------------------------------- patterns


def found(patterns, *pieces):
    made = Patterns(list(patterns))
    calls = [call for piece in pieces for call in made.calls("stdout", piece)]
    return [(call.metrics, call.step) for call in (*calls, *made.rest())]


@pytest.mark.parametrize(
    ("pattern", "text", "calls"),
    [
        (
            r"loss=(?P<loss>\S+)",
            b"loss=0.5\nloss=nan\nloss=x\nno\n",
            [({"loss": 0.5}, None), ({"loss": math.nan}, None)],
        ),
        (r"(\w+)=(\S+)", b"a=1 b=2.5, c=30%\n", [({"a": 1, "b": 2.5, "c": 30}, None)]),
        (r"step (?P<step>\d+): (?P<acc>[\d.]+)", b"step 7: .5\n", [({"acc": 0.5}, 7)]),
        (r"(\w+)=(\S+)", b"step=3 a=1\nstep=4\n", [({"a": 1}, 3)]),
        (r"(\w+)=(\S+)", b"\x1b[31ma=1\x1b[0m\x1b]0;title\x07 b=2", [({"a": 1, "b": 2}, None)]),
        (r"(\w+)=(\S+)", b"a=1\ra=2\r\na=3", [({"a": 1}, None), ({"a": 2}, None), ({"a": 3}, None)]),
        (r"(\w+)=(\S+)", b"\xff a=1 \xff\n", [({"a": 1}, None)]),
        (r"(\w+)=(\S+)", "ä=1 b=\uff11\n".encode(), [({"ä": 1, "b": 1.0}, None)]),
        (r"(?P<a>x)?(?P<b>\d)", b"5\n", [({"b": 5}, None)]),
    ],
)
def test_pattern(pattern, text, calls):
    assert repr(found([pattern], text)) == repr(calls)
    assert repr(found([pattern], *(text[i : i + 1] for i in range(len(text))))) == repr(calls)


def test_streams_are_apart():
    made = Patterns([r"(\w+)=(\S+)"])
    assert list(made.calls("stdout", b"a=")) == list(made.calls("stderr", b"b=2")) == []
    assert [call.metrics for call in made.calls("stdout", b"1\n")] == [{"a": 1}]
    assert [call.metrics for call in made.rest()] == [{"b": 2}]


@pytest.mark.parametrize("pattern", ["(", "loss", "(a)", "(a)(b)(c)"])
def test_what_is_no_pattern(pattern):
    with pytest.raises(UsageError, match="--metric"):
        Patterns([pattern])
    assert not Patterns([])


# ------------------------------------------------------------------------------------------------ real commands


def test_metrics_of_a_shell_script(repo, lumo_run, runs, nothing_left):
    lines = """
for i in 0 1 2; do echo "{\\"step\\": $i, \\"loss\\": 0.$i}" >>"$LUMO_METRICS"; echo "epoch $i acc=$i"; done
echo 'no metric' >>"$LUMO_METRICS"
printf '{"last": 1}' >>"$LUMO_METRICS"
printf 'acc=9'
"""
    done = lumo_run("sh", "-c", lines, options=["-n", "d", "--metric", r"acc=(?P<acc>\d+)"])
    run = runs()["d"]
    assert [(line["step"], line["loss"]) for line in run.lines if "loss" in line] == [(0, 0.0), (1, 0.1), (2, 0.2)]
    assert (run.values("last"), run.values("acc")) == ([1], [0, 1, 2, 9])
    assert b"1 lines in $LUMO_METRICS are no metrics" in done.stderr
    summary = json.loads(run.files["metrics.json"])
    assert (summary["acc"]["count"], summary["loss"]["last"]) == (4, 0.2)
    nothing_left()


def test_a_name_that_no_metric_may_have(repo, lumo_run, runs):
    done = lumo_run(
        "sh", "-c", 'echo "{\\"\\": 1, \\"a\\": 2}" >>"$LUMO_METRICS"; echo "{\\"a\\": 3}" >>"$LUMO_METRICS"; exit 5'
    )
    assert done.returncode == 5
    assert b"warning: sh/" in done.stderr
    assert b"LumoWarning" not in done.stderr
    assert runs()["sh"].values("a") == [3]
