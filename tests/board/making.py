"""Boards that tests open."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parents[2] / "docs/examples/digits"
TRAININGS = (
    "--model linear --lr 0.01",
    "--model linear --lr 0.1",
    "--model neighbours",
    "--model mlp --lr 0.1",
    "--model mlp --lr 0.1 --seed 2",
    "--model mlp --lr 1 --fail-at 3",
)


def digits(repo: Path) -> None:
    """Train some models of the digits example in a repository of its own."""
    subprocess.run(["git", "init", "--quiet", repo], check=True)
    for path in EXAMPLE.iterdir():
        (repo / path.name).write_bytes(path.read_bytes())
    (repo / ".gitignore").write_text("__pycache__/\n*.html\n")
    subprocess.run(["git", "add", "."], cwd=repo, check=True)
    subprocess.run(["git", "commit", "--quiet", "--message", "Train a classifier of digits"], cwd=repo, check=True)
    for training in TRAININGS:
        command = ["python", "train.py", "--scan", "demo", "--epochs", "6", *training.split()]
        subprocess.run(command, cwd=repo, capture_output=True, check=False)  # the last one is to fail


def board(repo: Path, *words: str) -> Path:
    """Write a repository's board; returns the file."""
    path = repo / "board.html"
    command = [sys.executable, "-m", "gitlumo", "board", "--html", str(path), "--force", *words]
    subprocess.run(command, cwd=repo, check=True, stdout=subprocess.DEVNULL)
    return path


def until(page: Any, expression: str, seconds: float = 60.0) -> None:
    """Wait until an expression is true in a page; Playwright's own wait needs eval, which the page forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"never true: {expression}"
        page.wait_for_timeout(30)
