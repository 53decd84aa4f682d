"""Making the index, and keeping it up with the ledger.

It follows the ledger by the difference of two trees: that of the tips that it last saw, and that of the tips that are
there. It holds nothing of its own: deleted, damaged or of tips that are gone, it is made anew. Killed anywhere, what is
left is what was there before (rollback journal; a new file is made beside it and renamed). Never WAL: an orphan of it
after a kill, and network file systems.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable
from itertools import islice
from typing import Any

from gitlumo.errors import FormatError, GitError, MissingObject
from gitlumo.git.objects import BLOB, Folder, Objects, Staging, object_id, read_blob
from gitlumo.store import columns, layout, trees
from gitlumo.store.branch import Branch, View
from gitlumo.store.index import FILE, MARK, Index, connect, seen_by
from gitlumo.store.record import Record

BATCH = 2000  # runs
_ATTEMPTS = 5
_SCHEMA = f"""
PRAGMA application_id = {MARK};
PRAGMA user_version = 3;
CREATE TABLE meta (tips TEXT NOT NULL, made TEXT NOT NULL, last INTEGER NOT NULL);
CREATE TABLE run (id INTEGER PRIMARY KEY, place TEXT NOT NULL UNIQUE, tree BLOB NOT NULL, uid TEXT, start REAL,
                  trouble TEXT);
