"""The board's server: on this machine only, the first rows at once, panel behind them as soon as it is imported."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tornado import netutil, template
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.routing import Router
from tornado.web import Application, RequestHandler, StaticFileHandler
from tornado.websocket import WebSocketClosedError

from gitlumo.board import gate, looks
from gitlumo.board.firstpage import First, first, title_of
from gitlumo.board.looks import WEB
from gitlumo.errors import LumoError, UsageError, in_words
from gitlumo.home import Home

if TYPE_CHECKING:
    import pandas

ADDRESS = "127.0.0.1"
PORT = 5866  # L U M O on a telephone
MAX_PORT = 65535
_HEAD_START = 0.3  # seconds that the first page has before panel is imported, which would slow it down
_TRIED = 20  # ports from that one on, where none is asked for
_BOKEH = ("bokeh.min.js", "bokeh-gl.min.js", "bokeh-widgets.min.js", "bokeh-tables.min.js")
_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}' 'strict-dynamic'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self'; connect-src 'self' ws://{host}; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
Image = Callable[[str, str], tuple[bytes, str] | None]
"""Gives an image of a run, by uid and path: its bytes and its type; None: there is none."""

Build = Callable[[], tuple[Any, Image]]
"""Imports what is slow, in a thread; gives an application of bokeh's, and what gives images."""


class Server:
    """A board that is served.

    Attributes:
        url: Its address, with the token.
        port: Where it listens.
        has_shown: Whether a page was given out.
    """

    def __init__(
        self,
        lumo_dir: str,
        look: Callable[[str], First],
        build: Build,
        *,
        looks_at: Sequence[tuple[str, str]] = (),
        port: int | None = None,
    ):
        """Listen.

        Args:
            lumo_dir: Where the token is kept.
            look: Gives the first page for an expression.
            build: See :data:`Build`.
            looks_at: What the address says besides the token; see :class:`gitlumo.board.app.view.View`.
            port: Where to listen; None: :data:`PORT`, or the next one that is free; 0: any.

        Raises:
            UsageError: If that is no port.
            LumoError: If the port is in use, or may not be used.
        """
        self._sockets = _bound(port)
        self.port: int = self._sockets[0].getsockname()[1]
        self._token = gate.token_of(lumo_dir)
        self.url = f"http://{ADDRESS}:{self.port}/?{urlencode([('token', self._token), *looks_at])}"
        self._look, self._build = look, build
        self._failed = ""
        self.image: Image = lambda uid, path: None
        self._ready = asyncio.Event()
        self.has_shown = threading.Event()
        self._gate = gate.Gate(self._front(), self._token, self.port)

    def _front(self) -> Application:
        """What answers before panel is there."""
        bokeh, panel = (os.path.dirname(_spec(name)) for name in ("bokeh", "panel"))
        return Application(
            [
                (r"/", _Page, {"server": self}),
                (r"/ready", _Ready, {"server": self}),
                (r"/open", _Open, {"server": self}),
                (r"/colours.css", _Colours, {"server": self}),
                (r"/image/([0-9a-f]+)/(.+)", _Image, {"server": self}),
                (r"/web/(.*)", StaticFileHandler, {"path": WEB}),
                (r"/static/extensions/panel/(.*)", StaticFileHandler, {"path": os.path.join(panel, "dist")}),
                (r"/static/(.*)", StaticFileHandler, {"path": os.path.join(bokeh, "server", "static")}),
            ]
        )

    def run(self, *, show: bool = True) -> None:
        """Serve until Ctrl-C; ``show``: open a browser."""
        asyncio.run(self._run(show))

    async def _run(self, show: bool) -> None:
        _be_quiet(asyncio.get_running_loop())
        server = HTTPServer(self._gate)
        server.add_sockets(self._sockets)
        self._loop = IOLoop.current()
        threading.Thread(target=self._prepare, name="gitlumo board", daemon=True).start()
        if show:
            with contextlib.suppress(webbrowser.Error):
                threading.Thread(target=webbrowser.open, args=(self.url,), daemon=True).start()
        await asyncio.Event().wait()

    def _prepare(self) -> None:
        self.has_shown.wait(_HEAD_START)
        try:
            application, self.image = self._build()
            self._loop.add_callback(self._install, application)
        except Exception as error:
            self._loop.add_callback(self._fail, in_words(error))

    def _fail(self, said: str) -> None:
        self._failed = said
        self._ready.set()

    def _install(self, application: Any) -> None:
        from gitlumo.board.app.sessions import install

        self.opener = install(application, self._loop, f"{ADDRESS}:{self.port}")
        self._gate.within = _Both(self._gate.within, self.opener.router)
        self._ready.set()

    async def ready(self) -> str:
        """Wait until panel is there; why it will never be, else nothing."""
        await self._ready.wait()
        return self._failed


