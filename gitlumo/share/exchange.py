"""Fetching, pulling and pushing the ledger. Nothing is forced, nothing is asked, and who comes second joins first."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from gitlumo.errors import LumoError, MissingObject, NoRemoteRef, RefMoved, RemoteMoved
from gitlumo.git import transport
from gitlumo.git.partial import bring
from gitlumo.git.transport import Show
from gitlumo.share import remotes
from gitlumo.share.remotes import Remote
from gitlumo.store import journal
from gitlumo.store.branch import Branch
from gitlumo.store.ledger import Ledger
from gitlumo.store.recovery import recover

ATTEMPTS = 30
STANDSTILLS = 3  # refusals in a row while the remote does not move: that is no race
PAUSE, LONGEST_PAUSE = 0.02, 1.0  # seconds


@dataclass(frozen=True)
class Fetched:
    """What a fetch found.

    Attributes:
        remote: Where.
        before: The remote's tip as it was known before.
        after: Its tip now; None: it has no ledger.
        rewritten: Whether ``before`` is no part of ``after``: somebody has replaced the branch.
    """

    remote: Remote
    before: str | None
    after: str | None
    rewritten: bool


@dataclass(frozen=True)
class Pulled:
    """What a pull did.

    Attributes:
        fetched: What the remote had.
        before: The local tip before.
        after: The local tip now; None: there is no ledger, neither here nor there.
    """

    fetched: Fetched
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Pushed:
    """What a push did.

    Attributes:
        remote: Where to.
        before: Its tip as it was known before.
        after: Its tip now.
    """

    remote: Remote
    before: str | None
    after: str


def fetch(branch: Branch, remote: Remote, show: Show | None = None) -> Fetched:
    """Bring a remote's ledger up to date here, in its remote-tracking branch.

    A shallow clone that has no ledger yet takes only its tip: the whole history would bring all code along.

    Raises:
        RemoteError: If the remote cannot be reached.
        NotALedger: If its branch holds something else.
    """
    repository = branch.repository
    before = repository.refs.read(remote.tracking)
    is_first = before is None and repository.refs.read(branch.settings.ref) is None
    depth = 1 if is_first and repository.is_shallow else None
    try:
        transport.fetch(repository, remote.name, remote.ref, remote.tracking, show, depth=depth)
    except NoRemoteRef:
        return Fetched(remote, before, None, rewritten=False)
    after = repository.refs.read(remote.tracking)
    if after == before:
        return Fetched(remote, before, after, rewritten=False)
    repository.objects.refresh()
    after = remotes.tip(branch, remote)
    rewritten = bool(before and after) and not repository.objects.is_ancestor(before or "", after or "")
    return Fetched(remote, before, after, rewritten)


def pull(ledger: Ledger, remote: Remote, show: Show | None = None) -> Pulled:
    """Fetch a remote's ledger, and join it with the local one.

    Raises:
        RemoteError: If the remote cannot be reached.
        LumoError: If the ledger cannot be written.
    """
    before = ledger.repository.refs.read(ledger.settings.ref)
    fetched = fetch(ledger, remote, show)
    after = _settle(ledger, fetched.after)
    if after and after != before and ledger.repository.is_partial:
        bring(ledger.repository, [tip for tip in (before, after) if tip])  # now, while the remote can be reached
    return Pulled(fetched, before, after)


def push(
    ledger: Ledger,
    remote: Remote,
    approve: Callable[[str], None],
    show: Show | None = None,
    choose: Callable[[], str] | None = None,
) -> Pushed:
    """Send the ledger to a remote, joined with what the remote has.

    Args:
        ledger: The ledger.
        remote: Where to.
        approve: Called before each attempt with the commit that is about to leave; what it raises ends the push.
        show: See :data:`gitlumo.git.transport.Show`.
        choose: Makes the commit to push of what is here then; None: it is the local tip.

    Raises:
        RemoteError: If the remote cannot be reached, refuses, or others are faster all the time.
        LumoError: If there is nothing to push, or the ledger cannot be written.
    """
    repository = ledger.repository
    before = remotes.tip(ledger, remote)
    if before is None:  # a branch of code of that name, which a run's code may even be ahead of, is not to be moved
        before = fetch(ledger, remote, show).after
    standstills = 0
    for attempt in range(ATTEMPTS):
        commit = ready(ledger, choose)
        approve(commit)
        try:
            transport.push(repository, remote.name, commit, remote.ref, show)
        except RemoteMoved:
            time.sleep(random.uniform(0, min(LONGEST_PAUSE, PAUSE * 2 ** min(attempt, 10))))
            fetched = fetch(ledger, remote, show)
            standstills = standstills + 1 if fetched.after == fetched.before else 0
            if attempt + 1 == ATTEMPTS or standstills == STANDSTILLS:
                raise
            continue
        _track(ledger, remote, commit)
        return Pushed(remote, before, commit)
    raise AssertionError("unreachable")


def ready(ledger: Ledger, choose: Callable[[], str] | None = None) -> str:
    """The commit that a push would send: what dead runs left and what remotes had is in it.

    Raises:
        LumoError: If there is nothing to push, or the ledger cannot be written.
    """
    tip = _settle(ledger, None)
    if tip is None:
        raise LumoError("there are no runs to share yet\nrecord one:  git lumo run -- COMMAND")
    return choose() if choose else tip


def _settle(ledger: Ledger, fetched: str | None) -> str | None:
    """Publish what dead runs left, and take in all remote-tracking ledgers; returns the local tip.

    Args:
        ledger: The ledger.
        fetched: A remote's tip. If the local one is there already, nothing needs to be read to know what is to be done.
    """
    if journal.open_runs(ledger.lumo_dir):
        with contextlib.suppress(LumoError, OSError):  # 'git lumo status' tells of it
            recover(ledger)
    local = ledger.repository.refs.read(ledger.settings.ref)
    if local and local == fetched:
        return local
    tip = ledger.take_in()
    if tip != local:
        with contextlib.suppress(LumoError, OSError):
            ledger.look_after()
    return tip


def _track(ledger: Ledger, remote: Remote, commit: str) -> None:
    """Note where the remote is now, where git has not: in a single-branch clone."""
    refs = ledger.repository.refs
    there = refs.read(remote.tracking)
    if there != commit:
        with contextlib.suppress(RefMoved, MissingObject, OSError):
            refs.move(remote.tracking, there, commit, "gitlumo: push")
