"""A run on disk: lines that survive, chunks, a disk that refuses, what a ledger takes of a folder."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gitlumo.git.objects import object_id
from gitlumo.store import journal, layout, record
from gitlumo.store.journal import Folder, Journal

MAX_FILE = 1000


def text_line(n: int, size: int = 0) -> bytes:
    return layout.format_line(n, n, {"loss" + "x" * size: n})


class Disk:
    """Stands between a journal and ``os.write``: ``left`` bytes still fit; None: any number."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, journal: Journal):
        self.left: int | None = None
        self._journal, self._write = journal, os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, fd: int, data: bytes) -> int:
        if fd != self._journal._fd or self.left is None:
            return self._write(fd, data)
        if not self.left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(fd, data[: self.left])
        self.left -= written
        return written


@pytest.fixture
def troubles():
    return []


@pytest.fixture
def writer(tmp_path, troubles):
    made = Journal(str(tmp_path), troubles.append)
    yield made
    made.close()


@pytest.fixture
def disk(monkeypatch, writer):
    return Disk(monkeypatch, writer)


def chunks(path: Path) -> dict[str, bytes]:
    return {found.name: found.read_bytes() for found in sorted((path / "history").iterdir())}


def steps(path: Path) -> list[int | None]:
    """The steps of a folder's history; None for a torn line."""
    folder = Folder(str(path), MAX_FILE * 1000)
    return [line and line.step for line in record.history_lines(folder.read, folder.paths())]


# Lines


def test_a_line_is_on_the_disk_when_the_call_returns(tmp_path, writer, troubles):
    for n in range(3):
        writer.append(text_line(n))
        assert chunks(tmp_path)["00000.jsonl"].endswith(text_line(n))
    assert (steps(tmp_path), troubles, writer.pending) == ([0, 1, 2], [], 0)


def test_a_line_is_one_write(monkeypatch, tmp_path, writer):
    written = []
    monkeypatch.setattr(os, "write", lambda fd, data: written.append(data) or len(data))
    writer.append(text_line(0))
    writer.append(text_line(1))
    assert written == [text_line(0), text_line(1)]


def test_killed_after_the_call_nothing_is_lost(tmp_path):
    script = (
        "import os, signal, sys\nfrom gitlumo.store.journal import Journal\nj = Journal(sys.argv[1], print)\n"
        'for n in range(100): j.append(b\'{"step":%d,"time":0}\\n\' % n)\nos.kill(os.getpid(), signal.SIGKILL)'
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], cwd=Path(__file__).parents[2], check=False)
    assert (done.returncode, steps(tmp_path)) == (-signal.SIGKILL, list(range(100)))


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_reopened_without_a_last_newline(tmp_path, troubles, cut):
    (tmp_path / "history").mkdir()
    (tmp_path / "history/00000.jsonl").write_bytes(text_line(0) + text_line(1)[:-1][:-cut])
    again = Journal(str(tmp_path), troubles.append)
    again.append(text_line(2))
    again.close()
    assert steps(tmp_path) == [0, None, 2]


def test_reopened_with_a_whole_last_line_but_for_its_newline(tmp_path, troubles):
    (tmp_path / "history").mkdir()
    (tmp_path / "history/00000.jsonl").write_bytes(text_line(0)[:-1])
    again = Journal(str(tmp_path), troubles.append)
    again.append(text_line(1))
    again.close()
    assert steps(tmp_path) == [0, 1]


@pytest.mark.parametrize("left", [1, 7, len(text_line(1)) - 2])
def test_a_short_write_never_eats_the_next_line(tmp_path, writer, disk, troubles, left):
    writer.append(text_line(0))
    disk.left = left
    writer.append(text_line(1))
    assert ([error.errno for error in troubles], writer.pending) == ([errno.ENOSPC], 1)
    disk.left = None
    writer.append(text_line(2))
    assert (steps(tmp_path), writer.pending) == ([0, None, 1, 2], 0)
    assert chunks(tmp_path)["00000.jsonl"].splitlines()[1] == text_line(1)[:left]


@pytest.mark.parametrize("more", [0, 1])
def test_a_write_short_of_only_the_newline_is_not_repeated(tmp_path, writer, disk, more):
    for n in range(5):
        disk.left = len(text_line(n)) - 1 + (more if n else 0)
        writer.append(text_line(n))
    disk.left = None
    writer.append(text_line(5))
    assert [step for step in steps(tmp_path) if step is not None] == list(range(6))


