"""Where a run says that it is backed up: edits of the kind ``backup`` (docs/format.md, section 5)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gitlumo.backup.address import Address, is_repo
from gitlumo.backup.parcel import Parcel
from gitlumo.store import layout

PUBLIC_HOST = "github.com"


def value_of(place: Address, number: int | None) -> dict[str, Any]:
    """What such an edit says; elsewhere than on github.com it names the host, too."""
    elsewhere = {} if place.host == PUBLIC_HOST else {"host": place.host}
    return {"backend": "github", "repo": place.repo, "number": number, **elsewhere}


def backup_in(run: Parcel, place: Address) -> layout.Edit | None:
    """The latest edit that says that a run is backed up in a repository."""
    return next((edit for edit in reversed(run.record.edits) if is_backup(edit, place)), None)


def latest(run: Parcel, place: Address) -> tuple[str, int] | None:
    """Repository and number of a run's latest backup on the host of a repository."""
    for edit in reversed(run.record.edits):
        value = edit.value if edit.kind == "backup" and isinstance(edit.value, dict) else {}
        repo, number = value.get("repo"), value.get("number")
        if (value.get("backend"), value.get("host", PUBLIC_HOST)) == ("github", place.host):
            return (repo, number) if isinstance(repo, str) and is_repo(repo) and type(number) is int else None
    return None


def numbered(run: Parcel, number: int) -> Parcel:
    """A run out of an issue, which says in which one it is; see :func:`unnumbered`."""
    edits = (edit for edit in run.record.edits if edit.kind == "backup" and isinstance(edit.value, dict))
    for edit in edits:
        if edit.value.get("backend") == "github" and edit.value.get("number", 0) is None:
            return with_edit(run, replace(edit, value={**edit.value, "number": number}))
    return run


def unnumbered(run: Parcel, place: Address) -> Parcel:
    """A run as it stands in an issue of a repository: its record cannot know the number of what is still to be made."""
    edit = backup_in(run, place)
    return with_edit(run, replace(edit, value={**edit.value, "number": None})) if edit else run


def with_edit(run: Parcel, edit: layout.Edit) -> Parcel:
    """A run with one more edit, or another one under the same name."""
    return replace(run, files={**run.files, f"{layout.EDITS}/{edit.name}": layout.edit_to_bytes(edit)})


def is_backup(edit: layout.Edit, place: Address) -> bool:
    """Whether an edit says that the run is backed up in a repository."""
    value = edit.value if edit.kind == "backup" and isinstance(edit.value, dict) else {}
    there = (value.get("backend"), value.get("host", PUBLIC_HOST))
    names = (place.repo.lower(), place.former.lower() or place.repo.lower())
    return there == ("github", place.host) and str(value.get("repo")).lower() in names
