"""What ``git lumo doctor`` looks at: what does the work here, and what is not well. Nothing here writes."""

from __future__ import annotations

import fnmatch
import os
import platform
import re
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata

from gitlumo import __version__, values, wording
from gitlumo.beginning import roots
from gitlumo.cli.now import Problem, RunNow, Status, status_of
from gitlumo.cli.opening import Opened
from gitlumo.errors import LumoError
from gitlumo.git import pack, process
from gitlumo.git.objects import read_commit
from gitlumo.share.remotes import apart
from gitlumo.store import layout, trees
from gitlumo.store.branch import Branch
from gitlumo.store.upkeep import Upkeep, owner_is_gone

OLDEST_GIT = (2, 39)
LOCK_SECONDS = 10.0
SILENT_SECONDS = 86400.0
_ROOTS = {"info_root": "lumo.infoRoot", "blob_root": "lumo.blobRoot", "cache_root": "lumo.cacheRoot"}


@dataclass
class Health:
    """How a repository is.

    Attributes:
        facts: What does the work, and where; for people and for reports of faults.
        problems: What is not well.
        notes: What is well, but good to know.
    """

    facts: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)


def examine(opened: Opened) -> Health:
    """Look at a repository, and at what gitlumo needs around it; settings that make no sense are left out."""
    settings, wrong = opened.settings.sound()
    opened = Opened(opened.repository, settings)
    status = status_of(opened)
    upkeep = Upkeep(opened.repository, settings)
    health = Health(dict(_facts(opened, status)), [_setting(said) for said in wrong])
    for check in (_git, _identity, _roots, _packs, _branch, _refspecs, _hooks):
        try:
            health.problems += check(upkeep)
        except LumoError as error:
            what, _, mend = str(error).partition("\n")
            health.problems.append(Problem(what, mend or "git fsck"))
    health.problems += [problem for problem in status.problems if problem not in health.problems]
    health.problems += _left(status)
    for note in (_clone, _file_locks):
        health.notes += note(upkeep)
    health.notes += _silent(status)
    return health


def _setting(said: str) -> Problem:
    what, _, mend = said.partition("\n")
    name = what.partition(" ")[0]
    where = f"git config --unset-all {name}   # where it is set: git config --show-origin --get-all {name}"
    return Problem(what, mend.removeprefix("type: ") or where)


def _facts(opened: Opened, status: Status) -> Iterator[tuple[str, str]]:
    repository, engine = opened.repository, opened.repository.engine
    location = repository.location
    yield "objects", f"{engine.objects} reads them"
    yield "refs", f"{'the git program' if engine.refs == 'git' else engine.refs} moves them"
    yield "why", engine.why
    yield "repository", f"{location.common_dir} ({location.hash_name}, refs in {location.ref_store})"
    yield "ledger", _ledger(opened, status)
    yield "gitlumo", f"{__version__}, {os.path.dirname(os.path.dirname(__file__))}"
    yield "python", f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    yield "git", _git_version()
    for library in ("pygit2", "dulwich"):
        yield library, _version_of(library)


