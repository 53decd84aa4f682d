"""``git lumo log`` with a question: an expression, an order, columns, groups, or a format for other programs."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from gitlumo import times, wording
from gitlumo.cli import formats, lineage, log
from gitlumo.cli.listing import Group, Wanted, chosen, columns_in, grouped
from gitlumo.cli.opening import Opened
from gitlumo.cli.terminal import Screen, printable, screen, shorten
from gitlumo.condition import Compare, Condition, all_of
from gitlumo.errors import IndexDamaged, UsageError
from gitlumo.expression import parse
from gitlumo.matching import name_of
from gitlumo.naming import resolve
from gitlumo.revisions import Revisions
from gitlumo.store import columns
from gitlumo.watcher import Row, Selection

_KEY = re.compile(r"(?:`(?:[^`]|``)*`?|[^`,])+")
NOTHING = "no run is like that"


def answer(opened: Opened, args: argparse.Namespace) -> int:
    """Print the runs that were asked for."""
    try:
        return _answer(opened, args)
    except IndexDamaged as error:
        if error.late:
            raise
        return _answer(opened, args)


def _answer(opened: Opened, args: argparse.Namespace) -> int:
    with Selection(opened.branch, opened.cache_root) as selection:
        names = selection.names()
        groups = keys("--group-by", args.group_by, names)
        shown = keys("--columns", args.columns, names)
        rows = chosen(selection, wanted(args, opened, selection, whole=bool(groups)))
        with screen(opened.repository.config, opened.repository.git_args) as out:
            try:
                if groups:
                    asked = islice(grouped(rows, selection, groups), args.number or None)
                    _print_groups(out, args.format, groups, asked)
                elif args.json:
                    log.print_json(out, (row.found for row in rows))
                elif args.format != "table":
                    _print_for_programs(out, args.format, shown, rows, names, some=bool(args.number))
                else:
                    _print_for_people(out, args.oneline, shown, _lines(list(rows), args.graph))
            except IndexDamaged as error:
                error.late = out.has_printed
                raise
    return 0


def keys(option: str, text: str | None, names: Sequence[str]) -> list[str]:
    """The columns that an option names: separated by commas, those with odd characters in backquotes.

    Raises:
        UsageError: If it names none, or one that no run has.
    """
    if text is None:
        return []
    found = [name for key in _KEY.findall(text) if (name := name_of(key.strip()))]
    if not found:
        raise UsageError(f"{option} {text!r} names no column")
    return [resolve(key, names) for key in found]


def _conditions(texts: Sequence[str], opened: Opened, selection: Selection, now: float) -> list[Condition]:
    """The conditions that were typed.

    Raises:
        UsageError: If one of them is none; if all words together are one, it says so.
    """

    def read(text: str) -> Condition:
        return parse(text, selection, Revisions(opened.repository), now)

    try:
        return [read(text) for text in texts]
    except UsageError as error:
        whole = " ".join(texts)
        try:
            read(whole)
        except UsageError:
            raise error from None
        if len(texts) > 1:
            raise UsageError(f"an expression is one word to the shell: git lumo log {shlex.quote(whole)}") from None
        raise


def wanted(args: argparse.Namespace, opened: Opened, selection: Selection, *, whole: bool = False) -> Wanted:
    """What the options ``expr``, ``since``, ``until``, ``sort``, ``all`` and ``number`` ask for.

    Args:
        args: The options.
        opened: The repository.
        selection: Its runs.
        whole: Whether ``number`` counts something else than runs.

    Raises:
        UsageError: If one of them means nothing.
    """
    now = time.time()
    parts = _conditions(args.expr, opened, selection, now)
    for option, op in (("since", ">="), ("until", "<")):
        text = getattr(args, option)
        if text is not None:
            try:
                parts.append(Compare("start", op, times.moment(text, now)))
            except ValueError:
                raise UsageError(f"--{option} {text!r} is no time; {times.TIMES}") from None
    sort = None if args.sort is None else name_of(args.sort.removeprefix("-"))
    descending = sort is not None and args.sort.startswith("-")
    if sort is not None:
        sort = resolve(sort, selection.names())
    number = 0 if whole else args.number
    return Wanted(all_of(parts) if parts else None, number, args.all, sort, descending)


def _lines(rows: list[Row], drawn: bool) -> list[tuple[str, Row]]:
    """The rows, each with what stands before its name: nothing, or the graph of lineage."""
    if not drawn:
        return [("", row) for row in rows]
    runs = [lineage.Repeat(*(str(row.columns.get(name) or "") for name in ("uid", "rerun.from"))) for row in rows]
    return [(before, rows[i]) for i, before in lineage.graph(runs)]


def _print_for_people(out: Screen, oneline: bool, shown: Sequence[str], rows: list[tuple[str, Row]]) -> None:
    if not rows:
        out.line(NOTHING)
        return
    if shown:
        heads = [name.removeprefix(columns.PARAMS).removeprefix(columns.METRICS) for name in shown]
        table = [[_cell(name, columns.value(row.columns, name)) for name in shown] for _, row in rows]
        numbers = [i + 1 for i, name in enumerate(shown) if name.startswith((columns.PARAMS, columns.METRICS))]
        labelled = [[before + row.found.label, *line] for (before, row), line in zip(rows, table, strict=True)]
        log.print_columns(out, ["run", *heads], labelled, numbers)
        return
    lines = [log.row_of(row.found, before) for before, row in rows]
    if oneline:
        for line in lines:
            out.line(log.oneline(out, line))
    else:
        log.print_table(out, lines)
    for line in lines:
        if line.trouble:
            print(f"warning: {printable(line.trouble)}", file=sys.stderr)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in columns.TIMES:
        return str(formats.value_of(name, value)).replace("T", " ").partition(".")[0]
    if name == "took" and isinstance(value, (int, float)):
        return wording.span(value)
    text = ", ".join(map(str, value)) if isinstance(value, list) else wording.number(value)
    return shorten(text, log.NOTE_WIDTH)


def _print_for_programs(
    out: Screen, form: str, shown: Sequence[str], rows: Iterable[Row], names: Sequence[str], *, some: bool
) -> None:
    """Write rows in a format; without ``shown`` with all columns, of ``some`` rows with those that they have."""
    if form == "json":
        separator = "["
        for row in rows:
            found = {name: formats.value_of(name, columns.value(row.columns, name)) for name in shown}
            out.line(f"{separator}{formats.json_of(found)}")
            separator = ","
        out.line("]" if separator == "," else "[]")
        return
    if not shown and some:
        rows = list(rows)
        names = [name for row in rows for name in row.columns] or names
    chosen_names = list(shown) or columns_in(names)
    formats.write(
        form, chosen_names, ([columns.value(row.columns, name) for name in chosen_names] for row in rows), out.line
    )


def _print_groups(out: Screen, form: str, keys: Sequence[str], groups: Iterable[Group]) -> None:
    found = list(groups)
    metrics = sorted({name for group in found for name in group.metrics})
    if form == "table":
        if not found:
            out.line(NOTHING)
            return
        heads = [name.removeprefix(columns.PARAMS).removeprefix(columns.METRICS) for name in (*keys, "n", *metrics)]
        table = [
            [
                *(_cell(key, value) for key, value in zip(keys, group.keys, strict=True)),
                str(group.count),
                *(_spread(group.metrics.get(name), group.count) for name in metrics),
            ]
            for group in found
        ]
        log.print_columns(out, heads, table, range(len(keys), len(heads)))
        return
    heads = [*keys, "n", *(f"{name}.{part}" for name in metrics for part in ("mean", "std", "n"))]
    rows = [
        [*group.keys, group.count, *(part for name in metrics for part in group.metrics.get(name, (None, None, 0)))]
        for group in found
    ]
    if form == "json":
        out.line(formats.json_of([dict(zip(heads, row, strict=True)) for row in rows]))
    else:
        formats.write(form, heads, rows, out.line)


def _spread(found: tuple[float, float | None, int] | None, count: int) -> str:
    """``0.93 +- 0.02``; with how many, where that is not all."""
    if found is None:
        return ""
    mean, deviation, number = found
    text = wording.number(mean) if deviation is None else f"{wording.number(mean)} ± {deviation:.2g}"
    return text if number == count else f"{text} (n={number})"
