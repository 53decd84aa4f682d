"""A run as one row of columns, which conditions ask for and tables show; and how SQLite holds a value.

A column is a *field* (one of :data:`FIELDS`), a parameter (``params.optim.lr``) or a metric (``metrics.acc``, its best
value; ``metrics.acc.last``, ``.min``, ``.max``). Nested parameters are flat; a list stays one value. A statistic that
is the best value is not held apart: :func:`value` and :func:`whole` know that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from gitlumo import values

if TYPE_CHECKING:
    from gitlumo.store.record import Record

T = TypeVar("T")
SYSTEM = "system/"  # how metrics of the machine begin
STATES = ("running", "finished", "failed", "killed")
FIELDS = {
    "exp": "the exp_name",
    "name": "the test_name",
    "uid": "the uid",
    "state": "running, finished, failed or killed",
    "start": "when it started: a time",
    "end": "when it ended: a time",
    "took": "how long it took, in seconds",
    "ratio": "how far it is, from 0 to 1",
    "end_code": "the status with which it ended",
    "note": "the note",
    "tag": "its tags: a list",
    "deprecated": "whether it was marked as deprecated: true or false",
    "host": "the machine on which it ran",
    "command": "the command line",
    "git.commit": "the commit of its code",
    "git.head": "the commit on which that was made",
    "git.branch": "the branch that was checked out",
    "exception": "the type of the exception that ended it",
    "rerun.from": "the uid of the run that it repeats",
    "backup": "the issue in which it is backed up",
}
TIMES = frozenset({"start", "end"})
PARAMS, METRICS = "params.", "metrics."
STATISTICS = ("last", "min", "max")
SUFFIXES = tuple(f".{name}" for name in STATISTICS)
_STATISTIC = re.compile(r"(metrics\..*)\.(?:last|min|max)", re.DOTALL)
Column = bool | int | float | str | bytes | None | list[Any] | dict[str, Any]
Held = int | float | str | bytes  # a value as SQLite holds it

_INT64 = 1 << 63


def of_the_run(metrics: Mapping[str, T]) -> dict[str, T]:
    """Metrics without those of the machine, which are other ones each time: those that runs are compared by."""
    return {key: value for key, value in metrics.items() if not key.startswith(SYSTEM)}


def is_column(name: object) -> bool:
    """Whether a name is a column's, not one that a user has made up."""
    return isinstance(name, str) and (name in FIELDS or name.startswith((PARAMS, METRICS)))


def columns_of(run: Record) -> dict[str, Column]:
    """A run's columns; what it has not is absent. Times are seconds since 1970.

    Raises:
        FormatError: If a file of it is damaged.
    """
    from gitlumo.store import record

    progress, edited = run.progress, run.edited
    git, pinfo = (_map(run.info(key)) for key in ("git", "pinfo"))
    start, end = values.time_seconds(progress.get("start")), values.time_seconds(progress.get("end"))
    heard = end if end is not None else values.time_seconds(progress.get("last_edit_time"))
    found: dict[str, Any] = {
        "exp": run.info("exp_name"),
        "name": run.info("test_name"),
        "uid": run.uid,
        "state": record.state_of(progress),
        "start": start,
        "end": end,
        "took": None if start is None or heard is None else round(heard - start, 3),
        "ratio": progress.get("ratio"),
        "end_code": progress.get("end_code"),
        "note": edited["note"] or None,
        "tag": edited["tags"] or None,
        "deprecated": bool(edited["deprecated"]),
        "host": pinfo.get("host"),
        "command": _command(_map(pinfo.get("obj")).get("argv") or _map(run.info("execute")).get("exec_argv")),
        "git.commit": git.get("commit"),
        "git.head": git.get("head"),
        "git.branch": git.get("branch"),
        "exception": _map(run.info("exception")).get("type"),
        "rerun.from": _map(edited["rerun"]).get("from"),
        "backup": backup_of(edited["backup"]),
    }
    result: dict[str, Column] = {key: value for key, value in found.items() if value is not None}
    for key, value in flat(run.info("params")).items():
        result[PARAMS + key] = value
    for key, metric in run.metrics.items():
        best = result[METRICS + key] = metric.get("best")
        for more in STATISTICS:
            if not same(metric.get(more), best):
                result[f"{METRICS}{key}.{more}"] = metric.get(more)
    return result


def base_of(name: str) -> str | None:
    """The column in which a statistic stands if a run has none of its own: ``metrics.acc`` of ``metrics.acc.last``."""
    found = _STATISTIC.fullmatch(name)
    return found[1] if found else None


def value(run: Mapping[str, Column], name: str) -> Column:
    """A run's value in a column; None where it has none."""
    if name in run:
        return run[name]
    base = base_of(name)
    return None if base is None else run.get(base)


def whole(run: Mapping[str, Column]) -> dict[str, Column]:
    """A run's columns with all statistics of its metrics."""
    result = dict(run)
    for name, best in run.items():
        if name.startswith(METRICS) and base_of(name) not in run:
            for more in SUFFIXES:
                result.setdefault(name + more, best)
    return result


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _command(argv: object) -> str | None:
    import shlex

    return shlex.join(map(str, argv)) if isinstance(argv, list) and argv else None


def backup_of(backups: object) -> str | None:
    """Where the latest backup is, as ``git lumo restore`` takes it."""
    latest = _map(list(_map(backups).values() or [None])[-1])
    repo, number = latest.get("repo"), latest.get("number")
    is_issue = latest.get("backend") == "github" and isinstance(repo, str) and isinstance(number, int)
    return f"github:{repo}#{number}" if is_issue else None


def same(a: object, b: object) -> bool:
    """Whether two values are the same one: of one type, equal, or both NaN."""
    return type(a) is type(b) and (a == b or (a != a and b != b))


def flat(value: object, prefix: str = "") -> dict[str, Any]:
    """Nested parameters as one level: ``{'optim': {'lr': .1}}`` becomes ``{'optim.lr': .1}``; of anything else none."""
    result: dict[str, Any] = {}
    for key, item in value.items() if isinstance(value, dict) else ():
        name = f"{prefix}{key}"
        if isinstance(item, dict) and item:
            result.update(flat(item, f"{name}."))
        else:
            result[name] = item
    return result


# SQLite holds 64-bit integers, floats but NaN, and texts as they are; everything else is a blob of JSON.


def to_sql(value: Column) -> Held:
    """A value as SQLite holds it."""
    if type(value) is str or (type(value) is float and value == value):
        return value
    if type(value) is int and -_INT64 <= value < _INT64:
        return value
    if value is False:  # as nearly each run has
        return b"false"
    return json.dumps(values.encode(value), ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def from_sql(held: Held) -> Any:
    """The inverse of :func:`to_sql`."""
    return values.decode(json.loads(held)) if isinstance(held, bytes) else held
