"""A run as one record that fits into an issue and its comments: all of it, or as much as fits, and what does not.

The record (docs/format.md, section 12) is a line of JSON for what it lacks, and one for each file: the beginning of a
damaged one can be read.
"""

from __future__ import annotations

import base64
import contextlib
import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from gitlumo.backup import parcel as parcels
from gitlumo.backup.issue import MAX_PARTS, PART_BYTES
from gitlumo.backup.parcel import IDENTITY, Parcel
from gitlumo.errors import FormatError, LumoError
from gitlumo.store import layout

VERSION = 1
BUDGET = (MAX_PARTS - 1) * PART_BYTES  # whatever is left for it in the body
MAX_RECORD = 256 * 1024 * 1024  # before it is compressed: a stranger's could be a bomb
_LEVEL = 9
_STEP = 4096  # bytes that are decompressed at a time: of damaged ones all that comes before is read


def fit(run: Parcel, masked: Iterable[str]) -> tuple[bytes, dict[str, Any]]:
    """The record of a run.

    What a reader needs comes first (properties, metrics, notes, edits), then the history, thinned where it must be,
    then strings and the user's files, the smallest first.

    Args:
        run: The run, masked.
        masked: Where.

    Returns:
        The record before it is compressed, and what it lacks of the run: see ``info/restored.json``.

    Raises:
        LumoError: If even the first does not fit.
    """
    lost: dict[str, Any] = {"masked": list(masked)} if masked else {}
    unnamed = [path for path in run.files if not _is_utf8(path)]
    if not unnamed:
        whole = to_bytes(run.files, lost)
        if _size(whole) <= BUDGET:
            return whole, lost
    core = {path: data for path, data in run.files.items() if _is_core(path)}
    left = BUDGET - _size(to_bytes(core, lost))
    if left < 0:
        raise LumoError(
            f"{run.name} is too large for an issue: its properties alone take more than {BUDGET // 1024} KiB compressed"
            "\nback it up into a file:  git lumo backup --to tar -o FILE"
        )
    history = {path: data for path, data in run.files.items() if layout.chunk_number(path) is not None}
    kept, told = _history(history, left)
    if told:
        lost["history"] = told
    files = {**core, **kept}
    left -= _size(b"".join(kept.values()))
    rest = [path for path in run.files if path not in core and path not in history]
    left_out = []
    for path in sorted(rest, key=lambda path: (path in unnamed, len(run.files[path]), path)):
        left -= _size(run.files[path]) * 4 // 3 + len(path) + 100  # bytes that are no text stand in base64
        if left < 0 or path in unnamed:
            name = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            left_out.append({"path": name, "size": len(run.files[path])})
        else:
            files[path] = run.files[path]
    if left_out:
        lost["left_out"] = sorted(left_out, key=lambda each: str(each["path"]))
    return to_bytes(files, lost), lost


def _is_core(path: str) -> bool:
    return layout.info_key(path) is not None or path in (layout.METRICS, layout.NOTE) or path.startswith("edits/")


def _is_utf8(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _size(data: bytes) -> int:
    return len(zlib.compress(data, _LEVEL))


def _history(chunks: Mapping[str, bytes], room: int) -> tuple[dict[str, bytes], dict[str, int] | None]:
    """A history that fits, and how many of its lines it has; None: all."""
    if _size(b"".join(chunks.values())) <= room:
        return dict(chunks), None
    ordered = sorted(chunks, key=lambda path: layout.chunk_number(path) or 0)
    lines = [raw for path in ordered for raw in chunks[path].split(b"\n") if raw]
    marks = telling(lines)
    step = 2
    while step < 2 * len(lines):
        kept = [raw for n, raw in enumerate(lines) if n in marks or n % step == 0]
        data = b"".join(raw + b"\n" for raw in kept)
        if _size(data) <= room:
            return _chunked(kept), {"lines": len(kept), "of": len(lines)}
        step *= 2
    return {}, {"lines": 0, "of": len(lines)}


def telling(lines: Iterable[bytes]) -> set[int]:
    """The numbers of the lines that make up each metric's summary, but for how many there were.

    These are its first, last, least and greatest value, and where it was said how its values compare.
    """
    ends: dict[str, dict[str, tuple[int, Any]]] = {}
    marks: set[int] = set()
    for n, raw in enumerate(lines):
        line = layout.parse_line(raw)
        if line is None:
            continue
        if line.cmp is not False:
            marks.add(n)
        for key, value in line.numbers.items():
            found = ends.setdefault(key, {"first": (n, value)})
            found["last"] = (n, value)
            if value == value:
                if "min" not in found or value < found["min"][1]:
                    found["min"] = (n, value)
                if "max" not in found or value > found["max"][1]:
                    found["max"] = (n, value)
    return marks | {n for found in ends.values() for n, _ in found.values()}


def _chunked(lines: Iterable[bytes]) -> dict[str, bytes]:
    chunks: dict[str, bytes] = {}
    part = b""
    for raw in lines:
        if part and len(part) + len(raw) >= layout.HISTORY_CHUNK:
            chunks[layout.chunk_path(len(chunks))] = part
            part = b""
        part += raw + b"\n"
    return {**chunks, layout.chunk_path(len(chunks)): part}


def to_bytes(files: Mapping[str, bytes], lost: Mapping[str, Any]) -> bytes:
    """A record: first what is needed for there to be a run at all."""
    lines = [{"version": VERSION, "lost": dict(lost)}]
    lines += [{"path": path, **_content(files[path])} for path in sorted(files, key=lambda path: (_place(path), path))]
    return "".join(f"{json.dumps(line, ensure_ascii=False, sort_keys=True)}\n" for line in lines).encode("utf-8")


def _place(path: str) -> int:
    if path in IDENTITY:
        return 0
    return 1 if path.startswith("info/") else 2 if _is_core(path) else 3


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


def from_bytes(data: bytes, where: str) -> tuple[Parcel, dict[str, Any]]:
    """The run that a record, or the beginning of one, holds, and what the record lacks of it.

    Args:
        data: The record; a last line that is not whole is passed over.
        where: What to call it in errors.

    Raises:
        FormatError: If it is no record, or of a later version, or holds no run.
    """
    lines = data[: data.rfind(b"\n") + 1].split(b"\n")[:-1]
    head = _object(lines[0]) if lines else {}
    version, lost = head.get("version"), head.get("lost")
    if type(version) is int and version > VERSION:
        raise FormatError(f"{where}: its record is of version {version}; install a newer gitlumo")
    if version != VERSION or not isinstance(lost, dict):
        raise FormatError(f"{where}: no record of a run")
    files: dict[str, bytes] = {}
    for raw in lines[1:]:
        line = _object(raw)
        path, content = line.get("path"), _bytes(line)
        if not isinstance(path, str) or content is None or path in files:
            raise FormatError(f"{where}: a line of its record is no file, or a second one of its path")
        files[path] = content
    return parcels.made(files, where), lost


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