def serve(
    home: Home,
    looks_at: Sequence[tuple[str, str]] = (),
    *,
    port: int | None = None,
    show: bool = True,
    said: Callable[[str], None],
    frame: pandas.DataFrame | None = None,
    widgets: Sequence[Callable[[Any], Any]] = (),
) -> None:
    """Serve a repository's board until Ctrl-C.

    Args:
        home: The repository.
        looks_at: See :class:`Server`.
        port: See :class:`Server`.
        show: Whether to open a browser.
        said: Told the address, as soon as it answers.
        frame: Which runs; None: all.
        widgets: Functions from the frame that is looked at to what panel can show.

    Raises:
        LumoError: If it cannot listen.
    """
    front = Home(home.repository.again(), home.settings)  # an engine is not shared by threads at once
    alone = threading.Lock()

    def build() -> tuple[Any, Image]:
        from gitlumo.board.app.application import live

        return live(home, frame, widgets)

    def look(query: str) -> First:
        if frame is not None:
            return First(title_of(home), query, empty="")
        with alone:
            return first(front, query)

    server = Server(home.lumo_dir, look, build, looks_at=looks_at, port=port)
    said(server.url)
    server.run(show=show)


class _Both(Router):
    """Asks one router for the board's connection, another one for the rest."""

    def __init__(self, front: Router, app: Router):
        self._front, self._app = front, app

    def find_handler(self, request: Any, **kwargs: Any) -> Any:
        within = self._app if request.path == "/app/ws" else self._front
        return within.find_handler(request, **kwargs)


class _Asked(RequestHandler):
    """What is answered to our own pages."""

    def initialize(self, server: Server) -> None:
        self.server = server

    def set_default_headers(self) -> None:
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")


class _Page(_Asked):
    """The page, with the first rows."""

    async def get(self) -> None:
        query = self.get_query_argument("q", "")
        try:
            seen = await asyncio.to_thread(self.server._look, query)
        except LumoError as error:
            seen = First("gitlumo", query, error=str(error), empty="the runs cannot be read")
        nonce = secrets.token_urlsafe(16)
        self.set_header("Content-Security-Policy", _POLICY.format(nonce=nonce, host=self.request.host))
        shown = {name: getattr(seen, name) for name in First.__dataclass_fields__} | {"width": seen.width}
        self.finish(_pages().load("page.html").generate(nonce=nonce, scripts=scripts(), **shown))
        self.server.has_shown.set()


class _Colours(_Asked):
    """The colours, those of runs among them."""

    def get(self) -> None:
        self.set_header("Content-Type", "text/css; charset=utf-8")
        self.finish(looks.colours_sheet())


class _Image(_Asked):
    """An image of a run; whatever it is, a browser takes it for nothing else."""

    async def get(self, uid: str, path: str) -> None:
        found = await asyncio.to_thread(self.server.image, uid, path)
        if found is None:
            self.send_error(404)
            return
        data, kind = found
        self.set_header("Content-Type", kind)
        self.set_header("Content-Security-Policy", "default-src 'none'; sandbox")
        self.finish(data)


class _Ready(_Asked):
    """Whether the server is there."""

    async def get(self) -> None:
        self.finish({"ready": self.server._ready.is_set()})


class _Open(_Asked):
    """A session of the board for a page."""

    async def get(self) -> None:
        failed = await self.server.ready()
        if failed:
            self.set_status(503)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(failed)
            return
        self.finish(await self.server.opener.open(self.request))


def _be_quiet(loop: asyncio.AbstractEventLoop) -> None:
    """A page that was closed while something was sent to it is no error, and a refused request is not our user's."""

    def failed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), WebSocketClosedError):
            loop.default_exception_handler(context)

    loop.set_exception_handler(failed)
    for name in ("bokeh.server.views.ws", "tornado.access"):
        logging.getLogger(name).setLevel(logging.ERROR)


def scripts() -> list[str]:
    """The scripts that the board needs, in order: a browser fetches them while the server imports panel."""
    dist = os.path.join(os.path.dirname(_spec("panel")), "dist", "bundled")
    found = []
    for folder, file in (
        ("reactiveesm", "es-module-shims.min.js"),
        ("datatabulator", "tabulator.min.js"),
        ("datatabulator", "luxon.min.js"),
    ):
        for where, _, names in os.walk(os.path.join(dist, folder)):
            if file in names:
                path = os.path.relpath(os.path.join(where, file), dist).replace(os.sep, "/")
                found.append(f"/static/extensions/panel/bundled/{path}")
    bokeh = [f"/static/js/{name}" for name in _BOKEH]
    return [*found, *bokeh, "/static/extensions/panel/panel.min.js", "/web/table.js"]


def _pages() -> template.Loader:
    return template.Loader(WEB, autoescape="xhtml_escape")


def _spec(name: str) -> str:
    """Where a package is, without importing it."""
    found = importlib.util.find_spec(name)
    assert found is not None, name  # see gitlumo.board.showing.check_installed
    return str(found.origin)


def _bound(port: int | None) -> list[socket.socket]:
    if port is not None and not (isinstance(port, int) and 0 <= port <= MAX_PORT):
        raise UsageError(f"a port is 0 to {MAX_PORT}, not {port!r}")
    ports = range(PORT, PORT + _TRIED) if port is None else (port,)
    for each in ports:
        try:
            return netutil.bind_sockets(each, ADDRESS, family=socket.AF_INET, reuse_port=False)
        except PermissionError:
            raise LumoError(f"port {each} may not be used by you; another one: git lumo board --port 8000") from None
        except OSError as error:
            last = error
    if port is None:
        raise LumoError(
            f"the ports {ports[0]} to {ports[-1]} are in use\ntype: git lumo board --port 0 for any free one"
        )
    raise LumoError(f"port {port} cannot be used: {last.strerror}\nleave out --port for the next one that is free")
