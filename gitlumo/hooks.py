"""What happens around a run: ExpHook, and the built-in hooks of SimpleExperiment.

A hook that fails never stops the training: its error becomes a warning and stands in ``exp.properties['hooks']``.
"""

from __future__ import annotations

import os
import shlex
import time
import traceback
from typing import TYPE_CHECKING, Any

from gitlumo import capture, machine, privacy, sparkline, values
from gitlumo.store import record
from gitlumo.store.columns import of_the_run

if TYPE_CHECKING:
    from gitlumo.experiment import Experiment


class ExpHook:
    """Something to do at the stages of a run; overwrite what you need.

    Example:
        >>> class Greet(ExpHook):
        ...     def on_start(self, exp):
        ...         exp.dump_string('greeting', f'hello from {exp.test_name}')
    """

    @property
    def name(self) -> str:
        """How ``exp.properties['hooks']`` calls it."""
        return type(self).__name__

    def on_start(self, exp: Experiment) -> None:
        """Called by ``exp.start()``, before the run is published for the first time."""

    def on_progress(self, exp: Experiment) -> None:
        """Called by ``exp.dump_progress()`` and ``exp.checkpoint()``."""

    def on_end(self, exp: Experiment) -> None:
        """Called by ``exp.end()``, before the run is published for the last time."""

    def on_exception(self, exp: Experiment, error: BaseException) -> None:
        """Called where an exception ends the run, before :meth:`on_end`."""


class LockFile(ExpHook):
    """Records the versions of all installed packages as ``lock``, and from where some are as ``lock_origins``."""

    def on_start(self, exp: Experiment) -> None:
        """Record them."""
        lock, origins = capture.installed_with_origins(exp.repository.location.work_tree)
        exp.record_info("lock", lock)
        if origins:
            exp.record_info("lock_origins", origins)


class GitCommit(ExpHook):
    """Records the code that runs as a commit behind the run, and which one it is as ``git``."""

    def on_start(self, exp: Experiment) -> None:
        """Take the snapshot; see docs/format.md, section 8."""
        if exp.is_adopted and isinstance(taken := exp.load_info("git"), dict):  # before the program began
            exp.record_info("git", taken | {"dep_hash": capture.dependency_hash(exp.load_info("lock") or {})})
            return
        repository = exp.repository
        location, refs = repository.location, repository.refs
        root = location.work_tree
        lock = exp.load_info("lock")
        branch = refs.symbolic("HEAD")
        remotes = {  # record_info() masks what is secret in them, and says so
            os.fsencode(name).decode("utf-8", "replace"): capture.storable(privacy.short_text(url, root))
            for name, url in repository.remote_urls().items()
        }
        facts: dict[str, Any] = {
            "branch": capture.storable(branch.removeprefix("refs/heads/")) if branch else None,
            "dep_hash": capture.dependency_hash(lock if isinstance(lock, dict) else capture.installed_packages()),
            "repo": capture.repository_name(root or location.git_dir),
            "remotes": remotes,
            "skipped": [],
            "submodules": [],
        }
        if root is None or not exp.settings.snapshot:
            head = refs.read("HEAD")
            exp.record_info("git", facts | {"commit": head, "head": head, "dirty": None})
            return
        from gitlumo.git import snapshot

        settings, ledger = exp.settings, exp.ledger
        limits = snapshot.Limits(
            max_file=settings.snapshot_max_file,
            max_total=settings.snapshot_max_total,
            timeout=settings.snapshot_timeout,
            exclude=settings.snapshot_exclude,
        )
        tmp_dir, code_dir = (os.path.join(location.lumo_dir, name) for name in ("tmp", "code"))
        taken = snapshot.take(repository, limits, tmp_dir, code_dir, known=ledger.has_snapshot)
        facts |= {"commit": taken.commit, "head": taken.head, "dirty": taken.dirty}
        exp.record_info("git", facts | {"skipped": taken.skipped, "submodules": taken.submodules})


def _command(exp: Experiment) -> str:
    """The run's command as a line for a shell."""
    pinfo = exp.load_info("pinfo") or {}
    words = (pinfo.get("obj") or {}).get("argv") or []
    return shlex.join(os.fsdecode(word) for word in words)


