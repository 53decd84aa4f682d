"""The sealed test machine, and what most tests need of git. Repositories are real ones."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# In CI any other skip is a failure. A reason may go on after these words.
EXPECTED_SKIPS = ("not root", "needs root", "needs a normal user", "torch is not installed", "shared data",
                  "git is too old for reftable", "man is not installed", "zsh is not installed",
                  "sshd is not installed", "gitleaks is not installed", "openssl is not installed",
                  "nginx and fcgiwrap are not installed", "npm is not installed", "chromium is not installed",
                  "git's completion is not installed")  # fmt: skip
FORGOTTEN = ("GIT_", "LUMO_", "XDG_", "SLURM_", "OMPI_", "LC_", "PYTEST_DEBUG_TEMPROOT")
FORGOTTEN_NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "GITHUB_TOKEN", "GH_TOKEN", "EMAIL", "LANG", "LANGUAGE",
                   "EDITOR", "VISUAL", "PAGER", "LESS", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES",
                   "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")  # fmt: skip
GITCONFIG = """\
[user]
    name = Ada Lovelace
    email = ada@example.org
[init]
    defaultBranch = main
[protocol "file"]
    allow = always
"""

OURS = ("refs/heads/lumo_experiments ", "refs/notes/lumo ")

hypothesis.settings.register_profile("local", deadline=None)
if "CI" not in os.environ:  # there hypothesis takes its own profile "ci"
    hypothesis.settings.load_profile("local")


def _unexpected_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if os.environ.get("CI") != "true" or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not reason.removeprefix("Skipped: ").startswith(EXPECTED_SKIPS):
        report.outcome = "failed"
        report.longrepr = f"unexpected skip (see EXPECTED_SKIPS in tests/conftest.py): {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _unexpected_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _unexpected_skip(report)
    return report


@pytest.fixture(scope="session", autouse=True)
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty HOME, git's configuration, language and zone for the whole session; returns HOME."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:  # as a shell has it in the background; children inherit it
            signal.signal(number, usual)
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text(GITCONFIG)
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith(FORGOTTEN) or name in FORGOTTEN_NAMES:
                patch.delenv(name)
        patch.setenv("HOME", str(home))
        patch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("LC_ALL", "C.UTF-8")
        patch.setenv("TZ", "UTC")
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("tmpdir")))
        patch.setattr(tempfile, "tempdir", None)
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")  # git-lumo
        time.tzset()
        yield home
    time.tzset()


@pytest.fixture(autouse=True)
def here(sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test starts in its own empty folder, and leaves nothing in the system's temporary one."""
    before = set(os.listdir(tempfile.gettempdir()))
    monkeypatch.chdir(tmp_path)
    yield
    left = set(os.listdir(tempfile.gettempdir())) - before
    assert not left, f"left in the temporary folder: {sorted(left)}"


Git = Callable[..., str]


