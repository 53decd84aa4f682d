"""Repositories of every kind, and what can be done in each: one row of docs/repositories.md, from real runs.

``python -m tests.repositories`` writes the page anew; tests/test_repositories.py compares each row with it.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent / "docs/repositories.md"
COLUMNS = ("record", "list", "show", "clone", "share")
REF = "refs/heads/lumo_experiments"
TRAIN = """
import gitlumo
with gitlumo.SimpleExperiment('digits', params={'lr': .1}) as exp:
    exp.log({'acc': .93})
"""
_LFS = "*.bin filter=lfs diff=lfs merge=lfs -text\n"
_POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'ab' * 32}\nsize 12345\n"


def git(*args: str | Path, cwd: Path, check: bool = True, **more: Any) -> str:
    """What git prints."""
    command = ["git", *map(str, args)]
    done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, check=False, **more)
    assert not check or done.returncode == 0, f"{command}: {done.stderr.decode(errors='replace')}"
    return done.stdout.decode(errors="surrogateescape").removesuffix("\n")


def make(place: Path, *options: str) -> Path:
    """A repository with a commit of some files in folders."""
    git("init", "-q", *options, place, cwd=place.parent)
    put(place, "train.py", "print('training')\n")
    for folder in ("data", "src"):
        put(place, f"{folder}/a.py", f"{folder}\n")
    return commit(place)


def put(place: Path, name: str, text: str) -> None:
    """Write a file below a folder."""
    (place / name).parent.mkdir(parents=True, exist_ok=True)
    (place / name).write_text(text)


def commit(place: Path) -> Path:
    """Commit all that lies in a work tree."""
    git("add", "--all", cwd=place)
    git("commit", "-q", "-m", "a commit", cwd=place)
    return place


def dirty(place: Path, stage: bool = True) -> Path:
    """Change a tracked file, stage another, add an untracked one."""
    put(place, "src/a.py", "staged\n")
    if stage:
        git("add", "src/a.py", cwd=place)
    put(place, "train.py", "print('changed')\n")
    put(place, "new.py", "untracked\n")
    return place


def clone(place: Path, *options: str, bare: bool = False) -> Path:
    """A clone, over a transport, of a repository that serves filters."""
    origin = make(place.parent / "origin")
    for name in ("allowFilter", "allowAnySHA1InWant"):
        git("config", f"uploadpack.{name}", "true", cwd=origin)
    commit(dirty(origin))
    git("clone", "-q", *options, f"file://{origin}", place, cwd=place.parent)
    return place


def no_commits(place: Path) -> Path:
    git("init", "-q", place, cwd=place.parent)
    put(place, "train.py", "print('training')\n")
    return place


def detached(place: Path) -> Path:
    git("switch", "-q", "--detach", cwd=make(place))
    return dirty(place)


def bare(place: Path) -> Path:
    git("clone", "-q", "--bare", make(place.parent / "origin"), place, cwd=place.parent)
    return place


def linked_worktree(place: Path) -> Path:
    git("worktree", "add", "-q", "-b", "side", place, cwd=make(place.parent / "main"))
    return dirty(place)


def with_submodule(place: Path) -> Path:
    make(place.parent / "inner")
    git("submodule", "--quiet", "add", place.parent / "inner", "sub", cwd=make(place))
    commit(place)
    put(place, "sub/train.py", "dirty\n")
    return dirty(place)


def in_submodule(place: Path) -> Path:
    return dirty(with_submodule(place) / "sub")


def separate_git_dir(place: Path) -> Path:
    return dirty(make(place, f"--separate-git-dir={place.parent / 'elsewhere.git'}"))


def alternates(place: Path) -> Path:
    git("clone", "-q", "--shared", make(place.parent / "origin"), place, cwd=place.parent)
    return dirty(place)


def worktree_config(place: Path) -> Path:
    git("config", "extensions.worktreeConfig", "true", cwd=make(place))
    git("config", "--worktree", "core.autocrlf", "false", cwd=place)
    return dirty(place)


def sparse(*options: str) -> Callable[[Path], Path]:
    def build(place: Path) -> Path:
        git("sparse-checkout", "set", *options, "src", cwd=make(place))
        assert not (place / "data").exists()
        return dirty(place, stage="--sparse-index" not in options)  # git's own fsck fails on one with staged files

    return build


def split_index(place: Path) -> Path:
    git("update-index", "--split-index", cwd=make(place))
    return dirty(place)


def fsmonitor(place: Path) -> Path:
    hook = make(place) / ".git/hooks/fsmonitor"
    hook.write_text("#!/bin/sh\nprintf 'token\\0'\n")  # nothing has changed, it says
    hook.chmod(0o755)
    git("config", "core.fsmonitor", hook, cwd=place)
    git("config", "core.untrackedCache", "true", cwd=place)
    git("status", cwd=place)
    return dirty(place)


def hidden(place: Path) -> Path:
    git("update-index", "--assume-unchanged", "train.py", cwd=make(place))
    git("update-index", "--skip-worktree", "data/a.py", cwd=place)
    put(place, "train.py", "changed\n")
    put(place, "data/a.py", "changed\n")
    return place


def intent_to_add(place: Path) -> Path:
    put(make(place), "intended.py", "x\n")
    git("add", "--intent-to-add", "intended.py", cwd=place)
    return dirty(place)


def conflicting(*command: str) -> Callable[[Path], Path]:
    def build(place: Path) -> Path:
        git("switch", "-q", "-c", "side", cwd=make(place))
        put(place, "train.py", "side\n")
        git("rm", "-q", "data/a.py", cwd=place)
        commit(place)
        git("switch", "-q", "main", cwd=place)
        put(place, "train.py", "main\n")
        put(place, "data/a.py", "main\n")
        commit(place)
        git(*command, "side", cwd=place, check=False)
        assert git("ls-files", "--unmerged", cwd=place)
        put(place, "new.py", "untracked\n")
        return place

    return build


def filter_missing(place: Path) -> Path:
    put(place.parent, "repo/.gitattributes", "*.secret filter=crypt\n")
    put(place, "a.secret", "as committed\n")
    make(place)
    git("config", "filter.crypt.clean", "no-such-program", cwd=place)
    git("config", "filter.crypt.required", "true", cwd=place)
    put(place, "a.secret", "changed\n")
    return dirty(place)


def lfs(place: Path) -> Path:
    put(place, ".gitattributes", _LFS)
    put(place, "model.bin", _POINTER)
    return dirty(make(place))


def lfs_missing(place: Path) -> Path:
    lfs(place)
    git("config", "filter.lfs.process", "no-git-lfs filter-process", cwd=place)
    git("config", "filter.lfs.required", "true", cwd=place)
    put(place, "model.bin", "changed\n")
    return place


def unreadable(place: Path) -> Path:
    put(make(place), "shut/a.py", "x\n")
    put(place, "shut.py", "x\n")
    dirty(place)
    for name in ("shut.py", "data/a.py", "shut"):
        os.utime(place / name, (1, 1))
        (place / name).chmod(0)
    return place


def specials(place: Path) -> Path:
    os.mkfifo(make(place) / "fifo")
    (place / "data/a.py").unlink()
    os.mkfifo(place / "data/a.py")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(".", os.O_RDONLY)
        os.chdir(place)  # a socket's path is short
        server.bind("socket")
        os.fchdir(here)
        os.close(here)
    return dirty(place)


def odd_names(place: Path) -> Path:
    names = [b"new\nline.py", b"caf\xe9.py", b"tab\t.py", b'"quo te".py', b"-dash", "数据.py".encode()]
    for folder in (b"", b"f\xe9\n/"):
        os.makedirs(os.path.join(os.fsencode(place), folder), exist_ok=True)
        for name in names:
            Path(os.fsdecode(os.path.join(os.fsencode(place), folder, name))).write_text("x")
    make(place)
    Path(os.fsdecode(os.path.join(os.fsencode(place), b"f\xe9\n/untracked\xff"))).write_text("x")
    return dirty(place)


def case_collision(place: Path) -> Path:
    put(place, "Train.py", "another\n")
    put(place, "SRC/a.py", "another\n")
    return dirty(make(place))


def cloned(*options: str) -> Callable[[Path], Path]:
    return lambda place: dirty(clone(place, *options))


def of_format(*options: str) -> Callable[[Path], Path]:
    return lambda place: dirty(make(place, *options))


KINDS: dict[str, Callable[[Path], Path]] = {
    "ordinary, clean": make,
    "ordinary, with changes": lambda place: dirty(make(place)),
    "without commits": no_commits,
    "detached HEAD": detached,
    "bare": bare,
    "linked worktree": linked_worktree,
    "with a submodule that is dirty": with_submodule,
    "inside a submodule": in_submodule,
    "`--separate-git-dir`": separate_git_dir,
    "alternates (`clone --shared`)": alternates,
    "`extensions.worktreeConfig`": worktree_config,
    "sparse checkout": sparse("--cone"),
    "sparse checkout, sparse index": sparse("--cone", "--sparse-index"),
    "sparse checkout by patterns": sparse("--no-cone"),
    "split index": split_index,
    "fsmonitor and untracked cache": fsmonitor,
    "assume-unchanged, skip-worktree": hidden,
    "intent to add": intent_to_add,
    "merge with conflicts": conflicting("merge"),
    "rebase with conflicts": conflicting("rebase"),
    "required filter, program missing": filter_missing,
    "LFS pointers, git-lfs never set up": lfs,
    "LFS set up, git-lfs missing": lfs_missing,
    "unreadable files": unreadable,
    "FIFOs and sockets": specials,
    "names with newlines, not UTF-8": odd_names,
    "names that differ in case only": case_collision,
    "shallow clone": cloned("--depth=1"),
    "single-branch clone": cloned("--single-branch"),
    "partial clone, `blob:none`": cloned("--filter=blob:none"),
    "partial clone, `tree:0`": cloned("--filter=tree:0"),
    "SHA-256": of_format("--object-format=sha256"),
    "reftable": of_format("--ref-format=reftable"),
    "SHA-256, reftable": of_format("--object-format=sha256", "--ref-format=reftable"),
}


def row(kind: str, folder: Path, state: Callable[[Path], Any], fsck: Callable[[Path], None]) -> dict[str, str]:
    """What can be done in a repository of a kind: each column's cell.

    Args:
        kind: A key of :data:`KINDS`.
        folder: An empty one to work in.
        state: Tells all of a work tree that belongs to the user.
        fsck: Raises if git finds anything wrong with a repository.
    """
    place = KINDS[kind](folder / "repo")
    is_bare = git("rev-parse", "--is-bare-repository", cwd=place) == "true"
    before = None if is_bare else state(place)
    told = _run([sys.executable, "-c", TRAIN], place)
    cells = {"record": _recorded(place, told)}
    listed = _run(["git", "lumo", "log", "--json"], place)
    cells["list"] = _seen(listed, lambda out: len(json.loads(out)) == 1)
    cells["show"] = _seen(_run(["git", "lumo", "show", "@"], place), lambda out: "acc" in out and "lr" in out)
    assert is_bare or state(place) == before, "the work tree, or what git knows of it, has changed"
    fsck(place)
    cells["clone"] = _cloned(place, folder / "clone", listed.stdout, fsck)
    cells["share"] = _shared(place, folder / "clone", folder / "hub.git", fsck)
    assert before is None or state(place) | {"refs": before["refs"]} == before, "sharing has changed the work tree"
    return cells


def _run(command: list[str], place: Path) -> subprocess.CompletedProcess[str]:
    more = {"capture_output": True, "encoding": "utf-8", "errors": "replace", "check": False}
    return subprocess.run(command, cwd=place, stdin=subprocess.DEVNULL, preexec_fn=as_anybody, **more)  # type: ignore[call-overload, no-any-return]


def as_anybody() -> None:
    """Root, too, reads only what the files' modes let it: without CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""
    if sys.platform == "linux" and os.geteuid() == 0:
        for capability in (1, 2):
            ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP, prctl(2)


