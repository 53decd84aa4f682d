"""The dulwich engine: pure Python, for object formats that libgit2 does not read, and where pygit2 is not installed."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable
from functools import cached_property

from dulwich.errors import ChecksumMismatch, ObjectFormatException, RefFormatError
from dulwich.file import FileLocked
from dulwich.object_format import SHA1, SHA256, ObjectFormat
from dulwich.object_store import BaseObjectStore, DiskObjectStore
from dulwich.objects import ObjectID
from dulwich.pack import PackFileDisappeared
from dulwich.reflog import format_reflog_line
from dulwich.refs import SYMREF, DiskRefsContainer, Ref, SymrefLoop, check_ref_format

from gitlumo.errors import GitError, RefMoved
from gitlumo.git.history import is_ancestor
from gitlumo.git.objects import BLOB, COMMIT, TREE, Objects, missing
from gitlumo.git.recent import RecentTrees

_FORMATS = {"sha1": SHA1, "sha256": SHA256}
_KINDS = {1: COMMIT, 2: TREE, 3: BLOB, 4: "tag"}
_UNREADABLE = (
    KeyError, ValueError, AssertionError, OSError, zlib.error, PackFileDisappeared, ChecksumMismatch,
    ObjectFormatException,
)  # fmt: skip


class _Store(DiskObjectStore):
    """A database whose alternates are read in its own object format; dulwich takes them all for SHA-1."""

    def __init__(self, path: str, form: ObjectFormat, quarantine: str | None = None):
        super().__init__(path, object_format=form)
        self._form = form
        self._more = [quarantine] if quarantine else []

    @property
    def alternates(self) -> list[BaseObjectStore]:
        return self._borrowed

    @cached_property
    def _borrowed(self) -> list[BaseObjectStore]:
        paths = (os.path.realpath(path) for path in (*self._read_alternate_paths(), *self._more))
        return [_Store(path, self._form) for path in paths if os.path.isdir(path)]

    def close(self) -> None:
        super().close()
        for store in self.__dict__.pop("_borrowed", ()):
            store.close()


class DulwichObjects:
    """An :class:`gitlumo.git.objects.Objects` over ``<git common dir>/objects``, alternates included."""

    def __init__(self, objects_dir: str, hash_name: str = "sha1", quarantine: str | None = None):
        self.hash_name = hash_name
        self._digits = 2 * _FORMATS[hash_name].oid_length
        self._recent = RecentTrees()
        self._store = _Store(objects_dir, _FORMATS[hash_name], quarantine)

    def refresh(self) -> None:
        """See :meth:`gitlumo.git.objects.Objects.refresh`."""
        for store in (self._store, *self._store.alternates):
            _ = store.packs  # looks which are there now

    def read(self, id: str) -> tuple[str, bytes]:
        """See :meth:`gitlumo.git.objects.Objects.read`."""
        found = self._recent.get(id)
        if found:
            return found
        if len(id) != self._digits:
            raise missing(id)
        try:
            kind, data = self._store.get_raw(_id(id))
        except _UNREADABLE:
            raise missing(id) from None
        return self._recent.keep(id, _KINDS[kind], data)

    def has(self, id: str) -> bool:
        """See :meth:`gitlumo.git.objects.Objects.has`."""
        try:
            return len(id) == self._digits and _id(id) in self._store
        except _UNREADABLE:
            return False

    def is_ancestor(self, ancestor: str, commit: str) -> bool:
        """See :meth:`gitlumo.git.objects.Objects.is_ancestor`."""
        return is_ancestor(self, ancestor, commit)

    def close(self) -> None:
        """See :meth:`gitlumo.git.objects.Objects.close`."""
        self._store.close()


class DulwichRefs:
    """A :class:`gitlumo.git.refs.Refs` over refs that are plain files."""

    def __init__(self, git_dir: str, objects: Objects, committer: Callable[[], str | None]):
        """Open them.

        Args:
            git_dir: The work tree's git folder.
            objects: What refs may name.
            committer: ``Name <email>`` for the reflog; None: only where a ref has one already.
        """
        self._common = _common_dir(git_dir)
        self._objects = objects
        self._committer = committer
        self._refs = DiskRefsContainer(self._common, worktree_path=git_dir, logger=self._log)

    def read(self, name: str) -> str | None:
        """See :meth:`gitlumo.git.refs.Refs.read`."""
        try:
            id = self._refs[_ref(name)] if _is_full(name) else None
        except (KeyError, ValueError, SymrefLoop, OSError):
            return None
        return id.decode("ascii") if id else None

    def symbolic(self, name: str) -> str | None:
        """See :meth:`gitlumo.git.refs.Refs.symbolic`."""
        found = self._refs.read_loose_ref(_ref(name)) if _is_full(name) else None
        return os.fsdecode(found[len(SYMREF) :]) if found and found.startswith(SYMREF) else None

    def list(self, prefix: str) -> dict[str, str]:
        """See :meth:`gitlumo.git.refs.Refs.list`."""
        names = sorted(os.fsdecode(name) for name in self._refs.allkeys())
        found = {name: self.read(name) for name in names if name.startswith(prefix)}
        return {name: id for name, id in found.items() if id}

    def move(self, name: str, old: str | None, new: str, message: str) -> None:
        """See :meth:`gitlumo.git.refs.Refs.move`."""
        if not _is_full(name):
            raise GitError(f"{name}: not a name for a ref")
        if not self._objects.has(new):
            raise GitError(f"{name}: object {new} is not in this repository")
        ref, text = _ref(name), message.encode("utf-8", "surrogateescape")
        try:
            if old is None:
                done = self._refs.add_if_new(ref, _id(new), message=text)
            else:
                done = self._refs.set_if_equals(ref, _id(old), _id(new), message=text)
        except FileLocked:
            raise RefMoved(f"{name}: somebody else is moving it") from None
        except (ValueError, OSError, RefFormatError, SymrefLoop) as error:
            raise GitError(f"{name}: {error}") from None
        if not done:
            raise RefMoved(f"{name} is at {self.read(name)}, not at {old}")

    def _log(
        self,
        ref: bytes,
        old: bytes | None,
        new: bytes | None,
        committer: bytes | None,
        timestamp: int | None,
        timezone: int | None,
        message: bytes | None,
    ) -> None:
        path = os.path.join(os.fsencode(self._common), b"logs", ref)
        who = self._committer()
        if who is None and not os.path.exists(path):
            return
        new = new or b""
        now = time.time()
        zone = time.localtime(now).tm_gmtoff
        by = (who or "gitlumo <gitlumo@localhost>").encode("utf-8", "surrogateescape")
        was = old if old and len(old) == len(new) else b"0" * len(new)  # dulwich's own "none" is SHA-1's
        line = format_reflog_line(was, new, by, int(now), zone, message or b"")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "ab") as log:
            log.write(line + b"\n")


def _id(id: str) -> ObjectID:
    return ObjectID(id.encode("ascii"))


def _ref(name: str) -> Ref:
    return Ref(os.fsencode(name))


def _is_full(name: str) -> bool:
    """Whether it is a ref's full name; dulwich would look for others at several places."""
    return name == "HEAD" or (name.startswith("refs/") and check_ref_format(_ref(name)))


def _common_dir(git_dir: str) -> str:
    """The folder that all worktrees share (gitrepository-layout(5), ``commondir``)."""
    try:
        with open(os.path.join(git_dir, "commondir"), encoding="utf-8", errors="surrogateescape") as source:
            return os.path.normpath(os.path.join(git_dir, source.read().rstrip("\n")))
    except FileNotFoundError:
        return git_dir
