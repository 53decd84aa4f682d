"""One run as the write side and the read side know it: its files as properties, metrics, history, edits."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gitlumo import values
from gitlumo.errors import FormatError
from gitlumo.store import layout
from gitlumo.store.columns import STATES, of_the_run

MAX_CURVE = 96
RUNNING, FINISHED, FAILED, KILLED = STATES

# What every run's properties have, also where the run wrote nothing (specification: "exp.properties").
_ABSENT: dict[str, Any] = {
    "agent": None,
    "backup": {},
    "deprecated": False,
    "exception": None,
    "execute": {},
    "exp_name": None,
    "git": {},
    "hooks": {},
    "lock": {},
    "note": "",
    "params": {},
    "paths": {},
    "pinfo": {},
    "progress": {},
    "rerun": {},
    "tags": [],
    "test_name": None,
    "trainer": None,
    "uid": None,
}


@dataclass
class _Point:
    value: int | float
    step: int
    companions: dict[str, Any]


class Metric:
    """The summary of one metric, kept up call by call (docs/format.md, section 4: "metrics.json")."""

    __slots__ = ("_last", "_max", "_min", "_stride", "cmp", "count", "curve")

    def __init__(self) -> None:
        self.cmp: str | None = None
        self.count = 0
        self.curve: list[int | float] = []  # each _stride-th value: enough for a picture, however many there are
        self._stride = 1

    def add(self, value: int | float, step: int, companions: dict[str, Any]) -> None:
        """Take in one value; a NaN counts only while there is no number, and of equal values the first is the best."""
        if (self.count + 1) % self._stride == 0:
            self.curve.append(value)
            if len(self.curve) >= MAX_CURVE:
                self.curve = self.curve[1::2]
                self._stride *= 2
        if self.count == 0:
            self._last = self._min = self._max = _Point(value, step, companions)
            self.count = 1
            return
        self.count += 1
        least, greatest = self._min, self._max
        first_number = greatest.value != greatest.value and value == value
        if value < least.value or value > greatest.value or first_number:
            self._last = _Point(value, step, companions)
            if value < least.value or first_number:
                self._min = self._last
            if value > greatest.value or first_number:
                self._max = self._last
        elif self._last is least or self._last is greatest:
            self._last = _Point(value, step, companions)
        else:
            last = self._last
            last.value, last.step, last.companions = value, step, companions

    @property
    def last_step(self) -> int:
        """The step of the last value."""
        return self._last.step

    @property
    def best(self) -> int | float:
        """The greatest, the least or the last value, as ``cmp`` says."""
        return self._best.value

    @property
    def _best(self) -> _Point:
        return {"max": self._max, "min": self._min}.get(self.cmp or "", self._last)

    def summary(self) -> dict[str, Any]:
        """``{last, min, max, best, best_step, cmp, count, with}`` as Python values."""
        best = self._best
        return {
            "last": self._last.value,
            "min": self._min.value,
            "max": self._max.value,
            "best": best.value,
            "best_step": best.step,
            "cmp": self.cmp,
            "count": self.count,
            "with": best.companions,
        }


def fold(lines: Iterable[layout.Line]) -> dict[str, Metric]:
    """The metrics of a history."""
    return fold_into({}, lines)


def fold_into(metrics: dict[str, Metric], lines: Iterable[layout.Line]) -> dict[str, Metric]:
    """Add lines to the metrics of those before them; the same dict."""
    for line in lines:
        for key, value in line.numbers.items():
            metric = metrics.get(key)
            if metric is None:
                metric = metrics[key] = Metric()
            if line.cmp is not False:
                metric.cmp = line.cmp if isinstance(line.cmp, str) else None
            metric.add(value, line.step, line.companions)
    return metrics


_NUMBERS = ("last", "min", "max", "best")
_PLAIN = frozenset({int, float, type(None)})  # what there is nothing to decode in


def metrics_to_bytes(metrics: Mapping[str, Metric]) -> bytes:
    """``metrics.json``."""
    return values.to_bytes({_metric_key(key): _summary_to_json(metric.summary()) for key, metric in metrics.items()})


def _summary_to_json(summary: Mapping[str, Any]) -> dict[str, Any]:
    result = {key: values.encode_number(item) if key in _NUMBERS else item for key, item in summary.items()}
    result["with"] = values.encode(summary.get("with") or {})
    return result


def metrics_from_bytes(data: bytes) -> dict[str, dict[str, Any]]:
    """``metrics.json`` as Python values.

    Raises:
        FormatError: If it is damaged.
    """
    value = values.from_bytes(data)
    if not isinstance(value, dict) or not all(isinstance(item, dict) for item in value.values()):
        raise FormatError("metrics.json is not an object of objects")
    return {
        key[1:] if key.startswith("$") else key: {
            name: item if type(item) in _PLAIN else (values.decode_number if name in _NUMBERS else values.decode)(item)
            for name, item in summary.items()
        }
        for key, summary in value.items()
    }


def history_lines(read: layout.Read, paths: Iterable[str]) -> Iterator[layout.Line | None]:
    """The lines of a run's history in order; None for each torn one."""
    chunks = sorted((number, path) for path in paths if (number := layout.chunk_number(path)) is not None)
    for _, path in chunks:
        for raw in (read(path) or b"").split(b"\n"):
            if raw:
                yield layout.parse_line(raw)


