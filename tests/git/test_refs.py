"""What the refs of an engine must do: this suite is the definition, over each engine and each ref store."""

import subprocess
import sys

import pytest

from gitlumo.errors import GitError, RefMoved
from gitlumo.git import process
from gitlumo.git.engine_dulwich import DulwichObjects, DulwichRefs
from gitlumo.git.engine_pygit2 import Pygit2Refs
from gitlumo.git.refs import GitRefs

ENGINES = {
    "pygit2": Pygit2Refs,
    "dulwich": lambda git_dir: DulwichRefs(git_dir, _objects(git_dir), lambda: "Ada <ada@example.org>"),
    "git": GitRefs,
}
CASES = [
    ("pygit2", "files", "sha1"),
    ("dulwich", "files", "sha1"),
    ("dulwich", "files", "sha256"),
    ("git", "files", "sha1"),
    ("git", "reftable", "sha1"),
    ("git", "reftable", "sha256"),
]


def _objects(git_dir):
    common = process.run(["rev-parse", "--path-format=absolute", "--git-common-dir"], cwd=git_dir).out.decode().strip()
    form = process.run(["rev-parse", "--show-object-format"], cwd=git_dir).out.decode().strip()
    return DulwichObjects(f"{common}/objects", form)


@pytest.fixture(params=CASES, ids="-".join)
def case(request):
    return request.param


@pytest.fixture
def engine(case):
    return case[0]


@pytest.fixture
def store(case):
    return case[1]


@pytest.fixture
def repo(tmp_path, git, case):
    """A repository with three commits on main."""
    path = tmp_path / "refs"
    _, store, hash_name = case
    words = ["--ref-format=reftable"] if store == "reftable" else []
    if words and process.run(["init", "--quiet", *words, str(tmp_path / "tried")], check=False).status != 0:
        pytest.skip("git is too old for reftable")
    git("init", "--quiet", f"--object-format={hash_name}", *words, path)
    for i in range(3):
        git("commit", "--quiet", "--allow-empty", "--message", str(i), cwd=path)
    return path


@pytest.fixture
def refs(repo, engine):
    return ENGINES[engine](str(repo / ".git"))


@pytest.fixture
def nowhere(ids):
    """An id that nothing has."""
    return "1" * len(ids[0])


@pytest.fixture
def ids(repo, git):
    """The three commits, the oldest first."""
    return git("rev-list", "--reverse", "HEAD", cwd=repo).split()


def log(git, repo, ref):
    return git("reflog", "show", "--format=%H %gs", ref, cwd=repo).splitlines()


def test_read(repo, git, refs, ids):
    assert refs.read("refs/heads/main") == refs.read("HEAD") == ids[2]
    git("update-ref", "refs/heads/a/b", ids[0], cwd=repo)  # after opening
    assert refs.read("refs/heads/a/b") == ids[0]
    git("tag", "-m", "annotated", "v1", cwd=repo)
    assert refs.read("refs/tags/v1") == git("rev-parse", "refs/tags/v1", cwd=repo)


@pytest.mark.parametrize(
    "name", ["refs/heads/none", "refs/heads", "refs/heads/a..b", "refs/heads/main/x", "", "-x", "--all"]
)
def test_read_what_is_not_there(refs, name):
    assert refs.read(name) is None
    assert refs.symbolic(name) is None


def test_full_names_only(repo, git, refs, ids):
    git("update-ref", "refs/tags/refs/heads/x", ids[0], cwd=repo)
    for name in ("main", "heads/main", ids[0], "HEAD~1", "refs/heads/main^{tree}", "refs/heads/x"):
        assert refs.read(name) is None, name


def test_symbolic(repo, git, refs, ids):
    assert refs.symbolic("HEAD") == "refs/heads/main"
    assert refs.symbolic("refs/heads/main") is None
    git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/none", cwd=repo)
    assert refs.symbolic("refs/remotes/origin/HEAD") == "refs/remotes/origin/none"
    assert refs.read("refs/remotes/origin/HEAD") is None
    git("symbolic-ref", "HEAD", "refs/heads/unborn", cwd=repo)
    assert (refs.symbolic("HEAD"), refs.read("HEAD")) == ("refs/heads/unborn", None)
    git("update-ref", "--no-deref", "HEAD", ids[0], cwd=repo)
    assert (refs.symbolic("HEAD"), refs.read("HEAD")) == (None, ids[0])


