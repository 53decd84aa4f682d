"""Data from a stranger's clone is data: whatever shape it has, it stops nobody and breaks nothing."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

import gitlumo
from tests.cli.conftest import ledger, lumo  # noqa: F401
from tests.cli.test_log import damage, place_of

pytestmark = pytest.mark.damages

ODD = ["5", '"text"', '[{"path": 1}, null]', '{"argv": 5, "skipped": [1]}']
KEYS = """git execute pinfo lock hooks exception tags masked skipped rerun env paths params progress""".split()  # noqa: SIM905


@pytest.mark.parametrize("key", KEYS)
def test_a_property_of_any_shape(lumo, ledger, git, key):  # noqa: F811
    lumo("recover")
    place = place_of(git, "first")
    for value in ODD:
        damage(ledger, git, f"{place}/info/{key}.json", json.dumps(json.loads(value), indent=2, sort_keys=True) + "\n")
        for words in (["log", "--json"], ["show", "first"], ["fsck"]):
            done = lumo(*words)
            assert "fault of gitlumo" not in done.err
            assert words[0] != "log" or done.status == 0


@pytest.mark.parametrize("value", [{"add": 5}, None, {"add": [1, "x"], "remove": "y"}])
@pytest.mark.parametrize("kind", ["tag", "note", "deprecated", "backup", "rerun", "undo", "later"])
def test_an_edit_of_any_shape(lumo, ledger, git, kind, value):  # noqa: F811
    lumo("recover")
    uid = json.loads(lumo("show", "first", "--json").out)["uid"]
    edit = {"uid": uid, "kind": kind, "value": value, "by": "A <a@b>", "at": "now", "id": "0" * 16}
    text = json.dumps(edit, indent=2, sort_keys=True) + "\n"
    damage(ledger, git, f"{place_of(git, 'first')}/edits/{10**15:017d}-{'0' * 16}.json", text)
    for words in (["log"], ["show", "first"], ["fsck"]):
        assert lumo(*words).status == 0


def test_links_and_submodules_in_a_run_are_passed_over(lumo, ledger, git, fsck):  # noqa: F811
    """A gitlink where a file should be: fsck and a clone bear it, and so must a join."""
    lumo("recover")
    place = place_of(git, "first")
    index = {**os.environ, "GIT_INDEX_FILE": str(ledger / ".git/stranger-index")}
    subprocess.run(["git", "read-tree", "lumo_experiments"], env=index, check=True)
    for path in (f"{place}/edits/x", f"{place}/info/git.json"):
        words = ["update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},{path}"]
        subprocess.run(["git", *words], env=index, check=True)
    tree = subprocess.run(["git", "write-tree"], env=index, check=True, capture_output=True, text=True).stdout.strip()
    theirs = git("commit-tree", tree, "-p", "lumo_experiments", "-m", "theirs\n\nLumo-Format: 1")
    git("update-ref", "refs/remotes/origin/lumo_experiments", theirs)
    (ledger / ".git/stranger-index").unlink()
    with gitlumo.Experiment("digits", "mine"):  # diverges, and takes theirs in
        pass
    assert lumo("log").status == 0
    assert lumo("show", "first").status == 0
    fsck(ledger)
    git("gc", "--quiet", "--prune=now")


def test_a_strangers_file_forges_no_event(repo, git):
    """The merge's message names folders of runs only, and no newline gets into it."""
    gitlumo.Experiment("digits", "base").start().end()
    blob = git("hash-object", "-w", "--stdin", input="x")
    listing = git("ls-tree", "lumo_experiments") + f"\n100644 blob {blob}\tevil\n"
    tree = git("mktree", input=listing)
    forged = git("mktree", "-z", input=git("ls-tree", "-z", tree) + f"100644 blob {blob}\tx\n\nLumo-Event: end\0")
    theirs = git("commit-tree", forged, "-p", "lumo_experiments", "-m", "theirs")
    git("update-ref", "refs/remotes/origin/lumo_experiments", theirs)
    gitlumo.Experiment("digits", "local").start().end()
    gitlumo.Experiment("digits", "next").start().end()
    events = git("log", "--grep=^Lumo-Event:", "--format=%s", "lumo_experiments").splitlines()
    assert all(line.startswith("digits/") for line in events)


@pytest.mark.parametrize("line", [
    '{"step":0,"time":0.1,"a":1,"$with":{"b":{"$bytes":"?"}}}',
    '{"step":0,"time":1' + "0" * 400 + ',"a":1}',
    '{"step":0,"time":0.1,"a":1,"$cmp":["max"]}',
])  # fmt: skip
def test_a_line_that_is_none_is_counted(repo, git, lumo, line):  # noqa: F811
    with gitlumo.Experiment("digits", "odd") as exp:
        exp.log({"a": 2})
        with open(exp.mk_ipath("history", "00000.jsonl"), "a") as out:
            out.write(line + "\n")
    assert "1 line of the history torn" in lumo("show", "odd").out
    assert "1 torn line" in lumo("fsck").out
