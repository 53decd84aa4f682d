"""Running the git program: a clean environment, never through a shell, never asking anybody anything."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, NamedTuple

from gitlumo.errors import GitError

# What a caller's environment may tell a child git: configuration, identity, how to reach remotes, tracing. The rest
# (GIT_DIR, GIT_INDEX_FILE, GIT_OBJECT_DIRECTORY, ...) describes the repository of whoever started us and would
# mislead a child that works on the repository named on its command line (git(1), "The Git Repository").
_KEPT = ("GIT_CONFIG", "GIT_TRACE", "GIT_SSH", "GIT_HTTP", "GIT_SSL", "GIT_PROXY", "GIT_AUTHOR_", "GIT_COMMITTER_",
         "GIT_ASKPASS", "GIT_EXEC_PATH", "GIT_ALLOW_PROTOCOL", "GIT_PROTOCOL", "GIT_CEILING_DIRECTORIES",
         "GIT_DISCOVERY_ACROSS_FILESYSTEM", "GIT_TEMPLATE_DIR", "GIT_TEST_", "GIT_PAGER", "GIT_EDITOR")  # fmt: skip
WHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES")
PATIENCE = 5.0  # seconds in which git has to answer what it needs only a moment for


class Result(NamedTuple):
    """What one git command printed and how it ended."""

    status: int
    out: bytes
    err: bytes

    @property
    def message(self) -> str:
        """git's own words: standard error, without the ``fatal: `` in front."""
        text = self.err.decode("utf-8", "replace").strip()
        return text.removeprefix("fatal: ") or f"git ended with status {self.status}"


class Child(subprocess.Popen[bytes]):
    """A child whose end is noticed when it comes, also with a timeout.

    ``Popen`` looks again after 1, 2, 4, ... ms then, and closed pipes come just before the end.
    """

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; see :meth:`subprocess.Popen.wait`."""
        if timeout is not None and self.returncode is None and hasattr(os, "pidfd_open"):  # Linux
            with contextlib.suppress(OSError):
                ended = os.pidfd_open(self.pid)
                try:
                    poll = select.poll()
                    poll.register(ended, select.POLLIN)
                    poll.poll(max(timeout, 0) * 1000)
                finally:
                    os.close(ended)
        return super().wait(timeout)


def environment(extra: Mapping[str, str] | None = None, *, keep_where: bool = False) -> dict[str, str]:
    """The environment of a child git.

    Args:
        extra: Variables to set.
        keep_where: Whether ``GIT_DIR`` and its kin stay: only for the one command that looks for the repository.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith(_KEPT) or (keep_where and name in WHERE)
    }
    kept.update(GIT_OPTIONAL_LOCKS="0", GIT_TERMINAL_PROMPT="0", LC_ALL="C", LANGUAGE="C")
    kept.update(extra or {})
    return kept


class Asked:
    """A git command that has been started; :meth:`result` is what it said."""

    def __init__(
        self,
        args: Sequence[str],
        *,
        cwd: str | None = None,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ):
        """Start it; see :func:`run`."""
        self._args, self._stdin, self._timeout = args, stdin, timeout
        try:
            self._child = Child(
                ["git", *args],
                cwd=cwd,
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment() if env is None else env,
                start_new_session=timeout is not None,
            )
        except (FileNotFoundError, NotADirectoryError):
            if cwd is not None and not os.path.isdir(cwd):
                raise GitError(f"{cwd} is not a folder") from None
            raise GitError("there is no git program on the PATH; install git 2.39 or later") from None

    def result(self) -> Result:
        """Wait for its end; raises what :func:`run` does of a command that takes too long."""
        try:
            out, err = self._child.communicate(self._stdin, timeout=self._timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            verb = next((word for word in self._args if not word.startswith(("-", "/")) and "=" not in word), "")
            raise TimeoutError(f"git {verb} took longer than {self._timeout:g} s") from None
        except BaseException:  # Ctrl-C
            self.kill()
            raise
        return Result(self._child.returncode, out, err)

    def kill(self) -> None:
        """End it: nobody wants to know any more."""
        kill(self._child, group=self._timeout is not None)


def run(
    args: Sequence[str],
    *,
    cwd: str | None = None,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    check: bool = True,
) -> Result:
    """Run ``git <args>`` to its end.

    Args:
        args: Arguments after ``git``.
        cwd: Where to run it.
        stdin: What it reads; None: nothing.
        env: Its whole environment; None: :func:`environment`.
        timeout: Seconds after which it is killed.
        check: Whether a status other than 0 is an error.

    Raises:
        GitError: If there is no git program, or (with ``check``) if it failed.
        TimeoutError: If it took longer than ``timeout``.
    """
    result = Asked(args, cwd=cwd, stdin=stdin, env=env, timeout=timeout).result()
    if check and result.status != 0:
        raise GitError(result.message)
    return result


@contextlib.contextmanager
def piped(args: Sequence[str], into: Sequence[str]) -> Iterator[IO[bytes]]:
    """Run ``git <args> | git <into>``, and yield what comes out as it comes: nothing is held in memory.

    Args:
        args: Arguments after ``git`` of the command whose output the other reads.
        into: Those of the other.

    Raises:
        GitError: If one of them failed; what was read till then is not all.
    """
    first = _start_piped(args, subprocess.DEVNULL)
    assert first.stdout is not None
    with first.stdout:
        second = _start_piped(into, first.stdout)
    assert second.stdout is not None
    try:
        with second.stdout:
            yield second.stdout
    except BaseException:
        kill(first, group=False)
        kill(second, group=False)
        raise
    first_status, second_status = first.wait(), second.wait()
    if first_status != 0:
        run(args)  # for git's own words
    if first_status != 0 or second_status != 0:
        raise GitError(f"git ended with status {first_status} and {second_status}")


def _start_piped(args: Sequence[str], stdin: int | IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["git", *args], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment()
    )


def ask(args: Sequence[str], *, cwd: str | None = None, env: Mapping[str, str] | None = None) -> Result:
    """Run what needs only a moment, whatever its status; see :func:`run`.

    Raises:
        GitError: If there is no git program, or no answer: a file system that hangs must not hang a training.
    """
    return answer(Asked(args, cwd=cwd, env=env, timeout=PATIENCE))


def answer(asked: Asked) -> Result:
    """What :func:`ask` returns, of a command that was started earlier; raises what that does."""
    try:
        return asked.result()
    except TimeoutError as error:
        raise GitError(f"{error}; does the file system answer?") from None


def kill(child: subprocess.Popen[bytes], *, group: bool) -> None:
    """Kill a child, with its process group if it leads one; it is not waited for if it hangs in a dead file system."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL) if group else child.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(2)  # seconds: a machine may be busy
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe:
            with contextlib.suppress(OSError):
                pipe.close()


def start_detached(args: Sequence[str], *, cwd: str) -> None:
    """Start ``git <args>`` and forget it: it outlives this process, has no terminal, and is nobody's child to wait for.

    The shell only lets go of it; the words reach git as they are.
    """
    subprocess.run(
        ["sh", "-c", '"$@" &', "sh", "git", *args],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        check=False,
    )
