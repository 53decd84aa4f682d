"""Ledgers as trees: what a join reads, what it carries along, and that a stranger's tree does no harm."""

from __future__ import annotations

import itertools

import pytest

from gitlumo.git.edited import edit_tree
from gitlumo.git.objects import FILE_MODE, TREE_MODE, Entry, Staging, lookup, walk
from gitlumo.store import join, layout, trees
from tests.store import memory

DAY = "260101"
START = "2026-01-01T08:{:02d}:{:02d}.{:03d}Z"


def uid(n: int) -> str:
    return f"{n:032x}"


@pytest.fixture
def staging():
    return Staging(memory.Nothing())


def many(staging: Staging, numbers: range, exp_name: str = "digits") -> str:
    """A ledger of runs of one day, made at once and not by joining."""
    changes = {}
    for n in numbers:
        start = START.format(n // 60_000 % 60, n // 1000 % 60, n % 1000)
        run = memory.make_run(staging, uid(n), exp_name, f"{DAY}.{n:03d}.aaaat", start, lr=n)
        path = layout.run_folder(exp_name, f"{DAY}.{n:03d}.aaaat", start)
        changes[path] = trees.folder_entry(staging, run)
    return edit_tree(staging, None, changes) or ""


def test_a_join_reads_only_what_differs(staging):
    a = many(staging, range(300))
    run = memory.make_run(staging, uid(7), "digits", f"{DAY}.007.aaaat", START.format(0, 0, 7), seq=4)
    b = trees.put(staging, a, run)
    counting = memory.Counting(staging)
    assert trees.join_trees(counting, a, b) == b
    assert len(counting.ids) < 40


def test_a_put_reads_the_depth_not_the_breadth(staging):
    reads = []
    for number in (10, 1000, 2000):
        root = many(staging, range(number))
        counting = memory.Counting(staging)
        start = START.format(59, 0, 0)
        run = memory.make_run(counting, uid(77_777), "digits", f"{DAY}.{number:03d}.aaaat", start)
        counting.ids.clear()
        new = trees.put(counting, root, run)
        reads.append(len(counting.ids))
        thousand = [str(number // 1000)] if number >= 1000 else []
        path = "/".join(["digits", DAY, *thousand, f"{DAY}.{number:03d}.aaaat"])
        assert lookup(counting, new, path) == Entry(path.rpartition("/")[2], TREE_MODE, run.record)
    assert max(reads) <= 12
    assert max(reads) - min(reads) <= 2  # the folder of a thousand


def test_two_ledgers_of_a_thousand_new_runs_each(staging):
    shared = many(staging, range(10))
    old = [(path, entry) for path, entry in walk(staging, shared) if path.count("/") == 2]
    a, b = (edit_tree(staging, many(staging, numbers), dict(old)) for numbers in (range(10, 1010), range(1010, 2010)))
    counting = memory.Counting(staging)
    joined = trees.join_trees(counting, a, b)
    assert joined == trees.join_trees(staging, b, a)
    assert joined == many(staging, range(2010))
    # Of each new run its folder, info/ and three files; two exp_names, and the folders above, some of them twice.
    assert len(counting.ids) == 5 * 2000 + 2 + 17


def test_folders_by_thousands():
    names = {"260101.999.aaaat": "", "260101.1000.aaaat": "1/", "260101.2000.abt": "2/", "260101.12345.aaaat": "12/"}
    for name, thousand in names.items():
        assert layout.run_folder("digits", name, START.format(0, 0, 0)) == f"digits/{DAY}/{thousand}{name}"
        assert (
            layout.run_folder("digits", name, START.format(0, 0, 0), uid(1))
            == f"digits/{DAY}/{thousand}{name}~{uid(1)}"
        )
    assert layout.run_folder("digits", "261.1000", START.format(0, 0, 0)) == f"digits/{DAY}/261.1000"


@pytest.mark.parametrize("day", ["2026-01-01T00:00:00.000Z", "2026-01-01T23:59:59.999Z"])
def test_the_day_is_the_utc_day_of_the_start(day):
    assert layout.run_folder("digits", "990101.000.aaaat", day) == "digits/260101/990101.000.aaaat"


BREAK = {
    "no uid": ("info/uid.json", None),
    "uid is no uid": ("info/uid.json", b'"x"\n'),
    "uid is no JSON": ("info/uid.json", b'"0'),
    "exp_name against the rules": ("info/exp_name.json", b'"a/b"\n'),
    "test_name is a number": ("info/test_name.json", b'"17"\n'),
    "progress is a list": ("info/progress.json", b"[]\n"),
    "no start": ("info/progress.json", b'{"seq": 2}\n'),
    "seq is no integer": ("info/progress.json", b'{"start": "2026-01-01T08:00:00.000Z", "seq": true}\n'),
    "no info at all": ("info", None),
    "info is a file": ("info", b"x"),
    "deep": ("info/progress.json", b"[" * 100_000),
}


@pytest.mark.parametrize("what", BREAK)
def test_a_broken_run_is_carried_along_untouched(staging, what):
    path, data = BREAK[what]
    whole = memory.make_run(staging, uid(1), lr=1)
    entry = Entry("", FILE_MODE, staging.add_blob(data)) if data is not None else None
    changes: dict = {"info/progress.json": None, "info": entry} if path == "info" and entry else {path: entry}
    folder = edit_tree(staging, whole.folder, changes | {"plots/a.txt": memory.json_blob(staging, 1)})
    assert trees.read_run(staging, folder) is None
    a = edit_tree(staging, None, {f"digits/{DAY}/broken": Entry("", TREE_MODE, folder)})
    b = memory.one_run_tree(staging, memory.make_run(staging, uid(2)))
    for joined in (trees.join_trees(staging, a, b), trees.join_trees(staging, b, a)):
        assert lookup(staging, joined, f"digits/{DAY}/broken").id == folder
        assert memory.layout_of(staging, joined) == {f"digits/{DAY}/base": uid(2)}


def test_a_newer_run_is_joined_as_any_other(staging):
    run = memory.make_run(staging, uid(1), format={"version": 2}, future={"$new": 1})
    other = memory.make_run(staging, uid(0))
    edited = memory.with_edit(staging, run, 1, "a" * 16, "of the future", {})
    for order in itertools.permutations([memory.one_run_tree(staging, run) for run in (run, other, edited)]):
        root = None
        for tree in order:
            root = trees.join_trees(staging, root, tree)
        path = f"digits/{DAY}/base~{run.uid}"
        assert memory.layout_of(staging, root)[path] == run.uid
        assert trees.read_run(staging, lookup(staging, root, path).id) == edited


def test_edits_survive_a_replacement_of_the_record(staging):
    run = memory.with_edit(staging, memory.make_run(staging, uid(1), old=1), 1, "a" * 16, "note", "x")
    root = trees.put(staging, memory.one_run_tree(staging, run), memory.make_run(staging, uid(1), seq=4))
    paths = {path for path, entry in walk(staging, root) if not entry.is_tree}
    assert f"digits/{DAY}/base/edits/00000000001000000-{'a' * 16}.json" in paths
    assert f"digits/{DAY}/base/info/old.json" not in paths


def test_the_record_leaves_edits_out(staging):
    run = memory.make_run(staging, uid(1))
    edited = memory.stored(staging, trees.folder_entry(staging, memory.with_edit(staging, run, 1, "a" * 16, "x", 1)).id)
    assert edited.record == run.record != edited.folder


def moved(staging: Staging) -> tuple[str, join.Run]:
    """A ledger in which somebody has moved ``base`` to ``old`` by hand, and a new run that is to be called ``old``."""
    first, second = (memory.make_run(staging, uid(n), start=START.format(n, 0, 0)) for n in (1, 2))
    root = memory.one_run_tree(staging, first)
    entry = lookup(staging, root, f"digits/{DAY}/base")
    root = edit_tree(staging, root, {f"digits/{DAY}/base": None, f"digits/{DAY}/old": entry})
    root = trees.put(staging, root, second)
    assert memory.layout_of(staging, root) == {f"digits/{DAY}/old": uid(1), f"digits/{DAY}/base": uid(2)}
    return root, memory.make_run(staging, uid(3), test_name="old", start=START.format(3, 0, 0))


def test_a_run_that_was_moved_by_hand_takes_no_other_away(staging):
    root, run = moved(staging)
    elsewhere = edit_tree(staging, root, {f"digits/{DAY}/zzz": trees.folder_entry(staging, run)})
    for joined in (
        trees.put(staging, root, run),
        trees.join_trees(staging, root, elsewhere),
        trees.join_trees(staging, elsewhere, root),
    ):
        assert memory.layout_of(staging, joined) == {
            f"digits/{DAY}/base": uid(1),
            f"digits/{DAY}/base~{uid(2)}": uid(2),
            f"digits/{DAY}/old": uid(3),
        }


@pytest.mark.parametrize("mode", [0o120000, 0o160000])
@pytest.mark.parametrize("path", ["info/uid.json", "purged.json", "edits/x", f"edits/{layout.edit_name(1, 'a' * 16)}"])
def test_links_and_submodules_in_a_run_are_no_files(staging, path, mode):
    nowhere = "1" * 40
    folder = edit_tree(staging, memory.make_run(staging, uid(1)).folder, {path: Entry("", mode, nowhere)})
    a = edit_tree(staging, None, {f"digits/{DAY}/broken": Entry("", TREE_MODE, folder)})
    b = memory.one_run_tree(staging, memory.make_run(staging, uid(2)))
    for joined in (trees.join_trees(staging, a, b), trees.join_trees(staging, b, a)):
        assert not [e for _, e in walk(staging, joined) if e.id == nowhere and e.mode != mode]
        assert uid(2) in memory.layout_of(staging, joined).values()


def test_find_reads_names_not_paths(staging):
    runs = [memory.make_run(staging, uid(n), start=START.format(0, n, 0)) for n in range(3)]
    root = memory.put_all(staging, None, runs)
    for run in runs:
        assert trees.find(staging, root, run.uid, [run.name]) == run
    assert trees.find(staging, root, uid(9), [runs[0].name]) is None
    assert trees.find(staging, None, uid(0), [runs[0].name]) is None
    assert trees.find(staging, root, uid(0), [("digits", "bas"), ("digit", "base")]) is None


def test_unit_differences_name_runs_as_a_whole(staging):
    a = many(staging, range(998, 1002))
    run = memory.make_run(staging, uid(1000), "digits", f"{DAY}.1000.aaaat", START.format(0, 1, 0), seq=4)
    b = edit_tree(staging, trees.put(staging, a, run), {"a/b/c": memory.json_blob(staging, 1)})
    assert [path for path, _, _ in trees.unit_differences(staging, a, b)] == [
        "a/b/c",
        f"digits/{DAY}/1/{DAY}.1000.aaaat",
    ]
    assert list(trees.unit_differences(staging, a, a)) == []
    assert trees.join_trees(staging, a, None) == trees.join_trees(staging, None, a) == a
    assert trees.join_trees(staging, None, None) is None
