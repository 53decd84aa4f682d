"""``git lumo rerun``: the recorded code runs again, and both runs know each other."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

TRAIN = """\
import argparse
import gitlumo
import helper

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--fail", default="")
args = parser.parse_args()
with gitlumo.SimpleExperiment("digits") as exp:
    exp.dump_info("params", {"lr": args.lr, "seed": args.seed})
    print(helper.WORD)
    exp.dump_string("word", helper.WORD)
    exp.log({"loss": args.lr / args.seed}, step=1)
    if args.fail:
        raise SystemExit(int(args.fail))
"""


@pytest.fixture
def digits(repo, git):
    """A repository whose training is neither committed nor, in part, tracked; it has run once as it was."""
    (repo / "train.py").write_text(TRAIN)
    (repo / "helper.py").write_text("WORD = 'old code'\n")
    train(repo, "--lr", "0.5")
    return repo


def train(folder, *args, env=None):
    command = [sys.executable, "train.py", *args]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, **(env or {})})
    return done.returncode


def shown(lumo, exp, **more):
    return json.loads(lumo("show", exp, "--json", direct=True, **more).out)


def listed(lumo, **more):
    return json.loads(lumo("log", "--json", direct=True, **more).out)


def test_the_recorded_code_runs_and_both_runs_know_each_other(digits, lumo, tree_state, fsck):
    (digits / "helper.py").write_text("WORD = 'newer code'\n")
    train(digits)
    before = tree_state(digits)
    done = lumo("rerun", "@~1", "--seed", "7", direct=True)
    assert (done.status, done.out) == (0, "old code\n"), done.err
    assert tree_state(digits) == before
    new, _, old = (shown(lumo, exp) for exp in ("@", "@~1", "@~2"))
    assert new["params"] == {"lr": 0.5, "seed": 7}
    assert new["git"]["commit"] == old["git"]["commit"]
    assert new["rerun"] == {"from": old["uid"], "repeat": 1, "seed": 7, "changes": {"seed": "7"}}
    assert old["rerun"]["rerun_at"] == [new["uid"]]
    assert new["execute"]["cwd"] == "."
    assert f"rerun of  digits/{old['test_name']}" in lumo("show", "@").out
    assert f"rerun as  digits/{new['test_name']}" in lumo("show", "@~2").out
    graph = lumo("log", "--graph", "--oneline").out.splitlines()
    assert [line[:4] for line in graph] == ["* di", "| * ", "* di"]
    fsck(digits)


def test_another_clone_does_the_same_on_another_path(digits, lumo, git, tmp_path, fsck):
    clone = tmp_path / "elsewhere" / "clone"
    git("clone", "--quiet", digits, clone)
    shutil.rmtree(digits / ".git" / "lumo")
    done = lumo("rerun", "@", "lr=0.25", cwd=clone, direct=True)
    assert (done.status, done.out) == (0, "old code\n"), done.err
    new, old = (shown(lumo, exp, cwd=clone) for exp in ("@", "@~1"))
    assert new["params"] == {"lr": 0.25, "seed": 1}
    assert (new["rerun"]["from"], old["rerun"]["rerun_at"]) == (old["uid"], [new["uid"]])
    git("fetch", "--quiet", clone, "lumo_experiments:lumo_experiments", cwd=digits)
    assert shown(lumo, "@")["uid"] == new["uid"]
    fsck(clone)


@pytest.mark.parametrize(
    ("asked", "command"),
    [
        (["lr=0.3"], "train.py --lr 0.3"),
        (["seed=3"], "train.py --lr 0.5 --seed 3"),
        (["argv[3]=0.4"], "train.py --lr 0.4"),
    ],
)
def test_parameters_are_replaced_where_they_came_from(digits, lumo, asked, command):
    done = lumo("rerun", "@", *asked, direct=True)
    assert done.status == 0, done.err
    assert shown(lumo, "@")["execute"]["exec_argv"] == command.split()


def test_a_parameter_that_is_not_taken_ends_with_1(digits, lumo):
    (digits / "train.py").write_text(TRAIN.replace('"lr": args.lr', '"lr": 0.9'))
    train(digits, "--lr", "0.9")
    done = lumo("rerun", "@", "lr=0.3", direct=True)
    assert done.status == 1
    assert "warning: lr = 0.3 was asked for; the run recorded lr = 0.9" in done.err


def test_a_pure_repeat_is_said(digits, lumo):
    done = lumo("rerun", "@", direct=True)
    assert (done.status, "pure repeat" in done.err) == (0, True)
    assert "pure repeat" in lumo("rerun", "@", "--seed", "1", "-n", direct=True).err
    assert "pure repeat" not in lumo("rerun", "@", "--seed", "2", "-n", direct=True).err


def test_repeats_have_seeds_of_their_own(digits, lumo):
    assert lumo("rerun", "@", "--repeat", "3", direct=True).status == 0
    runs = listed(lumo)[:3]
    assert len({run["params"]["seed"] for run in runs} | {1}) == 4
    assert [run["rerun"]["repeat"] for run in reversed(runs)] == [1, 2, 3]
    assert all(run["rerun"]["seed"] == run["params"]["seed"] for run in runs)
    assert lumo("rerun", "@~3", "--repeat", "2", "--seed", "40", direct=True).status == 0
    assert [run["params"]["seed"] for run in listed(lumo)[:2]] == [41, 40]


def test_a_rerun_of_a_rerun(digits, lumo):
    assert lumo("rerun", "@", "lr=0.3", direct=True).status == 0
    assert lumo("rerun", "@", "seed=5", direct=True).status == 0
    newest, middle = (shown(lumo, exp) for exp in ("@", "@~1"))
    assert newest["params"] == {"lr": 0.3, "seed": 5}
    assert newest["rerun"]["from"] == middle["uid"]


def test_dry_run_says_what_would_run(digits, lumo, tree_state):
    before = tree_state(digits), listed(lumo)
    done = lumo("rerun", "@", "lr=0.3", "--dry-run", direct=True)
    assert (done.status, done.out) == (0, "")
    assert "train.py --lr 0.3" in done.err
    assert "lr = 0.3 (was 0.5)" in done.err
    assert (tree_state(digits), listed(lumo)) == before


def test_here_runs_the_code_of_today(digits, lumo):
    (digits / "helper.py").write_text("WORD = 'newer code'\n")
    done = lumo("rerun", "@", "--here", direct=True)
    assert (done.status, done.out) == (0, "newer code\n")
    new, old = (shown(lumo, exp) for exp in ("@", "@~1"))
    assert new["rerun"]["from"] == old["uid"]
    assert new["git"]["commit"] != old["git"]["commit"]


def test_a_folder_below_the_root_and_a_script_named_absolutely(digits, lumo, git):
    (digits / "sub").mkdir()
    (digits / "sub" / "data.txt").write_text("1")
    script = digits / "train.py"
    done = subprocess.run([sys.executable, str(script), "--lr", "0.7"], cwd=digits / "sub", capture_output=True)
    assert done.returncode == 0
    (digits / "helper.py").write_text("WORD = 'newer code'\n")
    done = lumo("rerun", "@", "seed=2", direct=True)
    assert (done.status, done.out) == (0, "old code\n"), done.err
    assert shown(lumo, "@")["execute"]["cwd"] == "sub"


def test_an_installed_project_is_imported_from_the_recorded_code(digits, lumo, tmp_path):
    site = tmp_path / "site-packages"
    (site / "project-1.0.dist-info").mkdir(parents=True)
    told = {"url": (digits / "lib").as_uri(), "dir_info": {"editable": True}}
    (site / "project-1.0.dist-info" / "direct_url.json").write_text(json.dumps(told))
    (site / "project.pth").write_text(str(digits / "lib"))
    (digits / "lib").mkdir()
    (digits / "lib" / "helper.py").write_text("WORD = 'old library'\n")
    (digits / "helper.py").unlink()
    env = {"PYTHONPATH": os.pathsep.join([str(site), str(digits / "lib")])}
    assert train(digits, env=env) == 0
    (digits / "lib" / "helper.py").write_text("WORD = 'new library'\n")
    done = lumo("rerun", "@", "lr=0.2", env=env, direct=True)
    assert (done.status, done.out) == (0, "old library\n"), done.err
    assert "imports come from the recorded lib/" in done.err


def test_recorded_variables_are_set_again(digits, lumo, git):
    git("config", "lumo.env", "TASK HF_TOKEN")
    (digits / "helper.py").write_text(
        "import os\nWORD = os.environ.get('TASK', '-') + os.environ.get('HF_TOKEN', '-')\n"
    )
    assert train(digits, env={"TASK": "seven", "HF_TOKEN": "hf_" + "a" * 34}) == 0
    assert lumo("rerun", "@", "lr=1", direct=True).out == "seven-\n"


def test_secrets_are_asked_for_and_never_run_masked(digits, lumo):
    (digits / "train.py").write_text(TRAIN.replace('"--fail"', '"--api-key"').replace("args.fail", "''"))
    token = "s3cr3t-word"
    assert train(digits, "--api-key", token) == 0
    count = len(listed(lumo))
    done = lumo("rerun", "@", direct=True)
    assert done.status == 128
    assert "api-key" in done.err
    assert len(listed(lumo)) == count
    done = lumo("rerun", "@", "api-key=another", direct=True)
    assert done.status == 0, done.err
    assert "another" not in json.dumps(shown(lumo, "@"))


def test_the_environment_difference(digits, lumo):
    done = lumo("rerun", "@", "--strict", "lr=1", direct=True)
    assert done.status == 0, done.err
    assert "git-ignored files" in done.err
    site = digits.parent / "more"
    (site / "numpy-0.0.1.dist-info").mkdir(parents=True)
    env = {"PYTHONPATH": str(site)}
    done = lumo("rerun", "@", "lr=1", env=env, direct=True)
    assert (done.status, "differs   other version: numpy" in done.err) == (0, True), done.err
    count = len(listed(lumo))
    done = lumo("rerun", "@~1", "--strict", "lr=1", env=env, direct=True)
    assert (done.status, "--strict" in done.err, len(listed(lumo))) == (128, True, count)


def test_links_bring_what_was_left_out(digits, lumo, git, tree_state):
    (digits / ".gitignore").write_text("data/\n__pycache__/\n")
    (digits / "data").mkdir()
    (digits / "data" / "word").write_text("data")
    (digits / "helper.py").write_text("WORD = open('data/word').read()\n")
    assert train(digits) == 0
    assert lumo("rerun", "@", "lr=1", direct=True).status == 1
    before = tree_state(digits)
    done = lumo("rerun", "@~1", "lr=2", "--link", "data", direct=True)
    assert (done.status, done.out) == (0, "data\n"), done.err
    assert tree_state(digits) == before
    assert shown(lumo, "@")["git"]["commit"] == shown(lumo, "@~2")["git"]["commit"]


def test_what_cannot_run_again_says_why(digits, lumo, tmp_path):
    code = "import gitlumo; gitlumo.start('typed').end()"
    subprocess.run([sys.executable], input=code, text=True, cwd=digits, capture_output=True, check=True)
    done = lumo("rerun", "@", direct=True)
    assert (done.status, "standard input" in done.err) == (128, True)
    outside = tmp_path / "outside.py"
    outside.write_text(code)
    subprocess.run([sys.executable, str(outside)], cwd=digits, capture_output=True, check=True)
    done = lumo("rerun", "@", direct=True)
    assert (done.status, "is not in the repository, so it runs as it is now" in done.err) == (0, True), done.err
    outside.unlink()
    done = lumo("rerun", "@", direct=True)
    assert (done.status, "is not here" in done.err) == (128, True)
    subprocess.run([sys.executable, "-c", code], cwd=digits, capture_output=True, check=True)
    assert lumo("rerun", "@", direct=True).status == 0


def test_another_python_where_the_recorded_one_is_gone(digits, lumo, tmp_path):
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    (tmp_path / "venv" / "pyvenv.cfg").write_text(f"home = {os.path.dirname(os.path.realpath(sys.executable))}\n")
    env = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([str(python), "train.py"], cwd=digits, env={**os.environ, **env}, capture_output=True)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(tmp_path / "venv")
    done = lumo("rerun", "@", "lr=1", direct=True)
    assert (done.status, "which it ran, is not here" in done.err) == (0, True), done.err


def test_a_running_one_is_asked_about(digits, lumo):
    (digits / "slow.py").write_text(
        "import gitlumo, time\ngitlumo.start('slow')\nprint('on', flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "slow.py"], cwd=digits, stdout=subprocess.PIPE) as slow:
        assert slow.stdout.readline() == b"on\n"
        done = lumo("rerun", "@", direct=True)
        assert (done.status, "--yes" in done.err) == (128, True)
        slow.kill()


def test_words_are_words(digits, lumo):
    (digits / "words.py").write_text("import sys, gitlumo\nprint(ascii(sys.argv[1:]))\ngitlumo.start('words').end()\n")
    words = ["a b", "it's", '"', "$HOME", "new\nline", "*", "", os.fsdecode(b"\xff\xfe"), "--", "~x"]
    done = subprocess.run([sys.executable, "words.py", *words], cwd=digits, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    again = lumo("rerun", "@", direct=True)
    assert (again.status, again.out) == (0, done.stdout), again.err


def test_two_at_once_in_work_trees_of_their_own(digits, lumo, fsck):
    (digits / "helper.py").write_text("import time, os\ntime.sleep(1)\nWORD = os.getcwd()\n")
    assert train(digits) == 0
    name = shown(lumo, "@")["test_name"]
    command = ["git-lumo", "rerun", name, "-q", "lr=2"]  # @ would be the one that the other has begun
    both = [subprocess.Popen(command, cwd=digits, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = {process.communicate()[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(said) == 2
    fsck(digits)


def test_two_that_redo_the_same_runs_redo_each_once(digits, lumo):
    for _ in range(3):
        train(digits, "--fail", "3")
    command = ["git-lumo", "rerun", "--where", "state = failed", "fail="]
    both = [subprocess.Popen(command, cwd=digits, stderr=subprocess.DEVNULL) for _ in range(2)]
    for process in both:
        process.wait()
    reruns = [run["rerun"]["from"] for run in listed(lumo) if (run["rerun"] or {}).get("from")]
    assert len(reruns) == len(set(reruns)) == 3


def test_a_repetition_that_is_killed_does_not_end_the_others(repo, lumo):
    dies = "import os, signal\nif os.environ['LUMO_SEED'] == '8':\n    os.kill(os.getpid(), signal.%s)\n"
    for name, count in (("SIGKILL", 3), ("SIGTERM", 2)):
        (repo / "dies.py").write_text("import os\nos.environ.setdefault('LUMO_SEED', '1')\n" + dies % name)
        assert lumo("run", "-n", name, "--", sys.executable, "dies.py", direct=True).status == 0
        done = lumo("rerun", "@", "--repeat", "3", "--seed", "7", direct=True)
        assert done.status == -getattr(signal, name), done.err
        runs = [run for run in listed(lumo) if run["exp_name"] == name and (run["rerun"] or {}).get("from")]
        assert [run["rerun"]["seed"] for run in reversed(runs)] == [7, 8, 9][:count]


def test_where_nothing_is_recorded_no_change_is_missed(digits, lumo):
    done = lumo("rerun", "@", "lr=0.9", direct=True, env={"LUMO_DISABLED": "1"})
    assert (done.status, "warning" in done.err) == (0, False), done.err


GOES = """\
import os, sys
os.makedirs("out", exist_ok=True)
os.chdir("out")
import gitlumo
gitlumo.start("goes", params={"at": sys.argv[1]}).end()
print(os.path.basename(os.path.dirname(os.getcwd())))
"""


@pytest.mark.parametrize(
    "words", [["goes.py"], ["./sub/../goes.py"], ["../goes.py"], ["-m", "goes"], ["-m", "sub.goes"]]
)
def test_a_script_that_goes_elsewhere_before_it_starts(repo, lumo, words):
    (repo / "sub").mkdir()
    for place in (repo / "goes.py", repo / "sub" / "goes.py"):
        place.write_text(GOES)
    folder = repo / "sub" if words[0].startswith("../") else repo
    done = subprocess.run([sys.executable, *words, "x"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert shown(lumo, "@")["execute"]["cwd"] == os.path.relpath(folder, repo)
    again = lumo("rerun", "@", "at=y", direct=True)
    assert (again.status, again.out) == (0, done.stdout), again.err
    assert shown(lumo, "@")["params"] == {"at": "y"}


def test_a_run_that_recorded_where_it_had_gone_to(repo, lumo, monkeypatch):
    """As earlier versions did, and as is done where the program does not tell where it was started."""
    (repo / "goes.py").write_text(
        GOES.replace("import gitlumo", "import gitlumo.capture\ngitlumo.capture._started_in = lambda: None")
    )
    subprocess.run([sys.executable, "goes.py", "x"], check=True, capture_output=True)
    assert shown(lumo, "@")["execute"]["cwd"] == "out"
    assert lumo("rerun", "@", direct=True).status == 0


def test_launchers_that_start_several_processes(digits, lumo, tmp_path):
    """What a rank records is what the launcher was told, so that this runs again."""
    launcher = tmp_path / "torchrun"
    launcher.write_text(
        f"#!{sys.executable}\n"
        "import os, subprocess, sys\n"
        "ranks = [subprocess.Popen([sys.executable, *sys.argv[2:]], env={**os.environ, 'RANK': str(i)})"
        " for i in range(int(sys.argv[1]))]\n"
        "sys.exit(max(rank.wait() for rank in ranks))\n"
    )
    launcher.chmod(0o755)
    done = subprocess.run([str(launcher), "2", "train.py", "--lr", "0.5"], cwd=digits, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    count = len(listed(lumo))
    again = lumo("rerun", "@", "lr=0.25", direct=True)
    assert (again.status, again.out) == (0, "old code\nold code\n"), again.err
    assert len(listed(lumo)) == count + 1
    assert shown(lumo, "@")["params"]["lr"] == 0.25


def test_wrong_usage(digits, lumo):
    for words, status in (
        ([], 129),
        (["@", "lr"], 129),
        (["@", "lr=1", "lr=2"], 129),
        (["@", "--seed", "-1"], 129),
        (["@", "--seed", str(2**31)], 129),
        (["@", "--repeat", "0"], 129),
        (["@", "--here", "--link", "x"], 129),
        (["@", "-j", "2"], 129),
        (["@", "seed=1", "--seed", "2"], 129),
        (["nosuch"], 128),
        (["@", "--link", "nosuch"], 128),
        (["--where", "state ="], 129),
        (["--where", "nosuch = 1"], 129),
    ):
        count = len(listed(lumo))
        done = lumo("rerun", *words, direct=True)
        assert (done.status, done.out, "Traceback" in done.err) == (status, "", False), (words, done.err)
        assert done.err.startswith("fatal: "), (words, done.err)
        assert len(listed(lumo)) == count


# ------------------------------------------------------------------------------------------------- many at a time


def test_only_what_failed_runs_again_and_once(repo, lumo, fsck, tree_state):
    (repo / "scan.py").write_text(
        "import gitlumo, os, signal, sys, time\n"
        "lr = int(sys.argv[1])\n"
        "with gitlumo.SimpleExperiment('scan') as exp:\n"
        "    exp.dump_info('params', {'scan': 'ssl-2023', 'lr': lr})\n"
        "    time.sleep(float(os.environ.get('SLEEP', '0')))\n"
        "    if 'FAIL' in os.environ and lr in (3, 7):\n"
        "        raise MemoryError\n"
        "    if 'FAIL' in os.environ and lr == 11:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    exp.dump_metric('acc', lr / 12)\n"
    )
    for lr in range(12):
        subprocess.run(
            [sys.executable, "scan.py", str(lr)], cwd=repo, env={**os.environ, "FAIL": "1"}, capture_output=True
        )
    before = tree_state(repo)
    where = "scan = ssl-2023 and state in (failed, killed)"
    assert lumo("rerun", "--where", where, "--dry-run", direct=True).err.count("to run again") == 3
    command = ["git-lumo", "rerun", "--where", where]
    with subprocess.Popen(
        command, cwd=repo, env={**os.environ, "SLEEP": "3"}, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        until = time.monotonic() + 60
        while not _is_done(lumo, 1) and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)
        os.killpg(process.pid, 2)  # Ctrl-C
        out = process.communicate()[0].decode()
    assert process.returncode == 130
    assert "finished" in out
    finished = [run for run in listed(lumo) if run["rerun"].get("from") and run["state"] == "finished"]
    assert len(finished) == 1
    done = lumo("rerun", "--where", where, "-j", "2", direct=True)
    assert (done.status, done.err.count("to run again")) == (0, 2), done.err
    finished = [run for run in listed(lumo) if run["rerun"].get("from") and run["state"] == "finished"]
    assert sorted(run["params"]["lr"] for run in finished) == [3, 7, 11]
    done = lumo("rerun", "--where", where, direct=True)
    assert (done.status, "no run is to run again" in done.err) == (0, True)
    assert tree_state(repo) == before
    fsck(repo)


def _is_done(lumo, count):
    return sum(run["state"] == "finished" and bool(run["rerun"].get("from")) for run in listed(lumo)) >= count


def test_metrics_of_a_command_are_found_again(repo, lumo, git):
    (repo / "solve.sh").write_text("echo loss=$1\n")
    words = ["-n", "solver", "--set", "tol=1e-6", "--metric", r"loss=(?P<loss>\S+)", "--", "sh", "solve.sh", "0.5"]
    assert lumo("run", *words, direct=True).status == 0
    done = lumo("rerun", "@", "argv[2]=0.25", "tol=1e-3", direct=True)
    assert (done.status, done.out) == (0, "loss=0.25\n"), done.err
    run = shown(lumo, "@")
    assert (run["metrics"]["loss"]["best"], run["params"], run["exp_name"]) == (0.25, {"tol": 1e-3}, "solver")
