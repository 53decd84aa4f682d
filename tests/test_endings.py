"""How runs end: by themselves, by an error, by a signal; and what fails around them without stopping the training."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import warnings
from pathlib import Path

import pytest

from gitlumo import Experiment, ExpHook, LumoError, SimpleExperiment
from gitlumo.config import Settings
from gitlumo.errors import LumoWarning
from gitlumo.git.repository import open_repository
from gitlumo.store import register
from gitlumo.store.ledger import Ledger
from gitlumo.store.pending import pending_runs


def run(script, *options, check=None):
    done = subprocess.run(
        [sys.executable, *options, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert check is None or done.returncode == check, done.stderr
    return done


@pytest.fixture
def published(repo):
    """``published()``: what plain git shows of the ledger: one dict a run, file name to value."""

    def read():
        done = subprocess.run(["git", "archive", "lumo_experiments"], cwd=repo, capture_output=True, check=True)
        runs = {}
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            for member in archive:
                if member.isfile():
                    folder, name = member.name.split("/")[:3], "/".join(member.name.split("/")[3:])
                    data = archive.extractfile(member).read()
                    runs.setdefault("/".join(folder), {})[name] = json.loads(data) if name[-5:] == ".json" else data
        return list(runs.values())

    return read


START = "import gitlumo, os, signal, sys\n"
ENDINGS = {
    "end()": ("exp = gitlumo.start('d'); exp.log({'a': 1}); exp.end()", 0, "finished", 0),
    "end(3)": ("exp = gitlumo.start('d'); exp.log({'a': 1}); exp.end(3)", 0, "failed", 3),
    "end() twice": ("exp = gitlumo.start('d'); exp.log({'a': 1}); exp.end(); exp.end(1)", 0, "finished", 0),
    "with": ("with gitlumo.SimpleExperiment('d') as exp: exp.log({'a': 1})", 0, "finished", 0),
    "end() in with": ("with gitlumo.SimpleExperiment('d') as exp: exp.log({'a': 1}); exp.end(4)", 0, "failed", 4),
    "started, then with": ("exp = gitlumo.start('d')\nwith exp: exp.log({'a': 1})", 0, "finished", 0),
    "an exception in with": ("with gitlumo.start('d') as exp: exp.log({'a': 1}); 1 / 0", 1, "failed", 1),
    "sys.exit(3) in with": ("with gitlumo.start('d') as exp: exp.log({'a': 1}); sys.exit(3)", 3, "failed", 3),
    "sys.exit() in with": ("with gitlumo.start('d') as exp: exp.log({'a': 1}); sys.exit()", 0, "finished", 0),
    "sys.exit('no') in with": ("with gitlumo.start('d') as exp: exp.log({'a': 1}); sys.exit('no')", 1, "failed", 1),
    "at exit": ("exp = gitlumo.start('d'); exp.log({'a': 1})", 0, "finished", 0),
    "an uncaught exception": ("exp = gitlumo.start('d'); exp.log({'a': 1}); 1 / 0", 1, "failed", 1),
    "a caught exception": (
        "exp = gitlumo.start('d'); exp.log({'a': 1})\ntry: 1 / 0\nexcept ArithmeticError: pass",
        *(0, "finished", 0),
    ),
    "Ctrl-C": (
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "exp = gitlumo.start('d'); exp.log({'a': 1}); os.kill(os.getpid(), signal.SIGINT)",
        *(-signal.SIGINT, "failed", 130),
    ),
    "Ctrl-C in with": (
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "with gitlumo.start('d') as exp: exp.log({'a': 1}); os.kill(os.getpid(), signal.SIGINT); import time",
        *(-signal.SIGINT, "failed", 130),
    ),
}
ERRORS = {"an exception in with": "ZeroDivisionError", "an uncaught exception": "ZeroDivisionError"}


@pytest.mark.parametrize("name", ENDINGS)
def test_endings(repo, published, name):
    script, status, state, code = ENDINGS[name]
    done = run(START + script, check=status)
    (files,) = published()
    progress = files["info/progress.json"]
    assert (progress["end_code"], progress["finished"], progress["killed"]) == (code, code == 0, None)
    assert progress["end"] >= progress["start"]
    assert files["metrics.json"]["a"]["last"] == 1
    assert (progress["ratio"] == 1) == (code == 0)
    assert f" {state}\n" in done.stderr  # the final report
    kind = ERRORS.get(name, "KeyboardInterrupt" if name.startswith("Ctrl") else None)
    assert files.get("info/exception.json", {}).get("type") == kind
    if kind == "ZeroDivisionError":
        assert files["info/exception.json"]["message"] == "division by zero"
        assert (
            "1 / 0" in files["info/exception.json"]["traceback"]
            or "<string>" in files["info/exception.json"]["traceback"]
        )
        assert "ZeroDivisionError" in done.stderr
    assert register.open_runs(str(repo / ".git/lumo")) == []


def test_an_exception_goes_on_its_way_as_it_is(repo):
    error = ValueError("the very one")
    with pytest.raises(ValueError, match="the very one") as raised, Experiment("digits") as exp:
        raise error
    assert raised.value is error
    assert exp.state == "failed"
    assert "exception" not in exp.properties["hooks"]


KILLED = """
import gitlumo, os, signal
exp = gitlumo.start('digits', params={'lr': .1})
for i in range(5): exp.log({'loss': 5 - i}, step=i)
exp.dump_metric('acc', .5, cmp='max', epoch=1)
exp.dump_note('before the end')
with open(exp.mk_ipath('history', '00000.jsonl'), 'a') as torn: torn.write('{"step": 9, "lo')
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_then_recovered_by_the_next_start_and_by_no_reader(repo, git, fsck, published):
    run(KILLED, check=-signal.SIGKILL)
    before = git("rev-parse", "lumo_experiments")
    files = {path: path.stat().st_mtime_ns for path in (repo / ".git").rglob("*")}
    ledger = Ledger(open_repository(), Settings())
    view = ledger.view()
    (pending,) = pending_runs(ledger)
    assert (pending.dead, pending.record.state) == (True, "killed")
    assert pending.record.metrics["loss"]["count"] == 5
    assert Experiment.from_disk(pending.run.info_dir).state == "running"
    assert view.tips == {"refs/heads/lumo_experiments": before}
    assert git("rev-parse", "lumo_experiments") == before
    assert {path: path.stat().st_mtime_ns for path in (repo / ".git").rglob("*")} == files
    with Experiment("other"):
        pass
    (dead,) = [files for files in published() if files["info/exp_name.json"] == "digits"]
    progress = dead["info/progress.json"]
    assert progress["killed"] > progress["last_edit_time"] >= progress["start"]
    assert (progress["end"], progress["finished"], progress["seq"]) == (None, False, 3)
    assert dead["metrics.json"]["loss"].items() >= {"count": 5, "last": 1, "min": 1, "max": 5}.items()
    assert dead["metrics.json"]["acc"]["with"] == {"epoch": 1}
    assert (dead["note.md"], dead["info/params.json"]) == (b"before the end", {"lr": 0.1})
    assert len(dead["history/00000.jsonl"].splitlines()) == 6
    kinds = git("log", "--reverse", "--format=%(trailers:key=Lumo-Event,valueonly)", "lumo_experiments").split()
    assert kinds == ["start", "end", "start", "end"]
    assert register.open_runs(ledger.lumo_dir) == []
    fsck(repo)


