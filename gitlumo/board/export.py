"""The board as one static file: a page of ours with its style, its scripts, a chart library and the data in it.

Nothing of it asks a network, or may: its Content-Security-Policy allows its own script and style by their hashes,
images that stand in it, and nothing else; no text becomes markup (trusted types).
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import zlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from gitlumo.board import palette

STYLES = ("uPlot.min.css", "style.css")
SCRIPTS = (
    "uPlot.iife.min.js",
    "values.js",
    "filter.js",
    "data.js",
    "view.js",
    "table.js",
    "series.js",
    "charts.js",
    "compare.js",
    "details.js",
    "board.js",
)
_POLICY = (
    "default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data:; base-uri 'none'; "
    "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)


def page(title: str, head: Mapping[str, Any], blocks: Mapping[str, Any]) -> bytes:
    """The whole file.

    Args:
        title: The window's title.
        head: What is needed at once, as JSON.
        blocks: Name to JSON; each is compressed, and unpacked by the page when it is needed.
    """
    folder = files("gitlumo.board") / "page"
    style = _colours() + "".join(_tight((folder / name).read_text("utf-8")) for name in STYLES)
    parts = [_tight((folder / name).read_text("utf-8")) for name in SCRIPTS]
    script = f'"use strict";\n(() => {{\n{"".join(parts)}}})();\n'
    policy = _POLICY.format(script=_hash(script), style=_hash(style))
    filled = {
        "policy": html.escape(policy),
        "title": html.escape(title),
        "style": style,
        "script": script,
        "data": "\n".join([_plain("head", head), *(_packed(name, value) for name, value in blocks.items())]),
    }
    text = (folder / "page.html").read_text("utf-8")
    for name, value in filled.items():
        before, mark, after = text.partition(f"<!--{name}-->")
        text = before + (value if mark else "") + after
    return text.encode("utf-8", "replace")


def _tight(text: str) -> str:
    """A script or a style without its indentation, and without the lines that are a comment only; licences stay."""
    lines = (line.strip() for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if line and not line.startswith(("//", "/** ")))


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _colours() -> str:
    """The palette as variables, ``--run-0`` and so on, for light and for dark."""
    light, dark = (
        "".join(f"--run-{i}:{colour};" for i, colour in enumerate(colours)) for colours in (palette.LIGHT, palette.DARK)
    )
    return f":root{{{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n" + "".join(
        f':root[data-theme="{name}"]{{{colours}}}\n' for name, colours in (("light", light), ("dark", dark))
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _plain(name: str, value: Any) -> str:
    return f'<script type="application/json" id="data-{name}">{_json(value).replace("<", chr(92) + "u003c")}</script>'


def _packed(name: str, value: Any) -> str:
    packing = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    data = packing.compress(_json(value).encode("utf-8", "replace")) + packing.flush()
    return f'<script type="text/plain" id="data-{name}">{base64.b64encode(data).decode("ascii")}</script>'
