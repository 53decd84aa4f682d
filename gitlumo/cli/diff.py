"""``git lumo diff``: in what runs differ."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence

from gitlumo import values, wording
from gitlumo.cli.opening import Opened, open_here
from gitlumo.cli.terminal import Screen, align, printable, screen, shorten
from gitlumo.comparison import SECTIONS, Difference, compare
from gitlumo.errors import UsageError
from gitlumo.git import process
from gitlumo.git.objects import tree_of
from gitlumo.store.query import Found
from gitlumo.store.record import to_json

CELL_WIDTH = 24  # in the table of more than two runs
VALUE_WIDTH = 100
COMMIT_WIDTH = 12
_SGR = re.compile(r"(\033\[[0-9;]*m)")


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("exps", metavar="EXP", nargs="+", help="the runs, two or more; more than two: a table")
    parser.add_argument("--stat", action="store_true", help="which files of the code differ, as git diff --stat")
    parser.add_argument("--code", action="store_true", help="how the code differs, as git diff")
    parser.add_argument("--exit-code", action="store_true", help="end with status 1 if there are differences, else 0")
    parser.add_argument("--json", action="store_true", help="the differences as one object")


def run(args: argparse.Namespace) -> int:
    """Compare, and print it."""
    if len(args.exps) < 2:
        raise UsageError("diff takes two runs or more: git lumo diff EXP EXP")
    if args.json and (args.stat or args.code):
        raise UsageError("--json does not go with --stat or --code; it names the commits of the code")
    opened = open_here()
    runs = opened.runs()
    found = [runs.resolve(name) for name in args.exps]
    for each in found:
        each.record.check()
    differences = compare([each.record for each in found], lambda commit: tree_of(opened.repository.objects, commit))
    labels = [each.label for each in found]
    with screen(opened.repository.config, opened.repository.git_args) as out:
        if args.json:
            out.line(as_json(labels, differences))
        elif differences:
            _print_heads(out, labels)
            for section in SECTIONS:
                part = [each for each in differences if each.section == section]
                if part:
                    _print_section(out, section, part, labels)
            _print_code(out, opened, found, differences, args)
    return 1 if args.exit_code and differences else 0


def as_json(labels: Sequence[str], differences: Sequence[Difference]) -> str:
    """``{"runs", "differences": {section: {key: {run: value}}}, "changes": {metric: change}}``.

    A run that has not what others have is absent there.
    """
    told: dict[str, dict[str, dict[str, object]]] = {}
    for each in differences:
        by_run = {
            labels[i]: values.encode_number(value) if each.section == "metrics" and value is not None else value
            for i, value in each.values.items()
        }
        told.setdefault(each.section, {})[each.key or each.section] = by_run
    changes = {each.key: each.change for each in differences if len(labels) == 2 and each.change is not None}
    return to_json({"runs": list(labels), "differences": told, "changes": changes})


def texts(each: Difference) -> dict[int, str]:
    """A difference's values for reading: as short as they can be without looking the same."""
    shown = {i: printable(wording.number(value)) for i, value in each.values.items()}
    if each.section == "code":
        return {i: text[:COMMIT_WIDTH] for i, text in shown.items()}
    exact = {
        i: json.dumps(values.encode(value), ensure_ascii=False, sort_keys=True) for i, value in each.values.items()
    }
    return (
        shown if len(set(shown.values())) == len(set(exact.values())) else {i: printable(t) for i, t in exact.items()}
    )


def _print_heads(out: Screen, labels: Sequence[str]) -> None:
    if len(labels) == 2:
        for sign, label in zip(("---", "+++"), labels, strict=True):
            out.line(out.paint(f"{sign} {printable(label)}", "bold"))


def _print_section(out: Screen, section: str, part: Sequence[Difference], labels: Sequence[str]) -> None:
    if len(labels) > 2:
        head, *rows = _table(section, part, labels)
        for line in (out.paint(head, "bold"), *rows):
            out.line(line)
        return
    out.line(out.paint(section, "bold"))
    width = max((len(printable(each.key)) for each in part if len(printable(each.key)) <= CELL_WIDTH), default=0)
    for each in part:
        for line in _pair(out, each, width):
            out.line(line)


def _pair(out: Screen, each: Difference, width: int) -> Iterator[str]:
    """A difference of two runs: ``old -> new``, or ``-`` and ``+`` where one of them lacks it or it is long."""
    shown = {i: shorten(text, VALUE_WIDTH) if each.section != "command" else text for i, text in texts(each).items()}
    key = f"{printable(each.key):{width}}  " if each.key else ""
    if len(shown) == 2 and each.section != "command":
        yield f"  {key}{shown[0]} -> {shown[1]}{_change(out, each)}".rstrip()
        return
    for i, (sign, colour) in enumerate((("-", "red"), ("+", "green"))):
        if i in shown:
            yield out.paint(f"{sign} {key}{shown[i]}".rstrip(), colour)


def _change(out: Screen, each: Difference) -> str:
    if each.change is None:
        return ""
    text = f"({each.change:+.3g})" if abs(each.change) >= 10 else f"({each.change:+.1%})"
    colour = None
    if each.better in ("max", "min") and each.change:
        colour = "green" if (each.change > 0) == (each.better == "max") else "red"
    return f"  {out.paint(text, colour)}"


def _table(section: str, part: Sequence[Difference], labels: Sequence[str]) -> list[str]:
    """The differences of more than two runs: a line each, a column a run."""
    rows = [[section, *map(printable, labels)]]
    for each in part:
        shown = texts(each)
        cells = [shorten(shown.get(i, ""), CELL_WIDTH) for i in range(len(labels))]
        rows.append([f"  {shorten(printable(each.key), CELL_WIDTH)}", *cells])
    return align(rows)


def _print_code(
    out: Screen, opened: Opened, found: Sequence[Found], differences: Sequence[Difference], args: argparse.Namespace
) -> None:
    """What git says of the code, between the first run and each other one."""
    code = next((each for each in differences if each.section == "code"), None)
    if code is None:
        return
    missing = [
        str(commit) for commit in code.values.values() if tree_of(opened.repository.objects, str(commit)) is None
    ]
    for commit in dict.fromkeys(missing):
        out.line(
            f"  {printable(commit)[:COMMIT_WIDTH]} is not in this repository: it was pruned, or the clone is shallow "
            "(git fetch --unshallow)"
        )
    if not (args.stat or args.code):
        return
    first = code.values.get(0)
    for i in range(1, len(found)):
        commits = (str(first), str(code.values.get(i)))
        if first is not None and i in code.values and commits[0] != commits[1] and not set(commits) & set(missing):
            if len(found) > 2:
                out.line(f"\n{out.paint(f'{printable(found[0].label)} -> {printable(found[i].label)}', 'bold')}")
            shape = [f"--stat={out.width or 80}"] if args.stat else []
            print_git(out, opened, ["diff", *shape, *(["--patch"] if args.code else [])], commits)


def print_git(out: Screen, opened: Opened, words: Sequence[str], commits: Sequence[str]) -> None:
    """What git itself shows of commits, in its colours; what is recorded in the code steers no terminal."""
    colour = f"--color={'always' if out.colour else 'never'}"
    asked = process.run([*opened.repository.git_args, *words, colour, *commits, "--"])
    if out.width is None:  # a patch that is piped must apply
        sys.stdout.flush()
        sys.stdout.buffer.write(asked.out)
        return
    for line in asked.out.decode("utf-8", "replace").split("\n"):
        out.line("".join(part if _SGR.fullmatch(part) else printable(part, newlines=True) for part in _SGR.split(line)))
