"""Format v1: bytes to model and back, pure (docs/format.md). It knows no git and no disk."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gitlumo import ids, values
from gitlumo.errors import FormatError, TooNew

VERSION = 1
HISTORY_CHUNK = 256 * 1024
MAX_LINE = 1024 * 1024
MAX_FILE = 10 * 1024 * 1024
MAX_SUBJECT = 120
MAX_MERGE_PATHS = 20

# Section 7: the fixed identity and time of the root, of merges and of snapshots.
IDENTITY = ids.NOBODY
ROOT_TIME = ids.EPOCH
ROOT_MESSAGE = "gitlumo ledger\n\nLumo-Format: 1\n"

EDITS = "edits"
PURGED = "purged.json"
METRICS = "metrics.json"
NOTE = "note.md"
HISTORY = "history"
IMAGES = "images"
LOST = "info/restored.json"  # what a restored run lacks of the one that was backed up
RESERVED = frozenset({EDITS, PURGED})

Read = Callable[[str], bytes | None]
"""Gives the bytes of a file below a run's folder, None where there is none."""

_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f:\ud800-\udfff]")
_DAY = re.compile(r"\d{6}", re.ASCII)
_THOUSAND = re.compile(r"\d+", re.ASCII)
_CHUNK_NAME = re.compile(r"history/(\d{5,})\.jsonl", re.ASCII)
_START = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_EDIT_NAME = re.compile(r"([0-8]\d{16})-([0-9a-f]{16})\.json", re.ASCII)
_IMAGE = re.compile(r"(-?\d{1,19})-[0-9a-f]{16}\.(?:png|jpg|gif|webp)", re.ASCII)
MAX_EDIT_TIME = 89999999999999999
UNDO = "undo"


# Paths (section 1)


def is_day(name: str) -> bool:
    """Whether a folder below an exp_name holds a day's runs."""
    return _DAY.fullmatch(name) is not None


def is_thousand(name: str) -> bool:
    """Whether a folder below a day holds a thousand of its runs."""
    return _THOUSAND.fullmatch(name) is not None


