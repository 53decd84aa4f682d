"""How a run goes on: after a kill, in another process, in a job that was started again; and what is refused."""

from __future__ import annotations

import json
import os
import re
import signal
import time

import pytest

import gitlumo
from gitlumo import Experiment, machine, resuming
from gitlumo.errors import InvalidValue, NoSuchRun, StateError
from gitlumo.store import register
from gitlumo.store.pending import pending_runs
from tests.resuming import (
    BRANCH,
    child,
    damage,
    die,
    files_of,
    go_on,
    kill,
    ledger,
    open_uids,
    published,
    python,
    records,
    without_lock,
)

# ----------------------------------------------------------------------------------------- what goes on, after a kill


@pytest.mark.damages  # a torn line is none that the stranger takes
def test_all_of_a_killed_run_goes_on(repo, fsck):
    kill(script="with open(exp.mk_ipath('history', '00000.jsonl'), 'a') as torn: torn.write('{\"step\": 9, \"lo')")
    (former,) = register.open_runs(str(repo / ".git/lumo"))
    done = python("""
exp = Experiment('digits', resume='run').start()
assert (exp.load_info('params'), exp.load_note(), exp.tags) == ({'lr': .1}, 'as it was', ['a', 'b'])
assert exp.metrics['acc']['with'] == {'cls': [.8, 1.]} and exp.metrics['loss']['count'] == 5
assert exp.load_info('masked') == ['pinfo.obj.argv[2]', 'keys.api_key']
exp.log({'loss': 9})
assert exp.dump_metric('acc', .7, cmp='max') == .9
exp.dump_info('more', {'token': 'ghp_012345678901234567890123456789012345'})
exp.dump_string('s', ' and more', append=True)
assert exp.state == 'running' and len(exp.resumed) == 1
exp.end()
print(exp.uid, exp.test_name, os.getpid(), flush=True)
""")
    uid, name, pid = done.stdout.split()
    assert (uid, name, done.stderr) == (former.uid, "run", "")
    record = published(uid)
    progress = record.progress
    (entry,) = progress["resumed"]
    assert entry == {
        "time": entry["time"],
        "host": record.info("pinfo")["host"],
        "pid": int(pid),
        "after": "killed",
    }
    assert progress["start"] < entry["time"] < progress["end"]
    assert (record.state, progress["killed"], progress["finished"]) == ("finished", None, True)
    history = record.history()
    assert [point["step"] for point in history] == [0, 1, 2, 3, 4, 3, 4, 5, 5]
    assert [point["time"] for point in history] == sorted(point["time"] for point in history)
    assert history[-1]["time"] > history[-3]["time"]
    assert record.folded()[1] == 1  # the torn line, which has eaten nothing
    assert record.metrics["loss"] | {"with": 0} == dict(
        last=9, min=1, max=9, best=9, best_step=5, cmp=None, count=6, **{"with": 0}
    )
    assert (record.metrics["acc"]["best"], record.metrics["acc"]["last"]) == (0.9, 0.7)
    assert record.metrics["acc"]["with"] == {"cls": [0.8, 1.0]}
    assert record.info("masked")[1:] == ["keys.api_key", "more.token"]
    assert (record.text("s"), record.note, record.properties["tags"]) == ("text and more", "as it was", ["a", "b"])
    assert open_uids() == []
    fsck(repo)


def test_a_line_that_lacks_only_its_newline_counts_from_then_on(repo):
    assert child(
        "exp = Experiment('digits', 'run').start(); exp.log({'a': 1}, step=0)\n"
        "torn = open(exp.mk_ipath('history', '00000.jsonl'), 'ab', 0)\n"
        'torn.write(b\'{"step":7,"time":9.5,"a":3}\')\n'
        "die()"
    )
    with go_on() as exp:
        assert exp.metrics["a"]["count"] == 2
        exp.log({"a": 2})
        assert [point["a"] for point in exp.history("a")] == [1, 3, 2]
    record = published(exp.uid)
    assert [(point["step"], point["a"]) for point in record.history("a")] == [(0, 1), (7, 3), (8, 2)]
    assert record.history()[-1]["time"] >= 9.5
    assert record.metrics["a"] | {"with": 0} == record.folded()[0]["a"].summary() | {"with": 0}


def test_time_goes_on_from_the_start_of_the_run(repo):
    die()
    path = repo / ".git/lumo/info/digits/run/info/progress.json"
    progress = json.loads(path.read_text())
    progress["start"] = "2026-01-02T03:04:05.000Z"  # the ledger has another start; the folder's is taken
    path.write_text(json.dumps(progress))
    with go_on() as exp:
        exp.log({"a": 2})
        assert exp.history("a")[-1]["time"] == pytest.approx(time.time() - 1767323045, abs=60)


