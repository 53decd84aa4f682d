"""GitHub for the tests of backups."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backup import emulator, openapi, proxy


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
