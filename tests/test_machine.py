"""Who is running, and is it still alive."""

import dataclasses
import os
import subprocess
import sys

import pytest

from gitlumo import machine

HERE = machine.this_process()
linux = pytest.mark.skipif(sys.platform != "linux", reason="not Linux")


@pytest.fixture
def child():
    """A process that waits for its standard input, as a (Popen, Process)."""
    with subprocess.Popen(
        [sys.executable, "-c", "from gitlumo.machine import this_process as p; print(p().start, flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as running:
        said = running.stdout.readline().strip()
        start = None if said == "None" else int(said)
        yield running, dataclasses.replace(HERE, pid=running.pid, start=start, image=machine.image_of(running.pid))
        running.kill()


def test_this_process():
    assert HERE.pid == os.getpid()
    assert machine.this_process() == HERE
    assert machine.is_dead(HERE, HERE) is False


@linux
def test_all_is_known_on_linux():
    assert None not in dataclasses.astuple(dataclasses.replace(HERE, job="of a scheduler"))


@pytest.mark.parametrize(("hostname", "length"), [("plain", len(os.uname().nodename)), ("hash", 16), ("off", 0)])
def test_the_host_as_configured(hostname, length):
    host = machine.this_process(hostname).host
    assert len(host or "") == length
    assert (host == os.uname().nodename) is (hostname == "plain")


def test_a_process_lives_and_dies(child):
    running, process = child
    assert machine.is_dead(process, HERE) is False
    running.kill()
    running.wait()
    assert machine.is_dead(process, HERE) is True
    assert machine.is_dead(dataclasses.replace(process, start=None), HERE) is True


@linux
def test_a_zombie_is_dead(child):
    running, process = child
    running.kill()
    os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)  # ended, and not yet waited for
    assert machine.is_dead(process, HERE) is True


@linux
def test_a_process_that_has_become_another_program_is_dead():
    script = "import os; print('ready', flush=True); os.read(0, 1); os.execvp('cat', ['cat'])"
    with subprocess.Popen([sys.executable, "-c", script], stdin=-1, stdout=-1, text=True) as running:
        running.stdout.readline()
        process = dataclasses.replace(HERE, pid=running.pid, start=None, image=machine.image_of(running.pid))
        assert machine.is_dead(process, HERE) is False
        running.stdin.write("\nhere\n")
        running.stdin.flush()
        assert running.stdout.readline() == "here\n"
        assert machine.is_dead(process, HERE) is True
        assert machine.is_dead(dataclasses.replace(process, image=None), HERE) is False


@linux
def test_a_pid_that_another_process_has_now():
    assert machine.is_dead(dataclasses.replace(HERE, start=HERE.start - 1), HERE) is True


def test_a_pid_in_use_of_unknown_start_is_not_dead():
    assert machine.is_dead(dataclasses.replace(HERE, start=None), HERE) is False


@pytest.mark.parametrize("elsewhere", [{"host": "other"}, {"boot": "other"}, {"namespace": "other"}, {"boot": None}])
def test_elsewhere_nobody_may_judge(child, elsewhere):
    running, process = child
    running.kill()
    running.wait()
    assert machine.is_dead(dataclasses.replace(process, **elsewhere), HERE) is None


def test_two_unknown_boots_are_not_the_same_boot():
    unknown = dataclasses.replace(HERE, boot=None)
    assert machine.is_dead(unknown, unknown) is None


def test_not_our_process():
    assert machine.is_dead(dataclasses.replace(HERE, pid=1, start=None), HERE) is False
