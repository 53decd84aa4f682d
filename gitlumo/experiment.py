"""The write side: a run that records itself."""

from __future__ import annotations

import atexit
import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from gitlumo import arguments, exits, handing, hardware, ids, notebook, seeding, signals, values
from gitlumo.errors import FormatError, InvalidValue, StateError
from gitlumo.handing import Handed
from gitlumo.hooks import ExpHook
from gitlumo.recorded import ENDED, NEW, OPEN
from gitlumo.sharing import Sharing
from gitlumo.silence import Silence, is_silent, slurm_is_unclear
from gitlumo.store import layout, record, register
from gitlumo.store.journal import Journal
from gitlumo.store.record import Record

if TYPE_CHECKING:
    from gitlumo.adopting import Adopted
    from gitlumo.beginning import Beginning
    from gitlumo.resuming import Resumed
    from gitlumo.sampling import Sampler


_GOES_ON = {"end": None, "finished": False}  # of a run that its script has ended, and whose runner will end it


class Experiment(Sharing):
    """One run. It runs only the hooks that it is given; :class:`gitlumo.SimpleExperiment` runs the built-in ones.

    Example:
        >>> with Experiment('digits') as exp:
        ...     exp.dump_info('params', {'lr': .1})
        ...     exp.log({'loss': .31}, step=1)
    """

    built_in: tuple[type[ExpHook], ...] = ()

    def __init__(
        self,
        exp_name: str,
        test_name: str | None = None,
        repo: str | os.PathLike[str] | None = None,
        hooks: Iterable[ExpHook | type[ExpHook]] = (),
        *,
        params: Any = None,
        distributed: bool | None = None,
        resume: str | None = None,
    ):
        """Name a run; nothing is written before :meth:`start`.

        Args:
            exp_name: What is tried, 1 to 100 bytes (docs/format.md, section 3).
            test_name: The run's name; None: the next of the day.
            repo: A folder in the git repository; None: the current folder.
            hooks: What to run around it, after the class's own.
            params: Parameters to record as soon as it starts; see :meth:`dump_info`.
            distributed: Whether the processes of this job are ranks of one run, of which only the first records;
                None: as RANK, LOCAL_RANK or OMPI_COMM_WORLD_RANK say.
            resume: The run to go on with: its history is added to. As on the command line: a name, a prefix of one,
                ``@`` for the newest. ``'auto'``: the run of this test_name, or of this SLURM job, else the newest one
                if it was killed or ended by a signal; if there is none, a new one. None: a new one.

        Raises:
            InvalidName: For a name that breaks the rules.
            InvalidValue: For hooks that are none, parameters that cannot be stored, or a ``resume`` that is no text.
        """
        super().__init__(exp_name, test_name)
        self.hooks = [_hook(hook) for hook in (*self.built_in, *hooks)]
        self._params = None if params is None else values.encode(params, "params")
        self._repo = repo
        self._distributed = distributed
        self._resume = arguments.resume(resume)
        self._provisional = False  # the name: a script may give it another one
        self._adopted: Adopted | None = None
        self._given: Any = None  # parameters that whoever runs this program's command has recorded
        self._sampler: Sampler | None = None
        self._registered = False
        self._publishing = False
        self._ending = False

    # Life

    def start(self) -> Self:
        """Begin: claim a name, record the surroundings, run the hooks, publish.

        Returns:
            The experiment itself.

        Raises:
            StateError: If it was started before, the test_name is taken, or the run to go on with has a living owner.
            NoSuchRun: If the run to go on with is not there.
            NotARepository: Outside a git repository.
            LumoError: If the git folder cannot be written.
        """
        if self._mode != NEW:
            raise StateError(f"start(): {self.label} is {self._mode}; make a new {type(self).__name__}")
        self._pid = os.getpid()
        handed = handing.take(self.exp_name, self.test_name)
        self._nth = handing.nth() if self._nth is None else self._nth
        if is_silent(self._distributed):
            self._start_silently(handed)
            return self
        from gitlumo.beginning import begin

        notebook.enter(self)
        if handed and handed.uid and not handed.is_run and self._distributed is False:  # a run of its own
            handed = None
        began = begin(
            self.exp_name, self.test_name, self._repo, self._on_trouble, self._resume, handed, self._provisional
        )
        self.uid = began.uid or self.uid
        if began.joined:
            self._join(began)
            return self
        self.test_name, self._journal, self._folder = began.test_name, began.journal, began.folder
        self.repository, self.settings, self.ledger = began.repository, began.settings, began.ledger
        self._roots, self._lumo_dir = began.roots, began.ledger.lumo_dir
        self._record = Record(self._folder.read, self._folder.paths, self.label)
        if began.adopted:
            self._adopt(began.adopted)
        elif began.resumed:
            self._go_on(began.resumed)
        else:
            self._begin(began.time)
        atexit.register(self._at_exit)
        signals.watch(self._lock, self._end_by)
        try:
            self._go(began.warnings)
        except BaseException as error:  # Ctrl-C: what has begun is ended
            self._end_by(error)
            raise
        return self

    def _go(self, said: Iterable[str]) -> None:
        """All of a start that comes once the run has a folder."""
        if self._adopted is None:
            with self._safely("Capture"):
                self._record_process()
            self._register()
        handing.hand_on(self.exp_name, str(self.test_name), self.uid)
        for warning in said:
            self._warn(warning)
        if slurm_is_unclear(self._distributed):
            self._warn(
                "SLURM started several tasks, and each records a run of its own; if they are ranks of one run, "
                "pass distributed=True (if not, distributed=False, and this is not said again)"
            )
        with self._safely("Capture"):
            if self._adopted is None:
                self._record_surroundings()
            else:  # the Python that runs the program is known here only
                self._put("machine", values.encode(hardware.describe()))
        self._run_hooks("on_start")
        self._publish("checkpoint" if self._adopted else "start")
        self._share_on()
        if self.settings.system_metrics and self._adopted is None:  # an adopted run's owner samples
            from gitlumo import sampling

            with self._safely(sampling.NAME):
                self._sampler = sampling.begin(self, self.settings.system_metrics)

    def _register(self) -> None:
        """Enter the run into the register, unless that is done: without it nobody would find it dead."""
        with self._safely("Register"):
            if not self._registered:
                register.add(self.ledger.lumo_dir, self.uid, self._folder.info_dir)
                self._registered = True

    def _start_silently(self, handed: Handed | None) -> None:
        from gitlumo.beginning import roots
        from gitlumo.config import Settings

        now = time.time()
        if handed:
            self.test_name, self.uid = self.test_name or handed.test_name, handed.uid or self.uid
        self.test_name = self.test_name or ids.new_test_name(values.day_text(values.time_text(now)), 0)
        cache = os.path.join(roots(Settings(), "")["cache_root"], "silent")
        self._roots = {name: os.path.join(cache, name) for name in ("info_root", "blob_root", "cache_root")}
        self._journal = silence = Silence()
        self._record = Record(silence.read, silence.paths, self.label)
        self._begin(now)

    def _join(self, began: Beginning) -> None:
        """Belong to a run that another process records: say nothing, but name the same folders."""
        began.repository.close()
        self._start_silently(Handed(began.test_name, began.uid))
        self._roots = began.roots
        self._warn(
            f"{self.label} is recorded by the process that started this one; here calls record nothing "
            "(distributed=False starts a run of its own)"
        )

    def _adopt(self, adopted: Adopted) -> None:
        """Go on with the run of who runs this program's command: that one owns it, and will end it."""
        self._adopted, self.uid = adopted, adopted.uid
        self._given = self.load_info("params")
        self._take_up(adopted)

    def _go_on(self, resumed: Resumed) -> None:
        """Take a run up where it was left."""
        self.uid = resumed.uid
        self._take_up(resumed)

    def _take_up(self, run: Adopted | Resumed) -> None:
        """Continue what is recorded; the time in its history goes on from its start."""
        past = 0.0

        def lines() -> Iterator[layout.Line]:
            nonlocal past
            for line in record.history_lines(self._folder.read, self._folder.paths()):
                if line:
                    past = line.time
                    yield line

        self._registered = True
        self._progress = dict(run.progress)
        self._metrics = record.fold(lines())
        parent, self._folder_name = os.path.split(run.info_dir)
        self._roots = {**self._roots, "info_root": os.path.dirname(parent)}
        with contextlib.suppress(FormatError, TypeError):  # a stranger's record
            self._masked = [path for path in self.load_info("masked") or () if isinstance(path, str)]
            if self.load_info("exception"):
                self._save("exception", None)  # what ended it then did not end it
        self._open(max(past, time.time() - (values.time_seconds(self._progress.get("start")) or time.time())))

    def _begin(self, now: float) -> None:
        self._open(0.0)
        self._progress = {
            **dict.fromkeys(("end", "end_code", "killed", "update_from")),
            "start": values.time_text(now),
            "last_edit_time": values.time_text(now),
            "ratio": 0.0,
            "finished": False,
            "seq": 0,
        }
        self._save("format", {"version": layout.VERSION})
        self._save("exp_name", self.exp_name)
        self._save("test_name", self.test_name)
        self._save("progress", self._progress)
        self._save("uid", self.uid)

    def _open(self, elapsed: float) -> None:
        self._mode = OPEN
        self._clock = time.monotonic() - elapsed
        self._error_before = exits.reported()
        if self._params is not None:
            self._put("params", self._params)
        seeding.enter(self)

    def end(self, end_code: int = 0) -> None:
        """End the run: run the hooks, publish it for good. A second call does nothing.

        Args:
            end_code: 0 for success; anything else makes the run ``failed``.

        Raises:
            StateError: If it was never started.
        """
        if self._mode == ENDED or not self._writing("end()"):
            return
        with self._lock:
            if self._mode == ENDED or self._ending:  # by another thread, or this is a hook of the end
                return
            self._ending = True
            try:
                code = arguments.integer(end_code, "end_code")
                self._progress.update(end=values.time_text(time.time()), end_code=code, finished=code == 0)
                if code == 0:
                    self._progress["ratio"] = 1.0
                self._run_hooks("on_end")
                published = self._publish("checkpoint" if self._adopted else "end")
                if self._adopted and not self._is_let_go():  # the runner was killed, or has left the run to us
                    self._adopted = None
                    published = self._publish("end")
                self._say_what_is_lost(published)
                self._mode = ENDED
            finally:  # Ctrl-C: then what unwinds, or the interpreter's exit, ends it
                self._ending = False
            self._journal.close()
            self._let_go(published)
            is_shared = self._adopted is None and self._is_shared()
        self._forget()
        if is_shared:
            self._share_end()

    def _forget(self) -> None:
        """This process records the run no more."""
        self._mode = ENDED
        self._share_off()
        if self._sampler:
            self._sampler.end()
        signals.unwatch(self._lock)
        handing.take_back(self.uid)
        atexit.unregister(self._at_exit)

    def _is_let_go(self) -> bool:
        """Leave an adopted run to its runner; False where that has gone."""
        with self._safely("Register"):
            return self._adopted is not None and self._adopted.let_go()
        return True

    def _let_go(self, published: bool) -> None:
        if isinstance(self._journal, Journal):
            with self._safely("Ledger"):
                if published and not self._adopted:
                    register.remove(self.ledger.lumo_dir, self.uid)
                    self.ledger.look_after()
                elif not self._adopted:
                    register.add(self.ledger.lumo_dir, self.uid, self._folder.info_dir, left=True)
            self.repository.close()

    def _say_what_is_lost(self, published: bool) -> None:
        if isinstance(self._journal, Journal):
            lost = self._journal.dropped + (0 if published else self._journal.pending)
            if lost:
                self._warn(f"{self.label}: {lost} lines and files could not be recorded: the disk did not take them")
            if (skipped := self._folder.skipped) and self._adopted is None:  # else its owner says so
                told = ", ".join(f"{each['path']} ({each['reason']})" for each in skipped[:3])
                more = f" and {len(skipped) - 3} more" if len(skipped) > 3 else ""
                self._warn(f"{self.label}: only in {self.info_dir}, not in the ledger: {told}{more}")

    def __enter__(self) -> Self:
        """Start it, unless it was started."""
        return self.start() if self._mode == NEW else self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it; an exception makes it ``failed`` and goes on its way.

        A generator that is closed is none: who takes its values has had enough (``break``).
        """
        if self._mode == OPEN:
            self._end_by(error)

    def _end_by(self, error: BaseException | None) -> None:
        error = signals.cause(error)
        if isinstance(error, GeneratorExit) and not exits.is_left_by_an_exception():
            error = None
        if error is not None and not isinstance(error, SystemExit):
            self._run_hooks("on_exception", error)
        self.end(exits.code_of(error))

    def _at_exit(self) -> None:
        """The interpreter ends: by an exception, if one has left the program since the start."""
        if self._mode == OPEN and os.getpid() == self._pid:
            self._end_by(exits.uncaught(self._error_before))

    def _publish(self, kind: str) -> bool:
        """Bring the folder up to date and publish it; whatever goes wrong becomes a warning."""
        if isinstance(self._journal, Silence):
            self._save("progress", self._progress)
            return False
        if self._publishing:  # called by a signal's handler meanwhile: the publishing that goes on is enough
            return False
        from gitlumo.store.queue import Event

        self._publishing = True
        self._register()
        with self._safely("Ledger"), self._until_published():
            self._progress["seq"] += 2
            self._progress["last_edit_time"] = values.time_text(time.time())
            progress = {**self._progress, **_GOES_ON} if self._adopted else self._progress
            self._save("progress", progress)
            if (self._adopted or not self._summed) and not self._journal.pending:
                self._metrics, self._summed = self._reader.folded()[0], True
            if self._metrics:
                self._journal.save(layout.METRICS, record.metrics_to_bytes(self._metrics))
            if self._journal.flush():
                self._warned = False
                self._folder.paths()
                if self._folder.skipped:
                    self._save("skipped", self._folder.skipped)
                subject = layout.event_subject(self.label, record.state_of(progress), self._facts(kind))
                snapshot = (self.load_info("git") or {}).get("commit")
                self.ledger.publish(Event(kind, self._folder, subject, snapshot))
                return True
        return False

    @contextlib.contextmanager
    def _until_published(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._publishing = False

    def _put(self, key: str, value: values.Json) -> None:
        if key == "params" and isinstance(self._given, dict) and isinstance(value, dict):
            from gitlumo import adopting

            value = adopting.united(self._given, value)
        super()._put(key, value)

    @property
    def is_adopted(self) -> bool:
        """Whether another process, ``git lumo run``, owns the run and will end it."""
        return self._adopted is not None

    # Hooks

    def _on_progress(self) -> None:
        self._run_hooks("on_progress")

    def _run_hooks(self, stage: str, *args: Any) -> None:
        if isinstance(self._journal, Silence) or os.getpid() != self._pid:
            return
        for hook in self.hooks:
            self._hook_states.setdefault(hook.name, {"loaded": True, "msg": ""})
            with self._safely(hook.name):
                call: Callable[..., None] = getattr(hook, stage)
                call(self, *args)
        if self._hook_states:
            self._save("hooks", self._hook_states)

    def _repr_html_(self) -> str:
        """How a notebook shows it (IPython's rich display)."""
        return notebook.page(self)


def _hook(hook: ExpHook | type[ExpHook]) -> ExpHook:
    made = hook() if isinstance(hook, type) else hook
    if not isinstance(made, ExpHook):
        raise InvalidValue(f"a hook is an ExpHook, not {made!r}")
    return made
