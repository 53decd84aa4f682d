"""``git lumo report``: how a branch's runs did beside those of its base, as a comment on a pull request has it."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gitlumo import wording
from gitlumo.cli.opening import Opened, open_here
from gitlumo.cli.terminal import printable, shorten
from gitlumo.errors import UsageError

if TYPE_CHECKING:
    from gitlumo.share.reporting import Line, Ran, Section
    from gitlumo.store.query import Found
    from gitlumo.watcher import Selection

SURROUNDINGS_SHOWN = 10
METRICS_SHOWN = 8
VALUE_WIDTH = 60
_RANGE = re.compile(r"(.*?)(\.\.\.?)(.*)", re.DOTALL)


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument(
        "what",
        metavar="A..B|EXP",
        nargs="*",
        help="the runs on commits of B that A has not, beside the last ones of A (A...B: of where both parted); or some"
        " runs, beside the first of them. Nothing: what HEAD has and the main branch has not",
    )
    parser.add_argument(
        "--format", choices=("md", "json"), default="md", help="Markdown, as GitHub shows it, or JSON (md)"
    )
    parser.add_argument("--json", action="store_const", dest="format", const="json", help="the same as --format json")


def run(args: argparse.Namespace) -> int:
    """Compare, and print it."""
    from gitlumo.share.reporting import as_json, by_commits, section
    from gitlumo.watcher import Selection

    opened = open_here()
    ranges = [match for match in map(_RANGE.fullmatch, args.what) if match]
    if ranges and len(args.what) > 1:
        raise UsageError("one range of commits, or some runs: git lumo report A..B, or git lumo report EXP EXP")
    if args.what and not ranges:
        runs = opened.runs()
        found = [_ran(runs.resolve(name)) for name in args.what]
        title = f"{wording.count(len(found) - 1, 'run')} beside {_code(found[0].label)}"
        sections = [section("", found[:1], found[1:] or found[:1])]
    else:
        base, dots, tip = ranges[0].groups() if ranges else (_main(opened), "..", "HEAD")
        base, tip = base or "HEAD", tip or "HEAD"
        title = f"Runs on {_code(tip)} beside those on {_code(base)}"
        ours, theirs = _commits(opened, base, dots, tip)
        with Selection(opened.branch, opened.cache_root) as selection:
            sections = by_commits(_all(selection), ours, theirs)
    if args.format == "json":
        print(json.dumps(as_json(sections), indent=2, sort_keys=True))
        return 0
    for line in markdown(title, sections):
        print(line)
    return 0


def _main(opened: Opened) -> str:
    """The branch that a pull request is usually for."""
    from gitlumo.git import process

    remotes = [opened.settings.remote or "origin", *opened.repository.remote_names()]
    for name in (*(f"refs/remotes/{remote}/HEAD" for remote in remotes), "refs/heads/main", "refs/heads/master"):
        asked = process.run(
            [*opened.repository.git_args, "rev-parse", "--abbrev-ref", "--verify", "-q", name], check=False
        )
        if asked.status == 0 and asked.out.strip():
            return asked.out.decode("utf-8", "replace").strip()
    raise UsageError("which is the main branch? say it: git lumo report MAIN..HEAD")


def _commits(opened: Opened, base: str, dots: str, tip: str) -> tuple[list[str], list[str]]:
    """The commits whose runs are told of, and those whose runs they are compared with, the newest first."""
    from gitlumo.git import process
    from gitlumo.revisions import Revisions

    revisions = Revisions(opened.repository)
    first, last = revisions.commit(base), revisions.commit(tip)
    if dots == "...":
        parted = process.run([*opened.repository.git_args, "merge-base", first, last], check=False)
        if parted.status:
            raise UsageError(f"{base} and {tip} have no commit in common; say what to compare: A..B")
        first = parted.out.decode("ascii").strip()
    return revisions.between(f"{first}..{last}"), revisions.between(first)


def _all(selection: Selection) -> Iterator[Ran]:
    """All runs but those that are damaged, or marked as deprecated; nothing is read of them but what the index has."""
    from gitlumo.condition import Compare
    from gitlumo.share.reporting import Ran

    head, commit, state = map(selection.column, ("git.head", "git.commit", "state"))
    for row in selection.rows(~Compare("deprecated", "=", True)):
        if not row.trouble:
            at = head(row) or commit(row)
            yield Ran(row.found.label, row.found.record, at if isinstance(at, str) else None, str(state(row)))


def _ran(found: Found) -> Ran:
    from gitlumo.share.reporting import Ran

    found.record.check()
    git = found.record.info("git")
    head = (git.get("head") or git.get("commit")) if isinstance(git, dict) else None
    return Ran(found.label, found.record, head if isinstance(head, str) else None, found.record.state)


def markdown(title: str, sections: Sequence[Section]) -> Iterator[str]:
    """The report as GitHub's Markdown; what is recorded is data in it, never markup, a link or a mention."""
    yield f"## {title}"
    if not sections:
        yield ""
        yield "No run is recorded on these commits."
    for section in sections:
        yield ""
        if section.name:
            yield f"### {_code(section.name)}"
            yield ""
        yield from _table(section)
        if section.name and not section.base:
            yield ""
            yield "The base has no finished run of this experiment."
        elif section.commit:
            yield ""
            yield f"The base's runs are of commit {section.commit[:12]}."
        yield from _surroundings(section)


