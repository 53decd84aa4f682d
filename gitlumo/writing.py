"""What a run says while it is recorded: metrics, properties, notes, texts."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gitlumo import arguments, capture, ids, machine, notebook, privacy, signals, values
from gitlumo.errors import InvalidName, InvalidValue, LumoWarning, StateError
from gitlumo.recorded import ENDED, NEW, OPEN, READ, Recorded
from gitlumo.store import layout, record
from gitlumo.store.record import Metric

if TYPE_CHECKING:
    from gitlumo.config import Settings
    from gitlumo.git.repository import Repository
    from gitlumo.silence import Silence
    from gitlumo.store.journal import Journal

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
    **dict.fromkeys(
        ("uid", "format", "pinfo", "masked", "skipped", "deprecated", "backup", "rerun", "restored"), "another key"
    ),
    **dict.fromkeys(("git", "lock", "execute", "env", "exception", "paths"), "a hook, and exp.record_info there"),
}


class Writing(Recorded):
    """The recording half of an experiment; how one begins and ends is :class:`gitlumo.Experiment`'s."""

    repository: Repository
    settings: Settings
    _journal: Journal | Silence

    def __init__(self, exp_name: str, test_name: str | None):
        super().__init__(exp_name, test_name)
        self._pid = os.getpid()
        self._program: capture.Program | None = None  # what runs; None: what this process runs
        self._clock = 0.0
        self._lock = signals.Lock()
        self._metrics: dict[str, Metric] = {}
        self._summed = True  # not so where Ctrl-C has broken off a call between its line and its sums
        self._names: dict[str, str] = {}
        self._hook_states: dict[str, dict[str, Any]] = {}
        self._masked: list[str] = []
        self._progress: dict[str, Any] = {}
        self._warned = False
        self._said_forked = self._pid
        self._nth: int | None = None  # of the runs of this process, from 0

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
        self, metrics: Mapping[str, Any], step: int | None, cmp: str | bool | None, companions: dict[str, Any] | None
    ) -> None:
        if self._mode != OPEN:
            self._check_open("log()")
        known = self._metrics
        try:
            pairs = metrics.items()
        except AttributeError:
            raise InvalidValue(f"metrics must be a dict such as {{'acc': .93}}, not {values.shown(metrics)}") from None
        numbers: dict[str, int | float] = {}
        for key, value in pairs:
            if key not in known:
                arguments.check_metric(key)
            numbers[key] = value if type(value) is float else values.number(value, key)
        if step is not None and (type(step) is not int or step.bit_length() > arguments.MAX_BITS):
            step = arguments.integer(step, "step")
        stored = self._encode_companions(companions) if companions else None
        kept = values.decode(stored) if stored else {}  # masked, and as it is now, whatever becomes of the caller's
        with self._alone():
            if self._mode != OPEN:  # another thread has ended the run since
                self._check_open("log()")
            if step is None:
                step = 1 + max((known[key].last_step for key in numbers if key in known), default=-1)
            summed, self._summed = self._summed, False
            if os.getpid() != self._pid:
                self._say_forked()
            elif numbers:
                extra = self._extra(numbers, cmp, stored) if cmp is not False else None
                seconds = time.monotonic() - self._clock
                self._journal.append(layout.format_line(step, seconds, numbers, extra, self._names))
            for key, number in numbers.items():
                metric = known.get(key)
                if metric is None:
                    metric = known[key] = Metric()
                if cmp is not False:
                    metric.cmp = cmp if isinstance(cmp, str) else None
                metric.add(number, step, kept)
            self._summed = summed and known is self._metrics

    def _encode_companions(self, companions: dict[str, Any]) -> values.Json:
        stored, masked = privacy.mask_value(values.encode(companions, "companions"), "companions")
        if len(values.to_bytes(stored)) > layout.MAX_LINE:
            raise InvalidValue(f"companions of more than {layout.MAX_LINE} bytes; save them below exp.mk_bpath()")
        self._note_masked(masked)
        found: values.Json = stored
        return found

    def _extra(self, numbers: Iterable[str], cmp: str | bool | None, stored: values.Json) -> dict[str, Any] | None:
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
        with self._alone():
            return {key: metric.summary() for key, metric in self._metrics.items()}

    def curves(self) -> dict[str, list[int | float]]:
        """At most 96 values of each metric, evenly spread over its history: for a picture."""
        if self._mode == READ:
            return super().curves()
        with self._alone():
            return {key: list(metric.curve) for key, metric in self._metrics.items()}

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
            with self._held("dump_info()"):
                self._put(key, arguments.appended(key, self.load_info(key), value) if append else value)

    def record_info(self, key: str, info: Any) -> None:
        """For hooks: like :meth:`dump_info`, any key, no questions asked."""
        if self._writing("record_info()"):
            with self._held("record_info()"):
                self._put(key, values.encode(info, key))

    def _put(self, key: str, value: values.Json) -> None:
        value, masked = privacy.mask_value(value, key)
        data = values.to_bytes(value)
        if len(data) > layout.MAX_FILE:
            raise InvalidValue(f"{key}: {len(data)} bytes are too much for the ledger; save it below exp.mk_bpath()")
        self._journal.save(layout.info_path(key), data)
        self._note_masked(masked)

    def _note_masked(self, masked: list[str]) -> None:
        fresh = [path for path in masked if path not in self._masked]
        if fresh:
            self._masked += fresh
            self._save("masked", self._masked)

    def _save(self, key: str, value: Any) -> None:
        self._journal.save(layout.info_path(key), values.to_bytes(values.encode(value)))

    def _record_process(self) -> None:
        """Before the run is registered: without it nobody could ever find it dead."""
        pinfo, masked = capture.process(self.settings.hostname, self.repository.location.work_tree, self._program)
        self._put("pinfo", values.encode(pinfo | ({"nth": self._nth} if self._nth else {})))
        self._note_masked(masked)

    def _record_surroundings(self) -> None:
        root, program = self.repository.location.work_tree, self._program or capture.this_program(notebook.path())
        own = self._program is None
        found, masked = capture.surroundings(root, program, own, self._roots, self.settings.env)
        for key, facts in found.items():
            self._put(key, values.encode(facts))
        self._note_masked(masked)

    def dump_note(self, note: str) -> None:
        """Write the run's note, in place of the one before; of a run that was read: by an edit."""
        text = arguments.text_bytes("note", note)
        if self._mode == READ:
            if note != self.load_note():
                self._edit("note", note)
        elif self._writing("dump_note()"):
            with self._held("dump_note()"):
                self._journal.save(layout.NOTE, text)

    def dump_tags(self, *tags: str) -> None:
        """Set the run's tags, in place of the ones before; of a run that was read: by an edit."""
        arguments.check_tags(tags)
        if self._mode == READ:
            self._retag(tags)
        elif self._writing("dump_tags()"):
            with self._held("dump_tags()"):
                self._save("tags", list(dict.fromkeys(tags)))

    def dump_string(self, key: str, info: str, append: bool = False) -> None:
        """Record a text under a key, or add to the one that is there."""
        path, text = layout.text_path(key), arguments.text_bytes(key, info)
        if self._writing("dump_string()"):
            with self._held("dump_string()"):
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
            with self._held("dump_progress()"):
                now = values.time_text(time.time())
                self._progress.update(ratio=float(number), update_from=source, last_edit_time=now)
                self._save("progress", self._progress)
                self._on_progress()

    def _on_progress(self) -> None:
        """Called when the run said how far it is."""

    @property
    def properties(self) -> dict[str, Any]:
        """All that is known of the run: see :attr:`gitlumo.recorded.Recorded.properties`."""
        found = super().properties
        return found if self._mode == READ else found | {"hooks": {**found["hooks"], **self._hook_states}}

    @property
    def state(self) -> str:
        """``running``, ``finished``, ``failed`` or ``killed``."""
        return super().state if self._mode in (NEW, READ) else record.state_of(self._progress)

    def _edit(self, kind: str, value: Any) -> None:
        if self._mode == READ:
            super()._edit(kind, value)
        elif self._mode == NEW:
            self._check_open("an edit")
        elif self._lumo_dir and os.getpid() == self._pid:  # our own: it goes on, whatever the ledger says
            with self._safely("Ledger"):
                super()._edit(kind, value)

    def _facts(self, kind: str) -> dict[str, Any]:
        """What the event's subject says: parameters at the start, then metrics."""
        if kind != "start":
            return record.best_facts(self.metrics)
        params = self.load_info("params")
        return {k: v for k, v in params.items() if isinstance(v, (int, float, str))} if isinstance(params, dict) else {}

    # Guards

    def _check_open(self, call: str) -> None:
        hint = {
            NEW: f"call exp.start() first, or use 'with {type(self).__name__}(...) as exp:'",
            ENDED: "start a new run",
            READ: "only a run that this program started can be written; of others the note, tags and deprecated",
        }
        if self._mode != OPEN:
            raise StateError(
                f"{call}: {self.label if self.test_name else self.exp_name} is {self._mode}; {hint[self._mode]}"
            )

    def _writing(self, call: str) -> bool:
        """Whether this process writes the run: it is open, and we are no forked child."""
        self._check_open(call)
        if os.getpid() == self._pid:
            return True
        self._say_forked()
        return False

    def _say_forked(self) -> None:
        if self._said_forked != os.getpid():
            self._said_forked = os.getpid()
            self._warn(f"{self.label}: this is a forked process; only the one that started the run records it")

    def _alone(self) -> contextlib.AbstractContextManager[Any]:
        """The lock; in a forked child nothing: its copy may be held for ever, by a thread that it lacks."""
        return self._lock if os.getpid() == self._pid else contextlib.nullcontext()

    @contextlib.contextmanager
    def _held(self, call: str) -> Iterator[None]:
        """Alone at the run, and it is still open: another thread may have ended it since."""
        with self._alone():
            self._check_open(call)
            yield

    @contextlib.contextmanager
    def _safely(self, name: str) -> Iterator[None]:
        """The one place that swallows errors: hooks and storage never stop the training."""
        try:
            yield
        except Exception as error:
            self._hook_states[name] = {"loaded": False, "msg": _brief(error)}
            self._warn(f"{self.label}: {name}: {_brief(error)}")

    def _on_trouble(self, error: OSError) -> None:
        """The journal could not write: warn once, keep going."""
        message = f"{_brief(error)}; what is recorded waits in memory until the disk takes it"
        self._hook_states["Journal"] = {"loaded": False, "msg": message}
        if not self._warned:
            self._warned = True
            self._warn(f"{self.label}: {message}")

    def _warn(self, message: str) -> None:
        out = machine.stderr()
        if out is None:
            return
        with contextlib.redirect_stderr(out):
            try:
                warnings.warn_explicit(message, LumoWarning, *_caller())
            except Exception:  # the user made warnings errors; still, training goes on
                with contextlib.suppress(OSError, ValueError):
                    print(f"gitlumo: {message}", file=out)


def _caller() -> tuple[str, int]:
    """The file and line of the user's that called us, as a warning names them."""
    own = (os.path.dirname(__file__) + os.sep, contextlib.__file__, threading.__file__)
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith(own):
        frame = frame.f_back
    outside = not frame.f_code.co_filename.startswith(own)
    return (frame.f_code.co_filename, frame.f_lineno) if outside else ("gitlumo", 0)


def _brief(error: BaseException) -> str:
    """An error in one message, fit to be recorded."""
    text = privacy.public_text(str(error) or type(error).__name__, None)
    return text.encode("utf-8", "backslashreplace").decode()
