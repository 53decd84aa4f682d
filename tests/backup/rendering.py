"""Markdown as GitHub shows it: its own parser (``cmarkgfm``), its style sheet (npm ``github-markdown-css``), a browser.

It does not have what GitHub does after parsing: alerts (``> [!NOTE]``), emoji, links to issues and commits, Mermaid.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options

from tests.backup.emulator import installed

WIDTH = 980
PAGE = """<!doctype html><meta charset="utf-8"><style>{style}
body {{ margin: 0; background: #fff }} article {{ box-sizing: border-box; width: {width}px; padding: 32px }}</style>
<article class="markdown-body">{html}</article>
<script>document.title = "height " + document.documentElement.offsetHeight</script>"""


def html(markdown: str) -> str:
    """What GitHub makes of an issue's body; there, other than in a file, each line end is one."""
    options = Options.CMARK_OPT_UNSAFE | Options.CMARK_OPT_GITHUB_PRE_LANG | Options.CMARK_OPT_HARDBREAKS
    return cmarkgfm.github_flavored_markdown_to_html(markdown, options)


def screenshot(markdown: str, path: Path) -> None:
    """Write a PNG of a whole issue's body; details are folded as the body says. Skips where there is no browser."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("chromium is not installed")
    style = (installed() / "node_modules/github-markdown-css/github-markdown-light.css").read_text()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "issue.html")
        page.write_text(PAGE.format(style=style, width=WIDTH, html=html(markdown)))
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        command += [
            "--disable-background-networking",
            "--disable-component-update",
            f"--user-data-dir={folder}/profile",
        ]
        seen = _run(*command, "--dump-dom", page.as_uri())
        height = re.search(r"<title>height (\d+)</title>", seen)
        assert height is not None, seen
        _run(*command, f"--screenshot={path}", f"--window-size={WIDTH},{height[1]}", page.as_uri())


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
