"""How a run is shared while it goes on: by other processes, so that the training never waits for a network.

This process writes one small file, which gives what is recorded by then a number, and starts
:mod:`gitlumo.share.live`, which publishes that and pushes. A thread waits for the pushes, one at a time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from gitlumo import privacy, signals, values
from gitlumo.picturing import Picturing
from gitlumo.recorded import OPEN
from gitlumo.silence import Silence
from gitlumo.store import layout
from gitlumo.store.frozen import Frozen
from gitlumo.store.journal import TEMPORARY, write_whole

if TYPE_CHECKING:
    from gitlumo.store.journal import Folder
    from gitlumo.store.ledger import Ledger

LIMIT = 600.0  # seconds that a push may take; a first one over a slow line takes long
LAST = 10.0  # seconds that the end of a run waits for the last push, which then goes on by itself
GRACE = 30.0  # seconds in which a push that has taken too long ends by itself
SKIPPED = 75  # the status of a push that was not the turn of this run (EX_TEMPFAIL of sysexits.h)
HOOK = "AutoPush"  # how exp.properties['hooks'] calls it
_PROGRESS = layout.info_path("progress")
_SHARED = TEMPORARY + "shared"  # marks a folder whose run was shared while it ran: its end is to be pushed as well


class Sharing(Picturing):
    """The sharing half of an experiment."""

    ledger: Ledger
    _folder: Folder

    def __init__(self, exp_name: str, test_name: str | None):
        super().__init__(exp_name, test_name)
        self._live: _Live | None = None
        self._seen: object = None  # what was there when it was marked last
        self._behind = False  # whether the last push was not one
        self._said_behind = False

    def checkpoint(self, push: bool = False) -> None:
        """Publish to the ledger now; when this returns without a warning, it survives a power cut.

        Args:
            push: Whether to push it, too: in the background, and not if the last push still goes on.

        Raises:
            StateError: Before ``start()`` or after ``end()``.
        """
        if self._writing("checkpoint()"):
            with self._held("checkpoint()"):
                self._on_progress()
                self._publish("checkpoint")
            if push:
                self._share_on(asked=True)

    def _back_up(self, **options: Any) -> dict[str, Any] | None:
        """While the run is recorded, what fails is a warning."""
        if self._mode != OPEN:
            return super()._back_up(**options)
        if self._writing("backup()") and not isinstance(self._journal, Silence):
            self.checkpoint()
            with self._safely("Backup"):
                return super()._back_up(**options)
        return None

    @abstractmethod
    def _publish(self, kind: str) -> bool:
        """Bring the folder up to date and publish it; returns whether that is done."""

    def _share_on(self, *, asked: bool = False) -> None:
        """Share the run from now on, if lumo.autoPush says so; where it asks for that, at once."""
        if isinstance(self._journal, Silence) or not (asked or self.settings.auto_push):
            return
        with self._safely(HOOK):
            if self._live is None:
                self._live = _Live(self, self.settings.auto_push)
                write_whole(os.path.join(self._folder.info_dir, _SHARED), b"")
                with signals.held_back():
                    self._live.start()
            if asked:
                self._live.asked.set()

    def _share_off(self) -> None:
        """Start no more pushes; one that is going on goes on."""
        if self._live:
            self._live.is_over = True
            self._live.asked.set()

    def _is_shared(self) -> bool:
        """Whether the run was shared while it ran, by this process or another."""
        if isinstance(self._journal, Silence):
            return False
        return os.path.exists(os.path.join(self._folder.info_dir, _SHARED))

    def _share_end(self) -> None:
        """Push the run's end, and wait for that, but not for long."""
        with self._safely(HOOK):
            self._push(LAST, f"not within {LAST:g} seconds; that goes on in the background", wait=True)

    def _share(self, asked: bool) -> None:
        """Push once, and wait for it; called by the thread."""
        with self._safely(HOOK):
            seq = 0 if asked else self._mark()
            if seq is not None:
                pace = None if asked else self.settings.auto_push
                self._push(LIMIT + GRACE, "git does not end", seq, pace, wait=False)

    def _mark(self) -> int | None:
        """Give what is recorded now a number, under which another process may publish it; None: there is no news."""
        files = Frozen(self._folder.info_dir, self.settings.snapshot_max_file).files
        with self._lock:
            if self._mode != OPEN:
                return None
            seen = [file for file in files if file[0] != _PROGRESS], self._progress["ratio"]
            if seen == self._seen and not self._behind:
                return None
            if seen != self._seen:
                self._progress["seq"] += 2
                self._progress["last_edit_time"] = values.time_text(time.time())
                self._save("progress", self._progress)
                self._seen = seen
            return int(self._progress["seq"])

    def _push(self, seconds: float, otherwise: str, seq: int = 0, pace: float | None = None, *, wait: bool) -> None:
        """Start a push, and wait for it.

        Args:
            seconds: How long.
            otherwise: What to say where it takes longer.
            seq: The number of what is to be published before; 0: nothing.
            pace: See :func:`gitlumo.share.live.turn`.
            wait: Whether it is to wait its turn.
        """
        from gitlumo.git import process

        location = self.repository.location
        order = {
            "location": location._asdict(),
            "uid": self.uid,
            "seq": seq,
            "pace": pace,
            "wait": wait,
            "limit": LIMIT,
        }
        with tempfile.TemporaryFile() as said:  # not a pipe: a process that is forked just now would hold it open
            pushing = process.Child(
                [sys.executable, "-P", "-m", "gitlumo.share.live", json.dumps(order)],
                cwd=location.work_tree or location.git_dir,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env=process.environment(_NOBODY),
                start_new_session=True,  # Ctrl-C is not its, and it may outlive us
            )
            try:
                pushing.wait(seconds)
            except subprocess.TimeoutExpired:
                pushing.returncode = 0  # it is not ours to wait for any more, and Popen is not to complain of that
                self._note_push(None, otherwise)
                return
            said.seek(0)
            message = said.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
        self._note_push(pushing.returncode, message)

    def _note_push(self, status: int | None, said: str) -> None:
        """Keep how a push has ended; the first one that failed is told of."""
        message = privacy.public_text(said, None) or f"status {status}"
        with self._lock:
            if status == SKIPPED:
                self._behind = True
                return
            self._behind = status != 0
            self._hook_states[HOOK] = {"loaded": status == 0, "msg": message if self._behind else ""}
            if self._behind and not self._said_behind:
                self._said_behind = True
                self._warn(
                    f"{self.label} could not be pushed: {message}; it is recorded here all the same, and the next push"
                    " carries all (this is said once)"
                )


# Nobody is there to be asked, on no kind of screen (gitcredentials(7), ssh(1), Git Credential Manager).
_NOBODY = {"GIT_ASKPASS": "", "SSH_ASKPASS": "", "SSH_ASKPASS_REQUIRE": "never", "GCM_INTERACTIVE": "never"}


class _Live(threading.Thread):
    """Pushes at a pace, or when it is asked to; what it is asked while a push goes on is not done."""

    def __init__(self, run: Sharing, pace: float | None):
        super().__init__(name="gitlumo-push", daemon=True)
        self.asked = threading.Event()
        self.is_over = False
        self._sharing, self._pace = run, pace

    def run(self) -> None:
        """Go on until the run has ended."""
        while not self.is_over:
            asked = self.asked.wait(self._pace)
            if not self.is_over:
                self._sharing._share(asked)
                self.asked.clear()
