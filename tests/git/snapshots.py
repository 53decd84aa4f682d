"""What the tests of snapshots share."""

from __future__ import annotations

import os
import shutil
import stat
import time
from pathlib import Path
from typing import Any

from gitlumo.git import snapshot
from gitlumo.git.repository import open_repository
from gitlumo.git.snapshot import Limits, Snapshot

REAL_GIT = shutil.which("git")
PATIENT = Limits(timeout=60)
MESSAGE = "Snapshot of the work tree\n\nLumo-Snapshot: 1\n"


def take(path: str | Path, limits: Limits = PATIENT, **more: Any) -> Snapshot:
    """Take a snapshot, and check that nothing is left in the temporary folder."""
    repository = open_repository(path)
    work = Path(repository.location.lumo_dir)
    try:
        return snapshot.take(repository, limits, str(work / "tmp"), str(work / "packs"), **more)
    finally:
        repository.close()
        assert not (work / "tmp").exists() or not list((work / "tmp").iterdir())


def reasons(taken: Snapshot) -> dict[str, str]:
    return {skip["path"]: skip["reason"] for skip in taken.skipped}


def everything(path: Path, git_dir: Path) -> dict[str, Any]:
    """All below a repository but gitlumo's own folder: mode, content and, where git does not freshen it, mtime."""
    state = {}
    for top in {path, git_dir}:
        for folder, folders, names in os.walk(top):
            folders[:] = [name for name in folders if Path(folder, name) != git_dir / "lumo"]
            for name in names:
                file = Path(folder, name)
                found = file.lstat()
                content = os.readlink(file) if file.is_symlink() else file.read_bytes()
                mtime = None if "objects" in file.parts else found.st_mtime_ns
                state[str(file)] = (stat.S_IMODE(found.st_mode), content, mtime)
            state[folder] = sorted(folders)
    return state


def fail_on(repo, git, name: str) -> None:
    git("config", "filter.picky.clean", "false")
    git("config", "filter.picky.required", "true")
    with open(repo / ".git/info/attributes", "a") as file:
        file.write(f"{name} filter=picky\n")


def edit_names(repo, git):
    names = [b"with space", b"new\nline", b"-dash", b"--help", b":(glob)*", b"tab\there", b'quo"te', b"back\\slash",
             b"not utf-8 \xff\xfe", "grüße".encode(), b"-d/\xe9/\n"]  # fmt: skip
    for name in names:
        path = os.path.join(os.fsencode(repo), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        for at in (path, path + b" tracked") if not name.endswith(b"\n") else (path + b"x",):
            with open(at, "wb") as file:
                file.write(name)
        git("--literal-pathspecs", "add", "--", os.fsdecode(path) + (" tracked" if name[-1:] != b"\n" else "x"))
        with open(path + (b" tracked" if name[-1:] != b"\n" else b"x"), "ab") as file:
            file.write(b"and on")


def edit_unmerged(repo, git):
    git("checkout", "-qb", "side")
    (repo / "train.py").write_text("side\n")
    git("rm", "-q", ".gitignore")
    git("commit", "-qam", "side")
    git("checkout", "-q", "main")
    (repo / "train.py").write_text("main\n")
    (repo / ".gitignore").write_text("main\n")
    git("commit", "-qam", "main")
    git("merge", "side", check=False)
    assert git("ls-files", "-u")


def alive_in(path: Path) -> list[str]:
    """Processes that work on a snapshot; one that was killed has a moment to go."""
    until = time.monotonic() + 3
    while (found := _working_in(path)) and time.monotonic() < until:
        time.sleep(0.05)
    return found


def _working_in(path: Path) -> list[str]:
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                if f"{path}/.git/lumo/tmp/snapshot-".encode() in (process / "environ").read_bytes():
                    found.append((process / "cmdline").read_bytes().decode())
            except OSError:
                continue
    return found
