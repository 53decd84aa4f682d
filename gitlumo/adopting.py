"""How a script goes on with the run of who runs its command: ``git lumo run`` has begun it, and will end it.

The runner stays the run's owner. The script writes into the same folder, and may give the run its own name; the folder
then moves. The first script that asks has the run; a later one, or one whose runner is gone, has a run of its own.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gitlumo import capture, machine, values
from gitlumo.errors import FormatError, LumoError, StateError
from gitlumo.store import journal, layout, register, shared
from gitlumo.store.claim import alone
from gitlumo.store.journal import Folder
from gitlumo.store.ledger import Ledger
from gitlumo.store.pending import is_recorded_by, owner_of
from gitlumo.store.register import OpenRun
from gitlumo.store.shared import SharedJournal

SCAN = "scan"  # the parameter that names the sweep


@dataclass(frozen=True)
class Adopted:
    """A run that another process owns, and this one records.

    Attributes:
        ledger: Where it is recorded.
        uid: Its uid.
        test_name: Its name now.
        info_dir: Its folder now.
        progress: What ``info/progress.json`` says.
    """

    ledger: Ledger
    uid: str
    test_name: str
    info_dir: str
    progress: dict[str, Any]

    def journal(self, trouble: Callable[[OSError], None]) -> SharedJournal:
        """The run's writer in this process."""
        return SharedJournal(lambda: self.info_dir, trouble)

    def let_go(self) -> bool:
        """Leave the run to the runner: this process has recorded all that it will.

        Returns:
            False where the runner has gone, or has handed the run over: then this process owns it, and is to end it.

        Raises:
            LumoError: If others hold the lock too long.
            OSError: If that cannot be written.
        """
        with alone(self.ledger.lumo_dir):
            run, note = register.find(self.ledger.lumo_dir, self.uid), shared.read_note(self.info_dir)
            has_runner = run is not None and _has_runner(self.ledger, run)
            if note and has_runner:
                shared.write_note(self.info_dir, note["pinfo"], note["image"], ended=True)
            elif note and run:
                _own(self.ledger, run, note)
        return has_runner


def adopt(ledger: Ledger, uid: str, exp_name: str, test_name: str | None, info_root: str) -> Adopted | None:
    """Become the process that records a run, and give it the script's name.

    Args:
        ledger: Its ledger.
        uid: The run.
        exp_name: How the script calls the experiment.
        test_name: How it calls the run; None: as it is called.
        info_root: Where this repository's runs have their folders.

    Returns:
        None where another process has adopted it before, or its owner is gone.

    Raises:
        StateError: If the script's name for it is taken.
        LumoError: If its folder cannot be moved.
    """
    try:
        with alone(ledger.lumo_dir):
            run = register.find(ledger.lumo_dir, uid)
            if run is None or not _has_runner(ledger, run) or shared.read_note(run.info_dir) is not None:
                return None
            identity = layout.read_identity(Folder(run.info_dir, 0).read)
            if identity is None:
                return None
            name = test_name or identity.test_name
            pinfo, _ = capture.process(ledger.settings.hostname, ledger.repository.location.work_tree)
            shared.write_note(run.info_dir, values.encode(pinfo), machine.image_of(os.getpid()), ended=False)
            info_dir = run.info_dir
            if (exp_name, name) != (identity.exp_name, identity.test_name):
                info_dir = _rename(ledger, run, identity, (exp_name, name), info_root, given=test_name is not None)
    except OSError as error:
        raise LumoError(f"{exp_name} cannot go on in {error.filename or 'its folder'}: {error.strerror}") from None
    return Adopted(ledger, uid, name, info_dir, _info(info_dir, "progress"))


def is_being_recorded(ledger: Ledger, uid: str, exp_name: str) -> bool:
    """Whether a living process has adopted a run, under this name for the experiment."""
    run = register.find(ledger.lumo_dir, uid)
    note = shared.read_note(run.info_dir) if run else None
    identity = layout.read_identity(Folder(run.info_dir, 0).read) if run else None
    if note is None or identity is None or identity.exp_name != exp_name:
        return False
    return _is_alive(ledger, note)


