"""Many runs into issues: some at a time, within what GitHub allows; what fails alone does not stop the others."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gitlumo.backup.api import Client
from gitlumo.backup.issues import Backups, Done
from gitlumo.backup.refusals import Barred
from gitlumo.errors import LumoError, RemoteError
from gitlumo.store.query import Found

FAILURES = 3  # runs in a row that GitHub has not taken, or not answered: then it is not asked any more


@dataclass(frozen=True)
class Failed:
    """A run that could not be backed up, or of which it is not known."""

    label: str
    error: LumoError


def back_up(
    backups: Backups, founds: Sequence[Found], parallel: int = 1, connect: Callable[[], Client] | None = None
) -> Iterator[Done | Failed]:
    """Back up runs; each result as it comes.

    Writes keep their pace however many run at a time (GitHub's best practices: no two at once, a second between them);
    what goes on beside them is reading, masking and compressing.

    Args:
        backups: Where; it has looked for all of them.
        founds: The runs.
        parallel: How many at a time.
        connect: Makes one more client.

    Raises:
        RemoteError: If GitHub refuses, as it would for the others, too, or does not answer at all.
    """
    if parallel == 1 or connect is None or len(founds) < 2:
        yield from _in_turn(backups, founds, [])
        return
    results: queue.Queue[Done | Failed | BaseException | None] = queue.Queue()
    todo, stop = iter(founds), threading.Event()
    workers = [backups.beside(connect()) for _ in range(min(parallel, len(founds)))]
    lock, failures = threading.Lock(), list[RemoteError]()

    def shared() -> Iterator[Found]:
        while not stop.is_set():
            with lock:
                found = next(todo, None)
            if found is None:
                return
            yield found

    def work(worker: Backups) -> None:
        try:
            for result in _in_turn(worker, shared(), failures):
                results.put(result)
        except BaseException as error:
            stop.set()
            results.put(error)
        finally:
            worker.close()
            results.put(None)

    threads = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    first: BaseException | None = None
    try:
        left = len(threads)
        while left:
            result = results.get()
            if result is None:
                left -= 1
            elif isinstance(result, BaseException):
                first = first or result
            else:
                yield result
    finally:
        stop.set()
    if first:
        raise first


def _in_turn(
    backups: Backups, founds: Sequence[Found] | Iterator[Found], failures: list[RemoteError]
) -> Iterator[Done | Failed]:
    """Back up one run after the other; ``failures`` are GitHub's, since it has last taken one of anybody's."""
    for found in founds:
        try:
            yield backups.back_up(found)
            failures.clear()
        except Barred:
            raise
        except LumoError as error:
            if isinstance(error, RemoteError):
                failures.append(error)
            if len(failures) >= FAILURES:
                raise
            yield Failed(found.label, error)
