"""The work tree as one commit, made beside the repository: as git itself would commit it, and touching nothing.

Only the git program applies clean filters, sparse, split and fsmonitor indexes. It is given a copy of the index
(``GIT_INDEX_FILE``) and an empty object directory in front of the real one (``GIT_OBJECT_DIRECTORY``, as
git-receive-pack(1) does under "Quarantine Environment"), so that the user's index, work tree, refs and objects stay
as they are, also if this process is killed. One HEAD and one tree give one commit: docs/format.md, section 8.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gitlumo.errors import GitError
from gitlumo.git import objects, process, untracked
from gitlumo.git.process import Result
from gitlumo.git.repository import Repository
from gitlumo.git.untracked import Limits, Skip

__all__ = ["Limits", "Snapshot", "take"]

IDENTITY = "gitlumo <gitlumo@localhost>"
MESSAGE = "Snapshot of the work tree\n\nLumo-Snapshot: 1\n"
UNBORN_TIME = 1679616000

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
_LISTING = 0.6  # the share of the time that git may take to list all untracked files at once ...
_BY_FOLDER = 0.85  # ... and folder by folder, after that; the rest is for recording them
_GRACE = 0.5  # seconds for recording what was found when looking took all the time
_SHOWN = 1000  # paths that are listed for one reason; more of them are only counted
_PLAIN = b"H 100"  # an index entry of a file, neither hidden nor unmerged
_HOPELESS = re.compile(rb"No space left on device|Disk quota exceeded|Read-only file system")
_CULPRITS = (
    re.compile(rb"^fatal: Unable to process path (.*)\n\Z", re.MULTILINE | re.DOTALL),
    re.compile(rb"^fatal: (.*): clean filter '[^\n]*' failed\n\Z", re.MULTILINE | re.DOTALL),
)
_UNOPENED = re.compile(rb"^warning: could not open directory '(.*)': (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Snapshot:
    """What was recorded of a work tree.

    Attributes:
        commit: The snapshot; HEAD itself where its tree is the same.
        head: The commit it was made on; None where there is none yet.
        tree: The commit's tree.
        dirty: Whether the work tree differs from HEAD, or tracked files could not be looked at.
        skipped: What was left out: ``path``, ``reason`` and, where known, ``size`` in bytes; sorted by path.
        submodules: ``path``, ``commit`` and whether it is ``dirty`` in itself.
        pack: Path without ending of a pack with every object that HEAD does not reach; None where there is no need.
    """

    commit: str
    head: str | None
    tree: str
    dirty: bool
    skipped: list[dict[str, Any]]
    submodules: list[dict[str, Any]]
    pack: str | None


def take(
    repository: Repository,
    limits: Limits,
    tmp_dir: str,
    pack_dir: str,
    known: Callable[[str], bool] = lambda commit: False,
) -> Snapshot:
    """Record the work tree: tracked files as they lie, and untracked ones within limits.

    Looking takes ``limits.timeout`` at most. If tracked files take longer, the snapshot is HEAD and says so. Writing
    tree, commit and pack, where no filter of the user's runs, may take the same time again.

    Args:
        repository: Whose work tree.
        limits: What to leave out of untracked files.
        tmp_dir: Where to work, on a local disk; made if missing. Nothing is left there.
        pack_dir: Where the pack goes, as ``<commit>.pack`` and ``.idx``; made if missing.
        known: Whether a commit is already kept somewhere, so that no pack is needed.

    Raises:
        GitError: If there is no work tree, or git fails in a way that leaves nothing sensible.
        OSError: If ``tmp_dir`` or ``pack_dir`` cannot be written.
    """
    if repository.location.work_tree is None:
        raise GitError(f"{repository.location.git_dir} is a bare repository: it has no work tree to record")
    room = os.path.join(os.path.abspath(tmp_dir), f"snapshot-{os.getpid()}-{os.urandom(6).hex()}")
    os.makedirs(room)
    try:
        bench = _Bench(repository, room, limits.timeout)
        try:
            return _take(bench, limits, os.path.abspath(pack_dir), known)
        finally:
            bench.stop()
    finally:
        shutil.rmtree(room, ignore_errors=True)


class _Bench:
    """Where git works: on a private index and a quarantine object directory, against the clock."""

    def __init__(self, repository: Repository, room: str, timeout: float):
        self.repository = repository
        self.location = repository.location
        self.top = os.fsencode(self.location.work_tree or "")
        self.room = room
        self.timeout = timeout
        self.started = time.monotonic()
        self.until = self.started + timeout
        self.children: list[subprocess.Popen[bytes]] = []
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
    def partial(self) -> bool:
        """Whether this is a partial clone, in which objects may be missing: by its config, old style or new."""
        return any(
            name == "extensions.partialclone" or (name.startswith("remote.") and name.endswith(".promisor"))
            for name in self.repository.config
        )

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        """Start git, in its own process group so that filters and all that it starts can be killed with it."""
        options = [word for setting in _CONFIG for word in ("-c", setting)]
        try:
            child = subprocess.Popen(
                ["git", *self.repository.git_args, *options, *args],
                cwd=self.top,
                env=self.env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise GitError("there is no git program on the PATH; install git 2.39 or later") from None
        self.children.append(child)
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
            raise TimeoutError(untracked.SLOW) from None
        self.children.remove(child)
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
        """Kill what still runs."""
        for child in list(self.children):
            self._kill(child)

    def _kill(self, child: subprocess.Popen[bytes]) -> None:
        self.children.remove(child)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):  # it hangs in a dead file system: leave it there
            child.wait(0.2)
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()
        with contextlib.suppress(OSError):
            os.unlink(self.index + ".lock")


@dataclass
class _Index:
    """What ``git ls-files -v -s`` says of index entries that are more than a plain file.

    Attributes:
        submodules: Paths of gitlinks.
        hidden: Paths that git does not look at (skip-worktree, assume-unchanged) to ``mode id``.
        unmerged: Path to ``mode id`` of our side (stage 2), None where we have deleted it.
    """

    submodules: list[bytes] = field(default_factory=list)
    hidden: dict[bytes, bytes] = field(default_factory=dict)
    unmerged: dict[bytes, bytes | None] = field(default_factory=dict)


def _take(bench: _Bench, limits: Limits, pack_dir: str, known: Callable[[str], bool]) -> Snapshot:
    # Three commands that do not wait for each other: HEAD, the lists, the tracked files.
    asking = bench.start("cat-file", "--batch")
    listing = bench.start("ls-files", "-z", "-v", "-s", "-o", "--exclude-standard")
    adding = bench.start("add", "-u", "--sparse")
    head = _read_head(bench, asking)
    try:
        index, paths, skipped = _read_listing(bench, listing)
        refused = _add_tracked(bench, adding, index)
        skipped += refused
        kept, out = untracked.sift(bench.top, paths, limits, _own_folders(bench), bench.until)
        skipped += out + _add_untracked(bench, kept)
        until = time.monotonic() + max(limits.timeout, 1.0)
        missing_ok = ["--missing-ok"] if bench.partial else []
        tree = bench.ask("write-tree", *missing_ok, until=until).decode().strip()
        submodules, out = _read_submodules(bench, index.submodules, until)
        skipped += out
        commit, pack = _commit(bench, head, tree, pack_dir, known, until)
    except TimeoutError:
        return _give_up(bench, head, pack_dir, known)
    dirty = bool(refused) or head is None or tree != head.tree
    return Snapshot(commit, head.id if head else None, tree, dirty, _describe(skipped), submodules, pack)


def _give_up(bench: _Bench, head: _Head | None, pack_dir: str, known: Callable[[str], bool]) -> Snapshot:
    """The snapshot of a work tree that took too long: HEAD as it is, or nothing."""
    bench.stop()
    skipped = _describe([Skip(b"./", untracked.SLOW)])
    if head:
        return Snapshot(head.id, head.id, head.tree, True, skipped, [], None)
    until = time.monotonic() + 1.0
    try:
        tree = bench.ask("mktree", until=until).decode().strip()
        commit, pack = _commit(bench, None, tree, pack_dir, known, until)
    except TimeoutError:
        raise GitError("git did not answer in time") from None
    return Snapshot(commit, None, tree, True, skipped, [], pack)


# ---------------------------------------------------------------------------------------------- before looking


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


def _own_folders(bench: _Bench) -> list[bytes]:
    """Where the repository's own folders lie, if in the work tree; git knows only one named ``.git`` for its own."""
    own = []
    for folder in {bench.location.git_dir, bench.location.common_dir}:
        path = os.path.relpath(os.fsencode(folder), bench.top)
        if path.split(b"/")[0] != b"..":
            own.append(path + b"/")
    return sorted(own)


