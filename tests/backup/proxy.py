"""What stands between the tests and the emulator, and plays what GitHub does and the emulator does not.

`GitHub` records every request, plays faults, checks each request against GitHub's description, and knows the token, the
limits of length and of rate, ETags, and what was renamed, transferred or deleted.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import http.server
import itertools
import json
import re
import socket
import struct
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.backup import faults
from tests.backup.faults import Answer, Cut, Fault, Request
from tests.share.servers import served

TOKEN = "ghp_" + "a" * 36
ENTERPRISE = "/api/v3"  # a prefix under which it answers, too
# (which requests, their field, the resource in the error, GitHub's longest)
LENGTHS = (
    (r"/issues(/\d+)?", "body", "Issue", 65536),
    (r"/issues(/\d+)?", "title", "Issue", 256),
    (r"/issues/\d+/comments|/issues/comments/\d+", "body", "IssueComment", 65536),
    (r"/labels(/.+)?", "name", "Label", 50),
    (r"/labels(/.+)?", "description", "Label", 100),
)


@dataclass
class _Late:
    request: Request
    forward: faults.Forward
    left: int


class GitHub(http.server.ThreadingHTTPServer):
    """GitHub, as far as a client can tell; `fresh` before each test.

    Attributes:
        url: The API's base, for PyGithub's ``base_url``; ``enterprise_url`` is another one.
        repo: ``OWNER/NAME`` of an empty repository.
        requests: What was asked so far.
        violations: In what a request was not as GitHub describes it.
        crlf: Whether the bodies of issues and comments come with CRLF line ends, as GitHub's editor writes them.
        remaining: How many requests are left until `reset`, in seconds since the epoch; each counts.
        check: Says in what a request is wrong.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.enterprise_url = self.url + ENTERPRISE
        self.emulator = 0
        self.check: Callable[[Request], Iterable[str]] = lambda request: ()
        self._lock = threading.Condition(threading.RLock())
        self._serving = 0
        self._count = 0
        self._emulated = itertools.count()

    def fresh(self) -> None:
        """Forget all, begin with an empty repository."""
        self._count += 1
        self._names: dict[int, str] = {}
        self._renamed: dict[str, int] = {}
        self._elsewhere: dict[tuple[str, int], Answer] = {}  # issues that were deleted or transferred
        self._duplicates: set[tuple[str, int]] = set()  # a reason to close that the emulator does not know
        self._plays: list[dict[str, Any]] = []
        self._held: list[_Late] = []
        self.requests: list[Request] = []
        self.violations: list[str] = []
        self.crlf = False
        self.limit, self.remaining, self.reset = 5000, 5000, int(time.time()) + 3600
        self.repo = self.create_repository()

    # What tests do to it

    def play(self, fault: Fault, *, at: int = 1, when: Callable[[Request], bool] | None = None, times: int = 1) -> None:
        """Play a fault at the ``at``-th request of those ``when`` holds for, and at later ones, ``times`` in all."""
        self._plays.append(
            {"fault": fault, "when": when or (lambda request: True), "wait": at - 1, "times": times, "of": times}
        )

    @property
    def met(self) -> bool:
        """Whether a fault has been played."""
        return any(play["wait"] == 0 and play["times"] < play["of"] for play in self._plays)

    def well(self) -> None:
        """Nothing more is played, and what a client that is gone has asked for is done."""
        self._plays.clear()
        with self._lock:
            self._lock.wait_for(lambda: self._serving == 0, timeout=10)

    def late(self, after: int = 1) -> Fault:
        """A fault: the connection is cut at once; GitHub does what was asked after ``after`` more requests."""

        def fault(request: Request, forward: faults.Forward) -> Answer:
            self._held.append(_Late(request, forward, after))
            raise Cut

        return fault

    def land(self) -> None:
        """Let all that is `late` happen now."""
        self._land(max((late.left for late in self._held), default=0))

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        """Ask the emulator past all of this, as ada or with another token; returns JSON."""
        answer = self._emulate(method, path, body, token)
        assert answer.status < 400, (method, path, answer)
        return answer.body

    def create_repository(self, **settings: Any) -> str:
        name = f"digits-{self._count}-{len(self._names)}"
        made = self.ask("POST", "/user/repos", {"name": name, **settings})
        self._names[made["id"]] = made["full_name"]
        return made["full_name"]

    def issues(self, repo: str | None = None) -> list[dict[str, Any]]:
        """All issues of a repository that are there, the oldest first."""
        found: list[dict[str, Any]] = []
        path = f"/repos/{repo or self.repo}/issues?state=all&direction=asc&per_page=100&page="
        while len(page := self.ask("GET", path + str(len(found) // 100 + 1))) == 100:
            found += page
        return self._known(found + page)

    def comments(self, number: int, repo: str | None = None) -> list[dict[str, Any]]:
        return self.ask("GET", f"/repos/{repo or self.repo}/issues/{number}/comments?per_page=100")

    def edit(self, number: int, **changes: Any) -> None:
        """Somebody changes an issue."""
        self.ask("PATCH", f"/repos/{self.repo}/issues/{number}", changes)

    def delete_issue(self, number: int) -> None:
        self._elsewhere[self.repo, number] = faults.deleted(*_NOTHING)

    def transfer_issue(self, number: int, repo: str) -> int:
        """Somebody moves an issue to another repository; returns its number there."""
        issue = self.ask("GET", f"/repos/{self.repo}/issues/{number}")
        moved = self.ask("POST", f"/repos/{repo}/issues", {key: issue[key] for key in ("title", "body")})
        for comment in self.comments(number):
            self.ask("POST", f"/repos/{repo}/issues/{moved['number']}/comments", {"body": comment["body"]})
        there = next(number for number, name in self._names.items() if name == repo)
        self._elsewhere[self.repo, number] = Answer(
            301, headers={"Location": f"/repositories/{there}/issues/{moved['number']}"}
        )
        return int(moved["number"])

    def rename_repository(self) -> str:
        """Somebody gives the repository another name, which is returned; the old one leads there."""
        old = self.repo
        made = self.ask("PATCH", f"/repos/{old}", {"name": old.split("/")[1] + "-renamed"})
        self._renamed[old] = made["id"]
        self._names[made["id"]] = self.repo = made["full_name"]
        return self.repo

    # How it answers

    def serve(self, request: Request) -> Answer:
        """Record a request, play what is due, and let GitHub answer."""
        with self._lock:
            self._serving += 1
        try:
            return self._serve(request)
        finally:
            with self._lock:
                self._serving -= 1
                self._lock.notify_all()

    def _serve(self, request: Request) -> Answer:
        name, rest = self.place(request.path)
        request.place = f"/repos/{name}{rest}" if name else request.path
        with self._lock:
            self.requests.append(request)
            self.violations += [f"{request}: {why}" for why in self.check(request)]
            fault = self._due(request)

        def forward() -> Answer:
            request.reached = True
            return self._github(request)

        try:
            answer = fault(request, forward) if fault else forward()
        finally:
            self._land(1, but=request)
        if self.crlf and answer.body is not None:
            _with_crlf(answer.body)
        return answer

    def limits(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(self.remaining, 0)),
            "X-RateLimit-Used": str(self.limit - self.remaining),
            "X-RateLimit-Reset": str(self.reset),
            "X-RateLimit-Resource": "core",
            "X-OAuth-Scopes": "repo",
        }

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no matter."""

    def _due(self, request: Request) -> Fault | None:
        for play in self._plays:
            if play["times"] > 0 and play["when"](request):
                if play["wait"] == 0:
                    play["times"] -= 1
                    return play["fault"]
                play["wait"] -= 1
        return None

    def _land(self, steps: int, but: Request | None = None) -> None:
        with self._lock:
            for late in self._held:
                late.left -= steps if late.request is not but else 0
            due = [late for late in self._held if late.left <= 0]
            self._held = [late for late in self._held if late.left > 0]
        for late in due:
            late.forward()

    def _github(self, request: Request) -> Answer:
        if request.headers.get("authorization", "").removeprefix("token ").removeprefix("Bearer ") != TOKEN:
            return faults.bad_credentials(*_NOTHING)
        if request.path == "/rate_limit":
            core = {
                "limit": self.limit,
                "remaining": self.remaining,
                "reset": self.reset,
                "used": self.limit - self.remaining,
            }
            return Answer(200, {"resources": {"core": core, "search": core}, "rate": core})
        if self.remaining <= 0:
            if time.time() < self.reset:
                return faults.primary_limit(self.reset - int(time.time()))(*_NOTHING)
            self.remaining, self.reset = self.limit, int(time.time()) + 3600
        self.remaining -= 1
        name, rest = self.place(request.path)
        refused = self._moved(request, name, rest) or _too_long(request, rest)
        if refused is not None:
            return refused
        query = f"?{urllib.parse.urlencode(request.query)}" if request.query else ""
        answer = self._emulate(request.method, request.place + query, request.body)
        if answer.status == 422 and (request.method, rest) == ("POST", "/labels"):
            return faults.invalid("Label", "name", "", "already_exists")(*_NOTHING)
        if request.method == "PATCH" and answer.status == 200 and "state_reason" in request.body:
            place = (name, answer.body.get("number"))
            (self._duplicates.add if request.body["state_reason"] == "duplicate" else self._duplicates.discard)(place)
        if re.fullmatch(r"/issues(/\d+)?", rest) and answer.status < 300:
            several = isinstance(answer.body, list)
            known = self._known(answer.body if several else [answer.body])
            answer.body = known if several else known[0]
        if request.method == "GET" and answer.status == 200:
            answer.headers["ETag"] = f'W/"{hashlib.sha256(json.dumps(answer.body).encode()).hexdigest()}"'
            if request.headers.get("if-none-match") == answer.headers["ETag"]:
                self.remaining += 1
                return Answer(304, headers=answer.headers)
        return answer

    def place(self, path: str) -> tuple[str, str]:
        """``OWNER/NAME`` of the repository that a path is in, and its rest; both are empty where it is in none."""
        found = re.fullmatch(r"/(?:repos/([^/]+/[^/]+)|repositories/(\d+))(/.*)?", path)
        if found is None:
            return "", ""
        return found[1] or self._names.get(int(found[2]), "gone/gone"), found[3] or ""

    def _moved(self, request: Request, name: str, rest: str) -> Answer | None:
        to = None
        if name in self._renamed:
            to = f"/repositories/{self._renamed[name]}{rest}"
        elif issue := re.match(r"/issues/(\d+)", rest):
            found = self._elsewhere.get((name, int(issue[1])))
            if found is None or found.status != 301:
                return found
            to = found.headers["Location"] + rest[issue.end() :]
        if to is None:
            return None
        to = self.url + to + (f"?{urllib.parse.urlencode(request.query)}" if request.query else "")
        status = 301 if request.method == "GET" else 307
        return faults.says(status, "Moved Permanently", headers={"Location": to}, url=to)(*_NOTHING)

    def _known(self, issues: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those that are still there, as GitHub shows them."""
        places = [(one["repository_url"].split("/repos/")[1], one["number"]) for one in issues]
        for one, place in zip(issues, places, strict=True):
            if place in self._duplicates and one["state"] == "closed":
                one["state_reason"] = "duplicate"
        return [one for one, place in zip(issues, places, strict=True) if place not in self._elsewhere]

    def _emulate(self, method: str, path: str, body: Any, token: str | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.emulator, timeout=60)
        with contextlib.closing(connection):
            token = token or f"test-{next(self._emulated) // 1000}"  # it takes any, and 5,000 requests of each
            headers = {"Authorization": f"token {token}", "Host": f"127.0.0.1:{self.server_port}"}
            sent = None if body is None else json.dumps(body).encode()
            connection.request(method, path, sent, headers | ({"Content-Type": "application/json"} if sent else {}))
            with connection.getresponse() as response:
                link = response.headers.get("Link")
                return Answer(response.status, faults.as_json(response.read()), {"Link": link} if link else {})


_NOTHING: tuple[Any, Any] = (None, None)


def _too_long(request: Request, rest: str) -> Answer | None:
    if request.method in ("POST", "PATCH") and isinstance(request.body, dict):
        for where, field, resource, longest in LENGTHS:
            if re.fullmatch(where, rest) and len(str(request.body.get(field) or "")) > longest:
                said = f"{field} is too long (maximum is {longest} characters)"
                return faults.invalid(resource, field, said)(*_NOTHING)
    return None


def _with_crlf(value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _with_crlf(item)
    elif isinstance(value, dict) and isinstance(value.get("body"), str):
        value["body"] = re.sub("\r?\n", "\r\n", value["body"])


class _Handler(http.server.BaseHTTPRequestHandler):
    server: GitHub
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body in one packet

    def log_message(self, format: str, *args: object) -> None: ...

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = Request(
            self.command,
            path.removeprefix(ENTERPRISE),
            dict(urllib.parse.parse_qsl(query)),
            {name.lower(): value for name, value in self.headers.items()},
            faults.as_json(body),
            connection=self.connection,
        )
        try:
            answer = self.server.serve(request)
        except Cut as cut:
            if cut.answer is not None:
                self._send(cut.answer, half=True)
            self._hang_up(cut.reset)
        else:
            request.status, request.answer = answer.status, answer.body
            self._send(answer)

    do_POST = do_PATCH = do_PUT = do_DELETE = do_GET

    def _send(self, answer: Answer, half: bool = False) -> None:
        body = (
            answer.body
            if isinstance(answer.body, bytes)
            else b""
            if answer.body is None
            else json.dumps(answer.body).encode()
        )
        headers = {"Content-Type": "application/json; charset=utf-8", **self.server.limits(), **answer.headers}
        if self.path.startswith(ENTERPRISE):
            body = self._as_enterprise(body.decode()).encode()
            headers = {name: self._as_enterprise(value) for name, value in headers.items()}
        self.send_response(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if half else body)

    def _as_enterprise(self, text: str) -> str:
        return re.sub(f"{self.server.url}(?=/(repos|repositories|users?|search)\\b)", self.server.enterprise_url, text)

    def _hang_up(self, reset: bool) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.flush()
            if reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                self.connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def serving() -> Iterator[GitHub]:
    """A proxy that listens; `GitHub.emulator` is still to be set."""
    with GitHub() as server, served(server):
        yield server
