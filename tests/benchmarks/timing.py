"""Measuring beside each other: interleaved rounds and medians, and functions in a fresh interpreter."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any


def seconds(subject: Callable[[], object]) -> float:
    """How long one call takes."""
    begun = time.perf_counter()
    subject()
    return time.perf_counter() - begun


def interleaved(rounds: int, *subjects: Callable[[], object]) -> list[float]:
    """The median time of each subject, in seconds; each round calls all, every other one backwards."""
    for subject in subjects:
        subject()
    samples: list[list[float]] = [[] for _ in subjects]
    for i in range(rounds):
        order = range(len(subjects)) if i % 2 == 0 else reversed(range(len(subjects)))
        for k in order:
            samples[k].append(seconds(subjects[k]))
    return [statistics.median(sample) for sample in samples]


def process(*command: Any, cwd: Any = None) -> Callable[[], object]:
    """A subject: a whole process, its output read through a pipe."""
    words = [str(word) for word in command]
    return lambda: subprocess.run(words, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, check=True)


def in_child(function: Callable[..., Any], *args: Any, cwd: Any = None) -> Any:
    """What a function of this package returns in a fresh interpreter; arguments and result are JSON values.

    Raises:
        RuntimeError: If it fails, or if gitlumo warns: then it has not done what was to be measured.
    """
    code = (
        "import json, sys\n"
        f"from {function.__module__} import {function.__name__} as function\n"
        "print(json.dumps(function(*json.loads(sys.argv[1]))))"
    )
    command = [sys.executable, "-c", code, json.dumps(args)]
    done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode or "LumoWarning" in done.stderr:
        raise RuntimeError(f"{function.__name__}: {done.stderr}")
    return json.loads(done.stdout)
