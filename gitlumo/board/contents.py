"""What a static board holds of some runs, as named blocks of JSON: the table, all of each run, curves, images."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from gitlumo import comparison, values
from gitlumo.board import code, facts
from gitlumo.board.curves import Curve, curves
from gitlumo.errors import FormatError
from gitlumo.git.objects import Objects, tree_of
from gitlumo.pixels import KINDS
from gitlumo.store.record import Record
from gitlumo.watcher import Row

RUNS_A_BLOCK = 50  # whose curves are unpacked at once
POINTS = 500_000  # of all curves together: 3 MB of the file
FEWEST, MOST = 24, 1000  # points of one curve
IMAGES = 1_500_000  # bytes of all images together
ONE_IMAGE = 400_000
_DIGITS = 5
_TICKS = 4000  # of a curve's time
_EXACT = 1 << 53  # JavaScript's integers end there
_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp"}


@dataclass
class Contents:
    """What is in a page, and what is not.

    Attributes:
        blocks: Name to JSON, those that are needed first in front.
        runs: How many runs.
        curves: How many curves.
        thinned: How many of them have fewer points than were logged.
        points: The most points that a curve has.
        images: How many images.
        images_left_out: How many there was no room for.
    """

    blocks: dict[str, Any] = field(default_factory=dict)
    runs: int = 0
    curves: int = 0
    thinned: int = 0
    points: int = MOST
    images: int = 0
    images_left_out: int = 0


def contents(
    rows: Sequence[Row],
    objects: Objects,
    points: int | None = None,
    room: int = IMAGES,
) -> Contents:
    """Read all that a page shows of some runs.

    Args:
        rows: The runs, in the order in which they are shown.
        objects: Where the runs' code is.
        points: The most points of a curve; None: as many as fit, so that 1,000 runs of five metrics take 5 MB.
        room: How many bytes of images.
    """
    made = Contents(runs=len(rows))
    made.blocks["table"] = _table(rows)
    pool, pictures = _Pool(), _Pictures(room)
    made.blocks["pages"] = {"runs": [_page(row, objects, pool, pictures) for row in rows], "pool": pool.values}
    made.blocks["code"] = _code(objects, made.blocks["pages"], pool)
    made.blocks["images"] = pictures.held
    made.images, made.images_left_out = len(pictures.held), pictures.left_out
    made.points = points or _points(rows)
    for number, part in enumerate(_parts(rows, RUNS_A_BLOCK)):
        block = []
        for row in part:
            found = {} if row.trouble else curves(row.found.record)
            thin = {key: curve.thinned(made.points) for key, curve in found.items()}
            made.curves += len(found)
            made.thinned += sum(len(curve.values) < curve.count for curve in thin.values())
            block.append({key: _curve(curve) for key, curve in thin.items()})
        made.blocks[f"curves-{number}"] = block
    return made


def _parts(rows: Sequence[Row], size: int) -> Iterator[list[Row]]:
    rest = iter(rows)
    while part := list(islice(rest, size)):
        yield part


def _points(rows: Sequence[Row]) -> int:
    """How many points a curve may have, from how many curves the summaries promise."""
    count = sum(len(row.found.record.metrics) for row in rows if row.trouble is None)
    return max(FEWEST, min(MOST, POINTS // max(1, count)))


def _table(rows: Sequence[Row]) -> dict[str, Any]:
    """The table by columns: null where a run has no value."""
    table = facts.table(rows)
    return {
        "names": table.names,
        "differing": table.differing,
        "metrics": sorted({key for row in rows if row.trouble is None for key in row.found.record.metrics}),
        **{f"{key}s": [row[key] for row in table.rows] for key in ("label", "uid", "colour", "trouble")},
        "columns": {name: [exact(row["columns"].get(name)) for row in table.rows] for name in table.names},
    }


class _Pool:
    """Values that many runs share, each held once."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}

    def place(self, value: Any) -> int:
        text = json.dumps(value, sort_keys=True)
        if text not in self._places:
            self._places[text] = len(self.values)
            self.values.append(exact(value))
        return self._places[text]


