"""Finding runs in a view of the ledger: newest first, or by name. It reads no more of a run than it has to."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from gitlumo import ids
from gitlumo.errors import FormatError, LumoError, NoSuchRun
from gitlumo.git.objects import Entry, Objects, read_blob, read_tree, walk
from gitlumo.store import layout, trees
from gitlumo.store.pending import Pending
from gitlumo.store.record import Record

MAX_CANDIDATES = 10
_UID_PREFIX = re.compile(r"[0-9a-f]{4,32}")


class TreeFiles:
    """A run's files in the ledger."""

    def __init__(self, objects: Objects, tree: str):
        self._objects = objects
        self._tree = tree
        self._folders: dict[str, dict[str, Entry]] = {}

    def read(self, path: str) -> bytes | None:
        """A file's bytes, None where there is none."""
        id = self.id(path)
        return read_blob(self._objects, id) if id else None

    def id(self, path: str) -> str | None:
        """The id of a file's blob, None where there is none."""
        folder, _, name = path.rpartition("/")
        found = self.folder(folder).get(name)
        return found.id if found and found.is_file else None

    def folder(self, path: str) -> dict[str, Entry]:
        """What is in a folder; nothing where there is none."""
        if path not in self._folders:
            above, _, name = path.rpartition("/")
            entry = self.folder(above).get(name) if path else None
            tree = self._tree if not path else entry.id if entry and entry.is_tree else None
            self._folders[path] = read_tree(self._objects, tree) if tree else {}
        return self._folders[path]

    def paths(self) -> list[str]:
        """All files."""
        return self._paths

    @cached_property
    def _paths(self) -> list[str]:
        return [path for path, entry in walk(self._objects, self._tree) if entry.is_file]


def with_edits(run: Record, published: TreeFiles) -> Record:
    """A run as its folder is now, with the edits that the ledger has: these are never in the folder."""
    ours = f"{layout.EDITS}/"

    def read(path: str) -> bytes | None:
        return published.read(path) if path.startswith(ours) else run.read(path)

    def paths() -> list[str]:
        own = [path for path in run.paths() if not path.startswith(ours)]
        return [*own, *(ours + entry.name for entry in published.folder(layout.EDITS).values() if entry.is_file)]

    return Record(read, paths, run.folder)


@dataclass(frozen=True)
class Found:
    """A run that was found.

    Attributes:
        exp_name: From its place.
        name: Its folder's name: ``test_name`` or ``test_name~uid``.
        path: Its place in the ledger; its info_dir where it is not published yet.
        record: The run; of one that is registered here as it is now.
    """

    exp_name: str
    name: str
    path: str
    record: Record

    @property
    def label(self) -> str:
        """``<exp_name>/<test_name>``."""
        return f"{self.exp_name}/{self.name}"

    @property
    def start(self) -> str:
        """When it started; empty where that cannot be read."""
        try:
            return str(self.record.progress.get("start") or "")
        except FormatError:
            return ""


