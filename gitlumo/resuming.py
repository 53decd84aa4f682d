"""How a run goes on: it is found, has no living owner, its folder is made whole, and this process becomes its owner."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from dataclasses import dataclass
from typing import Any

from gitlumo import capture, ids, machine, privacy, values
from gitlumo.beginning import AUTO
from gitlumo.errors import FormatError, LumoError, NoSuchRun, StateError
from gitlumo.git.objects import TREE_MODE, Entry, Objects, Staging, lookup, read_blob, walk
from gitlumo.store import journal, layout, register, trees
from gitlumo.store.claim import alone
from gitlumo.store.journal import Folder
from gitlumo.store.layout import Identity
from gitlumo.store.ledger import Ledger
from gitlumo.store.pending import open_run, owner_of, pending_runs
from gitlumo.store.query import Found, Runs, TreeFiles
from gitlumo.store.record import RUNNING, Record, state_of
from gitlumo.store.register import OpenRun

MOST_LOOKED_AT = 200
SIGNALLED = 128  # an end_code above says which signal ended the run, as a shell says it
UID, PROGRESS = layout.info_path("uid"), layout.info_path("progress")


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


# Which run


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
        StateError: If the run is of another experiment, or has another name than ``test_name``.
    """
    view = ledger.view()
    waiting = list(pending_runs(ledger))
    if resume != AUTO:
        found = Runs(view.objects, view.tree, iter(waiting)).resolve(resume)
        if found.exp_name != exp_name:
            raise StateError(f"resume={resume!r}: {found.label} is a run of {found.exp_name!r}, not of {exp_name!r}")
        if test_name not in (None, found.record.info("test_name")):
            raise StateError(f"resume={resume!r}: {found.label} is not called {test_name!r}; leave out one of the two")
        return found
    staging = Staging(view.objects)
    runs = Runs(staging, _only(staging, view.tree, exp_name), iter(waiting))
    if test_name is None:
        living = {pending.run.uid for pending in waiting if pending.lives}
        return _newest(runs, exp_name, living, machine.this_process(ledger.settings.hostname))
    with contextlib.suppress(NoSuchRun):
        found = runs.resolve(f"{exp_name}/{test_name}")
        return found if found.name == test_name else None
    return None


def _only(staging: Staging, tree: str | None, exp_name: str) -> str | None:
    """A ledger's tree with one experiment alone: the others' runs need not be read."""
    entry = lookup(staging, tree, exp_name) if tree else None
    return staging.add_tree([Entry(exp_name, TREE_MODE, entry.id)]) if entry and entry.is_tree else None


def _newest(runs: Runs, exp_name: str, living: set[str], here: machine.Process) -> Found | None:
    newest = None
    own = (found for found in runs.newest() if found.exp_name == exp_name)
    for found in itertools.islice(own, MOST_LOOKED_AT):
        try:
            if found.record.uid in living:
                continue
            owner = owner_of(found.record.info("pinfo"), None)
            if here.job and owner.job and owner.job[0] == here.job[0]:
                # Started again, the job goes on with what it did last; before that it may have finished several runs.
                return found if owner.job < here.job or _was_cut_short(found.record, here) else None
            newest = newest or found
        except FormatError:
            continue  # a damaged one is no reason not to train
        if here.job is None:
            break
    return newest if newest and _was_cut_short(newest.record, here) else None


def _was_cut_short(record: Record, here: machine.Process) -> bool:
    code = record.progress.get("end_code")
    if record.state == RUNNING:
        return _is_dead(record, here)
    return record.state == "killed" or (type(code) is int and SIGNALLED < code < SIGNALLED + signal.NSIG)


def _is_dead(record: Record, here: machine.Process) -> bool:
    return machine.is_dead(owner_of(record.info("pinfo"), None), here) is True


# Becoming its owner


