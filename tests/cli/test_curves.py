"""``git lumo show --plot``: curves in the terminal, whatever the numbers are."""

from __future__ import annotations

import json
import math
import os
import pty
import struct
import subprocess
import termios
from fcntl import ioctl

import pytest

from gitlumo import Experiment
from gitlumo.cli.curves import MOST, draw, thinned
from gitlumo.cli.terminal import Screen


@pytest.fixture
def runs(repo):
    for name, top in (("first", 1), ("second", 8)):
        with Experiment("digits", name) as exp:
            for step in range(20):
                exp.log({"loss": top / (step + 1), "only" if top == 1 else "other": step})


def test_two_runs_in_one_picture(here_lumo, runs):
    done = here_lumo("show", "first", "second", "--plot", "loss")
    assert (done.status, done.err) == (0, "")
    lines = done.out.split("\n")
    assert lines[0] == "loss"
    assert lines[-3:] == ["  ⠒⠒ digits/first", "  x digits/second", ""]
    assert "8┤x" in done.out
    assert max(map(len, lines)) == 80
    assert "\033" not in done.out


def test_a_picture_for_each_metric_of_the_runs_that_have_it(here_lumo, runs):
    out = here_lumo("show", "first", "second", "--plot", "loss", "only").out
    assert [line for line in out.split("\n") if line in ("loss", "only")] == ["loss", "only"]
    assert out.count("digits/second") == 1


@pytest.mark.parametrize(("env", "coloured"), [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False)])
def test_width_and_colour_of_a_terminal(runs, env, coloured):
    ours, its = pty.openpty()
    ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 50, 0, 0))
    env = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS")} | env
    command = ["git-lumo", "show", "first", "second", "--plot", "loss"]
    child = subprocess.Popen(command, stdout=its, env=env | {"GIT_PAGER": "cat"})
    os.close(its)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65536)
        except OSError:
            break
    os.close(ours)
    assert child.wait() == 0
    text = shown.decode()
    assert ("\033[" in text) is coloured
    frame = next(line for line in text.splitlines() if "┌" in line)
    assert len(frame.replace("\033[0m", "")) == 50


@pytest.mark.parametrize(
    ("args", "status", "said"),
    [
        (["first", "--plot", "los"], 128, "digits/first has no metric 'los'; did you mean loss?"),
        (["first", "second", "--plot", "zzz"], 128, "none of these runs has a metric 'zzz'; there are: loss, only"),
        (["first", "second"], 129, "--plot KEY"),
        (["first", "--plot", "loss", "--json"], 129, "--plot does not go with"),
        (["nosuch", "--plot", "loss"], 128, "no run is called 'nosuch'"),
    ],
)  # fmt: skip
def test_wrong_input(here_lumo, runs, args, status, said):
    done = here_lumo("show", *args)
    assert (done.status, done.out) == (status, "")
    assert said in done.err


class Lines(list):
    def write(self, text):
        self.append(text)


def picture(points, width=40):
    out = Lines()
    draw(Screen(out, False, width), "loss", [("digits/first", thinned(points))])
    return "".join(out)


@pytest.mark.parametrize(
    "points",
    [
        [(5, 1.0)],
        [(5, 1.0), (5, 1.0)],
        [(0, 1e308), (1, -1e308)],
        [(0, 1e-300), (1, 2e-300)],
        [(0, 1), (2**63, 2)],
        [(10**400, 1), (0, 10**400), (1, 2)],
        [(3, 1.0), (2, 0.5), (1, 0.0)],
        [(i, math.nan if i % 2 else 1.0) for i in range(2000)],
    ],
    ids=["one", "equal", "wide", "tiny", "steps", "huge", "backwards", "gaps"],
)
def test_any_numbers(points):
    shown = picture(points)
    assert any("⠀" < char <= "⣿" for char in shown.partition("digits")[0])
    assert "digits/first" in shown


def test_gaps():
    whole = picture([(step, step) for step in range(30)])
    broken = picture([(step, math.inf if 10 <= step <= 20 else step) for step in range(30)])
    assert len([char for char in broken if char > "⠀"]) < len([char for char in whole if char > "⠀"])
    assert "no value of it is finite" in picture([(0, math.nan), (1, math.inf)])
    assert "no value of it is finite" in picture([])


def test_a_million_points():
    """They are read once, and a curve's extremes outlive it."""
    read = 0

    def points():
        nonlocal read
        for step in range(1_000_000):
            read += 1
            yield step, 777.0 if step == 654_321 else math.nan if step == 12_345 else step % 100

    pieces = thinned(points())
    assert read == 1_000_000
    assert MOST // 2 <= len(pieces) < MOST
    drawn = [point for piece in pieces for point in piece.ends]
    assert (654_321, 777.0) in drawn
    assert [step for step, _ in drawn] == sorted(step for step, _ in drawn)
    assert [piece.gap for piece in pieces].count(True) == 1


def test_json_is_as_it_was(here_lumo, runs):
    assert json.loads(here_lumo("show", "first", "--json").out)["test_name"] == "first"
