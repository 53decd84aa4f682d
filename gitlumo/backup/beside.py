"""What runs keep beside the ledger, checkpoints above all: taken from their folders, and put back there."""

from __future__ import annotations

import contextlib
import fcntl
import filecmp
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from gitlumo import values
from gitlumo.backup.contents import BLOB, CACHE, LeftOut, is_sound
from gitlumo.beginning import folder_name, roots
from gitlumo.errors import LumoError
from gitlumo.home import Home
from gitlumo.store import journal, layout
from gitlumo.store.layout import Identity

_WAITING = re.compile(rf"{re.escape(journal.TEMPORARY)}\d+-[0-9a-f]{{8}}")
_FRESH = 2.0  # seconds in which a folder may not be locked yet
ROOTS = {BLOB: "blob_root", CACHE: "cache_root"}


@dataclass(frozen=True)
class Listed:
    """A file of a folder.

    Attributes:
        path: Below the folder.
        size: Its bytes.
        mtime: When it was last written, in nanoseconds.
        executable: Whether its owner may run it.
    """

    path: str
    size: int
    mtime: int
    executable: bool


def folder_of(home: Home, identity: Identity, part: str) -> str:
    """Where a run's files of a kind (see :data:`ROOTS`) are or are to be on this disk."""
    places = roots(home.settings, home.lumo_dir)
    return os.path.join(places[ROOTS[part]], identity.exp_name, _name_here(home, identity, places["info_root"]))


def _name_here(home: Home, identity: Identity, info_root: str) -> str:
    """The name of a run's folders; another run, or another repository's, may have its test_name there."""
    name = folder_name(identity.exp_name, identity.test_name, identity.uid, info_root, home.lumo_dir)
    taken = os.path.lexists(os.path.join(info_root, identity.exp_name, identity.test_name))
    return name or (f"{identity.test_name}~{identity.uid}" if taken else identity.test_name)


