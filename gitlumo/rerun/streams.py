"""A command that runs while its output is read along: to where it would have gone, and to whoever records it.

What the command sees is as if nobody did: terminals where there are terminals, the same process group (so Ctrl-C and
Ctrl-Z are the kernel's), the same standard input, signals passed on, and a closed pipe where ours is closed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from resource import RUSAGE_SELF, getrusage, struct_rusage

from gitlumo import machine
from gitlumo.rerun.programs import NoSuchCommand

_READ = 1024 * 1024
_AT_ONCE = 16 * 1024  # bytes of a terminal: with more, the command waits while the real one takes them
_TICK = 0.2  # seconds between two calls of `tick`
_PATIENCE = 3.0  # after the command's end, before it is said why its output is still read
PASSED_ON = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCONT")
    if hasattr(signal, name)
)
_F_SETPIPE_SZ = 1031  # fcntl(2), Linux


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        status: Its exit status; minus the signal that killed it.
        seconds: How long it ran.
        usage: What it and the children that it waited for have used (getrusage(2)).
        least: What its greatest resident set counts at least, as in ``usage``: what this program had when it began.
        unwritten: Why not all that it has said is where it belongs; empty: it is.
    """

    status: int
    seconds: float
    usage: struct_rusage
    least: int
    unwritten: str = ""

    @property
    def told_status(self) -> int:
        """What who waits for the command is told: its status; 1 where that is 0, but not all is where it belongs."""
        return 1 if self.unwritten and not self.status else self.status

    @property
    def peak_memory(self) -> int | None:
        """The greatest resident set of one of its processes, in bytes.

        None where that is not known. Until exec(2) a command's process shares this program's memory (posix_spawn(3)),
        and Linux counts on from its peak: of a command that has needed less than this program, nobody knows it.
        """
        if self.usage.ru_maxrss <= self.least:
            return None
        return int(self.usage.ru_maxrss) * (1 if sys.platform == "darwin" else 1024)


@dataclass
class _Channel:
    """One of the command's outputs."""

    name: str
    source: int
    targets: list[int]
    out: int
    is_terminal: bool
    closed: bool = False
    trouble: str = ""


def run(
    words: Sequence[str],
    env: Mapping[str, str],
    record: Callable[[str, bytes], None],
    tick: Callable[[], None],
    noted: Sequence[int] = (),
    spawned: Callable[[int], None] = lambda pid: None,
) -> Ended:
    """Run a command to its end.

    Args:
        words: The command line.
        env: Its whole environment.
        record: Given each piece of output, and ``stdout`` or ``stderr``; where both go to one place, all is ``stdout``.
        tick: Called now and then.
        noted: Signals that have come since the caller began to note them: it is started, and gets them.
        spawned: Called with its process id.

    Raises:
        NoSuchCommand: If the command cannot be started.
    """
    channels = _channels()
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    heard = {number for number in PASSED_ON if signal.getsignal(number) is not signal.SIG_IGN}
    heard |= {signal.SIGCHLD, signal.SIGWINCH}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, heard)
    started = time.monotonic()
    try:
        try:
            pid = _spawn(words, env, channels, before)
        finally:
            for channel in channels:
                for target in channel.targets[:1]:
                    os.close(target)
        least = _peak()
        spawned(pid)
        for number in noted:
            os.kill(pid, number)
        ears = _Ears(pid, heard, waker, [channel for channel in channels if channel.is_terminal])
        try:
            ended = _read_along(pid, channels, wake, record, tick, ears, started, least)
        finally:
            ears.stop()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for fd in (wake, waker, *(channel.source for channel in channels if not channel.closed)):
            os.close(fd)
    return ended


def prepare() -> None:
    """Be safe from what this process may have been started with, before any file is opened or process started.

    In the places of closed standard streams stands something, lest a file of ours is taken for one of them; it is not
    inheritable, so the command finds them closed. A SIGCHLD that is ignored would eat the command's status.
    """
    while (fd := os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)) <= 2:
        pass
    os.close(fd)
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


