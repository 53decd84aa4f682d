"""``git lumo log``: a table of runs, newest first, or of those for which an expression holds."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from gitlumo import wording
from gitlumo.cli.formats import FORMATS
from gitlumo.cli.opening import natural, open_here, seconds
from gitlumo.cli.terminal import STATE_COLOURS, Screen, align, printable, screen, shorten, width_of
from gitlumo.errors import FormatError, UsageError
from gitlumo.store import columns

if TYPE_CHECKING:
    from gitlumo.store.query import Found

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
    parser.add_argument("expr", nargs="*", metavar="EXPR", help="which runs, such as 'lr < 0.1 and state = finished'")
    parser.add_argument("--all", action="store_true", help="also runs that were marked deprecated")
    parser.add_argument(
        "--since", "--after", metavar="TIME", help="runs that started then or later, such as '2 days ago'"
    )
    parser.add_argument("--until", "--before", metavar="TIME", help="runs that started before that time")
    parser.add_argument("--sort", metavar="KEY", help="order by a column, -KEY: the greatest first")
    parser.add_argument("--columns", metavar="KEYS", help="which columns, separated by commas")
    parser.add_argument(
        "--group-by", metavar="KEYS", help="one row for runs that are alike in these columns: mean +- std"
    )
    parser.add_argument("--graph", action="store_true", help="draw which run repeats which: reruns below their run")
    parser.add_argument(
        "--events",
        metavar="EXP",
        nargs="?",
        const="",
        help="who published or edited what, and when, instead of runs; of one run, or of all",
    )
    parser.add_argument(
        "--watch",
        type=seconds,
        nargs="?",
        const=0.0,
        metavar="SECONDS",
        help="draw it again each SECONDS (2; with --remote 10), until Ctrl-C",
    )
    parser.add_argument(
        "--remote",
        metavar="REMOTE",
        nargs="?",
        const="",
        help="fetch the runs of a remote (lumo.remote, else origin) before; with --watch each time",
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--oneline", action="store_true", help="one short line a run")
    shape.add_argument("--format", choices=FORMATS, default="table", help="how the table is written (table)")
    shape.add_argument("--json", action="store_true", help="an array of all that is known of each run")


class Row(NamedTuple):
    """One run as the table shows it."""

    name: str
    state: str
    age: str = ""
    duration: str = ""
    params: Mapping[str, Any] = MappingProxyType({})
    metrics: Mapping[str, Any] = MappingProxyType({})
    note: str = ""
    trouble: str = ""


def row_of(found: Found, before: str = "") -> Row:
    """What the table shows of a run, ``before`` in front of its name; of a damaged one what is wrong with it."""
    record = found.record
    try:
        record.check()
        progress = record.progress
        metrics = {key: m.get("best") for key, m in columns.of_the_run(record.metrics).items()}
        params = columns.flat(record.info("params"))
        age, took = wording.age(progress.get("start")), wording.duration(progress)
        return Row(before + found.label, record.state, age, took, params, metrics, record.note.partition("\n")[0])
    except FormatError as error:
        return Row(before + found.label, BROKEN, trouble=str(error))


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
    """Print the table, perhaps again and again."""
    if args.watch is not None or args.remote is not None:
        from gitlumo.cli import watching

        if args.watch is not None:
            return watching.watch(args, print_once)
        watching.fetch_first(args.remote)
    return print_once(args)


def print_once(args: argparse.Namespace) -> int:
    """Print what was asked for."""
    if args.graph and (args.json or args.format != "table" or args.group_by or args.events is not None):
        raise UsageError("--graph draws runs for people; it does not go with --json, --format, --group-by or --events")
    opened = open_here()
    if args.events is not None:
        from gitlumo.cli.events import print_events

        return print_events(opened, args.events or None, args.number, args.json)
    args.json = args.json or (args.format == "json" and not (args.columns or args.group_by))
    asks = (args.since, args.until, args.sort, args.columns, args.group_by)
    if args.expr or any(asked is not None for asked in asks) or args.graph or args.format != "table":
        from gitlumo.cli.asking import answer

        return answer(opened, args)
    if args.json:
        with screen(opened.repository.config, opened.repository.git_args) as out:
            print_json(out, listed(opened.runs().newest(), args.number, args.all))
        return 0
    glanced = None
    if _has_index(opened.lumo_dir):
        from gitlumo.cli.glance import newest

        glanced = newest(opened, args.number, args.all)
    rows = glanced
    if rows is None:
        rows = [row_of(found) for found in listed(opened.runs().newest(), args.number, args.all)]
    with screen(opened.repository.config, opened.repository.git_args) as out:
        if args.oneline:
            for row in rows:
                out.line(oneline(out, row))
        elif rows:
            print_table(out, rows)
        else:
            out.line("no runs yet; try: with gitlumo.SimpleExperiment('digits') as exp: exp.log({'acc': .93})")
            branch = opened.settings.branch
            for remote in map(printable, opened.repository.remotes_without(f"refs/heads/{branch}")):
                out.line(f"git fetch does not bring {branch} from {remote} here; if there are runs, they come by:")
                out.line(f"  git lumo pull {remote}")
    for row in rows:
        if row.trouble:
            print(f"warning: {printable(row.trouble)}", file=sys.stderr)
    if glanced is None and rows:
        from gitlumo.cli.glance import keep_up

        sys.stdout.flush()
        keep_up(opened)
    return 0


def _has_index(lumo_dir: str) -> bool:
    """Whether there is an index to look at; without one nothing of it is imported."""
    try:
        return any(name.startswith("index-") for name in os.listdir(lumo_dir))
    except OSError:
        return False


def print_json(out: Screen, chosen: Iterable[Found]) -> None:
    """An array, written run by run."""
    from gitlumo.store.record import to_json

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


def oneline(out: Screen, row: Row) -> str:
    """A run in one short line."""
    values = " ".join(f"{key}={wording.number(value)}" for key, value in row.metrics.items())
    line = f"{out.paint(printable(row.name), 'yellow')} {out.paint(row.state, STATE_COLOURS.get(row.state))}"
    return f"{line} {printable(values)}".rstrip()


def print_table(out: Screen, rows: list[Row]) -> None:
    """The table as people want it first: name, age, state, metrics, the parameters that differ, note."""
    params, metrics = differing(rows)
    heads = [*FIRST, *metrics, *params, "note"]
    table = [
        [
            row.name,
            row.age,
            row.state,
            row.duration,
            *(shorten(wording.number(row.metrics.get(key, "")), VALUE_WIDTH) for key in metrics),
            *(shorten(wording.number(row.params.get(key, "")), VALUE_WIDTH) for key in params),
            shorten(row.note, NOTE_WIDTH),
        ]
        for row in rows
    ]
    if not any(row.note for row in rows):
        heads, table = heads[:-1], [line[:-1] for line in table]
    print_columns(out, heads, table, range(len(FIRST), len(FIRST) + len(metrics) + len(params)))


def print_columns(out: Screen, heads: list[str], table: list[list[str]], numbers: Container[int]) -> None:
    """Cells under heads, as many columns as fit; ``numbers`` are those that are aligned to the right."""
    cells = [[printable(cell) for cell in line] for line in (heads, *table)]
    kept = fitting(cells, out.width)
    left_out = [cells[0][i] for i in range(len(heads)) if i not in kept]
    lines = align([[line[i] for i in kept] for line in cells], [at for at, i in enumerate(kept) if i in numbers])
    out.line(out.paint(lines[0], "bold"))
    state = heads.index("state") if "state" in heads else None
    for row, line in zip(table, lines[1:], strict=True):
        word = row[state] if state is not None else ""
        out.line(line.replace(f" {word} ", f" {out.paint(word, STATE_COLOURS.get(word))} ", 1) if word else line)
    if left_out:
        more = f"{len(left_out)} more column{'s' if len(left_out) > 1 else ''}: {', '.join(left_out)}"
        out.line(shorten(f"... {more}", out.width or 0))
        out.line("    'git lumo show EXP' and 'git lumo log --json' show all")


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
