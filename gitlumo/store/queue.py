"""The queue: events whose processes wait for the ledger's lock. Who holds it publishes some of them with its own.

A request is a file, and it is gone once its event is published and safe on the disk. Killed anywhere: who holds the
lock leaves requests, whose processes get the lock then; who waits leaves one that is served all the same, for what it
asks is only what the run's folder says.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from gitlumo.store.journal import Folder, write_whole


@dataclass(frozen=True)
class Event:
    """What is to be published of one run.

    Attributes:
        kind: ``start``, ``checkpoint`` or ``end``.
        folder: The run's files.
        subject: The commit's first line.
        snapshot: The code's commit, for a run that the ledger may not have yet.
        extra: Files to put over those of the folder: path to bytes.
    """

    kind: str
    folder: Folder
    subject: str
    snapshot: str | None = None
    extra: dict[str, bytes] = field(default_factory=dict)


def ask(lumo_dir: str, event: Event, scope: str) -> str:
    """Ask for an event to be published; returns the request's path.

    Args:
        lumo_dir: gitlumo's folder in the git common dir.
        event: The event; it has no ``extra``.
        scope: What must be the same for who serves it, such as the branch and the committer.

    Raises:
        OSError: If it cannot be written.
    """
    path = os.path.join(lumo_dir, "queue", f"{os.getpid()}-{os.urandom(6).hex()}.json")
    request = {
        "scope": scope,
        "info_dir": event.folder.info_dir,
        "kind": event.kind,
        "subject": event.subject,
        "snapshot": event.snapshot,
    }
    write_whole(path, json.dumps(request).encode())
    return path


def is_served(path: str) -> bool:
    """Whether a request's event is published."""
    return not os.path.exists(path)


def remove(path: str) -> bool:
    """Serve a request, or take it back; False if it is served already."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def requests(lumo_dir: str, scope: str, max_file: int, limit: int) -> Iterator[tuple[str, Event]]:
    """The requests of a scope that wait, at most ``limit``: (path, event); what cannot be read is passed over."""
    folder = os.path.join(lumo_dir, "queue")
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        if not limit:
            return
        path = os.path.join(folder, name)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            with open(path, "rb") as source:
                request = json.load(source)
            event = Event(
                request["kind"], Folder(request["info_dir"], max_file), request["subject"], request["snapshot"]
            )
            texts = (event.kind, event.folder.info_dir, event.subject, event.snapshot or "")
            if request["scope"] == scope and all(isinstance(text, str) and "\0" not in text for text in texts):
                limit -= 1
                yield path, event
