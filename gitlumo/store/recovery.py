"""Publishing what runs have left that their owners did not publish."""

from __future__ import annotations

import os

from gitlumo import machine
from gitlumo.errors import FormatError
from gitlumo.store import journal, layout, record, trees
from gitlumo.store.journal import Folder, OpenRun
from gitlumo.store.ledger import Event, Ledger
from gitlumo.store.pending import Pending, mark_killed, open_run


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
        try:
            pending = open_run(run, ledger.settings.snapshot_max_file, here)
        except FormatError:
            continue  # a damaged one does not keep the others
        if pending is None:
            journal.unregister(ledger.lumo_dir, run.uid)
            continue
        if pending.dead or run.uid == force:
            identity = layout.read_identity(pending.folder.read)
            published = _published_seq(ledger, identity) if identity else 0
            mark_killed(pending, published + 1)
        elif not pending.final:
            continue  # it runs, or its owner is publishing its end just now
        publish(ledger, pending)
        done.append(f"{pending.record.name} {pending.record.state}")
    return done


def publish(ledger: Ledger, pending: Pending) -> None:
    """Publish a run that has ended or died, and strike it from the register."""
    properties = pending.record
    git = properties.info("git")
    snapshot = git.get("commit") if isinstance(git, dict) else None
    subject = layout.event_subject(properties.name, properties.state, record.best_facts(properties.metrics))
    ledger.publish(Event("end", pending.folder, subject, snapshot=snapshot, extra=pending.extra))
    journal.unregister(ledger.lumo_dir, pending.run.uid)


def _published_seq(ledger: Ledger, identity: layout.Identity) -> int:
    view = ledger.view()
    found = trees.find(view.objects, view.tree, identity.uid, [(identity.exp_name, identity.test_name)])
    return found.identity.seq if found else 0


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