@pytest.mark.parametrize("how", ["name", "prefix", "uid", "newest", "exp_name/name"])
def test_a_finished_run_goes_on_by_any_name(repo, how):
    with Experiment("other"):
        pass
    with Experiment("digits", "night-7") as first:
        first.log({"a": 1}, step=0)
    name = {"name": "night-7", "prefix": "nig", "uid": first.uid[:8], "newest": "@", "exp_name/name": "digits/night-7"}
    with go_on(name[how]) as exp:
        assert (exp.uid, exp.test_name, exp.state, exp.resumed[0]["after"]) == (
            *(first.uid, "night-7", "running"),
            "finished",
        )
        exp.log({"a": 2})
        assert open_uids() == [first.uid]
    assert [(p["step"], p["a"]) for p in exp.history("a")] == [(0, 1), (1, 2)]
    with go_on(name[how]) as again:
        again.log({"a": 3})
    record = published(first.uid, name="night-7")
    assert [point["a"] for point in record.history("a")] == [1, 2, 3]
    assert [entry["after"] for entry in record.progress["resumed"]] == ["finished", "finished"]
    assert record.progress["seq"] == 12  # 2 at each start and at each end


def test_a_failed_run_that_goes_on_does_not_bear_its_old_exception(repo):
    with pytest.raises(ZeroDivisionError), gitlumo.SimpleExperiment("digits", "run") as exp:
        1 / 0  # noqa: B018
    assert exp.load_info("exception")["type"] == "ZeroDivisionError"
    with go_on() as exp:
        assert exp.load_info("exception") is None
    record = published(exp.uid)
    assert (record.state, record.info("exception"), record.progress["end_code"]) == ("finished", None, 0)


# -------------------------------------------------------------------------------------------------- resume='auto'

