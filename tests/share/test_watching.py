"""``git lumo log --watch``: what another machine records is seen live, on a terminal, until Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

import pytest

from gitlumo import Experiment
from tests.share.living import black_hole

CLEAR = "\033[H\033[2J"


class Terminal:
    """A command on a terminal of 80 columns."""

    def __init__(self, cwd, *words, lines=24, size=80):
        self.shown = ""
        self.status = None
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            os.environ.update(TERM="xterm", GIT_PAGER="sed s/^/paged/")
            time.sleep(0.1)  # until the terminal has its size
            os.execvp(words[0], words)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, size, 0, 0))

    def read(self, true, seconds=60) -> None:
        """Read until something holds for what was shown."""
        end = time.monotonic() + seconds
        while not true(self.shown):
            assert time.monotonic() < end, self.shown
            if select.select([self._fd], [], [], 0.1)[0]:
                try:
                    data = os.read(self._fd, 65536)
                except OSError:
                    data = b""
                assert data, f"it has ended: {self.shown}"
                self.shown += data.decode()

    def interrupt(self) -> int:
        """Press Ctrl-C; returns the status."""
        os.write(self._fd, b"\x03")
        _, status = os.waitpid(self.pid, 0)
        self.status = os.waitstatus_to_exitcode(status)
        return self.status

    def close(self) -> None:
        os.close(self._fd)
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


@pytest.fixture
def watching():
    """``watching(cwd, *options)``: ``git-lumo log --watch <options>`` on a terminal."""
    opened = []

    def watch(cwd, *options, **keywords):
        opened.append(Terminal(cwd, "git-lumo", "log", *options, **keywords))
        return opened[-1]

    yield watch
    for terminal in opened:
        terminal.close()


@pytest.mark.parametrize("url", ["path", "http"], indirect=True)
def test_a_running_run_is_watched_from_elsewhere(url, clone, git, watching):
    one, two = clone(url, "one"), clone(url, "two")
    git("config", "lumo.autoPush", "1s", cwd=one)
    terminal = watching(two, "--watch", "0.3", "--remote")
    terminal.read(lambda shown: "no runs yet" in shown)
    assert "asking origin" in terminal.shown
    with Experiment("digits", "lives", repo=one) as exp:
        exp.log({"acc": 0.25})
        terminal.read(lambda shown: re.search(r"digits/lives .* running .* 0\.25", plain(shown)))
        exp.dump_metric("acc", 0.75)
        terminal.read(lambda shown: re.search(r"digits/lives .* running .* 0\.75", plain(shown)))
    terminal.read(lambda shown: re.search(r"digits/lives .* finished", plain(shown)))
    assert terminal.interrupt() == 130
    assert "origin as of now" in terminal.shown
    assert "Traceback" not in terminal.shown
    assert "paged" not in terminal.shown
    assert terminal.shown.count(CLEAR) >= 4


def plain(shown: str) -> str:
    return re.sub(r"\033\[\d*m", "", shown)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["loss < 0.3"], "digits/mine"),
        (["--oneline"], "digits/mine finished loss="),
        (["--json"], '"test_name": "mine"'),
        (["--events"], "end"),
        (["--graph"], "digits/mine"),
        (["--group-by", "name", "--format", "csv"], "mine,1,0.25"),
        (["--remote", "origin", "-n", "1"], "digits/mine"),
    ],
)
def test_with_the_options_of_log(pair, record, watching, options, expected):
    record(pair[0], "mine")
    terminal = watching(pair[0], *options, "--watch=0.1")
    terminal.read(lambda shown: plain(shown).count(expected) >= 2 and shown.count(CLEAR) >= 2)
    assert terminal.interrupt() == 130


def test_the_newest_rows_that_the_screen_holds(pair, record, watching):
    for number in range(8):
        record(pair[0], f"run-{number}")
    terminal = watching(pair[0], "--watch=0.1", lines=10)
    terminal.read(lambda shown: shown.count(CLEAR) >= 3)
    screen = terminal.shown.split(CLEAR)[2]
    assert "run-7" in screen
    assert screen.count("\n") < 10
    all_rows = watching(pair[0], "--watch=0.1", "-n", "7", lines=10)
    all_rows.read(lambda shown: shown.count(CLEAR) >= 3)
    assert all_rows.shown.split(CLEAR)[2].count("digits/run-") == 7


def test_a_remote_that_cannot_be_reached_is_asked_again(pair, git, shared, record, ok, watching):
    one, two = pair
    record(one, "mine")
    ok(one, "push", "-q")
    away = shared.with_name("away.git")
    shared.rename(away)
    terminal = watching(two, "--watch=0.1", "--remote")
    terminal.read(lambda shown: "origin not asked yet: " in shown)
    away.rename(shared)
    terminal.read(lambda shown: "digits/mine" in shown.split(CLEAR)[-1])
    shared.rename(away)
    terminal.read(lambda shown: re.search(r"origin as of \d\d:\d\d:\d\d: ", shown))
    terminal.read(lambda shown: "digits/mine" in shown.split(CLEAR)[-1])  # what is known stays
    assert terminal.interrupt() == 130


def test_ctrl_c_while_the_remote_does_not_answer(pair, git, watching):
    with black_hole() as hole:
        git("remote", "set-url", "origin", hole, cwd=pair[1])
        terminal = watching(pair[1], "--watch=0.1", "--remote")
        terminal.read(lambda shown: "asking origin" in shown)
        time.sleep(0.3)
        assert terminal.interrupt() == 130


def test_without_a_terminal(pair, lumo):
    status, out, err = lumo(pair[0], "log", "--watch")
    assert (status, out) == (129, "")
    assert err == "fatal: --watch draws on a terminal again and again, and standard output is none; leave it out\n"


def test_what_is_wrong_from_the_beginning_ends_it(pair, lumo, watching):
    terminal = watching(pair[0], "--watch", "--remote", "nobody")
    terminal.read(lambda shown: "fatal: there is no remote 'nobody'" in shown)
    status, _, err = lumo(pair[0], "log", "--watch", "0")
    assert status == 129
    assert "seconds" in err


def test_a_remote_without_watching_is_fetched_once(pair, record, ok, lumo):
    one, two = pair
    record(one, "mine")
    ok(one, "push", "-q")
    assert "digits/mine" not in ok(two, "log")
    assert "digits/mine" in ok(two, "log", "--remote")
    assert lumo(two, "log", "--remote", "nobody")[0] == 128