def test_short_writes_again_and_again(tmp_path, writer, disk):
    for n in range(50):
        disk.left = n
        writer.append(text_line(n, 60))
    disk.left = None
    assert writer.flush()
    assert [step for step in steps(tmp_path) if step is not None] == list(range(50))


def test_a_full_disk_keeps_the_order(tmp_path, writer, disk, troubles):
    writer.append(text_line(0))
    disk.left = 0
    for n in (1, 2, 3):
        writer.append(text_line(n))
    assert (writer.pending, writer.flush(), steps(tmp_path)) == (3, False, [0])
    assert len(troubles) == 1
    disk.left = len(text_line(1))
    assert not writer.flush()
    assert (steps(tmp_path), writer.pending) == ([0, 1], 2)
    disk.left = None
    writer.append(text_line(4))
    assert (steps(tmp_path), writer.pending, writer.dropped) == ([0, 1, 2, 3, 4], 0, 0)


def test_memory_is_bounded_and_what_falls_out_is_counted(monkeypatch, tmp_path, writer, disk):
    monkeypatch.setattr(journal, "MAX_PENDING", 10 * len(text_line(10)))
    writer.append(text_line(10))
    disk.left = 0
    for n in range(11, 99):
        writer.append(text_line(n))
    assert (writer.pending, writer.dropped) == (10, 78)
    disk.left = None
    assert writer.flush()
    assert steps(tmp_path) == [10, *range(89, 99)]


def test_a_folder_that_cannot_be_made(tmp_path, writer, troubles):
    (tmp_path / "history").write_bytes(b"in the way")
    writer.append(text_line(0))
    assert (len(troubles), writer.pending) == (1, 1)
    (tmp_path / "history").unlink()
    writer.append(text_line(1))
    assert (steps(tmp_path), writer.pending) == ([0, 1], 0)


def test_a_chunk_that_has_a_successor_never_changes_again(monkeypatch, tmp_path, writer):
    monkeypatch.setattr(layout, "HISTORY_CHUNK", 100)
    seen: dict[str, bytes] = {}
    for n in range(30):
        writer.append(text_line(n))
        now = chunks(tmp_path)
        assert all(now[name] == data for name, data in list(seen.items())[:-1])
        assert all(len(data) < 100 + len(text_line(n)) for data in now.values())
        seen = now
    assert list(seen) == [f"{n:05d}.jsonl" for n in range(len(seen))]
    assert len(seen) > 5
    assert all(len(data) >= 100 for data in list(seen.values())[:-1])
    assert steps(tmp_path) == list(range(30))


def test_a_disk_that_fills_up_where_a_chunk_ends(monkeypatch, tmp_path, writer, disk):
    monkeypatch.setattr(layout, "HISTORY_CHUNK", len(text_line(0)) * 2)
    for n in range(9):
        disk.left = None if n % 2 else 3
        writer.append(text_line(n))
    disk.left = None
    assert writer.flush()
    assert [step for step in steps(tmp_path) if step is not None] == list(range(9))


# Files as a whole


def test_write_whole_leaves_the_old_or_the_new(tmp_path):
    path = tmp_path / "a/b/params.json"
    contents = {bytes([65 + n]) * 100_000 for n in range(8)}
    journal.write_whole(str(path), b"A" * 100_000)
    threads = [threading.Thread(target=journal.write_whole, args=(str(path), data)) for data in contents]
    for thread in threads:
        thread.start()
        assert path.read_bytes() in contents
    for thread in threads:
        thread.join()
    assert os.listdir(path.parent) == ["params.json"]


@pytest.mark.parametrize("broken", ["replace", "open"])
def test_a_failed_write_leaves_the_old(monkeypatch, tmp_path, broken):
    path = tmp_path / "params.json"
    journal.write_whole(str(path), b"old")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if broken == "replace":
            patch.setattr(os, "replace", refuse)
        else:
            patch.setattr("builtins.open", refuse)
        with pytest.raises(OSError, match="No space"):
            journal.write_whole(str(path), b"new")
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"old", ["params.json"])


def test_properties_wait_for_the_disk_and_the_last_one_wins(monkeypatch, tmp_path, writer, troubles):
    def refuse(path: str, data: bytes) -> None:
        raise OSError(errno.EROFS, "read-only", path)

    with monkeypatch.context() as patch:
        patch.setattr(journal, "write_whole", refuse)
        for path, data in (("info/a.json", b"1"), ("info/b.json", b"2"), ("info/a.json", b"3")):
            writer.save(path, data)
        assert (writer.pending, writer.flush()) == (2, False)
    assert troubles
    assert writer.flush()
    assert {path.name: path.read_bytes() for path in (tmp_path / "info").iterdir()} == {"a.json": b"3", "b.json": b"2"}