@contextlib.contextmanager
def unheard(fd: int) -> Iterator[None]:
    """Within it, what is written to standard output (1) or standard error (2) goes nowhere; a command's is recorded."""
    ours = os.dup(fd)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), fd)
    try:
        yield
    finally:
        os.dup2(ours, fd)
        os.close(ours)


def _channels() -> list[_Channel]:
    """Standard output and error, one where they are the same file: then the order of what is written stays."""
    places: dict[tuple[int, int, int], tuple[str, int, list[int]]] = {}
    for name, fd in (("stdout", 1), ("stderr", 2)):
        if os.get_inheritable(fd):  # else see prepare()
            found = os.fstat(fd)
            places.setdefault((found.st_dev, found.st_ino, found.st_rdev), (name, fd, []))[2].append(fd)
    return [_channel(name, fd, fds) for name, fd, fds in places.values()]


def _channel(name: str, out: int, fds: list[int]) -> _Channel:
    if os.isatty(out):
        source, target = os.openpty()
        _dress(out, target)
        os.set_blocking(source, False)
        return _Channel(name, source, [target, *fds], out, True)
    import fcntl

    source, target = os.pipe()
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # more than this user may have
            fcntl.fcntl(target, _F_SETPIPE_SZ, _READ)
    os.set_blocking(source, False)
    return _Channel(name, source, [target, *fds], out, False)


def _dress(real: int, target: int) -> None:
    """Let a pseudo terminal be like the real one; only that one turns a line feed into two characters."""
    import termios

    with contextlib.suppress(termios.error, OSError):
        modes = termios.tcgetattr(real)
        modes[1] &= ~termios.OPOST
        termios.tcsetattr(target, termios.TCSANOW, modes)
    _resize(real, target)


def _resize(real: int, target: int) -> None:
    import fcntl
    import termios

    with contextlib.suppress(OSError):
        size = fcntl.ioctl(real, termios.TIOCGWINSZ, b"\0" * 8)
        fcntl.ioctl(target, termios.TIOCSWINSZ, size)


def _spawn(
    words: Sequence[str], env: Mapping[str, str], channels: Sequence[_Channel], mask: set[signal.Signals | int]
) -> int:
    actions = [(os.POSIX_SPAWN_DUP2, channel.targets[0], fd) for channel in channels for fd in channel.targets[1:]]
    default = [getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)]  # Python ignores them
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()

    def spawn(words: list[str]) -> int:
        return os.posix_spawnp(words[0], words, env, file_actions=actions, setsigmask=mask, setsigdef=default)

    try:
        try:
            return spawn(list(words))
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
        return spawn(["/bin/sh", shutil.which(words[0]) or words[0], *words[1:]])  # as execvp(3) does
    except OSError as error:
        missing = error.errno == errno.ENOENT  # what its first line names
        raise NoSuchCommand(f"{words[0]!r} cannot run: {error.strerror}", 127 if missing else 126) from None