def thousand_of(test_name: str) -> str | None:
    """The folder below the day in which a run of this name lies, or None if directly in the day."""
    ordinal = ids.ordinal_of(test_name)
    return str(ordinal // 1000) if ordinal is not None and ordinal >= 1000 else None


def run_folder(exp_name: str, test_name: str, start: str, uid: str | None = None) -> str:
    """Where a run lies in the ledger's tree.

    Args:
        exp_name: The experiment.
        test_name: The run.
        start: Its start, as in ``progress``.
        uid: Given where an older run has the name: ``<test_name>~<uid>``.
    """
    parts = [exp_name, values.day_text(start), thousand_of(test_name), f"{test_name}~{uid}" if uid else test_name]
    return "/".join(part for part in parts if part)


def info_path(key: str) -> str:
    """The file of a property."""
    return f"info/{ids.key_to_filename(key)}.json"


def text_path(key: str) -> str:
    """The file of a string."""
    return f"text/{ids.key_to_filename(key)}.txt"


def info_key(path: str) -> str | None:
    """The property that a file holds, or None for any other file."""
    if path.startswith("info/") and path.endswith(".json") and path.count("/") == 1:
        return ids.filename_to_key(path[5:-5])
    return None


def chunk_path(number: int) -> str:
    """The file of a chunk of history."""
    return f"{HISTORY}/{number:05d}.jsonl"


def chunk_number(path: str) -> int | None:
    """The number of a chunk of history, or None for any other file."""
    match = _CHUNK_NAME.fullmatch(path)
    return int(match[1]) if match else None


def image_name(step: int, data: bytes, ending: str) -> str:
    """The file of an image, in the folder of its key: two that differ never share one."""
    return f"{step}-{hashlib.sha256(data).hexdigest()[:16]}{ending}"


def images(names: Iterable[str]) -> list[tuple[int, str]]:
    """Of the files in the folder of a key those that are images: step and name, in order."""
    return sorted((int(match[1]), name) for name in names if (match := _IMAGE.fullmatch(name)))


def is_own(path: str) -> bool:
    """Whether a file is gitlumo's own, not one that the user put there."""
    return path in (METRICS, NOTE) or chunk_number(path) is not None or info_key(path) is not None


# What a join reads of a run (section 6)


@dataclass(frozen=True)
class Identity:
    """Who a run is and which of two records of it is the later one."""

    uid: str
    exp_name: str
    test_name: str
    start: str
    seq: int
    restored: bool
    former: tuple[tuple[str, str], ...] = field(default=(), compare=False)  # names that it was published under before

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """The (exp_name, test_name) under which a ledger may have it."""
        return ((self.exp_name, self.test_name), *self.former)


def read_identity(read: Read) -> Identity | None:
    """The identity that a folder's files give; None: the folder is no run."""
    return identity_of(lambda key: values.from_bytes(read(f"info/{key}.json") or b""))


def identity_of(info: Callable[[str], Any]) -> Identity | None:
    """The identity that a run's properties give; None: it is no run, or one of them raises FormatError."""
    try:
        uid, exp_name, test_name, progress = info("uid"), info("exp_name"), info("test_name"), info("progress")
    except FormatError:
        return None
    if not isinstance(progress, dict):
        return None
    seq = progress.get("seq", 0)
    restored = progress.get("restored") is True
    found = _identity(uid, exp_name, test_name, progress.get("start"), seq, restored)
    former = progress.get("renamed") if found else None
    if found and isinstance(former, list):
        pairs = (name.split("/") for name in former if isinstance(name, str) and name.count("/") == 1)
        return replace(found, former=tuple((a, b) for a, b in pairs if ids.is_sound_name(a) and ids.is_sound_name(b)))
    return found


def read_tombstone(data: bytes) -> Identity | None:
    """The identity that a ``purged.json`` binds; None if it is not valid."""
    try:
        value = values.from_bytes(data)
    except FormatError:
        return None
    if not isinstance(value, dict):
        return None
    return _identity(value.get("uid"), value.get("exp_name"), value.get("test_name"), value.get("start"), 0, False)


def tombstone_to_bytes(identity: Identity, at: str, by: str) -> bytes:
    """A ``purged.json``."""
    bound = {key: getattr(identity, key) for key in ("uid", "start", "exp_name", "test_name")}
    return values.to_bytes({**bound, "at": at, "by": by})


def _identity(uid: Any, exp_name: Any, test_name: Any, start: Any, seq: Any, restored: bool) -> Identity | None:
    if not (ids.is_uid(uid) and ids.is_sound_name(exp_name) and ids.is_sound_name(test_name)):
        return None
    if type(seq) is not int or is_thousand(test_name) or not (isinstance(start, str) and _START.fullmatch(start)):
        return None
    try:
        values.day_text(start)
    except FormatError:
        return None
    return Identity(uid, exp_name, test_name, start, seq, restored)


def check_version(read: Read) -> None:
    """See that a run is of a format that this gitlumo reads.

    Raises:
        TooNew: If it is of a later one.
        FormatError: If it does not say.
    """
    data = read("info/format.json")
    if data is None:
        raise FormatError("there is no info/format.json, so this is no run")
    value = values.from_bytes(data)
    version = value.get("version") if isinstance(value, dict) else None
    if type(version) is not int:
        raise FormatError("info/format.json does not say a version")
    if version > VERSION:
        raise TooNew(f"recorded in format {version}; this gitlumo reads {VERSION}: install a newer gitlumo")


# History (section 4)


def metric_name(key: str) -> str:
    """A metric's name as it stands in a line of history."""
    return f"${key}" if key in ("step", "time") or key.startswith("$") else key


def metric_key(name: str) -> str:
    """The inverse of :func:`metric_name`."""
    return name[1:] if name.startswith("$") else name


def format_line(
    step: int,
    seconds: float,
    numbers: Mapping[str, int | float],
    extra: Mapping[str, Any] | None = None,
    names: dict[str, str] | None = None,
) -> bytes:
    """One line of history, newline included.

    Args:
        step: The step.
        seconds: Time since the run's start.
        numbers: Metric to value.
        extra: ``$cmp`` and ``$with``, as JSON values.
        names: A cache of quoted names, kept by the caller: this is the way of every single metric.
    """
    names = {} if names is None else names
    parts = [f'{{"step":{step},"time":{seconds:.3f}']
    for key, value in numbers.items():
        name = names.get(key)
        if name is None:
            name = names[key] = f",{json.dumps(metric_name(key), ensure_ascii=False)}:"
        if value - value == 0 or isinstance(value, int):
            parts.append(f"{name}{value!r}")
        else:
            parts.append(f'{name}"{values.float_name(value)}"')
    if extra:
        text = json.dumps(extra, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        parts.append("," + text[1:-1])
    parts.append("}\n")
    return "".join(parts).encode("utf-8")


@dataclass(frozen=True)
class Line:
    """One call: its metrics, and what it said about them (``cmp`` is False where it said nothing)."""

    step: int
    time: float
    numbers: dict[str, int | float]
    cmp: str | bool | None
    companions: dict[str, Any]


def parse_line(data: bytes) -> Line | None:
    """A line of history; None if it is torn or no such line."""
    try:
        value = json.loads(data)
        companions = values.decode(value.get("$with", {})) if isinstance(value, dict) else None
    except (ValueError, RecursionError, FormatError):
        return None
    if not isinstance(value, dict) or type(value.get("step")) is not int or not _is_time(value.get("time")):
        return None
    numbers: dict[str, int | float] = {}
    for name, item in value.items():
        if name in ("step", "time") or (name.startswith("$") and name not in ("$step", "$time") and name[:2] != "$$"):
            continue  # not a metric, or of a later version
        number = values.decode_number(item)
        if number is None:
            return None
        numbers[metric_key(name)] = number
    cmp = value.get("$cmp", False)
    if (
        not (cmp is False or cmp is None or isinstance(cmp, str))
        or cmp not in (False, None, "max", "min")
        or not isinstance(companions, dict)
    ):
        return None
    return Line(value["step"], value["time"], numbers, cmp, companions)


def _is_time(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12


# Edits (section 5)


@dataclass(frozen=True)
class Edit:
    """What somebody changed after the run."""

    name: str
    uid: str
    kind: str
    value: Any
    by: str
    at: str
    id: str


def edit_name(time: int, id: str) -> str:
    """The file name of an edit."""
    return f"{time:017d}-{id}.json"


def next_edit_time(names: Iterable[str], now: float) -> int:
    """The hybrid logical clock: microseconds since 1970, above all edits that are there.

    Args:
        names: File names in the run's ``edits/``.
        now: The editor's clock, in seconds.

    Raises:
        FormatError: If a clock that ran centuries ahead has used up the numbers.
    """
    seen = max((int(match[1]) for match in map(_EDIT_NAME.fullmatch, names) if match), default=0)
    time = max(int(now * 1_000_000), seen + 1)
    if time > MAX_EDIT_TIME:
        raise FormatError("an edit of this run bears the last possible time; take it out with 'git lumo purge'")
    return time


def parse_edit(name: str, data: bytes, uid: str) -> Edit | None:
    """An edit of the run ``uid``; None for a file that is not one."""
    match = _EDIT_NAME.fullmatch(name)
    if not match:
        return None
    try:
        value = values.from_bytes(data)
    except FormatError:
        return None
    if not isinstance(value, dict) or value.get("uid") != uid or value.get("id") != match[2]:
        return None
    kind, by, at = value.get("kind"), value.get("by"), value.get("at")
    if not (isinstance(kind, str) and isinstance(by, str) and isinstance(at, str)):
        return None
    return Edit(name, uid, kind, value.get("value"), by, at, match[2])


def edit_to_bytes(edit: Edit) -> bytes:
    """An edit's file; its name is not in it."""
    named = {key: getattr(edit, key) for key in ("uid", "kind", "value", "by", "at", "id")}
    return values.to_bytes(named)


def standing_edits(edits: Iterable[Edit]) -> list[Edit]:
    """The edits that no active later ``undo`` names, in name order, undos among them."""
    undone: set[str] = set()
    standing = []
    for edit in sorted(edits, key=lambda edit: edit.name, reverse=True):
        if edit.id not in undone:
            standing.append(edit)
            if edit.kind == UNDO and isinstance(edit.value, str):
                undone.add(edit.value)
    return standing[::-1]


def active_edits(edits: Iterable[Edit]) -> list[Edit]:
    """The same without the undos."""
    return [edit for edit in standing_edits(edits) if edit.kind != UNDO]


# Messages (section 7)


def event_message(events: Sequence[tuple[str, str, str]]) -> str:
    """An event commit's message.

    Args:
        events: (kind, uid, subject) of each run that it publishes; see :func:`event_subject`.
    """
    trailers = "".join(f"Lumo-Event: {kind}\nLumo-Uid: {uid}\n" for kind, uid, _ in events)
    subjects = [subject for _, _, subject in events]
    told = subjects[0]
    if len(subjects) > 1:
        told = f"{told}, and {len(subjects) - 1} more\n\n" + "\n".join(subjects)
    return f"{told}\n\nLumo-Format: {VERSION}\n{trailers}"


def event_subject(name: str, state: str, facts: Mapping[str, Any]) -> str:
    """``<exp_name>/<test_name> <state> key=value ...``, as many facts as fit into one line."""
    subject = f"{name} {state}"
    for key, value in facts.items():
        number = isinstance(value, float) and not isinstance(value, bool)
        text = f"{key}={value:.6g}" if number else f"{key}={value}"
        text = "".join(c if c.isprintable() else "?" for c in text)
        if len(subject) + 1 + len(text) > MAX_SUBJECT:
            break
        subject += " " + text
    return subject


def is_odd(path: str) -> bool:
    """Whether a path has what no run's path has: it is not to stand in a message."""
    return _ODD.search(path) is not None


def merge_message(count: int, paths: Iterable[str]) -> str:
    """A merge commit's message.

    Args:
        count: Of parents.
        paths: Folders of runs in which the parents' trees differ.
    """
    ordered = sorted(set(paths), key=lambda path: path.encode("utf-8", "surrogateescape"))
    listed = ordered[:MAX_MERGE_PATHS]
    if len(ordered) > len(listed):
        listed.append(f"and {len(ordered) - len(listed)} more")
    body = "".join(f"{path}\n" for path in listed)
    return (
        f"merge {count} ledgers\n\n" + (f"{body}\n" if body else "") + f"Lumo-Format: {VERSION}\nLumo-Merge: {count}\n"
    )
