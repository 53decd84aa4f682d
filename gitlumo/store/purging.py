"""Taking a run out for good: a tombstone in its place, and a history in which its events have never been.

What a remote has is left as it is. All else is made anew, and is a function of what it was made of: clones that do the
same to the same history get the same commits, and so do not bring the old ones back to each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from gitlumo.errors import FormatError, MissingObject
from gitlumo.git.objects import COMMIT, TREE, Commit, Objects, Staging, parse_commit, parse_tree, read_commit
from gitlumo.store import events, layout, merging, trees
from gitlumo.store.query import TreeFiles
from gitlumo.store.record import Record

Names = Sequence[tuple[str, str]]


def ledger_parents(commit: Commit) -> tuple[str, ...]:
    """The parents of a commit that are of the ledger: an event's others are code."""
    return commit.parents[:1] if commit.trailers("Lumo-Event") else commit.parents


def reach(objects: Objects, tips: Iterable[str]) -> set[str]:
    """The ledger's commits that some tips reach; in a shallow clone as far as it goes."""
    found, waiting = set[str](), list(tips)
    while waiting:
        id = waiting.pop()
        if id not in found:
            found.add(id)
            try:
                waiting += ledger_parents(read_commit(objects, id))
            except MissingObject:
                continue
    return found


def rewrite(staging: Staging, tip: str, kept: set[str], uid: str, names: Names) -> str:
    """The commit that a ledger's tip becomes if a run has never been, but where it is a tombstone already.

    Args:
        staging: Where the ledger is, and new commits go.
        tip: The tip.
        kept: Commits that stay as they are, with all that they reach.
        uid: The run.
        names: The (exp_name, test_name) under which it may lie.
    """
    made: dict[str, str] = {}
    for id in _oldest_first(staging, tip, kept):
        commit = read_commit(staging, id)
        parents = [made.get(parent, parent) for parent in ledger_parents(commit)]
        if commit.trailers("Lumo-Merge"):
            made[id] = id if parents == list(commit.parents) else merging.merge(staging, _heads(staging, parents))
        else:
            made[id] = _without(staging, id, commit, parents, uid, names)
    return made.get(tip, tip)


def prune(staging: Staging, tip: str) -> None:
    """Forget new objects that a commit does not reach."""
    wanted, waiting = set[str](), [tip]
    while waiting:
        id = waiting.pop()
        if id not in staging.new or id in wanted:
            continue
        wanted.add(id)
        kind, data = staging.read(id)
        if kind == COMMIT:
            commit = parse_commit(data)
            waiting += [commit.tree, *commit.parents]
        elif kind == TREE:
            waiting += [entry.id for entry in parse_tree(data, 20 if staging.hash_name == "sha1" else 32).values()]
    for id in staging.new.keys() - wanted:
        del staging.new[id]


def _oldest_first(objects: Objects, tip: str, kept: set[str]) -> Iterator[str]:
    """The ledger's commits from a tip to those that are kept, each after its parents."""
    seen, waiting = set[str](), [(tip, False)]
    while waiting:
        id, ready = waiting.pop()
        if ready:
            yield id
        elif id not in seen and id not in kept:
            seen.add(id)
            try:
                parents = ledger_parents(read_commit(objects, id))
            except MissingObject:  # where a shallow clone ends
                continue
            waiting += [(id, True), *((parent, False) for parent in parents)]


def _heads(objects: Objects, commits: Iterable[str]) -> list[str]:
    """As :func:`gitlumo.store.merging.heads`, without a look at the code behind each event."""
    distinct = set(commits)
    below = {id: reach(objects, ledger_parents(read_commit(objects, id))) for id in distinct} if distinct else {}
    found = [id for id in distinct if not any(id in below[other] for other in distinct)]
    return sorted(found, key=lambda id: (read_commit(objects, id).time, id))


def _without(staging: Staging, id: str, commit: Commit, parents: list[str], uid: str, names: Names) -> str:
    """An event, or a stranger's commit, without a run; its parent, if it was about nothing else."""
    there = trees.find(staging, commit.tree, uid, names)
    told = list(_events(commit))
    if there is None or there.purged:
        if parents == list(ledger_parents(commit)):
            return id
        others = commit.parents[len(parents) :]
        return staging.add_commit(commit._replace(parents=(*parents, *others)))
    left = [event for event in told if event[1] != uid]
    if told and not left:
        return parents[0]
    tree = trees.take_out(staging, commit.tree, uid, names)
    others = commit.parents[len(parents) :]
    if len(left) < len(told):
        codes = {_code(staging, tree, event) for event in left}
        mine = _code_of(staging, there.folder)
        others = tuple(other for other in others if other != mine or other in codes)
    message = layout.event_message(left) if len(left) < len(told) else commit.message
    return staging.add_commit(commit._replace(tree=tree, parents=(*parents, *others), message=message))


def _events(commit: Commit) -> Iterator[tuple[str, str, str]]:
    """(kind, uid, subject) of each event in a commit."""
    return ((event.kind, event.uid, event.subject) for event in events.of_commit("", commit))


def _code(staging: Staging, tree: str, event: tuple[str, str, str]) -> str | None:
    """The code of the run that an event is of."""
    run = trees.find(staging, tree, event[1], [events.name_of(event[2])])
    return _code_of(staging, run.folder) if run and not run.purged else None


def _code_of(objects: Objects, folder: str) -> str | None:
    files = TreeFiles(objects, folder)
    try:
        git = Record(files.read, files.paths, "").info("git")
    except FormatError:
        return None
    return git.get("commit") if isinstance(git, dict) else None
