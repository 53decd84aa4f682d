"""Partial clones: objects that a remote has promised, and that are missing here until git is asked for them.

No engine asks; git would ask for each object alone. So what some commits' trees lack is asked for at once, in the words
that git itself uses (``fetch_objects`` in git's promisor-remote.c).
"""

from __future__ import annotations

from collections.abc import Iterable

from gitlumo.errors import GitError
from gitlumo.git import process
from gitlumo.git.objects import read_commit
from gitlumo.git.repository import Repository

_FETCH = ("-c", "fetch.negotiationAlgorithm=noop", "fetch", "--no-tags", "--no-write-fetch-head", "--no-auto-gc",
          "--recurse-submodules=no", "--filter=blob:none", "--stdin")  # fmt: skip
_ROUNDS = 12  # one for trees, with all below them, and one for blobs; more only if a remote sends less
_SECONDS = 60.0


def bring(repository: Repository, commits: Iterable[str]) -> None:
    """Have git bring what the trees of some commits lack here; nothing is asked of anybody if they lack nothing.

    Raises:
        GitError: If the remote does not give them; with git's own words.
    """
    trees = {read_commit(repository.objects, commit).tree for commit in commits}
    missing = {tree for tree in trees if not repository.objects.has(tree)}
    for _ in range(_ROUNDS):
        missing = missing or _missing_below(repository, trees)
        if not missing:
            return
        _fetch(repository, missing)
        repository.objects.refresh()
        missing = set()


def _missing_below(repository: Repository, trees: Iterable[str]) -> set[str]:
    words = ("rev-list", "--objects", "--missing=print", "--no-object-names", "--stdin")
    stdin = "".join(f"{tree}\n" for tree in trees).encode()
    out = process.run([*repository.git_args, *words], stdin=stdin).out
    return {line[1:] for line in out.decode("ascii").split("\n") if line.startswith("?")}


def _fetch(repository: Repository, ids: Iterable[str]) -> None:
    stdin = "".join(f"{id}\n" for id in sorted(ids)).encode()
    said = "this partial clone has no remote that promised it what is missing"
    for remote in repository.promisors:
        command = [*repository.git_args, *_FETCH, remote]
        try:
            done = process.run(command, stdin=stdin, timeout=_SECONDS, check=False)
        except TimeoutError as error:
            said = str(error)
            continue
        if done.status == 0:
            return
        said = done.message
    raise GitError(
        f"objects of the ledger are missing in this partial clone, and could not be fetched: {said}\n"
        "try again when the remote can be reached, or type 'git fetch --refetch --no-filter'"
    )
