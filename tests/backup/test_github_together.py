"""Two machines that back the same run up at once: one issue, and one backup in both ledgers when they meet."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest

from gitlumo.backup.api import Client
from gitlumo.backup.issues import Backups, Done
from gitlumo.backup.pace import Pace
from gitlumo.cli import main
from gitlumo.cli.opening import open_here
from tests.backup import backups, faults
from tests.backup.faults import Answer, Request
from tests.backup.proxy import TOKEN, GitHub

ROUNDS = int(os.environ.get("GITLUMO_SOAK_ROUNDS", "40"))


@pytest.fixture
def clones(git, github, project, tmp_path) -> list[Path]:
    """Two clones of one repository, both with a run; nothing is backed up."""
    git("init", "-q", "--bare", tmp_path / "shared")
    git("remote", "add", "origin", tmp_path / "shared")
    backups.record(folder=str(project), long=backups.LONG)
    git("push", "-q", "origin", "main")
    assert main(["push"]) == 0
    assert main(["clone", str(tmp_path / "shared"), str(tmp_path / "another")]) == 0
    backups.connect(github, tmp_path / "another")
    return [project, tmp_path / "another"]


def meet(clones: list[Path]) -> None:
    """Have all clones the same ledger."""
    for clone in [*clones, *clones]:
        with chdir(clone):
            assert main(["pull"]) == 0
            assert main(["push"]) == 0


def at_once(github: GitHub, clones: list[Path]) -> list[Done | BaseException]:
    """Back the newest run up in all clones, each in a thread."""
    done: list[Done | BaseException] = []

    def prepare(clone: Path) -> Callable[[], None]:
        with chdir(clone):
            opened = open_here()
        place = backups.place(github)
        client = Client(place, TOKEN, Pace(0), lambda line: None)
        found = opened.runs().resolve("@")
        deeds = Backups(opened, client)

        def work() -> None:
            try:
                deeds.look([found])
                done.append(deeds.back_up(found))
            except BaseException as error:
                done.append(error)
            finally:
                deeds.close()

        return work

    threads = [threading.Thread(target=prepare(clone)) for clone in clones]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done


def together(parties: int) -> Callable[[Request, faults.Forward], Answer]:
    """A fault: whoever asks waits for the others to ask as well."""
    barrier = threading.Barrier(parties)

    def fault(request: Request, forward: faults.Forward) -> Answer:
        barrier.wait(10)
        return forward()

    return fault


def race(github: GitHub, clones: list[Path], where: str, tmp_path: Path) -> None:
    github.well()
    github.play(together(2), when=lambda request: f"{request.method} {request.place}".endswith(where), times=2)
    done = at_once(github, clones)
    github.well()
    assert all(isinstance(each, Done) for each in done), done
    assert len({each.number for each in done if isinstance(each, Done)}) == 1
    meet(clones)
    tips = {backups.tip(clone) for clone in clones}
    assert len(tips) == 1, "the ledgers have not met"
    here = [backups.runs(clone) for clone in clones]
    assert here[0] == here[1]
    for clone in clones:
        assert [len(edits) for edits in backups.backup_edits(clone).values()] == [1]
    assert backup_again(clones) == 0
    github.requests.clear()
    at_once(github, clones)
    assert backups.writes(github) == []
    with chdir(clones[0]):
        backups.check(github, tmp_path / f"restored-{len(os.listdir(tmp_path))}")


def backup_again(clones: list[Path]) -> int:
    """The next call in one clone, which takes away what two have written twice."""
    with chdir(clones[0]):
        return backups.backup("@")


WHERE = ("GET /repos/REPO/issues", "POST /repos/REPO/issues", "POST /repos/REPO/labels")


@pytest.mark.parametrize("where", WHERE)
def test_both_find_nothing_and_make_an_issue(github, clones, where, tmp_path):
    race(github, clones, where.replace("REPO", github.repo), tmp_path)
    if "labels" not in where:
        assert len(github.issues()) == 2, "they were at once"


def test_both_bring_the_same_issue_up_to_date(github, clones, tmp_path):
    race(github, clones, f"GET /repos/{github.repo}/issues", tmp_path)
    with chdir(clones[0]):
        assert main(["note", "@", "-m", "another"]) == 0
    meet(clones)
    race(github, clones, f"PATCH /repos/{github.repo}/issues/1", tmp_path)


@pytest.mark.soak
def test_many_times(github, clones, tmp_path, fsck):
    for number in range(ROUNDS):
        github.fresh()
        with chdir(clones[number % 2]):
            for clone in clones:
                backups.connect(github, clone)
            exp = backups.record(long=backups.LONG * (number % 2))
        meet(clones)
        done = at_once(github, clones)
        assert all(isinstance(each, Done) for each in done), done
        assert len(backups.live(github, exp.uid)) == 1
        meet(clones)
        for clone in clones:
            assert len(backups.backup_edits(clone)[exp.uid]) == 1
        assert backup_again(clones) == 0
        github.requests.clear()
        at_once(github, clones)
        assert backups.writes(github) == []
    fsck(clones[0])
