"""How a run goes on in another clone, and from a folder that is gone, foreign or hostile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import warnings
from pathlib import Path

import pytest

from gitlumo import Experiment
from gitlumo.errors import FormatError, LumoError, StateError
from gitlumo.git.edited import edit_tree
from gitlumo.git.objects import FILE_MODE, Entry, Staging, read_commit
from gitlumo.git.repository import open_repository
from gitlumo.store import journal, layout, trees
from tests.resuming import (
    BRANCH,
    CUT,
    child,
    damage,
    die,
    files_of,
    go_on,
    ledger,
    open_uids,
    published,
    put,
    python,
    without_lock,
)

# ------------------------------------------------------------------------------------------------------ other clones


@pytest.fixture
def clones(repo, git, tmp_path):
    """A bare repository and two clones of it; the test stands in the first."""
    shared = tmp_path / "shared.git"
    git("clone", "-q", "--bare", repo, shared)
    for name in ("one", "two"):
        git("clone", "-q", shared, tmp_path / name)
    os.chdir(tmp_path / "one")
    return tmp_path / "one", tmp_path / "two"


def push(git, path):
    git("push", "-q", "origin", BRANCH, cwd=path)


def fetch(git, path):
    git("fetch", "-q", cwd=path)


def test_a_run_goes_on_in_another_clone_and_back(clones, git, fsck):
    one, two = clones
    with Experiment("digits", "run") as exp:
        exp.log({"a": 1})
        exp.dump_note("from one")
        Path(exp.mk_ipath("plots", "x.txt")).write_text("a picture")
        Path(exp.mk_ipath("link")).symlink_to("/nowhere")
    push(git, one), fetch(git, two)
    with go_on(cwd=two) as second:
        assert second.uid == exp.uid
        assert Path(second.info_dir) == two / ".git/lumo/info/digits/run"
        assert (second.load_note(), Path(second.mk_ipath("plots", "x.txt")).read_text()) == ("from one", "a picture")
        second.log({"a": 2})
        second.dump_string("s", "of two")
    push(git, two), fetch(git, one)
    with go_on(cwd=one) as third:
        assert third.load_string("s") == "of two"
        assert [(point["step"], point["a"]) for point in third.history("a")] == [(0, 1), (1, 2)]
        assert os.path.islink(third.mk_ipath("link"))  # what the ledger does not take stays
        third.log({"a": 3})
    push(git, one), fetch(git, two)
    for path in clones:
        record = published(exp.uid, path)
        assert [point["a"] for point in record.history("a")] == [1, 2, 3]
        assert [entry["after"] for entry in record.progress["resumed"]] == ["finished", "finished"]
        assert (record.state, record.note, record.text("s")) == ("finished", "from one", "of two")
        fsck(path)


def test_clones_that_both_went_on_agree(clones, git, fsck):
    one, two = clones
    with Experiment("digits", "run") as exp:
        exp.log({"a": 1})
    push(git, one), fetch(git, two)
    with go_on(cwd=one) as mine:
        mine.log({"a": 2})
        mine.dump_info("mine", 1)
    with go_on(cwd=two) as theirs:
        theirs.log({"a": 3})
        theirs.checkpoint()
        theirs.log({"a": 4})
    push(git, two), fetch(git, one)
    git("fetch", "-q", one, f"{BRANCH}:refs/remotes/one/{BRANCH}", cwd=two)
    trees_seen = {ledger(path).view().tree for path in clones}
    assert len(trees_seen) == 1
    assert [point["a"] for point in published(exp.uid, one).history("a")] == [1, 3, 4]  # the greater seq
    with go_on(cwd=one) as again:  # it goes on with what the join has; its own is in the history of the branch
        assert [point["a"] for point in again.history("a")] == [1, 3, 4]
        assert again.load_info("mine") is None
        again.log({"a": 5})
    push(git, one), fetch(git, two)
    for path in clones:
        assert [point["a"] for point in published(exp.uid, path).history("a")] == [1, 3, 4, 5]
        fsck(path)


def test_a_run_that_lives_in_another_clone_is_refused(clones, git, monkeypatch):
    one, two = clones
    with Experiment("digits", "run"):
        push(git, one), fetch(git, two)
        monkeypatch.delenv("LUMO_EXP_TEST_NAME")  # what it hands on to its children
        with pytest.raises(StateError, match="has an owner"):
            go_on(cwd=two).start()
        assert not (two / ".git/lumo/info/digits/run").exists()
        with go_on("auto", cwd=two) as new:
            assert new.test_name != "run"


def test_another_runs_folder_has_the_name_here(clones, git, fsck):
    one, two = clones
    with Experiment("digits", "run") as first:
        first.log({"a": 1})
    with Experiment("digits", "run", repo=two) as second:
        second.log({"a": 10})
    before = files_of(second.info_dir)
    push(git, one), fetch(git, two)
    with go_on(first.uid, cwd=two) as exp:
        assert (exp.uid, exp.test_name) == (first.uid, "run")
        assert Path(exp.info_dir) == Path(exp._folder.info_dir) == two / f".git/lumo/info/digits/run~{first.uid}"
        exp.log({"a": 2})
        Path(exp.mk_bpath("x")).write_text("")
        assert exp.blob_dir != second.blob_dir
    assert files_of(second.info_dir) == before
    assert [point["a"] for point in published(first.uid, two).history("a")] == [1, 2]
    assert [point["a"] for point in published(second.uid, two).history("a")] == [10]
    with go_on(first.uid, cwd=two) as exp:
        assert exp.info_dir.endswith(first.uid)
    fsck(two)


def test_killed_while_the_folder_is_made(clones, git):
    one, two = clones
    with Experiment("digits", "run") as exp:
        exp.log({"a": 1})
        exp.dump_note("n")
    push(git, one), fetch(git, two)
    count = len(files_of(exp.info_dir))
    for n in range(1, count + 1, 3):
        python(CUT, n, cwd=two, status=-signal.SIGKILL)
        assert (two / ".git/lumo/info/digits").is_dir()
    with go_on(cwd=two) as second:
        assert second.info_dir == str(two / ".git/lumo/info/digits/run")
        assert (second.load_note(), second.metrics["a"]["count"]) == ("n", 1)
        assert [entry["after"] for entry in second.resumed] == ["finished"]
    assert [name for name in os.listdir(two / ".git/lumo/info/digits/run") if name.startswith(".")] == []


# ------------------------------------------------------------------------------------------- folders, roots, ledgers


def test_a_folder_that_was_deleted_is_made_from_the_ledger(repo):
    assert child(
        "exp = Experiment('digits', 'run').start(); exp.log({'a': 1}); exp.checkpoint(); exp.log({'a': 2}); die()"
    )
    folder = repo / ".git/lumo/info/digits/run"
    subprocess.run(["rm", "-r", folder], check=True)  # it is registered, and the ledger says that it runs
    with go_on("auto") as exp:
        assert (exp.test_name, exp.resumed[0]["after"], exp.metrics["a"]["last"]) == ("run", "killed", 1)
        exp.log({"a": 3})
    subprocess.run(["rm", "-r", folder / "history", folder / "metrics.json"], check=True)
    with go_on() as exp:
        exp.log({"a": 4})
    assert [point["a"] for point in published(exp.uid).history("a")] == [1, 3, 4]
    assert open_uids() == []


def test_folders_outside_of_the_repository(repo, git, tmp_path):
    git("config", "lumo.infoRoot", tmp_path / "info")
    die()
    with go_on() as exp:
        assert exp.info_dir == str(tmp_path / "info/digits/run")
        assert journal.belongs_to(exp.info_dir, str(repo / ".git/lumo"))
        exp.log({"a": 2})
    subprocess.run(["rm", "-r", exp.info_dir], check=True)
    python(CUT, 2, status=-signal.SIGKILL)  # while it was made again
    with go_on() as exp:
        assert exp.metrics["a"]["count"] == 2
        assert exp.info_dir == str(tmp_path / "info/digits/run")
    # Another repository of the same root has taken the folder over: it is no longer this one's.
    journal.claim(exp.info_dir, "/another/.git/lumo")
    before = files_of(exp.info_dir)
    with go_on() as again:
        assert again.info_dir == f"{exp.info_dir}~{exp.uid}"
        assert again.metrics["a"]["count"] == 2
    assert files_of(exp.info_dir) == before


def test_a_run_that_cannot_be_recovered_goes_on_where_it_lies(repo, git, tmp_path):
    """Its folder is the only place that has it, and stands where lumo.infoRoot was."""
    git("worktree", "add", "-q", "--detach", tmp_path / "there")
    die()
    git("checkout", "-q", BRANCH, cwd=tmp_path / "there")  # nothing can be published now
    git("config", "lumo.infoRoot", tmp_path / "info")
    with warnings.catch_warnings(record=True, action="always") as said:
        exp = go_on().start()
        exp.log({"a": 2})
    assert any("is checked out" in str(warning.message) for warning in said)
    assert exp.info_dir == str(repo / ".git/lumo/info/digits/run")
    git("checkout", "-q", "--detach", "main", cwd=tmp_path / "there")
    exp.end()
    assert [point["a"] for point in published(exp.uid).history("a")] == [1, 2]


@pytest.mark.damages
def test_edits_of_others_stay_edits(repo, git):
    with Experiment("digits", "run") as exp:
        exp.dump_note("mine")
        exp.dump_tags("a")
    for i, (kind, value) in enumerate([("note", "theirs"), ("tag", {"add": ["good"], "remove": []})]):
        name = layout.edit_name(1_700_000_000_000_000 + i, f"{i:016x}")
        edit = {"uid": exp.uid, "kind": kind, "value": value, "by": "A <a@example.org>", "at": "", "id": name[18:34]}
        damage(git, exp.uid, "run", {f"edits/{name}": json.dumps(edit).encode()})
    subprocess.run(["rm", "-r", exp.info_dir], check=True)
    with go_on() as again:
        assert not os.path.exists(again.mk_ipath("edits"))
        again.dump_tags("a", "b")
    record = published(exp.uid)
    assert (record.note, record.properties["tags"], len(record.edits)) == ("theirs", ["a", "b", "good"], 2)
    assert record.read("note.md") == b"mine"


HOSTILE = ["../x", "../../../x", "a/../../x", ".git/hooks/x", ".lumo-repository", "edits/x", "a\\..\\x"]


@pytest.mark.damages
def test_a_hostile_ledger_writes_nothing_outside_of_the_folder(repo, git, tmp_path):
    with Experiment("digits", "run") as exp:
        exp.log({"a": 1})
    tip = git("rev-parse", BRANCH)
    staging = Staging(open_repository().objects)
    root = read_commit(staging, tip).tree
    (place,) = trees.places(staging, root)
    bad = staging.add_blob(b"bad")

    def with_entry(tree, names):
        entries = list(trees.read_tree(staging, tree).values()) if tree else []
        if len(names) == 1:
            return staging.add_tree([*entries, Entry(names[0], FILE_MODE, bad)])
        return staging.add_tree([*entries, Entry(names[0], 0o040000, with_entry(None, names[1:]))])

    folder = place.tree
    for path in HOSTILE:
        folder = with_entry(folder, path.split("/"))
    folder = with_entry(folder, [str(tmp_path / "x")])  # as one name
    link = Entry("link", 0o120000, staging.add_blob(b"/etc"))
    folder = staging.add_tree([*trees.read_tree(staging, folder).values(), link])
    put(git, staging, edit_tree(staging, root, {place.path: Entry("", 0o040000, folder)}), tip)
    subprocess.run(["rm", "-r", exp.info_dir], check=True)
    before = {path for path in files_of(tmp_path) if "/lumo/" not in path and "/objects/" not in path}
    with go_on() as again:
        assert again.metrics["a"]["count"] == 1
        assert b"bad" not in {data[:3] for data in files_of(repo / ".git/lumo").values()}
        assert not os.path.lexists(again.mk_ipath("link"))
        again.log({"a": 2})
    after = {path for path in files_of(tmp_path) if "/lumo/" not in path and "/objects/" not in path}
    assert after - before <= {str(repo / f".git/refs/heads/{BRANCH}")}


@pytest.mark.damages
@pytest.mark.parametrize(
    ("path", "data", "error"),
    [
        ("info/test_name.json", b'"../../../x"', FormatError),
        ("info/exp_name.json", b'"../x"', FormatError),
        ("info/uid.json", b'"../x"', FormatError),
        ("info/exp_name.json", b'"other"', FormatError),
        ("info/format.json", b'{"version": 99}', LumoError),
        ("info/masked.json", b"5", None),
        ("info/masked.json", b"no JSON", None),
        ("info/exception.json", b"no JSON", None),
        ("info/pinfo.json", b"no JSON", None),
    ],
)
def test_a_damaged_run_is_refused_or_goes_on_but_leaves_no_trace(repo, git, tmp_path, path, data, error):
    with Experiment("digits", "run") as exp:
        exp.log({"a": 1})
    damage(git, exp.uid, "run", {path: data})
    subprocess.run(["rm", "-r", exp.info_dir], check=True)
    before = files_of(tmp_path)
    if error:
        with pytest.raises(error):
            go_on().start()
        assert without_lock(files_of(tmp_path)) == before
    else:
        with go_on() as again:
            again.log({"a": 2})
        assert [point["a"] for point in published(exp.uid).history("a")] == [1, 2]


def test_a_link_in_the_folder_leads_nowhere(clones, git, tmp_path):
    one, two = clones
    with Experiment("digits", "run") as exp:
        pass
    push(git, one), fetch(git, two)
    with go_on(cwd=two) as second:
        Path(second.mk_ipath("plots", "x.txt")).write_text("x")
    push(git, two), fetch(git, one)
    (tmp_path / "mine").mkdir()
    Path(exp.mk_ipath("plots")).symlink_to(tmp_path / "mine")
    with pytest.raises(LumoError, match=r"digits/run cannot go on: .*plots: it is a link"):
        go_on(cwd=one).start()
    assert os.listdir(tmp_path / "mine") == []
    assert open_uids(one) == []
