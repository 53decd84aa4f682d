"""refs/notes/lumo: git log --notes=lumo tells which runs a commit had; computed of the ledger, the same everywhere."""

from __future__ import annotations

import time

import pytest

from gitlumo import Experiment, SimpleExperiment
from gitlumo.git import notes
from gitlumo.git.objects import Staging
from gitlumo.git.repository import open_repository

NOTES = "refs/notes/lumo"


def note(git, path, commit="HEAD"):
    return git("notes", "--ref=lumo", "show", commit, cwd=path, check=False)


def tree(tip, path):
    return tip(path, f"{NOTES}^{{tree}}")


@pytest.fixture
def train():
    """``train(repo, name, ...)``: a run whose code is recorded."""

    def run(repo, name, acc=0.5, **more):
        with SimpleExperiment("digits", name, repo=repo) as exp:
            exp.dump_metric("acc", acc)
        return exp

    return run


def test_each_commit_tells_of_its_runs(repo, train, ok, git, tip, fsck):
    head = tip(repo, "HEAD")
    train(repo, "a", 0.93)
    (repo / "train.py").write_text("print('changed')\n")
    code = train(repo, "b", 0.95).properties["git"]["commit"]
    assert ok(repo, "notes").startswith(f"{NOTES} at {tip(repo, NOTES)[:12]}: 2 commits noted anew\n")
    changed = f"digits/b finished acc=0.95 (changed: {code[:12]})"
    assert note(git, repo, head) == f"digits/a finished acc=0.93\n{changed}"
    assert note(git, repo, code) == "digits/b finished acc=0.95"
    assert "Notes (lumo):\n    digits/a finished acc=0.93\n" in git("log", "--notes=lumo", cwd=repo)
    assert ok(repo, "notes").startswith("up to date: ")
    fsck(repo)


def test_only_what_has_changed_is_read_and_it_is_the_same_as_made_of_nothing(repo, train, ok, git, tip, monkeypatch):
    from gitlumo.config import read_settings
    from gitlumo.share import noting
    from gitlumo.store.ledger import Ledger

    for name in "abc":
        train(repo, name)
    ok(repo, "notes")
    git("commit", "-q", "--allow-empty", "-m", "next", cwd=repo)
    train(repo, "d")
    ok(repo, "note", "a", "-m", "x")
    ok(repo, "rm", "b")
    read = []
    told = noting._told
    monkeypatch.setattr(noting, "_told", lambda objects, path, id: read.append(path[-1]) or told(objects, path, id))
    repository = open_repository(repo)
    ledger = Ledger(repository, read_settings(repository.config))
    assert noting.update(ledger).commits == 2
    assert sorted(read) == ["a", "a", "b", "b", "d"]
    assert note(git, repo, "HEAD^").split() == ["digits/a", "finished", "acc=0.5", "digits/c", "finished", "acc=0.5"]
    made = tip(repo, NOTES)
    assert noting.update(ledger, anew=True).after == made
    repository.close()


def test_what_changes_leaves_no_old_line(repo, ok, git):
    with Experiment("digits", "a", repo=repo) as exp:
        exp.record_info("git", {"commit": git("rev-parse", "HEAD", cwd=repo)})
        exp.checkpoint()
        ok(repo, "notes")
        assert note(git, repo) == "digits/a running"
        exp.log({"loss": 2.0})
    ok(repo, "notes")
    assert note(git, repo) == "digits/a finished loss=2"
    ok(repo, "rm", "a")
    ok(repo, "notes")
    assert note(git, repo) == ""


def test_pull_does_it_and_all_clones_have_the_same(pair, train, ok, git, tip):
    one, two = pair
    train(one, "a")
    train(two, "b")
    ok(one, "push")
    ok(two, "push")
    ok(one, "pull")
    ok(two, "pull")
    assert note(git, one) == note(git, two) == "digits/a finished acc=0.5\ndigits/b finished acc=0.5"
    assert tip(one, NOTES) == tip(two, NOTES)


def test_others_notes_are_left_alone(repo, train, ok, git, tip):
    train(repo, "a")
    git("notes", "add", "-m", "mine", cwd=repo)
    before = tip(repo, "refs/notes/commits")
    ok(repo, "notes")
    assert tip(repo, "refs/notes/commits") == before
    assert git("notes", "show", cwd=repo) == "mine"


