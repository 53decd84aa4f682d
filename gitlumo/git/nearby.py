"""Where git would find a repository, guessed without asking it: for what has to answer in a moment, and only looks."""

from __future__ import annotations

import os


def common_dir() -> str | None:
    """The git common dir of the current folder's repository, absolute (gitrepository-layout(5)).

    Returns:
        None where that is not plain to see: outside of one, or where the environment says which one it is.
    """
    if any(name in os.environ for name in ("GIT_DIR", "GIT_COMMON_DIR", "GIT_WORK_TREE")):
        return None
    folder = os.getcwd()
    while True:
        for git_dir in (_pointed(os.path.join(folder, ".git")), folder):  # a bare one is its own
            if git_dir is not None and os.path.isfile(os.path.join(git_dir, "HEAD")):
                return _common(git_dir)
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above


def _pointed(path: str) -> str | None:
    """The git dir at a path: a folder, or what a file names that stands for one (linked work trees, submodules)."""
    if os.path.isdir(path):
        return path
    text = _read(path)
    named = text.removeprefix("gitdir: ") if text is not None and text.startswith("gitdir: ") else None
    return os.path.normpath(os.path.join(os.path.dirname(path), named)) if named else None


def _common(git_dir: str) -> str:
    named = _read(os.path.join(git_dir, "commondir"))
    return os.path.normpath(os.path.join(git_dir, named)) if named else git_dir


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as source:
            return source.read().removesuffix("\n")
    except OSError:
        return None
