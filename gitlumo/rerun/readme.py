"""The page that explains an archive: what ran, how it runs again, what came out, and what is not in it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

_SHOWN = 50


def text(label: str, run: Mapping[str, Any], about: Mapping[str, Any], commit: str) -> str:
    """``README.md``.

    Args:
        label: ``<exp_name>/<test_name>``.
        run: The run's properties.
        about: What ``run.json`` says.
        commit: Its code.
    """
    return "".join(f"{line}\n" for line in _lines(label, run, about, commit))


def _lines(label: str, run: Mapping[str, Any], about: Mapping[str, Any], commit: str) -> Iterator[str]:
    lock, progress = run["lock"], run["progress"]
    yield f"# {_plain(label)}"
    yield ""
    yield f"A run that gitlumo recorded on {_plain(progress.get('start'))}; it {_ending(run)}."
    if run["note"]:
        yield ""
        yield from (f"> {_plain(line)}" for line in str(run["note"]).rstrip().splitlines())
    yield ""
    yield "To run it again, and compare its metrics with the recorded ones, type here:"
    yield ""
    yield "    python run.py"
    yield ""
    python = f"Python {_plain(lock['python'])}" if "python" in lock else "Python"
    version = f" {about['gitlumo']}" if about["gitlumo"] else ""
    yield f"It needs {python}, git, gitlumo{version}, and the packages that were installed then:"
    yield "`python -m pip install -r requirements.txt`. `python run.py --help` says more."
    yield ""
    yield "| here | is |"
    yield "| --- | --- |"
    yield f"| `code/` | the code as it ran, with what was not committed: commit {commit} |"
    yield "| `record/` | all that was recorded; the format is that of gitlumo's docs/format.md |"
    yield "| `record/metrics.json`, `record/history/` | the metrics, and each value of them |"
    yield "| `record/info/params.json`, `record/info/lock.json` | parameters, and packages |"
    yield ""
    yield "## The command"
    yield ""
    yield f"    {_plain(shlex.join(about['words']))}"
    yield ""
    yield f"in `code/{'' if about['cwd'] == '.' else _plain(about['cwd'])}`" + (
        f", with {', '.join(f'{_plain(name)}={_plain(value)}' for name, value in sorted(about['env'].items()))}."
        if about["env"]
        else "."
    )
    yield from _metrics(about["metrics"])
    yield from _absent(run, about)


def _ending(run: Mapping[str, Any]) -> str:
    code = run["progress"].get("end_code")
    return f"failed with status {_plain(code)}" if run["state"] == "failed" else _plain(run["state"])


def _metrics(metrics: Mapping[str, Any]) -> Iterator[str]:
    if metrics:
        yield ""
        yield "## The metrics"
        yield ""
        yield "| metric | last | best | least | greatest |"
        yield "| --- | --- | --- | --- | --- |"
    for name, summary in sorted(metrics.items()):
        values = " | ".join(_plain(summary[key]) for key in ("last", "best", "min", "max"))
        yield f"| {_plain(name).replace('|', '&#124;')} | {values} |"


def _absent(run: Mapping[str, Any], about: Mapping[str, Any]) -> Iterator[str]:
    """What was not recorded, and so is not here."""
    lines = [f"`{_plain(item['path'])}`: {_plain(item['reason'])}" for item in left_out(run)]
    lines += [f"a secret in the command: {_plain(place)}" for place in about["masked"]]
    if lines:
        yield ""
        yield "## What is not here"
        yield ""
        yield from (f"* {line}" for line in lines[:_SHOWN])
        if len(lines) > _SHOWN:
            yield f"* and {len(lines) - _SHOWN} more: `record/info/git.json`"
        yield ""
        yield "Files that git ignores are not here, either, nor what the program read outside of its repository."


def left_out(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a run's snapshot does not have of the work tree: ``path`` and ``reason``; changed submodules, too."""
    skipped, submodules = (run["git"].get(key) for key in ("skipped", "submodules"))
    found = [item for item in skipped or () if isinstance(item, dict)] if isinstance(skipped, list) else []
    dirty = [item for item in submodules if isinstance(item, dict)] if isinstance(submodules, list) else []
    return [{"path": str(item.get("path")), "reason": str(item.get("reason"))} for item in found] + [
        {"path": str(item.get("path")), "reason": "a submodule with changes that were not committed in it"}
        for item in dirty
        if item.get("dirty")
    ]


def _plain(value: Any) -> str:
    """A recorded text in one line, without what steers a terminal."""
    return "".join(char if char.isprintable() else "?" for char in str(value))
