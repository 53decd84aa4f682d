"""``git lumo archive``: it runs by its own README, is the same wherever it is made, and is whole or not there."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import gitlumo
from gitlumo.errors import GitError, LumoError
from gitlumo.git import export
from gitlumo.rerun import packing

GONE = "git-lumo archive @ -o - | head -c 10 >/dev/null; echo ${PIPESTATUS[0]}"
EXAMPLE = Path(__file__).parents[2] / "docs/examples/digits/train.py"
SCRIPT = """
import os, sys
import gitlumo
from lib.model import size
with gitlumo.SimpleExperiment("digits", params={"lr": float(sys.argv[1])}) as exp:
    for step in range(3):
        exp.log({"loss": size / (step + 1), "odd": float("nan")}, step=step)
    exp.dump_note("a | note\\x1b[31m")
"""


@pytest.fixture
def trained(repo, git, fsck, tree_state):
    """A repository with a run on uncommitted code, in a folder below the top."""
    (repo / "exp/lib").mkdir(parents=True)
    (repo / "exp/train.py").write_text(SCRIPT)
    git("add", "--all")
    git("commit", "--quiet", "-m", "code")
    (repo / "exp/lib/model.py").write_text("size = 7\n")
    (repo / "tool.sh").write_text("#!/bin/sh\n")
    (repo / "tool.sh").chmod(0o755)
    os.symlink("exp/train.py", repo / "link")
    train(repo)
    before = tree_state(repo)
    yield repo
    assert tree_state(repo) == before
    fsck(repo)


def train(repo, *words):
    subprocess.run([sys.executable, "train.py", *(words or ["0.5"])], cwd=repo / "exp", capture_output=True, check=True)


def written(lumo, *words, cwd=None):
    done = lumo("archive", "@", "--json", *words, cwd=cwd)
    assert (done.status, done.err) == (0, "")
    return Path(json.loads(done.out)["path"])


def unpacked(lumo, out):
    path = written(lumo, "-o", str(out / "a.tar.gz"))
    subprocess.run(["tar", "-C", out, "-xf", path], check=True)
    path.unlink()
    (folder,) = out.iterdir()
    return folder


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def readme_line(folder: Path) -> str:
    """The one line of README.md that says how it runs."""
    return re.search(r"type here:\n\n    (.*)\n", (folder / "README.md").read_text())[1]


def replay(folder: Path, *words, **env):
    command = f"{readme_line(folder)} {' '.join(words)}"
    environ = {**os.environ, "GIT_DIR": "/nowhere", "LUMO_DISABLED": "1", **env}
    return subprocess.run(["sh", "-c", command], cwd=folder, env=environ, capture_output=True, text=True)


# ---------------------------------------------------------------------------------------------------- it runs again


OTHERS = [pytest.param(ending, marks=pytest.mark.soak) for ending in ("tar", "tar.zst")]


@pytest.mark.parametrize("ending", ["tar.gz", "zip", *OTHERS])
def test_it_runs_by_its_own_line(trained, lumo, git, out, ending):
    path = written(lumo, "-o", str(out / f"a.{ending}"))
    if ending == "zip":
        subprocess.run([sys.executable, "-m", "zipfile", "-e", path, out], check=True)
    else:
        subprocess.run(["tar", "-C", out, "-xf", path], check=True)
    path.unlink()
    (folder,) = out.iterdir()
    done = replay(folder)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "all metrics are the same"), done.stderr
    assert re.search(r"loss +2\.3+\d* +2\.3+\d*  same", done.stdout)
    assert git("log", "--oneline", "--all", cwd=folder / "code").count("code") == 1
    (folder / "code/exp/lib/model.py").write_text("size = 8.0\n")  # not as long: a .pyc of this second may be there
    done = replay(folder)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "not all metrics are the same")
    assert replay(folder, "--tolerance", "0.5").returncode == 0
    (folder / "code/exp/train.py").write_text("raise SystemExit(3)\n")
    assert replay(folder).returncode == 3


def test_the_example(repo, lumo, git, out):
    (repo / "train.py").write_bytes(EXAMPLE.read_bytes())
    words = ["train.py", "--model", "linear", "--epochs", "2", "--seed", "3"]
    subprocess.run([sys.executable, *words], capture_output=True, check=True)
    folder = unpacked(lumo, out)
    done = replay(folder)
    assert (done.returncode, done.stdout.count("  same")) == (0, 3), done.stderr


def test_any_command(repo, lumo, git, out):
    script = "echo '{\"speed\": '$1'}' >>$LUMO_METRICS"
    (repo / "bench.sh").write_text(script)
    done = lumo("run", "-n", "bench", "--set", "size=3", "--", "sh", "bench.sh", "4")
    assert done.status == 0
    folder = unpacked(lumo, out)
    done = replay(folder)
    assert (done.returncode, done.stdout.count("  same")) == (0, 1), done.stderr
    assert json.loads(lumo("show", "@", "--json", cwd=folder / "code").out)["params"] == {"size": 3}


def test_secrets_are_asked_for(trained, lumo, git, out):
    train(trained, "0.1", "--api-key", "hunter2hunter2")
    folder = unpacked(lumo, out)
    done = replay(folder)
    assert done.returncode == 1
    assert "secrets were left out of the command" in done.stderr
    assert "a secret in the command" in (folder / "README.md").read_text()
    assert not [path for path in folder.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]


# ------------------------------------------------------------------------------------------------------- what it is


def test_what_is_in_it(trained, lumo, git):
    path = written(lumo)
    name = json.loads(lumo("show", "@", "--json").out)["test_name"]
    assert path == trained / f"digits-{name}.tar.gz"
    with tarfile.open(path, errors="surrogateescape") as archive:
        infos = {info.name.removeprefix(f"digits-{name}/"): info for info in archive}
        data = {key: archive.extractfile(info).read() for key, info in infos.items() if info.isreg()}
    path.unlink()
    commit = json.loads(lumo("show", "@", "--json").out)["git"]["commit"]
    code = git("ls-tree", "-r", "-z", "--name-only", commit).split("\0")[:-1]
    assert sorted(key[5:] for key in infos if key.startswith("code/")) == sorted(code)
    record = [key[7:] for key in infos if key.startswith("record/")]
    assert record == lumo("show", "@:").out.splitlines()
    place = f"lumo_experiments:digits/{name[:6]}/{name}"
    assert all(
        data[f"record/{key}"].decode() == git("show", f"{place}/{key}") + "\n" for key in record if "json" in key
    )
    assert (infos["code/link"].type, infos["code/link"].linkname) == (tarfile.SYMTYPE, "exp/train.py")
    assert infos["code/tool.sh"].mode == 0o755
    assert data["code/exp/lib/model.py"] == b"size = 7\n"
    assert {(info.uid, info.gid, info.uname, info.mtime) for info in infos.values()} == {
        (0, 0, "", int(git("show", "-s", "--format=%ct", commit)))
    }
    assert set(infos) - {key for key in infos if "/" in key} == {"README.md", "requirements.txt", "run.json", "run.py"}
    lock = json.loads(data["record/info/lock.json"])
    assert f"pygit2=={lock['pygit2']}\n" in data["requirements.txt"].decode()
    assert b"\ngitlumo==" not in data["requirements.txt"]
    readme = data["README.md"].decode()
    assert "> a | note?[31m\n" in readme
    assert str(trained.parent).encode() not in b"".join(data.values())
    for line in data["requirements.txt"].decode().splitlines():
        assert re.fullmatch(r"# Python \S+|(# )?[a-z0-9-]+==\S+", line)


def test_the_same_everywhere(trained, lumo, git, out, tmp_path):
    """In a clone, later, with other settings, another zone and umask, after a gc."""
    digests = set()
    clone = tmp_path / "clone elsewhere"
    git("clone", "--quiet", trained, clone)
    (clone / ".git/info/attributes").write_text("* text eol=crlf export-subst\ntool.sh export-ignore\n")
    git("config", "core.autocrlf", "true", cwd=clone)
    git("config", "tar.umask", "0077", cwd=clone)
    git("gc", "--quiet", cwd=clone)
    for cwd in (trained, clone):
        for ending in packing.FORMATS:
            words = f"git lumo archive @ -o - --format {ending}"
            for line in (words, f"umask 077; TZ=Asia/Tokyo LC_ALL=C {words}"):
                done = subprocess.run(["sh", "-c", line], cwd=cwd, stdout=subprocess.PIPE, check=True)
                digests.add((ending, done.stdout))
    assert len(digests) == len(packing.FORMATS)
    packed = dict(digests)["tar.gz"]
    assert packed[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # no name, no time, no system (RFC 1952)


def test_what_was_left_out_is_said(trained, lumo, git, out):
    (trained / ".env").write_text("x")
    train(trained)
    (trained / ".env").unlink()
    folder = unpacked(lumo, out)
    assert "* `.env`: looks like a secret" in (folder / "README.md").read_text()


# ------------------------------------------------------------------------------------------------- whole or not there


def test_it_takes_no_ones_place(trained, lumo, out):
    path = out / "a.tar"
    path.write_text("mine")
    done = lumo("archive", "@", "-o", str(path))
    assert (done.status, done.out) == (128, "")
    assert "is there already; --force writes over it" in done.err
    assert path.read_text() == "mine"
    assert lumo("archive", "@", "-o", str(path), "-f").status == 0
    assert tarfile.is_tarfile(path)
    (out / "b.tar").mkdir()
    assert "is there already" in lumo("archive", "@", "-o", str(out / "b.tar"), "-f").err
    assert sorted(os.listdir(out)) == ["a.tar", "b.tar"]


@pytest.mark.parametrize("nameless", [True, False])
def test_it_appears_when_it_is_whole(out, monkeypatch, nameless):
    if not nameless:
        monkeypatch.setattr(packing, "_nameless", lambda folder: None)
    old = os.umask(0o027)
    with packing.whole_file(str(out / "a"), force=False) as file:
        file.write(b"12")
        assert not (out / "a").exists()
    os.umask(old)
    assert stat.S_IMODE((out / "a").stat().st_mode) == 0o640
    with packing.whole_file(str(out / "a"), force=True) as file:
        file.write(b"3")
        assert (out / "a").read_bytes() == b"12"
    assert (out / "a").read_bytes() == b"3"
    faster = pytest.raises(LumoError, match="is there already")
    with faster, packing.whole_file(str(out / "b"), force=False):
        (out / "b").write_text("faster")
    with pytest.raises(ZeroDivisionError), packing.whole_file(str(out / "c"), force=False):
        _ = 1 / 0
    assert sorted(os.listdir(out)) == ["a", "b"]
    assert (out / "b").read_text() == "faster"


def test_killed_in_the_middle(out):
    code = (
        "import os, signal\nfrom gitlumo.rerun.packing import whole_file\n"
        f"with whole_file({str(out / 'a.tar')!r}, force=False) as out:\n"
        "    out.write(bytes(10**6)); out.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert os.listdir(out) == []


def test_a_full_disk(trained, lumo, small_disk, git):
    (trained / "weights").write_bytes(os.urandom(2_000_000))
    train(trained)
    done = lumo("archive", "@", "-o", str(small_disk / "a.tar.gz"))
    (trained / "weights").unlink()
    assert (done.status, done.out) == (128, "")
    assert done.err == f"fatal: {small_disk / 'a.tar.gz'}: No space left on device; name another place with -o FILE\n"
    assert os.listdir(small_disk) == []


def test_a_reader_that_goes_away(trained, lumo):
    done = subprocess.run(["bash", "-c", GONE], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.strip() in ("0", "141")


# ------------------------------------------------------------------------------------------------------- what it needs


def test_usage(trained, lumo):
    assert lumo("archive", "@", "-o", "a.rar").status == 129
    assert "does not say which archive it is" in lumo("archive", "@", "-o", "a.rar").err
    assert lumo("archive", "@", "-o", "-", "--json").status == 129
    assert "no run is called 'nix'" in lumo("archive", "nix").err
    done = lumo("archive", "@", "-o", "no/such/a.tar")
    assert (done.status, done.err) == (
        128,
        "fatal: no/such: No such file or directory; name another place with -o FILE\n",
    )


def test_a_terminal_gets_no_archive(trained):
    import pty

    main, end = pty.openpty()
    done = subprocess.run(["git-lumo", "archive", "@", "-o", "-"], stdout=end, stderr=subprocess.PIPE, text=True)
    os.close(main)
    os.close(end)
    assert done.returncode == 129
    assert "no text for a terminal" in done.stderr


def test_a_running_run(repo, lumo, out):
    with gitlumo.SimpleExperiment("digits", "now"):
        done = lumo("archive", "now", "-o", str(out / "a.tar"))
        assert (done.status, done.out) == (128, "")
        assert "digits/now is running" in done.err
    assert os.listdir(out) == []


def test_names_that_are_not_utf8(repo, lumo, out):
    name = os.fsdecode(b"caf\xe9")
    Path(name).write_text("latin\n")
    gitlumo.SimpleExperiment("digits", "latin").start().end()
    folder = unpacked(lumo, out)
    assert (folder / "code" / name).read_text() == "latin\n"
    done = lumo("archive", "@", "-o", str(out / "a.zip"))
    assert done.status == 128
    assert "not UTF-8; take tar.gz" in done.err
    assert os.listdir(out) == [folder.name]


def test_a_partial_clone(trained, lumo, git, out, tmp_path):
    git("config", "uploadpack.allowFilter", "true")
    git("clone", "--quiet", "--no-checkout", "--filter=blob:none", f"file://{trained}", tmp_path / "clone")
    here, there = (
        written(lumo, "-o", str(out / name), cwd=cwd)
        for name, cwd in (("a.tar", trained), ("b.tar", tmp_path / "clone"))
    )
    assert here.read_bytes() == there.read_bytes()


def test_submodules(trained, lumo, git, out, tmp_path):
    git("init", "--quiet", tmp_path / "deep")
    (tmp_path / "deep/deep.py").write_text("1\n")
    git("init", "--quiet", tmp_path / "sub")
    for name in ("deep", "sub"):
        if name == "sub":
            git("submodule", "--quiet", "add", tmp_path / "deep", "in it", cwd=tmp_path / name)
        git("add", "--all", cwd=tmp_path / name)
        git("commit", "--quiet", "-m", name, cwd=tmp_path / name)
    user = tmp_path / "user"
    git("clone", "--quiet", trained, user)
    git("submodule", "--quiet", "add", tmp_path / "sub", "libs/sub", cwd=user)
    git("submodule", "--quiet", "update", "--init", "--recursive", cwd=user)
    (user / "exp/lib").mkdir()
    (user / "exp/lib/model.py").write_text("size = 7\n")
    train(user)
    with tarfile.open(written(lumo, "-o", str(out / "a.tar"), cwd=user)) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert "code/libs/sub/in it/deep.py" in names
    assert "code/libs/sub/.gitmodules" in names
    git("clone", "--quiet", user, tmp_path / "third")
    done = lumo("archive", "@", "-o", str(out / "b.tar"), cwd=tmp_path / "third")
    assert done.status == 128
    assert "submodule libs/sub" in done.err
    assert "git submodule update --init --recursive" in done.err
    assert os.listdir(out) == ["a.tar"]


def test_other_filters_are_told_of(repo, lumo, git, tmp_path):
    (repo / ".gitattributes").write_text("# filter=none\n*.bin filter=crypt diff=crypt\n*.dat filter=lfs\n")
    git("config", "filter.crypt.clean", "cat")
    subprocess.run([sys.executable, "-c", "import gitlumo; gitlumo.start('f').end()"], check=True)
    done = lumo("archive", "@", "-o", tmp_path / "f.tar", direct=True)
    assert (done.status, done.err.count("warning:"), "'crypt'" in done.err) == (0, 1, True), done.err


def test_lfs_files_come_along(trained, lumo, git, out):
    data = os.urandom(1000)
    oid = hashlib.sha256(data).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 1000\n"
    git(
        "config",
        "filter.lfs.clean",
        f"printf 'version https://git-lfs.github.com/spec/v1\\noid sha256:{oid}\\nsize 1000\\n'",
    )
    (trained / ".gitattributes").write_text("*.bin filter=lfs\n")
    (trained / "model.bin").write_bytes(data)
    train(trained)
    for name in (".gitattributes", "model.bin"):
        (trained / name).unlink()
    assert lumo("show", "@:model.bin").out == pointer
    done = lumo("archive", "@", "-o", str(out / "a.tar"))
    assert done.status == 128
    assert "the LFS file model.bin is not on this machine\ntype 'git lfs fetch --all'" in done.err
    stored = trained / ".git/lfs/objects" / oid[:2] / oid[2:4] / oid
    stored.parent.mkdir(parents=True)
    stored.write_bytes(data[::-1])
    assert "is damaged" in lumo("archive", "@", "-o", str(out / "a.tar")).err
    assert os.listdir(out) == []
    stored.write_bytes(data)
    with tarfile.open(written(lumo, "-o", str(out / "a.tar"))) as archive:
        member = next(info for info in archive if info.name.endswith("/code/model.bin"))
        assert archive.extractfile(member).read() == data


@pytest.mark.parametrize("path", ["../x", "a/../../x", ".git/hooks/pre-commit", "a/.GIT/config", "", "a//b"])
def test_no_path_leads_out(path):
    with pytest.raises(GitError, match="no path that can be unpacked"):
        export.check_path(path)


def test_formats_of_any_member(tmp_path):
    """Long names, large times: what is written can be read."""
    members = [("a/" * 60 + "x" * 200, 0o100755, b"1"), ("b", 0o120000, b"a")]
    for format in packing.FORMATS:
        out = io.BytesIO()
        files = (export.File(path, mode, len(data), io.BytesIO(data)) for path, mode, data in members)
        assert packing.write(out, format, files, 10**12 if format == "zip" else -5) == 2
        out.seek(0)
        if format == "zip":
            with zipfile.ZipFile(out) as archive:
                assert [archive.read(path) for path, _, _ in members] == [b"1", b"a"]
                assert [info.external_attr >> 16 for info in archive.infolist()] == [0o100755, 0o120777]
        else:
            (tmp_path / "a").write_bytes(out.getvalue())
            with packing.opened(str(tmp_path / "a")) as source, tarfile.open(fileobj=source) as archive:
                assert archive.getnames() == [path for path, _, _ in members]
