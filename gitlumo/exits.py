"""What ends the program, as far as Python lets one know before it has ended.

The interpreter keeps an exception that it reports (``sys.last_value``), but of a SystemExit that nothing has caught it
tells nobody: it is gone before ``atexit``'s callbacks run. What remains is the frame of the main program, which has
returned or was left by an exception, and what was handed to ``sys.exit`` last, which is watched while a run is open.
"""

from __future__ import annotations

import builtins
import functools
import gc
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

_CALLS = ((sys, "exit"), (builtins, "exit"), (builtins, "quit"))  # the latter two: site.Quitter
_GENERATORS = 0x20 | 0x200  # inspect.CO_GENERATOR, CO_ASYNC_GENERATOR
_CLOSED_AT = ("YIELD_VALUE", "RESUME", "SEND")  # where one stands between two values
_originals: dict[tuple[Any, str], Callable[..., Any]] = {}
_watchers = 0
_main: FrameType | None = None
_seen: SystemExit | None = None


def watch() -> None:
    """Look at what ends the program, until :func:`unwatch` was called as often as this."""
    global _main, _watchers
    _watchers += 1
    if _watchers > 1 or is_interactive():
        return
    _main = _outermost()
    for owner, name in _CALLS:
        call = getattr(owner, name, None)
        if call is not None:
            _originals[owner, name] = call
            setattr(owner, name, _watched(call))


def unwatch() -> None:
    """With the last one: put ``sys.exit`` back, where it is still the one that looks, and let go of the frame."""
    global _main, _watchers
    _watchers -= 1
    if not _watchers:
        _main = None  # it holds the script's globals, which are to be cleared when the interpreter ends
        for (owner, name), call in _originals.items():
            if getattr(getattr(owner, name, None), "__wrapped__", None) is call:
                setattr(owner, name, call)
        _originals.clear()


def _watched(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def leave(*args: Any, **keywords: Any) -> Any:
        if threading.current_thread() is threading.main_thread():  # in another one it ends only that
            note(SystemExit(*args[:1], *keywords.values()))
        return call(*args, **keywords)

    return leave


def note(error: SystemExit) -> None:
    """Remember what is about to leave the program, unless something catches it."""
    global _seen
    _seen = error


def uncaught(before: object) -> BaseException | None:
    """The exception that has left the main program; None where it has returned, runs, or cannot be known.

    Args:
        before: What :func:`reported` at an earlier time: it did not end the program.
    """
    error = reported()
    if error is not None and error is not before:
        return error
    return _seen if _main is not None and not is_running() and not _has_returned(_main) else None


def reported() -> BaseException | None:
    """The last exception that the interpreter has reported; None where it goes on after one."""
    error = None if is_interactive() else getattr(sys, "last_value", None)
    return error if isinstance(error, BaseException) else None


def is_interactive() -> bool:
    """Whether somebody types, and goes on after an exception: Python's prompt, IPython, a notebook."""
    return hasattr(sys, "ps1")


def is_running() -> bool:
    """Whether the main program has not ended; afterwards, threads are waited for and ``atexit``'s callbacks run."""
    return _main is None or _outermost() is _main


def _outermost() -> FrameType | None:
    """The main thread's first frame: that of the script, or of what runs a module for ``python -m``."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _has_returned(frame: FrameType) -> bool:
    """Whether the last instruction of a frame that has ended was a return, not one that raised."""
    return _opcode(frame).startswith("RETURN_")


def _opcode(frame: FrameType) -> str:
    """The last instruction of a frame."""
    import opcode

    return opcode.opname[frame.f_code.co_code[frame.f_lasti]]


def is_left_by_an_exception() -> bool:
    """Whether an exception, and no ``break``, is why a generator is closed, seen from its end of a ``with``.

    The interpreter puts the exception aside meanwhile. What it leaves to be seen is that the frame which took the
    generator's values has a traceback of the very instruction at which it stands.
    """
    frame: FrameType | None = sys._getframe()
    while frame is not None and not _is_generator(frame):
        frame = frame.f_back
    frame = frame and frame.f_back
    while frame is not None and _is_generator(frame) and _opcode(frame) in _CLOSED_AT:
        frame = frame.f_back  # a generator around it, which is closed itself
    if frame is None:
        return False
    traces = (one for one in gc.get_referrers(frame) if isinstance(one, TracebackType))
    return any(trace.tb_lasti == frame.f_lasti for trace in traces)


def _is_generator(frame: FrameType) -> bool:
    return bool(frame.f_code.co_flags & _GENERATORS)


def code_of(error: BaseException | None) -> int:
    """The status with which a program ends that this leaves."""
    if error is None:
        return 0
    if not isinstance(error, SystemExit):
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    if not isinstance(error.code, int):
        return 0 if error.code is None else 1
    return int(error.code) if error.code.bit_length() < 64 else -1  # as the interpreter does
