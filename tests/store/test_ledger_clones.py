"""Ledgers of several clones: what a reader joins, how a writer takes the others in, and what an event costs."""

from __future__ import annotations

import os
import shutil
import subprocess
import warnings

import pytest

from gitlumo import Experiment, SimpleExperiment
from gitlumo.config import read_settings
from gitlumo.git.objects import read_tree
from gitlumo.git.repository import open_repository
from gitlumo.store import trees
from gitlumo.store.ledger import Ledger

BRANCH = "lumo_experiments"
REF = f"refs/heads/{BRANCH}"
REMOTE = f"refs/remotes/origin/{BRANCH}"


def open_ledger(path):
    repository = open_repository(path)
    return Ledger(repository, read_settings(repository.config))


def record(repo, exp_name="digits", **keywords):
    with Experiment(exp_name, repo=repo, **keywords) as exp:
        exp.log({"a": 1})
    return exp


@pytest.fixture
def clones(repo, git, tmp_path):
    """A shared bare repository with one run, and two clones of it."""
    first = record(repo)
    shared = tmp_path / "shared.git"
    git("clone", "-q", "--bare", repo, shared)
    pair = [tmp_path / "one", tmp_path / "two"]
    for path in pair:
        git("clone", "-q", shared, path)
    return first, shared, *pair


def names(ledger):
    view = ledger.view()
    return sorted(place.path.rpartition("/")[2] for place in trees.places(view.objects, view.tree))


def tip(git, path, ref=REF):
    return git("rev-parse", "--quiet", "--verify", ref, cwd=path, check=False)


def push(git, path):
    git("push", "-q", "origin", BRANCH, cwd=path)


def test_a_clone_reads_the_remotes_ledger_and_writes_no_ref(clones, git):
    first, _, one, _ = clones
    before = git("for-each-ref", cwd=one)
    files = {path: path.stat().st_mtime_ns for path in (one / ".git").rglob("*")}
    ledger = open_ledger(one)
    assert names(ledger) == [first.test_name]
    assert list(ledger.view().tips) == [REMOTE]
    assert git("for-each-ref", cwd=one) == before
    assert {path: path.stat().st_mtime_ns for path in (one / ".git").rglob("*")} == files


def test_the_first_run_in_a_clone_starts_from_the_remotes_tip(clones, git, fsck):
    first, _, one, _ = clones
    second = record(one)
    commits = git("rev-list", "--first-parent", REF, cwd=one).splitlines()
    assert commits[2] == tip(git, one, REMOTE)
    assert not git("rev-list", "--grep=^Lumo-Merge:", REF, cwd=one)
    assert names(open_ledger(one)) == sorted([first.test_name, second.test_name])
    assert second.test_name.split(".")[1] == "001"
    push(git, one)
    fsck(one)


def test_a_fetched_tip_is_taken_in_by_fast_forward(clones, git):
    _, _, one, two = clones
    record(one)
    push(git, one)
    record(two, "other")
    git("update-ref", REF, tip(git, two, REMOTE), cwd=two)
    git("fetch", "-q", cwd=two)
    assert open_ledger(two).take_in() == tip(git, two) == tip(git, one)


def diverge(clones, git):
    """Both clones have recorded, and each has the other's tip as a remote-tracking one."""
    first, _, one, two = clones
    runs = [first, record(one), record(two, "other"), record(two)]
    git("push", "-q", "origin", f"{REF}:refs/heads/from-one", cwd=one)
    git("push", "-q", "origin", f"{REF}:refs/heads/from-two", cwd=two)
    for path, other in ((one, "two"), (two, "one")):
        git("fetch", "-q", "origin", f"refs/heads/from-{other}:{REMOTE}", "--force", cwd=path)
    return runs


