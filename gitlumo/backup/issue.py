"""The text of an issue that holds a run (docs/format.md, section 12): pure, from bytes to Markdown and back.

People edit around it, and GitHub returns what they edit with CRLF: what stands at the ends of lines does not count.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gitlumo.errors import FormatError

MAX_BODY = 65_536  # GitHub's limit is one of characters; bytes are never fewer
PART_BYTES = 45_000  # of the compressed record in one comment: 61,000 characters
MAX_PARTS = 9  # the body, and eight comments
_LINE_BYTES = 57  # 76 characters, as MIME has them (RFC 2045)
_FRAME = 600  # characters around a part: its fence, its header, its end

_MARKER = re.compile(r"^<!-- gitlumo run ([0-9a-f]{32}) -->", re.MULTILINE)
_PART_MARKER = re.compile(r"^<!-- gitlumo part of ([0-9a-f]{32}) -->", re.MULTILINE)
_DUPLICATE = re.compile(r"^<!-- gitlumo duplicate ([0-9a-f]{32}) -->", re.MULTILINE)
_HEADER = re.compile(r"gitlumo-record 1 uid=([0-9a-f]{32}) part=(\d+)/(\d+) first=(\d+) sha256=([0-9a-f]{64})")
_END = re.compile(r"end sha256=([0-9a-f]{16})")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_REGION = "<!-- gitlumo {} -->\n{}<!-- gitlumo {} end -->\n"


@dataclass(frozen=True)
class Part:
    """One part of a record, as it stands somewhere.

    Attributes:
        uid: The run.
        number: From 1.
        count: How many there are.
        first: Bytes in the first one: the same record may have been divided in another way before.
        digest: SHA-256 of the whole record before it was compressed.
        data: Its share of the compressed record.
        is_sound: Whether it is as it was written.
    """

    uid: str
    number: int
    count: int
    first: int
    digest: str
    data: bytes
    is_sound: bool


def digest_of(record: bytes) -> str:
    """What names a record's content."""
    return hashlib.sha256(record).hexdigest()


def uids_of(body: str | None) -> list[str]:
    """The run whose backup an issue is; none: it is another issue, or a duplicate that was emptied.

    They are several where somebody has pasted the text of one into another.
    """
    return list(dict.fromkeys(_MARKER.findall(body or "")))


def duplicate_of(body: str | None) -> str | None:
    """The run of which an issue was a second backup."""
    match = _DUPLICATE.search(body or "")
    return match[1] if match else None


def part_of(comment: str | None) -> str | None:
    """The run of whose record a comment of ours holds a part."""
    match = _PART_MARKER.match(comment or "")
    return match[1] if match else None


