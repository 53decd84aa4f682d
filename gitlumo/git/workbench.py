"""Where git works on a snapshot: a private index, a quarantine object directory, and a clock.

git is given a copy of the index (``GIT_INDEX_FILE``) and an empty object directory in front of the real one
(``GIT_OBJECT_DIRECTORY``, as git-receive-pack(1) does under "Quarantine Environment").
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time

from gitlumo.errors import GitError
from gitlumo.git import process
from gitlumo.git.process import Result
from gitlumo.git.repository import Repository
from gitlumo.git.untracked import SLOW

LAST = 0.95  # seconds after looking in which everything must have ended
_CONFIG = (
    "core.splitIndex=false",  # the copy is written whole, not as a part of the user's shared index
    "core.ignoreStat=false",  # it would mark what is added here as not to be looked at
    "core.safecrlf=false",  # it would refuse files for their line ends
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",  # what lies in the tree counts, not what a daemon heard
    "core.fsync=none",  # all that is written here is thrown away, but for the pack
    "core.bigFileThreshold=1",  # blobs go straight into one pack: 5,000 in 0.8 s; as loose objects in 1.3 to 4 s
    "index.skipHash=true",  # the private index lives for milliseconds, and its checksum costs some of them
    "pack.compression=0",  # compressed once, when the pack is made
    "core.looseCompression=0",
    "pack.packSizeLimit=0",  # one pack, not several
)


class Bench:
    """git processes of one snapshot, all with the same index, objects and deadline."""

    def __init__(self, repository: Repository, room: str, timeout: float):
        self.repository = repository
        self.location = repository.location
        self.top = os.fsencode(self.location.work_tree or "")
        self.room = room
        self.timeout = timeout
        self.started = time.monotonic()
        self.until = self.started + timeout
        self.end = self.until + LAST  # of all
        self.owner = threading.get_ident()
        self.stopped = False
        self.children: dict[subprocess.Popen[bytes], int] = {}  # and the thread that started it
        self.index = os.path.join(room, "index")
        self.quarantine = os.path.join(room, "objects")
        os.mkdir(self.quarantine)
        _copy_index(os.path.join(self.location.git_dir, "index"), self.index)
        self.env = _locale(process.environment())
        self.env |= {
            "GIT_INDEX_FILE": self.index,
            "GIT_OBJECT_DIRECTORY": self.quarantine,
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": _quote(self.location.objects_dir),
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",  # replace refs stay at home, the snapshot travels
            "GIT_NO_LAZY_FETCH": "1",  # a partial clone must not go to the network for this
        }

    @property
    def is_private_home(self) -> bool:
        """Whether the work tree is a home folder of which git shows no untracked files, as where it tracks dotfiles."""
        if self.top != os.fsencode(os.path.realpath(os.path.expanduser("~"))):
            return False
        choice = self.repository.config.get("status.showuntrackedfiles", ["normal"])[-1]
        return choice.lower() in ("no", "false", "off", "0")

    def start(self, *args: str, cwd: str | None = None) -> subprocess.Popen[bytes]:
        """Start git, in its own process group so that filters and all that it starts can be killed with it."""
        options = [word for setting in _CONFIG for word in ("-c", setting)]
        try:
            child = process.Child(
                ["git", *self.repository.git_args, *options, *args],
                cwd=cwd or self.top,
                env=self.env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise GitError("there is no git program on the PATH; install git 2.39 or later") from None
        self.children[child] = me = threading.get_ident()
        if self.stopped and me != self.owner:
            raise TimeoutError(SLOW)
        return child

    def finish(self, child: subprocess.Popen[bytes], stdin: bytes = b"", until: float | None = None) -> Result:
        """Wait for what was started.

        Raises:
            TimeoutError: If it is not done at ``until`` (None: when looking ends); it is killed then.
        """
        left = (self.until if until is None else until) - time.monotonic()
        try:
            out, err = child.communicate(stdin, timeout=max(left, 0.05))
        except subprocess.TimeoutExpired:
            self._kill(child)
            raise TimeoutError(SLOW) from None
        del self.children[child]
        return Result(child.returncode, out, err)

    def run(self, *args: str, stdin: bytes = b"", until: float | None = None) -> Result:
        """Run git to its end, whatever its status; see :meth:`finish`."""
        return self.finish(self.start(*args), stdin, until)

    def ask(self, *args: str, stdin: bytes = b"", until: float | None = None) -> bytes:
        """What git prints; see :meth:`finish`.

        Raises:
            GitError: If it fails.
        """
        result = self.run(*args, stdin=stdin, until=until)
        if result.status:
            raise GitError(result.message)
        return result.out

    def stop(self) -> None:
        """Kill what this thread has started; called by the bench's owner, also what another thread has."""
        me = threading.get_ident()
        self.stopped |= me == self.owner
        for child, starter in list(self.children.items()):
            if starter == me:
                self._kill(child)
            elif self.stopped:  # its pipes are read there
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)

    def _kill(self, child: subprocess.Popen[bytes]) -> None:
        del self.children[child]
        process.kill(child, group=True)
        with contextlib.suppress(OSError):
            os.unlink(self.index + ".lock")


def _copy_index(source: str, target: str) -> None:
    """Copy bytes and mtime of one and the same index: with another mtime git would miss edits of the same second.

    (git's Documentation/technical/racy-git.txt.) git replaces its index by a rename, so an open one stays as it is.
    """
    try:
        with open(source, "rb") as file:
            seen = os.fstat(file.fileno())
            with open(target, "wb") as copy:
                shutil.copyfileobj(file, copy, 1 << 20)
    except FileNotFoundError:
        return  # nothing was ever added
    os.utime(target, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def _quote(path: str) -> str:
    """A path for GIT_ALTERNATE_OBJECT_DIRECTORIES, whose separator is ``:`` (git(1))."""
    if ":" not in path and not path.startswith('"'):
        return path
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _locale(env: dict[str, str]) -> dict[str, str]:
    """The user's locale, for the clean filters that git starts, but messages in English."""
    for name in ("LC_ALL", "LANGUAGE"):
        env.pop(name, None)
    if everything := os.environ.get("LC_ALL"):
        env = {name: value for name, value in env.items() if not name.startswith("LC_")}
        env["LANG"] = everything
    return env | {"LC_MESSAGES": "C"}
