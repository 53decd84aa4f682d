"""``git lumo rm``: mark runs as deprecated, or free the disk of what they keep beside the ledger."""

from __future__ import annotations

import argparse
import os
import shutil

from gitlumo import wording
from gitlumo.cli.edits import Target, find, say
from gitlumo.cli.opening import open_here
from gitlumo.errors import LumoError


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("exps", metavar="EXP", nargs="+", help="the runs")
    parser.add_argument(
        "--local-blobs",
        action="store_true",
        help="delete their checkpoints and other large files (blob_dir) on this disk, nothing else; for good",
    )


def run(args: argparse.Namespace) -> int:
    """Do it, and say how it is undone."""
    from gitlumo.beginning import roots
    from gitlumo.editing import DEPRECATED, edit_run

    opened = open_here()
    targets = {target.run.uid: target for target in (find(name, opened) for name in args.exps)}
    for target in targets.values():
        if args.local_blobs:
            info_root, blob_root = (
                roots(opened.settings, target.ledger.lumo_dir)[f"{key}_root"] for key in ("info", "blob")
            )
            free_blobs(target, info_root, blob_root)
        elif target.run.deprecated:
            say(f"{target.label}: is marked as deprecated already")
        else:
            edit_run(target.ledger, target.run, DEPRECATED, True)
            say(f"{target.label}: marked as deprecated; 'git lumo log --all' lists it", undo=target.label)
    return 0


def free_blobs(target: Target, info_root: str, blob_root: str) -> None:
    """Delete a run's blob_dir on this disk.

    Raises:
        LumoError: If the run goes on, or the folder is a link, or lies behind one that leads out of ``blob_root``.
        OSError: If it cannot be deleted.
    """
    from gitlumo.beginning import folder_name
    from gitlumo.store.record import RUNNING

    if target.run.state == RUNNING:
        raise LumoError(f"{target.label} is running, and may need what is in its blob_dir")
    exp_name, test_name = (str(target.run.info(key)) for key in ("exp_name", "test_name"))
    name = folder_name(exp_name, test_name, target.run.uid, info_root, target.ledger.lumo_dir)
    folder = os.path.join(blob_root, exp_name, name) if name else None
    if folder is None or not os.path.lexists(folder):
        say(f"{target.label}: keeps nothing on this disk")
        return
    size = delete(folder, blob_root)
    say(f"{target.label}: freed {wording.size(size)} ({folder}); this cannot be undone")


def delete(folder: str, root: str) -> int:
    """Delete a run's folder.

    Returns:
        How many bytes that frees.

    Raises:
        LumoError: If it is a link, or lies behind one that leads out of ``root``.
        OSError: If it cannot be deleted.
    """
    real = os.path.realpath(folder)
    inside = os.path.join(os.path.realpath(root), "")
    if os.path.islink(folder) or not real.startswith(inside) or not os.path.isdir(folder):
        raise LumoError(f"{folder} is no folder below {root} but leads to {real}; nothing was deleted")
    size = freed_by(folder)
    shutil.rmtree(folder)
    return size


def freed_by(folder: str) -> int:
    """How many bytes of the disk a folder's deletion frees: links are not followed, a file with other names stays."""
    size, names = 0, dict[tuple[int, int], int]()
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            found = os.lstat(os.path.join(parent, name))
            key = found.st_dev, found.st_ino
            names[key] = names.get(key, 0) + 1
            if os.path.isdir(os.path.join(parent, name)) or names[key] == found.st_nlink:
                size += found.st_blocks * 512
    return size
