"""The main job: real training in a real dirty repository, seen with gitlumo, with plain git, and in a plain clone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent / "docs/examples/digits"


def lumo(*words: str, cwd: Path | None = None) -> str:
    return subprocess.run(["git", "lumo", *words], cwd=cwd, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def trained(repo, git):
    """The example in a repository with an edit and a new module that are not committed, trained five times."""
    (repo / "train.py").write_bytes((EXAMPLE / "train.py").read_bytes())
    git("add", "train.py")
    git("commit", "--quiet", "--message", "the example")
    (repo / "train.py").write_text((repo / "train.py").read_text().replace("BATCH = 64", "BATCH = 256"))
    (repo / "augment.py").write_text("def augment(images, labels):\n    return images[::3], labels[::3]\n")
    (repo / "notes.log").write_text("ignored")
    statuses = [
        subprocess.run([sys.executable, "train.py", "--epochs", "3", *words.split()], capture_output=True).returncode
        for words in (
            "--model linear --lr 0.1",
            "--model neighbours",
            "--model mlp --lr 1 --fail-at 2",
            "--model mlp --lr 0.1 --die-at 2",
            "--model mlp --lr 0.1",
        )
    ]
    assert statuses == [0, 0, 1, -9, 0]
    return repo


def test_real_training(trained, git, fsck, tree_state, tmp_path):
    before = tree_state(trained)
    runs = json.loads(lumo("log", "--json"))
    assert [run["state"] for run in runs] == ["finished", "killed", "failed", "finished", "finished"]
    last, killed, failed, baseline, linear = runs
    assert last["metrics"]["test_acc"]["best"] > 0.5
    assert len(last["metrics"]["test_acc"]["with"]["per_class"]) == 10
    assert killed["metrics"]["loss"]["count"] == killed["metrics"]["test_acc"]["count"] == 2
    assert failed["exception"]["type"] == "ValueError"
    assert failed["metrics"]["loss"]["count"] == 1
    assert baseline["exp_name"] == "digits-baseline"
    assert linear["params"]["lr"] == 0.1
    assert last["note"].startswith("mlp reached 0.")

    # The code: one commit for all five, made on HEAD, with what was not committed and without what is ignored.
    commits = {run["git"]["commit"] for run in runs}
    assert len(commits) == 1
    (commit,) = commits
    assert git("rev-parse", f"{commit}^") == git("rev-parse", "HEAD")
    assert "BATCH = 256" in git("show", f"{commit}:train.py")
    assert git("ls-tree", "-r", "--name-only", commit).split() == [".gitignore", "augment.py", "train.py"]

    # Plain git reads it all.
    subjects = git("log", "--format=%s", "--grep=^Lumo-Event:", "lumo_experiments").splitlines()
    assert len(subjects) == 10
    assert subjects[0].startswith(f"digits/{last['test_name']} finished test_acc=0.")
    place = f"digits/{last['test_name'][:6]}/{last['test_name']}"
    assert json.loads(git("show", f"lumo_experiments:{place}/info/params.json")) == last["params"]
    assert "test_acc" in lumo("show", "@")
    assert "recall" in lumo("show", "@:text/report.txt")

    # A plain clone prints the same, also after a gc, and nothing of the user's has changed.
    assert tree_state(trained) == before
    git("gc", "--quiet", "--prune=now")
    git("clone", "--quiet", trained, tmp_path / "clone")
    assert lumo("log", "--json", cwd=tmp_path / "clone") == lumo("log", "--json")
    assert lumo("show", "@~2", "--json", cwd=tmp_path / "clone") == lumo("show", "@~2", "--json")
    assert git("cat-file", "-t", commit, cwd=tmp_path / "clone") == "commit"
    assert git("status", "--short").split() == ["M", "train.py", "??", "augment.py"]
    fsck(trained)
    fsck(tmp_path / "clone")
