"""The pool of work trees: each given to one process at a time, and used again only where nothing was left."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gitlumo.errors import LumoError
from gitlumo.git import worktree
from gitlumo.git.repository import open_repository
from gitlumo.rerun import worktrees

CHILD = """
import os, signal, subprocess, sys, time
from gitlumo.git.repository import open_repository
from gitlumo.rerun import worktrees
repo, cache, commit = sys.argv[1:]
with worktrees.lease(open_repository(repo), cache, commit) as lease:
    {then}
"""
SAY_AND_WAIT = "print(lease.path, flush=True); sys.stdin.readline()"


@pytest.fixture
def pool(repo, git, tmp_path, tree_state, fsck):
    """The repository, its commit and a cache root; afterwards nothing of the user's has changed."""
    before = tree_state(repo)
    commit = git("rev-parse", "HEAD")
    yield Pool(repo, tmp_path / "cache", commit)
    assert tree_state(repo) == before
    fsck(repo)


class Pool:
    def __init__(self, repo: Path, cache: Path, commit: str):
        self.repo, self.cache, self.commit = repo, cache, commit

    @contextlib.contextmanager
    def lease(self, commit=None):
        opened = open_repository(self.repo)
        with worktrees.lease(opened, str(self.cache), commit or self.commit) as lease:
            assert worktree.is_sound(lease.path)
            assert (Path(lease.path) / "train.py").exists()
            yield lease
        opened.close()

    def start(self, then, **options):
        words = [sys.executable, "-c", CHILD.format(then=then), str(self.repo), str(self.cache), self.commit]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        return subprocess.Popen(words, **pipes, **options)

    def slots(self):
        return sorted(self.cache.glob("worktrees/*/*"))

    def entries(self):
        return list(worktree.entries(open_repository(self.repo)))

    def age(self, days):
        """All slots were last used so many days ago."""
        past = time.time() - days * 86400
        for slot in self.slots():
            if (slot / "lock").exists():
                os.utime(slot / "lock", (past, past))
            os.utime(slot, (past, past))


def test_an_idle_one_is_used_again(pool, git):
    with pool.lease() as first:
        assert first.missing == []
        assert not first.was_there
        assert git("status", "--porcelain", "--ignored", cwd=first.path) == ""
        assert git("rev-parse", "HEAD", cwd=first.path) == pool.commit
        assert git("branch", "--show-current", cwd=first.path) == ""
    with pool.lease() as second:
        assert (second.path, second.was_there) == (first.path, True)


def test_it_is_called_as_the_repository_is(pool):
    with pool.lease() as lease:
        assert Path(lease.path).name == pool.repo.name
        assert Path(lease.path).is_relative_to(pool.cache)
        assert Path(lease.path).parents[1].stat().st_mode & 0o77 == 0  # what others must not read lies in it


LEFT = {
    "a file": lambda path: (path / "result.txt").write_text("1"),
    "an ignored file": lambda path: (path / "run.log").write_text("1"),
    "an edit": lambda path: (path / "train.py").write_text("1"),
    "a deletion": lambda path: (path / "train.py").unlink(),
    "an empty folder": lambda path: (path / "out/plots").mkdir(parents=True),
    "a commit": lambda path: subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "x"], cwd=path, check=True),
    "a repository": lambda path: subprocess.run(["git", "init", "-q", "vendor"], cwd=path, check=True),
    "no .git": lambda path: (path / ".git").unlink(),
}


@pytest.mark.parametrize("leave", LEFT.values(), ids=LEFT)
def test_what_a_run_left_never_enters_the_next(pool, leave, git):
    with pool.lease() as first:
        leave(Path(first.path))
    with pool.lease() as second:
        assert second.path != first.path
        assert git("status", "--porcelain", "--ignored", cwd=second.path) == ""
    assert Path(first.path).exists()  # somebody may want it
    with pool.lease() as third:
        assert third.path == second.path


def test_a_branch_that_a_run_made_is_not_taken_over(pool, git):
    with pool.lease() as first:
        git("symbolic-ref", "HEAD", "refs/heads/main", cwd=first.path)
    with pool.lease() as second:
        assert second.path != first.path
    worktree.remove(open_repository(pool.repo), first.path)


def test_compiled_python_is_no_obstacle(pool, git):
    with pool.lease() as first:
        for folder in ("__pycache__", "pkg/__pycache__"):
            (Path(first.path) / folder).mkdir(parents=True)
            (Path(first.path) / folder / "a.pyc").write_text("")
        shutil.rmtree(Path(first.path) / "pkg")
    with pool.lease() as second:
        assert second.path == first.path
        assert not (Path(second.path) / "__pycache__").exists()