def listed(folder: str, prefix: str) -> tuple[list[Listed], list[LeftOut]]:
    """The regular files below a folder, in the order of their names' bytes; links are not followed.

    Args:
        folder: The folder; nothing where there is none.
        prefix: What stands before the paths of what is left out.

    Returns:
        The files, and what else is there.
    """
    files, left_out = [], []

    def leave(path: str, reason: str | None) -> None:
        left_out.append(LeftOut(f"{prefix}/{path}".rstrip("/"), reason or "it cannot be read"))

    def walk(below: str) -> None:
        try:
            entries = sorted(os.scandir(os.path.join(folder, below)), key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            return leave(below, error.strerror)
        for entry in entries:
            path = f"{below}{entry.name}"
            if not is_sound(path):
                leave(path, "git, or another system, would take its name for something else")
            elif entry.is_symlink():
                leave(path, "a link")
            elif entry.is_dir():
                walk(f"{path}/")
            else:
                look(path)

    def look(path: str) -> None:
        try:
            with opened(folder, path) as source:
                found = os.fstat(source.fileno())
        except OSError as error:
            return leave(path, error.strerror)
        if stat.S_ISREG(found.st_mode):
            files.append(Listed(path, found.st_size, found.st_mtime_ns, bool(found.st_mode & stat.S_IXUSR)))
        else:
            leave(path, "no regular file")

    if os.path.islink(folder):
        leave("", "a link")
    elif os.path.lexists(folder):
        walk("")
    return sorted(files, key=lambda file: os.fsencode(file.path)), left_out


def opened(folder: str, path: str) -> BinaryIO:
    """A file below a folder, to read; never what a link leads to, and never waiting for the other end of a pipe."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return os.fdopen(os.open(os.path.join(folder, path), flags), "rb", buffering=0)


class Arriving:
    """Files that come back: they wait near their places, where nobody looks, until all are known to be whole."""

    def __init__(self, home: Home):
        self._home = home
        self._waiting: dict[tuple[str, str], str] = {}
        self._locks = contextlib.ExitStack()  # of the folders in which they wait: as long as this process lives
        self._swept = set[str]()

    @contextlib.contextmanager
    def file(self, identity: Identity, part: str, path: str, *, executable: bool) -> Iterator[BinaryIO]:
        """A new file, to write.

        Args:
            identity: The run.
            part: Of which kind, see :data:`ROOTS`.
            path: Below its folder.
            executable: Whether its owner may run it.
        """
        full = os.path.join(self._folder(identity, part), path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(full, flags, 0o777 if executable else 0o666), "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())

    def _folder(self, identity: Identity, part: str) -> str:
        waiting = self._waiting.get((identity.uid, part))
        if waiting is None:
            above = os.path.dirname(folder_of(self._home, identity, part))
            os.makedirs(above, exist_ok=True)
            self._sweep(os.path.dirname(above))
            waiting = os.path.join(above, f"{journal.TEMPORARY}{os.getpid()}-{os.urandom(4).hex()}")
            os.mkdir(waiting)
            with contextlib.suppress(OSError):
                self._locks.enter_context(_locked(waiting))
            self._waiting[identity.uid, part] = waiting
        return waiting

    def _sweep(self, root: str) -> None:
        """Delete folders in which the files of a restore wait that was killed; once."""
        if root in self._swept:
            return
        self._swept.add(root)
        with contextlib.suppress(OSError):
            for folder in os.scandir(root):
                for entry in os.scandir(folder.path) if folder.is_dir(follow_symlinks=False) else ():
                    _clear_if_left(entry)

    def settle(self, identity: Identity) -> list[str]:
        """Move a run's files to their places, and mark these as the run's; what is there stays.

        Returns:
            Files that are there already, and are others.

        Raises:
            LumoError: If a link lies in the way.
            OSError: If they cannot be moved.
        """
        kept = list[str]()
        for part in ROOTS:
            waiting = self._waiting.pop((identity.uid, part), None)
            if waiting:
                folder = folder_of(self._home, identity, part)
                try:
                    os.mkdir(folder)
                    os.replace(waiting, folder)
                except FileExistsError:
                    kept += _merge(waiting, folder)
                    shutil.rmtree(waiting, ignore_errors=True)
                self._mark(identity)
        return kept

    def _mark(self, identity: Identity) -> None:
        """Say whose the folders are, as a run does that is gone on with here (gitlumo.resuming)."""
        info_root = roots(self._home.settings, self._home.lumo_dir)["info_root"]
        info_dir = os.path.join(info_root, identity.exp_name, _name_here(self._home, identity, info_root))
        uid = os.path.join(info_dir, layout.info_path("uid"))
        if not os.path.lexists(uid):
            journal.write_whole(uid, values.to_bytes(identity.uid))
            if not info_dir.startswith(self._home.lumo_dir + os.sep):
                journal.claim(info_dir, self._home.lumo_dir)

    def clear(self) -> None:
        """Delete what still waits."""
        for folder in self._waiting.values():
            shutil.rmtree(folder, ignore_errors=True)
        self._locks.close()


@contextlib.contextmanager
def _locked(folder: str) -> Iterator[None]:
    """Hold a folder's lock, which ends with the process; raises OSError if another one has it, or there are none."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _clear_if_left(entry: os.DirEntry[str]) -> None:
    with contextlib.suppress(OSError):
        if _WAITING.fullmatch(entry.name) and time.time() - entry.stat(follow_symlinks=False).st_mtime > _FRESH:
            with _locked(entry.path):
                shutil.rmtree(entry.path)


def _merge(source: str, target: str) -> Iterator[str]:
    for parent, folders, names in os.walk(source):
        below = os.path.relpath(parent, source)
        into = os.path.normpath(os.path.join(target, below))
        if os.path.islink(into) or not os.path.isdir(into):
            raise LumoError(f"{into} is no folder, and the backup has one there; nothing was moved into it")
        for name in folders:
            if not os.path.lexists(os.path.join(into, name)):
                os.mkdir(os.path.join(into, name))
        for name in names:
            new, there = os.path.join(parent, name), os.path.join(into, name)
            if not os.path.lexists(there):
                os.replace(new, there)
            elif os.path.islink(there) or not os.path.isfile(there) or not filecmp.cmp(new, there, shallow=False):
                yield there
