"""GitHub as the tests of backups see it, and how PyGithub takes what it does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from github import Auth, Github

from tests.backup.proxy import TOKEN, GitHub


@pytest.fixture
def client(github: GitHub) -> Iterator[Github]:
    """PyGithub as it comes, but without its pauses."""
    with Github(
        auth=Auth.Token(TOKEN), base_url=github.url, seconds_between_requests=0, seconds_between_writes=0
    ) as one:
        yield one


def test_an_issue_is_made_and_found_by_its_label(github, client):
    repo = client.get_repo(github.repo)
    made = repo.create_issue("a run", "the record", labels=["lumo"])
    repo.create_issue("another")
    found = list(repo.get_issues(state="all", labels=["lumo"]))
    assert [(issue.number, issue.title, issue.body) for issue in found] == [(made.number, "a run", "the record")]
    assert [str(request) for request in github.requests] == [
        f"GET /repos/{github.repo}",
        f"POST /repos/{github.repo}/issues",
        f"POST /repos/{github.repo}/issues",
        f"GET /repos/{github.repo}/issues",
    ]
