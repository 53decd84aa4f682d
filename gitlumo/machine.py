"""Who is running, and is it still alive: host, boot, process (docs/format.md, ``info/pinfo.json``)."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Process:
    """One process, told apart from any other that ever had its pid.

    Attributes:
        pid: Process id.
        start: When it started, in the kernel's own clock (ticks since boot on Linux, else seconds); None: unknown.
        host: Host name, or its hash, or None, as ``lumo.hostname`` says.
        boot: An id of the machine's current boot; None: unknown.
        namespace: The pid namespace; None: unknown.
    """

    pid: int
    start: int | None
    host: str | None
    boot: str | None
    namespace: str | None


def this_process(hostname: str = "plain") -> Process:
    """The current process.

    Args:
        hostname: ``plain``, ``hash`` or ``off``.
    """
    return _process(os.getpid(), hostname)


@functools.lru_cache(maxsize=4)
def _process(pid: int, hostname: str) -> Process:
    return Process(pid, _start_of(pid), _host(hostname), _boot(), _namespace())


def is_dead(process: Process, here: Process) -> bool | None:
    """Whether a process has ended, as far as ``here`` may judge.

    Only a process on the same host, boot and pid namespace may find another dead; for any other the answer is None.
    """
    same = (process.host, process.boot, process.namespace) == (here.host, here.boot, here.namespace)
    if not same or process.boot is None:
        return None
    started = _start_of(process.pid)
    if started is None:
        return not exists(process.pid)
    return process.start is not None and started != process.start


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
    """Field 22 of /proc/PID/stat (proc_pid_stat(5)); None: no such file; -1: a zombie, which will not write again."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as source:
            fields = source.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return -1 if fields[0] in (b"Z", b"X") else int(fields[19])


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


def has_stderr() -> bool:
    """Whether there is a standard error to write to; writing to a closed one would change how the process exits."""
    if sys.stderr is None or sys.stderr.closed:
        return False
    try:
        number = sys.stderr.fileno()
    except (OSError, ValueError, AttributeError):
        return True  # no file, but something that takes text: a notebook's, a test's
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
