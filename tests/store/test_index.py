"""The index says what the ledger says: whatever happens to the ledger, to the file, and to who writes it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from gitlumo import Experiment, SimpleExperiment, Watcher
from gitlumo.cli.opening import open_here
from gitlumo.git.objects import read_blob, read_tree, walk
from gitlumo.store import columns, indexing, reading, trees
from gitlumo.store.index import FILE
from gitlumo.store.indexing import open_index
from gitlumo.store.query import TreeFiles
from gitlumo.store.record import Record

REF = "refs/heads/lumo_experiments"


def record(exp_name="digits", **params):
    with Experiment(exp_name, params=params) as exp:
        exp.log({"loss": params.get("seed", 0) / 2, "acc": 1.0})
    return exp


def asked(tmp_path):
    """Place to columns of all runs, as the index has them."""
    opened = open_here()
    found = open_index(opened.branch, opened.branch.view(), str(tmp_path / "cache"))
    try:
        return {row.place: found.of(row.id) for row in found.runs()}
    finally:
        found.close()
        opened.repository.close()


def truth():
    """The same, read run by run."""
    opened = open_here()
    view = opened.branch.view()
    result = {}
    for place in trees.places(view.objects, view.tree):
        files = TreeFiles(view.objects, place.tree)
        if "purged.json" not in read_tree(view.objects, place.tree):
            result[place.path] = columns.columns_of(Record(files.read, files.paths, place.path))
    opened.repository.close()
    return result


def shown(runs):
    """As texts, in which NaN is NaN and 1 is not 1.0."""
    return {place: sorted(f"{name} {value!r}" for name, value in found.items()) for place, found in runs.items()}


def test_it_follows_the_ledger(repo, git, tmp_path):
    assert asked(tmp_path) == {}
    tips = []
    for seed in range(4):
        record("digits" if seed % 2 else "cifar", seed=seed, deep={"a": [1, 2]}, odd=float("nan"))
        assert shown(asked(tmp_path)) == shown(truth())
        tips.append(git("rev-parse", REF))
    assert len(asked(tmp_path)) == 4
    git("update-ref", REF, tips[1])  # set back
    (repo / ".git/lumo/tip").unlink()
    assert len(asked(tmp_path)) == 2
    git("update-ref", REF, tips[3])
    assert len(asked(tmp_path)) == 4
    git("update-ref", REF, tips[0])
    git("reflog", "expire", "--expire=now", "--all")
    shutil.rmtree(repo / ".git/logs")
    git("gc", "--quiet", "--prune=now")  # the tips that the index has seen are gone
    for keep in Path(".git/objects/pack").glob("*.keep"):
        keep.unlink()
    git("gc", "--quiet", "--prune=now")
    assert git("cat-file", "-t", tips[3], check=False) == ""
    assert asked(tmp_path) == truth()
    assert len(asked(tmp_path)) == 1


def test_it_reads_only_what_has_changed(repo, tmp_path, monkeypatch):
    for seed in range(5):
        record(seed=seed)
    asked(tmp_path)
    record(seed=5)
    read = []
    columns_of = columns.columns_of
    monkeypatch.setattr(columns, "columns_of", lambda run: read.append(run) or columns_of(run))
    assert len(asked(tmp_path)) == 6
    assert len(read) == 1
    assert len(asked(tmp_path)) == 6
    assert len(read) == 1


def test_of_a_run_it_reads_what_says_something(repo, tmp_path, monkeypatch):
    with SimpleExperiment("digits", params={"lr": 0.1}) as exp:
        exp.log({"loss": 1.0})
    read = []
    monkeypatch.setattr(reading, "read_blob", lambda objects, id: read.append(id) or read_blob(objects, id))
    (found,) = asked(tmp_path).values()
    assert found["name"] == exp.test_name
    assert found["command"]
    names = {entry.id: path for path, entry in files().items()}
    read_names = sorted(names[id].removeprefix("info/").removesuffix(".json") for id in read)
    assert read_names == ["exp_name", "format", "git", "metrics", "params", "pinfo", "progress", "uid"]


def files():
    opened = open_here()
    view = opened.branch.view()
    (place,) = trees.places(view.objects, view.tree)
    found = {path: entry for path, entry in walk(view.objects, place.tree) if entry.is_file}
    opened.repository.close()
    return found


def test_clones_that_grew_apart(repo, git, tmp_path, monkeypatch):
    record(seed=1)
    git("clone", "--quiet", repo, tmp_path / "clone")
    record(seed=2)
    monkeypatch.chdir(tmp_path / "clone")
    record(seed=3)
    git("fetch", "--quiet")
    assert sorted(run["params.seed"] for run in asked(tmp_path).values()) == [1, 2, 3]
    assert asked(tmp_path) == truth()
    record(seed=4)
    assert len(asked(tmp_path)) == 4


def _another(path):
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (a)")
    connection.close()


DAMAGES = {
    "deleted": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "no SQLite": lambda path: path.write_bytes(b"x" * 5000),
    "another database": lambda path: _another(path),
    "zeroed": lambda path: path.write_bytes(path.read_bytes()[:4096] + bytes(path.stat().st_size - 4096)),
    "an orphan journal": lambda path: Path(f"{path}-journal").write_bytes(os.urandom(2000)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_it_is_made_anew(repo, tmp_path, damage, capfd):
    for seed in range(3):
        record(seed=seed)
    expected = asked(tmp_path)
    capfd.readouterr()
    DAMAGES[damage](repo / ".git/lumo" / FILE)
    assert asked(tmp_path) == expected
    record(seed=3)
    DAMAGES[damage](repo / ".git/lumo" / FILE)
    assert len(asked(tmp_path)) == 4
    assert capfd.readouterr().out == ""


def lumo(*args):
    return subprocess.run(["git-lumo", *args], capture_output=True, encoding="utf-8", check=True).stdout


def spoil(path, page):
    """Let random bytes stand in it from a page on: what says of which tips it is stays."""
    with open(path, "r+b") as file:
        file.seek(4096 * page)
        file.write(random.Random(page).randbytes(path.stat().st_size - 4096 * page))


@pytest.mark.parametrize("page", [2, 3, 4, 6])
def test_damage_that_only_a_question_finds(repo, tmp_path, page):
    for seed in range(3):
        record(seed=seed, **{f"p{i}": i for i in range(300)})
    path = repo / ".git/lumo" / FILE
    watcher = Watcher()
    whole = watcher.load()
    expected = {args: lumo(*args) for args in (("log", "--oneline"), ("log", "--format=csv", "seed > 0"))}
    for args, out in expected.items():
        spoil(path, page)
        assert lumo(*args) == out
    spoil(path, page)
    assert len(Watcher().rows("p299 = 299")) == 3
    spoil(path, page)
    pd.testing.assert_frame_equal(Watcher().load(), whole)
    spoil(path, page)
    record(seed=9)
    assert list(watcher.load()["params.seed"]) == [9, 2, 1, 0]


def test_an_index_that_may_not_be_read(repo):
    record(seed=1)
    expected = lumo("log", "--oneline")
    path = repo / ".git/lumo" / FILE
    path.unlink(missing_ok=True)
    path.mkdir()  # as root may read all files
    assert lumo("log", "--oneline") == expected
    assert len(Watcher().load()) == 1


def test_a_repository_that_cannot_be_written(repo, tmp_path, monkeypatch):
    record(seed=1)
    make = indexing._make

    def refuse(path, view):
        if path.startswith(str(repo)) or (nowhere and path.startswith(str(tmp_path))):
            raise sqlite3.OperationalError("attempt to write a readonly database")
        make(path, view)

    nowhere = False
    monkeypatch.setattr(indexing, "_make", refuse)
    assert len(asked(tmp_path)) == 1
    assert list((tmp_path / "cache").iterdir())
    shutil.rmtree(tmp_path / "cache")
    nowhere = True
    assert len(asked(tmp_path)) == 1  # in memory


@pytest.mark.damages
def test_a_damaged_run_is_named_and_the_others_are_there(repo, tmp_path):
    record(seed=1)
    opened = open_here()
    from tests.test_stranger import commit_into_ledger

    exp = record(seed=2)
    opened.repository.close()
    folder = f"digits/{exp.test_name[:6]}/{exp.test_name}"
    commit_into_ledger(repo, "damage\n\nLumo-Format: 1\n", {f"{folder}/info/params.json": b"{broken"})
    opened = open_here()
    found = open_index(opened.branch, opened.branch.view(), str(tmp_path / "cache"))
    troubles = {row.place: row.trouble for row in found.runs()}
    found.close()
    assert troubles[folder]
    assert sum(trouble is None for trouble in troubles.values()) == 1


ASK = """
import sys
from gitlumo.cli.opening import open_here
from gitlumo.store.indexing import open_index
opened = open_here()
found = open_index(opened.branch, opened.branch.view(), '/nonexistent')
print(sum(1 for _ in found.runs()), sum(value for _, value in found.column('params.seed')))
found.close()
"""


def test_many_ask_at_once(repo, tmp_path):
    for seed in range(6):
        record(seed=seed)
    children = [subprocess.Popen([sys.executable, "-c", ASK], stdout=subprocess.PIPE, text=True) for _ in range(6)]
    assert [child.communicate(timeout=60)[0].split() for child in children] == [["6", "15"]] * 6
    assert sorted(path.name for path in (repo / ".git/lumo").glob("index*")) == [FILE]


KILLED = """
import sys
from gitlumo.store import indexing

