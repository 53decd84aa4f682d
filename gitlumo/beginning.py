"""How a run begins: the repository is found, dead runs are recovered, a name is claimed."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gitlumo import ids, machine, values
from gitlumo.config import RECORDING, Settings, read_settings
from gitlumo.errors import LumoError, StateError
from gitlumo.git.repository import Repository, load_engines, open_repository
from gitlumo.store import journal, layout, register
from gitlumo.store.journal import Folder, Journal

if TYPE_CHECKING:
    from gitlumo.adopting import Adopted
    from gitlumo.handing import Handed
    from gitlumo.resuming import Resumed
    from gitlumo.store.ledger import Ledger

AUTO = "auto"  # as resume=: the run that a preempted program had, else a new one
HANDED_SECONDS = 2.0  # to wait until another process has written whose a folder is


@dataclass
class Beginning:
    """What a run has once it has begun.

    Attributes:
        repository: Where it is recorded.
        settings: The repository's settings.
        ledger: The repository's ledger.
        time: The start, in seconds since 1970.
        roots: ``info_root``, ``blob_root``, ``cache_root``.
        warnings: What to tell the user.
        test_name: The run's name.
        uid: Its uid, where another process has said it; None: a new one.
        resumed: The run that goes on, if it is no new one.
        adopted: The run of who runs this program's command, if it is that.
        joined: Whether another process records the run, and this one only belongs to it.
        journal: Its writer.
        folder: Its files.
    """

    repository: Repository
    settings: Settings
    ledger: Ledger
    time: float
    roots: dict[str, str]
    warnings: list[str] = field(default_factory=list)
    test_name: str = ""
    uid: str | None = None
    resumed: Resumed | None = None
    adopted: Adopted | None = None
    joined: bool = False
    journal: Journal = field(init=False)
    folder: Folder = field(init=False)


def begin(
    exp_name: str,
    test_name: str | None,
    repo: str | os.PathLike[str] | None,
    trouble: Callable[[OSError], None],
    resume: str | None = None,
    handed: Handed | None = None,
    provisional: bool = False,
) -> Beginning:
    """Open the repository, recover what dead runs left, and claim the run's folder, or that of one that goes on.

    Args:
        exp_name: The experiment.
        test_name: The run; None: as another process has said, else the next of the day.
        repo: A folder in the repository; None: the current one.
        trouble: See :class:`gitlumo.store.journal.Journal`.
        resume: See :func:`gitlumo.resuming.find`; None: it is a new run.
        handed: What another process has said of this run.
        provisional: Whether the run may get another experiment's name: then its count is above those of all of them.

    Raises:
        NotARepository: Outside a git repository.
        NoSuchRun: If no run, or more than one, is meant by ``resume``.
        StateError: If the test_name is taken, or the run that is to go on has a living owner.
        UsageError: If a setting that matters to a recording makes no sense.
        LumoError: If the git folder cannot be written. No trace is left then.
    """
    # The engines take 80 ms to import; they do so while git is looking at the repository.
    imports = threading.Thread(target=load_engines, daemon=True)
    imports.start()
    repository = open_repository(repo)
    settings = read_settings(repository.config)
    settings.check(RECORDING)
    imports.join()
    from gitlumo.store.ledger import Ledger

    ledger = Ledger(repository, settings)
    began = Beginning(repository, settings, ledger, time.time(), roots(settings, ledger.lumo_dir))
    if not repository.identity[1]:
        began.warnings.append(
            f"git does not know who you are; commits will bear {repository.identity[0]}\n"
            'type: git config user.name "Your Name"; git config user.email you@example.org'
        )
    lost = ledger.lost_tip()
    if lost:
        began.warnings.append(f"the branch {settings.branch} was deleted; this run brings it back at {lost[:12]}")
    _recover(began)
    launched = handed if resume == AUTO and handed and not handed.is_run else None
    if resume is not None and not (launched and launched.uid):  # which joins a living run first of all
        _resume(began, exp_name, launched.test_name if launched else test_name, resume)
    elif (machine.job() or ("", 0))[1]:
        began.warnings.append("SLURM has started this job again; resume='auto' goes on with the run that it had")
    if began.resumed is None and handed and handed.is_run:
        _adopt(began, exp_name, test_name, handed)
    elif began.resumed is None and handed:
        _claim_handed(began, exp_name, handed)
    elif began.resumed is None:
        _claim(began, exp_name, test_name, provisional)
    if began.joined:
        return began
    if began.adopted:
        began.journal = began.adopted.journal(trouble)
        began.folder = Folder(began.journal.info_dir, settings.snapshot_max_file, began.journal.saved)
        return began
    if began.resumed:
        info_dir, chunk = began.resumed.info_dir, journal.last_chunk(began.resumed.info_dir)
    else:
        info_dir, chunk = os.path.join(began.roots["info_root"], exp_name, began.test_name), 0
    began.journal = Journal(info_dir, trouble, chunk)
    if not info_dir.startswith(ledger.lumo_dir + os.sep):
        with contextlib.suppress(OSError):  # then it is only not found again from its folder alone
            journal.claim(info_dir, ledger.lumo_dir)
    began.folder = Folder(info_dir, settings.snapshot_max_file, began.journal.saved)
    return began


def roots(settings: Settings, lumo_dir: str) -> dict[str, str]:
    """Where runs keep their folders."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # XDG Base Directory Specification
    return {
        "info_root": settings.info_root or os.path.join(lumo_dir, "info"),
        "blob_root": settings.blob_root or os.path.join(lumo_dir, "blob"),
        "cache_root": settings.cache_root or os.path.join(cache, "gitlumo"),
    }


