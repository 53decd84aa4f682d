"""What people read of a run in an issue: Markdown of GitHub's dialect, in which data can do nothing.

Names and values stand in code spans, the note in a quotation: there GitHub takes no HTML that could close what is ours,
and a mention or a reference in them is broken, so that nobody is called.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gitlumo import sparkline, values
from gitlumo.backup.parcel import Parcel
from gitlumo.store import columns, record
from gitlumo.store.record import best_facts

MAX_TITLE = 200  # GitHub takes 256 characters
MAX_ROWS = 60
MAX_PACKAGES = 300
MAX_VALUE = 120
MAX_NOTE = 8000
_CURVE = 24
_JOINER = "\u2060"  # seen by nobody, and enough to break a mention, a reference or a tag
_CALLS = re.compile(r"(?<![`\w])@(?=\w)|#(?=\d)|\bGH-(?=\d)|<(?=[A-Za-z/!?])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


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
        _not_here(masked, lost),
    ]
    return "\n".join(f"{block.rstrip()}\n" for block in blocks if block)


def _head(run: Parcel, facts: Mapping[str, Any], commit_url: str | None) -> str:
    progress, git = facts["progress"], facts["git"]
    start, end = (values.time_seconds(progress.get(key)) for key in ("start", "end"))
    took = f", took {end - start:.0f} s" if start is not None and end is not None else ""
    began = f"{run.identity.start[:10]} {run.identity.start[11:16]} UTC"
    lines = [f"**{facts['state']}**: {code(run.name)}, started {began}{took}"]
    commit = git.get("commit") if isinstance(git, dict) else None
    if isinstance(commit, str) and re.fullmatch(r"[0-9a-f]{40,64}", commit):
        lines.append(f"Code: {_commit(commit, commit_url)}{_made_on(git, commit_url)}")
    command = _command(facts)
    if command:
        lines.append(f"Command: {code(command, 400)}")
    if facts["tags"]:
        lines.append("Tags: " + " ".join(code(tag) for tag in facts["tags"]))
    exception = facts["exception"]
    if isinstance(exception, dict):
        lines.append(f"It failed with {code(exception.get('type'))}: {code(exception.get('message'), 400)}")
    lines.append("Again here: `git lumo restore` and the address of this page")
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


def _table(heads: list[str], rows: list[list[str]], what: str) -> str:
    if not rows:
        return ""
    cells = ([cell.replace("|", "\\|") for cell in row] for row in rows[:MAX_ROWS])
    left = "".join("| " + " | ".join(row) + " |\n" for row in cells)
    ruler = "| " + " | ".join("---" for _ in heads) + " |\n"
    more = f"\n{len(rows) - MAX_ROWS} more {what} are in the record.\n" if len(rows) > MAX_ROWS else ""
    return f"| {' | '.join(heads)} |\n{ruler}{left}{more}"


def _flat(params: Any) -> list[tuple[str, Any]]:
    return list(columns.flat(params).items()) if isinstance(params, dict) else [("params", params)] if params else []


def _note(note: str) -> str:
    if not note.strip():
        return ""
    short = note if len(note) <= MAX_NOTE else f"{note[:MAX_NOTE]}\n\n... (the whole note is in the record)"
    safe = _CALLS.sub(lambda match: match[0] + _JOINER, _CONTROL.sub("", short.replace("\r\n", "\n")))
    return "Note:\n\n" + "".join(f"> {line}\n" for line in safe.rstrip().split("\n"))


def _environment(facts: Mapping[str, Any]) -> str:
    machine = facts.get("machine") if isinstance(facts.get("machine"), dict) else {}
    assert isinstance(machine, dict)
    rows = [(key, machine[key]) for key in sorted(machine)]
    rows += [("host", facts["pinfo"].get("host")), ("folder", facts["execute"].get("cwd")), ("seed", facts.get("seed"))]
    lines = [f"* {key}: {code(value)}" for key, value in rows if value is not None]
    env = facts.get("env")
    lines += [f"* {code(key)}: {code(value)}" for key, value in env.items()] if isinstance(env, dict) else []
    lock = sorted(facts["lock"].items())
    packages = [f"{_plain(name)}=={_plain(version)}" for name, version in lock[:MAX_PACKAGES]]
    more = f"\nand {len(lock) - MAX_PACKAGES} more" if len(lock) > MAX_PACKAGES else ""
    listed = ["", "```text", *(name.replace("`", "'") for name in packages), f"```{more}"] if packages else []
    if not lines and not listed:
        return ""
    return "\n".join(["<details><summary>Environment</summary>", "", *lines, *listed, "", "</details>", ""])


def _not_here(masked: Iterable[str], lost: Mapping[str, Any]) -> str:
    lines = []
    places = list(masked)
    if places:
        lines.append(f"Masked (secrets, home folders): {_listed(places)}")
    if thinned := lost.get("history"):
        lines.append(
            f"The history was too long: the record has {thinned['lines']} of its {thinned['of']} lines, among them each"
            " metric's first, last, least and greatest value."
        )
    if left_out := lost.get("left_out"):
        lines.append(f"Files that did not fit: {_listed([each['path'] for each in left_out])}")
    return "".join(f"{line}\n\n" for line in lines).rstrip("\n") + "\n" if lines else ""


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MAX_ROWS} more" if len(names) > MAX_ROWS else ""
    return ", ".join(code(name) for name in names[:MAX_ROWS]) + more


def code(value: Any, width: int = MAX_VALUE) -> str:
    """A value as a code span (GitHub Flavored Markdown, 6.3): nothing in it is read as Markdown."""
    plain = _number(value) if isinstance(value, float) else _plain(value)
    if len(plain) > width:
        plain = plain[: width - 1] + "…"
    if not plain.strip():
        return "` `"
    fence = "`" * (max((len(run) for run in re.findall("`+", plain)), default=0) + 1)
    pad = " " if plain[0] in "` " or plain[-1] in "` " else ""
    return f"{fence}{pad}{plain}{pad}{fence}"


def _plain(value: Any) -> str:
    return _CONTROL.sub("?", str(value).replace("\n", "⏎").replace("\t", " "))


def _number(value: Any) -> str:
    return sparkline.number(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else _plain(value)
