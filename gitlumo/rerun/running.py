"""Running any command as an experiment: ``git lumo run``, and what every rerun does in the end."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from gitlumo import adopting, capture, handing, machine, privacy, values
from gitlumo.errors import LumoError, NoSuchRun
from gitlumo.experiment import Experiment
from gitlumo.hooks import Diary, ExpHook, FinalReport, GitCommit, LastCmd, LockFile, RecordAbort
from gitlumo.rerun import streams
from gitlumo.rerun.metric_lines import VARIABLE, Call, MetricFile, Patterns
from gitlumo.rerun.output import Output
from gitlumo.rerun.programs import Interpreter, NoSuchCommand, experiment_of, program_of, python_of
from gitlumo.silence import is_silent
from gitlumo.store import layout, register, shared
from gitlumo.store.claim import alone
from gitlumo.store.journal import Folder
from gitlumo.store.record import Record
from gitlumo.store.shared import SharedJournal

_NOTED = tuple(number for number in streams.PASSED_ON if number != signal.SIGCONT)


@dataclass(frozen=True)
class Task:
    """A command that is to run as an experiment, in the current folder.

    Attributes:
        words: The command line.
        exp_name: The experiment; None: as its script is called.
        test_name: The run; None: the next of the day.
        params: Parameters to record.
        tags: Tags to set.
        note: The note to write.
        patterns: What finds metrics in its output; see :class:`gitlumo.rerun.metric_lines.Patterns`.
        env: Environment variables to set.
        rerun: ``info/rerun.json``, where it repeats another run.
        nth: Which run of the command's script is meant, from 0: the ones before are runs of their own.
        quiet: Whether to print no report at the end.
        started: Called with the run's uid once it is recorded, before the command starts.
        spawned: Called with the command's process id.
    """

    words: Sequence[str]
    exp_name: str | None = None
    test_name: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    note: str | None = None
    patterns: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    rerun: Mapping[str, Any] | None = None
    nth: int = 0
    quiet: bool = False
    started: Callable[[str], None] | None = None
    spawned: Callable[[int], None] | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of it.

    Attributes:
        status: The command's exit status; minus the signal that killed it.
        uid: The run's uid; None: nothing was recorded.
        label: ``<exp_name>/<test_name>``, as its script has called it.
        state: How the run ended.
        params: The parameters that it has recorded.
    """

    status: int
    uid: str | None
    label: str
    state: str
    params: Any = None


def run(task: Task) -> Outcome:
    """Run a command and record it.

    Raises:
        NoSuchCommand: If there is no such command; nothing is recorded then.
        UsageError: For a pattern that is none.
        LumoError: Where a run cannot begin; see :meth:`gitlumo.Experiment.start`.
    """
    streams.prepare()
    program, patterns = program_of(task.words), Patterns(list(task.patterns))
    handing.forget_runner()
    if is_silent(None):
        ended = streams.run(task.words, {**os.environ, **task.env}, lambda name, data: None, lambda: None)
        return Outcome(ended.told_status, None, "", "")
    interpreter = Interpreter(python_of(program))
    try:
        exp = _Command(task, program, interpreter)
        with _noting() as noted:
            exp.start()
            try:
                status = exp.run(patterns, noted)
            except BaseException as error:
                exp.__exit__(type(error), error, error.__traceback__)
                raise
    finally:
        interpreter.close()
    return Outcome(status, exp.uid, exp.label, exp.state, exp.load_info("params"))


@contextlib.contextmanager
def _noting() -> Iterator[list[int]]:
    """While a run begins and ends, signals are noted: what they are to end is the command."""
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)

    before = {number: signal.getsignal(number) for number in _NOTED}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, note)
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Lock(LockFile):
    """The packages of the Python that runs the command; none where no Python does."""

    name = "LockFile"

    def __init__(self, interpreter: Interpreter):
        self._interpreter = interpreter

    def on_start(self, exp: Experiment) -> None:
        """Record them."""
        lock, origins = self._interpreter.packages(exp.repository.location.work_tree)
        exp.record_info("lock", lock)
        if origins:
            exp.record_info("lock_origins", origins)


