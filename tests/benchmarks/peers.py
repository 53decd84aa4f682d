"""Boards of other trackers over as many runs; each lives in a venv of its own, and is passed over where that is not.

GITLUMO_PEERS names the folder of the venvs: `python3 -m venv F/trackio && F/trackio/bin/pip install trackio`, and the
same for tensorboard.
"""

from __future__ import annotations

import contextlib
import os
import re
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RUNS = 200
STEPS = 20
NAMES = re.compile(r"\brun\d{4}\b")
URL = re.compile(r"http://[\w.]+:\d+\S*")

TRACKIO = f"""
import trackio
for i in range({RUNS}):
    trackio.init(project="bench", name=f"run{{i:04}}", config={{"lr": i}})
    for step in range({STEPS}):
        trackio.log({{"loss": 1 / (step + 1), "acc": step / {STEPS}}}, step=step)
    trackio.finish()
"""
TENSORBOARD = f"""
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter
for i in range({RUNS}):
    writer = EventFileWriter(f"runs/run{{i:04}}")
    for step in range({STEPS}):
        for tag, value in (("loss", 1 / (step + 1)), ("acc", step / {STEPS})):
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
            writer.add_event(Event(step=step, wall_time=1.7e9 + step, summary=summary))
    writer.close()
"""
PEERS = {
    "trackio": (TRACKIO, ["trackio", "show", "--project", "bench"]),
    "tensorboard": (TENSORBOARD, ["tensorboard", "--logdir", "runs", "--port", "0", "--host", "127.0.0.1"]),
}


def boards(browser: Any, work: Path, rounds: int) -> dict[str, float]:
    """Of each peer that is there: seconds from its command until all runs are named on its page (median)."""
    found = {}
    for name, (record, command) in PEERS.items():
        programs = Path(os.environ.get("GITLUMO_PEERS", "")) / name / "bin"
        if not (programs / command[0]).is_file():
            continue
        folder = work / name
        folder.mkdir()
        env = {**os.environ, "TRACKIO_DIR": str(folder / "data"), "HF_HUB_OFFLINE": "1", "BROWSER": "true"}
        env["PYTHONUNBUFFERED"] = "1"
        subprocess.run([programs / "python", "-c", record], cwd=folder, env=env, check=True, capture_output=True)
        words = [str(programs / command[0]), *command[1:]]
        found[name] = statistics.median(_seen(browser, words, folder, env) for _ in range(rounds))
    return found


def _seen(browser: Any, command: list[str], folder: Path, env: dict[str, str]) -> float:
    begun = time.perf_counter()
    with _serving(command, folder, env) as url:
        page = browser.new_context().new_page()
        page.goto(url, wait_until="commit")
        while len(set(NAMES.findall(page.locator("body").inner_text()))) < RUNS:
            assert time.perf_counter() - begun < 60
            page.wait_for_timeout(10)
        took = time.perf_counter() - begun
        page.context.close()
    return took


@contextlib.contextmanager
def _serving(command: list[str], folder: Path, env: dict[str, str]) -> Iterator[str]:
    """A peer's board; its address."""
    out = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, env=env, stdout=out, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout
        try:
            yield next(found[0] for line in process.stdout if (found := URL.search(line)) and "github" not in line)
        finally:
            process.kill()
