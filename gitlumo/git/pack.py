"""Writing new objects as one pack beside a running ``git gc``, and looking after such packs.

"Loose objects, then the ref" loses them to a concurrent ``git gc --prune=now``; a pack with a ``.keep`` beside it does
not (git-repack(1), ``--honor-pack-keep`` in git-pack-objects(1)). The order in which its three files appear matters,
because gc removes an ``.idx`` or a ``.keep`` whose ``.pack`` its scan of the folder has missed: ``.keep``, ``.pack``,
a moment while gc runs, ``.idx``.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from gitlumo.git import process
from gitlumo.git.files import move
from gitlumo.git.objects import TREE, NewObject, object_id

_TYPES = {"commit": 1, "tree": 2, "blob": 3}
_CHUNK = 1 << 20
GC_MOMENT = 0.01
MAX_HEALED = 512 * 1024**2
HEAL_SECONDS = 30.0
ROLL_UP_SECONDS = 30.0
GC_FORGOTTEN = 12 * 3600.0


@dataclass(frozen=True)
class PackPlace:
    """Where packs go.

    Attributes:
        pack_dir: ``<objects>/pack``.
        tmp_dir: A folder for unfinished files, outside ``objects/``, where gc would delete them.
        gc_pid: The file that exists while ``git gc`` runs.
        hash_name: ``sha1`` or ``sha256``.
    """

    pack_dir: str
    tmp_dir: str
    gc_pid: str
    hash_name: str


def write_pack(
    place: PackPlace, new: Mapping[str, NewObject], note: bytes, *, with_pack: str | None = None, fsync: bool
) -> str:
    """Write objects into the database as one kept pack.

    Args:
        place: Where.
        new: Object id to its type and content.
        note: What to write into the ``.keep``.
        with_pack: Path without ending of a pack and index that ``git pack-objects`` made; its objects go along.
        fsync: Whether the pack is to survive a power cut before this returns.

    Returns:
        The pack's path without ending.

    Raises:
        OSError: If the disk is full or read-only; nothing is left behind then.
    """
    from dulwich.pack import write_pack_index_v2

    os.makedirs(place.tmp_dir, exist_ok=True)
    os.makedirs(place.pack_dir, exist_ok=True)
    unfinished = os.path.join(place.tmp_dir, f"pack-{os.getpid()}-{os.urandom(6).hex()}")
    made = [unfinished + ".pack", unfinished + ".idx"]
    try:
        with open(made[0], "xb", opener=_read_only) as out:
            entries, checksum = _write_objects(out, place.hash_name, new, with_pack)
            _finish(out, fsync)
        with open(made[1], "xb", opener=_read_only) as out:
            write_pack_index_v2(out, sorted(entries), checksum)
            _finish(out, fsync)
        # Not the checksum: two writers of equal packs must not share files, because a loser deletes its own.
        name = hashlib.new(place.hash_name, checksum + os.urandom(16), usedforsecurity=False).hexdigest()
        made += [os.path.join(place.pack_dir, f"pack-{name}") + ending for ending in (".idx", ".keep", ".pack")]
        base = install(place, unfinished, name, note)
        if fsync:
            _fsync_folder(place.pack_dir)
    except BaseException:
        for path in made:
            _unlink(path)
        raise
    return base


def install(place: PackPlace, unfinished: str, name: str, note: bytes) -> str:
    """Move a pack and its index into the database, in the order that gc bears; returns its path without ending."""
    base = os.path.join(place.pack_dir, f"pack-{name}")
    _keep(base, note)
    move(unfinished + ".pack", base + ".pack")
    if gc_is_running(place):
        time.sleep(GC_MOMENT)
    _keep(base, note)
    move(unfinished + ".idx", base + ".idx")
    return base


def _write_objects(
    out: IO[bytes], hash_name: str, new: Mapping[str, NewObject], with_pack: str | None
) -> tuple[list[tuple[bytes, int, int | None]], bytes]:
    """Header, the other pack's entries byte for byte (its deltas are relative), new objects, checksum."""
    from dulwich.object_format import SHA1, SHA256
    from dulwich.pack import load_pack_index, write_pack_header, write_pack_object

    form = SHA1 if hash_name == "sha1" else SHA256
    checksum = hashlib.new(hash_name, usedforsecurity=False)
    entries: list[tuple[bytes, int, int | None]] = []

    def write(data: bytes) -> int:
        checksum.update(data)
        return out.write(data)

    if with_pack:
        index = load_pack_index(with_pack + ".idx", form)
        entries = [(bytes(id), offset, crc) for id, offset, crc in index.iterentries()]
        index.close()
    there = {id.hex() for id, _, _ in entries}
    added = {id: value for id, value in new.items() if id not in there}
    write_pack_header(write, len(entries) + len(added))
    if with_pack:
        with open(with_pack + ".pack", "rb") as source:
            left = os.fstat(source.fileno()).st_size - 12 - checksum.digest_size
            source.seek(12)
            while left > 0:
                data = source.read(min(_CHUNK, left))
                if not data:
                    raise OSError(errno.EIO, "a pack ended early", with_pack)
                write(data)
                left -= len(data)
    for id, (kind, content) in added.items():
        data = content if isinstance(content, bytes) else content()
        if data is not content and object_id(hash_name, kind, data) != id:
            raise OSError(errno.EAGAIN, "a file changed while it was being recorded", id)
        offset = out.tell()
        level = 1 if kind == TREE else -1  # most of a tree is ids, which no level makes smaller
        crc = write_pack_object(write, _TYPES[kind], [data], form, compression_level=level)
        entries.append((bytes.fromhex(id), offset, crc))
    out.write(checksum.digest())
    return entries, checksum.digest()


