"""``git lumo pull``: fetch a remote's runs, and join them with the local ones; no merge ever asks anything."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from itertools import islice

from gitlumo.cli import fetch
from gitlumo.cli.opening import Opened, open_here
from gitlumo.cli.terminal import printable
from gitlumo.cli.wire import interruptible, show
from gitlumo.errors import LumoError
from gitlumo.git import process
from gitlumo.share import remotes
from gitlumo.share.exchange import Pulled, pull

NOTED_AT_ONCE = 100  # runs


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    fetch.options(parser)


def run(args: argparse.Namespace) -> int:
    """Pull, and say what came."""
    opened = open_here()
    with interruptible("pull"):
        pulled = pull(opened, remotes.choose(opened, args.remote), show(args.quiet or args.json))
        if pulled.after:
            update_notes(opened, pulled.after)
    if args.json:
        import json

        print(json.dumps(as_json(opened, pulled), indent=2, sort_keys=True))
    elif not args.quiet:
        for line in told(opened, pulled):
            print(printable(line))
    return 0


def as_json(opened: Opened, pulled: Pulled) -> dict[str, object]:
    """What ``--json`` prints."""
    new, changed = changes(opened, pulled.before, pulled.after) if pulled.after else (0, 0)
    fetched = fetch.as_json(pulled.fetched)
    return {"before": pulled.before, "after": pulled.after, "new": new, "changed": changed, "fetched": fetched}


def update_notes(opened: Opened, tip: str) -> None:
    """Bring the notes up to the ledger: much of it by a process that goes on alone.

    They are a view of it, and what is wrong with them is no failure of a pull.
    """
    before = None
    with contextlib.suppress(OSError), open(os.path.join(opened.lumo_dir, "noted")) as hint:
        before = hint.read()
        if before == tip:  # as mostly: nothing is read
            return
    from gitlumo.share import noting

    try:
        if sum(1 for _ in islice(_differing(opened, before, tip), NOTED_AT_ONCE + 1)) > NOTED_AT_ONCE:
            process.start_detached([*opened.repository.git_args, "lumo", "notes", "--quiet"], cwd=os.getcwd())
        else:
            noting.update(opened.ledger)
    except (LumoError, OSError) as error:
        what = printable(str(error).partition("\n")[0])
        print(f"warning: refs/notes/lumo could not be brought up to date: {what}", file=sys.stderr)


def told(opened: Opened, pulled: Pulled) -> list[str]:
    """What a pull did, in lines."""
    fetched = pulled.fetched
    lines = fetch.told(opened, fetched) if fetched.after is None or fetched.rewritten else []
    if pulled.after is None:
        return lines
    place = f"{opened.settings.branch} at {pulled.after[:12]}"
    if pulled.before == pulled.after:
        return lines or [f"{fetched.remote.name} has nothing new: {place}"]
    new, changed = changes(opened, pulled.before, pulled.after)
    return [*lines, f"{place}: {new} new run{'s' if new != 1 else ''}, {changed} changed"]


def changes(opened: Opened, before: str | None, after: str) -> tuple[int, int]:
    """How many runs one commit of the ledger has that another lacks, and how many are not the same in both."""
    known = list(_differing(opened, before, after))
    return known.count(False), known.count(True)


def _differing(opened: Opened, before: str | None, after: str) -> Iterator[bool]:
    """The runs of one commit that another does not have so: whether it has them at all."""
    from gitlumo.git.objects import Staging, read_commit
    from gitlumo.store import trees

    objects = Staging(opened.repository.objects)
    a, b = (read_commit(objects, id).tree if id else None for id in (before, after))
    for path, x, y in trees.unit_differences(objects, a, b):
        if path.count("/") > 1 and y and y.is_tree:
            yield x is not None
