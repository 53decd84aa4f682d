"""Backups in one archive: what it holds is in docs/format.md, section 12. It is read by :mod:`gitlumo.backup.untar`."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, BinaryIO, cast

from gitlumo import values
from gitlumo.backup import beside, contents
from gitlumo.backup.beside import Listed
from gitlumo.backup.contents import Code, Content, Index, LeftOut, Part
from gitlumo.errors import LumoError, UsageError
from gitlumo.git import bundle, export
from gitlumo.git.bundle import Header
from gitlumo.git.export import File
from gitlumo.git.objects import Objects
from gitlumo.home import Home
from gitlumo.rerun import packing
from gitlumo.share import selection
from gitlumo.share.selection import Published
from gitlumo.store import layout
from gitlumo.store.join import Run
from gitlumo.store.query import Found

FORMATS = tuple(name for name in packing.FORMATS if name != "zip")
STDOUT = "-"
_PART = 1 << 20  # bytes that are copied at a time
_FILE, _PROGRAM = 0o100644, 0o100755
_IN_MEMORY = 1 << 20  # bytes of digests


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        path: Where.
        runs: How many runs.
        files: How many files.
        size: Its bytes.
        left_out: What is not in it.
        missing_code: Commits of code that were not to be had.
    """

    path: str
    runs: int
    files: int
    size: int
    left_out: tuple[LeftOut, ...]
    missing_code: tuple[str, ...]


@dataclass
class _Chosen:
    """A run that goes into the archive."""

    published: Published
    folder: str
    paths: list[str] = field(default_factory=list)
    beside: dict[str, tuple[str, list[Listed]]] = field(default_factory=dict)  # part to folder and files

    @property
    def run(self) -> Run:
        return self.published.run


def write(
    home: Home,
    founds: Sequence[Found],
    out_path: str,
    *,
    with_code: bool = True,
    with_blob: bool = False,
    with_cache: bool = False,
    force: bool = False,
) -> Written:
    """Write runs as the ledger has them into an archive, in the format that its name says.

    Args:
        home: The repository here.
        founds: The runs.
        out_path: Where to; ``-``: standard output, as a .tar.gz.
        with_code: Whether the code comes along, with its history.
        with_blob: Whether what lies in their blob_dirs on this machine does.
        with_cache: Whether what lies in their cache_dirs does.
        force: Whether the archive may take the place of a file.

    Raises:
        UsageError: If the name does not say which archive it is.
        LumoError: If a run is not published, something cannot be read, or the archive not written; nothing is there
            then.
    """
    format = "tar.gz" if out_path == STDOUT else packing.format_of(out_path)
    if format not in FORMATS:
        known = ", ".join(ending for name in FORMATS for ending in packing.FORMATS[name])
        raise UsageError(f"{out_path!r} does not say which archive it is: let it end in {known}")
    if format == "tar.zst":
        packing.zstd()  # before anything is done
    view = home.ledger.view()
    runs = _chosen(view.objects, view.tree, founds)
    parts = [part for part, wanted in ((contents.BLOB, with_blob), (contents.CACHE, with_cache)) if wanted]
    try:
        with destination(home, out_path, force=force) as out, bundle.scratch_file(home.repository) as code:
            left_out = [each for run in runs for part in parts for each in _look_beside(home, run, part)]
            listed = [_content(run) for run in runs]
            named = selection.codes(home, [run.published for run in runs], view.tips.values())
            commits = bundle.whole(home.repository, named) if with_code else []
            packed = _write_code(home, runs, listed, commits, code) if commits else None
            missing = sorted({run.code for run in listed if run.code} - set(commits)) if with_code else []
            hash_name = home.repository.location.hash_name
            index = Index(hash_name, tuple(listed), packed, tuple(missing), tuple(left_out))
            moment = max(values.time_seconds(run.run.identity.start) or 0 for run in runs)
            files = packing.write(out, format, _members(index, runs, code), int(moment))
            out.flush()
            size = os.fstat(out.fileno()).st_size
    except BrokenPipeError:
        raise
    except OSError as error:
        raise LumoError(f"{error.filename or out_path}: {error.strerror}; name another place with -o FILE") from None
    return Written(out_path, len(runs), files, size, index.left_out, index.missing_code)


@contextlib.contextmanager
def destination(home: Home, path: str, *, force: bool) -> Iterator[BinaryIO]:
    """A file as :func:`packing.whole_file` makes it; ``-``: standard output, which gets it when it is whole."""
    if path != STDOUT:
        with packing.whole_file(path, force=force) as out:
            yield out
        return
    with bundle.scratch_file(home.repository) as aside:
        yield cast(BinaryIO, aside)
        aside.seek(0)
        while part := aside.read(_PART):
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()


