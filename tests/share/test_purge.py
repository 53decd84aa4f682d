"""git lumo purge: a tombstone that every clone honours, and a history without what was never pushed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from gitlumo import Experiment, SimpleExperiment
from gitlumo.config import read_settings
from gitlumo.git.objects import Staging, read_commit
from gitlumo.git.repository import open_repository
from gitlumo.store import layout, purging, trees
from gitlumo.store.ledger import Ledger
from tests.endings import NO_STRACE, has_strace
from tests.share.conftest import BRANCH, REF

SECRET = "the-answer-is-42"


@pytest.fixture
def secret():
    """``secret(repo, name)``: a run that says what nobody should know."""

    def run(repo: Path, name: str = "x", kind=SimpleExperiment):
        with kind("digits", name, repo=repo, params={"key_word": SECRET}) as exp:
            exp.log({"loss": 1.0})
        return exp

    return run


def names(ok, path):
    return sorted(run["test_name"] for run in json.loads(ok(path, "log", "--json", "--all")))


def history(git, path, ref=REF):
    return git("log", "--first-parent", "--format=%s", ref, cwd=path).splitlines()


def is_known(git, path: Path) -> bool:
    """Whether any object in a repository has the secret in it, or names a run ``x`` that is no tombstone."""
    listed = git("cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)", cwd=path)
    kinds = dict(line.split() for line in listed.splitlines())
    blobs = [git("cat-file", "-p", id, cwd=path) for id, kind in kinds.items() if kind == "blob"]
    commits = [git("cat-file", "-p", id, cwd=path) for id, kind in kinds.items() if kind == "commit"]
    return any(SECRET in text for text in blobs) or any("digits/x running" in text for text in commits)


def collect(git, path: Path) -> None:
    git("gc", "-q", "--prune=now", cwd=path)


@pytest.fixture
def ledger_of():
    opened = []

    def open_ledger(path: Path) -> Ledger:
        opened.append(open_repository(path))
        return Ledger(opened[-1], read_settings(opened[-1].config))

    yield open_ledger
    for repository in opened:
        repository.close()


def test_what_was_never_pushed_has_never_been(repo, record, secret, ok, git, fsck, tree_state):
    (repo / "train.py").write_text(f"word = '{SECRET}'\n")
    record(repo, "a")
    run = secret(repo)
    (repo / "train.py").write_text("print('training')\n")
    record(repo, "b")
    ok(repo, "note", "b", "-m", "stays")
    state = tree_state(repo)
    assert is_known(git, repo)
    said = ok(repo, "purge", "x")
    assert "  2 events dropped from the history here" in said
    assert "nobody else has it" in said
    assert tree_state(repo) == state
    assert history(git, repo) == ["digits/x finished purged", "digits/b finished note=stays", "digits/b finished "
                                  "loss=0.25", "digits/b running", "digits/a finished loss=0.25", "digits/a running",
                                  "gitlumo ledger"]  # fmt: skip
    assert names(ok, repo) == ["a", "b"]
    assert not Path(run.info_dir).exists()
    assert ok(repo, "fsck") == "3 runs checked, 0 problems\n"
    collect(git, repo)
    assert not is_known(git, repo)
    fsck(repo)


def test_blobs_and_notes_go_too(repo, secret, record, ok, git):
    with SimpleExperiment("digits", "x", repo=repo) as exp:
        Path(exp.mk_bpath("model.pt")).write_text(SECRET)
    record(repo, "a", hooks=())
    ok(repo, "notes")
    assert "digits/x" in git("notes", "--ref=lumo", "show", cwd=repo)
    assert f"deleted {exp.blob_dir} (" in ok(repo, "purge", "digits/x")
    assert "digits/x" not in git("log", "--all", "--notes=lumo", "--format=%N", cwd=repo)
    assert not os.path.exists(exp.blob_dir)


def test_every_clone_honours_it(pair, secret, record, ok, lumo, git):
    one, two = pair
    secret(one)
    ok(one, "push")
    ok(two, "pull")
    ok(two, "note", "x", "-m", "an edit that nobody has seen yet")
    said = ok(one, "purge", "x")
    assert "dropped from the history" not in said
    assert "origin has it in its history" in said
    ok(one, "push")
    record(two, "b")
    ok(two, "push")
    ok(one, "pull")
    assert names(ok, one) == names(ok, two) == ["b"]
    status, _, said = lumo(two, "note", "x", "-m", "again")
    assert (status, "no run is called 'x'" in said) == (128, True)
    for path in pair:
        assert ok(path, "fsck") == "2 runs checked, 0 problems\n"


def test_its_owner_does_not_bring_it_back(pair, ok, record):
    one, two = pair
    with Experiment("digits", "x", repo=one) as exp:
        exp.log({"loss": 1.0})
        exp.checkpoint()
        ok(one, "push")
        ok(two, "pull")
        ok(two, "purge", "x")
        ok(two, "push")
        ok(one, "pull")
        exp.log({"loss": 0.5})
    assert names(ok, one) == []
    ok(one, "push")
    ok(two, "pull")
    assert names(ok, two) == []
    ok(one, "recover")
    assert names(ok, one) == []


def test_what_a_remote_has_stays_and_the_rest_goes(pair, secret, record, ok, git, tip):
    one, two = pair
    record(two, "c")
    ok(two, "push")
    secret(one)
    record(one, "a")
    ok(one, "fetch")
    ok(one, "note", "a", "-m", "joins both")
    ok(one, "purge", "x")
    collect(git, one)
    assert not is_known(git, one)
    assert names(ok, one) == ["a", "c"]
    git("merge-base", "--is-ancestor", tip(two), REF, cwd=one)
    ok(one, "push")
    told = git("log", "--format=%s", "--grep=^Lumo-Format", f"{tip(two)}..{REF}", cwd=one).splitlines()
    assert sorted(told) == [
        "digits/a finished loss=0.25", "digits/a finished note=joins both", "digits/a running",
        "digits/x finished purged", "merge 2 ledgers",
    ]  # fmt: skip


@pytest.mark.parametrize("where", ["server", "bare clone"])
def test_out_of_the_history_of_all(shared, clone, pair, secret, record, ok, git, tip, where, tmp_path, fsck):
    one, two = pair
    three = clone(shared, "three")
    record(one, "a")
    secret(one)
    ok(one, "push")
    record(two, "b")
    ok(two, "push")
    ok(three, "pull")
    record(three, "c")  # never pushed so far
    uid = json.loads(ok(one, "show", "x", "--json"))["uid"]
    said = ok(one, "purge", "x").splitlines()
    steps = [line.strip() for line in said if line.startswith("  git ")]
    assert steps[0].startswith("git lumo push origin ")
    ok(one, "push", "origin")
    if where == "server":
        shell(steps[1], shared)
    else:
        git("config", "remote.origin.url", str(shared), cwd=one)
        shell(steps[2], one, steps[3].replace("git push", "git push -q"))
        collect(git, shared)
    assert steps[4].startswith(f"git fetch origin && git lumo purge {uid} && ")
    for path in (one, two, three):
        shell(steps[4].replace("fetch", "fetch -q"), path)
    ok(three, "push")
    ok(one, "pull")
    ok(two, "pull")
    collect(git, shared)
    for path in (shared, one, two, three):
        assert tip(path) == tip(three)
        assert not is_known(git, path)
        assert names(ok, path) == ["a", "b", "c"]
        fsck(path)


def shell(command: str, cwd: Path, *more: str) -> None:
    done = subprocess.run(
        ["sh", "-c", "\n".join([command, *more])], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_event_of_two_runs_is_left_with_the_other(repo, secret, record, ok, git, ledger_of):
    (repo / "train.py").write_text("x = 1\n")
    secret(repo)
    mine = json.loads(ok(repo, "show", "x", "--json"))
    (repo / "train.py").write_text("x = 2\n")
    with SimpleExperiment("digits", "a", repo=repo):
        pass
    theirs = json.loads(ok(repo, "show", "a", "--json"))
    root = git("rev-list", "--max-parents=0", "--first-parent", REF, cwd=repo).split()[-1]
    events = [("end", run["uid"], f"digits/{run['test_name']} finished") for run in (mine, theirs)]
    codes = [run["git"]["commit"] for run in (mine, theirs)]
    parents = [word for id in (root, *codes) for word in ("-p", id)]
    message = layout.event_message(events)
    both = git("commit-tree", *parents, "-F", "-", f"{REF}^{{tree}}", cwd=repo, input=message)
    git("update-ref", REF, both, cwd=repo)
    ok(repo, "purge", "x")
    body = git("cat-file", "-p", f"{REF}^", cwd=repo)
    assert f"parent {root}\nparent {codes[1]}\nauthor" in body
    assert f"\n\ndigits/a finished\n\nLumo-Format: 1\nLumo-Event: end\nLumo-Uid: {theirs['uid']}" in body
    assert mine["uid"] not in body
    assert names(ok, repo) == ["a"]


def test_namesakes_keep_their_names(pair, ok, record, git):
    one, two = pair
    for path in pair:
        record(path, "x")
    ok(one, "push")
    ok(two, "pull")
    assert len(names(ok, two)) == 2
    later = next(run for run in json.loads(ok(two, "log", "--json")))
    ok(two, "purge", later["uid"])
    assert ok(two, "fsck") == "2 runs checked, 0 problems\n"
    ok(two, "push")
    ok(one, "pull")
    assert [run["uid"] for run in json.loads(ok(one, "log", "--json"))] != [later["uid"]]
    assert names(ok, one) == names(ok, two) == ["x"]


def test_a_run_that_goes_on_is_not_purged(repo, lumo, ok):
    with Experiment("digits", "x", repo=repo):
        status, _, said = lumo(repo, "purge", "x")
        assert (status, said.startswith("fatal: digits/x is running here; end it first\n")) == (128, True)
    assert names(ok, repo) == ["x"]


def test_a_killed_one_is(repo, lumo, ok):
    script = "import os, gitlumo; gitlumo.Experiment('digits', 'x').start(); os.kill(os.getpid(), 9)"
    subprocess.run(["python", "-c", script], cwd=repo, check=False)
    assert "purged digits/x" in ok(repo, "purge", "x")
    assert names(ok, repo) == []
    assert ok(repo, "recover") == "nothing to recover\n"


def test_killed_in_the_middle_it_is_finished_by_the_next(repo, secret, ok, ledger_of):
    run = secret(repo)
    ledger = ledger_of(repo)
    identity = layout.read_identity(lambda path: (Path(run.info_dir) / path).read_bytes())
    ledger.purge(identity, identity.names, "digits/x finished purged", "2026-01-01T00:00:00.000Z")
    assert Path(run.info_dir).exists()
    assert names(ok, repo) == []  # and the folder that is left does not bring it back
    ok(repo, "recover")
    assert names(ok, repo) == []
    assert f"deleted {run.info_dir}" in ok(repo, "purge", "x")
    assert not Path(run.info_dir).exists()


def test_dry_run_does_nothing(repo, secret, ok, tip):
    secret(repo)
    before = tip(repo)
    assert ok(repo, "purge", "-n", "x") == f"{REF} has it here, too\n"
    assert (tip(repo), names(ok, repo)) == (before, ["x"])


def test_other_refs_that_hold_it_are_named(repo, secret, ok, git):
    secret(repo)
    git("branch", "backup", BRANCH, cwd=repo)
    assert "refs/heads/backup has it here, too" in ok(repo, "purge", "x")


@pytest.mark.parametrize("form", [["--object-format=sha256"], ["--ref-format=reftable"], ["--bare"]])
def test_in_odd_repositories(git, tmp_path, ok, record, secret, form, fsck):
    path = tmp_path / "odd"
    if git("init", "-q", *form, path, check=False) or not path.exists():
        pytest.skip("git is too old for reftable")
    record(path, "a")
    secret(path, kind=Experiment)
    ok(path, "purge", "x")
    collect(git, path)
    assert not is_known(git, path)
    assert names(ok, path) == ["a"]
    fsck(path)


def test_a_shallow_clone_ends_where_it_did(shared, pair, clone, secret, record, ok, git, fsck):
    one, _ = pair
    secret(one)
    record(one, "a")
    ok(one, "push")
    path = clone(f"file://{shared}", "shallow", "--depth=1", "--no-single-branch")
    record(path, "b")
    git("update-ref", "-d", f"refs/remotes/origin/{BRANCH}", cwd=path)
    ok(path, "purge", "x")
    assert names(ok, path) == ["a", "b"]
    fsck(path)


def test_it_is_a_function_of_the_history(repo, record, secret, ledger_of, ok, tip):
    for number in range(3):
        record(repo, f"a{number}")
        secret(repo, "x") if number == 1 else None
    ledger = ledger_of(repo)
    view = ledger.view()
    uid = json.loads(ok(repo, "show", "x", "--json"))["uid"]
    made = set()
    for _ in range(2):
        staging = Staging(ledger.repository.objects)
        new = purging.rewrite(staging, tip(repo), set(), uid, [("digits", "x")])
        purging.prune(staging, new)
        made.add((new, frozenset(staging.new)))
        assert read_commit(staging, new).tree == trees.take_out(staging, view.tree, uid, [("digits", "x")])
    assert len(made) == 1
    assert purging.rewrite(Staging(ledger.repository.objects), tip(repo), {tip(repo)}, uid, [("digits", "x")]) == tip(
        repo
    )


def test_beside_runs_that_are_recorded_meanwhile(repo, record, secret, ok, git, fsck):
    script = (
        "import gitlumo\n"
        "for n in range(12):\n"
        "    with gitlumo.Experiment('digits', f'm{n}') as exp: exp.log({'loss': n})\n"
    )
    for number in range(3):
        secret(repo, f"x{number}", kind=Experiment)
    child = subprocess.Popen(["python", "-c", script], cwd=repo)
    for number in range(3):
        ok(repo, "purge", f"x{number}")
    assert child.wait(120) == 0
    assert names(ok, repo) == sorted(f"m{number}" for number in range(12))
    told = history(git, repo)
    assert [sum(f"digits/m{number} {state}" in line for line in told) for number in range(12) for state in
            ("running", "finished")] == [1] * 24  # fmt: skip
    assert not any("x1 running" in line for line in told)
    assert ok(repo, "fsck") == "15 runs checked, 0 problems\n"
    fsck(repo)


@pytest.mark.skipif(not has_strace(), reason=NO_STRACE)
@pytest.mark.parametrize("call", ["rename", "unlink", "fsync"])
def test_killed_at_any_moment(repo, record, secret, ok, git, fsck, call):
    """SIGKILL before each system call of a kind that purge makes, one after another: the next purge finishes it."""
    record(repo, "a")
    ok(repo, "notes")
    for number in range(1, 4):
        name = f"x{number}"
        secret(repo, name, kind=Experiment)
        inject = f"inject={call}:signal=KILL:when={number}"
        words = [
            "strace",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            f"trace={call}",
            "-e",
            inject,
            "git-lumo",
            "purge",
            name,
        ]
        subprocess.run(words, cwd=repo, capture_output=True, check=False, timeout=120)
        if name in names(ok, repo) or (repo / ".git/lumo/info/digits" / name).exists():
            ok(repo, "purge", name)
        assert names(ok, repo) == ["a"]
        assert not (repo / ".git/lumo/info/digits" / name).exists()
        assert ok(repo, "fsck").endswith(", 0 problems\n")
    collect(git, repo)
    assert not is_known(git, repo)
    fsck(repo)
