"""Checking a ledger against its format: what is damaged, misplaced, doubled or of a later version."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitlumo import values
from gitlumo.errors import FormatError, LumoError
from gitlumo.git.objects import Objects, Staging, read_tree
from gitlumo.store import join, layout, record, trees
from gitlumo.store.query import TreeFiles
from gitlumo.store.record import Record

# A problem that is no fault: what a crash has torn is published as it is.
TORN = re.compile(r"history: \d+ torn lines?")


def check_ledger(objects: Objects, tree: str | None) -> tuple[int, list[str]]:
    """Check every run of a ledger's tree.

    Returns:
        How many runs there are, and what is wrong, a line each.
    """
    problems: list[str] = []
    runs: dict[str, join.Run] = {}
    seen: dict[str, str] = {}
    count = 0
    for place in trees.places(objects, tree):
        count += 1
        run = trees.read_run(objects, place.tree)
        if run is None:
            problems.append(f"{place.path}: no run: its uid, exp_name, test_name or progress is damaged")
            continue
        if run.uid in seen:
            problems.append(f"{place.path}: the same run (uid {run.uid}) as {seen[run.uid]}")
        seen.setdefault(run.uid, place.path)
        runs[place.path] = run
        if not run.purged:
            problems += [f"{place.path}/{problem}" for problem in check_run(objects, place.tree, run.uid)]
    belongs = {uid: path for path, uid in join.folders(join.collect(runs.values()).values()).items()}
    problems += [f"{path}: belongs at {belongs[r.uid]}" for path, r in runs.items() if belongs[r.uid] != path]
    problems += [f"{path}: not part of a run" for path in sorted(_foreign(objects, tree))]
    return count, problems


def check_growth(objects: Staging, old: str | None, new: str) -> list[str]:
    """Check that a ledger's tree has all that a former one has, and that every run that is not the same is sound.

    What a crash has torn in a history is no fault: it is published as it is.

    Returns:
        What is wrong, a line each.
    """
    problems = []
    for path, _, entry in trees.unit_differences(objects, old, new):
        if entry is None or not entry.is_tree:
            continue
        run = trees.read_run(objects, entry.id)
        if run is None:
            problems.append(f"{path}: no run: its uid, exp_name, test_name or progress is damaged")
        elif not run.purged:
            found = (problem for problem in check_run(objects, entry.id, run.uid) if not TORN.fullmatch(problem))
            problems += [f"{path}/{problem}" for problem in found]
    if not problems:
        joined = trees.join_trees(objects, old or objects.add_tree(()), new)
        for path, entry, wanted in trees.unit_differences(objects, new, joined):
            told = "misplaced" if wanted is None else "changed or missing" if entry else "missing"
            problems.append(f"{path}: {told}: a ledger only grows")
    return problems


def _foreign(objects: Objects, tree: str | None) -> Iterator[str]:
    for path, entry, _ in trees.unit_differences(objects, tree, None):
        if entry and not entry.is_tree:
            yield path


def check_run(objects: Objects, tree: str, uid: str) -> Iterator[str]:
    """What is wrong in one run's folder, each beginning with the file.

    Args:
        objects: Where it is.
        tree: The folder's tree.
        uid: The run.
    """
    files = TreeFiles(objects, tree)
    try:
        layout.check_version(files.read)
    except LumoError as error:
        yield f"info/format.json: {error}"
        return
    broken: list[str] = []
    for path in files.paths():
        data = files.read(path) or b""
        if path.endswith(".json") and path.partition("/")[0] in ("info", layout.METRICS, layout.EDITS):
            try:
                if values.to_bytes(values.from_bytes(data)) != data:
                    yield f"{path}: not in the canonical form"
            except (FormatError, ValueError) as error:
                yield f"{path}: {error}"
                broken.append(path)
    for name in _edits(objects, tree):
        if layout.parse_edit(name, files.read(f"{layout.EDITS}/{name}") or b"", uid) is None:
            yield f"{layout.EDITS}/{name}: no edit of this run"
    lines = list(record.history_lines(files.read, files.paths()))
    torn = sum(line is None for line in lines)
    if torn:
        yield f"history: {torn} torn line{'s' if torn > 1 else ''}"
    folded = record.fold(line for line in lines if line)
    expected = record.metrics_to_bytes(folded) if folded else None
    if files.read(layout.METRICS) != expected and not _is_thinned(files):
        yield f"{layout.METRICS}: not what the history says"
    try:
        _ = Record(files.read, files.paths, "").properties
    except FormatError as error:
        said = str(error).lstrip("/")
        if said.partition(": ")[0] not in broken:
            yield said


def _is_thinned(files: TreeFiles) -> bool:
    """Whether a restored run says that its history is not whole; its metrics are those of the whole one then."""
    try:
        lost = values.from_bytes(files.read(layout.LOST) or b"null")
    except FormatError:
        return False
    return isinstance(lost, dict) and "history" in lost


def _edits(objects: Objects, tree: str) -> list[str]:
    entry = read_tree(objects, tree).get(layout.EDITS)
    return list(read_tree(objects, entry.id)) if entry and entry.is_tree else []
