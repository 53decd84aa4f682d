"""docs/format.md is complete: a reader written from it alone (tests/stranger.py) and gitlumo read the same.

:func:`check_repository` holds for every repository that gitlumo records into; other tests call it.
"""

from __future__ import annotations

import ast
import contextlib
import json
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gitlumo
from gitlumo import values
from gitlumo.config import read_settings
from gitlumo.errors import FormatError
from gitlumo.git.objects import read_blob, walk
from gitlumo.git.repository import open_repository
from gitlumo.store import layout, trees
from gitlumo.store.branch import Branch, View
from gitlumo.store.query import Runs
from tests import stranger

pytestmark = pytest.mark.damages

FORMAT = Path(__file__).parents[1] / "docs/format.md"
EVENTS = ("start", "checkpoint", "end", "edit")
OURS = re.compile(r"(info|edits)/[^/]*\.json|metrics\.json|purged\.json")


# What holds of every repository


def check_repository(path: str | os.PathLike[str], *, foreign: bool = False) -> int:
    """See that a stranger and gitlumo read the same runs, and that commits and files are as docs/format.md says.

    Args:
        path: The repository.
        foreign: Whether somebody has committed into the ledger by hand.

    Returns:
        How many runs there are.
    """
    repository = open_repository(path)
    try:
        view = Branch(repository, read_settings(repository.config)).view()
        check_commits(Path(path), list(view.tips.values()), foreign)
        check_files(view)
        return check_reading(Path(path), view)
    finally:
        repository.close()


def git(path: Path, *args: str, input: str = "") -> str:
    done = subprocess.run(["git", *args], cwd=path, input=input, capture_output=True, text=True, check=True)
    return done.stdout.removesuffix("\n")


def check_commits(path: Path, tips: list[str], foreign: bool) -> None:
    """Every commit of the ledger bears the trailer; they end in the one root; ``--grep`` finds every event."""
    everything = git(path, "log", "--format=%H %P%x00%(trailers:key=Lumo-Format,valueonly,separator=%x2C)", *tips, "--")
    lines = [line.split("\0") for line in everything.splitlines() if line]
    parents = {commits.split()[0]: commits.split()[1:] for commits, _ in lines}
    ledger = [commits.split()[0] for commits, version in lines if version == "1"]
    root = root_id(path)
    for tip in tips:
        while tip != root:
            assert foreign or tip in ledger, f"{tip} has no trailer Lumo-Format"
            tip = parents[tip][0]
    assert [commit for commit in ledger if not parents[commit]] == ([root] if tips else [])
    for commit in ledger:
        message = git(path, "log", "-1", "--format=%B", commit)
        trailers = re.findall(r"^Lumo-(\w+): (.*)$", message, re.MULTILINE)
        parsed = git(path, "log", "-1", "--format=%(trailers:only)", commit)
        assert parsed.splitlines() == [f"Lumo-{key}: {value}" for key, value in trailers]
        kinds = {value for key, value in trailers if key == "Event"}
        assert kinds <= set(EVENTS)
        assert bool(kinds) + ("Merge" in dict(trailers)) + (commit == root) == 1
    found = git(path, "log", "--grep=^Lumo-Event:", "--format=%H", *tips, "--").split() if tips else []
    assert set(found) == {c for c in ledger if "Lumo-Event:" in git(path, "log", "-1", "--format=%(trailers)", c)}


def check_files(view: View) -> None:
    """Values are strict JSON in the one form that the page gives them; every file is a plain file."""
    runs = [place for place in trees.places(view.objects, view.tree) if trees.read_run(view.objects, place.tree)]
    for place in runs:
        for path, entry in walk(view.objects, place.tree):
            assert entry.is_tree or entry.mode == 0o100644, f"{place.path}/{path} has mode {entry.mode:o}"
            if OURS.fullmatch(path):
                data = read_blob(view.objects, entry.id)
                assert data == canonical(data), f"{place.path}/{path} is not canonical"
            elif layout.chunk_number(path) is not None:
                for line in read_blob(view.objects, entry.id).splitlines():
                    strict(line)


def canonical(data: bytes) -> bytes:
    return json.dumps(strict(data), sort_keys=True, indent=2, ensure_ascii=False).encode() + b"\n"


def strict(data: bytes) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON: {data[:200]!r}")

    return json.loads(data, parse_constant=refuse)


