"""What an engine must do: this suite is the definition, and each engine in ENGINES passes it."""

import functools
import gc
import os
import shutil

import pytest

from gitlumo.errors import GitError, LumoError, MissingObject
from gitlumo.git import objects, process
from gitlumo.git.engine_dulwich import DulwichObjects
from gitlumo.git.engine_pygit2 import Pygit2Objects
from gitlumo.git.objects import BLOB, COMMIT, FILE_MODE, SUBMODULE_MODE, TREE, TREE_MODE, Commit, Entry, Staging
from gitlumo.git.pack import PackPlace, write_pack

ENGINES = {
    "pygit2-sha1": Pygit2Objects,
    "dulwich-sha1": DulwichObjects,
    "dulwich-sha256": functools.partial(DulwichObjects, hash_name="sha256"),
}
WHO = "Ada <ada@example.org> 1679616000 +0000"


@pytest.fixture(params=ENGINES)
def case(request, monkeypatch):
    """An engine and an object format; git makes new repositories in that format."""
    monkeypatch.setenv("GIT_DEFAULT_HASH", request.param.partition("-")[2])
    return request.param


@pytest.fixture
def hash_name(case):
    return case.partition("-")[2]


@pytest.fixture
def nowhere(hash_name):
    """An id that nothing has."""
    return "1" * (40 if hash_name == "sha1" else 64)


@pytest.fixture
def empty_tree(hash_name):
    return objects.object_id(hash_name, TREE, b"")


@pytest.fixture
def repo(case, repo):
    return repo


@pytest.fixture
def engine(case):
    """``engine(repo)`` opens a repository's objects."""
    opened = []

    def open_objects(repo):
        opened.append(ENGINES[case](os.path.join(repo, ".git", "objects")))
        return opened[-1]

    yield open_objects
    for one in opened:
        one.close()


@pytest.fixture
def raw(repo):
    """``raw(*args, stdin=None)``: what git prints, as bytes."""
    return lambda *args, stdin=None: process.run(args, cwd=str(repo), stdin=stdin).out


@pytest.fixture
def commit(git, repo, empty_tree):
    """``commit(*parents)``: a new commit of the empty tree, made by git."""
    git("hash-object", "-w", "-t", "tree", "--stdin", cwd=repo, input="")

    def make(*parents):
        make.count += 1
        args = [word for parent in parents for word in ("-p", parent)]
        return git("commit-tree", "-m", str(make.count), *args, empty_tree, cwd=repo)

    make.count = 0
    return make


# --- reading ---


@pytest.mark.parametrize(
    "data", [b"", b"text\n", bytes(range(256)), b"x" * 2_000_000], ids=["", "text", "bytes", "2 MB"]
)
def test_blobs(engine, repo, raw, data, hash_name):
    there = engine(repo)
    id = raw("hash-object", "-w", "--stdin", stdin=data).decode().strip()  # written after opening
    assert there.has(id)
    assert there.read(id) == (BLOB, data)
    assert objects.read_blob(there, id) == data
    assert Staging(there).add_blob(data) == id == objects.object_id(hash_name, BLOB, data)


ODD_NAMES = [
    "a b",
    "größe",
    "数",
    "-x",
    "new\nline",
    "tab\t",
    'q"uote',
    "\udcff\udcfe",
    "x" * 200,
    "~",
    "\\",
    "*",
    "a.b",
    "A",
    "\x01",
]


def test_trees_with_odd_names_and_modes(engine, repo, raw, git):
    blob, head = raw("hash-object", "-w", "--stdin", stdin=b"1").decode().strip(), git("rev-parse", "HEAD", cwd=repo)
    inner = raw("mktree", stdin=b"100644 blob %s\tx\n" % blob.encode()).decode().strip()
    entries = [Entry(name, FILE_MODE, blob) for name in ODD_NAMES]
    entries += [Entry("run", 0o100755, blob), Entry("link", 0o120000, blob), Entry("sub", SUBMODULE_MODE, head)]
    # a folder sorts as if its name ended in "/"
    entries += [Entry("a", TREE_MODE, inner), Entry("a-", FILE_MODE, blob), Entry("a0", FILE_MODE, blob)]
    lines = b""
    for entry in entries:
        kind = {TREE_MODE: b"tree", SUBMODULE_MODE: b"commit"}.get(entry.mode, b"blob")
        lines += b"%06o %s %s\t%s\0" % (entry.mode, kind, entry.id.encode(), os.fsencode(entry.name))
    id = raw("mktree", "-z", stdin=lines).decode().strip()

    there = engine(repo)
    found = objects.read_tree(there, id)
    assert found == {entry.name: entry for entry in entries}
    assert list(found) == [os.fsdecode(name) for name in raw("ls-tree", "-z", "--name-only", id).split(b"\0")[:-1]]
    assert Staging(there).add_tree(reversed(entries)) == id
    assert objects.format_tree(found.values()) == there.read(id)[1]
    assert {entry.name for entry in entries if entry.is_tree} == {"a"}


