"""Live boards that tests start, ask and look at."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Error

WITHIN = 60.0  # seconds, on a busy machine


class Served:
    """``git lumo board`` in a process of its own.

    Attributes:
        url: What it printed.
        port: Where it listens.
        token: Its token.
        repo: Whose it is.
    """

    def __init__(self, repo: Path, *words: str, port: int = 0):
        command = [sys.executable, "-m", "gitlumo", "board", "--no-open", "--port", str(port), *words]
        self.repo = repo
        self._said = open(repo / ".git/board-said", "a+", encoding="utf-8")  # noqa: SIM115
        self.process = subprocess.Popen(command, cwd=repo, stdout=subprocess.PIPE, stderr=self._said, text=True)
        assert self.process.stdout
        self.url = self.process.stdout.readline().strip()
        assert self.url, self.said()
        parts = urlsplit(self.url)
        self.port = parts.port or 0
        self.token = parse_qs(parts.query)["token"][0]

    def said(self) -> str:
        """All that it has said on standard error."""
        self._said.flush()
        self._said.seek(0)
        return self._said.read()

    def stop(self) -> None:
        """End it, as Ctrl-C does."""
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(10)
        if self.process.stdout:
            self.process.stdout.close()
        said = self.said()
        self._said.close()
        assert "Traceback" not in said, said
        assert "ERROR" not in said, said

    @property
    def cookie(self) -> dict[str, str]:
        """What a browser that was let in sends."""
        return {"Cookie": f"gitlumo-board-{self.port}={self.token}"}

    def ask(self, path: str, method: str = "GET", host: str | None = None, **headers: str) -> http.client.HTTPResponse:
        """One request as it is given; the answer has been read into ``body``."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WITHIN)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", host if host is not None else f"127.0.0.1:{self.port}")
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        answer.body = b"" if answer.status == 101 else answer.read()  # type: ignore[attr-defined]
        connection.close()
        return answer

    def memory(self) -> float:
        """How much it holds, in MB (Linux)."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as source:
            return next(int(line.split()[1]) / 1024 for line in source if line.startswith("VmRSS"))


def until(true: Callable[[], Any], seconds: float = WITHIN) -> Any:
    """Wait until what is asked is true, and give it; a page that is being loaded again is asked once more."""
    end, seen = time.monotonic() + seconds, None
    while time.monotonic() < end:
        with contextlib.suppress(Error):
            if seen := true():
                return seen
        time.sleep(0.03)
    raise AssertionError(f"not within {seconds} s; at last it was {seen!r}")


def wait(page: Any, expression: str, seconds: float = WITHIN) -> Any:
    """Wait until an expression is true in a page, and give its value: a plain one, a view would take seconds."""
    return until(lambda: page.evaluate(expression), seconds)


def holds(page: Any, model: str) -> None:
    """Wait until a page holds a view of one of bokeh's models."""
    wait(page, f"!Bokeh.index.query((view) => view.model.type === '{model}').next().done")


def names(page: Any) -> list[str]:
    """The runs of the table, as far as they are drawn."""
    found: list[str] = page.locator(".tabulator-cell[tabulator-field=c0]").all_inner_texts()
    return found


def tick(page: Any, *places: int) -> None:
    """Tick runs of the table."""
    for place in places:
        row = page.locator(".tabulator-row").nth(place)
        row.locator("input[type=checkbox]").click()
        row.and_(page.locator(".tabulator-selected")).wait_for()


def tab(page: Any, name: str) -> None:
    """Look at something else."""
    page.get_by_role("tab", name=name).click()
    page.locator(f"[role=tab][aria-selected=true]:text-is('{name}')").wait_for()


def went(page: Any, query: str) -> None:
    """Have a page look at what an address says: by the browser's history, without loading it again."""
    to = json.dumps(f"/?{query}" if query else "/")
    page.evaluate(f"history.pushState(null, '', {to}); dispatchEvent(new PopStateEvent('popstate'))")


def back(page: Any, count: str) -> None:
    """Have a page look at what a new one looks at.

    By way of a place that differs in what is drawn last, so that it is seen when all of it is drawn.
    """
    said = page.get_by_text("no metric is like that")
    for query, state in (("metrics=none", "visible"), ("", "hidden")):
        went(page, query)
        said.wait_for(state=state)
    page.locator(".filter .count", has_text=re.compile(f"^{count}")).wait_for()
    page.locator(".tabulator-row:visible").nth(5).wait_for()


def drawn(page: Any) -> list[tuple[str, int]]:
    """Title of each figure of curves that is on the page, and how many lines it has."""
    script = """[...Bokeh.index.query((view) => view.model.type === 'Figure')].map(({ model }) => [
        model.title.text, model.renderers.filter((each) => each.glyph?.type === 'Line').length])"""
    return [(title, count) for title, count in page.evaluate(script)]


def until_drawn(page: Any, figures: list[tuple[str, int]], seconds: float = WITHIN) -> None:
    """Wait until these figures of curves are on the page, and no others."""
    there: list[tuple[str, int]] = []

    def same() -> bool:
        nonlocal there
        there = drawn(page)
        return there == figures

    try:
        until(same, seconds)
    except AssertionError:
        raise AssertionError(there) from None


def until_named(page: Any, wanted: Callable[[list[str]], bool], seconds: float = WITHIN) -> list[str]:
    """Wait until the runs of the table are as wanted; their names."""
    found: list[str] = []

    def fit() -> bool:
        found[:] = names(page)
        return wanted(found)

    try:
        until(fit, seconds)
    except AssertionError:
        raise AssertionError(found) from None
    return found


def points(page: Any) -> int:
    """How many points all lines on the page have."""
    script = """[...Bokeh.index.query((view) => view.model.type === 'Figure')]
        .flatMap(({ model }) => model.renderers.filter((each) => each.glyph?.type === 'Line'))
        .reduce((sum, each) => sum + (each.data_source.get_length() ?? 0), 0)"""
    return int(page.evaluate(script))


def environment() -> dict[str, str]:
    """For scripts that record."""
    return {**os.environ, "PYTHONUNBUFFERED": "1"}
