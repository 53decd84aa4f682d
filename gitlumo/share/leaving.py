"""What is about to leave this machine: shown before a push, and looked through for secrets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gitlumo import privacy
from gitlumo.errors import MissingObject
from gitlumo.git.objects import Commit, diff_trees, parse_commit, read_commit
from gitlumo.git.outgoing import outgoing
from gitlumo.git.repository import Repository
from gitlumo.share.remotes import Remote


class Secret(NamedTuple):
    """A provider's token in what is about to leave.

    Attributes:
        path: The file's path, in the ledger or in the code.
        token: The token's beginning, masked.
    """

    path: str
    token: str


class Leaving:
    """What a push would send.

    Attributes:
        commit: The commit that is pushed.
        runs: The runs in it: uid to the subject of the latest event (``<exp_name>/<test_name> <state> ...``).
        events: How many events.
        code: How many commits of code, not counting snapshots.
        snapshots: How many snapshots: code that was never committed.
        untracked: Files in these snapshots that their parent commit does not have.
        objects: How many objects.
        size: What they take here, in bytes: about what they take on the wire.
        secrets: Tokens in them.
    """

    def __init__(self, commit: str):
        self.commit = commit
        self.runs: dict[str, str] = {}
        self.events = self.code = self.snapshots = self.objects = self.size = 0
        self.untracked: list[str] = []
        self.secrets: list[Secret] = []


def look(repository: Repository, commit: str, remote: Remote) -> Leaving:
    """See what a push of a commit would send, as far as the remote was last seen.

    Raises:
        GitError: If objects are missing.
    """
    leaving = Leaving(commit)
    untracked: set[str] = set()
    for item in outgoing(repository, commit, remote.name):
        leaving.objects += 1
        leaving.size += item.stored
        if item.kind == "commit":
            found = parse_commit(item.data)
            _count(leaving, found)
            if found.trailers("Lumo-Snapshot"):
                untracked.update(_new_files(repository, found))
        elif item.kind == "blob" and b"\0" not in item.data[:8000]:  # as git tells that a file is a text
            found_tokens = privacy.tokens(item.data)
            leaving.secrets += [Secret(item.path, f"{token[:7]}{privacy.MASK}") for token in found_tokens]
    leaving.untracked = sorted(untracked)
    return leaving


def _count(leaving: Leaving, commit: Commit) -> None:
    uids = commit.trailers("Lumo-Uid")
    if uids:
        leaving.events += 1
        subjects = commit.message.split("\n\n")[1].split("\n") if len(uids) > 1 else [commit.subject]
        for uid, subject in zip(uids, subjects, strict=False):
            leaving.runs.setdefault(uid, subject)
    elif commit.trailers("Lumo-Snapshot"):
        leaving.snapshots += 1
    elif not commit.trailers("Lumo-Format"):
        leaving.code += 1


def _new_files(repository: Repository, snapshot: Commit) -> Iterator[str]:
    objects = repository.objects
    try:
        before = read_commit(objects, snapshot.parents[0]).tree if snapshot.parents else None
        yield from (path for path, old, _ in diff_trees(objects, before, snapshot.tree) if old is None)
    except MissingObject:  # a shallow or partial clone
        return