@dataclass(frozen=True)
class _Head:
    id: str
    tree: str
    time: int


def _read_head(bench: _Bench, asking: subprocess.Popen[bytes]) -> _Head | None:
    """HEAD's commit; None where there is none yet."""
    try:
        result = bench.finish(asking, b"HEAD\n", bench.until + _GRACE)
    except TimeoutError:
        raise GitError("git did not answer in time") from None
    line, _, rest = result.out.partition(b"\n")
    words = line.decode("utf-8", "replace").split(" ")
    if result.status == 0 and len(words) == 3 and words[1] == objects.COMMIT:
        commit = objects.parse_commit(rest[: int(words[2])])
        return _Head(words[0], commit.tree, max(commit.time, 0))
    why = bench.run("log", "-1", "--format=", until=bench.until + _GRACE).message  # tells unborn from broken
    if "does not have any commits yet" not in why:
        raise GitError(f"HEAD cannot be read: {why}; try 'git fsck'")
    return None


# ------------------------------------------------------------------------------------------------------ looking


def _read_listing(bench: _Bench, listing: subprocess.Popen[bytes]) -> tuple[_Index, list[bytes], list[Skip]]:
    """The odd entries of the index, the untracked files, and the folders that could not be listed."""
    try:
        result = bench.finish(listing, until=bench.started + bench.timeout * _LISTING)
    except TimeoutError:
        entries = bench.ask("ls-files", "-z", "-v", "-s").split(b"\0")[:-1]
        until = bench.started + bench.timeout * _BY_FOLDER
        paths, slow = untracked.list_by_folder(lambda args, end: bench.ask(*args, until=end), bench.top, until)
        return _odd_entries(entry for entry in entries if entry[:5] != _PLAIN), paths, slow
    if result.status:
        raise GitError(result.message)
    lines = [line for line in result.out.split(b"\0")[:-1] if line[:5] != _PLAIN]
    unopened = [Skip(path, words.decode("utf-8", "replace")) for path, words in _UNOPENED.findall(result.err)]
    return (
        _odd_entries(line for line in lines if not line.startswith(b"? ")),
        [line[2:] for line in lines if line.startswith(b"? ")],
        unopened,
    )