def _version_of(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "not installed"


def _git_version() -> str:
    return process.run(["version"]).out.decode("utf-8", "replace").strip().removeprefix("git version ")


def _ledger(opened: Opened, status: Status) -> str:
    try:
        view = opened.branch.view()
    except LumoError:
        return f"{status.branch}, unreadable"
    if view.tree is None:
        return f"{status.branch}, not here yet; the first run makes it, or 'git lumo init'"
    count = sum(1 for _ in trees.places(view.objects, view.tree))
    at = f"at {status.tip[:12]}" if status.tip else f"only as {', '.join(view.tips)}"
    versions = [int(v) for tip in view.tips.values() for v in _versions(opened, tip)]
    return (
        f"{status.branch} {at}: {count} run{'s' if count != 1 else ''}, format {max(versions, default=layout.VERSION)}"
    )


def _versions(opened: Opened, tip: str) -> list[str]:
    return [v for v in read_commit(opened.repository.objects, tip).trailers("Lumo-Format") if v.isdecimal()]


def _git(upkeep: Upkeep) -> Iterator[Problem]:
    version = _git_version()
    found = re.match(r"(\d+)\.(\d+)", version)
    if found and (int(found[1]), int(found[2])) < OLDEST_GIT:
        yield Problem(f"git {version} is too old", "install git 2.39 or later")


def _identity(upkeep: Upkeep) -> Iterator[Problem]:
    who, known = upkeep.repository.identity
    if not known:
        yield Problem(
            f"git does not know who you are; runs bear {who}",
            'git config --global user.name "Your Name"\ngit config --global user.email you@example.org',
        )


def _roots(upkeep: Upkeep) -> Iterator[Problem]:
    location = upkeep.repository.location
    for folder in (location.common_dir, location.objects_dir):
        if not os.access(folder, os.W_OK | os.X_OK):
            yield Problem(
                f"{folder} cannot be written to: no run can be recorded", f"chmod u+rwx {shlex.quote(folder)}"
            )
    for name, folder in roots(upkeep.settings, upkeep.lumo_dir).items():
        there = folder
        while not os.path.lexists(there):
            there = os.path.dirname(there)
        if not os.path.isdir(there) or not os.access(there, os.W_OK | os.X_OK):
            what = f"{folder} cannot be written to: {there} is {'read-only' if os.path.isdir(there) else 'no folder'}"
            yield Problem(what, f"git config {_ROOTS[name]} /another/folder")


def _branch(upkeep: Upkeep) -> Iterator[Problem]:
    where = upkeep.repository.worktree_with(upkeep.settings.ref)
    tip = upkeep.repository.refs.read(upkeep.settings.ref)
    if where and tip and Branch(upkeep.repository, upkeep.settings).is_ledger(tip):
        yield Problem(
            f"{upkeep.settings.branch} is checked out in {where}; no run can be published",
            f"git -C {shlex.quote(where)} switch --detach\ngit lumo recover",
        )
    versions = read_commit(upkeep.repository.objects, tip).trailers("Lumo-Format") if tip else []
    if max((int(v) for v in versions if v.isdecimal()), default=0) > layout.VERSION:
        yield Problem("the ledger is of a later format than this gitlumo knows", "install a newer gitlumo")
    common = upkeep.repository.location.common_dir
    fetched = [os.path.join(common, "refs/remotes", name, f"{upkeep.settings.branch}.lock")
               for name in upkeep.repository.remote_names()]  # fmt: skip
    for lock, what in [(upkeep.branch_lock, "published"), *((lock, "fetched") for lock in fetched)]:
        age = _age(lock)
        if age > LOCK_SECONDS:
            held = f"{lock} has been there for {wording.span(age)}: while it is, no run can be {what}"
            yield Problem(held, f"rm {shlex.quote(lock)}   # if no git is running here")


def _refspecs(upkeep: Upkeep) -> Iterator[Problem]:
    """Fetches that write the local branch, and forced pushes: both lose runs once ledgers have grown apart."""
    repository, ref = upkeep.repository, upkeep.settings.ref
    for remote in repository.remote_names():
        spec = repository.overwriting(remote, ref)
        if spec:
            lost = "loses runs that are only here" if spec.startswith("+") else "fails once both have new runs"
            yield Problem(f"'git fetch {remote}' writes {ref} itself ({spec}), and {lost}", apart(remote))
        for spec in repository.config.get(f"remote.{remote}.push", []):
            if spec.startswith("+") and fnmatch.fnmatchcase(ref, spec[1:].partition(":")[0]):
                what = f"'git push {remote}' forces {ref} ({spec}), and loses runs that are only there"
                yield Problem(
                    what, f"git config --unset-all remote.{remote}.push; share them with git lumo push {remote}"
                )


def _packs(upkeep: Upkeep) -> Iterator[Problem]:
    left = list(upkeep.leftovers())
    if left:
        yield Problem(
            f"{_count(len(left), 'unfinished file')} of killed runs below {upkeep.lumo_dir}", "git lumo recover"
        )
    kept = [base for base, note in pack.kept_packs(upkeep.place) if owner_is_gone(note)]
    if kept:
        yield Problem(f"{_count(len(kept), 'pack')} kept for killed runs, which gc passes over", "git lumo recover")
    for base in pack.unindexed_packs(upkeep.place):
        if _age(base + ".pack") > LOCK_SECONDS:
            yield Problem(
                f"{base}.pack has no index: what is in it cannot be read", f"git index-pack {shlex.quote(base)}.pack"
            )


def _hooks(upkeep: Upkeep) -> Iterator[Problem]:
    from gitlumo.cli import hooking

    if hooking.is_missing(upkeep.repository):
        name = hooking.name_for(upkeep.repository)
        yield Problem(f"lumo.hooks is on, but the hook {name} is not there (any more)", "git lumo init --hooks")


def _left(status: Status) -> Iterator[Problem]:
    if status.dead:
        yield Problem(f"{_runs(status.dead)} died and waits to be published", "git lumo recover")
    if status.ended:
        yield Problem(f"{_runs(status.ended)} ended and could not be published", "git lumo recover")


def _silent(status: Status) -> Iterator[Problem]:
    for run in status.elsewhere:
        if run.heard is not None and time.time() - run.heard > SILENT_SECONDS:
            heard = wording.age(values.time_text(run.heard))
            where = f" on {run.host}" if run.host else ""
            what = f"{run.name}, started{where}, was last heard {heard}; nobody here can tell whether it runs"
            yield Problem(what, f"where it ran, if it is dead: git lumo recover --force {run.name}")


def _clone(upkeep: Upkeep) -> Iterator[Problem]:
    repository, branch = upkeep.repository, upkeep.settings.branch
    if repository.is_partial:
        remotes = " or ".join(repository.promisors)
        what = f"this is a partial clone: what it lacks of the ledger is fetched from {remotes} when it is read"
        yield Problem(what, "nothing needs to be done")
    if repository.is_shallow:
        what = "this is a shallow clone: the code of older runs may be missing here"
        yield Problem(what, "git fetch --unshallow")
    for remote in repository.remotes_without(upkeep.settings.ref):
        what = f"'git fetch {remote}' does not bring {branch} along; 'git lumo pull {remote}' does"
        yield Problem(what, f"git remote set-branches --add {remote} {branch} && git fetch {remote}")


def _file_locks(upkeep: Upkeep) -> Iterator[Problem]:
    """Whether the file system has flock(2); a writer's lock only spares lost races, so this is no problem."""
    import fcntl

    fd = os.open(upkeep.repository.location.common_dir, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
    except OSError as error:
        what = f"this file system has no locks ({error.strerror}): many writers at once are slower, and none is lost"
        yield Problem(what, "nothing needs to be done")
    finally:
        os.close(fd)


def _age(path: str) -> float:
    try:
        return time.time() - os.stat(path).st_mtime
    except OSError:
        return 0.0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def _runs(runs: list[RunNow]) -> str:
    return runs[0].name if len(runs) == 1 else f"{runs[0].name} and {len(runs) - 1} more"
