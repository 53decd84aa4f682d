"""git's hooks (githooks(5)): putting lines of ours into one, beside whatever is there, and taking them out again.

Into a shell script they go in front, because it may end anywhere, and know its folder and name: husky's and
pre-commit's do. A hook of another kind is put aside and called.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil

from gitlumo.errors import LumoError
from gitlumo.git import process
from gitlumo.git.repository import Repository

_BEGIN, _END = b"# >>> gitlumo >>>", b"# <<< gitlumo <<<"
_BLOCK = re.compile(re.escape(_BEGIN) + rb".*?" + re.escape(_END) + rb"[^\n]*\n?", re.DOTALL)
_SHELL = re.compile(rb"#![ \t]*(?:\S*/)?(?:env[ \t]+(?:-\S+[ \t]+)*)?(?:\S*/)?(?:ba|da|k|z|a)?sh\b")
ASIDE = ".before-gitlumo"


def folder(repository: Repository) -> str:
    """Where a repository's hooks lie: ``core.hooksPath`` is honoured.

    Raises:
        LumoError: If they are switched off.
    """
    where = repository.location.work_tree or repository.location.common_dir  # to which hooksPath may be relative
    words = [*repository.git_args, "rev-parse", "--path-format=absolute", "--git-path", "hooks"]
    found = os.fsdecode(process.run(words, cwd=where).out).removesuffix("\n")
    if os.path.lexists(found) and not os.path.isdir(found):
        raise LumoError(f"hooks are switched off here: core.hooksPath is {found}, which is no folder")
    return found


def is_shared(repository: Repository, path: str) -> bool:
    """Whether a folder of hooks serves other repositories, too: it lies outside of this one."""
    location = repository.location
    tops = [os.path.realpath(top) for top in (location.common_dir, location.work_tree) if top]
    real = os.path.realpath(path)
    return not any(real == top or real.startswith(top + os.sep) for top in tops)


def find(path: str) -> str | None:
    """The file that has our lines: a hook, or what pre-commit has put aside of it and calls."""
    return next((each for each in (path, path + ".legacy") if _BLOCK.search(_read(each))), None)


def install(path: str, script: bytes, program_dir: str | None = None) -> bool:
    """Put our lines into a hook.

    Args:
        path: The hook; it need not exist.
        script: Ours, whole: what the hook is where there was none.
        program_dir: A folder that it looks for programs in when PATH has them not; None: none.

    Returns:
        Whether there is another hook, beside or in which ours now is.

    Raises:
        LumoError: If what is there is no hook that git would run.
        OSError: If it cannot be written; then nothing has changed.
    """
    head, block = _parts(script, program_dir)
    path = find(path) or path
    if not os.path.lexists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _write(path, head + block, 0o755)
        return False
    data = _read(path)
    if _BLOCK.search(data):
        made = _BLOCK.sub(lambda _: block, data, count=1)
        if made != data:
            _write(path, made, _mode(path))
        return made != head + block
    if not os.path.isfile(path) or not os.access(path, os.X_OK):
        raise LumoError(f"{path} is there, but git does not run it: it is not executable\nchmod +x it, or remove it")
    if _SHELL.match(data) and not os.path.islink(path):
        first, newline, rest = data.partition(b"\n")
        _write(path, first + (newline or b"\n") + block + rest, _mode(path))
        return True
    aside = path + ASIDE
    if os.path.lexists(aside):
        raise LumoError(f"{aside} is in the way\nlook what it is, and remove it")
    _double(path, aside)
    _write(path, head + block + f'exec "$0{ASIDE}" "$@"\n'.encode(), 0o755)
    return True


def remove(path: str) -> bool:
    """Take our lines out of a hook; what else was there is as before.

    Returns:
        Whether they were in it.

    Raises:
        OSError: If it cannot be written.
    """
    path = find(path) or path
    data = _read(path)
    if not _BLOCK.search(data):
        return False
    left = _BLOCK.sub(b"", data, count=1)
    if os.path.lexists(path + ASIDE):
        os.replace(path + ASIDE, path)
    elif left.strip() in (b"", b"#!/bin/sh"):
        os.unlink(path)
    else:
        _write(path, left, _mode(path))
    return True


def _parts(script: bytes, program_dir: str | None) -> tuple[bytes, bytes]:
    """A script's first line, and its block."""
    head, _, block = script.partition(b"\n")
    if program_dir:
        first, _, rest = block.partition(b"\n")
        block = first + b'\nPATH="$PATH":' + os.fsencode(shlex.quote(program_dir)) + b"\n" + rest
    return head + b"\n", block


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as source:
            return source.read()
    except OSError:
        return b""


def _mode(path: str) -> int:
    return os.stat(path).st_mode & 0o7777


def _write(path: str, data: bytes, mode: int) -> None:
    """Write a file as a whole: git may run it just now."""
    unfinished = f"{path}.{os.getpid()}.gitlumo"
    try:
        with open(unfinished, "xb") as out:
            out.write(data)
        os.chmod(unfinished, mode)
        os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise


def _double(path: str, other: str) -> None:
    """Let a file, or a link, have another name, too: at no moment is the hook gone."""
    if os.path.islink(path):
        os.symlink(os.readlink(path), other)
        return
    try:
        os.link(path, other)
    except OSError:  # a file system without hard links
        shutil.copy2(path, other)
