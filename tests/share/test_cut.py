"""A line that breaks before, within and after each request, in both directions, over each transport.

Each time: one clear line and no question, nothing of the user's is touched, all repositories are sound, and the same
command, typed again, succeeds. Nothing is lost, also where the server has taken what it never confirmed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from urllib.parse import urlsplit

import pytest

from gitlumo import Experiment
from tests.share import servers
from tests.share.conftest import BRANCH, TRACKING
from tests.share.proxy import proxy

CLEAR = re.compile(
    r"fatal: \S+(?:: the connection broke off| cannot be reached"
    r"| does not accept the user name or the password)"  # what git makes of half an answer 401
)
MINE = ("files", "index", "HEAD", "HEAD log", "stash")


@pytest.fixture
def http_line(shared, http):
    with proxy(http.server_port) as found:
        yield found, http.url("shared.git").replace(f":{http.server_port}/", f":{found.port}/")


@pytest.fixture(params=["http", *(pytest.param(name, marks=pytest.mark.soak) for name in ("daemon", "ssh"))])
def line(request, shared, tmp_path, monkeypatch):
    """A proxy in front of a server, and the shared repository's address behind it."""
    if request.param == "http":
        yield request.getfixturevalue("http_line")
        return
    with contextlib.ExitStack() as running:
        if request.param == "daemon":
            folder = running.enter_context(servers.git_daemon(shared.parent, "--enable=receive-pack"))
        else:
            program = servers.sshd_program()
            if program is None:
                pytest.skip("sshd is not installed")
            folder, command = running.enter_context(servers.sshd(program, tmp_path / "ssh", shared.parent))
            known_as = f"[127.0.0.1]:{urlsplit(folder).port}"
            monkeypatch.setenv("GIT_SSH_COMMAND", f"{command} -o HostKeyAlias={known_as}")
        port = urlsplit(folder).port
        found = running.enter_context(proxy(port))
        yield found, f"{folder}/shared.git".replace(f":{port}/", f":{found.port}/")


