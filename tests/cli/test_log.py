"""``git lumo log``: what it lists, in which order, and how little it reads."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

import gitlumo
from gitlumo.cli.opening import open_here
from gitlumo.store import query
from tests.cli.test_command import on_a_terminal

pytestmark = pytest.mark.damages


def names(out: str) -> list[str]:
    return [line.split()[0] for line in out.splitlines()]


def test_the_table(lumo, ledger):
    done = lumo("log")
    assert (done.status, done.err) == (0, "")
    head, killed, failed, finished = done.out.splitlines()
    assert head.split() == ["name", "age", "state", "took", "acc", "loss", "lr", "note"]
    assert "digits/dies" in killed
    assert "killed" in killed
    assert "digits/second" in failed
    assert "failed" in failed
    assert finished.startswith("digits/first")
    assert finished.endswith("it works")
    assert " 0.1 " in finished
    assert " 0.5 " in finished
    assert "mlp" not in done.out  # the same everywhere: not worth a column


def test_reading_writes_nothing(lumo, ledger, git):
    """A killed run is shown as killed, and stays unpublished until somebody writes."""
    tip = git("rev-parse", "lumo_experiments")
    waiting = list((ledger / ".git/lumo/open").iterdir())
    assert "killed" in lumo("log").out
    assert git("rev-parse", "lumo_experiments") == tip
    assert list((ledger / ".git/lumo/open").iterdir()) == waiting


def test_oneline_and_number(lumo, ledger):
    assert names(lumo("log", "--oneline").out) == ["digits/dies", "digits/second", "digits/first"]
    assert names(lumo("log", "--oneline", "-n", "1").out) == ["digits/dies"]
    assert names(lumo("log", "--oneline", "-1").out) == ["digits/dies"]
    assert len(names(lumo("log", "--oneline", "-n0").out)) == 3
    assert "digits/first finished acc=0.5 loss=0.3333" in lumo("log", "--oneline").out


def test_json(lumo, ledger):
    runs = json.loads(lumo("log", "--json").out, parse_constant=pytest.fail)
    assert [run["state"] for run in runs] == ["killed", "failed", "finished"]
    assert runs[2]["params"] == {"lr": 0.1, "model": "mlp", "optim": {"wd": 0}}
    assert runs[2]["metrics"]["acc"]["best"] == 0.5
    assert runs[1]["exception"]["type"] == "ZeroDivisionError"
    assert runs[0]["metrics"]["acc"]["count"] == 1


def test_an_empty_repository(lumo, repo):
    assert lumo("log").status == 0
    assert "no runs yet" in lumo("log").out
    assert lumo("log", "--oneline").out == ""
    assert json.loads(lumo("log", "--json").out) == []


def test_fifty_rows_unless_asked(lumo, repo):
    for number in range(52):
        gitlumo.Experiment("many", f"run-{number:02d}").start().end()
    assert len(names(lumo("log", "--oneline").out)) == 50
    assert len(names(lumo("log", "--oneline", "-n0").out)) == 52


def test_a_plain_clone_shows_the_same(lumo, ledger, git, tmp_path):
    assert lumo("recover").status == 0
    git("clone", "--quiet", ledger, tmp_path / "clone")
    for words in (["log", "--oneline"], ["log", "--json"], ["show", "@~2", "--json"]):
        assert lumo(*words, cwd=tmp_path / "clone").out == lumo(*words).out
    assert git("for-each-ref", "refs/heads/lumo_experiments", cwd=tmp_path / "clone") == ""


def test_local_and_remote_runs_together(lumo, ledger, git, tmp_path):
    clone = tmp_path / "clone"
    git("clone", "--quiet", ledger, clone)
    gitlumo.Experiment("digits", "there", repo=clone).start().end()
    gitlumo.Experiment("digits", "here").start().end()
    git("fetch", "--quiet", cwd=clone)
    shown = names(lumo("log", "--oneline", cwd=clone).out)
    assert shown[:2] == ["digits/here", "digits/there"]
    assert len(shown) == len(set(shown)) == 5


def damage(ledger, git, path: str, data: str) -> None:
    """Change one file of the ledger's tip, as a stranger with plain git might."""
    blob = git("hash-object", "-w", "--stdin", input=data)
    index = ledger / ".git" / "stranger-index"
    with_index = {**os.environ, "GIT_INDEX_FILE": str(index)}
    for words in (["read-tree", "lumo_experiments"], ["update-index", "--add", "--cacheinfo", f"100644,{blob},{path}"]):
        subprocess.run(["git", *words], env=with_index, check=True)
    tree = subprocess.run(
        ["git", "write-tree"], env=with_index, check=True, capture_output=True, text=True
    ).stdout.strip()
    commit = git("commit-tree", tree, "-p", "lumo_experiments", "-m", "a stranger's change")
    git("update-ref", "refs/heads/lumo_experiments", commit)
    index.unlink()


def place_of(git, test_name: str) -> str:
    paths = git("ls-tree", "-r", "--name-only", "lumo_experiments").splitlines()
    return next(path.removesuffix("/info/uid.json") for path in paths if path.endswith(f"/{test_name}/info/uid.json"))


