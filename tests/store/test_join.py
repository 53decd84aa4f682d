"""The join is right: a model of three clones over real trees, and the cases that are easily got wrong by name.

The model keeps for each clone the set of all that its ledger has been told, beside a tree that only ``trees.put`` and
``trees.join_trees`` have made. Sets have a union; so has a format that is right: after every step the tree must be
what section 6 of docs/format.md makes of the set.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from gitlumo.git.edited import edit_tree
from gitlumo.git.objects import FILE_MODE, Entry, Staging, lookup, walk
from gitlumo.store import join, layout, trees
from gitlumo.store.join import Run, State
from tests.store import memory

CLONES = (0, 1, 2)
UIDS = tuple(f"{n:032x}" for n in (7, 3, 11, 1, 9, 5, 2))
EXP_NAMES = ("digits", "zähler")
TEST_NAMES = ("base", "260101.007.k3x9t", "260101.1007.k3x9t", "260101.2007.k3x9t")
STARTS = ("2026-01-01T08:00:00.000Z", "2026-01-01T08:00:00.001Z", "2026-01-02T00:00:00.000Z")
# Where no run ever lies, or a folder above one; and where runs do, so that one of both has to give way.
ASIDE = ("README.md", "plots/loss.png", "plots", "digits/notes.md", "digits/2026/x", "zähler/260101/1/~/x")
IN_THE_WAY = (
    "digits", "digits/260101", "digits/260101/base", "digits/260101/base/info/uid.json", "digits/260101/1",
    f"digits/260101/base~{UIDS[0]}", "zähler/260102/1/260101.1007.k3x9t", "zähler/260101/base/x", "digits/260102/7",
)  # fmt: skip

clones = st.sampled_from(CLONES)
names = st.tuples(st.sampled_from(EXP_NAMES), st.sampled_from(TEST_NAMES))
clocks = st.integers(min_value=-5, max_value=5)


Fact = tuple[str, ...]


def facts_of(run: Run) -> set[Fact]:
    """What a ledger says that has this run: facts are only ever added."""
    who = run.identity
    name = (who.exp_name, who.test_name, who.start)
    if run.purged:
        return {("tombstone", run.uid, run.record, *name)}
    rank = f"{not who.restored:d} {who.seq:09d}"
    return {("record", run.uid, rank, run.record, *name)} | {("edit", run.uid, *edit) for edit in run.edits.items()}


def ledger_of(facts: set[Fact]) -> dict[str, tuple[str, str, dict[str, str]]]:
    """Path to (uid, record, edits), as docs/format.md, section 6, says it, without gitlumo's own join."""
    groups: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for uid in {fact[1] for fact in facts}:
        mine = sorted(fact for fact in facts if fact[1] == uid)
        *_, record, exp_name, test_name, start = max(mine, key=lambda fact: (fact[0] == "tombstone", fact[0], fact))
        groups.setdefault((exp_name, test_name), []).append((start, uid, record))
    ledger = {}
    for (exp_name, test_name), group in groups.items():
        for start, uid, record in group:
            ordinal = test_name.split(".")[1] if "." in test_name else ""
            name = test_name if (start, uid, record) == min(group) else f"{test_name}~{uid}"
            day = start[2:10].replace("-", "")
            path = "/".join(part for part in (exp_name, day, ordinal[:-3].strip("0"), name) if part)
            purged = any(fact[:2] == ("tombstone", uid) for fact in facts)
            edits = {} if purged else {fact[2]: fact[3] for fact in sorted(facts) if fact[:2] == ("edit", uid)}
            ledger[path] = uid, record, edits
    return ledger


