"""A real browser with the network cut: headless Chromium (Debian's), driven by Playwright; boards for it to open."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import ledgers, place
from tests.board.making import digits
from tests.board.serving import Served

FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--disable-gpu",
]
READY = "html[data-ready], [role=alert].empty"


@pytest.fixture(scope="module")  # not longer: while it runs, no other event loop can
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The browser; skips where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("browser")))
        with sync_playwright() as driver:
            started = driver.chromium.launch(executable_path=program, args=FLAGS)
            yield started
            started.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """``opened(path, fragment='', width=1280, height=860, dark=False)``: a page from disk, when its table is there.

    At the end nothing may have asked a network, and the console must be free of errors.
    """
    contexts, troubles = [], []

    def open_page(path: Path, fragment: str = "", width: int = 1280, height: int = 860, dark: bool = False) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", timezone_id="UTC"
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)  # on a machine that is busy with other tests

        def route(asked: Any) -> None:
            if asked.request.url.startswith("file:"):
                asked.continue_()
            else:
                troubles.append(f"asked for {asked.request.url}")
                asked.abort()

        page.route("**/*", route)
        page.on("console", lambda said: troubles.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: troubles.append(f"a dialog: {dialog.message}"))
        page.goto(path.resolve().as_uri() + fragment)
        page.wait_for_selector(READY, timeout=60_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not troubles


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, sealed: Path) -> Path:
    """The digits example, trained; tests that change it take a copy."""
    repo = tmp_path_factory.mktemp("trained") / "digits"
    digits(repo)
    return repo


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory, sealed: Path) -> Path:
    """A repository with 2,000 generated runs."""
    repo = tmp_path_factory.mktemp("many") / "many"
    place.repository(repo)
    ledgers.write(repo, 2000, until=1_790_000_000.0)
    return repo


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[..., Served]]:
    """``serve(repo, *words, port=0)``: a live board; at the end none of them may have complained."""
    started: list[Served] = []

    def start(repo: Path, *words: str, port: int = 0) -> Served:
        started.append(Served(repo, *words, port=port))
        return started[-1]

    yield start
    for each in started:
        each.stop()


class Visits:
    """Opens live boards, and hears what their pages complain of.

    Attributes:
        troubles: Errors and warnings of the console, dialogs, requests to elsewhere; a test may take some out.
    """

    def __init__(self, browser: Any):
        self._browser, self._opened = browser, list[Any]()
        self.troubles: list[str] = []

    def __call__(self, url: str, width: int = 1280, height: int = 800, dark: bool = False, context: Any = None) -> Any:
        """A page that obeys."""
        if context is None:
            shade = "dark" if dark else "light"
            context = self._browser.new_context(viewport={"width": width, "height": height}, color_scheme=shade)
            self._opened.append(context)
        page, troubles = context.new_page(), self.troubles
        self._opened.append(page)
        page.set_default_timeout(60_000)  # on a machine that is busy with other tests
        page.on("console", lambda said: troubles.append(said.text) if _complains(said) else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: (troubles.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda asked: None if _is_near(asked.url) else troubles.append(f"asked for {asked.url}"))
        page.goto(url)
        page.locator("html.ready").wait_for(state="attached")
        return page

    def end(self) -> None:
        """Close them; none may have complained."""
        for each in reversed(self._opened):
            each.close()
        assert not self.troubles


@pytest.fixture
def visit(browser: Any) -> Iterator[Visits]:
    """``visit(url)``: see :class:`Visits`."""
    visits = Visits(browser)
    yield visits
    visits.end()


@pytest.fixture(scope="module")
def visit_once(browser: Any) -> Iterator[Visits]:
    """The same for a page that the tests of a module share."""
    visits = Visits(browser)
    yield visits
    visits.end()


def _complains(said: Any) -> bool:
    """Tabulator tells that rows that come from the server win over those it asks for, which it never gets."""
    return said.type in ("error", "warning") and "Data Load Response Blocked" not in said.text


@pytest.fixture(scope="module")
def shared(board: Served, visit_once: Visits) -> Any:
    """The page of a module's ``board`` that its tests share."""
    return visit_once(board.url)


def _is_near(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))