def _odd_entries(entries: Iterable[bytes]) -> _Index:
    """Entries are tag, mode, id, stage, tab and path; a lower-case tag means assume-unchanged (git-ls-files(1))."""
    index = _Index()
    for entry in entries:
        about, _, path = entry.partition(b"\t")
        tag, mode, id, stage = about.split(b" ")
        if stage != b"0":
            index.unmerged[path] = mode + b" " + id if stage == b"2" else index.unmerged.get(path)
        elif mode == b"160000":
            index.submodules.append(path)
        elif tag.islower() or tag == b"S":
            index.hidden[path] = mode + b" " + id
    return index


def _add_tracked(bench: _Bench, adding: subprocess.Popen[bytes], index: _Index) -> list[Skip]:
    """Record tracked files as they lie; returns those that git refuses.

    Raises:
        TimeoutError: If it takes too long; the private index may hold anything then.
    """
    result = bench.finish(adding)
    shown = {path: index.hidden[path] for path in _lying(bench.top, index.hidden)}
    if shown and result.status == 0:
        result = _set_entries(bench, shown)
        if result.status == 0:
            result = bench.run("add", "-u", "--sparse")
    return _add_one_by_one(bench, index, shown) if result.status else []


def _set_entries(bench: _Bench, entries: Mapping[bytes, bytes | None]) -> Result:
    """Set index entries to ``mode id`` (None: remove them), without flags and without what git knew of the file.

    So git looks at the file again when it is told to add it, and only then.
    """
    none = b"0 " + b"0" * (40 if bench.location.hash_name == "sha1" else 64)
    stdin = b"".join(b"%s\t%s\0" % (none, path) for path in sorted(entries))
    stdin += b"".join(b"%s\t%s\0" % (entry, path) for path, entry in sorted(entries.items()) if entry)
    return bench.run("update-index", "-z", "--index-info", stdin=stdin)


