"""Ledgers in memory: an empty object database, and runs, edits, tombstones as git objects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gitlumo import values
from gitlumo.git.edited import edit_tree
from gitlumo.git.objects import FILE_MODE, Entry, Objects, Staging, missing
from gitlumo.store import join, layout, trees
from gitlumo.store.join import Run


class Nothing:
    """An object database without objects, to stage new ones above."""

    hash_name = "sha1"

    def read(self, id: str) -> tuple[str, bytes]:
        raise missing(id)

    def has(self, id: str) -> bool:
        return False

    def refresh(self) -> None: ...

    def is_ancestor(self, ancestor: str, commit: str) -> bool:
        return ancestor == commit

    def close(self) -> None: ...


class Counting(Staging):
    """A staging area that notes what is read through it."""

    def __init__(self, base: Objects):
        super().__init__(base)
        self.ids: list[str] = []

    def read(self, id: str) -> tuple[str, bytes]:
        self.ids.append(id)
        return super().read(id)


def json_blob(staging: Staging, value: values.Json) -> Entry:
    return Entry("", FILE_MODE, staging.add_blob(values.to_bytes(value)))


def make_run(
    staging: Staging,
    uid: str,
    exp_name: str = "digits",
    test_name: str = "base",
    start: str = "2026-01-01T08:00:00.000Z",
    seq: int = 2,
    *,
    restored: bool = False,
    **more: values.Json,
) -> Run:
    """A run's record as git objects; ``more`` are other properties."""
    progress = {"start": start, "seq": seq, "end": None, "killed": None} | ({"restored": True} if restored else {})
    info = {"uid": uid, "exp_name": exp_name, "test_name": test_name, "progress": progress, "format": {"version": 1}}
    changes = {layout.info_path(key): json_blob(staging, value) for key, value in (info | more).items()}
    return stored(staging, edit_tree(staging, None, changes))


def stored(staging: Staging, folder: str | None) -> Run:
    run = trees.read_run(staging, folder or "")
    assert run
    return run


def with_edit(staging: Staging, run: Run, now: float, id: str, kind: str, value: values.Json) -> Run:
    """A run with one edit more, as an editor makes it whose clock says ``now``."""
    name = layout.edit_name(layout.next_edit_time(run.edits, now), id)
    edit = {"uid": run.uid, "kind": kind, "value": value, "by": "Ada <ada@example.org>", "at": "", "id": id}
    return replace(run, edits={**run.edits, name: json_blob(staging, edit).id})


def tombstone(staging: Staging, run: Run, by: str = "Ada <ada@example.org>") -> Run:
    identity = run.identity
    names = {"exp_name": identity.exp_name, "test_name": identity.test_name, "start": identity.start}
    entry = json_blob(staging, {"uid": run.uid, **names, "at": identity.start, "by": by})
    return stored(staging, edit_tree(staging, None, {layout.PURGED: entry}))


def one_run_tree(staging: Staging, run: Run) -> str:
    """The ledger that holds nothing but this run."""
    (path,) = join.folders([run])
    return edit_tree(staging, None, {path: trees.folder_entry(staging, run)}) or ""


def put_all(staging: Staging, root: str | None, runs: Iterable[Run]) -> str | None:
    for run in runs:
        root = trees.put(staging, root, run)
    return root


def layout_of(objects: Objects, root: str | None) -> dict[str, str]:
    """Path to uid of every run in a ledger's tree; a uid that lies there twice fails."""
    found = {
        place.path: run.uid for place in trees.places(objects, root) if (run := trees.read_run(objects, place.tree))
    }
    assert len(set(found.values())) == len(found), f"a uid lies there twice: {found}"
    return found