@pytest.fixture(scope="session")
def git(sealed: Path) -> Git:
    """``git(*args, cwd=None, check=True, input=None)``: what the git program prints, without the last newline."""

    def run(*args: str | Path, cwd: str | Path | None = None, check: bool = True, input: str | None = None) -> str:
        done = subprocess.run(
            ["git", *map(str, args)],
            cwd=cwd,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
        assert not check or done.returncode == 0, f"git {args} ended with {done.returncode}: {done.stderr}"
        return done.stdout.removesuffix("\n")

    return run


@pytest.fixture
def empty_repo(
    git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Path]:
    """A repository without commits; the test stands in it.

    What the test recorded in it is read by a stranger afterwards, unless it is marked ``damages``.
    """
    path = tmp_path / "repo"
    git("init", "--quiet", path)
    monkeypatch.chdir(path)
    yield path
    if request.node.get_closest_marker("damages") is None:
        _check_with_a_stranger(git, path)


def _check_with_a_stranger(git: Git, path: Path) -> None:
    """A reader that knows docs/format.md only agrees with gitlumo on all that the test has recorded."""
    here = ("-C", path, "rev-parse", "--quiet", "--verify", "refs/heads/lumo_experiments^{commit}")
    if path.is_dir() and git(*here, check=False):
        from tests.test_stranger import check_repository

        check_repository(path)


@pytest.fixture
def repo(git: Git, empty_repo: Path) -> Path:
    """A repository with one commit, always the same one; the test stands in it."""
    (empty_repo / "train.py").write_text("print('training')\n")
    (empty_repo / ".gitignore").write_text("__pycache__/\n*.log\n")
    git("add", "--all", cwd=empty_repo)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_AUTHOR_DATE", "2026-01-02T03:04:05Z")
        patch.setenv("GIT_COMMITTER_DATE", "2026-01-02T03:04:05Z")
        git("commit", "--quiet", "--message", "a training", cwd=empty_repo)
    return empty_repo


@pytest.fixture(scope="session")
def fsck(sealed: Path) -> Callable[[str | Path], None]:
    """``fsck(path)`` fails if git finds anything wrong with a repository."""

    def check(path: str | Path) -> None:
        command = ["git", "fsck", "--strict", "--no-dangling", "--no-progress"]
        busy = True
        done = subprocess.run(command, cwd=path, capture_output=True, text=True, check=False)
        while done.returncode != 0 and busy:  # under a repack in the background packs vanish: once more after it
            busy = _repacks(Path(os.fsdecode(path)))
            time.sleep(0.1)
            done = subprocess.run(command, cwd=path, capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        bad = ("error", "warning", "missing", "broken", "fatal")
        assert done.returncode == 0, said
        assert not [line for line in said.splitlines() if line.startswith(bad)], said

    return check


def _repacks(path: Path) -> bool:
    """Whether a git process stands in the git dir of a repository, as a repack of gitlumo's does (Linux)."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink() in (path / ".git", path) and (process / "comm").read_text() == "git\n":
                return True
    return False


@pytest.fixture(scope="session")
def tree_state(git: Git) -> Callable[[str | Path], dict[str, Any]]:
    """``tree_state(path)``: all that belongs to the user of a work tree, to compare before and after."""

    def state(path: str | Path) -> dict[str, Any]:
        top = Path(path)
        git_dir = Path(git("rev-parse", "--absolute-git-dir", cwd=top))
        common = Path(git("rev-parse", "--path-format=absolute", "--git-common-dir", cwd=top))
        index = git_dir / "index"
        refs = git("for-each-ref", "--format=%(refname) %(objectname) %(symref)", cwd=top).splitlines()
        return {
            "files": dict(_files(top)),
            "index": (index.read_bytes(), index.stat().st_mtime_ns) if index.exists() else None,
            "HEAD": (git_dir / "HEAD").read_bytes(),
            "HEAD log": _bytes(git_dir / "logs/HEAD"),
            "refs": [line for line in refs if not line.startswith(OURS)],
            "stash": _bytes(common / "logs/refs/stash"),
        }

    return state


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB; what is mounted is unmounted."""
    if os.geteuid() != 0:
        pytest.skip("not root")
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs root that may mount")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def _files(top: Path) -> Iterator[tuple[str, tuple[int, int, bytes]]]:
    """Path to (mode, mtime, content) of all below a work tree but its own ``.git``; a folder has only its mode."""
    for folder, folders, names in os.walk(top):
        if Path(folder) == top:
            folders[:] = [name for name in folders if name != ".git"]
            names = [name for name in names if name != ".git"]
        for name in folders + names:
            path = Path(folder, name)
            found = path.lstat()
            if stat.S_ISLNK(found.st_mode):
                content = os.fsencode(os.readlink(path))
            else:
                content = path.read_bytes() if stat.S_ISREG(found.st_mode) and os.access(path, os.R_OK) else b""
            mtime = 0 if stat.S_ISDIR(found.st_mode) else found.st_mtime_ns
            yield str(path.relative_to(top)), (found.st_mode, mtime, content)


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None
