"""In what the environment of a recorded run differs from that of the interpreter which is to run it again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gitlumo import capture, hardware, privacy
from gitlumo.errors import LumoError
from gitlumo.rerun.programs import QUESTION, SECONDS, answer, is_ours

SHOWN = 8  # packages of a kind, in one line
# Names in a lock that are no packages of the run's own: pip installs, and the tracker only watches.
NOT_COMPARED = frozenset({"python", "torch.version.cuda", "pip", "gitlumo"})
_MACHINE = {"os": "system", "arch": "architecture", "cpu": "processor", "gpus": "GPUs", "gpu_driver": "GPU driver"}
_WHERE = ("PYTHONPATH", "PYTHONHOME", "PYTHONNOUSERSITE", "PYTHONUSERBASE", "HOME")  # say where packages are
UNKNOWN = "unknown: the git-ignored files that the run had read (data, .env); they are not in the snapshot"


@dataclass(frozen=True)
class Interpreter:
    """What an interpreter says of itself.

    Attributes:
        path: The program.
        implementation: ``cpython``, ``pypy``.
        packages: As in ``info/lock.json``.
        folders: Its ``sys.path``, but the current folder.
    """

    path: str
    implementation: str
    packages: Mapping[str, str]
    folders: Sequence[str] = ()

    @property
    def version(self) -> str:
        """``3.11.7``."""
        return self.packages["python"]


@dataclass(frozen=True)
class Difference:
    """In what two environments differ; true where that may change what the run does.

    Attributes:
        python: The recorded Python and the one here, where they differ.
        missing: Package to recorded version.
        other: Package to recorded version and the one here.
        variables: Recorded variable to its recorded value and the one here (None: not set).
        machine: What else differs, to be known only: what, then, here.
        unrecorded: Whether the run did not record its packages, so nothing can be said of them.
    """

    python: tuple[str, str] | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    other: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    variables: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    machine: Sequence[tuple[str, str, str]] = ()
    unrecorded: bool = False

    def __bool__(self) -> bool:
        return bool(self.python or self.missing or self.other or self.variables or self.unrecorded)

    def lines(self) -> list[str]:
        """All of it for reading, a line each; what cannot be known, too."""
        lines = []
        if self.python:
            lines.append(f"python: {self.python[0]} was recorded, here is {self.python[1]}")
        if self.unrecorded:
            lines.append("packages: the run recorded none")
        if self.missing:
            lines.append(f"missing: {_some(f'{name}=={version}' for name, version in self.missing.items())}")
        if self.other:
            pairs = self.other.items()
            lines.append(f"other version: {_some(f'{name} {then} (here {here})' for name, (then, here) in pairs)}")
        for name, (then, now) in self.variables.items():
            lines.append(f"variable: {name} was {then!r}, here it is {'not set' if now is None else repr(now)}")
        lines += [f"{what}: it was {then}, here it is {here}" for what, then, here in self.machine]
        return [*lines, UNKNOWN]


def _some(items: Iterable[str]) -> str:
    every = list(items)
    more = f", and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return ", ".join(every[:SHOWN]) + more


def ask(path: str, environ: Mapping[str, str] | None = None, cwd: str | None = None) -> Interpreter:
    """What an interpreter is, and which packages it would find.

    Args:
        path: The program; of our own nothing is started, unless ``environ`` says otherwise where packages are.
        environ: The variables that it will have; None: ours.
        cwd: Where it will run: what lies there is no package, but ``PYTHONPATH`` may be relative to it.

    Raises:
        LumoError: If it is not there, or is no Python.
    """
    same = environ is None or all(environ.get(name) == os.environ.get(name) for name in _WHERE)
    if same and is_ours(path):
        return Interpreter(path, sys.implementation.name, capture.installed_packages(), sys.path)
    shown = privacy.home_relative(path)
    try:
        done = subprocess.run(
            [path, "-c", QUESTION],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
            env=environ,
            cwd=cwd,
        )
    except OSError as error:
        raise LumoError(f"cannot run {shown}: {error.strerror}; name another Python: --python PATH") from None
    except subprocess.TimeoutExpired:
        raise LumoError(f"{shown} does not say within {SECONDS:g} s which Python it is") from None
    try:
        implementation, version, folders = answer(done.stdout)
        packages = {**capture.packages_in(folders), "python": version}
    except (ValueError, TypeError, IndexError):
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["nothing"]
        raise LumoError(f"{shown} is no Python that runs; it says: {said[-1]}") from None
    return Interpreter(path, implementation, packages, folders)


def compare(info: Callable[[str], Any], interpreter: Interpreter, environ: Mapping[str, str]) -> Difference:
    """In what an interpreter's environment differs from a run's.

    Args:
        info: Property to value, as ``Record.info``.
        interpreter: What is to run.
        environ: The variables that it will have.
    """
    lock, env = texts(info("lock")), texts(info("env"))
    then = info("machine") if isinstance(info("machine"), Mapping) else {}
    here = interpreter.packages
    packages = {name: version for name, version in sorted(lock.items()) if name not in NOT_COMPARED}
    missing = {name: version for name, version in packages.items() if name not in here}
    if "gitlumo" in lock and "gitlumo" not in here:
        missing["gitlumo"] = lock["gitlumo"]
    return Difference(
        python=_python(lock.get("python") or then.get("python"), then.get("implementation"), interpreter),
        missing=missing,
        other={name: (version, here[name]) for name, version in packages.items() if here.get(name, version) != version},
        variables={
            name: (value, environ.get(name))
            for name, value in env.items()
            if privacy.MASK not in value and privacy.home_relative(environ.get(name, "")) != value
        },
        machine=tuple(_machine(then, hardware.describe())),
        unrecorded=not lock,
    )


def _python(version: Any, implementation: Any, here: Interpreter) -> tuple[str, str] | None:
    """The recorded Python and the one here, where they differ; the implementation is named only where it does."""
    if not isinstance(version, str):
        return None
    if isinstance(implementation, str) and implementation != here.implementation:
        return f"{implementation} {version}", f"{here.implementation} {here.version}"
    return (version, here.version) if version != here.version else None


def _machine(then: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for key, what in _MACHINE.items():
        before, now = (_shown(found.get(key)) for found in (then, here))
        if (key in then and before != now) or (key == "gpus" and then and before != now):
            yield what, before, now


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def texts(value: Any) -> dict[str, str]:
    """What of a recorded object is text: a stranger may have recorded anything."""
    return {k: v for k, v in value.items() if isinstance(v, str)} if isinstance(value, Mapping) else {}
