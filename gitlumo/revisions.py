"""Revisions in an expression, as git reads them."""

from __future__ import annotations

from gitlumo.errors import UsageError
from gitlumo.git import process
from gitlumo.git.repository import Repository


class Revisions:
    """What :func:`gitlumo.expression.parse` asks of a repository."""

    def __init__(self, repository: Repository):
        self._git = repository.git_args

    def commit(self, text: str) -> str:
        """The id of the commit that a revision names (gitrevisions(7)).

        Raises:
            UsageError: If there is none.
        """
        words = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{text}^{{commit}}"]
        found = process.run([*self._git, *words], check=False)
        if found.status:
            raise UsageError(f"{text!r} names no commit of this repository")
        return found.out.decode("ascii").strip()

    def between(self, text: str) -> list[str]:
        """The ids of the commits in a range such as ``A..B``.

        Raises:
            UsageError: If it is none.
        """
        found = process.run([*self._git, "rev-list", "--end-of-options", text, "--"], check=False)
        if found.status:
            raise UsageError(f"{text!r} is no range of commits of this repository")
        return found.out.decode("ascii").split()
