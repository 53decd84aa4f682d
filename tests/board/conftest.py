"""A real browser with the network cut: headless Chromium (Debian's), driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

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
        page.wait_for_selector(READY, timeout=20_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not troubles
