"""GitHub, and runs to be put into files, for the tests of backups."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gitlumo.backup import api, issues
from tests.backup import archives, backups, emulator, openapi, proxy


@pytest.fixture(scope="session")
def github_server(sealed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[proxy.GitHub]:
    with proxy.serving() as server, emulator.running(server.url, tmp_path_factory.mktemp("github")) as port:
        server.emulator = port
        server.check = openapi.checker()
        yield server


@pytest.fixture
def github(github_server: proxy.GitHub) -> Iterator[proxy.GitHub]:
    """GitHub with an empty repository, ``github.repo``; see `tests.backup.proxy.GitHub` and `tests.backup.emulator`."""
    github_server.fresh()
    yield github_server
    assert not github_server.violations, "requests that GitHub does not describe"


@pytest.fixture
def project(github: proxy.GitHub, repo: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose runs are backed up to ``github``, which is asked again at once; the test stands in it."""
    backups.connect(github)
    monkeypatch.setenv("GITHUB_TOKEN", proxy.TOKEN)
    for module in (api, issues):
        monkeypatch.setattr(module, "PAUSE", 0.01)
    return repo


@pytest.fixture
def runs(repo: Path) -> list[Any]:
    """Three runs, see `tests.backup.archives.three`."""
    return archives.three(repo / "train.py")


@pytest.fixture
def other(git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fsck) -> Iterator[Callable[[], Path]]:
    """``other()``: an empty repository, in which the test stands from there on; it is looked at when the test ends."""
    yield from archives.empty_ones(git, tmp_path, monkeypatch, fsck)
