"""The pygit2 engine. Its objects are read from the bare object database, so no repository configuration can stop it."""

from __future__ import annotations

import os

import pygit2

from gitlumo.errors import GitError, RefMoved
from gitlumo.git.history import is_ancestor
from gitlumo.git.objects import BLOB, COMMIT, TREE, missing
from gitlumo.git.recent import RecentTrees
from gitlumo.git.refs import GitRefs

_KINDS = {
    int(pygit2.enums.ObjectType.BLOB): BLOB,
    int(pygit2.enums.ObjectType.TREE): TREE,
    int(pygit2.enums.ObjectType.COMMIT): COMMIT,
    int(pygit2.enums.ObjectType.TAG): "tag",
}


class Pygit2Objects:
    """An :class:`gitlumo.git.objects.Objects` over ``<git common dir>/objects``, alternates included."""

    hash_name = "sha1"

    def __init__(self, objects_dir: str, quarantine: str | None = None):
        self._dir = objects_dir
        self._quarantine = quarantine
        self._recent = RecentTrees()
        self.refresh()

    def refresh(self) -> None:
        """See :meth:`gitlumo.git.objects.Objects.refresh`."""
        self._odb = pygit2.Odb(self._dir)
        self._packs, self._owner = _packs(self._dir)
        if self._quarantine:
            self._odb.add_disk_alternate(self._quarantine)
        self._repository: pygit2.Repository | None = None

    def read(self, id: str) -> tuple[str, bytes]:
        """See :meth:`gitlumo.git.objects.Objects.read`."""
        found = self._recent.get(id)
        if found:
            return found
        if len(id) != 40:  # pygit2 would take a prefix
            raise missing(id)
        kind, data = self._packed(id) or self._anywhere(id)
        return self._recent.keep(id, kind, data)

    def _packed(self, id: str) -> tuple[str, bytes] | None:
        """An object from a pack that was there at the last look; None: look anywhere.

        It takes a third of the time: the database, as pygit2 asks it, looks into all packs and then for a loose object,
        whatever it has found, and hashes what it has read, which zlib's checksum has guarded already (as for git).
        """
        try:
            number, data = self._packs.read(id)
        except (KeyError, ValueError, pygit2.GitError):
            return None
        return _KINDS[number], data

    def _anywhere(self, id: str) -> tuple[str, bytes]:
        try:
            number, data = self._odb.read(id)
        except (KeyError, ValueError, pygit2.GitError):
            raise missing(id) from None
        return _KINDS[number], data

    def has(self, id: str) -> bool:
        """See :meth:`gitlumo.git.objects.Objects.has`."""
        try:
            return bool(self._odb.exists(id))
        except (ValueError, pygit2.GitError):
            return False

    def is_ancestor(self, ancestor: str, commit: str) -> bool:
        """See :meth:`gitlumo.git.objects.Objects.is_ancestor`."""
        if ancestor == commit:
            return True
        if self._repository is None:
            self._repository = pygit2.Repository()
            self._repository.set_odb(self._odb)
        try:
            return bool(self._repository.descendant_of(commit, ancestor))
        except (KeyError, ValueError, pygit2.GitError):  # not there; or a shallow clone, which libgit2 does not know
            return is_ancestor(self, ancestor, commit)

    def close(self) -> None:
        """See :meth:`gitlumo.git.objects.Objects.close`."""
        self._repository = None
        self._odb = pygit2.Odb()
        self._packs, self._owner = _packs(os.devnull)


def _packs(folder: str) -> tuple[pygit2.OdbBackendPack, pygit2.Odb]:
    """The packs of a database, and what lets go of their files when it goes: pygit2 itself never does."""
    packs, owner = pygit2.OdbBackendPack(folder), pygit2.Odb()
    owner.add_backend(packs, 1)
    return packs, owner


class Pygit2Refs:
    """A :class:`gitlumo.git.refs.Refs` over refs that are plain files."""

    def __init__(self, git_dir: str):
        self._git_dir = git_dir
        # git itself has just opened this repository, with the whole configuration of safe.directory; libgit2 sees
        # less of it (not what the environment says), so its own check is left out for this one opening.
        checked = pygit2.settings.owner_validation
        pygit2.settings.owner_validation = False
        try:
            self._repository = pygit2.Repository(git_dir)
        except pygit2.GitError as error:
            raise GitError(f"{git_dir}: {error}") from None
        finally:
            pygit2.settings.owner_validation = checked

    def read(self, name: str) -> str | None:
        """See :meth:`gitlumo.git.refs.Refs.read`."""
        try:
            return str(self._repository.lookup_reference(name).resolve().target)
        except (KeyError, ValueError, pygit2.GitError):
            return None

    def symbolic(self, name: str) -> str | None:
        """See :meth:`gitlumo.git.refs.Refs.symbolic`."""
        try:
            target = self._repository.lookup_reference(name).raw_target
        except (KeyError, ValueError, pygit2.GitError):
            return None
        return os.fsdecode(target) if isinstance(target, bytes) else None

    def list(self, prefix: str) -> dict[str, str]:
        """See :meth:`gitlumo.git.refs.Refs.list`."""
        names = [os.fsdecode(raw) for raw in self._repository.raw_listall_references()]
        found = {name: self.read(name) for name in sorted(names) if name.startswith(prefix)}
        return {name: id for name, id in found.items() if id}

    def move(self, name: str, old: str | None, new: str, message: str) -> None:
        """See :meth:`gitlumo.git.refs.Refs.move`."""
        try:
            if old is None:  # libgit2 looks whether it exists before it has the lock: of two that make it, one is lost
                GitRefs(self._git_dir).move(name, None, new, message)
                return
            ref = self._repository.lookup_reference(name)
            if str(ref.target) != old:
                raise RefMoved(f"{name} is at {ref.target}, not at {old}")
            ref.set_target(new, message)
        except (pygit2.AlreadyExistsError, KeyError) as error:
            raise RefMoved(f"{name}: {error}") from None
        except (ValueError, OSError, pygit2.GitError) as error:
            text = str(error).replace(name, "")
            if "failed to lock file" in text or "File exists" in text or "old reference value" in text:
                raise RefMoved(f"{name}: {error}") from None
            raise GitError(f"{name}: {error}") from None
