"""Trees that are compared and changed, and new objects above old ones, over whichever engine a repository opens."""

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gitlumo.errors import MissingObject
from gitlumo.git import objects, process
from gitlumo.git.edited import edit_tree
from gitlumo.git.objects import COMMIT, FILE_MODE, SUBMODULE_MODE, TREE_MODE, Commit, Entry, Staging
from gitlumo.git.pack import PackPlace, write_pack
from gitlumo.git.repository import open_repository

WHO = "Ada <ada@example.org> 1679616000 +0000"
NOWHERE = "1" * 40
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
with_git = settings(
    max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate]
)


@pytest.fixture
def there(repo):
    """The repository's objects."""
    repository = open_repository(repo)
    yield repository.objects
    repository.close()


@pytest.fixture
def raw(repo):
    """``raw(*args, stdin=None)``: what git prints, as bytes."""
    return lambda *args, stdin=None: process.run(args, cwd=str(repo), stdin=stdin).out


@pytest.fixture
def commit(git, repo):
    """``commit(*parents)``: a new commit of the empty tree, made by git."""
    git("hash-object", "-w", "-t", "tree", "--stdin", cwd=repo, input="")

    def make(*parents):
        make.count += 1
        args = [word for parent in parents for word in ("-p", parent)]
        return git("commit-tree", "-m", str(make.count), *args, EMPTY_TREE, cwd=repo)

    make.count = 0
    return make


def put(repo, staging, note=b""):
    """Write what is new into the repository, as one pack."""
    folder = repo / ".git"
    place = PackPlace(str(folder / "objects/pack"), str(folder / "lumo/tmp"), str(folder / "gc.pid"), "sha1")
    return write_pack(place, staging.new, note, fsync=False)


# --- differences ---

files = st.dictionaries(
    st.sampled_from(["a", "a/b", "a/b/c", "a.b", "a-", "b", "b/c", "b/d", "c/x/y", "c/x/z", "größe/n\nl", "z"]),
    st.tuples(st.sampled_from([b"1", b"2", b"3"]), st.sampled_from([FILE_MODE, 0o100755, 0o120000])),
    max_size=8,
)


def without_conflicts(chosen):
    """No path that is a file and a folder at once: the longer one stays."""
    return {path: value for path, value in chosen.items() if not any(other.startswith(path + "/") for other in chosen)}


trees = files.map(without_conflicts)


def entry_of(staging, value):
    return Entry("", value[1], staging.add_blob(value[0]))


def build(staging, chosen):
    """A tree made by edit_tree from nothing."""
    return edit_tree(staging, None, {path: entry_of(staging, value) for path, value in chosen.items()})


@given(trees, trees)
@with_git
def test_differences_as_git_finds_them(there, repo, raw, old_files, new_files):
    staging = Staging(there)
    old, new = build(staging, old_files), build(staging, new_files)
    staging.add_tree([])
    put(repo, staging)
    said = raw("diff-tree", "-r", "-z", "--no-renames", old or EMPTY_TREE, new or EMPTY_TREE).split(b"\0")
    truth = {}
    for head, path in zip(said[0:-1:2], said[1::2], strict=True):
        old_mode, new_mode, old_id, new_id, _ = head[1:].decode().split(" ")
        truth[os.fsdecode(path)] = [(int(old_mode, 8), old_id), (int(new_mode, 8), new_id)]

    def plain(entry):
        return (entry.mode, entry.id) if entry else (0, "0" * 40)

    found = list(objects.diff_trees(there, old, new))
    assert {path: [plain(a), plain(b)] for path, a, b in found} == truth
    assert len(found) == len(truth)
    assert {path for path, _, _ in objects.diff_trees(there, old, new, "p/")} == {f"p/{path}" for path in truth}


def test_equal_subtrees_are_not_read(there, repo):
    staging = Staging(there)
    same = Entry("same", TREE_MODE, NOWHERE)  # not there: reading it would raise
    old, new = staging.add_tree([same]), staging.add_tree([same, Entry("x", FILE_MODE, NOWHERE)])
    assert [path for path, _, _ in objects.diff_trees(staging, old, new)] == ["x"]
    assert list(objects.diff_trees(staging, NOWHERE, NOWHERE)) == []


def test_a_submodule_is_a_line_like_a_file(there, repo):
    staging = Staging(there)
    one, two = (Entry("sub", SUBMODULE_MODE, digit * 40) for digit in "12")
    found = objects.diff_trees(staging, staging.add_tree([one]), staging.add_tree([two]))
    assert list(found) == [("sub", one, two)]


# --- changing trees ---


@given(
    trees,
    st.dictionaries(
        st.sampled_from(["a", "a/b", "a.b", "b", "b/c", "c/x/y", "d/e/f", "größe/n\nl"]), st.sampled_from([None, b"9"])
    ),
)
@with_git
def test_edits_as_gits_index_makes_them(there, repo, raw, before, wanted):
    changes = {path: data for path, data in wanted.items() if not any(other.startswith(path + "/") for other in wanted)}
    staging = Staging(there)
    tree = build(staging, before)
    edited = edit_tree(
        staging, tree, {path: entry_of(staging, (data, FILE_MODE)) if data else None for path, data in changes.items()}
    )
    put(repo, staging)

    after = dict(before)
    for path, data in changes.items():
        for other in [other for other in after if other == path or other.startswith(path + "/")]:
            del after[other]
        if data:  # a file on the way gives way
            for other in [other for other in after if path.startswith(other + "/")]:
                del after[other]
            after[path] = (data, FILE_MODE)
    lines = b"".join(
        b"%o %s\t%s\0" % (mode, staging.add_blob(data).encode(), path.encode()) for path, (data, mode) in after.items()
    )
    raw("read-tree", "--empty")
    raw("update-index", "-z", "--add", "--index-info", stdin=lines)
    assert (edited or EMPTY_TREE) == raw("write-tree").decode().strip()