@pytest.mark.parametrize(
    "message", ["subject\n", "subject\n\nbody\n\nKey: a\n", "größe 🚀\n", "no newline", "", "\n\n", "two\nlines\n\n\n"]
)
@pytest.mark.parametrize("parents", [0, 1, 3])
def test_commits(engine, repo, raw, commit, empty_tree, monkeypatch, message, parents):
    for who, name in (("AUTHOR", "Ada Lövelace"), ("COMMITTER", "B")):
        for key, value in (("NAME", name), ("EMAIL", "a@b"), ("DATE", "1700000000 -0330")):
            monkeypatch.setenv(f"GIT_{who}_{key}", value)
    above = [commit() for _ in range(parents)]
    args = [word for parent in above for word in ("-p", parent)]
    id = raw("commit-tree", *args, empty_tree, stdin=message.encode()).decode().strip()

    there = engine(repo)
    stamp = "<a@b> 1700000000 -0330"
    expected = Commit(empty_tree, tuple(above), f"Ada Lövelace {stamp}", f"B {stamp}", message)
    assert objects.read_commit(there, id) == expected
    assert objects.format_commit(expected) == there.read(id)[1]
    assert Staging(there).add_commit(expected) == id
    assert (expected.time, expected.subject) == (1700000000, message.split("\n")[0])


@pytest.mark.parametrize(
    ("message", "values"),
    [
        ("s\n\nLumo-Uid: a\nLumo-Event: x\nLumo-Uid: b\n", ["a", "b"]),
        ("s\n\nLumo-Uid: a\n\nlast paragraph\n", []),
        ("s\n\nLumo-Uid: a", ["a"]),
        ("s\n\nLumo-Uid-More: a\nlumo-uid: b\nLumo-Uid:c\n", []),
        ("Lumo-Uid: a\n", ["a"]),
        ("", []),
    ],
)
def test_trailers(message, values):
    assert Commit("", (), WHO, WHO, message).trailers("Lumo-Uid") == values


def test_a_commit_with_headers_of_others(engine, repo, raw, empty_tree):
    """A signature and an encoding are passed over; bytes that are not UTF-8 do no harm."""
    head = f"tree {empty_tree}\nauthor {WHO}\ncommitter {WHO}\nencoding latin1\ngpgsig -----BEGIN\n x\n -----END\n"
    data = head.encode() + b"\ngr\xf6\xdfe\n"
    id = raw("hash-object", "-w", "-t", "commit", "--literally", "--stdin", stdin=data).decode().strip()
    read = objects.read_commit(engine(repo), id)
    assert (read.tree, read.parents, read.time) == (empty_tree, (), 1679616000)
    assert read.message.startswith("gr")


@pytest.mark.parametrize("committer", ["", "nobody", "A <a@b>", "A <a@b> x +0000"])
def test_a_time_that_is_none(committer):
    assert Commit("", (), WHO, committer, "").time == 0


@pytest.mark.parametrize(
    "id", ["1" * 40, "0" * 40, "", "z" * 40, "z" * 64, "HEAD", "f" * 64, "é" * 40, "../" * 21 + "x"]
)
def test_what_is_not_there(engine, repo, git, id):
    there = engine(repo)
    assert not there.has(id)
    assert not there.is_ancestor(id, git("rev-parse", "HEAD", cwd=repo))
    for read in (objects.read_blob, objects.read_tree, objects.read_commit):
        with pytest.raises(MissingObject):
            read(there, id)


def test_only_whole_ids(engine, repo, git):
    there, head = engine(repo), git("rev-parse", "HEAD", cwd=repo)
    for part in (head[:7], head[:39], head[:40] if len(head) > 40 else head[:20], head + "0"):
        assert not there.has(part)
        with pytest.raises(MissingObject):
            there.read(part)


def test_the_wrong_kind(engine, repo, git):
    there, head = engine(repo), git("rev-parse", "HEAD", cwd=repo)
    for read in (objects.read_blob, objects.read_tree):
        with pytest.raises(GitError, match=f"{head} is a commit, not a "):
            read(there, head)
    with pytest.raises(GitError, match="is a tree, not a commit"):
        objects.read_commit(there, git("rev-parse", "HEAD^{tree}", cwd=repo))
    git("tag", "-m", "annotated", "v1", cwd=repo)
    assert there.read(git("rev-parse", "v1", cwd=repo))[0] == "tag"


