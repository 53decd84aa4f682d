"""``git lumo restore``: runs out of their backups, back into the ledger."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gitlumo.cli.opening import Opened, open_here
from gitlumo.cli.terminal import printable
from gitlumo.cli.wire import interruptible, show
from gitlumo.errors import FormatError, LumoError, UsageError

if TYPE_CHECKING:
    from gitlumo.backup.restoring import Backup, Outcome


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument(
        "source",
        nargs="+",
        metavar="SRC",
        help="github:OWNER/REPO#NUMBER or its page's address; a tar; a bundle; another repository's folder or URL",
    )
    parser.add_argument("-a", "--all", action="store_true", help="all runs in the issues of github:OWNER/REPO")
    parser.add_argument("-f", "--force", action="store_true", help="of a damaged issue take what can be read")
    parser.add_argument("--only", action="append", metavar="EXP", help="of a tar these runs alone, by name or uid")
    parser.add_argument("-n", "--dry-run", action="store_true", help="say what is there, and restore nothing")
    parser.add_argument("--json", action="store_true", help="what was restored, an object a run")
    parser.epilog = (
        "A run comes back with its uid and its history, marked as restored: where it meets the run itself, that one"
        " stays. Its code comes along if a remote has it."
    )


def run(args: argparse.Namespace) -> int:
    """Restore, and say what came back."""
    from gitlumo.backup import restoring
    from gitlumo.backup.elsewhere import is_address
    from gitlumo.backup.restoring import Backup

    opened = open_here()
    issues = [source for source in args.source if _is_issue(source, opened)]
    others = [source for source in args.source if source not in issues]
    for source in others:
        if not os.path.exists(source) and not is_address(source):
            raise LumoError(
                f"there is no file or folder {source}\nSRC can be a tar, a bundle, a repository's folder or URL,"
                " or an issue such as github:OWNER/REPO#1"
            )
    if args.only and (issues or not all(os.path.isfile(source) for source in others)):
        raise UsageError(
            "--only is for a tar: issues are named one by one, and a bundle or repository comes as a whole"
        )
    if others and (args.force or args.all):
        raise UsageError("--force and --all are for issues on GitHub; a damaged tar or bundle is refused as a whole")
    with interruptible("restore"):
        backups, damaged = [], 0
        for found in _from_github(opened, issues, args):
            if isinstance(found, Backup):
                backups.append(found)
            else:
                damaged += 1
                print(printable(f"error: {found}", newlines=True), file=sys.stderr)
        if args.dry_run:
            _preview(opened, backups, others)
            return 1 if damaged else 0
        outcomes = restoring.restore(opened, backups, show()) if backups else []
        for source in others:
            outcomes += _from_elsewhere(opened, source, args.only)
    for outcome in outcomes:
        for line in [json.dumps(as_json(outcome), sort_keys=True)] if args.json else lines(outcome):
            print(printable(line))
    return 1 if damaged or any(outcome.outcome == restoring.PURGED for outcome in outcomes) else 0


def _is_issue(source: str, opened: Opened) -> bool:
    from gitlumo.backup import address

    if source.startswith("github:"):
        return True
    return not os.path.exists(source) and address.parse(source, opened.settings.github_url) is not None


def _from_elsewhere(opened: Opened, source: str, only: list[str] | None) -> list[Outcome]:
    from gitlumo.backup import untar

    kind = _kind(source)
    if kind is untar:
        return untar.restore(opened, source, only, show())
    if only:
        raise UsageError("--only is for a tar; a bundle comes as a whole")
    found: list[Outcome] = kind.restore(opened, source, show())
    return found


def _kind(source: str) -> ModuleType:
    from gitlumo.backup import bundle, elsewhere, untar
    from gitlumo.git.bundle import is_bundle

    if not os.path.isfile(source):
        return elsewhere
    return bundle if is_bundle(source) else untar


def _preview(opened: Opened, backups: list[Backup], others: list[str]) -> None:
    from gitlumo.backup import restoring

    for backup in backups:
        restoring.check(opened.repository.objects, backup)
        print(printable(f"{backup.origin} holds {backup.parcel.name} ({backup.parcel.record.state})"))
    for source in others:
        for each in _kind(source).check(opened, source):
            print(printable(f"{source} holds {each.name}, {each.state}{f' ({each.said})' if each.said else ''}"))


def _from_github(opened: Opened, sources: list[str], args: argparse.Namespace) -> Iterator[Backup | FormatError]:
    from gitlumo.backup import address
    from gitlumo.backup.address import Address

    api = opened.settings.github_url
    wanted: dict[str, list[int]] = {}
    for source in sources:
        found, repo = address.parse(source, api), address.parse_repo(source)
        if args.all and repo:
            wanted[repo] = []
        elif found and not args.all:
            wanted.setdefault(found[0], []).append(found[1])
        elif repo:
            raise UsageError(f"{source} is a whole repository; name an issue, {source}#NUMBER, or say --all")
        else:
            can = "github:OWNER/REPO with --all" if args.all else "github:OWNER/REPO#NUMBER or an issue's address"
            raise UsageError(f"{source!r} is no backup; it can be {can}")
    for repo, numbers in wanted.items():
        yield from _issues(opened, Address(api, repo), numbers, force=args.force)


def _issues(opened: Opened, place: Any, numbers: list[int], *, force: bool) -> Iterator[Backup | FormatError]:
    """The runs of some issues; of all, where none is named: then what is wrong with one is no matter for the others.

    Raises:
        FormatError: If one that is named is damaged.
    """
    from gitlumo.backup import address, restoring
    from gitlumo.backup.api import Client
    from gitlumo.backup.holdings import Holdings
    from gitlumo.backup.pace import Pace
    from gitlumo.cli.backup import tell

    client = Client(place, address.token(opened, place), Pace(opened.settings.github_pause), tell)
    try:
        holdings = Holdings(opened, client)
        yield from [holdings.backup(holdings.one(number), force=force) for number in numbers]
        for issue in () if numbers else holdings.all():
            try:
                found = holdings.backup(issue, force=force)
                restoring.check(opened.repository.objects, found)
                yield found
            except FormatError as error:
                yield error
    finally:
        client.close()


def lines(outcome: Outcome) -> Iterator[str]:
    """What became of a run, for people."""
    from gitlumo.backup.restoring import RESTORED

    backup = outcome.backup
    yield f"{outcome.outcome}: {backup.parcel.name} from {backup.origin}"
    if outcome.outcome != RESTORED:  # what is here has not become of the backup
        return
    if masked := backup.lost.get("masked"):
        yield f"  masked in its backup: {', '.join(map(str, masked))}"
    if history := backup.lost.get("history"):
        of = f" of its {history['of']}" if history.get("of") else ""
        yield f"  its history has {history.get('lines')}{of} lines"
    if left_out := backup.lost.get("left_out"):
        yield f"  its backup lacks {', '.join(str(each.get('path')) for each in left_out)}"
    for problem in backup.lost.get("forced") or ():
        yield f"  restored all the same, though {problem}"
    if outcome.missing_code:
        commit = outcome.missing_code
        yield f"  its code, {commit[:12]}, is neither here nor at a remote; where it is: git fetch URL {commit}"


def as_json(outcome: Outcome) -> dict[str, Any]:
    """What ``--json`` prints of a run."""
    backup = outcome.backup
    return {"exp": backup.parcel.name, "uid": backup.parcel.identity.uid, "from": backup.origin, "did": outcome.outcome,
            "lost": dict(backup.lost), "missing_code": outcome.missing_code}  # fmt: skip
