"""Backups as git bundles: plain git clones and verifies them, they join as a pull does, and go on from each other."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gitlumo import Watcher
from gitlumo.backup import bundle, checking, tar, untar
from gitlumo.backup.restoring import PURGED, RESTORED, THERE
from gitlumo.cli import main
from gitlumo.errors import FormatError, LumoError
from gitlumo.git.bundle import MissingNeeds
from tests.backup.archives import all_as_json, alone, founds, here, record, state


def write(path, *names, **keywords):
    return bundle.write(here(), founds(*names), str(path), **keywords)


def restore(path):
    return bundle.restore(here(), str(path))


def outcomes(path):
    return {each.backup.parcel.identity.test_name: each.outcome for each in restore(path)}


def check(path, *names):
    found = bundle.check(here(), str(path), founds(*names) if names else ())
    return {each.name.partition("/")[2]: each.state for each in found}


def refs(git):
    """All refs but what says where a work tree's own are; and the packs that nothing may remove."""
    return git("for-each-ref"), [path.name for path in Path(".git/objects/pack").glob("*.keep")]


@pytest.mark.parametrize("names", [(), ("b",), ("c", "a")])
def test_plain_git_reads_it(runs, git, tmp_path, monkeypatch, names):
    before, there = refs(git), all_as_json()
    written = write(tmp_path / "a.bundle", *names)
    assert (written.runs, written.missing_code) == (len(names) or 3, ())
    assert written.size == (tmp_path / "a.bundle").stat().st_size
    assert refs(git) == before
    git("bundle", "verify", tmp_path / "a.bundle")
    git("init", "-q", tmp_path / "nothing")
    git("bundle", "verify", tmp_path / "a.bundle", cwd=tmp_path / "nothing")  # it needs nothing
    git("clone", "-q", tmp_path / "a.bundle", tmp_path / "clone")
    monkeypatch.chdir(tmp_path / "clone")
    newest = max(names or "c")
    assert Path("train.py").read_text() == f"print({newest!r})\n"
    assert git("rev-parse", "--abbrev-ref", "HEAD") == "HEAD"
    assert all_as_json() == {label: run for label, run in there.items() if not names or label[-1] in names}
    for exp in runs:
        if not names or exp.test_name in names:
            assert git("show", f"{exp.properties['git']['commit']}:train.py") == f"print({exp.test_name!r})"
    told = subprocess.run(["git", "lumo", "log", "--format", "json"], capture_output=True, text=True, check=True).stdout
    assert {run["test_name"] for run in json.loads(told)} == set(names or "abc")


def test_into_a_repository_that_never_saw_them(runs, other, git, tmp_path):
    before = all_as_json()
    write(tmp_path / "a.bundle", "a", "b")
    other()
    assert outcomes(tmp_path / "a.bundle") == {"a": RESTORED, "b": RESTORED}
    assert all_as_json() == {label: run for label, run in before.items() if label[-1] in "ab"}
    tip = git("rev-parse", "lumo_experiments")
    assert {(each.outcome, each.missing_code) for each in restore(tmp_path / "a.bundle")} == {(THERE, None)}
    assert git("rev-parse", "lumo_experiments") == tip
    assert not list(Path(".git/objects/pack").glob("*.keep"))
    git("reflog", "expire", "--expire=now", "--all")
    git("gc", "-q", "--prune=now")
    assert git("cat-file", "-t", runs[0].properties["git"]["commit"]) == "commit"
    assert "restored" not in founds("a")[0].record.progress  # an exact copy, as a pull brings


def test_it_joins_with_what_is_there(runs, tmp_path, git):
    write(tmp_path / "a.bundle")
    write(tmp_path / "some.bundle", "a", "b")
    Watcher().retrieve("a").dump_note("later")
    assert main(["purge", "b"]) == 0
    record("d")
    before = all_as_json()
    for name in ("a.bundle", "some.bundle"):
        assert outcomes(tmp_path / name)["a"] == THERE
        assert outcomes(tmp_path / name)["b"] == PURGED
        assert all_as_json() == before


