"""git's habits: where the command is found, what it obeys, how it ends."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time

import pytest


def test_help_offers_only_what_there_is(lumo, repo):
    offered = [line.split()[0] for line in lumo("-h").out.splitlines() if line.startswith("   ")]
    assert offered
    for verb in offered:
        assert lumo(verb, "-h").status == 0


WRONG_USAGE = [
    (["lgo"], "did you mean 'git lumo log'?"),
    (["frobnicate"], "git lumo -h"),
    (["log", "-n", "x"], "'x' is not a number"),
    (["log", "-n", "some"], "not a number"),
    (["log", "--oneline", "--json"], "not allowed with"),
    (["log", "--nosuch"], "unrecognized arguments: --nosuch"),
    (["show", "@", "--history"], "--json"),
    (["show", "@:note.md", "--json"], "prints a file"),
]


@pytest.mark.parametrize(("words", "said"), WRONG_USAGE, ids=[" ".join(words) for words, _ in WRONG_USAGE])
def test_wrong_usage_ends_with_129(lumo, ledger, words, said):
    done = lumo(*words)
    assert done.status == 129
    assert done.err.startswith("fatal: ")
    assert said in done.err
    assert "Traceback" not in done.err


IMPOSSIBLE = [
    (["show", "nosuch"], ["no run is called 'nosuch'", "git lumo log"]),
    (["show", "@~7"], ["there are 3 runs", "@~2"]),
    (["show", "@", "--metric", "f1"], ["no metric 'f1'", "acc"]),
    (["show", "first:nosuch.txt"], ["no file 'nosuch.txt'", "git lumo show first:"]),
    (["recover", "--force", "first"], ["is finished, not running"]),
]


@pytest.mark.parametrize(("words", "said"), IMPOSSIBLE, ids=[" ".join(words) for words, _ in IMPOSSIBLE])
def test_what_cannot_be_done_ends_with_128(lumo, ledger, words, said):
    done = lumo(*words)
    assert done.status == 128
    assert done.err.startswith("fatal: ")
    assert [part for part in said if part not in done.err] == []
    assert "Traceback" not in done.err


def test_outside_a_repository(lumo, tmp_path):
    done = lumo("log", cwd=tmp_path)
    assert done.status == 128
    assert "not a git repository" in done.err
    assert "git init" in done.err


def test_a_wrong_setting(lumo, ledger):
    done = lumo("log", git=("-c", "lumo.hostname=loud"))
    assert done.status == 129
    assert "lumo.hostname" in done.err


@pytest.mark.parametrize(
    ("words", "status"),
    [(["show", "nosuch", "--debug"], 128), (["--debug", "show", "nosuch"], 128), (["log", "--debug", "--nosuch"], 129)],
)
def test_debug_shows_the_traceback_and_ends_the_same(lumo, repo, words, status):
    done = lumo(*words)
    assert done.status == status
    assert done.err.startswith("Traceback")
    assert "fatal: " in done.err
    assert lumo(*(word for word in words if word != "--debug")).err in done.err


def test_a_fault_of_ours(ledger):
    """Whatever goes wrong: one line, and 'git lumo --debug' shows where."""
    code = (
        "import sys, gitlumo.cli.log\ndef broken(args): raise ZeroDivisionError('by 0')\n"
        "gitlumo.cli.log.run = broken\nfrom gitlumo.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    for words, first in (["log"], "fatal: ZeroDivisionError: by 0"), (["log", "--debug"], "Traceback"):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 128
        assert done.stderr.startswith(first)
        assert "this is a fault of gitlumo" in done.stderr


def test_it_obeys_git(lumo, ledger, tmp_path, git):
    names = lumo("log", "--oneline").out
    assert names.count("\n") == 3
    assert lumo("log", "--oneline", git=("-C", ledger), cwd=tmp_path).out == names
    assert lumo("-C", ledger, "log", "--oneline", direct=True, cwd=tmp_path).out == names
    assert lumo("log", "--oneline", git=("--git-dir", ledger / ".git"), cwd=tmp_path).out == names
    assert lumo("log", "--oneline", cwd=tmp_path, env={"GIT_DIR": str(ledger / ".git")}).out == names
    inside = ledger / "deep" / "er"
    inside.mkdir(parents=True)
    assert lumo("log", "--oneline", cwd=inside).out == names
    git("branch", "other", "lumo_experiments")
    assert lumo("log", "--oneline", git=("-c", "lumo.branch=other")).out == names


def test_python_m(ledger):
    done = subprocess.run([sys.executable, "-m", "gitlumo", "log", "--oneline"], capture_output=True, text=True)
    assert (done.returncode, done.stdout.count("\n")) == (0, 3)


def test_a_closed_pipe_is_no_error(ledger):
    import gitlumo

    for number in range(40):  # more than a pipe holds: --json writes about 2 KB a run
        with gitlumo.Experiment("many", f"run-{number}") as exp:
            exp.dump_info("params", {"text": "x" * 4000})
    with subprocess.Popen(
        ["git-lumo", "log", "-n0", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as shown:
        shown.stdout.read(10)
        shown.stdout.close()
        assert shown.stderr.read() == b""
    assert shown.returncode == 141


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_what_is_written_is_whole_or_an_error(ledger, unbuffered):
    """With PYTHONUNBUFFERED standard output is a raw file, which may take a part only."""
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    words = ("board", "--html", "-")
    whole = subprocess.run(["git-lumo", *words], capture_output=True, check=True, env=env).stdout
    assert whole.endswith(b"</html>\n")
    for command, enough in ((words, 10), (("log", "-n0", "--json"), 1)):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(["git-lumo", *command], stdout=full, stderr=subprocess.PIPE, env=env, check=False)
        assert (done.returncode, done.stderr) == (128, b"fatal: No space left on device\n")
        with subprocess.Popen(["git-lumo", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as shown:
            shown.stdout.read(enough)
            if command[0] == "board":  # more than a pipe holds
                shown.stdout.close()
                assert shown.wait(20) == 141
            assert shown.stderr.read() == b""


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_a_closed_stream_is_the_null_device(ledger, closed):
    for words, status in (("log", 0), ("show nosuch", 128), ("note @ -m x", 0), ("log --watch -x", 129)):
        done = subprocess.run(["sh", "-c", f"git-lumo {words} {closed}"], capture_output=True, text=True, check=False)
        assert done.returncode == status
        assert "fault of gitlumo" not in done.stderr
        assert "fatal" not in done.stdout


def test_ctrl_c_ends_with_130(ledger):
    """A pager that never reads blocks the writer; Ctrl-C then ends it without a traceback."""
    with subprocess.Popen(
        [sys.executable, "-c", "import gitlumo.cli.log, time\n"
         "gitlumo.cli.log.run = lambda args: time.sleep(60)\n"
         "import sys; from gitlumo.cli import main; print('ready', flush=True); sys.exit(main(['log']))"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as asked:  # fmt: skip
        assert asked.stdout.readline() == b"ready\n"
        time.sleep(0.2)
        asked.send_signal(signal.SIGINT)
        assert asked.wait(20) == 130
        assert asked.stderr.read() == b""


def on_a_terminal(command, env):
    """What a command writes on a terminal of 80 columns."""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(env)
        os.execvp(command[0], command)
    shown = b""
    while True:
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        shown += data
    os.close(fd)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), shown.decode()


def test_pager_and_colour_as_git_has_them(ledger):
    terminal = {"TERM": "xterm", "COLUMNS": "80"}
    status, shown = on_a_terminal(["git", "lumo", "log"], terminal | {"GIT_PAGER": "sed s/^/paged:/"})
    assert status == 0
    assert shown.count("paged:") == 4
    assert "\033[31mfailed\033[m" in shown
    assert max(len(line) for line in shown.replace("paged:", "").splitlines()) <= 80 + len("\033[31m\033[m")
    _, plain = on_a_terminal(["git", "-c", "color.ui=never", "--no-pager", "lumo", "log"], terminal)
    assert "\033" not in plain
    assert "paged" not in plain


def test_what_is_recorded_cannot_steer_the_terminal(repo, lumo):
    import gitlumo

    evil = "\033]0;owned\007\033[2J\u202e"
    with gitlumo.Experiment("digits", "evil") as exp:
        exp.dump_info("params", {f"key{evil}": f"value{evil}"})
        exp.dump_note(f"note{evil}")
        exp.log({f"metric{evil}": 1})
    for words in (["log"], ["log", "--oneline"], ["show", "@"], ["show", "@", "--metric", f"metric{evil}"]):
        out = lumo(*words).out
        assert "metric" in out
        assert not set(evil) & set("\033\007\u202e") & set(out)


def test_ctrl_c_while_the_command_is_being_imported():
    code = """
import sys
class Pressed:
    def find_spec(self, name, path=None, target=None):
        if name == "gitlumo.cli.command":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Pressed())
from gitlumo.cli import main
sys.exit(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "")
