"""Which untracked files belong into a snapshot of the work tree, and which are left out, and why.

Paths are bytes, relative to the top of the work tree, as ``git ls-files -z`` prints them. Everything here is a
function of the files and the limits, so that the same work tree always gives the same choice; only the clock can
make it smaller.
"""

from __future__ import annotations

import fnmatch
import heapq
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

SLOW = "took too long to look at"
NESTED = "nested repository"
OWN = "the repository's own folder"
SECRET = "looks like a secret"
EXCLUDED = "excluded by the user"
TOO_LARGE = "larger than {limit} bytes"
TOO_MANY = "more than {limit} untracked files together"
TOO_MUCH = "more than {limit} bytes of untracked files together"

# Files that hold credentials by convention: dotenv, keys, ssh, curl, npm, twine, gcloud, kubectl, git, psql, httpd.
_SECRETS = (".env*", "*.env", "*.pem", "*.key", "*.p12", "*.pfx", "id_rsa*", "id_ed25519*", "id_ecdsa*", "id_dsa*",
            ".netrc", ".npmrc", ".pypirc", "*credentials*.json", "*service-account*.json", "*service_account*.json",
            "kubeconfig", ".git-credentials", ".pgpass", ".htpasswd")  # fmt: skip
_SECRETS_IN_FOLDERS = (b"/.aws/credentials", b"/.kube/config", b"/.docker/config.json")
_SECRET = re.compile("|".join(fnmatch.translate(pattern) for pattern in _SECRETS).encode(), re.IGNORECASE)
_ACCESS = {"effective_ids": True} if os.access in os.supports_effective_ids else {}
_LIST = ("ls-files", "-z", "-o", "--exclude-standard")
_ARGUMENTS = 500  # names on one command line: far below any system's limit


def is_secret(path: bytes) -> bool:
    """Whether a file at this path holds credentials by convention."""
    name = path.rpartition(b"/")[2]
    return _SECRET.match(name) is not None or (b"/" + path.lower()).endswith(_SECRETS_IN_FOLDERS)


@dataclass(frozen=True)
class Limits:
    """How much of the untracked files a snapshot takes in, and how long it may look.

    Attributes:
        max_file: Bytes of one untracked file.
        max_total: Bytes of all untracked files together.
        max_files: Number of untracked files.
        timeout: Seconds of looking at the work tree, tracked files included.
        exclude: What to leave out besides, in patterns of gitignore(5).
    """

    max_file: int = 10 * 1024**2
    max_total: int = 100 * 1024**2
    max_files: int = 5000
    timeout: float = 5.0
    exclude: tuple[str, ...] = ()


class Skip(NamedTuple):
    """One path that is left out: a folder ends in ``/`` and stands for all that is untracked in it."""

    path: bytes
    reason: str
    size: int | None = None


def list_by_folder(
    run: Callable[[Sequence[str], float], bytes], top: bytes, until: float
) -> tuple[list[bytes], list[Skip]]:
    """List untracked files one top-level folder after the other, giving each an even share of the time that is left.

    Args:
        run: Runs git with these arguments until this moment and returns what it printed; raises TimeoutError. It
            takes pathspecs literally.
        top: Top of the work tree.
        until: The moment (``time.monotonic()``) at which to stop.

    Returns:
        The paths, and the folders that did not make it.
    """
    folders: list[bytes] = []
    loose: list[bytes] = []
    with os.scandir(top) as entries:
        for entry in entries:
            if entry.name != b".git":
                (folders if entry.is_dir(follow_symlinks=False) else loose).append(entry.name)
    loose.sort()
    places = [(b"./", loose[at : at + _ARGUMENTS]) for at in range(0, len(loose), _ARGUMENTS)]
    places += [(name + b"/", [name]) for name in sorted(folders)]
    paths: list[bytes] = []
    slow = []
    for done, (place, names) in enumerate(places):
        now = time.monotonic()
        if now >= until:
            slow.append(Skip(place, SLOW))
            continue
        try:
            out = run([*_LIST, "--", *map(os.fsdecode, names)], now + (until - now) / (len(places) - done))
            paths += out.split(b"\0")[:-1]
        except TimeoutError:
            slow.append(Skip(place, SLOW))
    return paths, slow


