"""What runs keep beside their records: into an archive, and back to its place, where nothing is written over."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gitlumo import Watcher
from gitlumo.backup import beside, contents, tar, untar
from gitlumo.backup.restoring import RESTORED
from gitlumo.errors import LumoError
from tests.backup.archives import founds, here, members, record


def write(path, **keywords):
    return tar.write(here(), founds(), str(path), **keywords)


def restore(path):
    return untar.restore(here(), str(path))


def outcomes(path):
    return [each.outcome for each in restore(path)]


def read_index(path):
    return contents.read_index(members(path)[0][1])


def test_what_is_left_out_is_said(repo, other, tmp_path, monkeypatch):
    exp = record("a")
    (tmp_path / "secret").write_text("secret")
    blob = Path(exp.blob_dir)
    (blob / "link").symlink_to(tmp_path / "secret")
    (blob / "folder").symlink_to(tmp_path)
    os.mkfifo(blob / "pipe")
    (blob / ".git").mkdir()
    (blob / ".git/config").write_text("[core]\n")
    (blob / ".gitattributes").write_text("*.bin filter=lfs\n")
    (blob / os.fsdecode(b"caf\xe9 \n")).write_text("odd")
    (blob / "tool.sh").write_text("true\n")
    (blob / "tool.sh").chmod(0o755)
    (blob / "empty").mkdir()
    monkeypatch.chdir(blob)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("socket")
        monkeypatch.chdir(repo)
        written = write(tmp_path / "a.tar", with_blob=True)
    said = {each.path.removeprefix("runs/digits/a/blob/"): each.reason for each in written.left_out}
    assert said == {
        "link": "a link",
        "folder": "a link",
        "pipe": "no regular file",
        "socket": "No such device or address",
        ".git": "git, or another system, would take its name for something else",
    }
    assert b"secret" not in (tmp_path / "a.tar").read_bytes()
    assert {each.path for each in read_index(tmp_path / "a.tar").left_out} == {each.path for each in written.left_out}
    other()
    assert outcomes(tmp_path / "a.tar") == [RESTORED]
    back = Path(Watcher().retrieve("a").blob_dir)
    assert sorted(os.fsencode(path.name) for path in back.iterdir()) == sorted(
        [b".gitattributes", b"caf\xe9 \n", b"models", b"tool.sh"]
    )
    assert os.access(back / "tool.sh", os.X_OK)
    assert not os.access(back / ".gitattributes", os.X_OK)


def test_unreadable_files(repo, tmp_path):
    if os.geteuid() == 0:
        pytest.skip("needs a normal user")
    exp = record("a")
    Path(exp.mk_bpath("closed")).write_text("x")
    Path(exp.mk_bpath("closed")).chmod(0)
    (written,) = write(tmp_path / "a.tar", with_blob=True).left_out
    assert (written.path, written.reason) == ("runs/digits/a/blob/closed", "Permission denied")


def test_a_blob_dir_that_is_a_link(repo, tmp_path):
    exp = record("a")
    shutil.move(exp.blob_dir, tmp_path / "big disk")
    os.symlink(tmp_path / "big disk", exp.blob_dir)
    (left,) = write(tmp_path / "a.tar", with_blob=True).left_out
    assert (left.path, left.reason) == ("runs/digits/a/blob", "a link")


@pytest.mark.parametrize("change", ["grows", "shrinks", "rewritten"])
def test_a_file_that_changes_while_it_is_read(repo, tmp_path, monkeypatch, change):
    exp = record("a")
    path = Path(exp.mk_bpath("models", "last.bin"))
    look = tar._content

    def changed(*args):
        path.write_bytes({"grows": b"x" * 30000, "shrinks": b"x", "rewritten": b"x" * 25600}[change])
        return look(*args)

    monkeypatch.setattr(tar, "_content", changed)
    with pytest.raises(LumoError, match=r"last\.bin changed while it was read"):
        write(tmp_path / "a.tar", with_blob=True)
    assert not (tmp_path / "a.tar").exists()


def test_it_takes_no_ones_place_when_it_comes_back(runs, tmp_path):
    write(tmp_path / "a.tar", with_blob=True)
    blob = Path(runs[0].blob_dir, "models/last.bin")
    blob.write_text("mine")
    Path(runs[1].blob_dir, "models/last.bin").unlink()
    done = restore(tmp_path / "a.tar")
    assert [each.kept for each in done] == [(str(blob),), (), ()]
    assert blob.read_text() == "mine"
    assert Path(runs[1].blob_dir, "models/last.bin").stat().st_size == 25600
    assert not list(Path(".git/lumo/blob").rglob(".lumo-*"))


def test_no_link_leads_out_when_it_comes_back(runs, tmp_path):
    write(tmp_path / "a.tar", with_blob=True)
    shutil.rmtree(Path(runs[0].blob_dir, "models"))
    (tmp_path / "outside").mkdir()
    Path(runs[0].blob_dir, "models").symlink_to(tmp_path / "outside")
    with pytest.raises(LumoError, match="is no folder, and the backup has one there"):
        restore(tmp_path / "a.tar")
    assert os.listdir(tmp_path / "outside") == []


KILLED = """
import os, signal, sys
from gitlumo.cli import main
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
main(["restore", sys.argv[1]])
"""


def test_what_a_killed_restore_left_is_swept_by_the_next_one(runs, tmp_path):
    write(tmp_path / "a.tar", with_blob=True)
    shutil.rmtree(".git/lumo/blob")
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "a.tar"], check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = Path(".git/lumo/blob").rglob(".lumo-*")
    restore(tmp_path / "a.tar")
    assert left.exists()  # it may be somebody's who has just begun
    os.utime(left, (0, 0))
    with beside._locked(str(left)):
        restore(tmp_path / "a.tar")
        assert left.exists()  # somebody is at it
    shutil.rmtree(".git/lumo/blob/digits/c")
    restore(tmp_path / "a.tar")
    assert not left.exists()
    assert all(Path(run.blob_dir, "models/last.bin").stat().st_size == 25600 for run in runs)
