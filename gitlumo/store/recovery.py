"""Publishing what runs have left that their owners did not publish."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from gitlumo import machine
from gitlumo.errors import FormatError, LumoError
from gitlumo.store import journal, layout, record, register, trees
from gitlumo.store.claim import alone
from gitlumo.store.join import Run
from gitlumo.store.journal import Folder
from gitlumo.store.ledger import Ledger
from gitlumo.store.pending import Pending, mark_killed, open_run
from gitlumo.store.queue import Event
from gitlumo.store.register import OpenRun


@dataclass
class Recovered:
    """What a recovery did.

    Attributes:
        published: ``<exp_name>/<test_name> <state>`` of each run published.
        troubles: What is damaged or cannot be read now; it stays in the register.
    """

    published: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


def recover(ledger: Ledger, *, force: str | None = None) -> Recovered:
    """Publish what dead runs, and ended ones that could not be published, have left.

    Args:
        ledger: Where to.
        force: The uid of a run that is to be taken for dead although this machine cannot judge.

    Raises:
        LumoError: If the ledger cannot be written, or the forced run is alive, or not on this disk.
    """
    here = machine.this_process(ledger.settings.hostname)
    runs = register.open_runs(ledger.lumo_dir)
    if force is not None and force not in {run.uid for run in runs}:
        raise LumoError("the folder of this run is not on this disk; type the same where it ran")
    result = Recovered()
    for run in runs:
        try:
            pending = open_run(run, ledger.settings.snapshot_max_file, here)
            if pending is None or not pending.lives or run.uid == force:
                with alone(ledger.lumo_dir):
                    _recover(ledger, run, here, run.uid == force, result)
        except (OSError, FormatError) as error:  # a damaged one does not keep the others
            result.troubles.append(f"{run.info_dir}: {error}")
    return result


def _recover(ledger: Ledger, run: OpenRun, here: machine.Process, forced: bool, result: Recovered) -> None:
    """Publish a run that is ours to publish, unless somebody has done so, or has gone on with it, since it was seen."""
    now = register.find(ledger.lumo_dir, run.uid)
    if now is None:
        return
    pending = open_run(now, ledger.settings.snapshot_max_file, here)
    if pending is None:
        register.remove(ledger.lumo_dir, run.uid)
    elif forced and pending.dead is False and not pending.final:
        pid = (pending.record.info("pinfo") or {}).get("pid")
        raise LumoError(f"{pending.record.name} is alive: it is process {pid} of this machine")
    elif _is_left(ledger, pending, forced):
        publish(ledger, pending)
        result.published.append(f"{pending.record.name} {pending.record.state}")


def _is_left(ledger: Ledger, pending: Pending, forced: bool) -> bool:
    """Whether a run is ours to publish; one whose owner is dead is marked as killed."""
    if pending.ended:
        return pending.final or forced  # else its owner is publishing its end just now
    if not (pending.dead or forced):
        return False
    identity = layout.read_identity(pending.folder.read)
    mark_killed(pending, (_published_seq(ledger, identity) if identity else 0) + 1)
    return True


def recover_all(ledger: Ledger, info_root: str, force: str | None = None) -> Recovered:
    """Do all that there is to do: take in remotes' ledgers and a deleted branch's last tip, publish what is left.

    Args:
        ledger: The ledger.
        info_root: Where this repository's runs have their folders.
        force: See :func:`recover`.

    Raises:
        LumoError: See :func:`recover`.
    """
    lost, before = ledger.lost_tip(), ledger.repository.refs.read(ledger.settings.ref)
    after = ledger.take_in()
    result = recover(ledger, force=force)
    for pending in unpublished(ledger, info_root, result):
        with alone(ledger.lumo_dir):
            if register.find(ledger.lumo_dir, pending.run.uid):
                continue  # somebody has just gone on with it
            publish(ledger, pending)
        result.published.append(f"{pending.record.name} {pending.record.state}, which was only on this disk")
    ledger.look_after()
    if lost:
        result.published.insert(0, f"{ledger.settings.branch} again, at {lost[:12]}")
    elif before != after:
        result.published.insert(0, "what remotes have of the ledger, together with what is here")
    return result


def publish(ledger: Ledger, pending: Pending) -> None:
    """Publish a run that has ended or died, and strike it from the register."""
    properties = pending.record
    git = properties.info("git")
    snapshot = git.get("commit") if isinstance(git, dict) else None
    subject = layout.event_subject(properties.name, properties.state, record.best_facts(properties.metrics))
    ledger.publish(Event("end", pending.folder, subject, snapshot=snapshot, extra=pending.complete()))
    register.remove(ledger.lumo_dir, pending.run.uid)


def _published_seq(ledger: Ledger, identity: layout.Identity) -> int:
    found = find_published(ledger, identity.uid, identity.names)
    return found.identity.seq if found else 0


def find_published(ledger: Ledger, uid: str, names: Iterable[tuple[str, str]]) -> Run | None:
    """A run in the ledgers here; None if they do not have it under one of the names (exp_name, test_name)."""
    view = ledger.view()
    return trees.find(view.objects, view.tree, uid, names)


def unpublished(ledger: Ledger, info_root: str, result: Recovered) -> list[Pending]:
    """Runs whose folders here hold more than the ledgers do: after a branch was deleted and pruned, or set back.

    Args:
        ledger: The ledger.
        info_root: Where this repository's runs have their folders.
        result: Where to note folders that are damaged.
    """
    view = ledger.view()
    here = machine.this_process(ledger.settings.hostname)
    registered = {run.uid for run in register.open_runs(ledger.lumo_dir)}
    found = []
    for info_dir in _info_dirs(info_root):
        try:
            identity = layout.read_identity(Folder(info_dir, ledger.settings.snapshot_max_file).read)
            if identity is None or identity.uid in registered or not journal.belongs_to(info_dir, ledger.lumo_dir):
                continue
            there = trees.find(view.objects, view.tree, identity.uid, identity.names)
            if there is None or (not there.purged and there.identity.seq < identity.seq):
                pending = open_run(OpenRun(identity.uid, info_dir), ledger.settings.snapshot_max_file, here)
                if pending and (pending.ended or pending.dead):
                    found.append(pending)
        except (OSError, FormatError) as error:
            result.troubles.append(f"{info_dir}: {error}")
    return found


def _info_dirs(info_root: str) -> list[str]:
    experiments = [os.path.join(info_root, name) for name in _folders(info_root)]
    return [os.path.join(experiment, name) for experiment in experiments for name in _folders(experiment)]


def _folders(path: str) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []
