"""The code snapshot: the tree that git itself would commit, made without touching anything of the user's."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gitlumo.errors import GitError
from gitlumo.git import snapshot
from gitlumo.git.repository import open_repository
from gitlumo.git.snapshot import Limits, Snapshot

REAL_GIT = shutil.which("git")
PATIENT = Limits(timeout=60)
MESSAGE = "Snapshot of the work tree\n\nLumo-Snapshot: 1\n"


def take(path: str | Path, limits: Limits = PATIENT, **more: Any) -> Snapshot:
    """Take a snapshot, and check that nothing is left in the temporary folder."""
    repository = open_repository(path)
    work = Path(repository.location.lumo_dir)
    try:
        return snapshot.take(repository, limits, str(work / "tmp"), str(work / "packs"), **more)
    finally:
        repository.close()
        assert not (work / "tmp").exists() or not list((work / "tmp").iterdir())


def reasons(taken: Snapshot) -> dict[str, str]:
    return {skip["path"]: skip["reason"] for skip in taken.skipped}


@pytest.fixture
def receive(git, tmp_path):
    """``receive(snapshot, repo)``: index the pack in a clone that has HEAD and nothing else; returns the clone."""

    def run(taken: Snapshot, path: Path, *clone_options: str) -> Path:
        clone = tmp_path / f"clone{len(list(tmp_path.iterdir()))}"
        if taken.head:
            git("clone", "--quiet", "--no-local", "--bare", *clone_options, path, clone)
            git("cat-file", "-e", taken.head, cwd=clone)
        else:
            git(
                "init", "--quiet", "--bare", f"--object-format={'sha256' if len(taken.commit) == 64 else 'sha1'}", clone
            )
        for ending in (".pack", ".idx"):
            shutil.copy(taken.pack + ending, clone / "objects/pack" / f"pack-{taken.commit}{ending}")
        git("index-pack", "--strict", clone / "objects/pack" / f"pack-{taken.commit}.pack", cwd=clone)
        git("update-ref", "refs/heads/received", taken.commit, cwd=clone)
        git("fsck", "--strict", "--no-dangling", cwd=clone)
        assert git("rev-parse", f"{taken.commit}^{{tree}}", cwd=clone) == taken.tree
        return clone

    return run


@pytest.fixture
def as_git_commits(git, tmp_path, monkeypatch):
    """``as_git_commits(repo)``: the tree of ``git add -A`` with everything in a copy of the repository's index."""

    def run(path: Path) -> str:
        git_dir = Path(git("rev-parse", "--absolute-git-dir", cwd=path))
        with monkeypatch.context() as patch:
            patch.setenv("GIT_INDEX_FILE", str(tmp_path / "oracle-index"))
            if (git_dir / "index").exists():
                shutil.copy2(git_dir / "index", tmp_path / "oracle-index")
            git("add", "--all", "--sparse", cwd=path)
            return git("write-tree", cwd=path)

    return run


