"""How a run goes on: it is found, has no living owner, its folder is made whole, and this process becomes its owner."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gitlumo import capture, ids, machine, privacy, values
from gitlumo.errors import LumoError, NoSuchRun, StateError
from gitlumo.git.objects import Objects, lookup, read_blob, walk
from gitlumo.store import journal, layout
from gitlumo.store.journal import Folder, OpenRun
from gitlumo.store.ledger import Ledger
from gitlumo.store.pending import Pending, open_run, pending_runs
from gitlumo.store.query import Found, Runs
from gitlumo.store.record import Record, state_of

AUTO = "auto"
MOST_LOOKED_AT = 200
SIGNALLED = 128  # an end_code above says which signal ended the run, as a shell says it
CLAIM_SECONDS = 30.0


@dataclass(frozen=True)
class Resumed:
    """A run that goes on.

    Attributes:
        uid: Its uid.
        test_name: Its name.
        info_dir: Its folder, as whole as it is known here.
        progress: What ``info/progress.json`` says now; ``resumed`` has one more entry.
    """

    uid: str
    test_name: str
    info_dir: str
    progress: dict[str, Any]


def find(ledger: Ledger, exp_name: str, test_name: str | None, resume: str) -> Found | None:
    """The run that is to go on.

    Args:
        ledger: Where to look, besides the runs on this disk.
        exp_name: The experiment that it must be of.
        test_name: Its name, where that is given.
        resume: What names the run, as on the command line; or ``'auto'``: the run of this name or of this SLURM job,
            else the experiment's newest, if it was killed or ended by a signal.

    Returns:
        None for ``'auto'``, if there is nothing to go on with.

    Raises:
        NoSuchRun: If no run, or more than one, is meant.
        StateError: If the run is of another experiment.
    """
    view = ledger.view()
    waiting = list(pending_runs(ledger.lumo_dir, ledger.settings.snapshot_max_file, ledger.settings.hostname))
    runs = Runs(view.objects, view.tree, iter(waiting))
    if resume != AUTO:
        found = runs.resolve(resume)
        if found.exp_name != exp_name:
            raise StateError(f"resume={resume!r}: {found.label} is a run of {found.exp_name!r}, not of {exp_name!r}")
        return found
    if test_name is not None:
        with contextlib.suppress(NoSuchRun):
            found = runs.resolve(f"{exp_name}/{test_name}")
            return found if found.name == test_name else None
        return None
    living = {pending.run.uid for pending in waiting if _lives(pending)}
    return _newest(runs, exp_name, living)


def _newest(runs: Runs, exp_name: str, living: set[str]) -> Found | None:
    job = machine.job()
    newest = None
    for i, found in enumerate(runs.newest()):
        if i >= MOST_LOOKED_AT or (newest and job is None):
            break
        if found.exp_name != exp_name or found.record.uid in living:
            continue
        pinfo = found.record.info("pinfo")
        if job and isinstance(pinfo, dict) and pinfo.get("job") == job[0]:
            return found
        newest = newest or found
    return newest if newest and _was_cut_short(newest.record) else None


def _was_cut_short(record: Record) -> bool:
    code = record.progress.get("end_code")
    return record.state == "killed" or (type(code) is int and code > SIGNALLED)


def _lives(pending: Pending) -> bool:
    """Whether a run has an owner that may write again, as far as this machine may judge."""
    return not pending.final if pending.ended else not pending.dead


def take_over(ledger: Ledger, found: Found, info_root: str) -> Resumed:
    """Become the owner of a run.

    Two that want it at once wait for each other; the second finds the first alive.

    Args:
        ledger: Its ledger.
        found: The run.
        info_root: Where this repository's runs have their folders.

    Raises:
        StateError: If it has a living owner, or one of whom this machine may not judge.
        LumoError: If its folder cannot be written.
    """
    uid, label = found.record.uid, found.label
    test_name = str(found.record.info("test_name"))
    info_dir = _folder_of(info_root, found.exp_name, test_name, uid)
    try:
        with _alone(os.path.join(ledger.lumo_dir, "claim")):
            former = _former(ledger, found, info_dir)
            published = ledger.view()
            place = lookup(published.objects, published.tree, found.path) if published.tree else None
            seq = max(former.progress.get("seq", 0), found.record.progress.get("seq", 0))
            if place and place.is_tree and found.record.progress.get("seq", 0) > _seq(info_dir) + 1:
                _restore(published.objects, place.id, info_dir, ledger.lumo_dir)  # it went on elsewhere since
            return _own(ledger, Resumed(uid, test_name, info_dir, former.progress), seq)
    except OSError as error:
        raise LumoError(f"{label} cannot go on: {error.filename or info_dir}: {error.strerror}") from None


def _folder_of(info_root: str, exp_name: str, test_name: str, uid: str) -> str:
    """Where a run's folder is or is to be; another run may have its name here."""
    plain = os.path.join(info_root, exp_name, test_name)
    there = layout.read_identity(Folder(plain, 0).read)
    return plain if not os.path.lexists(plain) or (there and there.uid == uid) else f"{plain}~{uid}"