class Clones(RuleBasedStateMachine):
    """Three clones that start, publish, rename, edit, recover, restore and purge runs, and take each other in."""

    foreign_paths = ASIDE

    def __init__(self) -> None:
        super().__init__()
        self.staging = Staging(memory.Nothing())
        empty = self.staging.add_tree(())
        self.trees: dict[int, str] = dict.fromkeys(CLONES, empty)
        self.facts: dict[int, set[Fact]] = {clone: set() for clone in CLONES}
        self.owned: dict[str, tuple[int, Run]] = {}
        self.former: dict[str, set[tuple[str, str]]] = {}
        self.past: list[tuple[str, set[Fact]]] = [(empty, set())]
        self.ticks = 0

    def unique(self) -> int:
        self.ticks += 1
        return self.ticks

    def joined(self, a: str, b: str) -> str:
        return trees.join_trees(self.staging, a, b) or ""

    def publish(self, clone: int, run: Run) -> None:
        """Put a run into a clone's ledger, and check that this is the join with a ledger of this run alone."""
        former = self.former.setdefault(run.uid, set())
        former.add(run.name)
        before = self.trees[clone]
        after = trees.put(self.staging, before, run, sorted(former))
        assert after == self.joined(before, memory.one_run_tree(self.staging, run))
        assert after == trees.put(self.staging, after, run, sorted(former))
        self.settle(clone, after, self.facts[clone] | facts_of(run))

    def check(self, tree: str, facts: set[Fact]) -> State:
        """A tree has each run once, where it belongs, and with all that was ever said of it."""
        state = trees.state_of(self.staging, tree)
        places = memory.layout_of(self.staging, tree)
        found = {path: (uid, state.runs[uid].record, state.runs[uid].edits) for path, uid in places.items()}
        assert found == ledger_of(facts)
        assert places == join.folders(state.runs.values())
        return state

    def settle(self, clone: int, tree: str, facts: set[Fact]) -> None:
        self.trees[clone], self.facts[clone] = tree, facts
        self.past.append((tree, facts))
        self.check(tree, facts)

    def take_in(self, clone: int, tree: str, facts: set[Fact]) -> None:
        mine = self.trees[clone]
        joined = self.joined(mine, tree)
        assert joined == self.joined(tree, mine)
        assert {joined} == {self.joined(joined, side) for side in (mine, tree, joined)}
        states = [trees.state_of(self.staging, side) for side in (mine, tree)]
        pure = join.join(*states)
        assert pure == join.join(*reversed(states))
        standing = join.standing(pure.foreign, join.folders(pure.runs.values()))
        assert trees.state_of(self.staging, joined) == State(pure.runs, standing)
        self.settle(clone, joined, self.facts[clone] | facts)

    # What happens in clones

    @precondition(lambda self: len(self.owned) < len(UIDS))
    @rule(clone=clones, name=names, start=st.sampled_from(STARTS))
    def start(self, clone: int, name: tuple[str, str], start: str) -> None:
        run = memory.make_run(self.staging, UIDS[len(self.owned)], *name, start)
        self.owned[run.uid] = clone, run
        self.publish(clone, run)

    def again(self, run: Run, seq: int, name: tuple[str, str] | None = None, *, restored: bool = False) -> Run:
        start = run.identity.start
        what = self.unique()
        return memory.make_run(self.staging, run.uid, *(name or run.name), start, seq, restored=restored, what=what)

    @precondition(lambda self: self.owned)
    @rule(data=st.data())
    def owner_publishes(self, data: st.DataObject) -> None:
        """Also after its path has moved, after a recovery, after a tombstone: the owner knows of none of them."""
        clone, run = self.owned[data.draw(st.sampled_from(sorted(self.owned)))]
        new = self.again(run, run.identity.seq + 2)
        self.owned[run.uid] = clone, new
        self.publish(clone, new)

    @precondition(lambda self: self.owned)
    @rule(data=st.data(), name=names)
    def owner_renames(self, data: st.DataObject, name: tuple[str, str]) -> None:
        clone, run = self.owned[data.draw(st.sampled_from(sorted(self.owned)))]
        new = self.again(run, run.identity.seq + 2, name)
        self.owned[run.uid] = clone, new
        self.publish(clone, new)

    def drawn(self, data: st.DataObject, clone: int) -> Run | None:
        """A run that a clone has; None if it has none that is not purged."""
        runs = [run for run in trees.state_of(self.staging, self.trees[clone]).runs.values() if not run.purged]
        return data.draw(st.sampled_from(sorted(runs, key=lambda run: run.uid))) if runs else None

    @rule(clone=clones, data=st.data())
    def recovery(self, clone: int, data: st.DataObject) -> None:
        run = self.drawn(data, clone)
        if run:
            self.publish(clone, self.again(run, run.identity.seq + 1))

    @rule(clone=clones, data=st.data())
    def restored_copy(self, clone: int, data: st.DataObject) -> None:
        """Out of a backup into any clone: of any age, under any name that it had."""
        if self.owned:
            _, run = self.owned[data.draw(st.sampled_from(sorted(self.owned)))]
            name = data.draw(st.sampled_from(sorted(self.former[run.uid])))
            self.publish(clone, self.again(run, data.draw(st.sampled_from((2, 50))), name, restored=True))

    @rule(clone=clones, data=st.data(), skew=clocks)
    def edit(self, clone: int, data: st.DataObject, skew: int) -> None:
        run = self.drawn(data, clone)
        if run:
            ids = [name[18:34] for name in sorted(run.edits)]
            kind = data.draw(st.sampled_from(("note", "tag", "deprecated", "undo", "undo")))
            value = data.draw(st.sampled_from(ids)) if kind == "undo" and ids else True
            new = memory.with_edit(self.staging, run, 1000 + skew, f"{self.unique():016x}", kind, value)
            self.publish(clone, new)

    @rule(clone=clones, data=st.data(), name=st.sampled_from(("odd.txt", layout.edit_name(7, "0" * 16))))
    def odd_edit(self, clone: int, data: st.DataObject, name: str) -> None:
        """Files of one name and different content, whatever they are: the greater wins."""
        run = self.drawn(data, clone)
        if run:
            blob = self.staging.add_blob(b"%d" % self.unique())
            self.publish(clone, replace(run, edits={**run.edits, name: blob}))

    @rule(clone=clones, data=st.data())
    def purge(self, clone: int, data: st.DataObject) -> None:
        run = self.drawn(data, clone)
        if run:
            self.publish(clone, memory.tombstone(self.staging, run, f"somebody {self.unique()}"))

    @rule(clone=clones, data=st.data(), content=st.sampled_from((b"a", b"b")))
    def stranger(self, clone: int, data: st.DataObject, content: bytes) -> None:
        """Somebody commits a file into the ledger, where there is nothing yet."""
        path = data.draw(st.sampled_from(self.foreign_paths))
        tree, parts = self.trees[clone], path.split("/")
        above = [lookup(self.staging, tree, "/".join(parts[:n])) for n in range(1, len(parts) + 1)]
        in_a_run = any("/".join(parts[:n]) in memory.layout_of(self.staging, tree) for n in range(1, len(parts)))
        if above[-1] is None and not in_a_run and all(entry is None or entry.is_tree for entry in above):
            blob = Entry("", FILE_MODE, self.staging.add_blob(content))
            self.settle(clone, edit_tree(self.staging, tree, {path: blob}) or "", self.facts[clone])

    @rule(a=clones, b=clones)
    def takes_in(self, a: int, b: int) -> None:
        self.take_in(a, self.trees[b], self.facts[b])

    # What must hold of any ledgers that there ever were

    @rule(data=st.data())
    def laws(self, data: st.DataObject) -> None:
        self.check_laws(*(data.draw(st.sampled_from(self.past)) for _ in range(3)))

    def check_laws(self, *ledgers: tuple[str, set[Fact]]) -> None:
        a, b, c = (tree for tree, _ in ledgers)
        assert self.joined(a, a) == a
        results = set()
        for x, y, z in itertools.permutations((a, b, c)):
            results |= {self.joined(self.joined(x, y), z), self.joined(x, self.joined(y, z))}
        assert len(results) == 1 or self.same_runs(results)
        states = [trees.state_of(self.staging, tree) for tree in (a, b, c)]
        pure = join.join(join.join(states[0], states[1]), states[2])
        assert pure == join.join(states[0], join.join(states[1], states[2]))
        assert self.check(min(results), set().union(*(facts for _, facts in ledgers))).runs == pure.runs

    def same_runs(self, results: set[str]) -> bool:
        """Whether trees may differ: never, where no foreign path is in a run's way."""
        return False

    def teardown(self) -> None:
        """All clones exchange everything, at the same time: one round, and all are the same."""
        self.check_laws(*((self.trees[clone], self.facts[clone]) for clone in CLONES))
        for _ in range(2):
            before = [(self.trees[clone], self.facts[clone]) for clone in CLONES]
            for clone in CLONES:
                for other in (*range(clone + 1, 3), *range(clone)):
                    self.take_in(clone, *before[other])
            results = set(self.trees.values())
            if len(results) == 1:
                return
            assert self.same_runs(results)
        assert len(results) == 1