@pytest.mark.parametrize(
    "data", [b"garbage", b"100644 x", b"100644 x\0short", b"100644", b"abc x\0" + b"1" * 20, b" x\0" + b"1" * 20]
)
def test_a_broken_tree_is_an_error_of_ours(engine, repo, raw, data):
    id = raw("hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=data).decode().strip()
    with pytest.raises(GitError):
        objects.read_tree(engine(repo), id)


@pytest.mark.parametrize("how", ["loose", "packed", "alternates"])
def test_where_objects_lie(engine, repo, git, tmp_path, how):
    ids = git("rev-list", "--objects", "--no-object-names", "HEAD", cwd=repo).split()
    place = repo
    if how == "packed":
        git("gc", "--quiet", cwd=repo)
    elif how == "alternates":
        place = tmp_path / "borrower"
        git("clone", "--quiet", "--shared", repo, place)
        shutil.rmtree(repo / ".git/objects/info", ignore_errors=True)
    there = engine(place)
    for id in ids:
        kind, data = there.read(id)
        assert (kind, len(data)) == (git("cat-file", "-t", id, cwd=place), int(git("cat-file", "-s", id, cwd=place)))


def test_a_damaged_pack_gives_no_wrong_data(engine, repo, git):
    git("commit", "--allow-empty", "-m", "x" * 3000, cwd=repo)
    git("gc", "--quiet", cwd=repo)
    id = git("rev-parse", "HEAD", cwd=repo)
    whole = engine(repo).read(id)
    (pack,) = (repo / ".git/objects/pack").glob("*.pack")
    pack.chmod(0o644)
    data = pack.read_bytes()
    found = 0
    for at in range(12, len(data) - 20):
        pack.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        try:
            assert engine(repo).read(id) == whole
        except LumoError:
            found += 1
    assert found > 20


def test_what_git_does_after_opening_is_seen(engine, repo, git, commit, empty_tree, hash_name):
    there = engine(repo)
    missing = Staging(there).add_commit(Commit(empty_tree, (), WHO, WHO, "later\n"))
    assert not there.has(missing)
    loose = commit()
    assert there.has(loose)  # loose
    git("update-ref", "refs/heads/loose", loose, cwd=repo)
    git("repack", "-a", "-d", "--quiet", cwd=repo)
    git("prune-packed", cwd=repo)
    assert there.read(loose)[0] == COMMIT  # now only in a pack that is newer than our look
    staging = Staging(there)
    staging.add_commit(Commit(empty_tree, (), WHO, WHO, "later\n"))
    folder = repo / ".git"
    place = PackPlace(str(folder / "objects/pack"), str(folder / "lumo/tmp"), str(folder / "gc.pid"), hash_name)
    write_pack(place, staging.new, b"", fsync=False)
    assert there.read(missing)[0] == COMMIT  # in one more
    assert there.is_ancestor(loose, loose)
    there.refresh()
    assert there.has(missing)
    assert there.has(loose)


def test_after_refresh_what_is_gone_is_gone(engine, repo, git, commit):
    there = engine(repo)
    lost = commit()
    assert there.has(lost)
    git("prune", "--expire=now", cwd=repo)
    there.refresh()
    assert not there.has(lost)


# --- ancestors ---


def test_ancestors(engine, repo, commit, git, nowhere):
    head = git("rev-parse", "HEAD", cwd=repo)
    a = commit(head)
    left, right = commit(a), commit(a)
    merge = commit(left, right)
    tip, alone = commit(merge), commit()
    every = [head, a, left, right, merge, tip, alone]
    there = engine(repo)
    for one in every:
        for other in every:
            truth = process.run(["merge-base", "--is-ancestor", one, other], check=False).status == 0
            assert there.is_ancestor(one, other) is truth, (every.index(one), every.index(other))
    assert not there.is_ancestor(nowhere, tip)
    assert not there.is_ancestor(tip, nowhere)


def test_ancestors_in_a_shallow_clone(engine, repo, git, commit, tmp_path):
    chain = [commit()]
    for _ in range(5):
        chain.append(commit(chain[-1]))
    git("update-ref", "refs/heads/main", chain[-1], cwd=repo)
    git("clone", "--quiet", "--depth=3", f"file://{repo}", tmp_path / "shallow")
    there = engine(tmp_path / "shallow")
    assert [there.is_ancestor(id, chain[-1]) for id in chain] == [False, False, False, True, True, True]
    assert not there.is_ancestor(chain[-1], chain[-2])


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="not Linux")
def test_files_are_let_go_of(engine, repo, git):
    git("commit", "--allow-empty", "-qm", "one")
    head = git("rev-parse", "HEAD")
    git("gc", "-q")

    def look():
        opened = engine(repo)
        for _ in range(3):
            opened.read(head)
            opened.refresh()
        opened.read(head)
        opened.close()
        del opened
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    first = look()
    assert [look() for _ in range(5)] == [first] * 5
