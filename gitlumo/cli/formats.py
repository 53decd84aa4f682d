"""Tables for other programs: csv, tsv, md, yaml. Values are whole there: what people read is rounded elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gitlumo import values
from gitlumo.store import columns

FORMATS = ("table", "csv", "tsv", "md", "yaml", "json")
Line = Callable[[str], None]


def write(form: str, names: Sequence[str], rows: Iterable[Sequence[Any]], line: Line) -> None:
    """Write rows of columns.

    Args:
        form: ``csv``, ``tsv``, ``md`` or ``yaml``.
        names: The columns.
        rows: Their values; None where a run has none.
        line: Takes a line of output, without its end.
    """
    {"csv": _separated, "tsv": _separated, "md": _markdown, "yaml": _yaml}[form](form, names, rows, line)


def _separated(form: str, names: Sequence[str], rows: Iterable[Sequence[Any]], line: Line) -> None:
    import csv
    import io

    buffer = io.StringIO()
    writer = csv.writer(buffer, dialect="excel" if form == "csv" else "excel-tab", lineterminator="\n")
    for row in (names, *([_cell(name, value) for name, value in zip(names, row, strict=True)] for row in rows)):
        writer.writerow(row)
        line(buffer.getvalue().removesuffix("\n"))
        buffer.seek(0)
        buffer.truncate()


def _markdown(form: str, names: Sequence[str], rows: Iterable[Sequence[Any]], line: Line) -> None:
    from tabulate import tabulate

    def text(value: Any) -> str:
        return str(value).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("\r", " ")

    cells = [[text(_cell(name, value)) for name, value in zip(names, row, strict=True)] for row in rows]
    made = tabulate(cells, headers=[text(name) for name in names], tablefmt="github", disable_numparse=True)
    for each in made.split("\n"):
        line(each)


def _yaml(form: str, names: Sequence[str], rows: Iterable[Sequence[Any]], line: Line) -> None:
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    empty = True
    for row in rows:
        empty = False
        facts = {name: value_of(name, value) for name, value in zip(names, row, strict=True) if value is not None}
        text = yaml.dump([facts], Dumper=dumper, sort_keys=False, allow_unicode=True, width=1000)
        line(text.removesuffix("\n"))
    if empty:
        line("[]")


def _cell(name: str, value: Any) -> Any:
    """A value in one cell; what is neither number nor text is JSON."""
    plain = value_of(name, value)
    if plain is None:
        return ""
    if isinstance(plain, bool):
        return "true" if plain else "false"
    return plain if isinstance(plain, (int, float, str)) else json.dumps(values.encode(plain), ensure_ascii=False)


def json_of(value: Any) -> str:
    """JSON in one line; floats that it cannot hold are spelled as in the ledger."""
    return json.dumps(values.encode(value), ensure_ascii=False)


def value_of(name: str, value: Any) -> Any:
    """A column's value for reading: times as ISO 8601, the rest as it is."""
    if name in columns.TIMES and isinstance(value, (int, float)) and not isinstance(value, bool):
        return values.time_text(value)
    return value