class Runs:
    """The runs of one repository: those of the ledger, and those that wait to be published."""

    def __init__(self, objects: Objects, tree: str | None, pending: Iterator[Pending] | None = None):
        self._objects = objects
        self._tree = tree
        self._pending = list(pending or ())
        self._live: dict[tuple[str, str], Pending] = {}
        for item in self._pending:
            exp_name, test_name = item.record.info("exp_name"), item.record.info("test_name")
            self._live[exp_name, test_name] = item

    def newest(self) -> Iterator[Found]:
        """All runs, newest first; what is not asked for is not read."""
        waiting = sorted(self._waiting(), key=lambda found: found.start, reverse=True)
        if not waiting:
            return self._published()
        return heapq.merge(self._published(), waiting, key=lambda found: found.start, reverse=True)

    def _published(self) -> Iterator[Found]:
        days: dict[str, list[tuple[str, str]]] = {}
        for entry in read_tree(self._objects, self._tree).values() if self._tree else ():
            for day in read_tree(self._objects, entry.id).values() if entry.is_tree else ():
                if day.is_tree and layout.is_day(day.name):
                    days.setdefault(day.name, []).append((entry.name, day.id))
        for day_name in sorted(days, key=_century, reverse=True):
            groups = [self._day(exp_name, day_name, tree) for exp_name, tree in days[day_name]]
            if len(groups) == 1:
                yield from groups[0]
            else:
                yield from heapq.merge(*groups, key=lambda found: found.start, reverse=True)

    def _day(self, exp_name: str, day: str, tree: str) -> Iterator[Found]:
        """One experiment's runs of one day.

        Their ordinals say their order, unless two have the same one: then clones have counted apart, and the runs'
        own start times decide.
        """
        places = list(trees.day_places(self._objects, f"{exp_name}/{day}", tree))
        ordinals = [ids.ordinal_of(_name(place.path)) for place in places]
        if None not in ordinals and len(set(ordinals)) == len(ordinals):
            for _, place in sorted(zip(ordinals, places, strict=True), key=lambda pair: pair[0] or 0, reverse=True):
                found = self._found(place)
                if found:
                    yield found
            return
        listed = [found for place in places if (found := self._found(place))]
        yield from sorted(listed, key=lambda found: (found.start, found.name), reverse=True)

    def _found(self, place: trees.Place) -> Found | None:
        """The run at a place; None for a tombstone."""
        grave = read_tree(self._objects, place.tree).get(layout.PURGED)
        if grave and grave.is_file and layout.read_tombstone(read_blob(self._objects, grave.id)):
            return None
        exp_name, name = place.path.partition("/")[0], _name(place.path)
        files = TreeFiles(self._objects, place.tree)
        record = Record(files.read, files.paths, place.path)
        live = self._live.get((exp_name, name.partition("~")[0]))
        if live and _uid(record) == live.run.uid:
            record = with_edits(live.record, files)
        return Found(exp_name, name, place.path, record)

    def _waiting(self) -> list[Found]:
        """Registered runs that the ledger does not have yet."""
        found = []
        for (exp_name, test_name), item in self._live.items():
            if not trees.find(self._objects, self._tree, item.run.uid, [(exp_name, test_name)]):
                found.append(Found(exp_name, test_name, item.run.info_dir, item.record))
        return found

    def resolve(self, text: str) -> Found:
        """The run that a user means: ``@``, ``@~N``, a test_name or a prefix of one, ``EXP_NAME/PREFIX``, a uid prefix.

        Raises:
            NoSuchRun: If no run, or more than one, is meant; then with the candidates.
        """
        match = re.fullmatch(r"@(?:~(\d+))?", text, re.ASCII)
        if match:
            return self._nth(text, int(match[1] or 0))
        exp_name, slash, prefix = text.rpartition("/")
        wanted = exp_name if slash else None
        candidates = self._named(wanted, prefix)
        if not candidates and not slash and _UID_PREFIX.fullmatch(text):
            candidates = [found for found in self.newest() if _uid(found.record).startswith(text)]
        if len(candidates) == 1:
            return candidates[0]
        if not candidates:
            raise NoSuchRun(f"no run is called {text!r}\ntype 'git lumo log' to see what there is")
        listed = sorted(found.label for found in candidates)
        more = [f"  and {len(listed) - MAX_CANDIDATES} more"] if len(listed) > MAX_CANDIDATES else []
        names = [f"  {label}" for label in listed[:MAX_CANDIDATES]]
        raise NoSuchRun("\n".join([f"{text!r} may mean {len(listed)} runs; say more of the name:", *names, *more]))

    def _nth(self, text: str, n: int) -> Found:
        count = 0
        for found in self.newest():
            if count == n:
                return found
            count += 1
        if not count:
            raise NoSuchRun(
                "there are no runs yet\ntry: with gitlumo.SimpleExperiment('digits') as exp: exp.log({'acc': .93})"
            )
        raise NoSuchRun(f"{text} goes back too far: there are {count} runs, the oldest is @~{count - 1}")

    def _named(self, exp_name: str | None, prefix: str) -> list[Found]:
        """Runs whose name begins with ``prefix``; those of which it is the whole name win."""
        places = [place for place in trees.places(self._objects, self._tree) if _name(place.path).startswith(prefix)]
        found = [item for place in places if (item := self._found(place))]
        found += [item for item in self._waiting() if item.name.startswith(prefix)]
        if exp_name is not None:
            found = [item for item in found if item.exp_name == exp_name]
        exact = [item for item in found if item.name == prefix]
        return exact or found


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _uid(record: Record) -> str:
    try:
        return record.uid
    except LumoError:
        return ""


def _century(day: str) -> tuple[bool, str]:
    """A sort key for ``yymmdd``: years 70 to 99 are those of the last century (POSIX's %y)."""
    return day < "700000", day
