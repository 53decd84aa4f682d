"""``git lumo run``: any command, its words, its ways to end, where it may stand."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PYTHON = sys.executable
ECHO = "import json, os, sys; print(json.dumps([list(os.fsencode(word)) for word in sys.argv[1:]]))"
ODD = ["two words", "'", '"', "a\nb", "$HOME", "`id`", "*", "", "\\", "ä", "--", "-n", "\t", os.fsdecode(b"\xff\xfe")]


def test_words_arrive_as_they_are_and_are_recorded(repo, lumo_run, runs):
    done = lumo_run(PYTHON, "-c", ECHO, *ODD)
    assert [os.fsdecode(bytes(word)) for word in json.loads(done.stdout)] == ODD
    (run,) = runs().values()
    words = run.info["pinfo"]["obj"]["argv"]
    told = [base64.b64decode(word["$bytes"]) if isinstance(word, dict) else word.encode() for word in words[3:]]
    assert told == [os.fsencode(word) for word in ODD]


def test_a_run(repo, lumo_run, runs, fsck, tree_state, nothing_left):
    (repo / "new.txt").write_text("untracked\n")
    before = tree_state(repo)
    done = lumo_run(
        *("sh", "-c", "echo out; echo err >&2; exit 3"),
        options=[
            "-n",
            "digits",
            "--set",
            "lr=0.1",
            "--set",
            "net.depth=3",
            "--tag",
            "+a",
            "--tag",
            "b",
            "--note",
            "x\ny",
        ],
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
    run = runs()["digits"]
    assert (run.files["text/stdout.txt"], run.files["text/stderr.txt"]) == (b"out\n", b"err\n")
    assert run.info["params"] == {"lr": 0.1, "net": {"depth": 3}}
    assert (run.info["tags"], run.files["note.md"]) == (["a", "b"], b"x\ny")
    assert (run.info["progress"]["finished"], run.end_code) == (False, 3)
    assert {"seconds", "cpu_user", "cpu_system", "peak_memory"} == run.info["usage"].keys()
    assert run.info["git"]["dirty"] is True
    fsck(repo)
    nothing_left()
    assert tree_state(repo) == before


STATUSES = """
import sys
from gitlumo.rerun import streams
for status in range(256):
    ended = streams.run(["sh", "-c", f"exit {status}"], {}, lambda name, data: None, lambda: None)
    assert ended.status == status, (status, ended)
for number in map(int, sys.argv[1].split(",")):
    ended = streams.run(["sh", "-c", f"ulimit -c 0; kill -{number} $$"], {}, lambda name, data: None, lambda: None)
    assert ended.status == -number, (number, ended)
