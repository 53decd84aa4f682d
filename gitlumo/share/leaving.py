"""What is about to leave this machine: shown before a push, and looked through for secrets."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from gitlumo import privacy
from gitlumo.errors import MissingObject
from gitlumo.git import process
from gitlumo.git.objects import Commit, diff_trees, parse_commit, read_commit
from gitlumo.git.outgoing import outgoing
from gitlumo.git.repository import Repository
from gitlumo.home import Home
from gitlumo.share import gitleaks
from gitlumo.share.remotes import Remote

_ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}")
_OF_A_RUN = re.compile(r"[^/]+/\d{6}/")  # see docs/format.md; code may be named so, too
_SHOWN = 7  # characters of a secret, but no more than a third of it


class Secret(NamedTuple):
    """A secret in what is about to leave.

    Attributes:
        path: The file's path, in the ledger or in the code.
        token: The secret's beginning, masked.
        rule: The rule of gitleaks that found it; empty: it is a provider's token, as we know it ourselves.
    """

    path: str
    token: str
    rule: str = ""


class Leaving:
    """What a push would send.

    Attributes:
        commit: The commit that is pushed.
        runs: The runs in it: uid to the subject of the latest event (``<exp_name>/<test_name> <state> ...``).
        events: How many events.
        code: How many commits of code, not counting snapshots.
        snapshots: How many snapshots: code that was never committed.
        untracked: Files in these snapshots that their parent commit does not have.
        objects: How many objects.
        size: What they take here, in bytes: about what they take on the wire.
        secrets: Secrets in them.
        trouble: Why gitleaks, which is installed, has not looked; empty: it has.
    """

    def __init__(self, commit: str):
        self.commit = commit
        self.runs: dict[str, str] = {}
        self.events = self.code = self.snapshots = self.objects = self.size = 0
        self.untracked: list[str] = []
        self.secrets: list[Secret] = []
        self.trouble = ""


def look(home: Home, commit: str, remote: Remote) -> Leaving:
    """See what a push of a commit would send, as far as the remote was last seen.

    Where gitleaks is installed, it looks, too; that it fails is no failure of the push.

    Raises:
        GitError: If objects are missing.
    """
    repository, leaving = home.repository, Leaving(commit)
    untracked: set[str] = set()
    with gitleaks.scanning(repository) if home.settings.gitleaks else contextlib.nullcontext() as scan:
        for item in outgoing(repository, commit, remote.name):
            leaving.objects += 1
            leaving.size += item.stored
            if item.kind == "commit":
                found = parse_commit(item.data)
                _count(leaving, found)
                if found.trailers("Lumo-Snapshot"):
                    untracked.update(_new_files(repository, found))
            elif item.kind == "blob" and b"\0" not in item.data[:8000]:  # as git tells that a file is a text
                leaving.secrets += [Secret(item.path, _masked(token)) for token in privacy.tokens(item.data)]
                if scan:
                    scan.add(item.path, item.data, is_small=_OF_A_RUN.match(item.path) is not None)
        if scan:
            _ask(scan, repository, leaving)
    leaving.untracked = sorted(untracked)
    return leaving


def _ask(scan: gitleaks.Scan, repository: Repository, leaving: Leaving) -> None:
    """Add what gitleaks has found, and we have not."""
    known = {(secret.path, secret.token) for secret in leaving.secrets}
    try:
        findings = scan.findings(repository.location.work_tree)
    except gitleaks.GitleaksFailed as error:
        leaving.trouble = f"gitleaks has not looked at it: {error}"
        return
    found = [one for one in findings if (one.path, _masked(one.secret)) not in known]
    ours = _our_ids(repository, leaving.commit, {one.secret for one in found})
    secrets = (Secret(one.path, _masked(one.secret), one.rule) for one in found if one.secret not in ours)
    leaving.secrets += dict.fromkeys(secrets)


def _our_ids(repository: Repository, commit: str, texts: set[str]) -> set[str]:
    """Which of some texts are no secrets but ids: of objects here, or of runs in the ledger."""
    ids = {text for text in texts if _ID.fullmatch(text)}
    known = {id for id in ids if repository.objects.has(id)} if ids else set()
    if ids - known:
        words = ["log", "--grep=^Lumo-Uid:", "--format=%(trailers:key=Lumo-Uid,valueonly)", commit]
        known |= ids & set(process.run([*repository.git_args, *words]).out.decode("ascii", "replace").split())
    return known


def _masked(secret: str) -> str:
    return f"{secret[: min(_SHOWN, len(secret) // 3)]}{privacy.MASK}"


def _count(leaving: Leaving, commit: Commit) -> None:
    uids = commit.trailers("Lumo-Uid")
    if uids:
        leaving.events += 1
        subjects = commit.message.split("\n\n")[1].split("\n") if len(uids) > 1 else [commit.subject]
        for uid, subject in zip(uids, subjects, strict=False):
            leaving.runs.setdefault(uid, subject)
    elif commit.trailers("Lumo-Snapshot"):
        leaving.snapshots += 1
    elif not commit.trailers("Lumo-Format"):
        leaving.code += 1


def _new_files(repository: Repository, snapshot: Commit) -> Iterator[str]:
    objects = repository.objects
    try:
        before = read_commit(objects, snapshot.parents[0]).tree if snapshot.parents else None
        yield from (path for path, old, _ in diff_trees(objects, before, snapshot.tree) if old is None)
    except MissingObject:  # a shallow or partial clone
        return
