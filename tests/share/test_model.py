"""Three clones that share through one remote, as commits: a stateful model over trees alone, no work tree, no index.

What each clone does to runs is the model of ``tests/store/test_join.py``. Here they fetch, pull, push, race, share some
runs only; one may be shallow, clocks are wrong, and somebody sets the remote's branch back or deletes it.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from gitlumo.git import history
from gitlumo.git.objects import Commit, Objects, Staging, missing, read_commit
from gitlumo.store import layout, merging, trees
from gitlumo.store.join import Run
from tests.store.test_join import CLONES, Clones, Fact, clones, facts_of, run_model

SHALLOW = 2  # the clone whose first fetch takes only the tip
EVENT = layout.event_message([("end", "0" * 32, "digits/base finished")])


class View(Staging):
    """The shared object database as one clone sees it: some commits are not there."""

    def __init__(self, staging: Staging):
        super().__init__(staging)
        self.hidden: set[str] = set()

    def add(self, kind: str, data: bytes) -> str:
        return self.base.add(kind, data)

    def read(self, id: str) -> tuple[str, bytes]:
        if id in self.hidden:
            raise missing(id)
        return self.base.read(id)

    def has(self, id: str) -> bool:
        return id not in self.hidden and self.base.has(id)

    def is_ancestor(self, ancestor: str, commit: str) -> bool:
        return history.is_ancestor(self, ancestor, commit)


def ancestors(objects: Objects, commit: str) -> set[str]:
    """All that a commit reaches, itself included."""
    seen, waiting = set(), [commit]
    while waiting:
        id = waiting.pop()
        if id not in seen:
            seen.add(id)
            waiting += read_commit(objects, id).parents
    return seen


class Sharing(Clones):
    """Clones whose ledgers are commits."""

    def __init__(self) -> None:
        super().__init__()
        self.views = {clone: View(self.staging) for clone in CLONES}
        self.root = merging.root(self.staging)
        self.known: dict[str, set[Fact]] = {self.root: set()}
        self.tips: dict[int, str | None] = dict.fromkeys(CLONES)
        self.tracking: dict[int, str | None] = dict.fromkeys(CLONES)
        self.remote: str | None = None
        self.skew = 0

    def tree_of(self, commit: str) -> str:
        return read_commit(self.staging, commit).tree

    def commit(self, tree: str, parent: str, facts: set[Fact]) -> str:
        stamp = f"Ada <ada@example.org> {1_700_000_000 + self.unique() + self.skew} +0000"
        made = self.staging.add_commit(Commit(tree, (parent,), stamp, stamp, EVENT))
        self.known[made] = facts
        return made

    def settle(self, clone: int, tree: str, facts: set[Fact]) -> None:
        """What a clone's ledger is now becomes a commit on its tip."""
        super().settle(clone, tree, facts)
        tip = self.tips[clone] or self.root
        if tree != self.tree_of(tip):
            self.tips[clone] = self.commit(tree, tip, facts)

    def publish(self, clone: int, run: Run) -> None:
        """Every writer first takes in what was fetched."""
        self.absorb(clone, self.tracking[clone])
        super().publish(clone, run)

    def absorb(self, clone: int, tip: str | None) -> None:
        """Take a tip in: by fast-forward, or by the merge that everybody makes alike."""
        mine = self.tips[clone]
        if tip is None:
            return
        view = self.views[clone]
        heads = merging.heads(view, {id for id in (mine, tip) if id})
        merged = merging.merge(view, heads)
        facts = self.known[tip] | (self.known[mine] if mine else set())
        assert self.known.setdefault(merged, facts) == facts
        self.tips[clone] = merged
        super().settle(clone, self.tree_of(merged), facts)

    @rule(skew=st.sampled_from((0, 0, -500_000, 500_000)))
    def clock(self, skew: int) -> None:
        self.skew = skew

    @rule(a=clones, b=clones)
    def takes_in(self, a: int, b: int) -> None:
        """A fork: one clone is another's remote."""
        if self.tips[b]:
            self.views[a].hidden -= ancestors(self.staging, self.tips[b] or "")
            self.absorb(a, self.tips[b])

    @rule(clone=clones)
    def fetch(self, clone: int) -> None:
        if self.remote is None:
            return
        view = self.views[clone]
        if clone == SHALLOW and self.tips[clone] is None and self.tracking[clone] is None:
            view.hidden |= ancestors(self.staging, self.remote) - {self.remote}
        else:  # up to what this clone has
            there = {id for id in (self.tips[clone], self.tracking[clone]) if id}
            reached = set().union(*(ancestors(self.staging, id) for id in there)) if there else set()
            view.hidden -= (ancestors(self.staging, self.remote) - reached) | {self.remote}
        self.tracking[clone] = self.remote

    @rule(clone=clones)
    def pull(self, clone: int) -> None:
        self.fetch(clone)
        self.absorb(clone, self.tracking[clone])

    @rule(clone=clones, other=st.none() | clones)
    def push(self, clone: int, other: int | None = None) -> None:
        """Perhaps another one is faster, once."""
        for attempt in range(3):
            if attempt:
                self.fetch(clone)
            self.absorb(clone, self.tracking[clone])
            tip = self.tips[clone]
            if tip is None:
                return
            if attempt == 0 and other not in (None, clone):
                self.push(other or 0)
            if self.remote is None or self.staging.is_ancestor(self.remote, tip):  # what the server checks
                self.remote = self.tracking[clone] = tip
                return
        raise AssertionError("a push with nobody in its way does not succeed")

    @precondition(lambda self: self.owned)
    @rule(clone=clones, data=st.data())
    def push_some(self, clone: int, data: st.DataObject) -> None:
        """Some runs on top of what the remote has; the rest stays here."""
        self.fetch(clone)
        base = self.tracking[clone] or self.root
        runs = list(trees.state_of(self.staging, self.trees[clone]).runs.values())
        chosen = [run for run in sorted(runs, key=lambda run: run.uid) if data.draw(st.booleans())]
        names = [name for run in chosen for name in (run.name, *sorted(self.former.get(run.uid, ())))]
        namesakes = trees.gather(self.staging, self.tree_of(base), names)
        tree = trees.put_among(self.staging, self.tree_of(base), chosen, namesakes)
        facts = self.known[base].union(*(facts_of(run) for run in chosen))
        self.check(tree, facts)
        if tree != self.tree_of(base) and self.remote == self.tracking[clone]:
            self.remote = self.tracking[clone] = self.commit(tree, base, facts)

    @precondition(lambda self: self.remote)
    @rule(data=st.data())
    def somebody_rewrites_the_remote(self, data: st.DataObject) -> None:
        """Set back, or deleted; what is lost there is still in the clones that had it."""
        before = [*sorted(ancestors(self.staging, self.remote or "")), None]
        self.remote = data.draw(st.sampled_from(before))

    def teardown(self) -> None:
        """Whoever merges, it is the same commit; and after one push each and one pull each all have one, with all."""
        tips = {tip for tip in self.tips.values() if tip}
        whole = [view for view in self.views.values() if not view.hidden]
        assert len({merging.merge(view, merging.heads(view, tips)) for view in whole if tips}) <= 1
        everything = set().union(*(self.known[tip] for tip in self.tips.values() if tip))
        for clone in CLONES:
            self.push(clone)
        for clone in CLONES:
            self.pull(clone)
        assert {self.tips[clone] for clone in CLONES} == {self.remote}
        if self.remote:
            assert self.known[self.remote] >= everything


def test_sharing():
    run_model(Sharing, 120)


@pytest.mark.soak
def test_sharing_for_long():
    run_model(Sharing, int(os.environ.get("GITLUMO_SOAK_ROUNDS", "3000")), 50)
