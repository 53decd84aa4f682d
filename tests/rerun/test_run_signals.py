"""Signals and terminals: what the command is sent, and what it sees, are as if nobody recorded it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest

PYTHON = sys.executable
LUMO = ["git-lumo", "run", "-q", "-n", "d", "--"]


class Terminal:
    """A real terminal with a session of its own, in which a command runs."""

    def __init__(self, *words, size=(50, 101)):
        self.said = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
                os.execvp(words[0], words)
            finally:
                os._exit(127)

    def read(self, until=None):
        """Read until something was said, or to the end."""
        deadline = time.monotonic() + 60
        while until is None or until not in self.said:
            assert select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0], self.said
            try:
                piece = os.read(self.fd, 65536)
            except OSError:
                piece = b""
            if not piece:
                assert until is None, self.said
                break
            self.said += piece
        return self.said

    def type(self, text):
        os.write(self.fd, text)

    def resize(self, *size):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))

    def wait(self):
        self.read()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def terminal():
    made = []

    def open_one(*words, **more):
        made.append(Terminal(*words, **more))
        return made[-1]

    yield open_one
    for one in made:
        with contextlib.suppress(OSError):
            os.killpg(one.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.waitpid(one.pid, 0)
        os.close(one.fd)


# --------------------------------------------------------------------------------------------------- terminals

SEES = """
import os
print([os.isatty(fd) for fd in (0, 1, 2)], os.get_terminal_size(1), os.get_terminal_size(2), flush=True)
"""


def test_a_terminal_is_a_terminal_of_the_same_size(repo, terminal, runs):
    tty = terminal(*LUMO, PYTHON, "-c", SEES)
    assert tty.wait() == 0
    size = "os.terminal_size(columns=101, lines=50)"
    assert tty.said == f"[True, True, True] {size} {size}\r\n".encode()
    assert runs()["d"].files["text/stdout.txt"] == tty.said.replace(b"\r\n", b"\n")


@pytest.mark.parametrize("redirect", ["2>err.log", ">out.log"])
def test_only_one_is_a_terminal(repo, terminal, runs, redirect):
    line = f"git-lumo run -q -n d -- sh -c 'test -t 1 && echo out; test -t 2 && echo err >&2; exit 3' {redirect}"
    tty = terminal("sh", "-c", line)
    assert tty.wait() == 3
    assert tty.said == (b"out\r\n" if redirect.startswith("2") else b"err\r\n")


RESIZED = """
import os, signal, sys, time
def show(*_): print(os.get_terminal_size(1).columns, flush=True)
show()
sys.stdin.readline()
for _ in range(600):
    if os.get_terminal_size(1).columns == 77: break
    time.sleep(.05)
