"""Archives of backups: whole or not there, the same wherever they are made, and of strangers nothing is believed."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from gitlumo import SimpleExperiment, Watcher, editing
from gitlumo.backup import checking, contents, tar, untar
from gitlumo.backup.restoring import PURGED, RESTORED, THERE
from gitlumo.cli import main
from gitlumo.errors import FormatError, LumoError, NoSuchRun, UsageError
from tests.backup.archives import all_as_json, alone, founds, here, members, record, rewrite, swap

ENDINGS = ("tar", "tar.gz", "tgz", "tar.zst")


def write(path, *names, **keywords):
    return tar.write(here(), founds(*names), str(path), **keywords)


def restore(path, **keywords):
    return untar.restore(here(), str(path), **keywords)


def outcomes(path, **keywords):
    return [each.outcome for each in restore(path, **keywords)]


def check(path, *names):
    return {
        each.name.partition("/")[2]: each.state
        for each in untar.check(here(), str(path), founds(*names) if names else ())
    }


# ------------------------------------------------------------------------------------------------- there and back


@pytest.mark.parametrize("ending", ENDINGS)
def test_into_a_repository_that_never_saw_them(runs, other, git, tmp_path, ending):
    before, code = all_as_json(), [exp.properties["git"]["commit"] for exp in runs]
    written = write(tmp_path / f"a.{ending}", with_blob=True, with_cache=True)
    assert (written.runs, written.left_out, written.missing_code) == (3, (), ())
    assert written.size == (tmp_path / f"a.{ending}").stat().st_size
    shutil.rmtree(runs[0].cache_dir)
    other()
    done = restore(tmp_path / f"a.{ending}")
    assert [(each.outcome, each.missing_code, each.kept) for each in done] == [(RESTORED, None, ())] * 3
    assert all_as_json() == before
    for exp in runs:
        found = Watcher().retrieve(exp.uid)
        assert Path(found.blob_dir, "models/last.bin").read_bytes() == bytes(range(256)) * 100
        assert Path(found.cache_dir, "tmp.bin").read_bytes() == b"cached"
    git("reflog", "expire", "--expire=now", "--all")
    git("gc", "-q", "--prune=now")
    assert [git("cat-file", "-t", commit) for commit in code] == ["commit"] * 3
    tip = git("rev-parse", "lumo_experiments")
    assert outcomes(tmp_path / f"a.{ending}") == [THERE] * 3
    assert git("rev-parse", "lumo_experiments") == tip
    assert not list(Path(".git/objects/pack").glob("*.keep"))
    assert set(check(tmp_path / f"a.{ending}").values()) == {checking.WHOLE}


def test_what_plain_tools_make_of_it(runs, tmp_path, git):
    write(tmp_path / "a.tar.gz", with_blob=True)
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "-C", out, "-xf", tmp_path / "a.tar.gz"], check=True)
    subprocess.run(["sha256sum", "--quiet", "--strict", "-c", "SHA256SUMS"], cwd=out, check=True)
    git("bundle", "verify", out / "code.bundle")
    git("clone", "-q", out / "code.bundle", out / "clone")
    assert (out / "clone/train.py").read_text() == "print('c')\n"
    index = json.loads((out / "index.json").read_text())
    for run, exp in zip(index["runs"], runs, strict=True):
        assert git("show", f"{run['code']}:train.py", cwd=out / "clone") == f"print({exp.test_name!r})"
        folder = out / run["folder"] / "record"
        command = "find * -type f | LC_ALL=C sort | tr '\\n' '\\0' | xargs -0 sha256sum | sha256sum"
        done = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, check=True)
        assert done.stdout.split()[0] == run["record"]["sha256"]
        tree = git("ls-tree", "-r", "--name-only", f"lumo_experiments:{founds(exp.uid)[0].path}").splitlines()
        assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == sorted(tree)
    assert index["runs"][0]["blob"] == {"files": 1, "size": 25600}
    assert members(tmp_path / "a.tar.gz")[0][0].name == "index.json"
    assert {(info.uid, info.gid, info.uname, info.gname) for info, _ in members(tmp_path / "a.tar.gz")} == {
        (0, 0, "", "")
    }
    assert str(tmp_path).encode() not in b"".join(data for _, data in members(tmp_path / "a.tar.gz"))


def test_the_same_bytes_wherever_it_is_made(runs, git, tmp_path, monkeypatch):
    clone = tmp_path / "a clone"
    git("clone", "-q", runs[0].repository.location.work_tree, clone)
    git("tag", "-a", "-m", "x", "early", "HEAD", cwd=clone)
    git("gc", "-q", "--aggressive", cwd=clone)
    for setting in (
        ("pack.window", "2"),
        ("pack.compression", "1"),
        ("core.commitGraph", "true"),
        ("pack.threads", "2"),
    ):
        git("config", *setting, cwd=clone)
    digests = {}
    for place in (None, clone):
        if place:
            monkeypatch.chdir(place)
        for ending in ("tar", "tar.gz", "tar.zst"):
            for names in (("a", "b", "c"), ("c", "a", "b", "a")):
                write(tmp_path / f"x.{ending}", *names, force=True)
                digests.setdefault(ending, set()).add(hashlib.sha256((tmp_path / f"x.{ending}").read_bytes()).digest())
    assert {ending: len(found) for ending, found in digests.items()} == {"tar": 1, "tar.gz": 1, "tar.zst": 1}


def test_only_some(runs, other, tmp_path):
    write(tmp_path / "a.tar", with_blob=True)
    other()
    assert [each.backup.parcel.name for each in restore(tmp_path / "a.tar", only=["digits/b", runs[2].uid[:8]])] == [
        "digits/b",
        "digits/c",
    ]
    assert [each.label for each in founds()] == ["digits/c", "digits/b"]
    assert not os.path.exists(Watcher().retrieve("b").blob_dir.replace("/b", "/a"))
    with pytest.raises(NoSuchRun, match="has no run 'x'"):
        restore(tmp_path / "a.tar", only=["x"])
    with pytest.raises(NoSuchRun, match="may mean 3 runs"):
        restore(tmp_path / "a.tar", only=[""])


def test_many_runs_come_back_some_at_a_time(runs, other, git, tmp_path, monkeypatch):
    before = all_as_json()
    write(tmp_path / "a.tar")
    other()
    monkeypatch.setattr(untar, "BATCH", 1)
    assert outcomes(tmp_path / "a.tar") == [RESTORED] * 3
    assert all_as_json() == before
    assert git("rev-list", "--count", "--grep=^Lumo-Event: end", "lumo_experiments") == "3"


def test_where_the_run_is_it_stays_and_edits_come(runs, tmp_path, git):
    editing.edit_run(here().ledger, founds("a")[0].record, editing.NOTE, "first")
    write(tmp_path / "a.tar")
    tree = git("rev-parse", "lumo_experiments^{tree}")
    assert outcomes(tmp_path / "a.tar") == [THERE] * 3
    assert git("rev-parse", "lumo_experiments^{tree}") == tree
    assert main(["purge", "a"]) == 0
    assert outcomes(tmp_path / "a.tar") == [PURGED, THERE, THERE]
    assert [each.label for each in founds()] == ["digits/c", "digits/b"]


def test_two_of_one_name(repo, other, git, tmp_path):
    clone = tmp_path / "clone"
    git("clone", "-q", repo, clone)
    first = record("same")
    os.chdir(clone)
    second = record("same")
    git("fetch", "-q", "origin", "lumo_experiments:refs/remotes/origin/lumo_experiments")
    shutil.copytree(first.blob_dir, f".git/lumo/blob/digits/same~{first.uid}")
    before = all_as_json()
    assert write(tmp_path / "a.tar", with_blob=True).runs == 2
    folders = {run.folder for run in read_index(tmp_path / "a.tar").runs}
    assert folders == {"runs/digits/same", f"runs/digits/same~{second.uid}"}
    other()
    assert outcomes(tmp_path / "a.tar") == [RESTORED] * 2
    assert all_as_json() == before
    there = {str(path.relative_to(".git/lumo/blob")) for path in Path(".git/lumo/blob").rglob("*") if path.is_file()}
    assert there == {"digits/same/models/last.bin", f"digits/same~{second.uid}/models/last.bin"}
    assert first.uid in before["digits/same"]["uid"]


def read_index(path):
    return contents.read_index(members(path)[0][1])


@pytest.mark.parametrize("engine", ["sha256", "dulwich"])
def test_through_dulwich(git, tmp_path, monkeypatch, other, engine):
    form = "--object-format=sha256" if engine == "sha256" else "--object-format=sha1"
    git("init", "-q", form, tmp_path / "repo")
    monkeypatch.chdir(tmp_path / "repo")
    code = sorted(alone("[exp.properties['git']['commit'] for exp in three(Path('train.py'))]"))
    path = str(tmp_path / "a.tar.zst")
    assert alone(f"tar.write(here(), founds(), {path!r}, with_blob=True).runs", "dulwich") == 3
    before = alone("all_as_json()")
    restored = f"[each.missing_code for each in untar.restore(here(), {path!r})]"
    other(form)
    assert alone(restored, "dulwich") == [None] * 3
    assert alone("all_as_json()") == before
    assert alone(f"[each.state for each in untar.check(here(), {path!r})]", "dulwich") == [checking.WHOLE] * 3
    if engine == "sha256":
        other()  # code of another kind of ids cannot come along
        assert sorted(alone(restored)) == code
        assert alone("all_as_json()") == before


def test_a_linked_worktree_and_roots_elsewhere(repo, runs, other, git, tmp_path, monkeypatch):
    git("worktree", "add", "-q", tmp_path / "linked")
    monkeypatch.chdir(tmp_path / "linked")
    write(tmp_path / "a.tar", with_blob=True)
    before = all_as_json()
    assert read_index(tmp_path / "a.tar").runs[0].parts["blob"].files == 1
    other()
    for root in ("info", "blob", "cache"):
        git("config", f"lumo.{root}Root", tmp_path / f"roots/{root}")
    git("config", "lumo.branch", "elsewhere")
    assert outcomes(tmp_path / "a.tar") == [RESTORED] * 3
    assert all_as_json() == before
    assert (tmp_path / "roots/blob/digits/a/models/last.bin").stat().st_size == 25600
    shutil.rmtree(tmp_path / "roots/blob/digits/a")
    assert outcomes(tmp_path / "a.tar") == [THERE] * 3  # and the files are brought that lack
    assert (tmp_path / "roots/blob/digits/a/models/last.bin").stat().st_size == 25600
    again = write(tmp_path / "b.tar", with_blob=True)
    assert [run.parts["blob"] for run in read_index(tmp_path / "b.tar").runs] == [contents.Part(1, 25600)] * 3
    assert again.missing_code == ()
    assert main(["purge", "a"]) == 0
    assert not (tmp_path / "roots/blob/digits/a").exists()


def test_a_restored_run_goes_on(runs, other, tmp_path):
    write(tmp_path / "a.tar", with_blob=True)
    other()
    restore(tmp_path / "a.tar")
    with SimpleExperiment("digits", "a", resume="a") as exp:
        exp.log({"loss": 0.001})
        assert Path(exp.mk_bpath("models", "last.bin")).stat().st_size == 25600
    assert exp.uid == runs[0].uid
    assert len(Watcher().retrieve("a").history("loss")) == 21


def test_a_shallow_clone_says_which_code_is_missing(runs, git, tmp_path, monkeypatch):
    code = sorted(exp.properties["git"]["commit"] for exp in runs)
    git("clone", "-q", "--depth=1", "--no-single-branch", f"file://{os.getcwd()}", tmp_path / "clone")
    monkeypatch.chdir(tmp_path / "clone")
    written = write(tmp_path / "a.tar")
    assert list(written.missing_code) == code
    assert [info.name for info, _ in members(tmp_path / "a.tar") if info.name == "code.bundle"] == []
    assert read_index(tmp_path / "a.tar").missing_code == tuple(code)


def test_without_code(runs, other, tmp_path):
    write(tmp_path / "a.tar", with_code=False)
    other()
    done = restore(tmp_path / "a.tar")
    assert [each.missing_code for each in done] == [exp.properties["git"]["commit"] for exp in runs]


@pytest.mark.damages
def test_code_that_a_stranger_names_stays_here(runs, git, tmp_path):
    """A record may name any commit: only what the ledger itself reaches goes along."""
    git("commit", "-q", "--allow-empty", "-m", "private")
    private = git("rev-parse", "HEAD")
    git("reset", "-q", "--hard", "HEAD~1")
    write(tmp_path / "a.tar")
    lied = rewrite(tmp_path / "a.tar", lambda found: found)
    assert private.encode() not in lied.read_bytes()
    place = founds("a")[0].path
    blob = git("hash-object", "-w", "--stdin", input=json.dumps({"commit": private}))
    env = {**os.environ, "GIT_INDEX_FILE": str(tmp_path / "index")}

    def run(*words):
        return subprocess.run(["git", *words], env=env, check=True, capture_output=True, text=True).stdout.strip()

    run("read-tree", "lumo_experiments")
    run("update-index", "--add", "--cacheinfo", f"100644,{blob},{place}/info/git.json")
    commit = run("commit-tree", "-p", "lumo_experiments", "-m", "a stranger's", run("write-tree"))
    git("update-ref", "refs/heads/lumo_experiments", commit)
    assert private in write(tmp_path / "b.tar").missing_code
    assert private not in read_index(tmp_path / "b.tar").code.commits


# ------------------------------------------------------------------------------------------------ whole or not there


def test_usage(repo, tmp_path, monkeypatch):
    with pytest.raises(LumoError, match="no runs to back up"):
        tar.write(here(), [], "a.tar")
    record("a")
    for name in ("a.rar", "a.zip", "a"):
        with pytest.raises(UsageError, match="does not say which archive it is"):
            write(name)
    (tmp_path / "a.tar").write_text("mine")
    with pytest.raises(LumoError, match="is there already; --force writes over it"):
        write(tmp_path / "a.tar")
    assert (tmp_path / "a.tar").read_text() == "mine"
    write(tmp_path / "a.tar", force=True)
    assert tarfile.is_tarfile(tmp_path / "a.tar")
    with pytest.raises(LumoError, match="no/such: No such file or directory; name another place"):
        write("no/such/a.tar")
    with pytest.raises(LumoError, match="No such file or directory"):
        restore("no-such.tar")
    for name in ("compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(LumoError, match=r"pip install 'gitlumo\[zstd\]', or take \.tar\.gz"):
        write(tmp_path / "b.tar.zst")
    assert sorted(os.listdir(tmp_path)) == ["a.tar", "repo"]


def test_a_run_that_goes_on_is_as_it_was_published(repo, other, tmp_path):
    with SimpleExperiment("digits", "now") as exp:
        exp.log({"loss": 1})
        exp.checkpoint()
        exp.log({"loss": 2})
        write(tmp_path / "a.tar")
        assert check(tmp_path / "a.tar", "now") == {"now": checking.WHOLE}
    other()
    restore(tmp_path / "a.tar")
    assert len(Watcher().retrieve("now").history("loss")) == 1


def test_killed_at_any_moment(repo, tmp_path):
    exp = record("a")
    Path(exp.mk_bpath("large")).write_bytes(os.urandom(3_000_000))
    out = tmp_path / "out"
    out.mkdir()
    code = (
        "import sys\nfrom tests.backup.archives import *\nfrom gitlumo.backup import tar\n"
        "home, runs = here(), founds()\nprint(flush=True)\n"
        f"tar.write(home, runs, {str(out / 'a.tar.gz')!r}, with_blob=True)"
    )
    env, killed, dice = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}, 0, random.Random(3)
    for _ in range(8):
        child = subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE)
        child.stdout.readline()
        time.sleep(dice.uniform(0, 0.25))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        if os.listdir(out):
            assert set(check(out / "a.tar.gz").values()) == {checking.WHOLE}
            (out / "a.tar.gz").unlink()
        else:
            killed += 1
    assert killed


def test_a_full_disk(repo, other, tmp_path, small_disk, git):
    exp = record("a")
    Path(exp.mk_bpath("large")).write_bytes(os.urandom(2_000_000))
    with pytest.raises(LumoError, match=r"a\.tar: No space left on device; name another place with -o FILE"):
        write(small_disk / "a.tar", with_blob=True)
    assert os.listdir(small_disk) == []
    write(tmp_path / "a.tar", with_blob=True)
    other()
    git("config", "lumo.blobRoot", small_disk)
    with pytest.raises(LumoError, match="bytes are to be put below"):
        restore(tmp_path / "a.tar")
    assert os.listdir(small_disk) == []
    assert not founds()


# -------------------------------------------------------------------------------------------------- are they there


def test_check(runs, tmp_path, git, other):
    write(tmp_path / "a.tar", "a", "b", with_blob=True)
    assert check(tmp_path / "a.tar", "a", "c") == {"a": checking.WHOLE, "b": checking.WHOLE, "c": checking.LACKING}
    Watcher().retrieve("a").dump_note("later")
    assert check(tmp_path / "a.tar") == {"a": checking.OLDER, "b": checking.WHOLE}
    assert main(["purge", "b"]) == 0
    assert check(tmp_path / "a.tar") == {"a": checking.OLDER, "b": checking.GONE}
    damaged = rewrite(tmp_path / "a.tar", swap("b/record/note.md", b"cold start"))
    assert check(damaged) == {"a": checking.OLDER, "b": checking.DAMAGED}
    found = [(info, data) for info, data in members(tmp_path / "a.tar")]
    at = next(i for i, (info, _) in enumerate(found) if info.name == "runs/digits/b/blob/models/last.bin")
    damaged = rewrite(tmp_path / "a.tar", lambda all: [(i, d[::-1] if n == at else d) for n, (i, d) in enumerate(all)])
    assert check(damaged) == {"a": checking.OLDER, "b": checking.DAMAGED}
    cut = tmp_path / "cut.tar"
    cut.write_bytes((tmp_path / "a.tar").read_bytes()[: sum(512 + -(-len(d) // 512) * 512 for _, d in found[: at - 1])])
    assert check(cut) == {"a": checking.OLDER, "b": checking.DAMAGED}
    cut.write_bytes(b"x" * 10_000)
    with pytest.raises(FormatError, match="no tar archive"):
        check(cut)


def test_check_of_a_run_that_was_restored(runs, other, tmp_path):
    write(tmp_path / "a.tar")
    other()
    assert set(check(tmp_path / "a.tar").values()) == {checking.GONE}
    restore(tmp_path / "a.tar", only=["a"])
    assert check(tmp_path / "a.tar") == {"a": checking.WHOLE, "b": checking.GONE, "c": checking.GONE}
    Watcher().retrieve("a").dump_note("later")
    assert check(tmp_path / "a.tar")["a"] == checking.OLDER


def test_read_gives_each_run(runs, tmp_path):
    write(tmp_path / "a.tar.gz")
    found = list(itertools.islice(untar.read(str(tmp_path / "a.tar.gz")), 2))
    assert [each.parcel.name for each in found] == ["digits/a", "digits/b"]
    assert found[0].parcel.record.note == "warm start"
