"""Sessions of the board in bokeh's server: one for each page that is open. Imported when panel is."""

from __future__ import annotations

import secrets
from typing import Any

from bokeh.application import Application
from bokeh.server.tornado import BokehTornado
from bokeh.server.views.session_handler import SessionHandler
from tornado.httputil import HTTPServerRequest
from tornado.ioloop import IOLoop

from gitlumo.board.app.application import APP


class Opener:
    """Opens sessions.

    Attributes:
        router: What answers for ``/app/ws``.
    """

    def __init__(self, router: BokehTornado):
        self.router = router

    async def open(self, request: HTTPServerRequest) -> dict[str, Any]:
        """A new session: ``token`` and ``root_ids``, for ``Bokeh.embed.embed_items``."""
        context = self.router._applications[APP]
        handler = SessionHandler(self.router, request, application_context=context, bokeh_websocket_path=f"{APP}/ws")
        session = await handler.get_session()
        return {"token": session.token, "root_ids": [root.id for root in session.document.roots]}


def install(application: Application, loop: IOLoop, host: str) -> Opener:
    """Put an application into a server.

    Args:
        application: What is opened.
        loop: Where it runs.
        host: ``127.0.0.1:PORT``.
    """
    name, _, port = host.partition(":")
    origins = [f"{name}:{port}", f"localhost:{port}"]
    router = BokehTornado(
        {APP: application},
        extra_websocket_origins=origins,
        secret_key=secrets.token_bytes(32),
        sign_sessions=True,
        use_index=False,
        include_headers=[],
        include_cookies=[],
    )
    router.initialize(io_loop=loop)
    router.start()
    return Opener(router)