def check_reading(path: Path, view: View) -> int:
    """The stranger's runs and gitlumo's are the same, in every property."""
    theirs = stranger.runs(str(path))
    ours = {}
    for found in Runs(view.objects, view.tree).newest():
        with contextlib.suppress(FormatError):  # too new, or no run
            found.record.check()
            ours[found.record.uid] = found.record
    assert set(theirs) == set(ours)
    for uid, record in ours.items():
        run, properties = theirs[uid], record.properties
        for key in ("state", "note", "tags", "deprecated", "metrics"):
            assert same(run[key], properties[key]), f"{record.folder}: {key}"
        assert same(run["history"], record.history()), f"{record.folder}: history"
        own = [[p for p in sorted(paths) if not p.startswith("edits/")] for paths in (run["files"], record.paths())]
        assert own[0] == own[1]
        for file in own[0]:
            key = layout.info_key(file)
            assert key is None or same(run["info"][file[5:-5]], record.info(key)), f"{record.folder}/{file}"
    return len(ours)


def same(theirs: Any, ours: Any) -> bool:
    """Equal with NaN and bytes as they are recorded."""
    a, b = (values.to_bytes(values.encode(item)) for item in (theirs, ours))
    return a.replace(b'"$$bytes"', b'"$bytes"') == b


def root_id(path: Path) -> str:
    """The root's id in a repository's object format as the page gives it: of its commit, and in words."""
    page = FORMAT.read_text()
    (block,) = re.findall(r"\n```\n(tree .*?)```\n", page, re.DOTALL)
    empty = git(path, "hash-object", "-t", "tree", "--stdin", input="")
    block = re.sub(r"\Atree \w+", f"tree {empty}", block)
    id = git(path, "hash-object", "-t", "commit", "--stdin", input=block)
    assert f" id is `{id}`" in page
    return id


# A stranger who writes: with git alone, as the page says


def commit_into_ledger(repo: Path, message: str, files: dict[str, bytes | None]) -> None:
    """Set or remove files of the ledger by git's plumbing."""
    branch = "refs/heads/lumo_experiments"
    env = os.environ | {"GIT_INDEX_FILE": str(repo / ".git/stranger-index")}

    def run(*args: str, input: bytes = b"") -> str:
        done = subprocess.run(["git", *args], cwd=repo, env=env, input=input, capture_output=True, check=True)
        return done.stdout.decode().strip()

    run("read-tree", branch)
    for path, data in files.items():
        if data is None:
            run("rm", "-r", "--cached", "--quiet", "--", path)
        else:
            run(
                "update-index",
                "--add",
                "--cacheinfo",
                f"100644,{run('hash-object', '-w', '--stdin', input=data)},{path}",
            )
    commit = run("commit-tree", "-p", branch, "-m", message, run("write-tree"))
    run("update-ref", branch, commit)
    os.unlink(env["GIT_INDEX_FILE"])


def edit(repo: Path, folder: str, uid: str, n: int, kind: str, value: Any) -> None:
    edit = {"uid": uid, "kind": kind, "value": value, "by": "Eve <eve@example.org>", "at": "", "id": f"{n:016x}"}
    message = layout.event_message([("edit", uid, f"{folder} {kind}")])
    commit_into_ledger(repo, message, {f"{folder}/edits/{n:017d}-{n:016x}.json": values.to_bytes(edit)})


# The suite's own repositories


PARAMS = {
    "optim": {"name": "sgd", "lr": 1e-05, "betas": (0.9, 0.999), "$k": {"$float": math.inf}},
    "nan": math.nan, "big": 2**100, "seed": None, "bytes": b"\0\xff", "zähler": "Ångström \U0001f40d", "deep": [[[{}]]],
}  # fmt: skip


