"""What a command line starts: the executable, the script, the Python that runs it, and how to call the experiment."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from gitlumo import ids
from gitlumo.capture import Program, installed_with_origins, packages_with_origins
from gitlumo.errors import InvalidName, LumoError

_PYTHON = re.compile(r"(?:python|pypy)[\d.]*")
_WITH_VALUE = frozenset("WXQ")  # options of Python's that take the next word (python(1)); -c and -m end them
_SCRIPT = (".py", ".sh", ".bash", ".R", ".r", ".jl", ".js", ".pl", ".rb", ".lua", ".ipynb")
# Asked of an interpreter of any version. What lies in the current folder is none of its packages.
QUESTION = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; import json; "
    "print(json.dumps([sys.implementation.name, list(sys.version_info[:3]), sys.path]))"
)
SECONDS = 20.0  # in which an interpreter has to answer


class NoSuchCommand(LumoError):
    """A command that cannot run; exit status as of env(1): 127 there is none, 126 it is no program."""

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


def program_of(words: Sequence[str]) -> Program:
    """What a command line starts.

    Raises:
        NoSuchCommand: If there is no such command.
    """
    found = shutil.which(words[0])
    if found is None:
        if os.path.exists(words[0]) and os.sep in words[0]:
            hint = f"{words[0]} is not executable; type 'chmod +x {words[0]}', or name what runs it first"
            raise NoSuchCommand(hint, 126)
        raise NoSuchCommand(f"there is no command {words[0]!r} here; is its folder on the PATH?", 127)
    bin = os.path.abspath(found)
    if is_python(bin):
        argv = _script_words(words)
        file = argv[0] if argv and not argv[0].startswith("-") else ""
    else:
        argv, named = list(words), _scripts(words)
        file = named[0] if named else bin if os.sep in words[0] else ""
    return Program(list(words), argv, bin, os.path.abspath(file) if file else "")


def _scripts(words: Sequence[str]) -> list[str]:
    """Words after the first that name a script which is there: ``sh train.sh``."""
    return [word for word in words[1:] if word.endswith(_SCRIPT) and os.path.exists(word)]


def is_python(bin: str) -> bool:
    """Whether a program is a Python, as its name says."""
    return _PYTHON.fullmatch(os.path.basename(bin)) is not None


def _script_words(words: Sequence[str]) -> list[str]:
    """What ``sys.argv`` will be: the words after Python's own options; ``-m NAME`` and ``-c`` stand for themselves."""
    i = 1
    while i < len(words) and words[i].startswith("-") and words[i] != "-":
        word = words[i]
        for place, letter in enumerate(word[1:] if not word.startswith("--") else "", 1):
            if letter == "c":
                return ["-c", *words[i + (1 if word[place + 1 :] else 2) :]]
            if letter == "m":
                rest = word[place + 1 :]
                return ["-m", *([rest] if rest else []), *words[i + 1 :]]
            if letter in _WITH_VALUE:
                i += 0 if word[place + 1 :] else 1
                break
        i += 1
    return list(words[i:])


def experiment_of(program: Program) -> str:
    """What to call an experiment of which only the command is known: the script's name, else the program's."""
    named = _scripts(program.words)
    if program.argv[:1] == ["-m"] and len(program.argv) > 1:
        name = program.argv[1]
    else:
        name = os.path.splitext(os.path.basename(named[0] if named else program.words[0]))[0]
    try:
        return ids.check_exp_name(name)
    except InvalidName:
        return "run"


def python_of(program: Program) -> str | None:
    """The Python that runs a program: itself, or what the first line of the script names; None: it is no Python."""
    if is_python(program.bin):
        return program.bin
    try:
        with open(program.bin, "rb") as source:
            line = source.readline(1000)
    except OSError:
        return None
    words = os.fsdecode(line[2:]).split() if line.startswith(b"#!") else []
    if words and os.path.basename(words[0]) == "env":  # '#!/usr/bin/env python3', perhaps with -S
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    found = shutil.which(words[0]) if words else None
    return found if found and is_python(found) else None


class Interpreter:
    """A Python, asked in the background what it can import."""

    def __init__(self, python: str | None):
        """Begin to ask.

        Args:
            python: Its path; None: there is none, so no packages are of interest.
        """
        self._is_ours = python is not None and is_ours(python)
        self._child: subprocess.Popen[bytes] | None = None
        if python is not None and not self._is_ours:
            self._child = subprocess.Popen(
                [python, "-c", QUESTION],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )

    def packages(self, root: str | None) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
        """Every package's version by its name, and ``python``; empty where no Python answers.

        Args:
            root: The work tree, or None.

        Returns:
            The versions, and from where packages are: see :func:`gitlumo.capture.packages_with_origins`.
        """
        if self._is_ours:
            return installed_with_origins(root)
        if self._child is None:
            return {}, {}
        try:
            out, _ = self._child.communicate(timeout=SECONDS)
            _, version, path = answer(out)
        except (subprocess.TimeoutExpired, ValueError, TypeError, IndexError):
            self._child.kill()
            self._child.wait()
            return {}, {}
        found, origins = packages_with_origins(path, root)
        return {**found, "python": version}, origins

    def close(self) -> None:
        """Wait for no answer."""
        if self._child is not None and self._child.returncode is None:
            self._child.kill()
            self._child.communicate()


def answer(out: bytes) -> tuple[str, str, list[str]]:
    """What a Python has answered to :data:`QUESTION`: implementation, version, and its ``sys.path``.

    Raises:
        ValueError: If that is no such answer; or TypeError, or IndexError.
    """
    implementation, version, folders = json.loads(out.splitlines()[-1])
    return str(implementation), ".".join(str(part) for part in version), [str(folder) for folder in folders]


def is_ours(python: str) -> bool:
    """Whether a Python is this one, perhaps under another name (``python3``): then it imports the same."""
    there, here = os.path.abspath(python), os.path.abspath(sys.executable)
    return os.path.dirname(there) == os.path.dirname(here) and os.path.realpath(there) == os.path.realpath(here)
