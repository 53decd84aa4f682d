"""What a server lets into the ledger: it may only grow, and every run must satisfy the format."""

from __future__ import annotations

from collections.abc import Iterator

from gitlumo.errors import GitError, LumoError
from gitlumo.git.objects import Staging, read_commit
from gitlumo.store.branch import Branch
from gitlumo.store.check import check_growth

SHOWN = 10


def check_push(branch: Branch, old: str | None, new: str | None) -> list[str]:
    """Why a push may not move the ledger's branch.

    Args:
        branch: The ledger's branch, in the repository that is pushed to.
        old: Where it is; None: it is to be made.
        new: Where it is to be; None: it is to be deleted.

    Returns:
        The reasons and what to do, in lines; nothing if it may.
    """
    try:
        return list(_reasons(branch, old, new))
    except GitError as error:  # the objects that were sent are incomplete, or no commits
        return [str(error)]


def _reasons(branch: Branch, old: str | None, new: str | None) -> Iterator[str]:
    if old and not branch.is_ledger(old):
        return  # a branch of code of that name, which is no matter of ours
    if new is None:
        yield "it holds the runs of all of you, and cannot be deleted"
        yield "to take one run out: git lumo purge EXP"
        return
    if not branch.is_ledger(new):
        yield "it is the ledger of runs, and what was sent is a branch of another kind"
        yield "give that another name, or the ledger: git config lumo.branch NAME (here, too)"
        return
    objects = Staging(branch.repository.objects)
    if old and not objects.is_ancestor(old, new):
        yield "it may only grow, and what was sent lacks events that are there"
        yield 'type "git lumo push": it joins both, and forces nothing'
        return
    before = read_commit(objects, old).tree if old else None
    try:
        problems = check_growth(objects, before, read_commit(objects, new).tree)
    except LumoError as error:
        problems = [str(error)]
    yield from problems[:SHOWN]
    if len(problems) > SHOWN:
        yield f"and {len(problems) - SHOWN} more"
    if problems:
        yield "'git lumo fsck' in the repository that was pushed tells more"