def test_what_others_wrote_into_it_gives_way(repo, train, ok, git):
    train(repo, "a")
    ok(repo, "notes")
    git("notes", "--ref=lumo", "append", "-m", "a word of mine", cwd=repo)
    train(repo, "b")
    ok(repo, "notes")
    assert note(git, repo) == "digits/a finished acc=0.5\ndigits/b finished acc=0.5"


def test_a_strangers_id_is_no_path(repo, ok, git, tip):
    with Experiment("digits", "a", repo=repo) as exp:
        exp.record_info("git", {"commit": "../../x", "head": ["x"]})
    with Experiment("digits", "b", repo=repo) as exp:
        exp.record_info("git", {"commit": "ab" * 20})  # a commit that is not here: pruned, or a shallow clone
    ok(repo, "notes")
    assert git("ls-tree", "-r", "--name-only", NOTES, cwd=repo) == f"ab/{'ab' * 19}"


def test_without_a_ledger_it_says_so(repo, lumo):
    assert lumo(repo, "notes")[::2] == (128, "fatal: there are no runs yet of which notes could tell\n"
                                             "record one:  git lumo run -- COMMAND\n")  # fmt: skip


def test_push_sends_them_when_asked_and_never_forces(pair, shared, train, ok, git, tip):
    one, two = pair
    train(one, "a")
    ok(one, "push")
    assert tip(shared, NOTES) == ""
    ok(one, "push", "--notes")
    first = tip(shared, NOTES)
    assert first == tip(one, NOTES)
    ok(two, "pull")
    train(two, "b")
    ok(two, "push", "--notes")
    second = tip(shared, NOTES)
    assert git("rev-list", "--parents", "-n1", second, cwd=shared) == f"{second} {first}"
    ok(two, "push", "--notes")  # nothing new
    ok(one, "pull")
    ok(one, "push", "--notes")
    assert tip(shared, NOTES) == second
    assert tree(tip, one) == tree(tip, two) == tree(tip, shared)


def test_push_of_some_runs_takes_no_notes(pair, train, lumo):
    one, _ = pair
    train(one, "a")
    assert lumo(one, "push", "--notes", "a")[0] == 129


@pytest.mark.parametrize("form", [["--object-format=sha256"], ["--ref-format=reftable"], ["--bare"]])
def test_in_odd_repositories(git, tmp_path, ok, form, fsck):
    path = tmp_path / "odd"
    if git("init", "-q", *form, path, check=False) or not path.exists():
        pytest.skip("git is too old for reftable")
    empty = git("hash-object", "-t", "tree", "-w", "--stdin", cwd=path, input="")
    commit = git("commit-tree", "-m", "x", empty, cwd=path)
    with Experiment("digits", "a", repo=path) as exp:
        exp.record_info("git", {"commit": commit})
    ok(path, "notes")
    assert note(git, path, commit) == "digits/a finished"
    ok(path, "rm", "a")
    ok(path, "notes")
    assert note(git, path, commit) == ""
    fsck(path)


def test_notes_are_found_however_git_has_split_their_ids(repo, git):
    objects = open_repository(repo).objects
    staging = Staging(objects)
    commit = "ab" * 20
    blob = git("hash-object", "-w", "--stdin", cwd=repo, input="old")
    for path in (commit, f"ab/{commit[2:]}", f"ab/ab/{commit[4:]}"):
        index = {"GIT_INDEX_FILE": str(repo / ".git/other")}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in index.items():
                patch.setenv(name, value)
            git("read-tree", "--empty", cwd=repo)
            git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", cwd=repo)
            tree = git("write-tree", cwd=repo)
        objects.refresh()
        assert notes.read(staging, tree, commit) == b"old"
        made = notes.write(staging, tree, {commit: b"new"})
        assert notes.read(staging, made, commit) == b"new"
        assert notes.read(staging, notes.write(staging, tree, {commit: b""}), commit) == b""


def test_much_of_it_is_left_to_a_process_of_its_own(pair, train, ok, git, monkeypatch):
    from gitlumo.cli import main, pull

    one, two = pair
    train(one, "a")
    ok(one, "push")
    monkeypatch.setattr(pull, "NOTED_AT_ONCE", 0)
    monkeypatch.chdir(two)
    assert main(["pull", "-q"]) == 0
    until = time.monotonic() + 60
    while not note(git, two) and time.monotonic() < until:
        time.sleep(0.02)
    assert note(git, two) == "digits/a finished acc=0.5"
