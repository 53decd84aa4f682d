"""What boards show of runs: rows, the page of one, in what some differ, what to type. Values are JSON, none is HTML.

Floats that JSON cannot hold are spelled as in the ledger: ``{"$float": "NaN"}`` (docs/format.md, section 2).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitlumo import comparison, ids, values
from gitlumo.board import palette
from gitlumo.store import columns, layout
from gitlumo.store.columns import METRICS, PARAMS
from gitlumo.store.query import Found
from gitlumo.store.record import Record
from gitlumo.watcher import Row

MOST_COMPARED = 6
_HOST = re.compile(r"[A-Za-z0-9.-]+(?::\d+)?", re.ASCII)
_REPO = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+", re.ASCII)
_IMAGE = re.compile(rf"{layout.IMAGES}/([^/]+)/([^/]+)")


# Rows


@dataclass(frozen=True)
class Table:
    """Runs as a table.

    Attributes:
        names: The columns that any of them has: first those in which the runs that have them differ; of these metrics,
            parameters, fields.
        differing: How many they differ in.
        rows: The runs; see :func:`row_of`.
    """

    names: list[str]
    differing: int
    rows: list[dict[str, Any]]


def table(rows: Iterable[Row]) -> Table:
    """Runs as a table, in the order in which they come."""
    found = [(row, row.columns) for row in rows]
    names: dict[str, set[str]] = {}
    for _, held in found:
        for name, value in held.items():
            if len(seen := names.setdefault(name, set())) < 2:
                seen.add(f"{type(value).__name__} {value!r}")
    differ = {name for name, seen in names.items() if len(seen) > 1}
    order = sorted(names, key=lambda name: (name not in differ, *_place(name)))
    return Table(order, len(differ), [row_of(row) for row, _ in found])


def _place(name: str) -> tuple[int, str]:
    """Metrics, parameters, fields, and at last statistics of metrics."""
    if name.startswith(METRICS):
        return (3 if columns.base_of(name) else 0), name
    return (1, name) if name.startswith(PARAMS) else (2, f"{list(columns.FIELDS).index(name):03d}")


def row_of(row: Row) -> dict[str, Any]:
    """One run: ``label``, ``uid``, ``colour`` (a place in the palette), ``trouble``, and ``columns`` by name.

    Times are seconds since 1970. What is damaged in a run is its ``trouble``; else that is None.
    """
    held = row.columns
    uid = str(held.get("uid") or row.found.path)
    return {
        "label": row.found.label,
        "uid": uid,
        "colour": palette.colour(uid),
        "trouble": row.trouble,
        "columns": {name: values.encode(value) for name, value in held.items()},
    }


# One run


def page_of(found: Found) -> dict[str, Any]:
    """All that is known of a run: its properties (``git lumo show --json``), and what follows of them.

    These are ``label``, ``colour``, ``flat`` (its parameters as one level), ``files``, ``images`` (``key``, ``step``,
    ``path``), ``backups`` (``at``, ``text``, ``url``) and ``commands`` (see :func:`commands`).

    Args:
        found: The run.

    Raises:
        FormatError: If the run is damaged.
    """
    record = found.record
    record.check()
    run = record.properties
    facts: dict[str, Any] = {key: value for key, value in run.items() if key != "backup"}
    paths = sorted(path.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for path in record.paths())
    return {
        **{key: values.encode(value) for key, value in facts.items()},
        "label": found.label,
        "colour": palette.colour(str(run["uid"])),
        "flat": values.encode(columns.flat(run["params"])),
        "files": [path for path in paths if not path.startswith(("info/", f"{layout.EDITS}/"))],
        "images": values.encode(images(paths)),
        "backups": values.encode(backups(run["backup"])),
        "commands": values.encode(commands(found.label, run["backup"])),
    }


def images(paths: Iterable[str]) -> list[dict[str, Any]]:
    """The images among a run's files: ``key``, ``step`` and ``path``, by key and step."""
    folders: dict[str, list[str]] = {}
    for path in paths:
        if match := _IMAGE.fullmatch(path):
            folders.setdefault(match[1], []).append(match[2])
    return [
        {"key": ids.filename_to_key(folder) or folder, "step": step, "path": f"{layout.IMAGES}/{folder}/{name}"}
        for folder, names in sorted(folders.items())
        for step, name in layout.images(names)
    ]


def backups(recorded: Mapping[str, Any]) -> list[dict[str, str | None]]:
    """Where a run is backed up, the latest last: ``at``, ``text``, and ``url`` where that is an issue on GitHub.

    The address is put together of parts that can be nothing but a host, a repository and a number.
    """
    found: list[dict[str, str | None]] = []
    for at, value in recorded.items():
        place = value if isinstance(value, Mapping) else {}
        host, repo, number = str(place.get("host") or "github.com"), str(place.get("repo")), place.get("number")
        is_issue = place.get("backend") == "github" and type(number) is int and number > 0
        url = f"https://{host}/{repo}/issues/{number}" if is_issue else None
        sound = url and _HOST.fullmatch(host) and _REPO.fullmatch(repo)
        text = " ".join(str(item) for item in place.values())
        found.append({"at": at.partition("~")[0], "text": text, "url": url if sound else None})
    return found


def commands(label: str, recorded: Mapping[str, Any] | None = None) -> dict[str, str]:
    """What to type for a run: ``show``, ``rerun``, ``checkout``, and ``restore`` if it is backed up in an issue.

    Args:
        label: ``<exp_name>/<test_name>``.
        recorded: The run's backups.
    """
    name = shlex.quote(label)
    found = {verb: f"git lumo {verb} {name}" for verb in ("show", "rerun", "checkout")}
    place = columns.backup_of(recorded or {})
    return found | ({"restore": f"git lumo restore {shlex.quote(place)}"} if place else {})


# Some runs


def differences(records: Sequence[Record], tree_of: Callable[[str], str | None]) -> list[dict[str, Any]]:
    """In what 2 to 6 runs differ (:mod:`gitlumo.comparison`): ``section``, ``key``, ``better``, ``change``, ``values``.

    ``values`` is a list, one of each run: ``[]`` where it has none, else ``[value]``.

    Args:
        records: The runs.
        tree_of: The tree of a commit, None where the commit is not here (:func:`gitlumo.git.objects.tree_of`).

    Raises:
        FormatError: If a run is damaged.
    """
    return [
        {
            "section": each.section,
            "key": each.key,
            "better": each.better,
            "change": each.change,
            "values": [[values.encode(each.values[i])] if i in each.values else [] for i in range(len(records))],
        }
        for each in comparison.compare(records, tree_of)
    ]
