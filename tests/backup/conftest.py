"""GitHub for the tests of backups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gitlumo.backup import api, issues
from tests.backup import backups, emulator, openapi, proxy


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
