"""``push EXP...`` shares these runs and their code, nothing else; what leaves is shown; secrets stay."""

from __future__ import annotations

import json

import pytest

from gitlumo import SimpleExperiment
from gitlumo.git.objects import Staging, read_commit
from gitlumo.git.repository import open_repository
from gitlumo.store import trees
from tests.share.conftest import REF, TRACKING

TOKEN = "ghp_" + "a1B2" * 9


def places(path, ref=REF):
    repository = open_repository(path)
    objects = Staging(repository.objects)
    found = repository.refs.read(ref)
    return sorted(p.path.rpartition("/")[2] for p in trees.places(objects, read_commit(objects, found).tree))


def test_some_runs_and_the_rest_later(pair, shared, record, ok, git, tip, fsck):
    one, two = pair
    for name in ("a", "b", "c"):
        (one / "train.py").write_text(f"print('{name}')\n")
        with SimpleExperiment("digits", name, repo=one) as exp:
            exp.log({"loss": 1})
        if name == "b":
            code = exp.properties["git"]["commit"]
    before = tip(one)
    ok(one, "push", "b")
    assert places(shared) == ["b"]
    assert tip(one) == before
    assert git("show", f"{code}:train.py", cwd=shared) == "print('b')"
    snapshots = git("rev-list", "--grep=^Lumo-Snapshot:", REF, cwd=shared).splitlines()
    assert snapshots == [code]
    assert list((one / ".git/objects/pack").glob("*.keep")) == []
    ok(one, "note", "b", "-m", "looks good")
    ok(one, "push", "origin", "b", "c")
    ok(two, "pull")
    assert places(two) == ["b", "c"]
    assert ok(two, "note", "b") == "looks good\n"
    ok(two, "tag", "b", "theirs")
    ok(two, "push")
    ok(one, "push")
    ok(two, "pull")
    assert places(two) == places(shared) == places(one) == ["a", "b", "c"]
    assert tip(one) == tip(two) == tip(shared)
    assert ok(one, "tag", "b") == "theirs\n"
    assert ok(one, "push", "b").startswith("nothing new")
    for path in (one, two, shared):
        fsck(path)


def test_a_race_while_some_are_pushed(pair, shared, record, ok, tip):
    one, two = pair
    record(one, "a")
    record(one, "b")
    record(two, "theirs")
    ok(two, "push")
    ok(one, "push", "b")
    assert places(shared) == ["b", "theirs"]
    assert tip(one, TRACKING) == tip(shared)


def test_a_run_that_names_foreign_code(pair, shared, record, ok, git, monkeypatch):
    """A record may say any commit: only what the ledger reaches goes along."""
    one, _ = pair
    git("commit", "-q", "--allow-empty", "-m", "private", cwd=one)
    private = git("rev-parse", "HEAD", cwd=one)
    git("reset", "-q", "--hard", "HEAD~1", cwd=one)
    record(one, "liar")
    monkeypatch.setenv("GIT_INDEX_FILE", str(one / ".git/a-strangers-index"))
    path = git("ls-tree", "-r", "--name-only", REF, cwd=one).splitlines()[0]
    path = "/".join(path.split("/")[:3])
    blob = git("hash-object", "-w", "--stdin", cwd=one, input=json.dumps({"commit": private}))
    git("read-tree", REF, cwd=one)
    git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}/info/git.json", cwd=one)
    tree = git("write-tree", cwd=one)
    git("update-ref", REF, git("commit-tree", "-p", REF, "-m", "a stranger's", tree, cwd=one), cwd=one)
    monkeypatch.undo()
    ok(one, "push", "liar")
    assert json.loads(ok(one, "show", "liar", "--json"))["git"]["commit"] == private
    assert git("cat-file", "-t", private, cwd=shared, check=False) == ""


def test_no_such_run(pair, record, lumo):
    one, _ = pair
    record(one, "a")
    status, _, err = lumo(one, "push", "nosuch")
    assert status == 128
    assert "there is no remote of that name; there are: origin" in err


def test_what_leaves(pair, shared, record, ok, git, tip):
    one, _ = pair
    git("commit", "-q", "--allow-empty", "-m", "not pushed", cwd=one)
    (one / "notes.txt").write_text("x\n")
    with SimpleExperiment("digits", "a", repo=one) as exp:
        exp.log({"loss": 1})
    said = ok(one, "push", "--dry-run")
    assert said.startswith("to origin: 1 run in 2 events, ")
    assert "\n  digits/a finished loss=1\n" in said
    assert "  1 commit of code that origin does not have yet\n  1 snapshot of code that was never committed\n" in said
    assert said.endswith("    with files that were not tracked: notes.txt\n")
    assert tip(shared) == tip(one, TRACKING) == ""
    facts = json.loads(ok(one, "push", "--dry-run", "--json"))
    counted = git("rev-list", "--objects", tip(one), "--not", "--remotes=origin", cwd=one).splitlines()
    assert facts["objects"] == len(counted)
    assert facts["untracked"] == ["notes.txt"]
    assert list(facts["runs"].values()) == ["digits/a finished loss=1"]
    assert ok(one, "push", "-q") == ""
    assert ok(one, "push").startswith("nothing new: origin/lumo_experiments at ")
    assert ok(one, "push", "--dry-run") == "nothing would leave: origin has it all\n"


@pytest.mark.parametrize("where", ["code", "text"])
def test_a_secret_stays_here(pair, shared, ok, lumo, tip, where):
    one, _ = pair
    if where == "code":
        (one / "keys.py").write_text(f"KEY = '{TOKEN}'\n")
    with SimpleExperiment("digits", "a", repo=one) as exp:
        if where == "text":
            (one / ".git/lumo/info/digits/a/plots").mkdir()
            (one / ".git/lumo/info/digits/a/plots/log.txt").write_text(f"token {TOKEN}\n")
        exp.log({"loss": 1})
    status, _, err = lumo(one, "push")
    assert status == 128
    assert err.startswith("fatal: 1 secret would leave this machine; nothing was sent\n  ")
    assert f"{'keys.py' if where == 'code' else 'plots/log.txt'}: ghp_a1B***\n" in err
    assert TOKEN not in err
    assert "git lumo push --yes" in err
    assert tip(shared) == ""
    assert lumo(one, "push", "--dry-run")[0] == 128
    ok(one, "push", "--yes")
    assert tip(shared) == tip(one)
    ok(one, "push")  # it has left already


def test_no_false_alarm(pair, ok):
    one, _ = pair
    (one / "style.css").write_text(".sk-estimator-doc-link-with-a-long-name {}\n")
    (one / "data.bin").write_bytes(b"\0" + TOKEN.encode())
    with SimpleExperiment("digits", params={"id": "0123456789abcdef" * 4}, repo=one) as exp:
        exp.log({"loss": 1})
    ok(one, "push")