CREATE INDEX run_start ON run (start);
CREATE TABLE name (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE fact (key INTEGER NOT NULL, run INTEGER NOT NULL, value NOT NULL, PRIMARY KEY (key, run)) WITHOUT ROWID;
"""


def open_index(branch: Branch, view: View, cache_root: str) -> Index:
    """The index, as it is for a view.

    Args:
        branch: The ledger's branch.
        view: What is to be found in it.
        cache_root: Where it lies if the repository cannot be written.
    """
    name = hashlib.sha256(os.fsencode(branch.lumo_dir)).hexdigest()[:16]
    for path in (os.path.join(branch.lumo_dir, FILE), os.path.join(cache_root, f"{name}-{FILE}")):
        with contextlib.suppress(OSError, sqlite3.OperationalError):  # read-only, or full
            return _open(path, branch, view)
    connection = connect(":memory:")
    connection.executescript(_SCHEMA)
    _fill(connection, view.objects, None, view.tree, _tips(view))
    return Index(connection)


def _open(path: str, branch: Branch, view: View) -> Index:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    for _ in range(_ATTEMPTS):
        if not os.path.exists(path):
            _make(path, view)
        connection = connect(path)
        try:
            if not _follow(connection, branch, view):
                connection.close()
                _make(path, view)
                continue
            connection.execute("BEGIN")  # what is read from here on is of one state
            if seen_by(connection) == _tips(view):
                return Index(connection)
        except sqlite3.OperationalError:
            connection.close()
            raise
        except sqlite3.DatabaseError:  # damaged
            connection.close()
            _make(path, view)
            continue
        connection.close()  # somebody who sees other tips was faster
    raise sqlite3.OperationalError("the index does not come to rest")


def _tips(view: View) -> str:
    return " ".join(sorted(set(view.tips.values())))


def _make(path: str, view: View) -> None:
    """Make the file anew, beside it, and put it in its place."""
    fresh = f"{path}.{os.getpid()}-{os.urandom(4).hex()}"
    try:
        connection = connect(fresh)
        try:
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA synchronous = OFF")
            connection.executescript(_SCHEMA)
            connection.execute("BEGIN")
            _fill(connection, view.objects, None, view.tree, _tips(view))
            connection.execute("COMMIT")
        finally:
            connection.close()
        with open(fresh, "rb") as made:
            os.fsync(made.fileno())
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path}-journal")  # of the old file: it must not be played back into this one
        os.replace(fresh, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)


def _follow(connection: sqlite3.Connection, branch: Branch, view: View) -> bool:
    """Bring the index from the tips that it has seen to those of a view; False: make it anew.

    Raises:
        sqlite3.DatabaseError: If the file is damaged; of these OperationalError, if it cannot be written.
    """
    tips = _tips(view)
    if seen_by(connection) == tips:
        return True
    try:
        connection.execute("BEGIN IMMEDIATE")
        seen = seen_by(connection)
        if seen is None:
            connection.execute("ROLLBACK")
            return False
        if seen != tips:
            _fill(connection, view.objects, branch.joined(Staging(view.objects), seen.split()), view.tree, tips)
        connection.execute("COMMIT")
    except (MissingObject, GitError):  # those tips are gone: the branch was rewritten, and then pruned
        connection.execute("ROLLBACK")
        return False
    return True


def _fill(connection: sqlite3.Connection, objects: Objects, old: str | None, new: str | None, tips: str) -> None:
    """Write what differs between two trees of the ledger."""
    names: dict[str, int] = dict(connection.execute("SELECT name, id FROM name"))
    changes = (
        (path, after.id if after and after.is_tree else None)
        for path, before, after in trees.unit_differences(objects, old, new)
        if (before and before.is_tree) or (after and after.is_tree)  # else it is a stranger's file
    )
    while part := list(islice(changes, BATCH)):
        if old is not None:
            _forget(connection, [path for path, _ in part])
        _enter(connection, names, objects, [(path, tree) for path, tree in part if tree])
    (highest,) = connection.execute("SELECT coalesce(max(id), 0) FROM run").fetchone()
    if connection.execute("UPDATE meta SET tips = ?, last = max(last, ?)", (tips, highest)).rowcount == 0:
        connection.execute("INSERT INTO meta VALUES (?, hex(randomblob(8)), ?)", (tips, highest))


def _forget(connection: sqlite3.Connection, places: Iterable[str]) -> None:
    gone = []
    for place in places:
        gone += connection.execute("SELECT id FROM run WHERE place = ?", (place,)).fetchall()
    keys = [key for (key,) in connection.execute("SELECT id FROM name")]
    if len(gone) * len(keys) < 100_000:
        connection.executemany("DELETE FROM fact WHERE key = ? AND run = ?", ((k, id) for (id,) in gone for k in keys))
    else:
        connection.execute("CREATE TEMP TABLE gone (id INTEGER PRIMARY KEY)")
        connection.executemany("INSERT INTO gone VALUES (?)", gone)
        connection.execute("DELETE FROM fact WHERE run IN (SELECT id FROM gone)")
        connection.execute("DROP TABLE gone")
    connection.executemany("DELETE FROM run WHERE id = ?", gone)


def _enter(
    connection: sqlite3.Connection, names: dict[str, int], objects: Objects, places: Iterable[tuple[str, str]]
) -> None:
    # Ids are never used again, so that who has seen the index before knows what is new in it.
    (last,) = connection.execute("SELECT coalesce(max(last), 0) FROM meta").fetchone()
    (highest,) = connection.execute("SELECT coalesce(max(id), 0) FROM run").fetchone()
    last = max(last, highest)
    runs = []
    facts: dict[str, tuple[list[int], list[columns.Column]]] = {}  # by column, as the table lies
    known: dict[str, Any] = {}
    for place, tree in places:
        run = _Reading(objects, tree, place, known)
        if run.is_purged:
            continue
        found, trouble = run.columns()
        last += 1
        runs.append((last, place, bytes.fromhex(tree), found.get("uid"), found.get("start"), trouble))
        for name, value in found.items():
            if name not in facts:
                facts[name] = [], []
            ids, held = facts[name]
            ids.append(last)
            held.append(value)
    connection.executemany("INSERT INTO run VALUES (?, ?, ?, ?, ?, ?)", runs)
    for name in facts:
        if name not in names:
            names[name] = len(names) + 1
            connection.execute("INSERT INTO name VALUES (?, ?)", (names[name], name))
    for name in sorted(facts, key=names.__getitem__):
        ids, held = facts[name]
        rows = zip(ids, map(columns.to_sql, held), strict=True)
        connection.executemany(f"INSERT INTO fact VALUES ({names[name]:d}, ?, ?)", rows)


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
