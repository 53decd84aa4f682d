"""What tests of live sharing need: to wait for other processes, and a server that never answers."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path


def until(true: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Wait for what happens in another process."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.02)


def states(ok, path: Path) -> dict[str, str]:
    return {run["test_name"]: run["state"] for run in runs(ok, path)}


def runs(ok, path: Path) -> list[dict]:
    return json.loads(ok(path, "log", "--json"))


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """The address of a repository on a server that takes connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    held.append(server.accept()[0])

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/x.git"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in held:
                connection.close()


def pushers(repo: Path) -> list[str]:
    """The processes that push a repository's runs: ours, and git's."""
    out = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True).stdout
    lines = (line for line in out.splitlines() if f"{repo}/.git" in line)
    return [line for line in lines if "gitlumo.share.live" in line or " push " in line]
