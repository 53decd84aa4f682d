"""What must not stand on a page that others read: secrets, and whose home folder it was."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gitlumo import privacy, values
from gitlumo.backup.parcel import IDENTITY, Parcel
from gitlumo.errors import FormatError
from gitlumo.store import layout, record

# Anybody's home folder, as /home/ada and /gpfs/users/ada; where it is on this machine does not matter.
_HOMES = re.compile(r"(?<![\w.~/-])(?:(?:/[\w.-]+){0,3}/(?:homes?|[Uu]sers)/[^/\s\"'`:;,<>|\\]+|/root(?!\w))")


def masked(parcel: Parcel) -> tuple[Parcel, list[str]]:
    """A parcel without secrets and private paths, and the places where something was masked.

    A file that is no text and holds a token is left out as a whole; who and when the run is never changes. Machines
    that back up the same run mask the same: what differed would be sent again and again, by one and then the other.
    """
    files: dict[str, bytes] = {}
    places: list[str] = []
    lines_changed = False
    for path, data in parcel.files.items():
        if path in IDENTITY or path.startswith(f"{layout.EDITS}/"):
            files[path] = data
            continue
        new, where = _file(path, data)
        if new is not None:
            files[path] = new
        places += where
        lines_changed |= bool(where) and layout.chunk_number(path) is not None
    for path, data in _edits(parcel, places):
        files[path] = data
    if lines_changed:
        torn_or_not = record.history_lines(files.get, files)
        files[layout.METRICS] = record.metrics_to_bytes(record.fold(line for line in torn_or_not if line))
    return replace(parcel, files=files), list(dict.fromkeys(places))


def mask_text(text: str) -> str:
    """A text without secrets and private paths."""
    return _HOMES.sub("~", privacy.mask_text(text))


def _file(path: str, data: bytes) -> tuple[bytes | None, list[str]]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return (None, [path]) if privacy.tokens(data) else (data, [])
    if layout.chunk_number(path) is not None:
        return _history(path, text)
    key = layout.info_key(path)
    if key is not None or path == layout.METRICS:
        try:
            value = values.from_bytes(data)
        except FormatError:
            return data, []
        new, places = _value(value, key or "metrics")
        return (values.to_bytes(new), places) if new != value else (data, [])
    plain = mask_text(text)
    return (plain.encode("utf-8"), [path]) if plain != text else (data, [])


def _value(value: Any, path: str) -> tuple[Any, list[str]]:
    """A JSON value without them, and where they are, or were masked already when it was recorded."""
    return privacy.mask_value(value, path, mask_text)


def _history(path: str, text: str) -> tuple[bytes, list[str]]:
    """A chunk of history: only companions are texts."""
    if '"$with"' not in text:
        return text.encode("utf-8"), []
    lines, places = [], []
    for raw in text.split("\n"):
        new = _line(raw) if '"$with"' in raw else raw
        if new != raw:
            places.append(path)
        lines.append(new)
    return "\n".join(lines).encode("utf-8"), places[:1]


def _line(raw: str) -> str:
    try:
        value = json.loads(raw)
    except ValueError:
        return raw
    if not isinstance(value, dict) or "$with" not in value:
        return raw
    companions, _ = _value(value["$with"], "with")
    if companions == value["$with"]:
        return raw
    return json.dumps({**value, "$with": companions}, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _edits(parcel: Parcel, places: list[str]) -> Iterator[tuple[str, bytes]]:
    """The edits; one with something to mask becomes another one, just before it.

    Edits of one name would be joined by whichever blob's id is the greater (docs/format.md, section 6), and a mask
    must never take the place of what it hides. Where both are there, the later one, which hides nothing, counts.
    """
    ids: dict[str, str] = {}
    for path in sorted(path for path in parcel.files if path.startswith(f"{layout.EDITS}/")):
        data = parcel.files[path]
        edit = layout.parse_edit(path.partition("/")[2], data, parcel.identity.uid)
        if edit is None:
            continue  # nothing that anybody reads
        value, where = _value(edit.value, edit.kind)
        if edit.kind == layout.UNDO and edit.value in ids:
            value, where = ids[edit.value], []
        if value == edit.value:
            yield path, data
            continue
        places += where
        id = hashlib.sha256(f"masked {edit.id}".encode()).hexdigest()[:16]
        ids[edit.id] = id
        name = layout.edit_name(max(int(edit.name[:17]) - 1, 0), id)
        yield f"{layout.EDITS}/{name}", layout.edit_to_bytes(replace(edit, name=name, value=value, id=id))
