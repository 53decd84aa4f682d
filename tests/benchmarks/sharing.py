"""Sharing: push, pull, the merge of large ledgers, and what a clone brings over the wire."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks import ledgers, place
from tests.benchmarks.figures import Figure, Goal
from tests.benchmarks.timing import in_child, interleaved, process, seconds
from tests.share.servers import HttpServer, http_server

LUMO = (sys.executable, "-m", "gitlumo")
PYTHON = (sys.executable, "-c", "pass")
REF = ledgers.BRANCH


def sharing(work: Path, quick: bool) -> list[Figure]:
    """push of a run, pull of none and of many, merge of two large ledgers, size of a clone."""
    with http_server(work) as server:
        figures = [*_one_run(work, server, quick), _many_runs(work, server, quick)]
    return [*figures, _merge(work, quick), _wire(work, quick)]


def _shared(work: Path, name: str, runs: int) -> Path:
    """A bare repository with a ledger, as a server has it."""
    source = place.repository(work / f"{name}-source", files=100)
    if runs:
        ledgers.write(source, runs)
    shared = work / f"{name}.git"
    place.git("clone", "-q", "--bare", source, shared, cwd=work)
    for setting in ("http.receivepack", "uploadpack.allowFilter"):
        place.git("config", setting, "true", cwd=shared)
    return shared


def _one_run(work: Path, server: HttpServer, quick: bool) -> list[Figure]:
    shared = _shared(work, "push", 100)
    mine, theirs = work / "mine", work / "theirs"
    for path in (mine, theirs):
        place.git("clone", "-q", server.url(shared.name), path, cwd=work)
    subprocess.run([*LUMO, "init"], cwd=mine, check=True, capture_output=True)
    place.git("config", "lumo.gitleaks", "false", cwd=mine)  # another program, where it is installed
    plain = work / "plain"  # a ledger of its own, which git alone pushes
    place.git("clone", "-q", server.url(_shared(work, "plain", 100).name), plain, cwd=work)
    subprocess.run([*LUMO, "init"], cwd=plain, check=True, capture_output=True)
    looking = ("env", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=lumo.gitleaks", "GIT_CONFIG_VALUE_0=true")
    subjects = {
        "git lumo push": (lambda: in_child(_record, cwd=mine), process(*LUMO, "push", cwd=mine)),
        "with gitleaks, if it is there": (
            lambda: in_child(_record, cwd=mine),
            process(*looking, *LUMO, "push", cwd=mine),
        ),
        "git push of one commit": (lambda: _commit(theirs), process("git", "push", "-q", "origin", "main", cwd=theirs)),
        "git push of the same run": (
            lambda: in_child(_record, cwd=plain),
            process("git", "push", "-q", "origin", REF, cwd=plain),
        ),
        "python -c pass": (lambda: None, process(*PYTHON)),
        "git lumo --version": (lambda: None, process(*LUMO, "--version")),
    }
    requests: dict[str, int] = {}
    found = _prepared(3 if quick else 15, subjects, server, requests)
    lumo, git, python = (found.pop(name) for name in ("git lumo push", "git push of one commit", "python -c pass"))
    name = "git push of one commit + python"
    parts = found | {"requests": f"{requests['git lumo push']}, git's {requests['git push of one commit']}"}
    push = Figure("git lumo push, one new run", lumo, "ms", name, git + python, Goal(times=1.2), parts)
    place.git("fetch", "-q", cwd=theirs)
    subjects = {
        "git lumo pull": (lambda: None, process(*LUMO, "pull", cwd=mine)),
        "git fetch": (lambda: None, process("git", "fetch", "-q", cwd=theirs)),
        "python -c pass": (lambda: None, process(*PYTHON)),
    }
    found = _prepared(3 if quick else 15, subjects, server, requests)
    lumo, git, python = (found.pop(name) for name in ("git lumo pull", "git fetch", "python -c pass"))
    counts = {"requests": f"{requests['git lumo pull']}, git's {requests['git fetch']}"}
    pull = Figure("git lumo pull, nothing new", lumo, "ms", "git fetch + python", git + python, Goal(times=1.2), counts)
    return [push, pull]


def _prepared(
    rounds: int,
    subjects: dict[str, tuple[Callable[[], Any], Callable[[], Any]]],
    server: HttpServer,
    requests: dict[str, int],
) -> dict[str, float]:
    """The median of each subject in ms; what comes before it in its pair is not measured. Counts requests, too."""
    samples: dict[str, list[float]] = {name: [] for name in subjects}
    for i in range(rounds):
        for name in subjects if i % 2 == 0 else reversed(subjects):
            prepare, subject = subjects[name]
            prepare()
            server.requests.clear()
            samples[name].append(seconds(subject) * 1e3)
            requests[name] = len(server.requests)
    return {name: statistics.median(sample) for name, sample in samples.items()}


def _record() -> None:
    from gitlumo import Experiment

    with Experiment("digits") as exp:
        exp.log({"loss": 0.5})


def _commit(path: Path) -> None:
    (path / "new.py").write_text(place.git("rev-parse", "HEAD", cwd=path))
    place.git("add", "new.py", cwd=path)
    place.git("commit", "-q", "-m", "one", cwd=path)


def _many_runs(work: Path, server: HttpServer, quick: bool) -> Figure:
    old, new = (1000, 100) if quick else (10_000, 1000)
    shared = _shared(work, "pull", old + new)
    tip = place.git("rev-parse", REF, cwd=shared)
    place.git("update-ref", REF, f"{tip}~{2 * new}", cwd=shared)
    template = work / "template"
    place.git("clone", "-q", server.url(shared.name), template, cwd=work)
    subprocess.run([*LUMO, "init"], cwd=template, check=True, capture_output=True)
    place.git("update-ref", REF, tip, cwd=shared)
    copies = iter(range(1000))

    def fresh(*command: Any) -> float:
        path = work / f"copy{next(copies)}"
        shutil.copytree(template, path, symlinks=True)
        took = seconds(process(*command, cwd=path))
        shutil.rmtree(path)
        return took

    pairs = [(fresh(*LUMO, "pull"), fresh("git", "fetch", "-q", "origin")) for _ in range(2 if quick else 5)]
    lumo, git = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Figure(f"pull of {new:,} runs into {old:,}", lumo, "s", "git fetch of the same", git, Goal(times=1.5))


def _merge(work: Path, quick: bool) -> Figure:
    each = 1000 if quick else 10_000
    repo = place.repository(work / "merge")
    ledgers.write(repo, each, seed=1)
    place.git("branch", "-m", "lumo_experiments", "other", cwd=repo)
    ledgers.write(repo, each, seed=2)
    mine = min(in_child(merge_seconds, cwd=repo) for _ in range(3))
    merge = process("git", "merge-tree", "--write-tree", "--allow-unrelated-histories", "other", REF, cwd=repo)
    (git,) = interleaved(3, merge)
    name = f"merge of {each:,} and {each:,} new runs"
    return Figure(name, mine, "s", "git merge-tree of the same", git, Goal(most=1.0, times=1.0))


def merge_seconds() -> float:
    """How long the merge takes in a process that has read nothing yet, without writing it."""
    from gitlumo.git.objects import Staging
    from gitlumo.git.repository import open_repository
    from gitlumo.store import merging

    repository = open_repository()
    tips = [repository.refs.read(ref) or "" for ref in ("refs/heads/other", REF)]
    staging = Staging(repository.objects)
    return seconds(lambda: merging.merge(staging, merging.heads(staging, tips)))


def _wire(work: Path, quick: bool) -> Figure:
    runs = 1000 if quick else 10_000
    shared = _shared(work, "wire", runs)
    place.git("gc", "-q", cwd=shared)
    sizes = {}
    for name, options in {"whole": [], "code": ["--single-branch"], "tip": ["--depth=1", "--no-single-branch"],
                          "blobless": ["--filter=blob:none"]}.items():  # fmt: skip
        path = work / f"wire-{name}"
        place.git("clone", "-q", "--no-checkout", *options, f"file://{shared}", path, cwd=work)
        sizes[name] = sum(pack.stat().st_size for pack in path.glob(".git/objects/pack/*.pack")) / 1e6
    parts = {"with --depth=1": sizes["tip"], "with --filter=blob:none": sizes["blobless"]}
    return Figure(
        f"git clone with {runs:,} runs", sizes["whole"], "MB", "without the ledger", sizes["code"], None, parts
    )
