"""``clone``, and every shape of clone: it reads, records, pushes and pulls, and what it lacks comes in few requests."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from gitlumo import SimpleExperiment
from tests.share.conftest import BRANCH, REF, TRACKING

SHAPES = {
    "shallow": ["--depth=1"],
    "shallow, all branches": ["--depth=1", "--no-single-branch"],
    "single-branch": ["--single-branch"],
    "blobless": ["--filter=blob:none"],
    "treeless": ["--filter=tree:0"],
    "bare": ["--bare"],
    "reftable": ["--ref-format=reftable"],
}


@pytest.fixture
def source(shared, clone, git, ok):
    """A clone whose runs, each with code of its own, are on the server; the code's branch has moved on."""
    path = clone(shared, "source")
    for n in range(3):
        (path / "train.py").write_text(f"print({n})\n")
        with SimpleExperiment("digits", f"run{n}", params={"lr": n}, repo=path) as exp:
            exp.log({"loss": n})
        git("commit", "-q", "-a", "-m", f"code {n}", cwd=path)
    git("push", "-q", "origin", "HEAD:main", cwd=path)
    ok(path, "push")
    return path


def names(ok, path):
    return sorted(run["test_name"] for run in json.loads(ok(path, "log", "--json", "-n", "0")))


def record_in(path, name):
    """A run as a process of its own."""
    script = "import gitlumo, sys; e = gitlumo.start('digits', params={}); e.log({'loss': 1}); e.end()"
    env = {**os.environ, "LUMO_EXP_TEST_NAME": name}
    subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=path, env=env, check=True, capture_output=True)


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(source, shared, ok, git, tip, fsck, tmp_path, shape):
    if shape == "reftable" and git("version").split()[2].split(".")[:2] < ["2", "45"]:
        pytest.skip("git is too old for reftable")
    path = tmp_path / "clone"
    git("clone", "-q", *SHAPES[shape], f"file://{shared}", path)
    config = (path / ("config" if shape == "bare" else ".git/config")).read_bytes()
    ok(path, "pull")
    assert names(ok, path) == ["run0", "run1", "run2"]
    record_in(path, "theirs")
    ok(path, "push")
    assert tip(shared) == tip(path)
    record_in(source, "mine")
    ok(source, "push")
    ok(path, "pull")
    assert tip(path) == tip(source) == tip(shared)
    assert names(ok, path) == ["mine", "run0", "run1", "run2", "theirs"]
    record_in(path, "more")
    ok(path, "push", "more")
    ok(path, "push")
    ok(source, "pull")
    assert tip(source) == tip(path) == tip(shared)
    assert (path / ("config" if shape == "bare" else ".git/config")).read_bytes() == config
    for place in (source, path, shared):
        fsck(place)


@pytest.mark.parametrize("shape", ["single-branch", "shallow"])
def test_a_plain_clone_that_has_no_ledger_yet(source, shared, ok, git, tip, tmp_path, shape):
    path = tmp_path / "clone"
    git("clone", "-q", *SHAPES[shape], f"file://{shared}", path)
    assert tip(path, TRACKING) == ""
    ok(path, "fetch")
    assert tip(path, TRACKING) == tip(shared)
    assert names(ok, path) == ["run0", "run1", "run2"]
    if shape == "shallow":  # the code's history stays where it is
        assert git("rev-list", "--count", "--all", cwd=path) == "2"


def test_a_run_in_a_clone_without_the_ledger_joins_it(source, shared, ok, git, tip, tmp_path):
    path = tmp_path / "clone"
    git("clone", "-q", "--single-branch", shared, path)
    record_in(path, "early")
    ok(path, "push")
    assert names(ok, path) == ["early", "run0", "run1", "run2"]
    assert tip(path) == tip(shared)


@pytest.mark.parametrize("shape", ["blobless", "treeless"])
def test_what_is_missing_comes_in_batches(source, shared, ok, git, tmp_path, shape):
    path = tmp_path / "clone"
    git("clone", "-q", *SHAPES[shape], f"file://{shared}", path)
    for n in range(5):
        record_in(source, f"new{n}")
    ok(source, "push")

    def fetches(*args):
        trace = tmp_path / "trace"
        trace.unlink(missing_ok=True)
        ok(path, *args, env={"GIT_TRACE2_EVENT": str(trace)})
        events = [json.loads(line) for line in trace.read_text().splitlines()]
        return sum(1 for event in events if event["event"] == "start" and "fetch" in event["argv"][:12])

    most = {"blobless": 1, "treeless": 2}[shape]
    assert fetches("pull") <= 1 + most
    assert len(json.loads(ok(path, "log", "--json"))) == 8
    assert fetches("pull") == 1
    record_in(path, "mine")
    assert fetches("push", "--dry-run") <= most
    assert fetches("push") <= most  # git's own push asks for nothing