def test_an_edit_reads_only_the_trees_on_its_way(there, repo):
    staging = Staging(there)
    blob = staging.add_blob(b"1")
    tree = staging.add_tree(
        [Entry("far", TREE_MODE, NOWHERE), Entry("near", TREE_MODE, staging.add_tree([Entry("x", FILE_MODE, blob)]))]
    )
    edited = edit_tree(staging, tree, {"near/y": Entry("", FILE_MODE, blob)})
    assert list(objects.read_tree(staging, edited)) == ["far", "near"]
    moved = edit_tree(staging, tree, {"far": None, "else/where": Entry("", TREE_MODE, NOWHERE)})
    assert objects.lookup(staging, moved, "else/where") == Entry("where", TREE_MODE, NOWHERE)
    assert edit_tree(staging, tree, {"far": None, "near/x": None}) is None


def test_lookup_and_walk(there, repo):
    staging = Staging(there)
    tree = build(staging, {"a/b/c": (b"1", FILE_MODE), "a/x": (b"2", 0o100755), "z": (b"3", FILE_MODE)})
    walked = dict(objects.walk(staging, tree, "p/"))
    assert list(walked) == ["p/a", "p/a/b", "p/a/b/c", "p/a/x", "p/z"]
    for path, entry in walked.items():
        assert objects.lookup(staging, tree, path.removeprefix("p/")) == entry
    assert objects.read_blob(staging, walked["p/a/x"].id) == b"2"
    for path in ("q", "a/q", "a/b/c/d", "z/q", "a/b/", "/a", ""):
        assert objects.lookup(staging, tree, path) is None, path


# --- staging ---


def test_new_objects_above_old_ones(there, repo, git, commit):
    head = git("rev-parse", "HEAD", cwd=repo)
    staging = Staging(there)
    blob = staging.add_blob(b"new")
    first = staging.add_commit(Commit(EMPTY_TREE, (head,), WHO, WHO, "1"))
    second = staging.add_commit(Commit(EMPTY_TREE, (first, commit()), WHO, WHO, "2"))
    assert objects.read_blob(staging, blob) == b"new"
    assert staging.has(blob)
    assert not there.has(blob)
    assert objects.read_commit(staging, head).subject
    assert staging.has(head)
    for missing in (NOWHERE, ""):
        assert not staging.has(missing)
        with pytest.raises(MissingObject):
            staging.read(missing)
    older = commit(head)
    table = [(head, second), (first, second), (second, second), (head, first), (head, older)]
    assert all(staging.is_ancestor(*pair) for pair in table)
    assert not any(staging.is_ancestor(new, old) for old, new in table if old != new)
    assert not staging.is_ancestor(older, second)
    assert not staging.is_ancestor(NOWHERE, second)


def test_a_new_object_that_is_an_old_one_too(there, repo, git, commit):
    """Fixed commits (the root, a snapshot) are added again and again; what was built on them stays built on them."""
    root = commit()
    tip = commit(commit(root))
    staging = Staging(there)
    assert staging.add(COMMIT, staging.read(root)[1]) == root
    assert staging.is_ancestor(root, tip)
    assert not staging.is_ancestor(tip, root)


def test_ancestors_through_many_new_merges(there, repo):
    """As many steps as commits, not as paths through them: 2^60 here."""
    staging = Staging(there)
    tip = staging.add_commit(Commit(EMPTY_TREE, (), WHO, WHO, "root"))
    for level in range(60):
        sides = [staging.add_commit(Commit(EMPTY_TREE, (tip,), WHO, WHO, f"{level}{side}")) for side in "lr"]
        tip = staging.add_commit(Commit(EMPTY_TREE, tuple(sides), WHO, WHO, f"{level}"))
    staging.new = Counted(staging.new)
    assert not staging.is_ancestor(NOWHERE, tip)


class Counted(dict):
    """New objects that are looked at often, and not without end."""

    looks = 0

    def __contains__(self, id):
        self.looks += 1
        assert self.looks < 2000, "far too many steps"
        return super().__contains__(id)


def test_many_objects_as_git_reads_them(there, repo, git, raw, fsck):
    staging = Staging(there)
    blobs = {f"{i % 7}/{i}": b"%d\n" % i * (i % 50) for i in range(500)}
    tree = edit_tree(staging, None, {path: entry_of(staging, (data, FILE_MODE)) for path, data in blobs.items()})
    tip = staging.add_commit(Commit(tree, (git("rev-parse", "HEAD", cwd=repo),), WHO, WHO, "many\n"))
    put(repo, staging)
    git("update-ref", "refs/heads/many", tip, cwd=repo)
    fsck(repo)
    asked = "".join(f"{id}\n" for id in staging.new).encode()
    truth = b"".join(
        b"%s %s %d\n%s\n" % (id.encode(), kind.encode(), len(data), data) for id, (kind, data) in staging.new.items()
    )
    assert raw("cat-file", "--batch", stdin=asked) == truth
    assert git("ls-tree", "-r", "--name-only", "many", cwd=repo).split("\n") == sorted(blobs)
