"""``git lumo show``: everything of one run, one of its files, or one of its metrics."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from gitlumo import sparkline
from gitlumo.cli import facts
from gitlumo.cli.opening import open_here
from gitlumo.cli.terminal import STATE_COLOURS, Screen, printable, screen, shorten
from gitlumo.errors import LumoError, UsageError
from gitlumo.store.layout import metric_name
from gitlumo.store.query import Found
from gitlumo.store.record import to_json

CURVE_WIDTH = 32
FILES_SHOWN = 20
VALUE_WIDTH = 100
PACKAGES_SHOWN = 8


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument(
        "exp", metavar="EXP[:PATH]", nargs="?", default="@", help="the run (@), or one recorded file of it"
    )
    parser.add_argument("--metric", metavar="KEY", help="the history of one metric")
    parser.add_argument("--history", action="store_true", help="with --json: the whole history, too")
    parser.add_argument("--json", action="store_true", help="all that is known, as one object")


def run(args: argparse.Namespace) -> int:
    """Print it."""
    name, colon, path = args.exp.partition(":")
    if colon and (args.metric or args.json):
        raise UsageError("EXP:PATH prints a file; it does not go with --metric or --json")
    if args.history and not args.json:
        raise UsageError("--history goes with --json; 'git lumo show EXP --metric KEY' prints one metric")
    opened = open_here()
    found = opened.runs().resolve(name or "@")
    if colon:
        return _print_file(found, path)
    found.record.check()
    if args.metric and args.metric not in found.record.metrics:
        known = ", ".join(found.record.metrics) or "none"
        raise LumoError(f"{found.label} has no metric {args.metric!r}; it has: {known}")
    with screen(opened.repository.config, opened.repository.git_args, "show") as out:
        if args.json:
            out.line(to_json(_as_json(found, args.metric, args.history)))
        elif args.metric:
            for line in metric_lines(found, args.metric):
                out.line(line)
        else:
            for heading, lines in sections(found):
                _print_section(out, found, heading, lines)
    return 0


def _as_json(found: Found, metric: str | None, history: bool) -> dict[str, Any]:
    if metric:
        return {"history": found.record.history(metric)}
    properties = found.record.properties
    return properties | {"history": found.record.history()} if history else properties


def _print_file(found: Found, path: str) -> int:
    """One recorded file as it is; a folder as the list of what is in it."""
    data = found.record.read(path) if path and not path.endswith("/") else None
    if data is None:
        prefix = path.rstrip("/") + "/" if path.strip("/") else ""
        inside = [name for name in found.record.paths() if name.startswith(prefix)]
        if not inside:
            raise LumoError(f"{found.label} has no file {path!r}\ntype 'git lumo show {found.name}:' to list its files")
        data = "".join(f"{name}\n" for name in inside).encode("utf-8", "surrogateescape")
    if sys.stdout.isatty():
        sys.stdout.write(printable(data.decode("utf-8", "replace"), newlines=True))
    else:
        sys.stdout.buffer.write(data)
    return 0


def metric_lines(found: Found, key: str) -> Iterator[str]:
    """The history of one metric: its curve, then a line a value."""
    points = found.record.history(key)
    name = metric_name(key)
    yield sparkline.draw([point[name] for point in points], CURVE_WIDTH)
    yield f"{'step':>10} {'time':>12}  {printable(key)}"
    for point in points:
        yield f"{point['step']:>10} {point['time']:>11.3f}s  {point[name]!r}"


def sections(found: Found) -> Iterator[tuple[str, list[str]]]:
    """All that is known of a run, for reading: (heading, lines) of each part that there is."""
    facts_of = found.record.properties
    yield "", list(_head(facts_of))
    yield "note", str(facts_of["note"]).rstrip("\n").split("\n") if facts_of["note"] else []
    params = facts.flat(facts_of["params"])
    yield "params", _pairs({key: facts.number(value) for key, value in params.items()})
    yield "metrics", list(_metrics(found, facts_of["metrics"]))
    exception = facts_of["exception"]
    yield "exception", str(exception.get("traceback", "")).rstrip().split("\n") if exception else []
    yield "lock", list(_lock(facts_of["lock"]))
    yield "hooks", _pairs({k: h.get("msg") for k, h in facts_of["hooks"].items() if h.get("msg")})
    yield "left out", [f"{item.get('path')} ({item.get('reason')})" for item in facts_of.get("skipped") or []]
    yield "masked", [str(path) for path in facts_of.get("masked") or []]
    yield "files", _files(found)


def _head(run: Mapping[str, Any]) -> Iterator[str]:
    progress, git = run["progress"], run["git"]
    start = str(progress.get("start"))
    yield f"start     {start.replace('T', ' ')} ({facts.age(start)}), took {facts.duration(progress)}"
    if run["state"] == "running":
        heard = facts.age(progress.get("last_edit_time"))
        yield f"progress  {100 * (progress.get('ratio') or 0):.0f} %, last heard {heard}"
    elif progress.get("end_code"):
        yield f"ended     with status {progress['end_code']}"
    yield f"uid       {run['uid']}"
    if run["tags"]:
        yield f"tags      {' '.join(run['tags'])}"
    if run["deprecated"]:
        yield "deprecated"
    commit, head = git.get("commit"), git.get("head")
    if commit:
        on = f" on {git['branch']}" if git.get("branch") else ""
        changes = f", changes on {str(head)[:12]}" if head and head != commit else ""
        yield f"code      {commit[:12]}{on}{changes}"
    for item in git.get("skipped") or []:
        yield f"          without {item.get('path')} ({item.get('reason')})"
    for item in git.get("submodules") or []:
        dirty = ", with changes that are not recorded" if item.get("dirty") else ""
        yield f"          submodule {item.get('path')} at {str(item.get('commit'))[:12]}{dirty}"
    command = (run["pinfo"].get("obj") or {}).get("argv") or run["execute"].get("exec_argv") or []
    if command:
        yield f"command   {shlex.join(_word(word) for word in command)}"
        yield f"          in {run['execute'].get('cwd')} of {run['execute'].get('repo')}"
    if run["pinfo"].get("host"):
        yield f"host      {run['pinfo']['host']}, process {run['pinfo'].get('pid')}"
    if run["rerun"].get("from"):
        yield f"rerun of  {run['rerun']['from']}"


def _word(word: object) -> str:
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)


def _pairs(values: Mapping[str, object]) -> list[str]:
    width = max(map(len, values), default=0)
    return [f"{key:{width}}  {value}" for key, value in values.items()]


def _metrics(found: Found, metrics: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    width = max(map(len, metrics), default=0)
    for key, metric in metrics.items():
        curve = sparkline.draw([point[metric_name(key)] for point in found.record.history(key)], CURVE_WIDTH)
        best = f", best {facts.number(metric['best'])} at step {metric['best_step']}" if metric.get("cmp") else ""
        spread = f"from {facts.number(metric['min'])} to {facts.number(metric['max'])}"
        yield f"{key:{width}}  {curve}  last {facts.number(metric['last'])}{best}, {spread}, {metric['count']} values"
        for name, value in (metric.get("with") or {}).items():
            yield shorten(f"{'':{width}}  with {name} = {value}", VALUE_WIDTH)
    torn = found.record.torn_lines()
    if torn:
        yield f"{torn} line{'s' if torn > 1 else ''} of the history torn by a crash"


def _lock(lock: Mapping[str, Any]) -> Iterator[str]:
    if lock:
        shown = " ".join(f"{name}=={version}" for name, version in list(lock.items())[:PACKAGES_SHOWN])
        more = f" and {len(lock) - PACKAGES_SHOWN} more" if len(lock) > PACKAGES_SHOWN else ""
        yield f"{shown}{more}"


def _files(found: Found) -> list[str]:
    paths = sorted(found.record.paths())
    own = [path for path in paths if not path.startswith(("info/", "edits/"))]
    listed = own[:FILES_SHOWN]
    return [*listed, *([f"and {len(own) - FILES_SHOWN} more"] if len(own) > FILES_SHOWN else [])]


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