def test_two_at_once_get_two(pool):
    first, second = pool.start(SAY_AND_WAIT), pool.start(SAY_AND_WAIT)
    paths = {child.stdout.readline().strip() for child in (first, second)}
    assert len(paths) == 2
    assert all(worktree.is_sound(path) for path in paths)
    for child in (first, second):
        child.communicate("\n")
    with pool.lease() as third:
        assert third.path in paths


def test_many_at_once(pool):
    """All of them make, use and tidy up at the same time; no two ever have the same one."""
    then = """
    mark = os.open(lease.path + '/mark', os.O_CREAT | os.O_EXCL)
    time.sleep(.05)
    os.unlink(lease.path + '/mark')
"""
    children = [pool.start(then) for _ in range(12)]
    assert [child.wait() for child in children] == [0] * 12
    for child in children:
        child.communicate()
    assert all(worktree.is_sound(entry.path) and entry.lock is None for entry in pool.entries())


def test_a_killed_owner_lets_go(pool):
    child = pool.start("print(lease.path, flush=True); os.kill(os.getpid(), signal.SIGKILL)")
    path = child.communicate()[0].strip()
    assert child.returncode == -signal.SIGKILL
    assert pool.entries()[0].lock
    with pool.lease() as lease:
        assert (lease.path, lease.was_there) == (path, True)
    assert pool.entries()[0].lock is None


