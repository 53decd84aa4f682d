"""``git lumo show``: everything of one run, one file of it or of its code, a metric, or the curves of some runs."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gitlumo import sparkline, wording
from gitlumo.cli.opening import Opened, open_here
from gitlumo.cli.terminal import STATE_COLOURS, Screen, printable, screen, shorten
from gitlumo.errors import LumoError, UsageError
from gitlumo.store import columns

if TYPE_CHECKING:
    from gitlumo.store.query import Found

CURVE_WIDTH = 32
FILES_SHOWN = 20
VALUE_WIDTH = 100
FIRST_PACKAGES = ("python", "torch", "jax", "tensorflow", "numpy", "scikit-learn", "transformers", "pandas")


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
    if colon and (args.metric or args.json):
        raise UsageError("EXP:PATH prints a file; it does not go with --metric or --json")
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
        elif args.metric:
            for line in metric_lines(found, args.metric):
                out.line(line)
        else:
            from gitlumo.cli import lineage

            for heading, lines in sections(found, opened.branch.has_code, lineage.lines(opened, found)):
                _print_section(out, found, heading, lines)
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


def sections(
    found: Found, has_code: Callable[[str], bool], lineage: Sequence[str] = ()
) -> Iterator[tuple[str, list[str]]]:
    """All that is known of a run, for reading: (heading, lines) of each part that there is.

    What a stranger recorded in a shape that docs/format.md does not know is passed over.

    Args:
        found: The run.
        has_code: Whether a commit is in this repository.
        lineage: Which run it repeats, and which repeat it.
    """
    run = found.record.properties
    yield "", [*_head(run, has_code), *lineage, *_backups(run, found.record.progress.get("restored"))]
    yield "note", str(run["note"]).rstrip("\n").split("\n") if run["note"] else []
    yield "params", _pairs({key: wording.number(value) for key, value in columns.flat(run["params"]).items()})
    yield "metrics", list(_metrics(found, run["metrics"]))
    yield "exception", str(_map(run["exception"]).get("traceback", "")).rstrip().split("\n") if run["exception"] else []
    yield "lock", list(_lock(_map(run["lock"])))
    messages = {name: _map(hook).get("msg") for name, hook in _map(run["hooks"]).items()}
    yield "hooks", _pairs({name: message for name, message in messages.items() if message})
    yield "left out", [f"{item.get('path')} ({item.get('reason')})" for item in _maps(run.get("skipped"))]
    yield "masked", [str(path) for path in _list(run.get("masked"))]
    yield "files", _files(found)


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _maps(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in _list(value) if isinstance(item, Mapping)]


def _head(run: Mapping[str, Any], has_code: Callable[[str], bool]) -> Iterator[str]:
    progress, git, execute, pinfo = (_map(run[key]) for key in ("progress", "git", "execute", "pinfo"))
    start = str(progress.get("start"))
    yield f"start     {start.replace('T', ' ')} ({wording.age(start)}), took {wording.duration(progress)}"
    if run["state"] == "running":
        ratio, heard = progress.get("ratio"), wording.age(progress.get("last_edit_time"))
        share = f"{100 * ratio:.0f} %" if isinstance(ratio, (int, float)) else "?"
        yield f"progress  {share}, last heard {heard}"
    elif progress.get("end_code"):
        signal = _map(run.get("usage")).get("signal")
        yield f"ended     with status {progress['end_code']}{f' ({signal})' if isinstance(signal, str) else ''}"
    used = wording.usage(_map(run.get("usage")))
    if used:
        yield f"used      {used}"
    for again in _maps(progress.get("resumed")):
        where = f" on {again['host']}" if again.get("host") else ""
        yield f"resumed   {str(again.get('time')).replace('T', ' ')}{where}, it was {again.get('after')}"
    yield f"uid       {run['uid']}"
    if run["tags"]:
        yield f"tags      {' '.join(map(str, run['tags']))}"
    if run["deprecated"]:
        yield "deprecated"
    commit, head = git.get("commit"), git.get("head")
    if isinstance(commit, str):
        on = f" on {_word(git['branch'])}" if git.get("branch") else ""
        changes = f", changes on {str(head)[:12]}" if head and head != commit else ""
        yield f"code      {commit[:12]}{on}{changes}"
        if not has_code(commit):
            yield "          not in this repository: it was pruned, or the clone is shallow (git fetch --unshallow)"
    for item in _maps(git.get("skipped")):
        yield f"          without {item.get('path')} ({item.get('reason')})"
    for item in _maps(git.get("submodules")):
        dirty = ", with changes that are not recorded" if item.get("dirty") else ""
        yield f"          submodule {item.get('path')} at {str(item.get('commit'))[:12]}{dirty}"
    command = _list(_map(pinfo.get("obj")).get("argv")) or _list(execute.get("exec_argv"))
    if command:
        yield f"command   {shlex.join(_word(word) for word in command)}"
        folder = _word(execute.get("cwd") or ".")
        where = _word(execute.get("repo") or "a bare repository")
        yield f"          in {where if folder == '.' else f'{folder} of {where}'}"
    if str(execute.get("exec_file") or "").startswith(("~", "/")):
        yield "          the script itself is not in this repository"
    if pinfo.get("host"):
        yield f"host      {pinfo['host']}, process {pinfo.get('pid')}"
    hardware, software = wording.machine(_map(run.get("machine")))
    if hardware or software:
        yield f"machine   {hardware or software}"
    if hardware and software:
        yield f"          {software}"
    if isinstance(run.get("seed"), int):
        yield f"seed      {run['seed']}" + (f" ({run['seed_from']})" if run.get("seed_from") else "")


def _backups(run: Mapping[str, Any], restored: object) -> Iterator[str]:
    """Where a run is backed up, and what one that came from there lacks."""
    for at, value in run["backup"].items():
        found = _map(value)
        where = " ".join(str(item) for item in found.values())
        if found.get("backend") == "github":
            where = f"https://{found.get('host') or 'github.com'}/{found.get('repo')}/issues/{found.get('number')}"
        yield shorten(f"backup    {at.partition('~')[0].replace('T', ' ')} {where}".rstrip(), VALUE_WIDTH)
    if restored:
        lost = _map(run.get("restored"))
        history = _map(lost.get("history"))
        names = [str(_map(each).get("path")) for each in _list(lost.get("left_out"))]
        lacks = [
            *([f"{history.get('lines')} lines of its history alone"] if history else []),
            *([f"without {', '.join(names)}"] if names else []),
            *([f"masked: {', '.join(map(str, _list(lost['masked'])))}"] if lost.get("masked") else []),
            *map(str, _list(lost.get("forced"))),
        ]
        told = f" ({'; '.join(lacks)})" if lacks else ""
        yield shorten(f"restored  from a backup{told}", VALUE_WIDTH)


def _word(word: object) -> str:
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)


def _pairs(values: Mapping[str, object]) -> list[str]:
    width = max(map(len, values), default=0)
    return [f"{key:{width}}  {value}" for key, value in values.items()]


def _metrics(found: Found, metrics: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    from tabulate import tabulate

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
        for name, value in _map(metric.get("with")).items():
            yield shorten(f"best {key} with {name} = {value}", VALUE_WIDTH)
    if torn:
        yield f"{torn} line{'s' if torn > 1 else ''} of the history torn by a crash"


def _lock(lock: Mapping[str, Any]) -> Iterator[str]:
    if lock:
        shown = [name for name in FIRST_PACKAGES if name in lock]
        named = " ".join(f"{name}=={lock[name]}" for name in shown)
        yield f"{len(lock)} packages{': ' if named else ''}{named} (git lumo show EXP:info/lock.json)"


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
