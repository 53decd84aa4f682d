"""Which library reads a repository's objects, and which its refs: chosen once, by what the repository is."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitlumo.errors import GitError

if TYPE_CHECKING:
    from gitlumo.git.objects import Objects
    from gitlumo.git.refs import Refs

# Extensions of a repository (git-config(1), extensions.*) that do not change how refs are kept in files.
_HARMLESS = {"extensions.objectformat", "extensions.noop", "extensions.worktreeconfig", "extensions.refstorage"}


@dataclass(frozen=True)
class Engine:
    """Who does the work in one repository.

    Attributes:
        objects: ``pygit2`` or ``dulwich``.
        refs: ``pygit2``, ``dulwich`` or ``git``, the program.
        why: The reason, for people.
    """

    objects: str
    refs: str
    why: str


def choose(hash_name: str, ref_store: str, extensions: Iterable[str]) -> Engine:
    """The engine that fits a repository.

    It is chosen by what can be known beforehand, never because another one has failed.

    Args:
        hash_name: ``sha1`` or ``sha256``.
        ref_store: ``files`` or ``reftable``.
        extensions: Lower-case names of the repository's ``extensions.*`` variables.
    """
    if hash_name != "sha1":
        objects, why = "dulwich", f"objects are named by {hash_name}, which libgit2 does not read"
    elif importlib.util.find_spec("pygit2") is None:
        objects, why = "dulwich", "pygit2 is not installed"
    else:
        objects, why = "pygit2", "objects are named by sha1, which pygit2 reads fastest"
    odd = sorted(set(extensions) - _HARMLESS)
    if ref_store != "files":
        return Engine(objects, "git", f"{why}; refs are kept as {ref_store}, which only git itself moves safely")
    if odd:
        return Engine(objects, "git", f"{why}; of refs beside {', '.join(odd)} only git itself knows all")
    return Engine(objects, objects, f"{why}; refs are plain files")


def load(engine: Engine) -> None:
    """Import the library that reads objects: tens of milliseconds, which a thread can spend while git works."""
    if engine.objects == "dulwich":
        import gitlumo.git.engine_dulwich
    else:
        import gitlumo.git.engine_pygit2  # noqa: F401


def open_objects(engine: Engine, objects_dir: str, hash_name: str, quarantine: str | None = None) -> Objects:
    """The object database, and with it what lies in quarantine.

    Raises:
        GitError: If the engine's library is installed, but cannot be imported.
    """
    try:
        if engine.objects == "dulwich":
            from gitlumo.git.engine_dulwich import DulwichObjects

            return DulwichObjects(objects_dir, hash_name, quarantine)
        from gitlumo.git.engine_pygit2 import Pygit2Objects

        return Pygit2Objects(objects_dir, quarantine)
    except ImportError as error:
        raise GitError(f"{engine.objects} is installed, but cannot be imported: {error}\nreinstall it") from None


def open_refs(engine: Engine, git_dir: str, objects: Objects, committer: Callable[[], str | None]) -> Refs:
    """The ref store.

    Args:
        engine: See :func:`choose`.
        git_dir: The work tree's git folder.
        objects: What refs may name.
        committer: ``Name <email>`` for the reflog; None: none is begun.
    """
    if engine.refs == "git":
        from gitlumo.git.refs import GitRefs

        return GitRefs(git_dir)
    if engine.refs == "dulwich":
        from gitlumo.git.engine_dulwich import DulwichRefs

        return DulwichRefs(git_dir, objects, committer)
    from gitlumo.git.engine_pygit2 import Pygit2Refs

    return Pygit2Refs(git_dir)
