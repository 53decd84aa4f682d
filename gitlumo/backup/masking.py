"""What must not stand on a page that others read: secrets, and whose home folder it was."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from typing import Any

from gitlumo import privacy, values
from gitlumo.backup.parcel import IDENTITY, Parcel, shown
from gitlumo.errors import FormatError
from gitlumo.store import layout

_NAME = r"[^/\\\s\"'`:;,<>|]+"
# Anybody's home folder, as /home/ada and /gpfs/users/ada; where it is on this machine does not matter.
_HOMES = re.compile(
    rf"(?:{privacy.PATH_BEGINS}|(?<=^-[A-Za-z])|(?<=\s-[A-Za-z]))"  # -I/home/ada
    rf"(?:(?:/[\w.-]+){{0,3}}/(?:homes?|[Uu]sers)/{_NAME}|/root{privacy.PATH_ENDS})"
    rf"|(?<!\w)[A-Za-z]:[\\/]{{1,2}}Users[\\/]{{1,2}}{_NAME}"
)


def masked(parcel: Parcel) -> tuple[Parcel, list[str]]:
    """A parcel without secrets and private paths, and the places where something was masked.

    A file that is no text and holds a token is left out as a whole, and so is one with a token in its name; who and
    when the run is never changes. Machines that back up the same run mask the same: what differed would be sent again
    and again, by one and then the other.
    """
    files: dict[str, bytes] = {}
    places: list[str] = []
    for path, data in parcel.files.items():
        if path in IDENTITY:
            files[path] = data
        elif not path.startswith(f"{layout.EDITS}/"):
            new, where = _file(path, data)
            name = shown(path)
            if new is not None and mask_text(name, sure=True) == name:
                files[path] = new
            else:
                where = [mask_text(name, sure=True)]
            places += where
    files |= _edits(parcel, places)
    return replace(parcel, files=files), list(dict.fromkeys(places))


def mask_text(text: str, *, sure: bool = False) -> str:
    """A text without secrets and private paths; see :func:`gitlumo.privacy.mask_text`."""
    return _HOMES.sub("~", privacy.mask_text(text, sure=sure))


def _file(path: str, data: bytes) -> tuple[bytes | None, list[str]]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return (None, []) if privacy.tokens(data) else (data, [])
    key = layout.info_key(path)
    if layout.chunk_number(path) is not None:
        new, places = _history(path, text)
    elif key is not None or path == layout.METRICS:
        new, places = _json(text, key or "metrics")
    else:
        new = mask_text(text, sure=True)
        places = [shown(path)] if new != text else []
    return new.encode("utf-8"), places


def _json(text: str, key: str) -> tuple[str, list[str]]:
    """A property, or the metrics; what is damaged is masked as a text."""
    try:
        value = values.from_bytes(text.encode("utf-8"))
    except FormatError:
        plain = mask_text(text)
        return plain, [key] if plain != text else []
    by_name = key != "lock"  # a package may be called "credentials": what stands there is its version
    new, places = _value(value, key) if by_name else (value, [])
    written = values.to_bytes(new).decode("utf-8") if new != value else text
    bare = _without_tokens(written)
    if bare != written:  # in a key
        return values.to_bytes(values.from_bytes(bare.encode("utf-8"))).decode("utf-8"), [*places, key]
    return written, places


def _without_tokens(text: str) -> str:
    for token in privacy.tokens(text.encode("utf-8")):
        text = text.replace(token, privacy.MASK)
    return text


def _value(value: Any, path: str) -> tuple[Any, list[str]]:
    """A JSON value without them, and where they are, or were masked already when it was recorded."""
    return privacy.mask_value(value, path, mask_text, short=str)  # whose home is here does not matter


def _history(path: str, text: str) -> tuple[str, list[str]]:
    """A chunk of history: companions are texts, and the names of metrics."""
    if '"$with"' in text:
        text, before = "\n".join(_line(raw) if '"$with"' in raw else raw for raw in text.split("\n")), text
    else:
        before = text
    text = _without_tokens(text)
    return text, [path] if text != before else []


def _line(raw: str) -> str:
    try:
        value = json.loads(raw)
        companions, _ = _value(value["$with"], "with")
        if companions == value["$with"]:
            return raw
        return json.dumps({**value, "$with": companions}, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (ValueError, TypeError, KeyError, RecursionError):  # no line of a history
        return mask_text(raw)


def _edits(parcel: Parcel, places: list[str]) -> dict[str, bytes]:
    """The edits; one with something to mask becomes another one, just before it.

    Edits of one name would be joined by whichever blob's id is the greater (docs/format.md, section 6), and a mask
    must never take the place of what it hides. Where both are there, the later one, which hides nothing, counts.
    """
    ids: dict[str, str] = {}
    files: dict[str, bytes] = {}
    for path in sorted(path for path in parcel.files if path.startswith(f"{layout.EDITS}/")):
        data = parcel.files[path]
        edit = layout.parse_edit(path.partition("/")[2], data, parcel.identity.uid)
        if edit is None:
            continue  # nothing that anybody reads
        value, where = _value(edit.value, edit.kind)
        if edit.kind == layout.UNDO and isinstance(edit.value, str) and edit.value in ids:
            value, where = ids[edit.value], []
        if value == edit.value:
            files[path] = data
            continue
        places += where
        name, ids[edit.id] = _just_before(edit)
        files[f"{layout.EDITS}/{name}"] = layout.edit_to_bytes(replace(edit, name=name, value=value, id=ids[edit.id]))
    return files


def _just_before(edit: layout.Edit) -> tuple[str, str]:
    """Name and id for an edit that comes before another one, and after all that come before that one."""
    time, drawn = int(edit.name[:17]), int(hashlib.sha256(f"masked {edit.id}".encode()).hexdigest()[:16], 16)
    if int(edit.id, 16):
        id = f"{drawn % int(edit.id, 16):016x}"
    else:
        time, id = max(time - 1, 0), f"{drawn:016x}"
    return layout.edit_name(time, id), id
