"""The register: <lumo dir>/open/<uid>.json for each run of this repository that is not wholly published.

An entry is written whole, so it is there or it is not.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field

from gitlumo import ids, machine
from gitlumo.store import journal


@dataclass(frozen=True)
class OpenRun:
    """A run in the register of ``lumo_dir``; ``image`` is that of its process (:func:`gitlumo.machine.image_of`)."""

    uid: str
    info_dir: str
    left: bool = False
    image: str | None = field(default=None, compare=False)
    lumo_dir: str = field(default="", compare=False)


def add(lumo_dir: str, uid: str, info_dir: str, *, left: bool = False, image: str | None = None) -> None:
    """Note that a run has begun; or, with ``left``, that its owner has ended it and leaves its publishing to others.

    ``image`` is that of its owner; None: of this process.

    Raises:
        OSError: If that cannot be written.
    """
    entry = {"info_dir": info_dir, "left": left, "image": image or machine.image_of(os.getpid())}
    journal.write_whole(path_of(lumo_dir, uid), json.dumps(entry).encode())


def move(lumo_dir: str, run: OpenRun, info_dir: str) -> None:
    """Move a registered run's folder, of which its owner goes on writing the open files.

    Killed anywhere here, the register names the folder where it lies.

    Args:
        lumo_dir: gitlumo's folder in the git common dir.
        run: The run.
        info_dir: Where its folder is to lie: an empty one.
    """
    entry = {"info_dir": info_dir, "former": run.info_dir, "left": run.left, "image": run.image}
    journal.write_whole(path_of(lumo_dir, run.uid), json.dumps(entry).encode())
    os.rename(run.info_dir, info_dir)


def remove(lumo_dir: str, uid: str) -> None:
    """Note that a run is wholly published."""
    for path in (metrics_path(lumo_dir, uid), path_of(lumo_dir, uid)):
        with contextlib.suppress(FileNotFoundError):  # it had none; somebody else published it
            os.unlink(path)


def find(lumo_dir: str, uid: str) -> OpenRun | None:
    """A run as the register has it now; None where it is not in there, or its entry cannot be read."""
    if not ids.is_uid(uid):
        return None
    try:
        with open(path_of(lumo_dir, uid), "rb") as source:
            entry = json.load(source)
        info_dir, former, image = entry["info_dir"], entry.get("former"), entry.get("image")
        if isinstance(former, str) and not os.path.isdir(os.path.join(info_dir, "info")):
            info_dir = former  # its mover was killed before it moved it
        if not isinstance(info_dir, str) or "\0" in info_dir:
            return None
        return OpenRun(uid, info_dir, entry.get("left") is True, image if isinstance(image, str) else None, lumo_dir)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def open_runs(lumo_dir: str) -> list[OpenRun]:
    """The runs in the register, in no order that means anything."""
    try:
        names = sorted(os.listdir(os.path.join(lumo_dir, "open")))
    except OSError:
        return []
    found = (find(lumo_dir, name.removesuffix(".json")) for name in names if name.endswith(".json"))
    return [run for run in found if run]


def metrics_path(lumo_dir: str, uid: str) -> str:
    """Where the command of a run writes metrics, for ``git lumo run`` to read."""
    return os.path.join(lumo_dir, "metrics", f"{uid}.jsonl")


def path_of(lumo_dir: str, uid: str) -> str:
    """A run's file in the register."""
    return os.path.join(lumo_dir, "open", f"{uid}.json")