def test_two_clones_that_merge_the_same_tips_make_the_same_commit(clones, git, fsck):
    runs = diverge(clones, git)
    _, _, one, two = clones
    tips = [tip(git, one), tip(git, two)]
    seen = [names(open_ledger(path)) for path in (one, two)]
    assert seen == [sorted(run.test_name for run in runs)] * 2
    assert [tip(git, one), tip(git, two)] == tips  # looking moves nothing
    merged = {open_ledger(path).take_in() for path in (one, two)}
    assert merged == {tip(git, one)} == {tip(git, two)}
    parents = sorted(tips, key=lambda id: (git("show", "-s", "--format=%ct", id, cwd=one), id))
    newest = max(git("show", "-s", "--format=%ct", id, cwd=one) for id in parents)
    paths = sorted(f"{run.exp_name}/{run.test_name[:6]}/{run.test_name}" for run in runs[1:])
    tree = git("rev-parse", f"{REF}^{{tree}}", cwd=one)
    assert git("cat-file", "-p", REF, cwd=one).splitlines() == [
        f"tree {tree}",
        *(f"parent {id}" for id in parents),
        f"author gitlumo <gitlumo@localhost> {newest} +0000",
        f"committer gitlumo <gitlumo@localhost> {newest} +0000",
        "",
        "merge 2 ledgers",
        "",
        *paths,
        "",
        "Lumo-Format: 1",
        "Lumo-Merge: 2",
    ]
    assert names(open_ledger(one)) == sorted(run.test_name for run in runs)
    assert open_ledger(one).take_in() in merged  # again changes nothing
    for path in (one, two):
        fsck(path)
        git("gc", "-q", "--prune=now", cwd=path)
        assert len(names(open_ledger(path))) == 4


def test_an_event_takes_the_others_in_and_is_one_pack(clones, git, fsck):
    runs = diverge(clones, git)
    _, _, one, _ = clones
    before = len(list((one / ".git/objects/pack").glob("*.pack")))
    exp = Experiment("digits", repo=one).start()
    assert len(list((one / ".git/objects/pack").glob("*.pack"))) == before + 1
    assert git("show", "-s", "--format=%s", f"{REF}^", cwd=one) == "merge 2 ledgers"
    exp.end()
    assert names(open_ledger(one)) == sorted([exp.test_name, *(run.test_name for run in runs)])
    fsck(one)


def test_of_tips_that_are_ancestors_nothing_is_merged(clones, git):
    _, _, one, _ = clones
    old = tip(git, one, REMOTE)
    record(one)
    for remote, id in (("a", old), ("b", tip(git, one)), ("c", tip(git, one, f"{REF}^"))):
        git("update-ref", f"refs/remotes/{remote}/{BRANCH}", id, cwd=one)
    before = tip(git, one)
    assert open_ledger(one).take_in() == before
    assert len(open_ledger(one).view().tips) == 5
    record(one)
    assert not git("rev-list", "--grep=^Lumo-Merge:", REF, cwd=one)
    git("update-ref", f"refs/remotes/x/{BRANCH}", "HEAD", cwd=one)  # code of that name elsewhere is no ledger
    assert f"refs/remotes/x/{BRANCH}" not in open_ledger(one).tips()


def test_ledgers_without_a_common_history_meet_at_the_root(repo, git, tmp_path, fsck):
    other = tmp_path / "other"
    git("clone", "-q", repo, other)
    runs = [record(repo), record(other)]
    roots = {git("rev-list", "--first-parent", REF, cwd=path).splitlines()[-1] for path in (repo, other)}
    assert len(roots) == 1
    git("fetch", "-q", other, f"{REF}:{REMOTE}", cwd=repo)
    open_ledger(repo).take_in()
    assert git("merge-base", f"{REF}^1", f"{REF}^2", cwd=repo) in roots
    assert names(open_ledger(repo)) == sorted(run.test_name for run in runs)
    fsck(repo)


def test_one_name_in_two_clones(clones, git):
    _, _, one, two = clones
    a, b = record(one, test_name="same"), record(two, test_name="same")
    git("fetch", "-q", two, f"{REF}:refs/remotes/two/{BRANCH}", cwd=one)
    git("fetch", "-q", one, f"{REF}:refs/remotes/one/{BRANCH}", cwd=two)
    assert open_ledger(one).take_in() == open_ledger(two).take_in()
    older, newer = sorted((a, b), key=lambda run: (run.properties["progress"]["start"], run.uid))
    assert [name for name in names(open_ledger(one)) if name[:4] == "same"] == ["same", f"same~{newer.uid}"]
    assert git("show", f"{REF}:digits/{a.load_info('progress')['start'][2:4]}" + _rest(a, "same"), cwd=one) == (
        f'"{older.uid}"'
    )