class ClonesInTheWay(Clones):
    """The same with foreign paths at runs' places: runs are not disturbed, and clones still meet."""

    foreign_paths = ASIDE + IN_THE_WAY

    def same_runs(self, results: set[str]) -> bool:
        first, *others = (trees.state_of(self.staging, tree).runs for tree in results)
        return all(runs == first for runs in others)


def run_model(machine: type[RuleBasedStateMachine], examples: int, steps: int = 20) -> None:
    slow = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=settings(slow, max_examples=examples, stateful_step_count=steps))


@pytest.mark.parametrize("machine", [Clones, ClonesInTheWay])
def test_three_clones(machine):
    run_model(machine, 200)


@pytest.mark.soak
@pytest.mark.parametrize("machine", [Clones, ClonesInTheWay])
def test_three_clones_for_long(machine):
    run_model(machine, int(os.environ.get("GITLUMO_SOAK_ROUNDS", "5000")), 40)


# What is easily got wrong, by name


@pytest.fixture
def staging():
    return Staging(memory.Nothing())


def test_three_uids_on_one_name_in_every_order(staging):
    older, old, young = UIDS[2], UIDS[0], UIDS[1]
    starts = {older: STARTS[0], old: STARTS[1], young: STARTS[2]}
    runs = [memory.make_run(staging, uid, start=start) for uid, start in starts.items()]
    roots = {memory.put_all(staging, None, order) for order in itertools.permutations(runs)}
    for a, b, c in itertools.permutations(memory.one_run_tree(staging, run) for run in runs):
        roots.add(trees.join_trees(staging, trees.join_trees(staging, a, b), c))
    (root,) = roots
    places = {
        "digits/260101/base": older,
        f"digits/260101/base~{old}": old,
        f"digits/260102/base~{young}": young,  # the name is one name on whatever day
    }
    assert memory.layout_of(staging, root) == places


