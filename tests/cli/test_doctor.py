"""``git lumo doctor``: it finds what is not well, and what it says mends it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import stat
import subprocess
import sys
import time

import pytest

import gitlumo
from gitlumo.cli.health import examine
from gitlumo.cli.opening import open_here
from tests.cli.conftest import KILLED
from tests.cli.test_log import damage, place_of

pytestmark = pytest.mark.damages
LONG_AGO = time.time() - 30 * 86400
GONE = "gitlumo 0123 4194305 1 {boot} {namespace}\n"


@pytest.fixture
def trained(repo):
    gitlumo.Experiment("digits", "first").start().end()
    return repo


def test_all_is_well(lumo, trained):
    done = lumo("doctor")
    assert (done.status, done.err) == (0, "")
    assert done.out.endswith("\nall is well\n")
    found = json.loads(lumo("doctor", "--json").out)
    assert (found["healthy"], found["problems"], found["notes"]) == (True, [], [])
    assert "1 run, format 1" in found["facts"]["ledger"]
    assert found["facts"]["git"] == subprocess.run(["git", "version"], capture_output=True, text=True).stdout.split()[2]


def test_which_engine_reads_and_why(lumo, trained, git, tmp_path):
    engine = open_here().repository.engine
    facts = json.loads(lumo("doctor", "--json").out)["facts"]
    assert facts["objects"] == f"{engine.objects} reads them"
    assert facts["why"] == engine.why
    git("init", "--quiet", "--object-format=sha256", tmp_path / "sha256")
    facts = json.loads(lumo("doctor", "--json", cwd=tmp_path / "sha256").out)["facts"]
    assert facts["objects"] == "dulwich reads them"
    assert "sha256" in facts["why"]
    assert "not here yet" in facts["ledger"]


def nobody(repo, git):
    os.environ["GIT_CONFIG_COUNT"], os.environ["GIT_CONFIG_KEY_0"] = "1", "user.useConfigOnly"
    os.environ["GIT_CONFIG_VALUE_0"] = "true"
    git("config", "--global", "--unset", "user.name")


def killed(repo, git):
    subprocess.run([sys.executable, "-c", KILLED], check=False)


def leftover(repo, git):
    path = repo / ".git/lumo/tmp/pack-4194305-abc.pack"
    path.write_text("half")
    os.utime(path, (LONG_AGO, LONG_AGO))


def kept(repo, git):
    """As a process leaves it that is killed between its pack and the branch."""
    from gitlumo import machine

    here = machine.this_process()
    (pack, *_) = (repo / ".git/objects/pack").glob("*.pack")
    pack.with_suffix(".keep").write_text(GONE.format(boot=here.boot, namespace=here.namespace))


def unindexed(repo, git):
    (index, *_) = (repo / ".git/objects/pack").glob("*.idx")
    index.unlink()
    os.utime(index.with_suffix(".pack"), (LONG_AGO, LONG_AGO))


def locked(repo, git):
    lock = repo / ".git/refs/heads/lumo_experiments.lock"
    lock.touch()
    os.utime(lock, (LONG_AGO, LONG_AGO))


def checked_out(repo, git):
    git("worktree", "add", "--quiet", repo / "tree", "lumo_experiments")


def no_ledger(repo, git):
    git("update-ref", "refs/heads/lumo_experiments", "main")


def wrong_settings(repo, git):
    git("config", "lumo.githubUrl", "ftp://x")
    git("config", "lumo.hostname", "maybe")


def code_branch(repo, git):
    git("config", "lumo.branch", "main")


def deleted(repo, git):
    git("branch", "-D", "lumo_experiments")


def damaged_register(repo, git):
    (repo / ".git/lumo/open").mkdir(exist_ok=True)
    (repo / f".git/lumo/open/{'0' * 32}.json").write_text("{")


PROBLEMS = [
    (nobody, "git does not know who you are", None),
    (killed, "digits/dies died", None),
    (leftover, "1 unfinished file of killed runs", None),
    (kept, "1 pack kept for killed runs", None),
    (unindexed, "has no index", None),
    (locked, "lumo_experiments.lock has been there for 30d", None),
    (checked_out, "is checked out in", None),
    (no_ledger, "is not a ledger of runs", "git branch -m lumo_experiments old; git lumo recover"),
    (wrong_settings, "lumo.githubUrl is 'ftp://x'", None),
    (code_branch, "main is not a ledger of runs", "git config lumo.branch lumo_experiments"),
    (deleted, "was deleted", "git lumo recover"),
    (damaged_register, "an entry that cannot be read", None),
]


@pytest.mark.parametrize(("harm", "said", "mend"), PROBLEMS, ids=[harm.__name__ for harm, _, _ in PROBLEMS])
def test_what_it_says_mends_it(lumo, trained, git, monkeypatch, tmp_path, harm, said, mend):
    config = tmp_path / "config"
    shutil.copy(os.environ["GIT_CONFIG_GLOBAL"], config)
    for name in ("GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_CONFIG_VALUE_0"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name, "0" if name == "GIT_CONFIG_COUNT" else "x")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    harm(trained, git)
    done = lumo("doctor")
    assert done.status == 1
    assert said in done.out
    assert "all is well" not in done.out
    for _ in range(2):  # a second one may be there because of the first
        for problem in examine(open_here()).problems[:1]:
            subprocess.run(["sh", "-ec", mend or problem.mend], check=True, capture_output=True)
    assert examine(open_here()).problems == []


def test_it_names_all_wrong_settings_and_runs_are_recorded_all_the_same(lumo, trained, git):
    for name, value in (("githubUrl", "ftp://x"), ("githubPause", "soon"), ("gitleaks", "of"), ("hooks", "perhaps")):
        git("config", f"lumo.{name}", value)
    gitlumo.start("digits").end()
    assert lumo("log", "--oneline").out.count("finished") == 2
    git("config", "lumo.branch", "a b")
    out = lumo("doctor").out
    for name in ("githubUrl", "githubPause", "gitleaks", "hooks", "branch"):
        assert f"  lumo.{name} is " in out
    assert "lumo.branch is 'a b'" in lumo("log").err
    git("config", "lumo.branch", "refs/heads/lumo_experiments")
    assert "\n    git config lumo.branch lumo_experiments\n" in lumo("doctor").out


def test_a_place_that_cannot_be_written_to(lumo, trained, git, tmp_path):
    (tmp_path / "file").touch()
    git("config", "lumo.blobRoot", tmp_path / "file/below")
    done = lumo("doctor")
    assert done.status == 1
    assert f"{tmp_path / 'file'} is no folder" in done.out
    assert "git config lumo.blobRoot" in done.out


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a normal user")
def test_a_folder_that_is_read_only(lumo, trained, git, tmp_path):
    (tmp_path / "there").mkdir(mode=0o555)
    git("config", "lumo.infoRoot", tmp_path / "there/info")
    done = lumo("doctor")
    assert done.status == 1
    assert "is read-only" in done.out


def test_an_old_git(lumo, trained, tmp_path):
    program = tmp_path / "bin/git"
    program.parent.mkdir()
    real = shutil.which("git")
    program.write_text(f'#!/bin/sh\n[ "$1" = version ] && echo git version 2.38.5 || exec {real} "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    done = lumo("doctor", env={"PATH": path}, direct=True)
    assert done.status == 1
    assert "git 2.38.5 is too old" in done.out
    assert "2.39" in done.out


def test_a_ledger_of_a_later_format(lumo, trained, git):
    tree = git("rev-parse", "lumo_experiments^{tree}")
    message = "from the future\n\nLumo-Format: 2\n"
    git("update-ref", "refs/heads/lumo_experiments", git("commit-tree", tree, "-p", "lumo_experiments", input=message))
    done = lumo("doctor")
    assert done.status == 1
    assert "format 2" in done.out
    assert "install a newer gitlumo" in done.out


def test_a_tip_that_is_missing(lumo, trained):
    """It goes on, and says what else there is."""
    (trained / ".git/refs/heads/lumo_experiments").write_text("1" * 40 + "\n")
    done = lumo("doctor")
    assert done.status == 1
    assert "1" * 40 in done.out
    assert "git fsck" in done.out
    assert "Traceback" not in done.err


def test_runs_not_heard_for_long(lumo, trained, git):
    exp = gitlumo.Experiment("digits", "silent").start()
    pinfo = trained / ".git/lumo/info/digits/silent/info/pinfo.json"
    pinfo.write_text(json.dumps(json.loads(pinfo.read_text()) | {"boot": "another", "host": "node7"}))
    assert lumo("doctor").out.endswith("all is well\n")
    for path in (trained / ".git/lumo/info/digits/silent").rglob("*"):
        os.utime(path, (LONG_AGO, LONG_AGO))
    done = lumo("doctor")
    assert done.status == 0
    assert "digits/silent, started on node7, was last heard 4 weeks ago" in done.out
    assert "git lumo recover --force digits/silent" in done.out
    exp.end()


@pytest.mark.parametrize(
    ("words", "said", "mend"),
    [
        (["--depth=1"], "shallow clone", "git fetch --unshallow"),
        (["--single-branch"], "does not bring lumo_experiments along", "git remote set-branches --add origin"),
        (["--filter=blob:none"], "partial clone", "nothing needs to be done"),
    ],
)
def test_what_is_good_to_know_of_a_clone(lumo, trained, git, tmp_path, words, said, mend):
    git("config", "uploadpack.allowFilter", "true")
    git("clone", "--quiet", *words, f"file://{trained}", tmp_path / "clone")
    os.chdir(tmp_path / "clone")
    health = examine(open_here())
    partial = words[0].startswith("--filter")
    (note,) = (note for note in health.notes if note.mend.startswith(mend))
    assert said in note.what
    assert health.problems == []
    for each in health.notes:
        subprocess.run(["sh", "-ec", f"# {each.mend}" if partial else each.mend], check=True, capture_output=True)
    assert lumo("log", "--oneline").out.startswith("digits/first")
    done = lumo("doctor")
    assert done.status == 0
    assert (said in done.out) == partial  # it stays one


@pytest.mark.parametrize(
    ("key", "spec", "said"),
    [
        ("fetch", "+refs/heads/*:refs/heads/*", "writes refs/heads/lumo_experiments itself"),
        ("fetch", "refs/heads/lumo_experiments:refs/heads/lumo_experiments", "fails once both have new runs"),
        ("push", "+refs/heads/*:refs/heads/*", "forces refs/heads/lumo_experiments"),
    ],
)
def test_refspecs_that_lose_runs(lumo, trained, git, key, spec, said):
    git("remote", "add", "origin", trained / "hub.git")
    assert examine(open_here()).problems == []
    git("config", f"remote.origin.{key}", spec)
    (problem,) = examine(open_here()).problems
    assert said in problem.what
    subprocess.run(["sh", "-ec", problem.mend.partition(";")[0]], check=True)
    assert examine(open_here()).problems == []


def test_a_lock_that_a_killed_fetch_left(trained, git):
    git("remote", "add", "origin", trained / "hub.git")
    lock = trained / ".git/refs/remotes/origin/lumo_experiments.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    assert examine(open_here()).problems == []
    os.utime(lock, (LONG_AGO, LONG_AGO))
    (problem,) = examine(open_here()).problems
    assert "no run can be fetched" in problem.what
    subprocess.run(["sh", "-ec", problem.mend], check=True)
    assert examine(open_here()).problems == []


def test_a_file_system_without_locks(trained, monkeypatch):
    def refuse(fd, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    health = examine(open_here())
    assert [note.what for note in health.notes if "no locks" in note.what]
    assert health.problems == []


def test_a_broken_run_is_not_its_business(lumo, trained, git):
    damage(trained, git, f"{place_of(git, 'first')}/metrics.json", "{")
    assert lumo("doctor").status == 0
    assert lumo("fsck").status == 1
