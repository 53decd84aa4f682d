"""What GitHub, or the way to it, answers instead: for `tests.backup.proxy.GitHub.play`.

A fault is called with the request and with what forwards it, and returns an answer or raises `Cut`.
"""

from __future__ import annotations

import json
import select
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

LONGEST_WAIT = 30.0  # seconds that a request is held at most
DOCS = "https://docs.github.com/rest"


@dataclass
class Request:
    """One request, and what became of it.

    Attributes:
        place: The path with the repository's name also where it was asked for by its number.
        status: What was answered; None where the connection was cut.
        answer: The answer's body, as JSON.
        reached: Whether GitHub itself has got it.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any = None
    place: str = ""
    status: int | None = None
    answer: Any = None
    reached: bool = False
    connection: Any = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Answer:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class Cut(Exception):
    """The connection ends here.

    Attributes:
        answer: The answer of which half is sent before; None: nothing.
        reset: Whether the client is told by a reset, else by the end of what it reads.
    """

    def __init__(self, answer: Answer | None = None, reset: bool = False):
        super().__init__()
        self.answer = answer
        self.reset = reset


Forward = Callable[[], Answer]
Fault = Callable[[Request, Forward], Answer]


def says(status: int, message: str, *, headers: dict[str, str] | None = None, **more: Any) -> Fault:
    """GitHub refuses, and has done nothing."""
    body = {"message": message, "documentation_url": DOCS, "status": str(status), **more}
    return lambda request, forward: Answer(status, body, headers or {})


def cut_before(request: Request, forward: Forward) -> Answer:
    """The connection is cut before GitHub gets anything."""
    raise Cut


def reset_before(request: Request, forward: Forward) -> Answer:
    """The same by a reset, as where the request itself was cut."""
    raise Cut(reset=True)


def cut_within(request: Request, forward: Forward) -> Answer:
    """Half of the answer arrives; GitHub has done what was asked."""
    raise Cut(forward())


def cut_after(request: Request, forward: Forward) -> Answer:
    """GitHub has done what was asked, nothing of its answer arrives."""
    forward()
    raise Cut


def silent_before(request: Request, forward: Forward) -> Answer:
    """Nothing is ever answered: the client has to give up. GitHub gets nothing."""
    select.select([request.connection], [], [], LONGEST_WAIT)
    raise Cut


def silent_after(request: Request, forward: Forward) -> Answer:
    """The same, and GitHub has done what was asked."""
    forward()
    return silent_before(request, forward)


def unavailable_after(request: Request, forward: Forward) -> Answer:
    """GitHub has done what was asked, but its gateway says that it is not available."""
    forward()
    return says(502, "Server Error")(request, forward)


def slow(seconds: float) -> Fault:
    """The answer takes its time."""

    def fault(request: Request, forward: Forward) -> Answer:
        time.sleep(seconds)
        return forward()

    return fault


def secondary_limit(retry_after: int | None = None, status: int = 403) -> Fault:
    """The limit on content that is created quickly; GitHub may answer with 403 or 429, with Retry-After or without."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    said = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
    return says(status, said, headers=headers)


def primary_limit(seconds: int = 3600, status: int = 403) -> Fault:
    """The hour's requests are used up; they come back after so many seconds."""

    def fault(request: Request, forward: Forward) -> Answer:
        headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + seconds)}
        return says(status, "API rate limit exceeded for user ID 1.", headers=headers)(request, forward)

    return fault


def missing_scope(has: str = "read:org", wants: str = "repo, public_repo") -> Fault:
    headers = {"X-OAuth-Scopes": has, "X-Accepted-OAuth-Scopes": wants}
    return says(403, "Resource not accessible by personal access token", headers=headers)


def invalid(resource: str, field: str, message: str, code: str = "custom") -> Fault:
    """GitHub's 422."""
    return says(
        422, "Validation Failed", errors=[{"resource": resource, "code": code, "field": field, "message": message}]
    )


server_error = says(500, "Server Error")
bad_gateway = says(502, "Server Error")
unavailable = says(503, "Service unavailable")
bad_credentials = says(401, "Bad credentials")
not_found = says(404, "Not Found")
issues_disabled = says(410, "Issues has been disabled in this repository.")
deleted = says(410, "This issue was deleted")


def html(status: int) -> Fault:
    """An error page of a gateway, which is no JSON."""
    return lambda request, forward: Answer(
        status, b"<html><title>Unicorn!</title></html>", {"Content-Type": "text/html"}
    )


def as_json(body: bytes) -> Any:
    """A body as JSON; as it is where it is none."""
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body