def test_one_damaged_dead_run_does_not_keep_the_others(repo, published):
    script = "import gitlumo\ne = gitlumo.start('d'); e.log({'a': 1}); print(flush=True); input()"
    children = [subprocess.Popen([sys.executable, "-c", script], stdin=-1, stdout=-1, stderr=-1) for _ in range(3)]
    for child in children:
        child.stdout.readline()
    for child in children:
        child.kill()
        child.communicate()
    runs = register.open_runs(str(repo / ".git/lumo"))
    for bad, text in zip(runs, ("{", "[1]", None), strict=True):
        if text:
            Path(bad.info_dir, "info/pinfo.json").write_text(text)
    with Experiment("other"):
        pass
    killed = [files for files in published() if files["info/progress.json"]["killed"]]
    assert [files["info/uid.json"] for files in killed] == [runs[2].uid]


def test_a_run_killed_while_it_starts_is_found_dead(repo, published):
    script = "import gitlumo, os\ngitlumo.Experiment._record_surroundings = lambda self: os.kill(os.getpid(), 9)\n"
    run(script + "gitlumo.start('digits')", check=-signal.SIGKILL)
    with Experiment("other"):
        pass
    assert register.open_runs(str(repo / ".git/lumo")) == []


def test_a_live_run_is_left_alone(repo, git):
    script = (
        START + "exp = gitlumo.start('d'); exp.log({'a': 1}); print(exp.uid, flush=True); input(); exp.log({'a': 2})"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=-1, stdout=-1, stderr=-1, text=True) as child:
        uid = child.stdout.readline().strip()
        with Experiment("other"):
            pass
        assert [found.uid for found in register.open_runs(str(repo / ".git/lumo"))] == [uid]
        child.communicate("\n", timeout=30)
    subjects = git("log", "--first-parent", "--format=%s", "lumo_experiments").splitlines()
    assert [re.sub(r"/\S+", "", subject) for subject in subjects] == [
        *("d finished a=2", "other finished", "other running", "d running", "gitlumo ledger"),
    ]