def test_one_goes_on_from_another(runs, other, git, tmp_path):
    """Where not all runs are chosen, each bundle's ledger stands on the former's."""
    bundles = [tmp_path / f"{n}.bundle" for n in range(4)]
    write(bundles[0], "a")
    write(bundles[1], "b", since=str(bundles[0]))
    Watcher().retrieve("a").dump_note("later")
    write(bundles[2], "a", since=str(bundles[1]))  # what that goes on from is found beside it
    write(bundles[3], since=str(bundles[2]))
    with pytest.raises(LumoError, match=r"nothing is new since .*3\.bundle"):
        write(tmp_path / "x.bundle", since=str(bundles[3]))
    assert not (tmp_path / "x.bundle").exists()
    before = all_as_json()
    assert check(bundles[3]) == dict.fromkeys("abc", checking.WHOLE)
    assert check(bundles[1], "c") == {"a": checking.OLDER, "b": checking.WHOLE, "c": checking.LACKING}
    blobs = {line.split()[0] for line in git("rev-list", "--objects", "lumo_experiments", "^main").splitlines()}
    place = other()
    for name in bundles[1:]:
        with pytest.raises(
            MissingNeeds, match=rf"goes on from what is not here yet.*\n.* of {bundles.index(name) - 1}\.bundle"
        ):
            restore(name)
    assert state(place / ".git/objects/pack") == {}
    for name in bundles:
        restore(name)
        git("bundle", "verify", name)
    assert all_as_json() == before
    new = git("verify-pack", "-v", *packs_of(bundles[2], git, tmp_path)).splitlines()
    assert len([line for line in new if line[:40] in blobs and " blob " in line]) == 1  # the edit


def packs_of(path, git, tmp_path):
    """The objects of a bundle alone, thin ones completed, as an index."""
    data = path.read_bytes()
    folder = tmp_path / "taken apart"
    folder.mkdir()
    command = ["git", "index-pack", "--stdin", "--fix-thin", str(folder / "whole.pack")]
    subprocess.run(command, input=data[data.index(b"\n\nPACK") + 2 :], check=True, capture_output=True)
    return [str(folder / "whole.idx")]


def test_the_whole_ledger_goes_on_from_itself(runs, other, git, tmp_path):
    write(tmp_path / "1.bundle")
    tip = git("rev-parse", "lumo_experiments")
    assert tip in git("bundle", "list-heads", tmp_path / "1.bundle")
    record("d")
    write(tmp_path / "2.bundle", since=str(tmp_path / "1.bundle"))
    assert f"-{tip}" in (tmp_path / "2.bundle").read_bytes()[:400].decode("latin-1")
    assert (tmp_path / "2.bundle").stat().st_size < (tmp_path / "1.bundle").stat().st_size
    (tmp_path / "1.bundle").rename(tmp_path / "moved away.bundle")
    record("e")
    write(tmp_path / "3.bundle", since=str(tmp_path / "2.bundle"))
    before, last = all_as_json(), git("rev-parse", "lumo_experiments")
    other()
    for name in ("moved away", "2", "3"):
        restore(tmp_path / f"{name}.bundle")
    assert all_as_json() == before
    assert git("rev-parse", "lumo_experiments") == last


def test_without_code(runs, other, tmp_path, git):
    write(tmp_path / "a.bundle", with_code=False)
    assert git("bundle", "list-heads", tmp_path / "a.bundle").split()[1:] == ["refs/heads/lumo_experiments"]
    other()
    assert [each.missing_code for each in restore(tmp_path / "a.bundle")] == [
        exp.properties["git"]["commit"] for exp in runs
    ]


def test_a_shallow_clone_says_which_code_is_missing(runs, other, git, tmp_path, monkeypatch):
    before = all_as_json()
    code = sorted(exp.properties["git"]["commit"] for exp in runs)
    git("clone", "-q", "--depth=1", "--no-single-branch", f"file://{os.getcwd()}", tmp_path / "clone")
    monkeypatch.chdir(tmp_path / "clone")
    assert list(write(tmp_path / "a.bundle").missing_code) == code
    other()
    assert sorted(each.missing_code or "" for each in restore(tmp_path / "a.bundle")) == code
    assert all_as_json() == before


def test_a_partial_clone_fetches_what_it_needs(runs, other, git, tmp_path, monkeypatch):
    before = all_as_json()
    git("config", "uploadpack.allowFilter", "true")
    git("clone", "-q", "--filter=blob:none", "--no-checkout", f"file://{os.getcwd()}", tmp_path / "clone")
    monkeypatch.chdir(tmp_path / "clone")
    code = sorted(exp.properties["git"]["commit"] for exp in runs)
    assert list(write(tmp_path / "a.bundle").missing_code) == code
    assert list(tar.write(here(), founds(), str(tmp_path / "a.tar")).missing_code) == code
    for take, name in ((bundle, "a.bundle"), (untar, "a.tar")):
        other()
        take.restore(here(), str(tmp_path / name))
        assert all_as_json() == before


