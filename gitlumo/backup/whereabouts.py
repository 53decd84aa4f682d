"""Where a run says that it is backed up: edits of the kind ``backup`` (docs/format.md, section 5)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gitlumo.backup.address import Address
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


def numbered(run: Parcel, place: Address, number: int | None) -> Parcel:
    """A run whose latest backup in a repository is a certain issue; None: one that is still to be made.

    The record that stands in an issue cannot know its number: there it is null.
    """
    edit = backup_in(run, place)
    return with_edit(run, replace(edit, value={**edit.value, "number": number})) if edit else run


def with_edit(run: Parcel, edit: layout.Edit) -> Parcel:
    """A run with one more edit, or another one under the same name."""
    return replace(run, files={**run.files, f"{layout.EDITS}/{edit.name}": layout.edit_to_bytes(edit)})


def is_backup(edit: layout.Edit, place: Address) -> bool:
    """Whether an edit says that the run is backed up in a repository."""
    value = edit.value if edit.kind == "backup" and isinstance(edit.value, dict) else {}
    there = (value.get("backend"), str(value.get("repo")).lower(), value.get("host", PUBLIC_HOST))
    return there == ("github", place.repo.lower(), place.host)
