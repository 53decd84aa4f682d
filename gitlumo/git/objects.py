"""git's objects: what a blob, a tree and a commit are in bytes, and what an engine must do.

The bytes are git's (https://git-scm.com/docs/gitformat-pack, "Object types"; https://git-scm.com/book/en/v2/Git-Internals-Git-Objects).
An *engine* finds objects; building them is pure, so all engines share it. Object ids are hexadecimal strings.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Container, Iterable, Iterator
from typing import NamedTuple, Protocol

from gitlumo.errors import GitError, MissingObject

BLOB, TREE, COMMIT = "blob", "tree", "commit"
FILE_MODE, TREE_MODE, SUBMODULE_MODE = 0o100644, 0o040000, 0o160000
ZONE = "+0000"


class Entry(NamedTuple):
    """One line of a tree. Names that are not UTF-8 carry their bytes as surrogates (PEP 383)."""

    name: str
    mode: int
    id: str

    @property
    def is_tree(self) -> bool:
        """Whether it names a subtree."""
        return self.mode == TREE_MODE

    @property
    def is_file(self) -> bool:
        """Whether it names a regular file: no subtree, symbolic link or submodule."""
        return self.mode & 0o170000 == 0o100000


class Commit(NamedTuple):
    """A commit; ``author`` and ``committer`` as they stand in it: ``Name <email> seconds zone``."""

    tree: str
    parents: tuple[str, ...]
    author: str
    committer: str
    message: str

    @property
    def time(self) -> int:
        """Committer time, in seconds since 1970."""
        try:
            return int(self.committer.rsplit(" ", 2)[1])
        except (ValueError, IndexError):
            return 0

    @property
    def subject(self) -> str:
        """The first line of the message."""
        return self.message.split("\n", 1)[0]

    def trailers(self, key: str) -> list[str]:
        """The values of all trailers of this name in the message's last paragraph (git-interpret-trailers(1))."""
        last = self.message.rstrip("\n").rsplit("\n\n", 1)[-1]
        return [line[len(key) + 2 :] for line in last.split("\n") if line.startswith(f"{key}: ")]


NewObject = tuple[str, bytes | Callable[[], bytes]]
"""An object that is to be written: its type, and its content or a function that reads it."""


class Objects(Protocol):
    """What an engine must do; ``tests/git/test_objects.py`` is the definition.

    Attributes:
        hash_name: ``sha1`` or ``sha256``.
    """

    hash_name: str

    def read(self, id: str) -> tuple[str, bytes]:
        """An object's type and content.

        Raises:
            MissingObject: If the database does not have it.
        """

    def has(self, id: str) -> bool:
        """Whether the database has an object."""

    def refresh(self) -> None:
        """Forget what was seen of the disk, so that the next look is a fresh one."""

    def is_ancestor(self, ancestor: str, commit: str) -> bool:
        """Whether ``ancestor`` is ``commit`` or can be reached from it."""

    def close(self) -> None:
        """Let go of files and memory."""


def object_id(hash_name: str, kind: str, data: bytes) -> str:
    """The id under which git keeps an object."""
    import hashlib  # OpenSSL takes milliseconds to load, which who only reads need not wait for

    make = hashlib.sha1 if hash_name == "sha1" else hashlib.sha256
    return make(b"%s %d\0%s" % (kind.encode(), len(data), data), usedforsecurity=False).hexdigest()


def read_blob(objects: Objects, id: str) -> bytes:
    """A blob's bytes.

    Raises:
        MissingObject: If there is none of this id.
        GitError: If the object is no blob.
    """
    return read_kind(objects, id, BLOB)


def read_tree(objects: Objects, id: str) -> dict[str, Entry]:
    """A tree's entries by name, in git's order.

    Raises:
        MissingObject: If there is none of this id.
        GitError: If the object is no tree.
    """
    return parse_tree(read_kind(objects, id, TREE), 20 if objects.hash_name == "sha1" else 32)


class Folder:
    """A tree's entries by name, each taken apart only when it is asked for: who reads many trees wants few of them."""

    def __init__(self, objects: Objects, id: str):
        """Read a tree.

        Raises:
            MissingObject: If there is none of this id.
            GitError: If the object is no tree.
        """
        self._size = 20 if objects.hash_name == "sha1" else 32
        self._lines = {line[2]: line for line in tree_lines(read_kind(objects, id, TREE), self._size)}

    def file(self, name: bytes) -> str | None:
        """The id of a regular file's blob, None where there is none."""
        line = self._lines.get(name)
        return line[0][-self._size :].hex() if line and (line[1] == b"100644" or _is_file(line[1])) else None

    def tree(self, name: bytes) -> str | None:
        """The id of a subtree, None where there is none."""
        line = self._lines.get(name)
        return line[0][-self._size :].hex() if line and int(line[1], 8) == TREE_MODE else None

    def files(self) -> list[str]:
        """The names of the regular files."""
        return [name.decode("utf-8", "surrogateescape") for _, mode, name in self._lines.values() if _is_file(mode)]


