"""In what the environment of a recorded run differs from that of the interpreter which is to run it again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gitlumo import capture, privacy
from gitlumo.errors import LumoError

SECONDS = 20.0  # in which an interpreter has to say what it is
SHOWN = 8  # packages of a kind, in one line
# Names in a lock that are no packages of the run's own: pip installs, and the tracker only watches.
NOT_COMPARED = frozenset({"python", "torch.version.cuda", "pip", "gitlumo"})
UNKNOWN = "unknown: the git-ignored files that the run had read (data, .env); they are not in the snapshot"
# Asked of an interpreter of any version. What lies in the current folder is none of its packages.
_QUESTION = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; import json; "
    "print(json.dumps([sys.implementation.name, list(sys.version_info[:3]), sys.path]))"
)


@dataclass(frozen=True)
class Interpreter:
    """What an interpreter says of itself.

    Attributes:
        path: The program.
        implementation: ``cpython``, ``pypy``.
        packages: As in ``info/lock.json``.
    """

    path: str
    implementation: str
    packages: Mapping[str, str]

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
        lines += [f"{what}: {then}; here {here}" for what, then, here in self.machine]
        return [*lines, UNKNOWN]


def _some(items: Any) -> str:
    every = list(items)
    more = f", and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return ", ".join(every[:SHOWN]) + more


def ask(path: str | None = None) -> Interpreter:
    """What an interpreter is, and which packages it would find.

    Args:
        path: The program; None, or our own: nothing is started.

    Raises:
        LumoError: If it is not there, or is no Python.
    """
    if path is None or os.path.abspath(path) == os.path.abspath(sys.executable):
        return Interpreter(sys.executable, sys.implementation.name, capture.installed_packages())
    shown = privacy.home_relative(path)
    try:
        done = subprocess.run(
            [path, "-c", _QUESTION], stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
        )
    except OSError as error:
        raise LumoError(f"cannot run {shown}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise LumoError(f"{shown} does not say within {SECONDS:g} s which Python it is") from None
    try:
        implementation, version, paths = json.loads(done.stdout.splitlines()[-1])
        packages = capture.packages_in([str(folder) for folder in paths])
        packages["python"] = ".".join(str(part) for part in version)
        return Interpreter(path, str(implementation), packages)
    except (ValueError, TypeError, IndexError):
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[:1] or ["nothing"]
        raise LumoError(f"{shown} is no Python that runs: it says {said[0]}") from None


def compare(info: Callable[[str], Any], interpreter: Interpreter, environ: Mapping[str, str]) -> Difference:
    """In what an interpreter's environment differs from a run's.

    Args:
        info: Property to value, as ``Record.info``.
        interpreter: What is to run.
        environ: The variables that it will have.
    """
    lock, env = (_texts(info(key)) for key in ("lock", "env"))
    here = interpreter.packages
    python = lock.get("python")
    packages = {name: version for name, version in sorted(lock.items()) if name not in NOT_COMPARED}
    missing = {name: version for name, version in packages.items() if name not in here}
    if "gitlumo" in lock and "gitlumo" not in here:
        missing["gitlumo"] = lock["gitlumo"]
    return Difference(
        python=(python, interpreter.version) if python and python != interpreter.version else None,
        missing=missing,
        other={name: (then, here[name]) for name, then in packages.items() if here.get(name, then) != then},
        variables={
            name: (then, environ.get(name))
            for name, then in env.items()
            if privacy.MASK not in then and environ.get(name) != then
        },
        unrecorded=not lock,
    )


def _texts(value: Any) -> dict[str, str]:
    """What of a recorded object is text: a stranger may have recorded anything."""
    return {k: v for k, v in value.items() if isinstance(v, str)} if isinstance(value, Mapping) else {}