"""
DEADLY = ("HUP", "INT", "QUIT", "ILL", "ABRT", "FPE", "KILL", "SEGV", "PIPE", "ALRM", "TERM", "USR1", "USR2", "XFSZ")


def test_every_status_and_every_deadly_signal_is_seen():
    numbers = ",".join(str(int(getattr(signal, f"SIG{name}"))) for name in DEADLY)
    subprocess.run([PYTHON, "-c", STATUSES, numbers], check=True, timeout=60)


@pytest.mark.parametrize("status", [0, 1, 126, 128, 137, 255])
def test_the_status_is_passed_on(repo, lumo_run, runs, status):
    assert lumo_run("sh", "-c", f"exit {status}").returncode == status
    run = runs()["sh"]
    assert (run.end_code, run.info["progress"]["finished"]) == (status, status == 0)


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT", "KILL", "SEGV", "PIPE"])
def test_death_by_a_signal_is_passed_on(repo, lumo_run, runs, name, nothing_left):
    number = int(getattr(signal, f"SIG{name}"))
    done = lumo_run("sh", "-c", f"ulimit -c 0; echo before; kill -{number} $$", options=["-n", "dies"])
    assert (done.returncode, done.stdout) == (-number, b"before\n")
    run = runs()["dies"]
    assert (run.end_code, run.info["usage"]["signal"]) == (128 + number, f"SIG{name}")
    assert bool(run.info["progress"]["killed"]) == (name == "KILL")
    assert run.files["text/stdout.txt"] == b"before\n"
    nothing_left()


def test_below_git_a_death_by_a_signal_is_a_status(repo):
    done = subprocess.run(["git", "lumo", "run", "-q", "--", "sh", "-c", "kill -TERM $$"], check=False)
    assert done.returncode == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("make", "status", "said"),
    [
        (None, 127, "there is no command './cmd'"),
        (("echo hi\n", 0o644), 126, "not executable"),
        (("#!/nonexistent/interpreter\n", 0o755), 127, "No such file or directory"),
    ],
)
def test_a_command_that_cannot_run(repo, lumo_run, runs, make, status, said, nothing_left):
    if make:
        Path("cmd").write_text(make[0])
        Path("cmd").chmod(make[1])
    done = lumo_run("./cmd", options=["-n", "d"])
    assert done.returncode == status
    assert said in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()
    assert [run.end_code for run in runs().values()] == [status] * ("interpreter" in str(make))
    if runs():
        nothing_left()


@pytest.mark.parametrize("word", ["./tool", "tool"])
def test_a_script_without_a_first_line(repo, tmp_path, lumo_run, word):
    place = repo if "/" in word else tmp_path / "bin"
    place.mkdir(exist_ok=True)
    (place / "tool").write_text('echo "$1"; exit 5\n')
    (place / "tool").chmod(0o755)
    done = lumo_run(word, "a b", env={"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"})
    assert (done.returncode, done.stdout) == (5, b"a b\n")


def test_the_words_of_the_verb(repo):
    done = subprocess.run(["git-lumo", "run", "--", "--", "x"], capture_output=True, check=False)
    assert done.returncode == 127
    for words in (["run"], ["run", "--"], ["run", "--set", "x", "--", "true"], ["run", "--metric", "(", "--", "true"]):
        done = subprocess.run(["git-lumo", *words], capture_output=True, check=False)
        assert done.returncode == 129, words
        assert b"Traceback" not in done.stderr
    assert not Path(".git/lumo/open").exists()


def test_what_the_command_is_given(repo, lumo_run):
    done = lumo_run("sh", "-c", 'cat; echo "$X $LUMO_EXP_RUNNER ${LUMO_METRICS:+file}"', input=b"in\n", env={"X": "y"})
    assert done.stdout == b"in\ny 0 file\n"


def test_the_memory_of_the_command_not_ours(repo, lumo_run, runs):
    lumo_run("true", options=["-n", "small"])
    lumo_run(PYTHON, "-c", "data = b'x' * 200_000_000", options=["-n", "large"])
    peaks = {name: run.info["usage"]["peak_memory"] for name, run in runs().items()}
    assert peaks["small"] is None
    assert 200_000_000 < peaks["large"] < 300_000_000


INHERITED = """
import os, signal, sys
mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
fds = sorted(int(fd) for fd in os.listdir('/proc/self/fd'))[:-1]
print(sorted(map(int, mask)), signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, fds, os.getpgrp() == int(sys.argv[1]))
"""


def test_the_command_inherits_what_it_would_without_us(repo, lumo_run):
    done = lumo_run(PYTHON, "-c", INHERITED, str(os.getpgrp()))
    assert done.stdout == b"[] True [0, 1, 2] True\n"


def test_an_ignored_sigchld_does_not_eat_the_status(repo, runs):
    words = ["env", "--ignore-signal=CHLD", "git-lumo", "run", "-q", "--", "sh", "-c", "exit 7"]
    assert subprocess.run(words, check=False, timeout=60).returncode == 7
    assert runs()["sh"].end_code == 7


# ---------------------------------------------------------------------------------------------- where it may stand


def test_outside_a_repository(tmp_path, lumo_run):
    done = lumo_run("touch", "ran")
    assert (done.returncode, Path("ran").exists()) == (128, False)
    assert b"git init" in done.stderr


@pytest.mark.parametrize("env", [{"LUMO_DISABLED": "1"}, {"RANK": "1"}])
def test_silent_runs_write_nothing(tmp_path, lumo_run, env):
    done = lumo_run("sh", "-c", "echo out; exit 4", env=env)
    assert (done.returncode, done.stdout, os.listdir(tmp_path)) == (4, b"out\n", [])


def test_without_commits(empty_repo, lumo_run, runs):
    Path("a.sh").write_text("echo hi\n")
    assert lumo_run("sh", "a.sh").returncode == 0
    assert runs()["a"].files["text/stdout.txt"] == b"hi\n"


def test_in_a_bare_repository(repo, git, tmp_path, lumo_run, runs):
    git("clone", "--quiet", "--bare", repo, tmp_path / "bare")
    assert lumo_run("sh", "-c", "exit 2", cwd=tmp_path / "bare").returncode == 2
    assert runs(tmp_path / "bare")["sh"].end_code == 2


def test_below_the_root(repo, lumo_run, runs):
    Path("a/b").mkdir(parents=True)
    assert lumo_run("sh", "-c", "pwd; cd /", cwd="a/b").stdout.endswith(b"/a/b\n")
    assert runs()["sh"].info["execute"]["cwd"] == "a/b"


def test_a_command_that_deletes_its_folder(repo, lumo_run, runs, nothing_left):
    Path("here").mkdir()
    done = lumo_run("sh", "-c", "rmdir ../here; echo gone; exit 6", cwd="here")
    assert (done.returncode, done.stdout, done.stderr) == (6, b"gone\n", b"")
    assert runs()["sh"].end_code == 6
    nothing_left()


def test_a_command_that_deletes_what_is_recorded(repo, lumo_run, runs, fsck, nothing_left):
    done = lumo_run("sh", "-c", "echo before; rm -rf .git/lumo; echo after; exit 6")
    assert (done.returncode, done.stdout) == (6, b"before\nafter\n")
    assert b"fatal" not in done.stderr
    assert runs()["sh"].end_code == 6
    fsck(repo)
    nothing_left()


def test_a_script_that_deletes_what_is_recorded(repo, script, lumo_run, runs, fsck, nothing_left):
    """It had given the run its name: what it has published of it stays."""
    text = """
