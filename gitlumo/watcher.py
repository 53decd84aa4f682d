"""The read side: all runs of a repository, as rows, as data frames, and each as an experiment that can be read."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from gitlumo.beginning import roots
from gitlumo.condition import Condition, test
from gitlumo.config import read_settings
from gitlumo.errors import FormatError, IndexDamaged, LumoError
from gitlumo.git.repository import Repository, open_repository
from gitlumo.home import Home
from gitlumo.naming import resolved
from gitlumo.revisions import Revisions
from gitlumo.store import columns, trees
from gitlumo.store.branch import Branch, View
from gitlumo.store.columns import Column
from gitlumo.store.index import Indexed
from gitlumo.store.indexing import open_index
from gitlumo.store.pending import Pending, pending_runs
from gitlumo.store.query import Found, Runs, TreeFiles, with_edits
from gitlumo.store.record import Record
from gitlumo.where import functions, to_sql

if TYPE_CHECKING:
    import pandas

    from gitlumo.experiment import Experiment
    from gitlumo.frames import Frames


T = TypeVar("T")
_KINDS = {int: "integer", float: "real", str: "text", bytes: "blob"}


class Row:
    """One run as a row.

    Attributes:
        id: Its number in the index; None where it is not from there.
        found: Where it is, and its record.
        start: When it started, in seconds since 1970.
        trouble: What is damaged in it; None: nothing.
    """

    def __init__(
        self,
        id: int | None,
        found: Found,
        start: float | None,
        trouble: str | None,
        read: Callable[[], dict[str, Column]],
    ):
        self.id = id
        self.found = found
        self.start = start or 0.0
        self.trouble = trouble
        self._read = read

    @cached_property
    def columns(self) -> dict[str, Column]:
        """All its columns; see :mod:`gitlumo.store.columns`."""
        return self._read()


class Selection:
    """The runs of a repository at one moment: the index, and over it those that are being recorded."""

    def __init__(self, branch: Branch, cache_root: str, prepare: Callable[[Pending], None] | None = None):
        """Look at a ledger.

        Args:
            branch: Its branch.
            cache_root: Where the index lies if the repository cannot be written.
            prepare: Called with each run that is being recorded before it is read: who has its metrics already puts
                them into ``extra``.
        """
        view = branch.view()
        self._objects = view.objects
        self.index = open_index(branch, view, cache_root)
        functions(self.index.connection)
        self.live = {pending.run.uid: _live_row(pending, view, prepare) for pending in pending_runs(branch)}

    def __enter__(self) -> Selection:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the index."""
        self.index.close()

    def rows(self, where: Condition | None = None) -> Iterator[Row]:
        """The runs for which a condition holds, the newest first."""
        sql, bound = to_sql(where) if where is not None else ("1", [])
        rest = (self._row(entry) for entry in self.index.runs(sql, bound) if entry.uid not in self.live)
        return heapq.merge(rest, self.live_rows(where), key=lambda row: row.start, reverse=True)

    def live_rows(self, where: Condition | None = None) -> list[Row]:
        """Those of the runs that are being recorded, or wait to be published, for which a condition holds."""
        chosen = [row for row in self.live.values() if where is None or test(where, row.columns)]
        return sorted(chosen, key=lambda row: row.start, reverse=True)

    def _row(self, entry: Indexed) -> Row:
        files = TreeFiles(self._objects, entry.tree)
        exp_name, name = entry.place.partition("/")[0], entry.place.rpartition("/")[2]
        found = Found(exp_name, name, entry.place, Record(files.read, files.paths, entry.place))
        return Row(entry.id, found, entry.start, entry.trouble, lambda: self.index.of(entry.id))

    def column(self, name: str) -> Callable[[Row], Column]:
        """One column of all runs, read at once: gives a row's value, None where it has none."""
        held = dict(self.index.column(name))
        return lambda row: columns.value(row.columns, name) if row.id is None else held.get(row.id)

    def types(self, name: str) -> set[str]:
        """What SQLite calls, or would call, the values of a column: ``integer``, ``real``, ``text``, ``blob``."""
        held = (columns.to_sql(row.columns[name]) for row in self.live.values() if name in row.columns)
        return self.index.types(name) | {_KINDS[type(value)] for value in held}

    def names(self) -> list[str]:
        """All columns that any run has."""
        return sorted({*self.index.names(), *(name for row in self.live.values() for name in row.columns)})


