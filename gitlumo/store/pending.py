"""Runs that are not wholly published, as their folders are now, and which of them are dead. Nothing here writes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gitlumo import machine, values
from gitlumo.errors import FormatError
from gitlumo.store import layout, record, register, shared
from gitlumo.store.branch import Branch
from gitlumo.store.journal import Folder, Signature
from gitlumo.store.record import Record
from gitlumo.store.register import OpenRun


class Followed(Folder):
    """The folder of a registered run, also when it is moved while it is read: a script may give its run a name."""

    def __init__(self, run: OpenRun, max_file: int):
        super().__init__(run.info_dir, max_file)
        self._run = run

    def read(self, path: str) -> bytes | None:
        """See :meth:`gitlumo.store.journal.Folder.read`."""
        data = super().read(path)
        return super().read(path) if data is None and self.follow() else data

    def _files(self) -> list[tuple[str, Signature]]:
        try:
            return super()._files()
        except FileNotFoundError:
            if not self.follow():
                raise
            return super()._files()

    def follow(self) -> bool:
        """Go where the folder lies now; whether that is another place."""
        if os.path.isdir(self.info_dir):
            return False
        now = register.find(self._run.lumo_dir, self._run.uid) if self._run.lumo_dir else None
        before, self.info_dir = self.info_dir, now.info_dir if now else self.info_dir
        return self.info_dir != before


@dataclass
class Pending:
    """A run in the register, as its folder is now.

    Attributes:
        run: Its entry in the register.
        folder: Its files.
        extra: Files as they are to be read instead of those in the folder.
        record: The run, read through ``extra``.
        dead: Whether its process is gone: True, False, or None where this process may not judge.
        abandoned: Whether another process has adopted it, and is gone: nobody records what belongs to it.
    """

    run: OpenRun
    folder: Folder
    extra: dict[str, bytes]
    record: Record
    dead: bool | None
    abandoned: bool = False

    def complete(self) -> dict[str, bytes]:
        """All files that are to be published instead of those in the folder."""
        self.record.read(layout.METRICS)
        return self.extra

    @property
    def ended(self) -> bool:
        """Whether its owner has ended it."""
        return self.record.progress.get("end") is not None

    @property
    def lives(self) -> bool:
        """Whether it has an owner that may write again, as far as this machine may judge."""
        return not self.final if self.ended else not self.dead

    @property
    def final(self) -> bool:
        """Whether it has ended, and nobody but us will publish it: its owner has left it, or is dead."""
        return self.ended and (self.run.left or self.dead is True)


def open_run(run: OpenRun, max_file: int, here: machine.Process) -> Pending | None:
    """A registered run as it is now: metrics up to its last line, ``killed`` where its process is dead.

    Returns:
        None where the folder holds no run: its start was cut short.

    Raises:
        OSError: If the folder cannot be read.
        FormatError: If what says who the run is is damaged.
    """
    folder = Followed(run, max_file)
    folder.follow()
    os.listdir(folder.info_dir)  # a folder that cannot be read now says nothing
    identity = layout.read_identity(folder.read)
    if identity is None or identity.uid != run.uid:
        if folder.read(layout.info_path("uid")) is None:
            return None
        raise FormatError(f"{folder.info_dir}: its uid, exp_name, test_name or progress is damaged")
    extra: dict[str, bytes] = {}

    def read(path: str) -> bytes | None:
        if path == layout.METRICS and path not in extra:
            folded = record.fold(line for line in record.history_lines(folder.read, folder.paths()) if line)
            if folded:  # the owner writes the summary only when it publishes
                extra[path] = record.metrics_to_bytes(folded)
        return extra.get(path) or folder.read(path)

    whole = Record(read, lambda: sorted({*folder.paths(), *extra}), folder.info_dir)
    pending = Pending(run, folder, extra, whole, None)
    # Whether it is dead comes first: what is read after that is all that it will ever have written.
    pending.dead = machine.is_dead(owner_of(pending.record.info("pinfo"), run.image), here)
    if note := shared.read_note(folder.info_dir):
        recorded = is_recorded_by(note, here)
        pending.abandoned = recorded is False
        if pending.dead:  # the script in a killed runner's command goes on
            pending.dead = None if recorded is None else not recorded
    if pending.dead and not pending.ended:
        mark_killed(pending, identity.seq)
    return pending


def owner_of(pinfo: Any, image: str | None) -> machine.Process:
    """The process that ``info/pinfo.json`` names."""
    pinfo = pinfo if isinstance(pinfo, dict) else {}
    obj = pinfo.get("obj") if isinstance(pinfo.get("obj"), dict) else {}
    pid, started, restarts = pinfo.get("pid"), (obj or {}).get("ticks"), pinfo.get("restarts")
    host, boot, namespace, job = (
        pinfo[key] if isinstance(pinfo.get(key), str) else None for key in ("host", "boot", "namespace", "job")
    )
    return machine.Process(
        pid if type(pid) is int else 0,
        started if type(started) is int else None,
        host,
        boot,
        namespace,
        image,
        (job, restarts if type(restarts) is int else 0) if job else None,
    )


def is_recorded_by(note: Mapping[str, Any], here: machine.Process) -> bool | None:
    """Whether the process that has adopted a run lives and records it; None where this process may not judge."""
    dead = note["ended"] or machine.is_dead(owner_of(note["pinfo"], note["image"]), here)
    return None if dead is None else not dead


def mark_killed(pending: Pending, seq: int) -> None:
    """Let a run be read, and published, as found dead now, with the sequence number ``seq``."""
    progress = pending.record.progress
    heard = last_heard(pending.folder)
    progress.update(killed=values.time_text(time.time()), seq=seq)
    if heard is not None:
        progress["last_edit_time"] = values.time_text(heard)
    pending.extra[layout.info_path("progress")] = values.to_bytes(values.encode(progress))


def last_heard(folder: Folder) -> float | None:
    """When the run last wrote, in seconds since 1970."""
    written = [path for path in folder.paths() if layout.chunk_number(path) is not None or path.startswith("info/")]
    times = []
    for path in written:
        try:
            times.append(os.stat(os.path.join(folder.info_dir, path)).st_mtime)
        except OSError:
            continue
    return max(times, default=None)


def pending_runs(branch: Branch) -> Iterator[Pending]:
    """All registered runs of a repository as they are now."""
    here = machine.this_process(branch.settings.hostname)
    for run in register.open_runs(branch.lumo_dir):
        try:
            pending = open_run(run, branch.settings.snapshot_max_file, here)
        except (OSError, FormatError):
            continue  # damaged while it is read here; 'git lumo recover' says so
        if pending:
            yield pending
