"""Every ending of a run, played by a real process; ``python -m tests.endings`` writes docs/endings.md from them.

A row is what was seen: nothing in it is written by hand but the ending's name and how it is played.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "endings.md"
REF = "refs/heads/lumo_experiments"

PRELUDE = """
import os, signal, sys, threading, time, warnings
import gitlumo
def say(*words): os.write(1, (' '.join(map(str, words)) + '\\n').encode())
told = []
def log(*numbers):
    for n in numbers:
        with warnings.catch_warnings(record=True, action='always') as new: exp.log({'n': n})
        told.extend(new)
        say('warned' if told else 'n', n)
def new(name='d'):
    exp = gitlumo.Experiment(name, 'run' if name == 'd' else None, params={'lr': .1})
    return exp
def wait():
    say('ready')
    for _ in range(1200): time.sleep(.05)
"""
WITH = "exp = new()\nwith exp:\n    log(1, 2, 3); exp.dump_note('noted'); "
START = "exp = new().start(); log(1, 2, 3); exp.dump_note('noted')\n"
GENERATOR = (
    "exp = new()\ndef train():\n    with exp:\n"
    "        log(1, 2, 3); exp.dump_note('noted')\n        while True: yield\n"
)
INTERRUPT = "signal.signal(signal.SIGINT, signal.default_int_handler)\n"


NO_STRACE = "strace is not installed, or may not trace"


@functools.cache
def has_strace() -> bool:
    command = ["strace", "-D", "-o", "/dev/null", "true"]
    return shutil.which("strace") is not None and subprocess.run(command, capture_output=True).returncode == 0


@dataclass
class Play:
    """One ending as it is played: the script, in which repository, and who does what to it."""

    script: str
    act: Callable[[subprocess.Popen[str], Path], None] | None = None
    after: Callable[[Path], None] | None = None
    trace: tuple[str, ...] = ()
    disk: bool = False

    @property
    def missing(self) -> str | None:
        """What this machine lacks to play it."""
        if self.trace and not has_strace():
            return NO_STRACE
        return "not root" if self.disk and os.geteuid() != 0 else None


def send(*numbers: int) -> Callable[[subprocess.Popen[str], Path], None]:
    def act(child: subprocess.Popen[str], repo: Path) -> None:
        for number in numbers:
            child.send_signal(number)
        if signal.SIGSTOP in numbers:
            os.waitpid(child.pid, os.WUNTRACED)

    return act


def exec_happens(child: subprocess.Popen[str], repo: Path) -> None:
    until = time.monotonic() + 20
    while Path(f"/proc/{child.pid}/comm").read_text() != "sleep\n" and time.monotonic() < until:
        time.sleep(0.01)


def owner(**changes: object) -> Callable[[Path], None]:
    """As if another process had been the owner."""

    def after(repo: Path) -> None:
        path = repo / ".git/lumo/info/d/run/info/pinfo.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return after


def read_only(child: subprocess.Popen[str], repo: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(repo.parent)], check=True)
    os.write(child.stdin.fileno(), b"\n")


def full(child: subprocess.Popen[str], repo: Path) -> None:
    with open(repo.parent / "filler", "ab", buffering=0) as filler:
        try:
            while filler.write(bytes(4096)):
                pass
        except OSError:
            pass
    os.write(child.stdin.fileno(), b"\n")


def writable(repo: Path) -> None:
    subprocess.run(["mount", "-o", "remount,rw", str(repo.parent)], check=True)
    (repo.parent / "filler").unlink(missing_ok=True)


def writes(error: str, when: str) -> tuple[str, ...]:
    history = "{repo}/.git/lumo/info/d/run/history/00000.jsonl"
    return ("-P", history, "-e", "trace=write", "-e", f"inject=write:error={error}:when={when}")


TERM, KILL = signal.SIGTERM, signal.SIGKILL
JUMP = "real = time.time; time.time = lambda: real() {} 86400; log(4, 5)"
PLAYS = {
    "`exp.end()`": Play(START + "exp.end()"),
    "`exp.end(3)`": Play(START + "exp.end(3)"),
    "the end of `with`": Play(WITH),
    "the end of the script, without `with`": Play(START),
    "an exception in `with`": Play(WITH + "1 / 0"),
    "an exception, without `with`": Play(START + "1 / 0"),
    "an exception that the script catches": Play(START + "try: 1 / 0\nexcept ArithmeticError: pass"),
    "`break` out of a generator that holds the `with`": Play(GENERATOR + "for _ in train(): break"),
    "an exception beside a generator that holds the `with`": Play(GENERATOR + "for _ in train(): 1 / 0"),
    "`sys.exit(3)` in `with`": Play(WITH + "sys.exit(3)"),
    "`sys.exit(3)`, without `with`": Play(START + "sys.exit(3)"),
    "`sys.exit('no data')`, without `with`": Play(START + "sys.exit('no data')"),
    "`sys.exit(3)` that the script catches": Play(START + "try: sys.exit(3)\nexcept SystemExit: pass"),
    "`raise SystemExit(3)` in `with`": Play(WITH + "raise SystemExit(3)"),
    "`raise SystemExit(3)`, without `with`": Play(START + "raise SystemExit(3)"),
    "Ctrl-C": Play(INTERRUPT + START + "wait()", send(signal.SIGINT)),
    "Ctrl-C that the script catches": Play(
        INTERRUPT + START + "try: wait()\nexcept KeyboardInterrupt: pass", send(signal.SIGINT)
    ),
    "SIGTERM in `with`": Play(WITH + "wait()", send(TERM)),
    "SIGTERM, without `with`": Play(START + "wait()", send(TERM)),
    "SIGTERM twice": Play(WITH + "wait()", send(TERM, TERM)),
    "SIGTERM, and the script catches SystemExit": Play(START + "try: wait()\nexcept SystemExit: log(4)", send(TERM)),
    "SIGTERM with a handler of the script's": Play(
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\n" + START + "wait()", send(TERM)
    ),
    "SIGTERM beside a thread that never ends": Play(
        START + "threading.Thread(target=time.sleep, args=(60,)).start(); wait()", send(TERM)
    ),
    "SIGTERM, started in a thread": Play(
        "exp = new(); t = threading.Thread(target=exp.start); t.start(); t.join()\n"
        "log(1, 2, 3); exp.dump_note('noted'); wait()",
        send(TERM),
    ),
    "SIGTERM in asyncio": Play(
        "import asyncio\nexp = new()\nasync def main():\n    with exp:\n        log(1, 2, 3); exp.dump_note('noted')\n"
        "        os.kill(os.getpid(), 15); await asyncio.sleep(60)\nasyncio.run(main())"
    ),
    "SIGTERM in asyncio, between two tasks": Play(
        "import asyncio\nexp = new()\nasync def main():\n    with exp:\n        log(1, 2, 3); exp.dump_note('noted')\n"
        "        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), 15); await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    ),
    "SIGKILL, out of memory": Play(WITH + "wait()", send(KILL)),
    "SIGHUP, the terminal is closed": Play(WITH + "wait()", send(signal.SIGHUP)),
    "a crash (SIGSEGV)": Play(WITH + "wait()", send(signal.SIGSEGV)),
    "`os._exit(0)`": Play(WITH + "os._exit(0)"),
    "`os.execv`, and the other program runs": Play(
        WITH + "say('ready'); os.execvp('sleep', ['sleep', '60'])", exec_happens
    ),
    "SIGSTOP, and nothing more": Play(WITH + "wait()", send(signal.SIGSTOP)),
    "`os.fork`, and the child logs, too": Play(
        "warnings.simplefilter('ignore')\n" + START + "if not os.fork(): exp.log({'n': 99}); sys.exit(5)\nos.wait()"
    ),
    "`multiprocessing` by fork, the worker is terminated": Play(
        START + "import multiprocessing as m\nif True:\n"
        "    w = m.get_context('fork').Process(target=time.sleep, args=(60,)); w.start(); w.terminate(); w.join()"
    ),
    "`multiprocessing` by spawn": Play(
        START + "import multiprocessing as m\nw = m.get_context('spawn').Process(target=print); w.start(); w.join()"
    ),
    "threads log": Play(
        START + "ts = [threading.Thread(target=log, args=(n,)) for n in (4, 5, 6)]\n"
        "for t in ts: t.start()\nfor t in ts: t.join()"
    ),
    "the clock jumps forward by a day": Play(START + JUMP.format("+")),
    "the clock jumps back by a day": Play(START + JUMP.format("-")),
    "SIGKILL, and the pid is used again": Play(WITH + "wait()", send(KILL), owner(pid=os.getpid())),
    "SIGKILL on another host of a shared disk": Play(WITH + "wait()", send(KILL), owner(host="elsewhere")),
    "the machine restarts": Play(WITH + "wait()", send(KILL), owner(boot="an earlier one")),
    "the disk is full for a while": Play(
        WITH + "say('ready'); input(); log(4, 5); os.unlink('../filler')", full, disk=True
    ),
    "the disk is full until the end": Play(WITH + "say('ready'); input(); log(4, 5)", full, writable, disk=True),
    "the disk becomes read-only": Play(  # asked to, it refuses while a file is open for writing
        WITH + "exp._journal.close(); say('ready'); input(); log(4, 5)", read_only, writable, disk=True
    ),
    "EIO at the third value": Play(WITH + "log(4, 5)", trace=writes("EIO", "3")),
    "EIO from the third value on": Play(WITH + "log(4, 5)", trace=writes("EIO", "3+")),
    "ENOSPC from the third value on, then SIGKILL": Play(WITH + "wait()", send(KILL), trace=writes("ENOSPC", "3+")),
}
HEAD = ("ending", "state", "end_code", "kept", "published by", "exit status")


def git(repo: Path, *args: str) -> bytes | None:
    done = subprocess.run(["git", *args], cwd=repo, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def show(repo: Path, path: str) -> bytes | None:
    found = (git(repo, "ls-tree", "-r", "--name-only", REF) or b"").decode().split()
    place = next((name for name in found if name.startswith("d/") and name.endswith(f"/run/{path}")), None)
    return git(repo, "show", f"{REF}:{place}") if place else None


def state(repo: Path) -> tuple[str, object]:
    """State and end_code of the run in the ledger, as docs/format.md says."""
    progress = json.loads(show(repo, "info/progress.json") or "{}")
    if progress.get("killed"):
        return "killed", progress["end_code"]
    if not progress or progress["end"] is None:
        return "running", None
    return ("failed", "finished")[progress["end_code"] == 0], progress["end_code"]


def play(name: str, repo: Path) -> tuple[str, ...]:
    """Let a run end in a repository without runs; returns its row."""
    it = PLAYS[name]
    command = [sys.executable, "-c", PRELUDE + it.script]
    if it.trace:
        trace = [word.format(repo=repo.resolve()) for word in it.trace]
        command = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", *trace, *command]
    child = subprocess.Popen(
        command, cwd=repo, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        start_new_session=True,
    )  # fmt: skip
    values, warned = [], []
    try:
        for line in child.stdout:
            word, _, number = line.strip().partition(" ")
            {"n": values, "warned": warned}.get(word, []).append(number)
            if word == "ready":
                it.act(child, repo)
                if signal.SIGSTOP in _stopped(child) or it.act is exec_happens:
                    break
        status = _status(child)
        if it.after:
            it.after(repo)
        who = _publisher(repo)
        said, code = state(repo)
        kept = _kept(repo, values, warned)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, KILL)
        child.wait()
        child.stdin.close()
        child.stdout.close()
    return name, said, "none" if code is None else str(code), kept, who, status


def _stopped(child: subprocess.Popen[str]) -> tuple[int, ...]:
    try:
        text = Path(f"/proc/{child.pid}/stat").read_text()
    except OSError:
        return ()
    return (signal.SIGSTOP,) if text.rpartition(")")[2].split()[0] == "T" else ()


def _status(child: subprocess.Popen[str]) -> str:
    if _stopped(child):
        return "none: it is stopped"
    try:
        status = child.wait(0.5 if child.stdout.closed else 1)
    except subprocess.TimeoutExpired:
        return "none: it runs"
    return signal.Signals(-status).name if status < 0 else str(status)


def _publisher(repo: Path) -> str:
    if state(repo)[0] != "running":
        return "itself, at the end"
    environ = {**os.environ, "PYTHONWARNINGS": "ignore"}
    other = [sys.executable, "-c", "import gitlumo; gitlumo.Experiment('next').start().end()"]
    subprocess.run(other, cwd=repo, check=True, env=environ, stderr=subprocess.DEVNULL)
    if state(repo)[0] != "running":
        return "the next `start()`"
    subprocess.run(["git", "lumo", "recover", "--force", "d/run"], cwd=repo, capture_output=True, check=False)
    return "nobody: it is alive" if state(repo)[0] == "running" else "`git lumo recover --force`"


def _kept(repo: Path, values: list[str], warned: list[str]) -> str:
    live = state(repo)[0] == "running"
    folder = repo / ".git/lumo/info/d/run"

    def read(path: str) -> bytes | None:
        return (folder / path).read_bytes() if live and (folder / path).exists() else show(repo, path)

    lines = [json.loads(line) for line in (read("history/00000.jsonl") or b"").splitlines() if line[-1:] == b"}"]
    there = {str(line["n"]) for line in lines}
    assert there <= {*values, *warned}, f"{there} are more than {values} and {warned}"
    assert len(lines) == len(there), "a value is there twice"
    words = [f"{sum(value in there for value in values)} of {len(values)} values"]
    if warned:
        words.append(f"{sum(value in there for value in warned)} of {len(warned)} after a warning")
    for path, word in (("note.md", "note"), ("info/params.json", "params")):
        words += [word] if read(path) is not None else [f"no {word}"]
    return ", ".join(words) + (", on disk" if live else "")


def page(rows: dict[str, tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (HEAD, ["---"] * len(HEAD), *rows.values())]
    return TEXT.format(table="\n".join(lines))


TEXT = """\
# How runs end

