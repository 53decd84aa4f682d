"""Edits: what anyone may change of a recorded run, and undo (docs/format.md, section 5)."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from typing import Any

from gitlumo import values
from gitlumo.config import read_settings
from gitlumo.errors import InvalidValue, LumoError, NoSuchRun
from gitlumo.git.objects import Objects
from gitlumo.git.repository import open_repository
from gitlumo.store import events, layout, register, trees
from gitlumo.store.layout import Edit
from gitlumo.store.ledger import Ledger
from gitlumo.store.query import TreeFiles
from gitlumo.store.record import Record
from gitlumo.store.recovery import recover

NOTE, TAG, DEPRECATED, RERUN = "note", "tag", "deprecated", "rerun"
_BY_HAND = frozenset({NOTE, TAG, DEPRECATED})  # backup and rerun say what has happened; it has, whatever anyone says
_TOLD = 60  # characters of a note in a commit's subject


def open_ledger(lumo_dir: str) -> Ledger:
    """The ledger of the repository in which gitlumo's folder lies.

    Raises:
        LumoError: If there is none.
    """
    repository = open_repository(os.path.dirname(lumo_dir))
    return Ledger(repository, read_settings(repository.config))


def edit_run(ledger: Ledger, run: Record, kind: str, value: Any) -> Edit:
    """Make one edit of a run; dead runs of this machine are published first, as by every writer.

    Args:
        ledger: Where the run is.
        run: The run.
        kind: The kind of edit.
        value: Its value, as docs/format.md, section 5, has it.

    Raises:
        NoSuchRun: If the run is not published yet, or was purged.
        InvalidValue: If the value is too large.
        LumoError: If the ledger cannot be written.
    """
    now, id = values.time_text(time.time()), os.urandom(8).hex()
    made = Edit("", run.uid, kind, value, ledger.repository.identity[0], now, id)
    size = len(layout.edit_to_bytes(made))
    if size > layout.MAX_FILE:
        raise InvalidValue(f"{kind}: {size} bytes are too much for the ledger, which takes {layout.MAX_FILE}")
    if register.open_runs(ledger.lumo_dir):
        with contextlib.suppress(LumoError, OSError):  # what troubles others is no matter of this run
            recover(ledger)
    place = run.folder.split("/")  # a stranger may have moved it
    names = [(run.info("exp_name"), run.info("test_name")), (place[0], place[-1].partition("~")[0])]
    subject = layout.event_subject(run.name, run.state, {kind: told(kind, value, run.edits)})
    try:
        ledger.edit(names, made, subject)
    except NoSuchRun as error:
        raise NoSuchRun(
            f"{run.name} cannot be edited: {error}\ntype 'git lumo status' to see what waits to be published"
        ) from None
    with contextlib.suppress(LumoError, OSError):
        ledger.look_after()
    return made


def told(kind: str, value: Any, edits: Iterable[Edit] = ()) -> str:
    """An edit's value in few words; of an undo the kind of what it undoes, which is one of ``edits``."""
    if kind == layout.UNDO:
        return next((edit.kind for edit in edits if edit.id == value), "nothing")
    if kind == NOTE and isinstance(value, str):
        first = value.lstrip().partition("\n")[0]
        return first if len(first) <= _TOLD else first[: _TOLD - 1] + "…"
    if kind == TAG and isinstance(value, dict):
        pairs = (("+", value.get("add")), ("-", value.get("remove")))
        return ",".join(f"{sign}{name}" for sign, names in pairs if isinstance(names, list) for name in names)
    if kind == RERUN and isinstance(value, dict):
        verdict = value.get("verified")
        same = verdict.get("same") is True if isinstance(verdict, dict) else None
        return f"{str(value.get('uid'))[:8]}{'' if same is None else ', the same' if same else ', not the same'}"
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def retag(run: Record, add: Iterable[str], remove: Iterable[str]) -> dict[str, list[str]]:
    """The value of an edit that adds and removes tags; empty lists where there is nothing to do."""
    there = run.edited["tags"]
    added = [tag for tag in dict.fromkeys(add) if tag not in there]
    return {"add": added, "remove": [tag for tag in dict.fromkeys(remove) if tag in there]}


def last_edit(run: Record, by: str | None = None, *, redo: bool = False) -> Edit | None:
    """What an undo of a run would undo: the latest edit made by hand that is active; None where there is none.

    Args:
        run: The run.
        by: ``Name <email>`` of whose edits count; None: anybody's.
        redo: The latest active undo of such an edit, instead.
    """
    by_hand = {edit.id for edit in run.edits if edit.kind in _BY_HAND}
    standing = [edit for edit in layout.standing_edits(run.edits) if by is None or edit.by == by]
    if redo:
        fit = [edit for edit in standing if edit.kind == layout.UNDO and edit.value in by_hand]
    else:
        fit = [edit for edit in standing if edit.id in by_hand]
    return fit[-1] if fit else None


def last_edited(
    objects: Objects, tree: str | None, tips: Iterable[str], by: str, *, redo: bool = False
) -> tuple[Record, Edit] | None:
    """What an undo without a run's name would undo: the run, and :func:`last_edit` of it.

    It looks back in the history only until no event can be younger than what it has found.

    Args:
        objects: Where the ledger is.
        tree: Its tree.
        tips: The commits from which to look back.
        by: Whose edits count.
        redo: See :func:`last_edit`.
    """
    best: tuple[Record, Edit] | None = None
    seen: set[str] = set()
    for event in events.past(objects, tips):
        if best and event.time < int(best[1].name[:17]) // 1_000_000:
            break
        if event.kind != events.EDIT or event.by != by or event.uid in seen:
            continue
        seen.add(event.uid)
        there = trees.find(objects, tree, event.uid, [event.name])
        if there and not there.purged:
            files = TreeFiles(objects, there.folder)
            run = Record(files.read, files.paths, "/".join(event.name))
            found = last_edit(run, by, redo=redo)
            if found and (best is None or found.name > best[1].name):
                best = run, found
    return best


def undo(ledger: Ledger, run: Record, edit: Edit) -> Edit:
    """Undo an edit, or an undo.

    Returns:
        The edit that is gone, or back.

    Raises:
        LumoError: See :func:`edit_run`.
    """
    edit_run(ledger, run, layout.UNDO, edit.id)
    return edit if edit.kind != layout.UNDO else next(other for other in run.edits if other.id == edit.value)


def published(ledger: Ledger, uid: str, name: tuple[str, str]) -> TreeFiles | None:
    """A run's files as the ledger has them; None where it has not."""
    view = ledger.view()
    there = trees.find(view.objects, view.tree, uid, [name])
    return TreeFiles(view.objects, there.folder) if there and not there.purged else None
