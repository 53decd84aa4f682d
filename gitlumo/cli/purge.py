"""``git lumo purge``: take a run out for good."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitlumo.cli.opening import Opened, open_here
from gitlumo.cli.terminal import printable
from gitlumo.errors import LumoError, NoSuchRun

if TYPE_CHECKING:
    from gitlumo.store.events import Past
    from gitlumo.store.layout import Identity
    from gitlumo.store.ledger import Ledger

CONTAINS = 200  # events whose refs git is asked for
_UID = re.compile(r"[0-9a-f]{4,32}")


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("exp", metavar="EXP", help="the run; one that is purged already is by its name or its uid")
    parser.add_argument("-n", "--dry-run", action="store_true", help="say who has it, and do nothing")
    parser.epilog = (
        "The run's files are deleted here, and a tombstone takes its place in the ledger: every clone that takes it in"
        " drops the run, whatever it has of it. Events that no remote has are dropped from the history as well. It"
        " cannot be undone."
    )


@dataclass(frozen=True)
class Subject:
    """The run that is purged.

    Attributes:
        identity: Who it is.
        names: The (exp_name, test_name) under which the ledger may have it.
        state: Its state, for the event.
        label: As it is called.
    """

    identity: Identity
    names: tuple[tuple[str, str], ...]
    state: str
    label: str


def run(args: argparse.Namespace) -> int:
    """Purge, and say who still has it."""
    from gitlumo import values
    from gitlumo.store.events import past

    opened = open_here()
    ledger = opened.ledger
    if not args.dry_run:
        _settle(ledger)
    subject = find(opened, args.exp)
    view = ledger.view()
    uid = subject.identity.uid
    told = [event for event in past(view.objects, view.tips.values()) if event.uid == uid]
    if args.dry_run:
        for line in _holders(ledger, subject, told):
            print(printable(line))
        return 0
    line = f"{subject.label} {subject.state} purged"
    tip = ledger.purge(subject.identity, subject.names, line, values.time_text(time.time()))
    left = {event.commit for event in past(ledger.repository.objects, [tip]) if event.uid == uid}
    gone = sum(1 for event in told if event.commit not in left)
    _clean(ledger)
    print(printable(f"purged {subject.label}: its tombstone is in {opened.settings.branch} at {tip[:12]}"))
    if gone:
        print(f"  {_events(gone)} dropped from the history here; the objects go with git's gc (git gc --prune=now)")
    for line in (*_delete(opened, ledger, subject), *_holders(ledger, subject, told)):
        print(printable(line))
    return 0


def find(opened: Opened, name: str) -> Subject:
    """The run that is meant: one that can be seen, or else one that is purged already.

    Raises:
        NoSuchRun: If there is none, or more than one.
        LumoError: If it is alive.
    """
    from gitlumo.store import layout
    from gitlumo.store.pending import pending_runs

    try:
        found = opened.runs().resolve(name)
    except NoSuchRun:
        buried = _buried(opened, name)
        if buried is None:
            raise
        return buried
    identity = layout.read_identity(found.record.read)
    if identity is None:
        raise LumoError(f"{found.label}: its uid, exp_name, test_name or progress is damaged; type 'git lumo fsck'")
    for pending in pending_runs(opened.branch):
        if pending.run.uid == identity.uid and pending.lives:
            raise LumoError(
                f"{found.label} is running here; end it first\n"
                f"if it is dead: git lumo recover --force {shlex.quote(found.label)}"
            )
    place = found.path.split("/")  # a stranger may have moved it
    moved = [(place[0], place[-1].partition("~")[0])] if not found.path.startswith(os.sep) else []
    return Subject(identity, tuple(dict.fromkeys([*identity.names, *moved])), found.record.state, found.label)


def _buried(opened: Opened, name: str) -> Subject | None:
    """A run that is purged already, by its name or the beginning of its uid."""
    from gitlumo.store import trees

    view = opened.branch.view()
    found = []
    for place in trees.places(view.objects, view.tree):
        run = trees.read_run(view.objects, place.tree)
        if run and run.purged:
            is_named = name in (run.name[1], "/".join(run.name), place.label)
            if is_named or (_UID.fullmatch(name) and run.uid.startswith(name)):
                found.append(Subject(run.identity, run.identity.names, "finished", "/".join(run.name)))
    if len(found) > 1:
        uids = "\n".join(f"  {each.identity.uid}" for each in found)
        raise NoSuchRun(f"{name!r} may mean {len(found)} runs that are purged; say which uid:\n{uids}")
    return found[0] if found else None


def _settle(ledger: Ledger) -> None:
    """Publish what dead runs left, as every verb that writes does: the one that is purged may be among them."""
    import contextlib

    from gitlumo.store.recovery import recover

    with contextlib.suppress(LumoError, OSError):
        recover(ledger)


def _clean(ledger: Ledger) -> None:
    """Let go of what the ledger, as it is here and at remotes, and its notes were, so that git's gc may delete it."""
    from gitlumo.share import noting

    if ledger.repository.refs.read(noting.REF):
        noting.update(ledger)
        ledger.repository.forget(noting.REF)
    for ref in ledger.tips():
        ledger.repository.forget(ref)
    ledger.look_after()