# What a ledger takes of a folder


def test_what_a_folder_gives(tmp_path):
    take = ["info/params.json", "plots/deep/er/a.png", "note.md", "zähler.txt", "empty", "info/edits/x", "text/a.txt"]
    leave = ["info/.lumo-17-ab", "edits/x.json", "purged.json", ".gitmodules", "a/.GIT/x", "git~1", "large"]
    for name in take + leave:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(
            b"x" * (MAX_FILE + 1 if name == "large" else MAX_FILE if name == "note.md" else 1)
        )
    (tmp_path / "link").symlink_to("note.md")
    (tmp_path / "linked").symlink_to("plots")
    (tmp_path / "broken").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "no files").mkdir()
    folder = Folder(str(tmp_path), MAX_FILE)
    for _ in range(2):
        assert folder.paths() == sorted(take)
        assert {skip["path"]: skip["reason"] for skip in folder.skipped} == {
            **dict.fromkeys(("edits", "purged.json", ".gitmodules", "a/.GIT", "git~1"), "a reserved name"),
            **dict.fromkeys(("link", "linked", "broken"), "a symbolic link"),
            "large": "larger than lumo.snapshotMaxFile",
            "pipe": "not a file",
        }
    assert [skip["size"] for skip in folder.skipped if "size" in skip] == [MAX_FILE + 1]
    blobs = folder.blobs("sha1")
    assert {blob.path for blob in blobs} == set(take)


def test_a_name_that_is_no_utf_8(tmp_path):
    name = os.fsdecode(b"\xff\xfe.txt")
    (tmp_path / name).write_bytes(b"x" * (MAX_FILE + 1))
    (tmp_path / os.fsdecode(b"\xff")).write_bytes(b"x")
    folder = Folder(str(tmp_path), MAX_FILE)
    assert folder.paths() == [os.fsdecode(b"\xff")]
    json.dumps(folder.skipped, ensure_ascii=False).encode()


def test_only_whole_lines_of_history(tmp_path):
    (tmp_path / "history").mkdir()
    (tmp_path / "history/00000.jsonl").write_bytes(text_line(0))
    (tmp_path / "history/00001.jsonl").write_bytes(text_line(1) + b'{"st')
    (tmp_path / "history/readme").write_bytes(b"no newline")
    (tmp_path / "note.md").write_bytes(b"no newline")
    blobs = {blob.path: blob for blob in Folder(str(tmp_path), MAX_FILE).blobs("sha1")}
    taken = {path: blob.data for path, blob in blobs.items()}
    assert taken == {
        "history/00000.jsonl": text_line(0),
        "history/00001.jsonl": text_line(1),
        "history/readme": b"no newline",
        "note.md": b"no newline",
    }


def test_blobs_are_named_by_what_is_read(tmp_path):
    (tmp_path / "history").mkdir()
    for path in ("large", "history/00000.jsonl", "history/00001.jsonl"):
        (tmp_path / path).write_bytes(text_line(0) * 5000)
    folder = Folder(str(tmp_path), 10 * MAX_FILE * MAX_FILE)
    for _ in range(2):
        for blob in folder.blobs("sha1"):
            data = blob.data if isinstance(blob.data, bytes) else blob.data()
            assert blob.id == object_id("sha1", "blob", data)
        with (tmp_path / "history/00001.jsonl").open("ab") as out:
            out.write(text_line(1))


def test_what_is_not_there_reads_as_none(tmp_path):
    folder = Folder(str(tmp_path), MAX_FILE)
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "info").mkdir()
    assert [folder.read(path) for path in ("info/uid.json", "a/b", "info", "a")] == [None, None, None, b""]


def test_a_long_chunk_that_grows_is_written_as_it_was_named(tmp_path):
    """Another process may record the same run meanwhile."""
    (tmp_path / "history").mkdir()
    chunk = tmp_path / "history/00000.jsonl"
    chunk.write_bytes(text_line(0) * 5000)
    (blob,) = Folder(str(tmp_path), MAX_FILE).blobs("sha1")
    with chunk.open("ab") as out:
        out.write(text_line(1))
    assert callable(blob.data)
    assert object_id("sha1", "blob", blob.data()) == blob.id
