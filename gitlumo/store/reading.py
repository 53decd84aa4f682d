"""Reading runs for the index: many, each once, and of each what says something."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from gitlumo.errors import FormatError, MissingObject
from gitlumo.git.objects import BLOB, Folder, Objects, object_id, read_blob
from gitlumo.store import columns, layout
from gitlumo.store.record import Record

Places = list[tuple[str, str]]
"""Where runs lie, and the ids of their folders."""


class Part(NamedTuple):
    """Some runs as the index takes them.

    Attributes:
        runs: (place, tree, uid, start, trouble) of each; see :class:`gitlumo.store.index.Indexed`.
        facts: By column: the runs that have it, as their numbers in ``runs``, and what SQLite is to hold.
    """

    runs: list[tuple[str, str, str | None, float | None, str | None]]
    facts: dict[str, tuple[list[int], list[columns.Held]]]


def read_part(objects: Objects, places: Iterable[tuple[str, str]]) -> Part:
    """Read some runs, but not those that were purged."""
    runs: list[Any] = []
    found: dict[str, tuple[list[int], list[columns.Column]]] = {}
    known: dict[str, Any] = {}
    for place, tree in places:
        run = _Reading(objects, tree, place, known)
        if run.is_purged:
            continue
        (row, trouble), number = run.columns(), len(runs)
        for name, value in row.items():
            if name not in found:
                found[name] = [], []
            numbers, column = found[name]
            numbers.append(number)
            column.append(value)
        runs.append((place, tree, row.get("uid"), row.get("start"), trouble))
    return Part(runs, {name: (numbers, list(map(columns.to_sql, column))) for name, (numbers, column) in found.items()})


_OWN = frozenset({"uid", "progress", "pinfo"})  # no two runs have the same


@functools.cache
def _file_name(key: str) -> bytes:
    return layout.info_path(key).rpartition("/")[2].encode()


class _Reading(Record):
    """A run as the index reads it: what many runs share is read and parsed once."""

    def __init__(self, objects: Objects, tree: str, place: str, known: dict[str, Any]):
        """Look at a run.

        Args:
            objects: Where it is.
            tree: The id of its folder.
            place: Where that lies.
            known: Id of a blob to its value, shared by the readings of a batch.
        """
        self._objects = objects
        self._known = known
        name = place.rpartition("/")[2]  # mostly what test_name says: then its blob is known without being read
        if name.isascii():
            known[object_id(objects.hash_name, BLOB, b"%s\n" % json.dumps(name).encode())] = name
        self._seen: dict[str, Any] = {}  # by key, because each is asked for more than once
        self._top = Folder(objects, tree)
        info, edits = self._top.tree(b"info"), self._top.tree(layout.EDITS.encode())
        self._info = Folder(objects, info) if info else None
        self._folders = {"": self._top, layout.EDITS: Folder(objects, edits) if edits else None}
        super().__init__(self._read, self._edits, place)

    def _id(self, path: str) -> str | None:
        folder, _, name = path.rpartition("/")
        there = self._folders.get(folder)
        return there.file(name.encode("utf-8", "surrogateescape")) if there else None

    def _read(self, path: str) -> bytes | None:
        id = self._id(path)
        return None if id is None else read_blob(self._objects, id)

    def _edits(self) -> list[str]:
        edits = self._folders[layout.EDITS]
        return [f"{layout.EDITS}/{name}" for name in edits.files()] if edits else []

    @property
    def is_purged(self) -> bool:
        data = self.read(layout.PURGED)
        return data is not None and layout.read_tombstone(data) is not None

    def info(self, key: str) -> Any:
        if key not in self._seen:
            self._seen[key] = self._info_of(key)
        return self._seen[key]

    def _info_of(self, key: str) -> Any:
        id = self._info.file(_file_name(key)) if self._info else None
        if id is None:
            return None
        if id in self._known:
            return self._known[id]
        value = self.parsed(key, layout.info_path(key), read_blob(self._objects, id))
        if key not in _OWN:
            self._known[id] = value
        return value

    def columns(self) -> tuple[dict[str, columns.Column], str | None]:
        """Its columns; and what is damaged in it, if anything is: then they say only where it lies."""
        try:
            self.check()
            return columns.columns_of(self), None
        except (FormatError, MissingObject) as error:
            exp_name, name = self.folder.partition("/")[0], self.folder.rpartition("/")[2].partition("~")[0]
            return {"exp": exp_name, "name": name}, str(error)

    def check(self) -> None:
        format, progress = self.info("format"), self.info("progress")
        plain = isinstance(format, dict) and format.get("version") == layout.VERSION and isinstance(progress, dict)
        if not (plain and layout.identity_of(self.info)):
            super().check()
