"""Making the index, and keeping it up with the ledger.

It follows the ledger by the difference of two trees: that of the tips that it last saw, and that of the tips that are
there. It holds nothing of its own: deleted, damaged or of tips that are gone, it is made anew. Killed anywhere, what is
left is what was there before (rollback journal; a new file is made beside it and renamed). Never WAL: an orphan of it
after a kill, and network file systems.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Iterable
from itertools import islice

from gitlumo.errors import GitError, MissingObject
from gitlumo.git.objects import Staging
from gitlumo.store import second_reader, trees
from gitlumo.store.branch import Branch, View
from gitlumo.store.index import FILE, MARK, Index, connect, seen_by
from gitlumo.store.reading import Part, Places

BATCH = 500  # runs
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
    _fill(connection, view, None)
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
            _fill(connection, view, None)
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
            _fill(connection, view, branch.joined(Staging(view.objects), seen.split()))
        connection.execute("COMMIT")
    except (MissingObject, GitError):  # those tips are gone: the branch was rewritten, and then pruned
        connection.execute("ROLLBACK")
        return False
    return True


def _fill(connection: sqlite3.Connection, view: View, old: str | None) -> None:
    """Write what differs between an old tree of the ledger and that of a view."""
    names: dict[str, int] = dict(connection.execute("SELECT name, id FROM name"))
    changes = (
        (path, after.id if after and after.is_tree else None)
        for path, before, after in trees.unit_differences(view.objects, old, view.tree)
        if (before and before.is_tree) or (after and after.is_tree)  # else it is a stranger's file
    )

    def take(runs: int) -> Places | None:
        part = list(islice(changes, runs))
        if old is not None:
            _forget(connection, [path for path, _ in part])
        return [(path, tree) for path, tree in part if tree] if part else None

    with contextlib.closing(second_reader.parts(view, take, BATCH)) as parts:
        for part in parts:
            _enter(connection, names, part)
    tips = _tips(view)
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


def _enter(connection: sqlite3.Connection, names: dict[str, int], part: Part) -> None:
    # Ids are never used again, so that who has seen the index before knows what is new in it.
    (last,) = connection.execute("SELECT coalesce(max(last), 0) FROM meta").fetchone()
    (highest,) = connection.execute("SELECT coalesce(max(id), 0) FROM run").fetchone()
    first = max(last, highest) + 1
    runs = ((id, place, bytes.fromhex(tree), *rest) for id, (place, tree, *rest) in enumerate(part.runs, first))
    connection.executemany("INSERT INTO run VALUES (?, ?, ?, ?, ?, ?)", runs)
    for name in part.facts:
        if name not in names:
            names[name] = len(names) + 1
            connection.execute("INSERT INTO name VALUES (?, ?)", (names[name], name))
    for name in sorted(part.facts, key=names.__getitem__):  # as the table lies
        numbers, held = part.facts[name]
        ids = map(first.__add__, numbers)
        connection.executemany(f"INSERT INTO fact VALUES ({names[name]:d}, ?, ?)", zip(ids, held, strict=True))