class _Command(Experiment):
    """A run whose metrics come from a command: by its script, by a file, or by what it prints."""

    def __init__(self, task: Task, program: capture.Program, interpreter: Interpreter):
        hooks: list[ExpHook | type[ExpHook]] = [_Lock(interpreter), GitCommit, LastCmd, Diary, RecordAbort]
        if not task.quiet:
            hooks.append(FinalReport)
        name = task.exp_name or experiment_of(program)
        super().__init__(name, task.test_name, hooks=hooks, params=dict(task.params) or None, distributed=False)
        self._task, self._program, self._provisional = task, program, task.exp_name is None
        self._nth = task.nth

    def _record_surroundings(self) -> None:
        super()._record_surroundings()
        task = self._task
        if task.tags:
            self.dump_tags(*task.tags)
        if task.note is not None:
            self.dump_note(task.note)
        told = {"given": dict(task.params), "patterns": list(task.patterns)}
        if any(told.values()):  # with what no script writes, as it may use these names itself
            self.record_info("execute", self.load_info("execute") | {key: told[key] for key in told if told[key]})
        if task.rerun is not None:
            self.record_info("rerun", dict(task.rerun))

    def run(self, patterns: Patterns, noted: list[int]) -> int:
        """Run the command to its end, and end the run; returns the command's status."""
        lumo_dir = self.ledger.lumo_dir
        self._journal.close()
        unsaved = self._journal.unsaved  # type: ignore[union-attr]
        self._journal = SharedJournal(self._where, self._on_trouble, lambda: alone(lumo_dir))
        self._journal.unsaved |= unsaved
        file = MetricFile(register.metrics_path(lumo_dir, self.uid))
        if file.trouble:
            with self._safely("Metrics"):
                raise file.trouble
        outputs: dict[str, Output] = {}
        env = {**os.environ, **self._task.env, handing.RUNNER: str(self._task.nth), VARIABLE: file.path}

        def hear(name: str, data: bytes) -> None:
            output = outputs.get(name)
            if output is None:
                path = layout.text_path(name)
                output = outputs[name] = Output(
                    lambda: (os.path.join(self._where(), path), os.path.join(self.blob_dir, path)),
                    lambda: alone(lumo_dir),
                    self._public_text,
                )
            output.feed(data)
            if patterns:
                self._log_all(patterns.calls(name, data))

        def tick() -> None:
            self._log_all(file.calls())

        try:
            if noted:  # while the run began
                return self._end_unstarted(noted[0])
            if self._task.started:
                with self._safely("Link"):
                    self._task.started(self.uid)
            ended = streams.run(self._task.words, env, hear, tick, noted, self._spawned)
            self._log_all([*file.calls(last=True), *patterns.rest()])
        except NoSuchCommand as error:
            self.end(error.status)
            raise
        finally:
            file.close()
        if ended.unwritten:
            self._warn(f"{self.label}: what the command wrote did not all get where it belongs: {ended.unwritten}")
        if file.bad:
            self._warn(f"{self.label}: {file.bad} lines in ${VARIABLE} are no metrics; see 'git lumo run --help'")
        with self._safely("Register"):
            adopting.close(self.ledger, self.uid)
        is_whole = self._go_along()
        self._keep(outputs)
        with self._safely("Register"):
            heir = adopting.hand_over(self.ledger, self.uid)
            if heir:
                self._leave_to(heir)
                return ended.told_status
        if is_whole:
            self._catch_up()
        self._end_with(ended)
        return ended.told_status

    def _spawned(self, pid: int) -> None:
        if self._task.spawned:
            with self._safely("Link"):
                self._task.spawned(pid)

    def _mark(self) -> int | None:
        """Nothing while a script in the command records the run: that shares it itself."""
        with self._lock, alone(self.ledger.lumo_dir):
            return None if shared.read_note(self._where()) is not None else super()._mark()

    def _where(self) -> str:
        run = register.find(self.ledger.lumo_dir, self.uid)
        return run.info_dir if run else self._folder.info_dir

    def _log_all(self, calls: Iterable[Call]) -> None:
        for call in calls:
            try:
                self.log(call.metrics, step=call.step)
            except LumoError as error:  # no name for a metric
                self._warn(f"{self.label}: {error}")

    def _warn(self, message: str) -> None:
        """As verbs warn: a line of the program's source, which Python's warnings name, tells nobody anything."""
        out = machine.stderr()
        if out is not None:
            with contextlib.suppress(OSError, ValueError):
                print(f"warning: {message}", file=out)

    def _public_text(self, text: str) -> str:
        return privacy.public_text(text, self.repository.location.work_tree)

    def _go_along(self) -> bool:
        """Go to where the command's script has moved the run.

        Returns:
            Whether the run's folder says which run it is; a full disk may have taken nothing of it.
        """
        self._journal.close()
        self._go_to(self._where())
        self._journal.flush()  # type: ignore[union-attr]
        if layout.read_identity(self._folder.read) is None:  # the command has removed it
            with self._safely("Register"), contextlib.suppress(NoSuchRun):
                self._restore()
        identity = layout.read_identity(self._folder.read)
        if identity is not None:
            self.exp_name, self.test_name = identity.exp_name, identity.test_name
        return identity is not None

    def _go_to(self, info_dir: str) -> None:
        self._folder = Folder(info_dir, self.settings.snapshot_max_file)
        self._record = Record(self._folder.read, self._folder.paths, info_dir)
        self._journal.info_dir = info_dir  # type: ignore[union-attr]
        self._folder_name = os.path.basename(info_dir)

    def _restore(self) -> None:
        """Bring the run back as it was published last."""
        from gitlumo.store.query import Runs

        view = self.ledger.view()
        record = Runs(view.objects, view.tree).resolve(self.uid).record
        names = [str(record.info(key)) for key in ("exp_name", "test_name")]
        self._go_to(os.path.join(self._roots["info_root"], *names))
        for path in record.paths():
            self._journal.save(path, record.read(path) or b"")

    def _catch_up(self) -> None:
        """Read what the command's script has made of the run: how far it is, its hooks, its metrics."""
        self._progress = self._reader.progress
        self._hook_states = {**(self.load_info("hooks") or {}), **self._hook_states}
        self._masked = list(self.load_info("masked") or ())
        self._metrics, self._summed = self._reader.folded()[0], True

    def _keep(self, outputs: Mapping[str, Output]) -> None:
        for name, output in outputs.items():
            path = layout.text_path(name)
            with self._safely("Output"):
                text = output.finish(os.path.join(self.blob_dir, path))
                if text is not None:
                    self._journal.save(path, text)
                if output.trouble:
                    raise output.trouble

    def _end_with(self, ended: streams.Ended) -> None:
        usage: dict[str, Any] = {
            "seconds": round(ended.seconds, 3),
            "cpu_user": round(ended.usage.ru_utime, 3),
            "cpu_system": round(ended.usage.ru_stime, 3),
            "peak_memory": ended.peak_memory,
        }
        if ended.status < 0:
            usage["signal"] = _name_of(-ended.status)
        if self.load_info("usage") is None:  # else it is the script's own
            self._save("usage", usage)
        if ended.status == -signal.SIGKILL:  # by the kernel, which wanted its memory, or by hand
            self._progress["killed"] = values.time_text(time.time())
        said = self._progress.get("end_code")  # by its script
        code = ended.status if ended.status >= 0 else 128 - ended.status
        self.end(code or (said if type(said) is int else 0))

    def _end_unstarted(self, number: int) -> int:
        self.end(128 + number)
        return -number

    def _leave_to(self, heir: int) -> None:
        """A process that the command has left goes on with the run."""
        if out := machine.stderr():
            print(f"gitlumo: process {heir} goes on with {self.label}", file=out)
        self._journal.close()
        self._forget()
        self.repository.close()


def _name_of(number: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