def test_into_a_shallow_clone_and_a_linked_worktree(runs, git, tmp_path, monkeypatch):
    write(tmp_path / "a.bundle")
    before = all_as_json()
    git("clone", "-q", "--depth=1", f"file://{os.getcwd()}", tmp_path / "clone")
    git("worktree", "add", "-q", tmp_path / "linked", cwd=tmp_path / "clone")
    monkeypatch.chdir(tmp_path / "linked")
    assert set(outcomes(tmp_path / "a.bundle").values()) == {RESTORED}
    assert all_as_json() == before
    git("fsck", "--strict")


@pytest.mark.parametrize("engine", ["sha256", "dulwich"])
def test_through_dulwich(git, tmp_path, monkeypatch, other, engine):
    form = "--object-format=sha256" if engine == "sha256" else "--object-format=sha1"
    git("init", "-q", form, tmp_path / "repo")
    monkeypatch.chdir(tmp_path / "repo")
    alone("len(three(Path('train.py')))")
    first, second = str(tmp_path / "a.bundle"), str(tmp_path / "b.bundle")
    assert alone(f"bundle.write(here(), founds('a', 'b'), {first!r}).runs", "dulwich") == 2
    assert alone(f"bundle.write(here(), founds(), {second!r}, since={first!r}).runs", "dulwich") == 3
    before = alone("all_as_json()")
    git("clone", "-q", first, tmp_path / "clone")
    assert (tmp_path / "clone/train.py").read_text() == "print('b')\n"
    assert git("rev-parse", "--show-object-format", cwd=tmp_path / "clone") == form.partition("=")[2]
    other(form)
    for path in (first, second):
        alone(f"len(bundle.restore(here(), {path!r}))", "dulwich")
    assert alone("all_as_json()") == before
    assert alone(f"[each.state for each in bundle.check(here(), {second!r})]", "dulwich") == [checking.WHOLE] * 3
    if engine == "sha256":
        other()
        with pytest.raises(FormatError, match="names its objects by sha256, and this repository by sha1"):
            restore(first)


def test_another_name_of_the_branch(runs, other, git, tmp_path):
    before = all_as_json()
    git("config", "lumo.branch", "runs")
    git("branch", "-m", "lumo_experiments", "runs")
    write(tmp_path / "a.bundle")
    assert "refs/heads/lumo_experiments" in git("bundle", "list-heads", tmp_path / "a.bundle")
    git("bundle", "create", "-q", tmp_path / "gits.bundle", "refs/heads/runs")  # git's own, of the ledger
    for name in ("a", "gits"):
        other()
        git("config", "lumo.branch", "runs")
        restore(tmp_path / f"{name}.bundle")
        assert all_as_json() == before


def _header(data: bytes, change) -> bytes:
    head, pack = data.split(b"\n\nPACK", 1)
    return change(head) + b"\n\nPACK" + pack


def _filtered(head: bytes) -> bytes:
    return head.replace(b"# v2 git bundle", b"# v3 git bundle\n@filter=blob:none")


def _elsewhere(head: bytes) -> bytes:
    lines = head.split(b"\n")
    return b"\n".join(b"0123456789" * 4 + line[40:] if line.endswith(b"HEAD") else line for line in lines)


