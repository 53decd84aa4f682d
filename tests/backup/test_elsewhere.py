"""Backups in another repository: made where there is none, joined with what is there, never forced."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gitlumo import Watcher
from gitlumo.backup import checking, elsewhere
from gitlumo.backup.restoring import RESTORED, THERE
from gitlumo.errors import LumoError, NotALedger, RemoteError, UsageError
from tests.backup.archives import all_as_json, alone, founds, here, record, state
from tests.share import servers


def write(target, *names, **keywords):
    return elsewhere.write(here(), founds(*names), str(target), **keywords)


def restore(source):
    return {each.backup.parcel.identity.test_name: each.outcome for each in elsewhere.restore(here(), str(source))}


def check(source, *names):
    found = elsewhere.check(here(), str(source), founds(*names) if names else ())
    return {each.name.partition("/")[2]: each.state for each in found}


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_becomes_a_repository(runs, other, git, fsck, tmp_path, there):
    if there:
        (tmp_path / "b").mkdir()
    before, refs = all_as_json(), git("for-each-ref")
    written = write(tmp_path / "b", "a", "b")
    assert (written.runs, written.missing_code) == (2, ())
    assert git("for-each-ref") == refs
    assert not list(Path(".git/objects/pack").glob("*.keep"))
    assert git("rev-parse", "--is-bare-repository", cwd=tmp_path / "b") == "true"
    fsck(tmp_path / "b")
    assert git("for-each-ref", "--format=%(refname)", cwd=tmp_path / "b") == "refs/heads/lumo_experiments"
    git("clone", "-q", tmp_path / "b", tmp_path / "clone")
    assert (tmp_path / "clone/train.py").read_text() == "print('b')\n"
    other()
    assert restore(tmp_path / "b") == {"a": RESTORED, "b": RESTORED}
    assert restore(tmp_path / "b") == {"a": THERE, "b": THERE}
    assert all_as_json() == {label: run for label, run in before.items() if label[-1] in "ab"}
    assert git("show", f"{runs[0].properties['git']['commit']}:train.py") == "print('a')"


def test_again_and_again(runs, other, git, fsck, tmp_path):
    write(tmp_path / "b", "a")
    first = git("rev-parse", "lumo_experiments", cwd=tmp_path / "b")
    write(tmp_path / "b", "a")
    assert git("rev-parse", "lumo_experiments", cwd=tmp_path / "b") == first
    Watcher().retrieve("a").dump_note("later")
    assert check(tmp_path / "b", "a", "b") == {"a": checking.OLDER, "b": checking.LACKING}
    write(tmp_path / "b", "a", "b")
    write(tmp_path / "b")
    git("merge-base", "--is-ancestor", first, "lumo_experiments", cwd=tmp_path / "b")
    assert check(tmp_path / "b") == dict.fromkeys("abc", checking.WHOLE)
    fsck(tmp_path / "b")
    before = all_as_json()
    other()
    restore(tmp_path / "b")
    assert all_as_json() == before


def test_all_of_a_ledger_are_its_own_history(runs, git, tmp_path):
    write(tmp_path / "b")
    assert git("rev-parse", "lumo_experiments", cwd=tmp_path / "b") == git("rev-parse", "lumo_experiments")
    record("d")
    write(tmp_path / "b")
    assert git("rev-parse", "lumo_experiments", cwd=tmp_path / "b") == git("rev-parse", "lumo_experiments")


def test_what_others_have_there_stays(runs, git, tmp_path, monkeypatch, fsck):
    write(tmp_path / "b", "a")
    git("clone", "-q", tmp_path / "b", tmp_path / "clone")
    monkeypatch.chdir(tmp_path / "clone")
    Watcher().retrieve("a").dump_note("theirs")
    record("theirs")
    write(tmp_path / "b")
    monkeypatch.chdir(tmp_path / "repo")
    mine = git("rev-parse", "lumo_experiments")
    write(tmp_path / "b", "a", "b")
    assert git("rev-parse", "lumo_experiments") == mine  # nothing of theirs comes here
    assert restore(tmp_path / "b") == {"a": THERE, "b": THERE, "theirs": RESTORED}
    assert founds("a")[0].record.note == "theirs"
    fsck(tmp_path / "b")


def test_others_are_faster(runs, git, tmp_path, monkeypatch):
    """The branch there moves between the look and the push."""
    write(tmp_path / "b", "a")
    git("clone", "-q", "-b", "lumo_experiments", tmp_path / "b", tmp_path / "late")
    git("commit", "-q", "--allow-empty", "-m", "x\n\nLumo-Format: 1", cwd=tmp_path / "late")
    hook = Path(".git/hooks/pre-push")  # which git starts when it has seen where the branch is
    hook.parent.mkdir(exist_ok=True)
    push = f"git -C {tmp_path / 'late'} push -q {tmp_path / 'b'} HEAD:refs/heads/lumo_experiments"
    hook.write_text(f"#!/bin/sh\nunset $(git rev-parse --local-env-vars)\nrm {hook.absolute()}\n{push}\n")
    hook.chmod(0o755)
    write(tmp_path / "b", "b")
    assert not hook.exists()
    assert check(tmp_path / "b") == {"a": checking.WHOLE, "b": checking.WHOLE}
    assert git("rev-parse", "HEAD", cwd=tmp_path / "late") in git("rev-list", "lumo_experiments", cwd=tmp_path / "b")


@pytest.mark.parametrize("kind", ["http", "ssh"])
def test_an_address(runs, other, git, tmp_path, monkeypatch, kind):
    before = all_as_json()
    shared = tmp_path / "srv/shared.git"
    git("init", "-q", "--bare", shared)
    git("config", "http.receivepack", "true", cwd=shared)
    if kind == "http":
        with servers.http_server(shared.parent) as server:
            round_trip(server.url("shared.git"), other, before)
        return
    program = servers.sshd_program()
    if program is None:
        pytest.skip("sshd is not installed")
    with servers.sshd(program, tmp_path / "ssh", shared.parent) as (url, command):
        monkeypatch.setenv("GIT_SSH_COMMAND", command)
        round_trip(f"{url}/shared.git", other, before)


def round_trip(url, other, before):
    write(url, "a", "b")
    write(url, "c")
    assert check(url) == dict.fromkeys("abc", checking.WHOLE)
    other()
    assert restore(url) == dict.fromkeys("abc", RESTORED)
    assert all_as_json() == before


def test_sha256(git, tmp_path, monkeypatch, other):
    git("init", "-q", "--object-format=sha256", tmp_path / "repo")
    monkeypatch.chdir(tmp_path / "repo")
    alone("len(three(Path('train.py')))")
    path = str(tmp_path / "b")
    assert alone(f"elsewhere.write(here(), founds(), {path!r}).runs") == 3
    before = alone("all_as_json()")
    other("--object-format=sha256")
    assert alone(f"len(elsewhere.restore(here(), {path!r}))") == 3
    assert alone("all_as_json()") == before
    other()
    with pytest.raises(RemoteError, match=r"(?i)mismatched algorithms"):
        restore(path)


def test_what_is_no_repository(runs, git, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("mine")
    before = state(tmp_path)
    for name in ("file", "full"):
        with pytest.raises(LumoError, match="is neither a git repository nor an empty folder"):
            write(tmp_path / name)
    git("remote", "add", "origin", tmp_path / "nowhere")
    with pytest.raises(LumoError, match="origin is a remote; runs are shared with it:  git lumo push origin"):
        write("origin")
    git("remote", "remove", "origin")
    with pytest.raises(UsageError, match=r"(?s)'zip' is no format .*--to \./zip$"):
        write("zip")
    for source in (tmp_path / "nowhere", tmp_path / "full", f"file://{tmp_path}/nowhere"):
        with pytest.raises(RemoteError, match="there is no repository at its address"):
            restore(source)
    with pytest.raises(RemoteError, match="there is no repository at its address"):
        write(f"file://{tmp_path}/nowhere")
    assert {k: v for k, v in state(tmp_path).items() if ".git/" not in k} == {
        k: v for k, v in before.items() if ".git/" not in k
    }


def test_a_branch_of_code_there(runs, git, tmp_path):
    git("init", "-q", "--bare", tmp_path / "b")
    with pytest.raises(LumoError, match="has no ledger of runs: there is no branch lumo_experiments"):
        restore(tmp_path / "b")
    git("push", "-q", tmp_path / "b", "main:lumo_experiments")
    for call in (write, restore):
        with pytest.raises(NotALedger, match="has a branch lumo_experiments which is no ledger of runs"):
            call(tmp_path / "b")
    assert git("rev-parse", "lumo_experiments", cwd=tmp_path / "b") == git("rev-parse", "main")


def test_what_is_refused_leaves_nothing(runs, git, tmp_path, monkeypatch):
    hook = tmp_path / "template/hooks/pre-receive"
    hook.parent.mkdir(parents=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(tmp_path / "template"))
    with pytest.raises(RemoteError):
        write(tmp_path / "b")
    assert sorted(os.listdir(tmp_path)) == ["repo", "template"]
    (tmp_path / "b").mkdir()
    with pytest.raises(RemoteError):
        write(tmp_path / "b")
    assert os.listdir(tmp_path / "b") == []
    assert not list(Path(".git/objects/pack").glob("*.keep"))


def test_a_password_in_an_address_is_not_told(runs, tmp_path):
    with pytest.raises(LumoError) as caught:
        write("http://me:hunter2hunter2@127.0.0.1:1/x.git")
    assert "hunter2" not in str(caught.value)


def test_the_code_waits_for_nobody(runs, git, tmp_path, monkeypatch):
    """A shallow clone says which code is missing, and gives the records."""
    code = sorted(exp.properties["git"]["commit"] for exp in runs)
    git("clone", "-q", "--depth=1", "--no-single-branch", f"file://{os.getcwd()}", tmp_path / "clone")
    monkeypatch.chdir(tmp_path / "clone")
    assert list(write(tmp_path / "b").missing_code) == code
    assert check(tmp_path / "b") == dict.fromkeys("abc", checking.WHOLE)
    done = subprocess.run(["git", "fsck", "--strict"], cwd=tmp_path / "b", capture_output=True, check=False)
    assert done.returncode == 0
