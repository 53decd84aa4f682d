"""git's refs: what an engine must do, and the git program as one."""

from __future__ import annotations

import re
from typing import Protocol

from gitlumo.errors import GitError, RefMoved
from gitlumo.git import process

# git's words (refs.c, files-backend.c, reftable-backend.c, lockfile.c) where another writer was faster, or is at it.
_MOVED = re.compile(
    r"but expected [0-9a-f]+$|reference already exists$|unable to resolve reference|cannot lock references$"
    r"|Unable to create '.*\.lock': File exists",
    re.MULTILINE,
)


class Refs(Protocol):
    """What an engine must do; ``tests/git/test_refs.py`` is the definition."""

    def read(self, name: str) -> str | None:
        """The object id that a ref names, through symbolic refs; None where there is none."""

    def symbolic(self, name: str) -> str | None:
        """The ref that a symbolic ref names, also if that does not exist yet; None where it is not symbolic."""

    def list(self, prefix: str) -> dict[str, str]:
        """All refs whose full name begins with ``prefix``: name to object id."""

    def move(self, name: str, old: str | None, new: str, message: str) -> None:
        """Move a ref from ``old`` (None: it must not exist) to ``new``, with ``message`` in its reflog.

        Raises:
            RefMoved: If it is not at ``old``, or somebody else holds its lock: look again and retry.
            GitError: If it cannot be written.
        """


class GitRefs:
    """Refs through the git program (git-update-ref(1)): any ref store that the installed git knows."""

    def __init__(self, git_dir: str):
        self._git = ["--git-dir", git_dir, "-c", "core.hooksPath=/dev/null"]

    def read(self, name: str) -> str | None:
        """See :meth:`Refs.read`."""
        result = process.run([*self._git, "show-ref", "--verify", "--hash", "--end-of-options", name], check=False)
        return result.out.decode().strip() or None if result.status == 0 else None

    def symbolic(self, name: str) -> str | None:
        """See :meth:`Refs.symbolic`."""
        result = process.run([*self._git, "symbolic-ref", "--quiet", name], check=False)
        return result.out.decode("utf-8", "surrogateescape").rstrip("\n") if result.status == 0 else None

    def list(self, prefix: str) -> dict[str, str]:
        """See :meth:`Refs.list`."""
        out = process.run([*self._git, "for-each-ref", "--format=%(objectname) %(refname)"]).out
        pairs = (line.split(" ", 1) for line in out.decode("utf-8", "surrogateescape").split("\n")[:-1])
        return {name: id for id, name in pairs if name.startswith(prefix)}

    def move(self, name: str, old: str | None, new: str, message: str) -> None:
        """See :meth:`Refs.move`."""
        expected = old or "0" * len(new)
        result = process.run([*self._git, "update-ref", "-m", message, name, new, expected], check=False)
        if result.status == 0:
            return
        if _MOVED.search(result.message):
            raise RefMoved(result.message)
        raise GitError(result.message)