This table is made by `python -m tests.endings` from real processes, and the tests play each row again. Each run
logs values, a note and parameters, and then ends so:

{table}

* **kept** counts the values whose calls had returned, apart those from a warning on (the disk did not take them,
  and they wait in memory; it is said once), and says whether note and parameters are in the ledger.
* **published by**: "the next `start()`" in this repository, or `git lumo recover`, whichever comes first. Until
  then `git lumo log` shows the run as killed, or as running where this machine cannot know.
* **state** and **end_code** are those in the ledger after that; the exit status is what the parent process sees.

## SIGTERM

A handler is set by `start()` only in the main thread and only if the script left the default one. It raises
`SystemExit(143)` there, so `with` and `finally` unwind, waits while a call of gitlumo is under way, and goes with
the last run of the process.
If nothing catches it, the run is published as failed with 143, `atexit`'s callbacks run, files are flushed, and at
the very last the process dies by SIGTERM, as its parent expects. A second SIGTERM meanwhile changes nothing; a
script that catches `SystemExit` goes on.
Threads are not waited for (where one that is not a daemon is alive, `atexit`'s callbacks of others do not run, as
without gitlumo). Forked children have the default handler again. In an interactive session, which would catch
`SystemExit`, runs are published and the process dies at once.

## `sys.exit` without `with`

