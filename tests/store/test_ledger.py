"""The ledger on real repositories: its commits, its packs, races, clones that meet, and what it refuses."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from gitlumo import Experiment, SimpleExperiment
from gitlumo.config import read_settings
from gitlumo.errors import LumoError, LumoWarning, NotALedger, RefMoved
from gitlumo.git.repository import open_repository
from gitlumo.store import recovery, register, upkeep
from gitlumo.store.ledger import Ledger

pytestmark = pytest.mark.damages

REF = "refs/heads/lumo_experiments"
ROOT = """\
tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904
author gitlumo <gitlumo@localhost> 1679616000 +0000
committer gitlumo <gitlumo@localhost> 1679616000 +0000

gitlumo ledger

Lumo-Format: 1
"""


def open_ledger(path=None):
    repository = open_repository(path)
    return Ledger(repository, read_settings(repository.config))


def record(exp_name="digits", value=1, repo=None):
    with Experiment(exp_name, repo=repo) as exp:
        exp.log({"a": value})
    return exp


def content(folder):
    return {str(path): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


def runs(git, tip=REF, cwd=None):
    """uid of each run in a ledger's tree."""
    names = git("ls-tree", "-r", "--name-only", tip, cwd=cwd).splitlines()
    return sorted(git("show", f"{tip}:{name}", cwd=cwd) for name in names if name.endswith("info/uid.json"))


def uids(*exps):
    return sorted(f'"{exp.uid}"' for exp in exps)


def said(call):
    with warnings.catch_warnings(record=True, action="always") as found:
        call()
    assert all(item.category is LumoWarning for item in found)
    return "\n".join(str(item.message) for item in found)


# -------------------------------------------------------------------------------------------------------- commits


