"""A file system, or a git, that does not answer: a start waits for it no longer than it may."""

from __future__ import annotations

import os
import threading
import time

import pytest

import gitlumo
from gitlumo.errors import LumoError, LumoWarning
from gitlumo.git import process, untracked
from gitlumo.git.snapshot import Limits
from tests.git.snapshots import alive_in, reasons, take

HANG = 600  # seconds; whoever waits for it fails in CI's time
# What git is asked in a start, and what becomes of the run when it does not answer.
AT_ONCE = {"rev-parse": "git rev-parse took longer", "config": "git config took longer"}
LATER = {"ls-files": "yes", "add": "yes", "write-tree": "yes", "pack-objects": "yes", "cat-file": "no"}


@pytest.fixture
def hang(fake_git):
    """``hang(verb)``: git never answers when it is asked for this; nobody can kill it but by its process group."""

    def install(verb: str) -> None:
        fake_git(f'for word; do case "$word" in {verb}) sleep {HANG}; exit 1;; esac; done')

    return install


@pytest.mark.parametrize("verb", AT_ONCE)
def test_where_nothing_is_known_yet_it_is_an_error(repo, hang, monkeypatch, verb):
    monkeypatch.setattr(process, "PATIENCE", 0.2)
    hang(verb)
    with pytest.raises(LumoError, match=rf"{AT_ONCE[verb]} than 0\.2 s; does the file system answer"):
        gitlumo.start("digits")
    assert not (repo / ".git/lumo/open").exists() or not os.listdir(repo / ".git/lumo/open")


@pytest.mark.parametrize("verb", LATER)
def test_the_run_begins_without_the_code_of_its_tree(repo, git, hang, verb):
    head = git("rev-parse", "HEAD")
    git("config", "lumo.snapshotTimeout", "0.4s")
    (repo / "train.py").write_text("changed\n")
    hang(verb)
    began = time.monotonic()
    if LATER[verb] == "no":
        with pytest.warns(LumoWarning, match="GitCommit: .*did not answer in time"):
            exp = gitlumo.SimpleExperiment("digits").start()
    else:
        exp = gitlumo.SimpleExperiment("digits").start()
    assert time.monotonic() - began < HANG / 10
    facts = exp.load_info("git")
    exp.end()
    if LATER[verb] == "yes":
        assert facts["commit"] == head
        assert {skip["reason"] for skip in facts["skipped"]} == {untracked.SLOW}
    assert alive_in(repo) == []


def test_a_call_into_the_file_system_that_does_not_return(repo, git, monkeypatch):
    """Nothing can end one; the thread in which it hangs is left to it."""
    (repo / "new.py").write_text("x\n")
    (repo / "train.py").write_text("changed\n")
    released, real = threading.Event(), os.lstat

    def lstat(path, *more, **most):
        if os.fsencode(path).endswith(b"new.py"):
            released.wait(HANG)
        return real(path, *more, **most)

    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", lstat)
        taken = take(repo, Limits(timeout=0.3))
        assert not released.is_set()
        released.set()
    assert (taken.commit, taken.dirty) == (git("rev-parse", "HEAD"), True)
    assert reasons(taken) == {"./": untracked.SLOW}
    for thread in threading.enumerate():
        if thread.name == "gitlumo snapshot":
            thread.join(10)
    assert alive_in(repo) == []