The interpreter tells no callback with what it ends. While a run is open, `sys.exit` (and `exit`, `quit`) is
therefore a function that notes its argument and calls the real one; it counts only if an exception then left the
main program. `raise SystemExit(3)` outside of `with` passes by it: the run is recorded as finished, like one whose
script just ended.
"""


def make_repository(path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet", str(path)], check=True)
    subprocess.run(["git", "commit", "--quiet", "--allow-empty", "-m", "a training"], cwd=path, check=True)
    return path


def main() -> None:
    from tests.conftest import GITCONFIG

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, ".gitconfig").write_text(GITCONFIG)
        os.environ.update(
            HOME=folder, GIT_CONFIG_GLOBAL=f"{folder}/.gitconfig", GIT_CONFIG_NOSYSTEM="1", LC_ALL="C.UTF-8"
        )
        rows = {}
        for number, name in enumerate(PLAYS):
            began = time.monotonic()
            with disk(Path(folder, str(number)), PLAYS[name]) as place:
                rows[name] = play(name, make_repository(place / "repo"))
            print(*rows[name], round(time.monotonic() - began, 1), sep=" | ")
    PAGE.write_text(page(rows))


class disk:
    """A folder; on a small disk of its own for those that need one."""

    def __init__(self, path: Path, it: Play):
        self.path, self.it = path, it

    def __enter__(self) -> Path:
        self.path.mkdir()
        if self.it.disk:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(self.path)], check=True)
        return self.path

    def __exit__(self, *_: object) -> None:
        if self.it.disk:
            subprocess.run(["umount", "--lazy", str(self.path)], check=True)


if __name__ == "__main__":
    main()
