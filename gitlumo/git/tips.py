"""Branches and their kin at a glance, by the git program: what can be known without loading an engine.

An engine takes longer to import than git takes to answer, which counts where nothing has to be read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from gitlumo.git import process
from gitlumo.git.repository import Repository


class Tip(NamedTuple):
    """Where a ref is.

    Attributes:
        commit: The commit.
        trailer: The values of a trailer of its message, separated by commas; empty where it has none.
    """

    commit: str
    trailer: str


def tips(repository: Repository, branch: str, trailer: str) -> dict[str, Tip]:
    """A local branch and the remote-tracking branches of that name: ref name to tip (git-for-each-ref(1))."""
    form = f"%(refname)%00%(objectname)%00%(trailers:key={trailer},valueonly,separator=%2C)"
    patterns = [f"refs/heads/{branch}", f"refs/remotes/**/{branch}"]
    out = process.run([*repository.git_args, "for-each-ref", f"--format={form}", *patterns]).out
    lines = (os.fsdecode(line).split("\0") for line in out.split(b"\n")[:-1])
    return {name: Tip(commit, value.strip()) for name, commit, value in lines}


def are_in(repository: Repository, commits: Iterable[str], tip: str) -> bool:
    """Whether a commit reaches all others, as far as the history is here."""
    others = set(commits) - {tip}
    if not others:
        return True
    found = process.run([*repository.git_args, "rev-list", "-n1", *others, f"^{tip}", "--"], check=False)
    return found.status == 0 and not found.out


def are_still(repository: Repository, known: dict[str, Tip]) -> bool:
    """Whether refs are where :func:`tips` has found them; False, too, where that takes more than a look at files."""
    if repository.location.ref_store != "files":
        return False
    try:
        for name, tip in known.items():
            with open(os.path.join(repository.location.common_dir, name), encoding="ascii") as ref:
                if ref.read().strip() != tip.commit:
                    return False
    except (OSError, ValueError):  # packed, perhaps
        return False
    return True