HOSTILE = {
    "no bundle": (lambda data: b"hello\n", "is no git bundle"),
    "empty": (lambda data: b"", "is no git bundle"),
    "another version": (lambda data: data.replace(b"# v2", b"# v9", 1), "is no git bundle"),
    "a line": (lambda data: _header(data, lambda head: head + b"\nhello"), "'hello.*' stands in its header"),
    "endless": (lambda data: b"# v2 git bundle\n" + b"x" * 10_000, "stands in its header"),
    "a capability": (lambda data: _header(data, _filtered), "needs 'filter=blob:none'"),
    "cut": (lambda data: data[: len(data) // 2], "is damaged"),
    "only a header": (lambda data: data[: data.index(b"PACK")], "is damaged"),
    "a turned bit": (lambda data: data[:-200] + bytes([data[-200] ^ 1]) + data[-199:], "is damaged"),
    "an option": (lambda data: _header(data, lambda head: head.replace(b"HEAD", b"--upload-pack=x")), None),
    "another tip": (lambda data: _header(data, _elsewhere), "is not whole"),
    "no ledger": (
        lambda data: _header(data, lambda head: head.replace(b"lumo_experiments", b"main")),
        "is no bundle of runs: it should have refs/heads/lumo_experiments",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_bundles_are_refused_and_nothing_is_written(runs, other, git, tmp_path, kind):
    change, said = HOSTILE[kind]
    write(tmp_path / "a.bundle")
    (tmp_path / "strange.bundle").write_bytes(change((tmp_path / "a.bundle").read_bytes()))
    place = other()
    before = {path: data for path, data in state(place).items() if data is not None}
    if said is None:
        restore(tmp_path / "strange.bundle")
        return
    with pytest.raises(FormatError, match=said) as caught:
        restore(tmp_path / "strange.bundle")
    assert str(tmp_path / "strange.bundle") in str(caught.value)
    assert {path: data for path, data in state(place).items() if data is not None} == before


def test_a_branch_of_code_is_no_ledger(repo, other, git, tmp_path):
    git("bundle", "create", "-q", tmp_path / "a.bundle", "main:refs/heads/lumo_experiments", check=False)
    git("branch", "lumo_experiments")
    git("bundle", "create", "-q", tmp_path / "a.bundle", "lumo_experiments")
    git("branch", "-D", "lumo_experiments")
    other()
    with pytest.raises(FormatError, match="is no bundle of runs"):
        restore(tmp_path / "a.bundle")


def test_check(runs, tmp_path, other):
    write(tmp_path / "a.bundle", "a", "b")
    assert check(tmp_path / "a.bundle", "a", "c") == {"a": checking.WHOLE, "b": checking.WHOLE, "c": checking.LACKING}
    Watcher().retrieve("a").dump_note("later")
    assert main(["purge", "b"]) == 0
    before = state(Path(".git"))
    assert check(tmp_path / "a.bundle") == {"a": checking.OLDER, "b": checking.GONE}
    assert state(Path(".git")) == before
    data = (tmp_path / "a.bundle").read_bytes()
    (tmp_path / "a.bundle").write_bytes(data[:-50])
    with pytest.raises(FormatError, match="is damaged"):
        check(tmp_path / "a.bundle")


def test_usage(repo, git, tmp_path):
    with pytest.raises(LumoError, match="no runs to share yet"):
        bundle.write(here(), [], "a.bundle")
    record("a")
    (tmp_path / "a.bundle").write_text("mine")
    with pytest.raises(LumoError, match="is there already; --force writes over it"):
        write(tmp_path / "a.bundle")
    with pytest.raises(LumoError, match="no/such: No such file or directory; name another place"):
        write("no/such/a.bundle")
    with pytest.raises(LumoError, match="No such file or directory"):
        restore("no-such.bundle")
    git("bundle", "create", "-q", tmp_path / "code.bundle", "main")
    with pytest.raises(FormatError, match=r"code\.bundle is no bundle of runs"):
        write(tmp_path / "b.bundle", since=str(tmp_path / "code.bundle"))
    assert sorted(os.listdir(tmp_path)) == ["a.bundle", "code.bundle", "repo"]


def test_killed_at_any_moment(runs, git, tmp_path):
    (tmp_path / "out").mkdir()
    before = refs(git)[0]
    code = (
        "from tests.backup.archives import *\nfrom gitlumo.backup import bundle\n"
        "home, runs = here(), founds('a', 'b')\nprint(flush=True)\n"
        f"bundle.write(home, runs, {str(tmp_path / 'out/a.bundle')!r})"
    )
    env, killed, dice = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}, 0, random.Random(3)
    for _ in range(8):
        child = subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE)
        child.stdout.readline()
        time.sleep(dice.uniform(0, 0.12))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        if os.listdir(tmp_path / "out"):
            assert check(tmp_path / "out/a.bundle") == {"a": checking.WHOLE, "b": checking.WHOLE}
            (tmp_path / "out/a.bundle").unlink()
        else:
            killed += 1
    assert killed
    assert refs(git)[0] == before
    git("fsck", "--strict", "--no-dangling")


def test_a_full_disk(repo, git, tmp_path, small_disk):
    (repo / "weights").write_bytes(os.urandom(2_000_000))
    record("a")
    shutil.move(repo / "weights", tmp_path / "weights")
    with pytest.raises(LumoError, match=r"No space left on device|unable to write|write error"):
        write(small_disk / "a.bundle")
    assert os.listdir(small_disk) == []