@pytest.mark.parametrize(
    ("file", "data", "said"),
    [
        ("metrics.json", '{"acc": {"la', "not JSON"),
        ("info/params.json", "", "not JSON"),
        ("info/progress.json", "[]", "damaged"),
        ("info/uid.json", '"short"', "damaged"),
        ("info/format.json", '{"version": 2}', "newer gitlumo"),
    ],
)
def test_a_broken_run_is_named_and_the_others_are_listed(lumo, ledger, git, file, data, said):
    lumo("recover")
    damage(ledger, git, f"{place_of(git, 'first')}/{file}", data)
    done = lumo("log")
    assert done.status == 0
    assert [row.split()[0] for row in done.out.splitlines()[1:]].count("digits/second") == 1
    assert "broken" in done.out
    assert "digits/first" in done.err or "/first" in done.err
    assert said in done.err
    shown = json.loads(lumo("log", "--json").out)
    assert [run["state"] for run in shown].count("broken") == 1
    assert lumo("show", "first").status == 128
    assert said in lumo("show", "first").err


def test_deprecated_runs_are_hidden(lumo, ledger, git):
    lumo("recover")
    uid = json.loads(lumo("show", "first", "--json").out)["uid"]
    edit = {
        "uid": uid,
        "kind": "deprecated",
        "value": True,
        "by": "A <a@b>",
        "at": "2026-01-01T00:00:00.000Z",
        "id": "0" * 16,
    }
    damage(ledger, git, f"{place_of(git, 'first')}/edits/{10**15:017d}-{'0' * 16}.json", json.dumps(edit))
    assert "digits/first" not in lumo("log", "--oneline").out
    assert "digits/first" in lumo("log", "--oneline", "--all").out


class Counting:
    """An object database that counts what is read from it."""

    def __init__(self, base):
        self.base, self.hash_name, self.read_ids = base, base.hash_name, []

    def read(self, id):
        self.read_ids.append(id)
        return self.base.read(id)

    def __getattr__(self, name):
        return getattr(self.base, name)


def test_it_reads_the_runs_that_it_shows_and_no_others(repo):
    """60 runs of one day: the newest three cost their own files, the folders above, and one look at the day."""
    for number in range(60):
        exp = gitlumo.Experiment("many", f"261124.{number:03d}.abcdt", params={"number": number})
        exp.start().end()
    view = open_here().branch.view()
    objects = Counting(view.objects)
    shown = []
    for found in query.Runs(objects, view.tree).newest():
        shown.append(found.record.properties["params"]["number"])
        if len(shown) == 3:
            break
    assert shown == [59, 58, 57]
    assert len(objects.read_ids) <= 3 + 3 * 20
    shutil.rmtree(repo / ".git/lumo/info")  # nor does it need what lies on the disk
    assert next(iter(query.Runs(view.objects, view.tree).newest())).name == "261124.059.abcdt"


def test_clones_that_counted_apart_are_ordered_by_time(repo, git, tmp_path, lumo):
    """Both clones begin at ordinal 000: then the start times decide, not the ordinals."""
    clone = tmp_path / "clone"
    git("clone", "--quiet", repo, clone)
    first = [gitlumo.Experiment("digits").start() for _ in range(3)]
    for exp in first:
        exp.end()
    last = gitlumo.Experiment("digits", repo=clone).start()
    last.end()
    git("fetch", "--quiet", clone, "lumo_experiments:refs/remotes/clone/lumo_experiments")
    assert names(lumo("log", "--oneline").out)[0] == f"digits/{last.test_name}"
    assert json.loads(lumo("show", "@", "--json").out)["uid"] == last.uid


def test_a_deleted_branch_is_said(lumo, ledger, git):
    git("branch", "-D", "lumo_experiments")
    done = lumo("log")
    assert done.status == 128
    assert "git lumo recover" in done.err
    assert lumo("recover").status == 0
    assert len(names(lumo("log", "--oneline").out)) == 3


def test_a_narrow_terminal_is_told_what_it_does_not_show(repo):
    """Metrics come before parameters; what does not fit is left out from the right, and said."""
    for lr in (0.1, 0.2):
        with gitlumo.Experiment("digits", f"run-{lr}", params={"lr": lr, "optimizer": f"adam-{lr}"}) as exp:
            exp.log({"loss": 1 / 3, "acc": 0.5})
            exp.dump_note("a note")
    terminal = {"TERM": "xterm", "GIT_PAGER": "cat"}
    _, wide = on_a_terminal(["git-lumo", "log"], terminal | {"COLUMNS": "100"})
    heads = ["name", "age", "state", "took", "acc", "loss", "lr", "optimizer", "note"]
    assert wide.splitlines()[0].replace("\033[1m", "").replace("\033[m", "").split() == heads
    assert "more column" not in wide
    _, narrow = on_a_terminal(["git-lumo", "log"], terminal | {"COLUMNS": "60"})
    lines = narrow.replace("\033[1m", "").replace("\033[32m", "").replace("\033[m", "").splitlines()
    assert lines[0].split() == heads[:6]
    assert lines[-2] == "... 3 more columns: lr, optimizer, note"
    assert "git lumo show EXP" in lines[-1]
    assert "--json" in lines[-1]
    assert max(map(len, lines)) <= 60
