"""The write side: a run that records itself."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from gitlumo import arguments, capture, ids, privacy, values
from gitlumo.errors import InvalidName, InvalidValue, LumoWarning, StateError
from gitlumo.hooks import BUILT_IN, ExpHook
from gitlumo.recorded import ENDED, NEW, OPEN, READ, Recorded
from gitlumo.silence import Silence, is_silent, slurm_is_unclear
from gitlumo.store import layout, record
from gitlumo.store.journal import Folder, Journal, register, unregister
from gitlumo.store.record import Metric, Record

if TYPE_CHECKING:
    from gitlumo.config import Settings
    from gitlumo.git.repository import Repository
    from gitlumo.store.ledger import Ledger

# Properties that gitlumo itself keeps up, and what to use instead of dump_info.
_OWN = {
    "exp_name": "Experiment(exp_name)",
    "test_name": "Experiment(exp_name, test_name)",
    "progress": "exp.dump_progress(ratio)",
    "state": "exp.end(end_code)",
    "metrics": "exp.dump_metric(key, value)",
    "note": "exp.dump_note(text)",
    "tags": "exp.dump_tags(*tags)",
    "hooks": "Experiment(exp_name, hooks=...)",
    **dict.fromkeys(("uid", "format", "pinfo", "masked", "skipped", "deprecated", "backup"), "another key"),
}


class Experiment(Recorded):
    """One run. It runs only the hooks that it is given; :class:`SimpleExperiment` runs the built-in ones.

    Example:
        >>> with Experiment('digits') as exp:
        ...     exp.dump_info('params', {'lr': .1})
        ...     exp.log({'loss': .31}, step=1)
    """

    repository: Repository
    settings: Settings
    ledger: Ledger

    def __init__(
        self,
        exp_name: str,
        test_name: str | None = None,
        repo: str | os.PathLike[str] | None = None,
        hooks: Iterable[ExpHook | type[ExpHook]] = (),
        *,
        params: Any = None,
        distributed: bool | None = None,
    ):
        """Name a run; nothing is written before :meth:`start`.

        Args:
            exp_name: What is tried, 1 to 100 bytes (docs/format.md, section 3).
            test_name: The run's name; None: the next of the day.
            repo: A folder in the git repository; None: the current folder.
            hooks: What to run around it.
            params: Parameters to record as soon as it starts; see :meth:`dump_info`.
            distributed: Whether the processes of this job are ranks of one run, of which only the first records;
                None: as RANK, LOCAL_RANK or OMPI_COMM_WORLD_RANK say.

        Raises:
            InvalidName: For a name that breaks the rules.
            InvalidValue: For hooks that are none, or parameters that cannot be stored.
        """
        super().__init__(exp_name, test_name)
        self.hooks = [_hook(hook) for hook in hooks]
        self._params = None if params is None else values.encode(params, "params")
        self._repo = repo
        self._distributed = distributed
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._metrics: dict[str, Metric] = {}
        self._names: dict[str, str] = {}
        self._hook_states: dict[str, dict[str, Any]] = {}
        self._masked: list[str] = []
        self._progress: dict[str, Any] = {}
        self._warned = False

    # Life

    def start(self) -> Self:
        """Begin: claim a name, record the surroundings, run the hooks, publish.

        Returns:
            The experiment itself.

        Raises:
            StateError: If it was started before, or the test_name is taken.
            NotARepository: Outside a git repository.
            LumoError: If the git folder cannot be written.
        """
        if self._mode != NEW:
            raise StateError(f"start(): {self.label} is {self._mode}; make a new {type(self).__name__}")
        self._pid = os.getpid()
        self._journal: Journal | Silence = Silence()
        if is_silent(self._distributed):
            self._start_silently(self._journal)
            return self
        from gitlumo.beginning import begin

        began = begin(self.exp_name, self.test_name, self._repo, self._on_trouble)
        self.test_name, self._journal, self._folder = began.test_name, began.journal, began.folder
        self.repository, self.settings, self.ledger = began.repository, began.settings, began.ledger
        self._roots = began.roots
        self._record = Record(self._folder.read, self._folder.paths, self.label)
        self._begin(began.time)
        with self._safely("Register"):
            register(self.ledger.lumo_dir, self.uid, self._folder.info_dir)
        for warning in began.warnings:
            self._warn(warning)
        if slurm_is_unclear(self._distributed):
            self._warn(
                "SLURM started several tasks, and each records a run of its own; if they are ranks of one run, "
                "pass distributed=True (if not, distributed=False, and this is not said again)"
            )
        with self._safely("Capture"):
            self._record_surroundings()
        self._run_hooks("on_start")
        self._publish("start")
        atexit.register(self._at_exit)
        return self

    def _start_silently(self, silence: Silence) -> None:
        from gitlumo.beginning import roots
        from gitlumo.config import Settings

        now = time.time()
        self.test_name = self.test_name or ids.new_test_name(values.day_text(values.time_text(now)), 0)
        cache = os.path.join(roots(Settings(), "")["cache_root"], "silent")
        self._roots = {name: os.path.join(cache, name) for name in ("info_root", "blob_root", "cache_root")}
        self._record = Record(silence.read, silence.paths, self.label)
        self._begin(now)

    def _begin(self, now: float) -> None:
        self._mode = OPEN
        self._clock = time.monotonic()
        self._error_before = getattr(sys, "last_value", None)
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
        if self._params is not None:
            self._put("params", self._params)

    def _record_surroundings(self) -> None:
        root = self.repository.location.work_tree
        pinfo, masked = capture.process(self.settings.hostname, root)
        self._put("pinfo", values.encode(pinfo))
        execute, more = capture.execute(root)
        self._put("execute", values.encode(execute))
        self._put("paths", {name: privacy.public_path(path, root) for name, path in self._roots.items()})
        env, most = capture.environment(self.settings.env)
        if env:
            self._put("env", values.encode(env))
        self._note_masked([*masked, *more, *most])

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
            code = arguments.integer_step(end_code)
            self._progress.update(end=values.time_text(time.time()), end_code=code, finished=code == 0)
            if code == 0:
                self._progress["ratio"] = 1.0
            self._run_hooks("on_end")
            published = self._publish("end")
            self._mode = ENDED
            self._journal.close()
        atexit.unregister(self._at_exit)
        if isinstance(self._journal, Journal):
            with self._safely("Ledger"):
                if published:
                    unregister(self.ledger.lumo_dir, self.uid)
                    self.ledger.look_after()
            self.repository.close()

    def __enter__(self) -> Self:
        """Start it, unless it was started."""
        return self.start() if self._mode == NEW else self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it; an exception makes it ``failed`` and goes on its way."""
        if self._mode == OPEN:
            self._end_by(error)

    def _end_by(self, error: BaseException | None) -> None:
        if error is None:
            self.end()
        elif isinstance(error, SystemExit):
            self.end(error.code if isinstance(error.code, int) else 0 if error.code is None else 1)
        else:
            self._run_hooks("on_exception", error)
            self.end(130 if isinstance(error, KeyboardInterrupt) else 1)

    def _at_exit(self) -> None:
        """The interpreter ends: by an exception, if it has noted one since the start (sys.last_value)."""
        if self._mode != OPEN or os.getpid() != self._pid:
            return
        error = getattr(sys, "last_value", None)
        fatal = isinstance(error, BaseException) and error is not self._error_before and not hasattr(sys, "ps1")
        self._end_by(error if fatal else None)

    def checkpoint(self) -> None:
        """Publish to the ledger now; when this returns without a warning, it survives a power cut.

        Raises:
            StateError: Before ``start()`` or after ``end()``.
        """
        if self._writing("checkpoint()"):
            with self._lock:
                self._run_hooks("on_progress")
                self._publish("checkpoint")

    def _publish(self, kind: str) -> bool:
        """Bring the folder up to date and publish it; whatever goes wrong becomes a warning."""
        if isinstance(self._journal, Silence):
            return False
        from gitlumo.store.ledger import Event

        with self._safely("Ledger"):
            self._progress["seq"] += 2
            self._progress["last_edit_time"] = values.time_text(time.time())
            self._save("progress", self._progress)
            if self._metrics:
                self._journal.save(layout.METRICS, record.metrics_to_bytes(self._metrics))
            if self._journal.flush():
                self._folder.paths()
                if self._folder.skipped:
                    self._save("skipped", self._folder.skipped)
                subject = layout.event_subject(self.label, self.state, self._facts(kind))
                snapshot = (self.load_info("git") or {}).get("commit") if kind == "start" else None
                self.ledger.publish(Event(kind, self._folder, subject, snapshot, fsync=kind != "start"))
                return True
        return False

    def _facts(self, kind: str) -> dict[str, Any]:
        """What the event's subject says: parameters at the start, then metrics."""
        if kind != "start":
            return record.best_facts(self.metrics)
        params = self.load_info("params")
        return {k: v for k, v in params.items() if isinstance(v, (int, float, str))} if isinstance(params, dict) else {}

    # Metrics

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record one value of each of some metrics.

        When this returns without a warning, the values survive the death of the process.

        Args:
            metrics: Metric to number: Python, numpy or torch scalar.
            step: An integer; None: one more than the last step of these metrics, from 0.

        Raises:
            InvalidValue: For a metric that is no string, or a value that is no number; nothing is recorded then.
            StateError: Before ``start()`` or after ``end()``.
        """
        self._log(metrics, step, False, None)

    def _log(
        self, metrics: Mapping[str, Any], step: int | None, cmp: str | None | bool, companions: dict[str, Any] | None
    ) -> None:
        if self._mode != OPEN:
            self._check_open("log()")
        known = self._metrics
        try:
            pairs = metrics.items()
        except AttributeError:
            raise InvalidValue(f"metrics must be a dict such as {{'acc': .93}}, not {metrics!r}") from None
        numbers: dict[str, int | float] = {}
        for key, value in pairs:
            if key not in known:
                arguments.check_metric(key)
            numbers[key] = value if type(value) is float else values.number(value, key)
        if step is not None and type(step) is not int:
            step = arguments.integer_step(step)
        stored = values.encode(companions, "companions") if companions else None
        with self._lock:
            if step is None:
                step = 1 + max((known[key].last_step for key in numbers if key in known), default=-1)
            if numbers and os.getpid() == self._pid:
                extra = self._extra(numbers, cmp, stored) if cmp is not False else None
                seconds = time.monotonic() - self._clock
                self._journal.append(layout.format_line(step, seconds, numbers, extra, self._names))
            for key, number in numbers.items():
                metric = known.get(key)
                if metric is None:
                    metric = known[key] = Metric()
                if cmp is not False:
                    metric.cmp = cmp if isinstance(cmp, str) else None
                metric.add(number, step, companions or {})

    def _extra(self, numbers: Iterable[str], cmp: str | None | bool, stored: values.Json) -> dict[str, Any] | None:
        """What a line of history says besides the numbers; ``$cmp`` only where it changes something."""
        known = self._metrics
        changes = any((known[key].cmp if key in known else None) != cmp for key in numbers)
        return ({"$cmp": cmp} if changes else {}) | ({"$with": stored} if stored else {}) or None

    def dump_metric(
        self, key: str, value: Any, *companion: Any, cmp: str | None = "max", step: int | None = None, **companions: Any
    ) -> int | float:
        """Record one value of a metric, and what belongs to it.

        Args:
            key: The metric.
            value: A number.
            companion: Alone ``'max'``, ``'min'`` or None: ``cmp``. In pairs: a companion's name and value, such as
                ``'cls_acc', [.9, .96]``, kept as they were when the metric was best.
            cmp: Whether the greatest (``'max'``), the least (``'min'``) or the last (None) value is the best.
            step: See :meth:`log`.
            companions: More companions by name.

        Returns:
            The best value so far.

        Raises:
            InvalidValue: For a value that is no number, or companions that are no pairs; nothing is recorded then.
            StateError: Before ``start()`` or after ``end()``.
        """
        cmp, pairs = arguments.read_companions(companion, cmp)
        self._log({key: value}, step, cmp, {**pairs, **companions})
        return self._metrics[key].best

    def dump_metrics(
        self, metrics: Mapping[str, Any], cmp: str | None = "max", step: int | None = None
    ) -> dict[str, int | float]:
        """Record one value of each of some metrics, all with one direction.

        Args:
            metrics: Metric to number.
            cmp: See :meth:`dump_metric`.
            step: See :meth:`log`.

        Returns:
            The best value so far of each.

        Raises:
            InvalidValue: See :meth:`dump_metric`.
            StateError: Before ``start()`` or after ``end()``.
        """
        self._log(metrics, step, arguments.read_companions((), cmp)[0], None)
        return {key: self._metrics[key].best for key in metrics}

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """``{key: {last, min, max, best, best_step, cmp, count, with}}``."""
        if self._mode == READ:
            return super().metrics
        with self._lock:
            return {key: metric.summary() for key, metric in self._metrics.items()}

    # Everything else that a run says

    def dump_info(self, key: str, info: Any, append: bool = False) -> None:
        """Record a property, ``params`` first of all.

        Args:
            key: The property.
            info: dict, argparse.Namespace, dataclass, OmegaConf or pydantic object, or anything else that JSON can hold
                (docs/format.md, section 2). Secrets in it are masked and listed in ``exp.properties['masked']``.
            append: Whether to add to what is there: the keys of a dict, the elements of a list.

        Raises:
            InvalidValue: For what cannot be stored; the message names the key's path. Nothing is recorded then.
            InvalidName: For a key that gitlumo keeps up itself, or that is no string.
            StateError: Before ``start()`` or after ``end()``.
        """
        ids.key_to_filename(key)
        if key in _OWN:
            raise InvalidName(f"dump_info({key!r}): gitlumo keeps this itself; use {_OWN[key]}")
        value = values.encode(info, key)
        if self._writing("dump_info()"):
            with self._lock:
                self._put(key, arguments.appended(key, self.load_info(key), value) if append else value)

    def record_info(self, key: str, info: Any) -> None:
        """For hooks: like :meth:`dump_info`, any key, no questions asked."""
        if self._writing("record_info()"):
            with self._lock:
                self._put(key, values.encode(info, key))

    def _put(self, key: str, value: values.Json) -> None:
        value, masked = privacy.mask_value(value, key)
        self._journal.save(layout.info_path(key), values.to_bytes(value))
        self._note_masked(masked)

    def _note_masked(self, masked: list[str]) -> None:
        fresh = [path for path in masked if path not in self._masked]
        if fresh:
            self._masked += fresh
            self._save("masked", self._masked)

    def _save(self, key: str, value: Any) -> None:
        self._journal.save(layout.info_path(key), values.to_bytes(values.encode(value)))

    def dump_note(self, note: str) -> None:
        """Write the run's note, in place of the one before."""
        text = arguments.text_bytes("note", note)
        if self._writing("dump_note()"):
            self._journal.save(layout.NOTE, text)

    def dump_tags(self, *tags: str) -> None:
        """Set the run's tags, in place of the ones before."""
        for tag in tags:
            if not isinstance(tag, str) or not tag.strip() or not tag.isprintable():
                raise InvalidValue(f"a tag is a word, not {tag!r}")
        if self._writing("dump_tags()"):
            self._save("tags", list(dict.fromkeys(tags)))

    def dump_string(self, key: str, info: str, append: bool = False) -> None:
        """Record a text under a key, or add to the one that is there."""
        path, text = layout.text_path(key), arguments.text_bytes(key, info)
        if self._writing("dump_string()"):
            with self._lock:
                self._journal.save(path, (self._reader.read(path) or b"") + text if append else text)

    def dump_progress(self, ratio: float, update_from: str | None = None) -> None:
        """Say how far the run is.

        Args:
            ratio: From 0 to 1.
            update_from: Who says so.

        Raises:
            InvalidValue: For a ratio outside 0 to 1.
            StateError: Before ``start()`` or after ``end()``.
        """
        number = values.number(ratio, "ratio")
        if not 0 <= number <= 1:
            raise InvalidValue(f"ratio must be between 0 and 1, not {ratio!r}")
        source = values.encode(update_from, "update_from")
        if self._writing("dump_progress()"):
            with self._lock:
                now = values.time_text(time.time())
                self._progress.update(ratio=float(number), update_from=source, last_edit_time=now)
                self._save("progress", self._progress)
                self._run_hooks("on_progress")

    @property
    def properties(self) -> dict[str, Any]:
        """All that is known of the run: see :attr:`gitlumo.recorded.Recorded.properties`."""
        found = super().properties
        return found if self._mode == READ else found | {"hooks": {**found["hooks"], **self._hook_states}}

    @property
    def state(self) -> str:
        """``running``, ``finished``, ``failed`` or ``killed``."""
        return super().state if self._mode in (NEW, READ) else record.state_of(self._progress)

    # Guards

    def _check_open(self, call: str) -> None:
        hint = {
            NEW: f"call exp.start() first, or use 'with {type(self).__name__}(...) as exp:'",
            ENDED: "start a new run",
            READ: "only a run that this program started can be written",
        }
        if self._mode != OPEN:
            raise StateError(f"{call}: {self.label if self.test_name else self.exp_name} is {self._mode}; {hint[self._mode]}")

    def _writing(self, call: str) -> bool:
        """Whether this process writes the run: it is open, and we are no forked child."""
        self._check_open(call)
        return os.getpid() == self._pid

    @contextlib.contextmanager
    def _safely(self, name: str) -> Iterator[None]:
        """The one place that swallows errors: hooks and storage never stop the training."""
        try:
            yield
        except Exception as error:
            self._hook_states[name] = {"loaded": False, "msg": _brief(error)}
            self._warn(f"{self.label}: {name}: {_brief(error)}")

    def _run_hooks(self, stage: str, *args: Any) -> None:
        if isinstance(self._journal, Silence):
            return
        for hook in self.hooks:
            self._hook_states.setdefault(hook.name, {"loaded": True, "msg": ""})
            with self._safely(hook.name):
                call: Callable[..., None] = getattr(hook, stage)
                call(self, *args)
        if self._hook_states:
            self._save("hooks", self._hook_states)

    def _on_trouble(self, error: OSError) -> None:
        """The journal could not write: warn once, keep going."""
        message = f"{_brief(error)}; what is recorded waits in memory until the disk takes it"
        self._hook_states["Journal"] = {"loaded": False, "msg": message}
        if not self._warned:
            self._warned = True
            self._warn(f"{self.label}: {message}")

    def _warn(self, message: str) -> None:
        try:
            warnings.warn(message, LumoWarning, stacklevel=3)
        except Warning:  # the user made warnings errors; still, training goes on
            print(f"gitlumo: {message}", file=sys.stderr)