def sift(
    top: bytes, listed: Iterable[bytes], limits: Limits, own: Sequence[bytes], until: float
) -> tuple[list[bytes], list[Skip]]:
    """Choose among untracked files.

    Args:
        top: Top of the work tree.
        listed: What git lists as untracked; a nested repository ends in ``/``.
        limits: How much to take.
        own: The repository's own folders below ``top``, each ending in ``/``.
        until: The moment (``time.monotonic()``) after which files are no longer looked at.

    Returns:
        The paths to record, sorted, and those that are left out.
    """
    skipped: list[Skip] = []
    paths = []
    for path in sorted(set(listed)):
        within = next((folder for folder in own if path.startswith(folder)), None)
        if within:
            skipped += [] if skipped and skipped[-1].path == within else [Skip(within, OWN)]
        elif path.endswith(b"/"):
            skipped.append(Skip(path, NESTED))
        else:
            paths.append(path)
    if limits.exclude:
        paths, out = _exclude(paths, limits.exclude)
        skipped += out
    # By number first: then at most so many files are looked at, however many there are.
    paths, out = fit(dict.fromkeys(paths, 1), limits.max_files, TOO_MANY.format(limit=limits.max_files))
    skipped += [Skip(skip.path, skip.reason) for skip in out]
    sizes, out = _look(top, paths, limits.max_file, until)
    skipped += out
    paths, out = fit(sizes, limits.max_total, TOO_MUCH.format(limit=limits.max_total))
    return paths, skipped + out


def _exclude(paths: Sequence[bytes], patterns: Sequence[str]) -> tuple[list[bytes], list[Skip]]:
    """Apply the user's patterns; a folder that is excluded as such is listed once."""
    from dulwich.ignore import IgnoreFilter

    ignore = IgnoreFilter([pattern.encode("utf-8", "surrogateescape") for pattern in patterns])
    folders: dict[bytes, bool] = {}
    kept: list[bytes] = []
    skipped: list[Skip] = []
    for path in paths:
        out = next((folder for folder in _parents(path) if _once(folders, folder, ignore.may_prune_directory)), None)
        if out is not None:
            if not skipped or skipped[-1].path != out:
                skipped.append(Skip(out, EXCLUDED))
        elif ignore.is_ignored(os.fsdecode(path)):
            skipped.append(Skip(path, EXCLUDED))
        else:
            kept.append(path)
    return kept, skipped


def _once(known: dict[bytes, bool], folder: bytes, ask: Callable[[str], bool]) -> bool:
    if folder not in known:
        known[folder] = ask(os.fsdecode(folder))
    return known[folder]


def _parents(path: bytes) -> list[bytes]:
    """``a/``, ``a/b/`` for ``a/b/c``."""
    return [path[: at + 1] for at in range(len(path)) if path[at] == 0x2F]


def _look(top: bytes, paths: Sequence[bytes], max_file: int, until: float) -> tuple[dict[bytes, int], list[Skip]]:
    """Look at each file: the sizes of those that may be recorded, and what is left out."""
    sizes: dict[bytes, int] = {}
    skipped: list[Skip] = []
    for at, path in enumerate(paths):
        if time.monotonic() > until:
            skipped += by_top(paths[at:], SLOW)
            break
        if is_secret(path):
            skipped.append(Skip(path, SECRET))
            continue
        try:
            seen = os.lstat(os.path.join(top, path))
        except OSError as error:
            skipped.append(Skip(path, error.strerror or str(error)))
            continue
        link = stat.S_ISLNK(seen.st_mode)
        if not link and not stat.S_ISREG(seen.st_mode):
            skipped.append(Skip(path, "neither a file nor a symbolic link"))
        elif seen.st_size > max_file:
            skipped.append(Skip(path, TOO_LARGE.format(limit=max_file), seen.st_size))
        elif not link and not os.access(os.path.join(top, path), os.R_OK, **_ACCESS):
            skipped.append(Skip(path, "unreadable", seen.st_size))
        else:
            sizes[path] = seen.st_size
    return sizes, skipped


