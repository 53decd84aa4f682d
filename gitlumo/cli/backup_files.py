"""``git lumo backup --to tar | bundle | DIR | URL``: runs in a file, or in another repository."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from gitlumo import wording
from gitlumo.cli.opening import Opened, open_here
from gitlumo.cli.terminal import printable
from gitlumo.cli.wire import interruptible, show
from gitlumo.errors import UsageError

if TYPE_CHECKING:
    from gitlumo.backup.checking import Checked
    from gitlumo.backup.tar import Written
    from gitlumo.git.transport import Show

SHOWN = 8
_ISSUES = ("repo", "dry_run", "no_update", "keep_open", "label", "milestone", "assignee")
_ONLY = {"with_blob": "tar", "with_cache": "tar", "since": "bundle"}


def run(args: argparse.Namespace) -> int:
    """Write, or check."""
    from gitlumo.cli.backup import chosen

    _check_options(args)
    opened = open_here()
    progress = show(args.quiet or args.json)
    with interruptible("backup"):
        if args.check:
            founds = chosen(opened, args) if args.exp or args.where or args.all else []
            return _tell(_checked(opened, args, founds, progress), args)
        founds = chosen(opened, args)
        if not founds:
            print("no run is to be backed up", file=sys.stderr)
            return 0
        written = _write(opened, args, founds, progress)
    if args.json:
        print(json.dumps(as_json(written), sort_keys=True))
    elif not args.quiet:
        for line in lines(written, args.to):
            print(printable(line), file=sys.stderr if args.output == "-" else sys.stdout)
    return 0


def _check_options(args: argparse.Namespace) -> None:
    for name in _ISSUES:
        if getattr(args, name):
            raise UsageError(f"--{name.replace('_', '-')} is for issues: --to github")
    for name, kind in _ONLY.items():
        if getattr(args, name) and args.to != kind:
            raise UsageError(f"--{name.replace('_', '-')} is for --to {kind}")
    if args.to in ("tar", "bundle"):
        if not args.output:
            name = "runs.tar.gz" if args.to == "tar" else "runs.bundle"
            raise UsageError(f"say which file: -o FILE, such as -o {name}")
        if args.output == "-":
            _check_stdout(args)
    elif args.output or args.force:
        raise UsageError("-o and --force are for files; --to names the other repository itself")


def _check_stdout(args: argparse.Namespace) -> None:
    if args.check:
        raise UsageError("--check reads a file more than once, which standard input cannot be; name it with -o FILE")
    if args.json:
        raise UsageError(f"-o - writes the {args.to} where --json would print; take one of them")
    if sys.stdout.isatty():
        raise UsageError(f"a {args.to} is no text for a terminal; name a file with -o, or send it through a pipe")


def _write(opened: Opened, args: argparse.Namespace, founds: list[Any], progress: Show | None) -> Written:
    from gitlumo.backup import bundle, elsewhere, tar

    code = not args.no_code
    if args.to == "tar":
        beside = {"with_blob": args.with_blob, "with_cache": args.with_cache}
        return tar.write(opened, founds, args.output, with_code=code, **beside, force=args.force)
    if args.to == "bundle":
        return bundle.write(opened, founds, args.output, with_code=code, since=args.since, force=args.force)
    return elsewhere.write(opened, founds, args.to, with_code=code, show=progress)


def _checked(opened: Opened, args: argparse.Namespace, founds: list[Any], progress: Show | None) -> Iterator[Checked]:
    from gitlumo.backup import bundle, elsewhere, untar

    if args.to == "tar":
        return untar.check(opened, args.output, founds)
    if args.to == "bundle":
        return bundle.check(opened, args.output, founds)
    return elsewhere.check(opened, args.to, founds, progress)


def _tell(checked: Iterable[Checked], args: argparse.Namespace) -> int:
    from gitlumo.backup.checking import WHOLE

    good = True
    for each in checked:
        good = good and each.state == WHOLE
        if args.json:
            print(json.dumps({"exp": each.name, "uid": each.uid, "state": each.state, "problem": each.said}))
        elif not args.quiet:
            print(printable(f"{each.name}: {each.state}{f' ({each.said})' if each.said else ''}"))
    return 0 if good else 1


def lines(written: Written, kind: str) -> Iterator[str]:
    """What was written, for people."""
    size = f", {wording.size(written.size)}" if written.size else ""
    yield f"{written.path}: {wording.count(written.runs, 'run')}{size}"
    for each in written.left_out[:SHOWN]:
        yield f"  without {each.path} ({each.reason})"
    if len(written.left_out) > SHOWN:
        yield f"  and without {len(written.left_out) - SHOWN} more"
    for commit in written.missing_code[:SHOWN]:
        yield f"  without the code {commit[:12]}, which is not whole here"
    if kind == "bundle" and written.path != "-":
        yield f'  (to look into it: "git clone {shlex.quote(os.path.basename(written.path))}" and "git lumo log" there)'


def as_json(written: Written) -> dict[str, Any]:
    """What ``--json`` prints."""
    left_out = [{"path": each.path, "reason": each.reason} for each in written.left_out]
    return {"path": written.path, "runs": written.runs, "size": written.size, "left_out": left_out,
            "missing_code": list(written.missing_code)}  # fmt: skip
