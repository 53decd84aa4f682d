"""Edits that are made on the board: the same events that the verbs make."""

from __future__ import annotations

from typing import Any

from gitlumo import arguments, editing
from gitlumo.board.app.parts import Block
from gitlumo.errors import LumoError


def edit(source: Any, uid: str, act: str, value: Any) -> Block:
    """Make an edit, and say so.

    Args:
        source: Where the run is; see :class:`gitlumo.board.live.Source`.
        uid: The run.
        act: ``note``, ``tag``, ``untag``, ``deprecate``, ``restore`` or ``undo``.
        value: The note, or the tag.

    Returns:
        What was done, with what undoes it; or why it could not be.
    """
    try:
        with source.alone():
            said = _edit(source, uid, act, value)
    except (LumoError, OSError) as error:
        return {"kind": "code", "text": str(error), "look": "error"}
    return {"kind": "said", "text": said} | ({"act": "undo", "arg": uid} if act != "undo" else {})


def _edit(source: Any, uid: str, act: str, value: Any) -> str:
    ledger, run = source.home.ledger, source.find(uid).record
    if act == "note":
        arguments.text_bytes("note", value)
        editing.edit_run(ledger, run, editing.NOTE, value)
        return "the note is written" if value.strip() else "the note is taken away"
    if act in ("tag", "untag"):
        tag = str(value).removeprefix("+")
        arguments.check_tags([tag] if act == "tag" else [])
        change = editing.retag(run, *(([tag], []) if act == "tag" else ([], [tag])))
        if not (change["add"] or change["remove"]):
            return f"it has the tag {tag} already" if act == "tag" else f"it has no tag {tag}"
        editing.edit_run(ledger, run, editing.TAG, change)
        return f"tags {editing.told(editing.TAG, change)}"
    if act in ("deprecate", "restore"):
        editing.edit_run(ledger, run, editing.DEPRECATED, act == "deprecate")
        return "marked as deprecated: it is in the bin" if act == "deprecate" else "it is back"
    last = editing.last_edit(run)
    if last is None:
        raise LumoError("there is no edit of this run that could be undone")
    gone = editing.undo(ledger, run, last)
    return f"undone: {gone.kind} {editing.told(gone.kind, gone.value)}"