def by_top(paths: Iterable[bytes], reason: str) -> list[Skip]:
    """The top-level folders (and root files) in which paths lie, as left out."""
    return [Skip(path, reason) for path in sorted({b"".join(path.partition(b"/")[:2]) for path in paths})]


def fit(weights: Mapping[bytes, int], limit: int, reason: str) -> tuple[list[bytes], list[Skip]]:
    """Leave out whole folders until the rest weighs no more than ``limit``.

    What to leave out is found by going down from the root into the heaviest folder, and on while one subfolder holds
    more than half of its parent's weight. Files at the root count as one folder of which the heaviest file goes first.

    Args:
        weights: Weight of each path.
        limit: What all that is kept may weigh.
        reason: Why the others are left out.

    Returns:
        The paths that are kept, sorted, and what is left out with its weight as size.
    """
    left = sum(weights.values())
    if left <= limit:
        return sorted(weights), []
    heavy, below = _weigh(weights)
    loose = sorted((path for path in weights if b"/" not in path), key=lambda path: (weights[path], path))
    loose_weight = sum(weights[path] for path in loose)
    queue = [(-heavy[folder], folder) for folder in below.get(b"", ())]
    heapq.heapify(queue)
    dropped: dict[bytes, int] = {}
    while left > limit:
        if not queue or (loose and loose_weight >= -queue[0][0]):
            path = loose.pop()
            dropped[path] = weights[path]
            loose_weight -= weights[path]
            left -= weights[path]
            continue
        first = heapq.heappop(queue)[1]
        folder = _descend(first, heavy, below)
        dropped[folder] = weight = heavy[folder]
        left -= weight
        for parent in _parents(folder[:-1]):
            heavy[parent] -= weight
        if folder != first:
            below[_parents(folder[:-1])[-1]].remove(folder)
            heapq.heappush(queue, (-heavy[first], first))
    kept = [path for path in sorted(weights) if path not in dropped and not any(p in dropped for p in _parents(path))]
    return kept, _summary(dropped, reason)


def _weigh(weights: Mapping[bytes, int]) -> tuple[dict[bytes, int], dict[bytes, set[bytes]]]:
    """The weight of each folder, and the folders in each folder."""
    direct: dict[bytes, int] = {}
    for path, weight in weights.items():
        folder = path[: path.rfind(b"/") + 1]
        direct[folder] = direct.get(folder, 0) + weight
    heavy: dict[bytes, int] = {}
    below: dict[bytes, set[bytes]] = {}
    for folder, weight in direct.items():
        above = b""
        for parent in _parents(folder):
            heavy[parent] = heavy.get(parent, 0) + weight
            below.setdefault(above, set()).add(parent)
            above = parent
    return heavy, below


def _descend(folder: bytes, heavy: Mapping[bytes, int], below: Mapping[bytes, set[bytes]]) -> bytes:
    while inner := below.get(folder):
        heaviest = min(inner, key=lambda path: (-heavy[path], path))
        if 2 * heavy[heaviest] <= heavy[folder]:
            break
        folder = heaviest
    return folder


def _summary(dropped: Mapping[bytes, int], reason: str) -> list[Skip]:
    """What was dropped: a folder together with what was dropped in it before, files at the root as one entry."""
    folders: dict[bytes, int] = {}
    loose = {path: weight for path, weight in dropped.items() if not path.endswith(b"/")}
    for path in dropped.keys() - loose.keys():
        outermost = next(parent for parent in _parents(path) if parent in dropped)
        folders[outermost] = folders.get(outermost, 0) + dropped[path]
    if len(loose) > 1:
        skips = [Skip(b"./", f"{reason} ({len(loose)} files)", sum(loose.values()))]
    else:
        skips = [Skip(path, reason, weight) for path, weight in loose.items()]
    return sorted([*skips, *(Skip(path, reason, weight) for path, weight in folders.items())])
