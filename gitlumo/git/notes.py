"""git's notes: a tree that holds for each commit what is said of it, under the commit's id (git-notes(1)).

git splits the ids into folders as it likes, and finds a note however it lies (``fanout`` in git's notes.c).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gitlumo.git.edited import edit_tree
from gitlumo.git.objects import FILE_MODE, Entry, Objects, Staging, read_blob, read_tree


def read(objects: Objects, tree: str | None, commit: str) -> bytes:
    """What the notes in a tree say of a commit; nothing where they say nothing."""
    return b"\n".join(read_blob(objects, entry.id) for _, entry in _found(objects, tree, commit))


def write(staging: Staging, tree: str | None, notes: Mapping[str, bytes]) -> str:
    """A tree of notes in which some commits have other ones.

    Args:
        staging: Where new objects go.
        tree: The notes as they were; None: there are none.
        notes: The commits' notes; an empty one takes away what is there.

    Returns:
        The tree's id.
    """
    changes: dict[str, Entry | None] = {}
    for commit, note in notes.items():
        changes.update(dict.fromkeys(path for path, _ in _found(staging, tree, commit)))
        if note:
            changes[f"{commit[:2]}/{commit[2:]}"] = Entry("", FILE_MODE, staging.add_blob(note))
    return edit_tree(staging, tree, changes) or staging.add_tree(())


def _found(objects: Objects, tree: str | None, rest: str, prefix: str = "") -> Iterator[tuple[str, Entry]]:
    """Where a commit's note lies, of which ``rest`` is the end of the id."""
    names = read_tree(objects, tree) if tree else {}
    note, folder = names.get(rest), names.get(rest[:2])
    if note and note.is_file:
        yield prefix + rest, note
    if folder and folder.is_tree and len(rest) > 2:
        yield from _found(objects, folder.id, rest[2:], f"{prefix}{rest[:2]}/")
