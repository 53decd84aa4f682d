"""Sending to remotes and fetching from them, by the git program alone (git-push(1), git-fetch(1), git-clone(1)).

Credentials, ssh's configuration, proxies, TLS and hooks are git's. A push is never forced: that it must be a
fast-forward is the compare-and-swap on the other side.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from gitlumo.errors import GitError, NoRemoteRef, RemoteError, RemoteMoved
from gitlumo.git import process
from gitlumo.git.repository import Repository

Show = Callable[[bytes], None]
"""Takes git's progress and messages as they come. Whoever gives one has a terminal, and may be asked for passwords."""

KEPT = 64 * 1024  # bytes of git's messages, the last ones
GRACE = 5.0  # seconds in which an interrupted git removes its locks and unfinished files
LINGERING = 0.2  # seconds to wait for the end of a pipe that a helper in the background (ssh's master) holds open
# What a push answers where somebody else has moved the ref (git's send-pack.c, receive-pack.c, files-backend.c).
_MOVED = re.compile(
    r"\((?:fetch first|non-fast-forward|stale info|failed to update ref|failed to lock|cannot lock ref"
    r"|incorrect old value provided|reference already exists)"
)
_ABSENT = b"couldn't find remote ref "
_ABSENCE = re.compile(rb"fatal: " + _ABSENT + rb"[^\n]*\n")
_EMPTY = b"You appear to have cloned an empty repository"
_CLONING = re.compile(r"^Cloning into (?:bare repository )?'(.*)'\.\.\.$", re.MULTILINE)