def record_variety(repo: Path) -> dict[str, str]:
    """Runs of every kind; returns name to uid."""
    uids = {}
    with gitlumo.SimpleExperiment("Prüfung 数字", params=PARAMS) as exp:
        uids["rich"] = exp.uid
        for step in range(30):
            exp.log({"loss": 1 / (step + 1), "step": step, "$x": -step, "ends": math.nan if step > 3 else step})
        for acc in (math.nan, 0.5, 0.75, 0.75, math.inf, -math.inf):
            exp.dump_metric("acc", acc, "cls", [acc, b"\0"], cmp="max", epoch=acc)
        exp.dump_metric("acc", 2**80, cmp="min")
        exp.checkpoint()
        exp.dump_note("Eine Notiz\n\nLumo-Event: none\n")
        exp.dump_tags("schön", "a", "b")
        exp.dump_info("a/b: ~.c", {"x": math.nan})
        exp.dump_info("history", [1, 2])
        exp.dump_string("Bericht", "Text ohne Zeilenende")
        Path(exp.mk_ipath("plots", "ä", "loss.json")).write_text("{not json")
        Path(exp.mk_ipath("edits", "x")).write_text("a reserved name")
        os.symlink("nowhere", exp.mk_ipath("link"))
    with contextlib.suppress(ZeroDivisionError), gitlumo.Experiment("digits", "failed one") as exp:
        uids["failed"] = exp.uid
        exp.log({"loss": 1}, step=2**62)
        raise ZeroDivisionError
    script = (
        "import gitlumo, os, signal\nexp = gitlumo.Experiment('digits', 'killed one').start()\n"
        "exp.log({'loss': .5}); exp.log({'loss': .25}); print(exp.uid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    env = os.environ | {"PYTHONPATH": str(FORMAT.parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=repo, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    uids["killed"] = done.stdout.strip()
    exp = gitlumo.start("digits", {"lr": 0.1})
    uids["plain"] = exp.uid
    exp.end()
    return uids


def folder_of(repo: Path, uid: str) -> str:
    """Where a run lies."""
    repository = open_repository(repo)
    try:
        view = Branch(repository, read_settings(repository.config)).view()
        found = [(place, trees.read_run(view.objects, place.tree)) for place in trees.places(view.objects, view.tree)]
        (path,) = [place.path for place, run in found if run and run.uid == uid]
        return path
    finally:
        repository.close()


def test_the_stranger_knows_nothing_of_gitlumo():
    """And takes no more than 50 lines of code, after the imports."""
    source = Path(stranger.__file__).read_text()
    parsed = ast.parse(source)
    imports = [node for node in ast.walk(parsed) if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert [ast.unparse(node) for node in imports] == ["import json", "import subprocess"]
    code = re.sub(r'^ *""".*?"""$', "", source, flags=re.DOTALL | re.MULTILINE).splitlines()
    assert len([line for line in code if line.strip() and not line.strip().startswith(("#", "import"))]) <= 50


def test_the_root(repo):
    gitlumo.Experiment("digits").start().end()
    assert git(repo, "rev-list", "--max-parents=0", "--first-parent", "lumo_experiments") == root_id(repo)
    (block,) = re.findall(r"\n```\n(tree .*?)```\n", FORMAT.read_text(), re.DOTALL)
    assert git(repo, "cat-file", "commit", root_id(repo)) == block.removesuffix("\n")


def test_a_stranger_reads_what_was_recorded(repo, fsck):
    uids = record_variety(repo)
    assert check_repository(repo) == len(uids)
    found = stranger.runs(str(repo))
    states = {"rich": "finished", "failed": "failed", "killed": "killed", "plain": "finished"}
    assert {name: found[uid]["state"] for name, uid in uids.items()} == states
    rich = found[uids["rich"]]
    assert same(rich["info"]["params"], PARAMS)
    assert (rich["tags"], rich["note"]) == (["schön", "a", "b"], "Eine Notiz\n\nLumo-Event: none\n")
    assert rich["info"]["a%2Fb%3A %7E.c"]["x"] != rich["info"]["a%2Fb%3A %7E.c"]["x"]
    assert [skip["path"] for skip in rich["info"]["skipped"]] == ["edits", "link"]
    assert rich["files"]["plots/ä/loss.json"] == b"{not json"
    acc = rich["metrics"]["acc"]
    assert (acc["min"], acc["max"], acc["last"], acc["cmp"], acc["count"]) == (-math.inf, math.inf, 2**80, "min", 7)
    assert len(rich["history"]) == 37
    assert [call["loss"] for call in found[uids["killed"]]["history"]] == [0.5, 0.25]
    assert found[uids["failed"]]["history"][0]["step"] == 2**62
    events = git(
        repo, "log", "--grep=^Lumo-Event:", "--format=%(trailers:key=Lumo-Event,valueonly)", "lumo_experiments"
    )
    assert sorted(events.split()) == ["checkpoint"] + ["end"] * 4 + ["start"] * 4
    fsck(repo)


def test_edits_of_a_stranger(repo):
    with gitlumo.Experiment("digits", "base") as exp:
        exp.dump_note("as the run wrote it")
        exp.dump_tags("a", "b")
    folder = folder_of(repo, exp.uid)
    for n, (kind, value) in enumerate(
        [
            ("note", "first"),
            ("tag", {"add": ["c"], "remove": ["a"]}),
            ("note", "second"),
            ("undo", f"{2:016x}"),
            ("undo", f"{3:016x}"),
            ("deprecated", True),
            ("tag", {"add": ["a"]}),
            ("undo", f"{5:016x}"),
            ("undo", f"{9:016x}"),
        ]
    ):
        edit(repo, folder, exp.uid, n, kind, value)
        assert check_repository(repo) == 1
    edit(repo, folder, "f" * 32, 99, "note", "of another run")
    commit_into_ledger(repo, "a foreign commit", {f"{folder}/edits/readme.txt": b"x", "README.md": b"y"})
    found = stranger.runs(str(repo))[exp.uid]
    assert (found["note"], found["tags"], found["deprecated"]) == ("second", ["b", "c", "a"], False)


def test_clones_are_read_as_one(git, repo, tmp_path):
    with gitlumo.Experiment("digits", "base") as first:
        first.log({"loss": 1})
    clone = tmp_path / "clone"
    git("clone", "--quiet", repo, clone)
    assert check_repository(clone) == 1
    with gitlumo.Experiment("digits", "base", repo=clone), gitlumo.Experiment("other", repo=repo):
        pass
    git("fetch", "--quiet", cwd=clone)
    assert check_repository(clone) == 3
    with gitlumo.Experiment("third", repo=clone):
        pass
    assert git("log", "-1", "--format=%(trailers:key=Lumo-Merge,valueonly)", "lumo_experiments~2", cwd=clone) == "2\n"
    assert check_repository(clone) == 4
    git("fetch", "--quiet", clone, "lumo_experiments:refs/remotes/clone/lumo_experiments", cwd=repo)
    assert check_repository(repo) == 4


def test_foreign_paths_stay_out_of_a_merge_s_message(git, repo):
    ref = "refs/heads/lumo_experiments"
    with gitlumo.Experiment("digits"):
        pass
    git("branch", "before", ref)
    with gitlumo.Experiment("here"):
        pass
    git("branch", "here", ref)
    git("update-ref", ref, "before")
    odd = {"README.md": b"", "Lumo-Event: x": b"", "e/260101/x\n\nLumo-Event: y\n/z": b""}
    commit_into_ledger(repo, "foreign\n\nLumo-Format: 1\n", odd)
    git("update-ref", "refs/remotes/there/lumo_experiments", ref)
    git("update-ref", ref, "here")
    with gitlumo.Experiment("last"):
        pass
    merge = git("log", "-1", "--merges", "--format=%B", ref)
    assert re.fullmatch(r"merge 2 ledgers\n\nhere/[^\n]*\n\nLumo-Format: 1\nLumo-Merge: 2\n?", merge), merge


def test_companions_are_kept_as_they_were_and_masked(repo):
    matrix = [[1, 2], [3, 4]]
    with gitlumo.Experiment("digits") as exp:
        exp.dump_metric("acc", 0.9, confusion=matrix, api_key="sesame")
        matrix[0][0] = 99
    (run,) = stranger.runs(str(repo)).values()
    assert run["metrics"]["acc"]["with"] == {"confusion": [[1, 2], [3, 4]], "api_key": "***"}
    assert exp.metrics["acc"]["with"] == run["metrics"]["acc"]["with"]


def test_purged_foreign_and_newer(repo):
    with gitlumo.Experiment("digits", "gone") as gone, gitlumo.Experiment("digits", "newer") as newer:
        pass
    folder = folder_of(repo, gone.uid)
    tombstone = {"uid": gone.uid, "exp_name": "digits", "test_name": "gone", "at": "", "by": ""}
    tombstone["start"] = gone.load_info("progress")["start"]
    message = layout.event_message([("edit", gone.uid, "digits/gone purged")])
    assert check_repository(repo) == 2
    commit_into_ledger(repo, message, {folder: None})
    commit_into_ledger(repo, message, {f"{folder}/purged.json": values.to_bytes(tombstone)})
    commit_into_ledger(repo, "foreign", {"digits/260101/broken/info/uid.json": b"{", "digits/260101/7": b"", "a": b""})
    assert check_repository(repo, foreign=True) == 1
    assert list(stranger.runs(str(repo))) == [newer.uid]
    commit_into_ledger(repo, message, {f"{folder_of(repo, newer.uid)}/info/format.json": b'{\n  "version": 2\n}\n'})
    assert check_repository(repo, foreign=True) == 0


DAMAGE = {
    "not canonical": ("info/params.json", b'{"b": 1, "a": 2}\n'),
    "no newline": ("info/params.json", b"1"),
    "NaN": ("info/params.json", b"NaN\n"),
    "NaN in history": ("history/00000.jsonl", b'{"step":0,"time":0,"loss":NaN}\n'),
    "metrics": ("metrics.json", b'{"a": {}}\n'),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_the_check_can_fail(repo, what):
    with gitlumo.Experiment("digits", params={"lr": 1}) as exp:
        exp.log({"loss": 1})
    check_repository(repo)
    path, data = DAMAGE[what]
    message = layout.event_message([("edit", exp.uid, "damage")])
    commit_into_ledger(repo, message, {f"{folder_of(repo, exp.uid)}/{path}": data})
    with pytest.raises((AssertionError, KeyError)):
        check_repository(repo)
