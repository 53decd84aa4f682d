"""The token appears nowhere: not on disk, not in what is printed, traced or logged, not in any process's arguments."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gitlumo import Watcher
from gitlumo.cli import main
from tests.backup import backups, faults
from tests.backup.backups import backup
from tests.backup.faults import Answer, Fault, Request
from tests.backup.proxy import TOKEN
from tests.endings import NO_STRACE, has_strace

SECRET = TOKEN.encode()
HELPER = """#!/bin/sh
# A credential helper: it says what it was asked, and whether there is a terminal.
echo "$@" >> {log}
cat >> {log}
(: < /dev/tty) 2>/dev/null && echo "there is a terminal" >> {log}
[ "$1" = get ] && echo username=ada && echo password={token}
exit 0
"""


def echo(status: int, page: bool = False) -> Fault:
    """Whoever answers repeats what was sent, the token too."""

    def fault(request: Request, forward: faults.Forward) -> Answer:
        said = f"Bad things: {request.headers}"
        if page:
            return Answer(status, f"<html>{said}</html>".encode(), {"Content-Type": "text/html", "X-Echo": said})
        more = {"errors": [{"message": said, "code": said}], "documentation_url": said}
        return Answer(status, {"message": said, **more}, {"X-Echo": said, "X-Accepted-OAuth-Scopes": said})

    return fault


def check(folder: Path, *texts: str) -> None:
    """Neither a file nor an object of a repository has the token, nor has what was printed."""
    for path in backups.files(folder):
        assert SECRET not in path.read_bytes(), path
    for content in backups.objects(folder):
        assert SECRET not in content
    for text in texts:
        assert text, "nothing was printed"
        assert TOKEN not in text


def run(*words: str, **env: str) -> str:
    """Run a command; returns all that it prints."""
    done = subprocess.run(
        words, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.stdout


def test_of_nothing_that_is_traced(github, project, tmp_path):
    backups.record(long=backups.LONG)
    trace = tmp_path / "trace"
    env = {"GIT_TRACE": "1", "GIT_TRACE2_EVENT": str(trace), "GIT_TRACE_CURL": "1", "GIT_TRACE_PACKET": "1"}
    said = [run("git", "lumo", "--debug", "backup", "@", **env)]
    github.play(echo(401))
    said.append(run("git", "lumo", "--debug", "backup", "@", **env))
    assert "Bad things: {" in said[-1]
    said.append(run("git", "lumo", "--debug", "backup", "--check", "@", **env))
    subprocess.run(["git", "init", "-q", tmp_path / "other"], check=True)
    backups.connect(github, tmp_path / "other")
    other = str(tmp_path / "other")
    said.append(run("git", "-C", other, "lumo", "--debug", "restore", f"github:{github.repo}#1", **env))
    assert "restored: " in said[-1]
    check(project, *said, trace.read_text())
    check(Path(other))


@pytest.mark.parametrize("status", [200, 301, 401, 403, 422, 500])
@pytest.mark.parametrize("page", [False, True])
def test_of_no_answer_that_repeats_it(github, project, status, page, caplog, capfd):
    backups.record()
    for number in (1, 2, 7, 9):
        caplog.clear()
        github.play(echo(status, page), at=number, times=10)
        with caplog.at_level(logging.DEBUG, "github"):
            backup("@", "--debug")
        github.well()
        said = capfd.readouterr()
        # PyGithub's log may be printed, too, where some library has asked for all logs; it ends with the answer
        ours = [line for line in (said.out + said.err).split("\n") if " ==> " not in line]
        assert not [line for line in ours if TOKEN in line]
        assert any(each.name == "github.Requester" for each in caplog.records), "PyGithub logs nothing any more"
        sent = [each.getMessage().partition(" ==> ")[0] for each in caplog.records]  # the rest is what it was answered
        assert not [each for each in sent if TOKEN in each]
    assert backup("@") == 0
    check(project)


@pytest.mark.skipif(not has_strace(), reason=NO_STRACE)
def test_of_no_arguments(github, project, tmp_path, monkeypatch):
    backups.record()
    helper(tmp_path, monkeypatch)
    traced = run("strace", "-f", "-s", "10000", "-e", "trace=execve", "git-lumo", "backup", "@")
    assert "new, github:" in traced
    calls = [line for line in traced.splitlines() if "execve(" in line]
    assert any('"credential", "fill"' in line for line in calls)
    check(project, traced)


def helper(tmp_path: Path, monkeypatch) -> Path:
    """Have git know the token, and the environment not; returns what the helper was asked."""
    script, log = tmp_path / "helper", tmp_path / "asked"
    script.write_text(HELPER.format(token=TOKEN, log=log))
    script.chmod(0o755)
    monkeypatch.delenv("GITHUB_TOKEN")
    subprocess.run(["git", "config", "credential.helper", str(script)], check=True)
    return log


def test_of_a_credential_helper(github, project, tmp_path, monkeypatch, capfd):
    backups.record()
    log = helper(tmp_path, monkeypatch)
    assert backup("@") == 0
    assert "new, github:" in capfd.readouterr().out
    asked = log.read_text()
    assert asked.startswith("get\n"), "git asks a helper to store nothing"
    assert f"host={github.url.partition('//')[2]}" in asked
    assert "terminal" not in asked
    check(project)


@pytest.mark.parametrize("helpers", ["", "!exit 1", "!echo password=", "!sleep 100"])
def test_where_nobody_knows_one(git, github, project, helpers, monkeypatch, capfd):
    from gitlumo.backup import address

    monkeypatch.setattr(address, "_ANSWERS", 1.0)
    backups.record()
    monkeypatch.delenv("GITHUB_TOKEN")
    monkeypatch.setenv("GIT_ASKPASS", "false")
    git("config", "credential.helper", helpers)
    assert backup("@") == 128
    said = capfd.readouterr().err
    assert f"there is no token for {github.url.partition('//')[2]}" in said
    assert said.endswith("export GITHUB_TOKEN=...\n")
    assert github.requests == []


def test_of_python(github, project, monkeypatch, capfd):
    backups.record()
    monkeypatch.delenv("GITHUB_TOKEN")
    done = Watcher().retrieve("@").backup(access_token=TOKEN, labels=["paper"])
    assert (done["number"], done["did"]) == (1, "new")
    code = "from gitlumo import Watcher; import os; Watcher().retrieve('@').backup(access_token=os.environ['T'])"
    github.play(echo(401))
    said = run(sys.executable, "-c", code, T=TOKEN)
    assert "does not take the token: Bad things" in said
    check(project, said)


def test_a_token_of_several_lines_or_other_letters(github, project, monkeypatch, capfd):
    backups.record()
    for token in (f"{TOKEN}\nX-Evil: 1", f"{TOKEN}é", "ghp_\udcff"):
        monkeypatch.setenv("GITHUB_TOKEN", token)
        assert backup("@") == 128
        said = capfd.readouterr().err
        assert "fault of gitlumo" not in said
        assert TOKEN not in said
        assert "token" in said
    assert main(["restore", f"github:{github.repo}#1"]) == 128
    assert github.requests == []


def test_of_pygithubs_log(github, project, caplog):
    backups.record()
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "github")
    assert backup("@") == 0
    assert len([each for each in caplog.records if each.name == "github.Requester"]) == len(github.requests)
    assert TOKEN not in caplog.text
