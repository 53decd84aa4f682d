"""Putting runs back: whole, marked, and never in the place of a run that is there."""

from __future__ import annotations

import dataclasses
import json

import pytest

from gitlumo import SimpleExperiment, Watcher, editing, values
from gitlumo.backup import parcel, restoring
from gitlumo.backup.restoring import PURGED, RESTORED, THERE, Backup
from gitlumo.cli import main, restore
from gitlumo.cli.opening import open_here
from gitlumo.errors import FormatError, LumoError
from gitlumo.store.record import to_json


@pytest.fixture
def run(repo):
    """A finished run with a note, an edit, texts and a file of the user's."""
    with SimpleExperiment("digits", params={"lr": 0.1, "seed": 1}) as exp:
        for step in range(20):
            exp.log({"loss": 1 / (step + 1)})
        exp.dump_metric("acc", 0.93)
        exp.dump_note("warm start")
        exp.dump_string("report", "fine\n")
        with open(exp.mk_ipath("plots", "a b.txt"), "w") as out:
            out.write("a plot")
    Watcher().retrieve("@").dump_tags("best")
    return exp


def found(name="@"):
    opened = open_here()
    return opened.runs().resolve(name)


def packed(name="@"):
    return parcel.of(found(name).record)


def as_json(name="@"):
    record = found(name).record
    return json.loads(to_json(record.properties, record.history()))


def test_a_run_comes_back_as_it_was_in_a_repository_that_never_saw_it(git, run, tmp_path, monkeypatch):
    original, taken = as_json(), packed()
    git("init", "-q", tmp_path / "other")
    monkeypatch.chdir(tmp_path / "other")
    (outcome,) = restoring.restore(open_here(), [Backup(taken, "here")])
    assert (outcome.outcome, outcome.missing_code) == (RESTORED, taken.code)
    assert as_json() == original
    assert found().record.progress["restored"] is True
    tip = git("rev-parse", "lumo_experiments")
    (again,) = restoring.restore(open_here(), [Backup(taken, "here")])
    assert again.outcome == THERE
    assert git("rev-parse", "lumo_experiments") == tip
    git("fsck", "--strict")


def test_it_never_takes_the_place_of_the_run_itself(git, run):
    taken = packed()
    tip = git("rev-parse", "lumo_experiments^{tree}")
    changed = dict(taken.files) | {"note.md": b"another note"}
    (outcome,) = restoring.restore(open_here(), [Backup(dataclasses.replace(taken, files=changed), "here")])
    assert outcome.outcome == THERE
    assert git("rev-parse", "lumo_experiments^{tree}") == tip


def test_where_both_meet_the_run_itself_wins_and_edits_unite(git, run, tmp_path, monkeypatch, repo):
    taken = packed()
    git("init", "-q", tmp_path / "other")
    monkeypatch.chdir(tmp_path / "other")
    restoring.restore(open_here(), [Backup(taken, "here")])
    opened = open_here()
    editing.edit_run(opened.ledger, found().record, editing.NOTE, "from afar")
    git("fetch", "-q", repo, "lumo_experiments:refs/remotes/origin/lumo_experiments")
    record = found().record
    assert (record.note, record.progress.get("restored")) == ("from afar", None)
    assert len(list(Watcher().rows())) == 1


def test_code_is_kept_with_the_run_and_fetched_from_a_remote(git, repo, run, tmp_path, monkeypatch):
    taken = packed()
    git("init", "-q", tmp_path / "other")
    git("remote", "add", "origin", repo, cwd=tmp_path / "other")
    monkeypatch.chdir(tmp_path / "other")
    (outcome,) = restoring.restore(open_here(), [Backup(taken, "here")])
    assert outcome.missing_code is None
    assert taken.code in git("log", "-1", "--format=%P", "lumo_experiments")
    git("reflog", "expire", "--expire=now", "--all")
    git("gc", "--prune=now", "-q")
    assert git("cat-file", "-t", taken.code or "") == "commit"


def test_a_purged_run_stays_away(git, run):
    taken = packed()
    assert main(["purge", "@"]) == 0
    (outcome,) = restoring.restore(open_here(), [Backup(taken, "here")])
    assert outcome.outcome == PURGED
    assert not list(Watcher().rows())


