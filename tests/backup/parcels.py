"""Runs as parcels, made without a repository."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gitlumo import values
from gitlumo.backup import parcel
from gitlumo.backup.parcel import Parcel
from gitlumo.config import Settings
from gitlumo.store import layout, record

UID = "ab" * 16
PUBLIC = Settings().github_url
PROGRESS = {"start": "2026-11-24T08:00:00.000Z", "last_edit_time": "2026-11-24T08:05:00.000Z", "ratio": 1.0,
            "finished": True, "end": "2026-11-24T08:05:00.000Z", "end_code": 0, "killed": None, "update_from": None,
            "seq": 4}  # fmt: skip


def made(
    files: Mapping[str, bytes] | None = None, history: Iterable[bytes] = (), exp_name: str = "digits", **info: Any
) -> Parcel:
    """A finished run.

    Args:
        files: More files.
        history: Lines, of which metrics.json is made, too.
        exp_name: Its name.
        **info: Properties, as Python values.
    """
    found = {"uid": UID, "exp_name": exp_name, "test_name": "261124.000.k3x9t", "format": {"version": 1}}
    found |= {"progress": PROGRESS, **info}
    all_files = {layout.info_path(key): values.to_bytes(values.encode(value)) for key, value in found.items()}
    lines = list(history)
    if lines:
        all_files |= chunks(lines)
        all_files[layout.METRICS] = metrics(all_files)
    return parcel.made({**all_files, **(files or {})}, "a run")


def chunks(lines: list[bytes], each: int = 5000) -> dict[str, bytes]:
    return {layout.chunk_path(n): b"".join(lines[at : at + each]) for n, at in enumerate(range(0, len(lines), each))}


def folded(files: Mapping[str, bytes]) -> dict[str, record.Metric]:
    return record.fold(line for line in record.history_lines(files.get, files) if line)


def metrics(files: Mapping[str, bytes]) -> bytes:
    return record.metrics_to_bytes(folded(files))


def edit(kind: str, value: Any, time: int = 17_000_000, id: str = "0123456789abcdef") -> dict[str, bytes]:
    """A file of an edit."""
    name = layout.edit_name(time, id)
    made = layout.Edit(name, UID, kind, value, "Ada <ada@example.org>", "2026-11-25T08:00:00.000Z", id)
    return {f"{layout.EDITS}/{name}": layout.edit_to_bytes(made)}


def info(run: Parcel, key: str) -> Any:
    return run.record.info(key)