def folder_name(exp_name: str, test_name: str, uid: str, info_root: str, lumo_dir: str) -> str | None:
    """A run's folder's name on this disk; another run, or another repository's, may have its test_name there."""
    for name in (test_name, f"{test_name}~{uid}"):
        info_dir = os.path.join(info_root, exp_name, name)
        said = journal.Folder(info_dir, 0).read(layout.info_path("uid"))
        if said == values.to_bytes(uid) and journal.belongs_to(info_dir, lumo_dir):
            return name
    return None


def _recover(began: Beginning) -> None:
    from gitlumo.store.recovery import recover

    if not register.open_runs(began.ledger.lumo_dir):
        return
    try:
        recover(began.ledger)
    except (LumoError, OSError):
        return  # what stops them from being published stops this run too, and is said when it is
    except Exception as error:  # whatever others left must not stop this training
        began.warnings.append(f"runs that were killed could not be recovered: {error!r}; type 'git lumo recover'")


def _resume(began: Beginning, exp_name: str, test_name: str | None, resume: str) -> None:
    from gitlumo.resuming import find, take_over

    found = find(began.ledger, exp_name, test_name, resume)
    if found:
        try:
            began.resumed = take_over(began.ledger, found, began.roots["info_root"])
        except StateError:
            if resume != AUTO or test_name is not None:
                raise
            return  # another was faster: it lives now, and a living one is let alone
        began.test_name = began.resumed.test_name


def _adopt(began: Beginning, exp_name: str, test_name: str | None, handed: Handed) -> None:
    """Go on with the run of who runs this script's command; or join it, or have one of its own."""
    from gitlumo import adopting

    began.adopted = adopting.adopt(began.ledger, str(handed.uid), exp_name, test_name, began.roots["info_root"])
    if began.adopted is None:
        began.joined = adopting.is_being_recorded(began.ledger, str(handed.uid), exp_name)
        began.uid, began.test_name = (handed.uid, handed.test_name) if began.joined else (None, "")
        if not began.joined:
            _claim(began, exp_name, test_name)
    else:
        began.uid, began.test_name = handed.uid, began.adopted.test_name