ENDINGS = {
    "none": ("", None),
    "finished": ("exp.end()", False),
    "failed": ("exp.end(1)", False),
    "exit status 255": ("exp.end(255)", False),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(20)", True),
    "Ctrl-C": ("exp.end(130)", True),
    "killed": ("die()", True),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_auto_goes_on_with(repo, ending):
    script, goes_on = ENDINGS[ending]
    if script:
        status = {"SIGTERM": -signal.SIGTERM, "killed": -signal.SIGKILL}.get(ending, 0)
        python("exp = Experiment('digits').start(); exp.log({'a': 1}); " + script, status=status)
    with Experiment("other", "newer"):
        pass
    with go_on("auto") as exp:
        exp.log({"a": 2})
    record = published(exp.uid, name=exp.test_name)
    assert bool(goes_on) == bool(exp.resumed)
    assert [point["a"] for point in record.history("a")] == ([1, 2] if goes_on else [2])
    with go_on("auto") as later:
        assert later.uid != exp.uid


def test_auto_starts_a_new_run_beside_a_living_one(repo):
    with Experiment("digits") as first, go_on("auto") as second, go_on("auto") as third:
        assert len({first.uid, second.uid, third.uid}) == 3


@pytest.mark.parametrize("environ", [False, True])
def test_auto_with_a_name_goes_on_with_that_run_whatever_ended_it(repo, environ, monkeypatch):
    def start():
        monkeypatch.setenv("LUMO_EXP_TEST_NAME", "night-7")
        return go_on("auto", test_name=None if environ else "night-7").start()

    first = start()
    first.log({"a": 1})
    with Experiment("digits", "night-77"), Experiment("other", "night-7"):
        pass
    if not environ:  # in the environment it is the first one's own: see test_processes
        with pytest.raises(StateError, match="has an owner"):
            start()
    assert (first.test_name, first.resumed) == ("night-7", [])
    first.end()
    second = start()
    assert (second.test_name, second.uid) == ("night-7", first.uid)
    second.end()
    assert [entry["after"] for entry in second.resumed] == ["finished"]


def test_auto_reads_no_runs_of_other_experiments(repo, monkeypatch):
    die()
    for i in range(3):
        with Experiment("other", f"run-{i}"):
            pass
    seen = []

    class Counted(resuming.Runs):
        def _found(self, place):
            seen.append(place.path.partition("/")[0])
            return super()._found(place)

    monkeypatch.setattr(resuming, "Runs", Counted)
    monkeypatch.setattr(resuming, "MOST_LOOKED_AT", 2)
    with go_on("auto") as exp:
        assert exp.test_name == "run"
    assert seen == ["digits"]


@pytest.mark.damages
def test_auto_passes_over_a_damaged_run(repo, git):
    with Experiment("digits", "bad") as exp:
        exp.end(143)
    damage(git, exp.uid, "bad", {"info/pinfo.json": b"no JSON"})
    with go_on("auto") as new:
        assert new.uid != exp.uid


# ------------------------------------------------------------------------------------------------------ what is refused


def test_a_living_run_is_refused_and_nothing_changes(repo, tree_state):
    with Experiment("digits", "run") as exp:
        exp.log({"a": 1})
        before, state = without_lock(files_of(repo)), tree_state(repo)
        with pytest.raises(StateError) as raised:
            go_on().start()
        done = python(
            "try: Experiment('digits', resume='run').start()\nexcept gitlumo.LumoError as error: print(error)"
        )
        for said in (str(raised.value), done.stdout.strip()):
            assert said.startswith(f"digits/run has an owner: process {os.getpid()} of {os.uname().nodename}; a run")
            assert said.endswith("type there: git lumo recover --force digits/run")
        assert (without_lock(files_of(repo)), tree_state(repo)) == (before, state)
        exp.log({"a": 2})
    assert exp.resumed == []


def test_a_run_of_an_unknown_machine_is_refused(repo):
    die()
    path = repo / ".git/lumo/info/digits/run/info/pinfo.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "host": "elsewhere", "pid": 12}))
    before = without_lock(files_of(repo))
    with pytest.raises(StateError, match="process 12 of elsewhere"):
        go_on().start()
    assert without_lock(files_of(repo)) == before


@pytest.mark.parametrize("value", [True, "", " ", 5, b"auto", ["run"]])
def test_what_names_no_run_is_refused_before_anything_is_done(repo, value):
    before = files_of(repo)
    with pytest.raises(InvalidValue, match=r"resume is 'auto', or names a run"):
        gitlumo.start("digits", resume=value)
    assert files_of(repo) == before


def test_other_runs_than_one_of_this_experiment_are_refused(repo):
    for exp_name, name in (("digits", "run-1"), ("digits", "run-2"), ("other", "mine")):
        with Experiment(exp_name, name):
            pass
    before = files_of(repo)
    for keywords, error, words in (
        ({"name": "nothing"}, NoSuchRun, "no run is called 'nothing'"),
        ({"name": "@~9"}, NoSuchRun, "goes back too far"),
        ({"name": "run"}, NoSuchRun, "may mean 2 runs"),
        ({"name": "mine"}, StateError, "other/mine is a run of 'other', not of 'digits'"),
        ({"name": "run-1", "test_name": "run-2"}, StateError, "digits/run-1 is not called 'run-2'"),
    ):
        with pytest.raises(error, match=words):
            go_on(**keywords).start()
        assert files_of(repo) == before
    with go_on("run-1", test_name="run-1") as exp:
        assert exp.resumed


@pytest.mark.parametrize("environ", [{"RANK": "1"}, {"LOCAL_RANK": "3"}, {"LUMO_DISABLED": "1"}])
def test_a_rank_that_records_nothing_resumes_nothing(repo, environ, monkeypatch):
    die()
    before = files_of(repo)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    for resume in ("auto", "run", "no such run"):
        with go_on(resume) as exp:
            exp.log({"a": 2})
            assert exp.resumed == []
    assert files_of(repo) == before


@pytest.mark.damages
def test_a_purged_run_is_refused(repo, git):
    with Experiment("digits", "run") as exp:
        pass
    found = resuming.find(ledger(), "digits", None, "run")
    grave = {"uid": exp.uid, "start": found.start, "exp_name": "digits", "test_name": "run", "at": "", "by": ""}
    damage(git, exp.uid, "run", {"purged.json": json.dumps(grave).encode()}, alone=True)
    before = without_lock(files_of(repo / ".git/lumo"))
    with pytest.raises(NoSuchRun):
        go_on().start()
    with pytest.raises(NoSuchRun):
        go_on(exp.uid).start()
    with pytest.raises(StateError, match="was purged"):  # while it was being looked for
        resuming.take_over(ledger(), found, str(repo / ".git/lumo/info"))
    assert without_lock(files_of(repo / ".git/lumo")) == before


# -------------------------------------------------------------------------------------- SLURM, code, several in one

HOST = """
from gitlumo import machine
machine._host = lambda hostname: 'node-' + sys.argv[1]
machine._boot = lambda: 'boot-' + sys.argv[1]
machine._process.cache_clear()
"""


def slurm(job, restarts):
    return {"SLURM_JOB_ID": job, "SLURM_RESTART_COUNT": str(restarts)} if restarts else {"SLURM_JOB_ID": job}


def test_a_job_that_was_started_again_goes_on_on_another_host(repo, fsck):
    begin = HOST + "exp = Experiment('digits', resume='auto').start(); exp.log({'a': float(sys.argv[1])}); "
    python(begin + "print(exp.uid, flush=True); die()", 1, status=-signal.SIGKILL, **slurm("77", 0))
    python(begin + "exp.end(1)", 2, **slurm("78", 0))  # another job's, and newer
    (uid,) = open_uids()
    (pending,) = pending_runs(ledger())
    assert pending.dead is None  # nobody else may judge
    done = python(begin + "die()", 4, status=-signal.SIGKILL, **slurm("77", 1))
    assert done.stderr == ""
    done = python(begin + "exp.end()", 5, **slurm("77", 2))
    done = python(HOST + "exp = Experiment('digits').start(); exp.end()", 3, **slurm("77", 3))
    assert len(re.findall("resume='auto' goes on with the run that it had", done.stderr)) == 1
    record = next(r for r in records(repo) if r.uid == uid)
    assert [point["a"] for point in record.history("a")] == [1, 4, 5]
    assert [entry["host"] for entry in record.progress["resumed"]] == ["node-4", "node-5"]
    assert (record.state, record.info("pinfo")["restarts"]) == ("finished", 2)
    fsck(repo)


def test_a_second_run_of_a_job_is_a_new_one(repo, monkeypatch):
    uids = []
    for restarts in (0, 0, 1, 1):
        monkeypatch.setenv("SLURM_JOB_ID", "77")
        monkeypatch.setenv("SLURM_RESTART_COUNT", str(restarts))
        machine._process.cache_clear()
        with go_on("auto") as exp:
            uids.append(exp.uid)
    machine._process.cache_clear()
    assert len({*uids}) == 3
    assert uids[2] == uids[1]  # what the job did last


def test_other_code_is_recorded_and_reaches_a_plain_clone(repo, git, tmp_path, fsck):
    for i in range(3):
        (repo / "train.py").write_text(f"print({i})\n")
        with gitlumo.SimpleExperiment("digits", "run", resume="auto") as exp:
            exp.checkpoint()
    git("clone", "-q", repo, tmp_path / "clone")
    record = published(exp.uid)
    assert len(record.progress["resumed"]) == 2
    events = git("log", "--format=%H", "--grep", f"Lumo-Uid: {exp.uid}", "--reverse", BRANCH).splitlines()
    folder = git("ls-tree", "-rd", "--name-only", BRANCH).splitlines()[2]
    seen = {json.loads(git("show", f"{event}:{folder}/info/git.json"))["commit"] for event in events}
    assert len(seen) == 3
    shown = {git("show", f"{commit}:train.py", cwd=tmp_path / "clone") for commit in seen}
    assert shown == {"print(0)", "print(1)", "print(2)"}
    assert len([event for event in events if git("show", "-s", "--format=%P", event).count(" ")]) == 3
    fsck(tmp_path / "clone")


def test_a_resumed_and_a_new_run_in_one_process(repo):
    die()
    with go_on("auto") as first, Experiment("digits", distributed=False) as second:
        first.log({"a": 2})
        second.log({"a": 3})
        second.end()
        with pytest.raises(StateError, match="has an owner"):
            Experiment("digits", resume="run", distributed=False).start()
        first.log({"a": 4})
    assert [point["a"] for point in published(first.uid).history("a")] == [1, 2, 4]
    assert [point["a"] for point in published(second.uid, name=second.test_name).history("a")] == [3]


def test_a_child_of_the_owner_joins_the_run_also_with_auto(repo):
    with Experiment("digits", "run") as exp:
        done = python("exp = Experiment('digits', resume='auto').start(); print(exp.uid)")
        assert (done.stdout.strip(), open_uids()) == (exp.uid, [exp.uid])
        assert "is recorded by the process that started this one" in done.stderr


def test_a_long_history_is_folded_chunk_by_chunk(repo):
    """No more of it is in memory at a time than a few chunks."""
    assert child("Experiment('digits', 'run').start(); die()")
    folder = repo / ".git/lumo/info/digits/run/history"
    folder.mkdir()
    line, number = b'{"step":%d,"time":1.5,"loss":0.25,"text":1}\n', 0
    for chunk in range(4):
        lines = [line % (number := number + 1) for _ in range(6000)]
        (folder / f"{chunk:05d}.jsonl").write_bytes(b"".join(lines))
    done = python("""
import tracemalloc
tracemalloc.start()
exp = Experiment('digits', resume='run')
from gitlumo.store import record
real = record.fold
def fold(lines):
    tracemalloc.reset_peak(); before = tracemalloc.get_traced_memory()[0]
    found = real(lines)
    print(tracemalloc.get_traced_memory()[1] - before, flush=True)
    return found
exp._warn = lambda message: None
from gitlumo import beginning
beginning._recover = lambda began: None
record.fold = fold
exp.start(); tracemalloc.stop()
exp.log({'loss': 1}); print(exp.metrics['loss']['count'], flush=True)
os._exit(0)
""")
    *peaks, last = done.stdout.split("\n")[:-1]
    assert last == "24001"
    assert max(map(int, peaks)) < 3 * 1024 * 1024
