"""``git lumo log``: a table of runs, newest first."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from gitlumo.cli import facts
from gitlumo.cli.opening import natural, open_here
from gitlumo.cli.terminal import STATE_COLOURS, Screen, align, printable, screen, shorten, width_of
from gitlumo.errors import FormatError
from gitlumo.store.query import Found
from gitlumo.store.record import to_json

ROWS = 50
NOTE_WIDTH = 40
VALUE_WIDTH = 24
BROKEN = "broken"
FIRST = ("name", "age", "state", "took")


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument(
        "-n", "--number", "--max-count", type=natural, default=ROWS, metavar="N", help="rows to show; 0: all (50)"
    )
    parser.add_argument("--all", action="store_true", help="also runs that were marked deprecated")
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--oneline", action="store_true", help="one short line a run")
    shape.add_argument("--json", action="store_true", help="an array of all that is known of each run")


@dataclass
class Row:
    """One run as the table shows it."""

    name: str
    state: str
    age: str = ""
    duration: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    trouble: str = ""


def row_of(found: Found) -> Row:
    """What the table shows of a run; of a damaged one what is wrong with it."""
    record = found.record
    try:
        record.check()
        progress = record.progress
        metrics = {key: m.get("best") for key, m in record.metrics.items()}
        params = facts.flat(record.info("params") or {})
        row = Row(found.label, record.state, facts.age(progress.get("start")), facts.duration(progress))
        row.params, row.metrics, row.note = params, metrics, record.note.partition("\n")[0]
        return row
    except FormatError as error:
        return Row(found.label, BROKEN, trouble=str(error))


def listed(runs: Iterator[Found], number: int, everything: bool) -> Iterator[Found]:
    """The runs to show: the newest ``number`` (0: all), without deprecated ones unless asked for."""
    chosen = (found for found in runs if everything or not _is_deprecated(found))
    return islice(chosen, number or None)


def _is_deprecated(found: Found) -> bool:
    try:
        return found.record.deprecated
    except FormatError:
        return False


def differing(rows: list[Row]) -> tuple[list[str], list[str]]:
    """The parameters in which the rows that have them differ, and the metrics that any row has."""
    whole = [row for row in rows if row.state != BROKEN]
    keys = dict.fromkeys(key for row in whole for key in row.params)
    params = [key for key in keys if len({repr(row.params[key]) for row in whole if key in row.params}) > 1]
    return params, list(dict.fromkeys(key for row in whole for key in row.metrics))


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    opened = open_here()
    chosen = listed(opened.runs().newest(), args.number, args.all)
    with screen(opened.repository.config, opened.repository.git_args) as out:
        if args.json:
            _print_json(out, chosen)
            return 0
        rows = [row_of(found) for found in chosen]
        if args.oneline:
            for row in rows:
                out.line(_oneline(out, row))
        elif rows:
            _print_table(out, rows)
        else:
            out.line("no runs yet; try: with gitlumo.SimpleExperiment('digits') as exp: exp.log({'acc': .93})")
    for row in rows:
        if row.trouble:
            print(f"warning: {printable(row.trouble)}", file=sys.stderr)
    return 0


def _print_json(out: Screen, chosen: Iterable[Found]) -> None:
    """An array, written run by run."""
    separator = "["
    for found in chosen:
        try:
            found.record.check()
            text = to_json(found.record.properties)
        except FormatError as error:
            text = to_json({"exp_name": found.exp_name, "test_name": found.name, "state": BROKEN, "error": str(error)})
        out.line(f"{separator}{text}" if separator == "[" else f",{text}")
        separator = ","
    out.line("]" if separator == "," else "[]")


def _oneline(out: Screen, row: Row) -> str:
    values = " ".join(f"{key}={facts.number(value)}" for key, value in row.metrics.items())
    line = f"{out.paint(printable(row.name), 'yellow')} {out.paint(row.state, STATE_COLOURS.get(row.state))}"
    return f"{line} {printable(values)}".rstrip()


def _print_table(out: Screen, rows: list[Row]) -> None:
    params, metrics = differing(rows)
    heads = [*FIRST, *metrics, *params, "note"]
    table = [
        [
            row.name,
            row.age,
            row.state,
            row.duration,
            *(shorten(facts.number(row.metrics.get(key, "")), VALUE_WIDTH) for key in metrics),
            *(shorten(facts.number(row.params.get(key, "")), VALUE_WIDTH) for key in params),
            shorten(row.note, NOTE_WIDTH),
        ]
        for row in rows
    ]
    cells = [[printable(cell) for cell in line] for line in (heads, *table)]
    if not any(line[-1] for line in cells[1:]):
        cells = [line[:-1] for line in cells]
    kept = fitting(cells, out.width)
    left_out = [cells[0][i] for i in range(len(cells[0])) if i not in kept]
    lines = align([[line[i] for i in kept] for line in cells], [at for at, i in enumerate(kept) if _is_value(i, heads)])
    out.line(out.paint(lines[0], "bold"))
    for row, line in zip(rows, lines[1:], strict=True):
        out.line(line.replace(f" {row.state} ", f" {out.paint(row.state, STATE_COLOURS.get(row.state))} ", 1))
    if left_out:
        more = f"{len(left_out)} more column{'s' if len(left_out) > 1 else ''}: {', '.join(left_out)}"
        out.line(shorten(f"... {more}", out.width or 0))
        out.line("    'git lumo show EXP' and 'git lumo log --json' show all")


def _is_value(column: int, heads: list[str]) -> bool:
    return len(FIRST) <= column < len(heads) - 1


def fitting(cells: list[list[str]], width: int | None) -> list[int]:
    """The columns that a terminal can hold: from the left, as many as fit.

    Args:
        cells: Rows of cells.
        width: Columns of the terminal; None: no limit.
    """
    kept: list[int] = []
    used = -2
    for i, column in enumerate(zip(*cells, strict=True)):
        used += 2 + max(map(width_of, column))
        if width is None or used <= width or not kept:
            kept.append(i)
    return kept
