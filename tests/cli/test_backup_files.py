"""``git lumo backup --to tar | bundle | DIR`` and ``git lumo restore``: what is typed, and what they answer."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile

import pytest

import gitlumo


@pytest.fixture
def trained(repo):
    gitlumo.Experiment("digits", "first").start().end()
    return repo


def piped(*words):
    done = subprocess.run(["git", "lumo", "backup", "--all", *words, "-o", "-"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(b"-: 1 run")
    return done.stdout


def test_a_tar_on_standard_output(trained):
    with tarfile.open(fileobj=io.BytesIO(piped("--to", "tar")), mode="r:gz") as archive:
        assert any(name.endswith("/info/uid.json") for name in archive.getnames())


def test_a_bundle_on_standard_output(trained, git, tmp_path):
    path = tmp_path / "runs.bundle"
    path.write_bytes(piped("--to", "bundle"))
    assert "refs/heads/lumo_experiments" in git("bundle", "list-heads", path)


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["backup", "--all", "--to", "zip"], 129, "to make a repository of that name:  --to ./zip"),
        (["backup", "--all", "--to", "tar", "-o", "-", "--json"], 129, "take one of them"),
        (["backup", "--check", "--to", "tar", "-o", "-"], 129, "name it with -o FILE"),
        (
            ["backup", "--all", "--to", "bundle", "--since", "no", "-o", "a.bundle"],
            128,
            "no: No such file or directory; --since names a bundle of before",
        ),
        (["restore", "no.tar"], 128, "there is no file or folder no.tar\nSRC can be"),
        (["restore", "no.tar", "--only", "w"], 128, "there is no file or folder no.tar\nSRC can be"),
        (["clone", "nosuch"], 128, "nosuch: there is no repository at its address"),
    ],
)
def test_what_it_says_is_so(here_lumo, trained, words, status, says):
    before = sorted(os.listdir())
    done = here_lumo(*words)
    assert (done.status, done.out) == (status, "")
    assert says in done.err
    assert "git remote get-url nosuch" not in done.err
    assert sorted(os.listdir()) == before