def take_over(ledger: Ledger, found: Found, info_root: str) -> Resumed:
    """Become the owner of a run.

    Two that want it at once wait for each other; the second finds the first alive.

    Args:
        ledger: Its ledger.
        found: The run.
        info_root: Where this repository's runs have their folders.

    Raises:
        StateError: If it has a living owner, or one of whom this machine may not judge.
        LumoError: If it is damaged, or its folder cannot be written.
    """
    found.record.check()
    identity = layout.read_identity(found.record.read)
    if identity is None or identity.exp_name != found.exp_name:
        raise FormatError(f"{found.label} lies where a run of {found.exp_name!r} should, and is none")
    info_dir = _folder_of(ledger, info_root, identity)
    try:
        with alone(ledger.lumo_dir):
            registered = register.find(ledger.lumo_dir, identity.uid)
            info_dir = registered.info_dir if registered else info_dir
            return _own(ledger, identity, info_dir, _former(ledger, found, identity, info_dir, registered))
    except OSError as error:
        raise LumoError(f"{found.label} cannot go on: {error.filename or info_dir}: {error.strerror}") from None


def _folder_of(ledger: Ledger, info_root: str, identity: Identity) -> str:
    """Where a run's folder is or is to be; another run, or another repository's, may have its name here."""
    plain = os.path.join(info_root, identity.exp_name, identity.test_name)
    if not os.path.lexists(plain):
        return plain
    is_its = Folder(plain, 0).read(UID) == values.to_bytes(identity.uid)
    return plain if is_its and journal.belongs_to(plain, ledger.lumo_dir) else f"{plain}~{identity.uid}"


def _former(
    ledger: Ledger, found: Found, identity: Identity, info_dir: str, registered: OpenRun | None
) -> dict[str, Any]:
    """The ``progress`` of the run as it is now, its folder made whole; if nobody writes it.

    All is read again here, alone: another may have gone on with the run since it was found.
    """
    view, here = ledger.view(), machine.this_process(ledger.settings.hostname)
    names = [*identity.names, (found.exp_name, found.name.partition("~")[0])]
    there = trees.find(view.objects, view.tree, identity.uid, names)
    if there and there.purged:
        raise StateError(f"{found.label} was purged; start a new run")
    files = TreeFiles(view.objects, there.folder) if there else None
    published = Record(files.read, files.paths, found.label) if files else None
    run = registered or OpenRun(identity.uid, info_dir)
    local = layout.read_identity(Folder(info_dir, 0).read)
    is_here = local is not None or (registered and os.path.lexists(os.path.join(info_dir, PROGRESS)))
    pending = open_run(run, ledger.settings.snapshot_max_file, here) if is_here else None
    if registered and pending and pending.lives:
        raise StateError(_refusal(found, pending.record))
    # Whoever publishes what a dead owner left adds 1 to its seq; more than that was written elsewhere since.
    is_older = there is not None and (local is None or (not registered and there.identity.seq > local.seq + 1))
    was_recovered = published and not registered and published.state != RUNNING
    gives_way = pending is None or is_older or (was_recovered and not pending.ended)
    former = published if gives_way or pending is None else pending.record
    if former is None:
        raise StateError(f"{found.label}: its folder {info_dir} is gone, and the ledger does not have it")
    progress = former.progress
    if former.state == RUNNING:
        if not _is_dead(former, here):
            raise StateError(_refusal(found, former))
        progress["killed"] = values.time_text(time.time())
    if there and not (registered and pending):
        _restore(view.objects, there.folder, info_dir, ledger.lumo_dir, is_older)
    seqs = [progress.get("seq", 0), local.seq if local else 0, there.identity.seq if there else 0]
    return {**progress, "seq": max(seqs)}


def _refusal(found: Found, record: Record) -> str:
    pinfo = record.info("pinfo")
    pinfo = pinfo if isinstance(pinfo, dict) else {}
    who = f"process {pinfo.get('pid')} of {pinfo.get('host') or 'an unnamed machine'}"
    return (
        f"{found.label} has an owner: {who}; a run has one at a time\n"
        f"if that is dead, type there: git lumo recover --force {found.label}"
    )


