"""What people read of a run in an issue: Markdown of GitHub's dialect, in which data can do nothing.

Whatever was recorded stands in code spans and code blocks: there GitHub reads no Markdown and no HTML, links nothing
and calls nobody.
"""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gitlumo import sparkline, values
from gitlumo.backup.parcel import Parcel, together
from gitlumo.store import columns, record
from gitlumo.store.record import best_facts

MAX_TITLE = 200  # GitHub takes 256 characters
MAX_VALUE = 120  # bytes, as are the following: a page takes at most 24 KiB, whatever the run
MAX_TEXT = 400  # of a command, of an exception's message
MAX_TABLE = 4400
MAX_NOTE = 4000
MAX_PACKAGES = 3000
MAX_LIST = 1000
_NOTE_WIDTH = 100  # characters: code blocks do not wrap
_CURVE = 24
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def name(run: Parcel) -> str:
    """``<exp_name> / <test_name>``, with which a title begins."""
    return f"{run.identity.exp_name} / {run.identity.test_name}"


def title(run: Parcel) -> str:
    """The same, and the best metrics, as many as fit."""
    begin = name(run)
    facts: list[str] = []
    for key, value in best_facts(run.record.metrics).items():
        fact = f"{_plain(key)} {_number(value)}"
        if len(begin) + len(", ".join([*facts, fact])) > MAX_TITLE:
            break
        facts.append(fact)
    return f"{begin} - {', '.join(facts)}" if facts else begin


def text(run: Parcel, masked: Iterable[str], lost: Mapping[str, Any], commit_url: str | None) -> str:
    """The page.

    Args:
        run: The run, masked, as the record has it.
        masked: Where.
        lost: What the record lacks of it, see ``info/restored.json``.
        commit_url: Where commits of the code are seen: their ids come behind it; None: nowhere.
    """
    facts = run.record.properties
    blocks = [
        _head(run, facts, commit_url),
        _table(["metric", "best", "last", "at step", "values", "curve"], list(_metrics(run)), "metrics"),
        _table(["parameter", "value"], [[code(k), code(v)] for k, v in _flat(facts["params"])], "parameters"),
        _note(str(facts["note"])),
        _environment(facts),
        _not_here(masked, together(facts.get("restored"), lost)),
    ]
    return "\n".join(f"{block.rstrip()}\n" for block in blocks if block)


def _head(run: Parcel, facts: Mapping[str, Any], commit_url: str | None) -> str:
    progress, git = facts["progress"], facts["git"]
    start, end = (values.time_seconds(progress.get(key)) for key in ("start", "end"))
    took = f", took {end - start:.0f} s" if start is not None and end is not None else ""
    began = f"{run.identity.start[:10]} {run.identity.start[11:16]} UTC"
    state = f"{facts['state']}, deprecated" if facts["deprecated"] else facts["state"]
    lines = [f"**{state}**: {code(run.name, 2 * MAX_VALUE)}, started {began}{took}"]
    commit = git.get("commit") if isinstance(git, dict) else None
    if isinstance(commit, str) and re.fullmatch(r"[0-9a-f]{40,64}", commit):
        lines.append(f"Code: {_commit(commit, commit_url)}{_made_on(git, commit_url)}")
    command = _command(facts)
    if command:
        lines.append(f"Command: {code(command, MAX_TEXT)}")
    if facts["tags"]:
        lines.append(f"Tags: {_listed(facts['tags'])}")
    exception = facts["exception"]
    if isinstance(exception, dict):
        lines.append(f"It failed with {code(exception.get('type'))}: {code(exception.get('message'), MAX_TEXT)}")
    lines.append("To have it again: `git lumo restore` and the address of this page")
    return "\n".join(f"* {line}" if n else f"{line}\n" for n, line in enumerate(lines)) + "\n"


def _command(facts: Mapping[str, Any]) -> str:
    obj = facts["pinfo"].get("obj")
    argv = (obj.get("argv") if isinstance(obj, dict) else None) or facts["execute"].get("exec_argv")
    return shlex.join(map(str, argv)) if isinstance(argv, list) else ""


def _commit(commit: str, url: str | None) -> str:
    return f"[`{commit[:12]}`]({url}{commit})" if url else f"`{commit[:12]}`"


def _made_on(git: Mapping[str, Any], url: str | None) -> str:
    head, branch = git.get("head"), git.get("branch")
    if not (isinstance(head, str) and re.fullmatch(r"[0-9a-f]{40,64}", head)) or head == git.get("commit"):
        return f", on the branch {code(branch)}" if isinstance(branch, str) else ""
    where = f" of the branch {code(branch)}" if isinstance(branch, str) else ""
    return f", a snapshot with changes that were not committed, made on {_commit(head, url)}{where}"


def _metrics(run: Parcel) -> Iterator[list[str]]:
    metrics = run.record.metrics
    curves: dict[str, list[float]] = {key: [] for key in metrics}
    for line in record.history_lines(run.files.get, run.files):
        for key, value in line.numbers.items() if line else ():
            if key in curves:
                curves[key].append(value)
    for key in best_facts(metrics):
        found = metrics[key]
        cmp = f" ({found['cmp']})" if found.get("cmp") in ("max", "min") else ""
        best, last = f"{_number(found.get('best'))}{cmp}", _number(found.get("last"))
        curve = f"`{sparkline.draw(curves[key], _CURVE)}`" if curves[key] else ""
        yield [code(key), best, last, code(found.get("best_step")), code(found.get("count")), curve]


