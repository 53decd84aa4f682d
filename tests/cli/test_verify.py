"""``git lumo verify``: did the rerun give the same?"""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlumo import Experiment
from gitlumo.rerun.verifying import compare

FIXED = "import gitlumo\nwith gitlumo.SimpleExperiment('v') as exp:\n    exp.log({'loss': 0.5}, step=1)\n"
DRAWN = FIXED.replace("0.5", "__import__('random').random()")


def run(folder, text):
    (folder / "v.py").write_text(text)
    subprocess.run([sys.executable, "v.py"], cwd=folder, check=True, capture_output=True)


def shown(lumo, exp):
    return json.loads(lumo("show", exp, "--json", direct=True).out)


def test_the_same(repo, lumo, fsck, tree_state):
    run(repo, FIXED)
    before = tree_state(repo)
    done = lumo("verify", "@", "-q", direct=True)
    assert done.status == 0, done.err
    new, old = shown(lumo, "@"), shown(lumo, "@~1")
    assert done.out == f"v/{new['test_name']} gives the same as v/{old['test_name']}: 1 metric (rtol 1e-05)\n"
    assert old["rerun"]["verified"] == {
        new["uid"]: {"same": True, "metrics": ["loss"], "differs": {}, "rtol": 1e-5, "atol": 1e-8}
    }
    assert f"verified  with v/{new['test_name']}: the same" in lumo("show", "@~1").out
    assert tree_state(repo) == before
    fsck(repo)


def test_not_the_same(repo, lumo):
    run(repo, DRAWN)
    done = lumo("verify", "@", "-q", direct=True)
    assert (done.status, "does not give the same" in done.out) == (1, True)
    old = shown(lumo, "@~1")
    ((verdict),) = old["rerun"]["verified"].values()
    assert (verdict["same"], sorted(verdict["differs"]["loss"])) == (False, ["best", "last", "max", "min"])
    assert lumo("verify", "@~1", "@", "--atol", "1", direct=True).status == 0
    assert shown(lumo, "@~1")["rerun"]["verified"][shown(lumo, "@")["uid"]]["same"] is True
    told = json.loads(lumo("verify", "@~1", "@", "--json", direct=True).out)
    assert (told["same"], told["exp"]) == (False, f"v/{old['test_name']}")


def test_what_cannot_be_compared(repo, lumo):
    with Experiment("a", "none"):
        pass
    with Experiment("a", "some") as exp:
        exp.log({"x": 1})
    for words in (["none", "some"], ["some", "some"], ["some", "none", "--metric", "y"], ["nosuch"]):
        done = lumo("verify", *words, direct=True)
        assert (done.status, done.out) == (128, ""), (words, done.err)
    assert lumo("verify", "some", "none", direct=True).status == 1
    for words in (["some", "none", "--rtol", "-1"], ["some", "none", "--atol", "inf"], ["some", "none", "--env", "uv"]):
        assert lumo("verify", *words, direct=True).status == 129


def test_what_cannot_be_verified_does_not_run_again(repo, lumo):
    run(repo, FIXED)
    with Experiment("a", "none"):
        pass
    words = {("none",): "no metrics", ("v/", "--metric", "acc"): "no metric acc; it has: loss"}
    for (exp, *more), said in words.items():
        done = lumo("verify", exp, *more, direct=True)
        assert (done.status, done.out, said in done.err) == (128, "", True), done.err
    done = lumo("verify", "v/", direct=True, env={"LUMO_DISABLED": "1"})
    assert (done.status, done.out, "running" in done.err) == (128, "", False), done.err
    assert len(json.loads(lumo("log", "--json", direct=True).out)) == 2


def test_what_the_command_prints_is_no_part_of_the_verdict(repo, lumo):
    run(repo, FIXED + "print('hello')\n")
    assert json.loads(lumo("verify", "@", "--json", direct=True).out)["same"] is True
    assert lumo("show", "@:text/stdout.txt", direct=True).out == "hello\n"
    assert lumo("verify", "@", "-q", direct=True).out.count("\n") == 1


def test_a_rerun_that_fails_is_no_verdict(repo, lumo):
    here = "    assert __import__('os').path.isdir('.git')\n"  # in a linked work tree it is a file
    run(repo, FIXED + here)
    done = lumo("verify", "@", "-q", direct=True)
    assert (done.status, "failed" in done.err) == (128, True), done.err
    assert "verified" not in shown(lumo, "@~1")["rerun"]


numbers = st.one_of(st.floats(), st.integers())


@given(numbers)
def test_a_number_is_like_itself(value):
    metric = {"last": value, "min": value, "max": value, "best": value, "count": 1}
    assert compare({"m": metric}, {"m": metric}, rtol=0, atol=0).same


@given(numbers, numbers, st.floats(0, 10), st.floats(0, 10))
def test_the_tolerance_is_that_of_numpy(a, b, rtol, atol):
    numpy = pytest.importorskip("numpy")
    with numpy.errstate(all="ignore"):
        try:
            expected = bool(numpy.isclose(float(b), float(a), rtol=rtol, atol=atol, equal_nan=True))
        except OverflowError:
            return
    if not math.isfinite(atol + rtol * abs(float(a))) or abs(a) > 2**53 or abs(b) > 2**53:
        return
    metrics = [{"m": dict.fromkeys(("last", "min", "max", "best"), value)} for value in (a, b)]
    assert compare(*metrics, rtol=rtol, atol=atol).same == expected