def _restore(objects: Objects, tree: str, info_dir: str, lumo_dir: str, is_older: bool) -> None:
    """Make a run's folder as whole as the ledger has it; what the ledger does not take of it stays.

    Killed anywhere here, the same is done again: ``uid`` comes first, so that the folder is known to be the run's, and
    ``progress`` last, so that it is known to be older than the ledger.

    Args:
        objects: Where the run is.
        tree: Its tree.
        info_dir: Its folder.
        lumo_dir: The repository that it belongs to.
        is_older: Whether what lies in the folder gives way; else only what is missing is brought.
    """
    files = {path: entry.id for path, entry in walk(objects, tree) if entry.is_file and _is_restored(path)}
    os.makedirs(info_dir, exist_ok=True)
    if is_older:
        for path in Folder(info_dir, layout.MAX_FILE).paths():
            if layout.is_own(path) and path not in files:
                os.unlink(os.path.join(info_dir, path))
    for path in sorted(files, key=lambda path: (path == PROGRESS, path != UID, path)):
        full = os.path.join(info_dir, path)
        if is_older or not os.path.lexists(full):
            _check_parents(info_dir, path)
            journal.write_whole(full, read_blob(objects, files[path]))
        if path == UID and not info_dir.startswith(lumo_dir + os.sep):
            journal.claim(info_dir, lumo_dir)


def _is_restored(path: str) -> bool:
    """Whether a path from a ledger is a run's, and stays below its folder; git would refuse most that do not."""
    names = path.split("/")
    return names[0] not in layout.RESERVED and not any(
        ids.is_reserved_by_git(name) or name.startswith(journal.TEMPORARY) for name in names
    )


def _check_parents(info_dir: str, path: str) -> None:
    """See that no link leads out of the folder."""
    names = path.split("/")[:-1]
    for i in range(1, len(names) + 1):
        parent = os.path.join(info_dir, *names[:i])
        if os.path.islink(parent):
            raise NotADirectoryError(20, "it is a link, and the ledger has a folder there", parent)


def _own(ledger: Ledger, identity: Identity, info_dir: str, former: dict[str, Any]) -> Resumed:
    """Write that this process owns a run: from here on others find it alive."""
    settings = ledger.settings
    facts, _ = capture.process(settings.hostname, ledger.repository.location.work_tree)
    pinfo, _ = privacy.mask_value(values.encode(facts), "pinfo")
    now = values.time_text(time.time())
    entry = {"time": now, "host": pinfo.get("host"), "pid": pinfo.get("pid"), "after": state_of(former)}
    listed = former.get("resumed")
    progress = {
        **former,
        **dict.fromkeys(("end", "end_code", "killed")),
        "finished": False,
        "last_edit_time": now,
        "resumed": [*(listed if isinstance(listed, list) else []), entry],
    }
    progress.pop("restored", None)
    _end_line(os.path.join(info_dir, layout.chunk_path(journal.last_chunk(info_dir))))
    journal.write_whole(os.path.join(info_dir, layout.info_path("pinfo")), values.to_bytes(pinfo))
    journal.write_whole(os.path.join(info_dir, PROGRESS), values.to_bytes(values.encode(progress)))
    register.add(ledger.lumo_dir, identity.uid, info_dir)
    return Resumed(identity.uid, identity.test_name, info_dir, progress)


def _end_line(chunk: str) -> None:
    """End a line that a crash has torn: if it lacks nothing else, it counts, now and whenever the history is read."""
    with contextlib.suppress(FileNotFoundError), open(chunk, "r+b") as history:
        if history.seek(0, os.SEEK_END):
            history.seek(-1, os.SEEK_END)
            if history.read() != b"\n":
                history.write(b"\n")
