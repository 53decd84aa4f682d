"""``git lumo board``: the runs in a browser, live, or as one static file."""

from __future__ import annotations

import argparse
import os
import sys
import time

from gitlumo import wording
from gitlumo.cli.opening import natural, open_here
from gitlumo.cli.terminal import printable
from gitlumo.errors import LumoError, UsageError

FEWEST_POINTS = 8
_OF_FILES = ("force", "number", "all", "since", "until", "points")  # options that only a file has


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("expr", nargs="*", metavar="EXPR", help="which runs, such as 'lr < 0.1 and state = finished'")
    parser.add_argument("--html", metavar="FILE", help="write the board as one file that needs no network; -: stdout")
    parser.add_argument(
        "--port", type=natural, metavar="P", help="where to listen, on 127.0.0.1 only; 0: any free port (5866)"
    )
    parser.add_argument("--no-open", action="store_true", help="open no browser; the address is printed in any case")
    parser.add_argument("-f", "--force", action="store_true", help="write over a file that is there")
    parser.add_argument(
        "-n", "--number", "--max-count", type=natural, default=0, metavar="N", help="how many runs; 0: all (0)"
    )
    parser.add_argument("--all", action="store_true", help="also runs that were marked deprecated")
    parser.add_argument(
        "--since", "--after", metavar="TIME", help="runs that started then or later, such as '2 days ago'"
    )
    parser.add_argument("--until", "--before", metavar="TIME", help="runs that started before that time")
    parser.add_argument("--sort", metavar="KEY", help="order by a column, -KEY: the greatest first")
    parser.add_argument("--columns", metavar="KEYS", help="which columns are shown at first, separated by commas")
    parser.add_argument(
        "--points", type=_points, metavar="N", help="most points of a curve (as many as fit, 24 to 1000)"
    )


def _points(text: str) -> int:
    value = natural(text)
    if value < FEWEST_POINTS:
        raise argparse.ArgumentTypeError(f"a curve has {FEWEST_POINTS} points or more")
    return value


def run(args: argparse.Namespace) -> int:
    """Serve the board until Ctrl-C, or write it as a file."""
    return _serve(args) if args.html is None else _write(args)


def _serve(args: argparse.Namespace) -> int:
    for name in _OF_FILES:
        if getattr(args, name):
            raise UsageError(f"--{name} goes with --html; on the live board it is a click, or part of the expression")
    from gitlumo.board.showing import check_installed

    check_installed()
    from gitlumo.board.serving import serve
    from gitlumo.cli.asking import keys, wanted
    from gitlumo.watcher import Selection

    opened = open_here()
    looks: list[tuple[str, str]] = [("q", _expression(args))] if args.expr else []
    if args.expr or args.sort or args.columns:
        with Selection(opened.branch, opened.cache_root) as selection:
            names = selection.names()
            wanted(args, opened, selection)  # what means nothing is said here, not in the browser
        looks += [("columns", name) for name in keys("--columns", args.columns, names)]
        sign = "-" if args.sort and args.sort.startswith("-") else ""
        looks += [("sort", sign + name) for name in keys("--sort", args.sort and args.sort.removeprefix("-"), names)]
    serve(opened, looks, port=args.port, show=not args.no_open, said=lambda url: print(url, flush=True))
    return 0


def _expression(args: argparse.Namespace) -> str:
    return " and ".join(f"({text})" for text in args.expr) if len(args.expr) > 1 else "".join(args.expr)


def _write(args: argparse.Namespace) -> int:
    """Write the file, and say what is in it."""
    if args.port is not None or args.no_open:
        raise UsageError("--port and --no-open are of the live board, which --html is not")
    if args.html == "-" and sys.stdout.isatty():
        raise UsageError("a page of HTML is no text for a terminal; name a file with --html, or send it through a pipe")
    from gitlumo import __version__
    from gitlumo.board.contents import RUNS_A_BLOCK, contents
    from gitlumo.board.export import page
    from gitlumo.cli import asking
    from gitlumo.cli.listing import chosen
    from gitlumo.rerun.packing import refuse, whole_file
    from gitlumo.watcher import Selection

    opened = open_here()
    if not args.html:
        raise LumoError("--html names no file: --html FILE, or - for standard output")
    if args.html != "-":
        refuse(args.html, args.force)  # before the work, too
    with Selection(opened.branch, opened.cache_root) as selection:
        shown = asking.keys("--columns", args.columns, selection.names())
        rows = list(chosen(selection, asking.wanted(args, opened, selection)))
        made = contents(rows, opened.repository.objects, args.points)
    location = opened.repository.location
    name = os.path.basename(os.path.normpath(location.work_tree or location.common_dir))
    head = {
        "repository": name,
        "expression": _expression(args),
        "made": round(time.time()),
        "version": __version__,
        "shown": shown,
        "block": RUNS_A_BLOCK,
        **{key: getattr(made, key) for key in ("runs", "curves", "thinned", "points", "images", "images_left_out")},
    }
    text = page(f"{name}: {made.runs} runs", head, made.blocks)
    if args.html == "-":
        sys.stdout.buffer.write(text)
        return 0
    try:
        with whole_file(args.html, force=args.force) as out:
            out.write(text)
    except OSError as error:
        raise LumoError(f"{error.filename or args.html}: {error.strerror}; name another place") from None
    _say(args.html, len(text), head)
    return 0


def _say(path: str, size: int, head: dict[str, object]) -> None:
    counts = [wording.count(int(str(head[key])), noun) for key, noun in (("runs", "run"), ("curves", "curve"))]
    print(printable(f"{path}: {', '.join(counts)}, {wording.size(size)}"))
    if head["thinned"]:
        print(f"  {head['thinned']} of the curves thinned to at most {head['points']} points; their peaks stay")
    if head["images_left_out"]:
        count = wording.count(int(str(head["images_left_out"])), "image")
        print(f"  {count} left out: too large, or there was no room for more")