class LastCmd(ExpHook):
    """Keeps the command of the last run of each experiment in ``<git common dir>/lumo/last/<exp_name>.sh``."""

    def on_start(self, exp: Experiment) -> None:
        """Write it."""
        from gitlumo.store.journal import write_whole

        cwd = (exp.load_info("execute") or {}).get("cwd") or "."
        text = f"# {exp.exp_name}/{exp.test_name}\ncd {shlex.quote(os.fsdecode(cwd))} && {_command(exp)}\n"
        path = os.path.join(exp.repository.location.lumo_dir, "last", f"{exp.exp_name}.sh")
        write_whole(path, text.encode("utf-8", "surrogateescape"))


class Diary(ExpHook):
    """Notes each start and end, a line each, in ``<git common dir>/lumo/diary/<yymmdd>.txt``."""

    def on_start(self, exp: Experiment) -> None:
        """Note the start."""
        self._note(exp, f"started   {_command(exp)}")

    def on_end(self, exp: Experiment) -> None:
        """Note the end."""
        best = " ".join(f"{key}={sparkline.number(value)}" for key, value in record.best_facts(exp.metrics).items())
        self._note(exp, f"{exp.state:9} {best}")

    def _note(self, exp: Experiment, what: str) -> None:
        folder = os.path.join(exp.repository.location.lumo_dir, "diary")
        os.makedirs(folder, exist_ok=True)
        now = values.time_text(time.time())
        line = f"{now} {exp.exp_name}/{exp.test_name} {what}".rstrip().replace("\n", " ") + "\n"
        path = os.path.join(folder, values.day_text(now) + ".txt")
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(fd, line.encode("utf-8", "surrogateescape"))
        finally:
            os.close(fd)


class RecordAbort(ExpHook):
    """Records the exception that ended a run as ``exception``: type, message, traceback."""

    def on_exception(self, exp: Experiment, error: BaseException) -> None:
        """Record it; without secrets and private paths."""
        root = exp.repository.location.work_tree
        text = "".join(traceback.format_exception(error))
        facts = {"type": type(error).__name__, "message": str(error), "traceback": text}
        exp.record_info("exception", {key: _storable(privacy.short_text(value, root)) for key, value in facts.items()})


def _storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class FinalReport(ExpHook):
    """Prints at the end, on standard error: curves, best values, what was left out, what to type next."""

    def on_end(self, exp: Experiment) -> None:
        """Print it; where ``git lumo run`` ends the run, that will do so."""
        out = machine.stderr()
        if out and not exp.is_adopted:
            print(report(exp), file=out, flush=True)


def report(exp: Experiment) -> str:
    """The final report as text."""
    curves = exp.curves()
    metrics = of_the_run(exp.metrics)
    lines = [f"{exp.exp_name}/{exp.test_name} {exp.state}"]
    width = max((len(key) for key in metrics), default=0)
    for key, metric in metrics.items():
        curve = sparkline.draw(curves[key], 24)
        best = f"best {sparkline.number(metric['best'])} (step {metric['best_step']})" if metric["cmp"] else ""
        last = f"last {sparkline.number(metric['last'])}"
        lines.append(f"  {key:{width}}  {curve}  {last:16}  {best}".rstrip())
    skipped = (exp.load_info("git") or {}).get("skipped") or []
    skipped = sorted(skipped, key=lambda item: not str(item.get("path")).endswith("/"))  # whole folders first
    for item in skipped[:5]:
        lines.append(f"  not in the snapshot: {item.get('path')} ({item.get('reason')})")
    if len(skipped) > 5:
        lines.append(f"  not in the snapshot: {len(skipped) - 5} more")
    lines += ["next:", f"  git lumo show {exp.test_name}", "  git lumo log"]
    return "\n".join(lines)


BUILT_IN: tuple[type[ExpHook], ...] = (LockFile, GitCommit, LastCmd, Diary, RecordAbort, FinalReport)
"""The hooks of SimpleExperiment, in the order in which they run."""
