"""``git lumo rm``: marking as deprecated, and freeing the disk without touching anything else."""

from __future__ import annotations

import os
import re
import shutil

import pytest

import gitlumo


@pytest.fixture
def two(repo):
    for name in ("first", "second"):
        with gitlumo.Experiment("digits", name) as exp, open(exp.mk_bpath("deep", "model.pt"), "wb") as out:
            out.write(os.urandom(300_000))
    return repo


def blobs(two, name):
    return two / ".git/lumo/blob/digits" / name


def test_deprecated_runs_are_hidden_until_undone(here_lumo, two):
    done = here_lumo("rm", "first", "second")
    assert done.status == 0
    assert done.out.count("git lumo undo digits/") == 2
    assert "digits/" not in here_lumo("log", "--oneline").out
    assert here_lumo("log", "--oneline", "--all").out.count("digits/") == 2
    assert "already" in here_lumo("rm", "first").out
    assert here_lumo("undo", "first").status == 0
    assert here_lumo("log", "--oneline").out.startswith("digits/first")
    assert blobs(two, "first").exists()


def test_all_names_are_known_before_anything_is_done(here_lumo, two, git):
    before = git("rev-parse", "lumo_experiments")
    assert here_lumo("rm", "first", "nosuch").status == 128
    assert git("rev-parse", "lumo_experiments") == before


def test_local_blobs(here_lumo, two, git):
    before = git("rev-parse", "lumo_experiments")
    done = here_lumo("rm", "--local-blobs", "first")
    assert (done.status, done.err) == (0, "")
    assert re.search(r"freed (29|3\d)\d\.\d KiB ", done.out)  # in blocks of the file system
    assert not blobs(two, "first").exists()
    assert (blobs(two, "second") / "deep/model.pt").stat().st_size == 300_000
    assert git("rev-parse", "lumo_experiments") == before
    assert "nothing on this disk" in here_lumo("rm", "--local-blobs", "first").out


def test_links_are_not_followed(here_lumo, two, tmp_path):
    """What a link in the folder leads to stays; and a file that has another name, too, is not freed."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "train.bin").write_bytes(os.urandom(5_000_000))
    (blobs(two, "first") / "data").symlink_to(data)
    (blobs(two, "first") / "link.bin").symlink_to(data / "train.bin")
    os.link(data / "train.bin", blobs(two, "first") / "hard.bin")
    done = here_lumo("rm", "--local-blobs", "first")
    assert "KiB" in done.out  # not 5 MB
    assert not blobs(two, "first").exists()
    assert (data / "train.bin").stat().st_size == 5_000_000


@pytest.mark.parametrize("which", ["run", "experiment"])
def test_a_folder_that_is_elsewhere_is_left_alone(here_lumo, two, tmp_path, which):
    place = blobs(two, "first") if which == "run" else blobs(two, "first").parent
    shutil.move(place, tmp_path / "moved")
    place.symlink_to(tmp_path / "moved")
    done = here_lumo("rm", "--local-blobs", "first")
    assert done.status == 128
    assert "nothing was deleted" in done.err
    assert list((tmp_path / "moved").rglob("model.pt"))


def test_a_root_that_is_a_link_is_fine(here_lumo, two, tmp_path):
    shutil.move(two / ".git/lumo/blob", tmp_path / "large")
    (two / ".git/lumo/blob").symlink_to(tmp_path / "large")
    assert "freed" in here_lumo("rm", "--local-blobs", "first").out
    assert not (tmp_path / "large/digits/first").exists()
    assert (tmp_path / "large/digits/second").exists()


def test_a_running_run_keeps_its_checkpoints(here_lumo, two):
    exp = gitlumo.Experiment("digits", "live").start()
    weights = exp.mk_bpath("w.pt")
    open(weights, "w").close()
    done = here_lumo("rm", "--local-blobs", "live")
    assert done.status == 128
    assert "is running" in done.err
    assert os.path.exists(weights)
    exp.end()


def test_a_namesake_from_another_clone(here_lumo, two, git, tmp_path):
    """The other repository's run of that name has no folder here; ours is not touched for it."""
    other = tmp_path / "other"
    git("clone", "--quiet", "--branch", "main", two, other)
    git("update-ref", "-d", "refs/remotes/origin/lumo_experiments", cwd=other)
    exp = gitlumo.Experiment("digits", "first", repo=other).start()
    exp.end()
    git("fetch", "--quiet", other, "lumo_experiments:refs/remotes/other/lumo_experiments")
    assert "nothing on this disk" in here_lumo("rm", "--local-blobs", exp.uid).out
    assert blobs(two, "first").exists()


def test_a_folder_of_another_repository(here_lumo, two, git, tmp_path, monkeypatch, sealed):
    """A clone knows the run, and has the same roots; but the run's folders are the other one's."""
    settings = tmp_path / "gitconfig"
    settings.write_text(
        f"{(sealed / '.gitconfig').read_text()}[lumo]\n\tinfoRoot = {tmp_path}/info\n\tblobRoot = {tmp_path}/blob\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    with gitlumo.Experiment("digits", "shared") as exp:
        weights = exp.mk_bpath("w.pt")
        open(weights, "w").close()
    git("clone", "--quiet", two, tmp_path / "clone")
    monkeypatch.chdir(tmp_path / "clone")
    assert "nothing on this disk" in here_lumo("rm", "--local-blobs", "shared").out
    assert os.path.exists(weights)
    monkeypatch.chdir(two)
    assert "freed" in here_lumo("rm", "--local-blobs", "shared").out
    assert not os.path.exists(weights)
