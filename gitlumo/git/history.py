"""Walking commits over what an engine reads: for engines that have no walk of their own, and clones that end early."""

from __future__ import annotations

import heapq

from gitlumo.git.objects import Objects, read_commit

_MINE, _THEIRS = 1, 2
_BOTH = _MINE | _THEIRS


def is_ancestor(objects: Objects, ancestor: str, commit: str) -> bool:
    """Whether ``ancestor`` is ``commit`` or can be reached from it, over commits that are there.

    Both histories are walked, the newest commit first, until all that is left is in both (``paint_down_to_common`` in
    git's commit-reach.c): it costs what the two do not share. Dates only make it fast; wrong ones do not make it wrong.
    A history may end anywhere, as in a shallow clone.
    """
    if ancestor == commit:
        return True
    if not (objects.has(ancestor) and objects.has(commit)):
        return False
    sides = {ancestor: _MINE, commit: _THEIRS}
    waiting = set(sides)  # what is in the queue and not in both
    queue = [(-read_commit(objects, id).time, id) for id in sides]
    heapq.heapify(queue)
    while waiting:
        _, id = heapq.heappop(queue)
        waiting.discard(id)
        for parent in read_commit(objects, id).parents:
            before = sides.get(parent, 0)
            after = before | sides[id]
            if after == before or not (before or objects.has(parent)):
                continue
            if parent == ancestor:
                return True
            sides[parent] = after
            heapq.heappush(queue, (-read_commit(objects, parent).time, parent))
            if after == _BOTH:
                waiting.discard(parent)
            else:
                waiting.add(parent)
    return False