def test_list(repo, git, refs, ids):
    names = [
        "refs/heads/a",
        "refs/heads/größe/数",
        "refs/heads/line\u2028separator",
        "refs/heads/nel\x85",
        "refs/remotes/o/x",
    ]
    for name in names:
        git("update-ref", name, ids[0], cwd=repo)
    git("pack-refs", "--all", cwd=repo)
    git("update-ref", "refs/heads/a", ids[1], cwd=repo)  # loose, and stale in packed-refs
    git("symbolic-ref", "refs/remotes/o/HEAD", "refs/remotes/o/x", cwd=repo)
    git("symbolic-ref", "refs/remotes/o/lost", "refs/remotes/o/none", cwd=repo)
    heads = dict.fromkeys(names[:4], ids[0]) | {"refs/heads/a": ids[1], "refs/heads/main": ids[2]}
    assert refs.list("refs/heads/") == heads
    assert refs.list("refs/remotes/") == {"refs/remotes/o/x": ids[0], "refs/remotes/o/HEAD": ids[0]}
    assert refs.list("refs/heads/n") == {"refs/heads/nel\x85": ids[0]}
    assert refs.list("refs/none/") == {}
    assert refs.list("refs/") == heads | refs.list("refs/remotes/")


NEW = ["refs/heads/new", "refs/heads/a/b/c", "refs/notes/lumo", "refs/remotes/origin/größe"]


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
def test_move(repo, git, refs, ids, name, packed, fsck):
    refs.move(name, None, ids[0], "created")
    for old, new in ((ids[0], ids[1]), (ids[1], ids[2]), (ids[2], ids[0])):
        if packed:
            git("pack-refs", "--all", cwd=repo)
        refs.move(name, old, new, f"to {new[:7]}")
        assert refs.read(name) == git("rev-parse", name, cwd=repo) == new
    fsck(repo)


def test_the_reflog_says_why(repo, git, refs, ids):
    refs.move("refs/heads/x", None, ids[0], "lumo: start a/b größe")
    refs.move("refs/heads/x", ids[0], ids[1], "lumo: end a/b")
    assert log(git, repo, "refs/heads/x") == [f"{ids[1]} lumo: end a/b", f"{ids[0]} lumo: start a/b größe"]


def test_without_an_identity(repo, git, engine, ids, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    git("config", "user.useConfigOnly", "true", cwd=repo)
    refs = ENGINES[engine](str(repo / ".git"))
    refs.move("refs/heads/x", None, ids[0], "created")
    refs.move("refs/heads/x", ids[0], ids[1], "moved")
    assert refs.read("refs/heads/x") == ids[1]


@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
@pytest.mark.parametrize(
    ("there", "old", "new"),
    [(None, 0, 1), (0, None, 1), (0, 1, 2), (0, 1, 0), (0, None, 0), (2, 0, 2)],
    ids=["gone", "exists", "elsewhere", "elsewhere, and already there", "exists, and already there", "already there"],
)
def test_who_expects_something_else(repo, git, refs, ids, there, old, new, packed):
    def at(i):
        return None if i is None else ids[i]

    if there is not None:
        git("update-ref", "refs/heads/x", ids[there], cwd=repo)
        if packed:
            git("pack-refs", "--all", cwd=repo)
    before = git("for-each-ref", cwd=repo)
    with pytest.raises(RefMoved):
        refs.move("refs/heads/x", at(old), at(new), "no")
    assert git("for-each-ref", cwd=repo) == before


@pytest.mark.parametrize("new", [False, True], ids=["move", "create"])
def test_somebody_else_holds_the_lock(repo, git, refs, ids, store, new):
    if not new:
        git("update-ref", "refs/heads/x", ids[0], cwd=repo)
    lock = repo / ".git" / ("reftable/tables.list.lock" if store == "reftable" else "refs/heads/x.lock")
    lock.touch()
    with pytest.raises(RefMoved):
        refs.move("refs/heads/x", None if new else ids[0], ids[1], "no")
    assert lock.exists()
    lock.unlink()
    refs.move("refs/heads/x", None if new else ids[0], ids[1], "yes")


@pytest.mark.parametrize(
    "name", ["refs/heads/a..b", "refs/heads/x.lock", "refs/heads/", "refs/heads/main/below", "refs/heads/a b"]
)
def test_a_name_that_cannot_be(repo, git, refs, ids, name):
    """Trying again would not help, so this is no RefMoved."""
    before = git("for-each-ref", cwd=repo)
    with pytest.raises(GitError) as caught:
        refs.move(name, None, ids[0], "no")
    assert type(caught.value) is GitError
    assert "refs/heads" in str(caught.value)
    assert git("for-each-ref", cwd=repo) == before


@pytest.mark.parametrize("name", ["refs/heads/x", "refs/heads/lock", "refs/heads/modified"])
@pytest.mark.parametrize("new", [False, True], ids=["move", "create"])
def test_a_commit_that_is_not_there(repo, git, refs, ids, nowhere, name, new):
    if not new:
        git("update-ref", name, ids[0], cwd=repo)
    with pytest.raises(GitError) as caught:
        refs.move(name, None if new else ids[0], nowhere, "no")
    assert type(caught.value) is GitError
    assert refs.read(name) == (None if new else ids[0])


def test_no_hook_runs(repo, git, refs, ids):
    hook = repo / ".git/hooks/reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\necho ran >> '{repo}/ran'\nexit 1\n")
    hook.chmod(0o755)
    refs.move("refs/heads/x", None, ids[0], "created")
    assert refs.read("refs/heads/x") == ids[0]
    assert not (repo / "ran").exists()


