"""GitHub, through PyGithub: issues, comments and labels, and what it refuses in words that say what to type next.

Whoever asks can tell three endings of a write apart: it was done, it was not (:class:`Refused`, :class:`Waited`), or
nobody knows (:class:`Unanswered`). Only reads and edits of what is there are sent again by themselves: making something
twice makes two of it.
"""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import functools
import itertools
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import requests
from github import Auth, Github
from github.GithubException import GithubException, IncompletableObject
from github.Issue import Issue as Handle
from github.PaginatedList import PaginatedList
from github.Repository import Repository

from gitlumo.backup import refusals
from gitlumo.backup.address import Address
from gitlumo.backup.pace import Pace
from gitlumo.backup.refusals import AGAIN, Barred, Gone, Refused, Transferred, Unanswered, Waited
from gitlumo.errors import RemoteError

TIMEOUT = 30  # seconds
ATTEMPTS = 4
PAUSE = 0.5  # seconds, doubled each time, before what was not answered is asked again
LONGEST_WAIT = 3700  # seconds: GitHub's hour, and a little
RESERVE = 20  # requests of the hour that are left to others

T = TypeVar("T")


@dataclass(frozen=True)
class Comment:
    """A comment of an issue."""

    id: int
    body: str
    handle: Any


@dataclass(frozen=True)
class Issue:
    """An issue.

    Attributes:
        number: Its number.
        title: Its title.
        body: Its body, with line ends as they are there.
        is_open: Whether it is.
        labels: Their names.
        comments: How many comments it has.
        url: Its page.
        handle: PyGithub's.
    """

    number: int
    title: str
    body: str
    is_open: bool
    labels: tuple[str, ...]
    comments: int
    url: str
    handle: Any


