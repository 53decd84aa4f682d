"""Repositories that are renamed, issues that are deleted or transferred, tokens that end half-way, and who waits."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time

import pytest

from gitlumo.cli import main
from tests.backup import backups, faults
from tests.backup.backups import backup
from tests.backup.faults import Answer, Fault, Request
from tests.backup.proxy import TOKEN, GitHub


@pytest.fixture
def run(project):
    return backups.record()


def but_first(github: GitHub, happens) -> Fault:
    """Something happens on GitHub just before a request arrives."""

    def fault(request: Request, forward: faults.Forward) -> Answer:
        happens()
        return forward()

    return fault


@pytest.mark.parametrize("number", range(1, 11))
def test_a_repository_that_is_renamed_meanwhile(github, run, number, tmp_path, capfd):
    github.play(but_first(github, github.rename_repository), at=number)
    status = backup("@")
    if status:
        assert "has just moved: Moved Permanently; try again" in capfd.readouterr().err
        assert backup("@") == 0
    assert len(backups.live(github, run.uid)) == 1
    before = backups.as_json()
    github.requests.clear()
    assert backup("@") == 0
    assert backups.writes(github) == []
    assert backups.restored(github, tmp_path / "other") == {run.uid: before}
    assert [len(edits) for edits in backups.backup_edits().values()] == [1]


def test_a_repository_that_was_renamed_is_followed(git, github, run, capfd):
    assert backup("@") == 0
    old, new = github.repo, github.rename_repository()
    github.requests.clear()
    assert backup("@") == 0
    assert backups.writes(github) == []
    assert f"unchanged, github:{new}#1" in capfd.readouterr().out
    assert main(["note", "@", "-m", "another"]) == 0
    assert backup("@") == 0
    assert "another" in github.issues()[0]["body"]
    assert backup("--check", "@") == 0
    assert main(["restore", f"github:{old}#1"]) == 0


def test_a_deleted_issue_is_made_again(github, run, tmp_path, capfd):
    assert backup("@") == 0
    github.delete_issue(1)
    assert backup("--check", "@") == 1
    assert "not backed up" in capfd.readouterr().out
    assert backup("@") == 0
    assert f"new, github:{github.repo}#2" in capfd.readouterr().out
    assert [value["number"] for value in backups.as_json()["backup"].values()] == [1, 2]
    assert backups.restored(github, tmp_path / "other") == {run.uid: backups.as_json()}
    assert main(["restore", f"github:{github.repo}#1"]) == 128
    assert "could not read #1: This issue was deleted" in capfd.readouterr().err


def test_an_issue_that_is_deleted_meanwhile_stops_no_other(github, run, capfd):
    other = backups.record()
    assert backup("--all") == 0
    for name in (run.test_name, other.test_name):
        assert main(["note", name, "-m", "another"]) == 0
    github.play(but_first(github, lambda: github.delete_issue(1)), when=lambda request: request.method == "PATCH")
    assert backup("--all") == 1
    assert "2 runs: 1 updated, 1 failed; the same command again goes on" in capfd.readouterr().err
    assert backup("--all") == 0
    assert "2 runs: 1 new, 1 unchanged" in capfd.readouterr().err


def test_a_transferred_issue_is_gone_on_with_where_it_is(github, run, tmp_path, capfd):
    assert backup("@") == 0
    there = github.create_repository()
    number = github.transfer_issue(1, there)
    assert main(["note", "@", "-m", "another"]) == 0
    capfd.readouterr()
    assert backup("@") == 128
    said = capfd.readouterr().err
    assert f"{github.repo}#1 was transferred: it is {there}#{number} now\n" in said
    command = re.search(r"go on with it there:  git lumo (.*)", said)
    assert command
    assert main([*command[1].split(), "@"]) == 0
    assert f"updated, github:{there}#{number}" in capfd.readouterr().out
    (issue,) = github.issues(there)
    assert "another" in issue["body"]
    assert {label["name"] for label in issue["labels"]} == {"lumo", "lumo:digits", "finished"}
    assert github.issues() == []
    assert main(["restore", f"github:{github.repo}#1"]) == 128
    assert f"it is {there}#{number} now" in capfd.readouterr().err


def test_a_token_that_ends_half_way(github, project, tmp_path, capfd):
    runs = [backups.record() for _ in range(4)]
    github.play(faults.bad_credentials, at=12, times=1000)
    assert backup("--all") == 128
    said = capfd.readouterr()
    assert len(said.out.splitlines()) == 1
    assert "4 runs: 1 new, 3 not done; the same command again goes on" in said.err
    assert "does not take the token: Bad credentials\nis it complete, and not expired?" in said.err
    assert len([each for each in github.requests if each.status == 401]) == 1, "the others were not asked for"
    github.well()
    assert backup("--all", "-j", "3") == 0
    assert [len(backups.live(github, run.uid)) for run in runs] == [1] * 4
    backups.check(github, tmp_path / "other")


@pytest.mark.parametrize("parallel", ["1", "3"])
def test_a_github_that_does_not_answer_any_more_is_left_alone(github, project, capfd, parallel):
    for _ in range(6):
        backups.record()
    github.play(faults.unavailable, at=12, times=10_000)
    assert backup("--all", "-j", parallel) == 128
    said = capfd.readouterr().err
    assert re.search(r"6 runs: .*not done; the same command again goes on", said)
    assert "has trouble of its own (503)" in said


@pytest.mark.parametrize("fault", [faults.primary_limit, faults.secondary_limit])
def test_it_waits_and_says_until_when(github, run, fault, capfd):
    github.play(fault(1), at=7)
    began = time.time()
    assert backup("@") == 0
    assert time.time() - began >= 1
    assert re.search(r"GitHub asks for a pause: waiting \d s, until \d\d:\d\d:\d\d", capfd.readouterr().err)
    assert len(github.issues()) == 1


def test_it_leaves_the_last_requests_of_the_hour_to_others(github, run, capfd):
    github.remaining, github.reset = 24, int(time.time()) + 2
    assert backup("@") == 0
    assert re.search(r"19 of the hour's 5000 requests are left: waiting \d s, until", capfd.readouterr().err)
    assert not [request for request in github.requests if request.status in (403, 429)]
    assert len(github.issues()) == 1


def test_ctrl_c_ends_the_wait_of_an_hour(github, run, tmp_path):
    github.play(faults.primary_limit(3500), at=7)
    command = subprocess.Popen(
        ["git-lumo", "backup", "@"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "GITHUB_TOKEN": TOKEN},
    )  # fmt: skip
    assert command.stderr is not None
    line = command.stderr.readline()
    assert re.match(r"GitHub asks for a pause: waiting 350\d s, until \d\d:\d\d:\d\d\n", line)
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=30)
    assert (command.returncode, out) == (130, "")
    assert err == "interrupted; 'git lumo backup' again goes on, and nothing is lost\n"
    assert backup("@") == 0
    backups.check(github, tmp_path / "other")


def test_ctrl_c_ends_a_batch_of_several_at_a_time(github, project, tmp_path):
    for _ in range(3):
        backups.record()
    github.play(faults.slow(0.3), times=1000, at=8)
    command = subprocess.Popen(
        ["git-lumo", "backup", "--all", "-j", "3"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    while len(github.requests) < 9 and command.poll() is None:
        threading.Event().wait(0.02)
    command.send_signal(signal.SIGINT)
    _, err = command.communicate(timeout=30)
    assert command.returncode == 130
    assert "Traceback" not in err
    github.well()
    assert backup("--all") == 0
    backups.check(github, tmp_path / "other")


@pytest.mark.parametrize("times", [1, 1000])
def test_a_page_of_a_hotel_is_not_github(github, run, times, capfd):
    for number in range(1, 5):
        github.play(faults.html(200), at=number, times=times)
        status = backup("@")
        said = capfd.readouterr().err
        assert (status == 0) == (times == 1), f"{number}: {said}"
        assert status == 0 or "is not GitHub" in said
        github.well()
    assert backup("@") == 0
    assert len(github.issues()) == 1
