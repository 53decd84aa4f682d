"""The README runs: its snippets, its commands, and what it says of them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def trained(repo):
    for number, snippet in enumerate(blocks("python")):
        script = repo / f"snippet{number}.py"
        script.write_text(snippet)
        subprocess.run([sys.executable, script], check=True, capture_output=True)
    return repo


def test_the_five_minutes(repo, git):
    script = repo / "train.py"
    script.write_text(next(block for block in blocks("python") if "dump_metric" in block))
    for _ in range(2):
        subprocess.run([sys.executable, script], check=True, capture_output=True)
    commands = next(block for block in blocks("sh") if "git lumo log" in block)
    done = subprocess.run(["sh", "-e", "-c", commands], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "finished acc=0.75" in done.stdout
    assert "Snapshot of the work tree" in done.stdout
    assert git("status", "--short") == " M train.py"


def test_the_snippets_run(trained, git):
    made = [f"?? snippet{number}.py" for number in range(len(blocks("python")))]
    assert git("status", "--short").splitlines() == made


TRAIN = """\
import argparse, gitlumo
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=1)
args = parser.parse_args()
with gitlumo.SimpleExperiment("digits", params=args) as exp:
    exp.log({"loss": args.lr})
"""


def test_the_commands_that_run_and_run_again(repo, git):
    (repo / "train.py").write_text(TRAIN)
    (repo / "solve.sh").write_text("echo loss=0.5\n")
    commands = next(block for block in blocks("sh") if "git lumo rerun" in block)
    done = subprocess.run(["sh", "-e", "-c", commands], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "gives the same as digits/" in done.stdout
    assert git("log", "--oneline", "--grep=^Lumo-Event: end", "lumo_experiments").count("digits/") >= 9
    assert "solver/" in git("log", "--format=%s", "lumo_experiments")


def test_the_commands_beside_the_code(trained, git, tmp_path):
    git("init", "-q", "--bare", tmp_path / "origin")
    git("remote", "add", "origin", tmp_path / "origin")
    commands = next(block for block in blocks("sh") if "git lumo purge" in block)
    done = subprocess.run(["sh", "-e", "-c", commands], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Notes (lumo):\n    digits/" in done.stdout
    assert "No run is recorded on these commits." in done.stdout
    assert "its tombstone is in lumo_experiments" in done.stdout


def test_the_map_names_every_room():
    rooms = {path.relative_to("gitlumo").with_suffix("").as_posix() for path in _modules()}
    missing = {room for room in rooms if f"`{room.rpartition('/')[2]}`" not in README and f"`{room}`" not in README}
    assert missing == set()


def _modules() -> list[Path]:
    here = Path(__file__).parent.parent
    named = (path.relative_to(here) for path in (here / "gitlumo").rglob("*.py"))
    return [path for path in named if path.stem not in ("__init__", "__main__") and path.parts[1] != "cli"]


def test_the_branch_is_moved_in_one_place():
    here = Path(__file__).parent.parent / "gitlumo"
    moves = [path.name for path in here.rglob("*.py") for _ in re.findall(r"\brefs\.move\(ref,", path.read_text())]
    assert moves == ["ledger.py"]
