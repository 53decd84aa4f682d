"""``exp.backup(...)``: what the verb does, for one run, from Python."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

from gitlumo import editing
from gitlumo.backup import address
from gitlumo.config import read_settings
from gitlumo.errors import StateError
from gitlumo.git.repository import open_repository
from gitlumo.home import Home
from gitlumo.store.query import Found
from gitlumo.store.record import Record


def back_up(
    lumo_dir: str | None,
    run: tuple[str, str, str],
    *,
    repo: str | None,
    access_token: str | None,
    update: bool,
    labels: tuple[str, ...],
    keep_open: bool,
    milestone: str | None,
    assignees: tuple[str, ...],
) -> dict[str, Any]:
    """Back a run up; see :meth:`gitlumo.Experiment.backup`.

    Args:
        lumo_dir: gitlumo's folder in the git common dir.
        run: Its exp_name, test_name and uid.
        repo: ``owner/name``.
        access_token: The token.
        update: Whether an issue that is there is brought up to date.
        labels: More labels.
        keep_open: Whether the issue of a run that has ended stays open.
        milestone: The title of one.
        assignees: Names of users.
    """
    exp_name, test_name, uid = run
    if lumo_dir is None:
        raise StateError(f"{exp_name}/{test_name} was read from a folder of no repository, so its ledger is not known")
    from gitlumo.backup.api import Client
    from gitlumo.backup.issues import Backups, Options
    from gitlumo.backup.pace import Pace

    with contextlib.ExitStack() as opened:
        repository = open_repository(os.path.dirname(lumo_dir))
        opened.callback(repository.close)
        home = Home(repository, read_settings(repository.config))
        place = address.find(home, repo)
        client = Client(place, access_token or address.token(home, place), Pace(home.settings.github_pause), _tell)
        opened.callback(client.close)
        files = editing.published(home.ledger, uid, (exp_name, test_name))
        if files is None:
            raise StateError(f"{exp_name}/{test_name} is not published yet; type 'git lumo status'")
        found = Found(exp_name, test_name, f"{exp_name}/{test_name}", Record(files.read, files.paths, exp_name))
        backups = Backups(home, client, Options(update, labels, keep_open, milestone, assignees))
        backups.look([found])
        done = backups.back_up(found)
        return {"backend": "github", "repo": done.repo, "number": done.number, "url": done.url, "did": done.what,
                "masked": list(done.masked)}  # fmt: skip


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