class Record:
    """One recorded run, read as it is asked for."""

    def __init__(self, read: layout.Read, paths: Callable[[], Iterable[str]], folder: str):
        """Wrap a run's files.

        Args:
            read: Gives a file's bytes.
            paths: Lists all files.
            folder: Where the run lies, for messages.
        """
        self.read = read
        self.paths = paths
        self.folder = folder

    def info(self, key: str) -> Any:
        """A property as the run wrote it, None where it wrote none.

        Raises:
            FormatError: If the file is damaged; it names file and run.
        """
        path = layout.info_path(key)
        data = self.read(path)
        return None if data is None else self.parsed(key, path, data)

    def parsed(self, key: str, path: str, data: bytes) -> Any:
        """What the file of a property says; see :meth:`info`."""
        try:
            value = values.read(data)
        except FormatError as error:
            raise FormatError(f"{self.folder}/{path}: {error}") from None
        shape = type(_ABSENT.get(key)) if key != "params" else None  # which may be anything that the user gave
        if shape in (dict, list) and not isinstance(value, shape):
            raise FormatError(f"{self.folder}/{path}: not a JSON {'object' if shape is dict else 'array'}")
        return value

    def check(self) -> None:
        """See that this gitlumo can read the run.

        Raises:
            FormatError: If it is damaged, or of a later format.
        """
        try:
            layout.check_version(self.read)
            identity = layout.read_identity(self.read)
        except FormatError as error:
            raise type(error)(f"{self.folder}: {error}") from None
        if identity is None:
            raise FormatError(f"{self.folder}: its uid, exp_name, test_name or progress is damaged")

    @property
    def name(self) -> str:
        """``<exp_name>/<test_name>``."""
        return f"{self.info('exp_name')}/{self.info('test_name')}"

    @property
    def uid(self) -> str:
        """The run's uid."""
        return str(self.info("uid"))

    @property
    def progress(self) -> dict[str, Any]:
        """``info/progress.json``."""
        value = self.info("progress")
        return value if isinstance(value, dict) else {}

    @property
    def state(self) -> str:
        """``running``, ``finished``, ``failed`` or ``killed``."""
        return state_of(self.progress)

    @property
    def edits(self) -> list[layout.Edit]:
        """All edits, in name order."""
        paths = sorted(path for path in self.paths() if path.startswith(f"{layout.EDITS}/"))
        uid = self.uid if paths else ""
        read = (layout.parse_edit(path.partition("/")[2], self.read(path) or b"", uid) for path in paths)
        return [edit for edit in read if edit]

    @property
    def note(self) -> str:
        """The note: as edited, else as the run wrote it."""
        return str(self.edited["note"])

    @property
    def deprecated(self) -> bool:
        """Whether somebody marked the run as deprecated."""
        return bool(self.edited["deprecated"])

    def text(self, key: str) -> str | None:
        """A string that the run dumped, None where there is none."""
        data = self.read(layout.text_path(key))
        return None if data is None else data.decode("utf-8", "replace")

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """``{key: {last, min, max, best, best_step, cmp, count, with}}``.

        Raises:
            FormatError: If ``metrics.json`` is damaged.
        """
        data = self.read(layout.METRICS)
        try:
            return metrics_from_bytes(data) if data is not None else {}
        except FormatError as error:
            raise FormatError(f"{self.folder}: {error}") from None

    def history(self, key: str | None = None) -> list[dict[str, Any]]:
        """The history of one metric, or of all: ``{"step", "time", <metric>: value}`` for each call.

        Args:
            key: The metric; None: all of them, one dict a call.
        """
        points = []
        for line in history_lines(self.read, self.paths()):
            if line is None or (key is not None and key not in line.numbers):
                continue
            numbers = line.numbers if key is None else {key: line.numbers[key]}
            point: dict[str, Any] = {"step": line.step, "time": line.time}
            points.append(point | {layout.metric_name(name): value for name, value in numbers.items()})
        return points

    def folded(self) -> tuple[dict[str, Metric], int]:
        """The history folded, in one reading: each metric, and how many lines a crash has torn."""
        torn = 0

        def whole() -> Iterator[layout.Line]:
            nonlocal torn
            for line in history_lines(self.read, self.paths()):
                if line is None:
                    torn += 1
                else:
                    yield line

        return fold(whole()), torn

    @property
    def properties(self) -> dict[str, Any]:
        """All that is known of the run: every recorded property, what edits say, ``state`` and ``metrics``.

        Raises:
            FormatError: If a file is damaged; it names file and run.
        """
        result = {key: _copy(value) for key, value in _ABSENT.items()}
        for path in self.paths():
            key = layout.info_key(path)
            if key is not None:
                result[key] = self.info(key)
        result.update(self.edited)
        result["state"] = state_of(result["progress"] or {})
        if isinstance(result["progress"], dict):
            result["progress"].pop("restored", None)  # that says where this copy is from, not what the run was
        result["metrics"] = self.metrics
        return result

    @property
    def edited(self) -> dict[str, Any]:
        """note, tags, deprecated, backup and rerun: what the run wrote, overlaid with the active edits."""
        tags = self.info("tags")
        rerun = self.info("rerun")
        result: dict[str, Any] = {
            "note": (self.read(layout.NOTE) or b"").decode("utf-8", "replace"),
            "tags": _strings(tags),
            "deprecated": False,
            "backup": {},
            "rerun": dict(rerun or {}),
        }
        for edit in layout.active_edits(self.edits):
            apply_edit(result, edit)
        return result


