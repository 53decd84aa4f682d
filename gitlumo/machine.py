"""Who is running, and is it still alive: host, boot, process (docs/format.md, ``info/pinfo.json``)."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO, cast


@dataclass(frozen=True)
class Process:
    """One process, told apart from any other that ever had its pid.

    Attributes:
        pid: Process id.
        start: When it started, in the kernel's own clock (ticks since boot on Linux, else seconds); None: unknown.
        host: Host name, or its hash, or None, as ``lumo.hostname`` says.
        boot: An id of the machine's current boot; None: unknown.
        namespace: The pid namespace; None: unknown.
        image: See :func:`image_of`; None: unknown.
        job: SLURM's id of the job that it belongs to, and how often that was started again; None: of none.
    """

    pid: int
    start: int | None
    host: str | None
    boot: str | None
    namespace: str | None
    image: str | None = None
    job: tuple[str, int] | None = None


def this_process(hostname: str = "plain") -> Process:
    """The current process.

    Args:
        hostname: ``plain``, ``hash`` or ``off``.
    """
    return _process(os.getpid(), hostname)


@functools.lru_cache(maxsize=4)
def _process(pid: int, hostname: str) -> Process:
    return Process(pid, _start_of(pid), _host(hostname), _boot(), _namespace(), image_of(pid), job())


def process_of(pid: int) -> Process:
    """A child of this process, whatever program it becomes by exec; its host is not told."""
    return Process(pid, _start_of(pid), None, _boot(), _namespace())


def is_dead(process: Process, here: Process) -> bool | None:
    """Whether a process has ended, as far as ``here`` may judge.

    Only a process on the same host, boot and pid namespace may find another dead, or one of the same SLURM job that
    was started again since; for any other the answer is None.
    """
    if process.job and here.job and process.job[0] == here.job[0] and process.job[1] < here.job[1]:
        return True
    same = (process.host, process.boot, process.namespace) == (here.host, here.boot, here.namespace)
    if not same or process.boot is None:
        return None
    started = _start_of(process.pid)
    if started is None:
        return not exists(process.pid)
    if process.start is not None and started != process.start:
        return True
    return process.image is not None and image_of(process.pid) not in (None, process.image)


def job(environ: Mapping[str, str] = os.environ) -> tuple[str, int] | None:
    """The SLURM job of this process, and how often it was started again (sbatch(1), ``SLURM_RESTART_COUNT``)."""
    id, restarts = environ.get("SLURM_JOB_ID", ""), environ.get("SLURM_RESTART_COUNT", "0")
    return (id, int(restarts)) if id and restarts.isdecimal() else None


_LAUNCHERS = ("torchrun", "accelerate", "deepspeed", "torch.distributed.run", "torch.distributed.launch")
_LAUNCHED = ("RANK", "LOCAL_RANK", "ACCELERATE_MIXED_PRECISION")  # variables that these set


def launcher(environ: Mapping[str, str] = os.environ) -> list[str]:
    """The command line of what has started this process as one of several; empty: of nothing known."""
    if not any(name in environ for name in _LAUNCHED):
        return []
    try:
        with open(f"/proc/{os.getppid()}/cmdline", "rb") as source:
            words = [os.fsdecode(word) for word in source.read().split(b"\0")[:-1]]
    except OSError:
        return []
    return words if any(os.path.basename(word) in _LAUNCHERS for word in words[:4]) else []


def exists(pid: int) -> bool:
    """Whether this machine has a process of this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _start_of(pid: int) -> int | None:
    """When a process started; None: there is none, or it cannot be known; -1: a zombie, which will not write again."""
    fields = _stat(pid)
    if not fields:
        return None
    return -1 if fields[0] in (b"Z", b"X") else int(fields[19])


def image_of(pid: int) -> str | None:
    """What tells the program that a process runs from one that it becomes by exec: same pid, same start.

    The addresses of its code and stack, which the kernel draws anew at each exec (where it draws at all: then a process
    that has become another program counts as alive until it ends).
    """
    fields = _stat(pid)
    if len(fields) < 26 or fields[25] in (b"0", b"1"):  # not ours to see
        return None
    return hashlib.sha256(b" ".join(fields[23:26])).hexdigest()[:16]


def _stat(pid: int) -> list[bytes]:
    """/proc/PID/stat from its third field on (proc_pid_stat(5)); empty: there is no such file."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as source:
            return source.read().rpartition(b")")[2].split()
    except OSError:
        return []


def _host(hostname: str) -> str | None:
    if hostname == "off":
        return None
    name = os.uname().nodename
    return name if hostname == "plain" else hashlib.sha256(name.encode()).hexdigest()[:16]


def _boot() -> str | None:
    if sys.platform == "linux":
        try:
            with open("/proc/sys/kernel/random/boot_id") as source:
                return source.read().strip()
        except OSError:
            return None
    import subprocess  # macOS: sysctl(8)

    try:
        done = subprocess.run(["sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None


def _namespace() -> str | None:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return None


def started_at() -> float:
    """When this process started, in seconds since 1970."""
    import time

    ticks = _start_of(os.getpid())
    if ticks is None or sys.platform != "linux":
        return round(time.time() - time.process_time(), 2)
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    return round(time.time() - since_boot + ticks / os.sysconf("SC_CLK_TCK"), 2)


class _Direct(io.TextIOBase):
    """Standard error without its buffer: what it does not take is gone, else it would change how the program exits."""

    def __init__(self, stream: io.TextIOWrapper):
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()  # what the program has said before
            data = text.encode(self._stream.encoding, "backslashreplace")
            while data:
                data = data[os.write(self._stream.fileno(), data) :]
        return len(text)


def stderr() -> TextIO | None:
    """Where to tell people something: standard error, if there is one.

    Python ends with status 120 where it cannot write what is left in that one's buffer: it is closed, its disk is full.
    """
    stream = sys.stderr
    if stream is None or stream.closed:
        return None
    if not isinstance(stream, io.TextIOWrapper):
        return stream  # a notebook's, a test's
    try:
        os.fstat(stream.fileno())
    except (OSError, ValueError):
        return None
    return cast(TextIO, _Direct(stream))
