"""What ``git worktree add`` leaves out of a work tree: submodules, LFS files, what a sparse checkout hides.

Submodules are filled in from what is on this machine, as clones that share its objects; nobody is asked over the
network. What is not here is said, never passed over.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence

from gitlumo.git import process
from gitlumo.git.repository import Repository

_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
_SHOWN = 3


def fill(repository: Repository, path: str, config: Sequence[str]) -> list[str]:
    """Fill a fresh work tree.

    Args:
        repository: Of which it is.
        path: Its top.
        config: Arguments for the git that works in it.

    Returns:
        What is missing, in lines for people.
    """
    hollow, _, has_lfs = survey(path)
    missing: list[str] = []
    if hollow:
        location = repository.location
        homes = [location.git_dir, location.common_dir]
        missing += _fill_submodules(path, hollow, location.work_tree, homes, config)
    if has_lfs:
        missing += _pointers(path)
    if repository.config.get("core.sparsecheckout", ["false"])[-1].lower() in ("true", "yes", "on", "1"):
        missing += _sparse(path)
    return missing


def survey(path: str) -> tuple[list[str], list[str], bool]:
    """Look at the folders of a work tree.

    Returns:
        Empty folders (git makes none but for submodules), other work trees in it (submodules that are filled), both
        relative and sorted; and whether files that go through LFS may be there.
    """
    hollow, nested, has_lfs = [], [], False
    for folder, folders, names in os.walk(path):
        if ".gitattributes" in names and not has_lfs:
            has_lfs = _names_lfs(os.path.join(folder, ".gitattributes"))
        if folder == path:
            folders[:] = [name for name in folders if name != ".git"]
        elif ".git" in names or ".git" in folders:
            nested.append(os.path.relpath(folder, path))
            folders.clear()
        elif not names and not folders:
            hollow.append(os.path.relpath(folder, path))
    return sorted(hollow), sorted(nested), has_lfs


def _names_lfs(path: str) -> bool:
    if os.path.islink(path):  # git does not read it (gitattributes(5))
        return False
    with open(path, "rb") as source:
        return b"filter=lfs" in source.read()


def _fill_submodules(
    path: str, hollow: Sequence[str], tree: str | None, homes: Sequence[str], config: Sequence[str]
) -> Iterator[str]:
    """Fill the submodules of one level, and theirs; yields what is missing."""
    names = _names(path)
    staged = process.run(["-C", path, "--literal-pathspecs", "ls-files", "-z", "-s", "--", *hollow]).out
    for line in staged.split(b"\0")[:-1]:
        about, _, raw = line.partition(b"\t")
        mode, commit, _ = about.decode("ascii").split(" ")
        if mode != "160000":
            continue
        place = os.fsdecode(raw)
        shown, quoted = f"submodule {place} ({commit[:12]})", shlex.quote(place)
        there = os.path.join(tree, place) if tree else None
        source = module_dir(place, names.get(place), there, homes)
        if source is None:
            yield f"{shown} is not on this machine; 'git submodule update --init {quoted}' brings it"
            continue
        if process.run(["--git-dir", source, "cat-file", "-e", f"{commit}^{{commit}}"], check=False).status:
            yield f"{shown} is not in its repository here; 'git -C {quoted} fetch' may bring it"
            continue
        target = os.path.join(path, place)
        clone = ["clone", "--quiet", "--shared", "--no-checkout", "--template=", "--", source, target]
        checkout = ["-C", target, *config, "checkout", "--quiet", "--detach", commit]
        failed = next((done for done in _run_all(config, clone, checkout) if done.status), None)
        if failed is not None:
            yield f"{shown} could not be checked out: {failed.message}"
            continue
        deeper, _, _ = survey(target)
        if deeper:
            yield from (f"in {place}: {line}" for line in _fill_submodules(target, deeper, there, [source], config))


def _run_all(config: Sequence[str], *commands: Sequence[str]) -> Iterator[process.Result]:
    for command in commands:
        done = process.run([*config, *command], check=False)
        yield done
        if done.status:
            return


def _names(path: str) -> dict[str, str]:
    return module_names("config", "-f", os.path.join(path, ".gitmodules"))


def module_names(*config: str) -> dict[str, str]:
    """Path to name of each submodule, as ``.gitmodules`` says (gitmodules(5)).

    Args:
        config: The git command that reads it: ``config -f FILE``, ``--git-dir DIR config --blob ID``.
    """
    lines = process.run([*config, "-z", "--get-regexp", r"^submodule\..*\.path$"], check=False).out.split(b"\0")[:-1]
    pairs = (os.fsdecode(line).partition("\n") for line in lines)
    return {value: key.removeprefix("submodule.").removesuffix(".path") for key, _, value in pairs}


def module_dir(place: str, name: str | None, there: str | None, homes: Sequence[str]) -> str | None:
    """The git folder of a submodule on this machine: that of a checkout, or one that git keeps.

    Args:
        place: Its path in the repository that has it.
        name: Its name in ``.gitmodules``.
        there: Where it may be checked out.
        homes: The git folders of the repository that has it.
    """
    candidates = [] if there is None else [_git_dir(there)]
    if ".." not in (name or place).split("/"):  # gitmodules(5): such a name would lead out of the folder
        candidates += [os.path.join(home, "modules", name or place) for home in homes]
    return next((found for found in candidates if found and os.path.isfile(os.path.join(found, "HEAD"))), None)


def _git_dir(tree: str) -> str | None:
    """The git folder of a work tree, by its ``.git`` (gitrepository-layout(5))."""
    dot = os.path.join(tree, ".git")
    if os.path.isdir(dot):
        return dot
    try:
        with open(dot, encoding="utf-8", errors="surrogateescape") as source:
            pointer = source.read().removesuffix("\n")
    except (OSError, ValueError):
        return None
    return os.path.normpath(os.path.join(tree, pointer.removeprefix("gitdir: ")))


def _pointers(path: str) -> Iterator[str]:
    """Files that git-lfs was to bring, and that are still its pointers."""
    listed = process.run(["-C", path, "ls-files", "-z", "--", ":(attr:filter=lfs)"]).out.split(b"\0")[:-1]
    left = sorted(os.fsdecode(name) for name in listed if _is_pointer(os.path.join(os.fsencode(path), name)))
    if left:
        shown = ", ".join(left[:_SHOWN]) + (", ..." if len(left) > _SHOWN else "")
        yield f"{len(left)} LFS files are only pointers ({shown}); 'git lfs fetch --all' brings them, where git-lfs is"


def _is_pointer(path: bytes) -> bool:
    try:
        with open(path, "rb") as source:
            return source.read(len(_POINTER)) == _POINTER
    except OSError:
        return False


def _sparse(path: str) -> Iterator[str]:
    marked = process.run(["-C", path, "ls-files", "-z", "-t", "--sparse"]).out.split(b"\0")
    hidden = sum(line.startswith(b"S ") for line in marked)
    if hidden:
        yield f"{hidden} files or folders are left out, as the sparse checkout here says; see 'git sparse-checkout'"
