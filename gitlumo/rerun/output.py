"""What a command writes, as it is recorded: all of it below blob_dir, beginning and end in the ledger."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable

from gitlumo.errors import LumoError

HEAD = TAIL = 64 * 1024  # bytes of each stream that go into the ledger; of a shorter one all
_ROOM = 4 * 1024 * 1024  # for the run's end on a full disk


class Output:
    """One stream that is recorded while it comes.

    Its beginning lies in the run's folder at once, so that it is there if this process is killed.
    """

    def __init__(
        self,
        paths: Callable[[], tuple[str, str]],
        guard: Callable[[], contextlib.AbstractContextManager[None]],
        public: Callable[[str], str],
    ):
        """Say where it goes; files are made when there is something to write.

        Args:
            paths: Says where in the run's folder its beginning goes, and where all of it.
            guard: Within it nobody moves the run's folder.
            public: Takes out of a text what must not leave the machine.
        """
        self._paths, self._guard, self._public = paths, guard, public
        self._whole_path = ""
        self._text: int | None = None
        self._whole: int | None = None
        self._left = HEAD
        self._line = b""
        self.size = 0
        self.trouble: OSError | LumoError | None = None

    def feed(self, data: bytes) -> None:
        """Record a piece; the first failure stays in ``trouble``, and then no more is recorded."""
        if self.trouble:
            return
        try:
            whole = self._begin() if self._whole is None else self._whole
            _write_all(whole, data)
            self.size += len(data)
            if self._left > 0 and self._text is not None:
                head = self._line + data[: self._left]
                end = _whole_lines(head)
                self._line = head[end:]
                self._left -= len(data[: self._left])
                _write_all(self._text, self._clean(head[:end]))
        except (OSError, LumoError) as error:
            self.trouble = error
            self._make_room()

    def _make_room(self) -> None:
        """Give some of a full disk back: for the command's own files, and for the run's end."""
        if self._whole is not None:
            with contextlib.suppress(OSError):
                size = os.fstat(self._whole).st_size
                self.size = max(min(size, HEAD), size - _ROOM)
                os.ftruncate(self._whole, self.size)

    def _begin(self) -> int:
        with self._guard():
            text_path, self._whole_path = self._paths()
            self._whole = _open(self._whole_path)
            self._text = _open(text_path)
        return self._whole

    def finish(self, whole_path: str) -> bytes | None:
        """End the recording; where the ledger takes all, nothing stays below blob_dir.

        Args:
            whole_path: Where all of it belongs now.

        Returns:
            What goes into the ledger; None where nothing was written.
        """
        for fd in (self._whole, self._text):
            if fd is not None:
                os.close(fd)
        if self._whole is None:
            return None
        with open(self._whole_path, "rb") as source:
            if self.size <= HEAD + TAIL:
                text = self._clean(source.read())
            else:
                head = source.read(HEAD)
                source.seek(self.size - TAIL)
                tail = source.read(TAIL)
                head = head[: _whole_lines(head)] or head[: head.rfind(b" ") + 1] or head
                tail = tail[_rest_of_line(tail) :]
                left = self.size - len(head) - len(tail)
                mark = f"[... {left} bytes left out; all {self.size} are in blob_dir: {os.path.basename(whole_path)}]\n"
                text = self._clean(head) + mark.encode() + self._clean(tail)
        if self.trouble:
            text += f"[... the rest could not be recorded: {self.trouble}]\n".encode()
        if self.size <= HEAD + TAIL and self.trouble is None:
            os.unlink(self._whole_path)
        elif whole_path != self._whole_path:
            os.makedirs(os.path.dirname(whole_path), exist_ok=True)
            os.replace(self._whole_path, whole_path)
        _prune(os.path.dirname(self._whole_path), 3)  # text/ in <exp_name>/<test_name>/
        return text

    def _clean(self, data: bytes) -> bytes:
        text = data.decode("utf-8", "backslashreplace")
        return self._public(text).encode("utf-8", "backslashreplace")


def _whole_lines(data: bytes) -> int:
    """How long the lines are that have their end, or were overwritten."""
    return max(data.rfind(b"\n"), data.rfind(b"\r")) + 1


def _rest_of_line(data: bytes) -> int:
    """How long the end is of the line, or else of the word, in which a piece begins; 0 where that is all."""
    found = re.match(rb"[^\n\r]*(?:\r\n|[\n\r])(?!\Z)", data) or re.match(rb"[^ ]* ", data)
    return found.end() if found else 0


def _prune(folder: str, depth: int) -> None:
    """Take away a folder and those above it, as far as they are empty."""
    with contextlib.suppress(OSError):
        for _ in range(depth):
            os.rmdir(folder)
            folder = os.path.dirname(folder)


def _open(path: str) -> int:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
