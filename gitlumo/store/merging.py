"""Commits that every clone makes alike: the root, and the merge of ledgers that grew apart (docs/format.md, section 7).

A merge is a function of its parents alone. Otherwise clones that merge at the same time would never meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gitlumo.git.objects import ZONE, Commit, Objects, Staging, read_commit
from gitlumo.store import layout, trees


def root(staging: Staging) -> str:
    """The commit at which every ledger begins."""
    stamp = f"{layout.IDENTITY} {layout.ROOT_TIME} {ZONE}"
    return staging.add_commit(Commit(staging.add_tree(()), (), stamp, stamp, layout.ROOT_MESSAGE))


def heads(objects: Objects, tips: Iterable[str]) -> list[str]:
    """The tips that are no ancestors of others, sorted by (committer time, id)."""
    distinct = sorted(set(tips))
    found = [tip for tip in distinct if not any(other != tip and objects.is_ancestor(tip, other) for other in distinct)]
    return sorted(found, key=lambda tip: (read_commit(objects, tip).time, tip))


def merge(staging: Staging, parents: Sequence[str]) -> str:
    """The merge commit of ledgers, which :func:`heads` has chosen and sorted; of one alone it is that one."""
    if len(parents) == 1:
        return parents[0]
    commits = [read_commit(staging, parent) for parent in parents]
    first = tree = commits[0].tree
    paths: set[str] = set()
    for commit in commits[1:]:
        differences = list(trees.unit_differences(staging, first, commit.tree))
        paths.update(
            path for path, a, b in differences if ((a and a.is_tree) or (b and b.is_tree)) and not layout.is_odd(path)
        )
        tree = trees.join_trees(staging, tree, commit.tree, differences if tree == first else None) or ""
    stamp = f"{layout.IDENTITY} {max(commit.time for commit in commits)} {ZONE}"
    message = layout.merge_message(len(parents), paths)
    return staging.add_commit(Commit(tree, tuple(parents), stamp, stamp, message))
