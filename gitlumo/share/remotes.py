"""Remotes: which one is meant, and what is known here of its ledger."""

from __future__ import annotations

from typing import NamedTuple

from gitlumo.errors import LumoError, NotALedger
from gitlumo.git import tips as git_tips
from gitlumo.git.tips import Tip
from gitlumo.home import Home


class Remote(NamedTuple):
    """A remote with which runs are shared.

    Attributes:
        name: Its name.
        ref: The ledger's ref there.
        tracking: The ref here that follows it.
    """

    name: str
    ref: str
    tracking: str


def choose(home: Home, name: str | None) -> Remote:
    """The remote of a name; without one ``lumo.remote``, ``origin``, or the only one that there is.

    Raises:
        LumoError: If there is none of that name, or none at all, or it cannot be told which.
    """
    known = list(home.repository.remote_urls())
    wanted = name or home.settings.remote
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
    return Remote(wanted, home.settings.ref, f"refs/remotes/{wanted}/{home.settings.branch}")


def check_refspecs(home: Home, remote: Remote) -> None:
    """See that git will not move the local ledger itself when it has pushed: a run that ends just then would be lost.

    Raises:
        LumoError: If it would.
    """
    spec = home.repository.overwriting(remote.name, home.settings.ref)
    if spec:
        raise LumoError(
            f"git would write {home.settings.ref} itself after a push, and lose runs: remote.{remote.name}.fetch is"
            f" {spec}\nhave it write beside the branch:  {apart(remote.name)}"
        )


def check_addresses(home: Home, remote: Remote) -> None:
    """See that what is fetched is where pushes go: else the one that was refused cannot be joined.

    Raises:
        LumoError: If it is not.
    """
    if home.repository.pushes_elsewhere(remote.name):
        raise LumoError(
            f"{remote.name} is pushed to another address than it is fetched from (remote.{remote.name}.pushurl), and"
            f" there others have pushed\nmake that one a remote of its own:  git remote add NAME URL\nand join it:  git"
            f" lumo pull NAME"
        )


def apart(remote: str) -> str:
    """The command that has a remote's branches written beside the local ones."""
    return f"git config --replace-all remote.{remote}.fetch '+refs/heads/*:refs/remotes/{remote}/*'"


def tips(home: Home) -> dict[str, Tip]:
    """The local branch, and the remote-tracking ones, with what says that they are ledgers: ref name to tip."""
    return git_tips.tips(home.repository, home.settings.branch, "Lumo-Format")


def tip(home: Home, remote: Remote, known: dict[str, Tip] | None = None) -> str | None:
    """Where a remote's ledger was when it was last fetched or pushed; None: it had none, as far as is known here.

    Args:
        home: The repository here.
        remote: The remote.
        known: What :func:`tips` has just answered; None: it is asked.

    Raises:
        NotALedger: If its branch holds something else.
    """
    found = (known or tips(home)).get(remote.tracking)
    if found and not found.trailer and not home.ledger.is_ledger(found.commit):
        raise NotALedger(
            f"the branch {home.settings.branch} of {remote.name} is not a ledger of runs but holds commits of another"
            f" kind\nuse another name for the ledger:  git config lumo.branch lumo_runs"
        )
    return found.commit if found else None