# ------------------------------------------------------------------------------------------- what fails around a run


class Bad(ExpHook):
    def __init__(self, stage):
        setattr(self, stage, self.fail)

    def fail(self, exp, *error):
        raise OSError("the hook is broken")


@pytest.mark.parametrize("stage", ["on_start", "on_progress", "on_end", "on_exception"])
def test_a_hook_that_raises(repo, published, stage):
    exp = Experiment("digits", hooks=[Bad(stage)])

    def train():
        with exp:
            exp.dump_progress(0.5)
            exp.log({"a": 1})
            raise ZeroDivisionError

    with warnings.catch_warnings(record=True, action="always") as said, pytest.raises(ZeroDivisionError):
        train()
    assert [(item.category, "Bad: the hook is broken" in str(item.message)) for item in said] == [(LumoWarning, True)]
    assert exp.properties["hooks"] == {"Bad": {"loaded": False, "msg": "the hook is broken"}}
    assert published()[0]["info/hooks.json"] == exp.properties["hooks"]
    assert exp.history("a")


STUBBORN = """
import sys, gitlumo
class Bad(gitlumo.ExpHook):
    def on_start(self, exp): raise ValueError('broken')
    def on_end(self, exp): raise ValueError('broken')
{before}
with gitlumo.SimpleExperiment('digits', hooks=[Bad]) as exp:
    exp.log({{'a': 1}})
{after}
"""


@pytest.mark.parametrize(
    ("options", "before", "says"),
    [
        (["-W", "error"], "", "gitlumo: digits/.*Bad: broken"),
        (["-W", "error", "-X", "dev"], "", "gitlumo: digits/.*Bad: broken"),
        ([], "", "LumoWarning: digits/.*Bad: broken"),
        ([], "sys.stderr.close()", ""),
        (["-W", "error"], "sys.stderr.close()", ""),
        (["-W", "error"], "sys.stderr = None", ""),
        ([], "import os; os.close(2)", ""),
    ],
)
def test_warnings_do_not_stop_the_training(repo, published, options, before, says):
    done = run(STUBBORN.format(before=before, after="print('trained')"), *options, check=0)
    assert done.stdout == "trained\n"
    assert re.search(says, done.stderr)
    assert published()[0]["info/progress.json"]["end_code"] == 0


READ_ONLY = """
import gitlumo, sys
for make in (gitlumo.Experiment, gitlumo.SimpleExperiment):
    try: make('digits').start()
    except gitlumo.LumoError as error: print(str(error).splitlines()[0])
"""


