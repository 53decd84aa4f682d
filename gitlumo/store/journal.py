"""One run on disk: its info_dir while it runs.

Killed anywhere here, what is left is: properties whole (old or new, by atomic rename), every line of history whose
write returned, and at most one torn line.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gitlumo import ids
from gitlumo.git.objects import BLOB, object_id
from gitlumo.store import layout

TEMPORARY = ".lumo-"
_LAZY = 64 * 1024
MAX_PENDING = 16 * 1024 * 1024


class Journal:
    """The writer of one run's info_dir; only its owner has one."""

    def __init__(self, info_dir: str, trouble: Callable[[OSError], None], chunk: int = 0):
        """Open a folder that exists.

        Args:
            info_dir: The folder.
            trouble: Told of each failure to write; what could not be written is kept and tried again later.
            chunk: The number of the chunk of history to go on with.
        """
        self.info_dir = info_dir
        self.dropped = 0
        self._trouble = trouble
        self._fd = -1
        self._file = (0, 0)
        self._chunk = chunk
        self._size = 0
        self._torn = False
        self._all_but_newline = False
        self._pending: deque[bytes] = deque()
        self._pending_size = 0
        self.unsaved: dict[str, bytes] = {}
        self.saved: dict[str, tuple[Signature, bytes]] = {}

    @property
    def pending(self) -> int:
        """How many lines and files wait in memory for the disk."""
        return len(self._pending) + len(self.unsaved)

    def append(self, line: bytes) -> None:
        """Append one line of history with one write.

        When it returns and ``trouble`` was not called, the line survives the death of the process.
        """
        if not self._pending:
            try:
                self._write(line)
                return
            except OSError as error:
                self._trouble(error)
                line = self._rest(line)
        self._pending.append(line)
        self._pending_size += len(line)
        while self._pending_size > MAX_PENDING:
            self._pending_size -= len(self._pending.popleft())
            self.dropped += 1
        self._flush_lines()

    def _write(self, line: bytes) -> None:
        self._all_but_newline = False
        if self._fd < 0:
            self._open()
        elif not self._is_ours():  # somebody closed it, and its number may be that of another file now
            self._fd = -1
            self._open()
        self._put(line)

    def _put(self, line: bytes) -> None:
        data = b"\n" + line if self._torn else line
        try:
            written = os.write(self._fd, data)
        except OSError:
            self.close()
            raise
        self._size += written
        if written != len(data):
            self._torn = True
            self._all_but_newline = written == len(data) - 1
            raise OSError(28, "only a part of a line could be written", layout.chunk_path(self._chunk))
        self._torn = False
        if self._size >= layout.HISTORY_CHUNK:
            self.close()
            self._chunk += 1

    def _rest(self, line: bytes) -> bytes:
        """What of a line that could not be written is to be written again: nothing, if only its newline is missing."""
        return b"" if self._all_but_newline else line

    def _open(self) -> None:
        path = os.path.join(self.info_dir, layout.chunk_path(self._chunk))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._fd = _above_standard_files(
            os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o666)
        )
        self._look()

    def _look(self) -> None:
        """See how long the chunk is, and whether its last line is whole."""
        found = os.fstat(self._fd)
        self._size, self._file = found.st_size, (found.st_dev, found.st_ino)
        self._torn = self._size > 0 and os.pread(self._fd, 1, self._size - 1) != b"\n"

    def _is_ours(self) -> bool:
        try:
            found = os.fstat(self._fd)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._file

    def _flush_lines(self) -> None:
        try:
            while self._pending:
                line = self._pending[0]
                self._write(line)
                if self._pending and self._pending[0] is line:  # no signal's handler was faster
                    self._pending_size -= len(self._pending.popleft())
        except OSError:  # told when it began
            if self._all_but_newline and self._pending:
                self._pending_size -= len(self._pending[0])
                self._pending[0] = b""

    def save(self, path: str, data: bytes) -> None:
        """Write a file below the folder as a whole: readers see the old one or the new one."""
        self.unsaved[path] = data
        self.flush()

    def flush(self) -> bool:
        """Try again what could not be written.

        Returns:
            Whether all that was recorded is on the disk now.
        """
        self._flush_lines()
        for path, data in list(self.unsaved.items()):
            try:
                signature = write_whole(os.path.join(self.info_dir, path), data)
            except OSError as error:
                self._trouble(error)
                return False
            self.saved[path] = signature, data
            if self.unsaved.get(path) is data:
                del self.unsaved[path]
        return not self._pending

    def close(self) -> None:
        """Let go of the chunk that is being written."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):  # somebody closed it already
                os.close(fd)


def _above_standard_files(fd: int) -> int:
    """A descriptor that is not that of standard error, which somebody may have closed and others still write to."""
    if fd > 2:
        return fd
    import fcntl

    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(fd)


def _shown(path: str) -> str:
    return path.encode("utf-8", "replace").decode()


Signature = tuple[int, int, int]
"""Inode, bytes, and modification time in nanoseconds of a file."""


def _signature(found: os.stat_result) -> Signature:
    return found.st_ino, found.st_size, found.st_mtime_ns


def write_whole(path: str, data: bytes) -> Signature:
    """Write a file by atomic rename; its folder is made. Returns what tells it from others that lay or will lie there.

    Raises:
        OSError: If it cannot be written; the old content stays.
    """
    folder = os.path.dirname(path)
    temporary = os.path.join(folder, f"{TEMPORARY}{os.getpid()}-{os.urandom(4).hex()}")
    os.makedirs(folder, exist_ok=True)
    try:
        with open(temporary, "xb") as out:
            out.write(data)
            out.flush()
            signature = _signature(os.fstat(out.fileno()))
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):  # it was never made
            os.unlink(temporary)
        raise
    return signature


@dataclass(frozen=True)
class Blob:
    """A file that is to be published: its id, and its content or how to read it."""

    path: str
    id: str
    data: bytes | Callable[[], bytes]


_RACY_NS = 50_000_000  # a file changed so lately may change again without a new time (git's racy-git.txt)


class Folder:
    """An info_dir as its committed form: what a ledger takes of it, and what stays on disk.

    Attributes:
        skipped: Files that stay: ``{"path", "reason", "size"}``; filled by :meth:`paths`.
    """

    def __init__(self, info_dir: str, max_file: int, saved: Mapping[str, tuple[Signature, bytes]] | None = None):
        """Look at a folder.

        Args:
            info_dir: The folder.
            max_file: How many bytes a file may have that a ledger takes.
            saved: What its owner's journal knows of the files that it has written: they need not be read.
        """
        self.info_dir = info_dir
        self.skipped: list[dict[str, object]] = []
        self._max_file = max_file
        self._saved = saved if saved is not None else {}
        self._known: dict[str, tuple[Signature, Blob]] = {}

    def read(self, path: str) -> bytes | None:
        """The bytes of a file, None where there is none; of history only whole lines."""
        try:
            with open(os.path.join(self.info_dir, path), "rb") as source:
                data = source.read()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        return data[: data.rfind(b"\n") + 1] if layout.chunk_number(path) is not None else data

    def paths(self) -> list[str]:
        """The files that a ledger takes, sorted."""
        return [path for path, _ in self._files()]

    def _files(self) -> list[tuple[str, Signature]]:
        self.skipped = []
        return sorted(self._scan(self.info_dir, ""))

    def _scan(self, folder: str, prefix: str) -> Iterator[tuple[str, Signature]]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            if not prefix:
                raise
            self.skipped.append({"path": _shown(prefix), "reason": error.strerror or "unreadable"})
            return
        for entry in entries:
            path = prefix + entry.name
            if entry.name.startswith(TEMPORARY):
                continue
            reason, size = self._reason(entry, path), None
            if reason is None and entry.is_dir(follow_symlinks=False):
                yield from self._scan(entry.path, path + "/")
                continue
            if reason is None:
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                size = found.st_size
                if size <= (max(self._max_file, layout.MAX_FILE) if layout.is_own(path) else self._max_file):
                    yield path, _signature(found)
                    continue
                reason = "larger than lumo.snapshotMaxFile"
            self.skipped.append({"path": _shown(path), "reason": reason} | ({} if size is None else {"size": size}))

    def _reason(self, entry: os.DirEntry[str], path: str) -> str | None:
        if entry.is_symlink():
            return "a symbolic link"
        if path in layout.RESERVED or ids.is_reserved_by_git(entry.name):
            return "a reserved name"
        if len(os.fsencode(path)) > 1000:
            return "a path over 1,000 bytes"
        if not entry.is_dir(follow_symlinks=False) and not entry.is_file(follow_symlinks=False):
            return "not a file"
        from gitlumo.git import untracked

        if untracked.is_secret(os.fsencode(entry.name)) and not layout.is_own(path):
            return untracked.SECRET
        if not os.access(entry.path, os.R_OK):
            return "unreadable"
        return None

    def blobs(self, hash_name: str) -> list[Blob]:
        """The files with the ids of their blobs; large ones are read again when they are written, one at a time."""
        found = (self._blob(path, signature, hash_name) for path, signature in self._files())
        return [blob for blob in found if blob]

    def _blob(self, path: str, signature: Signature, hash_name: str) -> Blob | None:
        known = self._known.get(path)
        if known and known[0] == signature:
            return known[1]
        begun = time.time_ns()
        saved = self._saved.get(path)
        data = saved[1] if saved and saved[0] == signature else self.read(path)
        if data is None:
            return None
        blob = Blob(
            path,
            object_id(hash_name, BLOB, data),
            data if (size := len(data)) < _LAZY else lambda: (self.read(path) or b"")[:size],  # history grows
        )
        if begun - signature[2] > _RACY_NS:
            self._known[path] = signature, blob
        return blob


def last_chunk(info_dir: str) -> int:
    """The number of a run's last chunk of history."""
    numbers = (layout.chunk_number(path) for path in Folder(info_dir, layout.MAX_FILE).paths())
    return max((number for number in numbers if number is not None), default=0)


_OWNER = TEMPORARY + "repository"


def claim(info_dir: str, lumo_dir: str) -> None:
    """Note in a run's folder to which repository it belongs: folders of several may stand below one root.

    Raises:
        OSError: If that cannot be written.
    """
    with open(os.path.join(info_dir, _OWNER), "wb") as out:
        out.write(os.fsencode(lumo_dir))


def home_of(info_dir: str) -> str | None:
    """gitlumo's folder in the repository to which a run's folder belongs; None where it does not say."""
    with contextlib.suppress(OSError), open(os.path.join(info_dir, _OWNER), "rb") as source:
        return os.fsdecode(source.read())
    default = os.path.dirname(os.path.dirname(os.path.dirname(info_dir)))  # <lumo dir>/info/<exp_name>/<test_name>
    return default if os.path.basename(default) == "lumo" else None


def belongs_to(info_dir: str, lumo_dir: str) -> bool:
    """Whether a run's folder is of this repository: as it says, or as where it stands says."""
    try:
        with open(os.path.join(info_dir, _OWNER), "rb") as source:
            return source.read() == os.fsencode(lumo_dir)
    except OSError:
        return info_dir.startswith(lumo_dir + os.sep)
