"""One pack an event: whole, kept, in the right order, and gone without a trace where it failed."""

import builtins
import contextlib
import errno
import io
import os
import shutil
import stat
from pathlib import Path

import pytest

from gitlumo.git import objects, pack, process
from gitlumo.git.objects import FILE_MODE, Commit, Entry, Staging
from gitlumo.git.repository import open_repository

WHO = "Ada <ada@example.org> 1679616000 +0000"


@pytest.fixture
def place(repo):
    folder = repo / ".git"
    return pack.PackPlace(str(folder / "objects/pack"), str(folder / "lumo/tmp"), str(folder / "gc.pid"), "sha1")


@pytest.fixture
def staging(repo, git):
    """A commit on top of HEAD, and the objects that it needs; ``staging.tip`` is its id."""
    repository = open_repository(repo)
    staging = Staging(repository.objects)
    tree = staging.add_tree([Entry("x", FILE_MODE, staging.add_blob(b"content"))])
    staging.tip = staging.add_commit(Commit(tree, (git("rev-parse", "HEAD", cwd=repo),), WHO, WHO, "new\n"))
    yield staging
    repository.close()


def files(place):
    """Everything below the pack folder and the folder for unfinished files."""
    return {path.name for folder in (place.pack_dir, place.tmp_dir) for path in Path(folder).glob("*")}


def contents(repo, base):
    """Object id to what git shows of it, in a pack."""
    shown = process.run(["show-index"], cwd=str(repo), stdin=Path(base + ".idx").read_bytes()).out.decode()
    ids = [line.split()[1] for line in shown.splitlines()]
    process.run(["verify-pack", base + ".idx"], cwd=str(repo))
    return ids


def test_a_pack(repo, git, place, staging, fsck):
    base = pack.write_pack(place, staging.new, b"note\0\xff", fsync=False)
    name = os.path.basename(base)
    assert files(place) == {name + ending for ending in (".pack", ".idx", ".keep")}
    assert os.path.dirname(base) == place.pack_dir
    assert {stat.S_IMODE(os.stat(base + ending).st_mode) for ending in (".pack", ".idx")} == {0o444}
    assert sorted(contents(repo, base)) == sorted(staging.new)
    assert list(pack.kept_packs(place)) == [(base, b"note\0\xff")]
    assert pack.is_whole(base)
    assert pack.count_packs(place) == 1
    assert pack.unindexed_packs(place) == []
    git("update-ref", "refs/heads/new", staging.tip, cwd=repo)
    assert git("show", "new:x", cwd=repo) == "content"
    fsck(repo)


def test_equal_packs_have_names_of_their_own(repo, git, place, staging, fsck):
    bases = {pack.write_pack(place, staging.new, b"", fsync=False) for _ in range(5)}
    assert len(bases) == pack.count_packs(place) == 5
    first, *others = sorted(bases)
    for base in others:  # each loser deletes its own, and the first stays
        pack.remove_pack(base)
    git("update-ref", "refs/heads/new", staging.tip, cwd=repo)
    assert sorted(contents(repo, first)) == sorted(staging.new)
    fsck(repo)


def test_all_folders_are_made(tmp_path, place):
    far = pack.PackPlace(str(tmp_path / "o/pack"), str(tmp_path / "l/tmp"), place.gc_pid, "sha1")
    id = objects.object_id("sha1", "blob", b"1")
    assert pack.is_whole(pack.write_pack(far, {id: ("blob", b"1")}, b"", fsync=False))
    assert pack.count_packs(pack.PackPlace("/nowhere", "/nowhere", "", "sha1")) == 0


@pytest.fixture
def other_pack(repo, git, tmp_path):
    """A pack with deltas that `git pack-objects --revs` made of HEAD~1..HEAD; its path without ending, and its ids."""
    text = "".join(f"line {i}\n" for i in range(3000))
    for i in range(4):
        (repo / "long.txt").write_text(text + str(i))
        git("add", "--all", cwd=repo)
        git("commit", "--quiet", "--message", str(i), cwd=repo)
    name = git(
        "pack-objects", "--revs", "-q", "--delta-base-offset", tmp_path / "other", cwd=repo, input="HEAD\n^HEAD~4\n"
    )
    base = str(tmp_path / f"other-{name}")
    assert "chain length = 1" in git("verify-pack", "--verbose", base + ".idx", cwd=repo)
    return base, contents(repo, base)