def test_of_equal_starts_the_least_uid_keeps_the_name(staging):
    root = memory.put_all(staging, None, [memory.make_run(staging, uid) for uid in UIDS[:3]])
    assert memory.layout_of(staging, root)["digits/260101/base"] == min(UIDS[:3])


def test_a_live_run_and_its_edits_follow_the_uid(staging):
    """Its path moves by a join; the owner, an editor under the old path and one under the new one do not notice."""
    run = memory.make_run(staging, UIDS[0], start=STARTS[1])
    elder = memory.make_run(staging, UIDS[1], start=STARTS[0])
    before = memory.one_run_tree(staging, run)
    moved = trees.put(staging, before, elder)
    path = f"digits/260101/base~{run.uid}"
    edited_here = trees.put(staging, moved, memory.with_edit(staging, run, 1, "a" * 16, "note", "new path"))
    edited_there = trees.put(staging, before, memory.with_edit(staging, run, 2, "b" * 16, "note", "old path"))
    live = trees.put(staging, edited_here, memory.make_run(staging, UIDS[0], start=STARTS[1], seq=4))
    for root in (trees.join_trees(staging, live, edited_there), trees.join_trees(staging, edited_there, live)):
        assert memory.layout_of(staging, root) == {"digits/260101/base": elder.uid, path: run.uid}
        found = trees.state_of(staging, root).runs[run.uid]
        assert found.identity.seq == 4
        assert [name[18:34] for name in sorted(found.edits)] == ["a" * 16, "b" * 16]


def test_a_run_takes_its_name_back_where_the_elder_is_renamed(staging):
    elder, run = (memory.make_run(staging, uid, start=start) for uid, start in zip(UIDS[:2], STARTS[:2], strict=True))
    root = memory.put_all(staging, None, [elder, run])
    renamed = memory.make_run(staging, elder.uid, "digits", "other", STARTS[0], seq=4)
    root = trees.put(staging, root, renamed, [elder.name])
    assert memory.layout_of(staging, root) == {"digits/260101/base": run.uid, "digits/260101/other": elder.uid}


RANKING = [  # from the least record to the greatest
    {"seq": 50, "restored": True},
    {"seq": 2},
    {"seq": 3},  # somebody's "killed"
    {"seq": 4},  # the owner was alive
    {"seq": 5},
]


@pytest.mark.parametrize(("less", "more"), list(itertools.combinations(RANKING, 2)))
def test_the_greater_record_wins_as_a_whole(staging, less, more):
    a = memory.make_run(staging, UIDS[0], only_here=1, **less)
    b = memory.make_run(staging, UIDS[0], **more)
    for order in ([a, b], [b, a]):
        root = memory.put_all(staging, None, order)
        assert lookup(staging, root, "digits/260101/base").id == b.record


def test_of_equal_seq_the_greater_tree_wins(staging):
    found = [memory.make_run(staging, UIDS[0], what=n) for n in range(5)]
    for order in itertools.permutations(found):
        root = memory.put_all(staging, None, order)
        assert lookup(staging, root, "digits/260101/base").id == max(run.record for run in found)


def test_a_tombstone_binds_only_its_uid(staging):
    run, other = memory.make_run(staging, UIDS[1]), memory.make_run(staging, UIDS[0])
    grave = memory.tombstone(staging, run)
    edited = memory.with_edit(staging, memory.make_run(staging, run.uid, seq=100), 9, "a" * 16, "note", "too late")
    for order in itertools.permutations([run, other, grave, edited]):
        root = memory.put_all(staging, None, order)
        assert {p for p, e in walk(staging, root) if not e.is_tree and "/info/" not in p} == {
            "digits/260101/base/purged.json"
        }
        assert memory.layout_of(staging, root)[f"digits/260101/base~{other.uid}"] == other.uid
