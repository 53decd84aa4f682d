"""Packages that a Python imports from the user's work tree: a rerun takes them from the recorded code instead.

A project that is installed in place (``pip install -e .``) lies in the work tree as it is now. What runs again must not
import that, so ``PYTHONPATH`` names the same folders of the recorded code, which come first.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

_INSTALLED = ("site-packages", "dist-packages")


def variables(
    path: Sequence[str], pythonpath: str, home_tree: str, tree: str, say: Callable[[str], None]
) -> dict[str, str]:
    """What the environment must say so that nothing is imported from the user's work tree.

    Args:
        path: From where the Python imports that runs.
        pythonpath: What ``PYTHONPATH`` says.
        home_tree: The user's work tree.
        tree: The one with the recorded code.
        say: Told which folders those are.
    """
    old = [entry for entry in pythonpath.split(os.pathsep) if entry]
    entries = [*old, *path, *_editable(path)]
    folders = dict.fromkeys(folder for entry in entries for folder in _mapped(entry, home_tree, tree))
    if not folders:
        return {}
    for folder in folders:
        say(f"  note      imports come from the recorded {os.path.relpath(folder, tree)}/, not from your work tree")
    return {"PYTHONPATH": os.pathsep.join([*folders, *old])}


def _mapped(entry: str, home_tree: str, tree: str) -> Iterator[str]:
    entry = os.path.realpath(entry)
    if not (entry + os.sep).startswith(os.path.realpath(home_tree) + os.sep):
        return
    inside = os.path.relpath(entry, os.path.realpath(home_tree))
    if any(name in _INSTALLED for name in inside.split(os.sep)):  # a virtual environment in the work tree
        return
    folder = os.path.normpath(os.path.join(tree, inside))
    if os.path.isdir(folder):
        yield folder


def _editable(path: Iterable[str]) -> Iterator[str]:
    """Folders of projects that are installed in place (PEP 610, ``dir_info.editable``)."""
    for folder in path:
        try:
            names = [name for name in os.listdir(folder) if name.endswith(".dist-info")]
        except OSError:
            continue
        for name in names:
            try:
                with open(os.path.join(folder, name, "direct_url.json"), encoding="utf-8") as source:
                    told = json.load(source)
                if told["dir_info"]["editable"] is True:
                    from urllib.parse import unquote, urlsplit

                    top = unquote(urlsplit(told["url"]).path)
                    src = os.path.join(top, "src")
                    yield src if os.path.isdir(src) else top
            except (OSError, ValueError, KeyError, TypeError):
                continue
