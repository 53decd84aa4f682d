"""``git lumo backup``: runs as issues on GitHub, in an archive, in a git bundle, or in another repository."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from gitlumo import wording
from gitlumo.cli.opening import Opened, open_here, positive
from gitlumo.cli.terminal import bar, printable
from gitlumo.cli.wire import interruptible
from gitlumo.errors import UsageError

if TYPE_CHECKING:
    from gitlumo.backup.address import Address
    from gitlumo.backup.api import Client
    from gitlumo.backup.batch import Failed
    from gitlumo.backup.issues import Done, Options
    from gitlumo.store.query import Found

MASKED_SHOWN = 6
PREVIEW = "lumo-backup"


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("exp", nargs="*", metavar="EXP", help="these runs")
    parser.add_argument("--where", metavar="EXPR", help="the runs that are like that, as for git lumo log")
    parser.add_argument("-a", "--all", action="store_true", help="all runs that are not deprecated")
    parser.add_argument(
        "--to",
        default="github",
        metavar="KIND",
        help="github (issues), tar, bundle, or another repository's folder or URL",
    )
    parser.add_argument(
        "-o", "--output", metavar="PATH", help=f"the file (-: standard output); where --dry-run writes ({PREVIEW}/)"
    )
    parser.add_argument("--check", action="store_true", help="see whether the backups are there, whole and up to date")
    parser.add_argument("--json", action="store_true", help="what was done, an object a run")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    group = parser.add_argument_group("issues on GitHub")
    group.add_argument("--repo", metavar="OWNER/NAME", help="whose issues (lumo.githubRepo, else the remote's)")
    group.add_argument("-n", "--dry-run", action="store_true", help="write what would be sent into files")
    group.add_argument("--no-update", action="store_true", help="leave issues that are there as they are")
    group.add_argument("--keep-open", action="store_true", help="do not close the issue of a run that has ended")
    group.add_argument("-l", "--label", action="append", default=[], metavar="LABEL", help="one more label")
    group.add_argument("--milestone", metavar="TITLE", help="the milestone of new issues")
    group.add_argument("--assignee", action="append", default=[], metavar="USER", help="who new issues are assigned to")
    group.add_argument("-j", "--jobs", type=positive, default=1, metavar="N", help="prepare so many at a time (1)")
    files = parser.add_argument_group("files")
    files.add_argument("-f", "--force", action="store_true", help="write over a file that is there")
    files.add_argument("--no-code", action="store_true", help="leave the code out")
    files.add_argument("--with-blob", action="store_true", help="tar: take the runs' blob_dir along, as it is here")
    files.add_argument("--with-cache", action="store_true", help="tar: take the runs' cache_dir along, too")
    files.add_argument("--since", metavar="LAST", help="bundle: only what is new since LAST, a bundle of before")
    parser.epilog = (
        "A tar's format is that of its name: .tar.gz, .tar.zst, .tar; on standard output it is .tar.gz. A bundle is"
        " git's: git clone FILE works. git lumo restore brings all of them back."
    )


def run(args: argparse.Namespace) -> int:
    """Back up, or check."""
    if args.to != "github":
        from gitlumo.cli import backup_files

        return backup_files.run(args)
    for name in ("force", "no_code", "with_blob", "with_cache", "since"):
        if getattr(args, name):
            raise UsageError(f"--{name.replace('_', '-')} is for files: --to tar or --to bundle, and -o FILE")
    if args.output and not args.dry_run:
        raise UsageError("-o says where --dry-run writes; issues go to --repo, and files need --to tar or --to bundle")
    opened = open_here()
    founds = chosen(opened, args)
    if not founds:
        print("no run is to be backed up", file=sys.stderr)
        return 0
    with interruptible("backup"):
        return _github(opened, founds, args)


def chosen(opened: Opened, args: argparse.Namespace) -> list[Found]:
    """The runs that are meant.

    Raises:
        UsageError: If none is named.
        NoSuchRun: If a name means none, or more than one.
    """
    given = bool(args.exp) + bool(args.where) + args.all
    if given > 1 or not (given or args.check):
        raise UsageError("say which runs: EXP..., or --where EXPR, or --all")
    if args.exp:
        runs = opened.runs()
        founds = {found.path: found for found in map(runs.resolve, args.exp)}
        return list(founds.values())
    from gitlumo.cli.listing import Wanted
    from gitlumo.cli.listing import chosen as rows_of
    from gitlumo.expression import parse
    from gitlumo.revisions import Revisions
    from gitlumo.watcher import Selection

    with Selection(opened.branch, opened.cache_root) as selection:
        where = parse(args.where, selection, Revisions(opened.repository)) if args.where else None
        rows = list(rows_of(selection, Wanted(where)))
    return [row.found for row in reversed(rows)]  # the oldest first: issues are numbered in this order


def _github(opened: Opened, founds: list[Found], args: argparse.Namespace) -> int:
    from gitlumo.backup import address

    place = address.find(opened, args.repo)
    if args.dry_run:
        return _preview(opened, founds, place, args)
    from gitlumo.backup.api import Client
    from gitlumo.backup.batch import back_up
    from gitlumo.backup.issues import Backups
    from gitlumo.backup.pace import Pace

    token, pace = address.token(opened, place), Pace(opened.settings.github_pause)

    def connect() -> Client:
        return Client(place, token, pace, tell)

    backups = Backups(opened, connect(), _options(args))
    try:
        backups.look(founds)
        if args.check:
            return _check(backups, founds, args)
        shown = _Bar(len(founds)) if sys.stderr.isatty() and len(founds) > 1 and not args.quiet else None
        done: list[Done | Failed] = []
        try:
            for result in back_up(backups, founds, args.jobs, connect):
                done.append(result)
                _show(result, args, alone=len(founds) == 1, bar=shown)
        finally:
            if shown:
                shown.end()
            if len(founds) > 1:
                _sum_up(done, len(founds), args)
    finally:
        backups.close()
    return 1 if any(not hasattr(result, "number") for result in done) else 0


def _options(args: argparse.Namespace) -> Options:
    from gitlumo.backup.issues import Options

    return Options(not args.no_update, tuple(args.label), args.keep_open, args.milestone, tuple(args.assignee))


def tell(line: str) -> None:
    """Say for what is waited."""
    print(printable(line), file=sys.stderr, flush=True)


def _show(result: Done | Failed, args: argparse.Namespace, *, alone: bool, bar: _Bar | None) -> None:
    from gitlumo.backup.batch import Failed

    if bar:
        bar.clear()
    if isinstance(result, Failed):
        if alone:
            raise result.error
        print(printable(f"error: {result.label}: {result.error}", newlines=True), file=sys.stderr)
    elif args.json:
        print(json.dumps(as_json(result), sort_keys=True), flush=True)
    elif not args.quiet:
        for line in lines(result):
            print(printable(line), flush=True)
    if bar:
        bar.step(failed=isinstance(result, Failed))


def lines(done: Done) -> Iterable[str]:
    """What became of a run, for people."""
    yield f"{done.label}: {done.what}, github:{done.repo}#{done.number}  {done.url}"
    if done.masked:
        yield f"  masked: {_some(done.masked)}"
    if thinned := done.lost.get("history"):
        yield f"  the history was too long: {thinned['lines']} of its {thinned['of']} lines are there"
    if left_out := done.lost.get("left_out"):
        yield f"  too large, left out: {_some([each['path'] for each in left_out])}"
        yield f'  (whole, in a file: "git lumo backup {done.label} --to tar -o FILE")'


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MASKED_SHOWN} more" if len(names) > MASKED_SHOWN else ""
    return f"{', '.join(names[:MASKED_SHOWN])}{more}"


def as_json(done: Done) -> dict[str, Any]:
    """What ``--json`` prints of a run."""
    return {"exp": done.label, "backend": "github", "did": done.what, "repo": done.repo, "number": done.number,
            "url": done.url, "masked": list(done.masked), "lost": done.lost}  # fmt: skip


def _sum_up(done: Sequence[Done | Failed], total: int, args: argparse.Namespace) -> None:
    counts = Counter(getattr(result, "what", "failed") for result in done)
    told = [f"{counts[what]} {what}" for what in ("new", "updated", "unchanged", "failed") if counts[what]]
    if len(done) < total:
        told.append(f"{total - len(done)} not done")
    again = "; the same command again goes on" if counts["failed"] or len(done) < total else ""
    if not args.quiet or again:
        print(f"{wording.count(total, 'run')}: {', '.join(told)}{again}", file=sys.stderr)


def _check(backups: Any, founds: Sequence[Found], args: argparse.Namespace) -> int:
    from gitlumo.backup.holdings import GOOD

    good = True
    for found in founds:
        state, kept, why = backups.check(found)
        good = good and state == GOOD
        if args.json:
            number = kept.number if kept else None
            print(json.dumps({"exp": found.label, "state": state, "number": number, "problem": why}, sort_keys=True))
        elif not args.quiet:
            where = f"  {kept.url}" if kept else ""
            print(printable(f"{found.label}: {state}{f' ({why})' if why else ''}{where}"))
    if not good and not (args.quiet or args.json):
        print('  (to bring them up to date: the same command without "--check")', file=sys.stderr)
    return 0 if good else 1


def _preview(opened: Opened, founds: Sequence[Found], place: Address, args: argparse.Namespace) -> int:
    """Write the bodies that would be sent; nothing is asked or sent."""
    from gitlumo.backup import draft
    from gitlumo.backup.holdings import published

    folder = args.output or PREVIEW
    for found in founds:
        run = published(opened, found)
        made = draft.of(run, place, place)
        for path in draft.write(folder, made):
            print(printable(path))
    print(f"nothing was sent; this is what would go to {place.web}/issues", file=sys.stderr)
    return 0


class _Bar:
    """A line on the terminal that says how far it is."""

    def __init__(self, total: int):
        self._total, self._done, self._failed = total, 0, 0
        self._draw()

    def _draw(self) -> None:
        print(f"\r\033[K{bar(self._done, self._total, self._failed)}", end="", file=sys.stderr, flush=True)

    def step(self, *, failed: bool) -> None:
        self._done, self._failed = self._done + 1, self._failed + failed
        self._draw()

    def clear(self) -> None:
        print("\r\033[K", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        self.clear()
