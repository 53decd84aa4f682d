"""git's hooks: a plain git push carries the runs along, and a server lets its ledger only grow."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gitlumo import Experiment
from tests.share.conftest import BRANCH, REF

NOTED = 'echo "$0 $*" >>"$NOTED"; cat >>"$NOTED"\n'


@pytest.fixture
def noted(tmp_path, monkeypatch):
    """A file in which the users' hooks of these tests note what they were given."""
    monkeypatch.setenv("NOTED", str(tmp_path / "noted"))
    return tmp_path / "noted"


@pytest.fixture
def push():
    """``push(path, *args)``: (status, standard error) of ``git push origin main <args>``."""

    def run(path: Path, *args: str, env: dict[str, str] | None = None) -> tuple[int, str]:
        words = ["git", "push", "origin", *(args or ["main"])]
        done = subprocess.run(
            words, cwd=path, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False, timeout=120
        )
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    return run


@pytest.fixture
def one(pair, record, ok, git):
    """A clone with a run and a commit that are not shared, and the hook."""
    path, _ = pair
    ok(path, "init", "--hooks")
    record(path, "a")
    git("commit", "-q", "--allow-empty", "-m", "code", cwd=path)
    return path


def write(path: Path, text: str, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_plain_push_carries_the_runs(one, shared, push, tip, record):
    status, said = push(one)
    assert (status, "gitlumo: to origin: 1 run in 2 events, " in said) == (0, True), said
    assert tip(shared) == tip(one) != ""
    assert tip(shared, "refs/heads/main") == tip(one, "refs/heads/main")
    assert "gitlumo" not in push(one)[1]  # nothing new
    record(one, "b")
    push(one)  # no new code, but a run
    assert tip(shared) == tip(one)


def test_who_comes_second_is_joined(one, pair, shared, record, ok, push, tip, git):
    record(pair[1], "b")
    ok(pair[1], "push")
    assert push(one)[0] == 0
    assert tip(shared) == tip(one)
    assert git("ls-tree", "--name-only", f"{REF}:digits", cwd=shared) != ""


@pytest.mark.parametrize("words", [["--dry-run", "main"], ["-n", "main"], ["--no-verify", "main"], ["--delete", "old"]])
def test_what_does_not_carry_them(one, shared, push, tip, git, words):
    git("branch", "old", cwd=shared)
    assert push(one, *words)[0] == 0
    assert tip(shared) == ""


def test_a_push_of_the_ledger_itself(one, shared, push, tip):
    for words in ([BRANCH], ["--all"], [f"{REF}:{REF}", "main"]):
        assert push(one, *words)[0] == 0
        assert tip(shared) == tip(one)


def test_only_the_remote_with_which_runs_are_shared(one, shared, push, tip, git, tmp_path):
    git("init", "-q", "--bare", tmp_path / "deploy")
    git("remote", "add", "deploy", tmp_path / "deploy", cwd=one)
    git("push", "-q", "deploy", "main", cwd=one)
    git("push", "-q", str(shared), "main", cwd=one)
    assert tip(tmp_path / "deploy") == tip(shared) == ""


def test_its_own_failure_stops_no_push(one, shared, hook, push, tip):
    hook(f"grep -q {BRANCH} && exit 1; exit 0")
    status, said = push(one)
    assert status == 0
    assert "gitlumo: the runs were not shared: origin does not take it: " in said
    assert (tip(shared), tip(shared, "refs/heads/main")) == ("", tip(one, "refs/heads/main"))


@pytest.mark.parametrize("broken", ["exit 1", "kill -KILL $$", "exec sleep 0.01 </dev/null"])
def test_a_broken_gitlumo_stops_no_push(one, shared, push, tip, tmp_path, broken):
    write(tmp_path / "bin/git-lumo", f"#!/bin/sh\n{broken}\n")
    assert push(one, env={"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"})[0] == 0
    assert tip(shared, "refs/heads/main") == tip(one, "refs/heads/main")


def test_a_secret_stays(one, shared, push, tip):
    (one / "key.py").write_text(f"key = 'ghp_{'A1b2' * 9}'\n")
    with Experiment("digits", "s", repo=one) as exp:
        exp.dump_string("log", f"token ghp_{'A1b2' * 9}")
        (Path(exp.info_dir) / "more.txt").write_text(f"AKIA{'QRST' * 4} ghp_{'A1b2' * 9}\n")
    status, said = push(one)
    assert (status, tip(shared)) == (0, "")
    assert "would leave this machine; 'git lumo push --dry-run' shows" in said


def test_it_is_off_unless_somebody_has_said_so(one, shared, push, tip, git):
    git("config", "lumo.hooks", "false", cwd=one)
    assert push(one)[0] == 0
    assert tip(shared) == ""


def test_what_was_there_comes_first_and_hears_all(pair, shared, record, ok, push, tip, noted, git):
    one, _ = pair
    write(one / ".git/hooks/pre-push", f"#!/bin/bash\nset -eu -o pipefail\n{NOTED}exit 0\n")
    assert "with what was there before" in ok(one, "init", "--hooks")
    record(one, "a")
    git("commit", "-q", "--allow-empty", "-m", "code", cwd=one)
    assert push(one)[0] == 0
    assert tip(shared) == tip(one)
    calls = noted.read_text().splitlines()
    heads = [line for line in calls if "pre-push origin" in line]
    assert len(heads) == 2  # of the push of code, and of that of the ledger: no third one
    assert [line.split()[0] for line in calls if "refs/" in line] == ["refs/heads/main", tip(one)]


@pytest.mark.parametrize("kind", ["shell", "python", "link"])
def test_what_was_there_may_refuse(one, shared, ok, push, tip, kind, tmp_path):
    ok(one, "init", "--no-hooks")
    path = one / ".git/hooks/pre-push"
    if kind == "python":
        write(path, f"#!{sys.executable}\nimport sys; sys.stdin.read(); sys.exit('not today')\n")
    elif kind == "link":
        path.symlink_to(write(tmp_path / "hook.sh", "#!/bin/sh\necho not today >&2; exit 3\n"))
    else:
        write(path, "#!/bin/sh\necho not today >&2; exit 3\n")
    ok(one, "init", "--hooks")
    status, said = push(one)
    assert (status != 0, "not today" in said, tip(shared)) == (True, True, "")
    assert tip(shared, "refs/heads/main") != tip(one, "refs/heads/main")


HOOKS = {
    "none": None,
    "shell": b"#!/bin/sh\n# mine\nexit 0\n",
    "env": b"#! /usr/bin/env -S bash -e\nexit 0",
    "python": b"#!/usr/bin/env python3\nimport sys\n",
    "binary": b"\x7fELF\0\xff no program",
}


@pytest.mark.parametrize("kind", HOOKS)
def test_it_goes_as_it_came(repo, ok, kind):
    path = repo / ".git/hooks/pre-push"
    if HOOKS[kind] is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(HOOKS[kind])
        path.chmod(0o750)
    before = sorted(os.listdir(path.parent)) if path.parent.exists() else []
    config = (repo / ".git/config").read_text()
    first = ok(repo, "init", "--hooks")
    there = {name: (path.parent / name).read_bytes() for name in os.listdir(path.parent)}
    assert ok(repo, "init", "--hooks").splitlines()[1:] == first.splitlines()[1:]
    assert {name: (path.parent / name).read_bytes() for name in os.listdir(path.parent)} == there
    assert ok(repo, "init", "--no-hooks").endswith("pre-push: removed\n")
    assert sorted(os.listdir(path.parent)) == before
    if HOOKS[kind] is not None:
        assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (HOOKS[kind], 0o750)
    assert (repo / ".git/config").read_text().replace("[lumo]\n", "") == config
    assert ok(repo, "init", "--no-hooks").endswith("pre-push: was not there\n")


def test_a_hook_that_git_does_not_run_is_not_switched_on(repo, lumo):
    write(repo / ".git/hooks/pre-push", "#!/bin/sh\nrm -rf everything\n", 0o644)
    status, _, said = lumo(repo, "init", "--hooks")
    assert (status, "is not executable" in said) == (128, True)
    assert (repo / ".git/hooks/pre-push").read_text() == "#!/bin/sh\nrm -rf everything\n"


# As husky 9 writes it: a stub for each hook runs this, which runs the file of the hook's name one folder higher.
HUSKY = """\
#!/usr/bin/env sh
n=$(basename "$0")
s=$(dirname "$(dirname "$0")")/$n
[ ! -f "$s" ] && exit 0
sh -e "$s" "$@"
c=$?
[ $c != 0 ] && echo "husky - $n script failed (code $c)"
exit $c
"""


def test_beside_husky(pair, shared, record, ok, push, tip, noted, git):
    one, _ = pair
    write(one / ".husky/_/h", HUSKY, 0o644)
    write(one / ".husky/_/.gitignore", "*", 0o644)
    write(one / ".husky/_/pre-push", '#!/usr/bin/env sh\n. "$(dirname "$0")/h"')
    write(one / ".husky/pre-push", NOTED, 0o644)
    git("add", ".husky", cwd=one)
    git("commit", "-q", "-m", "husky", cwd=one)
    git("config", "core.hooksPath", ".husky/_", cwd=one)
    assert "a file of your work tree" not in ok(one, "init", "--hooks")
    assert git("status", "--short", cwd=one) == ""
    record(one, "a")
    assert push(one)[0] == 0
    assert tip(shared) == tip(one)
    assert "refs/heads/main" in noted.read_text()
    write(one / ".husky/_/pre-push", '#!/usr/bin/env sh\n. "$(dirname "$0")/h"')  # npm install
    assert "lumo.hooks is on, but the hook pre-push is not there" in ok_or_found(one)


def ok_or_found(path: Path) -> str:
    return subprocess.run(["git-lumo", "doctor"], cwd=path, capture_output=True, text=True, check=False).stdout


def test_beside_pre_commit_which_puts_it_aside(one, shared, push, tip, ok):
    path = one / ".git/hooks/pre-push"  # as 'pre-commit install' does with a hook that is not its own
    path.rename(f"{path}.legacy")
    write(path, '#!/usr/bin/env bash\nexec "$0.legacy" "$@"\n')
    assert "lumo.hooks" not in ok_or_found(one)
    assert push(one)[0] == 0
    assert tip(shared) == tip(one)
    ok(one, "init", "--hooks")
    assert path.read_text() == '#!/usr/bin/env bash\nexec "$0.legacy" "$@"\n'
    ok(one, "init", "--no-hooks")
    assert "gitlumo" not in "".join(each.read_text() for each in path.parent.glob("pre-push*"))


def test_a_tracked_folder_of_hooks_gets_no_path_of_this_machine(repo, ok, git):
    write(repo / "hooks/pre-push", "#!/bin/sh\nexit 0\n")
    git("config", "core.hooksPath", "hooks", cwd=repo)
    assert "it is a file of your work tree" in ok(repo, "init", "--hooks")
    assert "PATH=" not in (repo / "hooks/pre-push").read_text()
    ok(repo, "init", "--no-hooks")
    assert (repo / "hooks/pre-push").read_text() == "#!/bin/sh\nexit 0\n"


def test_a_folder_of_hooks_for_all_repositories(one, pair, shared, ok, push, tip, record, git, tmp_path, monkeypatch):
    ok(one, "init", "--no-hooks")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.hooksPath")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(tmp_path / "hooks"))
    ok(one, "init", "--hooks")
    two = pair[1]
    record(two, "b")
    git("commit", "-q", "--allow-empty", "-m", "x", cwd=two)
    assert push(two)[0] == 0
    assert tip(shared) == ""  # nobody has asked for it there
    assert push(one, "main:other")[0] == 0
    assert tip(shared) == tip(one)
    assert "stays as it is" in ok(one, "init", "--no-hooks")


def test_hooks_that_are_switched_off(repo, lumo, git):
    git("config", "core.hooksPath", "/dev/null", cwd=repo)
    assert "fatal: hooks are switched off here: core.hooksPath is /dev/null" in lumo(repo, "init", "--hooks")[2]


def test_in_a_linked_work_tree(one, shared, git, push, tip, tmp_path, record):
    git("worktree", "add", "-q", tmp_path / "linked", "-b", "side", cwd=one)
    assert push(tmp_path / "linked", "side")[0] == 0
    assert tip(shared) == tip(one)


# pre-receive


@pytest.fixture
def guarded(shared, ok):
    assert "pre-receive: whoever pushes here can only add to the ledger" in ok(shared, "init", "--hooks")
    return shared


@pytest.fixture
def worker(guarded, clone, record, ok):
    """A clone of the guarded repository that has shared a run."""
    path = clone(guarded, "worker")
    record(path, "a")
    ok(path, "push")
    return path


def refused(push, path, *words):
    status, said = push(path, *words)
    assert status != 0
    return said


def test_it_grows(worker, guarded, record, ok, tip, git):
    record(worker, "b")
    ok(worker, "push")
    ok(worker, "note", "a", "-m", "x")
    ok(worker, "tag", "b", "best")
    ok(worker, "push")
    assert tip(guarded) == tip(worker)
    git("push", "-q", "origin", "HEAD:refs/heads/new", cwd=worker)


def test_it_is_not_deleted(worker, guarded, push, tip):
    assert "it holds the runs of all of you, and cannot be deleted" in refused(push, worker, "--delete", BRANCH)
    assert tip(guarded) == tip(worker)


def test_it_is_not_set_back(worker, guarded, push, tip, git):
    said = refused(push, worker, "--force", f"{tip(worker)}^:{REF}")
    assert "remote:   it may only grow, and what was sent lacks events that are there" in said
    assert tip(guarded) == tip(worker)


def commit_tree(git, path, edit):
    """A commit on the ledger's tip, whose tree ``edit(index)`` has changed with a private index."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_INDEX_FILE", str(path / ".git/private"))
        git("read-tree", REF, cwd=path)
        edit()
        tree = git("write-tree", cwd=path)
    tip = git("rev-parse", REF, cwd=path)
    return git("commit-tree", "-p", tip, "-m", "by hand", tree, cwd=path)


def paths(git, path):
    return git("ls-tree", "-r", "--name-only", REF, cwd=path).splitlines()


def test_no_run_is_taken_out(worker, guarded, push, git, tip):
    commit = commit_tree(git, worker, lambda: git("rm", "-r", "-q", "--cached", "digits", cwd=worker))
    said = refused(push, worker, f"{commit}:{REF}")
    assert "/a: missing: a ledger only grows" in said
    assert tip(guarded) == tip(worker)


@pytest.mark.parametrize("file", ["info/uid.json", "info/params.json", "metrics.json", "info/format.json"])
def test_no_run_is_damaged(worker, guarded, push, git, tip, file):
    blob = git("hash-object", "-w", "--stdin", cwd=worker, input="{]")
    path = next(path for path in paths(git, worker) if path.endswith("/a/info/uid.json")).replace("info/uid.json", file)
    entry = f"100644,{blob},{path}"
    commit = commit_tree(git, worker, lambda: git("update-index", "--add", "--cacheinfo", entry, cwd=worker))
    said = refused(push, worker, f"{commit}:{REF}")
    assert f"remote: gitlumo: {BRANCH} was not taken" in said
    assert "no run" in said if file == "info/uid.json" else file in said, said
    assert tip(guarded) == tip(worker)


def test_no_run_lies_where_it_does_not_belong(worker, guarded, push, git, tip):
    tree = git("rev-parse", f"{REF}:{paths(git, worker)[0].rpartition('/a/')[0]}/a", cwd=worker)
    commit = commit_tree(git, worker, lambda: git("read-tree", "--prefix=digits/200101/b", tree, cwd=worker))
    assert "digits/200101/b: misplaced" in refused(push, worker, f"{commit}:{REF}")


def test_a_file_beside_the_runs_is_let_in(worker, guarded, push, git, tip):
    blob = git("hash-object", "-w", "--stdin", cwd=worker, input="hello")
    entry = f"100644,{blob},README"
    commit = commit_tree(git, worker, lambda: git("update-index", "--add", "--cacheinfo", entry, cwd=worker))
    assert push(worker, f"{commit}:{REF}")[0] == 0


def test_code_under_the_ledgers_name(guarded, clone, push, git):
    git("update-ref", "-d", REF, cwd=guarded)
    path = clone(guarded, "worker")
    assert "is a branch of another kind" in refused(push, path, f"main:{REF}")


def test_it_is_refused_over_http_too(worker, guarded, http, push, lumo, git, tip):
    git("remote", "set-url", "origin", http.url("shared.git"), cwd=worker)
    git("update-ref", REF, f"{tip(worker)}^", cwd=worker)
    assert "may only grow" in refused(push, worker, "--force", BRANCH)
    blob = git("hash-object", "-w", "--stdin", cwd=worker, input="{]")
    entry = f"100644,{blob},{paths(git, worker)[0].rpartition('/a/')[0]}/a/info/params.json"
    git("update-ref", REF, f"origin/{BRANCH}", cwd=worker)
    commit = commit_tree(git, worker, lambda: git("update-index", "--add", "--cacheinfo", entry, cwd=worker))
    git("update-ref", REF, commit, cwd=worker)
    status, _, said = lumo(worker, "push")
    assert (status, "a rule or a hook there refuses" in said) == (128, True)
    assert "info/params.json" in said


def test_without_gitlumo_the_server_takes_code_and_no_runs(worker, guarded, record, push, git, tmp_path):
    hook = guarded / "hooks/pre-receive"
    lines = [line for line in hook.read_text().splitlines() if not line.startswith("PATH=")]
    write(hook, "\n".join(lines) + "\n")
    write(tmp_path / "bin/git-lumo", "#!/bin/sh\nexit 1\n")
    env = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    assert push(worker, "main:new", env=env)[0] == 0
    record(worker, "b")
    assert push(worker, BRANCH, env=env)[0] != 0


def test_what_guarded_it_before_does_so_still(worker, guarded, ok, record, push, noted, tip):
    ok(guarded, "init", "--no-hooks")
    write(guarded / "hooks/pre-receive", f"#!/bin/sh\n{NOTED}")
    ok(guarded, "init", "--hooks")
    record(worker, "b")
    ok(worker, "push")
    assert noted.read_text().count(REF) == 1
    write(guarded / "hooks/pre-receive", "#!/bin/sh\ncat >/dev/null; exit 1\n")
    ok(guarded, "init", "--hooks")
    record(worker, "c")
    refused(push, worker, BRANCH)
    assert tip(guarded) != tip(worker)


def test_in_sha256_where_dulwich_reads_the_quarantine(git, tmp_path, ok, record, push):
    git("init", "-q", "--bare", "--object-format=sha256", tmp_path / "s.git")
    ok(tmp_path / "s.git", "init", "--hooks")
    git("clone", "-q", tmp_path / "s.git", tmp_path / "w")
    record(tmp_path / "w", "a")
    git("push", "-q", "origin", BRANCH, cwd=tmp_path / "w")
    assert "may only grow" in refused(push, tmp_path / "w", "--force", f"{BRANCH}^:{REF}")
