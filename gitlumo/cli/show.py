"""``git lumo show``: everything of one run, one file of it or of its code, a metric, or the curves of some runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gitlumo import describing, sparkline, wording
from gitlumo.cli.opening import Opened, open_here
from gitlumo.cli.terminal import STATE_COLOURS, Screen, printable, screen, shorten
from gitlumo.errors import LumoError, UsageError

if TYPE_CHECKING:
    from gitlumo.store.query import Found

CURVE_WIDTH = 32
VALUE_WIDTH = 100


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument(
        "exp",
        metavar="EXP[:PATH]",
        nargs="*",
        help="the run (@); one file that it recorded or, if it recorded none of that name, of its code (EXP:./PATH: of "
        "its code, from here); several runs with --plot",
    )
    parser.add_argument("--plot", metavar="KEY", nargs="+", action="extend", help="draw the curves of metrics")
    parser.add_argument("--metric", metavar="KEY", help="the history of one metric")
    parser.add_argument("--diff", action="store_true", help="its code beside that commit's parent, as git diff")
    parser.add_argument("--history", action="store_true", help="with --json: the whole history, too")
    parser.add_argument("--json", action="store_true", help="all that is known, as one object")


def run(args: argparse.Namespace) -> int:
    """Print it."""
    if args.plot:
        if args.metric or args.json:
            raise UsageError("--plot does not go with --metric or --json")
        return _plot(args.exp or ["@"], args.plot)
    if len(args.exp) > 1:
        raise UsageError("one run is shown at a time; several with --plot KEY, or 'git lumo diff A B'")
    name, colon, path = (args.exp or ["@"])[0].partition(":")
    if colon and (args.metric or args.json or args.diff):
        raise UsageError("EXP:PATH prints a file; it does not go with --metric, --diff or --json")
    if args.diff and (args.metric or args.json):
        raise UsageError("--diff prints a patch; it does not go with --metric or --json")
    if args.history and not args.json:
        raise UsageError("--history goes with --json; 'git lumo show EXP --metric KEY' prints one metric")
    opened = open_here()
    found = opened.runs().resolve(name or "@")
    if colon:
        return _print_file(opened, found, path)
    found.record.check()
    if args.metric and args.metric not in found.record.metrics:
        known = ", ".join(found.record.metrics) or "none"
        raise LumoError(f"{found.label} has no metric {args.metric!r}; it has: {known}")
    with screen(opened.repository.config, opened.repository.git_args) as out:
        if args.json:
            out.line(_as_json(found, args.metric, args.history))
        elif args.diff:
            from gitlumo.cli.diff import print_git
            from gitlumo.rerun import code

            shown = ["diff-tree", "--patch", "--find-renames", "--root", "--no-commit-id", "--first-parent", "-m"]
            print_git(out, opened, shown, [code.commit_of(opened.branch, found)])
        elif args.metric:
            for line in metric_lines(found, args.metric):
                out.line(line)
        else:
            from gitlumo.cli import lineage

            for heading, lines in describing.sections(found, opened.branch.has_code, lineage.lines(opened, found)):
                shown = list(_metrics(found)) if heading == "metrics" else lines
                _print_section(out, found, heading, shown)
    return 0


def _plot(names: Sequence[str], keys: Sequence[str]) -> int:
    """The curves of metrics, a picture for each, all runs in it."""
    from gitlumo.cli import curves

    opened = open_here()
    runs = opened.runs()
    every = [runs.resolve(name) for name in names]
    for found in every:
        found.record.check()
    metrics = {found: set(found.record.metrics) for found in every}
    known = sorted(set().union(*metrics.values()))
    for key in keys:
        if key not in known:
            import difflib

            near = difflib.get_close_matches(key, known, 3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known) or 'none'}"
            lacks = f"{every[0].label} has no" if len(every) == 1 else "none of these runs has a"
            raise LumoError(f"{lacks} metric {key!r}; {hint}")
    with screen(opened.repository.config, opened.repository.git_args) as out:
        for key in dict.fromkeys(keys):
            having = [found for found in metrics if key in metrics[found]]
            curves.draw(out, key, [(found.label, curves.thinned(curves.points_of(found, key))) for found in having])
    return 0


def _as_json(found: Found, metric: str | None, history: bool) -> str:
    from gitlumo.store.record import to_json

    if metric:
        return to_json({}, found.record.history(metric))
    return to_json(found.record.properties, found.record.history() if history else None)


def _print_file(opened: Opened, found: Found, path: str) -> int:
    """One file as it is, or a folder as the list of what is in it: a recorded one, else one of the code."""
    data = _recorded(found, path)
    git = found.record.info("git") or {}
    if data is None and git.get("commit") is None:
        raise LumoError(
            f"{found.label} has no file {path!r}, and recorded no code\n"
            f"type 'git lumo show {found.name}:' to list what it recorded"
        )
    if data is None:
        from gitlumo.rerun import code

        data = code.read_file(opened.branch, found, path)
    if data is None:
        commit = str(git["commit"])[:12]
        raise LumoError(
            f"{found.label} has no file {path!r}, neither among what it recorded nor in its code\n"
            f"type 'git lumo show {found.name}:' to list the first, 'git ls-tree -r --name-only {commit}' the second"
        )
    if sys.stdout.isatty():
        sys.stdout.write(printable(data.decode("utf-8", "replace"), newlines=True))
    else:
        sys.stdout.buffer.write(data)
    return 0


def _recorded(found: Found, path: str) -> bytes | None:
    """A recorded file, or the list of all that are in a folder."""
    paths = found.record.paths()
    if path in paths:
        return found.record.read(path)
    prefix = path.rstrip("/") + "/" if path.strip("/") else ""
    inside = [name for name in paths if name.startswith(prefix)]
    return "".join(f"{name}\n" for name in inside).encode("utf-8", "surrogateescape") if inside else None


def metric_lines(found: Found, key: str) -> Iterator[str]:
    """The history of one metric: its curve, then a line a value."""
    points = found.record.history(key)
    from gitlumo.store.layout import metric_name

    name = metric_name(key)
    yield sparkline.draw([point[name] for point in points], CURVE_WIDTH)
    yield f"{'step':>10} {'time':>12}  {printable(key)}"
    for point in points:
        yield f"{point['step']:>10} {point['time']:>11.3f}s  {point[name]!r}"


def _metrics(found: Found) -> Iterator[str]:
    from tabulate import tabulate

    metrics = found.record.metrics
    folded, torn = found.record.folded()
    rows = []
    for key, metric in metrics.items():
        curve = sparkline.draw(folded[key].curve, CURVE_WIDTH) if key in folded else ""
        best = [wording.number(metric.get("best")), metric.get("best_step")] if metric.get("cmp") else ["", ""]
        rest = [wording.number(metric.get(name)) for name in ("last", "min", "max", "count")]
        rows.append([printable(key), curve, rest[0], *best, *rest[1:]])
    if rows:
        heads = ["", "", "last", "best", "at step", "min", "max", "values"]
        sides = ["left", "left", *["right"] * 6]
        yield from tabulate(rows, heads, "plain", colalign=sides, disable_numparse=True).split("\n")
    for key, metric in metrics.items():
        for name, value in describing.as_map(metric.get("with")).items():
            yield shorten(f"best {key} with {name} = {value}", VALUE_WIDTH)
    if torn:
        yield f"{torn} line{'s' if torn > 1 else ''} of the history torn by a crash"


def _print_section(out: Screen, found: Found, heading: str, lines: list[str]) -> None:
    if not heading:
        state = found.record.state
        out.line(f"{out.paint(printable(found.label), 'yellow')} {out.paint(state, STATE_COLOURS.get(state))}")
        for line in lines:
            out.line(f"  {printable(line)}")
    elif lines:
        out.line(f"\n{out.paint(heading, 'bold')}")
        for line in lines:
            out.line(f"  {printable(line)}")
