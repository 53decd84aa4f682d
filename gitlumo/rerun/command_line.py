"""The command line of a recorded run: which words it had, and what they are where it is to run again."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from gitlumo.errors import LumoError
from gitlumo.rerun.programs import is_python
from gitlumo.store.query import Found


@dataclass(frozen=True)
class Recorded:
    """How a run was started, as it recorded that.

    Attributes:
        words: Its command line.
        argv: What its script saw of it.
        bin: The executable: absolute, relative to the repository, or ``~/...``.
        file: The script, in the same way; empty: none.
        cwd: The folder it ran in, in the same way.
        place: What ``info/masked.json`` calls its words.
    """

    words: list[str]
    argv: list[str]
    bin: str
    file: str
    cwd: str
    place: str = "pinfo.obj.argv"


def recorded(found: Found) -> Recorded:
    """The command line of a run.

    Raises:
        LumoError: If it recorded none, or one that cannot run again; it says why.
    """
    pinfo, execute = found.record.info("pinfo") or {}, found.record.info("execute") or {}
    obj = pinfo.get("obj") if isinstance(pinfo.get("obj"), dict) else {}
    words, argv = _words(pinfo.get("launcher") or (obj or {}).get("argv")), _words(execute.get("exec_argv"))
    bin, file, cwd = (_word(execute.get(key)) for key in ("exec_bin", "exec_file", "cwd"))
    if not words:
        raise LumoError(
            f"{found.label} has recorded no command\n"
            f"its code is there all the same: git lumo checkout {found.label}, or git lumo branch NAME {found.label}"
        )
    if file.endswith(".ipynb") or "ipykernel_launcher" in words:
        named = f": git lumo show {found.label}:{file}" if file.endswith(".ipynb") else ""
        raise LumoError(
            f"{found.label} ran in a notebook, cell by cell as somebody chose; there is no command to run again\n"
            f"the notebook as it was saved then is in the recorded code{named}"
        )
    if is_python(words[0]) and (not argv or argv[0] in ("", "-")):
        raise LumoError(
            f"{found.label} was typed at Python's prompt, or came from its standard input; it is not recorded"
        )
    if pinfo.get("launcher"):
        return Recorded(words, argv, "", file, cwd or ".", "pinfo.launcher")
    return Recorded(words, argv, bin, file, cwd or ".")


def _words(value: Any) -> list[str]:
    return [_word(word) for word in value] if isinstance(value, list) else []


def _word(value: Any) -> str:
    return os.fsdecode(value) if isinstance(value, (str, bytes)) else ""


@dataclass(frozen=True)
class Located:
    """A command line where it is to run.

    Attributes:
        words: The command line.
        cwd: The folder, absolute.
        notices: What is not as it was recorded, in lines for people.
    """

    words: list[str]
    cwd: str
    notices: list[str]


def locate(command: Recorded, tree: str | None, home_tree: str | None, python: str | None = None) -> Located:
    """Where a command's program, script and folder are.

    Args:
        command: The command, its parameters replaced.
        tree: The work tree in which it is to run; None: in none.
        home_tree: The user's own work tree, which has what git ignores: a virtual environment, a built program.
        python: A Python to use instead of the recorded one.

    Raises:
        LumoError: If the program or the folder is not there.
    """
    cwd = _cwd(command.cwd, tree)
    notices: list[str] = []
    words = [_expanded(word) for word in command.words]
    words[0] = _program(command, words[0], tree, home_tree, python, notices)
    place = _script_place(command)
    if place is not None:
        words[place] = _script(command, words[place], cwd, tree, home_tree, notices)
    for word in words[1:]:
        name = word.partition("=")[2] if word.startswith("-") else word
        if _is_left_behind(name, cwd, tree, home_tree):
            notices.append(f"{name} is in your work tree and not in the recorded code; '--link {name}' links it there")
    return Located(words, cwd, notices)


def _cwd(recorded: str, tree: str | None) -> str:
    path = os.path.expanduser(recorded)
    if not os.path.isabs(path):
        if tree is None:
            raise LumoError(f"it ran in {recorded} of a work tree, and this repository has none; leave out --here")
        path = os.path.normpath(os.path.join(tree, path))
        os.makedirs(path, exist_ok=True)  # git keeps no empty folders
    if not os.path.isdir(path):
        raise LumoError(f"it ran in {recorded}, which is not here; make that folder, or run it yourself: git lumo run")
    return path


def _expanded(word: str) -> str:
    """A word in which the home folder stood when it was recorded."""
    name, equals, value = word.partition("=") if word.startswith("-") or "=" in word else ("", "", word)
    return f"{name}{equals}{os.path.expanduser(value)}" if value == "~" or value.startswith("~/") else word


def _program(
    command: Recorded, typed: str, tree: str | None, home_tree: str | None, python: str | None, notices: list[str]
) -> str:
    if python is not None:
        beside = os.path.join(os.path.dirname(python), os.path.basename(typed))
        if is_python(typed) or os.access(beside, os.X_OK):  # torchrun is that Python's
            return python if is_python(typed) else beside
    recorded = os.path.expanduser(command.bin)
    there = shutil.which(typed)  # one with a slash is looked for as it is
    if not recorded and there is not None:
        return typed
    there = there if os.sep not in typed else None
    if os.path.isabs(recorded):
        if there is not None and os.path.realpath(there) == os.path.realpath(recorded) and there == recorded:
            return typed
        if os.access(recorded, os.X_OK):
            return recorded
    elif recorded:
        for top in (tree, home_tree):
            path = os.path.normpath(os.path.join(top, recorded)) if top else ""
            if os.access(path, os.X_OK):
                if top != tree and not _is_environment(path):
                    notices.append(f"{recorded} is the one of your work tree; it is not in the recorded code")
                return path
    if there is None and is_python(typed):
        there = shutil.which(os.path.basename(typed)) or shutil.which("python3") or sys.executable
    if there is None:
        raise LumoError(f"{command.bin or typed}, which it ran, is not here; install it, or build it and give --here")
    if recorded:
        notices.append(f"{command.bin}, which it ran, is not here; {there} runs it")
    return there


def _is_environment(program: str) -> bool:
    """Whether a program is that of a virtual environment (PEP 405)."""
    return os.path.isfile(os.path.join(os.path.dirname(os.path.dirname(program)), "pyvenv.cfg"))


def _script_place(command: Recorded) -> int | None:
    """The number of the word that is the script of a Python."""
    at = len(command.words) - len(command.argv)
    is_script = is_python(command.words[0]) and at > 0 and command.argv[:1] not in (["-m"], ["-c"])
    return at if is_script and command.words[at:] == command.argv else None


def _script(command: Recorded, word: str, cwd: str, tree: str | None, home_tree: str | None, notices: list[str]) -> str:
    path = os.path.normpath(os.path.join(cwd, word))
    inside = tree is not None and (path + os.sep).startswith(tree + os.sep)
    there = ""
    if tree and command.file and not os.path.isabs(os.path.expanduser(command.file)):
        there = os.path.normpath(os.path.join(tree, command.file))
    if there and (not inside or (os.path.exists(there) and not os.path.lexists(path))):
        path = word = there  # it was called from a folder outside, or had gone to another when that was recorded
    elif inside and not os.path.lexists(path) and home_tree and tree:
        path = os.path.join(home_tree, os.path.relpath(path, tree))
        if os.path.exists(path):
            if not _is_environment(path):
                notices.append(f"{word} is the one of your work tree; it is not in the recorded code")
            return path
    elif not inside and os.path.exists(path) and not _is_environment(path):
        notices.append(f"{command.file or word} is not in the repository, so it runs as it is now")
    if not os.path.exists(path):
        raise LumoError(f"the script {command.file or word} is not here; it was not in the repository when it ran")
    return word


def _is_left_behind(name: str, cwd: str, tree: str | None, home_tree: str | None) -> bool:
    """Whether a word names something in the user's work tree that this one lacks."""
    if not name or not tree or not home_tree or tree == home_tree or os.path.isabs(name):
        return False
    path = os.path.normpath(os.path.join(cwd, name))
    if not path.startswith(tree + os.sep) or os.path.lexists(path):
        return False
    return os.path.lexists(os.path.join(home_tree, os.path.relpath(path, tree)))


def with_words(command: Recorded, words: Sequence[str]) -> Recorded:
    """The same command with other words; what its script sees of them changes with them."""
    at = len(command.words) - len(command.argv)
    known = bool(command.argv) and at >= 0 and command.words[at + 1 :] == command.argv[1:]
    return replace(command, words=list(words), argv=[command.argv[0], *words[at + 1 :]] if known else command.argv)