def _read_only(path: str, flags: int) -> int:
    """Open a new file that nobody may write to but who has just made it, as git's packs are."""
    return os.open(path, flags, 0o444)


def _finish(out: IO[bytes], fsync: bool) -> None:
    out.flush()
    if fsync:
        os.fsync(out.fileno())


def _keep(base: str, note: bytes) -> None:
    if not os.path.exists(base + ".keep"):
        with open(base + ".keep", "wb") as out:
            out.write(note)


def _fsync_folder(path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _unlink(path: str) -> None:
    with contextlib.suppress(OSError):  # it was never made, or gc was faster
        os.unlink(path)


def gc_is_running(place: PackPlace) -> bool:
    """Whether ``git gc`` runs, as git itself sees it: a ``gc.pid`` of twelve hours ago is forgotten (builtin/gc.c)."""
    try:
        return time.time() - os.stat(place.gc_pid).st_mtime < GC_FORGOTTEN
    except OSError:
        return False


def is_whole(base: str) -> bool:
    """Whether a pack has all three files."""
    return all(os.path.exists(base + ending) for ending in (".pack", ".idx", ".keep"))


def remove_pack(base: str) -> None:
    """Take a pack back that nobody refers to: the index first, so that no reader opens it half."""
    for ending in (".idx", ".pack", ".keep"):
        _unlink(base + ending)


def unkeep(base: str) -> None:
    """Leave a pack to git's own upkeep."""
    _unlink(base + ".keep")


def kept_packs(place: PackPlace) -> Iterator[tuple[str, bytes]]:
    """Packs with a ``.keep``: (path without ending, what the ``.keep`` says)."""
    for name in _names(place, ".keep"):
        base = os.path.join(place.pack_dir, name)
        try:
            with open(base + ".keep", "rb") as source:
                yield base, source.read(4096)
        except OSError:
            continue


def unindexed_packs(place: PackPlace) -> list[str]:
    """Packs without an index: a writer is between its two renames, or gc took the index away."""
    return [os.path.join(place.pack_dir, name) for name in _names(place, ".pack") - _names(place, ".idx")]


def count_packs(place: PackPlace) -> int:
    """How many packs there are."""
    return len(_names(place, ".pack"))


def loose_packs(place: PackPlace, max_bytes: int) -> list[str]:
    """Packs up to a size that nothing protects and no remote has promised: what may be rolled up."""
    names = _names(place, ".pack") & _names(place, ".idx") - _names(place, ".keep") - _names(place, ".promisor")
    found = []
    for name in sorted(names):
        base = os.path.join(place.pack_dir, name)
        with contextlib.suppress(OSError):
            if os.stat(base + ".pack").st_size <= max_bytes:
                found.append(base)
    return found


def roll_up(place: PackPlace, bases: Sequence[str], note: bytes) -> None:
    """Put the objects of some packs into one, and remove them: where ``git repack --geometric`` fails (partial clones).

    Raises:
        GitError: If git cannot (git-pack-objects(1), ``--stdin-packs``); all stay then.
        OSError: If the disk is full.
        TimeoutError: If it takes too long.
    """
    os.makedirs(place.tmp_dir, exist_ok=True)
    unfinished = os.path.join(place.tmp_dir, f"pack-{os.getpid()}-{os.urandom(6).hex()}")
    stdin = "".join(f"{os.path.basename(base)}.pack\n" for base in bases).encode()
    options = ("-c", "pack.writeReverseIndex=false", "pack-objects", "--stdin-packs", "--quiet")
    git_dir = os.path.dirname(os.path.dirname(place.pack_dir))
    out = process.run(["--git-dir", git_dir, *options, unfinished], stdin=stdin, timeout=ROLL_UP_SECONDS).out
    name = out.decode("ascii").strip()
    base = install(place, f"{unfinished}-{name}", name, note)
    _fsync_folder(place.pack_dir)
    if is_whole(base):
        for old in bases:
            if old != base:
                remove_pack(old)
    unkeep(base)


def index_again(place: PackPlace, base: str) -> None:
    """Make a pack's index anew (git-index-pack(1)): beside it, because git would write it where readers look."""
    fresh = os.path.join(place.tmp_dir, f"pack-{os.getpid()}-{os.urandom(6).hex()}.idx")
    with contextlib.suppress(OSError, TimeoutError):  # somebody's huge pack is no matter for a training to wait for
        if os.stat(base + ".pack").st_size < MAX_HEALED:
            os.makedirs(place.tmp_dir, exist_ok=True)
            args = ["-c", "pack.writeReverseIndex=false", "index-pack", "-o", fresh, base + ".pack"]
            made = process.run(args, check=False, timeout=HEAL_SECONDS).status == 0
            if made and not os.path.exists(base + ".idx"):
                move(fresh, base + ".idx")
    _unlink(fresh)


def _names(place: PackPlace, ending: str) -> set[str]:
    try:
        names = os.listdir(place.pack_dir)
    except OSError:
        return set()
    return {name[: -len(ending)] for name in names if name.startswith("pack-") and name.endswith(ending)}
