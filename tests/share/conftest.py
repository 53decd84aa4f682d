"""A shared repository, clones of it, and servers that serve it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitlumo import Experiment
from tests.share import servers

BRANCH = "lumo_experiments"
REF = f"refs/heads/{BRANCH}"
TRACKING = f"refs/remotes/origin/{BRANCH}"


@pytest.fixture
def record():
    """``record(repo, name)``: a run of two values."""

    def run(repo: Path, name: str | None = None, **keywords):
        with Experiment("digits", name, repo=repo, **keywords) as exp:
            exp.log({"loss": 0.5})
            exp.log({"loss": 0.25})
        return exp

    return run


@pytest.fixture
def lumo():
    """``lumo(cwd, *args, env=None)``: (status, standard output, standard error) of ``git lumo <args>`` there."""

    def run(cwd: Path, *args: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
        done = subprocess.run(
            ["git-lumo", *map(str, args)],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def ok(lumo):
    """The same, of a command that succeeds and warns of nothing: what it printed."""

    def run(cwd: Path, *args: str, env: dict[str, str] | None = None) -> str:
        status, out, err = lumo(cwd, *args, env=env)
        assert (status, err) == (0, ""), (args, out, err)
        return out

    return run


@pytest.fixture
def tip(git):
    """``tip(path, ref=...)``: the commit of a ref; empty where there is none."""

    def read(path: Path, ref: str = REF) -> str:
        return git("rev-parse", "--quiet", "--verify", ref, cwd=path, check=False)

    return read


@pytest.fixture
def shared(git, repo: Path, tmp_path: Path) -> Path:
    """A bare repository with one commit of code, on any server."""
    path = tmp_path / "srv" / "shared.git"
    git("clone", "-q", "--bare", repo, path)
    git("config", "http.receivepack", "true", cwd=path)
    git("config", "uploadpack.allowFilter", "true", cwd=path)
    git("remote", "remove", "origin", cwd=path)
    return path


@pytest.fixture
def clone(git, tmp_path: Path):
    """``clone(url, name, *options)``: a plain ``git clone``."""

    def make(url: str | Path, name: str, *options: str) -> Path:
        git("clone", "-q", *options, url, tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture
def pair(shared: Path, clone) -> tuple[Path, Path]:
    """Two clones of the shared repository."""
    return clone(shared, "one"), clone(shared, "two")


@pytest.fixture
def http(shared: Path) -> Iterator[servers.HttpServer]:
    with servers.http_server(shared.parent) as server:
        yield server


@pytest.fixture(params=["path", "http", "ssh", "daemon"])
def url(request, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The shared repository's address, on each kind of server."""
    if request.param == "path":
        yield str(shared)
    elif request.param == "http":
        yield request.getfixturevalue("http").url("shared.git")
    elif request.param == "daemon":
        with servers.git_daemon(shared.parent, "--enable=receive-pack") as found:
            yield f"{found}/shared.git"
    else:
        program = servers.sshd_program()
        if program is None:
            pytest.skip("sshd is not installed")
        with servers.sshd(program, tmp_path / "ssh", shared.parent) as (found, command):
            monkeypatch.setenv("GIT_SSH_COMMAND", command)
            yield f"{found}/shared.git"


@pytest.fixture
def hook(shared: Path) -> Callable[[str], None]:
    """``hook(script)``: a pre-receive hook of the shared repository."""

    def write(script: str) -> None:
        path = shared / "hooks/pre-receive"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return write


@pytest.fixture
def pushes(hook, tmp_path):
    """``pushes()``: how many the shared repository has got."""
    log = tmp_path / "pushes"
    hook(f"echo x >> {log}")
    return lambda: len(log.read_text().splitlines()) if log.exists() else 0


@pytest.fixture
def paced(git):
    """``paced(path, pace)``: share what runs there."""
    return lambda path, pace="1s": git("config", "lumo.autoPush", pace, cwd=path)
