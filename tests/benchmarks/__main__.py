"""``python -m tests.benchmarks [CASE...] [--json] [--quick]``."""

from __future__ import annotations

import argparse
import json
import platform
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks import (
    again,
    asking,
    backups,
    boards,
    boards_live,
    listing,
    metrics,
    place,
    running,
    scale,
    sharing,
    size,
    snapshot,
    starting,
    worktrees,
)
from tests.benchmarks.figures import Figure

CASES: dict[str, Callable[[Path, bool], list[Figure]]] = {
    "scalar": metrics.scalar,
    "import": starting.imports,
    "start-end": starting.start_end,
    "event": starting.event,
    "snapshot": snapshot.snapshot,
    "log": listing.listing,
    "size": size.size,
    "memory": metrics.memory,
    "engines": scale.engines,
    "writers": scale.writers,
    "large": scale.large,
    "asking": asking.asking,
    "sharing": sharing.sharing,
    "worktree": worktrees.worktree,
    "running": running.running,
    "rerun": again.again,
    "backups": backups.backups,
    "board": boards.boards,
    "board-live": boards_live.boards_live,
}


def main() -> None:
    args = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the folder goes away
    done: list[dict[str, Any]] = []
    for name in args.cases or CASES:
        with place.sealed() as work:
            figures = CASES[name](work, args.quick)
            git = place.git("version", cwd=work)
        done += [{"case": name} | figure.facts() for figure in figures]
        if not args.json:
            print("\n".join(line for figure in figures for line in figure.lines()), flush=True)
    if args.json:
        machine = {"python": platform.python_version(), "git": git, "system": platform.system(), "quick": args.quick}
        print(json.dumps(machine | {"figures": done}, indent=2))


def _parser() -> argparse.ArgumentParser:
    about = [f"  {name:10} {case.__doc__}" for name, case in CASES.items()]
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Measure gitlumo beside what git and Python take for the same.",
        epilog="\n".join(["cases:", *about]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", choices=[*CASES, []], help="which; none: all")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--quick", action="store_true", help="smaller and fewer: to see that it works")
    return parser


if __name__ == "__main__":
    main()
