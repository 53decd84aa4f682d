"""``git lumo archive``: code and record of a run in one file, ready to run: what one attaches to a paper."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from typing import Any

from gitlumo.cli.opening import Opened, open_here
from gitlumo.cli.terminal import printable
from gitlumo.errors import LumoError, UsageError
from gitlumo.git import export
from gitlumo.rerun import archive, packing
from gitlumo.rerun.code import commit_of
from gitlumo.store.query import Found

TO_UNPACK = {"tar": "tar -xf", "tar.gz": "tar -xf", "tar.zst": "tar -xf", "zip": "unzip"}


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("exp", metavar="EXP", help="the run")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="where to (EXP_NAME-TEST_NAME.tar.gz here); -: standard output"
    )
    parser.add_argument("--format", choices=sorted(packing.FORMATS), help="what FILE's name does not say (tar.gz)")
    parser.add_argument("-f", "--force", action="store_true", help="write over a file that is there")
    parser.add_argument("--json", action="store_true", help="what was written, as one object")


def run(args: argparse.Namespace) -> int:
    """Write it, and say how it is tried."""
    if args.output == "-" and args.json:
        raise UsageError("-o - writes the archive where --json would print; take one of them")
    if args.output == "-" and sys.stdout.isatty():
        raise UsageError("the archive is no text for a terminal; name a file with -o, or send it through a pipe")
    format = args.format or packing.format_of(args.output or "") or "tar.gz"
    if args.output not in (None, "-") and args.format is None and packing.format_of(args.output) is None:
        known = ", ".join(ending for endings in packing.FORMATS.values() for ending in endings)
        raise UsageError(f"{args.output!r} does not say which archive it is: let it end in {known}, or give --format")
    opened = open_here()
    found = opened.runs().resolve(args.exp)
    found.record.check()
    if args.output == "-":
        _write(opened, found, format, sys.stdout.buffer)
        return 0
    path = args.output or f"{archive.folder_of(found)}{packing.FORMATS[format][0]}"
    try:
        with packing.whole_file(path, force=args.force) as out:
            count = _write(opened, found, format, out)
    except OSError as error:
        raise LumoError(f"{error.filename or path}: {error.strerror}; name another place with -o FILE") from None
    if args.json:
        facts = {"exp": found.label, "path": os.path.abspath(path), "format": format, "files": count}
        print(json.dumps(facts, indent=2))
        return 0
    steps = f"{TO_UNPACK[format]} {shlex.quote(path)} && cd {shlex.quote(archive.folder_of(found))} && python run.py"
    print(printable(f"{path}: code and record of {found.label}, {count} files"))
    print(printable(f'  (to try it, in an empty folder: "{steps}")'))
    return 0


def _write(opened: Opened, found: Found, format: str, out: Any) -> int:
    commit = commit_of(opened.branch, found)
    for name in export.filters(opened.repository, commit):
        print(
            f"warning: files pass through the filter '{printable(name)}' (.gitattributes); the archive holds them as "
            "git recorded them, so where that filter is not they are not what the run has read",
            file=sys.stderr,
        )
    moment = archive.moment_of(opened.repository, commit)
    return packing.write(out, format, archive.members(opened.repository, found, commit), moment)
