"""Which files differ among the code of some runs: names and versions, never what is in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gitlumo.errors import MissingObject
from gitlumo.git.objects import TREE_MODE, Entry, Objects, read_tree

MOST_FILES = 2000


def differing(objects: Objects, trees: Sequence[str]) -> dict[str, list[str | None]]:
    """The files that are not the same in all of some trees; what all share is not read.

    Args:
        objects: Where they are.
        trees: Their ids.

    Returns:
        Path to the id of the file in each tree, None where it is not there; at most :data:`MOST_FILES`, in order.
    """
    found: dict[str, list[str | None]] = {}
    try:
        for path, ids in _walk(objects, "", list(trees)):
            found[path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")] = ids
            if len(found) == MOST_FILES:
                break
    except MissingObject:  # a shallow or partial clone
        return {}
    return found


def _walk(objects: Objects, prefix: str, trees: Sequence[str | None]) -> Iterator[tuple[str, list[str | None]]]:
    if len(set(trees)) < 2:
        return
    read: dict[str, dict[str, Entry]] = {tree: read_tree(objects, tree) for tree in set(trees) if tree is not None}
    entries = [read[tree] if tree is not None else {} for tree in trees]
    for name in sorted({name for each in read.values() for name in each}):
        here = [each.get(name) for each in entries]
        files = [entry.id if entry and entry.mode != TREE_MODE else None for entry in here]
        if len({(entry.mode, entry.id) if entry else None for entry in here}) > 1 and any(files):
            yield prefix + name, files
        yield from _walk(objects, f"{prefix}{name}/", [entry.id if entry and entry.is_tree else None for entry in here])
