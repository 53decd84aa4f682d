"""Runs as issues on GitHub, and back."""

from __future__ import annotations

import json

import pytest

from gitlumo import SimpleExperiment, Watcher
from gitlumo.backup import issues
from gitlumo.cli import main
from gitlumo.cli.opening import open_here
from gitlumo.store.record import to_json
from tests.backup.proxy import TOKEN


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(issues, "PAUSE", 0.01)


@pytest.fixture
def here(git, repo, github, monkeypatch):
    """A repository whose runs are backed up to the test's GitHub."""
    git("config", "lumo.githubUrl", github.url)
    git("config", "lumo.githubRepo", github.repo)
    git("config", "lumo.githubPause", "0")
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    return repo


def record(name=None, steps=20, **params):
    with SimpleExperiment("digits", name, params={"lr": 0.1, **params}) as exp:
        for step in range(steps):
            exp.log({"loss": 1 / (step + 1)})
        exp.dump_metric("acc", 0.93)
        exp.dump_note("warm start")
    return exp


def as_json(name="@"):
    found = open_here().runs().resolve(name)
    return json.loads(to_json(found.record.properties, found.record.history()))


def backup(*args):
    return main(["backup", *args])


def test_a_run_becomes_an_issue_and_comes_back(git, here, github, tmp_path, monkeypatch, capfd):
    exp = record()
    assert backup("@") == 0
    (issue,) = github.issues()
    print(issue["title"])
    print(issue["body"])
    assert exp.test_name in issue["title"]
    assert issue["state"] == "closed"
    assert sorted(label["name"] for label in issue["labels"]) == ["finished", "lumo", "lumo:digits"]
    assert backup("@") == 0
    assert "unchanged" in capfd.readouterr().out
    original = as_json()
    git("init", "-q", tmp_path / "other")
    monkeypatch.chdir(tmp_path / "other")
    git("config", "lumo.githubUrl", github.url)
    assert main(["restore", f"github:{github.repo}#{issue['number']}"]) == 0
    assert as_json() == original
    assert list(original["backup"].values()) == [
        {"backend": "github", "number": issue["number"], "repo": github.repo, "host": github.url.partition("//")[2]}
    ]
    git("fsck", "--strict")
    assert len(Watcher().rows()) == 1
