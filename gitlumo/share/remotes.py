"""Remotes: which one is meant, and what is known here of its ledger."""

from __future__ import annotations

from dataclasses import dataclass

from gitlumo.errors import LumoError, NotALedger
from gitlumo.store.branch import Branch


@dataclass(frozen=True)
class Remote:
    """A remote with which runs are shared.

    Attributes:
        name: Its name.
        ref: The ledger's ref there.
        tracking: The ref here that follows it.
    """

    name: str
    ref: str
    tracking: str


def choose(branch: Branch, name: str | None) -> Remote:
    """The remote of a name; without one ``lumo.remote``, ``origin``, or the only one that there is.

    Raises:
        LumoError: If there is none of that name, or none at all, or it cannot be told which.
    """
    known = list(branch.repository.remote_urls())
    wanted = name or branch.settings.remote
    if wanted is None:
        if not known:
            raise LumoError("this repository has no remote\nadd one:  git remote add origin URL")
        if "origin" not in known and len(known) > 1:
            raise LumoError(f"there are several remotes: {', '.join(known)}\nname one, or choose one for good:  "
                            f"git config lumo.remote {known[0]}")  # fmt: skip
        wanted = "origin" if "origin" in known else known[0]
    if wanted not in known:
        there = f"there are: {', '.join(known)}" if known else "there is none"
        raise LumoError(f"there is no remote {wanted!r}; {there}\nadd it:  git remote add NAME URL")
    return Remote(wanted, branch.settings.ref, f"refs/remotes/{wanted}/{branch.settings.branch}")


def tip(branch: Branch, remote: Remote) -> str | None:
    """Where a remote's ledger was when it was last fetched or pushed; None: it had none, as far as is known here.

    Raises:
        NotALedger: If its branch holds something else.
    """
    found = branch.repository.refs.read(remote.tracking)
    if found and not branch.is_ledger(found):
        raise NotALedger(
            f"the branch {branch.settings.branch} of {remote.name} is not a ledger of runs but holds commits of another"
            f" kind\nuse another name for the ledger:  git config lumo.branch lumo_runs"
        )
    return found