@pytest.fixture
def fake_git(tmp_path, monkeypatch):
    """``fake_git(script)``: lines of sh that see git's arguments before the real git does."""

    def install(script: str) -> None:
        (tmp_path / "bin").mkdir()
        program = tmp_path / "bin/git"
        program.write_text(f'#!/bin/sh\n{script}\nexec {REAL_GIT} "$@"\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    return install


@pytest.fixture
def spawned(monkeypatch):
    """Command lines of all processes that are started."""
    calls: list[list[str]] = []

    class Counting(subprocess.Popen):
        def __init__(self, args, *rest, **more):
            calls.append(args)
            super().__init__(args, *rest, **more)

    monkeypatch.setattr(subprocess, "Popen", Counting)
    return calls


def everything(path: Path, git_dir: Path) -> dict[str, Any]:
    """All below a repository but gitlumo's own folder: mode, content and, where git does not freshen it, mtime."""
    state = {}
    for top in {path, git_dir}:
        for folder, folders, names in os.walk(top):
            folders[:] = [name for name in folders if Path(folder, name) != git_dir / "lumo"]
            for name in names:
                file = Path(folder, name)
                found = file.lstat()
                content = os.readlink(file) if file.is_symlink() else file.read_bytes()
                mtime = None if "objects" in file.parts else found.st_mtime_ns
                state[str(file)] = (stat.S_IMODE(found.st_mode), content, mtime)
            state[folder] = sorted(folders)
    return state


# ------------------------------------------------------------------------------------------ what is recorded


def test_a_clean_tree_is_its_head(repo, git):
    taken = take(repo)
    assert taken == Snapshot(
        commit=git("rev-parse", "HEAD"),
        head=git("rev-parse", "HEAD"),
        tree=git("rev-parse", "HEAD^{tree}"),
        dirty=False,
        skipped=[],
        submodules=[],
        pack=None,
    )


def test_a_head_from_before_1970_is_as_old_as_a_commit_may_be(repo, git):
    head = git("cat-file", "commit", "HEAD").replace(git("show", "-s", "--format=%ct", "HEAD") + " +", "-5 +") + "\n"
    git("reset", "-q", "--soft", git("hash-object", "-t", "commit", "-w", "--literally", "--stdin", input=head))
    (repo / "train.py").write_text("changed\n")
    taken = take(repo)
    shutil.copy(taken.pack + ".pack", repo / ".git/objects/pack/pack-x.pack")
    git("index-pack", ".git/objects/pack/pack-x.pack")
    assert "gitlumo@localhost> 0 +0000" in git("cat-file", "commit", taken.commit)


def test_a_clean_tree_of_a_thousand_files_takes_four_processes(repo, git, spawned):
    for n in range(1000):
        (repo / f"f{n}").write_text(f"{n}\n")
    git("add", ".")
    git("commit", "-qm", "many")
    repository = open_repository(repo)
    assert repository.config
    spawned.clear()
    taken = snapshot.take(repository, PATIENT, str(repo / ".git/lumo/tmp"), str(repo / ".git/lumo/packs"))
    assert not taken.dirty
    assert len(spawned) <= 4
    spawned.clear()
    (repo / "f1").write_text("changed\n")
    (repo / "new").write_text("new\n")
    taken = snapshot.take(repository, PATIENT, str(repo / ".git/lumo/tmp"), str(repo / ".git/lumo/packs"))
    assert taken.pack
    assert len(spawned) <= 7


def test_the_commit_is_the_one_of_the_format(repo, git, receive):
    (repo / "train.py").write_text("changed\n")
    taken = take(repo)
    assert taken.dirty
    assert taken.head == git("rev-parse", "HEAD")
    clone = receive(taken, repo)
    when = git("show", "-s", "--format=%ct", "HEAD")
    assert git("cat-file", "commit", taken.commit, cwd=clone) + "\n" == (
        f"tree {taken.tree}\nparent {taken.head}\nauthor gitlumo <gitlumo@localhost> {when} +0000\n"
        f"committer gitlumo <gitlumo@localhost> {when} +0000\n\n{MESSAGE}"
    )


def test_without_commits_it_has_no_parent(empty_repo, git, receive):
    (empty_repo / "a").write_text("a\n")
    git("add", "a")
    (empty_repo / "b").write_text("b\n")
    taken = take(empty_repo)
    assert (taken.head, taken.dirty) == (None, True)
    clone = receive(taken, empty_repo)
    assert git("ls-tree", "--name-only", taken.commit, cwd=clone) == "a\nb"
    assert git("show", "-s", "--format=%P|%ct", taken.commit, cwd=clone) == "|1679616000"


def test_nothing_at_all_is_an_empty_tree(empty_repo, git, receive):
    taken = take(empty_repo)
    assert git("ls-tree", taken.commit, cwd=receive(taken, empty_repo)) == ""


def edit_content(repo, git):
    (repo / "train.py").write_text("changed\n")


def edit_staged(repo, git):
    (repo / "train.py").write_text("staged\n")
    git("add", "train.py")
    (repo / "train.py").write_text("and on\n")


def edit_delete(repo, git):
    (repo / "train.py").unlink()


def edit_rename(repo, git):
    git("mv", "train.py", "renamed.py")
    (repo / ".gitignore").rename(repo / "ignore.txt")


def edit_mode(repo, git):
    (repo / "train.py").chmod(0o755)


def edit_link(repo, git):
    (repo / "train.py").unlink()
    (repo / "train.py").symlink_to("elsewhere")
    (repo / "new link").symlink_to("/nowhere")


def edit_file_to_folder(repo, git):
    (repo / "train.py").unlink()
    (repo / "train.py").mkdir()
    (repo / "train.py/inner").write_text("x\n")


def edit_folder_to_link(repo, git):
    (repo / "folder").mkdir()
    (repo / "folder/x").write_text("x\n")
    git("add", ".")
    git("commit", "-qm", "folder")
    (repo / "folder").rename(repo / "moved")
    (repo / "folder").symlink_to("moved")


def edit_filter(repo, git):
    git("config", "filter.shout.clean", "tr a-z A-Z")
    (repo / ".gitattributes").write_text("*.txt filter=shout\n*.crlf text eol=crlf\n")
    (repo / "quiet.txt").write_text("quiet\n")
    (repo / "lines.crlf").write_bytes(b"a\r\nb\r\n")
    git("add", ".gitattributes", "quiet.txt")
    git("commit", "-qm", "filtered")
    (repo / "quiet.txt").write_text("still quiet\n")


def edit_intent_to_add(repo, git):
    (repo / "meant.py").write_text("meant\n")
    git("add", "-N", "meant.py")


def edit_ignored(repo, git):
    (repo / "run.log").write_text("ignored\n")
    (repo / "forced.log").write_text("forced\n")
    git("add", "-f", "forced.log")
    (repo / ".git/info/exclude").write_text("local\n")
    (repo / "local").write_text("ignored\n")


def edit_unmerged(repo, git):
    git("checkout", "-qb", "side")
    (repo / "train.py").write_text("side\n")
    git("rm", "-q", ".gitignore")
    git("commit", "-qam", "side")
    git("checkout", "-q", "main")
    (repo / "train.py").write_text("main\n")
    (repo / ".gitignore").write_text("main\n")
    git("commit", "-qam", "main")
    git("merge", "side", check=False)
    assert git("ls-files", "-u")


def edit_names(repo, git):
    names = [b"with space", b"new\nline", b"-dash", b"--help", b":(glob)*", b"tab\there", b'quo"te', b"back\\slash",
             b"not utf-8 \xff\xfe", "grüße".encode(), b"-d/\xe9/\n"]  # fmt: skip
    for name in names:
        path = os.path.join(os.fsencode(repo), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        for at in (path, path + b" tracked") if not name.endswith(b"\n") else (path + b"x",):
            with open(at, "wb") as file:
                file.write(name)
        git("--literal-pathspecs", "add", "--", os.fsdecode(path) + (" tracked" if name[-1:] != b"\n" else "x"))
        with open(path + (b" tracked" if name[-1:] != b"\n" else b"x"), "ab") as file:
            file.write(b"and on")


EDITS = [
    edit_content, edit_staged, edit_delete, edit_rename, edit_mode, edit_link, edit_file_to_folder,
    edit_folder_to_link, edit_filter, edit_intent_to_add, edit_ignored, edit_unmerged, edit_names,
]  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_the_tree_is_what_git_would_commit(repo, git, receive, as_git_commits, edit):
    edit(repo, git)
    taken = take(repo)
    assert taken.skipped == []
    assert taken.dirty
    receive(taken, repo)
    assert taken.tree == as_git_commits(repo)


@pytest.mark.parametrize("edit", EDITS)
def test_also_where_git_add_fails(repo, git, receive, as_git_commits, edit):
    edit(repo, git)
    expected = as_git_commits(repo)
    (repo / "zz tracked").write_text("will fail\n")
    git("add", "zz tracked")
    (repo / "zz tracked").unlink()
    os.mkfifo(repo / "zz tracked")
    taken = take(repo)
    assert set(reasons(taken)) == {"zz tracked"}
    clone = receive(taken, repo)
    differing = git("diff-tree", "-r", "--name-only", expected, taken.tree, cwd=repo, check=False)
    assert (
        differing in ("", "zz tracked")
        or git("diff-tree", "--name-only", expected, taken.tree, cwd=clone) == "zz tracked"
    )


def test_an_edit_within_the_second_of_the_add_is_seen(repo, git, receive):
    git("config", "core.trustctime", "false")  # only so that the test can set all times that git compares
    (repo / "same").write_text("old\n")
    moment = 1_700_000_000 * 10**9
    os.utime(repo / "same", ns=(moment, moment))
    git("add", "same")
    git("commit", "-qm", "same")
    os.utime(repo / ".git/index", ns=(moment, moment))
    with open(repo / "same", "r+") as file:
        file.write("new\n")
    os.utime(repo / "same", ns=(moment, moment))
    taken = take(repo)
    assert git("show", f"{taken.commit}:same", cwd=receive(taken, repo)) == "new"
    assert (repo / ".git/index").stat().st_mtime_ns == moment


@pytest.mark.parametrize("ignore_stat", ["false", "true"])
def test_files_that_git_was_told_not_to_look_at_are_recorded_as_they_lie(repo, git, receive, ignore_stat):
    git("config", "core.ignoreStat", ignore_stat)
    for name in ("assumed", "skipped", "both", "assumed away", "skipped away", "same"):
        (repo / name).write_text("old\n")
    git("add", ".")
    git("commit", "-qm", "files")
    git("update-index", "--assume-unchanged", "assumed", "both", "assumed away", "same")
    git("update-index", "--skip-worktree", "skipped", "both", "skipped away", "same")
    assert not take(repo).dirty
    for name in ("assumed", "skipped", "both"):
        (repo / name).write_text("new\n")
    (repo / "assumed away").unlink()
    (repo / "skipped away").unlink()
    taken = take(repo)
    clone = receive(taken, repo)
    names = ("assumed", "skipped", "both", "assumed away", "skipped away", "same")
    shown = {name: git("show", f"{taken.commit}:{name}", cwd=clone) for name in names}
    assert shown == dict(zip(names, ["new", "new", "new", "old", "old", "old"], strict=True))


def test_a_file_in_the_place_of_a_folder_that_git_does_not_look_at(repo, git, receive):
    (repo / "folder").mkdir()
    (repo / "folder/x").write_text("x\n")
    git("add", ".")
    git("commit", "-qm", "folder")
    git("update-index", "--skip-worktree", "folder/x")
    shutil.rmtree(repo / "folder")
    (repo / "folder").write_text("a file\n")
    taken = take(repo)
    assert taken.skipped == []
    assert git("show", f"{taken.commit}:folder", cwd=receive(taken, repo)) == "a file"


@pytest.mark.parametrize("options", [["--cone"], ["--no-cone"], ["--cone", "--sparse-index"]])
def test_a_sparse_checkout_keeps_what_is_not_checked_out(repo, git, receive, options):
    for name in ("in/a", "out/b", "out/c", "far/d"):
        (repo / name).parent.mkdir(exist_ok=True)
        (repo / name).write_text("old\n")
    git("add", ".")
    git("commit", "-qm", "folders")
    git("sparse-checkout", "set", *options, "in")
    assert not (repo / "far").exists()
    assert not take(repo).dirty
    (repo / "in/a").write_text("new\n")
    (repo / "out").mkdir()
    (repo / "out/b").write_text("new\n")
    (repo / "out/untracked").write_text("new\n")
    taken = take(repo)
    clone = receive(taken, repo)
    content = {
        name: git("show", f"{taken.commit}:{name}", cwd=clone)
        for name in ("in/a", "out/b", "out/c", "far/d", "out/untracked")
    }
    assert content == {"in/a": "new", "out/b": "new", "out/c": "old", "far/d": "old", "out/untracked": "new"}


def test_a_sparse_checkout_keeps_it_also_where_git_add_fails(repo, git, receive):
    for name in ("in/a", "in/b", "out/c"):
        (repo / name).parent.mkdir(exist_ok=True)
        (repo / name).write_text("old\n")
    git("add", ".")
    git("commit", "-qm", "folders")
    git("sparse-checkout", "set", "in")
    for name in ("in/a", "in/b"):
        (repo / name).write_text("new\n")
    fail_on(repo, git, "a")
    taken = take(repo)
    assert set(reasons(taken)) == {"in/a"}
    clone = receive(taken, repo)
    assert git("show", *(f"{taken.commit}:{name}" for name in ("in/a", "in/b", "out/c")), cwd=clone) == "old\nnew\nold"


def test_an_fsmonitor_is_not_believed_and_hooks_do_not_run(repo, git, receive, tmp_path, as_git_commits):
    ran = tmp_path / "ran"
    for name in ("fsmonitor", "post-index-change", "pre-commit"):
        hook = repo / ".git/hooks" / name
        hook.write_text(f"#!/bin/sh\necho {name} >> '{ran}'\nprintf 'token\\0'\n")
        hook.chmod(0o755)
    git("config", "core.fsmonitor", ".git/hooks/fsmonitor")
    git("update-index", "--fsmonitor")
    git("status")
    git("status")
    (repo / "train.py").write_text("changed behind the monitor's back\n")
    assert git("status", "--porcelain") == ""  # it lies
    ran.unlink()
    taken = take(repo)
    assert taken.dirty
    assert not ran.exists()
    receive(taken, repo)


def test_a_split_index_is_read_and_left_split(repo, git, receive, as_git_commits):
    git("config", "core.splitIndex", "true")
    git("update-index", "--split-index")
    (repo / "second").write_text("2\n")
    git("add", "second")
    (repo / "train.py").write_text("changed\n")
    before = everything(repo, repo / ".git")
    taken = take(repo)
    after = everything(repo, repo / ".git")
    for path in list(before):  # reading it, git marks the shared part as in use
        if "sharedindex." in path:
            assert after.pop(path)[:2] == before.pop(path)[:2]
    assert after == before
    assert any(name.startswith("sharedindex.") for name in os.listdir(repo / ".git"))
    receive(taken, repo)
    assert taken.tree == as_git_commits(repo)


@pytest.mark.parametrize("home", [True, False])
def test_a_home_folder_that_tracks_dotfiles_keeps_the_rest_private(repo, git, monkeypatch, home):
    (repo / "private.txt").write_text("mine")
    git("config", "status.showUntrackedFiles", "no")
    if home:
        monkeypatch.setenv("HOME", str(repo))
    taken = take(repo)
    assert (taken.commit == taken.head) is home
    assert reasons(taken) == ({"./": "untracked files of a home folder"} if home else {})


def test_line_ends_are_no_reason_to_refuse_a_file(repo, git, receive):
    git("config", "core.autocrlf", "input")
    git("config", "core.safecrlf", "true")
    (repo / "train.py").write_bytes(b"a\r\nb\r\n")
    (repo / "new").write_bytes(b"a\r\nb\r\n")
    taken = take(repo)
    assert taken.skipped == []
    clone = receive(taken, repo)
    assert git("cat-file", "blob", f"{taken.commit}:new", cwd=clone) == "a\nb"


def test_filters_see_the_users_locale_and_git_speaks_english(repo, git, receive, monkeypatch):
    monkeypatch.setenv("LC_ALL", "en_GB.UTF-8")
    git("config", "filter.locale.clean", 'echo "$LC_ALL|$LC_CTYPE|$LANG|$LC_MESSAGES"')
    (repo / ".gitattributes").write_text("*.txt filter=locale\n")
    (repo / "a.txt").write_text("x\n")
    taken = take(repo)
    assert git("show", f"{taken.commit}:a.txt", cwd=receive(taken, repo)) == "||en_GB.UTF-8|C"


# ------------------------------------------------------------------------------------------ nothing is touched


def test_nothing_of_the_users_changes(repo, git, tree_state):
    (repo / "train.py").write_text("stashed\n")
    git("stash")
    (repo / "train.py").write_text("staged\n")
    git("add", "train.py")
    (repo / "train.py").write_text("changed\n")
    (repo / "new").write_text("new\n")
    (repo / ".env").write_text("SECRET=1\n")
    git("update-index", "--assume-unchanged", ".gitignore")
    before = tree_state(repo), everything(repo, repo / ".git")
    for _ in range(2):
        taken = take(repo)
        assert taken.pack
    assert (tree_state(repo), everything(repo, repo / ".git")) == before


def test_nothing_changes_when_it_is_killed(repo, git, tree_state, tmp_path):
    git("config", "filter.slow.clean", f"touch '{tmp_path}/begun'; sleep 30")
    (repo / ".git/info/attributes").write_text("*.py filter=slow\n")
    (repo / "train.py").write_text("changed\n")
    (repo / "new").write_text("new\n")
    before = tree_state(repo), everything(repo, repo / ".git")
    program = (
        "from gitlumo.git.repository import open_repository as o; from gitlumo.git.snapshot import take, Limits\n"
        "take(o('.'), Limits(timeout=30), '.git/lumo/tmp', '.git/lumo/packs')"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    deadline = time.monotonic() + 20
    while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    rooms = list((repo / ".git/lumo/tmp").iterdir())
    assert [room.name.split("-")[:2] for room in rooms] == [["snapshot", str(child.pid)]]
    assert (tree_state(repo), everything(repo, repo / ".git")) == before
    _kill_all_that_stand_in(rooms[0])


def _kill_all_that_stand_in(room: Path) -> None:
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if str(room).encode() in (process / "environ").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)
            except OSError:
                continue


def _alive_in(path: Path) -> list[str]:
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                if f"{path}/.git/lumo/tmp/snapshot-".encode() in (process / "environ").read_bytes():
                    found.append((process / "cmdline").read_bytes().decode())
            except OSError:
                continue
    return found


# ------------------------------------------------------------------------------------------ one commit for one state


def test_one_state_is_one_commit_whoever_makes_it(repo, git, tmp_path, receive, monkeypatch):
    commits = {}
    settings = [
        {},
        {"user.name": "Somebody Else", "user.email": "else@example.org"},
        {"commit.gpgSign": "true", "gpg.program": "/bin/false"},
        {"i18n.commitEncoding": "ISO-8859-1"},
        {"core.splitIndex": "true", "core.untrackedCache": "true", "index.version": "4", "feature.manyFiles": "true"},
        {"pack.packSizeLimit": "1m", "pack.indexVersion": "1", "pack.compression": "0", "core.compression": "9",
         "pack.writeReverseIndex": "true", "pack.writeBitmaps": "true"},
        {"pack.compression": "9", "gc.auto": "0"},
        {"add.ignoreErrors": "true", "status.showUntrackedFiles": "no", "core.quotePath": "false"},
    ]  # fmt: skip
    packs = set()
    for at, setting in enumerate(settings):
        monkeypatch.setenv("TZ", f"XXX{at}")
        clone = tmp_path / f"state{at}"
        git("clone", "--quiet", repo, clone)
        for name, value in setting.items():
            git("config", name, value, cwd=clone)
        (clone / "train.py").write_text("changed\n")
        (clone / "grüße").write_text("new\n")
        if "gc.auto" in setting:  # the new objects are in a pack already, compressed in another way
            git("add", ".", cwd=clone)
            git("repack", "-a", "-d", "-q", cwd=clone)
        taken = take(clone)
        assert Path(taken.pack + ".idx").read_bytes().startswith(b"\xfftOc\0\0\0\2")
        commits[at] = taken.commit
        packs.add(Path(taken.pack + ".pack").read_bytes())
        receive(taken, clone)
    linked = tmp_path / "linked"
    git("worktree", "add", "--quiet", "--detach", linked)
    (linked / "train.py").write_text("changed\n")
    (linked / "grüße").write_text("new\n")
    commits["linked"] = take(linked).commit
    assert len(set(commits.values())) == 1, commits
    assert len(packs) == 1


def test_it_is_one_pack_whatever_its_size(repo, git, receive):
    git("config", "pack.packSizeLimit", "1m")
    for n in range(3):
        (repo / f"noise{n}").write_bytes(os.urandom(900_000))
    receive(take(repo), repo)


def test_a_known_commit_needs_no_pack(repo):
    (repo / "train.py").write_text("changed\n")
    asked = []
    taken = take(repo, known=lambda commit: not asked.append(commit))
    assert taken.pack is None
    assert asked == [taken.commit]
    assert not (repo / ".git/lumo/packs").exists()
    assert take(repo).commit == taken.commit


def test_a_pack_that_is_there_is_not_made_again(repo, spawned):
    (repo / "train.py").write_text("changed\n")
    taken = take(repo)
    assert taken.pack == str(repo / ".git/lumo/packs" / taken.commit)
    assert sorted(os.listdir(repo / ".git/lumo/packs")) == [f"{taken.commit}.idx", f"{taken.commit}.pack"]
    spawned.clear()
    assert take(repo) == taken
    assert not any("pack-objects" in args for args in spawned)
    os.unlink(taken.pack + ".idx")
    assert take(repo) == taken
    assert os.path.exists(taken.pack + ".idx")


def test_the_pack_holds_what_merely_lies_in_the_database(repo, git, receive):
    (repo / "train.py").write_text("changed\n")
    git("add", "train.py")  # the blob is there, but gc may take it
    taken = take(repo)
    receive(taken, repo)
    assert git("hash-object", "train.py") in git("verify-pack", "-v", taken.pack + ".idx")


def test_a_pack_folder_on_another_disk(repo, receive, monkeypatch):
    (repo / "train.py").write_text("changed\n")
    replace = os.replace

    def far(source, target):
        if "/tmp/" in str(source).replace(str(repo), "") and "/packs/" in str(target):
            raise OSError(errno.EXDEV, "far")
        return replace(source, target)

    monkeypatch.setattr(os, "replace", far)
    taken = take(repo)
    assert len(os.listdir(repo / ".git/lumo/packs")) == 2
    receive(taken, repo)


# ------------------------------------------------------------------------------------------ what is left out


def fail_on(repo, git, name: str) -> None:
    git("config", "filter.picky.clean", "false")
    git("config", "filter.picky.required", "true")
    with open(repo / ".git/info/attributes", "a") as file:
        file.write(f"{name} filter=picky\n")


@pytest.mark.parametrize("ignore", ["true", "false"])
def test_a_tracked_file_that_git_refuses_does_not_take_the_others_with_it(repo, git, receive, ignore):
    git("config", "add.ignoreErrors", ignore)
    for n in range(30):
        (repo / f"f{n:02d}").write_text("old\n")
    git("add", ".")
    git("commit", "-qm", "files")
    for n in range(30):
        (repo / f"f{n:02d}").write_text(f"new {n}\n")
    (repo / "train.py").unlink()
    fail_on(repo, git, "f07")
    fail_on(repo, git, "f21")
    taken = take(repo)
    assert reasons(taken) == {"f07": "external filter 'false' failed 1", "f21": "external filter 'false' failed 1"}
    clone = receive(taken, repo)
    shown = git("show", *(f"{taken.commit}:f{n:02d}" for n in range(30)), cwd=clone).split("\n")
    assert shown == [f"new {n}" if n not in (7, 21) else "old" for n in range(30)]
    assert "train.py" not in git("ls-tree", "--name-only", taken.commit, cwd=clone)


def test_a_tracked_change_that_is_left_out_is_dirt(repo, git):
    (repo / "train.py").write_text("changed\n")
    fail_on(repo, git, "train.py")
    taken = take(repo)
    assert (taken.commit, taken.pack) == (taken.head, None)
    assert taken.dirty


def test_a_refused_file_of_the_same_second_does_not_stop_the_others(repo, git, receive):
    (repo / "racy").write_text("1\n")
    git("add", "racy")
    git("commit", "-qm", "racy")
    index = (repo / ".git/index").stat()
    (repo / "train.py").write_text("changed\n")
    (repo / "racy").write_text("2\n")
    os.utime(repo / "racy", ns=(index.st_mtime_ns, index.st_mtime_ns))
    fail_on(repo, git, "racy")
    taken = take(repo)
    assert set(reasons(taken)) == {"racy"}
    clone = receive(taken, repo)
    assert git("show", f"{taken.commit}:racy", f"{taken.commit}:train.py", cwd=clone) == "1\nchanged"


def test_an_unmerged_file_that_git_refuses_is_as_in_head(repo, git):
    edit_unmerged(repo, git)
    fail_on(repo, git, "train.py")
    taken = take(repo)
    assert set(reasons(taken)) == {"train.py"}
    assert (taken.commit, taken.tree, taken.dirty) == (taken.head, git("rev-parse", "HEAD^{tree}"), True)


def test_a_refused_file_is_found_also_where_git_does_not_name_it(repo, git, receive):
    for n in range(20):
        (repo / f"new\x01{n:02d}").write_text(f"{n}\n")  # git prints control characters as "?"
    fail_on(repo, git, "*13")
    taken = take(repo)
    assert reasons(taken) == {"new\x0113": "external filter 'false' failed 1"}
    assert len(git("ls-tree", "--name-only", taken.commit, cwd=receive(taken, repo)).split("\n")) == 21


def test_an_untracked_file_that_git_refuses_does_not_take_the_others_with_it(repo, git, receive):
    for n in range(10):
        (repo / f"f{n}").write_text(f"{n}\n")
    fail_on(repo, git, "f3")
    taken = take(repo)
    assert reasons(taken) == {"f3": "external filter 'false' failed 1"}
    listed = git("ls-tree", "--name-only", taken.commit, cwd=receive(taken, repo)).split("\n")
    assert listed == [".gitignore", *(f"f{n}" for n in range(10) if n != 3), "train.py"]


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a normal user: root reads everything")
def test_what_cannot_be_read_is_left_out(repo, git, receive):
    (repo / "tracked").write_text("old\n")
    git("add", ".")
    git("commit", "-qm", "tracked")
    (repo / "tracked").write_text("new\n")
    (repo / "train.py").write_text("new\n")
    (repo / "new").write_text("new\n")
    (repo / "folder").mkdir()
    for name, mode in (("tracked", 0), ("new", 0), ("folder", 0)):
        (repo / name).chmod(mode)
    taken = take(repo)
    (repo / "folder").chmod(0o755)
    assert reasons(taken) == {
        "folder/": "Permission denied",
        "new": "unreadable",
        "tracked": 'open("tracked"): Permission denied',
    }
    clone = receive(taken, repo)
    assert git("show", f"{taken.commit}:tracked", f"{taken.commit}:train.py", cwd=clone) == "old\nnew"


def test_secrets_large_files_and_excluded_ones_stay_at_home(repo, git, receive):
    (repo / ".env").write_text("SECRET=1\n")
    (repo / "deploy").mkdir()
    (repo / "deploy/id_rsa").write_text("SECRET\n")
    (repo / "model.bin").write_bytes(b"x" * 2000)
    (repo / "data").mkdir()
    (repo / "data/a").write_text("a\n")
    (repo / "kept").write_text("kept\n")
    taken = take(repo, Limits(max_file=1000, exclude=("data/",), timeout=60))
    assert taken.skipped == [
        {"path": ".env", "reason": "looks like a secret"},
        {"path": "data/", "reason": "excluded by the user"},
        {"path": "deploy/id_rsa", "reason": "looks like a secret"},
        {"path": "model.bin", "reason": "larger than 1000 bytes", "size": 2000},
    ]
    clone = receive(taken, repo)
    assert git("ls-tree", "-r", "--name-only", taken.commit, cwd=clone) == ".gitignore\nkept\ntrain.py"


def test_tracked_files_were_the_users_own_decision(repo, git):
    for name, size in ((".env", 10), ("large", 5000)):
        (repo / name).write_bytes(b"x" * size)
    git("add", "-f", ".")
    taken = take(repo, Limits(max_file=1000, max_total=1000, exclude=("large",), timeout=60))
    assert taken.skipped == []


def test_a_tree_with_nothing_but_what_is_left_out_is_clean(repo):
    (repo / ".env").write_text("SECRET=1\n")
    taken = take(repo)
    assert (taken.commit, taken.dirty, taken.pack) == (taken.head, False, None)
    assert len(taken.skipped) == 1


def test_limits_leave_out_whole_folders(repo, git, receive):
    for n in range(30):
        (repo / f"out/{n}").parent.mkdir(exist_ok=True)
        (repo / f"out/{n}").write_text(f"{n}\n")
    (repo / "new").write_text("new\n")
    taken = take(repo, Limits(max_files=10, timeout=60))
    assert taken.skipped == [{"path": "out/", "reason": "more than 10 untracked files together"}]
    taken = take(repo, Limits(max_total=10, timeout=60))
    assert taken.skipped == [
        {"path": "out/", "reason": "more than 10 bytes of untracked files together", "size": 10 * 2 + 20 * 3}
    ]
    assert "new" in git("ls-tree", "--name-only", taken.commit, cwd=receive(taken, repo))


def test_nested_repositories_are_left_out(repo, git):
    git("init", "--quiet", "nested")
    (repo / "nested/x").write_text("x\n")
    git("worktree", "add", "--quiet", "linked")
    taken = take(repo)
    assert reasons(taken) == {"linked/": "nested repository", "nested/": "nested repository"}
    assert not taken.dirty


def test_names_that_git_reserves_are_left_out(repo, git, receive):
    for name in ("GIT~1", ".git ", "\u200c.git", ".GIT"):
        (repo / "folder" / name).parent.mkdir(exist_ok=True)
        (repo / "folder" / name).write_text("x\n")
    (repo / ".gitmodules").symlink_to("elsewhere")
    (repo / "kept").write_text("kept\n")
    taken = take(repo)
    reserved = "a name that git reserves"
    names = ("GIT~1", ".git ", "\u200c.git", ".GIT")
    assert reasons(taken) == {".gitmodules": reserved} | {f"folder/{name}": reserved for name in names}
    clone = receive(taken, repo)
    assert git("ls-tree", "-r", "--name-only", taken.commit, cwd=clone) == ".gitignore\nkept\ntrain.py"


def test_what_was_left_out_is_json_sorted_and_bounded(repo, monkeypatch):
    monkeypatch.setattr(snapshot, "_SHOWN", 3)
    for n in range(5):
        (repo / f"{n}.pem").write_text("x")
    (Path(os.fsdecode(os.fsencode(repo) + b"/\xff.key"))).write_text("x")
    taken = take(repo)
    secret = "looks like a secret"
    assert taken.skipped == [
        *({"path": f"{n}.pem", "reason": secret} for n in range(3)),
        {"path": "(3 more)", "reason": secret},
    ]
    monkeypatch.setattr(snapshot, "_SHOWN", 10)
    taken = take(repo)
    assert json.loads(json.dumps(taken.skipped)) == taken.skipped
    assert taken.skipped[-1]["path"] == "\ufffd.key"


def test_a_full_disk_is_an_error_not_a_list_of_files(repo, fake_git):
    for n in range(10):
        (repo / f"f{n}").write_text("x\n")
    fake_git('case "$*" in *update-index*) echo "error: write: No space left on device" >&2; exit 128;; esac')
    with pytest.raises(GitError, match="No space left"):
        take(repo)


# ------------------------------------------------------------------------------------------ time


def test_slow_tracked_files_leave_head(repo, git, tree_state):
    git("config", "filter.slow.clean", "sleep 30")
    (repo / ".git/info/attributes").write_text("*.py filter=slow\n")
    (repo / "train.py").write_text("changed\n")
    before = tree_state(repo)
    began = time.monotonic()
    taken = take(repo, Limits(timeout=0.5))
    assert time.monotonic() - began < 1.5
    assert taken == Snapshot(
        commit=git("rev-parse", "HEAD"),
        head=git("rev-parse", "HEAD"),
        tree=git("rev-parse", "HEAD^{tree}"),
        dirty=True,
        skipped=[{"path": "./", "reason": "took too long to look at"}],
        submodules=[],
        pack=None,
    )
    assert _alive_in(repo) == []
    assert tree_state(repo) == before


def test_slow_tracked_files_without_commits_leave_nothing(empty_repo, git, receive):
    (empty_repo / "train.py").write_text("added\n")
    git("add", ".")
    git("config", "filter.slow.clean", "sleep 30")
    (empty_repo / ".git/info/attributes").write_text("*.py filter=slow\n")
    (empty_repo / "train.py").write_text("changed\n")
    taken = take(empty_repo, Limits(timeout=0.5))
    assert (taken.head, taken.dirty, len(taken.skipped)) == (None, True, 1)
    assert git("ls-tree", taken.commit, cwd=receive(taken, empty_repo)) == ""


def test_slow_untracked_files_leave_the_tracked_ones(repo, git, receive):
    git("config", "filter.slow.clean", "sleep 30")
    (repo / ".git/info/attributes").write_text("*.slow filter=slow\n")
    (repo / "train.py").write_text("changed\n")
    for name in ("a/1.slow", "a/2", "b"):
        (repo / name).parent.mkdir(exist_ok=True)
        (repo / name).write_text("x\n")
    began = time.monotonic()
    taken = take(repo, Limits(timeout=2))
    assert time.monotonic() - began < 3
    assert reasons(taken) == {"a/": "took too long to look at", "b": "took too long to look at"}
    assert _alive_in(repo) == []
    clone = receive(taken, repo)
    assert git("show", f"{taken.commit}:train.py", cwd=clone) == "changed"


def test_a_slow_folder_does_not_hide_the_others(repo, git, receive, fake_git):
    (repo / "train.py").write_text("changed\n")
    for name in (":(exclude)a/1", "a/1", "slow/1", "z/1", "root", ".gitmodules"):
        (repo / name).parent.mkdir(exist_ok=True)
        (repo / name).write_text("")
    git("init", "--quiet", "nested")
    git("update-index", "--assume-unchanged", ".gitignore")
    (repo / ".gitignore").write_text("*.log\n")
    fake_git('case "$*" in *"-o --exclude-standard"|*"-o --exclude-standard -- slow") sleep 30;; esac')
    began = time.monotonic()
    taken = take(repo, Limits(timeout=3))
    assert time.monotonic() - began < 4
    assert reasons(taken) == {"nested/": "nested repository", "slow/": "took too long to look at"}
    assert _alive_in(repo) == []
    clone = receive(taken, repo)
    listed = git("ls-tree", "-r", "--name-only", taken.commit, cwd=clone).split("\n")
    assert listed == [".gitignore", ".gitmodules", ":(exclude)a/1", "a/1", "root", "train.py", "z/1"]
    assert git("show", f"{taken.commit}:.gitignore", cwd=clone) == "*.log"


def test_many_refused_files_do_not_take_longer_than_the_limit(repo, git, receive):
    for n in range(3000):
        (repo / f"f{n}").write_text(f"{n}\n")
    (repo / "train.py").write_text("changed\n")
    fail_on(repo, git, "f*")
    began = time.monotonic()
    taken = take(repo, Limits(timeout=2))
    assert time.monotonic() - began < 3
    assert set(reasons(taken).values()) == {"external filter 'false' failed 1", "took too long to look at"}
    assert git("show", f"{taken.commit}:train.py", cwd=receive(taken, repo)) == "changed"


def test_a_disk_without_room_for_the_index_leaves_nothing(repo, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="full"):
        take(repo)


def test_a_git_that_never_answers_is_an_error(repo, fake_git):
    fake_git("sleep 30")
    real = open_repository  # which the fake one would stop as well
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.environ["PATH"].partition(os.pathsep)[2])
        repository = real(repo)
    began = time.monotonic()
    with pytest.raises(GitError, match="did not answer"):
        snapshot.take(repository, Limits(timeout=0.3), str(repo / ".git/lumo/tmp"), str(repo / ".git/lumo/packs"))
    assert time.monotonic() - began < 1.3
    assert _alive_in(repo) == []
    assert os.listdir(repo / ".git/lumo/tmp") == []


# ------------------------------------------------------------------------------------------ all kinds of repositories


@pytest.fixture
def with_submodules(repo, git, tmp_path):
    other = tmp_path / "other"
    git("init", "--quiet", other)
    (other / "lib.py").write_text("lib\n")
    git("add", ".", cwd=other)
    git("commit", "-qm", "lib", cwd=other)
    for name in ("lib one", "lib2", "lib3"):
        git("submodule", "--quiet", "add", other, name)
    git("commit", "-qm", "submodules")
    return repo


def test_submodules_are_recorded_at_their_head(with_submodules, git, receive, tree_state):
    repo = with_submodules
    assert not take(repo).dirty
    (repo / "lib one/lib.py").write_text("changed\n")
    (repo / "lib3/new").write_text("untracked\n")
    git("commit", "-q", "--allow-empty", "-m", "on", cwd=repo / "lib2")
    git("submodule", "--quiet", "deinit", "-f", "lib3")
    git("submodule", "--quiet", "update", "--init", "lib3")
    (repo / "lib3/new").write_text("untracked\n")
    before = [tree_state(repo), *(tree_state(repo / name) for name in ("lib one", "lib2", "lib3"))]
    taken = take(repo)
    head = {name: git("rev-parse", "HEAD", cwd=repo / name) for name in ("lib one", "lib2", "lib3")}
    assert taken.submodules == [
        {"path": "lib one", "commit": head["lib one"], "dirty": True},
        {"path": "lib2", "commit": head["lib2"], "dirty": False},
        {"path": "lib3", "commit": head["lib3"], "dirty": True},
    ]
    assert [tree_state(repo), *(tree_state(repo / name) for name in head)] == before
    clone = receive(taken, repo)
    assert head["lib2"] in git("ls-tree", taken.commit, "lib2", cwd=clone)


def test_a_submodule_that_is_not_there_keeps_its_commit(with_submodules, git):
    repo = with_submodules
    git("submodule", "--quiet", "deinit", "-f", "lib2")
    taken = take(repo)
    assert not taken.dirty
    assert [module["dirty"] for module in taken.submodules] == [False, False, False]
    assert taken.submodules[1]["commit"] in git("ls-tree", "HEAD", "lib2")


def test_a_broken_submodule_does_not_take_the_files_with_it(with_submodules, git, receive):
    repo = with_submodules
    (repo / ".git/modules/lib2/index").write_bytes(b"broken")
    (repo / "train.py").write_text("changed\n")
    taken = take(repo)
    assert "lib2" in reasons(taken)
    assert all(module["dirty"] for module in taken.submodules)  # nobody knows
    assert git("show", f"{taken.commit}:train.py", cwd=receive(taken, repo)) == "changed"


def test_inside_a_submodule(with_submodules, git, as_git_commits, receive):
    (with_submodules / "lib2/lib.py").write_text("changed\n")
    (with_submodules / "lib2/new").write_text("new\n")
    taken = take(with_submodules / "lib2")
    assert taken.head == git("rev-parse", "HEAD", cwd=with_submodules / "lib2")
    receive(taken, with_submodules / "lib2")
    assert taken.tree == as_git_commits(with_submodules / "lib2")


def test_without_submodules_nobody_asks_for_them(repo, spawned):
    take(repo)
    assert not any("status" in args for args in spawned)


def test_in_a_linked_worktree(repo, git, tmp_path, as_git_commits, receive):
    git("worktree", "add", "--quiet", tmp_path / "linked")
    (repo / "train.py").write_text("in the main one\n")
    linked = tmp_path / "linked"
    (linked / "train.py").write_text("changed\n")
    (linked / "new").write_text("new\n")
    taken = take(linked)
    receive(taken, repo)
    assert taken.tree == as_git_commits(linked)


def test_from_a_subfolder_and_with_a_detached_head(repo, git, as_git_commits, receive, monkeypatch):
    git("checkout", "--quiet", "--detach")
    (repo / "sub").mkdir()
    (repo / "sub/new").write_text("new\n")
    (repo / "train.py").write_text("changed\n")
    monkeypatch.chdir(repo / "sub")
    taken = snapshot.take(open_repository(), PATIENT, "../.git/lumo/tmp", "../.git/lumo/packs")
    receive(taken, repo)
    assert taken.tree == as_git_commits(repo)


def test_inside_a_hook_with_gits_variables_set(repo, git, as_git_commits, receive, monkeypatch, tmp_path):
    (repo / "train.py").write_text("changed\n")
    (repo / "new").write_text("new\n")
    expected = as_git_commits(repo)
    monkeypatch.setenv("GIT_DIR", ".git")
    monkeypatch.setenv("GIT_INDEX_FILE", ".git/no-such-index")
    monkeypatch.setenv("GIT_WORK_TREE", str(repo))
    monkeypatch.setenv("GIT_PREFIX", "sub/")
    monkeypatch.setenv("GIT_LITERAL_PATHSPECS", "0")
    monkeypatch.setenv("GIT_ICASE_PATHSPECS", "1")
    taken = take(repo)
    assert taken.tree == expected
    assert not (repo / ".git/no-such-index").exists()


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_in_a_bare_locale(repo, locale):
    edit_names(repo, lambda *args: subprocess.run(["git", *args], check=True, cwd=repo))
    (repo / "\udcff.pem").write_text("x")
    program = (
        "from gitlumo.git.repository import open_repository as o; from gitlumo.git.snapshot import take, Limits\n"
        "t = take(o('.'), Limits(timeout=60, exclude=('gr\\xfc\\xdfe',)), '.git/lumo/tmp', '.git/lumo/packs')\n"
        "print(t.tree, len(t.skipped))"
    )
    env = {**os.environ, "LC_ALL": locale, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUTF8": "0"}
    env["PYTHONCOERCECLOCALE"] = "0"
    out = subprocess.run([sys.executable, "-c", program], env=env, check=True, capture_output=True, text=True).stdout
    here = take(repo, Limits(timeout=60, exclude=("grüße",)))
    assert out.split() == [here.tree, "2"]


@pytest.mark.parametrize("name", ["git folder", "a:b", 'quo"te', '"', "new\nline", "back\\slash:", "grüße"])
def test_a_git_folder_anywhere_and_of_any_name(git, tmp_path, name, as_git_commits, receive):
    top = tmp_path / "work"
    git("init", "--quiet", "--separate-git-dir", tmp_path / name, top)
    (top / "a").write_text("a\n")
    git("add", ".", cwd=top)
    git("commit", "-qm", "a", cwd=top)
    (top / "b").write_text("b\n")
    taken = take(top)
    assert taken.tree == as_git_commits(top)
    assert taken.skipped == []


def test_a_git_folder_in_the_tree_is_not_recorded(git, tmp_path, receive):
    top = tmp_path / "work"
    top.mkdir()
    git("init", "--quiet", "--separate-git-dir", top / "meta", top)
    (top / "a").write_text("a\n")
    taken = take(top)
    assert reasons(taken) == {"meta/": "the repository's own folder"}
    assert git("ls-tree", "--name-only", taken.commit, cwd=receive(taken, top)) == "a"


def test_with_sha256(git, tmp_path, receive):
    top = tmp_path / "work"
    git("init", "--quiet", "--object-format=sha256", top)
    (top / "a").write_text("a\n")
    first = take(top)
    receive(first, top)
    git("add", ".", cwd=top)
    git("commit", "-qm", "a", cwd=top)
    assert not take(top).dirty
    (top / "b").write_text("b\n")
    taken = take(top)
    assert len(taken.commit) == 64
    receive(taken, top)


def test_with_reftable(git, tmp_path, receive):
    top = tmp_path / "work"
    git("init", "--quiet", "--ref-format=reftable", top)
    assert take(top).head is None
    (top / "a").write_text("a\n")
    git("add", ".", cwd=top)
    git("commit", "-qm", "a", cwd=top)
    (top / "b").write_text("b\n")
    taken = take(top)
    assert taken.head == git("rev-parse", "HEAD", cwd=top)
    receive(taken, top)


def test_in_a_shallow_clone(repo, git, tmp_path, as_git_commits):
    git("commit", "-q", "--allow-empty", "-m", "second")
    git("clone", "--quiet", "--depth=1", repo.as_uri(), tmp_path / "shallow")
    (tmp_path / "shallow/train.py").write_text("changed\n")
    taken = take(tmp_path / "shallow")
    assert taken.tree == as_git_commits(tmp_path / "shallow")
    assert git("verify-pack", "-v", taken.pack + ".idx").count("\n") < 8


@pytest.mark.parametrize("kind", ["blob:none", "tree:0"])
def test_a_partial_clone_does_not_fetch_for_it(repo, git, tmp_path, kind, receive):
    for name in ("out/a", "out/b", "in/c", "out/d"):
        (repo / name).parent.mkdir(exist_ok=True)
        (repo / name).write_text(f"old {name}\n")
    git("add", ".")
    git("commit", "-qm", "folders")
    old = git("rev-parse", "HEAD:out/a")
    for name in ("out/a", "out/b", "in/c", "out/d"):
        (repo / name).write_text(f"{name}\n")
    git("commit", "-qam", "changed")
    git("config", "uploadpack.allowFilter", "true")
    git("config", "uploadpack.allowAnySHA1InWant", "true")
    clone = tmp_path / "partial"
    git("clone", "--quiet", "--sparse", f"--filter={kind}", repo.as_uri(), clone)
    git("config", "remote.origin.uploadpack", f"touch '{tmp_path}/fetched'; git-upload-pack", cwd=clone)
    assert not take(clone).dirty
    (clone / "train.py").write_text("changed\n")
    (clone / "new").write_text("new\n")
    # Two entries whose blobs are only at the remote: one that write-tree would look for, one that HEAD does not reach.
    git("config", "core.sparseCheckout", "false", cwd=clone)
    git("update-index", "--no-skip-worktree", "out/b", cwd=clone)
    git("update-index", "--assume-unchanged", "out/b", cwd=clone)
    git("update-index", "--cacheinfo", f"100644,{old},out/a", cwd=clone)
    git("update-index", "--assume-unchanged", "out/a", cwd=clone)
    git("config", "core.autocrlf", "input", cwd=clone)  # then git looks into the old blob, whose file has CRs now
    (clone / "out").mkdir()
    (clone / "out/d").write_bytes(b"new\r\n")
    taken = take(clone)
    assert not (tmp_path / "fetched").exists()
    assert taken.skipped == []
    bare = receive(taken, repo)
    assert git("show", f"{taken.commit}:out/a", f"{taken.commit}:out/b", cwd=bare) == "old out/a\nout/b"
    assert git("ls-tree", "-r", "--name-only", taken.commit, cwd=bare).split("\n") == [
        ".gitignore", "in/c", "new", "out/a", "out/b", "out/d", "train.py",
    ]  # fmt: skip


def test_a_bare_repository_has_nothing_to_record(git, tmp_path):
    git("init", "--quiet", "--bare", tmp_path / "bare.git")
    with pytest.raises(GitError, match="bare"):
        take(tmp_path / "bare.git")


@pytest.mark.parametrize("content", [b"", b"1" * 40 + b"\n"])
def test_a_broken_head_is_not_taken_for_none(repo, content):
    (repo / ".git/refs/heads/main").write_bytes(content)
    with pytest.raises(GitError, match="HEAD cannot be read"):
        take(repo)


def test_a_broken_index_is_an_error(repo):
    (repo / ".git/index").write_bytes(b"broken")
    with pytest.raises(GitError):
        take(repo)


def test_a_replaced_head_is_itself(repo, git, receive):
    (repo / "train.py").write_text("changed\n")
    expected = take(repo).commit
    shutil.rmtree(repo / ".git/lumo")
    replacement = git("commit-tree", "-m", "another", "4b825dc642cb6eb9a060e54bf8d69288fbee4904")
    git("replace", "HEAD", replacement)
    assert take(repo).commit == expected
