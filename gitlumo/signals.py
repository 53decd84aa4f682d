"""SIGTERM, by which schedulers end a training: the script unwinds, its runs are published, the process dies by it.

Only where the script has left the default, and only while a run is open. Whatever else happens to a process on SIGTERM
stays as it is without gitlumo: children die at once, so does a process whose runs have ended, and threads are not
waited for.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

from gitlumo import exits

CODE = 128 + signal.SIGTERM  # as shells spell it

_open: dict[Lock, Callable[[BaseException], None]] = {}
_pid = 0
_waiting = False
_sent = SystemExit(CODE)
_error_before: BaseException | None = None


class _Terminated(SystemExit):
    """What a SIGTERM raises; ``_sent`` stands for it where no traceback is to be held."""


class Lock:
    """A run's lock. A SIGTERM waits while the main thread holds it: calls of ours are not broken off in the middle."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self.owner = 0

    def __enter__(self) -> None:
        self._lock.acquire()
        self._depth += 1
        self.owner = threading.get_ident()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if not self._depth:
            self.owner = 0
        self._lock.release()
        if _waiting and not _is_held():
            _deliver()


def _is_held() -> bool:
    return any(lock.owner == threading.main_thread().ident for lock in list(_open))


def _deliver() -> None:
    global _waiting
    _waiting = False
    if os.getpid() == _pid:
        os.kill(_pid, signal.SIGTERM)  # Python runs the handler in the main thread, whichever this is


def watch(lock: Lock, end: Callable[[BaseException], None]) -> None:
    """Let a SIGTERM end a run, if the script has no handler of its own and this is the main thread.

    Args:
        lock: The run's.
        end: Ends it by an exception and publishes it.
    """
    global _pid
    exits.watch()
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)
    _pid = os.getpid()
    _open[lock] = end


def unwatch(lock: Lock) -> None:
    """Forget a run that has ended; with the last one our handler goes, if it is still ours."""
    if _open.pop(lock, None) is not None:
        exits.unwatch()
        if not _open:
            _restore()


def _restore() -> None:
    with contextlib.suppress(ValueError):  # not the main thread: then the handler itself sees that no run is open
        if signal.getsignal(signal.SIGTERM) is _on_sigterm:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    global _waiting, _error_before
    if os.getpid() != _pid or not _open:
        _die()
    elif _is_held():
        _waiting = True
    elif exits.is_interactive() or not exits.is_running():  # nothing to unwind, or somebody who would catch it
        _end_all(_sent)
    elif not _is_unwinding():  # launchers send it twice; what the script does in its 'finally' is not broken off
        _error_before = exits.reported()
        exits.watch()
        exits.note(_sent)
        atexit.register(_at_exit)
        with contextlib.suppress(AttributeError, RuntimeError):  # private to threading; without it they are waited for
            threading._register_atexit(_do_not_wait)  # type: ignore[attr-defined]
        raise _Terminated(CODE)


def _is_unwinding() -> bool:
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, _Terminated):
        error = error.__context__
    return error is not None


def cause(error: BaseException | None) -> BaseException | None:
    """What ends a run: the SIGTERM for which asyncio cancels the task in which it runs, else the error itself."""
    found = error
    while found is not None and not isinstance(found, (Exception, KeyboardInterrupt, SystemExit)):
        found = found.__context__
    return found if isinstance(found, _Terminated) else error


def _end_all(error: BaseException) -> None:
    for end in reversed(list(_open.values())):
        end(error)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    _die()


def _die() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def _do_not_wait() -> None:
    """Before threads are waited for: a SIGTERM ends them, too."""
    others = (thread for thread in threading.enumerate() if thread is not threading.main_thread())
    if exits.uncaught(_error_before) is _sent and not all(thread.daemon for thread in others):
        _end_all(_sent)


class _LastBreath:
    """Dies when the interpreter lets go of it, which is after all callbacks have run and all files are flushed."""

    def __del__(self, kill: Any = os.kill, pid: Any = os.getpid, number: int = signal.SIGTERM) -> None:
        kill(pid(), number)


def _at_exit() -> None:
    """Nothing has caught it. The handler is the default again when the module sys is cleared, nearly at the last."""
    if exits.uncaught(_error_before) is _sent:
        sys.__dict__["_gitlumo_last_breath"] = _LastBreath()
    exits.unwatch()


# A forked child has no run: SIGTERM kills it at once, whatever it does. One that comes before the default is there
# again would be forgotten by the interpreter, so it is held back until then.

_mask = threading.local()


def _before_fork() -> None:
    if signal.getsignal(signal.SIGTERM) is _on_sigterm:
        _mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def _after_fork() -> None:
    before = _mask.__dict__.pop("before", None)
    if before is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _in_child() -> None:
    global _waiting
    _waiting = False
    _open.clear()
    _restore()
    _after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """A thread that is started meanwhile gets no signals: they are for those who wait for them elsewhere."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
