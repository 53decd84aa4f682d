"""Large ledgers, fast: what N runs would have left on the branch (docs/format.md), through git-fast-import(1)."""

from __future__ import annotations

import datetime
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitlumo import values
from gitlumo.hooks import BUILT_IN
from gitlumo.store import layout, record
from tests.benchmarks.place import git

BRANCH = "refs/heads/lumo_experiments"
ADA = "Ada Lovelace <ada@example.org>"
EXP_NAMES = ("digits", "imagenet-resnet", "sweep")
FILES = dict[str, bytes]
_DAY = 86400


@dataclass(frozen=True)
class Made:
    """One run of a made ledger: the files that its start publishes, and those that its end puts over them."""

    exp_name: str
    test_name: str
    uid: str
    start: float
    took: float
    begun: FILES
    ended: FILES
    metrics: dict[str, Any]
    params: dict[str, Any]
    state: str


def write(
    repo: Path,
    runs: int,
    *,
    exp_names: Sequence[str] = EXP_NAMES,
    days: int = 30,
    steps: int | Sequence[int] = 20,
    metrics: int = 2,
    until: float | None = None,
    seed: int = 1,
) -> list[str]:
    """Write a new ledger of finished, failed and killed runs, a start and an end commit each.

    Args:
        repo: A repository with a commit and without a ledger.
        runs: How many.
        exp_names: Taken in turn.
        days: On how many days, the last of which is that of ``until``.
        steps: Lines of history a run; 0: none, and no metrics; of several numbers each run takes one.
        metrics: How many a line has, at least ``loss`` and ``acc``.
        until: When the last run started, in seconds since 1970; None: now.
        seed: Equal arguments give equal ledgers.

    Returns:
        The test_names in order.
    """
    head = git("rev-parse", "HEAD", cwd=repo)
    last = time.time() if until is None else until
    names = []
    importing = subprocess.Popen(
        ["git", "-c", "fastimport.unpackLimit=0", "fast-import", "--quiet"], cwd=repo, stdin=subprocess.PIPE
    )
    assert importing.stdin
    with importing.stdin as out:
        stamp = f"{layout.IDENTITY} {layout.ROOT_TIME} +0000"
        out.write(_commit(stamp, layout.ROOT_MESSAGE))
        for run in make(runs, head, exp_names, days, steps, metrics, last, seed):
            names.append(run.test_name)
            out.write(_event(run, "start", run.start, run.begun, run.params, "running", head))
            best = record.best_facts(run.metrics)
            out.write(_event(run, "end", run.start + run.took, run.ended, best, run.state, None))
    if importing.wait():
        raise RuntimeError(f"git fast-import ended with {importing.returncode}")
    return names


def _event(
    run: Made, kind: str, when: float, files: FILES, facts: dict[str, Any], state: str, snapshot: str | None
) -> bytes:
    subject = layout.event_subject(f"{run.exp_name}/{run.test_name}", state, facts)
    message = layout.event_message([(kind, run.uid, subject)])
    folder = layout.run_folder(run.exp_name, run.test_name, values.time_text(run.start))
    parts = [_commit(f"{ADA} {int(when)} +0000", message)]
    if snapshot:
        parts.append(f"merge {snapshot}\n".encode())
    parts += [
        b"M 100644 inline %s/%s\n%s" % (folder.encode(), path.encode(), _data(data)) for path, data in files.items()
    ]
    return b"".join(parts)


def _commit(stamp: str, message: str) -> bytes:
    return f"commit {BRANCH}\nauthor {stamp}\ncommitter {stamp}\n".encode() + _data(message.encode())


def _data(data: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(data), data)


def make(
    runs: int,
    head: str,
    exp_names: Sequence[str],
    days: int,
    steps: int | Sequence[int],
    metrics: int,
    last: float,
    seed: int,
) -> Iterator[Made]:
    """The runs of a ledger, oldest first."""
    dice = random.Random(seed)
    midnight = last - last % _DAY
    counts: Counter[tuple[str, str]] = Counter()
    shared = _shared_files(head)
    for i in range(runs):
        day, nth = divmod(i * days, runs)
        begin = midnight - (days - 1 - day) * _DAY
        span = min(last - begin, _DAY - 1.0)
        start = round(begin + span * nth / runs, 3)
        exp_name = exp_names[i % len(exp_names)]
        date = datetime.datetime.fromtimestamp(start, datetime.UTC).strftime("%y%m%d")
        tail = "".join(dice.choices("0123456789abcdefghijklmnopqrstuvwxyz", k=4))
        test_name = f"{date}.{counts[exp_name, date]:03d}.{tail}t"
        counts[exp_name, date] += 1
        lines = steps if isinstance(steps, int) else dice.choice(steps)
        yield _run(exp_name, test_name, start, shared, lines, metrics, dice)