def _recorded(place: Path, told: subprocess.CompletedProcess[str]) -> str:
    if told.returncode:
        return "no: " + told.stderr.strip().split("\n")[-1]
    assert "Warning" not in told.stderr, told.stderr
    (path,) = (name for name in git("ls-tree", "-r", "--name-only", REF, cwd=place).split("\n") if "/git.json" in name)
    facts = json.loads(git("show", f"{REF}:{path}", cwd=place))
    reasons: dict[str, list[str]] = {}
    for skip in facts["skipped"]:
        reasons.setdefault(skip["reason"], []).append(skip["path"])
    without = "; ".join(f"without `{'`, `'.join(paths)}`: {_short(why)}" for why, paths in reasons.items())
    if facts["dirty"] is None:
        return "yes, HEAD: no work tree"
    _compare(place, facts["commit"], {skip["path"] for skip in facts["skipped"]})
    return f"yes, {without}" if without else "yes"


def _compare(place: Path, commit: str, skipped: set[str]) -> None:
    """See that a snapshot holds each file that git would commit as it lies in the work tree, but for the skipped."""
    entries = (entry.split("\t", 1) for entry in git("ls-tree", "-r", "-z", commit, cwd=place).split("\0")[:-1])
    recorded = {path: about.split(" ")[2] for about, path in entries}
    new = hashlib.sha256 if len(commit) == 64 else hashlib.sha1
    listed = git("ls-files", "-z", "-c", "-o", "--exclude-standard", cwd=place).split("\0")[:-1]
    assert len(set(listed)) > 0
    for name in set(listed) - {path for path in listed if path.split("/")[0] + "/" in skipped or path in skipped}:
        if (place / name).is_file():
            data = (place / name).read_bytes()
            assert recorded.get(name) == new(b"blob %d\0%s" % (len(data), data)).hexdigest(), name
        elif git("ls-files", "-t", "--", name, cwd=place).startswith("S "):  # a sparse checkout keeps it
            assert name in recorded


