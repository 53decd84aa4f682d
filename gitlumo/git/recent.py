"""Trees read lately, kept in memory: a day's tree is read by each event that adds a run to it, or looks for a name."""

from __future__ import annotations

from collections import OrderedDict

from gitlumo.git.objects import TREE

MAX_BYTES = 4 * 1024**2


class RecentTrees:
    """The last trees that an engine has read, at most :data:`MAX_BYTES` of them; an id never means another tree."""

    def __init__(self) -> None:
        self._trees: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    def get(self, id: str) -> tuple[str, bytes] | None:
        """A tree as :meth:`gitlumo.git.objects.Objects.read` answers, or None."""
        data = self._trees.get(id)
        if data is None:
            return None
        self._trees.move_to_end(id)
        return TREE, data

    def keep(self, id: str, kind: str, data: bytes) -> tuple[str, bytes]:
        """Keep an object, if it is a tree; returns it."""
        if kind == TREE and id not in self._trees and len(data) <= MAX_BYTES // 4:
            self._trees[id] = data
            self._size += len(data)
            while self._size > MAX_BYTES:
                self._size -= len(self._trees.popitem(last=False)[1])
        return kind, data
