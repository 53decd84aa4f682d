"""What GitHub refuses, and in which words we say so: why, and what to type next."""

from __future__ import annotations

import time
from typing import Any, Protocol

from gitlumo.backup.address import Address
from gitlumo.errors import RemoteError

SECONDARY = 60  # seconds to wait at a secondary limit that does not say how long
AGAIN = "\nthe same command again goes on where this one stopped"
_GATEWAY = frozenset({500, 502, 503, 504})


class Refused(RemoteError):
    """GitHub did not do it, and would not do it again."""


class Barred(Refused):
    """GitHub would do nothing else either: it does not take the token, or the repository has no issues."""


class Gone(Refused):
    """What was asked for is not there, or not any more."""


class Transferred(Gone):
    """An issue is in another repository now."""


class Unanswered(RemoteError):
    """Nobody knows whether GitHub has done it."""


class Waited(RemoteError):
    """GitHub did not do it, as it was asked too often; now it may be asked again."""


class Answer(Protocol):
    """An answer that says no; PyGithub's exceptions are some."""

    @property
    def status(self) -> int:
        """HTTP's."""

    @property
    def data(self) -> Any:
        """The body, from JSON."""

    @property
    def headers(self) -> dict[str, str] | None:
        """Those of the answer."""


def refusal(answer: Answer, what: str, where: Address) -> RemoteError:
    """What to raise.

    Args:
        answer: The answer.
        what: What was asked for, after "could not".
        where: Of whom.
    """
    said, status = message(answer), answer.status
    if status in _GATEWAY:
        return Unanswered(f"{where.host} has trouble of its own ({status}) and may not have done it: {what}{AGAIN}")
    if status == 401:
        again = "is it complete, and not expired?  export GITHUB_TOKEN=..."
        return Barred(f"{where.host} does not take the token: {said}\n{again}")
    if status == 403 and "locked" not in said.lower():
        return Barred(f"the token may not {what} in {where.repo}: {said}\n{_scopes(answer)}")
    if status == 410 and "disabled" in said.lower():
        return Barred(no_issues(where))
    if status in (404, 410):
        return Gone(f"{where.host} has no such thing, or the token may not see it; could not {what}: {said}")
    if status == 422:
        return Refused(f"{where.host} could not {what}: {said}")
    return Refused(f"{where.host} could not {what}: {status} {said}")


def no_issues(where: Address) -> str:
    """What to say where a repository has no issues."""
    return (
        f"{where.repo} has no issues: they are switched off\n"
        f"switch them on at {where.web}/settings, or name another repository:  --repo OWNER/NAME"
    )


def message(answer: Answer) -> str:
    """GitHub's own words."""
    data = answer.data if isinstance(answer.data, dict) else {}
    listed = [each for each in data.get("errors") or () if isinstance(each, dict)]
    details = [str(each.get("message") or f"{each.get('field')} {each.get('code')}") for each in listed]
    said = str(data.get("message") or "no reason given")
    return f"{said} ({'; '.join(details)})" if details else said


def pause(answer: Answer) -> float | None:
    """For how many seconds an answer asks for a pause; None: it is no such answer."""
    if answer.status not in (403, 429):
        return None
    headers = _headers(answer)
    if headers.get("retry-after", "").isdigit():
        return float(headers["retry-after"])
    if headers.get("x-ratelimit-remaining") == "0" and headers.get("x-ratelimit-reset", "").isdigit():
        return max(0.0, int(headers["x-ratelimit-reset"]) - time.time()) + 1
    is_limit = answer.status == 429 or "rate limit" in message(answer).lower()
    return SECONDARY if is_limit else None


def _scopes(answer: Answer) -> str:
    headers = _headers(answer)
    wanted, there = headers.get("x-accepted-oauth-scopes"), headers.get("x-oauth-scopes")
    if wanted and there is not None:
        return f"it has the scopes: {there or 'none'}; this needs one of: {wanted}"
    return "a fine-grained token needs the permission 'Issues: write' for it, a classic one the scope 'repo'"


def _headers(answer: Answer) -> dict[str, str]:
    return {name.lower(): value for name, value in (answer.headers or {}).items()}