def _short(reason: str) -> str:
    """A reason without what differs from one git and system to the other, and without the path again."""
    said = re.sub(r"^.*(hung up|packet write|cannot run|not found).*$", "its program is missing", reason)
    return re.sub(r"^[\w./]*: |^open\(.*\): |\|", "", said)


def _seen(told: subprocess.CompletedProcess[str], whole: Callable[[str], bool]) -> str:
    if told.returncode or told.stderr:
        return "no: " + told.stderr.strip().split("\n")[-1].removeprefix("fatal: ")
    return "yes" if whole(told.stdout) else "no"


def _cloned(place: Path, copy: Path, listed: str, fsck: Callable[[Path], None]) -> str:
    origin, yes = place, "yes"
    if git("config", "remote.origin.promisor", cwd=place, check=False):  # git itself makes no sound clone of it
        git("push", "-q", "origin", REF, cwd=place)
        origin, yes = place.parent / "origin", "yes, of its remote, once pushed: a partial clone lacks objects"
    done = _run(["git", "clone", "-q", str(origin), str(copy)], place.parent)
    if done.returncode:
        return "no: " + done.stderr.strip().split("\n")[-1].removeprefix("fatal: ")
    fsck(copy)
    there = _run(["git", "lumo", "log", "--json"], copy)
    seen = _seen(there, lambda out: out == listed)
    return yes if seen == "yes" else seen