def _add_one_by_one(bench: _Bench, index: _Index, shown: Mapping[bytes, bytes]) -> list[Skip]:
    """Record tracked files when ``git add -u`` has failed, all but those on which it fails.

    It is given every path: to say which have changed, git may have to run the very filter that fails. For the same
    reason racy entries are set anew first: git runs filters on them whenever it writes the index.
    """
    since = int(os.stat(bench.index).st_mtime)
    staged: dict[bytes, bytes] = {}
    for entry in bench.ask("ls-files", "-z", "-s").split(b"\0")[:-1]:
        about, _, path = entry.partition(b"\t")
        if path in shown or path not in index.hidden:
            staged[path] = about.rpartition(b" ")[0]
    lying = _lying(bench.top, staged)
    gone = staged.keys() - lying.keys() - set(index.submodules)
    racy = {path for path, mtime in lying.items() if mtime >= since and path not in index.unmerged}
    anew = {path: staged[path] for path in racy | shown.keys()}
    result = _set_entries(bench, anew | dict.fromkeys(gone))
    if result.status:
        raise GitError(result.message)
    command = ("update-index", "-z", "--add", "--remove", "--stdin")
    refused, late = _feed(bench, command, sorted(staged.keys() - gone), bench.until)
    if late:
        raise TimeoutError(untracked.SLOW)
    # A tracked file that is left out is as in the index, and an unmerged one as in HEAD: no tree is written of it else.
    unmerged = {skip.path: index.unmerged[skip.path] for skip in refused if skip.path in index.unmerged}
    if unmerged:
        _set_entries(bench, unmerged)
    return refused


def _lying(top: bytes, paths: Iterable[bytes]) -> dict[bytes, float]:
    """Those of some tracked files' paths at which something lies, with its mtime: no folder, and not beyond a link."""
    folders = {b"": True}  # in a sparse checkout most of them are not there

    def is_real(folder: bytes) -> bool:
        if folder not in folders:
            above = folder.rpartition(b"/")[0]
            found = _lstat(os.path.join(top, folder)) if is_real(above) else None
            folders[folder] = found is not None and stat.S_ISDIR(found.st_mode)
        return folders[folder]

    lying = {}
    for path in paths:
        found = _lstat(os.path.join(top, path)) if is_real(path.rpartition(b"/")[0]) else None
        if found and not stat.S_ISDIR(found.st_mode):
            lying[path] = found.st_mtime
    return lying


def _lstat(place: bytes) -> os.stat_result | None:
    try:
        return os.lstat(place)
    except OSError:
        return None


def _add_untracked(bench: _Bench, paths: Sequence[bytes]) -> list[Skip]:
    """Record untracked files; returns those that git refuses, or that take too long."""
    # What fsck refuses on the other side must not get in, also where this file system would bear it.
    protect = ("-c", "core.protectHFS=true", "-c", "core.protectNTFS=true")
    until = max(bench.until, time.monotonic() + _GRACE)
    refused, late = _feed(bench, (*protect, "update-index", "-z", "--add", "--replace", "--stdin"), paths, until)
    return refused + untracked.by_top(late, untracked.SLOW)


