"""Boards that tests open."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.backup.emulator import installed

EXAMPLE = Path(__file__).parents[2] / "docs/examples/digits"
TRAININGS = (
    "--model linear --lr 0.01",
    "--model linear --lr 0.1",
    "--model neighbours",
    "--model mlp --lr 0.1",
    "--model mlp --lr 0.1 --seed 2",
    "--model mlp --lr 1 --fail-at 3",
)


SERIOUS = ("serious", "critical")


def example(repo: Path) -> None:
    """The digits example in a repository of its own, nothing trained."""
    subprocess.run(["git", "init", "--quiet", repo], check=True)
    for path in EXAMPLE.iterdir():
        (repo / path.name).write_bytes(path.read_bytes())
    (repo / ".gitignore").write_text("__pycache__/\n*.html\n")
    subprocess.run(["git", "add", "."], cwd=repo, check=True)
    subprocess.run(["git", "commit", "--quiet", "--message", "Train a classifier of digits"], cwd=repo, check=True)


def digits(repo: Path) -> None:
    """Train some models of the digits example in a repository of its own."""
    example(repo)
    for training in TRAININGS:
        command = ["python", "train.py", "--scan", "demo", "--epochs", "6", *training.split()]
        subprocess.run(command, cwd=repo, capture_output=True, check=False)  # the last one is to fail


def board(repo: Path, *words: str) -> Path:
    """Write a repository's board; returns the file."""
    path = repo / "board.html"
    command = [sys.executable, "-m", "gitlumo", "board", "--html", str(path), "--force", *words]
    subprocess.run(command, cwd=repo, check=True, stdout=subprocess.DEVNULL)
    return path


def faults(page: Any) -> list[tuple[str, str]]:
    """What axe-core finds, of the serious kinds: its id, and where."""
    page.evaluate((installed() / "node_modules/axe-core/axe.min.js").read_text())
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    return [(each["id"], node["html"][:200]) for each in found if each["impact"] in SERIOUS for node in each["nodes"]]


def until(page: Any, expression: str, seconds: float = 60.0) -> None:
    """Wait until an expression is true in a page; Playwright's own wait needs eval, which the page forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"never true: {expression}"
        page.wait_for_timeout(30)
