"""``git lumo log --events``: who published or edited what, and when; newest first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, takewhile

from gitlumo import values, wording
from gitlumo.cli.opening import Opened
from gitlumo.cli.terminal import Screen, align, printable, screen, shorten
from gitlumo.editing import told
from gitlumo.store import events, layout
from gitlumo.store.events import Past
from gitlumo.store.record import Record

CLOCKS_DIFFER = 86400.0  # seconds, at most, between the machines that write one ledger


@dataclass(frozen=True)
class Line:
    """One event as it is shown; the names are those of ``--json``.

    Attributes:
        time: ISO 8601, in UTC.
        by: Who.
        kind: ``start``, ``checkpoint``, ``end``, or the kind of edit.
        run: ``<exp_name>/<test_name>``.
        uid: The run's uid.
        said: What happened, in few words.
        commit: The commit that brought it; None of an edit that was asked of the run.
        undone: Whether an undo has taken it back; None where only the history was asked.
    """

    time: str
    by: str
    kind: str
    run: str
    uid: str
    said: str
    commit: str | None = None
    undone: bool | None = None


def lines(opened: Opened, name: str | None) -> Iterator[Line]:
    """The events of one run, with its edits as they are; or of all runs, as the history has them."""
    if name is None:
        view = opened.branch.view()
        yield from (_of_past(event) for event in events.past(view.objects, view.tips.values()))
        return
    found = opened.runs().resolve(name)
    found.record.check()
    view = opened.branch.view()
    uid = found.record.uid
    since = (values.time_seconds(found.record.progress.get("start")) or 0) - CLOCKS_DIFFER
    past = takewhile(lambda event: event.time >= since, events.past(view.objects, view.tips.values()))
    listed = [_of_past(event) for event in past if event.uid == uid and event.kind != events.EDIT]
    yield from sorted([*listed, *_edits(found.record, found.label)], key=lambda line: line.time, reverse=True)


def _of_past(event: Past) -> Line:
    run = "/".join(event.name)
    return Line(values.time_text(event.time), event.by, event.kind, run, event.uid, event.said, event.commit)


def _edits(run: Record, label: str) -> Iterator[Line]:
    """A run's edits, the latest first."""
    edits = run.edits
    standing = {edit.id for edit in layout.standing_edits(edits)}
    for edit in reversed(edits):
        said = told(edit.kind, edit.value, edits)
        yield Line(edit.at, edit.by, edit.kind, label, edit.uid, said, undone=edit.id not in standing)


def print_events(opened: Opened, name: str | None, number: int, as_json: bool) -> int:
    """Print them.

    Args:
        opened: The repository.
        name: The run; None: all runs.
        number: How many at most; 0: all.
        as_json: As an array, instead of a line each.
    """
    chosen = islice(lines(opened, name), number or None)
    with screen(opened.repository.config, opened.repository.git_args) as out:
        if as_json:
            _print_json(out, chosen)
        else:
            listed = list(chosen)
            for line, text in zip(listed, align([_cells(line) for line in listed]), strict=True):
                name = printable(line.run)
                out.line(out.paint(name, "yellow") + text.removeprefix(name))
    return 0


def _print_json(out: Screen, chosen: Iterable[Line]) -> None:
    separator = "["
    for line in chosen:
        out.line(separator + json.dumps(vars(line), sort_keys=True))
        separator = ","
    out.line("]" if separator == "," else "[]")


def _cells(line: Line) -> list[str]:
    by = shorten(line.by.partition(" <")[0], 24)
    cells = [line.run, wording.age(line.time), by, line.kind, line.said + (" (undone)" if line.undone else "")]
    return [printable(cell) for cell in cells]
