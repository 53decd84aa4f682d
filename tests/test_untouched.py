"""What belongs to the user stays as it is, before, while and after runs record: tree, index, HEAD, branches, stash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gitlumo import SimpleExperiment

REF = "refs/heads/lumo_experiments"
TRAIN = """
import gitlumo
for n in range(2):
    with gitlumo.SimpleExperiment('digits', params={'n': n}) as exp:
        for i in range(20): exp.log({'loss': 1 / (i + 1)}, step=i)
        exp.checkpoint()
        open(exp.mk_bpath('model.bin'), 'w').close(); open(exp.mk_cpath('tmp.bin'), 'w').close()
"""


def make_dirty(repo, git):
    """Staged, unstaged, untracked, deleted, ignored, stashed, conflicting with nothing: a usual Tuesday."""
    for name in ("a.py", "b.py", "gone.py", "mode.sh"):
        (repo / name).write_text(f"{name}\n")
    (repo / "link").symlink_to("a.py")
    git("add", "--all", cwd=repo)
    git("commit", "-q", "-m", "more", cwd=repo)
    git("branch", "feature", cwd=repo)
    git("tag", "v1", cwd=repo)
    (repo / "a.py").write_text("stashed\n")
    git("stash", "-q", cwd=repo)
    (repo / "a.py").write_text("staged\n")
    git("add", "a.py", cwd=repo)
    (repo / "a.py").write_text("and changed again\n")
    (repo / "b.py").write_text("unstaged\n")
    (repo / "gone.py").unlink()
    (repo / "mode.sh").chmod(0o755)
    (repo / "räksmörgås 日本.txt").write_text("untracked\n")
    (repo / "debug.log").write_text("ignored\n")
    (repo / ".env").write_text("PASSWORD=hunter2\n")
    (repo / "intended.py").write_text("intended\n")
    git("add", "--intent-to-add", "intended.py", cwd=repo)


class Watch:
    """Reads, every millisecond, what must not change; notes each moment at which it was something else."""

    def __init__(self, git_dir, common, work_tree):
        self.common, self.work_tree = Path(common), work_tree and Path(work_tree)
        self.fixed = [Path(git_dir, name) for name in ("HEAD", "index", "logs/HEAD", "ORIG_HEAD")]
        self.fixed += [self.common / name for name in ("refs/stash", "logs/refs/stash", "packed-refs", "config")]
        self.odd, self.looks, self.stop = set(), 0, threading.Event()

    def state(self):
        found = {str(path): self.read(path) for path in self.fixed}
        for folder, _, names in os.walk(self.common / "refs"):
            for name in names:
                path = os.path.join(folder, name)
                if not path.startswith(str(self.common / REF)):  # its .lock, too
                    found[path] = self.read(path)
        found["index.lock"] = any(path.with_suffix(".lock").exists() for path in self.fixed[:2])
        if self.work_tree:
            found["names"] = sorted(os.listdir(self.work_tree))
        return found

    def read(self, path):
        try:
            return Path(path).read_bytes(), os.stat(path).st_mtime_ns
        except OSError:
            return None

    def __enter__(self):
        self.before = self.state()
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def look(self):
        while not self.stop.is_set():
            now = self.state()
            self.odd |= {name for name in now.keys() | self.before.keys() if now.get(name) != self.before.get(name)}
            self.looks += 1
            time.sleep(0.001)

    def __exit__(self, *error):
        self.stop.set()
        self.thread.join()


def train(cwd, script=TRAIN, **env):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "gitlumo:" not in done.stderr, done.stderr
    return done.stderr


def plain(git, repo, *, dirty=True):
    make_dirty(repo, git) if dirty else None
    return repo


def detached(git, repo):
    make_dirty(repo, git)
    git("switch", "-q", "--detach", cwd=repo)
    return repo


def in_a_linked_worktree(git, repo):
    git("worktree", "add", "-q", "-b", "linked", "../linked", cwd=repo)
    make_dirty(repo.parent / "linked", git)
    return repo.parent / "linked"


def in_a_submodule(git, repo):
    top = repo.parent / "top"
    git("init", "-q", top)
    git("submodule", "--quiet", "add", repo, "sub", cwd=top)
    make_dirty(top / "sub", git)
    return top / "sub"


def with_a_submodule(git, repo):
    other = repo.parent / "other"
    git("clone", "-q", repo, other)
    git("submodule", "--quiet", "add", other, "sub", cwd=repo)
    make_dirty(repo, git)
    (repo / "sub/train.py").write_text("changed in the submodule\n")
    return repo


def in_a_subfolder(git, repo):
    make_dirty(repo, git)
    (repo / "deep/er").mkdir(parents=True)
    return repo / "deep/er"


def without_commits(git, repo):
    empty = repo.parent / "empty"
    git("init", "-q", empty)
    (empty / "a.py").write_text("a\n")
    (empty / "b.py").write_text("b\n")
    git("add", "a.py", cwd=empty)
    return empty


def odd_names(git, repo):
    place = repo.parent / "ein Ordner mit \"Zeichen' 数据"
    git("clone", "-q", repo, place)
    git("switch", "-q", "-c", "zweig/ñandú", cwd=place)
    make_dirty(place, git)
    return place


KINDS = {
    "dirty": plain,
    "clean": lambda git, repo: plain(git, repo, dirty=False),
    "detached HEAD": detached,
    "linked worktree": in_a_linked_worktree,
    "submodule": in_a_submodule,
    "with a submodule": with_a_submodule,
    "subfolder": in_a_subfolder,
    "no commits": without_commits,
    "odd names": odd_names,
}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_the_users_changes(repo, git, fsck, tree_state, kind):
    place = KINDS[kind](git, repo)
    top = Path(git("rev-parse", "--show-toplevel", cwd=place))
    git_dir, common = (
        git("rev-parse", "--path-format=absolute", f"--git-{name}", cwd=place) for name in ("dir", "common-dir")
    )
    before, status = tree_state(top), git("status", "--porcelain=v2", cwd=place)
    before = tree_state(top)  # git status may have refreshed the index
    with Watch(git_dir, common, top) as watch:
        train(place)
    assert not watch.odd
    assert watch.looks > 50
    assert tree_state(top) == before
    assert git("status", "--porcelain=v2", cwd=place) == status
    assert len(git("ls-tree", "-r", "--name-only", REF, cwd=top).split("info/uid.json")) == 3
    fsck(top)
    git("gc", "-q", "--prune=now", cwd=top)
    fsck(top)
    (snapshot,) = set(git("log", "--format=%P", "--grep=^Lumo-Event: start", REF, cwd=place).split()[1::2])
    if kind == "clean":
        assert snapshot == git("rev-parse", "HEAD", cwd=place)
    elif kind != "no commits":
        assert git("show", f"{snapshot}:a.py", cwd=place) == "and changed again"
        names = git("ls-tree", "-r", "-z", "--name-only", snapshot, cwd=top).split("\0")
        assert "räksmörgås 日本.txt" in names
        assert not {".env", "debug.log", "gone.py"} & set(names)
        assert git("stash", "list", cwd=place)


def test_in_a_bare_repository(repo, git, fsck):
    bare = repo.parent / "bare.git"
    git("clone", "-q", "--bare", repo, bare)
    with Watch(bare, bare, None) as watch:
        train(bare)
    assert not watch.odd
    name = git("ls-tree", "-r", "--name-only", REF, cwd=bare).split("info/uid.json")[0].split("\n")[-1]
    facts = json.loads(git("show", f"{REF}:{name}info/git.json", cwd=bare))
    assert (facts["commit"], facts["dirty"]) == (git("rev-parse", "HEAD", cwd=bare), None)
    fsck(bare)


@pytest.mark.parametrize(
    "env", [{"LC_ALL": "C"}, {"LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "HOME": "/nonexistent"}]
)
def test_names_in_any_script_and_the_c_locale(repo, git, fsck, env):
    place = odd_names(git, repo)
    script = """