def test_a_child_that_outlives_its_killed_parent_keeps_it(pool):
    then = """
    child = subprocess.Popen(['sh', '-c', 'exec sleep 60'], cwd=lease.path, stdout=subprocess.DEVNULL)
    lease.hand_to(child.pid)
    print(lease.path, child.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    path, pid = pool.start(then).communicate()[0].split()
    try:
        with pool.lease() as second:
            assert second.path != path
    finally:
        os.kill(int(pid), signal.SIGKILL)
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1]:
        time.sleep(0.01)
    shutil.rmtree(second.path)
    with pool.lease() as third:
        assert third.path == path


def test_nobody_removes_one_that_is_used(pool, git):
    with pool.lease() as lease:
        git("worktree", "prune")
        assert git("worktree", "remove", "--force", lease.path, check=False) == ""
        assert worktree.is_sound(lease.path)
        assert f"locked gitlumo runs recorded code here: {Path(lease.path).parent}" in git(
            "worktree", "list", "--porcelain"
        )


def test_a_deleted_one_is_made_anew(pool):
    with pool.lease() as first:
        pass
    shutil.rmtree(first.path)
    with pool.lease() as second:
        assert not second.was_there
    assert [entry.path for entry in pool.entries()] == [second.path]


def test_a_deleted_cache(pool):
    with pool.lease():
        shutil.rmtree(pool.cache)
    with pool.lease() as lease:
        pass
    assert [(entry.path, entry.lock) for entry in pool.entries()] == [(lease.path, None)]


def test_a_pruned_entry(pool):
    with pool.lease() as first:
        pass
    shutil.rmtree(pool.entries()[0].admin)
    with pool.lease() as second:
        assert second.path != first.path


def test_killed_while_it_is_made(pool, git, tmp_path):
    """git is stopped in a smudge filter, then all are killed: nothing of it is used, and later it goes."""
    git("config", "filter.slow.smudge", f"touch '{tmp_path}/begun'; sleep 60")
    attributes = pool.repo / ".git/info/attributes"
    attributes.write_text("train.py filter=slow\n")
    child = pool.start("pass", start_new_session=True)
    while not (tmp_path / "begun").exists():
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    attributes.unlink()
    (half,) = pool.slots()
    assert pool.entries()[0].lock
    with pool.lease() as lease:
        assert not lease.was_there
        assert Path(lease.path).parent != half
    pool.age(1)
    with pool.lease():
        pass
    assert not half.exists()
    assert [(entry.path, entry.lock) for entry in pool.entries()] == [(lease.path, None)]


def test_killed_at_any_moment(pool, git):
    """Half-made or half-removed: the next one gets a whole work tree, and later nothing else is left."""
    for number in range(12):
        pool.age(number % 3 and 15)  # so that there is something to remove, too
        child = pool.start("(lambda: open(lease.path + '/out', 'w'))()", start_new_session=True)
        time.sleep(0.02 + 0.02 * number)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        if number % 4 == 3:
            with pool.lease() as lease:
                assert git("status", "--porcelain", "--ignored", cwd=lease.path) == ""
    pool.age(15)
    with pool.lease() as lease:
        pass
    assert pool.slots() == [Path(lease.path).parent]
    assert [(entry.path, entry.lock) for entry in pool.entries()] == [(lease.path, None)]


def test_idle_ones_go_after_a_while(pool, git):
    with pool.lease() as old:
        (Path(old.path) / "result").write_text("")
    pool.age(15)
    with pool.lease() as lease:
        pass
    assert pool.slots() == [Path(lease.path).parent]
    assert [entry.path for entry in pool.entries()] == [lease.path]


def test_no_more_than_some_are_kept(pool):
    for _ in range(worktrees.KEPT + 3):
        with pool.lease() as lease:
            (Path(lease.path) / "result").write_text("")
        pool.age(1)
    assert len(pool.slots()) == len(pool.entries()) == worktrees.KEPT
    with pool.lease() as last:
        (Path(last.path) / "result").write_text("")
    assert Path(last.path).exists()


def test_those_of_a_repository_that_is_gone_go_too(pool, tmp_path, git):
    other = tmp_path / "other"
    git("clone", "--quiet", pool.repo, other)
    with worktrees.lease(open_repository(other), str(pool.cache), pool.commit):
        pass
    shutil.rmtree(other)
    pool.age(15)
    with pool.lease() as lease:
        pass
    assert pool.slots() == [Path(lease.path).parent]
    assert len(list((pool.cache / "worktrees").iterdir())) == 1


def test_another_repository_at_the_same_path_does_not_take_it_over(repo, git, tmp_path):
    commit = git("rev-parse", "HEAD")
    cache = str(tmp_path / "cache")
    with worktrees.lease(open_repository(repo), cache, commit) as first:
        pass
    os.rename(repo, tmp_path / "moved")
    git("clone", "--quiet", tmp_path / "moved", repo)
    os.chdir(repo)
    with worktrees.lease(open_repository(repo), cache, commit) as second:
        assert second.path != first.path
        assert git("rev-parse", "--path-format=absolute", "--git-common-dir", cwd=second.path) == str(repo / ".git")


def test_an_error_inside_lets_go(pool):
    with pytest.raises(ZeroDivisionError), pool.lease() as first:
        _ = 1 / 0
    with pool.lease() as second:
        assert second.path == first.path


def test_a_full_disk(pool, small_disk, git):
    large = os.urandom(3 * 1024 * 1024).hex()
    tree = git("mktree", input=f"100644 blob {git('hash-object', '-w', '--stdin', input=large[: 3 * 10**6])}\tlarge\n")
    commit = git("commit-tree", tree, "-m", "large")
    pool.cache = small_disk
    for _ in range(2):
        said = "does not fit into .*: it takes 3 MB, and 1 MB are free"
        with pytest.raises(LumoError, match=said), pool.lease(commit):
            pass
        assert pool.slots() == pool.entries() == []


def test_a_cache_root_that_cannot_be_made(pool, tmp_path):
    (tmp_path / "file").write_text("")
    pool.cache = tmp_path / "file"
    with pytest.raises(LumoError, match=r"cannot be made: Not a directory\n'git config lumo.cacheRoot"), pool.lease():
        pass


def test_a_pool_that_became_read_only(pool, small_disk):
    pool.cache = small_disk
    with pool.lease():
        pass
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with (
        pytest.raises(LumoError, match=r"cannot be written: Read-only file system\n'git config lumo.cacheRoot"),
        pool.lease(),
    ):
        pass


def test_submodules(pool, git, tmp_path):
    git("init", "--quiet", tmp_path / "lib")
    (tmp_path / "lib/.gitignore").write_text("*.tmp\n")
    git("add", "--all", cwd=tmp_path / "lib")
    git("commit", "--quiet", "-m", "lib", cwd=tmp_path / "lib")
    user = tmp_path / "user"
    git("clone", "--quiet", pool.repo, user)
    git("submodule", "--quiet", "add", tmp_path / "lib", "lib", cwd=user)
    git("commit", "--quiet", "-m", "with a submodule", cwd=user)
    mine = Pool(user, pool.cache, git("rev-parse", "HEAD", cwd=user))
    with mine.lease() as first:
        pass
    with mine.lease() as second:
        assert second.path == first.path
        (Path(second.path) / "lib/ignored.tmp").write_text("")  # of which the status above says nothing
    with mine.lease() as third:
        assert third.path != first.path
