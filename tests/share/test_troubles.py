"""What goes wrong with remotes: one clear line each, nothing lost, and the next push succeeds."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

import pytest

from gitlumo import Experiment, SimpleExperiment
from tests.repositories import as_anybody
from tests.share import servers
from tests.share.conftest import BRANCH, REF, TRACKING

EXAMPLE = "/" + "nowhere.git"


@pytest.fixture
def one(shared, clone, record):
    """A clone with one run."""
    path = clone(shared, "one")
    record(path, "mine")
    return path


@pytest.fixture
def fails(lumo, tip):
    """``fails(path, *args)``: first line and rest of what a command says that cannot do it and moves nothing."""

    def run(path, *args, env=None):
        before = tip(path), tip(path, TRACKING)
        status, _, err = lumo(path, *args, env=env)
        assert status == 128
        assert (tip(path), tip(path, TRACKING)) == before
        assert "hint:" not in err
        first, _, rest = err.partition("\n")
        return first, rest

    return run


def set_url(git, path, url):
    git("remote", "set-url", "origin", url, cwd=path)


def test_wrong_password(one, http, fails, ok, git):
    set_url(git, one, http.url("shared.git", "wrong"))
    first, rest = fails(one, "push", "-q")
    assert first == "fatal: origin does not accept the user name or the password"
    assert "wrong" not in rest
    assert "git remote get-url origin" in rest
    assert fails(one, "pull")[0] == first
    set_url(git, one, http.url("shared.git"))
    ok(one, "push")


def test_no_password_and_nobody_to_ask(one, http, fails, git):
    set_url(git, one, f"http://127.0.0.1:{http.server_port}/shared.git")
    first, rest = fails(one, "push", "-q")
    assert first == "fatal: origin asks for a user name and a password, and nobody can be asked here"
    assert "credential" in rest


def test_a_credential_helper_is_asked(one, http, ok, git):
    set_url(git, one, f"http://127.0.0.1:{http.server_port}/shared.git")
    helper = f"!printf 'username={servers.USER}\\npassword={servers.PASSWORD}\\n'; :"
    git("config", "credential.helper", helper, cwd=one)
    ok(one, "push")


def test_unknown_host(one, fails, git):
    for url in ("http://nohost.invalid/x.git", "ssh://nohost.invalid/x.git", "git://nohost.invalid/x.git"):
        set_url(git, one, url)
        for verb in ("push", "pull", "fetch"):
            first, rest = fails(one, verb, "-q")
            assert first == "fatal: origin: the host nohost.invalid is not known", url
            assert rest.splitlines()[-1] == "is the address right, and the network up?  git remote get-url origin"


def test_nobody_answers(one, fails, git):
    set_url(git, one, f"http://127.0.0.1:{servers.free_port()}/x.git")
    assert fails(one, "push", "-q")[0] == "fatal: origin cannot be reached"


def test_no_repository_there(one, fails, git, http):
    for url in (EXAMPLE, http.url("none.git"), f"file://{EXAMPLE}"):
        set_url(git, one, url)
        assert fails(one, "push", "-q")[0] == "fatal: origin: there is no repository at its address", url


def test_no_remote(repo, record, fails, git):
    record(repo)
    assert fails(repo, "push") == ("fatal: this repository has no remote", "add one:  git remote add origin URL\n")
    git("remote", "add", "a", EXAMPLE)
    git("remote", "add", "b", EXAMPLE)
    assert fails(repo, "pull")[0] == "fatal: there are several remotes: a, b"
    assert fails(repo, "pull", "c") == (
        "fatal: there is no remote 'c'; there are: a, b", "add it:  git remote add NAME URL\n"
    )  # fmt: skip


def test_which_remote(repo, record, ok, git, tip, tmp_path):
    record(repo)
    for name in ("a", "b", "origin"):
        git("init", "-q", "--bare", tmp_path / name)
        git("remote", "add", name, tmp_path / name)
    ok(repo, "push")
    ok(repo, "push", "b")
    git("config", "lumo.remote", "a")
    ok(repo, "push")
    assert [tip(tmp_path / name) for name in ("a", "b", "origin")] == [tip(repo)] * 3
    git("remote", "rename", "a", "team/a")
    git("config", "lumo.remote", "team/a")
    assert ok(repo, "pull").startswith("team/a has nothing new")


@pytest.mark.parametrize("kind", ["path", "http"])
def test_a_hook_says_no(one, http, hook, fails, ok, git, kind):
    """pygit2 and dulwich call this a success."""
    if kind == "http":
        set_url(git, one, http.url("shared.git"))
    hook("echo 'GH006: Protected branch update failed' >&2; exit 1")
    first, rest = fails(one, "push", "-q")
    assert first == "fatal: origin does not take it: a rule or a hook there refuses the branch"
    assert "GH006: Protected branch update failed" in rest
    hook("exit 0")
    ok(one, "push")


def test_the_users_own_hook_says_no(one, fails, git):
    path = one / ".git/hooks/pre-push"
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\necho 'lint first' >&2\nexit 1\n")
    path.chmod(0o755)
    first, rest = fails(one, "push", "-q")
    assert first == "fatal: origin: git could not push to it"
    assert "lint first" in rest


def test_it_may_be_read_only(shared, one, fails, ok, git, http):
    git("config", "http.receivepack", "false", cwd=shared)
    set_url(git, one, http.url("shared.git"))
    first = "fatal: origin may be read, but not written to"
    assert fails(one, "push", "-q")[0] == first
    ok(one, "pull")
    with servers.git_daemon(shared.parent) as url:
        set_url(git, one, f"{url}/shared.git")
        assert fails(one, "push", "-q")[0] == first
        ok(one, "pull")


@pytest.mark.parametrize("option", [("pushurl",), ("--add", "pushurl")])
def test_pushes_go_elsewhere(shared, one, clone, record, fails, ok, git, tip, tmp_path, option):
    """What is fetched from there does not say what others have pushed here."""
    fork = tmp_path / "fork.git"
    git("clone", "-q", "--bare", shared, fork)
    theirs = clone(fork, "theirs")
    record(theirs, "theirs")
    ok(theirs, "push")
    if "--add" in option:
        git("config", "remote.origin.pushurl", shared, cwd=one)
    git("config", *option[:-1], "remote.origin.pushurl", fork, cwd=one)
    before = tip(fork)
    done = subprocess.run(["git-lumo", "push", "-q"], cwd=one, capture_output=True, text=True, check=False)
    assert done.returncode == 128
    assert done.stderr.startswith("fatal: origin is pushed to another address than it is fetched from")
    assert tip(fork) == before
    git("remote", "add", "fork", fork, cwd=one)
    ok(one, "pull", "fork")
    ok(one, "push")
    assert tip(fork) == tip(one)


def test_the_branch_is_checked_out_there(one, clone, shared, fails, ok, git, tip):
    ok(one, "push")
    there = clone(shared, "there")
    git("switch", "-q", BRANCH, cwd=there)
    set_url(git, one, there)
    ok(one, "note", "@", "-m", "news")
    assert fails(one, "push", "-q")[0] == "fatal: origin has the runs' branch checked out in its work tree"
    git("switch", "-q", "main", cwd=there)
    ok(one, "push")
    assert tip(there) == tip(one)


def test_a_folder_that_cannot_be_written(shared, one):
    subprocess.run(["chmod", "-R", "a-w", shared], check=True)
    try:
        done = subprocess.run(
            ["git-lumo", "push", "-q"], cwd=one, capture_output=True, text=True, preexec_fn=as_anybody, check=False
        )
    finally:
        subprocess.run(["chmod", "-R", "u+w", shared], check=True)
    assert done.returncode == 128
    assert done.stderr.startswith("fatal: origin may be read, but not written to\n")


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
def test_no_space_there(shared, one, fails, ok, git, tmp_path, fsck):
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", place], check=True)
    try:
        git("clone", "-q", "--bare", shared, place / "r.git")
        set_url(git, one, place / "r.git")
        filler = os.open(place / "filler", os.O_WRONLY | os.O_CREAT)
        with contextlib.suppress(OSError):
            while True:
                os.write(filler, b"x" * 4096)
        os.close(filler)
        first, rest = fails(one, "push", "-q")
        assert first == "fatal: origin: there is no space left there"
        assert rest.splitlines()[-1] == "make room, and type the same again; what is there stays whole"
        (place / "filler").unlink()
        ok(one, "push")
        fsck(place / "r.git")
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_ssh_host_and_key(shared, one, fails, git, tmp_path, ok):
    program = servers.sshd_program()
    if program is None:
        pytest.skip("sshd is not installed")
    with servers.sshd(program, tmp_path / "ssh", shared.parent) as (url, command):
        set_url(git, one, f"{url}/shared.git")
        unknown = command.replace("/known", "/none")
        first, _ = fails(one, "push", "-q", env={"GIT_SSH_COMMAND": unknown})
        assert first == "fatal: origin: ssh does not know this host's key, or it is another one than before"
        other = command.replace("/user ", "/host ")
        assert (
            fails(one, "push", "-q", env={"GIT_SSH_COMMAND": other})[0] == "fatal: origin does not accept your ssh key"
        )
        ok(one, "push", env={"GIT_SSH_COMMAND": command})


# ------------------------------------------------------------------------------------------------------- interrupted


@pytest.mark.parametrize("cut", [{"cut": 0}, {"cut": 200}, {"cut_answer": 0}, {"cut_answer": 12}])
def test_the_connection_is_cut(shared, one, http, lumo, ok, git, tip, fsck, cut):
    """Before, within and after the request: the push fails or has succeeded, and the next one succeeds."""
    set_url(git, one, http.url("shared.git"))
    vars(http).update(cut)
    status, _, err = lumo(one, "push", "-q")
    assert (status, err.partition("\n")[0]) == (128, "fatal: origin: the connection broke off")
    assert tip(shared) in ("", tip(one))
    http.cut = http.cut_answer = None
    ok(one, "push")
    assert tip(shared) == tip(one)
    for path in (one, shared):
        fsck(path)


def test_a_fetch_is_cut(one, http, lumo, ok, git, clone, tip, fsck):
    ok(one, "push")
    two = clone(http.url("shared.git"), "two", "--single-branch")
    for cut in (0, 300):
        http.cut_answer = cut
        assert lumo(two, "pull")[2].startswith("fatal: origin: the connection broke off\n")
    assert tip(two) == ""
    http.cut_answer = None
    ok(two, "pull")
    assert tip(two) == tip(one)
    fsck(two)


def test_a_large_fetch_goes_on_where_it_broke_off(shared, one, http, lumo, ok, git, clone, tip, fsck):
    """Over a line that breaks after so many bytes each time a fetch of all would never end."""
    two = clone(http.url("shared.git"), "two")
    for n in range(12):
        with Experiment("digits", f"large{n}", repo=one) as exp:
            exp.dump_string("noise", os.urandom(15_000).hex())
    ok(one, "push")
    http.longest = 60_000
    http.requests.clear()
    plain = subprocess.run(["git", "fetch", "-q"], cwd=two, capture_output=True, check=False)
    assert plain.returncode
    assert tip(two, TRACKING) == ""
    ok(two, "pull")
    assert tip(two) == tip(two, TRACKING) == tip(one)
    assert git("for-each-ref", "refs/lumo", cwd=two) == ""
    assert "promisor" not in (two / ".git/config").read_text()
    assert not list((two / ".git/lumo/tmp").iterdir())
    fsck(two)


def test_what_has_come_of_a_large_fetch_stays(shared, one, http, lumo, ok, git, clone, tip, fsck, tmp_path):
    two = clone(http.url("shared.git"), "two")
    for n in range(6):
        with Experiment("digits", f"small{n}", repo=one) as exp:
            exp.dump_string("noise", os.urandom(15_000).hex())
    with Experiment("digits", "huge", repo=one) as exp:
        exp.dump_string("noise", os.urandom(90_000).hex())
    ok(one, "push")
    http.longest = 60_000
    assert lumo(two, "fetch")[2].startswith("fatal: origin: the connection broke off\n")
    anchor = tip(two, "refs/lumo/incoming/origin")
    assert anchor
    assert tip(two, TRACKING) == ""
    assert int(git("rev-list", "--count", f"{anchor}..{tip(one)}", cwd=one)) < 6
    fsck(two)
    http.longest = None
    ok(two, "pull")
    assert tip(two) == tip(one)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_while_the_server_thinks(shared, one, hook, ok, tip, fsck, number, tmp_path):
    began = tmp_path / "began"
    hook(f"touch {began}; sleep 2")
    child = subprocess.Popen(["git-lumo", "push"], cwd=one, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not began.exists():
        assert child.poll() is None, child.stderr.read()
        time.sleep(0.01)
    child.send_signal(number)
    _, err = child.communicate(timeout=30)
    assert child.returncode == (130 if number == signal.SIGINT else -number)
    if number == signal.SIGINT:
        assert err == "interrupted; 'git lumo push' again goes on, and nothing is lost\n"
    assert tip(one)
    hook("exit 0")
    ok(one, "push")
    assert tip(shared) == tip(one) == tip(one, TRACKING)
    for path in (one, shared):
        fsck(path)
    assert not list((one / ".git").rglob("*.lock"))


# ---------------------------------------------------------------------------------------------- what became of a remote


def test_the_remotes_branch_was_deleted(shared, one, ok, git, tip):
    ok(one, "push")
    git("update-ref", "-d", REF, cwd=shared)
    said = "origin has no ledger any more; what it had stays here, and 'git lumo push origin' brings it back\n"
    assert ok(one, "pull").startswith(said)
    assert ok(one, "fetch") == said
    ok(one, "push")
    assert tip(shared) == tip(one)


def test_the_remotes_branch_was_rewritten(shared, one, clone, record, ok, git, tip, fsck):
    ok(one, "push")
    two = clone(shared, "two")
    record(one, "lost")
    ok(one, "push")
    ok(two, "pull")
    git("update-ref", REF, git("rev-parse", f"{REF}~2", cwd=shared), cwd=shared)
    ok(two, "fetch")
    record(two, "new")
    git("push", "-q", "--force", "origin", f"{tip(shared)}:{REF}", cwd=two)
    said = ok(one, "pull")
    assert "the branch was replaced there" in said
    ok(two, "push")
    ok(one, "pull")
    assert tip(one) == tip(two) == tip(shared)
    assert all(f"/{name} " in ok(one, "log", "--oneline") for name in ("mine", "lost", "new"))
    fsck(shared)


@pytest.mark.damages
def test_the_remotes_branch_is_no_ledger(shared, one, lumo, git, tip, ok):
    git("branch", BRANCH, "main", cwd=shared)
    before = tip(shared)
    with SimpleExperiment("digits", repo=one):
        pass  # its code is the remote's branch: a plain push would be a fast-forward
    status, _, err = lumo(one, "push", "-q")
    assert status == 128
    first, _, rest = err.partition("\n")
    assert first.startswith(f"fatal: the branch {BRANCH} of origin is not a ledger of runs")
    assert "git config lumo.branch" in rest
    assert tip(shared) == before
    assert ok(one, "log", "--oneline").count("\n") == 2