def test_the_verb(source, shared, ok, git, tip, fsck, tmp_path):
    said = ok(tmp_path, "clone", str(shared), "here")
    assert said == f"cloned into here\nmade {BRANCH} at {tip(shared)[:12]} (3 runs), from origin/{BRANCH}\n"
    assert ok(tmp_path, "clone", "-q", "--single-branch", "--depth=1", "-o", "up", f"file://{shared}") == ""
    assert names(ok, tmp_path / "shared") == ["run0", "run1", "run2"]
    assert tip(tmp_path / "shared", f"refs/remotes/up/{BRANCH}") == tip(shared)
    ok(tmp_path, "clone", "--bare", str(shared), "bare.git")
    assert tip(tmp_path / "bare.git") == tip(shared)
    ok(tmp_path, "clone", "--filter=tree:0", f"file://{shared}", "treeless")
    assert names(ok, tmp_path / "treeless") == ["run0", "run1", "run2"]
    for name in ("here", "shared", "bare.git", "treeless"):
        fsck(tmp_path / name)


def test_the_verb_where_there_is_nothing(shared, lumo, ok, git, tmp_path):
    git("update-ref", "-d", REF, cwd=shared)
    assert ok(tmp_path, "clone", str(shared), "here") == "cloned into here\nthere are no runs yet\n"
    status, _, err = lumo(tmp_path, "clone", str(shared), "here")
    assert status == 128
    assert err.startswith(f"fatal: {shared}: git could not clone it\n  fatal: destination path 'here' already exists")
    status, _, err = lumo(tmp_path, "clone", str(tmp_path / "none"))
    assert err.splitlines()[0] == f"fatal: {tmp_path / 'none'}: there is no repository at its address"


def test_a_fork(source, shared, ok, git, tip, tmp_path, fsck):
    """Read from one, write to another; the runs of all are seen, and arrive."""
    fork, path = tmp_path / "fork.git", tmp_path / "clone"
    git("clone", "-q", "--bare", shared, fork)
    git("clone", "-q", fork, path)
    git("remote", "add", "upstream", shared, cwd=path)
    record_in(source, "upstreams")
    ok(source, "push")
    record_in(path, "mine")
    ok(path, "pull", "upstream")
    assert names(ok, path) == ["mine", "run0", "run1", "run2", "upstreams"]
    ok(path, "push")
    assert tip(fork) == tip(path)
    assert tip(shared) == tip(source)
    ok(source, "push", "-q")
    git("remote", "add", "fork", fork, cwd=source)
    ok(source, "pull", "fork")
    ok(source, "push")
    ok(path, "pull", "upstream")
    ok(path, "push")
    assert {tip(place) for place in (source, path, shared, fork)} == {tip(source)}
    for place in (source, path, shared, fork):
        fsck(place)


def test_a_linked_worktree(source, shared, ok, git, tip, tmp_path):
    git("worktree", "add", "-q", "--detach", tmp_path / "linked", cwd=source)
    record_in(tmp_path / "linked", "linked")
    ok(tmp_path / "linked", "push")
    assert tip(shared) == tip(source)


def test_a_mirror(source, shared, lumo, ok, git, tip, tmp_path):
    """There git itself writes the local branch, by force: not by us, and not before that is mended."""
    mirror = tmp_path / "mirror.git"
    git("clone", "-q", "--mirror", shared, mirror)
    record_in(mirror, "only-here")
    record_in(source, "moved")
    ok(source, "push")
    ok(mirror, "pull")
    assert {"only-here", "moved"} <= set(names(ok, mirror))
    git("branch", "aside", "main", cwd=mirror)
    before = git("for-each-ref", "--format=%(refname)", cwd=shared)
    status, _, err = lumo(mirror, "push", "only-here")
    assert status == 128
    assert err.startswith(f"fatal: git would write {REF} itself after a push, and lose runs")
    subprocess.run(["sh", "-ec", err.splitlines()[1].partition(":  ")[2]], cwd=mirror, check=True)
    ok(mirror, "push", "only-here")
    ok(mirror, "push")
    assert tip(shared) == tip(mirror)
    assert git("for-each-ref", "--format=%(refname)", cwd=shared) == before


def test_a_person_with_plain_git_only(source, shared, ok, git, tip, tmp_path, fsck, tree_state):
    """Clones, reads runs as docs/format.md says, edits code and pushes; both go on."""
    path = tmp_path / "plain"
    git("clone", "-q", shared, path)
    assert len(git("log", "--grep=^Lumo-Event:", "--format=%s", f"origin/{BRANCH}", cwd=path).splitlines()) == 6
    files = git("ls-tree", "-r", "--name-only", f"origin/{BRANCH}", cwd=path).splitlines()
    params = [name for name in files if name.endswith("/info/params.json")]
    assert sorted(json.loads(git("show", f"origin/{BRANCH}:{name}", cwd=path))["lr"] for name in params) == [0, 1, 2]
    (path / "train.py").write_text("print('edited')\n")
    git("commit", "-q", "-a", "-m", "edited", cwd=path)
    git("push", "-q", cwd=path)
    record_in(source, "meanwhile")
    ok(source, "push")
    git("pull", "-q", "--rebase", cwd=path)
    git("pull", "-q", "--rebase", cwd=source)
    assert (source / "train.py").read_text() == "print('edited')\n"
    assert tip(path, TRACKING) == tip(source)
    assert tip(path) == ""
    fsck(path)
