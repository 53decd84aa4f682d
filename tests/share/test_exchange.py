"""push, pull, fetch over real servers: both sides have all runs, nobody is asked, nothing of the user's is touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from gitlumo import SimpleExperiment
from gitlumo.errors import RemoteMoved
from gitlumo.git import transport
from gitlumo.git.repository import open_repository
from gitlumo.git.tips import are_still, tips
from gitlumo.home import Home
from gitlumo.share import exchange
from tests.share.conftest import BRANCH, REF, TRACKING


def names(ok, path):
    return sorted(run["test_name"] for run in json.loads(ok(path, "log", "--json")))


def test_there_and_back(url, clone, record, ok, tip, shared, fsck, tree_state):
    one, two = clone(url, "one"), clone(url, "two")
    states = [tree_state(path) for path in (one, two)]
    record(one, "a")
    assert ok(one, "push").startswith("to origin: 1 run in 2 events, ")
    assert tip(shared) == tip(one) == tip(one, TRACKING)
    record(two, "b")
    ok(two, "push")  # the remote has moved: fetched, joined, tried again
    assert ok(one, "pull").endswith(": 1 new run, 0 changed\n")
    assert tip(shared) == tip(one) == tip(two)
    assert names(ok, one) == names(ok, two) == ["a", "b"]
    assert ok(two, "pull").startswith("origin has nothing new")
    for path, state in zip((one, two), states, strict=True):
        now = tree_state(path)
        ours = [line for line in now["refs"] if TRACKING not in line and "refs/notes/lumo" not in line]
        assert now | {"refs": ours} == state
        fsck(path)
    fsck(shared)


def test_what_was_pushed_is_reachable_with_its_code(pair, ok, git, shared):
    one, _ = pair
    (one / "train.py").write_text("print('never committed')\n")
    (one / "new.py").write_text("new = 1\n")
    with SimpleExperiment("digits", repo=one) as exp:
        exp.log({"loss": 1})
    said = ok(one, "push")
    assert "  1 snapshot of code that was never committed\n    with files that were not tracked: new.py\n" in said
    commit = exp.properties["git"]["commit"]
    assert git("show", f"{commit}:train.py", cwd=shared) == "print('never committed')"


def test_only_the_ledger_is_pushed(pair, record, ok, git, shared):
    one, _ = pair
    for name in ("push.followTags", "push.autoSetupRemote"):
        git("config", name, "true", cwd=one)
    git("config", "push.default", "matching", cwd=one)
    git("commit", "-q", "--allow-empty", "-m", "not yet", cwd=one)
    git("tag", "-a", "-m", "x", "v1", cwd=one)
    record(one)
    before = git("for-each-ref", "--format=%(refname)%(objectname)", cwd=shared).splitlines()
    ok(one, "push")
    after = git("for-each-ref", "--format=%(refname)%(objectname)", cwd=shared).splitlines()
    assert [line for line in after if REF not in line] == before


def test_fetch_writes_no_branch(pair, record, ok, tip, git):
    one, two = pair
    record(one)
    ok(one, "push")
    assert ok(two, "fetch") == f"origin/{BRANCH} at {tip(one)[:12]}\n"
    assert (tip(two), tip(two, TRACKING)) == ("", tip(one))
    assert len(names(ok, two)) == 1
    assert ok(two, "fetch").startswith("origin has nothing new")
    assert not (two / ".git/FETCH_HEAD").exists()


def test_json(pair, record, ok, tip):
    one, two = pair
    record(one)
    ok(one, "push")
    first = tip(one)
    found = json.loads(ok(two, "fetch", "--json"))
    assert found == {"remote": "origin", "before": None, "after": first, "rewritten": False}
    found = json.loads(ok(two, "pull", "--json"))
    same = {"remote": "origin", "before": first, "after": first, "rewritten": False}
    assert found == {"before": None, "after": first, "new": 1, "changed": 0, "fetched": same}
    ok(one, "note", "@", "-m", "x")
    record(one)
    ok(one, "push")
    found = json.loads(ok(two, "pull", "--json"))
    assert (found["before"], found["after"], found["new"], found["changed"]) == (first, tip(one), 1, 1)


def test_nothing_there(pair, lumo, ok):
    one, _ = pair
    assert lumo(one, "push") == (
        128, "", "fatal: there are no runs to share yet\nrecord one:  git lumo run -- COMMAND\n"
    )  # fmt: skip
    assert ok(one, "pull") == ok(one, "fetch") == "origin has no ledger yet; 'git lumo push origin' makes it\n"


def test_a_dead_run_is_published_by_a_push(pair, ok, shared, git):
    one, two = pair
    script = "import gitlumo, os; e = gitlumo.start('digits'); e.log({'a': 1}); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script], cwd=one, check=False)
    ok(one, "push")
    ok(two, "pull")
    assert [run["state"] for run in json.loads(ok(two, "log", "--json"))] == ["killed"]


# ------------------------------------------------------------------------------------------------------------- races


@pytest.fixture
def opened(monkeypatch):
    """``opened(path)``: the ledger there and its remote, for calls in this process."""
    from gitlumo.cli.opening import open_here
    from gitlumo.share import remotes

    def make(path):
        monkeypatch.chdir(path)
        found = open_here()
        home = Home(found.repository, found.settings)
        return home, remotes.choose(home, None)

    return make


def test_a_race_is_joined_and_tried_again(pair, record, ok, opened, tip, shared, monkeypatch):
    one, two = pair
    record(one, "mine")
    tries = []
    real = transport.push

    def slow(*args):
        """Somebody else is faster, three times."""
        tries.append(1)
        if len(tries) <= 3:
            record(two, f"theirs{len(tries)}")
            ok(two, "push")
        real(*args)

    monkeypatch.setattr(transport, "push", slow)
    pushed = exchange.push(*opened(one), lambda commit: None)
    assert len(tries) == 4
    assert pushed.after == tip(one) == tip(shared)
    assert names(ok, one) == ["mine", "theirs1", "theirs2", "theirs3"]


def test_a_race_does_not_go_on_for_ever(pair, record, opened, monkeypatch):
    one, _ = pair
    record(one)
    monkeypatch.setattr(exchange.time, "sleep", lambda seconds: None)
    home, remote = opened(one)
    tries = []

    def moved(*args):
        tries.append(1)
        raise RemoteMoved("moved")

    monkeypatch.setattr(transport, "push", moved)
    with pytest.raises(RemoteMoved):  # the remote stands still: this is no race
        exchange.push(home, remote, lambda commit: None)
    assert len(tries) == exchange.STANDSTILLS
    fetches = iter(range(1000))
    known = exchange.remotes.tips(home)
    fetched = lambda *args, **options: (exchange.Fetched(remote, None, f"{next(fetches):040x}", False), known)  # noqa: E731
    monkeypatch.setattr(exchange, "_fetch", fetched)
    tries.clear()
    with pytest.raises(RemoteMoved):
        exchange.push(home, remote, lambda commit: None)
    assert len(tries) == exchange.ATTEMPTS


def test_many_push_at_once(shared, clone, record, ok, tip, fsck):
    paths = [clone(shared, f"c{i}") for i in range(5)]
    for i, path in enumerate(paths):
        record(path, f"run{i}")
    children = [
        subprocess.Popen(["git-lumo", "push"], cwd=path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for path in paths
    ]
    said = [child.communicate()[1] for child in children]
    assert [child.returncode for child in children] == [0] * 5, said
    for path in paths:
        ok(path, "pull")
    assert {tip(path) for path in paths} == {tip(shared)}
    assert names(ok, paths[0]) == [f"run{i}" for i in range(5)]
    fsck(shared)


# ------------------------------------------------------------------------------------------------------- what it costs


def test_requests(http, clone, record, ok, git, tmp_path):
    """A push, and a pull with nothing new, ask the server no more than git itself."""
    one, two = (clone(http.url("shared.git"), name) for name in ("one", "two"))
    record(one)

    def requests(call):
        http.requests.clear()
        call()
        return list(http.requests)

    git("commit", "-q", "--allow-empty", "-m", "x", cwd=two)
    plain = requests(lambda: git("push", "-q", "origin", "HEAD:refs/heads/other", cwd=two))
    first = requests(lambda: ok(one, "push"))  # looks whether there is a branch of that name that is no ledger
    assert [line for line in first if "receive-pack" in line or "info/refs" in line][-len(plain) :] == plain
    record(one)
    assert requests(lambda: ok(one, "push")) == plain
    git("fetch", "-q", cwd=one)
    plain = requests(lambda: git("fetch", "-q", cwd=one))
    assert requests(lambda: ok(one, "pull")) == plain
    assert requests(lambda: ok(one, "fetch")) == plain


def test_processes(pair, record, ok, git, tmp_path):
    one, _ = pair
    record(one)
    ok(one, "push")
    record(one)
    counts = {}
    for verb in ("push", "pull"):
        ok(one, "notes")
        trace = tmp_path / f"trace-{verb}"
        ok(one, verb, env={"GIT_TRACE2_EVENT": str(trace)})
        starts = [json.loads(line) for line in trace.read_text().splitlines()]
        counts[verb] = sum(1 for line in starts if line["event"] == "start" and "/" not in line["sid"])
    assert counts == {"push": 7, "pull": 4}


def test_refs_that_are_still_where_they_were(pair, record, ok, git):
    one, two = pair
    record(one)
    ok(one, "push")
    repository = open_repository(one)
    known = tips(repository, "lumo_experiments", "Lumo-Format")
    assert set(known) == {REF, TRACKING}
    assert are_still(repository, known)
    record(two)
    ok(two, "push")
    git("fetch", "-q", cwd=one)
    assert not are_still(repository, known)
    git("pack-refs", "--all", cwd=one)
    packed = tips(repository, "lumo_experiments", "Lumo-Format")
    assert not are_still(repository, packed)  # a look at files does not say it
    assert "1 new run" in ok(one, "pull")
    assert "nothing new" in ok(one, "pull")


@pytest.mark.parametrize("verb", ["push", "pull"])
def test_modules(git, pair, record, ok, verb):
    """What takes milliseconds to import is not needed where git does the work."""
    one, _ = pair
    git("config", "lumo.gitleaks", "false", cwd=one)  # which may be installed here, and takes longer than any import
    record(one)
    ok(one, "push")
    record(one)
    ok(one, "notes")
    code = f"import sys; from gitlumo.cli import main; main([{verb!r}]); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], cwd=one, capture_output=True, text=True, check=True)
    heavy = {"dataclasses", "inspect", "hashlib", "shutil", "tempfile", "random", "json", "datetime", "pygit2"}
    assert "gitlumo.share.exchange" in done.stderr
    assert set(done.stderr.split()) & (heavy | {"gitlumo.store"}) == set()


def test_what_comes_is_told_when_it_begins(pair, record, ok):
    """A pull imports meanwhile what it will join with; of nothing new git says nothing."""
    one, two = pair
    record(one)
    ok(one, "push")
    repository, told = open_repository(two), []
    for _ in range(2):
        transport.fetch(repository, "origin", REF, TRACKING, arriving=lambda: told.append(1))
    assert told == [1]


def test_environment_of_another_repository(pair, record, ok, tip):
    one, two = pair
    record(one)
    ok(one, "push", env={"GIT_INDEX_FILE": str(two / ".git/index"), "GIT_OBJECT_DIRECTORY": str(two / ".git/objects")})
    assert tip(one) == tip(one, TRACKING)
    assert os.listdir(two / ".git/objects/pack") is not None