exp = gitlumo.start('digits')
exp.log({'n': 1})
exp.checkpoint()
subprocess.run(['rm', '-rf', '.git/lumo'], check=True)
os._exit(5)
"""
    done = lumo_run(PYTHON, script(text))
    assert done.returncode == 5
    assert b"fatal" not in done.stderr
    (run,) = runs().values()
    assert (run.exp_name, run.end_code, run.values("n")) == ("digits", 5, [1])
    fsck(repo)
    nothing_left()


def test_a_folder_for_metrics_that_cannot_be_made(repo, lumo_run, runs):
    Path(".git/lumo").mkdir()
    Path(".git/lumo/metrics").write_text("a file\n")
    done = lumo_run("sh", "-c", 'echo "{}" >>"$LUMO_METRICS"; echo ran; exit 6')
    assert (done.returncode, done.stdout) == (6, b"ran\n")
    assert b"warning: sh/" in done.stderr
    assert b"LumoWarning" not in done.stderr
    assert runs()["sh"].info["hooks"]["Metrics"]["loaded"] is False


def test_a_daemon_that_is_left_is_waited_for_as_by_a_pipe(repo, lumo_run, runs):
    done = lumo_run("sh", "-c", "(sleep .5; echo late) & echo early; exit 3")
    assert (done.returncode, done.stdout) == (3, b"early\nlate\n")
    assert runs()["sh"].files["text/stdout.txt"] == b"early\nlate\n"
    assert runs()["sh"].info["usage"]["seconds"] < 0.5  # the command's own


def test_a_run_in_a_run_is_its_own(repo, lumo_run, runs, nothing_left):
    inner = ["git-lumo", "run", "-q", "-n", "inner", "--", "sh", "-c", "echo inner; exit 4"]
    assert lumo_run(*inner, options=["-n", "outer"]).returncode == 4
    assert {name: run.end_code for name, run in runs().items()} == {"inner": 4, "outer": 4}
    assert runs()["outer"].files["text/stdout.txt"] == b"inner\n"
    nothing_left()
