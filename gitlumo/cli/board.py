"""``git lumo board``: the runs in a browser, live."""

from __future__ import annotations

import argparse
import threading
from typing import Any

from gitlumo.cli.opening import natural, open_here


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("expr", nargs="*", metavar="EXPR", help="which runs, such as 'lr < 0.1 and state = finished'")
    parser.add_argument("--port", type=natural, metavar="P", help="where to listen on 127.0.0.1; 0: any free port")
    parser.add_argument("--no-open", action="store_true", help="open no browser; the address is printed in any case")


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    from gitlumo.board.firstpage import first, title_of
    from gitlumo.board.serving import Server

    opened = open_here()
    query = " and ".join(f"({text})" if len(args.expr) > 1 else text for text in args.expr)

    def build() -> Any:
        from gitlumo.board.app.application import application
        from gitlumo.board.live import Source

        source = Source(opened)
        threading.Thread(target=source.follow, name="gitlumo board: poll", daemon=True).start()
        return application(source, title_of(opened))

    server = Server(opened.lumo_dir, lambda text: first(opened, text), build, query=query, port=args.port)
    print(server.url, flush=True)
    server.run(show=not args.no_open)
    return 0
