"""Ledgers as git trees: finding runs in them, putting one in, joining two (docs/format.md, sections 1 and 6).

What is equal in both trees is never read: a run costs its own folder and the folders above it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from gitlumo import ids, values
from gitlumo.errors import FormatError
from gitlumo.git.edited import edit_tree
from gitlumo.git.objects import (
    FILE_MODE,
    TREE,
    TREE_MODE,
    Entry,
    Objects,
    Staging,
    diff_trees,
    format_tree,
    lookup,
    object_id,
    read_blob,
    read_commit,
    read_differing,
    read_entries,
    read_names,
    read_some,
    read_tree,
)
from gitlumo.store import join, layout
from gitlumo.store.join import Run, State

_IDENTITY = frozenset(f"{key}.json".encode() for key in ("uid", "exp_name", "test_name", "progress"))
_PARTS = frozenset(name.encode() for name in (layout.PURGED, layout.EDITS, "info"))


def read_run(objects: Objects, folder: str, exp_names: dict[str, values.Json] | None = None) -> Run | None:
    """What the join knows of the run in a folder (a tree's id); None if the folder is no run.

    Args:
        objects: Where it is.
        folder: The folder.
        exp_names: A cache kept by who reads many runs: blob id to the exp_name in it, of which there are few.
    """
    entries = read_some(objects, folder, _PARTS)
    purged = entries.get(layout.PURGED)
    if purged and purged.is_file:
        identity = layout.read_tombstone(read_blob(objects, purged.id))
        if identity:
            return Run(identity, purged.id, purged=True)
    info = entries.get("info")
    if info is None or not info.is_tree:
        return None
    files = read_some(objects, info.id, _IDENTITY)
    known = {} if exp_names is None else exp_names

    def value(key: str) -> values.Json:
        entry = files.get(f"{key}.json")
        if entry is None or not entry.is_file:
            raise FormatError(f"there is no info/{key}.json")
        if entry.id in known:
            return known[entry.id]
        found = values.from_bytes(read_blob(objects, entry.id))
        if key == "exp_name":
            known[entry.id] = found
        return found

    identity = layout.identity_of(value)
    if identity is None:
        return None
    edits = entries.get(layout.EDITS)
    if edits is None:
        return Run(identity, folder, folder=folder)
    files = read_tree(objects, edits.id) if edits.is_tree else {}
    names = {entry.name: entry.id for entry in files.values() if entry.is_file}
    record = object_id(objects.hash_name, TREE, format_tree(_without_edits(read_tree(objects, folder))))
    return Run(identity, record, names, folder=folder)


def _without_edits(entries: dict[str, Entry]) -> list[Entry]:
    return [entry for entry in entries.values() if entry.name != layout.EDITS]


def folder_entry(staging: Staging, run: Run) -> Entry:
    """The tree entry that holds a run: its record with its edits, or its tombstone."""
    if run.purged:
        return Entry("", TREE_MODE, staging.add_tree([Entry(layout.PURGED, FILE_MODE, run.record)]))
    if not run.edits and run.folder == run.record:
        return Entry("", TREE_MODE, run.record)
    entries = _without_edits(read_tree(staging, run.folder))
    if run.edits:
        edits = staging.add_tree(Entry(name, FILE_MODE, id) for name, id in run.edits.items())
        entries.append(Entry(layout.EDITS, TREE_MODE, edits))
    return Entry("", TREE_MODE, staging.add_tree(entries))


@dataclass(frozen=True)
class Place:
    """A folder where a run lies or could lie: its path and its tree's id."""

    path: str
    tree: str

    @property
    def label(self) -> str:
        """``<exp_name>/<test_name>``."""
        return ids.label_of(self.path)


def places(objects: Objects, root: str | None) -> Iterator[Place]:
    """All folders at runs' places, by exp_name, then day."""
    for entry in read_tree(objects, root).values() if root else ():
        if entry.is_tree:
            for day in read_tree(objects, entry.id).values():
                if day.is_tree and layout.is_day(day.name):
                    yield from day_places(objects, f"{entry.name}/{day.name}", day.id)


def day_places(objects: Objects, prefix: str, day: str) -> Iterator[Place]:
    """The runs' places of one day."""
    for entry in read_tree(objects, day).values():
        if entry.is_tree and layout.is_thousand(entry.name):
            for inner in read_tree(objects, entry.id).values():
                if inner.is_tree:
                    yield Place(f"{prefix}/{entry.name}/{inner.name}", inner.id)
        elif entry.is_tree:
            yield Place(f"{prefix}/{entry.name}", entry.id)


def named(objects: Objects, root: str | None, exp_name: str, test_name: str) -> list[Place]:
    """The places of all runs that want one name, on whatever day: ``test_name`` and ``test_name~<uid>``."""
    experiment = read_tree(objects, root).get(exp_name) if root else None
    if experiment is None or not experiment.is_tree:
        return []
    needle = b" " + test_name.encode("utf-8", "surrogateescape")
    thousand = layout.thousand_of(test_name)
    found = []
    for day in read_tree(objects, experiment.id).values():
        if not (day.is_tree and layout.is_day(day.name)):
            continue
        prefix, tree = f"{exp_name}/{day.name}", day.id
        if thousand:
            inner = next((entry for entry in read_entries(objects, tree, thousand) if entry.name == thousand), None)
            if inner is None or not inner.is_tree:
                continue
            prefix, tree = f"{prefix}/{thousand}", inner.id
        if needle not in objects.read(tree)[1]:  # most days have no such name: do not take them apart
            continue
        for entry in read_entries(objects, tree, test_name):
            if entry.is_tree and (entry.name == test_name or entry.name.startswith(test_name + "~")):
                found.append(Place(f"{prefix}/{entry.name}", entry.id))
    return found


def gather(objects: Objects, root: str | None, names: Iterable[tuple[str, str]]) -> dict[str, Run]:
    """All runs that want one of the names (exp_name, test_name), or one of a run that lies at the wrong place."""
    found: dict[str, Run] = {}
    wanted = list(dict.fromkeys(names))
    for exp_name, test_name in wanted:  # it grows where a stranger has moved a run's folder
        for place in named(objects, root, exp_name, test_name):
            run = read_run(objects, place.tree)
            if run:
                found[place.path] = run
                if run.name not in wanted:
                    wanted.append(run.name)
    return found


def find(objects: Objects, root: str | None, uid: str, names: Iterable[tuple[str, str]]) -> Run | None:
    """The run ``uid``, if it lies under one of the names (exp_name, test_name)."""
    return next((run for run in gather(objects, root, names).values() if run.uid == uid), None)


def put(staging: Staging, root: str | None, run: Run, former: Iterable[tuple[str, str]] = ()) -> str:
    """The join of a ledger's tree and one run.

    Args:
        staging: Where new trees go; it must hold the run's record.
        root: The ledger's tree; None: an empty ledger.
        run: The run.
        former: Other (exp_name, test_name) under which the ledger may have it.

    Returns:
        The id of the joined tree.
    """
    return put_among(staging, root, [run], gather(staging, root, [run.name, *former]))


def put_among(staging: Staging, root: str | None, runs: Iterable[Run], namesakes: Mapping[str, Run]) -> str:
    """The same as :func:`put` for some runs, where :func:`gather` has been asked already for all their names."""
    return _settle(staging, root, namesakes, runs, {}, {})


def take_out(staging: Staging, root: str, uid: str, names: Iterable[tuple[str, str]]) -> str:
    """A ledger's tree as if a run, which may lie under some names, had never been in it."""
    there = gather(staging, root, names)
    left = join.collect(run for run in there.values() if run.uid != uid)
    if len(left) == len(there):
        return root
    changes: dict[str, Entry | None] = dict.fromkeys(there)
    for path, other in join.folders(left.values()).items():
        changes[path] = folder_entry(staging, left[other])
    return edit_tree(staging, root, changes) or staging.add_tree(())


Difference = tuple[str, Entry | None, Entry | None]
"""A path, and what two trees have there."""


def join_trees(
    staging: Staging, a: str | None, b: str | None, differences: Iterable[Difference] | None = None
) -> str | None:
    """The join of two ledgers' trees; None only if both are None.

    It reads the runs in which the trees differ and those that want the same names, no others.

    Args:
        staging: Where new trees go.
        a: A ledger's tree; None: there is none.
        b: Another one's.
        differences: What :func:`unit_differences` has just said of these two; None: it is asked.
    """
    if a == b or b is None:
        return a
    if a is None:
        return b
    mine, theirs = _Differing(staging), _Differing(staging)
    for path, entry_a, entry_b in unit_differences(staging, a, b) if differences is None else differences:
        mine.add(path, entry_a)
        theirs.add(path, entry_b)
    touched = dict(mine.runs)
    names: set[tuple[str, str]] = set()
    while more := {run.name for run in (*touched.values(), *theirs.runs.values())} - names:
        names |= more
        for place in _places_of(staging, a, more):
            if place.path not in touched and place.path not in mine.foreign:
                there = read_run(staging, place.tree)
                if there:
                    touched[place.path] = there
    foreign = join.join(State({}, mine.foreign), State({}, theirs.foreign)).foreign
    return _settle(staging, a, touched, theirs.runs.values(), mine.foreign, foreign)


class _Differing:
    """One side's part of what differs: runs by path, foreign paths."""

    def __init__(self, objects: Objects):
        self._objects = objects
        self._exp_names: dict[str, values.Json] = {}
        self.runs: dict[str, Run] = {}
        self.foreign: join.Foreign = {}

    def add(self, path: str, entry: Entry | None) -> None:
        """Take in one side of one difference."""
        if entry is None:
            return
        run = read_run(self._objects, entry.id, self._exp_names) if entry.is_tree else None
        if run:
            self.runs[path] = run
        else:
            self.foreign[path] = (entry.id, entry.mode)


def _places_of(objects: Objects, root: str, names: set[tuple[str, str]]) -> Iterator[Place]:
    """The places of all runs that want one of the names; each day is read once."""
    for exp_name in sorted({exp_name for exp_name, _ in names}):
        experiment = read_tree(objects, root).get(exp_name)
        for day in read_tree(objects, experiment.id).values() if experiment and experiment.is_tree else ():
            if day.is_tree and layout.is_day(day.name):
                for place in day_places(objects, f"{exp_name}/{day.name}", day.id):
                    test_name = place.path.rpartition("/")[2].partition("~")[0]
                    if (exp_name, test_name) in names:
                        yield place


def _settle(
    staging: Staging,
    root: str | None,
    touched: Mapping[str, Run],
    added: Iterable[Run],
    old_foreign: Iterable[str],
    foreign: Mapping[str, tuple[str, int]],
) -> str:
    """A tree in which the runs that lie at ``touched`` and those ``added`` lie joined, where they belong."""
    runs = join.collect([*touched.values(), *added])
    final = join.folders(runs.values())
    changes: dict[str, Entry | None] = {path: None for path in (*touched, *old_foreign) if path not in final}
    for path, uid in final.items():
        entry, there = folder_entry(staging, runs[uid]), touched.get(path)
        if there is None or there.folder != entry.id:
            changes[path] = entry
    for path, (id, mode) in join.standing(foreign, final).items():
        changes[path] = Entry("", mode, id)
    return edit_tree(staging, root, changes) or staging.add_tree(())


def unit_differences(objects: Objects, a: str | None, b: str | None) -> Iterator[Difference]:
    """Where two ledgers' trees differ: folders at runs' places as a whole, everything else file by file."""
    yield from _unit_differences(objects, _as_tree(a), _as_tree(b), "", 0)


def _as_tree(id: str | None) -> Entry | None:
    return Entry("", TREE_MODE, id) if id else None


def _unit_differences(
    objects: Objects, a: Entry | None, b: Entry | None, prefix: str, depth: int
) -> Iterator[Difference]:
    before, after = read_differing(objects, a.id if a else None, b.id if b else None)
    for name in sorted(before.keys() | after.keys()):
        x, y = before.get(name), after.get(name)
        path = prefix + name
        x_tree, y_tree = (entry if entry and entry.is_tree else None for entry in (x, y))
        x_file, y_file = (entry if entry and not entry.is_tree else None for entry in (x, y))
        if x_file or y_file:
            yield path, x_file, y_file
        if not (x_tree or y_tree):
            continue
        if depth == 3 or (depth == 2 and not layout.is_thousand(name)):
            yield path, x_tree, y_tree
        elif depth == 0 or depth == 2 or layout.is_day(name):
            yield from _unit_differences(objects, x_tree, y_tree, path + "/", depth + 1)
        else:
            x_id, y_id = (entry.id if entry else None for entry in (x_tree, y_tree))
            yield from diff_trees(objects, x_id, y_id, path + "/")


def state_of(objects: Objects, root: str | None) -> State:
    """A whole ledger as the join sees it; reads every run."""
    side = _Differing(objects)
    for path, entry, _ in unit_differences(objects, root, None):
        side.add(path, entry)
    return State(join.collect(side.runs.values()), side.foreign)


def day_names(objects: Objects, commit: str, exp_name: str | None, day: str) -> list[str]:
    """The names of an experiment's runs of one day, or of all with None, in the ledger whose tip is ``commit``."""
    root = read_commit(objects, commit).tree
    if exp_name is None:
        return [name for each in read_names(objects, root) for name in _day_names(objects, root, each, day)]
    return _day_names(objects, root, exp_name, day)


def _day_names(objects: Objects, root: str, exp_name: str, day: str) -> list[str]:
    entry = lookup(objects, root, f"{exp_name}/{day}")
    if entry is None or not entry.is_tree:
        return []
    folders = read_names(objects, entry.id)
    inner = [lookup(objects, entry.id, name) for name in folders if layout.is_thousand(name)]
    names = folders + [name for found in inner if found and found.is_tree for name in read_names(objects, found.id)]
    return [name.partition("~")[0] for name in names]