class _Ears:
    """Hears this process's signals while the command runs, and passes them on.

    A signal that the kernel has sent, for a key that was pressed, went to the command as well; but that a terminal has
    gone away it says to the session's leader only.
    """

    def __init__(self, pid: int, heard: set[signal.Signals | int], waker: int, terminals: Sequence[_Channel]):
        self._pid, self._heard, self._waker, self._terminals = pid, heard, waker, terminals
        self._over = False
        self._leads = os.getsid(0) == os.getpid()
        self.gone = False
        self.passed: set[int] = set()
        self.interrupted = False
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Hear no more."""
        self._over = True
        with contextlib.suppress(ProcessLookupError):
            signal.pthread_kill(self._thread.ident or 0, signal.SIGCHLD)
        self._thread.join()

    def _listen(self) -> None:
        while not self._over:
            number, is_keyboard = self._next()
            if number == signal.SIGCHLD:
                with contextlib.suppress(BlockingIOError):
                    os.write(self._waker, b"c")
            elif number == signal.SIGWINCH:
                for channel in self._terminals:
                    _resize(channel.out, channel.source)
            elif self.gone:
                self.interrupted = self.interrupted or number != signal.SIGCONT
            elif not is_keyboard or (number == signal.SIGHUP and self._leads):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(self._pid, number)
                    self.passed.add(number)

    def _next(self) -> tuple[int, bool]:
        if hasattr(signal, "sigwaitinfo"):
            info = signal.sigwaitinfo(self._heard)
            return info.si_signo, info.si_code > 0  # sigaction(2): SI_USER is 0, SI_KERNEL 128
        number = signal.sigwait(self._heard)  # macOS
        with contextlib.suppress(OSError):
            is_keyboard = number in (signal.SIGINT, signal.SIGQUIT)
            return number, is_keyboard and os.tcgetpgrp(0) == os.getpgrp()
        return number, False


def _read_along(
    pid: int,
    channels: Sequence[_Channel],
    wake: int,
    record: Callable[[str, bytes], None],
    tick: Callable[[], None],
    ears: _Ears,
    started: float,
    least: int,
) -> Ended:
    """Copy what the command writes until nobody can write any more, or a signal that we passed on has killed it."""
    poll = select.poll()
    poll.register(wake, select.POLLIN)
    by_source = {channel.source: channel for channel in channels}
    for channel in channels:
        poll.register(channel.source, select.POLLIN)
    ended: Ended | None = None
    ended_at = next_tick = 0.0
    said = False
    while ended is None or (by_source and not ears.interrupted and -ended.status not in ears.passed):
        ready = poll.poll(_TICK * 1000)
        now = time.monotonic()
        for fd, _ in ready:
            if fd == wake:
                os.read(wake, 4096)
                if ended is None:
                    ended = _reap(pid, started, least)
                    ears.gone = ended is not None
                    ended_at = now
            elif fd in by_source and not _copy(by_source[fd], record):
                poll.unregister(fd)
                by_source.pop(fd)
        if now >= next_tick:
            tick()
            next_tick = now + _TICK
        if ended and by_source and not said and now > ended_at + _PATIENCE:
            said = True
            if out := machine.stderr():
                print("gitlumo: the command has ended; a process that it left may still write here", file=out)
    for channel in by_source.values():  # what it had written
        _copy(channel, record)
    return replace(ended, unwritten=next((channel.trouble for channel in channels if channel.trouble), ""))


def _reap(pid: int, started: float, least: int) -> Ended | None:
    found, status, usage = os.wait4(pid, os.WNOHANG)
    if found == 0:
        return None
    return Ended(os.waitstatus_to_exitcode(status), time.monotonic() - started, usage, least)


def _peak() -> int:
    """The greatest resident set of this program, as getrusage(2) counts; that also counts what ran here before exec."""
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/self/status", "rb") as source:
        return next(int(line.split()[1]) for line in source if line.startswith(b"VmHWM:"))  # proc_pid_status(5)
    return int(getrusage(RUSAGE_SELF).ru_maxrss)


def _copy(channel: _Channel, record: Callable[[str, bytes], None]) -> bool:
    """Copy what there is to read now; False: nobody writes any more, or nobody reads what we would write."""
    pieces: list[bytes] = []
    size = 0
    is_open = True
    while size < (_AT_ONCE if channel.is_terminal else _READ):
        try:
            piece = os.read(channel.source, _READ)
        except BlockingIOError:
            break
        except OSError as error:  # a pseudo terminal that nobody has open (pty(7))
            if error.errno != errno.EIO:
                raise
            piece = b""
        if not piece:
            is_open = False
            break
        pieces.append(piece)
        size += len(piece)
        if not channel.is_terminal:
            break
    data = b"".join(pieces)
    if data:
        record(channel.name, data)
        try:
            _write(channel.out, data)
        except BrokenPipeError:
            is_open = False
        except OSError as error:  # a full disk: the command goes on, and what it says is recorded
            if not channel.is_terminal:  # one that is gone has no reader that could miss something
                channel.trouble = error.strerror or str(error)
    if not is_open:
        os.close(channel.source)  # so that the command's next write fails as ours did
        channel.closed = True
    return is_open


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            poll = select.poll()  # select(2) takes no descriptor above 1023
            poll.register(fd, select.POLLOUT)
            poll.poll()