def test_in_a_linked_worktree(repo, git, engine, ids, tmp_path):
    git("worktree", "add", "--quiet", "-b", "side", tmp_path / "side", ids[0], cwd=repo)
    refs = ENGINES[engine](git("rev-parse", "--absolute-git-dir", cwd=tmp_path / "side"))
    assert (refs.symbolic("HEAD"), refs.read("HEAD")) == ("refs/heads/side", ids[0])
    refs.move("refs/heads/x", None, ids[1], "created")
    assert git("rev-parse", "x", cwd=repo) == ids[1]
    assert refs.list("refs/heads/").keys() == {"refs/heads/main", "refs/heads/side", "refs/heads/x"}


MAKER = """
import sys, os, random
sys.path[:] = {path!r}
from gitlumo.errors import RefMoved
from gitlumo.git.engines import Engine, open_objects, open_refs
engine, hash_name, name, *ids = sys.argv[1:]
engine = Engine("dulwich" if engine == "git" else engine, engine, "")
objects = open_objects(engine, os.path.join({git_dir!r}, "objects"), hash_name)
refs = open_refs(engine, {git_dir!r}, objects, lambda: "Ada <ada@example.org>")
new = random.choice(ids)
print("ready", flush=True)
sys.stdin.read()
try:
    refs.move(name, None, new, "made")
    print("made", new)
except RefMoved:
    print("not")
"""
MOVER = """
import sys, zlib, os
sys.path[:] = {path!r}
from gitlumo.errors import RefMoved
from gitlumo.git.engines import Engine, open_objects, open_refs
from gitlumo.git.objects import Commit, format_commit, object_id
tree, who, engine, hash_name = sys.argv[1:]
engine = Engine("dulwich" if engine == "git" else engine, engine, "")
objects = open_objects(engine, os.path.join({git_dir!r}, "objects"), hash_name)
refs = open_refs(engine, {git_dir!r}, objects, lambda: "Ada <ada@example.org>")
for i in range(20):
    while True:
        old = refs.read("refs/heads/x")
        stamp = f"{{who}} <a@b> 1679616000 +0000"
        data = format_commit(Commit(tree, (old,) if old else (), stamp, stamp, f"{{who}} {{i}}\\n"))
        id = object_id(hash_name, "commit", data)
        path = os.path.join({git_dir!r}, "objects", id[:2], id[2:])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(f"{{path}}.{{who}}", "wb") as out:
            out.write(zlib.compress(b"commit %d\\0" % len(data) + data))
        os.rename(f"{{path}}.{{who}}", path)
        try:
            refs.move("refs/heads/x", old, id, who)
            break
        except RefMoved:
            pass
"""


def test_of_many_that_make_a_ref_one_does(repo, git, case, ids):
    script = MAKER.format(path=sys.path, git_dir=str(repo / ".git"))
    for k in range(6):
        command = [sys.executable, "-c", script, case[0], case[2], f"refs/heads/new{k}", *ids]
        makers = [subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) for _ in range(4)]
        for maker in makers:
            maker.stdout.readline()
        for maker in makers:
            maker.stdin.close()
        said = [maker.stdout.read().split() for maker in makers]
        made = [words[1].decode() for words in said if words[0] == b"made"]
        for maker in makers:
            maker.wait()
            maker.stdout.close()
        assert len(made) == 1
        assert git("rev-parse", f"refs/heads/new{k}", cwd=repo) == made[0]


def test_no_move_of_many_movers_is_lost(repo, git, case, ids, fsck):
    script = MOVER.format(path=sys.path, git_dir=str(repo / ".git"))
    tree = git("rev-parse", "HEAD^{tree}", cwd=repo)
    movers = [subprocess.Popen([sys.executable, "-c", script, tree, f"mover{i}", case[0], case[2]]) for i in range(8)]
    assert [mover.wait() for mover in movers] == [0] * 8
    subjects = git("log", "--format=%s", "refs/heads/x", cwd=repo).splitlines()
    assert len(subjects) == 160
    assert set(subjects) == {f"mover{i} {k}" for i in range(8) for k in range(20)}
    assert len(log(git, repo, "refs/heads/x")) == 160
    fsck(repo)
