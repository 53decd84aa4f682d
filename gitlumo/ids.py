"""Names of runs: test_name, uid, what a user may choose, what git reserves (docs/format.md, sections 2 and 3)."""

from __future__ import annotations

import functools
import os
import re
import unicodedata

from gitlumo.errors import InvalidName

# Whom commits bear that are the same whoever makes them, and when those were made that have no other time.
NOBODY = "gitlumo <gitlumo@localhost>"
EPOCH = 1679616000
MAX_NAME_BYTES = 100
MAX_KEY_BYTES = 200
_TAIL = "0123456789abcdefghijklmnopqrstuvwxyz"
_PATTERN = re.compile(r"\d{6}\.(\d{3,})\.[0-9a-z]{2}(?:[0-9a-z]{2})?t", re.ASCII)
_UID = re.compile(r"[0-9a-f]{32}")
_FORBIDDEN = frozenset("/:~\\")
_KEY_ESCAPED = frozenset('%/\\:*?"<>|~')
_SOUND = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")  # as most names are; the others are looked at more closely
# Control characters, and what HFS+ passes over (git's utf8.c: next_hfs_char): a fixed list, whatever Unicode there is.
_UNSOUND = re.compile(r"[\x00-\x1f\x7f-\x9f\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
# Control, format and surrogate characters, line and paragraph separators.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# What NTFS or HFS+ may take for .git, .gitmodules and their kin: git's fsck.c and utf8.c.
_NTFS_SHORT = re.compile(
    r"(?:git|gitmod|gitatt|gitign|mailma)~\d{1,6}|(?=.{8}$)(?:g|gi[0-9a-f]{0,4}|m|ma[0-9a-f]{0,4})?~\d+", re.ASCII
)


def new_uid() -> str:
    """A new run's uid: 32 random lower-case hexadecimal digits."""
    return os.urandom(16).hex()


def is_uid(text: object) -> bool:
    """Whether ``text`` is a uid."""
    return isinstance(text, str) and _UID.fullmatch(text) is not None


def new_test_name(day: str, ordinal: int) -> str:
    """A new test_name such as ``261124.000.k3x9t``.

    Args:
        day: UTC day as ``yymmdd``.
        ordinal: How many runs the day already has.
    """
    tail = "".join(_TAIL[byte % 36] for byte in os.urandom(4))
    return f"{day}.{ordinal:03d}.{tail}t"


def ordinal_of(test_name: str) -> int | None:
    """The ordinal in a test_name that follows the pattern, else None."""
    match = _PATTERN.fullmatch(test_name)
    return int(match[1]) if match else None


def check_exp_name(name: object) -> str:
    """Return ``name`` in NFC if a user may call an experiment so.

    Raises:
        InvalidName: With the rule that it breaks.
    """
    return _check("exp_name", name)


def check_test_name(name: object) -> str:
    """Return ``name`` in NFC if a user may call a run so.

    Raises:
        InvalidName: With the rule that it breaks.
    """
    checked = _check("test_name", name)
    if re.fullmatch(r"[0-9]+", checked):
        raise InvalidName(f"test_name {name!r}: it must not be digits only; try 'run-{checked}'")
    return checked


def _check(what: str, name: object) -> str:
    if not isinstance(name, str):
        raise InvalidName(f"{what} must be a string, not {type(name).__name__}: {name!r}")
    normal = unicodedata.normalize("NFC", name)
    shown = name if len(name) <= 60 else name[:57] + "..."
    if not normal:
        raise InvalidName(f"{what} must not be empty; try 'digits'")
    bad = [c for c in normal if c in _FORBIDDEN or unicodedata.category(c) in _UNPRINTABLE]
    if bad:
        listed = " ".join(sorted({ascii(c) for c in bad}))
        raise InvalidName(f"{what} {shown!r}: these characters may not stand in it: {listed}")
    if normal[0] in "-.":
        raise InvalidName(f"{what} {shown!r}: it must not begin with {normal[0]!r}")
    size = len(normal.encode("utf-8"))
    if size > MAX_NAME_BYTES:
        raise InvalidName(f"{what} {shown!r}: {size} bytes, and at most {MAX_NAME_BYTES} are allowed")
    return normal


def is_sound_name(name: object) -> bool:
    """Whether a recorded name can be that of a folder: byte rules only, which no later Unicode can change.

    What users may choose is narrower: :func:`check_exp_name`, :func:`check_test_name`.
    """
    if isinstance(name, str) and _SOUND.fullmatch(name):
        return True
    if not isinstance(name, str) or name[:1] in ("", "-", ".") or _FORBIDDEN.intersection(name):
        return False
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        return False
    return size <= MAX_NAME_BYTES and not _UNSOUND.search(name)


@functools.lru_cache(maxsize=1024)
def key_to_filename(key: object) -> str:
    """The file name (without ending) under which a key of ``info/`` or ``text/`` is kept.

    Raises:
        InvalidName: For a key that is no string, empty, or too long for a file name.
    """
    if not isinstance(key, str) or not key:
        raise InvalidName(f"a key must be a string that is not empty, not {key!r}")
    normal = unicodedata.normalize("NFC", key)
    try:
        name = "".join(
            _percent(c) if c in _KEY_ESCAPED or unicodedata.category(c) in _UNPRINTABLE or (i == 0 and c in "-.") else c
            for i, c in enumerate(normal)
        )
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        raise InvalidName(f"a key must be valid Unicode, not {key!r}") from None
    if size > MAX_KEY_BYTES:
        raise InvalidName(f"the key {key[:57]!r}... is too long for a file name: {size} bytes, at most {MAX_KEY_BYTES}")
    return name


def filename_to_key(name: str) -> str:
    """The inverse of :func:`key_to_filename`; what it would not have written stays as it is."""
    raw = re.sub(rb"%([0-9A-F]{2})", lambda m: bytes([int(m[1], 16)]), name.encode("utf-8", "surrogateescape"))
    return raw.decode("utf-8", "replace")


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8"))


def is_reserved_by_git(name: str) -> bool:
    """Whether a tree with an entry of this name may be refused by ``git fsck --strict`` or by a checkout.

    git protects ``.git``, ``.gitmodules``, ``.gitattributes``, ``.gitignore`` and ``.mailmap``, also as HFS+
    and NTFS would fold them (git's ``fsck.c``, ``utf8.c: is_hfs_dot_generic``, ``path.c: is_ntfs_dot_generic``).
    """
    shown = name if name.isascii() else "".join(c for c in name if unicodedata.category(c) != "Cf")
    folded = shown.split(":")[0].rstrip(" .").casefold()
    if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
        return True
    return folded == ".mailmap" or folded.startswith(".git") or _NTFS_SHORT.fullmatch(folded) is not None


def label_of(path: str) -> str:
    """``<exp_name>/<test_name>`` of the run at a path of the ledger."""
    return f"{path.partition('/')[0]}/{path.rpartition('/')[2]}"
