"""What an archive of backups holds: its index, the names of its members, its digests (docs/format.md, section 12)."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gitlumo import ids
from gitlumo.errors import FormatError, TooNew

VERSION = 1
INDEX, CODE, SUMS = "index.json", "code.bundle", "SHA256SUMS"
RECORD, BLOB, CACHE = "record", "blob", "cache"
PARTS = (RECORD, BLOB, CACHE)
MAX_INDEX = 64 * 1024**2  # bytes
MAX_RECORD = 1024**3
_SHA256, _ID = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_HARMLESS = (".gitattributes", ".gitignore", ".gitmodules", ".mailmap")
_MAX_PATH = 4000


@dataclass(frozen=True)
class Part:
    """The files of one kind that a run has in an archive.

    Attributes:
        files: How many.
        size: Their bytes.
        sha256: Of the record alone: the digest of the lines that ``sha256sum`` prints of them.
    """

    files: int
    size: int
    sha256: str | None = None


@dataclass(frozen=True)
class Content:
    """One run of an archive.

    Attributes:
        uid: The run.
        exp_name: Its experiment.
        test_name: Its name.
        code: The commit that it names as its code.
        folder: Where it lies in the archive.
        parts: What it has there: each of :data:`PARTS` at most once.
    """

    uid: str
    exp_name: str
    test_name: str
    code: str | None
    folder: str
    parts: Mapping[str, Part]

    @property
    def name(self) -> str:
        """``<exp_name>/<test_name>``."""
        return f"{self.exp_name}/{self.test_name}"


@dataclass(frozen=True)
class Code:
    """The bundle with the runs' code.

    Attributes:
        size: Its bytes.
        sha256: Its digest.
        commits: The commits for which it was made.
    """

    size: int
    sha256: str
    commits: tuple[str, ...]


@dataclass(frozen=True)
class LeftOut:
    """A file that is not in an archive though it lies where one of its kind was asked for.

    Attributes:
        path: Where it would be in the archive.
        reason: Why it is not.
    """

    path: str
    reason: str


@dataclass(frozen=True)
class Index:
    """The first member of an archive.

    Attributes:
        hash_name: How its commits are named: ``sha1`` or ``sha256``.
        runs: Its runs, in the order in which they come.
        code: The bundle that comes next; None: there is none.
        missing_code: Commits of code that were not to be had.
        left_out: What is not there.
    """

    hash_name: str
    runs: tuple[Content, ...]
    code: Code | None = None
    missing_code: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = field(default=())

    def to_bytes(self) -> bytes:
        """The member."""
        code = self.code and {"commits": self.code.commits, "sha256": self.code.sha256, "size": self.code.size}
        value = {
            "version": VERSION,
            "object_format": self.hash_name,
            "runs": [_run_to_json(run) for run in self.runs],
            "code": code,
            "missing_code": self.missing_code,
            "left_out": [{"path": each.path, "reason": each.reason} for each in self.left_out],
        }
        return json.dumps(value, indent=2).encode("ascii") + b"\n"


def _run_to_json(run: Content) -> dict[str, Any]:
    parts = {
        name: {"files": part.files, "size": part.size} | ({"sha256": part.sha256} if part.sha256 else {})
        for name, part in run.parts.items()
    }
    about = {key: getattr(run, key) for key in ("uid", "exp_name", "test_name", "code", "folder")}
    return about | parts


def read_index(data: bytes) -> Index:
    """The index that a stranger may have written.

    Raises:
        TooNew: If it is of a later version.
        FormatError: If it is none.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise FormatError("it is not JSON") from None
    version = value.get("version") if isinstance(value, dict) else None
    if type(version) is not int:
        raise FormatError("it does not say a version")
    if version > VERSION:
        raise TooNew(f"it is of version {version}, and this gitlumo reads {VERSION}: install a newer gitlumo")
    try:
        runs = tuple(map(_run_of, value["runs"]))
        code = value["code"] and Code(
            _natural(value["code"]["size"]),
            _matching(_SHA256, value["code"]["sha256"]),
            tuple(_matching(_ID, commit) for commit in value["code"]["commits"]),
        )
        index = Index(
            _matching(re.compile("sha1|sha256"), value["object_format"]),
            runs,
            code or None,
            tuple(_matching(_ID, commit) for commit in value["missing_code"]),
            tuple(LeftOut(str(each["path"]), str(each["reason"])) for each in value["left_out"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"it is not as it should be: {error}") from None
    for what in ("uid", "folder"):
        if len({getattr(run, what) for run in runs}) < len(runs):
            raise FormatError(f"a {what} stands in it twice")
    return index


def _run_of(value: Any) -> Content:
    parts = {
        name: Part(
            _natural(value[name]["files"]),
            _natural(value[name]["size"]),
            _matching(_SHA256, value[name]["sha256"]) if name == RECORD else None,
        )
        for name in PARTS
        if name in value
    }
    uid, exp_name, test_name = value["uid"], value["exp_name"], value["test_name"]
    if not (ids.is_uid(uid) and ids.is_sound_name(exp_name) and ids.is_sound_name(test_name)):
        raise ValueError(f"{uid!r}, {exp_name!r}, {test_name!r} cannot be a run")
    if value["folder"] not in (folder_of(exp_name, test_name), folder_of(exp_name, test_name, uid)):
        raise ValueError(f"{value['folder']!r} is not where {exp_name}/{test_name} lies")
    if RECORD not in parts or parts[RECORD].size > MAX_RECORD:
        raise ValueError(f"the record of {exp_name}/{test_name} is missing, or larger than {MAX_RECORD} bytes")
    code = None if value["code"] is None else _matching(_ID, value["code"])
    return Content(uid, exp_name, test_name, code, value["folder"], parts)


def _natural(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no number of bytes or files")
    return value


def _matching(pattern: re.Pattern[str], value: Any) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"{value!r} stands where a digest or an id should")
    return value


def folder_of(exp_name: str, test_name: str, uid: str | None = None) -> str:
    """Where a run lies in an archive; one whose name another has there bears its uid, too."""
    return f"runs/{exp_name}/{test_name}" + (f"~{uid}" if uid else "")


def is_sound(path: str) -> bool:
    """Whether a path beside a record stays below its folder, and cannot make a git repository of that."""
    names = path.split("/")
    bad = (name for name in names if ids.is_reserved_by_git(name) and name not in _HARMLESS)
    return not any(bad) and len(os.fsencode(path)) <= _MAX_PATH


def sum_line(digest: str, path: str) -> bytes:
    """The line that ``sha256sum`` prints of a file."""
    odd = "\\" if "\\" in path or "\n" in path else ""
    name = path.replace("\\", "\\\\").replace("\n", "\\n")
    return os.fsencode(f"{odd}{digest}  {name}\n")


def record_digest(files: Iterable[tuple[str, bytes]]) -> str:
    """The digest of a record: that of the lines that ``sha256sum`` prints of its files, in the order of their bytes."""
    whole = hashlib.sha256()
    for path, data in files:
        whole.update(sum_line(hashlib.sha256(data).hexdigest(), path))
    return whole.hexdigest()