show()
"""


def test_a_window_that_changes(repo, terminal):
    tty = terminal(*LUMO, PYTHON, "-c", RESIZED)
    tty.read(b"101\r\n")
    tty.resize(40, 77)
    tty.type(b"\n")
    assert tty.wait() == 0
    assert tty.said.endswith(b"77\r\n")


def test_what_is_typed_arrives(repo, terminal):
    tty = terminal(*LUMO, "sh", "-c", 'echo ready; read x; echo "<$x>"')
    tty.read(b"ready")
    tty.type(b"hello\n")
    assert tty.wait() == 0
    assert tty.said.endswith(b"hello\r\n<hello>\r\n")


def test_a_line_can_be_edited(repo, terminal):
    """By readline, which sets the modes of the terminal that it reads, and writes on the other one."""
    tty = terminal(*LUMO, PYTHON, "-c", "import readline; print(repr(input('> ')))")
    tty.read(b"> ")
    tty.type(b"ab\x7fc\x01x\r")
    assert tty.wait() == 0
    assert b"'xac'\r\n" in tty.said


def test_colours_and_bars_are_recorded_as_they_came(repo, terminal, runs):
    tty = terminal(*LUMO, "printf", "\\033[31m1%%\\r2%%\\rdone\\n")
    assert tty.wait() == 0
    assert tty.said == b"\x1b[31m1%\r2%\rdone\r\n"
    assert runs()["d"].files["text/stdout.txt"] == b"\x1b[31m1%\r2%\rdone\n"


def test_much_on_a_terminal(repo, terminal, runs):
    data = b"".join(b"epoch %d\n" % n for n in range(100_000))
    (repo / "data.log").write_bytes(data)
    tty = terminal(*LUMO, "cat", "data.log")
    assert tty.wait() == 0
    assert tty.said == data.replace(b"\n", b"\r\n")
    (whole,) = (path for path in (repo / ".git/lumo/blob").rglob("*") if path.is_file())
    assert whole.read_bytes() == data


COUNTS = """
import os, signal, sys, time
seen = []
def note(number, frame): seen.append(number)
for name in sys.argv[1:]: signal.signal(getattr(signal, name), note)
print('ready', flush=True)
until = time.monotonic() + 30
while not seen and time.monotonic() < until: time.sleep(.01)
time.sleep(.3)
print('seen', [signal.Signals(n).name for n in seen], flush=True)
"""


@pytest.mark.parametrize(("key", "name"), [(b"\x03", "SIGINT"), (b"\x1c", "SIGQUIT")])
def test_a_key_reaches_the_command_once(repo, terminal, runs, key, name):
    tty = terminal(*LUMO, PYTHON, "-c", COUNTS, name)
    tty.read(b"ready")
    tty.type(key)
    assert tty.wait() == 0
    assert f"seen ['{name}']".encode() in tty.said
    assert runs()["d"].end_code == 0


def test_ctrl_c(repo, terminal, runs, nothing_left):
    tty = terminal(*LUMO, "sh", "-c", "echo ready; exec sleep 60")
    tty.read(b"ready")
    tty.type(b"\x03")
    assert tty.wait() == -signal.SIGINT
    assert (runs()["d"].end_code, runs()["d"].info["usage"]["signal"]) == (130, "SIGINT")
    nothing_left()


def test_ctrl_z_and_fg(repo, terminal, runs):
    """In a shell with job control; the command stops with us, and goes on with us."""
    tty = terminal("env", "PS1=shell> ", "HISTFILE=", "bash", "--norc", "--noprofile", "-i")
    tty.read(b"shell> ")
    tty.type(b'git-lumo run -q -n d -- sh -c \'echo rea""dy; read x; echo "<$x>"\'\n')
    tty.read(b"ready\r\n")
    tty.said = b""
    tty.type(b"\x1a")
    tty.read(b"Stopped")
    tty.read(b"shell> ")  # else the next line is typed while the shell takes the terminal back
    tty.said = b""
    tty.type(b"jobs -p | wc -l; fg\n")
    tty.read(b"git-lumo run")
    tty.type(b"more\n")
    tty.read(b"<more>")
    tty.type(b"exit $?\n")
    assert tty.wait() == 0
    assert runs()["d"].end_code == 0


def test_a_terminal_that_goes_away(repo, terminal, runs, nothing_left):
    tty = terminal(*LUMO, "sh", "-c", "echo ready; sleep 60")
    tty.read(b"ready")
    os.close(tty.fd)
    tty.fd = os.open(os.devnull, os.O_RDONLY)
    assert os.waitstatus_to_exitcode(os.waitpid(tty.pid, 0)[1]) == -signal.SIGHUP
    assert runs()["d"].end_code == 129
    nothing_left()


# ------------------------------------------------------------------------------------------ signals from outside


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM"])
def test_a_signal_is_passed_on_once(repo, runs, name):
    with subprocess.Popen([*LUMO, PYTHON, "-c", COUNTS, name], stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(getattr(signal, name))
        assert child.stdout.read() == f"seen ['{name}']\n".encode()
    assert child.returncode == 0


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_signal_that_kills_the_command_kills_us(repo, runs, name, nothing_left):
    number = getattr(signal, name)
    with subprocess.Popen([*LUMO, "sh", "-c", "echo ready; exec sleep 60"], stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(number)
    assert child.returncode == -number
    assert runs()["d"].end_code == 128 + number
    nothing_left()


def ends(runs, code):
    until = time.monotonic() + 30
    while runs()["d"].end_code is None and time.monotonic() < until:
        time.sleep(0.05)
    return runs()["d"].end_code == code


def test_ctrl_c_below_git(repo, terminal, runs, nothing_left):
    """Git may be gone at once; the run is ended all the same."""
    tty = terminal("git", "lumo", *LUMO[1:], "sh", "-c", "echo ready; exec sleep 60")
    tty.read(b"ready")
    tty.type(b"\x03")
    assert tty.wait() == -signal.SIGINT
    assert ends(runs, 130)
    time.sleep(0.2)
    nothing_left()


def test_sigterm_below_git(repo, runs, nothing_left):
    words = ["git", "lumo", *LUMO[1:], "sh", "-c", "echo ready; exec sleep 60"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGTERM)
    assert child.returncode == -signal.SIGTERM
    assert ends(runs, 143)
    nothing_left()


def test_a_signal_ends_us_though_a_child_of_the_command_goes_on(repo, runs, nothing_left):
    words = [*LUMO, "sh", "-c", "echo ready; sleep 60; exit 1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True) as child:
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == -signal.SIGTERM
        os.killpg(child.pid, signal.SIGKILL)
    assert runs()["d"].end_code == 143
    nothing_left()


def test_an_ignored_signal_stays_ignored(repo, runs):
    words = ["env", "--ignore-signal=INT", *LUMO, "sh", "-c", "echo ready; read x; exit 5"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGINT)
        child.stdin.write(b"\n")
    assert child.returncode == 5


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_signal_while_the_run_begins_ends_it_before_the_command(repo, git, runs, nothing_left, name):
    """A hook of git's is where the start can be stopped, for as long as it takes to send one."""
    (repo / "slow").write_text("slow\n")
    (repo / ".gitattributes").write_text("slow filter=wait\n")
    git("config", "filter.wait.clean", "test -e .git/waits || { touch .git/waits; cat .git/fifo; }; cat")
    os.mkfifo(repo / ".git/fifo")
    with subprocess.Popen([*LUMO, "touch", ".git/ran"]) as child:
        for _ in range(600):
            if (repo / ".git/waits").exists():
                break
            time.sleep(0.05)
        child.send_signal(getattr(signal, name))
        (repo / ".git/fifo").write_text("")
    assert child.returncode == -getattr(signal, name)
    assert not (repo / ".git/ran").exists()
    assert runs()["d"].end_code == 128 + getattr(signal, name)
    nothing_left()


def test_what_is_left_behind_can_be_let_go_by_ctrl_c(repo, runs, nothing_left):
    """The command has ended; a process that it left holds the pipe."""
    words = [*LUMO, "sh", "-c", "(echo $$; exec sleep 60) & exit 3"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as child:
        assert child.stdout.readline().strip().isdigit()
        assert b"has ended" in child.stderr.readline()
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 3
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    assert runs()["d"].end_code == 3
    nothing_left()
