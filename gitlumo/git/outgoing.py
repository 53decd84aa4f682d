"""What a push would send: the objects that a commit reaches and no remote-tracking branch of the remote does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from gitlumo.git import process
from gitlumo.git.repository import Repository

LARGEST = 8 * 1024**2  # bytes of a file whose content is read


class Sent(NamedTuple):
    """One object that is to be sent.

    Attributes:
        kind: ``commit``, ``tree``, ``blob`` or ``tag``; of a file over :data:`LARGEST` ``large``.
        stored: What it takes in the database here, in bytes: about what it takes on the wire; 0 of a large file.
        path: A path at which it lies; empty for a commit and for a root tree.
        data: Its content; of a large file nothing.
    """

    kind: str
    stored: int
    path: str
    data: bytes


def outgoing(repository: Repository, commit: str, remote: str) -> Iterator[Sent]:
    """The objects that a push of a commit sends, as far as the remote was last seen: commits first, the newest first.

    In a partial clone what the remote has promised is there already, and nothing is fetched to find that out.

    Raises:
        GitError: If objects are missing.
    """
    promised = ["--exclude-promisor-objects"] if repository.is_partial else []
    limit = [f"--filter=blob:limit={LARGEST}", "--filter-print-omitted"]
    words = ["rev-list", "--objects", *limit, *promised, commit, "--not", f"--remotes={_literal(remote)}"]
    form = "--batch=%(objecttype) %(objectsize) %(objectsize:disk) %(rest)"
    git = repository.git_args
    with process.piped([*git, *words], [*git, "cat-file", "--buffer", form]) as out:
        while line := out.readline():
            if line.startswith(b"~"):  # left out by the filter, which cat-file does not know and calls missing
                yield Sent("large", 0, "", b"")
                continue
            kind, size, stored, path = os.fsdecode(line[:-1]).split(" ", 3)
            data = out.read(int(size) + 1)[:-1]
            yield Sent(kind, int(stored), path, data)


def _literal(name: str) -> str:
    """A remote's name as a pattern that matches its remote-tracking branches alone (git-rev-list(1), ``--remotes``)."""
    return "".join(f"\\{char}" if char in "*?[\\" else char for char in name) + "/*"
