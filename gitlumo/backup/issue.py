"""The text of an issue that holds a run (docs/format.md, section 14): pure, from bytes to Markdown and back.

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
_WIDTH = 76  # characters in a line, as MIME has them (RFC 2045)
_LINE_BYTES = _WIDTH // 4 * 3
_FRAME = 600  # bytes around a part: its fence, its header, its end
_SPARE = 2048  # bytes of a body that are left to people, as long as there are so many

_MARKER = re.compile(r"^<!-- gitlumo run ([0-9a-f]{32}) -->[ \t\r]*$", re.MULTILINE)
_PART_MARKER = re.compile(r"<!-- gitlumo part of ([0-9a-f]{32}) -->")
_DUPLICATE = re.compile(r"^<!-- gitlumo duplicate ([0-9a-f]{32}) -->", re.MULTILINE)
_VERSION = re.compile(r"gitlumo-record ([1-9][0-9]{0,3})\b.*")
_HEADER = re.compile(
    r"gitlumo-record 1 uid=([0-9a-f]{32}) part=([1-9][0-9]{0,9})/([1-9][0-9]{0,9}) first=([0-9]{1,6})"
    r" sha256=([0-9a-f]{64})"
)
_END = re.compile(r"end sha256=([0-9a-f]{16})")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_MARK = re.compile(r"^<!-- gitlumo (page|record)( end)? -->[ \t]*(?:\n|\Z)", re.MULTILINE)
_REGIONS = ("page", "record")


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


def room_in(text: str) -> int:
    """How many bytes may be added to a body, also once GitHub's editor has made CRLF of its line ends.

    Negative where not even an empty record has room.
    """
    return MAX_BODY - len(text.encode("utf-8")) - text.count("\n") - _FRAME


def split(uid: str, digest: str, compressed: bytes, room: int) -> list[str]:
    """The parts of a record, as text: the first for the body, the others for comments.

    Args:
        uid: The run.
        digest: See :func:`digest_of`.
        compressed: The record.
        room: See :func:`room_in`.
    """
    first = max(0, min(PART_BYTES, (room - _SPARE) // (_WIDTH + 2) * _LINE_BYTES))
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
    text = _without_records(uid, text)
    for name, content in zip(_REGIONS, (page, part), strict=True):
        region = f"<!-- gitlumo {name} -->\n{content}<!-- gitlumo {name} end -->\n"
        start, end = _region(name, text)
        before = text[:start] if end else text.rstrip("\n") + "\n"
        text = before + region + text[end or len(text) :]
    return text


def _region(name: str, text: str) -> tuple[int, int]:
    """Where one of our regions begins and ends; 0, 0: it is not there whole, as people have taken a mark of it away.

    What stands between a mark and one of another region is theirs: it is never replaced.
    """
    marks = list(_MARK.finditer(text))
    for mark, following in itertools.pairwise(marks):
        if (mark[1], mark[2], following[1], bool(following[2])) == (name, None, name, True):
            return mark.start(), following.end()
    return 0, 0


def _without_records(uid: str, text: str) -> str:
    """A text without any record of a run: there is to be one, also where people have taken the marks around it away."""
    kept, inside = [], False
    for line in text.split("\n"):
        bare = line.strip()
        header = _HEADER.fullmatch(bare)
        if header:
            inside = header[1] == uid
        elif inside and bare and not (len(bare) == _WIDTH and _BASE64.fullmatch(bare)):
            inside = False
            if _END.fullmatch(bare):
                continue
        if not inside:
            kept.append(line)
    return "\n".join(kept)


def emptied(uid: str, number: int, former: str) -> str:
    """The body of a second backup of a run that has one.

    Args:
        uid: The run.
        number: The issue that stays.
        former: The body that there is: what people wrote around ours stays.
    """
    text = _without_records(uid, former.replace("\r\n", "\n"))
    for name in _REGIONS:
        start, end = _region(name, text)
        text = text[:start] + text[end:]
    theirs = _MARKER.sub("", text).strip("\n")
    said = f"<!-- gitlumo duplicate {uid} -->\nThis run is backed up in #{number}; this issue is a duplicate.\n"
    return f"{said}\n{theirs}\n" if theirs else said


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
        FormatError: If the body has none, or one of a later version.
    """
    found = [part for text in texts for part in parts(text) if part.uid == uid]
    first = next((part for part in parts(texts[0]) if part.uid == uid and part.number == 1), None)
    if first is None:
        raise FormatError(_why_none(texts[0]))
    same = (first.digest, first.count, first.first)
    return [part for part in found if (part.digest, part.count, part.first) == same]


def _why_none(text: str | None) -> str:
    versions = [int(match[1]) for line in (text or "").split("\n") if (match := _VERSION.fullmatch(line.strip()))]
    if versions and max(versions) > 1:
        return f"its record is of version {max(versions)}; install a newer gitlumo"
    if versions:
        return "the first line of its record, 'gitlumo-record 1 ...', is not as it was written, or of another run"
    return "its record is gone: no line of the body begins with 'gitlumo-record'"


def whole(found: Sequence[Part]) -> bytes:
    """The compressed record that parts make up.

    Raises:
        FormatError: If some are missing or damaged; says which.
    """
    if not found:
        raise FormatError("its record is gone")
    count = found[0].count
    sound = {part.number: part.data for part in reversed(found) if part.is_sound}  # the first: others may come later
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
        if part.number not in there or (part.is_sound and not there[part.number].is_sound):
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