def _rest(run, name):
    start = run.load_info("progress")["start"]
    return f"{start[5:7]}{start[8:10]}/{name}/info/uid.json"


def test_a_clone_brings_the_code_that_ran(repo, git, tmp_path):
    (repo / "train.py").write_text("print('never committed')\n")
    with SimpleExperiment("digits") as exp:
        pass
    git("clone", "-q", repo, tmp_path / "clone")
    assert (
        git("show", f"{exp.properties['git']['commit']}:train.py", cwd=tmp_path / "clone") == "print('never committed')"
    )


# ---------------------------------------------------------------------------------------------------- what it costs


@pytest.fixture
def spawned(monkeypatch):
    """The subcommands of all git processes that were started."""
    commands = []
    real = subprocess.Popen.__init__

    def init(self, args, *rest, **keywords):
        commands.append(args)
        real(self, args, *rest, **keywords)

    monkeypatch.setattr(subprocess.Popen, "__init__", init)
    return commands


@pytest.mark.parametrize(("dirty", "most"), [(False, 7), (True, 9)])
def test_processes_for_a_run(repo, spawned, dirty, most):
    if dirty:
        (repo / "train.py").write_text("dirty\n")
        (repo / "new.py").write_text("new\n")
    with SimpleExperiment("digits") as exp:
        started = len(spawned)
        exp.log({"a": 1})
        exp.checkpoint()
    assert all(args[0] == "git" for args in spawned)
    assert 0 < started <= most, spawned
    assert len(spawned) == started  # a checkpoint and the end spawn nothing
    spawned.clear()
    with SimpleExperiment("digits"):
        pass
    assert len(spawned) <= most, spawned


@pytest.fixture
def synced(monkeypatch):
    files = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (files.append(os.readlink(f"/proc/self/fd/{fd}")), real(fd))[1])
    return files


def test_what_is_synced(repo, synced):
    exp = Experiment("digits")
    for publish in (exp.start, exp.checkpoint, exp.end):
        publish()
        kinds = ["objects" if path.endswith("objects/pack") else os.path.basename(path)[:4] for path in synced]
        assert sorted(kinds) == ["lumo", "objects", "pack", "pack"]
        synced.clear()


def test_one_write_a_call(repo, monkeypatch):
    writes = []
    real = os.write
    exp = Experiment("digits").start()
    monkeypatch.setattr(os, "write", lambda fd, data: (writes.append(data), real(fd, data))[1])
    monkeypatch.setattr("builtins.open", None)
    calls = [
        lambda: exp.log({"loss": 0.5, "acc": 1}, step=1),
        lambda: exp.log({"loss": 0.5}),
        lambda: exp.dump_metric("best", 3, "with", [1, 2]),
        lambda: exp.dump_metrics({"x": 1, "y": 2}),
    ]
    for n, call in enumerate(calls, 1):
        call()
        assert len(writes) == n
        assert writes[-1].endswith(b"}\n")
    monkeypatch.undo()
    exp.end()


def test_an_event_writes_only_what_changed(repo, git):
    """A checkpoint of a run with much history writes its last chunk, not all of them."""
    exp = Experiment("digits").start()
    for i in range(12000):
        exp.log({"loss": i / 3, "acc": i / 7})
    exp.checkpoint()
    packs = set((repo / ".git/objects/pack").glob("*.idx"))
    exp.log({"loss": 1})
    exp.checkpoint()
    (new,) = set((repo / ".git/objects/pack").glob("*.idx")) - packs
    count = len(git("verify-pack", "-v", new).splitlines()) - 2
    assert count <= 12  # commit, six trees, the last chunk, metrics.json, progress.json
    chunks = git("ls-tree", "-r", "--name-only", REF).splitlines()
    assert sum("/history/" in name for name in chunks) >= 3
    exp.end()


def test_names_do_not_cost_more_with_more_runs(repo, monkeypatch):
    for _ in range(3):
        record(repo)
    ledger = open_ledger(repo)
    assert len(read_tree(ledger.view().objects, ledger.view().tree or "")) == 1
    with warnings.catch_warnings(action="error"):
        shutil.rmtree(repo / ".git/lumo/info")
        assert record(repo).test_name.split(".")[1] == "003"
