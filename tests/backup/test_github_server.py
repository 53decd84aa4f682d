"""GitHub as the tests of backups see it, and how PyGithub takes what it does."""

from __future__ import annotations

import time
from collections.abc import Callable

import github as pygithub
import pytest
import requests
from github.GithubException import RateLimitExceededExceedsMaxWait

from tests.backup import faults
from tests.backup.emulator import OTHERS_TOKEN
from tests.backup.faults import Request
from tests.backup.proxy import TOKEN, GitHub

QUICK = {"seconds_between_requests": 0, "seconds_between_writes": 0}


@pytest.fixture
def connect(github: GitHub):
    """``connect(**options)``: PyGithub without its pauses; ``retry=None``: each request is sent once."""
    clients = []

    def make(**options) -> pygithub.Github:
        options = {"auth": pygithub.Auth.Token(TOKEN), "base_url": github.url, **QUICK, **options}
        clients.append(pygithub.Github(**options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def repo(github: GitHub, connect: Callable[..., pygithub.Github]):
    """The repository, of a client that sends each request once; nothing has been asked yet."""
    return connect(retry=None, lazy=True, timeout=1).get_repo(github.repo)


def asked(github: GitHub) -> list[str]:
    return [str(request).replace(github.repo, "REPO") for request in github.requests]


def bodies(github: GitHub) -> list[str]:
    return [issue["body"] for issue in github.issues()]


def test_an_issue_is_made_and_found_by_its_label(github, repo):
    made = repo.create_issue("a run", "the record", labels=["lumo"])
    repo.create_issue("another")
    found = list(repo.get_issues(state="all", labels=["lumo"]))
    assert [(issue.number, issue.title, issue.body) for issue in found] == [(made.number, "a run", "the record")]
    assert asked(github) == ["POST /repos/REPO/issues", "POST /repos/REPO/issues", "GET /repos/REPO/issues"]


def test_comments_labels_milestones_and_closing(github, repo):
    milestone = repo.create_milestone("v1")
    issue = repo.create_issue("a run", "one", labels=["lumo"], milestone=milestone, assignees=["grace"])
    issue.create_comment("more").edit("less")
    github.ask("POST", f"/repos/{github.repo}/issues/1/comments", {"body": "from a person"}, OTHERS_TOKEN)
    assert [(comment.user.login, comment.body) for comment in issue.get_comments()] == [
        ("ada", "less"),
        ("grace", "from a person"),
    ]
    repo.create_label("lumo:digits", "ededed", "all runs of digits")
    issue.add_to_labels("lumo:digits")
    issue.edit(state="closed", state_reason="duplicate")
    assert (issue.state, issue.state_reason) == ("closed", "duplicate")
    assert github.issues()[0]["state_reason"] == "duplicate"
    issue.edit(state="open")
    assert [label.name for label in issue.labels] == ["lumo", "lumo:digits"]
    assert [user.login for user in issue.assignees] == ["grace"]


def test_pages(github, connect):
    for title in "abcde":
        github.ask("POST", f"/repos/{github.repo}/issues", {"title": title, "labels": ["lumo"]})
    found = (
        connect(per_page=2, lazy=True).get_repo(github.repo).get_issues(state="all", labels=["lumo"], direction="asc")
    )
    assert [issue.title for issue in found] == list("abcde")
    assert [request.query.get("page", "1") for request in github.requests] == ["1", "2", "3"]
    assert all(request.query["per_page"] == "2" for request in github.requests)


def test_an_enterprise_server(github, connect):
    client = connect(base_url=github.enterprise_url, per_page=1)
    repo = client.get_repo(github.repo)
    repo.create_issue("one").edit(body="edited")
    repo.create_issue("two")
    assert [issue.html_url.rsplit("/", 2)[1] for issue in repo.get_issues()] == ["issues", "issues"]
    assert bodies(github)[0] == "edited"


def test_what_did_not_change_costs_nothing_of_the_limit(github, repo):
    issue = repo.create_issue("a run")
    issue.update()  # an answer to a POST has no ETag
    left = github.remaining
    assert issue.update() is False
    assert (github.requests[-1].status, github.remaining) == (304, left)


CONNECTION, TIMEOUT = requests.ConnectionError, requests.ReadTimeout
KNOWN, LIMIT = pygithub.GithubException, pygithub.RateLimitExceededException


@pytest.mark.parametrize(
    ("fault", "error", "status", "done"),
    [
        (faults.cut_before, CONNECTION, None, False),
        (faults.reset_before, CONNECTION, None, False),
        (faults.cut_within, requests.exceptions.ChunkedEncodingError, None, True),  # which no Retry ever sees
        (faults.cut_after, CONNECTION, None, True),
        (faults.silent_before, TIMEOUT, None, False),
        (faults.silent_after, TIMEOUT, None, True),
        (faults.server_error, KNOWN, 500, False),
        (faults.unavailable, KNOWN, 503, False),
        (faults.unavailable_after, KNOWN, 502, True),
        (faults.html(502), KNOWN, 502, False),
        (faults.secondary_limit(), LIMIT, 403, False),
        (faults.secondary_limit(60), LIMIT, 403, False),
        (faults.secondary_limit(60, status=429), KNOWN, 429, False),
        (faults.primary_limit(), LIMIT, 403, False),
        (faults.primary_limit(status=429), KNOWN, 429, False),
        (faults.bad_credentials, pygithub.BadCredentialsException, 401, False),
        (faults.missing_scope(), KNOWN, 403, False),
        (faults.not_found, pygithub.UnknownObjectException, 404, False),
        (faults.issues_disabled, KNOWN, 410, False),
        (faults.invalid("Issue", "title", "is wrong"), KNOWN, 422, False),
    ],
)
def test_a_fault_as_pygithub_raises_it_where_nothing_is_sent_twice(github, repo, fault, error, status, done):
    github.play(fault)
    with pytest.raises(error) as raised:
        repo.create_issue("a run", "one")
    assert type(raised.value) is error
    assert getattr(raised.value, "status", None) == status
    assert asked(github) == ["POST /repos/REPO/issues"]
    assert github.requests[0].reached == done
    assert bodies(github) == ["one"] * done


@pytest.mark.parametrize("fault", [faults.cut_after, faults.unavailable_after])
def test_as_it_comes_pygithub_sends_a_post_again_and_makes_two_issues(github, connect, fault):
    github.play(fault, when=lambda request: request.method == "POST")
    connect().get_repo(github.repo).create_issue("a run", "one")
    assert bodies(github) == ["one", "one"]


def test_as_it_comes_pygithub_does_not_send_a_patch_again(github, connect):
    issue = connect().get_repo(github.repo).create_issue("a run", "one")
    github.play(faults.unavailable)
    with pytest.raises(pygithub.GithubException):
        issue.edit(body="two")
    assert bodies(github) == ["one"]


@pytest.mark.parametrize("fault", [faults.cut_before, faults.cut_after, faults.unavailable, faults.secondary_limit(0)])
def test_what_is_sent_again_can_be_chosen(github, connect, fault):
    retry = pygithub.GithubRetry(total=2, allowed_methods=["GET", "PATCH"])
    repo = connect(retry=retry).get_repo(github.repo)
    issue = repo.create_issue("a run", "one")
    github.play(fault)
    issue.edit(body="two")
    github.play(fault)
    assert [one.body for one in repo.get_issues()] == ["two"]
    github.play(fault)
    with pytest.raises((requests.RequestException, pygithub.GithubException)):
        repo.create_issue("another")
    assert asked(github)[2:] == [
        "PATCH /repos/REPO/issues/1",
        "PATCH /repos/REPO/issues/1",
        "GET /repos/REPO/issues",
        "GET /repos/REPO/issues",
        "POST /repos/REPO/issues",
    ]


def test_a_wait_for_the_limit_can_be_bounded(github, connect):
    retry = pygithub.GithubRetry(total=2, allowed_methods=["GET"], max_rate_limit_wait=5)
    client = connect(retry=retry)
    github.play(faults.primary_limit(3600))
    with pytest.raises(RateLimitExceededExceedsMaxWait):
        client.get_repo(github.repo)
    assert len(github.requests) == 1


def test_a_page_that_is_no_json_makes_an_issue_without_a_number(github, repo):
    github.play(faults.html(200))
    assert repo.create_issue("a run").number is None
    assert bodies(github) == []


def test_a_post_can_land_later(github, repo):
    github.play(github.late(after=2))
    with pytest.raises(requests.ConnectionError):
        repo.create_issue("a run")
    assert [len(list(repo.get_issues())) for _ in range(4)] == [0, 0, 1, 1]
    github.play(github.late(after=100))
    with pytest.raises(requests.ConnectionError):
        repo.create_issue("another")
    github.land()
    assert len(github.issues()) == 2


def test_faults_are_played_where_and_as_often_as_was_said(github, repo):
    def listing(request: Request) -> bool:
        return request.method == "GET" and request.path.endswith("/issues")

    github.play(faults.unavailable, at=2, when=listing, times=2)
    seen = []
    for _ in range(4):
        repo.create_issue("a run")
        try:
            seen.append(len(list(repo.get_issues())))
        except pygithub.GithubException as error:
            seen.append(error.status)
    assert seen == [1, 503, 503, 4]


def test_a_renamed_repository(github, connect, repo):
    """PyGithub follows a 301 without the query, and takes a 307 for an issue."""
    issue = repo.create_issue("a run", "one", labels=["lumo"])
    repo.create_issue("another")
    name = github.rename_repository()
    assert len(list(repo.get_issues(labels=["lumo"]))) == 2, "the label is lost on the way"
    assert repo.create_issue("a third").number is None
    issue.edit(body="two")
    assert bodies(github) == ["one", None], "neither was done, nor refused"
    assert [request.status for request in github.requests[2:]] == [301, 200, 307, 307]
    found = connect().get_repo(repo.full_name)  # not lazy: so it is asked for its name
    assert found.full_name == name
    assert len(list(found.get_issues(labels=["lumo"]))) == 1
    assert connect().get_repo(found.id).full_name == name


def test_a_deleted_and_a_transferred_issue(github, repo):
    deleted, moved = repo.create_issue("deleted"), repo.create_issue("moved", "one")
    moved.create_comment("more")
    there = github.create_repository()
    github.delete_issue(deleted.number)
    number = github.transfer_issue(moved.number, there)
    with pytest.raises(pygithub.GithubException, match="This issue was deleted") as raised:
        deleted.edit(body="two")
    assert raised.value.status == 410
    assert list(repo.get_issues(state="all")) == github.issues() == []
    found = repo.get_issue(moved.number)
    found.update()
    assert found.html_url.endswith(f"/{there}/issues/{number}")
    assert [comment["body"] for comment in github.comments(number, there)] == ["more"]
    moved.edit(body="two")  # a 307 again
    assert github.issues(there)[0]["body"] == "one"


def test_lengths(github, repo):
    issue = repo.create_issue("a run", "é" * 65536)
    too_long = [
        (lambda: repo.create_issue("a run", "b" * 65537), "body is too long .maximum is 65536 characters."),
        (lambda: issue.edit(body="b" * 65537), "body is too long"),
        (lambda: issue.create_comment("b" * 65537), "body is too long"),
        (lambda: issue.edit(title="t" * 257), "title is too long"),
        (lambda: repo.create_label("l" * 51, "ededed"), "name is too long"),
    ]
    for call, said in too_long:
        with pytest.raises(pygithub.GithubException, match=said) as raised:
            call()
        assert raised.value.status == 422
    repo.create_label("lumo", "ededed")
    with pytest.raises(pygithub.GithubException, match="already_exists"):
        repo.create_label("lumo", "ededed")


def test_line_ends_of_githubs_editor(github, repo):
    github.crlf = True
    assert repo.create_issue("a run", "one\ntwo").body == "one\r\ntwo"
    github.crlf = False
    assert repo.get_issue(1).body == "one\ntwo"


def test_limits_are_told_and_kept(github, connect):
    github.remaining, github.reset = 2, int(time.time()) + 3600
    client = connect(retry=None)
    client.get_repo(github.repo)
    assert (client.rate_limiting, client.rate_limiting_resettime) == ((1, 5000), github.reset)
    client.get_repo(github.repo)
    with pytest.raises(pygithub.RateLimitExceededException) as raised:
        client.get_repo(github.repo)
    assert raised.value.headers["x-ratelimit-reset"] == str(github.reset)
    assert client.get_rate_limit().rate.remaining == 0, "asking for it is free"


def test_what_a_token_may(github, connect, repo):
    with pytest.raises(pygithub.BadCredentialsException):
        connect(auth=pygithub.Auth.Token("another")).get_repo(github.repo)
    github.play(faults.missing_scope(has="read:org", wants="repo"))
    with pytest.raises(pygithub.GithubException) as raised:
        repo.create_issue("a run")
    headers = raised.value.headers
    assert (headers["x-oauth-scopes"], headers["x-accepted-oauth-scopes"]) == ("read:org", "repo")


@pytest.mark.parametrize(
    ("method", "path", "options", "why"),
    [
        ("GET", "/nowhere", {}, "Operation get not found|Path not found"),
        ("GET", "/issues", {"params": {"state": "each"}}, "each"),
        ("GET", "/issues", {"params": {"label": "lumo"}}, "GitHub knows no label="),
        ("POST", "/issues", {"json": {"body": "one"}}, "'title' is a required property"),
        ("POST", "/issues", {"json": {"title": "one", "label": "lumo"}}, "'label' was unexpected"),
        ("PATCH", "/issues/one", {"json": {"state": "open"}}, "one"),
        ("PATCH", "/issues/1", {"json": {"state": "done"}}, "done"),
    ],
)
def test_a_request_that_github_does_not_describe_is_noticed(github, method, path, options, why):
    requests.request(method, f"{github.url}/repos/{github.repo}{path}", timeout=5, **options)
    assert len(github.violations) == 1
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(github.violations.pop())
