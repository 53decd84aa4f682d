"""The index: an SQLite file that mirrors the ledger, so that questions about all runs read none of them.

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
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from gitlumo import values
from gitlumo.errors import FormatError, GitError, MissingObject
from gitlumo.git.objects import BLOB, Objects, Staging, object_id, read_blob, read_files, read_tree
from gitlumo.store import columns, layout, trees
from gitlumo.store.branch import Branch, View
from gitlumo.store.record import Record

FILE = "index-2.sqlite"  # the number is the schema's: another version of gitlumo has a file of its own
BUSY_SECONDS = 30.0
BATCH = 2000  # runs
_ATTEMPTS = 5
_MARK = 0x6C756D6F  # "lumo"; with the schema's number it says that a file is ours
_SCHEMA = f"""
PRAGMA application_id = {_MARK};
PRAGMA user_version = 2;
CREATE TABLE meta (tips TEXT NOT NULL, made TEXT NOT NULL, last INTEGER NOT NULL);
CREATE TABLE run (id INTEGER PRIMARY KEY, place TEXT NOT NULL UNIQUE, tree BLOB NOT NULL, uid TEXT, start REAL,
                  trouble TEXT);
CREATE INDEX run_start ON run (start);
CREATE TABLE name (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE fact (key INTEGER NOT NULL, run INTEGER NOT NULL, value NOT NULL, PRIMARY KEY (key, run)) WITHOUT ROWID;
"""


class Indexed(NamedTuple):
    """A run in the index.

    Attributes:
        id: Its number there; it means nothing elsewhere, and is never given again.
        place: Where it lies in the ledger.
        tree: The id of its folder.
        uid: Its uid; None where that cannot be read.
        start: When it started, in seconds since 1970; None where that cannot be read.
        trouble: What is damaged in it; None: nothing.
    """

    id: int
    place: str
    tree: str
    uid: str | None
    start: float | None
    trouble: str | None

    @property
    def label(self) -> str:
        """``<exp_name>/<test_name>``."""
        return trees.label_of(self.place)


class Index:
    """The runs of a view of the ledger; open while it is read, closed by :meth:`close`."""

    def __init__(self, connection: sqlite3.Connection):
        self.connection = connection
        self._ids: dict[int, list[int]] = {}

    @property
    def state(self) -> tuple[str, int]:
        """Which file this is, and the highest id that it has given: what is new or has changed has a higher one."""
        made, last = self.connection.execute("SELECT made, last FROM meta").fetchone()
        return made, last

    def runs(self, where: str = "1", values: Sequence[Any] = ()) -> Iterator[Indexed]:
        """Runs, the newest first.

        Args:
            where: An SQL expression over ``run.id``.
            values: What it binds.
        """
        sql = f"SELECT id, place, tree, uid, start, trouble FROM run WHERE {where} ORDER BY start DESC, place DESC"
        for id, place, tree, *rest in self.connection.execute(sql, values):
            yield Indexed(id, place, tree.hex(), *rest)

    def count(self) -> int:
        """How many runs there are."""
        return int(self.connection.execute("SELECT count(*) FROM run").fetchone()[0])

    def names(self) -> list[str]:
        """All columns that any run has."""
        found = self.connection.execute("SELECT name FROM name WHERE EXISTS (SELECT 1 FROM fact WHERE key = name.id)")
        return sorted(name for (name,) in found)

    def column(self, name: str) -> Iterator[tuple[int, Any]]:
        """One column: (run, value) of each run that has it."""
        for run, held in zip(*self.whole(name), strict=True):
            yield run, columns.from_sql(held)

    def whole(self, name: str, above: int = 0) -> tuple[list[int], list[columns.Held]]:
        """As :meth:`held`; a statistic of a metric is there for all runs that have the metric."""
        runs, values = self.held(name, above)
        base = columns.base_of(name)
        if base is None or len(runs) == len(self.ids(above)):
            return runs, values
        found = dict(zip(*self.held(base, above), strict=True)) | dict(zip(runs, values, strict=True))
        return list(found), list(found.values())

    def held(self, name: str, above: int = 0) -> tuple[list[int], list[columns.Held]]:
        """One column of the runs whose id is above one: their ids, and the values as SQLite holds them."""
        sql = "FROM fact WHERE key = (SELECT id FROM name WHERE name = ?) AND run > ? ORDER BY run"
        values = [value for (value,) in self.connection.execute(f"SELECT value {sql}", (name, above))]
        every = self.ids(above)
        if len(values) == len(every):  # the most common case: all have it
            return every, values
        return [run for (run,) in self.connection.execute(f"SELECT run {sql}", (name, above))], values

    def ids(self, above: int = 0) -> list[int]:
        """The ids of all runs, those above one."""
        if above not in self._ids:
            sql = "SELECT id FROM run WHERE id > ? ORDER BY id"
            self._ids[above] = [id for (id,) in self.connection.execute(sql, (above,))]
        return self._ids[above]

    def of(self, run: int) -> dict[str, columns.Column]:
        """All columns of one run."""
        sql = "SELECT name, value FROM name CROSS JOIN fact ON key = id AND run = ?"  # a look-up for each name
        return {name: columns.from_sql(held) for name, held in self.connection.execute(sql, (run,))}

    def types(self, name: str) -> set[str]:
        """What SQLite calls the values of a column: ``integer``, ``real``, ``text``, ``blob``."""
        sql = "SELECT DISTINCT typeof(value) FROM fact WHERE key = (SELECT id FROM name WHERE name = ?)"
        return {kind for (kind,) in self.connection.execute(sql, (name,))}

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()


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
    connection = _connect(":memory:")
    connection.executescript(_SCHEMA)
    _fill(connection, view.objects, None, view.tree, _tips(view))
    return Index(connection)


def peek(lumo_dir: str, tips: Iterable[str]) -> Index | None:
    """The index, if it is of these tips already; nothing is written, and no object is read."""
    path = os.path.join(lumo_dir, FILE)
    if not os.path.exists(path):
        return None
    connection = _connect(path)
    with contextlib.suppress(sqlite3.Error):
        connection.execute("BEGIN")
        if _seen(connection) == " ".join(sorted(set(tips))):
            return Index(connection)
    connection.close()
    return None


def _open(path: str, branch: Branch, view: View) -> Index:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    for _ in range(_ATTEMPTS):
        if not os.path.exists(path):
            _make(path, view)
        connection = _connect(path)
        try:
            if not _follow(connection, branch, view):
                connection.close()
                _make(path, view)
                continue
            connection.execute("BEGIN")  # what is read from here on is of one state
            if _seen(connection) == _tips(view):
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


def _connect(path: str) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)


def _tips(view: View) -> str:
    return " ".join(sorted(set(view.tips.values())))


def _seen(connection: sqlite3.Connection) -> str | None:
    """The tips that a file is of; None: it is no index of ours.

    Raises:
        sqlite3.DatabaseError: If it is damaged.
    """
    if connection.execute("PRAGMA application_id").fetchone() != (_MARK,):
        return None
    found = connection.execute("SELECT tips FROM meta").fetchone()
    return found[0] if found and isinstance(found[0], str) else None


def _make(path: str, view: View) -> None:
    """Make the file anew, beside it, and put it in its place."""
    fresh = f"{path}.{os.getpid()}-{os.urandom(4).hex()}"
    try:
        connection = _connect(fresh)
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
    if _seen(connection) == tips:
        return True
    try:
        connection.execute("BEGIN IMMEDIATE")
        seen = _seen(connection)
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
    facts: defaultdict[int, list[tuple[int, int, Any]]] = defaultdict(list)  # by column, as the table lies
    known: dict[str, Any] = {}
    for place, tree in places:
        run = _Reading(objects, tree, place, known)
        if run.is_purged:
            continue
        found, trouble = run.columns()
        last += 1
        runs.append((last, place, bytes.fromhex(tree), found.get("uid"), found.get("start"), trouble))
        for name, value in found.items():
            if name not in names:
                names[name] = len(names) + 1
                connection.execute("INSERT INTO name VALUES (?, ?)", (names[name], name))
            key = names[name]
            facts[key].append((key, last, value if type(value) is str else columns.to_sql(value)))
    connection.executemany("INSERT INTO run VALUES (?, ?, ?, ?, ?, ?)", runs)
    for key in sorted(facts):
        connection.executemany("INSERT INTO fact VALUES (?, ?, ?)", facts[key])


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
            known[object_id(objects.hash_name, BLOB, values.to_bytes(name))] = name
        self._seen: dict[str, Any] = {}  # by key, because each is asked for more than once
        self._top = read_tree(objects, tree)
        self._ids = {folder: self._files_in(folder) for folder in ("info", layout.EDITS) if folder in self._top}
        super().__init__(self._read, self._edits, place)

    def _files_in(self, folder: str) -> dict[str, str]:
        entry = self._top[folder]
        return read_files(self._objects, entry.id) if entry.is_tree else {}

    def _id(self, path: str) -> str | None:
        folder, _, name = path.rpartition("/")
        if folder:
            return self._ids.get(folder, {}).get(name)
        found = self._top.get(name)
        return found.id if found and found.is_file else None

    def _read(self, path: str) -> bytes | None:
        id = self._id(path)
        return None if id is None else read_blob(self._objects, id)

    def _edits(self) -> list[str]:
        return [f"{layout.EDITS}/{name}" for name in self._ids.get(layout.EDITS, ())]

    @property
    def is_purged(self) -> bool:
        data = self.read(layout.PURGED)
        return data is not None and layout.read_tombstone(data) is not None

    def info(self, key: str) -> Any:
        if key not in self._seen:
            id = self._id(layout.info_path(key))
            if id is not None and id not in self._known:
                self._known[id] = super().info(key)
            self._seen[key] = None if id is None else self._known[id]
        return self._seen[key]

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