import gitlumo
with gitlumo.SimpleExperiment('数字 é', 'прогон-1', params={'ключ': '値'}) as exp:
    exp.log({'perte é': 1})
    exp.dump_note('größer')
"""
    train(place, script, **env)
    subject = git("log", "-1", "--format=%s", REF, cwd=place)
    assert subject == "数字 é/прогон-1 finished perte é=1"
    names = git("ls-tree", "-r", "-z", "--name-only", REF, cwd=place).split("\0")
    (note,) = [name for name in names if name.endswith("/note.md")]
    assert note.startswith("数字 é/")
    assert git("show", f"{REF}:{note}", cwd=place) == "größer"
    fsck(place)


@pytest.mark.parametrize("what", ["the folder", "the branch", "a remote", "a file"])
def test_names_that_are_not_utf_8(repo, git, fsck, what):
    odd = b"caf\xe9"
    place = os.fsencode(repo)
    if what == "the folder":
        place = os.fsencode(repo.parent) + b"/" + odd + b".git"
        subprocess.run([b"git", b"clone", b"-q", b"--bare", os.fsencode(repo), place], check=True)
    if what == "the branch":
        subprocess.run([b"git", b"switch", b"-q", b"-c", odd], cwd=place, check=True)
    if what == "a remote":
        subprocess.run([b"git", b"remote", b"add", b"origin", b"/srv/" + odd], cwd=place, check=True)
    if what == "a file":
        Path(os.fsdecode(place + b"/" + odd)).write_text("x")
    train(place)
    facts = subprocess.run([b"git", b"ls-tree", b"-r", b"-z", REF], cwd=place, capture_output=True, check=True).stdout
    assert facts.count(b"info/git.json") == 2
    fsck(place)


def test_the_tests_see_a_touch(repo, git):
    with Watch(repo / ".git", repo / ".git", repo) as watch:
        (repo / "x").write_text("")
        git("add", "x")
        time.sleep(0.05)
        (repo / "x").unlink()
        with SimpleExperiment("digits"):
            pass
    assert {"names", str(repo / ".git/index")} <= watch.odd
