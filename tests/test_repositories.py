"""Each kind of repository: what docs/repositories.md says of it is what happens."""

import json
import os
import subprocess

import pytest

from gitlumo import SimpleExperiment
from tests import repositories


@pytest.mark.parametrize("kind", repositories.KINDS)
def test_a_row_of_the_page(kind, tmp_path, git, fsck, tree_state):
    if "reftable" in kind and git_version(git) < (2, 45):
        pytest.skip("git is too old for reftable")
    cells = repositories.row(kind, tmp_path, tree_state, fsck)
    if "GITLUMO_ROWS" in os.environ:  # python -m tests.repositories
        with open(os.environ["GITLUMO_ROWS"], "a") as rows:
            rows.write(json.dumps([kind, cells]) + "\n")
        return
    assert cells == repositories.read_page()[kind]


def git_version(git):
    return tuple(int(part) for part in git("version").split()[2].split(".")[:2])


def test_the_page_has_each_kind_and_no_empty_cell():
    rows = repositories.read_page()
    assert list(rows) == list(repositories.KINDS)
    assert all(cell.startswith(("yes", "no")) for cells in rows.values() for cell in cells.values())
    assert repositories.page(rows) == repositories.PAGE.read_text()


def test_a_single_branch_clone_says_how_to_get_the_runs(repo, git, tmp_path, monkeypatch):
    with SimpleExperiment("digits") as exp:
        exp.log({"acc": 0.93})
    git("clone", "-q", "--single-branch", f"file://{repo}", tmp_path / "clone")
    monkeypatch.chdir(tmp_path / "clone")
    said = git("lumo", "log").split("\n")
    assert "no runs yet" in said[0]
    assert "git fetch does not bring lumo_experiments from origin here" in said[1]
    subprocess.run(["sh", "-ec", said[2]], check=True, capture_output=True)
    assert exp.test_name in git("lumo", "log")
    git("clone", "-q", f"file://{repo}", tmp_path / "whole")
    git("branch", "-q", "-d", "-r", "origin/lumo_experiments", cwd=tmp_path / "whole")
    assert git("lumo", "log", cwd=tmp_path / "whole").count("\n") == 0  # there is nothing to say
