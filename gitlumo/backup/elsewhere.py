"""Backups in another repository, which git reaches: a folder, which is made if it is not there, or an address."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import time
from collections.abc import Iterator, Sequence

from gitlumo.backup import incoming
from gitlumo.backup.bundle import REF, chosen, newest_code, standing, wanted_code
from gitlumo.backup.checking import Checked
from gitlumo.backup.restoring import Outcome
from gitlumo.backup.tar import Written
from gitlumo.errors import LumoError, NotALedger, RemoteMoved, UsageError
from gitlumo.git import bundle, process, transport
from gitlumo.git.transport import Show
from gitlumo.home import Home
from gitlumo.privacy import mask_text
from gitlumo.share import exchange, selection
from gitlumo.store.query import Found

ATTEMPTS = 10
PAUSE = 0.05  # seconds
_FETCH = (
    "fetch",
    "--no-tags",
    "--no-write-fetch-head",
    "--no-auto-maintenance",
    "--recurse-submodules=no",
    "--refmap=",
)


def write(
    home: Home, founds: Sequence[Found], target: str, *, with_code: bool = True, show: Show | None = None
) -> Written:
    """Join runs as the ledger has them with those that another repository has; nothing is forced there.

    Args:
        home: The repository here.
        founds: The runs.
        target: A folder, or an address as git takes it; an empty folder, or none, becomes a bare repository.
        with_code: Whether the code comes along, with its history.
        show: Where git's progress goes.

    Raises:
        UsageError: If it is a bare word, and nothing is there: a folder that is to be made is ``./WORD``.
        LumoError: If a run is not published, or the folder is something else.
        RemoteError: If it cannot be reached, or refuses.
    """
    local = exchange.ready(home)
    runs = chosen(home, local, founds)
    named = selection.codes(home, runs, [local]) if with_code else []
    code = bundle.whole(home.repository, named)
    with _target(home, target, newest_code(runs, code)) as address:
        for attempt in range(ATTEMPTS):
            base = _fetched(home, address, [REF], show)
            try:
                with standing(home, runs, local, base, code, with_code=with_code) as tip:
                    if tip != base:
                        transport.push(home.repository, address, tip, REF, None, show)
                break
            except RemoteMoved:
                if attempt + 1 == ATTEMPTS:
                    raise
                time.sleep(random.uniform(0, PAUSE * 2**attempt))
    missing = tuple(sorted(wanted_code(runs) - set(code))) if with_code else ()
    return Written(mask_text(target), len(runs), 0, 0, (), missing)


@contextlib.contextmanager
def _target(home: Home, target: str, head: str | None) -> Iterator[str]:
    """The address of a repository, which is made where a folder is to be one; and unmade if it gets nothing."""
    if target in home.repository.remote_names() and not os.path.lexists(target):
        raise LumoError(f"{target} is a remote; runs are shared with it:  git lumo push {target}")
    if is_address(target):
        yield target
        return
    path = os.path.abspath(target)
    if "/" not in target and not os.path.lexists(path):  # a slip of the pen is not to make a repository
        raise UsageError(
            f"{target!r} is no format (github, tar, bundle), no remote, and no repository that is here\n"
            f"to make a repository of that name:  --to ./{target}"
        )
    if _is_repository(path):
        yield path
        return
    if os.path.lexists(path) and (not os.path.isdir(path) or os.listdir(path)):
        raise LumoError(f"{target} is there, and is neither a git repository nor an empty folder; name another one")
    was_there = os.path.isdir(path)
    try:
        form = f"--object-format={home.repository.location.hash_name}"
        process.run(["init", "--quiet", "--bare", form, "--", path])
        yield path
        if head:  # what a clone of it checks out
            process.run(["--git-dir", path, "update-ref", "--no-deref", "HEAD", head])
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        if was_there:
            os.mkdir(path)
        raise


def is_address(target: str) -> bool:
    """Whether git takes this for an address of another machine's, not for a path (git-clone(1), "Git URLs")."""
    before, colon, _ = target.partition(":")
    return bool(colon) and "/" not in before and not os.path.lexists(target)


def _is_repository(path: str) -> bool:
    return os.path.isdir(path) and process.run(["ls-remote", "--quiet", "--", path], check=False).status == 0


def _fetched(home: Home, address: str, refs: Sequence[str], show: Show | None) -> str | None:
    """The tip of a ledger elsewhere, its objects fetched; None: there is none."""
    repository = home.repository
    for ref in dict.fromkeys(refs):
        for _ in range(ATTEMPTS):  # it may move between the two questions
            tip = transport.tip_of(repository, address, ref, show)
            if tip is None:
                break
            if not (repository.objects.has(tip) and repository.is_whole(tip)):
                transport.talk([*repository.git_args, *_FETCH], address, [ref], show)
                repository.objects.refresh()
            if repository.objects.has(tip):
                if home.ledger.is_ledger(tip):
                    return tip
                raise NotALedger(
                    f"{mask_text(address)} has a branch {ref.removeprefix('refs/heads/')} which is no ledger of runs"
                )
    return None


def restore(home: Home, source: str, show: Show | None = None) -> list[Outcome]:
    """Join the runs of another repository with the ledger, as a pull does.

    Args:
        home: The repository here.
        source: Its folder or address.
        show: Where git's progress goes.

    Raises:
        LumoError: If it has no ledger, or the ledger here cannot be written.
        RemoteError: If it cannot be reached.
    """
    return incoming.take(home, _tip(home, source, show), mask_text(source))


def check(home: Home, source: str, founds: Sequence[Found] = (), show: Show | None = None) -> Iterator[Checked]:
    """Whether the backups of another repository are whole and up to date.

    Args:
        home: The repository here.
        source: Its folder or address.
        founds: Runs of which those that it lacks are to be told, too.
        show: Where git's progress goes.

    Raises:
        LumoError: If it has no ledger.
        RemoteError: If it cannot be reached.
    """
    yield from incoming.check(home, home, _tip(home, source, show), founds)


def _tip(home: Home, source: str, show: Show | None) -> str:
    address = source if is_address(source) else os.path.abspath(source)
    tip = _fetched(home, address, [REF, home.settings.ref], show)
    if tip is None:
        raise LumoError(
            f"{mask_text(source)} has no ledger of runs: there is no branch {REF.removeprefix('refs/heads/')}"
        )
    return tip