def test_with_a_pack_that_git_made(repo, git, place, staging, other_pack, fsck):
    other, ids = other_pack
    both = ids[0]  # in the other pack, and new once more
    kind = git("cat-file", "-t", both, cwd=repo)
    new = {**staging.new, both: (kind, process.run(["cat-file", kind, both], cwd=str(repo)).out)}
    base = pack.write_pack(place, new, b"", with_pack=other, fsync=False)
    assert sorted(contents(repo, base)) == sorted({*staging.new, *ids})
    assert os.path.getsize(base + ".pack") < os.path.getsize(other + ".pack") + 1000  # the deltas stayed deltas
    git("update-ref", "refs/heads/new", staging.tip, cwd=repo)
    git("repack", "-a", "-d", "-q", cwd=repo)  # nothing but our pack and one of the rest
    git("prune-packed", cwd=repo)
    fsck(repo)


def test_alone_with_a_pack_that_git_made(repo, place, other_pack):
    other, ids = other_pack
    base = pack.write_pack(place, {}, b"", with_pack=other, fsync=False)
    assert contents(repo, base)
    assert Path(base + ".pack").read_bytes() == Path(other + ".pack").read_bytes()
    assert sorted(contents(repo, base)) == sorted(ids)


def test_a_pack_that_ends_early(place, staging, other_pack):
    other, _ = other_pack
    os.chmod(other + ".pack", 0o644)
    before = files(place)

    class Short(io.FileIO):
        def readinto(self, buffer):
            return 0

    def open_short(path, mode="r", **more):
        return io.BufferedReader(Short(path)) if str(path) == other + ".pack" else builtins.open(path, mode, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack, "open", open_short, raising=False)
        with pytest.raises(OSError, match="ended early"):
            pack.write_pack(place, staging.new, b"", with_pack=other, fsync=False)
    assert files(place) == before


# --- what happens when ---


@pytest.fixture
def steps(monkeypatch, place):
    """The steps that write_pack takes, and what stood in the pack folder before each."""
    taken = []

    def watch(name, real):
        def step(*args, **kwargs):
            there = (
                sorted(os.path.splitext(path)[1] for path in os.listdir(place.pack_dir))
                if os.path.isdir(place.pack_dir)
                else []
            )
            taken.append((name, args, there))
            return real(*args, **kwargs)

        return step

    monkeypatch.setattr(os, "replace", watch("replace", os.replace))
    monkeypatch.setattr(os, "fsync", watch("fsync", os.fsync))
    monkeypatch.setattr(pack.time, "sleep", watch("sleep", lambda seconds: None))
    return taken


@pytest.mark.parametrize("gc", [False, True])
def test_the_order_of_the_files(place, staging, steps, gc):
    if gc:
        Path(place.gc_pid).touch()
    pack.write_pack(place, staging.new, b"", fsync=False)
    expected = [("replace", [".keep"]), ("replace", [".keep", ".pack"])]
    if gc:
        expected.insert(1, ("sleep", [".keep", ".pack"]))
    assert [(name, there) for name, _, there in steps] == expected


def test_a_keep_that_gc_took_is_there_again(place, staging, monkeypatch):
    Path(place.gc_pid).touch()

    def take(seconds):
        (keep,) = Path(place.pack_dir).glob("*.keep")
        keep.unlink()

    monkeypatch.setattr(pack.time, "sleep", take)
    base = pack.write_pack(place, staging.new, b"note", fsync=False)
    assert pack.is_whole(base)
    assert list(pack.kept_packs(place)) == [(base, b"note")]


def test_what_is_synced(place, staging, steps, monkeypatch):
    kinds = []
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (kinds.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file"), real(fd))
    )
    pack.write_pack(place, staging.new, b"", fsync=False)
    assert kinds == []
    pack.write_pack(place, staging.new, b"", fsync=True)
    assert kinds == ["file", "file", "folder"]
    assert [name for name, _, _ in steps][2:] == ["fsync", "fsync", "replace", "replace", "fsync"]  # synced, then seen


