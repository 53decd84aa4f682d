"""How far the remotes' ledgers are, as they were when they were last fetched or pushed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gitlumo.git import process
from gitlumo.git.repository import Repository


@dataclass(frozen=True)
class Remote:
    """How far a remote's ledger is, as it was when it was last fetched or pushed; events, None where git cannot count.

    Attributes:
        name: The remote.
        ref: Its remote-tracking branch; None: it has no ledger yet, or never was asked.
        ahead: Events that only the local branch has.
        behind: Events that only the remote has.
    """

    name: str
    ref: str | None
    ahead: int | None
    behind: int | None


def distances(repository: Repository, tip: str | None, tips: dict[str, str], branch: str) -> Iterator[Remote]:
    """Compare with each remote.

    Args:
        repository: The repository.
        tip: Where the local ledger is; None: there is none.
        tips: Ref name to commit of all ledgers here (:attr:`gitlumo.store.branch.View.tips`).
        branch: What the ledger's branch is called.
    """
    prefix = "refs/remotes/"
    known = {ref.removeprefix(prefix).removesuffix(f"/{branch}"): ref for ref in tips if ref.startswith(prefix)}
    for name in sorted({*known, *repository.remote_names()}):
        ref = known.get(name)
        there = tips[ref] if ref else None
        yield Remote(name, ref, _events(repository, tip, there), _events(repository, there, tip))


def _events(repository: Repository, of: str | None, without: str | None) -> int | None:
    """How many events are behind one commit and not behind another."""
    if of is None or of == without:
        return 0
    excluded = [f"^{without}"] if without else []
    args = ["rev-list", "--count", "--grep=^Lumo-Event: ", of, *excluded, "--"]
    counted = process.run([*repository.git_args, *args], check=False)
    return int(counted.out) if counted.status == 0 else None
