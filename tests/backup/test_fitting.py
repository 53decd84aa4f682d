"""A run as a record: whole where it fits, else thinned so that it still says the same, and honest about it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitlumo import values
from gitlumo.backup import fitting, holdings, issue, parcel, restoring
from gitlumo.backup.restoring import Backup
from gitlumo.cli.opening import open_here
from gitlumo.errors import FormatError, LumoError
from gitlumo.store import layout
from tests.backup.parcels import UID, folded, made

NUMBERS = st.one_of(st.floats(), st.integers(-3, 3), st.sampled_from([0.0, -0.0, 1.0]))
SAID = st.sampled_from([{}, {}, {}, {"$cmp": "max"}, {"$cmp": "min"}, {"$cmp": None}, {"$with": {"epoch": 1}}])


@st.composite
def histories(draw, most=60):
    lines = []
    for _ in range(draw(st.integers(1, most))):
        numbers = draw(st.dictionaries(st.sampled_from(["loss", "acc", "step", "$x"]), NUMBERS, max_size=4))
        extra = draw(SAID)
        if "$with" in extra:
            extra = {"$with": {"n": len(lines)}}
        lines.append(layout.format_line(draw(st.integers(-5, 5)), len(lines), numbers, extra))
    return lines


def noise(size, seed=1):
    return hashlib.shake_256(str(seed).encode()).digest(size)


def curve(count, metrics=("loss",), seed=1):
    dice = random.Random(seed)
    lines = [layout.format_line(n, n / 10, {key: dice.random() for key in metrics}) for n in range(count)]
    return [layout.format_line(0, 0, dict.fromkeys(metrics, 0.5), {"$cmp": "min"}), *lines]


def said(files):
    """What a history says, but for how many values there were."""
    facts = {}
    for key, metric in folded(files).items():
        summary = metric.summary()
        del summary["count"]
        facts[key] = {name: repr(value) for name, value in summary.items()}
    return facts


def firsts(lines):
    found = {}
    for line in map(layout.parse_line, lines):
        for key, value in line.numbers.items():
            found.setdefault(key, repr(value))
    return found


def record_of(run, masked=()):
    fitted, lost = fitting.fit(run, masked)
    data = fitting.to_bytes(fitted.files, lost)
    assert len(fitting.compress(data)) <= fitting.BUDGET
    back, told = fitting.from_bytes(data, "x")
    assert (dict(back.files), told) == (dict(fitted.files), lost)
    return fitted, lost


@settings(max_examples=60)
@given(histories())
def test_a_few_lines_say_what_all_say(lines):
    marks = fitting.telling(raw.rstrip(b"\n") for raw in lines)
    kept = [raw for n, raw in enumerate(lines) if n in marks]
    assert said({"history/00000.jsonl": b"".join(kept)}) == said({"history/00000.jsonl": b"".join(lines)})
    assert firsts(kept) == firsts(lines)
    assert len(marks) <= 4 * 5  # metrics, and what is kept of each


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(histories(80), st.integers(0, 2000))
def test_a_history_is_thinned_until_it_fits(monkeypatch, lines, more):
    run = made(history=lines)
    monkeypatch.setattr(fitting, "BUDGET", len(fitting.compress(fitting.to_bytes(made().files, {}))) + 500 + more)
    try:
        fitted, lost = record_of(run)
    except LumoError:
        assert len(zlib.compress(run.files[layout.METRICS])) > more
        return
    again, _ = record_of(dataclasses.replace(run, files=dict(reversed(run.files.items()))))
    assert again.files == fitted.files
    if "history" not in lost:
        assert fitted == run
        return
    kept = [raw for path, data in sorted(fitted.files.items()) if "history" in path for raw in data.splitlines()]
    assert lost["history"] == {"lines": len(kept), "of": len(lines)}
    there = iter(raw.rstrip(b"\n") for raw in lines)
    assert all(raw in there for raw in kept)  # some of them, in their order
    if kept:
        assert said(fitted.files) == said(run.files)
    assert fitted.files[layout.METRICS] == run.files[layout.METRICS]


def test_what_fits_is_whole():
    run = made({"plots/roc.png": noise(50_000), "text/report.txt": b"fine\r\n", "empty": b""}, curve(1000),
               params={"lr": 0.1, "bytes": b"\xff"})  # fmt: skip
    assert record_of(run) == (run, {})
    assert record_of(run, ["params.api_key"]) == (run, {"masked": ["params.api_key"]})


@pytest.fixture
def fed(monkeypatch):
    """How many bytes were compressed."""
    count = []
    room = zlib.compressobj

    class Counting:
        def __init__(self, inner):
            self.inner = inner

        def compress(self, data):
            count.append(len(data))
            return self.inner.compress(data)

        def copy(self):
            return Counting(self.inner.copy())

        def flush(self):
            return self.inner.flush()

    monkeypatch.setattr(fitting.zlib, "compressobj", lambda level: Counting(room(level)))
    return count


def test_a_long_history_is_not_compressed_again_and_again(fed):
    run = made(history=curve(80_000, ("loss", "acc")))
    fitted, lost = record_of(run)
    assert lost["history"]["of"] == 80_001
    assert 4000 < lost["history"]["lines"] < 20_000
    assert said(fitted.files) == said(run.files)
    assert sum(fed) < 12 * len(fitting.to_bytes(fitted.files, lost))


@pytest.mark.soak
def test_a_million_lines():
    run = made(history=curve(1_000_000, ("loss", "acc", "lr")))
    fitted, lost = record_of(run)
    assert lost["history"]["of"] == 1_000_001
    assert said(fitted.files) == said(run.files)


def test_a_constant_curve_is_thinned_no_more_than_it_must():
    run = made(history=[layout.format_line(n, n, {"loss": 0}) for n in range(60_000)])
    assert record_of(run) == (run, {})


def test_a_direction_that_is_said_in_each_line_is_no_reason_to_keep_each_line():
    lines = [layout.format_line(n, n, {"loss": random.Random(n).random()}, {"$cmp": "max"}) for n in range(60_000)]
    run = made(history=lines)
    fitted, lost = record_of(run)
    assert lost["history"]["lines"] > 1000
    assert said(fitted.files) == said(run.files)


def test_ten_thousand_metrics():
    names = [f"layer{n}/grad" for n in range(10_000)]
    run = made(history=[layout.format_line(n, n, {name: n + len(name) for name in names}) for n in range(3)])
    assert record_of(run) == (run, {})
    run = made(history=curve(20, names))
    assert len(run.files[layout.METRICS]) < layout.MAX_FILE
    with pytest.raises(LumoError, match="its properties, metrics, note and edits alone take more than 351 KiB"):
        fitting.fit(run, ())


def test_marks_that_do_not_fit_leave_no_history_but_its_summary():
    lines = [layout.format_line(n, n, {f"m{n}": 1}, {"$with": {"x": noise(60, n).hex()}}) for n in range(8000)]
    run = made(history=lines)
    small = {key: {**value, "with": {}} for key, value in values.from_bytes(run.files[layout.METRICS]).items()}
    run = dataclasses.replace(run, files={**run.files, layout.METRICS: values.to_bytes(small)})
    fitted, lost = record_of(run)
    assert lost == {"history": {"lines": 0, "of": 8000}}
    assert fitted.files.keys() == {path for path in run.files if not path.startswith("history/")}


def test_files_that_do_not_fit_are_named_and_the_small_ones_are_there():
    big = {"text/log.txt": noise(4 << 20).hex()[: 5 << 20].encode(), "a.bin": noise(400_000), "b.bin": noise(10_000),
           "text/dull.txt": b"x" * (6 << 20)}  # fmt: skip
    run = made(big, curve(100))
    fitted, lost = record_of(run)
    assert lost == {
        "left_out": [{"path": "a.bin", "size": 400_000}, {"path": "text/log.txt", "size": 5 << 20}],
    }
    assert fitted.files["text/dull.txt"] == run.files["text/dull.txt"]
    assert fitted.files["b.bin"] == run.files["b.bin"]


def test_names_that_are_no_utf_8_are_left_out():
    odd = ["plots/\udcff", "info/\udcfe.json", "edits/\udcfd", "text/\udcfc.txt"]
    run = made(dict.fromkeys(odd, b"{}\n"), curve(10))
    fitted, lost = record_of(run)
    assert set(run.files) - set(fitted.files) == set(odd)
    names = ["edits/\ufffd", "info/\ufffd.json", "plots/\ufffd", "text/\ufffd.txt"]
    assert lost["left_out"] == [{"path": name, "size": 3} for name in names]


@pytest.mark.parametrize(
    "files", [{"note.md": noise(400_000).hex().encode()}, {"info/x.json": values.to_bytes(noise(400_000).hex())}]
)
def test_what_must_be_there_and_does_not_fit_is_an_error(files):
    run = made(files, curve(10))
    with pytest.raises(LumoError, match=r"(?s)digits/261124.000.k3x9t is too large .*\n.*git lumo backup --to tar"):
        fitting.fit(run, ())


def test_more_than_a_record_may_be_is_not_written(monkeypatch):
    monkeypatch.setattr(fitting, "MAX_RECORD", 1_000_000)
    run = made({"a.txt": b"x" * 700_000, "b.txt": b"x" * 700_000})
    _, lost = record_of(run)
    assert lost == {"left_out": [{"path": "b.txt", "size": 700_000}]}


def compressed(lines):
    return zlib.compress(b"".join(json.dumps(line).encode() + b"\n" for line in lines))


def test_a_bomb_is_refused():
    bomb = zlib.compress(b"\0" * (fitting.MAX_RECORD * 2), 9)
    found, problem = fitting.decompress(bomb)
    assert problem == "its record is larger than 64 MiB, which no record is"
    assert len(found) == fitting.MAX_RECORD


def test_what_cannot_be_decompressed_is_read_as_far_as_it_goes():
    data = fitting.to_bytes(made(history=curve(2000)).files, {})
    whole = fitting.compress(data)
    assert fitting.decompress(whole) == (data, None)
    found, problem = fitting.decompress(whole[:-5000])
    assert (problem, data.startswith(found), len(found) > len(data) // 2) == ("its record is cut off", True, True)
    found, problem = fitting.decompress(whole[:-5000] + b"\xff" * 5000)
    assert problem.startswith("its record cannot be decompressed: ")
    assert data.startswith(found[:-500])  # a few symbols come out of what is none
    assert len(found) > len(data) // 2
    assert fitting.decompress(b"") == (b"", "its record is cut off")
    assert fitting.decompress(b"nonsense")[0] == b""


def parts_of(data, digest=None):
    return [issue.Part(UID, 1, 1, 0, digest or issue.digest_of(data), zlib.compress(data), True)]


def test_a_record_with_another_digest_is_refused_or_marked():
    run = made(history=curve(5))
    data = fitting.to_bytes(run.files, {})
    assert holdings.decode(UID, parts_of(data), force=False) == (run, {})
    with pytest.raises(FormatError, match="the digest is another"):
        holdings.decode(UID, parts_of(data, "0" * 64), force=False)
    forced, lost = holdings.decode(UID, parts_of(data, "0" * 64), force=True)
    assert (forced, lost["history"], len(lost["forced"])) == (run, {"lines": 6, "of": None}, 1)
    with pytest.raises(FormatError, match="another run"):
        holdings.decode("cd" * 16, parts_of(data), force=True)


@pytest.mark.parametrize("cut", [0.3, 0.5, 0.9, 0.999])
def test_the_beginning_of_a_record_is_a_run(repo, cut):
    run = made({"plots/x": noise(9000)}, curve(3000), params={"names": [str(n) for n in range(1000)]})
    data = fitting.to_bytes(run.files, {})
    part = parts_of(data)[0]
    part = dataclasses.replace(part, data=part.data[: int(len(part.data) * cut)], is_sound=False)
    forced, lost = holdings.decode(UID, [part], force=True)
    assert forced.identity == run.identity
    assert forced.files.items() <= run.files.items()
    restoring.check(open_here().repository.objects, Backup(forced, "x", lost))


def lines_of(run):
    return fitting.to_bytes(run.files, {}).splitlines(keepends=True)


HEAD = {"version": 1, "lost": {}}
FILE = {"path": "x", "text": "y"}


@pytest.mark.parametrize(
    ("first", "more", "said"),
    [
        (HEAD | {"version": 2}, [], "its record is of version 2; install a newer gitlumo"),
        (HEAD | {"version": True}, [], "no record of a run"),
        ({}, [], "no record of a run"),
        (HEAD | {"lost": []}, [], "no record of a run"),
        (HEAD | {"lost": {"masked": 5}}, [], "no record of a run"),
        (HEAD | {"lost": {"masked": ["\ud800"]}}, [], "no record of a run"),
        (HEAD | {"lost": {"history": "all"}}, [], "no record of a run"),
        (HEAD | {"lost": {"history": {"lines": 1, "of": True}}}, [], "no record of a run"),
        (HEAD | {"lost": {"left_out": [["path"]]}}, [], "no record of a run"),
        (HEAD | {"lost": {"forced": 1}}, [], "no record of a run"),
        (HEAD, [FILE, FILE], "a line of its record is no file, or a second one of its path"),
        (HEAD, [{"path": "\ud800", "text": ""}], "a line of its record is no file"),
        (HEAD, [{"path": "x", "text": "\ud800"}], "a line of its record is no file"),
        (HEAD, [{"path": "x", "base64": "?"}], "a line of its record is no file"),
        (HEAD, [{"path": "x"}], "a line of its record is no file"),
        (HEAD, [{"path": 5, "text": ""}], "a line of its record is no file"),
        (HEAD, [[]], "a line of its record is no file"),
        (HEAD, [FILE | {"path": str(n)} for n in range(100_001)], "more than 100000 files"),
    ],
)
def test_what_is_no_record(first, more, said):
    lines = [json.dumps(first).encode() + b"\n", *lines_of(made())[1:]]
    lines += [json.dumps(line).encode() + b"\n" for line in more]
    with pytest.raises(FormatError, match=said):
        fitting.from_bytes(b"".join(lines), "the issue")


@pytest.mark.parametrize("data", [b"", b"\n", b"[" * 100_000 + b"\n", b"\xff\n", b'{"version": 1, "lost": {}}\n'])
def test_what_is_no_run(data):
    with pytest.raises(FormatError):
        fitting.from_bytes(data, "the issue")


def test_the_last_line_must_be_whole():
    data = fitting.to_bytes(made().files, {})
    with pytest.raises(FormatError, match="its last line is not whole"):
        fitting.from_bytes(data[:-1], "the issue")


def test_what_a_restored_run_lacked_before_is_not_forgotten(repo):
    first, lost = record_of(made(history=curve(30_000, ("loss", "acc"))), ["params.api_key"])
    once = parcel.marked(first, lost)
    again, more = record_of(once, ["note.md"])
    twice = parcel.marked(again, more).record.info("restored")
    assert twice == {"masked": ["params.api_key", "note.md"], "history": lost["history"]}
    restoring.check(open_here().repository.objects, Backup(again, "x", more))
