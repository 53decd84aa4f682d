"""What a command writes, as it is recorded: all of it below blob_dir, beginning and end in the ledger."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

HEAD = TAIL = 64 * 1024  # bytes of each stream that go into the ledger; of a shorter one all


class Output:
    """One stream that is recorded while it comes.

    Its beginning lies in the run's folder at once, so that it is there if this process is killed.
    """

    def __init__(self, text_path: str, whole_path: str, public: Callable[[str], str]):
        """Name its files; they are made when there is something to write.

        Args:
            text_path: Where in the run's folder it goes.
            whole_path: Where all of it goes.
            public: Takes out of a text what must not leave the machine.
        """
        self._text_path, self._whole_path, self._public = text_path, whole_path, public
        self._text: int | None = None
        self._whole: int | None = None
        self._left = HEAD
        self._line = b""
        self.size = 0
        self.trouble: OSError | None = None

    def feed(self, data: bytes) -> None:
        """Record a piece; the first failure stays in ``trouble``, and then no more is recorded."""
        if self.trouble:
            return
        try:
            if self._whole is None:
                self._whole, self._text = _open(self._whole_path), _open(self._text_path)
            _write_all(self._whole, data)
            self.size += len(data)
            if self._left > 0 and self._text is not None:
                head = self._line + data[: self._left]
                end = max(head.rfind(b"\n"), head.rfind(b"\r")) + 1
                self._line = head[end:]
                self._left -= len(data[: self._left])
                _write_all(self._text, self._clean(head[:end]))
        except OSError as error:
            self.trouble = error

    def finish(self, text_path: str, whole_path: str) -> bytes | None:
        """End the recording; where the ledger takes all, nothing stays below blob_dir.

        Args:
            text_path: Where the run's folder has it now.
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
                head, tail = source.read(HEAD), b""
                source.seek(-TAIL, os.SEEK_END)
                tail = source.read()
                head = head[: head.rfind(b"\n") + 1] or head
                tail = tail[tail.find(b"\n") + 1 :] or tail
                left = self.size - len(head) - len(tail)
                mark = f"[... {left} bytes left out; all {self.size} are in blob_dir: {os.path.basename(whole_path)}]\n"
                text = self._clean(head) + mark.encode() + self._clean(tail)
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