def _is_file(mode: bytes) -> bool:
    return mode[:2] == b"10" and len(mode) == 6  # as Entry.is_file


def read_entries(objects: Objects, id: str, prefix: str) -> list[Entry]:
    """A tree's entries whose names begin with ``prefix``; the others, perhaps thousands, are not taken apart.

    Raises:
        MissingObject: If there is none of this id.
        GitError: If the object is no tree.
    """
    size = 20 if objects.hash_name == "sha1" else 32
    raw = prefix.encode("utf-8", "surrogateescape")
    wanted = (line[0] for line in tree_lines(read_kind(objects, id, TREE), size) if line[2].startswith(raw))
    return list(parse_tree(b"".join(wanted), size).values())


def read_some(objects: Objects, id: str, names: Container[bytes]) -> dict[str, Entry]:
    """A tree's entries of some names, in git's order; the others are not taken apart.

    Raises:
        MissingObject: If there is none of this id.
        GitError: If the object is no tree.
    """
    size = 20 if objects.hash_name == "sha1" else 32
    found = {}
    for whole, mode, raw in tree_lines(read_kind(objects, id, TREE), size):
        if raw in names:
            name = raw.decode("utf-8", "surrogateescape")
            found[name] = Entry(name, int(mode, 8), whole[-size:].hex())
    return found


def read_differing(objects: Objects, old: str | None, new: str | None) -> tuple[dict[str, Entry], dict[str, Entry]]:
    """The entries in which two trees differ; those that both have, perhaps thousands, are not taken apart.

    Args:
        objects: Where the trees are.
        old: Tree id; None: an empty tree.
        new: Tree id; None: an empty tree.

    Raises:
        MissingObject: If one of them is not there.
        GitError: If one of them is no tree.
    """
    size = 20 if objects.hash_name == "sha1" else 32
    before, after = (
        [_WHOLE(line) for line in tree_lines(read_kind(objects, id, TREE), size)] if id else [] for id in (old, new)
    )
    both = set(before).intersection(after)
    first, second = (
        parse_tree(b"".join(line for line in lines if line not in both), size) for lines in (before, after)
    )
    return first, second


def read_names(objects: Objects, id: str) -> list[str]:
    """The names in a tree, in git's order.

    Raises:
        MissingObject: If there is none of this id.
        GitError: If the object is no tree.
    """
    lines = tree_lines(read_kind(objects, id, TREE), 20 if objects.hash_name == "sha1" else 32)
    return [name.decode("utf-8", "surrogateescape") for _, _, name in lines]


def read_commit(objects: Objects, id: str) -> Commit:
    """A commit.

    Raises:
        MissingObject: If there is none of this id.
        GitError: If the object is no commit.
    """
    return parse_commit(read_kind(objects, id, COMMIT))


def tree_of(objects: Objects, commit: str) -> str | None:
    """The tree of a commit; None where the commit is not here."""
    try:
        return read_commit(objects, commit).tree
    except (MissingObject, ValueError):
        return None


def read_kind(objects: Objects, id: str, kind: str) -> bytes:
    """The content of an object that must be of a kind.

    Raises:
        MissingObject: If there is none of this id.
        GitError: If it is of another kind.
    """
    found, data = objects.read(id)
    if found != kind:
        raise GitError(f"object {id} is a {found}, not a {kind}")
    return data


_LINES = {size: re.compile(rb"(([0-7]{5,6}) ([^\0]+)\0.{%d})" % size, re.DOTALL) for size in (20, 32)}


_WHOLE = operator.itemgetter(0)


def tree_lines(data: bytes, id_size: int) -> list[tuple[bytes, bytes, bytes]]:
    """The entries of a tree object's bytes as they stand there: (whole, mode, name)."""
    lines = _LINES[id_size].findall(data)
    if sum(map(len, map(_WHOLE, lines))) != len(data):
        raise GitError("a tree object is damaged; try 'git fsck'")
    return lines


def parse_tree(data: bytes, id_size: int) -> dict[str, Entry]:
    """The entries of a tree object's bytes; ``id_size`` is 20 or 32 bytes.

    Raises:
        GitError: If they are no tree.
    """
    make = Entry._make
    named = ((name.decode("utf-8", "surrogateescape"), whole, mode) for whole, mode, name in tree_lines(data, id_size))
    return {name: make((name, int(mode, 8), whole[-id_size:].hex())) for name, whole, mode in named}


def format_tree(entries: Iterable[Entry]) -> bytes:
    """A tree object's bytes: entries sorted as git sorts them, a subtree as if its name ended in ``/``."""
    named = [(entry.name.encode("utf-8", "surrogateescape"), entry) for entry in entries]
    named.sort(key=lambda pair: pair[0] + b"/" if pair[1].is_tree else pair[0])
    return b"".join(b"%o %s\0%s" % (entry.mode, name, bytes.fromhex(entry.id)) for name, entry in named)