def _run(
    exp_name: str, test_name: str, start: float, shared: FILES, steps: int, count: int, dice: random.Random
) -> Made:
    uid = f"{dice.getrandbits(128):032x}"
    took = round(dice.uniform(1, 600), 3)
    fate = dice.choices(["finished", "failed", "killed"], [90, 7, 3])[0]
    params = {
        "lr": round(10 ** dice.uniform(-4, -1), 6),
        "depth": dice.choice([18, 34, 50]),
        "seed": dice.randrange(100),
    }
    params |= {"batch_size": dice.choice([32, 64, 128]), "optim": {"name": dice.choice(["sgd", "adam"]), "decay": 1e-4}}
    begun = shared | {
        "info/exp_name.json": values.to_bytes(exp_name),
        "info/test_name.json": values.to_bytes(test_name),
        "info/uid.json": values.to_bytes(uid),
        "info/params.json": values.to_bytes(params),
        "info/pinfo.json": values.to_bytes(_pinfo(start, params, dice)),
        "info/progress.json": values.to_bytes(_progress(start, start, 2)),
    }
    if dice.random() < 0.2:
        begun |= {"note.md": b"a try with a lower rate\n", "info/tags.json": values.to_bytes(["baseline", "paper"])}
    lines = _curve(steps, count, took, dice)
    end = _progress(start, start + took, 4) | {"end": values.time_text(start + took), "end_code": 0}
    if fate == "finished":
        end |= {"finished": True, "ratio": 1.0}
    elif fate == "failed":
        end |= {"end_code": 1}
    else:
        end |= {"end": None, "end_code": None, "killed": values.time_text(start + took), "seq": 3}
    ended = {"info/progress.json": values.to_bytes(end)}
    if fate == "failed":
        trace = 'Traceback (most recent call last):\n  File "train.py", line 81, in step\nValueError: loss is NaN\n'
        error = {"type": "ValueError", "message": "loss is NaN", "traceback": trace}
        ended["info/exception.json"] = values.to_bytes(error)
    metrics = record.fold(lines)
    if metrics:
        ended["history/00000.jsonl"] = b"".join(_history(lines))
        ended["metrics.json"] = record.metrics_to_bytes(metrics)
    summaries = {key: metric.summary() for key, metric in metrics.items()}
    return Made(exp_name, test_name, uid, start, took, begun, ended, summaries, params, fate)


def _progress(start: float, now: float, seq: int) -> dict[str, Any]:
    return {
        **dict.fromkeys(("end", "end_code", "killed", "update_from")),
        "start": values.time_text(start),
        "last_edit_time": values.time_text(now),
        "ratio": 0.0,
        "finished": False,
        "seq": seq,
    }


def _curve(steps: int, count: int, took: float, dice: random.Random) -> list[layout.Line]:
    """A loss that falls and an accuracy, of which the greatest is the best, that rises; more metrics are noise."""
    lines = []
    for step in range(steps):
        loss = 2.3 / (1 + step / 3) + dice.gauss(0, 0.02)
        numbers = {"acc": 1 - loss / 2.5, "loss": loss}
        numbers |= {f"layer_{i}/norm": dice.gauss(i, 0.1) for i in range(count - len(numbers))}
        lines.append(layout.Line(step, round(took * step / steps, 3), numbers, "max", {}))
    return lines


def _history(lines: Sequence[layout.Line]) -> Iterator[bytes]:
    for i, line in enumerate(lines):
        yield layout.format_line(line.step, line.time, line.numbers, {"$cmp": "max"} if i == 0 else None)


def _pinfo(start: float, params: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    pid = dice.randrange(300, 400000)
    argv = ["python", "train.py", f"--lr={params['lr']}", f"--seed={params['seed']}"]
    ticks = int(start * 100) % 10**9
    return {
        "pid": pid,
        "hash": f"{dice.getrandbits(128):032x}",
        "obj": {"argv": argv, "pid": pid, "pname": "python3.11", "pstart": round(start - 1.2, 2), "ticks": ticks},
        "host": "workstation",
        "boot": "2c6e1f0a-52d3-4b44-9c30-7a5f0e7ab111",
        "namespace": "pid:[4026531836]",
    }


def _shared_files(head: str) -> FILES:
    """Files that are the same in many runs."""
    lock = {f"some-package-{i}": f"{i % 7}.{i % 11}.{i % 13}" for i in range(200)} | {"python": "3.11.9"}
    execute = {"cwd": ".", "exec_argv": ["train.py"], "exec_bin": "~/venv/bin/python", "exec_file": "train.py"}
    code = {"commit": head, "head": head, "branch": "main", "dirty": False, "dep_hash": "0" * 32, "repo": "~/code"}
    roots = {f"{root}_root": f".git/lumo/{root}" for root in ("info", "blob")} | {"cache_root": "~/.cache/gitlumo"}
    infos: dict[str, Any] = {
        "format": {"version": layout.VERSION},
        "lock": lock,
        "execute": execute | {"repo": "~/code"},
        "git": code | {"remotes": {}, "skipped": [], "submodules": []},
        "paths": roots,
        "hooks": {hook.__name__: {"loaded": True, "msg": ""} for hook in BUILT_IN},
    }
    return {f"info/{key}.json": values.to_bytes(value) for key, value in infos.items()}