def _seq(info_dir: str) -> int:
    identity = layout.read_identity(Folder(info_dir, 0).read)
    return identity.seq if identity else -1


def _former(ledger: Ledger, found: Found, info_dir: str) -> Record:
    """The run as it is now, if nobody writes it."""
    here = machine.this_process(ledger.settings.hostname)
    registered = [run for run in journal.open_runs(ledger.lumo_dir) if run.uid == found.record.uid]
    run = registered[0] if registered else OpenRun(found.record.uid, info_dir)
    pending = open_run(run, ledger.settings.snapshot_max_file, here) if os.path.isdir(run.info_dir) else None
    if pending is None or (not registered and not pending.ended and found.record.state != "running"):
        if found.record.state == "running":
            raise StateError(_refusal(found, found.record))
        return found.record
    if _lives(pending) and (registered or not pending.ended):
        raise StateError(_refusal(found, pending.record))
    return pending.record


def _refusal(found: Found, record: Record) -> str:
    pinfo = record.info("pinfo")
    pinfo = pinfo if isinstance(pinfo, dict) else {}
    who = f"process {pinfo.get('pid')} of {pinfo.get('host') or 'an unnamed machine'}"
    return (
        f"{found.label} has an owner: {who}; a run has one at a time\n"
        f"if that is dead, type there: git lumo recover --force {found.label}"
    )


def _restore(objects: Objects, tree: str, info_dir: str, lumo_dir: str) -> None:
    """Make a run's folder as the ledger has it; what lay there, an older state of it, goes."""
    fresh = os.path.join(lumo_dir, "tmp", f"run-{os.getpid()}-{os.urandom(6).hex()}")
    try:
        for path, entry in walk(objects, tree):
            if entry.is_file and path.partition("/")[0] not in layout.RESERVED and _is_inside(path):
                journal.write_whole(os.path.join(fresh, path), read_blob(objects, entry.id))
        os.makedirs(os.path.dirname(info_dir), exist_ok=True)
        if os.path.lexists(info_dir):
            os.replace(info_dir, fresh + "-old")
        shutil.move(fresh, info_dir)
    finally:
        for left in (fresh, fresh + "-old"):
            shutil.rmtree(left, ignore_errors=True)


def _is_inside(path: str) -> bool:
    """Whether a path from a ledger stays in the folder that it is put below; git would refuse most that do not."""
    return not any(ids.is_reserved_by_git(name) for name in path.split("/"))


def _own(ledger: Ledger, run: Resumed, seq: int) -> Resumed:
    """Write that this process owns a run: from here on others find it alive."""
    settings = ledger.settings
    facts, _ = capture.process(settings.hostname, ledger.repository.location.work_tree)
    pinfo, _ = privacy.mask_value(values.encode(facts), "pinfo")
    now = values.time_text(time.time())
    before = run.progress
    entry = {"time": now, "host": pinfo.get("host"), "pid": pinfo.get("pid"), "after": state_of(before)}
    listed = before.get("resumed")
    progress = {
        **before,
        **dict.fromkeys(("end", "end_code", "killed")),
        "finished": False,
        "seq": seq,
        "last_edit_time": now,
        "resumed": [*(listed if isinstance(listed, list) else []), entry],
    }
    progress.pop("restored", None)
    journal.write_whole(os.path.join(run.info_dir, layout.info_path("pinfo")), values.to_bytes(pinfo))
    journal.write_whole(
        os.path.join(run.info_dir, layout.info_path("progress")), values.to_bytes(values.encode(progress))
    )
    journal.register(ledger.lumo_dir, run.uid, run.info_dir)
    return Resumed(run.uid, run.test_name, run.info_dir, progress)


@contextlib.contextmanager
def _alone(path: str) -> Iterator[None]:
    """Alone among the processes that want to take over a run of this repository."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        until = time.monotonic() + CLAIM_SECONDS
        while time.monotonic() < until:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.005)
            except OSError:
                break  # a file system without locks
        yield
    finally:
        os.close(fd)