def parse_commit(data: bytes) -> Commit:
    """A commit object's bytes as a :class:`Commit`."""
    head, _, message = data.partition(b"\n\n")
    tree, parents, author, committer = "", [], "", ""
    for line in head.split(b"\n"):
        key, _, value = line.partition(b" ")
        text = value.decode("utf-8", "replace")
        if key == b"tree":
            tree = text
        elif key == b"parent":
            parents.append(text)
        elif key == b"author":
            author = text
        elif key == b"committer":
            committer = text
    return Commit(tree, tuple(parents), author, committer, message.decode("utf-8", "replace"))


def format_commit(commit: Commit) -> bytes:
    """A commit object's bytes: UTF-8, unsigned, whatever is configured."""
    lines = [f"tree {commit.tree}", *(f"parent {parent}" for parent in commit.parents)]
    lines += [f"author {commit.author}", f"committer {commit.committer}", "", commit.message]
    return "\n".join(lines).encode("utf-8", "surrogateescape")


class Staging:
    """New objects in memory above an object database: itself an :class:`Objects`, so what is new can be read.

    Attributes:
        new: What was added: id to (type, content, or a function that reads the content when it is written).
    """

    def __init__(self, base: Objects):
        self.base = base
        self.hash_name = base.hash_name
        self.new: dict[str, NewObject] = {}

    def add(self, kind: str, data: bytes) -> str:
        """Add an object; returns its id."""
        id = object_id(self.hash_name, kind, data)
        self.new[id] = (kind, data)
        return id

    def add_blob(self, data: bytes) -> str:
        """Add a blob; returns its id."""
        return self.add(BLOB, data)

    def add_tree(self, entries: Iterable[Entry]) -> str:
        """Add a tree; returns its id."""
        return self.add(TREE, format_tree(entries))

    def add_commit(self, commit: Commit) -> str:
        """Add a commit; returns its id."""
        return self.add(COMMIT, format_commit(commit))

    def read(self, id: str) -> tuple[str, bytes]:
        """See :meth:`Objects.read`."""
        found = self.new.get(id)
        if found is None:
            return self.base.read(id)
        kind, data = found
        return kind, data if isinstance(data, bytes) else data()

    def has(self, id: str) -> bool:
        """See :meth:`Objects.has`."""
        return id in self.new or self.base.has(id)

    def refresh(self) -> None:
        """See :meth:`Objects.refresh`."""
        self.base.refresh()

    def is_ancestor(self, ancestor: str, commit: str) -> bool:
        """See :meth:`Objects.is_ancestor`."""
        seen = set()
        tips = [commit]
        while tips:
            tip = tips.pop()
            if tip == ancestor:
                return True
            if tip in seen:
                continue
            seen.add(tip)
            if tip in self.new:
                tips.extend(read_commit(self, tip).parents)
            elif self.base.is_ancestor(ancestor, tip):
                return True
        return False

    def close(self) -> None:
        """See :meth:`Objects.close`."""
        self.base.close()


def lookup(objects: Objects, tree: str, path: str) -> Entry | None:
    """The entry at a path below a tree, or None."""
    entry = Entry("", TREE_MODE, tree)
    for name in path.split("/"):
        found = read_tree(objects, entry.id).get(name) if entry.is_tree else None
        if found is None:
            return None
        entry = found
    return entry


def walk(objects: Objects, tree: str, prefix: str = "") -> Iterator[tuple[str, Entry]]:
    """All entries below a tree with their paths, subtrees before what is in them."""
    for entry in read_tree(objects, tree).values():
        path = prefix + entry.name
        yield path, entry
        if entry.is_tree:
            yield from walk(objects, entry.id, path + "/")


def diff_trees(
    objects: Objects, old: str | None, new: str | None, prefix: str = ""
) -> Iterator[tuple[str, Entry | None, Entry | None]]:
    """The files in which two trees differ, as (path, old entry, new entry); equal subtrees are not read.

    Args:
        objects: Where the trees are.
        old: Tree id; None: an empty tree.
        new: Tree id; None: an empty tree.
        prefix: What to put before each path.
    """
    if old == new:
        return
    before, after = read_differing(objects, old, new)
    for name in sorted(before.keys() | after.keys()):
        a, b = before.get(name), after.get(name)
        path = prefix + name
        if (a and a.is_tree) or (b and b.is_tree):
            below = path + "/"
            yield from diff_trees(objects, a.id if a and a.is_tree else None, b.id if b and b.is_tree else None, below)
        a_file, b_file = (None if e is None or e.is_tree else e for e in (a, b))
        if a_file or b_file:
            yield path, a_file, b_file


def missing(id: str) -> MissingObject:
    """The error for an object that is not there."""
    return MissingObject(f"object {id} is not in this repository; a partial or damaged clone? Try 'git fsck'")
