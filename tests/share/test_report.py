"""git lumo report: the runs of a branch beside those of its base, as Markdown that is safe to post."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from gitlumo import Experiment, SimpleExperiment
from tests.share.conftest import BRANCH


@pytest.fixture
def train():
    """``train(repo, name, acc, **params)``: a run on what HEAD is."""

    def run(repo, name, acc, exp_name="digits", **params):
        with SimpleExperiment(exp_name, name, repo=repo, params=params) as exp:
            exp.dump_metric("acc", acc)
            exp.log({"loss": 1 - acc})
        return exp

    return run


@pytest.fixture
def branched(repo, train, git):
    """main with two runs on its last commit and one on the first; a branch of it with three."""
    train(repo, "old", 0.1, lr=0.1)
    git("commit", "-q", "--allow-empty", "-m", "next", cwd=repo)
    train(repo, "b1", 0.8, lr=0.1, seed=1)
    train(repo, "b2", 0.9, lr=0.1, seed=2)
    git("switch", "-q", "-c", "idea", cwd=repo)
    git("commit", "-q", "--allow-empty", "-m", "idea", cwd=repo)
    train(repo, "x1", 0.9, lr=0.1, seed=1)
    train(repo, "x2", 0.9, lr=0.1, seed=3)
    train(repo, "y", 0.425, lr=0.3)
    return repo


def test_a_branch_beside_its_base(branched, ok, git, tip):
    assert ok(branched, "report", "main..idea") == (
        "## Runs on `idea` beside those on `main`\n\n"
        "### `digits`\n\n"
        "|  | run | state | `lr` | `acc` ↑ | `loss` |\n"
        "| --- | --- | --- | --- | ---: | ---: |\n"
        "| base | `digits/b2` and 1 more | finished | 0.1 | 0.85 ± 0.071 | 0.15 ± 0.071 |\n"
        "|  | `digits/y` | finished | 0.3 | 0.425 (-50.0%) | 0.575 (+283.3%) |\n"
        "|  | `digits/x2` and 1 more | finished | 0.1 | **0.9 ± 0** (+5.9%) | 0.1 ± 0 (-33.3%) |\n\n"
        f"The base's runs are of commit {tip(branched, 'main')[:12]}.\n"
    )
    assert ok(branched, "report") == ok(branched, "report", "main..HEAD") == ok(branched, "report", "main..")
    git("switch", "-q", "main", cwd=branched)
    git("commit", "-q", "--allow-empty", "-m", "goes on", cwd=branched)
    assert "the base" not in ok(branched, "report", "main...idea").lower().replace("the base's runs", "")
    assert ok(branched, "report", "main..HEAD").endswith("\nNo run is recorded on these commits.\n")


def test_the_same_as_json(branched, ok, tip):
    [section] = json.loads(ok(branched, "report", "main..idea", "--json"))
    assert (section["exp"], section["metrics"]) == ("digits", {"acc": "max", "loss": None})
    assert section["base"]["commit"] == tip(branched, "main")
    [base] = section["base"]["runs"]
    assert sorted(base["runs"]) == ["digits/b1", "digits/b2"]
    assert base["metrics"]["acc"]["mean"] == pytest.approx(0.85)
    by_lr = {line["params"]["lr"]: line for line in section["runs"]}
    assert by_lr[0.3]["changes"]["acc"] == pytest.approx(-0.5)
    assert by_lr[0.1]["metrics"]["acc"] == {"mean": pytest.approx(0.9), "std": 0.0, "n": 2}


def test_runs_that_are_named(branched, ok):
    lines = ok(branched, "report", "b1", "x1", "y").splitlines()
    assert lines[0] == "## 2 runs beside `digits/b1`"
    assert lines[4:] == [
        "| base | `digits/b1` | finished | 0.1 | 0.8 | 0.2 |",
        "|  | `digits/x1` | finished | 0.1 | **0.9** (+12.5%) | 0.1 (-50.0%) |",
        "|  | `digits/y` | finished | 0.3 | 0.425 (-46.9%) | 0.575 (+187.5%) |",
    ]


def test_what_is_hidden_or_failed(branched, train, ok):
    ok(branched, "rm", "x1", "x2", "y")
    with pytest.raises(ValueError, match="no"), SimpleExperiment("digits", "f", repo=branched):
        raise ValueError("no")
    train(branched, "n", 0.5, "another")
    said = ok(branched, "report", "main..idea")
    assert "|  | `digits/f` | failed |" in said
    assert "digits/x1" not in said
    assert "### `another`\n" in said
    assert "The base has no finished run of this experiment.\n" in said


def test_what_else_is_not_the_same(repo, ok):
    for name, lock in (
        ("a", {"python": "3.11", "numpy": "1"}),
        ("b", {"python": "3.13", "numpy": "1", "torch": "2.0"}),
    ):
        with Experiment("digits", name, repo=repo) as exp:
            exp.record_info("lock", lock)
            exp.log({"loss": 1.0})
    said = ok(repo, "report", "a", "b").splitlines()
    assert said[-1] == "Not the same as in the base: `torch` none → `2.0`, `python` `3.11` → `3.13`."


def test_what_is_recorded_is_data(repo, train, ok, git):
    evil = "@ada `x` | <img src=x> [a](http://b) #1 **c**\n# head\x1b[2J"
    git("switch", "-q", "-c", "idea", cwd=repo)
    git("commit", "-q", "--allow-empty", "-m", "idea", cwd=repo)
    with SimpleExperiment("a|`b @c", "n|`@d", repo=repo, params={evil: evil, "list": [evil]}) as exp:
        exp.log({evil: 1.0})
    train(repo, "other", 1.0, "a|`b @c")
    said = ok(repo, "report", "main..idea")
    for line in said.splitlines():
        outside = "".join(line.replace("\\|", "").split("`")[::2])
        assert not any(char in outside for char in "@<>[]#*\x1b") or line.startswith("## ") or line.startswith("### `")
        assert line.count("`") % 2 == 0
    rows = [line.replace("\\|", "") for line in said.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1


@pytest.mark.parametrize("words", [["a..b", "x"], ["nothing..HEAD"], ["HEAD..nothing"]])
def test_what_makes_no_sense(branched, lumo, words):
    assert lumo(branched, "report", *words)[0] == 129


def test_without_a_main_branch(branched, lumo, git):
    git("branch", "-m", "main", "trunk", cwd=branched)
    status, _, said = lumo(branched, "report")
    assert (status, said.startswith("fatal: which is the main branch?")) == (129, True)


WORKFLOW = Path(__file__).parent.parent.parent / "docs/examples/pull-request.yml"


def test_the_workflow_of_github_actions(branched, shared, clone, ok, git, tmp_path):
    job = yaml.safe_load(WORKFLOW.read_text())["jobs"]["report"]
    compare = next(step["run"] for step in job["steps"] if step.get("name") == "Compare")
    git("remote", "add", "origin", shared, cwd=branched)
    git("push", "-q", "origin", "main", "idea", cwd=branched)
    ok(branched, "push")
    path = clone(shared, "ci", "--no-checkout")
    git("update-ref", "-d", f"refs/remotes/origin/{BRANCH}", cwd=path)
    git("checkout", "-q", "--detach", "origin/idea", cwd=path)
    env = {**os.environ, "GITHUB_BASE_REF": "main", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    subprocess.run(["bash", "-e", "-c", compare], cwd=path, env=env, check=True, capture_output=True)
    assert (path / "report.md").read_text() == (tmp_path / "summary").read_text()
    assert "| **0.9 ± 0** (+5.9%) |" in (path / "report.md").read_text()
