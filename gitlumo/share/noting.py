"""``refs/notes/lumo``: of each commit of code which runs it had. A view of the ledger, never the home of a fact.

The notes of one ledger are the same commit in every clone: they are computed, and have no history of their own.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import time
from collections import defaultdict
from dataclasses import dataclass

from gitlumo import ids
from gitlumo.errors import FormatError, MissingObject, NoRemoteRef, RefMoved, RemoteMoved
from gitlumo.git import notes, transport
from gitlumo.git.objects import ZONE, Commit, Objects, Staging, read_commit
from gitlumo.git.transport import Show
from gitlumo.share.remotes import Remote
from gitlumo.store import layout, trees
from gitlumo.store.journal import write_whole
from gitlumo.store.ledger import Ledger
from gitlumo.store.query import TreeFiles
from gitlumo.store.record import Record, best_facts

REF = "refs/notes/lumo"
VERSION = "1"  # of how notes are written: others are made anew
ATTEMPTS = 20
PAUSE = 0.01  # seconds, at most, after the first lost race; then twice as long, and so on
LONGEST_PAUSE = 1.0
_TREE, _LEDGER = "Lumo-Notes", "Lumo-Ledger"
_ID = {"sha1": re.compile(r"[0-9a-f]{40}"), "sha256": re.compile(r"[0-9a-f]{64}")}


@dataclass(frozen=True)
class Noted:
    """What an update of the notes did.

    Attributes:
        before: Where the notes were; None: there were none.
        after: Where they are.
        commits: Of how many commits of code they have been written anew.
    """

    before: str | None
    after: str
    commits: int


def update(ledger: Ledger, *, anew: bool = False) -> Noted | None:
    """Bring the notes up to the ledger, which takes in first what remotes have.

    Only runs that have changed since the last time are read.

    Args:
        ledger: The ledger.
        anew: Whether they are made of nothing.

    Returns:
        None if there is no ledger.

    Raises:
        LumoError: If ledger or notes cannot be read or written.
    """
    for attempt in range(ATTEMPTS):
        tip = ledger.take_in()
        if tip is None:
            return None
        before = ledger.repository.refs.read(REF)
        staging = Staging(ledger.repository.objects)
        if before and not anew and _source(staging, before) == tip:
            return _settled(ledger, tip, Noted(before, before, 0))
        try:
            after, count = _make(staging, None if anew else before, tip)
        except MissingObject:  # the ledger that they were made of was rewritten, and is gone
            after, count = _make(staging, None, tip)
        if after == before:
            return _settled(ledger, tip, Noted(before, before, 0))
        try:
            ledger.write_view(REF, before, after, staging.new, "lumo notes")
            return _settled(ledger, tip, Noted(before, after, count))
        except RefMoved:
            if attempt + 1 == ATTEMPTS:
                raise
            _wait(attempt)
    raise AssertionError("unreachable")


def _settled(ledger: Ledger, tip: str, noted: Noted) -> Noted:
    """Remember of which tip the notes are, so that 'git lumo pull' need not look."""
    with contextlib.suppress(OSError):
        write_whole(os.path.join(ledger.lumo_dir, "noted"), tip.encode("ascii"))
    return noted


def push(ledger: Ledger, remote: Remote, show: Show | None = None) -> str | None:
    """Send the notes to a remote: on top of what it has, so that nothing is forced.

    Returns:
        Where they are there now; None if there is no ledger.

    Raises:
        RemoteError: If the remote cannot be reached, refuses, or others are faster all the time.
        LumoError: See :func:`update`.
    """
    refs, tracking = ledger.repository.refs, f"refs/lumo/notes/{remote.name}"
    for attempt in range(ATTEMPTS):
        there = None
        try:
            transport.fetch(ledger.repository, remote.name, REF, tracking, show)
            there = refs.read(tracking)
            ledger.repository.objects.refresh()
        except NoRemoteRef:
            pass
        noted = update(ledger)
        if noted is None:
            return None
        staging = Staging(ledger.repository.objects)
        mine = read_commit(staging, noted.after)
        if there and read_commit(staging, there).tree == mine.tree:
            return there
        if there and not staging.is_ancestor(there, noted.after):
            commit = staging.add_commit(Commit(mine.tree, (there,), mine.author, mine.committer, mine.message))
        else:
            commit = noted.after
        try:
            if commit != noted.after:
                ledger.write_view(REF, noted.after, commit, staging.new, "lumo notes: push")
            transport.push(ledger.repository, remote.name, commit, REF, tracking, show)
            return commit
        except (RefMoved, RemoteMoved):
            if attempt + 1 == ATTEMPTS:
                raise
            _wait(attempt)
    raise AssertionError("unreachable")


def _wait(attempt: int) -> None:
    time.sleep(random.uniform(0, min(LONGEST_PAUSE, PAUSE * 2**attempt)))


def _source(objects: Objects, commit: str) -> str | None:
    """The tip of the ledger of which notes were made; None where others wrote them, or another gitlumo."""
    found = read_commit(objects, commit)
    source = found.trailers(_LEDGER)
    return source[0] if source and found.trailers(_TREE) == [VERSION] else None


def _make(staging: Staging, before: str | None, tip: str) -> tuple[str, int]:
    """The commit that has the notes of a ledger's tip, and of how many commits of code they are new."""
    ledger = read_commit(staging, tip)
    former, old = _former(staging, before)
    gone, come = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    for path, a, b in trees.unit_differences(staging, former, ledger.tree):
        for entry, told in ((a, gone), (b, come)):
            if entry and entry.is_tree and path.count("/") > 1:
                for commit, line in _told(staging, path, entry.id).items():
                    told[commit].add(line)
    changed = {}
    for commit in gone.keys() | come.keys():
        said = notes.read(staging, old, commit).decode("utf-8", "replace")
        lines = (set(said.split("\n")) - gone[commit] - {""}) | come[commit]
        text = "".join(f"{line}\n" for line in sorted(lines))
        if text != said:
            changed[commit] = text.encode("utf-8")
    tree = notes.write(staging, old, changed)
    stamp = f"{layout.IDENTITY} {ledger.time} {ZONE}"
    message = f"runs of each commit\n\n{_TREE}: {VERSION}\n{_LEDGER}: {tip}\n"
    return staging.add_commit(Commit(tree, (), stamp, stamp, message)), len(changed)


def _former(staging: Staging, before: str | None) -> tuple[str | None, str | None]:
    """The trees of the ledger and of the notes as they were; nothing where they do not say of what they are."""
    source = _source(staging, before) if before else None
    if before is None or source is None:
        return None, None
    return read_commit(staging, source).tree, read_commit(staging, before).tree


def _told(objects: Objects, path: str, folder: str) -> dict[str, str]:
    """What a run says of commits: of its code, and of the commit on which that was changed."""
    run = trees.read_run(objects, folder)
    if run is None or run.purged:
        return {}
    files = TreeFiles(objects, folder)
    record = Record(files.read, files.paths, path)
    try:
        record.check()
        git = record.info("git")
        if record.deprecated or not isinstance(git, dict):
            return {}
        subject = layout.event_subject(ids.label_of(path), record.state, best_facts(record.metrics))
    except FormatError:  # damaged, or of a later format
        return {}
    code, head = (_commit(objects, git.get(key)) for key in ("commit", "head"))
    told = {code: subject} if code else {}
    if head and head != code:
        told[head] = f"{subject} (changed: {code[:12]})" if code else subject
    return told


def _commit(objects: Objects, id: object) -> str | None:
    return id if isinstance(id, str) and _ID[objects.hash_name].fullmatch(id) else None
