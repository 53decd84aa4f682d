"""Whatever goes wrong at whichever request: a run is backed up once, or not at all and it is said; the next call mends.

Ordinarily every other request of each deed meets two faults, and the one that makes an issue each of them; in the soak,
with enough rounds, each request meets each.
"""

from __future__ import annotations

import itertools
import os
import random
import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest

from gitlumo.backup import api
from gitlumo.cli import main
from tests.backup import backups, faults
from tests.backup.faults import Fault, Request
from tests.backup.proxy import GitHub

# What goes by: a call gets over one of them.
PASSING: dict[str, Callable[[GitHub], Fault]] = {
    "cut before": lambda github: faults.cut_before,
    "cut within": lambda github: faults.cut_within,
    "cut after": lambda github: faults.cut_after,
    "reset": lambda github: faults.reset_before,
    "silent before": lambda github: faults.silent_before,
    "silent after": lambda github: faults.silent_after,
    "500": lambda github: faults.server_error,
    "502": lambda github: faults.bad_gateway,
    "502 after": lambda github: faults.unavailable_after,
    "503": lambda github: faults.unavailable,
    "502 page": lambda github: faults.html(502),
    "200 page": lambda github: faults.html(200),
    "secondary": lambda github: faults.secondary_limit(),
    "secondary, 0 s": lambda github: faults.secondary_limit(0),
    "secondary, 429": lambda github: faults.secondary_limit(0, status=429),
    "late": lambda github: github.late(after=2),
}
# What does not: a fault, and what is said.
LASTING: dict[str, tuple[Fault, str]] = {
    "401": (faults.bad_credentials, r"does not take the token: Bad credentials\n.*export GITHUB_TOKEN="),
    "403": (faults.missing_scope(), r"(?s)the token may not .*has the scopes: read:org; this needs one of: repo, pub"),
    "404": (faults.not_found, "has no such thing, or the token may not see it; could not .*"),
    "410": (faults.issues_disabled, "has no issues: they are switched off\nswitch them on at .*/settings"),
    "422": (
        faults.invalid("Issue", "body", "body is too long"),
        r"could not .*: Validation Failed \(body is too long\)",
    ),
    "hour": (faults.primary_limit(7200), r"asks for a pause until \d{4}-.*: API rate limit .*\nthe same command again"),
}
AGAIN = "the same command again goes on where this one stopped"


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(api, "TIMEOUT", 1)
    monkeypatch.setattr(api.refusals, "SECONDARY", 0.01)


class Deed:
    """Something that is asked of GitHub, again and again from the same beginning.

    Attributes:
        args: The command.
        long: Characters of the run that do not compress.
        before: What has been done before: backups and edits of the run.
    """

    def __init__(self, args: str, long: int = 0, before: tuple[str, ...] = ()):
        self.args, self.long, self.before = args.split(), long, before

    def prepare(self, github: GitHub) -> None:
        for step in self.before:
            if step == "people":
                people(github)
            elif step == "duplicate":
                kept = github.issues()[-1]
                again = {key: kept[key] for key in ("title", "body")}
                github.ask("POST", f"/repos/{github.repo}/issues", {**again, "labels": ["lumo"]})
            else:
                assert main(step.split()) == 0

    def __call__(self, github: GitHub) -> int:
        return main([word.replace("REPO", github.repo) for word in self.args])


def people(github: GitHub) -> None:
    """People write around, comment, and give a label."""
    (kept,) = github.issues()
    body = f"before\n\n{kept['body']}\nafter\n"
    labels = [label["name"] for label in kept["labels"]]
    github.edit(kept["number"], body=body, labels=[*labels, "Lovely"])
    backups.say(github, kept["number"], "well done")


def people_are_there(github: GitHub) -> None:
    kept = github.issues()[0]
    assert kept["body"].startswith("before\n\n")
    assert kept["body"].endswith("\nafter\n")
    assert "Lovely" in [label["name"] for label in kept["labels"]]
    assert "well done" in [comment["body"] for comment in github.comments(kept["number"])]


DEEDS = {
    "new": Deed("backup @"),
    "update": Deed("backup @", before=("backup @", "people", "note @ -m another")),
    "long": Deed("backup @", long=backups.LONG),
    "longer": Deed("backup @", long=backups.LONG, before=("backup @", "people", "note @ -m another")),
    "unchanged": Deed("backup @", long=backups.LONG, before=("backup @", "people")),
    "duplicate": Deed("backup @", before=("backup @", "duplicate")),
    "check": Deed("backup --check @", long=backups.LONG, before=("backup @", "people")),
    "restore": Deed("restore github:REPO#1", long=backups.LONG, before=("backup @", "people")),
}