def ssh_host(name: str) -> str | None:
    """The host behind a name in the user's ssh configuration (ssh(1), ``-G``: nothing is sent); None: nobody knows."""
    try:
        done = subprocess.run(
            ["ssh", "-G", "--", name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=process.environment(),
            timeout=process.PATIENCE,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"^hostname (\S+)$", done.stdout.decode("utf-8", "replace"), re.MULTILINE)
    return found[1].lower() if found and done.returncode == 0 else None


def push(
    repository: Repository, remote: str, commit: str, ref: str, tracking: str | None, show: Show | None = None
) -> None:
    """Move a remote's ref to a commit, if that is a fast-forward.

    Args:
        repository: This repository.
        remote: The remote.
        commit: The commit.
        ref: The ref there.
        tracking: The remote-tracking ref here, which git moves along, also where no fetch does (a single-branch clone);
            None where the remote is an address.
        show: See :data:`Show`.

    Raises:
        RemoteMoved: If it is not: the remote has what the commit does not.
        RemoteError: If the remote cannot be reached, or refuses.
    """
    config = ["-c", f"remote.{remote}.mirror=false", "-c", f"remote.{remote}.fetch=+{ref}:{tracking}"]
    alone = ("push", "--no-follow-tags", "--recurse-submodules=no")
    done = _talk(
        [
            *repository.git_args,
            *(config if tracking else ()),
            *alone,
            "--porcelain",
            *_progress(show),
            "--",
            remote,
            f"{commit}:{ref}",
        ],
        show,
        env={"LUMO_PUSHING": "1"},  # our own pre-push hook has nothing to add
    )
    refused = [line for line in done.out.decode("utf-8", "replace").split("\n") if line.startswith("!")]
    if any(_MOVED.search(line) for line in refused):
        raise RemoteMoved(str(_error(done, remote, "push to", refused)))
    if done.status != 0:
        raise _error(done, remote, "push to", refused)


def fetch(
    repository: Repository,
    remote: str,
    ref: str,
    target: str,
    show: Show | None = None,
    *,
    depth: int | None = None,
    arriving: Callable[[], object] | None = None,
    sure: bool = True,
) -> None:
    """Fetch a remote's ref into a ref here, which follows it wherever it goes.

    Args:
        repository: This repository.
        remote: The remote.
        ref: Its ref.
        target: The ref here: a remote-tracking one, never one of ``refs/heads/``.
        show: See :data:`Show`.
        depth: Of how many commits; None: of all that are new.
        arriving: Called once, in another thread, when git begins to tell what it receives; it does not of nothing.
        sure: Whether the remote is asked again if it does not have the ref, as git also says of an answer by http of
            which only the first lines came. It may ask for a password again.

    Raises:
        NoRemoteRef: If the remote does not have it.
        RemoteError: If the remote cannot be reached, or refuses.
    """
    options = ["--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--recurse-submodules=no", "--no-prune"]
    options.append(
        "--refmap="
    )  # else git also updates what remote.*.fetch says: in a mirror the local branch, by force
    if depth is not None:
        options.append(f"--depth={depth}")
    shown = show and (lambda data: show(_ABSENCE.sub(b"", data)))  # that it has none is no failure
    words = [*repository.git_args, "fetch", *options], remote, [f"+{ref}:{target}"], shown
    try:
        talk(*words, arriving)
    except NoRemoteRef:
        if not sure:
            raise
        talk(*words)


def talk(
    args: Sequence[str],
    remote: str,
    refspecs: Sequence[str],
    show: Show | None,
    arriving: Callable[[], object] | None = None,
) -> None:
    """Run a ``git ... fetch ...`` of some refspecs; raises what :func:`fetch` does."""
    progress = ["--progress"] if arriving else _progress(show)
    done = _talk([*args, *progress, "--", remote, *refspecs], show, arriving)
    if done.status != 0:
        error = _error(done, remote, "fetch from")
        raise NoRemoteRef(str(error)) if _ABSENT in done.err else error


def tip_of(repository: Repository, address: str, ref: str, show: Show | None = None) -> str | None:
    """Where a ref of a repository elsewhere is (git-ls-remote(1)); None: there is none.

    Raises:
        RemoteError: If the repository cannot be reached, or is none.
    """
    done = _talk([*repository.git_args, "ls-remote", "--quiet", "--", address, ref], show)
    if done.status != 0:
        raise _error(done, address, "fetch from")
    lines = (line.split("\t") for line in done.out.decode("utf-8", "replace").splitlines())
    return next((id for id, name in lines if name == ref), None)


def clone(arguments: Sequence[str], url: str, folder: str | None, show: Show | None = None) -> str:
    """Clone a repository, as ``git clone`` does.

    Args:
        arguments: Options of ``git clone``.
        url: From where.
        folder: Where to; None: as git names it.
        show: See :data:`Show`.

    Returns:
        The folder that was made.

    Raises:
        RemoteError: If it cannot be reached, or cannot be written here.
    """
    progress = [] if show is None else ["--progress"]  # not --quiet: git says what it calls the folder
    done = _talk(["clone", *arguments, *progress, "--", url, *([folder] if folder else [])], show)
    if done.status != 0:
        raise _error(done, url, "clone")
    named = _CLONING.search(os.fsdecode(done.err))
    place = folder or (named[1] if named else os.path.basename(url.rstrip("/")))
    if _EMPTY in done.err and not _is_empty(url, show):
        import shutil

        from gitlumo.git.refusal import broken

        shutil.rmtree(place, ignore_errors=True)
        raise broken(url)
    return place


def _is_empty(url: str, show: Show | None) -> bool:
    """Whether a repository has no refs. See :func:`fetch`: git's word for it is not enough."""
    asked = _talk(["ls-remote", "--", url], show)
    return asked.status == 0 and not asked.out


def _error(done: process.Result, remote: str, verb: str, refused: Sequence[str] = ()) -> RemoteError:
    from gitlumo.git.refusal import error_of

    return error_of(done, remote, refused, verb)


def _progress(show: Show | None) -> list[str]:
    return ["--quiet"] if show is None else ["--progress"]


def _talk(
    args: Sequence[str],
    show: Show | None,
    arriving: Callable[[], object] | None = None,
    env: Mapping[str, str] | None = None,
) -> process.Result:
    """Run a git command that talks to a remote; what it says is shown as it comes, and kept.

    Without a terminal it gets a session of its own: then neither git nor ssh can ask anybody anything.
    """
    prompt = {} if show is None else {"GIT_TERMINAL_PROMPT": os.environ.get("GIT_TERMINAL_PROMPT", "1")}
    try:
        child = subprocess.Popen(
            ["git", *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=process.environment({**prompt, **(env or {})}),
            start_new_session=show is None,
        )
    except FileNotFoundError:
        raise GitError("there is no git program on the PATH; install git 2.39 or later") from None
    assert child.stdout is not None
    assert child.stderr is not None
    out, err = bytearray(), bytearray()
    readers = [
        threading.Thread(target=_read, args=(child.stdout, out, None), daemon=True),
        threading.Thread(target=_read, args=(child.stderr, err, show, arriving), daemon=True),
    ]
    try:
        for reader in readers:
            reader.start()
        child.wait()
    except BaseException:  # Ctrl-C
        _stop(child, group=show is None)
        raise
    for reader in readers:
        reader.join(LINGERING)
    return process.Result(child.returncode, bytes(out), bytes(err))


def _read(pipe: IO[bytes], kept: bytearray, show: Show | None, arriving: Callable[[], object] | None = None) -> None:
    with contextlib.suppress(OSError, ValueError), pipe:
        while data := os.read(pipe.fileno(), 65536):
            if arriving and not kept:
                arriving()
            kept += data
            del kept[:-KEPT]
            if show is not None:
                show(data)


def _stop(child: subprocess.Popen[bytes], *, group: bool) -> None:
    """End a git that talks to a remote gently, so that it takes its locks and unfinished files away."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM) if group else child.terminate()
    try:
        child.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill(child, group=group)