def _claim_handed(began: Beginning, exp_name: str, handed: Handed) -> None:
    """Make the folder of a run that another process has named; or join the run, if somebody alive records it."""
    from gitlumo.store.recovery import find_published

    info_dir = os.path.join(began.roots["info_root"], exp_name, handed.test_name)
    if not (handed.uid and find_published(began.ledger, handed.uid, [(exp_name, handed.test_name)])):
        try:
            _claim(began, exp_name, handed.test_name)
            began.uid = handed.uid
            return
        except StateError:
            if handed.uid is None or not _is_of(info_dir, handed.uid):
                raise
    if _is_recorded(began, handed.uid, info_dir):
        began.joined, began.uid, began.test_name = True, handed.uid, handed.test_name
    else:  # it has ended: a second owner would only lose what it records
        _claim(began, exp_name, None)


def _is_of(info_dir: str, uid: str) -> bool:
    """Whether a folder is that of a run; one that was made just now says so in a moment."""
    until, folder = time.monotonic() + HANDED_SECONDS, Folder(info_dir, 0)
    while (said := folder.read(layout.info_path("uid"))) is None and time.monotonic() < until:
        time.sleep(0.01)
    return said is not None and said.strip() == f'"{uid}"'.encode()


def _is_recorded(began: Beginning, uid: str, info_dir: str) -> bool:
    """Whether a run has a living owner; one that was begun just now is registered in a moment."""
    from gitlumo.store.pending import pending_runs

    until = time.monotonic() + HANDED_SECONDS
    while time.monotonic() < until:
        for pending in pending_runs(began.ledger):
            if pending.run.uid == uid:
                return pending.lives and not pending.abandoned
        progress = Folder(info_dir, 0).read(layout.info_path("progress"))
        if progress is None or b'"end": null' not in progress:
            return False
        time.sleep(0.02)
    return False


def _claim(began: Beginning, exp_name: str, test_name: str | None, provisional: bool = False) -> None:
    """Make the run's folder, exclusively."""
    info_root = began.roots["info_root"]
    try:
        folder = os.path.join(info_root, exp_name)
        os.makedirs(folder, exist_ok=True)
        if test_name is not None:
            _make(folder, test_name)
            began.test_name = test_name
            return
        day = values.day_text(values.time_text(began.time))
        ordinal = _next_ordinal(began, None if provisional else exp_name, day)
        while not began.test_name:
            name = ids.new_test_name(day, ordinal)
            with contextlib.suppress(FileExistsError):
                _make(folder, name)
                began.test_name = name
    except FileExistsError:
        raise StateError(
            f"{exp_name}/{test_name} exists already; choose another test_name, leave it out for a new one, "
            "or go on with it: resume='auto'"
        ) from None
    except OSError as error:
        raise LumoError(
            f"cannot record below {info_root}: {error.strerror}\n"
            "make it writable, or run without recording: LUMO_DISABLED=1"
        ) from None


def _make(folder: str, name: str) -> None:
    """Make a run's folder; an experiment's folder that is empty may be taken away meanwhile, by a run that left it."""
    try:
        os.mkdir(os.path.join(folder, name))
    except FileNotFoundError:
        os.makedirs(folder, exist_ok=True)
        os.mkdir(os.path.join(folder, name))


def _next_ordinal(began: Beginning, exp_name: str | None, day: str) -> int:
    """How many runs this experiment's day has, or that of any with None, in the ledgers here and in the register."""
    from gitlumo.store import trees

    open_dirs = [run.info_dir for run in register.open_runs(began.ledger.lumo_dir)]
    names = [os.path.basename(p) for p in open_dirs if exp_name in (None, os.path.basename(os.path.dirname(p)))]
    try:
        tips = [*began.ledger.tips().values(), *filter(None, [began.ledger.lost_tip()])]
        names += [name for tip in tips for name in trees.day_names(began.repository.objects, tip, exp_name, day)]
    except LumoError:
        with contextlib.suppress(OSError):
            names += os.listdir(os.path.join(began.roots["info_root"], exp_name or ""))
    ordinals = (ids.ordinal_of(name) for name in names if name.startswith(day))
    return max((ordinal + 1 for ordinal in ordinals if ordinal is not None), default=0)
