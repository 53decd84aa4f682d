"""A TCP proxy on loopback that counts what passes, and cuts the line where it is told to."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

PIECE = 65536
_AT_ONCE = struct.pack("ii", 1, 0)  # socket(7), SO_LINGER: close() resets the connection


@dataclass
class Turn:
    """What one side says until the other one answers.

    Attributes:
        connection: Which connection.
        to_server: Whether it is the client who speaks.
        size: How many bytes have come.
    """

    connection: int
    to_server: bool
    size: int = 0


@dataclass(eq=False)
class Proxy:
    """A line that can be cut.

    Attributes:
        port: Where it listens.
        turns: What has been said since :meth:`mend`.
        cut: (turn, bytes): the line breaks when of this turn so many bytes have passed, at the latest when another one
            begins; then no connection comes about until :meth:`mend`. None: it holds.
        by_reset: Whether it breaks as when a machine falls over, not as when a program ends.
        pace: Bytes a second; None: as fast as it can.
    """

    listener: socket.socket
    target: int
    turns: list[Turn] = field(default_factory=list)
    cut: tuple[int, int] | None = None
    by_reset: bool = False
    pace: int | None = None
    is_down: bool = False
    _open: list[socket.socket] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _wake: threading.Event = field(default_factory=threading.Event)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def mend(self, cut: tuple[int, int] | None = None, *, by_reset: bool = False) -> None:
        """Begin anew."""
        with self._lock:
            self.turns.clear()
            self.cut, self.by_reset, self.is_down = cut, by_reset, False

    def serve(self) -> None:
        for number in range(10**6):
            try:
                client, _ = self.listener.accept()
            except OSError:  # closed
                return
            if self.is_down:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self.target))
            with self._lock:
                self._open += [client, server]
            for pair, to_server in (((client, server), True), ((server, client), False)):
                threading.Thread(target=self._pump, args=(*pair, number, to_server), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, connection: int, to_server: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE if self.pace is None else max(1, self.pace // 20)):
                if self.pace is not None and self._wake.wait(0.05):
                    return
                passing = self._count(connection, to_server, len(data))
                target.sendall(data[:passing])
                if self.is_down:
                    break
            else:
                target.shutdown(socket.SHUT_WR)
                return
        self.hang_up()

    def _count(self, connection: int, to_server: bool, size: int) -> int:
        """How many of some bytes may pass; after them the line is down, if they are not all."""
        with self._lock:
            if not self.turns or (self.turns[-1].connection, self.turns[-1].to_server) != (connection, to_server):
                self.turns.append(Turn(connection, to_server))
            turn, number = self.turns[-1], len(self.turns) - 1
            if self.is_down:
                return 0
            if self.cut and (number > self.cut[0] or (number == self.cut[0] and turn.size + size > self.cut[1])):
                size = max(0, self.cut[1] - turn.size) if number == self.cut[0] else 0
                self.is_down = True
            turn.size += size
            return size

    def hang_up(self) -> None:
        """Break all connections."""
        with self._lock:
            sockets, self._open = self._open, []
        for one in sockets:
            with contextlib.suppress(OSError):
                if self.by_reset:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
                one.shutdown(socket.SHUT_RD if self.by_reset else socket.SHUT_RDWR)  # whoever waits for it lets go
            one.close()

    def close(self) -> None:
        self.is_down = True
        self._wake.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.hang_up()


@contextlib.contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    """A proxy in front of a port on loopback."""
    line = Proxy(socket.create_server(("127.0.0.1", 0)), target)
    thread = threading.Thread(target=line.serve, daemon=True)
    thread.start()
    try:
        yield line
    finally:
        line.close()
        thread.join()
