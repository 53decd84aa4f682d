"""Data that no snapshot holds, linked from the user's work tree into the one in which recorded code runs again.

No link may enter the snapshot of the run there. ``info/exclude`` belongs to all work trees and is the user's, so the
program that runs there is told by its environment: ``lumo.snapshotExclude`` through ``GIT_CONFIG_COUNT``
(git-config(1)). Its record then lists them as left out, as that of the first run did. Afterwards they go again.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence

from gitlumo.errors import LumoError

_SPECIAL = frozenset("*?[]\\!# \t,")


def make(tree: str, path: str, wanted: Sequence[str], list_file: str) -> None:
    """Link files and folders.

    Args:
        tree: The user's work tree.
        path: The other one.
        wanted: Paths below ``tree``, relative to it or absolute.
        list_file: Where to write down which links there are, before they are made.

    Raises:
        LumoError: If one is not below ``tree``, not there, or a part of the recorded code; no link is made then.
    """
    places = list(dict.fromkeys(_place(tree, path, word) for word in wanted))
    for place in places:
        inside = next((other for other in places if place.startswith(other + os.sep)), None)
        if inside is not None:
            raise LumoError(f"{place} lies in {inside}, which is linked as a whole; leave one of them out")
    known = read(list_file)
    with open(list_file, "w", encoding="ascii") as out:
        json.dump(known + places, out)
    for place in places:
        target = os.path.join(path, place)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.symlink(os.path.realpath(os.path.join(tree, place)), target)


def _place(tree: str, path: str, word: str) -> str:
    """Where a link goes, relative to the top."""
    folder, name = os.path.split(os.path.normpath(os.path.join(tree, word)))
    place = os.path.relpath(os.path.join(os.path.realpath(folder), name), os.path.realpath(tree))
    top = place.split(os.sep)[0]
    if top in (os.pardir, os.curdir, ".git"):
        raise LumoError(f"{word} cannot be linked: it is not a file or folder in the work tree {tree}")
    if not os.path.exists(os.path.join(tree, place)):
        raise LumoError(f"{word} cannot be linked: there is no {place} in the work tree {tree}")
    if os.path.lexists(os.path.join(path, place)):
        raise LumoError(f"{word} cannot be linked: the recorded code has {place} itself")
    above = os.path.realpath(os.path.dirname(os.path.join(path, place)))
    if above != path and not above.startswith(path + os.sep):
        raise LumoError(f"{word} cannot be linked: in the recorded code {os.path.dirname(place)} leads out of it")
    return place


def read(list_file: str) -> list[str]:
    """Which links there are, relative to the top."""
    try:
        with open(list_file, encoding="ascii") as source:
            places = json.load(source)
    except (OSError, ValueError):
        return []
    return [str(place) for place in places]


def remove(path: str, list_file: str) -> None:
    """Remove the links, and the folders that were made for them.

    Raises:
        OSError: If one cannot be removed.
    """
    for place in read(list_file):
        target = os.path.join(path, place)
        if os.path.islink(target):
            os.unlink(target)
        with contextlib.suppress(OSError):  # it holds something else, or was never made
            os.removedirs(os.path.dirname(target))
    with contextlib.suppress(FileNotFoundError):
        os.unlink(list_file)


def variables(places: Sequence[str], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Environment variables that keep links out of the snapshot of a program; none where there are no links.

    Args:
        places: The links, relative to the top.
        environ: The variables to which these are added.
    """
    if not places:
        return {}
    count = int(environ.get("GIT_CONFIG_COUNT") or 0)
    added = {"GIT_CONFIG_COUNT": str(count + len(places))}
    for number, place in enumerate(places, count):
        # The setting is a list of words, so what would part them, or mean something in gitignore(5), is any character.
        pattern = "/" + "".join("?" if char in _SPECIAL else char for char in place.replace(os.sep, "/"))
        added |= {f"GIT_CONFIG_KEY_{number}": "lumo.snapshotExclude", f"GIT_CONFIG_VALUE_{number}": pattern}
    return added
