"""Fetching, pulling and pushing the ledger. Nothing is forced, nothing is asked, and who comes second joins first."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from gitlumo.errors import ConnectionBroken, GitError, LumoError, NoRemoteRef, RemoteMoved
from gitlumo.git import transport
from gitlumo.git.tips import Tip, are_in, are_still
from gitlumo.git.transport import Show
from gitlumo.home import Home
from gitlumo.share import remotes
from gitlumo.share.remotes import Remote

ATTEMPTS = 30
STANDSTILLS = 3  # refusals in a row while the remote does not move: that is no race
PAUSE, LONGEST_PAUSE = 0.02, 1.0  # seconds


class Fetched(NamedTuple):
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


class Pulled(NamedTuple):
    """What a pull did.

    Attributes:
        fetched: What the remote had.
        before: The local tip before.
        after: The local tip now; None: there is no ledger, neither here nor there.
    """

    fetched: Fetched
    before: str | None
    after: str | None


class Pushed(NamedTuple):
    """What a push did.

    Attributes:
        remote: Where to.
        before: Its tip as it was known before.
        after: Its tip now.
    """

    remote: Remote
    before: str | None
    after: str


def fetch(home: Home, remote: Remote, show: Show | None = None) -> Fetched:
    """Bring a remote's ledger up to date here, in its remote-tracking branch.

    A shallow clone that has no ledger yet takes only its tip: the whole history would bring all code along.

    Raises:
        RemoteError: If the remote cannot be reached.
        NotALedger: If its branch holds something else.
    """
    return _fetch(home, remote, show, remotes.tips(home))[0]


def _fetch(
    home: Home, remote: Remote, show: Show | None, known: dict[str, Tip], *, joining: bool = False, sure: bool = True
) -> tuple[Fetched, dict[str, Tip]]:
    """The same; also what :func:`gitlumo.share.remotes.tips` answers afterwards.

    Args:
        home: The repository here.
        remote: The remote.
        show: See :data:`gitlumo.git.transport.Show`.
        known: What :func:`gitlumo.share.remotes.tips` has just answered.
        joining: Whether what comes will be joined: what that needs is imported while it comes.
        sure: See :func:`gitlumo.git.transport.fetch`.
    """
    arriving = threading.Thread(target=_load, args=(home,)).start if joining else None
    before = known[remote.tracking].commit if remote.tracking in known else None
    is_first = before is None and home.settings.ref not in known
    depth = 1 if is_first and home.repository.is_shallow else None
    try:
        refs = (remote.ref, remote.tracking)
        transport.fetch(home.repository, remote.name, *refs, show, depth=depth, arriving=arriving, sure=sure)
    except NoRemoteRef:
        return Fetched(remote, before, None, rewritten=False), known
    except ConnectionBroken as broken:
        if depth or home.repository.is_partial:
            raise
        _fetch_in_pieces(home, remote, show, broken)
    now = known
    if remote.tracking not in known or not are_still(home.repository, known):
        home.repository.close()  # its packs have changed
        now = remotes.tips(home)
    after = remotes.tip(home, remote, now)
    rewritten = before and after and not are_in(home.repository, [before], after)
    return Fetched(remote, before, after, rewritten=bool(rewritten)), now


def _load(home: Home) -> None:
    """Import what writing to the ledger needs; who needs it says what is wrong with that."""
    with contextlib.suppress(Exception):
        import gitlumo.store.ledger  # noqa: F401
        from gitlumo.git.engines import load

        load(home.repository.engine)


def _fetch_in_pieces(home: Home, remote: Remote, show: Show | None, broken: ConnectionBroken) -> None:
    """Go on with a fetch that broke off; if that is not possible, say why it did."""
    from gitlumo.git import piecewise

    try:
        piecewise.fetch(home.repository, remote.name, remote.ref, remote.tracking, show)
    except GitError:
        raise broken from None


def pull(home: Home, remote: Remote, show: Show | None = None) -> Pulled:
    """Fetch a remote's ledger, and join it with the local one.

    Raises:
        RemoteError: If the remote cannot be reached.
        LumoError: If the ledger cannot be written.
    """
    known = remotes.tips(home)
    before = known[home.settings.ref].commit if home.settings.ref in known else None
    fetched, known = _fetch(home, remote, show, known, joining=True)
    after = _settle(home, known)
    if after and after != before and home.repository.is_partial:
        from gitlumo.git.partial import bring

        bring(home.repository, [tip for tip in (before, after) if tip])  # now, while the remote can be reached
    return Pulled(fetched, before, after)


def push(
    home: Home,
    remote: Remote,
    approve: Callable[[str], None],
    show: Show | None = None,
    choose: Callable[[], str] | None = None,
) -> Pushed:
    """Send the ledger to a remote, joined with what the remote has.

    Args:
        home: The repository here.
        remote: Where to.
        approve: Called before each attempt with the commit that is about to leave; what it raises ends the push.
        show: See :data:`gitlumo.git.transport.Show`.
        choose: Makes the commit to push of what is here then; None: it is the local tip.

    Raises:
        RemoteError: If the remote cannot be reached, refuses, or others are faster all the time.
        LumoError: If there is nothing to push, or the ledger cannot be written.
    """
    remotes.check_refspecs(home, remote)
    known = remotes.tips(home)
    before = remotes.tip(home, remote, known)
    if before is None:  # a branch of code of that name, which a run's code may even be ahead of, is not to be moved
        fetched, known = _fetch(home, remote, show, known, sure=False)  # the push will tell
        before = fetched.after
    standstills = 0
    for attempt in range(ATTEMPTS):
        commit = ready(home, choose, known)
        approve(commit)
        try:
            transport.push(home.repository, remote.name, commit, remote.ref, remote.tracking, show)
        except RemoteMoved:
            _wait(attempt)
            fetched, known = _fetch(home, remote, show, remotes.tips(home))
            standstills = standstills + 1 if fetched.after == fetched.before else 0
            if attempt + 1 == ATTEMPTS or standstills == STANDSTILLS:
                remotes.check_addresses(home, remote)
                raise
            continue
        return Pushed(remote, before, commit)
    raise AssertionError("unreachable")


def _wait(attempt: int) -> None:
    import random

    time.sleep(random.uniform(0, min(LONGEST_PAUSE, PAUSE * 2 ** min(attempt, 10))))


def ready(home: Home, choose: Callable[[], str] | None = None, known: dict[str, Tip] | None = None) -> str:
    """The commit that a push would send: what dead runs left and what remotes had is in it.

    Args:
        home: The repository here.
        choose: See :func:`push`.
        known: What :func:`gitlumo.share.remotes.tips` has just answered; None: it is asked.

    Raises:
        LumoError: If there is nothing to push, or the ledger cannot be written.
    """
    tip = _settle(home, known)
    if tip is None:
        raise LumoError("there are no runs to share yet\nrecord one:  git lumo run -- COMMAND")
    return choose() if choose else tip


def _settle(home: Home, known: dict[str, Tip] | None = None) -> str | None:
    """Publish what dead runs left, and take in all remote-tracking ledgers; returns the local tip."""
    if home.is_recording:
        from gitlumo.store.recovery import recover

        with contextlib.suppress(LumoError, OSError):  # 'git lumo status' tells of it
            recover(home.ledger)
        known = None
    tips = dict(known or remotes.tips(home))
    local = tips.pop(home.settings.ref, None)
    if local and local.trailer and all(tip.trailer for tip in tips.values()):
        others = [tip.commit for tip in tips.values()]
        if are_in(home.repository, others, local.commit):  # as mostly: then nothing needs to be read
            return local.commit
    tip = home.ledger.take_in()
    if tip and (local is None or tip != local.commit):
        with contextlib.suppress(LumoError, OSError):
            home.ledger.look_after()
    return tip
