"""Recording tracked and untracked files in a private index, all but those that git refuses, which are named."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gitlumo.errors import GitError
from gitlumo.git import untracked
from gitlumo.git.process import Result
from gitlumo.git.untracked import Skip
from gitlumo.git.workbench import Bench

_LISTING = 0.6  # the share of the time that git may take to list all untracked files at once ...
_BY_FOLDER = 0.85  # ... and folder by folder, after that; the rest is for recording them
GRACE = 0.35  # seconds after looking for recording what was found
_ODD = re.compile(rb"\0((?!H 100)[^\0]+)")  # a line of a listing, but for files that are neither hidden nor unmerged
_HOPELESS = re.compile(rb"No space left on device|Disk quota exceeded|Read-only file system")
_CULPRITS = (
    re.compile(rb"^fatal: Unable to process path (.*)\n\Z", re.MULTILINE | re.DOTALL),
    re.compile(rb"^fatal: (.*): clean filter '[^\n]*' failed\n\Z", re.MULTILINE | re.DOTALL),
)
_UNOPENED = re.compile(rb"^warning: could not open directory '(.*)': (.*)$", re.MULTILINE)


@dataclass
class OddEntries:
    """What ``git ls-files -v -s`` says of index entries that are more than a plain file.

    Attributes:
        submodules: Paths of gitlinks.
        hidden: Paths that git does not look at (skip-worktree, assume-unchanged) to ``mode id``.
        unmerged: Path to ``mode id`` of our side (stage 2), None where we have deleted it.
    """

    submodules: list[bytes] = field(default_factory=list)
    hidden: dict[bytes, bytes] = field(default_factory=dict)
    unmerged: dict[bytes, bytes | None] = field(default_factory=dict)


def read_listing(bench: Bench, listing: subprocess.Popen[bytes]) -> tuple[OddEntries, list[bytes], list[Skip]]:
    """The odd entries of the index, the untracked files, and the folders that could not be listed."""
    try:
        result = bench.finish(listing, until=bench.started + bench.timeout * _LISTING)
    except TimeoutError:
        entries = _odd(bench.ask("ls-files", "-z", "-v", "-s"))
        until = bench.started + bench.timeout * _BY_FOLDER
        paths, slow = untracked.list_by_folder(lambda args, end: bench.ask(*args, until=end), bench.top, until)
        return _odd_entries(entries), paths, slow
    if result.status:
        raise GitError(result.message)
    lines = _odd(result.out)
    unopened = [Skip(path, words.decode("utf-8", "replace")) for path, words in _UNOPENED.findall(result.err)]
    return (
        _odd_entries(line for line in lines if not line.startswith(b"? ")),
        [line[2:] for line in lines if line.startswith(b"? ")],
        unopened,
    )


def _odd(listing: bytes) -> list[bytes]:
    return _ODD.findall(b"\0" + listing)  # to part 20,000 lines takes longer than to pass over them


def _odd_entries(entries: Iterable[bytes]) -> OddEntries:
    """Entries are tag, mode, id, stage, tab and path; a lower-case tag means assume-unchanged (git-ls-files(1))."""
    index = OddEntries()
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


def add_tracked(bench: Bench, adding: subprocess.Popen[bytes], index: OddEntries) -> list[Skip]:
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


def _set_entries(bench: Bench, entries: Mapping[bytes, bytes | None]) -> Result:
    """Set index entries to ``mode id`` (None: remove them), without flags and without what git knew of the file.

    So git looks at the file again when it is told to add it, and only then.
    """
    none = b"0 " + b"0" * (40 if bench.location.hash_name == "sha1" else 64)
    stdin = b"".join(b"%s\t%s\0" % (none, path) for path in sorted(entries))
    stdin += b"".join(b"%s\t%s\0" % (entry, path) for path, entry in sorted(entries.items()) if entry)
    return bench.run("update-index", "-z", "--index-info", stdin=stdin)


def _add_one_by_one(bench: Bench, index: OddEntries, shown: Mapping[bytes, bytes]) -> list[Skip]:
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


def add_untracked(bench: Bench, paths: Sequence[bytes]) -> list[Skip]:
    """Record untracked files; returns those that git refuses, or that take too long."""
    # What fsck refuses on the other side must not get in, also where this file system would bear it.
    protect = ("-c", "core.protectHFS=true", "-c", "core.protectNTFS=true")
    until = bench.until + GRACE
    refused, late = _feed(bench, (*protect, "update-index", "-z", "--add", "--replace", "--stdin"), paths, until)
    return refused + untracked.by_top(late, untracked.SLOW)


def _feed(bench: Bench, command: Sequence[str], paths: Sequence[bytes], until: float) -> tuple[list[Skip], list[bytes]]:
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
            refused.append(Skip(part[at], said_by(result)))
            parts += [part[at + 1 :], part[:at]]
        else:
            parts += [part[len(part) // 2 :], part[: len(part) // 2]]
    return refused, []


def said_by(result: Result) -> str:
    """The line in which git says what is wrong, without what a filter may have said before."""
    lines = result.message.split("\n")
    lines = [line for line in lines if "hung up unexpectedly" not in line] or lines  # why a filter did says the filter
    said = next((line for line in lines if line.startswith(("error: ", "fatal: "))), lines[-1])
    return said.removeprefix("error: ").removeprefix("fatal: ")


def _lines(paths: Iterable[bytes]) -> bytes:
    return b"".join(path + b"\0" for path in paths)
