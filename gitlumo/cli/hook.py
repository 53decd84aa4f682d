"""``git lumo hook NAME``: what the scripts in ``hooks/`` call."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gitlumo.cli.hooking import PRE_PUSH, PRE_RECEIVE
from gitlumo.cli.terminal import printable
from gitlumo.errors import LumoError, in_words

if TYPE_CHECKING:
    from gitlumo.home import Home
    from gitlumo.share.remotes import Remote

_NOTHING = re.compile(r"0+")
_DRY = re.compile(r"--dry-run|-[a-zA-Z46]*n[a-zA-Z46]*")
GENERATIONS = 4  # git, the shell of the hook, a shell of its own for the pipe


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("name", metavar="NAME", choices=(PRE_PUSH, PRE_RECEIVE), help="pre-push or pre-receive")
    parser.add_argument("words", metavar="WORD", nargs="*", help="what git gives the hook")


def run(args: argparse.Namespace) -> int:
    """Do what the hook is for."""
    return _pre_receive() if args.name == PRE_RECEIVE else _pre_push(args.words)


def _pre_push(words: list[str]) -> int:
    """Share the ledger with the remote to which code is pushed. Whatever fails is told, and is no failure."""
    pushed = [line.split(" ") for line in sys.stdin.read().splitlines()]
    try:
        said = _share(words[0] if words else "", [refs for refs in pushed if len(refs) == 4])
    except Exception as error:
        what = in_words(error)
        said = [f"the runs were not shared: {what}", "your own push goes on; 'git lumo push' shares them"]
    for line in said:
        print(f"gitlumo: {printable(line, newlines=True)}", file=sys.stderr)
    return 0


def _share(name: str, pushed: list[list[str]]) -> list[str]:
    from gitlumo.cli.opening import open_here
    from gitlumo.cli.push import lines
    from gitlumo.cli.wire import show
    from gitlumo.share import exchange, remotes
    from gitlumo.share.leaving import look

    opened = open_here()
    deletes_only = bool(pushed) and all(_NOTHING.fullmatch(id) for _, id, _, _ in pushed)
    has_ledger = any(opened.settings.ref in (ref, there) for ref, _, there, _ in pushed)
    if deletes_only or has_ledger or name not in opened.repository.remote_names() or _is_dry():
        return []
    remote = remotes.choose(opened, name)
    known = remotes.tips(opened)
    there = remotes.tip(opened, remote, known)
    if there is None and remote != _usual(opened):
        return []  # where code is deployed nobody wants runs
    if not (known or opened.is_recording) or exchange.ready(opened, known=known) == there:
        return []
    told: list[str] = []

    def approve(commit: str) -> None:
        leaving = look(opened, commit, remote)
        if leaving.secrets:
            count = len(leaving.secrets)
            raise LumoError(
                f"{count} secret{'s' if count != 1 else ''} would leave this machine; 'git lumo push --dry-run' shows"
            )
        told[:] = [*list(lines(leaving, remote))[:1], *([f"warning: {leaving.trouble}"] if leaving.trouble else [])]

    exchange.push(opened, remote, approve, show())
    return told or [f"{remote.name} has all runs"]


def _usual(home: Home) -> Remote | None:
    """The remote with which runs are shared if nobody says another."""
    from gitlumo.share import remotes

    try:
        return remotes.choose(home, None)
    except LumoError:
        return None


def _is_dry() -> bool:
    """Whether the push only shows what it would do; git does not tell its hooks."""
    for words in _ancestors():
        if os.path.basename(words[0]) == "git" and "push" in words:
            return any(_DRY.fullmatch(word) for word in words[words.index("push") + 1 :])
    return False


def _ancestors() -> Iterator[list[str]]:
    """The command lines of the processes above this one."""
    pid = os.getppid()
    for _ in range(GENERATIONS):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as line, open(f"/proc/{pid}/stat", "rb") as stat:
                words = os.fsdecode(line.read()).split("\0")
                pid = int(stat.read().rpartition(b")")[2].split()[1])
        except OSError:  # macOS
            asked = subprocess.run(
                ["ps", "-o", "ppid=,args=", "-p", str(pid)], capture_output=True, text=True, check=False
            )
            above, *words = asked.stdout.split() or ["0"]
            pid = int(above)
        if pid <= 1 or not words:
            return
        yield words


def _pre_receive() -> int:
    """Refuse what the ledger must not take. What is pushed is in git's quarantine until then."""
    from gitlumo.config import read_settings
    from gitlumo.git.repository import open_repository
    from gitlumo.share.receiving import check_push
    from gitlumo.store.branch import Branch

    repository = open_repository(quarantine=os.environ.get("GIT_QUARANTINE_PATH"))
    branch = Branch(repository, read_settings(repository.config))
    for line in sys.stdin.read().splitlines():
        old, new, ref = line.split(" ", 2)
        if ref != branch.settings.ref:
            continue
        reasons = check_push(branch, *(None if _NOTHING.fullmatch(id) else id for id in (old, new)))
        if reasons:
            print(f"gitlumo: {branch.settings.branch} was not taken", file=sys.stderr)
            for reason in reasons:
                print(f"  {printable(reason, newlines=True)}", file=sys.stderr)
            return 1
    return 0