def close(ledger: Ledger, uid: str) -> None:
    """The command of a run that this process owns has ended: no other process adopts the run any more.

    Raises:
        LumoError: If others hold the lock too long.
        OSError: If that cannot be written.
    """
    with alone(ledger.lumo_dir):
        run = register.find(ledger.lumo_dir, uid)
        if run and shared.read_note(run.info_dir) is None:
            shared.write_note(run.info_dir, _info(run.info_dir, "pinfo"), run.image, ended=True)


def hand_over(ledger: Ledger, uid: str) -> int | None:
    """Let the living process that has adopted a run own it, too: this one, which owned it, ends.

    Returns:
        Its pid; None where there is none.

    Raises:
        LumoError: If others hold the lock too long.
        OSError: If that cannot be written.
    """
    with alone(ledger.lumo_dir):
        run = register.find(ledger.lumo_dir, uid)
        note = shared.read_note(run.info_dir) if run else None
        if run is None or note is None or not _is_alive(ledger, note):
            return None
        _own(ledger, run, note)
    return int(note["pinfo"]["pid"])


def _own(ledger: Ledger, run: OpenRun, note: dict[str, Any]) -> None:
    """Let the process that has adopted a run be its owner; the runner's command stays the run's."""
    command = (_info(run.info_dir, "pinfo").get("obj") or {}).get("argv")
    pinfo = note["pinfo"]
    _write_info(run.info_dir, "pinfo", {**pinfo, "obj": {**pinfo["obj"], "argv": command}})
    register.add(ledger.lumo_dir, run.uid, run.info_dir, image=note["image"])


def united(given: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a run, of which its command line gave some and its script has said some.

    What the script says it has used counts, unless it says nothing (null); but not of the sweep that it belongs to,
    which only the command line knows.
    """
    return {**given, **{key: value for key, value in said.items() if key not in given or _is_said(key, value)}}


def _is_said(key: str, value: Any) -> bool:
    return value is not None and key != SCAN


def _has_runner(ledger: Ledger, run: OpenRun) -> bool:
    """Whether another process lives that owns a run, and so will end it."""
    with contextlib.suppress(FormatError):
        owner = owner_of(_info(run.info_dir, "pinfo"), run.image)
        here = machine.this_process(ledger.settings.hostname)
        ended = _info(run.info_dir, "progress").get("end") is not None
        return owner.pid != here.pid and not ended and machine.is_dead(owner, here) is not True
    return False


def _rename(
    ledger: Ledger, run: OpenRun, identity: layout.Identity, name: tuple[str, str], info_root: str, *, given: bool
) -> str:
    """Give a run another name, and its folder the place of that name; returns the folder.

    Killed anywhere here, the run has its former name or its new one, or that of the new experiment alone.
    """
    exp_name, test_name = name
    os.makedirs(os.path.join(info_root, exp_name), exist_ok=True)
    info_dir = os.path.join(info_root, exp_name, test_name)
    try:
        os.mkdir(info_dir)
    except FileExistsError:
        if given:
            raise StateError(
                f"{exp_name}/{test_name} exists already; choose another test_name, or leave it out"
            ) from None
        info_dir = f"{info_dir}~{run.uid}"
        os.mkdir(info_dir)
    register.move(ledger.lumo_dir, run, info_dir)
    progress = _info(info_dir, "progress")
    renamed = [*progress.get("renamed", ()), f"{identity.exp_name}/{identity.test_name}"]
    _write_info(info_dir, "progress", {**progress, "renamed": renamed})
    _write_info(info_dir, "exp_name", exp_name)
    _write_info(info_dir, "test_name", test_name)
    with contextlib.suppress(OSError):  # the former experiment has no other run here
        os.rmdir(os.path.dirname(run.info_dir))
    return info_dir


def _info(info_dir: str, key: str) -> dict[str, Any]:
    found = values.from_bytes(Folder(info_dir, 0).read(layout.info_path(key)) or b"{}")
    return found if isinstance(found, dict) else {}


def _write_info(info_dir: str, key: str, value: values.Json) -> None:
    journal.write_whole(os.path.join(info_dir, layout.info_path(key)), values.to_bytes(value))


def _is_alive(ledger: Ledger, note: dict[str, Any]) -> bool:
    return is_recorded_by(note, machine.this_process(ledger.settings.hostname)) is not False
