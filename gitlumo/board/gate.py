"""Who may ask the board: whoever has the token, from this machine, from the board's own pages."""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlencode

from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.routing import Router
from tornado.web import Application, RequestHandler

TOKEN_FILE = "board-token"
_DAYS = 30  # that a browser keeps the cookie
_COMING = frozenset({"same-origin", "none", ""})  # Sec-Fetch-Site of what our own pages, or nobody's, ask for


def token_of(lumo_dir: str) -> str:
    """The token of a repository's boards: the same each time, so that bookmarks and open pages outlive a restart.

    Where it cannot be kept, or others can read it, it is a new one.
    """
    path = os.path.join(lumo_dir, TOKEN_FILE)
    fresh = secrets.token_hex(24)
    with contextlib.suppress(OSError):
        try:
            there = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        except FileNotFoundError:
            os.makedirs(lumo_dir, exist_ok=True)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
                out.write(fresh)
            return fresh
        with open(there, encoding="ascii", errors="replace") as source:
            found = os.fstat(there)
            text = source.read(100).strip()
        if found.st_uid == os.geteuid() and not found.st_mode & 0o077 and len(text) == len(fresh):
            return text
    return fresh


class Gate(Router):
    """Looks at each request before any handler does.

    - Host must be this server's own name: a page that has made a name of its own lead to 127.0.0.1 gets nothing.
    - The token comes once, in the URL; then a cookie has it. It bears the port, which cookies do not tell apart.
    - Origin must be our own where a browser says one (websockets always), and so must Sec-Fetch-Site.

    Attributes:
        within: What answers those who may ask.
    """

    def __init__(self, within: Router, token: str, port: int):
        self.within = within
        self._token = token
        self._cookie = f"gitlumo-board-{port}"
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")} | (
            {"127.0.0.1", "localhost"} if port == 80 else set()
        )
        self._refusing = Application()

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> HTTPMessageDelegate | None:
        """See :class:`tornado.routing.Router`."""
        why = self._refusal(request)
        if why is not None:
            return self._refusing.get_handler_delegate(request, _Refused, {"status": why[0], "why": why[1]})
        token = request.query_arguments.get("token")
        if request.path == "/" and token:
            kept = [pair for pair in parse_qsl(request.query, keep_blank_values=True) if pair[0] != "token"]
            let_in = {"cookie": self._cookie, "token": self._token, "to": f"/?{urlencode(kept)}" if kept else "/"}
            return self._refusing.get_handler_delegate(request, _LetIn, let_in)
        return self.within.find_handler(request, **kwargs)

    def _refusal(self, request: HTTPServerRequest) -> tuple[HTTPStatus, str] | None:
        if request.host.lower() not in self._hosts:
            return HTTPStatus.FORBIDDEN, "this board answers to 127.0.0.1 only"
        if request.method not in ("GET", "HEAD"):
            return HTTPStatus.METHOD_NOT_ALLOWED, "a board is only read by HTTP; edits come by its websocket"
        origin = request.headers.get("Origin")
        upgrades = request.headers.get("Upgrade", "").lower() == "websocket"
        if (origin or upgrades) and origin not in {f"http://{host}" for host in self._hosts}:
            return HTTPStatus.FORBIDDEN, "this was asked by a page of another origin"
        if request.path != "/" and request.headers.get("Sec-Fetch-Site", "") not in _COMING:
            return HTTPStatus.FORBIDDEN, "this was asked by a page of another site"
        given = request.query_arguments.get("token", [b""])[-1] if request.path == "/" else b""
        cookie = request.cookies.get(self._cookie)
        shown = given or (cookie.value.encode() if cookie else b"")
        if not hmac.compare_digest(shown, self._token.encode()):
            return HTTPStatus.FORBIDDEN, "open the address that 'git lumo board' has printed: it has the token in it"
        return None


class _Refused(RequestHandler):
    """Says no, and why."""

    def initialize(self, status: HTTPStatus, why: str) -> None:
        self._status, self._why = status, why

    def prepare(self) -> None:
        self.set_status(self._status)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(f"{self._status.value} {self._status.phrase}: {self._why}\n")


class _LetIn(RequestHandler):
    """Keeps the token in a cookie, and takes it out of the address."""

    def initialize(self, cookie: str, token: str, to: str) -> None:
        self._pair, self._to = (cookie, token), to

    def get(self) -> None:
        self.set_cookie(*self._pair, httponly=True, samesite="Lax", path="/", expires_days=_DAYS)
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "no-referrer")
        self.redirect(self._to)