@pytest.fixture
def breaks(line, lumo, ok):
    """``breaks(path, command, at_most, before, after)``: break the line in as many places as a command talks.

    ``before()`` makes what is to be sent, ``after(status, cut)`` checks what the cut has left, and ``again()`` what the
    same command has done when it was typed again.
    """
    wire, _ = line

    def run(path, command, at_most, before, after, again):
        before()
        wire.mend()
        ok(path, *command)
        again()
        sizes = [turn.size for turn in wire.turns]
        places = [(number, part * size // 2) for number, size in enumerate(sizes) for part in (0, 1)]
        step = -(-len(places) // at_most)
        cuts = [*places[:: step if step % 2 else step + 1], (len(sizes) - 1, sizes[-1])]
        failed = 0
        for number, cut in enumerate(cuts):
            before()
            wire.mend(cut, by_reset=number % 2 == 1)
            status, _, err = lumo(path, *command)
            if status:
                failed += 1
                assert (status, bool(CLEAR.fullmatch(err.partition("\n")[0]))) == (128, True), (cut, err)
                assert servers.PASSWORD not in err
            after(status, cut)
            wire.mend()
            if status or command[0] != "clone":
                ok(path, *command)
            again()
        assert failed > len(cuts) / 2

    return run


def test_push(line, breaks, shared, clone, record, git, tip, fsck, tree_state):
    one = clone(shared, "one")
    git("remote", "set-url", "origin", line[1], cwd=one)
    git("push", "-q", shared, "HEAD:refs/heads/other", cwd=one)
    record(one)
    git("push", "-q", shared, f"{BRANCH}:{BRANCH}", cwd=one)
    git("fetch", "-q", cwd=one)
    mine = {name: tree_state(one)[name] for name in MINE}
    there = [tip(shared)]

    def after(status, cut):
        assert tip(shared) in (there[-1], tip(one)), cut
        assert {name: tree_state(one)[name] for name in MINE} == mine
        fsck(one)
        fsck(shared)

    def again():
        assert tip(shared) == tip(one) == tip(one, TRACKING) != there[-1]
        there.append(tip(shared))

    breaks(one, ("push", "-q"), 14, lambda: record(one), after, again)


def test_pull(line, breaks, shared, clone, record, git, tip, fsck, tree_state):
    one, two = clone(shared, "one"), clone(shared, "two")
    git("remote", "set-url", "origin", line[1], cwd=one)
    mine = {name: tree_state(one)[name] for name in MINE}
    here = [""]

    def before():
        record(two)
        git("push", "-q", "origin", BRANCH, cwd=two)

    def after(status, cut):
        assert tip(one) == (here[-1] if status else tip(shared)), cut
        assert {name: tree_state(one)[name] for name in MINE} == mine
        fsck(one)

    def again():
        assert tip(shared) == tip(one) == tip(one, TRACKING) != here[-1]
        here.append(tip(one))

    breaks(one, ("pull", "-q"), 8, before, after, again)


def test_clone(line, breaks, shared, clone, record, git, tip, fsck, tmp_path):
    one, copy = clone(shared, "one"), tmp_path / "copy"
    record(one)
    git("push", "-q", "origin", BRANCH, cwd=one)

    def after(status, cut):
        assert copy.exists() == (not status), cut

    def again():
        assert tip(copy) == tip(shared)
        assert (copy / "train.py").exists()
        fsck(copy)
        shutil.rmtree(copy)

    breaks(tmp_path, ("clone", "-q", line[1], "copy"), 8, lambda: None, after, again)


def test_half_of_an_answers_head_is_no_empty_repository(http_line, shared, clone, record, lumo, ok, git, tip, tmp_path):
    """git takes it for one, and says that all is well (2.47)."""
    wire, url = http_line
    one = clone(shared, "one")
    record(one)
    ok(one, "push")
    git("remote", "set-url", "origin", url, cwd=one)
    wire.mend()
    ok(one, "fetch")
    [answer] = [number for number, turn in enumerate(wire.turns) if not turn.to_server][1:2]
    for command in (("fetch",), ("pull",), ("clone", url, "copy")):
        wire.mend((answer, 60))
        status, out, err = lumo(tmp_path if command[0] == "clone" else one, *command)
        assert (status, out) == (128, ""), command
        assert err.partition("\n")[0].endswith(": the connection broke off")
    assert not (tmp_path / "copy").exists()
    wire.mend()
    ok(tmp_path, "clone", url, "copy")
    git("init", "-q", "--bare", shared.parent / "empty.git")
    ok(tmp_path, "clone", url.replace("shared.git", "empty.git"), "empty")


# ------------------------------------------------------------------------------------------------------ a slow line


@pytest.fixture
def large(shared, clone, ok):
    """A ledger of 500 KB on the server."""
    path = clone(shared, "source")
    for n in range(5):
        with Experiment("digits", f"large{n}", repo=path) as exp:
            exp.dump_string("noise", os.urandom(100_000).hex())
    ok(path, "push")
    return path


@pytest.mark.parametrize("command", ["pull", "clone"])
def test_ctrl_c_on_a_slow_line(http_line, shared, large, clone, ok, git, tip, fsck, tmp_path, command):
    wire, url = http_line
    two = clone(f"file://{shared}", "two", "--single-branch")
    git("remote", "set-url", "origin", url, cwd=two)
    where, words = (two, ["pull"]) if command == "pull" else (tmp_path, ["clone", url, "copy"])
    wire.pace = 20_000
    child = subprocess.Popen(["git-lumo", *words], cwd=where, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not any(turn.size > 20_000 for turn in wire.turns):
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=20)
    assert (child.returncode, out) == (130, "")
    means = "goes on, and nothing is lost" if command == "pull" else "starts anew, and nothing is left of this one"
    assert err == f"interrupted; 'git lumo {command}' again {means}\n"
    assert tip(two) == tip(two, TRACKING) == ""
    assert not (tmp_path / "copy").exists()
    fsck(two)
    assert not list((two / ".git").rglob("*.lock"))
    wire.pace = None
    ok(where, *words)
    assert tip(two if command == "pull" else tmp_path / "copy") == tip(shared)