def apply_edit(facts: dict[str, Any], edit: layout.Edit) -> None:
    """Apply one active edit to what it may change (docs/format.md, section 5)."""
    value = edit.value
    if edit.kind == "note" and isinstance(value, str):
        facts["note"] = value
    elif edit.kind == "deprecated" and isinstance(value, bool):
        facts["deprecated"] = value
    elif edit.kind == "tag" and isinstance(value, dict):
        added, removed = (_strings(value.get(key)) for key in ("add", "remove"))
        facts["tags"] = [t for t in dict.fromkeys([*facts["tags"], *added]) if t not in removed]
    elif edit.kind == "backup" and isinstance(value, dict):
        at = edit.at if edit.at not in facts["backup"] else f"{edit.at}~{edit.id}"
        facts["backup"][at] = value
    elif edit.kind == "rerun" and isinstance(value, dict) and "verified" in value:
        there = facts["rerun"].get("verified")
        facts["rerun"]["verified"] = {
            **(there if isinstance(there, dict) else {}),
            str(value.get("uid")): value["verified"],
        }
    elif edit.kind == "rerun" and isinstance(value, dict):
        there = facts["rerun"].get("rerun_at")
        facts["rerun"]["rerun_at"] = [*(there if isinstance(there, list) else []), value.get("uid")]


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def state_of(progress: Mapping[str, Any]) -> str:
    """The state that ``progress`` says."""
    if progress.get("killed"):
        return KILLED
    if progress.get("end") is None:
        return RUNNING
    return FINISHED if progress.get("end_code") == 0 else FAILED


def best_facts(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Metric to best value, those with a direction first, none of the machine: what an event's subject says."""
    directed = sorted(of_the_run(metrics), key=lambda key: (metrics[key].get("cmp") is None, key))
    return {key: metrics[key].get("best") for key in directed}


def to_json(properties: Mapping[str, Any], history: Iterable[Mapping[str, Any]] | None = None) -> str:
    """Properties, and with them a history, as JSON text: floats as the format spells them, no control characters."""
    facts = {key: values.encode(value) for key, value in properties.items() if key != "metrics"}
    if "metrics" in properties:
        metrics = properties["metrics"]
        facts["metrics"] = {_metric_key(key): _summary_to_json(summary) for key, summary in metrics.items()}
    if history is not None:
        facts["history"] = [_point_to_json(point) for point in history]
    text = json.dumps(facts, ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False)
    return _STEERING.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


# What could steer a terminal and stands raw in JSON: DEL, C1, format characters of the basic plane, separators.
_STEERING = re.compile(
    "[\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)


def _metric_key(key: str) -> str:
    """A metric's name as a key of an object of ours: a ``$`` in front gets one more."""
    return f"${key}" if key.startswith("$") else key


def _point_to_json(point: Mapping[str, Any]) -> dict[str, Any]:
    return {
        k: values.encode_number(v) if isinstance(v, float) and not math.isfinite(v) else v for k, v in point.items()
    }


def _copy(value: Any) -> Any:
    return type(value)(value) if isinstance(value, (dict, list)) else value