def _table(section: Section) -> Iterator[str]:
    directed = sorted(section.metrics, key=lambda key: (section.metrics[key] is None, key))
    metrics = directed[:METRICS_SHOWN]
    arrows = {"max": " ↑", "min": " ↓"}
    heads = ["", "run", "state", *map(_code, section.params)]
    heads += [f"{_code(key)}{arrows.get(section.metrics[key] or '', '')}" for key in metrics]
    yield f"| {' | '.join(heads)} |"
    yield f"| {' | '.join(['---'] * (3 + len(section.params)) + ['---:'] * len(metrics))} |"
    for mark, lines in (("base", section.base), ("", section.lines)):
        for line in lines:
            cells = [mark, _runs(line), _states(line)]
            cells += [_value(line.params[key]) if key in line.params else "" for key in section.params]
            cells += [_metric(line, key, section.metrics[key]) for key in metrics]
            yield f"| {' | '.join(cells)} |"
    if len(directed) > len(metrics):
        yield ""
        more = directed[len(metrics) :]
        yield f"and {wording.count(len(more), 'more metric')}: {', '.join(map(_code, more))}"


def _runs(line: Line) -> str:
    first = _code(line.runs[0])
    return first if len(line.runs) == 1 else f"{first} and {len(line.runs) - 1} more"


def _states(line: Line) -> str:
    return ", ".join(state if count == len(line.runs) else f"{count} {state}" for state, count in line.states.items())


def _metric(line: Line, key: str, better: str | None) -> str:
    """A metric with its change; in bold where it is better than the base's."""
    spread = line.metrics.get(key)
    if spread is None:
        return ""
    text = wording.number(spread.mean)
    if spread.deviation is not None:
        text += f" ± {spread.deviation:.2g}"
    if spread.count < len(line.runs):
        text += f" (n={spread.count})"
    change = line.changes.get(key)
    if change is None:
        return text
    if change and better and (change > 0) == (better == "max"):
        text = f"**{text}**"
    return f"{text} ({change:+.1%})"


def _surroundings(section: Section) -> Iterator[str]:
    if not section.surroundings:
        return
    told = []
    for each in section.surroundings[:SURROUNDINGS_SHOWN]:
        was, now = (_value(each.values[i]) if i in each.values else "none" for i in (0, 1))
        told.append(f"{_code(each.key)} {was} → {now}")
    more = len(section.surroundings) - len(told)
    yield ""
    yield f"Not the same as in the base: {', '.join(told)}{f' and {more} more' if more > 0 else ''}."


def _value(value: object) -> str:
    if isinstance(value, (bool, int, float)) or value is None:
        return wording.number(value)
    return _code(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def _code(text: str) -> str:
    """A text as code: in it nothing is markup, and nobody is mentioned."""
    inner = shorten(printable(text), VALUE_WIDTH).replace("`", "'").replace("|", "\\|").strip()
    return f"`{inner}`" if inner else ""