def _live_row(pending: Pending, view: View, prepare: Callable[[Pending], None] | None) -> Row:
    if prepare:
        prepare(pending)
    record, trouble = pending.record, None
    read: dict[str, Column] = {}
    try:
        name = record.info("exp_name"), record.info("test_name")
        there = trees.find(view.objects, view.tree, pending.run.uid, [name])
        if there:  # edits are nowhere else
            record = with_edits(record, TreeFiles(view.objects, there.folder))
        read = columns.columns_of(record)
    except FormatError as error:
        trouble = str(error)
    found = Found(str(record.info("exp_name")), str(record.info("test_name")), pending.run.info_dir, record)
    start = read.get("start")
    return Row(None, found, start if isinstance(start, float) else None, trouble, lambda: read)


class Watcher:
    """All runs of one repository: those of its ledgers, and those that are being recorded.

    Example:
        >>> from gitlumo import C, Watcher
        >>> df = Watcher().load(C['params.lr'] < .1)
    """

    def __init__(self, repo: str | os.PathLike[str] | None = None):
        """Look at a repository.

        Args:
            repo: A folder in it; None: the current folder.

        Raises:
            NotARepository: If there is none.
        """
        self._repository = open_repository(repo)
        self._settings = read_settings(self._repository.config)
        self._branch = Branch(self._repository, self._settings)
        self._roots = roots(self._settings, self._branch.lumo_dir)
        self._frames: Frames | None = None

    def _select(self) -> Selection:
        self._repository.objects.refresh()
        return Selection(self._branch, self._roots["cache_root"])

    def _answer(self, question: Callable[[Selection, Condition | None], T], where: Where) -> T:
        """What is asked of a selection; of a new one, if the index is found damaged."""
        try:
            with self._select() as selection:
                return question(selection, _full(where, selection, self._repository))
        except IndexDamaged:
            with self._select() as selection:
                return question(selection, _full(where, selection, self._repository))

    def rows(self, where: Where = None, columns: str | Iterable[str] | None = None) -> list[dict[str, Any]]:
        """The runs as plain dicts, the newest first; it needs no pandas.

        Args:
            where: Which runs, as ``C['lr'] < .1`` or as text, ``'lr < 0.1'``; None: all.
            columns: Which columns; None: all that a run has.

        Raises:
            UsageError: For a condition that is none.
            LumoError: If the ledger cannot be read.
        """
        wanted = _listed(columns)
        return self._answer(lambda selection, full: [_shown(row, wanted) for row in selection.rows(full)], where)

    def load(
        self, where: Where = None, columns: str | Iterable[str] | None = None, *, incremental: bool = True
    ) -> pandas.DataFrame:
        """The runs as a data frame: a row for each, the newest first; its index is the test_name.

        Args:
            where: Which runs, as ``C['lr'] < .1`` or as text, ``'lr < 0.1'``; None: all.
            columns: Which columns, ``params.lr``, ``metrics.acc``, ``state``, ...; None: all that any run has.
            incremental: Whether to read only what has changed since the last time, which gives the same.

        Returns:
            Numbers as float64 or Int64, times in UTC, texts that repeat as categories. Beside parameters and metrics
            it has what ``exp.properties`` calls so: exp_name, test_name, uid, state, note, tags, deprecated, ...

        Raises:
            UsageError: For a condition that is none, a column that no run has, or if pandas is not installed.
            LumoError: If the ledger cannot be read.
        """
        from gitlumo.frames import Frames

        if self._frames is None or not incremental:
            self._frames = Frames(str(self._repository.location.work_tree or self._repository.location.common_dir))
        frames, wanted = self._frames, _listed(columns)
        return self._answer(lambda selection, full: frames.load(selection, full, wanted), where)

    def history(self, keys: str | Iterable[str] | None = None, where: Where = None) -> pandas.DataFrame:
        """The curves of runs as one long data frame: exp_name, test_name, metric, step, time, value.

        Args:
            keys: Which metrics; None: all.
            where: Which runs, as ``C['lr'] < .1`` or as text, ``'lr < 0.1'``; None: all.

        Raises:
            UsageError: For a condition that is none, or if pandas is not installed.
            LumoError: If the ledger cannot be read.
        """
        from gitlumo.frames import curves

        wanted = _listed(keys)
        return self._answer(lambda selection, full: curves(selection.rows(full), wanted), where)

    def retrieve(self, prefix: str) -> Experiment:
        """One run, to read and to edit.

        Args:
            prefix: A test_name or a prefix of one, ``EXP_NAME/PREFIX``, a prefix of a uid, ``@``, ``@~N``.

        Raises:
            NoSuchRun: If no run, or more than one, is meant; then with the candidates.
        """
        from gitlumo.experiment import Experiment

        return Experiment.from_record(*self.find(prefix))

    def find(self, prefix: str) -> tuple[Record, dict[str, str], str]:
        """What :meth:`gitlumo.Experiment.from_record` takes; see :meth:`retrieve`."""
        self._repository.objects.refresh()
        view = self._branch.view()
        found = Runs(view.objects, view.tree, pending_runs(self._branch)).resolve(prefix)
        return found.record, self._roots, self._branch.lumo_dir

    def panel(
        self,
        df: pandas.DataFrame | None = None,
        widgets: Sequence[Callable[[pandas.DataFrame], Any]] = (),
        *,
        port: int | None = None,
        open_browser: bool = True,
    ) -> Any:
        """Show runs as the board: in a notebook below the cell, in a script in a browser, until Ctrl-C.

        Args:
            df: What :meth:`load` gave, filtered or with columns of your own; a row whose uid is not known here has no
                curves. None: all runs, and those that come.
            widgets: Functions from a data frame, the runs that are looked at, to what panel can show: a figure, a
                table, a text. Each has a tab; what it raises is shown there. Recorded names and notes may be a
                stranger's: put none into what renders HTML (``pn.pane.HTML``, ``Markdown``).
            port: Where to listen, on 127.0.0.1 only; None: 5866, or the next one that is free.
            open_browser: Whether to open a browser; the address is printed in any case.

        Returns:
            In a notebook what is displayed; in a script nothing.

        Raises:
            UsageError: If panel is not installed, or what is given is no such data frame, function or port.
            LumoError: If the ledger cannot be read, or the port cannot be used.
        """
        from gitlumo.board.showing import show

        return show(Home(self._repository, self._settings), df, widgets, port=port, open_browser=open_browser)

    def close(self) -> None:
        """Let go of the repository's files."""
        self._repository.close()

    def __repr__(self) -> str:
        """Where it looks."""
        return f"Watcher({str(self._repository.location.work_tree or self._repository.location.common_dir)!r})"


