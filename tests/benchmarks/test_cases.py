"""The benchmarks run, and say what they have measured; figures are not judged here."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.benchmarks.figures import Figure, Goal
from tests.benchmarks.place import ROOT


def test_json():
    command = [sys.executable, "-m", "tests.benchmarks", "scalar", "--quick", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    first = found["figures"][0]
    assert (first["case"], first["unit"], first["goal"]) == ("scalar", "us", "<= 10 us")
    assert first["ratio"] == pytest.approx(first["value"] / first["beside"])
    assert not done.stderr


@pytest.mark.parametrize(
    ("goal", "value", "beside", "met"),
    [
        (Goal(most=3), 3, 1, True),
        (Goal(most=3), 3.1, 1, False),
        (Goal(most=3, over=3), 5, 2, True),
        (Goal(most=3, over=3), 5.1, 2, False),
        (Goal(times=2), 8, 4, True),
        (Goal(times=2), 8.1, 4, False),
    ],
)
def test_goal(goal, value, beside, met):
    figure = Figure("a case", value, "ms", "git", beside, goal)
    assert figure.met is met
    assert ("MISSED" in next(iter(figure.lines()))) is not met
