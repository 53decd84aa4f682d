"""How the board looks: its style sheets, and the same colours for bokeh, which knows no style sheets."""

from __future__ import annotations

import functools
import os
import re

from gitlumo.board import palette

WEB = os.path.join(os.path.dirname(__file__), "web")
_VARIABLE = re.compile(r"--([a-z]+): (#[0-9a-f]{6})")


@functools.cache
def sheet(name: str) -> str:
    """A style sheet."""
    with open(os.path.join(WEB, name), encoding="utf-8") as source:
        return source.read()


@functools.cache
def colours_sheet() -> str:
    """The variables of all sheets: a light and a dark set, and in both the colours of runs."""
    light, dark = (
        "".join(f"--c{i}: {colour}; " for i, colour in enumerate(each)) for each in (palette.LIGHT, palette.DARK)
    )
    return f"{sheet('vars.css')}\n:root, :host {{ {light}}}\n:root.dark, :host(.dark) {{ {dark}}}\n"


@functools.cache
def shades(dark: bool) -> dict[str, str]:
    """The colours of the page by their variables' names: ``text``, ``quiet``, ``line``, ``paper``, ``accent``, ..."""
    light_part, _, dark_part = sheet("vars.css").partition(":root.dark")
    return dict(_VARIABLE.findall(dark_part if dark else light_part))


def of_run(uid: str, dark: bool) -> str:
    """A run's colour."""
    return (palette.DARK if dark else palette.LIGHT)[palette.colour(uid)]


def plain(text: str) -> str:
    """A text in which bokeh sees no formula, for which it would ask the network for a library."""
    return re.sub(r"(\$)(?=\$)|(\\)(?=[(\[])", lambda match: f"{match[0]}\u200b", text)