class _Pictures:
    """Images, each held once, the first ones first, as long as there is room."""

    def __init__(self, room: int) -> None:
        self.held: dict[str, str] = {}
        self.left_out = 0
        self._room = room

    def take(self, record: Record, path: str) -> str | None:
        """The name of an image in :attr:`held`; None where there is no room for it, or it is none."""
        name, dot, ending = path.rpartition("/")[2].rpartition(".")
        name = name.rpartition("-")[2]
        if name in self.held:
            return name
        data = record.read(path) or b""
        if not data.startswith(KINDS[dot + ending]):
            return None
        if len(data) > min(self._room, ONE_IMAGE):
            self.left_out += 1
            return None
        self._room -= len(data)
        self.held[name] = f"data:{_TYPES[dot + ending]};base64,{base64.b64encode(data).decode('ascii')}"
        return name


def _page(row: Row, objects: Objects, pool: _Pool, pictures: _Pictures) -> dict[str, int] | None:
    """All of one run, each property as its place in the pool; None for one that is damaged."""
    record = row.found.record
    try:
        page, compared = facts.page_of(row.found), comparison.compared(record)
    except FormatError:
        return None
    for image in page["images"]:
        image["data"] = pictures.take(record, image["path"])
    skipped = record.info("skipped")
    pictures.left_out += len(facts.images([str(each.get("path")) for each in skipped])) if skipped else 0
    commit = compared["code"].get("")
    tree = tree_of(objects, str(commit)) if commit is not None else None
    told = {f"compared.{section}": values.encode(held) for section, held in compared.items()}
    return {key: pool.place(value) for key, value in {**page, **told, "tree": tree}.items()}


def _code(objects: Objects, pages: Mapping[str, Any], pool: _Pool) -> dict[str, Any]:
    """The files in which the runs' code differs, and which version of each a tree has, counted from 0; null: none."""
    places = sorted({page["tree"] for page in pages["runs"] if page is not None})
    trees = [pool.values[place] for place in places if pool.values[place] is not None]
    files: dict[str, list[int | None]] = {}
    for path, ids in code.differing(objects, trees).items():
        versions = {id: number for number, id in enumerate(dict.fromkeys(id for id in ids if id is not None))}
        files[path] = [None if id is None else versions[id] for id in ids]
    return {"trees": trees, "files": files, "all": len(files) < code.MOST_FILES}


def _curve(curve: Curve) -> list[Any]:
    """``[count, steps, tick, ticks, values]``; each step and tick less the one before it, a tick being a time span.

    Values are rounded to five digits, and to as many more as it takes to tell 100,000 of them apart where they differ.
    """
    finite = [value for value in curve.values if value - value == 0]
    span = max(finite) / 2 - min(finite) / 2 if finite else 0.0
    digits = _DIGITS
    if span:
        largest = max(abs(max(finite)), abs(min(finite)))
        while digits < 17 and span * 10 ** (digits - _DIGITS) < largest / 20:
            digits += 1
    tick = max(0.001, round((max(curve.times) - min(curve.times)) / _TICKS, 3)) if curve.times else 0.001
    ticks = [round(time / tick) for time in curve.times]
    rounded = [values.encode_number(float(f"{value:.{digits}g}")) for value in curve.values]
    return [curve.count, _steps(curve.steps), tick, _steps(ticks), [_short(value) for value in rounded]]


def _steps(numbers: Sequence[int]) -> list[Any]:
    return [exact(b - a) for a, b in zip([0, *numbers], numbers, strict=False)]


def _short(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT else value


def exact(value: Any) -> Any:
    """A JSON value whose integers JavaScript can hold: larger ones are ``{"$int": "12345678901234567890"}``."""
    if type(value) is int:
        return value if -_EXACT < value < _EXACT else {"$int": str(value)}
    if isinstance(value, Mapping):
        return {key: exact(item) for key, item in value.items()}
    return [exact(item) for item in value] if isinstance(value, list) else value
