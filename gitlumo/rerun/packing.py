"""Archives that are the same bytes wherever they are made, and that are whole or not there.

Nothing of the machine is in them: every member has one time, owner 0 and one of two modes, and gzip's header names no
file, time or system. The compressed bytes are those of zlib or libzstd (another version may make others); ``tar`` alone
is the same everywhere.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib
import os
import stat
import struct
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, cast

from gitlumo.errors import LumoError
from gitlumo.git.export import File

FORMATS = {"tar": (".tar",), "tar.gz": (".tar.gz", ".tgz"), "tar.zst": (".tar.zst",), "zip": (".zip",)}
_LEVEL, _ZSTD_LEVEL = 6, 3
_PART = 1 << 18  # bytes that are read at a time
_WORKERS, _JOB = 2, 1 << 21  # libzstd's threads, and the bytes that one gets at a time: it keeps some in memory
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_OLDEST, _NEWEST = 315532800, 4294967294  # 1980, the first year that zip knows, to the last second of 32 bits


def format_of(path: str) -> str | None:
    """The format that a file's name asks for."""
    return next((name for name, endings in FORMATS.items() if path.lower().endswith(endings)), None)


def write(out: BinaryIO, format: str, members: Iterable[File], moment: int) -> int:
    """Write an archive.

    Args:
        out: Where to; it is not closed, and need not be one that can seek.
        format: Of :data:`FORMATS`.
        members: Its files, with their whole paths, in order.
        moment: The time of all, in seconds since 1970.

    Returns:
        How many files are in it.

    Raises:
        LumoError: If the format cannot hold one of them, or its library is not installed.
    """
    moment = min(max(moment, _OLDEST), _NEWEST)
    if format == "zip":
        return _write_zip(out, members, moment)
    if format == "tar":
        return _write_tar(out, members, moment)
    packed = _Gzip(out) if format == "tar.gz" else _Zstd(out)
    count = _write_tar(packed, members, moment)
    packed.finish()
    return count


def opened(path: str) -> BinaryIO:
    """A tar archive, to read as if it were not compressed; how it is, its first bytes say.

    Raises:
        OSError: If it cannot be read.
        LumoError: If the library that it takes is not installed.
    """
    with open(path, "rb") as source:
        begin = source.read(4)
    if begin.startswith(_GZIP):
        return cast(BinaryIO, gzip.open(path))
    return cast(BinaryIO, zstd().open(path)) if begin == _ZSTD else open(path, "rb")


def damages() -> tuple[type[Exception], ...]:
    """What reading a damaged archive may raise beside Python's own errors of ``gzip``."""
    try:
        return (zstd().ZstdError,)
    except LumoError:
        return ()


def zstd() -> Any:
    """Python's module for Zstandard (RFC 8878).

    Raises:
        LumoError: If it is not installed.
    """
    for name in ("compression.zstd", "backports.zstd"):  # Python 3.14's own, and the same for those before
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    raise LumoError("zstd is not installed\ntype: pip install 'gitlumo[zstd]', or take .tar.gz")


class _Gzip:
    """Compresses what it is given (RFC 1952); Python's own warns of what is unfinished when a disk is full."""

    def __init__(self, out: BinaryIO):
        self._out, self._crc, self._size = out, 0, 0
        self._deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        out.write(b"\x1f\x8b\x08" + bytes(6) + b"\xff")  # no name, no time, no system

    def write(self, data: bytes) -> int:
        self._crc, self._size = zlib.crc32(data, self._crc), self._size + len(data)
        self._out.write(self._deflate.compress(data))
        return len(data)

    def finish(self) -> None:
        self._out.write(self._deflate.flush() + struct.pack("<II", self._crc, self._size & 0xFFFFFFFF))


class _Zstd:
    """Compresses what it is given, in threads of libzstd's where it has any: the bytes are those of one of them."""

    def __init__(self, out: BinaryIO):
        self._out, module = out, zstd()
        parameters = module.CompressionParameter
        workers = min(_WORKERS, parameters.nb_workers.bounds()[1])
        options = {parameters.compression_level: _ZSTD_LEVEL, parameters.checksum_flag: 1}
        threads = {parameters.nb_workers: workers, parameters.job_size: _JOB} if workers else {}
        self._compressor = module.ZstdCompressor(options={**options, **threads})

    def write(self, data: bytes) -> int:
        self._out.write(self._compressor.compress(data))
        return len(data)

    def finish(self) -> None:
        self._out.write(self._compressor.flush())


