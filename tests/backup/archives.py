"""Runs to back up, and archives as strangers make them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from gitlumo import SimpleExperiment, Watcher
from gitlumo.cli.opening import Opened, open_here
from gitlumo.rerun import packing
from gitlumo.store.record import to_json

Members = list[tuple[tarfile.TarInfo, bytes]]


def record(name: str | None = None, exp_name: str = "digits", **params) -> SimpleExperiment:
    """A finished run with a history, a note, an edit, a file of the user's and a checkpoint."""
    with SimpleExperiment(exp_name, name, params={"lr": 0.1, **params}) as exp:
        for step in range(20):
            exp.log({"loss": 1 / (step + 1)})
        exp.dump_note("warm start")
        Path(exp.mk_ipath("plots", "a b.txt")).write_text("a plot")
        Path(exp.mk_bpath("models", "last.bin")).write_bytes(bytes(range(256)) * 100)
        Path(exp.mk_cpath("tmp.bin")).write_bytes(b"cached")
    Watcher().retrieve(exp.uid).dump_tags("best")
    return exp


def three(code: Path) -> list[SimpleExperiment]:
    """Three runs, each of other code."""
    made = []
    for name in ("a", "b", "c"):
        code.write_text(f"print({name!r})\n")
        made.append(record(name))
    return made


_OPEN: list[Opened] = []


def here() -> Opened:
    """The repository in which the test stands; it is closed when the fixture ``other`` ends."""
    _OPEN.append(open_here())
    return _OPEN[-1]


def founds(*names: str):
    runs = here().runs()
    return [runs.resolve(name) for name in names] if names else list(runs.newest())


def as_json(name: str = "@") -> dict:
    """What ``git lumo show --json --history`` prints."""
    found = here().runs().resolve(name).record
    return json.loads(to_json(found.properties, found.history()))


def all_as_json() -> dict[str, dict]:
    return {found.label: as_json(found.label) for found in founds()}


def members(path: Path) -> Members:
    """What is in an archive."""
    with packing.opened(str(path)) as source, tarfile.open(fileobj=io.BytesIO(source.read())) as archive:
        return [(info, archive.extractfile(info).read() if info.isreg() else b"") for info in archive]


def rewrite(path: Path, change: Callable[[Members], Iterable[tuple[tarfile.TarInfo, bytes]]]) -> Path:
    """An archive of a stranger's: another one, changed."""
    changed = path.with_name("strange.tar")
    with tarfile.open(changed, "w", format=tarfile.GNU_FORMAT) as archive:
        for info, data in change(members(path)):
            if info.isreg():
                info.size = len(data)
            archive.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return changed


def member(name: str, data: bytes = b"", type: bytes = tarfile.REGTYPE, linkname: str = "") -> tuple:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = type, linkname, len(data)
    return info, data


def state(folder: Path) -> dict[str, bytes | None]:
    """All files below a folder but those that say when something was looked at."""
    found = {}
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(parent, name)
            if name not in ("lock", "tmp") or path.parent.name != "lumo":
                found[str(path.relative_to(folder))] = path.read_bytes() if path.is_file() else None
    return found


def alone(code: str, engine: str = "") -> Any:
    """What an expression says in a fresh interpreter, where dulwich may leave its files to the system."""
    head = "import json, sys\nfrom pathlib import Path\n"
    hide = "sys.modules['pygit2'] = None\n" if engine == "dulwich" else ""
    names = "from gitlumo.backup import bundle, elsewhere, tar, untar\nfrom tests.backup.archives import *\n"
    told = f"assert here().repository.engine.objects == {engine!r}\n" if engine else ""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", f"{head}{hide}{names}{told}print(json.dumps({code}))"]
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def swap(name: str, data: bytes) -> Callable[[Members], Members]:
    """A change for :func:`rewrite`: another content of a member."""
    return lambda found: [(info, data if info.name.endswith(name) else old) for info, old in found]


def empty_ones(git, folder: Path, monkeypatch, fsck) -> Iterator[Callable[..., Path]]:
    """What a fixture ``other`` gives: a function that makes an empty repository and enters it."""
    made: list[Path] = []

    def enter(*options: str) -> Path:
        made.append(folder / f"other{len(made)}")
        git("init", "-q", *options, made[-1])
        monkeypatch.chdir(made[-1])
        return made[-1]

    yield enter
    while _OPEN:
        _OPEN.pop().repository.close()
    for path in made:
        fsck(path)
