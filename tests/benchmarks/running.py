"""``git lumo run``: what it adds to a command, to what the command prints, and to a script that records the run."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from tests.benchmarks import place
from tests.benchmarks.figures import Figure, Goal
from tests.benchmarks.timing import interleaved, process

PRINTED = 100_000_000
LUMO = str(Path(sys.executable).parent / "git-lumo")
LOG = """
import json, sys
from tests.benchmarks.metrics import log_beside_write
print(json.dumps(log_beside_write('.', 1, int(sys.argv[1]))))
"""


def running(work: Path, quick: bool) -> list[Figure]:
    """``git-lumo run`` of nothing, of 100 MB beside tee and beside script; log() of a script in it."""
    repo = place.repository(work / "code", 1000, 20)
    place.soil(repo, 10)
    return [*_nothing(repo, quick), *_printing(repo, quick), _logging(repo, quick)]


def _nothing(repo: Path, quick: bool) -> list[Figure]:
    subjects = [process(LUMO, "run", "-q", "--", "true", cwd=repo), process("true", cwd=repo)]
    mine, bare = (1e3 * median for median in interleaved(3 if quick else 21, *subjects))
    return [Figure("run -- true", mine, "ms", "true", bare, Goal(over=250))]


def _printing(repo: Path, quick: bool) -> list[Figure]:
    size = PRINTED // 100 if quick else PRINTED
    text, copy = repo.parent / "text", repo.parent / "copy"
    text.write_bytes(b"".join(b"epoch %7d loss 0.123456\n" % n for n in range(size // 28)))
    run, nothing = [LUMO, "run", "-q", "--", "cat", text], [LUMO, "run", "-q", "--", "true"]
    ways = [("a pipe", "tee", [["sh", "-c", 'cat "$1" | tee "$2"', "sh", text, copy], run, nothing], _through_pipe)]
    if shutil.which("script"):
        ways.append(
            ("a terminal", "script -q", [["script", "-q", "-c", f"cat '{text}'", copy], run, nothing], _on_terminal)
        )
    figures = []
    for way, other, commands, play in ways:
        subjects = [lambda words=words, play=play: play(words, repo) for words in commands]  # type: ignore[misc]
        bare, whole, start_end = interleaved(1 if quick else 5, *subjects)
        shutil.rmtree(repo / ".git/lumo/blob", ignore_errors=True)
        parts = {"start and end, taken off": start_end}
        figures.append(
            Figure(f"{size // 10**6} MB through {way}", whole - start_end, "s", other, bare, Goal(times=1.3), parts)
        )
    return figures


def _through_pipe(words: list[object], cwd: Path) -> None:
    with subprocess.Popen([str(word) for word in words], cwd=cwd, stdout=subprocess.PIPE) as child:
        assert child.stdout
        while os.read(child.stdout.fileno(), 1 << 20):
            pass
    assert child.returncode == 0


def _on_terminal(words: list[object], cwd: Path) -> None:
    pid, fd = pty.fork()
    if pid == 0:
        try:
            os.chdir(cwd)
            os.execv(shutil.which(str(words[0])) or "", [str(word) for word in words])
        finally:
            os._exit(127)
    with contextlib.suppress(OSError):  # it has ended
        while os.read(fd, 1 << 20):
            pass
    os.close(fd)
    assert os.waitpid(pid, 0)[1] == 0


def _logging(repo: Path, quick: bool) -> Figure:
    """One call of ``log()`` in a script of its own, and in one that has adopted the run of ``git-lumo run``."""
    samples: dict[bool, list[float]] = {True: [], False: []}
    for i in range(2 if quick else 8):
        adopted = i % 2 == 0
        words = [*([LUMO, "run", "-q", "--"] if adopted else []), sys.executable, "-c", LOG, "3" if quick else "10"]
        done = subprocess.run(words, cwd=repo, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
        samples[adopted].append(json.loads(done.stdout)[0] * 1e6)
    mine, plain = statistics.median(samples[True]), statistics.median(samples[False])
    return Figure("log() of a script in a run", mine, "us", "log() of a script alone", plain)
