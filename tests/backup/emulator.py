"""GitHub as a program on loopback: npm ``emulate``, which ``tests/backup/install`` puts into ``.venv/github``.

What it does as GitHub does: issues, labels, comments, milestones and assignees are created, listed, edited, deleted;
closing (``state_reason``), locking, timeline; ``state``, ``labels`` (all of them), ``since``, ``sort``, ``direction``,
``page`` and ``per_page`` (at most 100) with Link headers; ``/search/issues`` without any lag; labels that an issue
names are made; repositories are created, renamed and transferred.

What it does not: ETags and 304, redirects of what was renamed or transferred, deleting an issue, limits of length, 410,
secondary rate limits, scopes; any token is ada's, but grace's. Those the proxy plays. And it differs: labels are told
apart by case (to GitHub they are one), times have milliseconds, issues made in one millisecond are listed in that order
whatever ``direction`` says, a 422 has no ``errors``.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.share.servers import free_port

FOLDER = Path(__file__).parents[2] / ".venv/github"
OWNER, OTHER = "ada", "grace"
OTHERS_TOKEN = "ghp_" + "g" * 36
SEED = {
    "tokens": {OTHERS_TOKEN: {"login": OTHER, "scopes": ["repo"]}},
    "github": {
        "users": [{"login": OWNER}, {"login": OTHER}],
        "orgs": [{"login": "lab", "members": [{"login": OWNER, "role": "admin"}]}],
    },
}


def installed() -> Path:
    """Where ``tests/backup/install`` has put npm's packages; skips where it could not."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    if not (FOLDER / "whole").exists():
        pytest.skip("npm's packages are not there: sh tests/backup/install")
    return FOLDER


@contextlib.contextmanager
def running(base_url: str, folder: Path) -> Iterator[int]:
    """Start it; yields its port.

    Args:
        base_url: What it calls itself in the addresses that it answers with.
        folder: Where its files may lie.
    """
    programs = installed() / "node_modules"
    seed = folder / "seed.json"
    seed.write_text(json.dumps(SEED))
    port = free_port()
    command = [
        programs / ".bin/node",
        programs / "emulate/dist/index.js",
        "start",
        "--service",
        "github",
    ]
    command += ["--port", str(port), "--seed", seed, "--base-url", base_url]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process,
    ):
        try:
            _wait_for(port, process, folder / "log")
            yield port
        finally:
            process.kill()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"GitHub's emulator did not start: {log.read_text()}")
