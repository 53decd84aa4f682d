"""Changing git trees: some paths set or removed, everything else as it was, and never taken apart."""

from __future__ import annotations

import bisect
from collections.abc import Mapping

from gitlumo.git.objects import TREE, TREE_MODE, Entry, Staging, read_kind, tree_lines

_MANY = 64  # of entries that are changed in one tree


class _Lines:
    """A tree object as its lines in git's order, of which few are changed: the others are never taken apart."""

    def __init__(self, data: bytes, id_size: int):
        self._lines = tree_lines(data, id_size)
        self._id_size = id_size

    def _at(self, name: bytes) -> int | None:
        """Where a name stands, as a file or as a subtree, which sorts as if its name ended in ``/``."""
        for key in (name, name + b"/"):
            at = bisect.bisect_left(self._lines, key, key=_sort_key)
            if at < len(self._lines) and self._lines[at][2] == name:
                return at
        return None

    def get(self, name: str) -> Entry | None:
        """The entry of a name."""
        at = self._at(name.encode("utf-8", "surrogateescape"))
        if at is None:
            return None
        whole, mode, _ = self._lines[at]
        return Entry(name, int(mode, 8), whole[-self._id_size :].hex())

    def set(self, name: str, entry: Entry | None) -> None:
        """Put an entry under a name, or take away what is there."""
        raw = name.encode("utf-8", "surrogateescape")
        at = self._at(raw)
        if at is not None:
            del self._lines[at]
        if entry is not None:
            bisect.insort(self._lines, self._line(raw, entry), key=_sort_key)

    def update(self, entries: Mapping[str, Entry | None]) -> None:
        """The same for many names; of very many all lines are sorted anew, which takes less than finding each place."""
        if len(entries) < _MANY:
            for name, entry in entries.items():
                self.set(name, entry)
            return
        named = {line[2]: line for line in self._lines}
        for name, entry in entries.items():
            raw = name.encode("utf-8", "surrogateescape")
            if entry is None:
                named.pop(raw, None)
            else:
                named[raw] = self._line(raw, entry)
        self._lines = sorted(named.values(), key=_sort_key)

    @staticmethod
    def _line(raw: bytes, entry: Entry) -> tuple[bytes, bytes, bytes]:
        mode = b"%o" % entry.mode
        return b"%s %s\0%s" % (mode, raw, bytes.fromhex(entry.id)), mode, raw

    def __bytes__(self) -> bytes:
        return b"".join(line[0] for line in self._lines)


def _sort_key(line: tuple[bytes, bytes, bytes]) -> bytes:
    return line[2] + b"/" if int(line[1], 8) == TREE_MODE else line[2]


def edit_tree(staging: Staging, tree: str | None, changes: Mapping[str, Entry | None]) -> str | None:
    """A tree with some paths set or removed; only trees on the way to them are read and made anew.

    Args:
        staging: Where new trees go.
        tree: The tree to start from; None: an empty one.
        changes: Path to the entry to put there (its name is taken from the path), or None to remove what is there.

    Returns:
        The new tree's id; None if nothing is left in it (git keeps no empty trees below the root).
    """
    lines = _Lines(read_kind(staging, tree, TREE) if tree else b"", 20 if staging.hash_name == "sha1" else 32)
    direct: dict[str, Entry | None] = {}
    below: dict[str, dict[str, Entry | None]] = {}
    for path, entry in changes.items():
        name, _, rest = path.partition("/")
        if rest:
            below.setdefault(name, {})[rest] = entry
        else:
            direct[name] = entry
    lines.update(direct)
    for name, inner in below.items():
        there = lines.get(name)
        made = edit_tree(staging, there.id if there and there.is_tree else None, inner)
        if made:
            lines.set(name, Entry(name, TREE_MODE, made))
        elif there is None or there.is_tree:
            lines.set(name, None)
    data = bytes(lines)
    return staging.add(TREE, data) if data else None