class Client:
    """One repository's issues; not for several threads at once, but they may share the pace."""

    def __init__(self, address: Address, token: str, pace: Pace, tell: Callable[[str], None]):
        """Prepare to ask; nothing is sent yet.

        Args:
            address: The repository.
            token: The token.
            pace: Of writes.
            tell: Takes a line that says for what is waited.

        Raises:
            Barred: If the token cannot be one.
        """
        if not re.fullmatch(r"[!-~]+", token):
            raise Barred("the token has a space, a line end or a letter that no token has\n  export GITHUB_TOKEN=...")
        self._github = Github(
            auth=Auth.Token(token),
            base_url=address.api,
            timeout=TIMEOUT,
            user_agent="gitlumo",
            per_page=100,
            retry=None,  # PyGithub's own would send a POST again (docs/design/decisions.md)
            seconds_between_requests=None,
            seconds_between_writes=None,
            lazy=True,
        )
        self._pace, self._tell, self._token = pace, tell, token
        self._go_to(address)
        self._ahead = -600.0  # seconds of GitHub's clock before ours; so none is missed until that is known

    def close(self) -> None:
        """Let go of the connection."""
        self._github.close()

    def settle(self) -> Address:
        """Follow a repository that was renamed or given to somebody else; PyGithub follows only its own path.

        Raises:
            RemoteError: If it cannot be seen, or has no issues.
        """

        def call() -> tuple[bool, str, str]:
            repo = self._github.get_repo(self.address.repo)  # one that was answered with anything is not asked again
            return _known(repo.has_issues), _known(repo.full_name), str(repo.raw_headers.get("date", ""))

        try:
            has_issues, name, date = self._read(f"see {self.address.repo}", call)
        except Gone as error:
            hint = "is it spelled right?  --repo OWNER/NAME; a private one needs a token that may see it"
            raise Barred(f"{error}\n{hint}") from None
        if not has_issues:
            raise Barred(refusals.no_issues(self.address))
        former = "" if name.lower() == self.address.repo.lower() else self.address.repo
        self._go_to(Address(self.address.api, name, former))
        if parsed := email.utils.parsedate_tz(date):
            self._ahead = email.utils.mktime_tz(parsed) - time.time()
        return self.address

    def _go_to(self, address: Address) -> None:
        self.address = address
        self._repo = self._github.get_repo(address.repo)

    def follow(self, other: Client) -> None:
        """Ask the repository that another client has settled on."""
        self._go_to(other.address)
        self._ahead = other._ahead

    def issues(self, label: str, since: float | None = None) -> Iterator[Issue]:
        """The issues of a label, open and closed, the newest first.

        Args:
            label: The label.
            since: Only those that were touched since then, in seconds since 1970.
        """
        pages = self._listed(label, since)

        def nth(number: int) -> Issue | None:
            nonlocal pages
            try:
                return _issue(pages[number])  # a page is asked for when it is needed
            except IndexError:
                return None
            except Exception:
                pages = self._listed(label, since)  # they keep whatever they were answered
                raise

        for number in itertools.count():
            each = self._read("list the issues", functools.partial(nth, number))
            if each is None:
                break
            if each.url.split("/")[-2] != "pull":
                yield each

    def _listed(self, label: str, since: float | None) -> PaginatedList[Handle]:
        moment: dict[str, Any] = {"since": datetime.datetime.fromtimestamp(since, datetime.UTC)} if since else {}
        return self._repo.get_issues(state="all", labels=[label], sort="created", direction="desc", **moment)

    def now(self) -> float:
        """The time by GitHub's clock, in seconds since 1970."""
        return time.time() + self._ahead

    def issue(self, number: int) -> Issue:
        """One issue.

        Raises:
            Gone: If there is none, or it is in another repository now.
        """
        found = self._get(self._repo, number)
        there = _repo_of(found)
        if there.lower() != self.address.repo.lower():
            raise Transferred(
                f"{self.address.repo}#{number} was transferred: it is {there}#{found.number} now\n"
                f"to go on with it there:  git lumo backup --repo {there}"
            )
        return _issue(found)

    def transferred(self, repo: str, number: int) -> Issue | None:
        """An issue of another repository, if it is in this one now."""
        with contextlib.suppress(Refused):
            found = self._get(self._github.get_repo(repo), number)
            if _repo_of(found).lower() == self.address.repo.lower():
                return _issue(found)
        return None

    def _get(self, repo: Repository, number: int) -> Handle:
        def call() -> Handle:
            found = repo.get_issue(number).complete()
            _known(found.html_url)
            return found

        return self._read(f"read #{number}", call)

    def comments(self, issue: Issue) -> list[Comment]:
        """An issue's comments, the oldest first."""

        def call() -> list[Comment]:
            return [Comment(_known(each.id), each.body or "", each) for each in issue.handle.get_comments()]

        return self._read(f"read the comments of #{issue.number}", call)

    def create(self, title: str, body: str, labels: Iterable[str], **more: Any) -> Issue:
        """Make an issue.

        Raises:
            RemoteError: See the module.
        """

        def call() -> Any:
            return self._answered(self._repo.create_issue(title=title, body=body, labels=list(labels), **more))

        return _issue(self._write("make an issue", call))

    def edit(self, issue: Issue, **changes: Any) -> Issue:
        """Change an issue: ``title``, ``body``, ``state``, ``state_reason``, ``labels``."""

        def call() -> Any:
            headers, data = self._github.requester.requestJsonAndCheck("PATCH", issue.handle.url, input=changes)
            return self._answered(Handle(self._github.requester, headers, data, completed=True))

        return _issue(self._write(f"edit #{issue.number}", call, again=True))

    def _answered(self, handle: T, key: str = "number") -> T:
        """What PyGithub has made of an answer to a write, if it is one: it takes any, and does not follow a 307.

        Raises:
            Refused: If the repository or the issue has moved.
            Unanswered: If something else has answered.
        """
        data: Any = handle.raw_data  # type: ignore[attr-defined]
        if isinstance(data.get(key), int):
            return handle
        if "message" in data:
            raise Refused(f"{self.address.repo}, or its issue, has just moved: {data['message']}; try again")
        raise Unanswered(
            f"what answers for {self.address.host} is not GitHub; does the network ask for a login?{AGAIN}"
        )

    def add_comment(self, issue: Issue, body: str) -> None:
        """Comment on an issue."""
        self._write(f"comment on #{issue.number}", lambda: self._answered(issue.handle.create_comment(body), "id"))

    def delete_comment(self, issue: Issue, comment: Comment) -> None:
        """Delete a comment of ours, unless somebody has just done it."""
        with contextlib.suppress(Gone):
            self._write(f"delete a comment of #{issue.number}", comment.handle.delete, again=True)

    def labels(self) -> set[str]:
        """The labels that the repository has, in lower case: GitHub takes no two that differ in case alone."""
        return self._read("list the labels", lambda: {label.name.lower() for label in self._repo.get_labels()})

    def make_label(self, name: str, color: str, description: str) -> None:
        """Make a label, unless somebody has just done it."""

        def call() -> Any:
            return self._answered(self._repo.create_label(name, color, description), "id")

        try:
            self._write(f"make the label {name!r}", call, again=True)
        except Refused as error:
            if "already" not in str(error):
                raise

    def milestone(self, title: str) -> Any:
        """The milestone of a title, as :meth:`create` takes it.

        Raises:
            Refused: If there is none.
        """
        there = self._read("list the milestones", lambda: list(self._repo.get_milestones(state="all")))
        found = next((each for each in there if title in (each.title, str(each.number))), None)
        if found is None:
            known = ", ".join(each.title for each in there) or "none"
            raise Refused(f"{self.address.repo} has no milestone {title!r}; it has: {known}")
        return found

    def _read(self, what: str, call: Callable[[], T]) -> T:
        return self._again(what, call)

    def _write(self, what: str, call: Callable[[], T], *, again: bool = False) -> T:
        """Write, at the pace; ``again``: what is the same when it is done twice."""
        return self._pace.write(lambda: self._again(what, call) if again else self._ask(what, call))

    def _again(self, what: str, call: Callable[[], T]) -> T:
        """Ask until there is an answer, some times."""
        for attempt in itertools.count():
            try:
                return self._ask(what, call)
            except (Waited, Unanswered) as error:
                if attempt + 1 == ATTEMPTS:
                    raise
                if isinstance(error, Unanswered):
                    time.sleep(PAUSE * 2**attempt)
        raise AssertionError("unreachable")

    def _ask(self, what: str, call: Callable[[], T]) -> T:
        try:
            return self._asked(what, call)
        except RemoteError as error:  # whoever answers may repeat what was sent to them
            raise type(error)(str(error).replace(self._token, "***")) from None

    def _asked(self, what: str, call: Callable[[], T]) -> T:
        self._spare()
        try:
            return call()
        except IncompletableObject:
            raise self._stranger("it says too little", what) from None
        except GithubException as error:
            wait = refusals.pause(error)
            if wait is not None and wait <= LONGEST_WAIT:
                self._sleep(wait, "GitHub asks for a pause")
                raise Waited(f"GitHub could not {what}: it asked for a pause of {wait:.0f} s{AGAIN}") from None
            if wait is not None:
                until = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() + wait))
                raise Barred(
                    f"{self.address.host} asks for a pause until {until}: {refusals.message(error)}{AGAIN}"
                ) from None
            raise refusals.refusal(error, what, self.address) from None
        except (requests.RequestException, OSError) as error:
            raise Unanswered(
                f"{self.address.host} did not answer when it was to {what}: {_why(error)}{AGAIN}"
            ) from None
        except (TypeError, AttributeError, ValueError) as error:  # PyGithub's, of something that GitHub never answers
            raise self._stranger(error, what) from None
        except RuntimeError as error:  # PyGithub's, of a redirection to another server
            raise Barred(f"could not {what}: {error}\nsee:  git config lumo.githubUrl") from None

    def _stranger(self, why: object, what: str) -> Unanswered:
        return Unanswered(f"what answers for {self.address.host} is not GitHub ({why}); it was to {what}{AGAIN}")

    def _spare(self) -> None:
        """Wait while the hour's requests are nearly used up: others live on them, too."""
        left, limit = self._github.requester.rate_limiting
        wait = self._github.requester.rate_limiting_resettime - time.time()
        if 0 <= left < min(RESERVE, limit) and 0 < wait <= LONGEST_WAIT:
            self._sleep(wait + 1, f"{left} of the hour's {limit} requests are left")
            self._github.requester.rate_limiting = (limit, limit)

    def _sleep(self, seconds: float, why: str) -> None:
        until = time.strftime("%H:%M:%S", time.localtime(time.time() + seconds))
        self._tell(f"{why}: waiting {seconds:.0f} s, until {until}")
        time.sleep(seconds)


def _issue(handle: Handle) -> Issue:
    """An issue that was listed: what is not in the answer, PyGithub would ask for one by one."""
    labels = tuple(label.name for label in handle.labels)
    is_open = handle.state == "open"
    number, url = _known(handle.number), _known(handle.html_url)
    return Issue(number, handle.title, handle.body or "", is_open, labels, handle.comments, url, handle)


def _repo_of(handle: Handle) -> str:
    return "/".join(handle.html_url.split("/")[-4:-2])


def _known(value: T | None) -> T:
    """What PyGithub found in an answer.

    Raises:
        ValueError: If it is not there: anything may have answered.
    """
    if value is None:
        raise ValueError("it answers something else")
    return value


def _why(error: Exception) -> str:
    """The innermost reason of a request that failed, without addresses and objects of libraries."""
    if isinstance(error, requests.Timeout):
        return f"nothing came within {TIMEOUT} s"
    cause: BaseException = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__ or cause
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause).rpartition(": ")[2].strip("()'\"") or type(cause).__name__
