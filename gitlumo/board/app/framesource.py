"""The runs of a data frame that the user has filtered, or given columns of its own."""

from __future__ import annotations

from typing import Any

import pandas as pd

from gitlumo.board import tabling
from gitlumo.board.app.context import by_uid
from gitlumo.board.live import Source, State
from gitlumo.condition import And, Compare, Condition, Missing, Not, Or, sources, test
from gitlumo.expression import parse
from gitlumo.revisions import Revisions
from gitlumo.store import columns
from gitlumo.store.columns import PARAMS


class FrameSource:
    """The rows of a frame, over a repository that knows most of them.

    A row whose uid the repository does not know has no curves and no page. An expression may ask for the user's own
    columns, too: they are found as parameters are.
    """

    def __init__(self, source: Source, frame: pd.DataFrame):
        self._source = source
        self._frame = frame.copy(deep=False)
        self._rows = by_uid(self._frame)
        self.home, self.branch = source.home, source.branch
        self.find, self.curves, self.sync = source.find, source.curves, source.sync
        self.alone, self.listen = source.alone, source.listen
        self._told: State | None = None
        self._state = State(self._frame, source.state.live)

    def poll(self) -> bool:
        """See :meth:`gitlumo.board.live.Source.poll`."""
        return self._source.poll()

    @property
    def state(self) -> State:
        """The frame, and which of its runs are being recorded: the rows are the user's, and stay."""
        if self._source.state is not self._told:
            self._told = self._source.state
            self._state = State(self._frame, self._told.live, self._told.trouble)
        return self._state

    def select(self, text: str) -> set[str]:
        """The rows for which an expression holds, by their place in :func:`gitlumo.board.app.context.by_uid`.

        Raises:
            UsageError: If it means nothing; the message points at the place.
        """
        condition = parse(text, _Names(self._rows), Revisions(self.home.repository))
        asked = [name for name in _asked(condition) if _column(name, self._rows) is not None]
        held = {name: self._rows[_column(name, self._rows)].tolist() for name in asked}
        found = set()
        for i, uid in enumerate(self._rows.index):
            row = {name: _value(values[i]) for name, values in held.items() if not tabling.is_missing(values[i])}
            if test(condition, row):
                found.add(uid)
        return found


class _Names:
    """The columns of a frame, as :func:`gitlumo.expression.parse` asks for them."""

    def __init__(self, rows: pd.DataFrame):
        self._rows = rows
        ours = [str(name) for name in rows.columns]
        self._known = {name if columns.is_column(name) else PARAMS + name for name in ours}

    def names(self) -> set[str]:
        """All columns; the user's own as parameters."""
        return self._known

    def types(self, name: str) -> set[str]:
        """What SQLite would call the values of one."""
        column = _column(name, self._rows)
        held = [] if column is None else self._rows[column].tolist()
        kinds = {type(_value(value)) for value in held if not tabling.is_missing(value)}
        return {{int: "integer", float: "real", str: "text"}.get(kind, "blob") for kind in kinds}


def _column(name: str, rows: pd.DataFrame) -> Any:
    """What a column of an expression is called in the frame; None: it is not there."""
    return next((each for each in (name, name.removeprefix(PARAMS)) if each in rows), None)


def _asked(condition: Condition) -> list[str]:
    match condition:
        case Compare(column) | Missing(column):
            names, otherwise = sources(column)
            return [*names, *([otherwise] if otherwise else [])]
        case Not(part):
            return _asked(part)
        case And(parts) | Or(parts):
            return [name for part in parts for name in _asked(part)]
    return []


def _value(value: Any) -> Any:
    """A value of a frame as a column has it: times in seconds, numpy's numbers as Python's."""
    if hasattr(value, "timestamp"):
        return value.timestamp()
    return value.item() if hasattr(value, "item") and not isinstance(value, (list, dict)) else value
