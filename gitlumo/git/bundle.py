"""git's bundles (gitformat-bundle(5)): written as they come, and looked at before the database gets any of them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, cast

from gitlumo.errors import FormatError, GitError
from gitlumo.git import process
from gitlumo.git.repository import Repository

MAX_HEADER = 16 * 1024**2  # bytes: 100,000 refs
_SIGNATURES = {b"# v2 git bundle\n": 2, b"# v3 git bundle\n": 3}
_LINE = re.compile(r"(-?)([0-9a-f]{40}(?:[0-9a-f]{24})?)(?: (.*))?", re.DOTALL)
# What makes a pack a function of its commits, for one version of git and zlib; a user's own settings do not count.
_STEADY = ("pack.compression=6", "pack.window=10", "pack.depth=50", "pack.windowMemory=0", "pack.deltaCacheSize=0",
           "pack.threads=1", "pack.useBitmaps=false", "pack.useSparse=false", "pack.usePathWalk=false",
           "pack.allowPackReuse=false", "core.bigFileThreshold=512m", "core.commitGraph=false")  # fmt: skip
_OWN = ("--no-reuse-delta", "--no-reuse-object")


@dataclass(frozen=True)
class Header:
    """What stands in front of a bundle's pack.

    Attributes:
        hash_name: ``sha1`` or ``sha256``.
        refs: Name to commit.
        needs: The commits that must be there already: id to what the bundle says of it.
        size: Its bytes: there the pack begins.
    """

    hash_name: str
    refs: Mapping[str, str]
    needs: Mapping[str, str] = field(default_factory=dict)
    size: int = 0


def is_bundle(path: str) -> bool:
    """Whether a file begins as git's bundles do (gitformat-bundle(5)).

    Raises:
        OSError: If it cannot be read.
    """
    with open(path, "rb") as source:
        return source.readline(len(max(_SIGNATURES, key=len))) in _SIGNATURES


def read_header(path: str, name: str | None = None) -> Header:
    """The header of a bundle.

    Args:
        path: The file.
        name: What to call it in errors.

    Raises:
        FormatError: If the file is none, or one that git could not take here.
        OSError: If it cannot be read.
    """
    name = name or path
    with open(path, "rb") as source:
        version = _SIGNATURES.get(source.readline(64))
        if version is None:
            raise FormatError(f"{name} is no git bundle")
        hash_name, refs, needs = "sha1", dict[str, str](), dict[str, str]()
        while (line := os.fsdecode(source.readline(4096))) != "\n":
            found = _LINE.fullmatch(line[:-1])
            if not line.endswith("\n") or source.tell() > MAX_HEADER or not (found or line.startswith("@")):
                raise FormatError(f"{name} is a damaged git bundle: {line[:80]!r} stands in its header")
            if found:
                into, key = (needs, found[2]) if found[1] else (refs, found[3] or "")
                into[key] = (found[3] or "") if found[1] else found[2]
            elif version == 3 and line in ("@object-format=sha1\n", "@object-format=sha256\n"):
                hash_name = line[len("@object-format=") : -1]
            else:
                raise FormatError(f"{name} is a git bundle that needs {line[1:-1]!r}, which gitlumo does not know")
        return Header(hash_name, refs, needs, source.tell())


def write(repository: Repository, out: IO[bytes], header: Header, *, steady: bool = False) -> None:
    """Write a bundle.

    Args:
        repository: Which has its objects.
        out: A file, which git writes to where it is.
        header: Its size does not count.
        steady: Whether its bytes are to be the same wherever they are made; then it takes longer.

    Raises:
        GitError: If objects are missing, or the disk is full.
    """
    for line in _header_lines(header):
        out.write(os.fsencode(f"{line}\n"))
    out.flush()
    tips = [*dict.fromkeys(header.refs.values()), *(f"^{id}" for id in header.needs)]
    words = ["pack-objects", "--stdout", "--revs", "--delta-base-offset", "--quiet"]
    with contextlib.ExitStack() as stack:
        if steady:
            git, env = stack.enter_context(_aside(repository))
            words += _OWN
        else:
            git, env = repository.git_args, process.environment()
            words += ["--thin"] if header.needs else []
        _stream([*git, *words], env, stdin="".join(f"{tip}\n" for tip in tips).encode(), stdout=out.fileno())
    out.seek(0, os.SEEK_END)


def _header_lines(header: Header) -> Iterator[str]:
    yield f"# v{2 if header.hash_name == 'sha1' else 3} git bundle"
    if header.hash_name != "sha1":
        yield f"@object-format={header.hash_name}"
    for id, said in header.needs.items():
        yield f"-{id} {said}".rstrip()
    for name, id in header.refs.items():
        yield f"{id} {name}"
    yield ""


def whole(repository: Repository, commits: Sequence[str]) -> list[str]:
    """Those of some commits that are here with their whole history, which a shallow or partial clone has not."""
    if not commits:
        return []
    with _aside(repository) as (git, env):
        words = [*git, "rev-list", "--objects", "--quiet", "--stdin"]

        def all_there(some: Sequence[str]) -> bool:
            stdin = "".join(f"{id}^{{commit}}\n" for id in some).encode()
            return process.run(words, env=env, stdin=stdin, check=False).status == 0

        return list(commits) if all_there(commits) else [id for id in commits if all_there([id])]


@contextlib.contextmanager
def _aside(repository: Repository) -> Iterator[tuple[list[str], dict[str, str]]]:
    """git's arguments and environment to read the objects of a repository without its refs, settings and ends."""
    with _folder(repository) as folder:
        git = ["--git-dir", folder, *(word for setting in _STEADY for word in ("-c", setting))]
        env = process.environment(
            {"GIT_OBJECT_DIRECTORY": repository.location.objects_dir, "GIT_NO_REPLACE_OBJECTS": "1"}
        )
        form = f"--object-format={repository.location.hash_name}"
        process.run(["init", "--quiet", "--bare", "--template=", form, folder])
        yield git, env