def _feed(
    bench: _Bench, command: Sequence[str], paths: Sequence[bytes], until: float
) -> tuple[list[Skip], list[bytes]]:
    """Feed paths to ``git update-index``, which takes all or none: what it refuses is searched for and left out.

    Returns:
        What git refuses, with its words, and what was not recorded when time was up.

    Raises:
        GitError: If it fails for a reason that no path can help.
    """
    refused: list[Skip] = []
    parts = [list(paths)]
    while parts:
        part = parts.pop()
        if not part:
            continue
        try:
            if time.monotonic() > until:
                raise TimeoutError
            result = bench.run(*command, stdin=_lines(part), until=until)
        except TimeoutError:
            return refused, [path for some in (*parts, part) for path in some]
        if result.status == 0:
            if b"Ignoring path " in result.err:
                ignored = (path for path in part if b"Ignoring path %s\n" % path in result.err)
                refused += [Skip(path, "a name that git reserves") for path in ignored]
            continue
        if _HOPELESS.search(result.err):
            raise GitError(result.message)
        named = [found[1] for pattern in _CULPRITS if (found := pattern.search(result.err)) and found[1] in part]
        if named or len(part) == 1:
            at = part.index(named[0]) if named else 0
            refused.append(Skip(part[at], _words(result)))
            parts += [part[at + 1 :], part[:at]]
        else:
            parts += [part[len(part) // 2 :], part[: len(part) // 2]]
    return refused, []


def _words(result: Result) -> str:
    """The line in which git says what is wrong, without what a filter may have said before."""
    lines = result.message.split("\n")
    said = next((line for line in lines if line.startswith(("error: ", "fatal: "))), lines[-1])
    return said.removeprefix("error: ").removeprefix("fatal: ")


def _lines(paths: Iterable[bytes]) -> bytes:
    return b"".join(path + b"\0" for path in paths)


def _read_submodules(bench: _Bench, paths: Sequence[bytes], until: float) -> tuple[list[dict[str, Any]], list[Skip]]:
    """The submodules as they were recorded, and those of which git cannot tell whether they are dirty."""
    if not paths:
        return [], []
    names = [os.fsdecode(path) for path in paths]
    look = ("--porcelain=2", "-z", "-unormal", "--no-renames", "--ignore-submodules=none")
    asking = bench.start("status", *look, "--", *names)
    staged = bench.ask("ls-files", "-z", "-s", "--", *names, until=until).split(b"\0")[:-1]
    try:
        told = bench.finish(asking, until=max(bench.until, time.monotonic() + _GRACE))
    except TimeoutError:
        told = Result(1, b"", untracked.SLOW.encode())
    unknown = [Skip(path, _words(told)) for path in paths] if told.status else []
    # "1 .M S.MU ... <path>": S for submodule, M for modified content, U for untracked files (git-status(1)).
    changes = (line.split(b" ", 8) for line in told.out.split(b"\0") if line.startswith(b"1 "))
    dirty = {words[8] for words in changes if words[2][2:] != b".."}
    found = []
    for entry in staged:
        about, _, path = entry.partition(b"\t")
        mode, id, _ = about.decode().split(" ")
        if int(mode, 8) == objects.SUBMODULE_MODE:
            found.append({"path": _printable(path), "commit": id, "dirty": bool(unknown) or path in dirty})
    return found, unknown


# ---------------------------------------------------------------------------------------------- after looking


def _commit(
    bench: _Bench, head: _Head | None, tree: str, pack_dir: str, known: Callable[[str], bool], until: float
) -> tuple[str, str | None]:
    """The commit of a tree, and its pack where there must be one."""
    if head and head.tree == tree:
        return head.id, None
    who = f"{IDENTITY} {head.time if head else UNBORN_TIME} {objects.ZONE}"
    parents = (head.id,) if head else ()
    data = objects.format_commit(objects.Commit(tree, parents, who, who, MESSAGE))
    id = objects.object_id(bench.location.hash_name, objects.COMMIT, data)
    if known(id):
        return id, None
    base = os.path.join(pack_dir, id)
    if not all(os.path.exists(base + ending) for ending in (".pack", ".idx")):
        written = bench.ask("hash-object", "-t", "commit", "-w", "--stdin", stdin=data, until=until).decode().strip()
        if written != id:
            raise GitError(f"git wrote commit {written} where {id} was due")
        _pack(bench, id, parents, base, until)
    return id, base


def _pack(bench: _Bench, commit: str, parents: Sequence[str], base: str, until: float) -> None:
    """Pack all that a commit reaches and its parents do not.

    Not "what is not there yet": an object that merely exists may be pruned. The options make equal bytes of equal
    objects, so that two processes may put the same pack into place at the same time.
    """
    options = ["--window=0", "--threads=1", "--compression=1", "--no-reuse-object", "--index-version=2"]
    if bench.partial:
        options.append("--missing=allow-any")
    stdin = "".join(f"{line}\n" for line in (commit, *(f"^{parent}" for parent in parents))).encode()
    prefix = os.path.join(bench.room, "pack")
    name = bench.ask("pack-objects", "-q", "--revs", *options, prefix, stdin=stdin, until=until).decode().strip()
    os.makedirs(os.path.dirname(base), exist_ok=True)
    for ending in (".pack", ".idx"):
        _move(f"{prefix}-{name}{ending}", base + ending)


def _move(source: str, target: str) -> None:
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        near = f"{target}.{os.getpid()}"
        try:
            shutil.copy2(source, near)
            os.replace(near, target)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(near)


def _describe(skipped: Iterable[Skip]) -> list[dict[str, Any]]:
    """What was left out, as values that JSON can hold; of one reason at most so many paths."""
    described = []
    counts: dict[str, int] = {}
    for skip in sorted(set(skipped), key=lambda skip: (skip.path, skip.reason)):
        counts[skip.reason] = counts.get(skip.reason, 0) + 1
        if counts[skip.reason] <= _SHOWN:
            about: dict[str, Any] = {"path": _printable(skip.path), "reason": skip.reason}
            described.append(about if skip.size is None else about | {"size": skip.size})
    more = {reason: count - _SHOWN for reason, count in sorted(counts.items()) if count > _SHOWN}
    return described + [{"path": f"({count} more)", "reason": reason} for reason, count in more.items()]


def _printable(path: bytes) -> str:
    return path.decode("utf-8", "replace")
