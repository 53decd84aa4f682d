"""``git lumo recover`` and ``git lumo fsck``."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

import gitlumo
from tests.cli.conftest import KILLED
from tests.cli.test_log import damage, place_of

pytestmark = pytest.mark.damages


def test_recover_publishes_what_the_dead_left(lumo, ledger, git, fsck):
    assert lumo("recover").out == "published digits/dies killed\n"
    assert git("log", "-1", "--format=%s", "lumo_experiments") == "digits/dies killed acc=0.5"
    assert lumo("recover").out == "nothing to recover\n"
    fsck(ledger)


def test_recover_brings_a_pruned_ledger_back_from_disk(lumo, ledger, git, fsck):
    lumo("recover")
    before = {run["uid"]: run for run in json.loads(lumo("log", "--json").out)}
    git("branch", "-D", "lumo_experiments")
    for keep in (ledger / ".git/objects/pack").glob("*.keep"):
        keep.unlink()
    git("reflog", "expire", "--expire=now", "--all")
    git("gc", "--quiet", "--prune=now")
    (ledger / ".git/lumo/tip").unlink()
    assert lumo("recover").out.count("only on this disk") == 3
    after = {run["uid"]: run for run in json.loads(lumo("log", "--json").out)}
    assert after.keys() == before.keys()
    for uid, run in before.items():
        assert after[uid]["metrics"] == run["metrics"]
        assert after[uid]["state"] == run["state"]
    fsck(ledger)


def test_force_is_for_runs_whose_process_cannot_be_seen(lumo, repo):
    subprocess.run([sys.executable, "-c", KILLED], check=False)
    (entry,) = (repo / ".git/lumo/open").iterdir()
    pinfo = repo / ".git/lumo/info/digits/dies/info/pinfo.json"
    pinfo_there = json.loads(pinfo.read_text()) | {"boot": "another", "host": "elsewhere"}
    pinfo.write_text(json.dumps(pinfo_there))
    assert lumo("recover").out == "nothing to recover\n"
    assert "running" in lumo("log", "--oneline").out
    assert lumo("recover", "--force", "dies").out == "published digits/dies killed\n"
    assert not entry.exists()
    assert "killed" in lumo("log", "--oneline").out


def test_a_start_cut_short_leaves_no_run(lumo, repo):
    folder = repo / ".git/lumo/info/digits/half"
    folder.mkdir(parents=True)
    opened = repo / ".git/lumo/open"
    opened.mkdir()
    (opened / f"{'0' * 32}.json").write_text(json.dumps({"info_dir": str(folder)}))
    assert lumo("log").status == 0
    assert lumo("recover").out == "nothing to recover\n"
    assert list(opened.iterdir()) == []


def test_a_damaged_folder_does_not_stop_recover(lumo, ledger, git):
    lumo("recover")
    git("update-ref", "-d", "refs/heads/lumo_experiments")
    (ledger / ".git/lumo/tip").unlink()
    (ledger / ".git/lumo/info/digits/second/info/pinfo.json").write_text("{")
    done = lumo("recover")
    assert (done.status, done.out.count("only on this disk")) == (0, 2)
    assert "second" in done.err


def test_fsck_of_a_sound_ledger(lumo, ledger):
    lumo("recover")
    done = lumo("fsck")
    assert (done.status, done.out) == (0, "3 runs checked, 0 problems\n")


@pytest.mark.parametrize(
    ("file", "data", "said"),
    [
        ("metrics.json", "{}\n", "not what the history says"),
        ("metrics.json", "{", "not JSON"),
        ("info/params.json", '{"lr":1}', "not in the canonical form"),
        ("info/uid.json", "1\n", "no run"),
        ("info/exp_name.json", '"other"\n', "belongs at other/"),
        ("info/format.json", '{\n  "version": 2\n}\n', "newer gitlumo"),
        ("history/00000.jsonl", '{"step":1,"ti', "torn"),
        ("edits/00000000000000001-0000000000000000.json", "{}\n", "no edit of this run"),
        ("../stray.txt", "hello", "not part of a run"),
    ],
)
def test_fsck_finds(lumo, ledger, git, file, data, said):
    lumo("recover")
    place = place_of(git, "first")
    path = f"{place.rpartition('/')[0]}/stray.txt" if file.startswith("../") else f"{place}/{file}"
    damage(ledger, git, path, data)
    done = lumo("fsck")
    assert done.status == 1
    assert said in done.out
    assert "first" in done.out or "stray" in done.out


def test_fsck_finds_one_run_twice(lumo, ledger, git):
    lumo("recover")
    place = place_of(git, "first")
    for path in git("ls-tree", "-r", "--name-only", "lumo_experiments", place).splitlines():
        copied = path.replace("/first/", "/copy/")
        damage(
            ledger,
            git,
            copied,
            subprocess.run(["git", "show", f"lumo_experiments:{path}"], capture_output=True, text=True).stdout,
        )
    assert "the same run" in lumo("fsck").out


def test_info_dirs_may_go(lumo, ledger):
    """What is published does not need its folder any more."""
    lumo("recover")
    before = lumo("log", "--json").out
    shutil.rmtree(ledger / ".git/lumo")
    assert lumo("log", "--json").out == before
    gitlumo.Experiment("digits", "next").start().end()
    assert json.loads(lumo("show", "@", "--json").out)["test_name"] == "next"