@pytest.fixture(scope="session")
def recorded(tmp_path_factory, sealed) -> Callable[[int], Path]:
    """``recorded(long)``: a repository with a run; to be copied."""
    made: dict[int, Path] = {}

    def get(long: int) -> Path:
        if long not in made:
            made[long] = tmp_path_factory.mktemp("recorded") / "repo"
            subprocess.run(["git", "init", "-q", made[long]], check=True)
            (made[long] / "train.py").write_text("print('training')\n")
            with chdir(made[long]):
                subprocess.run(["git", "add", "--all"], check=True)
                subprocess.run(["git", "commit", "-qm", "a training"], check=True)
                backups.record(long)
        return made[long]

    return get


@pytest.fixture
def begin(github, project, recorded, tmp_path, monkeypatch, fsck, tree_state):
    """``begin(deed)``: the deed's beginning, in a new repository here and on GitHub; returns what looks at the end."""
    count = iter(range(10**6))

    def start(deed: Deed) -> Callable[[], None]:
        github.fresh()
        number = next(count)
        folder, other = tmp_path / str(number), tmp_path / f"{number}-restored"
        shutil.copytree(recorded(deed.long), folder, symlinks=True)
        monkeypatch.chdir(folder)
        backups.connect(github)
        deed.prepare(github)
        state = tree_state(folder)
        if deed.args[0] == "restore":
            subprocess.run(["git", "init", "-q", tmp_path / f"{number}-clean"], check=True)
            monkeypatch.chdir(tmp_path / f"{number}-clean")
            backups.connect(github)

        def finish() -> None:
            github.well()
            github.land()
            assert deed(github) == 0
            if deed.args[0] == "restore":
                assert backups.runs() == backups.runs(folder)
                fsck(".")
                monkeypatch.chdir(folder)
            backups.check(github, other)
            if "people" in deed.before:
                people_are_there(github)
            fsck(folder)
            fsck(other)
            assert tree_state(folder) == state
            github.requests.clear()
            assert deed(github) == 0
            assert backups.writes(github) == [], "nothing has changed, and it was written all the same"

        github.requests.clear()
        return finish

    return start


def requests_of(begin, github: GitHub, deed: Deed) -> list[Request]:
    """What a deed asks where all goes well."""
    finish = begin(deed)
    assert deed(github) == 0
    requests = list(github.requests)
    finish()
    return requests


def play(github: GitHub, name: str, at: int, times: int = 1) -> str:
    """Play a fault; returns what is to be said of it, in the end."""
    fault, said = (PASSING[name](github), AGAIN) if name in PASSING else LASTING[name]
    github.play(fault, at=at, times=times)
    return said


def expect(status: int, said: str, capfd, what: object) -> None:
    """A failed deed says why, and what to type next."""
    err = capfd.readouterr().err
    assert status == 128, f"{what}: {err}"
    assert re.search(said, err), f"{what}: {err}"


@pytest.mark.parametrize("deed", DEEDS)
def test_each_request_meets_faults(begin, github, deed, capfd):
    passing, lasting = itertools.cycle(PASSING), itertools.cycle(LASTING)
    numbered = list(enumerate(requests_of(begin, github, DEEDS[deed]), 1))
    for number, request in numbered[::2]:
        finish = begin(DEEDS[deed])
        capfd.readouterr()
        name = next(lasting)
        said = play(github, name, number)
        status = DEEDS[deed](github)
        if status or name != "404":  # what is gone already need not be taken away
            expect(status, said, capfd, request)
        play(github, next(passing), number)
        assert DEEDS[deed](github) == 0, f"{request}: {capfd.readouterr().err}"
        finish()


@pytest.mark.parametrize("name", [*PASSING, *LASTING])
def test_the_request_that_makes_an_issue_meets_each_fault(begin, github, name, capfd):
    finish = begin(DEEDS["new"])
    capfd.readouterr()
    said = play(github, name, 7)
    status = DEEDS["new"](github)
    assert str(github.requests[6]) == f"POST /repos/{github.repo}/issues"
    if name in LASTING:
        expect(status, said, capfd, name)
        assert not github.issues()
    else:
        assert status == 0
    finish()


# All of them with GITLUMO_SOAK_ROUNDS=400; what never answers, for ever, would only wait.
CASES = [
    (deed, name, times)
    for deed, name, times in itertools.product(DEEDS, [*PASSING, *LASTING], [1, 1000])
    if times == 1 or not name.startswith("silent")
]
ROUNDS = int(os.environ.get("GITLUMO_SOAK_ROUNDS", "60"))


@pytest.mark.soak
@pytest.mark.parametrize(("deed", "name", "times"), random.Random(7).sample(CASES, min(ROUNDS, len(CASES))))
def test_each_request_meets_each_fault(begin, github, deed, name, times, capfd):
    for number, request in enumerate(requests_of(begin, github, DEEDS[deed]), 1):
        finish = begin(DEEDS[deed])
        capfd.readouterr()
        said = play(github, name, number, times)
        status = DEEDS[deed](github)
        if status or (name in LASTING and name != "404"):
            assert name in LASTING or times > 1
            expect(status, said, capfd, request)
        finish()
