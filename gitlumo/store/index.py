"""The index: an SQLite file that mirrors the ledger, so that questions about all runs read none of them.

Reading it needs neither the ledger nor an engine; :mod:`gitlumo.store.indexing` makes it, and keeps it up.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from gitlumo import ids
from gitlumo.errors import IndexDamaged
from gitlumo.store import columns

FILE = "index-2.sqlite"  # the number is the schema's: another version of gitlumo has a file of its own
BUSY_SECONDS = 30.0
_DAMAGES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
MARK = 0x6C756D6F  # "lumo"; with the schema's number it says that a file is ours


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
        return ids.label_of(self.place)


class Index:
    """The runs of a view of the ledger; open while it is read, closed by :meth:`close`.

    Each question raises IndexDamaged if the file is found damaged.
    """

    def __init__(self, connection: sqlite3.Connection):
        self.connection = connection
        self._ids: dict[int, list[int]] = {}

    @property
    def state(self) -> tuple[str, int, str]:
        """Which file this is, the highest id that it has given (what is new has a higher one), and its tips."""
        ((made, last, tips),) = self.rows("SELECT made, last, tips FROM meta")
        return made, last, tips

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """What a query gives."""
        with self._sound():
            return self.connection.execute(sql, values).fetchall()

    @contextlib.contextmanager
    def _sound(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGES:
                raise
            ((_, _, path), *_) = self.connection.execute("PRAGMA database_list")
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise IndexDamaged(f"the index was damaged ({error}) and has been taken away; ask again") from None

    def runs(self, where: str = "1", values: Sequence[Any] = ()) -> Iterator[Indexed]:
        """Runs, the newest first.

        Args:
            where: An SQL expression over ``run.id``.
            values: What it binds.
        """
        sql = f"SELECT id, place, tree, uid, start, trouble FROM run WHERE {where} ORDER BY start DESC, place DESC"
        with self._sound():
            for id, place, tree, *rest in self.connection.execute(sql, values):
                yield Indexed(id, place, tree.hex(), *rest)

    def count(self) -> int:
        """How many runs there are."""
        return int(self.rows("SELECT count(*) FROM run")[0][0])

    def names(self) -> list[str]:
        """All columns that any run has."""
        found = self.rows("SELECT name FROM name WHERE EXISTS (SELECT 1 FROM fact WHERE key = name.id)")
        return sorted(name for (name,) in found)

    def column(self, name: str) -> Iterator[tuple[int, Any]]:
        """One column: (run, value) of each run that has it."""
        for run, held in zip(*self.whole(name), strict=True):
            yield run, columns.from_sql(held)

    def different(self, name: str) -> list[Any]:
        """The values of a column, each once."""
        sql = "SELECT DISTINCT value FROM fact WHERE key = (SELECT id FROM name WHERE name = ?)"
        return [columns.from_sql(held) for (held,) in self.rows(sql, (name,))]

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
        with self._sound():
            values = [value for (value,) in self.connection.execute(f"SELECT value {sql}", (name, above))]
        every = self.ids(above)
        if len(values) == len(every):  # the most common case: all have it
            return every, values
        return self.integers(f"SELECT run AS found {sql}", (name, above)), values

    def ids(self, above: int = 0) -> list[int]:
        """The ids of all runs, those above one."""
        if above not in self._ids:
            self._ids[above] = self.integers("SELECT id AS found FROM run WHERE id > ? ORDER BY id", (above,))
        return self._ids[above]

    def integers(self, sql: str, values: Sequence[Any]) -> list[int]:
        """The column ``found`` of a query, integers: as one JSON text, in half the time that so many rows take."""
        ((text,),) = self.rows(f"SELECT json_group_array(found) FROM ({sql})", values)
        found: list[int] = json.loads(text)
        return found

    def of(self, run: int) -> dict[str, columns.Column]:
        """All columns of one run."""
        sql = "SELECT name, value FROM name CROSS JOIN fact ON key = id AND run = ?"  # a look-up for each name
        return {name: columns.from_sql(held) for name, held in self.rows(sql, (run,))}

    def types(self, name: str) -> set[str]:
        """What SQLite calls the values of a column: ``integer``, ``real``, ``text``, ``blob``."""
        sql = "SELECT DISTINCT typeof(value) FROM fact WHERE key = (SELECT id FROM name WHERE name = ?)"
        return {kind for (kind,) in self.rows(sql, (name,))}

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()


def peek(lumo_dir: str, tips: Iterable[str] | None = None) -> Index | None:
    """The index, if it is of these tips already; nothing is written, and no object is read.

    Args:
        lumo_dir: gitlumo's folder in the git common dir.
        tips: The tips; None: whatever it is of, for what may be late, but not slow.
    """
    path = os.path.join(lumo_dir, FILE)
    if not os.path.exists(path):
        return None
    with contextlib.suppress(sqlite3.Error):
        connection = connect(path)
        with contextlib.suppress(sqlite3.Error):
            connection.execute("BEGIN")
            seen = seen_by(connection)
            if seen is not None and (tips is None or seen == " ".join(sorted(set(tips)))):
                return Index(connection)
        connection.close()
    return None


def connect(path: str) -> sqlite3.Connection:
    """Open a file, as all do: each transaction begins where it is written."""
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)


def seen_by(connection: sqlite3.Connection) -> str | None:
    """The tips that a file is of; None: it is no index of ours.

    Raises:
        sqlite3.DatabaseError: If it is damaged.
    """
    if connection.execute("PRAGMA application_id").fetchone() != (MARK,):
        return None
    found = connection.execute("SELECT tips FROM meta").fetchone()
    return found[0] if found and isinstance(found[0], str) else None