@contextlib.contextmanager
def _folder(repository: Repository) -> Iterator[str]:
    """A folder for a while."""
    folder = tempfile.mkdtemp(prefix=f"bundle-{os.getpid()}-", dir=_place(repository))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def scratch_file(repository: Repository) -> IO[bytes]:
    """A file for a while."""
    return cast(IO[bytes], tempfile.NamedTemporaryFile(prefix=f"bundle-{os.getpid()}-", dir=_place(repository)))


def _place(repository: Repository) -> str | None:
    """The repository's own disk, which is large enough; None, the system's folder, where it cannot be written."""
    place = os.path.join(repository.location.lumo_dir, "tmp")
    with contextlib.suppress(OSError):
        os.makedirs(place, exist_ok=True)
    return place if os.access(place, os.W_OK) else None


@dataclass(frozen=True)
class Unpacked:
    """A bundle's objects, beside the database.

    Attributes:
        header: Its header.
        repository: The repository as it would be with them, to read.
        pack: Path without ending of their pack and its index.
    """

    header: Header
    repository: Repository
    pack: str


@contextlib.contextmanager
def unpacked(repository: Repository, path: str, name: str | None = None) -> Iterator[Unpacked]:
    """Unpack a bundle, and see that it is whole; what nobody has moved away then goes.

    Args:
        repository: Where it is to go.
        path: The file.
        name: What to call it in errors.

    Raises:
        FormatError: If it is damaged, or is of another format of objects.
        MissingNeeds: If commits that it goes on from are not here.
        GitError: If it cannot be unpacked.
        OSError: If it cannot be read.
    """
    name = name or path
    header = read_header(path, name)
    here = repository.location.hash_name
    if header.hash_name != here:
        raise FormatError(f"{name} names its objects by {header.hash_name}, and this repository by {here}")
    repository.objects.refresh()
    lacking = {id: said for id, said in header.needs.items() if not _is_here(repository, id)}
    if lacking:
        raise MissingNeeds(name, lacking)
    with _folder(repository) as folder:
        env = process.environment(
            {
                "GIT_OBJECT_DIRECTORY": folder,
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(repository.location.objects_dir),
            }
        )
        os.mkdir(os.path.join(folder, "pack"))
        git = [*repository.git_args, "-c", "pack.writeReverseIndex=false"]
        with open(path, "rb", buffering=0) as source:
            source.seek(header.size)
            try:
                _stream([*git, "index-pack", "--stdin", "--fix-thin"], env, stdin=source.fileno())
            except GitError as error:
                raise FormatError(f"{name} is damaged: {error}") from None
        words = ["rev-list", "--objects", "--quiet", "--stdin", *_promised(repository), "--not", "--all"]
        tips = "".join(f"{id}^{{commit}}\n" for id in header.refs.values()).encode()
        found = process.run([*git, *words], env=env, stdin=tips, check=False)
        if found.status:
            raise FormatError(f"{name} is not whole: {found.message}")
        (index,) = (each for each in os.listdir(os.path.join(folder, "pack")) if each.endswith(".idx"))
        seen = Repository(repository.location, quarantine=folder)
        try:
            yield Unpacked(header, seen, os.path.join(folder, "pack", index.removesuffix(".idx")))
        finally:
            seen.close()


class MissingNeeds(GitError):
    """A bundle goes on from commits that are not here.

    Attributes:
        lacking: The commits: id to what the bundle says of it.
    """

    def __init__(self, name: str, lacking: Mapping[str, str]):
        self.lacking = lacking
        said = "\n".join(f"  {id[:12]} {''.join(c for c in text if c.isprintable())}" for id, text in lacking.items())
        super().__init__(f"{name} goes on from what is not here yet; restore that first:\n{said}")


def _is_here(repository: Repository, commit: str) -> bool:
    return repository.objects.has(commit) and repository.is_whole(commit)


def _promised(repository: Repository) -> list[str]:
    return ["--exclude-promisor-objects"] if repository.is_partial else []


def _quoted(folder: str) -> str:
    """A folder as git(1) takes it in ``GIT_ALTERNATE_OBJECT_DIRECTORIES``, which are separated by colons."""
    escaped = folder.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if folder.startswith('"') or os.pathsep in folder else folder


def _stream(args: Sequence[str], env: Mapping[str, str], stdin: bytes | int, stdout: int = subprocess.DEVNULL) -> None:
    """Run ``git <args>`` between files.

    Raises:
        GitError: If it fails.
    """
    with tempfile.TemporaryFile() as words:
        if isinstance(stdin, bytes):
            words.write(stdin)
            words.seek(0)
        source = words.fileno() if isinstance(stdin, bytes) else stdin
        child = subprocess.Popen(["git", *args], env=env, stdin=source, stdout=stdout, stderr=subprocess.PIPE)
        try:
            _, err = child.communicate()
        except BaseException:  # Ctrl-C
            process.kill(child, group=False)
            raise
    if child.returncode:
        raise GitError(process.Result(child.returncode, b"", err).message)