def _listed(names: str | Iterable[str] | None) -> list[str] | None:
    return None if names is None else [names] if isinstance(names, str) else list(names)


Where = Condition | str | None
"""Which runs: ``C['params.lr'] < .1``, the same as text, ``'lr < 0.1'``, or None: all."""


def _shown(row: Row, names: list[str] | None) -> dict[str, Column]:
    return columns.whole(row.columns) if names is None else {name: columns.value(row.columns, name) for name in names}


def _full(where: Where, selection: Selection, repository: Repository) -> Condition | None:
    """A condition with the columns' full names.

    Raises:
        UsageError: If it is none, or a column that no run has.
    """
    if isinstance(where, str):
        from gitlumo.expression import parse

        return parse(where, selection, Revisions(repository))
    return None if where is None else resolved(where, selection.names())


def found_in_row(row: Any) -> tuple[Record, dict[str, str], str]:
    """The run of a row: by its uid, in the repository that it names; see :meth:`Watcher.find`.

    Raises:
        LumoError: If the row names no run.
    """
    uid = row.get("uid") if hasattr(row, "get") else None
    if not isinstance(uid, str):
        raise LumoError("a row of Watcher().load() has a uid, and this one has none: pass df.iloc[0].to_dict()")
    repo = row.get("repo")
    return Watcher(repo if isinstance(repo, str) and os.path.isdir(repo) else None).find(uid)