def _chosen(objects: Objects, tree: str | None, founds: Sequence[Found]) -> list[_Chosen]:
    """The runs, in an order that does not depend on how they were asked for."""
    if not founds:
        raise LumoError("there are no runs to back up\nrecord one:  git lumo run -- COMMAND")
    for found in founds:
        found.record.check()
    wanted = [selection.Wanted.of(each.record) for each in founds]
    runs = {each.run.uid: each for each in selection.find(objects, tree, wanted)}
    chosen, folders = [], set[str]()
    for each in sorted(runs.values(), key=lambda each: (*each.run.name, each.run.identity.start, each.run.uid)):
        run = each.run
        folder = contents.folder_of(*run.name)
        if folder in folders:
            folder = contents.folder_of(*run.name, run.uid)
        folders.add(folder)
        paths = sorted(each.files.paths(), key=os.fsencode)
        for path in paths:
            export.check_path(path)
        chosen.append(_Chosen(each, folder, paths))
    return chosen


def _look_beside(home: Home, chosen: _Chosen, part: str) -> list[LeftOut]:
    folder = beside.folder_of(home, chosen.run.identity, part)
    found, left_out = beside.listed(folder, f"{chosen.folder}/{part}")
    chosen.beside[part] = folder, found
    return left_out


def _content(chosen: _Chosen) -> Content:
    sizes = list[int]()

    def files() -> Iterator[tuple[str, bytes]]:
        for path in chosen.paths:
            data = chosen.published.files.read(path) or b""
            if len(data) > layout.MAX_FILE:
                raise LumoError(f"{'/'.join(chosen.run.name)}: {path} has {len(data)} bytes, more than can be restored")
            sizes.append(len(data))
            yield path, data

    digest = contents.record_digest(files())
    parts = {contents.RECORD: Part(len(sizes), sum(sizes), digest)}
    for part, (_, listed) in chosen.beside.items():
        parts[part] = Part(len(listed), sum(file.size for file in listed))
    if parts[contents.RECORD].size > contents.MAX_RECORD:
        raise LumoError(f"{'/'.join(chosen.run.name)}: its record has more than {contents.MAX_RECORD} bytes")
    identity = chosen.run.identity
    code = chosen.published.code
    return Content(identity.uid, identity.exp_name, identity.test_name, code, chosen.folder, parts)


def _write_code(
    home: Home, runs: Sequence[_Chosen], listed: Sequence[Content], commits: Sequence[str], out: IO[bytes]
) -> Code:
    """The bundle with the runs' code; the newest run's is what a clone of it checks out."""
    starts = {run.run.uid: run.run.identity.start for run in runs}
    newest = max((run for run in listed if run.code in commits), key=lambda run: (starts[run.uid], run.uid))
    ordered = sorted(commits)
    refs = {"HEAD": newest.code or "", **{f"refs/heads/code/{commit}": commit for commit in ordered}}
    bundle.write(home.repository, out, Header(home.repository.location.hash_name, refs), steady=True)
    size = out.tell()
    out.seek(0)
    digest = hashlib.sha256()
    while data := out.read(1 << 20):
        digest.update(data)
    return Code(size, digest.hexdigest(), tuple(ordered))


def _members(index: Index, runs: Sequence[_Chosen], code: IO[bytes]) -> Iterator[File]:
    """The archive's files in order; each one's digest is known once it has been written."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as sums:

        def summed(file: File) -> Iterator[File]:
            source = _Summed(file)
            yield File(file.path, file.mode, file.size, cast(BinaryIO, source))
            sums.write(contents.sum_line(source.digest.hexdigest(), file.path))

        yield from summed(_made(contents.INDEX, index.to_bytes()))
        if index.code:
            code.seek(0)
            yield from summed(File(contents.CODE, _FILE, index.code.size, cast(BinaryIO, code)))
        for run in runs:
            for path in run.paths:
                data = run.published.files.read(path) or b""
                yield from summed(_made(f"{run.folder}/{contents.RECORD}/{path}", data))
            for part, (folder, listed) in run.beside.items():
                for file in listed:
                    yield from _beside(folder, file, f"{run.folder}/{part}/{file.path}", summed)
        size = sums.tell()
        sums.seek(0)
        yield File(contents.SUMS, _FILE, size, cast(BinaryIO, sums))


def _beside(folder: str, file: Listed, path: str, summed: Callable[[File], Iterator[File]]) -> Iterator[File]:
    where = os.path.join(folder, file.path)
    with beside.opened(folder, file.path) as source:
        mode = _PROGRAM if file.executable else _FILE
        yield from summed(File(path, mode, file.size, source))
        found = os.fstat(source.fileno())
        if (found.st_size, found.st_mtime_ns) != (file.size, file.mtime):
            raise _changed(where)


def _changed(path: str) -> LumoError:
    return LumoError(f"{path} changed while it was read\ntype the same again when nothing writes there")


def _made(path: str, data: bytes) -> File:
    return File(path, _FILE, len(data), io.BytesIO(data))


class _Summed:
    """A file's content, as much of it as was said, and its digest."""

    def __init__(self, file: File):
        self._file, self._left = file, file.size
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        wanted, parts = min(size, self._left), []
        while wanted:
            data = self._file.content.read(wanted)
            if not data:
                raise _changed(self._file.path)
            parts.append(data)
            wanted -= len(data)
        whole = parts[0] if len(parts) == 1 else b"".join(parts)
        self._left -= len(whole)
        self.digest.update(whole)
        return whole
