"""What the tests of backups on GitHub share: runs, the verbs, and what must hold after all that may go wrong."""

from __future__ import annotations

import json
import os
import random
import string
import subprocess
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

from gitlumo import SimpleExperiment
from gitlumo.backup import issue
from gitlumo.backup.address import Address
from gitlumo.cli import main
from gitlumo.cli.opening import open_here
from gitlumo.store.record import to_json
from tests.backup.emulator import OTHERS_TOKEN
from tests.backup.faults import Request
from tests.backup.proxy import GitHub

LONG = 130_000  # characters that cannot be compressed to less than 97,000 bytes: a body and two comments


def record(long: int = 0, steps: int = 5, **params: Any) -> Any:
    """A finished run, with ``long`` characters that do not compress."""
    with SimpleExperiment("digits", params={"lr": 0.1, **params}) as exp:
        for step in range(steps):
            exp.log({"loss": 1 / (step + 1)})
        exp.dump_metric("acc", 0.93)
        exp.dump_note("warm start")
        if long:
            exp.dump_string("noise", noise(long))
    return exp


def noise(length: int, seed: int = 0) -> str:
    dice = random.Random(seed)
    return "".join(dice.choices(string.ascii_letters + string.digits, k=length))


def backup(*args: str) -> int:
    return main(["backup", *args])


def connect(github: GitHub, folder: str | Path = ".") -> None:
    """Have a repository's backups go to a GitHub."""
    settings = {"githubUrl": github.url, "githubRepo": github.repo, "githubPause": "0"}
    for name, value in settings.items():
        subprocess.run(["git", "config", f"lumo.{name}", value], cwd=folder, check=True)


def as_json(name: str = "@", folder: str | Path = ".") -> Any:
    """All of a run, as ``git lumo show --json --history`` has it."""
    with chdir(folder):
        found = open_here().runs().resolve(name)
        return json.loads(to_json(found.record.properties, found.record.history()))


def runs(folder: str | Path = ".") -> dict[str, Any]:
    """All runs of a repository by uid."""
    with chdir(folder):
        found = [each.record for each in open_here().runs().newest()]
        return {each.uid: json.loads(to_json(each.properties, each.history())) for each in found}


def backup_edits(folder: str | Path = ".") -> dict[str, list[Any]]:
    """The values of each run's edits of the kind ``backup``, by uid."""
    with chdir(folder):
        found = [each.record for each in open_here().runs().newest()]
        return {each.uid: [edit.value for edit in each.edits if edit.kind == "backup"] for each in found}


def writes(github: GitHub) -> list[str]:
    """What was asked of GitHub that is not only reading."""
    return [str(request) for request in github.requests if request.method != "GET"]


def at(number: int) -> Callable[[Request], bool]:
    """For `GitHub.play`: every request from the ``number``-th on."""
    seen = iter(range(1, 10**9))
    return lambda request: next(seen) >= number


def place(github: GitHub) -> Address:
    """The address of GitHub's repository."""
    return Address(github.url, github.repo)


def tip(folder: str | Path) -> str:
    """Where a repository's ledger is."""
    command = ["git", "rev-parse", "lumo_experiments"]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def say(github: GitHub, number: int, text: str) -> None:
    """Somebody else comments on an issue."""
    github.ask("POST", f"/repos/{github.repo}/issues/{number}/comments", {"body": text}, OTHERS_TOKEN)


def live(github: GitHub, uid: str) -> list[dict[str, Any]]:
    """The issues that are backups of a run; whatever else was one is closed, empty, and says so."""
    found = []
    for each in github.issues():
        if issue.duplicate_of(each["body"]) == uid:
            assert (each["state"], list(issue.parts(each["body"]))) == ("closed", [])
            assert not any(issue.part_of(one["body"]) == uid for one in github.comments(each["number"]))
        elif issue.uids_of(each["body"]) == [uid]:
            found.append(each)
    return found


def restored(github: GitHub, folder: Path) -> dict[str, Any]:
    """All runs, restored into a repository that has never seen them."""
    subprocess.run(["git", "init", "-q", folder], check=True)
    connect(github, folder)
    with chdir(folder):
        assert main(["restore", "--all", f"github:{github.repo}"]) == 0
        return runs()


def check(github: GitHub, folder: Path) -> None:
    """Each run here has one live issue, from which it can be restored as it is, and says so once."""
    here = runs()
    for uid, values in here.items():
        (kept,) = live(github, uid)
        (said,) = values["backup"].values()
        assert (said["backend"], said["number"]) == ("github", kept["number"])
    assert {uid: len(edits) for uid, edits in backup_edits().items()} == dict.fromkeys(here, 1)
    assert restored(github, folder) == here


def objects(folder: str | Path = ".") -> Iterator[bytes]:
    """The content of all objects of a repository, whether anything reaches them or not."""
    names = subprocess.run(
        ["git", "cat-file", "--batch-all-objects", "--batch"], cwd=folder, check=True, capture_output=True
    )
    yield names.stdout


def files(folder: str | Path) -> Iterator[Path]:
    """All files below a folder."""
    for top, _, names in os.walk(folder):
        yield from (Path(top, name) for name in names)
