"""Installing git's hooks: ``git lumo init --hooks`` and ``--no-hooks``."""

from __future__ import annotations

import os
import shutil
import sys

from gitlumo.config import read_settings
from gitlumo.errors import LumoError
from gitlumo.git import hook_files, process
from gitlumo.git.repository import Repository

PRE_PUSH, PRE_RECEIVE = "pre-push", "pre-receive"
SWITCH = "lumo.hooks"
_DOES = {
    PRE_PUSH: "each 'git push' shares the runs, too ('git push --no-verify' does not)",
    PRE_RECEIVE: "whoever pushes here can only add to the ledger",
}


def script(name: str) -> bytes:
    """One of the scripts in ``hooks/``: of the wheel, or of the clone that gitlumo is run from.

    Raises:
        LumoError: If it is not there.
    """
    package = os.path.dirname(os.path.dirname(__file__))
    for folder in (os.path.join(package, "git_hooks"), os.path.join(os.path.dirname(package), "hooks")):
        try:
            with open(os.path.join(folder, name), "rb") as source:
                return source.read()
        except FileNotFoundError:
            continue
    raise LumoError(f"the script {name} is missing in this installation of gitlumo\ninstall gitlumo again")


def name_for(repository: Repository) -> str:
    """Which hook a repository needs: one that others push to has no work tree."""
    return PRE_PUSH if repository.location.work_tree else PRE_RECEIVE


def install(repository: Repository) -> str:
    """Put the hook in place, and switch it on; repeated, it changes nothing.

    Returns:
        What was done, in lines.

    Raises:
        LumoError: If a hook that is there cannot be chained.
        OSError: If it cannot be written.
    """
    name = name_for(repository)
    folder = hook_files.folder(repository)
    path = os.path.join(folder, name)
    program = shutil.which("git-lumo") or sys.argv[0]
    ours = not _may_be_committed(repository, path)  # a path of this machine is not to be committed
    chained = hook_files.install(path, script(name), os.path.dirname(os.path.abspath(program)) if ours else None)
    process.run([*repository.git_args, "config", SWITCH, "true"])
    lines = [f"{name}: {_DOES[name]}", f"  in {path}{', with what was there before' if chained else ''}"]
    if not ours:
        lines.append("  (it is a file of your work tree: others who have it are asked nothing until they do the same)")
    return "\n".join(lines)


def remove(repository: Repository) -> str:
    """Take the hook away, and switch it off.

    Returns:
        What was done, in a line.

    Raises:
        OSError: If it cannot be written.
    """
    name = name_for(repository)
    process.run([*repository.git_args, "config", "--unset-all", SWITCH], check=False)
    folder = hook_files.folder(repository)
    path = os.path.join(folder, name)
    if hook_files.is_shared(repository, folder):
        return f"{name}: switched off here; {path} serves other repositories, too, and stays as it is"
    return f"{name}: removed" if hook_files.remove(path) else f"{name}: was not there"


def is_missing(repository: Repository) -> bool:
    """Whether the hook is switched on, but something has written over it, as husky and pre-commit do."""
    if not read_settings(repository.config).hooks:
        return False
    try:
        return hook_files.find(os.path.join(hook_files.folder(repository), name_for(repository))) is None
    except LumoError:
        return True


def _may_be_committed(repository: Repository, path: str) -> bool:
    """Whether a file is one of the work tree, and not ignored, as those are that husky makes."""

    def is_below(top: str | None) -> bool:
        return bool(top) and os.path.realpath(path).startswith(os.path.realpath(top or "") + os.sep)

    top = repository.location.work_tree
    if not is_below(top) or is_below(repository.location.common_dir):
        return False
    return process.run([*repository.git_args, "check-ignore", "-q", path], cwd=top, check=False).status != 0
