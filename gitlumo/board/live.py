"""The runs of a repository as they are now: one frame, one set of curves, for all pages that are open."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gitlumo.beginning import roots
from gitlumo.board import facts
from gitlumo.board.histories import Curves, Tail, curves_of
from gitlumo.errors import LumoError, NoSuchRun, in_words
from gitlumo.expression import parse
from gitlumo.frames import Frames
from gitlumo.home import Home
from gitlumo.revisions import Revisions
from gitlumo.share.distance import distances
from gitlumo.store import layout, record, register
from gitlumo.store.branch import Branch
from gitlumo.store.pending import Pending
from gitlumo.store.query import Found
from gitlumo.watcher import Selection

if TYPE_CHECKING:
    import pandas

ENDINGS = {"png": "image/png", "jpg": "image/jpeg", "gif": "image/gif", "webp": "image/webp"}
POLL_SECONDS = 1.0
_LOOK_SECONDS = 5.0  # after which a run may be found dead, of which no file says so
_MOST_POINTS = 4_000_000  # that are kept of runs that were looked at: 100 MB


@dataclass(frozen=True)
class State:
    """The runs at one moment.

    Attributes:
        frame: All runs, the newest first; see :meth:`gitlumo.watcher.Watcher.load`.
        live: The uids of those that are being recorded here.
        trouble: Why they could not be read; empty: they could.
    """

    frame: pandas.DataFrame
    live: frozenset[str]
    trouble: str = ""


class Source:
    """A repository's runs, looked at again and again.

    Attributes:
        home: The repository.
        state: What was seen last.
    """

    def __init__(self, home: Home):
        """Look at a repository for the first time.

        Args:
            home: The repository.

        Raises:
            LumoError: If its ledger cannot be read.
        """
        self.home = home
        self.branch = Branch(home.repository, home.settings)
        self._cache_root = roots(home.settings, home.lumo_dir)["cache_root"]
        location = home.repository.location
        self.folder = str(location.work_tree or location.common_dir)
        self._frames = Frames(self.folder)
        self._lock = threading.RLock()  # neither git's engines nor SQLite's connections are shared by threads at once
        self._tails: dict[str, Tail] = {}
        self._read: OrderedDict[str, Curves] = OrderedDict()
        self._listeners: list[Callable[[], None]] = []
        self._stop = threading.Event()
        self._seen: Any = None
        self._looked = 0.0
        self._sync = ""
        self.state = self._look()

    # Looking

    def _select(self) -> Selection:
        self.home.repository.objects.refresh()
        return Selection(self.branch, self._cache_root, self._prepare)

    def _prepare(self, pending: Pending) -> None:
        """The metrics of a run that goes on, without reading its history again."""
        tail = self._tails.get(pending.run.uid)
        if tail is None or tail.info_dir != pending.run.info_dir:
            tail = self._tails[pending.run.uid] = Tail(pending.run.info_dir)
        tail.follow()
        if tail.metrics:
            pending.extra[layout.METRICS] = record.metrics_to_bytes(tail.metrics)

    def _look(self) -> State:
        with self._lock:
            before, self._seen, self._looked = self._seen, self._signature(), time.monotonic()
            if before is None or before[0] != self._seen[0]:
                self._sync = self._distance()
            with self._select() as selection:
                frame, live = self._frames.load(selection, None, None), frozenset(selection.live)
            for uid in self._tails.keys() - live:
                del self._tails[uid]
                self._read.pop(uid, None)
            return State(frame, live)

    def _signature(self) -> Any:
        """What changes when anything does: the tips, and the sizes and times of the files of runs that go on."""
        runs = register.open_runs(self.home.lumo_dir)
        return self.branch.tips(), [(run, *_stamps(run.info_dir)) for run in runs]

    def poll(self) -> bool:
        """Look whether anything has changed, and if so at what, and tell who listens; whether it has."""
        with self._lock:
            before = self.state
            try:
                waited = time.monotonic() - self._looked > _LOOK_SECONDS
                if self._signature() == self._seen and not before.trouble and not (before.live and waited):
                    return False
                self.state = self._look()
            except Exception as error:  # whatever it is, the next look may be well, and pages must hear of it
                self.state = State(before.frame, before.live, in_words(error))
        for tell in list(self._listeners):
            tell()
        return True

    def follow(self) -> None:
        """Poll until :meth:`close`: what a thread does."""
        while not self._stop.wait(POLL_SECONDS):
            self.poll()

    def listen(self, tell: Callable[[], None]) -> Callable[[], None]:
        """Have a function called, in any thread, when anything has changed; what is returned ends that."""
        self._listeners.append(tell)

        def leave() -> None:
            with contextlib.suppress(ValueError):
                self._listeners.remove(tell)

        return leave

    def close(self) -> None:
        """Poll no more."""
        self._stop.set()

    def alone(self) -> threading.RLock:
        """What is held while the repository is read or written."""
        return self._lock

    def sync(self) -> str:
        """How far the remotes are, in words; as it was when they were last asked."""
        return self._sync

    def _distance(self) -> str:
        tips = self.branch.tips()
        settings, repository = self.home.settings, self.home.repository
        said = []
        for remote in distances(repository, tips.get(settings.ref), tips, settings.branch):
            parts = [f"{remote.ahead} to push"] if remote.ahead else []
            parts += [f"{remote.behind} to pull"] if remote.behind else []
            said.append(f"{remote.name}: {', '.join(parts) or 'up to date'}")
        return "; ".join(said)

    # Asking

    def select(self, text: str) -> set[str]:
        """The uids of the runs for which an expression holds.

        Raises:
            UsageError: If it means nothing; the message points at the place.
        """
        from gitlumo.where import to_sql

        with self._lock, self._select() as selection:
            condition = parse(text, selection, Revisions(self.home.repository))
            sql, bound = to_sql(condition)
            found = {entry.uid for entry in selection.index.runs(sql, bound) if entry.uid not in selection.live}
            return {uid for uid in found if uid} | {str(row.columns["uid"]) for row in selection.live_rows(condition)}

    def find(self, uid: str) -> Found:
        """A run.

        Raises:
            NoSuchRun: If it is not there any more.
        """
        from gitlumo.condition import Compare

        with self._lock, self._select() as selection:
            for row in selection.rows(Compare("uid", "=", uid)):
                return row.found
        raise NoSuchRun(f"the run {uid} is not there any more: it was purged, or its branch is gone")

    def image(self, uid: str, path: str) -> tuple[bytes, str] | None:
        """An image of a run: its bytes and its type; None: there is none of that path."""
        ending = path.rpartition(".")[2]
        with self._lock, contextlib.suppress(LumoError):
            run = self.find(uid).record
            if ending in ENDINGS and path in {each["path"] for each in facts.images(run.paths())}:
                data = run.read(path)
                return (data, ENDINGS[ending]) if data is not None else None
        return None

    def curves(self, uid: str) -> Curves:
        """All curves of a run; of one that is recorded here they grow.

        Raises:
            NoSuchRun: If it is not there any more.
        """
        with self._lock:
            tail = self._tails.get(uid)
            if tail is not None:
                return tail.curves
            if uid in self._read:
                self._read.move_to_end(uid)
                return self._read[uid]
            found = self._read[uid] = curves_of(self.find(uid).record)
            while len(self._read) > 1 and sum(map(_points, self._read.values())) > _MOST_POINTS:
                self._read.popitem(last=False)
            return found


def _points(curves: Curves) -> int:
    return sum(map(len, curves.values()))


def _stamps(info_dir: str) -> list[tuple[str, int, int]]:
    found = []
    for path in (info_dir, os.path.join(info_dir, "info"), os.path.join(info_dir, layout.HISTORY)):
        with contextlib.suppress(OSError):
            at = os.stat(path)
            found.append((path, at.st_mtime_ns, 0))
    with contextlib.suppress(OSError), os.scandir(os.path.join(info_dir, layout.HISTORY)) as entries:
        found += [(entry.name, 0, entry.stat().st_size) for entry in entries]
    return found
