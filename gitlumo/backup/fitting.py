"""A run as one record that fits into an issue and its comments: all of it, or as much as fits, and what does not.

The record (docs/format.md, section 14) is a line of JSON for what it lacks, and one for each file: the beginning of a
damaged one can be read.
"""

from __future__ import annotations

import base64
import contextlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from gitlumo.backup import parcel as parcels
from gitlumo.backup.issue import MAX_PARTS, PART_BYTES
from gitlumo.backup.parcel import IDENTITY, Parcel
from gitlumo.errors import FormatError, LumoError
from gitlumo.store import layout

VERSION = 1
BUDGET = (MAX_PARTS - 1) * PART_BYTES  # whatever is left for it in the body
MAX_RECORD = 64 * 1024 * 1024  # before it is compressed: a stranger's could be a bomb
MAX_FILES = 100_000
_LEVEL = 9
_STEP = 4096  # bytes that are decompressed at a time: of damaged ones all that comes before is read


def fit(run: Parcel, masked: Iterable[str]) -> tuple[Parcel, dict[str, Any]]:
    """As much of a run as fits.

    What a reader needs comes first (properties, metrics, notes, edits), then the history, thinned where it must be,
    then strings and the user's files, the smallest first.

    Args:
        run: The run, masked.
        masked: Where.

    Returns:
        What its record is to hold, and what that lacks of the run: see ``info/restored.json``.

    Raises:
        LumoError: If even the first does not fit.
    """
    places = list(masked)
    lost: dict[str, Any] = {"masked": places} if places else {}
    if all(map(parcels.is_utf8, run.files)) and _Room(BUDGET).take(_lines(run.files, lost)) is None:
        return run, lost
    for budget in (BUDGET, BUDGET * 9 // 10, BUDGET * 3 // 4):  # together they may take a little more than one by one
        files, more = _chosen(run, lost, budget)
        if _Room(BUDGET).take(_lines(files, lost | more)) is None:
            return replace(run, files=files), lost | more
    raise AssertionError("unreachable")


def _chosen(run: Parcel, lost: Mapping[str, Any], budget: int) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The files of a run for which there is room, and what is not among them."""
    named = {path: data for path, data in run.files.items() if parcels.is_utf8(path)}
    files = {path: data for path, data in named.items() if _is_core(path)}
    history = {path: data for path, data in named.items() if layout.chunk_number(path) is not None}
    rest = [path for path in run.files if path not in files and path not in history]
    told = {path: {"path": parcels.shown(path), "size": len(run.files[path])} for path in rest}
    longest = {**lost, "left_out": list(told.values()), "history": {"lines": 0, "of": 0}}
    room = _Room(budget)
    if room.take(_lines(files, longest)) is not None:
        raise LumoError(
            f"{run.name} is too large for an issue: its properties, metrics, note and edits alone take more than"
            f" {BUDGET // 1024} KiB compressed\nback it up into a file:  git lumo backup --to tar -o FILE"
        )
    kept, thinned = _history(history, room)
    files |= kept
    for path in sorted(rest, key=lambda path: (len(run.files[path]), path)):
        if path in named and room.take([_line(path, run.files[path])]) is None:
            files[path] = run.files[path]
            del told[path]
    left_out = sorted(told.values(), key=lambda each: str(each["path"]))
    return files, {**({"history": thinned} if thinned else {}), **({"left_out": left_out} if left_out else {})}


class _Room:
    """What is left of a budget of bytes, and of what a record may have at all, while lines are added to one."""

    def __init__(self, budget: int):
        self._deflate, self._left, self._raw = zlib.compressobj(_LEVEL), budget, MAX_RECORD - 1

    def take(self, lines: Iterable[bytes]) -> int | None:
        """Add lines, if there is room for all of them as they will stand there, compressed.

        Returns:
            None: they are added; else they are not, and there was room for about so many bytes of them.
        """
        deflate, left, taken = self._deflate.copy(), self._left, 0
        for line in lines:
            for at in range(0, len(line), _STEP):
                piece = line[at : at + _STEP]
                left -= len(deflate.compress(piece))
                taken += len(piece)
                if left < 0 or taken > self._raw:
                    return taken
        if left < len(deflate.copy().flush()):
            return taken
        self._deflate, self._left, self._raw = deflate, left, self._raw - taken
        return None


def _is_core(path: str) -> bool:
    return layout.info_key(path) is not None or path in (layout.METRICS, layout.NOTE) or path.startswith("edits/")


def _history(chunks: Mapping[str, bytes], room: _Room) -> tuple[dict[str, bytes], dict[str, int] | None]:
    """A history for which there is room, and how many of its lines it has; None: all."""
    ordered = sorted(chunks, key=lambda path: layout.chunk_number(path) or 0)
    taken = room.take(_line(path, chunks[path]) for path in ordered)
    if taken is None:
        return dict(chunks), None
    lines = [raw for path in ordered for raw in chunks[path].split(b"\n") if raw]
    marks = telling(lines)
    step = 2
    while step * max(taken, 1) < sum(map(len, lines)):  # where a half is certainly too much
        step *= 2
    while step < 2 * len(lines):
        kept = [raw for n, raw in enumerate(lines) if n in marks or n % step == 0]
        thinned = _chunked(kept)
        if room.take(_line(path, thinned[path]) for path in sorted(thinned)) is None:
            return thinned, {"lines": len(kept), "of": len(lines)}
        step = 2 * len(lines) if len(kept) <= len(marks) + 1 else 2 * step
    return {}, {"lines": 0, "of": len(lines)}


class _Ends:
    """The lines of a history that make up one metric's summary."""

    __slots__ = ("cmp", "first", "greatest", "last", "least", "max", "min")

    def __init__(self, n: int):
        self.first = self.last = self.min = self.max = self.cmp = n
        self.least: float | None = None
        self.greatest: float | None = None

    def add(self, n: int, value: float, *, says_cmp: bool) -> None:
        self.last = n
        if says_cmp:
            self.cmp = n
        if value != value:
            return
        if self.least is None or value < self.least:
            self.least, self.min = value, n
        if self.greatest is None or value > self.greatest:
            self.greatest, self.max = value, n


def telling(lines: Iterable[bytes]) -> set[int]:
    """The numbers of the lines that make up each metric's summary, but for how many there were.

    These are its first, last, least and greatest value, and where it was said last how its values compare.
    """
    ends: dict[str, _Ends] = {}
    for n, raw in enumerate(lines):
        line = layout.parse_line(raw)
        for key, value in line.numbers.items() if line else ():
            found = ends.get(key)
            if found is None:
                found = ends[key] = _Ends(n)
            found.add(n, value, says_cmp=line is not None and line.cmp is not False)
    return {n for each in ends.values() for n in (each.first, each.last, each.min, each.max, each.cmp)}


def _chunked(lines: Iterable[bytes]) -> dict[str, bytes]:
    chunks: list[bytearray] = [bytearray()]
    for raw in lines:
        if chunks[-1] and len(chunks[-1]) + len(raw) >= layout.HISTORY_CHUNK:
            chunks.append(bytearray())
        chunks[-1] += raw + b"\n"
    return {layout.chunk_path(number): bytes(data) for number, data in enumerate(chunks)}


def to_bytes(files: Mapping[str, bytes], lost: Mapping[str, Any]) -> bytes:
    """A record: first what is needed for there to be a run at all."""
    return b"".join(_lines(files, lost))


def _lines(files: Mapping[str, bytes], lost: Mapping[str, Any]) -> Iterator[bytes]:
    yield _json({"version": VERSION, "lost": dict(lost)})
    for path in sorted(files, key=lambda path: (_place(path), path)):
        yield _line(path, files[path])


def _line(path: str, data: bytes) -> bytes:
    return _json({"path": path, **_content(data)})


def _json(line: Mapping[str, Any]) -> bytes:
    return f"{json.dumps(line, ensure_ascii=False, sort_keys=True)}\n".encode()


def _place(path: str) -> int:
    if path in IDENTITY:
        return 0
    if path.startswith("info/"):
        return 1
    return 2 if _is_core(path) else 3 if layout.chunk_number(path) is not None else 4


def _content(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def compress(data: bytes) -> bytes:
    """A record as it stands in an issue."""
    return zlib.compress(data, _LEVEL)


def decompress(data: bytes) -> tuple[bytes, str | None]:
    """The inverse of :func:`compress`, as far as it goes, and what is wrong; None: nothing."""
    inflate, found, problem = zlib.decompressobj(), bytearray(), None
    for at in range(0, len(data), _STEP):
        chunk, before = data[at : at + _STEP], inflate.copy()
        try:
            found += inflate.decompress(chunk, MAX_RECORD - len(found))
        except zlib.error as error:
            found += _up_to_damage(before, chunk)
            problem = f"its record cannot be decompressed: {error}"
            break
        if inflate.unconsumed_tail or len(found) >= MAX_RECORD:
            return bytes(found), f"its record is larger than {MAX_RECORD >> 20} MiB, which no record is"
    return bytes(found), problem if problem or inflate.eof else "its record is cut off"


def _up_to_damage(inflate: zlib._Decompress, chunk: bytes) -> bytes:
    found = bytearray()
    with contextlib.suppress(zlib.error):
        for byte in chunk:
            found += inflate.decompress(bytes([byte]))
    return bytes(found)


def from_bytes(data: bytes, where: str, *, damaged: bool = False) -> tuple[Parcel, dict[str, Any]]:
    """The run that a record holds, and what the record lacks of it.

    Args:
        data: The record.
        where: What to call it in errors.
        damaged: Whether it may be the beginning of one: then it is read up to the first line that is no file.

    Raises:
        FormatError: If it is no record, or of a later version, or holds no run.
    """
    head, begin = _object(data[: data.find(b"\n") + 1]), data.find(b"\n") + 1
    version = head.get("version")
    if type(version) is int and version > VERSION:
        raise FormatError(f"{where}: its record is of version {version}; install a newer gitlumo")
    if type(version) is not int or version != VERSION or not _is_lost(head.get("lost")):
        raise FormatError(f"{where}: no record of a run")
    files: dict[str, bytes] = {}
    while (end := data.find(b"\n", begin)) >= 0:
        line = _object(data[begin:end])
        path, content = line.get("path"), _bytes(line)
        if not isinstance(path, str) or content is None or path in files or not parcels.is_utf8(path):
            if damaged:
                break
            raise FormatError(f"{where}: a line of its record is no file, or a second one of its path")
        if len(files) == MAX_FILES:
            raise FormatError(f"{where}: more than {MAX_FILES} files, which no record has")
        files[path] = content
        begin = end + 1
    if begin < len(data) and not damaged:
        raise FormatError(f"{where}: its last line is not whole")
    return parcels.made(files, where), head["lost"]


def _is_lost(value: Any) -> bool:
    """Whether a value says what a record lacks as docs/format.md, section 4, has it in ``info/restored.json``."""
    if not isinstance(value, dict) or not value.keys() <= {"masked", "left_out", "history"}:
        return False
    masked, left_out, history = value.get("masked", []), value.get("left_out", []), value.get("history")
    return (
        isinstance(masked, list)
        and all(isinstance(each, str) and parcels.is_utf8(each) for each in masked)
        and isinstance(left_out, list)
        and all(_has(each, {"path": str, "size": int}) and parcels.is_utf8(each["path"]) for each in left_out)
        and (history is None or _has(history, {"lines": int, "of": int}))
    )


def _has(value: Any, types: Mapping[str, type]) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == types.keys()
        and all(type(value[key]) is kind for key, kind in types.items())
    )


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _bytes(line: Mapping[str, Any]) -> bytes | None:
    try:
        if isinstance(line.get("text"), str):
            return str(line["text"]).encode("utf-8")
        if isinstance(line.get("base64"), str):
            return base64.b64decode(line["base64"], validate=True)
    except ValueError:  # a lone surrogate; no base64
        pass
    return None