class SimpleExperiment(Experiment):
    """A run with the built-in hooks: code snapshot, packages, last command, diary, exception, final report."""

    def __init__(
        self,
        exp_name: str,
        test_name: str | None = None,
        repo: str | os.PathLike[str] | None = None,
        hooks: Iterable[ExpHook | type[ExpHook]] = (),
        *,
        params: Any = None,
        distributed: bool | None = None,
    ):
        """See :class:`Experiment`; ``hooks`` run after the built-in ones."""
        super().__init__(exp_name, test_name, repo, [*BUILT_IN, *hooks], params=params, distributed=distributed)


def start(
    exp_name: str,
    params: Any = None,
    *,
    test_name: str | None = None,
    repo: str | os.PathLike[str] | None = None,
    hooks: Iterable[ExpHook | type[ExpHook]] = (),
    distributed: bool | None = None,
) -> SimpleExperiment:
    """Start a :class:`SimpleExperiment`; the arguments are those of :class:`Experiment`.

    Raises:
        InvalidName: For a name that breaks the rules.
        InvalidValue: For parameters that cannot be stored; nothing is started then.
        LumoError: See :meth:`Experiment.start`.
    """
    return SimpleExperiment(exp_name, test_name, repo, hooks, params=params, distributed=distributed).start()


def _hook(hook: ExpHook | type[ExpHook]) -> ExpHook:
    made = hook() if isinstance(hook, type) else hook
    if not isinstance(made, ExpHook):
        raise InvalidValue(f"a hook is an ExpHook, not {made!r}")
    return made


def _brief(error: BaseException) -> str:
    """An error in one message, fit to be recorded."""
    text = privacy.public_text(str(error) or type(error).__name__, None)
    return text.encode("utf-8", "backslashreplace").decode()