class _Counted:
    """Knows where it is, as ``tarfile`` asks; its own streams copy all once more."""

    def __init__(self, out: Any):
        self._out, self._at = out, 0

    def write(self, data: bytes) -> int:
        self._out.write(data)
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at


def _write_tar(out: Any, members: Iterable[File], moment: int) -> int:
    count = 0
    with tarfile.open(
        fileobj=cast(Any, _Counted(out)),
        mode="w",
        format=tarfile.GNU_FORMAT,
        encoding="utf-8",
        errors="surrogateescape",
    ) as archive:
        archive.copybufsize = _PART  # type: ignore[attr-defined]
        for member in members:
            info = tarfile.TarInfo(member.path)
            info.mtime = moment
            info.mode = 0o755 if member.mode & stat.S_IXUSR or stat.S_ISLNK(member.mode) else 0o644
            if stat.S_ISLNK(member.mode):
                info.type, info.linkname = tarfile.SYMTYPE, os.fsdecode(member.content.read())
                archive.addfile(info)
            else:
                info.size = member.size
                archive.addfile(info, member.content)
            count += 1
    return count


def _write_zip(out: BinaryIO, members: Iterable[File], moment: int) -> int:
    count = 0
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for member in members:
            info = zipfile.ZipInfo(member.path, time.gmtime(moment)[:6])
            info.create_system = 3  # Unix, whose modes these are
            is_link = stat.S_ISLNK(member.mode)
            mode = stat.S_IFLNK | 0o777 if is_link else stat.S_IFREG | 0o644 | (member.mode & 0o111)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_STORED if is_link else zipfile.ZIP_DEFLATED
            info.file_size = member.size  # so that it knows whether it needs 64 bits
            try:
                with archive.open(info, "w") as into:
                    while part := member.content.read(_PART):
                        into.write(part)
            except UnicodeEncodeError:
                raise LumoError(f"zip cannot hold the name {member.path!r}, which is not UTF-8; take tar.gz") from None
            count += 1
    return count


@contextlib.contextmanager
def whole_file(path: str, *, force: bool) -> Iterator[BinaryIO]:
    """A file that appears at its place when it is whole; killed before that, nothing of it is left.

    Args:
        path: Where.
        force: Whether it may take the place of another.

    Raises:
        LumoError: If something is there.
        OSError: If it cannot be written.
    """
    refuse(path, force)
    folder = os.path.dirname(path) or "."
    os.stat(folder)  # its error names the folder
    with contextlib.ExitStack() as stack:
        fd = _nameless(folder)
        near = None if fd is not None else tempfile.mkstemp(prefix=".", suffix=".new", dir=folder)
        out = stack.enter_context(os.fdopen(near[0] if near else fd or 0, "wb"))
        if near:
            stack.callback(_unlink, near[1])
            os.chmod(near[1], 0o666 & ~_umask())
        yield out
        out.flush()
        os.fsync(out.fileno())
        name = near[1] if near else f"/proc/self/fd/{out.fileno()}"
        refuse(path, force)
        if force:
            beside = f"{path}.{os.urandom(4).hex()}.new"
            _link(name, beside)
            os.replace(beside, path)
            return
        try:
            _link(name, path)
        except FileExistsError:
            refuse(path, force)
            raise


def refuse(path: str, force: bool) -> None:
    """See that a file can be written at a place.

    Raises:
        LumoError: If something is there that stays.
    """
    if os.path.isdir(path) or (os.path.lexists(path) and not force):
        raise LumoError(f"{path} is there already" + ("" if os.path.isdir(path) else "; --force writes over it"))
    if os.path.lexists(path) and not os.path.isfile(path) and not os.path.islink(path):  # /dev/null would be replaced
        raise LumoError(f"{path} is no regular file, and is not replaced by one; -: standard output")


def _nameless(folder: str) -> int | None:
    """A file without a name, which goes when its writer does (open(2), ``O_TMPFILE``); None: there is no such thing."""
    try:
        return os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666)
    except (OSError, AttributeError):  # this file system, or this system, has none
        return None


def _link(source: str, target: str) -> None:
    """Give a file a name; with a folder's descriptor, as link(2) would not follow ``/proc/self/fd/...``."""
    here = os.open(".", os.O_RDONLY)
    try:
        os.link(source, target, src_dir_fd=here, follow_symlinks=True)
    finally:
        os.close(here)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