indexing.BATCH = 1
fill = indexing._fill

def slowly(connection, *rest):
    print('go', flush=True)  # from here on it is written; a run takes about a ms
    fill(connection, *rest)

indexing._fill = slowly
exec(sys.argv[1])
"""


def kill_while_indexing(repo, git, tmp_path, rounds):
    """Kill it at random moments of its writing; the index is right each time, for whoever looks next."""
    for seed in range(12):
        record(seed=seed)
    tips = git("rev-list", "--first-parent", REF).splitlines()
    chance, half_done = random.Random(1), 0
    for _ in range(rounds):
        if chance.random() < 0.5:
            (repo / ".git/lumo" / FILE).unlink(missing_ok=True)  # it is made anew, else it follows
        git("update-ref", REF, chance.choice(tips[:-2]))
        child = subprocess.Popen([sys.executable, "-c", KILLED, ASK], stdout=subprocess.PIPE, text=True)
        child.stdout.readline()
        time.sleep(chance.random() * 0.03)
        child.send_signal(signal.SIGKILL)
        half_done += child.wait() == -signal.SIGKILL
        child.stdout.close()
        assert shown(asked(tmp_path)) == shown(truth())
    assert half_done > rounds / 3
    git("update-ref", REF, tips[0])
    said = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["12", "66"]


def test_sigkill_while_it_is_written(repo, git, tmp_path):
    kill_while_indexing(repo, git, tmp_path, 8)


@pytest.mark.soak
def test_soak_sigkill_while_it_is_written(repo, git, tmp_path):
    kill_while_indexing(repo, git, tmp_path, int(os.environ.get("GITLUMO_SOAK_ROUNDS", "20")))
