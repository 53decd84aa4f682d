"""Publishing a run that goes on, and pushing, in a process of its own that :mod:`gitlumo.sharing` starts.

It never asks anybody anything, ends after a bounded time, and says in one line what went wrong. Killed anywhere, it
leaves what a killed ``git lumo push`` leaves: nothing broken.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType

from gitlumo.config import read_settings
from gitlumo.errors import LumoError
from gitlumo.git import transport
from gitlumo.git.repository import Location, Repository
from gitlumo.git.tips import are_in
from gitlumo.home import Home
from gitlumo.share import exchange, remotes
from gitlumo.share.leaving import look
from gitlumo.share.remotes import Remote
from gitlumo.sharing import SKIPPED
from gitlumo.store import layout, record, register
from gitlumo.store.claim import alone
from gitlumo.store.frozen import Frozen
from gitlumo.store.ledger import Ledger
from gitlumo.store.queue import Event
from gitlumo.store.record import Record

NICE = 10  # the training comes first
AGAIN = 2 * transport.GRACE  # seconds; the first alarm may come where errors are passed over
_PROGRESS = layout.info_path("progress")


def main(words: list[str]) -> int:
    """Do what an order says, a JSON object; the status is 0 also where there was nothing to push."""
    order = json.loads(words[0])
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the thread that has started this process hears none
    with contextlib.suppress(OSError):
        os.nice(NICE)
    try:
        with within(order["limit"]):
            repository = Repository(Location(**order["location"]))
            ledger = Ledger(repository, read_settings(repository.config))
            if order["seq"]:
                publish(ledger, order["uid"], order["seq"])
            with turn(ledger.lumo_dir, order["pace"], wait=order["wait"]) as is_ours:
                if not is_ours:
                    return SKIPPED
                push(ledger)
    except (LumoError, OSError) as error:
        print(str(error).partition("\n")[0], file=sys.stderr)
        return 1
    return 0


def publish(ledger: Ledger, uid: str, seq: int) -> None:
    """Publish what a living run has recorded.

    Args:
        ledger: Where to.
        uid: The run.
        seq: The number that its owner gave what is to be published. It has no other then, and no one else has it: so
            whatever the owner publishes itself comes after it.

    Raises:
        LumoError: If the ledger cannot be written.
    """
    run = register.find(ledger.lumo_dir, uid)
    if run is None:
        return
    folder = Frozen(run.info_dir, ledger.settings.snapshot_max_file)
    lines = record.history_lines(folder.read, folder.paths())
    extra = {_PROGRESS: folder.read(_PROGRESS) or b""}
    if metrics := record.fold(line for line in lines if line):
        extra[layout.METRICS] = record.metrics_to_bytes(metrics)

    def read(path: str) -> bytes | None:
        return extra.get(path) or folder.read(path)

    identity = layout.read_identity(read)
    if identity is None or identity.seq != seq:  # its owner has published more itself
        return
    found = Record(read, lambda: sorted({*folder.paths(), *extra}), run.info_dir)
    code = found.info("git")
    subject = layout.event_subject(found.name, found.state, record.best_facts(found.metrics))
    event = Event("checkpoint", folder, subject, code.get("commit") if isinstance(code, dict) else None, extra)
    with alone(ledger.lumo_dir):  # whoever finds the run dead meanwhile says so for good
        if register.find(ledger.lumo_dir, uid):
            ledger.publish(event)


def push(ledger: Ledger) -> None:
    """Push what the remote does not have; it is not asked if there is nothing.

    Raises:
        LumoError: If that cannot be done, or a secret would leave.
    """
    home = Home(ledger.repository, ledger.settings)
    remote = remotes.choose(home, None)
    tip = exchange.ready(home)
    there = remotes.tips(home).get(remote.tracking)
    if there is None or not are_in(ledger.repository, [tip], there.commit):
        exchange.push(home, remote, lambda commit: _check(home, commit, remote))


def _check(home: Home, commit: str, remote: Remote) -> None:
    if look(home, commit, remote).secrets:
        raise LumoError("secrets would leave this machine; 'git lumo push' says which")


@contextlib.contextmanager
def turn(lumo_dir: str, pace: float | None = None, *, wait: bool = False) -> Iterator[bool]:
    """One push at a time in a repository; yields whether it is ours to push now.

    Args:
        lumo_dir: gitlumo's folder in the git common dir.
        pace: Not if somebody has begun one in the last half of so many seconds: runs that go on side by side carry
            each other's events. None: whenever it was.
        wait: Whether to wait until the push that is going on has ended.
    """
    import fcntl

    fd = os.open(os.path.join(lumo_dir, "pushing"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:
            pass  # a file system without locks
        last = os.fstat(fd)
        if pace and last.st_size and 0 <= time.time() - last.st_mtime < pace / 2:
            yield False
            return
        os.pwrite(fd, b"\n", 0)
        yield True
    finally:
        os.close(fd)


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """In the main thread: end what takes longer, as Ctrl-C would.

    Raises:
        LumoError: If it did.
    """

    def too_long(number: int, frame: FrameType | None) -> None:
        raise LumoError(f"the remote has not answered within {seconds:g} seconds")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