HOSTILE = ["../x", "/etc/passwd", "a/../../b", ".git/config", "a//b", "x/.GIT/hooks/pre-push", "a\\b", "edits/a/b",
           "purged.json", "a/", "", "info/uid.json/x", "x\0y", "git~1/config", "." * 5000]  # fmt: skip


@pytest.mark.parametrize("path", HOSTILE)
def test_paths_of_strangers_lead_nowhere(git, repo, run, path):
    taken = packed()
    tip = git("rev-parse", "lumo_experiments")
    hostile = dataclasses.replace(taken, files={**taken.files, path: b"x"})
    with pytest.raises(FormatError, match="does not hold a sound run; nothing was restored"):
        restoring.restore(open_here(), [Backup(hostile, "the issue")])
    assert git("rev-parse", "lumo_experiments") == tip


@pytest.mark.parametrize(
    ("path", "data", "said"),
    [
        ("info/params.json", b"{", "info/params.json"),
        ("info/params.json", b'{"a": 1}', "not in the canonical form"),
        ("info/format.json", b'{\n  "version": 2\n}\n', "install a newer gitlumo"),
        ("metrics.json", b"{}\n", "not what the history says"),
        ("big", b"x" * (10 * 1024 * 1024 + 1), "too much for the ledger"),
        ("edits/00000000000000001-0123456789abcdef.json", b"{}\n", "no edit of this run"),
    ],
)
def test_damage_is_named(repo, run, path, data, said):
    taken = packed()
    damaged = dataclasses.replace(taken, files={**taken.files, path: data})
    with pytest.raises(FormatError, match=said):
        restoring.restore(open_here(), [Backup(damaged, "the issue")])


def test_files_that_are_no_run(repo, run):
    with pytest.raises(FormatError, match="damaged or not there"):
        parcel.made({"a": b""}, "x")


def test_what_got_lost_is_said(git, run, tmp_path, monkeypatch):
    taken = packed()
    short = {path: data for path, data in taken.files.items() if not path.startswith("history/")}
    git("init", "-q", tmp_path / "other")
    monkeypatch.chdir(tmp_path / "other")
    lost = {"history": {"lines": 0, "of": 21}}
    restoring.restore(open_here(), [Backup(dataclasses.replace(taken, files=short), "here", lost)])
    run = as_json()
    assert (run["restored"], run["metrics"]["acc"]["best"], run["history"]) == (lost, 0.93, [])


def test_what_is_told_of_a_run_that_stays_as_it_is(git, run, tmp_path, monkeypatch):
    taken = Backup(dataclasses.replace(packed()), "the issue", {"masked": ["params.x"]})
    told = [list(restore.lines(outcome)) for outcome in restoring.restore(open_here(), [taken])]
    assert told == [[f"there already: digits/{run.test_name} from the issue"]]
    git("init", "-q", tmp_path / "other")
    monkeypatch.chdir(tmp_path / "other")
    (told,) = [list(restore.lines(outcome)) for outcome in restoring.restore(open_here(), [taken])]
    assert told[:2] == [f"restored: digits/{run.test_name} from the issue", "  masked in its backup: params.x"]
    assert f"where it is: git fetch URL {taken.parcel.code}" in told[2]
    assert main(["purge", "@"]) == 0
    told = [list(restore.lines(outcome)) for outcome in restoring.restore(open_here(), [taken])]
    assert told == [[f"purged here: digits/{run.test_name} from the issue"]]


def test_a_ledger_that_is_checked_out_is_not_moved(git, run, tmp_path, monkeypatch):
    taken = packed()
    git("init", "-q", tmp_path / "other")
    monkeypatch.chdir(tmp_path / "other")
    git("fetch", "-q", tmp_path / "repo", "lumo_experiments:lumo_experiments")
    git("checkout", "-q", "lumo_experiments")
    tip = git("rev-parse", "HEAD")
    other = dataclasses.replace(taken, files={**taken.files, "info/uid.json": values.to_bytes("cd" * 16)})
    other = parcel.made({path: data for path, data in other.files.items() if not path.startswith("edits/")}, "x")
    with pytest.raises(LumoError, match="the branch lumo_experiments is checked out in"):
        restoring.restore(open_here(), [Backup(other, "the issue")])
    assert (git("rev-parse", "HEAD"), git("status", "--short")) == (tip, "")