def test_a_read_only_git_folder(repo, git, tree_state):
    powerless = []
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("needs a normal user, or setpriv")
        powerless = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"]
    before = tree_state(repo)
    files = {path: path.stat().st_mtime_ns for path in (repo / ".git").rglob("*")}
    folders = [repo / ".git", *(path for path in (repo / ".git").rglob("*") if path.is_dir())]
    try:
        for folder in folders:
            folder.chmod(0o555)
        command = [*powerless, sys.executable, "-c", READ_ONLY]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"(cannot record below .*/\.git/lumo/info: Permission denied\n){2}", done.stdout)
    assert tree_state(repo) == before
    assert {path: path.stat().st_mtime_ns for path in (repo / ".git").rglob("*")} == files


def fill(disk):
    with open(disk / "filler", "ab", buffering=0) as filler:
        try:
            while filler.write(bytes(4096)):
                pass
        except OSError:
            pass


@pytest.mark.damages  # a line that the disk took in part stays torn
@pytest.mark.parametrize("full", ["the info_dir's disk", "the whole repository's disk"])
def test_a_full_disk_keeps_metrics_in_memory(repo, git, fsck, small_disk, monkeypatch, full):
    place = repo
    if full.startswith("the info_dir"):
        git("config", "lumo.infoRoot", small_disk / "info")
    else:
        place = small_disk / "repo"
        git("clone", "--quiet", repo, place)
        monkeypatch.chdir(place)
    exp = SimpleExperiment("digits").start()
    exp.log({"n": 0})
    fill(small_disk)
    with warnings.catch_warnings(record=True, action="always") as said:
        for i in range(1, 500):
            exp.log({"n": i})
        exp.dump_note("kept")
        exp.log({"n": 500})
    assert [item.category for item in said] == [LumoWarning]
    assert "waits in memory" in str(said[0].message)
    assert exp.properties["hooks"]["Journal"]["loaded"] is False
    assert exp.metrics["n"]["count"] == 501
    with warnings.catch_warnings(record=True, action="always"):
        exp.checkpoint()  # may say that it could not
    (small_disk / "filler").unlink()
    exp.log({"n": 501})
    assert [point["n"] for point in exp.history("n")] == list(range(502))
    exp.end()
    folder = f"lumo_experiments:digits/{exp.test_name[:6]}/{exp.test_name}"
    assert json.loads(git("show", f"{folder}/metrics.json"))["n"]["count"] == 502
    assert git("show", f"{folder}/note.md") == "kept"
    history = git("show", f"{folder}/history/00000.jsonl").splitlines()
    lines = [json.loads(line)["n"] for line in history if line[-1:] == "}"]
    assert lines == list(range(502))
    assert os.listdir(Path(exp.repository.location.lumo_dir, "tmp")) == []
    fsck(place)


def test_what_a_full_disk_never_took_is_said_at_the_end(repo, git, small_disk):
    git("config", "lumo.infoRoot", small_disk / "info")
    exp = Experiment("digits").start()
    fill(small_disk)
    with warnings.catch_warnings(record=True, action="always") as said:
        for i in range(300):
            exp.log({"n": i})
        exp.end()
    assert exp.state == "finished"
    assert len(said) == 2
    assert re.search(r"\d+ .*lost|not .*(published|recorded)", str(said[-1].message))
    with pytest.raises(LumoError, match="ended"):
        exp.log({"n": 1})


@pytest.mark.parametrize("said", ["report", "warning"])
def test_a_full_standard_error_does_not_change_how_a_training_exits(repo, said):
    """Python ends with status 120 where something is left in that one's buffer."""
    script = (
        "import gitlumo, os\n"
        "exp = gitlumo.SimpleExperiment('digits').start()\n"
        f"if {said == 'warning'}: exp.ledger.publish = None\n"
        "exp.end()\n"
    )
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", script], stderr=full, env=env, check=False)
    assert done.returncode == 0
