"""Runs that are not wholly published: what they look like now, which of them are dead, publishing what they left."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gitlumo import machine, values
from gitlumo.errors import FormatError
from gitlumo.store import journal, layout, record, trees
from gitlumo.store.journal import Folder, OpenRun
from gitlumo.store.ledger import Event, Ledger
from gitlumo.store.record import Record


@dataclass
class Pending:
    """A run in the register, as its folder is now.

    Attributes:
        run: Its entry in the register.
        folder: Its files.
        extra: Files as they are to be read instead of those in the folder.
        record: The run, read through ``extra``.
        dead: True, False, or None where this process may not judge.
    """

    run: OpenRun
    folder: Folder
    extra: dict[str, bytes]
    record: Record
    dead: bool | None

    @property
    def ended(self) -> bool:
        """Whether its owner has ended it."""
        return self.record.progress.get("end") is not None


def open_run(run: OpenRun, max_file: int, here: machine.Process) -> Pending | None:
    """A registered run as it is now: metrics up to its last line, ``killed`` where its process is dead.

    Returns:
        None where the folder holds no run: its start was cut short.
    """
    folder = Folder(run.info_dir, max_file)
    try:
        identity = layout.read_identity(folder.read)
    except OSError:
        identity = None
    if identity is None or identity.uid != run.uid:
        return None
    extra: dict[str, bytes] = {}

    def read(path: str) -> bytes | None:
        return extra.get(path) or folder.read(path)

    lines = [line for line in record.history_lines(folder.read, folder.paths()) if line]
    if lines:
        extra[layout.METRICS] = record.metrics_to_bytes(record.fold(lines))
    pending = Pending(run, folder, extra, Record(read, lambda: sorted({*folder.paths(), *extra}), run.info_dir), None)
    if not pending.ended:
        pending.dead = machine.is_dead(_owner(pending.record.info("pinfo") or {}), here)
        if pending.dead:
            mark_killed(pending, identity.seq)
    return pending


def _owner(pinfo: dict[str, Any]) -> machine.Process:
    obj = pinfo.get("obj") if isinstance(pinfo.get("obj"), dict) else {}
    started = (obj or {}).get("ticks")
    fields = [pinfo.get(key) if isinstance(pinfo.get(key), str) else None for key in ("host", "boot", "namespace")]
    pid = pinfo.get("pid")
    return machine.Process(pid if type(pid) is int else 0, started if type(started) is int else None, *fields)


def mark_killed(pending: Pending, seq: int) -> None:
    """Let a run be read, and published, as found dead now, with the sequence number ``seq``."""
    progress = pending.record.progress
    heard = _last_heard(pending.folder)
    progress.update(killed=values.time_text(time.time()), seq=seq)
    if heard is not None:
        progress["last_edit_time"] = values.time_text(heard)
    pending.extra[layout.info_path("progress")] = values.to_bytes(values.encode(progress))


def _last_heard(folder: Folder) -> float | None:
    """When the run last wrote, in seconds since 1970."""
    written = [path for path in folder.paths() if layout.chunk_number(path) is not None or path.startswith("info/")]
    times = []
    for path in written:
        try:
            times.append(os.stat(os.path.join(folder.info_dir, path)).st_mtime)
        except OSError:
            continue
    return max(times, default=None)


def pending_runs(lumo_dir: str, max_file: int, hostname: str) -> Iterator[Pending]:
    """All registered runs as they are now."""
    here = machine.this_process(hostname)
    for run in journal.open_runs(lumo_dir):
        try:
            pending = open_run(run, max_file, here)
        except (OSError, FormatError):
            continue  # damaged while it is read here; 'git lumo recover' says so
        if pending:
            yield pending


def recover(ledger: Ledger, *, force: str | None = None) -> list[str]:
    """Publish what dead runs, and ended ones that could not be published, have left.

    Args:
        ledger: Where to.
        force: The uid of a run that is to be taken for dead although this machine cannot judge.

    Returns:
        ``<exp_name>/<test_name> <state>`` of each run published.

    Raises:
        LumoError: If the ledger cannot be written.
        OSError: If the disk is full or read-only.
    """
    here = machine.this_process(ledger.settings.hostname)
    done = []
    for run in journal.open_runs(ledger.lumo_dir):
        pending = open_run(run, ledger.settings.snapshot_max_file, here)
        if pending is None:
            journal.unregister(ledger.lumo_dir, run.uid)
            continue
        if pending.dead or run.uid == force:
            identity = layout.read_identity(pending.folder.read)
            published = _published_seq(ledger, identity) if identity else 0
            mark_killed(pending, published + 1)
        elif not pending.ended:
            continue
        publish(ledger, pending)
        done.append(f"{pending.record.name} {pending.record.state}")
    return done


def publish(ledger: Ledger, pending: Pending) -> None:
    """Publish a run that has ended or died, and strike it from the register."""
    properties = pending.record
    git = properties.info("git")
    snapshot = git.get("commit") if isinstance(git, dict) else None
    subject = layout.event_subject(properties.name, properties.state, record.best_facts(properties.metrics))
    ledger.publish(Event("end", pending.folder, subject, snapshot=snapshot, extra=pending.extra, fsync=True))
    journal.unregister(ledger.lumo_dir, pending.run.uid)


def _published_seq(ledger: Ledger, identity: layout.Identity) -> int:
    view = ledger.view()
    found = trees.find(view.objects, view.tree, identity.uid, [(identity.exp_name, identity.test_name)])
    return found[1].identity.seq if found else 0


def unpublished(ledger: Ledger, info_root: str) -> list[Pending]:
    """Runs whose folders are on this disk and which no ledger here has: after a branch was deleted and pruned."""
    view = ledger.view()
    here = machine.this_process(ledger.settings.hostname)
    found = []
    for exp_name in _folders(info_root):
        for test_name in _folders(os.path.join(info_root, exp_name)):
            info_dir = os.path.join(info_root, exp_name, test_name)
            try:
                identity = layout.read_identity(Folder(info_dir, ledger.settings.snapshot_max_file).read)
            except OSError:
                continue
            if identity is None:
                continue
            names = [(identity.exp_name, identity.test_name)]
            if trees.find(view.objects, view.tree, identity.uid, names) is None:
                pending = open_run(OpenRun(identity.uid, info_dir), ledger.settings.snapshot_max_file, here)
                if pending and (pending.ended or pending.dead):
                    found.append(pending)
    return found


def _folders(path: str) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []
