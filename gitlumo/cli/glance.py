"""``git lumo log`` without reading the ledger: from the index, where that is of the tips that are there now."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from itertools import islice
from typing import Any

from gitlumo import wording
from gitlumo.cli.log import BROKEN, Row
from gitlumo.cli.opening import Opened
from gitlumo.errors import IndexDamaged, LumoError
from gitlumo.store import columns
from gitlumo.store.index import FILE, Index

MOST = 2000  # runs of which a look at them makes the index: half a second, once


def newest(opened: Opened, number: int, everything: bool) -> list[Row] | None:
    """The rows of the newest runs; None: the ledger must be asked."""
    if not number or opened.is_recording:  # what is being recorded is not in the index
        return None
    index = opened.index()
    if index is None:
        return None
    try:
        return _rows(index, number, everything)
    except IndexDamaged:
        return None
    finally:
        index.close()


def keep_up(opened: Opened) -> None:
    """Bring the index to the tips that are there, for the next time; it is made here only where that takes no time."""
    from gitlumo.store import trees
    from gitlumo.store.indexing import open_index

    branch = opened.branch
    with contextlib.suppress(LumoError, OSError):  # what is wrong has been said, or is no matter of this verb
        view = branch.view()
        few = sum(1 for _ in islice(trees.places(view.objects, view.tree), MOST + 1)) <= MOST
        if few or os.path.exists(os.path.join(branch.lumo_dir, FILE)):
            open_index(branch, view, opened.cache_root).close()


def _rows(index: Index, number: int, everything: bool) -> list[Row]:
    rows: list[Row] = []
    for entry in index.runs():
        found = index.of(entry.id)
        if found.get("deprecated") is True and not everything:
            continue
        rows.append(Row(entry.label, BROKEN, trouble=entry.trouble) if entry.trouble else _row(entry.label, found))
        if len(rows) == number:
            break
    return rows


def _row(label: str, found: Mapping[str, Any]) -> Row:
    start, took, state = found.get("start"), found.get("took"), str(found.get("state"))
    if state == "running" and isinstance(start, float):
        took = time.time() - start
    age, took = wording.age_of(start), "?" if took is None else wording.span(took)
    names = sorted((name for name in found if name.startswith(columns.PARAMS)), key=lambda name: name.split("."))
    params = {name.removeprefix(columns.PARAMS): found[name] for name in names}
    metrics = {
        name.removeprefix(columns.METRICS): value
        for name, value in sorted(found.items())
        if name.startswith(columns.METRICS) and not name.endswith(columns.SUFFIXES)
    }
    metrics = columns.of_the_run(metrics)
    return Row(label, state, age, took, params, metrics, str(found.get("note") or "").partition("\n")[0])
