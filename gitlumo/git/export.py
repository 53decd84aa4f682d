"""The files of a commit as they are recorded: bytes that are the same on every machine.

No filter and no ``.gitattributes`` applies (``git archive`` would obey them, and the user's line ends). Submodules come
from what is on this machine, and instead of an LFS pointer comes the file that it stands for; what is not here is an
error, so that what is made of the files never depends on where it was made.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from gitlumo.errors import GitError, MissingObject
from gitlumo.git import filling, partial
from gitlumo.git.engines import open_objects
from gitlumo.git.objects import SUBMODULE_MODE, Entry, Objects, read_blob, read_commit, walk
from gitlumo.git.repository import Repository

# https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md, "The Pointer"
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-.*\n)*oid sha256:([0-9a-f]{64})\nsize (\d+)\n(?:.*\n)*"
)
_POINTER_SIZE = 1024
_FILTER = re.compile(r"(?<=\s)filter=(\S+)")


@dataclass(frozen=True)
class File:
    """One file of a commit.

    Attributes:
        path: From the top; its bytes that are no UTF-8 as surrogates (PEP 383).
        mode: As it stands in the tree: 0o100644, 0o100755, or 0o120000 for a symbolic link.
        size: Bytes of its content.
        content: Open for reading until the next file is asked for; of a link what it points to.
    """

    path: str
    mode: int
    size: int
    content: BinaryIO


def files(repository: Repository, commit: str) -> Iterator[File]:
    """All files of a commit, in the order of its trees, those of submodules in their place.

    Args:
        repository: Which has it.
        commit: A full id.

    Raises:
        GitError: If something of it is not here, or a path leads out of the folder that it is unpacked in.
    """
    if repository.is_partial:
        partial.bring(repository, [commit])
    location = repository.location
    own = _Module(location.git_dir, location.common_dir, location.work_tree)
    yield from _files(repository, own, repository.objects, commit, "")


def filters(repository: Repository, commit: str) -> list[str]:
    """Filters through which files of a commit become what a work tree holds (gitattributes(5)); LFS is not among them.

    Args:
        repository: Which has it.
        commit: A full id.
    """
    found: set[str] = set()
    objects = repository.objects
    for path, entry in walk(objects, read_commit(objects, commit).tree):
        if entry.is_file and path.rpartition("/")[2] == ".gitattributes":
            for line in read_blob(objects, entry.id).decode("utf-8", "replace").splitlines():
                found.update(_FILTER.findall(line) if not line.lstrip().startswith("#") else ())
    return sorted(found - {"lfs"})


@dataclass(frozen=True)
class _Module:
    git_dir: str
    common_dir: str
    work_tree: str | None


def _files(repository: Repository, own: _Module, objects: Objects, commit: str, prefix: str) -> Iterator[File]:
    names: dict[str, str] | None = None
    for path, entry in walk(objects, read_commit(objects, commit).tree):
        if entry.is_tree:
            continue
        check_path(path)
        if entry.mode != SUBMODULE_MODE:
            yield from _file(own, objects, entry, prefix + path)
            continue
        if names is None:
            names = filling.module_names("--git-dir", own.git_dir, "config", "--blob", f"{commit}:.gitmodules")
        there = os.path.join(own.work_tree, path) if own.work_tree else None
        git_dir = filling.module_dir(path, names.get(path), there, [own.git_dir, own.common_dir])
        below = f"submodule {prefix}{path} ({entry.id[:12]})"
        if git_dir is None:
            raise GitError(f"{below} is not on this machine\ntype 'git submodule update --init --recursive'")
        module = open_objects(repository.engine, os.path.join(git_dir, "objects"), repository.location.hash_name)
        try:
            yield from _files(repository, _Module(git_dir, git_dir, there), module, entry.id, f"{prefix}{path}/")
        except MissingObject as error:
            raise GitError(f"{below} is not whole on this machine: {error}\ntype 'git fetch' in it") from None
        finally:
            module.close()


def _file(own: _Module, objects: Objects, entry: Entry, path: str) -> Iterator[File]:
    data = read_blob(objects, entry.id)
    pointer = _POINTER.fullmatch(data) if entry.is_file and len(data) < _POINTER_SIZE else None
    if pointer is None:
        yield File(path, entry.mode, len(data), io.BytesIO(data))
        return
    oid = pointer[1].decode("ascii")
    stored = os.path.join(own.common_dir, "lfs", "objects", oid[:2], oid[2:4], oid)
    try:
        content = open(stored, "rb")  # noqa: SIM115
    except OSError:
        raise GitError(f"the LFS file {path} is not on this machine\ntype 'git lfs fetch --all'") from None
    with content:
        if hashlib.file_digest(content, "sha256").hexdigest() != oid:
            raise GitError(f"the LFS file {path} is damaged in {stored}\ntype 'git lfs fsck'")
        content.seek(0)
        yield File(path, entry.mode, os.fstat(content.fileno()).st_size, content)


def check_path(path: str) -> None:
    """See that a path stays below the folder that it is unpacked in, and out of git's own.

    Raises:
        GitError: If it does not: git's own fsck refuses such a tree, and a stranger may have made it.
    """
    for name in path.split("/"):
        if name in ("", ".", "..") or name.lower() == ".git" or "\0" in name:
            raise GitError(f"{path!r} is no path that can be unpacked; try 'git fsck'")
