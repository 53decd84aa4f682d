"""The code of a run: which commit it is, and whether it is here."""

from __future__ import annotations

import os
import re

from gitlumo.errors import FormatError, GitError, LumoError, MissingObject
from gitlumo.git import process, worktree
from gitlumo.git.objects import read_commit
from gitlumo.store.branch import Branch
from gitlumo.store.query import Found

_ABSENT = re.compile(r"^path '.*' (does not exist in|exists on disk, but not in) ", re.DOTALL)
_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def commit_of(branch: Branch, found: Found) -> str:
    """The commit of the code that a run recorded: a full id, of a commit that is in the object database.

    Raises:
        LumoError: If it recorded none, or it is not here; says what brings it.
        FormatError: If what stands there is no id: a record may be a stranger's.
    """
    git = found.record.info("git")
    commit = git.get("commit") if isinstance(git, dict) else None
    if commit is None:
        raise LumoError(
            f"{found.label} recorded no code: it ran without the hook GitCommit, with lumo.snapshot=false, or in a\n"
            f"repository without a work tree; 'git lumo show {found.name}' prints what it recorded"
        )
    if not isinstance(commit, str) or not _ID.fullmatch(commit):
        raise FormatError(f"{found.path}/info/git.json: commit is {commit!r}, which is no id of a commit")
    objects = branch.repository.objects
    if not objects.has(commit):
        objects.refresh()  # a gc may have put it into another pack just now
    try:
        read_commit(objects, commit)
    except MissingObject:
        raise LumoError(f"the code of {found.label}, {commit[:12]}, is not here; {_remedy(branch, commit)}") from None
    except GitError as error:
        raise FormatError(f"{found.path}/info/git.json: {error}") from None
    return commit


def _remedy(branch: Branch, commit: str) -> str:
    if os.path.exists(branch.code_pack(commit) + ".idx"):
        return "it waits to be published with the run\ntype 'git lumo recover'"
    if os.path.exists(os.path.join(branch.repository.location.common_dir, "shallow")):
        return "this is a shallow clone\ntype 'git fetch --unshallow'"
    return f"it was deleted, or never came along\na repository that has it gives it away: git fetch REMOTE {commit}"


def read_file(branch: Branch, found: Found, path: str) -> bytes | None:
    """A file of a run's code, or what is in a folder of it, as ``git show COMMIT:PATH`` prints them.

    Args:
        branch: The ledger.
        found: The run.
        path: From the top, or with ``./`` in front from the current folder (gitrevisions(7), ``<rev>:<path>``).

    Returns:
        Its bytes; None where the code has nothing at this path.

    Raises:
        LumoError: If the code is not here; see :func:`commit_of`.
        GitError: If git cannot print it.
    """
    name = f"{commit_of(branch, found)}:{path}"
    words = [*branch.repository.git_args, "show", "--no-color", "--no-textconv", name]
    shown = process.run(words, env=worktree.environment(), check=False)
    if shown.status == 0:
        return shown.out
    if _ABSENT.search(shown.message):
        return None
    raise GitError(f"git cannot print {path!r} of the code of {found.label}: {shown.message}")
