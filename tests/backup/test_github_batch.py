"""How much is asked of GitHub for many runs, one after the other and several at a time."""

from __future__ import annotations

import itertools
import time
from collections import Counter

import pytest

from gitlumo.cli import main
from tests.backup import backups
from tests.backup.backups import backup
from tests.backup.proxy import GitHub

# The repository, the list, the labels and making lumo, lumo:digits and finished.
CONSTANT = 6


def record(count: int) -> None:
    for number in range(count):
        backups.record(steps=1, seed=number)


def asked(github: GitHub) -> Counter[str]:
    """What was asked, by method and place in the repository, without numbers."""
    places = (request.place.removeprefix(f"/repos/{github.repo}").rstrip("0123456789") for request in github.requests)
    return Counter(f"{request.method} {place}" for request, place in zip(github.requests, places, strict=True))


def count(github: GitHub, runs: int, parallel: str, capfd) -> None:
    record(runs)
    github.requests.clear()
    assert backup("--all", "-j", parallel) == 0
    assert f"{runs} runs: {runs} new" in capfd.readouterr().err
    requests = asked(github)
    after = requests["GET /issues"] - 1 - runs  # second pages, where the last minutes have made more than 100
    assert after in range(1, 1 + int(parallel)) if runs > 100 else after == 0
    assert requests == {
        "GET ": 1,
        "GET /issues": 1 + runs + after,
        "GET /labels": 1,
        "POST /labels": 3,
        "POST /issues": runs,
        "PATCH /issues/": runs,
    }
    assert len(github.requests) == CONSTANT + 3 * runs + after
    for number in range(101 - runs):
        github.ask("POST", f"/repos/{github.repo}/issues", {"title": f"of another {number}", "labels": ["lumo"]})
    github.requests.clear()
    assert backup("--all", "-j", parallel) == 0
    assert f"{runs} runs: {runs} unchanged" in capfd.readouterr().err
    assert asked(github) == {"GET ": 1, "GET /issues": 2}, "pages of 100"
    assert {request.query["per_page"] for request in github.requests if request.place.endswith("/issues")} == {"100"}


@pytest.mark.parametrize("parallel", ["1", "4"])
def test_requests_a_run(github, project, parallel, tmp_path, capfd):
    count(github, 6, parallel, capfd)
    backups.check(github, tmp_path / "other")


@pytest.mark.soak
@pytest.mark.parametrize("parallel", ["1", "4"])
def test_requests_of_many(github, project, parallel, tmp_path, capfd):
    count(github, 101, parallel, capfd)
    backups.check(github, tmp_path / "other")


def test_what_a_long_run_costs(github, project):
    backups.record(long=backups.LONG)
    assert backup("@") == 0
    assert len(github.requests) == CONSTANT + 3 + 2, "its comments"
    github.requests.clear()
    assert backup("@") == 0
    assert len(github.requests) == 2 + 1, "its comments are read"


def test_what_changed_is_asked_for_again_before_it_is_written(github, project):
    backups.record()
    assert backup("@") == 0
    assert main(["note", "@", "-m", "another"]) == 0
    github.requests.clear()
    assert backup("@") == 0
    assert [str(request).replace(github.repo, "REPO") for request in github.requests[2:]] == [
        "GET /repos/REPO/issues/1",
        "PATCH /repos/REPO/issues/1",
    ]


@pytest.mark.parametrize("parallel", ["1", "4"])
def test_writes_keep_their_distance(git, github, project, parallel, monkeypatch):
    git("config", "lumo.githubPause", "0.1")
    record(4)
    times = []
    monkeypatch.setattr(github, "check", lambda request: times.append((request.method, time.monotonic())) or ())
    assert backup("--all", "-j", parallel) == 0
    writes = [when for method, when in times if method != "GET"]
    assert len(writes) == 3 + 2 * 4
    assert all(later - earlier >= 0.1 for earlier, later in itertools.pairwise(writes))


def test_a_milestone_and_who_it_is_given_to(github, project, capfd):
    record(3)
    github.ask("POST", f"/repos/{github.repo}/milestones", {"title": "v1"})
    args = ("--milestone", "v1", "--assignee", "grace", "--label", "Paper", "-j", "3", "--all")
    assert backup(*args) == 0
    for each in github.issues():
        assert (each["milestone"]["title"], [user["login"] for user in each["assignees"]]) == ("v1", ["grace"])
        assert "Paper" in [label["name"] for label in each["labels"]]
    assert asked(github)["GET /milestones"] == 1
    assert backup("--milestone", "v2", "--all") == 128
    assert f"{github.repo} has no milestone 'v2'; it has: v1" in capfd.readouterr().err
