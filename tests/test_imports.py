"""What importing costs, counted: modules, not milliseconds."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "pandas",
    "panel",
    "github",
    "dulwich",
    "pygit2",
    "tabulate",
    "yaml",
    "numpy",
    "torch",
    "subprocess",
    "sqlite3",
}
COUNT = "import json, sys; before = set(sys.modules); {}; print(json.dumps(sorted(set(sys.modules) - before)))"


def imported(statement: str) -> set[str]:
    code = COUNT.format(statement)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_gitlumo_is_nearly_free():
    new = imported("import gitlumo")
    assert new & HEAVY == set()
    assert len([name for name in new if name.startswith("gitlumo")]) <= 1


def test_the_classes_need_no_engine():
    new = imported("from gitlumo import SimpleExperiment, Experiment, ExpHook, start")
    assert new & {"pandas", "panel", "github", "dulwich", "pygit2", "tabulate", "yaml", "numpy"} == set()


@pytest.mark.parametrize(("words", "not_needed"), [
    (["log"], {"dulwich", "github", "yaml", "tabulate", "pandas", "numpy"}),
    (["log", "--json"], {"dulwich", "github", "yaml", "tabulate"}),
    (["show"], {"dulwich", "github", "yaml"}),
])  # fmt: skip
def test_a_verb_imports_what_it_needs(repo, words, not_needed):
    import gitlumo

    gitlumo.Experiment("digits").start().end()
    code = COUNT.format(f"from gitlumo.cli import main; assert main({words!r}) == 0")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout.splitlines()[-1])) & not_needed == set()


@pytest.mark.parametrize("verb", ["show", "note", "tag", "rm", "undo"])
def test_completion_of_runs_reads_the_index_and_needs_nothing_else(repo, verb):
    import gitlumo

    with gitlumo.Experiment("digits") as exp:
        exp.log({"loss": 1.0})
    subprocess.run(["git", "lumo", "log"], check=True, capture_output=True)
    subprocess.run(["git", "lumo", "log"], check=True, capture_output=True)
    code = COUNT.format(f"from gitlumo.cli import main; assert main(['__complete', 'bash', {verb!r}, '2']) == 0")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *candidates, modules = done.stdout.splitlines()
    assert candidates == [exp.test_name]
    new = set(json.loads(modules))
    assert new & {"dulwich", "pygit2", "hashlib", "difflib"} == set()
    stores = {name for name in new if name.startswith("gitlumo.store.")}
    assert stores == {"gitlumo.store.columns", "gitlumo.store.index"}


def test_log_from_the_index_reads_nothing_else(repo):
    import gitlumo

    with gitlumo.Experiment("digits") as exp:
        exp.log({"loss": 1.0})
    subprocess.run(["git", "lumo", "log"], check=True, capture_output=True)
    for words in (["log"], ["log", "--oneline"], ["__complete", "bash", "log", "--sort", ""]):
        new = imported(f"from gitlumo.cli import main; assert main({words!r}) == 0")
        assert new & {"dulwich", "pygit2", "hashlib"} == set()
        assert {name for name in new if name.startswith("gitlumo.store.")} == {
            "gitlumo.store.columns",
            "gitlumo.store.index",
        }
