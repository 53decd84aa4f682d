"""A fetch that goes on where it broke off: git throws away what it has of a pack, so a large one is fetched in pieces.

The commits alone come first, without trees and files, into a repository that is thrown away: they say what there is to
ask for. Then the history comes from its beginning, some commits at a time, each time on top of what is here already.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator

from gitlumo.errors import ConnectionBroken
from gitlumo.git import process, transport
from gitlumo.git.repository import Repository
from gitlumo.git.transport import Show

PIECES = 8
ANCHOR = "refs/lumo/incoming/"  # holds what has come, so that neither git's gc nor the next fetch passes over it


def fetch(repository: Repository, remote: str, ref: str, target: str, show: Show | None = None) -> None:
    """The same as :func:`gitlumo.git.transport.fetch`, in pieces; if it fails, what has come stays.

    Raises:
        RemoteError: If a single commit cannot be fetched, or the remote does not know how to leave files out.
    """
    anchor = ANCHOR + remote
    commits = _new_commits(repository, remote, ref, show)
    step = max(1, len(commits) // PIECES)
    while len(commits) > 1:
        at = min(step, len(commits)) - 1
        try:
            transport.fetch(repository, remote, commits[at], anchor, show)
        except ConnectionBroken:
            if step == 1:
                raise
            step = max(1, step // 4)
            continue
        del commits[: at + 1]
    transport.fetch(repository, remote, ref, target, show)
    process.run([*repository.git_args, "update-ref", "-d", anchor], check=False)


def _new_commits(repository: Repository, remote: str, ref: str, show: Show | None) -> list[str]:
    """The first-parent line of a remote's ref as far as it is not here, the oldest first."""
    with _scratch(repository) as scratch:
        there = [*scratch, "-c", f"remote.{remote}.promisor=true", "-c", f"remote.{remote}.partialclonefilter=tree:0"]
        words = ["fetch", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--refmap=", "--filter=tree:0"]
        transport.talk([*there, *words], remote, [f"{ref}:refs/new"], show)
        here = process.run([*repository.git_args, "for-each-ref", "--format=^%(objectname)"]).out
        line = ("rev-list", "--first-parent", "--reverse", "--stdin")
        return process.run([*there, *line], stdin=b"refs/new\n" + here).out.decode("ascii").split()


@contextlib.contextmanager
def _scratch(repository: Repository) -> Iterator[list[str]]:
    """git's arguments for a repository that sees the objects and settings of this one, and is thrown away."""
    location = repository.location
    folder = os.path.join(location.lumo_dir, "tmp")
    os.makedirs(folder, exist_ok=True)
    place = tempfile.mkdtemp(prefix=f"fetch-{os.getpid()}-", dir=folder)
    try:
        form = f"--object-format={location.hash_name}"
        process.run(["init", "--quiet", "--bare", "--template=", form, place])
        with open(os.path.join(place, "objects/info/alternates"), "w", encoding="utf-8") as out:
            out.write(location.objects_dir + "\n")
        scratch = ["--git-dir", place]
        process.run([*scratch, "config", "include.path", os.path.join(location.common_dir, "config")])
        yield scratch
    finally:
        shutil.rmtree(place, ignore_errors=True)
