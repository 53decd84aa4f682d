"""The first page: the newest runs as they are in the index, before panel is there."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from gitlumo import wording
from gitlumo.beginning import roots
from gitlumo.board import palette, tabling
from gitlumo.condition import Compare, all_of
from gitlumo.errors import LumoError
from gitlumo.expression import parse
from gitlumo.home import Home
from gitlumo.revisions import Revisions
from gitlumo.store.branch import Branch
from gitlumo.watcher import Selection

_MARKS = 58  # pixels of the columns before the first


@dataclass
class First:
    """What the first page shows.

    Attributes:
        title: The repository's name.
        query: The expression.
        count: How many runs there are, in words.
        columns: What is shown of them.
        rows: uid, colour, and (column, text) of each cell.
        error: Why the expression means nothing; empty: it does.
        empty: What to say where there are no rows.
    """

    title: str
    query: str
    count: str = ""
    columns: list[tabling.Column] = field(default_factory=list)
    rows: list[tuple[str, int, list[tuple[tabling.Column, str]]]] = field(default_factory=list)
    error: str = ""
    empty: str = "no runs yet; try: with gitlumo.SimpleExperiment('digits') as exp: exp.log({'acc': .93})"

    @property
    def width(self) -> int:
        """Of the table, in pixels."""
        return _MARKS + sum(column.width for column in self.columns)


def title_of(home: Home) -> str:
    """What a repository is called: its folder."""
    location = home.repository.location
    return os.path.basename(os.path.normpath(location.work_tree or location.common_dir.removesuffix("/.git")))


def first(home: Home, query: str = "") -> First:
    """Look at the runs.

    Raises:
        LumoError: If the ledger cannot be read.
    """
    made = First(title_of(home), query)
    cache_root = roots(home.settings, home.lumo_dir)["cache_root"]
    home.repository.objects.refresh()
    with Selection(Branch(home.repository, home.settings), cache_root) as selection:
        parts: list[Any] = [~Compare("deprecated", "=", True)]
        if query.strip():
            try:
                parts.append(parse(query, selection, Revisions(home.repository)))
            except LumoError as error:
                made.error = str(error)
        rows = list(islice(selection.rows(all_of(parts)), tabling.PAGE))
        made.count = wording.count(selection.index.count(), "run")
        held = [dict(row.columns) for row in rows]
    made.columns = tabling.columns_of(held[: tabling.LOOKED_AT])
    for row in held:
        uid = str(row.get("uid") or "")
        cells = [(column, tabling.cell(column.name, row.get(column.name))) for column in made.columns]
        made.rows.append((uid, palette.colour(uid), cells))
    if query.strip() and not made.rows:
        made.empty = "no run is like that"
    return made
