"""Many commands of ``git lumo``, some at a time: what ``rerun --where`` and ``sweep`` start, here or by a launcher.

Each job is a process of its own that records one run; the ledger is where they come together. Ctrl-C reaches them all:
the ones that run end, and none is started any more.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType

SLOT = "LUMO_SLOT"  # which of the jobs that run at once one is, from 0: for CUDA_VISIBLE_DEVICES and the like
_SAID = 2000  # bytes of what a failed job has said that are shown


@dataclass(frozen=True)
class Job:
    """A command of ``git lumo`` that records one run.

    Attributes:
        name: What to call it.
        words: The verb and its arguments.
        key: What tells it from all others of the repository.
    """

    name: str
    words: Sequence[str]
    key: str = ""


@dataclass(frozen=True)
class Done:
    """How a job ended.

    Attributes:
        job: Which.
        status: Its exit status; minus the signal that killed it.
        said: The end of what it has said, if it failed.
    """

    job: Job
    status: int
    said: str = ""


@dataclass
class Progress:
    """How far many jobs are."""

    total: int
    done: int = 0
    failed: int = 0
    passed_over: int = 0
    running: list[str] = field(default_factory=list)

    def pass_over(self) -> None:
        """One is not to be run after all."""
        self.passed_over += 1
        self.total -= 1


Launcher = Callable[[Iterable[Job], int, "Stop"], Iterator[Done | Job]]
"""Takes the jobs one by one, as many at a time as are wanted; gives each as it starts, and again as it has ended."""


class Stop:
    """Whether no more jobs are to be started, because a signal has asked for that."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.children: set[subprocess.Popen[bytes]] = set()

    def __bool__(self) -> bool:
        """Whether it has."""
        return self.number is not None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Listen to the signals that end a program; those that a key has sent reach the jobs without our doing."""

        def hear(number: int, frame: FrameType | None) -> None:
            self.number = number
            for child in list(self.children):
                if number != signal.SIGINT:
                    with contextlib.suppress(ProcessLookupError):
                        child.send_signal(number)

        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, hear)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run_all(
    jobs: Iterable[Job], parallel: int, launcher: Launcher, progress: Progress, show: Callable[[Progress], None]
) -> tuple[list[Done], Stop]:
    """Run jobs to their ends.

    Args:
        jobs: What to run; it is asked for the next one when there is room for it.
        parallel: How many at a time.
        launcher: What runs them.
        progress: Is kept up to date.
        show: Called when that has changed.

    Returns:
        Those that have ended, in the order in which they did, and whether a signal has stopped it.
    """
    ended: list[Done] = []
    stop = Stop()
    with stop.listening():
        for event in launcher(jobs, parallel, stop):
            if isinstance(event, Job):
                progress.running.append(event.name)
            else:
                ended.append(event)
                progress.running.remove(event.job.name)
                progress.done += 1
                progress.failed += event.status != 0
            show(progress)
    return ended, stop


def run_here(jobs: Iterable[Job], parallel: int, stop: Stop) -> Iterator[Done | Job]:
    """Run jobs as processes of this machine."""
    finished: queue.SimpleQueue[tuple[int, Done]] = queue.SimpleQueue()
    free, waiting, running = list(range(parallel - 1, -1, -1)), iter(jobs), 0
    is_over = False
    while True:
        while free and not is_over and not stop:
            job = next(waiting, None)
            if job is None:
                is_over = True
                break
            slot = free.pop()
            threading.Thread(target=_run_in, args=(slot, job, stop, finished), daemon=True).start()
            running += 1
            yield job
        if not running:
            return
        slot, done = _wait_for(finished)
        free.append(slot)
        running -= 1
        yield done


def _wait_for(finished: queue.SimpleQueue[tuple[int, Done]]) -> tuple[int, Done]:
    while True:
        with contextlib.suppress(queue.Empty):  # so that a signal's handler gets its turn
            return finished.get(timeout=0.5)


def _run_in(slot: int, job: Job, stop: Stop, finished: queue.SimpleQueue[tuple[int, Done]]) -> None:
    try:
        done = run_one(job, {SLOT: str(slot)}, stop)
    except Exception as error:
        done = Done(job, 128, f"{type(error).__name__}: {error}")
    finished.put((slot, done))


def run_one(job: Job, variables: Mapping[str, str], stop: Stop | None = None) -> Done:
    """Run one job to its end."""
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(
            [sys.executable, "-m", "gitlumo", *job.words],
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        children = stop.children if stop is not None else set()
        children.add(child)
        try:
            status = child.wait()
        except KeyboardInterrupt:  # a launcher that cancels a job may tell this process only
            child.terminate()
            child.wait()
            raise
        finally:
            children.discard(child)
        return Done(job, status, _tail(said.fileno()) if status else "")


def _tail(fd: int) -> str:
    size = os.fstat(fd).st_size
    return os.pread(fd, _SAID, max(0, size - _SAID)).decode("utf-8", "replace")


def telling(events: Iterator[Done | Job], tell: Callable[[Job], None]) -> Iterator[Done | Job]:
    """Events of jobs; whoever wants to know is told of each end before the next job is asked for."""
    for event in events:
        if isinstance(event, Done):
            tell(event.job)
        yield event