def split(uid: str, digest: str, compressed: bytes, room: int) -> list[str]:
    """The parts of a record, as text: the first for the body, the others for comments.

    Args:
        uid: The run.
        digest: See :func:`digest_of`.
        compressed: The record.
        room: Bytes that the body has for it.
    """
    first = max(0, min(PART_BYTES, (room - _FRAME) // (77 + 1) * _LINE_BYTES))
    shares = [compressed[:first]]
    shares += [compressed[at : at + PART_BYTES] for at in range(first, len(compressed), PART_BYTES)]
    return [_text(uid, digest, number, len(shares), len(shares[0]), share) for number, share in enumerate(shares, 1)]


def _text(uid: str, digest: str, number: int, count: int, first: int, data: bytes) -> str:
    lines = [base64.b64encode(data[at : at + _LINE_BYTES]).decode() for at in range(0, len(data), _LINE_BYTES)]
    of = f", part {number} of {count}" if count > 1 else ""
    return "\n".join(
        [
            f"<details><summary>The record, from which <code>git lumo restore</code> makes the run again{of}</summary>",
            "",
            "```text",
            f"gitlumo-record 1 uid={uid} part={number}/{count} first={first} sha256={digest}",
            *lines,
            f"end sha256={hashlib.sha256(data).hexdigest()[:16]}",
            "```",
            "",
            "</details>",
            "",
        ]
    )


def comment(uid: str, text: str) -> str:
    """A comment that holds a part."""
    return f"<!-- gitlumo part of {uid} -->\n{text}"


def body(uid: str, page: str, part: str, former: str | None = None) -> str:
    """An issue's body.

    Args:
        uid: The run.
        page: What people read.
        part: The record, or its first part.
        former: The body that there is: what people wrote around ours stays.
    """
    text = (former or "").replace("\r\n", "\n")
    if uid not in uids_of(text):
        text = f"<!-- gitlumo run {uid} -->\n{text}"
    for name, content in (("page", page), ("record", part)):
        region = _REGION.format(name, content, name)
        text, count = _region(name).subn(lambda _, region=region: region, text, count=1)  # type: ignore[misc]
        if not count:
            text = text.rstrip("\n") + f"\n{region}"
    return text


def emptied(uid: str, number: int, former: str) -> str:
    """The body of a second backup of a run that has one; what people wrote stays."""
    text = former.replace("\r\n", "\n")
    for ours in (_region("page"), _region("record"), _MARKER):
        text = ours.sub("", text)
    if any(part.uid == uid for part in parts(text)):
        text = ""
    said = f"This run is backed up in #{number}; this issue is a duplicate."
    return f"<!-- gitlumo duplicate {uid} -->\n{said}\n\n{text.strip()}".rstrip() + "\n"


def _region(name: str) -> re.Pattern[str]:
    return re.compile(rf"^<!-- gitlumo {name} -->$.*?^<!-- gitlumo {name} end -->$\n?", re.MULTILINE | re.DOTALL)


def parts(text: str | None) -> Iterator[Part]:
    """The parts that stand in a text, damaged ones too."""
    lines = [line.strip() for line in (text or "").split("\n")]
    for at, line in enumerate(lines):
        header = _HEADER.fullmatch(line)
        if not header:
            continue
        data, end = [], None
        for inner in lines[at + 1 :]:
            end = _END.fullmatch(inner)
            if end or _HEADER.fullmatch(inner):
                break
            data.append(inner)
        raw = _decoded(data)
        if raw is None:  # as far as it goes
            raw = b"".join(itertools.takewhile(bool, (_decoded([line]) or b"" for line in data if line)))
            end = None
        sound = bool(end) and hashlib.sha256(raw).hexdigest()[:16] == (end or [""])[1]
        yield Part(header[1], int(header[2]), int(header[3]), int(header[4]), header[5], raw, sound)


def _decoded(lines: Iterable[str]) -> bytes | None:
    text = "".join(lines)
    if text and not _BASE64.fullmatch(text):
        return None
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None


def of_run(uid: str, texts: Sequence[str | None]) -> list[Part]:
    """The parts of one run's record: those that belong to the first part in the first text.

    Args:
        uid: The run.
        texts: The body, then the comments.

    Raises:
        FormatError: If the body has none.
    """
    found = [part for text in texts for part in parts(text) if part.uid == uid]
    first = next((part for part in parts(texts[0]) if part.uid == uid and part.number == 1), None)
    if first is None:
        raise FormatError("its record is gone: nothing in the body begins with 'gitlumo-record 1'")
    same = (first.digest, first.count, first.first)
    return [part for part in found if (part.digest, part.count, part.first) == same]


def whole(found: Sequence[Part]) -> bytes:
    """The compressed record that parts make up.

    Raises:
        FormatError: If some are missing or damaged; says which.
    """
    if not found:
        raise FormatError("its record is gone")
    count = found[0].count
    sound = {part.number: part.data for part in found if part.is_sound}
    damaged = sorted({part.number for part in found} - sound.keys())
    missing = [n for n in range(1, min(count, MAX_PARTS) + 1) if n not in sound and n not in damaged]
    if count > MAX_PARTS:
        raise FormatError(f"its record has {count} parts; there are never more than {MAX_PARTS}")
    if damaged:
        raise FormatError(f"somebody has changed its record: {_listed(damaged, count)} is not as it was written")
    if missing:
        raise FormatError(f"its record is not whole: {_listed(missing, count)} is missing")
    return b"".join(sound[n] for n in range(1, count + 1))


def beginning(found: Sequence[Part]) -> bytes:
    """As much of the compressed record as is there from its beginning: up to the first part that is missing."""
    there: dict[int, Part] = {}
    for part in found:
        if part.number not in there or part.is_sound:
            there[part.number] = part
    data = b""
    for number in range(1, MAX_PARTS + 1):
        if number not in there:
            break
        data += there[number].data
        if not there[number].is_sound:
            break
    return data


def _listed(numbers: Sequence[int], count: int) -> str:
    return f"part {', '.join(map(str, numbers))} of {count}"
