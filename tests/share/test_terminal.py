"""On a terminal git's progress is shown as it comes, git itself asks for passwords, and servers steer nothing."""

from __future__ import annotations

import os
import pty
import subprocess
import threading

from tests.share import servers


def on_a_terminal(cwd, *command, typed=()):
    """(status, what the terminal showed) of a command whose whole terminal is ours; it types what it is asked for."""
    parent, child = pty.openpty()
    shown = bytearray()
    waiting = list(typed)

    def read():
        seen = 0
        while True:
            try:
                data = os.read(parent, 4096)
            except OSError:
                return
            if not data:
                return
            shown.extend(data)
            at = shown.find(waiting[0][0], seen) if waiting else -1
            if at >= 0:
                seen = at + 1
                os.write(parent, waiting.pop(0)[1])

    # setsid and a controlling terminal, as a shell's: git opens /dev/tty for passwords
    script = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"  # noqa: E501
    process = subprocess.Popen(["python3", "-c", script, *command], cwd=cwd, stdin=child, stdout=child, stderr=child)
    os.close(child)
    thread = threading.Thread(target=read)
    thread.start()
    try:
        status = process.wait(60)
    finally:
        process.kill()
    thread.join(5)
    os.close(parent)
    return status, shown.decode("utf-8", "replace")


def test_progress_and_what_a_server_says(shared, clone, record, hook):
    one = clone(shared, "one")
    record(one)
    hook("printf 'hello \\033]0;title\\007 there\\n' >&2")
    status, shown = on_a_terminal(one, "git-lumo", "push")
    assert status == 0
    assert "Writing objects: 100%" in shown
    assert "remote: hello ?]0;title? there" in shown or "\033]" not in shown
    assert "to origin: 1 run" in shown


def test_git_asks_for_the_password(shared, clone, record, http, git, tip):
    one = clone(http.url("shared.git"), "one")
    record(one)
    git("remote", "set-url", "origin", f"http://127.0.0.1:{http.server_port}/shared.git", cwd=one)
    typed = [(b"Username", servers.USER.encode() + b"\n"), (b"Password", servers.PASSWORD.encode() + b"\n")] * 2
    status, shown = on_a_terminal(one, "git-lumo", "push", typed=typed)
    assert status == 0, shown
    assert servers.PASSWORD not in shown
    assert tip(shared) == tip(one)


def test_quiet(shared, clone, record):
    one = clone(shared, "one")
    record(one)
    assert on_a_terminal(one, "git-lumo", "push", "-q") == (0, "")
