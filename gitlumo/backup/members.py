"""Reading a stranger's tar archive (ustar, GNU tar): regular files only, one after another, nothing believed.

The library's own reader would follow sparse files, links, extended headers of any size. Here a member is a header, its
bytes and nothing else; what is not is refused by name.
"""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from gitlumo.errors import FormatError
from gitlumo.rerun import packing

_BLOCK = tarfile.BLOCKSIZE
_PART = 1 << 20
_LONG = 8192  # bytes of a name
_TRAIL = 1 << 20  # bytes after the end: tar fills its last record


class Member:
    """One file of an archive, to be read before the next is asked for.

    Attributes:
        path: Its name.
        size: Its bytes.
        executable: Whether its owner may run it.
    """

    def __init__(self, source: _Source, path: str, size: int, executable: bool):
        self.path, self.size, self.executable = path, size, executable
        self._source, self._left = source, size

    def read(self, size: int = _PART) -> bytes:
        """At most so many of the bytes that are left; none at its end.

        Raises:
            FormatError: If the archive is damaged.
        """
        data = self._source.exactly(min(size, self._left), self.path)
        self._left -= len(data)
        return data

    def whole(self, most: int) -> bytes:
        """All of it.

        Raises:
            FormatError: If it is larger than ``most``, or damaged.
        """
        if self.size > most:
            raise FormatError(f"{self._source.name}: {self.path!r} is larger than it may be: {self.size} bytes")
        return self.read(self.size)

    def finish(self) -> None:
        """Pass over what is left, and over what fills its last block."""
        while self.read():
            pass
        self._source.exactly(-self.size % _BLOCK, self.path)


class _Source:
    def __init__(self, source: BinaryIO, name: str):
        self.name, self._source = name, source
        self._damages: tuple[type[Exception], ...] = (EOFError, zlib.error, gzip.BadGzipFile, *packing.damages())

    def exactly(self, size: int, inside: str) -> bytes:
        parts = []
        while size:
            data = self.some(min(size, _PART))
            if not data:
                raise FormatError(f"{self.name} ends too early, in {inside!r}")
            parts.append(data)
            size -= len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def some(self, size: int) -> bytes:
        try:
            return self._source.read(size)
        except self._damages as error:
            raise FormatError(f"{self.name} is damaged or ends too early: {error}") from None


def read(source: BinaryIO, name: str) -> Iterator[Member]:
    """The members of an archive.

    Args:
        source: The archive, not compressed any more.
        name: What to call it in errors.

    Raises:
        FormatError: If it is damaged, or holds what is no regular file.
    """
    stream, long = _Source(source, name), None
    while (block := stream.exactly(_BLOCK, "a header")) != bytes(_BLOCK):
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise FormatError(f"{name} is no tar archive, or damaged: {error}") from None
        if info.size < 0:
            raise FormatError(f"{name}: {info.name!r} has {info.size} bytes")
        if info.type == tarfile.GNUTYPE_LONGNAME and long is None:
            member = Member(stream, "a long name", info.size, False)
            long = os.fsdecode(member.whole(_LONG).rstrip(b"\0"))
            member.finish()
            continue
        path, long = long or info.name, None
        if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or info.linkname:
            raise FormatError(f"{name}: {path!r} is no regular file; an archive of backups has nothing else")
        member = Member(stream, path, info.size, bool(info.mode & stat.S_IXUSR))
        yield member
        member.finish()
    left = _TRAIL
    while data := stream.some(_PART):  # to the end of what is compressed: its checksum comes last
        left -= len(data)
        if left < 0 or data.strip(b"\0"):
            raise FormatError(f"{name} goes on behind its end")