# --- failures ---


class Full:
    """A disk that is full at the n-th step; ``for_good``: and from then on. Steps that only remove always work."""

    def __init__(self, patch, n, for_good, exdev):
        self.left, self.for_good = n, for_good
        self.failed = False
        self.rename = os.replace
        for owner, name in ((os, "fsync"), (os, "makedirs"), (shutil, "copy2")):
            patch.setattr(owner, name, self.stepping(getattr(owner, name)))
        patch.setattr(os, "replace", self.stepping(self.cross if exdev else os.replace))
        patch.setattr(pack, "open", self.open, raising=False)

    def step(self):
        self.left -= 1
        if self.left == 0 or (self.left < 0 and self.for_good):
            self.failed = True
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def stepping(self, real):
        def call(*args, **kwargs):
            self.step()
            return real(*args, **kwargs)

        return call

    def cross(self, source, target):
        if os.path.dirname(source) != os.path.dirname(target):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        self.rename(source, target)

    def open(self, path, mode="r", opener=None):
        if mode not in ("xb", "wb"):
            return builtins.open(path, mode)
        self.step()
        full = self

        class Disk(io.FileIO):
            def write(self, data):
                full.step()
                return super().write(data)

        return io.BufferedWriter(Disk(path, mode, opener=opener))


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("exdev", [False, True], ids=["one disk", "two disks"])
def test_nothing_is_left_of_a_failure(place, staging, exdev, for_good):
    """The disk is full at the first step, then at the second, ... until there is no further step."""
    for n in range(1, 100):
        with pytest.MonkeyPatch.context() as patch:
            disk = Full(patch, n, for_good, exdev)
            base = None
            with contextlib.suppress(OSError):
                base = pack.write_pack(place, staging.new, b"note", fsync=True)
        assert disk.failed is (base is None), f"step {n} failed and nobody said so"
        if base:
            break
        assert files(place) == set(), f"left behind by step {n}"
    assert n > 12
    assert pack.is_whole(base)
    assert len(files(place)) == 3


def test_nothing_is_left_of_an_interrupt(place, staging, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pack.write_pack(place, staging.new, b"", fsync=False)
    assert files(place) == set()


# --- upkeep ---


def test_a_pack_without_an_index_is_healed(repo, git, place, staging, fsck):
    base = pack.write_pack(place, staging.new, b"", fsync=False)
    index = Path(base + ".idx").read_bytes()
    os.unlink(base + ".idx")
    assert pack.unindexed_packs(place) == [base]
    assert not pack.is_whole(base)
    pack.index_again(place, base)
    assert pack.unindexed_packs(place) == []
    assert pack.is_whole(base)
    assert Path(base + ".idx").read_bytes() == index
    git("update-ref", "refs/heads/new", staging.tip, cwd=repo)
    fsck(repo)
    git("update-ref", "-d", "refs/heads/new", cwd=repo)
    pack.remove_pack(base)
    assert files(place) == set()  # nor what git made beside it


def test_index_again_of_what_is_no_pack(place):
    base = os.path.join(place.pack_dir, "pack-bad")
    Path(base + ".pack").write_bytes(b"garbage")
    pack.index_again(place, base)
    assert pack.unindexed_packs(place) == [base]


def test_removing_twice_does_no_harm(place, staging):
    base = pack.write_pack(place, staging.new, b"", fsync=False)
    pack.remove_pack(base)
    pack.remove_pack(base)
    assert files(place) == set()
    assert list(pack.kept_packs(place)) == []


def test_gc_keeps_what_is_kept(repo, git, place, staging):
    base = pack.write_pack(place, staging.new, b"", fsync=False)
    git("gc", "--prune=now", "--quiet", cwd=repo)
    assert pack.is_whole(base)
    assert all(git("cat-file", "-t", id, cwd=repo) for id in staging.new)  # though no ref reaches them
    pack.unkeep(base)
    assert list(pack.kept_packs(place)) == []
    assert not pack.is_whole(base)
    git("gc", "--prune=now", "--quiet", cwd=repo)
    assert git("cat-file", "-t", staging.tip, cwd=repo, check=False) == ""