def _shared(place: Path, other: Path, hub: Path, fsck: Callable[[Path], None]) -> str:
    """Push to where it came from or a new repository; pull what another clone has recorded."""
    if not git("remote", cwd=place):
        form = f"--object-format={git('rev-parse', '--show-object-format', cwd=place)}"
        git("init", "-q", "--bare", form, hub, cwd=place.parent)
        git("remote", "add", "hub", hub, cwd=place)
    git("remote", "add", "there", git("remote", "get-url", git("remote", cwd=place), cwd=place), cwd=other)
    _run([sys.executable, "-c", TRAIN], other).check_returncode()
    for words, where in [(["push"], place), (["push", "there"], other), (["pull"], place), (["push"], place)]:
        done = _run(["git", "lumo", *words, "-q"], where)
        if done.returncode or done.stderr:
            return "no: " + done.stderr.strip().split("\n")[0].removeprefix("fatal: ")
    assert git("rev-parse", REF, cwd=place) == git("rev-parse", REF, cwd=other)
    fsck(place)
    return _seen(_run(["git", "lumo", "log", "--json"], place), lambda out: len(json.loads(out)) == 2)


def page(rows: dict[str, dict[str, str]]) -> str:
    """docs/repositories.md."""
    lines = ["| repository | " + " | ".join(COLUMNS) + " |", "| --- " * (len(COLUMNS) + 1) + "|"]
    lines += [f"| {kind} | " + " | ".join(cells[name] for name in COLUMNS) + " |" for kind, cells in rows.items()]
    return _HEAD + "\n".join(lines) + "\n"


_HEAD = """# Repositories

What gitlumo does in repositories of each kind. The table is made by `python -m tests.repositories` from real runs, and
the suite compares each row with new ones.

* **record**: a run with the built-in hooks, as a process of its own. Its code is recorded as it lies in the work tree,
  but for what is named. The work tree, the index, HEAD, the other refs and the stash are byte for byte as they were,
  and `git fsck --strict` is clean.
* **list**, **show**: `git lumo log` and `git lumo show @` there.
* **clone**: `git clone` of it, in which `git lumo log` prints the same.
* **share**: `git lumo push`, another clone pushes a run of its own, `git lumo pull`: both have both at one commit, and
  nothing else has changed.

"""


def read_page() -> dict[str, dict[str, str]]:
    """The rows of docs/repositories.md."""
    lines = [line[2:-2].split(" | ") for line in PAGE.read_text().split("\n") if line.startswith("| ")]
    return {kind: dict(zip(COLUMNS, cells, strict=True)) for kind, *cells in lines[2:]}


def main() -> None:
    """Write docs/repositories.md."""
    import pytest

    with tempfile.NamedTemporaryFile() as rows:
        os.environ["GITLUMO_ROWS"] = rows.name
        pytest.main(["-q", "-p", "no:xdist", str(Path(__file__).with_name("test_repositories.py"))])
        made = dict(json.loads(line) for line in rows.read().splitlines())
    PAGE.write_text(page({kind: made[kind] for kind in KINDS}))


if __name__ == "__main__":
    main()
