"""What a push would send: the objects that a commit reaches and no remote-tracking branch of the remote does."""

from __future__ import annotations

import os
from dataclasses import dataclass

from gitlumo.git import process
from gitlumo.git.repository import Repository


@dataclass(frozen=True)
class Sent:
    """One object that is to be sent.

    Attributes:
        id: Its id.
        kind: ``commit``, ``tree``, ``blob`` or ``tag``.
        size: Its content, in bytes.
        stored: What it takes in the database here, in bytes: about what it takes on the wire.
        path: A path at which it lies; empty for a commit and for a root tree.
    """

    id: str
    kind: str
    size: int
    stored: int
    path: str


def outgoing(repository: Repository, commit: str, remote: str) -> list[Sent]:
    """The objects that a push of a commit sends, as far as the remote was last seen: commits first, the newest first.

    In a partial clone what the remote has promised is there already, and nothing is fetched to find that out.

    Raises:
        GitError: If objects are missing.
    """
    promised = ["--exclude-promisor-objects"] if repository.is_partial else []
    words = ["rev-list", "--objects", *promised, commit, "--not", f"--remotes={_literal(remote)}"]
    listed = process.run([*repository.git_args, *words]).out
    if not listed:
        return []
    form = "--batch-check=%(objectname) %(objecttype) %(objectsize) %(objectsize:disk) %(rest)"
    lines = process.run([*repository.git_args, "cat-file", form], stdin=listed).out.split(b"\n")[:-1]
    return [_sent(line) for line in lines]


def _sent(line: bytes) -> Sent:
    id, kind, size, stored, path = os.fsdecode(line).split(" ", 4)
    return Sent(id, kind, int(size), int(stored), path)


def _literal(name: str) -> str:
    """A remote's name as a pattern that matches its remote-tracking branches alone (git-rev-list(1), ``--remotes``)."""
    return "".join(f"\\{char}" if char in "*?[\\" else char for char in name) + "/*"
