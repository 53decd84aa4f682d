"""``git lumo push``: share runs with a remote; what leaves this machine is shown first."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gitlumo import wording
from gitlumo.cli.opening import Opened, open_here
from gitlumo.cli.terminal import printable, shorten
from gitlumo.cli.wire import interruptible, show
from gitlumo.errors import LumoError, NoSuchRun, UsageError
from gitlumo.share import remotes
from gitlumo.share.exchange import Pushed, push, ready
from gitlumo.share.leaving import Leaving, Secret, look
from gitlumo.share.remotes import Remote

if TYPE_CHECKING:
    from gitlumo.share.selection import Selection
    from gitlumo.store.record import Record

RUNS_SHOWN = 10
FILES_SHOWN = 8
SECRETS_SHOWN = 10


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("remote", nargs="?", metavar="REMOTE", help="where to (lumo.remote, else origin)")
    parser.add_argument("exp", nargs="*", metavar="EXP", help="share these runs only; none: all")
    parser.add_argument("-n", "--dry-run", action="store_true", help="show what would leave, and send nothing")
    parser.add_argument("-y", "--yes", action="store_true", help="send it although there are secrets in it")
    parser.add_argument("--notes", action="store_true", help="send refs/notes/lumo, too: which runs each commit had")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("--json", action="store_true", help="what leaves, as one object")


def run(args: argparse.Namespace) -> int:
    """Show what leaves, push, and say what was done."""
    opened = open_here()
    name, wanted = _split([args.remote, *args.exp] if args.remote else [], opened)
    if args.notes and wanted:
        raise UsageError("--notes tells of all runs: it does not go with some EXP alone")
    remote = remotes.choose(opened, name)
    selection = _selection(opened, remote, wanted) if wanted else None
    approval = _Approval(opened, remote, args)
    choose = selection.commit if selection else None
    sent = False
    try:
        if args.dry_run:
            approval(ready(opened, choose))
            if not (approval.something or args.quiet or args.json):
                print(printable(f"nothing would leave: {remote.name} has it all"))
            return 0
        with interruptible("push"):
            pushed = push(opened, remote, approval, show(args.quiet or args.json), choose)
            if args.notes:
                from gitlumo.share import noting

                noting.push(opened.ledger, remote, show(args.quiet or args.json))
        sent = True
    finally:
        if selection:
            selection.release(sent=sent)
    if not (args.quiet or args.json):
        print(printable(_told(opened, pushed)))
    return 0


def _split(words: list[str], opened: Opened) -> tuple[str | None, list[str]]:
    """The remote and the runs that are meant: the first word is a remote if there is one of that name."""
    if words and words[0] in opened.repository.remote_names():
        return words[0], words[1:]
    return None, words


def _selection(opened: Opened, remote: Remote, wanted: list[str]) -> Selection:
    from gitlumo.share.selection import Selection

    return Selection(opened, remote, [_run(opened, text) for text in wanted])


def _run(opened: Opened, text: str) -> Record:
    try:
        found = opened.runs().resolve(text).record
    except NoSuchRun as error:
        known = ", ".join(opened.repository.remote_names()) or "none"
        raise NoSuchRun(f"{error}\n(and there is no remote of that name; there are: {known})") from None
    found.check()
    return found


class _Approval:
    """Shows what leaves before it does, once, and says no to secrets."""

    def __init__(self, opened: Opened, remote: Remote, args: argparse.Namespace):
        self._opened, self._remote, self._args = opened, remote, args
        self._shown = False
        self.something = False

    def __call__(self, commit: str) -> None:
        leaving = look(self._opened, commit, self._remote)
        if self._args.json and not self._shown:
            import json

            print(json.dumps(as_json(leaving, self._remote), indent=2, sort_keys=True))
        elif not self._args.quiet and not self._shown:
            for line in lines(leaving, self._remote):
                print(printable(line), flush=True)
        if leaving.trouble:
            print(printable(f"warning: {leaving.trouble}"), file=sys.stderr)
        self._shown, self.something = True, leaving.objects > 0
        if leaving.secrets and not self._args.yes:
            listed = [f"  {_secret(secret)}" for secret in leaving.secrets[:SECRETS_SHOWN]]
            more = len(leaving.secrets) - len(listed)
            allow = any(secret.rule for secret in leaving.secrets)
            raise LumoError(
                "\n".join(
                    [
                        f"{wording.count(len(leaving.secrets), 'secret')} would leave this machine; nothing was sent",
                        *listed,
                        *([f"  and {more} more"] if more else []),
                        *(["if one of gitleaks' is none, tell it in .gitleaks.toml"] if allow else []),
                        "make them worthless where they are from; or send them all the same:  git lumo push --yes",
                    ]
                )
            )


def _secret(secret: Secret) -> str:
    return f"{secret.path}: {secret.token}{f' (gitleaks: {secret.rule})' if secret.rule else ''}"


def lines(leaving: Leaving, remote: Remote) -> Iterator[str]:
    """What leaves, for people; nothing if there is nothing."""
    if not leaving.objects:
        return
    runs, events = wording.count(len(leaving.runs), "run"), wording.count(leaving.events, "event")
    told = f"{wording.count(leaving.objects, 'object')}, {wording.size(leaving.size)}"
    yield f"to {remote.name}: {runs} in {events}, {told}"
    subjects = list(leaving.runs.values())
    yield from (f"  {shorten(subject, 100)}" for subject in subjects[:RUNS_SHOWN])
    if len(subjects) > RUNS_SHOWN:
        yield f"  and {len(subjects) - RUNS_SHOWN} more"
    if leaving.code:
        yield f"  {wording.count(leaving.code, 'commit')} of code that {remote.name} does not have yet"
    if leaving.snapshots:
        yield f"  {wording.count(leaving.snapshots, 'snapshot')} of code that was never committed"
    if leaving.untracked:
        shown = ", ".join(leaving.untracked[:FILES_SHOWN])
        more = len(leaving.untracked) - FILES_SHOWN
        yield f"    with files that were not tracked: {shown}{f' and {more} more' if more > 0 else ''}"


def as_json(leaving: Leaving, remote: Remote) -> dict[str, Any]:
    """What ``--json`` prints."""
    listed = ("commit", "runs", "events", "code", "snapshots", "untracked", "objects", "size")
    secrets = [secret._asdict() for secret in leaving.secrets]
    return {"remote": remote.name, **{name: getattr(leaving, name) for name in listed}, "secrets": secrets}


def _told(opened: Opened, pushed: Pushed) -> str:
    place = f"{pushed.remote.name}/{opened.settings.branch} at {pushed.after[:12]}"
    return f"nothing new: {place}" if pushed.before == pushed.after else f"pushed: {place}"