def _delete(opened: Opened, ledger: Ledger, subject: Subject) -> Iterator[str]:
    """Delete the run's folders on this disk."""
    from gitlumo import wording
    from gitlumo.beginning import folder_name, roots
    from gitlumo.cli.rm import delete
    from gitlumo.store import register

    places, uid = roots(opened.settings, ledger.lumo_dir), subject.identity.uid
    register.remove(ledger.lumo_dir, uid)
    for exp_name, test_name in subject.names:
        name = folder_name(exp_name, test_name, uid, places["info_root"], ledger.lumo_dir)
        for key in ("blob_root", "cache_root", "info_root") if name else ():  # the last one says whose the others are
            folder = os.path.join(places[key], exp_name, name or "")
            if os.path.lexists(folder):
                yield f"  deleted {folder} ({wording.size(delete(folder, places[key]))})"


def _holders(ledger: Ledger, subject: Subject, told: list[Past]) -> Iterator[str]:
    """Who still has the run in a history, and how it gets out of there."""
    ledger.repository.objects.refresh()
    commits = [event.commit for event in told if not event.said.endswith("purged")]
    refs = ledger.repository.refs_with(commits[-CONTAINS:])
    ending = f"/{ledger.settings.branch}"
    tracking = [ref for ref in refs if ref.startswith("refs/remotes/") and ref.endswith(ending)]
    names = [ref.removeprefix("refs/remotes/").removesuffix(ending) for ref in tracking]
    others = [ref for ref in refs if ref not in tracking and (ref != ledger.settings.ref or not tracking)]
    if not refs:
        yield "nobody else has it, as far as is known here"
    for ref in others:
        yield f"{ref} has it here, too"
    for name in names:
        yield from _remedy(ledger, subject, name, told)


def _remedy(ledger: Ledger, subject: Subject, name: str, told: list[Past]) -> Iterator[str]:
    branch, uid = ledger.settings.branch, subject.identity.uid
    yield f"{name} has it in its history, and so has every clone that has fetched it from there"
    yield f"  git lumo push {name}                   # brings the tombstone there: then nobody sees it any more"
    yield "to take it out of the history, too, whoever looks after it types there, in the repository:"
    yield f"  git lumo purge {uid} && git gc --prune=now"
    yield "or, with the right to force, anywhere (a pre-receive hook of gitlumo's forbids that):"
    yield f'  git clone --bare "$(git remote get-url {name})" purge.git && cd purge.git'
    yield f"  git lumo purge {uid} && git push --force origin {branch}"
    yield "and then everybody, in each clone, before the next push (else the old history comes back):"
    yield f"  git fetch {name} && git lumo purge {uid} && git gc --prune=now"


def _events(number: int) -> str:
    return f"{number} event{'s' if number != 1 else ''}"