def test_the_commits(repo, git, fsck, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    __import__("time").tzset()
    (repo / "train.py").write_text("dirty\n")
    with SimpleExperiment("digits", params={"lr": 0.1, "deep": {"a": 1}}) as exp:
        exp.dump_metric("acc", 0.5)
        exp.log({"z": 2})
        exp.checkpoint()
    root, start, middle, end = git("rev-list", "--first-parent", "--reverse", REF).splitlines()
    assert git("cat-file", "-p", root) + "\n" == ROOT
    snapshot = exp.properties["git"]["commit"]
    assert [git("show", "-s", "--format=%P", commit).split() for commit in (root, start, middle, end)] == [
        *([], [root, snapshot], [start], [middle]),
    ]
    name = f"digits/{exp.test_name}"
    for commit, subject, kind in (
        (start, f"{name} running lr=0.1", "start"),
        (middle, f"{name} running acc=0.5 z=2", "checkpoint"),
        (end, f"{name} finished acc=0.5 z=2", "end"),
    ):
        message = git("show", "-s", "--format=%B", commit).rstrip("\n")
        assert message == f"{subject}\n\nLumo-Format: 1\nLumo-Event: {kind}\nLumo-Uid: {exp.uid}"
        for who in ("a", "c"):
            assert git("show", "-s", f"--format=%{who}n <%{who}e>", commit) == "Ada Lovelace <ada@example.org>"
        assert git("show", "-s", "--date=format:%z", "--format=%ad", commit) == "+0530"
    assert git("show", f"{snapshot}:train.py") == "dirty"
    assert snapshot in git("rev-list", REF).splitlines()
    fsck(repo)


@pytest.mark.parametrize(
    "name", ["Ämne 名", "A <B> C", "...", "x\x01y", b"Andr\xe9".decode("utf-8", "surrogateescape")]
)
def test_names_of_committers(repo, git, fsck, name):
    subprocess.run(["git", "config", "user.name", os.fsencode(name)], check=True)
    assert said(lambda: record()) == ""
    assert len(runs(git)) == 1
    fsck(repo)


def test_without_an_identity(repo, git, fsck, sealed, monkeypatch):
    empty = sealed / "no-identity"
    empty.write_text("[user]\n\tuseConfigOnly = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(empty))
    assert "git does not know who you are" in said(lambda: record())
    assert git("log", "-1", "--format=%an <%ae>", REF) == "gitlumo user <user@localhost>"
    assert len(runs(git)) == 1
    fsck(repo)


# ----------------------------------------------------------------------------------------------------------- packs


def packs(repo):
    folder = repo / ".git/objects/pack"
    return {ending: {path.stem for path in folder.glob(f"pack-*.{ending}")} for ending in ("pack", "idx", "keep")}


def test_an_event_is_one_pack_and_its_keep_is_dropped_later(repo, git, fsck):
    loose = git("count-objects")
    exp = Experiment("digits").start()
    first = packs(repo)
    assert [len(names) for names in first.values()] == [1, 1, 1]
    exp.log({"a": 1})
    exp.checkpoint()
    second = packs(repo)
    assert [len(names) for names in second.values()] == [2, 2, 2]
    (new,) = second["pack"] - first["pack"]
    note = (repo / f".git/objects/pack/{new}.keep").read_text().split()
    assert note[:3] == ["gitlumo", git("rev-parse", REF), str(os.getpid())]
    exp.end()
    assert [len(names) for names in packs(repo).values()] == [3, 3, 0]
    assert git("count-objects") == loose
    assert os.listdir(repo / ".git/lumo/tmp") == []
    git("gc", "-q", "--prune=now")
    assert runs(git) == uids(exp)
    fsck(repo)


def test_a_dead_writers_keep_is_dropped(repo):
    record()
    pack_dir = repo / ".git/objects/pack"
    name = next(iter(packs(repo)["pack"]))
    boot, space = Path("/proc/sys/kernel/random/boot_id").read_text().strip(), os.readlink("/proc/self/ns/pid")
    dead = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True).stdout.strip()
    notes = {
        "dead": f"gitlumo {'1' * 40} {dead} 5 {boot} {space}",
        "alive": f"gitlumo {'1' * 40} 1 None x x",
        "mine": "",
    }
    for note in notes:
        for ending in (".pack", ".idx"):
            shutil.copy(pack_dir / f"{name}{ending}", pack_dir / f"pack-{note}{ending}")
        (pack_dir / f"pack-{note}.keep").write_text(notes[note] + "\n")
    open_ledger().look_after()
    assert {path.stem for path in pack_dir.glob("*.keep")} == {"pack-alive", "pack-mine"}


def test_a_lost_index_is_made_again(repo, git, fsck):
    exp = Experiment("digits").start()
    (index,) = (repo / ".git/objects/pack").glob("*.idx")
    index.unlink()
    assert git("cat-file", "-t", REF, check=False) == ""
    open_ledger().look_after()
    assert git("cat-file", "-t", REF) == "commit"
    exp.end()
    fsck(repo)


def test_no_size_limit_keeps_the_runs_own_files_out(repo, git):
    git("config", "lumo.snapshotMaxFile", "1k")
    exp = Experiment("digits").start()
    for i in range(100):
        exp.log({"loss": i / 3, f"metric {i}": i})
    exp.dump_info("params", {str(i): i for i in range(200)})
    Path(exp.mk_ipath("large.bin")).write_bytes(bytes(1025))
    exp.end()
    folder = f"{REF}:digits/{exp.test_name[:6]}/{exp.test_name}"
    assert len(git("show", f"{folder}/history/00000.jsonl").splitlines()) == 100
    assert {"info", "history", "metrics.json"} == set(git("ls-tree", "--name-only", folder).splitlines())
    assert "params.json" in git("ls-tree", "--name-only", f"{folder}/info").splitlines()
    assert [item["path"] for item in exp.properties["skipped"]] == ["large.bin"]


# ----------------------------------------------------------------------------------------------------------- races


def move_before(ledger, monkeypatch, intrude, times=1):
    """Let somebody else move the branch just before this ledger does."""
    refs = ledger.repository.refs
    real, left = refs.move, [times]

    def move(*args):
        if left[0]:
            left[0] -= 1
            intrude()
        real(*args)

    monkeypatch.setattr(refs, "move", move)


@pytest.mark.parametrize("born", [False, True])
def test_another_writer_moves_the_branch_in_between(repo, git, fsck, monkeypatch, born):
    others = [record("before")] if born else []
    exp = Experiment("digits").start()
    exp.log({"a": 1})
    if not born:
        git("update-ref", "-d", REF)
        (repo / ".git/lumo/tip").unlink()
    # Without the lock, so that the other one does not wait for us.
    monkeypatch.setattr(Ledger, "_lock", lambda self, event: contextlib.nullcontext(False))
    move_before(exp.ledger, monkeypatch, lambda: others.append(record("other", 7)))
    before = packs(repo)["pack"]
    assert said(exp.checkpoint) == ""
    assert runs(git) == uids(exp, *others)
    assert len(packs(repo)["pack"] - before) == 3  # two of the other one, one of ours: the lost one was taken back
    assert said(exp.end) == ""
    fsck(repo)


def test_a_race_lost_for_ever_is_a_warning(repo, git, fsck, monkeypatch):
    exp = Experiment("digits").start()
    tip, before = git("rev-parse", REF), packs(repo)

    def refuse(*args):
        raise RefMoved("somebody is always faster")

    monkeypatch.setattr("gitlumo.store.ledger.ATTEMPTS", 3)
    monkeypatch.setattr(exp.ledger.repository.refs, "move", refuse)
    assert "always faster" in said(exp.checkpoint)
    assert (git("rev-parse", REF), packs(repo)) == (tip, before)
    monkeypatch.undo()
    assert exp.state == "running"
    exp.repository.close()
    os.chdir(repo)
    exp.end()
    assert runs(git) == uids(exp)
    fsck(repo)


def test_gits_own_lock_is_waited_for(repo, git, monkeypatch):
    exp = Experiment("digits").start()
    lock = repo / f".git/{REF}.lock"
    lock.touch()
    tries = []
    monkeypatch.setattr("gitlumo.store.ledger.random.uniform", lambda a, b: tries.append(b) or 0)
    real = os.path.exists
    monkeypatch.setattr("gitlumo.store.ledger.time.sleep", lambda s: lock.unlink() if len(tries) == 3 else None)
    assert said(exp.checkpoint) == ""
    assert len(tries) == 3
    assert real(lock) is False
    exp.end()


@pytest.mark.parametrize("content", ["", "the tip"])
def test_a_lock_that_a_killed_writer_left_is_removed(repo, git, fsck, content):
    script = f"""
import os, gitlumo
exp = gitlumo.Experiment('digits').start()
exp.log({{'a': 1}})
def move(name, old, new, message):
    with open('.git/{REF}.lock', 'w') as lock: lock.write(new + '\\n' if {content!r} else '')
    os.kill(os.getpid(), 9)
exp.ledger.repository.refs.move = move
exp.checkpoint()
"""
    killed = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    assert killed.returncode == -9
    assert (repo / f".git/{REF}.lock").exists()
    assert said(lambda: record("other")) == ""
    assert not (repo / f".git/{REF}.lock").exists()
    assert len(runs(git)) == 2
    assert '"killed": "' in git("log", "-p", "--format=", REF)
    fsck(repo)


def test_a_lock_of_all_refs_that_a_killed_writer_left(git, fsck, tmp_path, monkeypatch):
    """Where refs are kept as reftable: it may be anybody's, so it must be an old one."""
    path = tmp_path / "tables"
    if subprocess.run(["git", "init", "-q", "--ref-format=reftable", path], check=False).returncode:
        pytest.skip("git is too old for reftable")
    monkeypatch.chdir(path)
    script = """
import os, gitlumo
exp = gitlumo.Experiment('digits').start()
def move(name, old, new, message):
    open('.git/reftable/tables.list.lock', 'x').close()
    os.kill(os.getpid(), 9)
exp.ledger.repository.refs.move = move
exp.checkpoint()
"""
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == -9
    lock = path / ".git/reftable/tables.list.lock"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gitlumo.store.ledger.ATTEMPTS", 3)
        assert "lock" in said(lambda: record("other"))
    assert lock.exists()
    for file in [lock, *Path(".git/objects/pack").glob("*.keep")]:
        found = file.stat().st_mtime - upkeep.SHARED_LOCK_AGE
        os.utime(file, (found, found))
    assert said(lambda: record("third")) == ""
    assert not lock.exists()
    assert len(runs(git)) == 3
    fsck(path)


def test_somebody_elses_lock_is_left_alone(repo, git, monkeypatch):
    exp = record()
    lock = repo / f".git/{REF}.lock"
    lock.touch()
    os.utime(lock, (1, 1))
    monkeypatch.setattr("gitlumo.store.ledger.ATTEMPTS", 3)
    assert "lock" in said(lambda: record("other"))
    assert lock.exists()
    assert runs(git) == uids(exp)


# -------------------------------------------------------------------------------------------------- what is refused


def test_a_code_branch_of_that_name(repo, git, fsck):
    git("branch", "lumo_experiments")
    code, other = git("rev-parse", "HEAD"), []
    told = said(lambda: other.append(record()))
    assert "git branch -m lumo_experiments lumo_experiments-old" in told
    assert told.index("git config lumo.branch lumo_runs") < told.index("git branch -m")
    assert git("rev-parse", REF) == code
    (exp,) = other
    assert (exp.state, exp.history("a")[0]["a"]) == ("finished", 1)
    assert not exp.properties["hooks"]["Ledger"]["loaded"]
    with pytest.raises(NotALedger, match="git branch -m"):
        open_ledger().view()
    assert "git branch -m" in said(lambda: other.append(record()))
    git("branch", "-m", "lumo_experiments", "lumo_experiments-old")
    assert said(lambda: other.append(record())) == ""
    assert runs(git) == uids(*other)
    assert git("rev-parse", "lumo_experiments-old") == code
    fsck(repo)


@pytest.mark.parametrize("is_checked_out", [True, False])
def test_the_code_branch_as_ledger(repo, git, is_checked_out):
    git("config", "lumo.branch", "main")
    if not is_checked_out:
        git("switch", "--quiet", "--create", "other")
    told = said(record)
    assert "main is not a ledger of runs" in told
    assert "git config lumo.branch lumo_experiments" in told
    assert "branch -m" not in told
    assert "switch --detach" not in told


@pytest.mark.parametrize("where", ["linked", "main"])
def test_a_ledger_that_is_checked_out_stays_as_it_is(repo, git, tree_state, where):
    first = record()
    if where == "linked":
        place = repo.parent / "linked"
        git("worktree", "add", "-q", place, "lumo_experiments")
    else:
        place = repo
        git("switch", "-q", "lumo_experiments")
    before, tip, kept = tree_state(place), git("rev-parse", REF), []
    told = said(lambda: kept.append(record("second")))
    assert f"checked out in {place}" in told
    assert f"git -C {place} switch --detach" in told
    assert (tree_state(place), git("rev-parse", REF)) == (before, tip)
    assert len(register.open_runs(str(repo / ".git/lumo"))) == 1
    git("-C", place, "switch", "-q", "--detach")
    recovery.recover(open_ledger(repo))
    assert runs(git) == uids(first, *kept)


def test_the_branch_is_deleted(repo, git, fsck):
    first = record()
    tip = git("rev-parse", REF)
    git("branch", "-q", "-D", "lumo_experiments")
    with pytest.raises(LumoError, match="git lumo recover"):
        open_ledger().view()
    assert open_ledger().lost_tip() == tip
    assert open_ledger().take_in() == git("rev-parse", REF) == tip
    git("branch", "-q", "-D", "lumo_experiments")
    second = record()
    assert second.test_name.split(".")[1] == "001"
    assert runs(git) == uids(first, second)
    assert open_ledger().lost_tip() is None
    fsck(repo)


def test_the_branch_is_deleted_and_pruned(repo, git, fsck):
    (repo / "train.py").write_text("dirty\n")
    lost = [record(), record("other")]
    git("branch", "-q", "-D", "lumo_experiments")
    git("reflog", "expire", "--expire=now", "--all")
    git("gc", "-q", "--prune=now")
    assert open_ledger().lost_tip() is None
    ledger = open_ledger()
    for pending in recovery.unpublished(ledger, str(repo / ".git/lumo/info"), recovery.Recovered()):
        recovery.publish(ledger, pending)
    assert recovery.unpublished(ledger, str(repo / ".git/lumo/info"), recovery.Recovered()) == []
    assert runs(git) == uids(*lost)
    fsck(repo)


def commit(git, message, *parents, tree=f"{REF}^{{tree}}"):
    args = [word for parent in parents for word in ("-p", parent)]
    return git("commit-tree", "-m", message, *args, git("rev-parse", tree))


def test_a_newer_format_is_refused(repo, git):
    first, second = record(), []
    tip = commit(git, "from the future\n\nLumo-Format: 2", REF)
    git("update-ref", REF, tip)
    assert "install a newer gitlumo" in said(lambda: second.append(record()))
    assert git("rev-parse", REF) == tip
    assert runs(git) == uids(first)
    assert len(register.open_runs(str(repo / ".git/lumo"))) == 1


@pytest.mark.parametrize(("foreign", "ledger"), [(1, True), (99, True), (100, False)])
def test_foreign_commits_on_top(repo, git, fsck, foreign, ledger):
    first = record()
    tip = git("rev-parse", REF)
    for _ in range(foreign):
        tip = commit(git, "somebody's README", tip)
    git("update-ref", REF, tip)
    assert open_ledger().is_ledger(tip) is ledger
    if ledger:
        second = record()
        assert runs(git) == uids(first, second)
        assert tip in git("rev-list", REF).splitlines()
    else:
        with pytest.raises(NotALedger):
            open_ledger().tips()
    fsck(repo)