def _table(heads: list[str], rows: list[list[str]], what: str, limit: int = MAX_TABLE) -> str:
    if not rows:
        return ""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in rows]
    shown = _within(lines, limit)
    ruler = "| " + " | ".join("---" for _ in heads) + " |\n"
    more = f"\n{len(rows) - len(shown)} more {what} are in the record.\n" if len(rows) > len(shown) else ""
    return f"| {' | '.join(heads)} |\n{ruler}{''.join(shown)}{more}"


def _within(lines: Iterable[str], limit: int) -> list[str]:
    """The first lines, as many as fit into so many bytes."""
    shown = []
    for line in lines:
        limit -= len(line.encode("utf-8", "replace")) + 2
        if limit < 0:
            break
        shown.append(line)
    return shown


def _flat(params: Any) -> list[tuple[str, Any]]:
    return list(columns.flat(params).items()) if isinstance(params, dict) else [("params", params)] if params else []


def _note(note: str) -> str:
    if not note.strip():
        return ""
    plain = _CONTROL.sub("", note[: MAX_NOTE + 1].replace("\r\n", "\n").replace("\t", "    ")).strip("\n")
    lines = [part for line in plain.split("\n") for part in _wrapped(line)]
    shown = _within(lines, MAX_NOTE)
    more = "\nThe whole note is in the record.\n" if len(shown) < len(lines) or len(note) > MAX_NOTE else ""
    fence = "`" * max(3, _ticks("\n".join(shown)) + 1)
    quoted = [f"{fence}text", *shown, fence]
    return "Note:\n\n" + "".join(f"> {line}\n" for line in quoted) + more


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, _NOTE_WIDTH, drop_whitespace=False, break_on_hyphens=False) or [""]


def _environment(facts: Mapping[str, Any]) -> str:
    machine, env = facts.get("machine"), facts.get("env")
    rows = sorted(machine.items()) if isinstance(machine, dict) else []
    rows += [("host", facts["pinfo"].get("host")), ("folder", facts["execute"].get("cwd")), ("seed", facts.get("seed"))]
    rows += sorted(env.items()) if isinstance(env, dict) else []
    cells = [[code(key), code(value)] for key, value in rows if value is not None]
    packages = [
        _cut(f"{_plain(name)}=={_plain(version)}", MAX_VALUE) for name, version in sorted(facts["lock"].items())
    ]
    listed = _within(packages, MAX_PACKAGES)
    more = [f"{len(packages) - len(listed)} more packages are in the record."] if len(packages) > len(listed) else []
    block = ["```text", *(package.replace("`", "'") for package in listed), "```", *more] if listed else []
    if not cells and not block:
        return ""
    table = _table(["", ""], cells, "facts", MAX_TABLE // 2)
    return "\n".join(["<details><summary>Environment</summary>", "", table, *block, "", "</details>", ""])


def _not_here(masked: Iterable[str], lost: Mapping[str, Any]) -> str:
    """What the record lacks; a run that was restored may say anything of what it lacked before."""
    blocks = []
    if places := list(masked):
        blocks.append(f"Masked (secrets, home folders): {_listed(places)}\n")
    if isinstance(thinned := lost.get("history"), dict):
        kept = ", among them each metric's first, last, least and greatest value" if thinned.get("lines") else ""
        lines, of = code(thinned.get("lines")), code(thinned.get("of"))
        blocks.append(f"The history was too long: the record has {lines} of its {of} lines{kept}.\n")
    if isinstance(left_out := lost.get("left_out"), list):
        names = [each.get("path") if isinstance(each, dict) else each for each in left_out]
        blocks.append(f"Files that did not fit: {_listed(names)}\n")
    return "\n".join(blocks)


def _listed(names: Iterable[Any]) -> str:
    spans = [code(name) for name in names]
    shown = _within(spans, MAX_LIST)
    return ", ".join(shown) + (f" and {len(spans) - len(shown)} more" if len(spans) > len(shown) else "")


def code(value: Any, width: int = MAX_VALUE) -> str:
    """A value as a code span (GitHub Flavored Markdown, 6.3), cut to a width in bytes."""
    plain = _cut(_number(value) if isinstance(value, float) else _plain(value), width)
    if not plain.strip():
        return "` `"
    fence = "`" * (_ticks(plain) + 1)
    pad = " " if plain[0] in "` " or plain[-1] in "` " else ""
    return f"{fence}{pad}{plain}{pad}{fence}"


def _ticks(text: str) -> int:
    """The longest run of backticks."""
    return max(map(len, re.findall("`+", text)), default=0)


def _cut(text: str, width: int) -> str:
    data = text.encode("utf-8", "replace")
    return text if len(data) <= width else data[: width - 3].decode("utf-8", "ignore") + "…"


def _plain(value: Any) -> str:
    return _CONTROL.sub("?", str(value).replace("\n", "⏎").replace("\t", " "))


def _number(value: Any) -> str:
    return sparkline.number(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else _plain(value)
