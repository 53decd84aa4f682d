"""SIGTERM and what leaves the program: real processes, real signals."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap

import pytest

from gitlumo.store import register

TERM = -signal.SIGTERM
PRELUDE = """
import atexit, os, signal, sys, threading, time
import gitlumo
def start(*args, **keywords): return gitlumo.Experiment(*args, **keywords).start()
def say(*words): os.write(1, (' '.join(map(str, words)) + '\\n').encode())
def term(): os.kill(os.getpid(), signal.SIGTERM)
def default(): return signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
def wait():
    say('ready')
    for _ in range(600): time.sleep(.05)
    say('waited too long'); os._exit(9)
"""


@pytest.fixture
def play(repo, git):
    """``play(script, ...)``: run it, send SIGTERM as often as it says 'ready'; its status, words, and runs."""

    def run(script, *options):
        command = [sys.executable, *options, "-c", PRELUDE + textwrap.dedent(script)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
            words = []
            for line in child.stdout:
                if line == "ready\n":
                    child.send_signal(signal.SIGTERM)
                else:
                    words.append(line.strip())
            errors = child.stderr.read()
        assert "Traceback" not in errors, errors
        return child.returncode, words, endings(git)

    return run


def endings(git):
    """``(exp_name, state, end_code)`` of each published run."""
    paths = git("ls-tree", "-r", "--name-only", "lumo_experiments").splitlines()
    found = []
    for path in paths:
        if path.endswith("info/progress.json"):
            progress = json.loads(git("show", f"lumo_experiments:{path}"))
            state = "killed" if progress.get("killed") else "running" if progress["end"] is None else None
            found.append(
                (path.split("/")[0], state or ("failed", "finished")[progress["finished"]], progress["end_code"])
            )
    return sorted(found)


FAILED = [("d", "failed", 143)]
FINISHED = [("d", "finished", 0)]
TERMINATED = {
    "with": (
        """
        with start('d') as exp:
            try: wait()
            finally: exp.log({'a': 1}); say('unwound', exp.state)
        """,
        (TERM, ["unwound running"], FAILED),
    ),
    "without with": (
        """
        exp = start('d')
        try: wait()
        finally: say('unwound')
        """,
        (TERM, ["unwound"], FAILED),
    ),
    "atexit's callbacks of before and after, and buffered files": (
        """
        atexit.register(lambda: say('before'))
        exp = start('d')
        atexit.register(lambda: say('after'))
        print('printed', flush=True)
        held = open('/dev/stdout', 'w')
        held.write('written\\n')
        wait()
        """,
        (TERM, ["printed", "after", "before", "written"], FAILED),
    ),
    "caught, and on it goes": (
        """
        exp = start('d')
        try: wait()
        except SystemExit as error: say('caught', error.code)
        """,
        (0, ["caught 143"], FINISHED),
    ),
    "caught, then sys.exit": (
        """
        exp = start('d')
        try: wait()
        except SystemExit: pass
        sys.exit(5)
        """,
        (5, [], [("d", "failed", 5)]),
    ),
    "caught after with, then sys.exit(0)": (
        """
        try:
            with start('d') as exp: wait()
        except SystemExit: pass
        sys.exit(0)
        """,
        (0, [], FAILED),
    ),
    "caught, then once more": (
        """
        exp = start('d')
        try: wait()
        except SystemExit: say('caught')
        wait()
        """,
        (TERM, ["caught"], FAILED),
    ),
    "again while it unwinds": (
        """
        with start('d') as exp:
            try: wait()
            finally:
                say('ready'); term(); time.sleep(.1)
                exp.log({'a': 1}); say('unwound')
        """,
        (TERM, ["unwound"], FAILED),
    ),
    "while a hook of the end runs": (
        """
        class Slow(gitlumo.ExpHook):
            def on_end(self, exp): term(); term(); exp.dump_string('late', 'x'); say('ended')
        exp = start('d', hooks=[Slow])
        exp.end()
        say('survived')
        """,
        (TERM, ["ended"], FINISHED),
    ),
    "while a hook of the end runs at exit": (
        """
        class Slow(gitlumo.ExpHook):
            def on_end(self, exp): term(); exp.dump_string('late', 'x'); say('ended')
        exp = start('d', hooks=[Slow])
        """,
        (TERM, ["ended"], FINISHED),
    ),
    "while it starts": (
        """
        class Term(gitlumo.ExpHook):
            def on_start(self, exp): term()
        start('d', hooks=[Term])
        say('survived')
        """,
        (TERM, [], FAILED),
    ),
    "in a callback of atexit": (
        """
        exp = start('d')
        atexit.register(wait)
        """,
        (TERM, [], FAILED),
    ),
    "two runs": (
        """
        with gitlumo.Experiment('c') as outer, gitlumo.Experiment('d') as exp: wait()
        """,
        (TERM, [], [("c", "failed", 143), ("d", "failed", 143)]),
    ),
    "another thread for ever": (
        """
        exp = start('d')
        threading.Thread(target=lambda: time.sleep(60)).start()
        print('printed')
        wait()
        """,
        (TERM, ["printed"], FAILED),
    ),
    "only another thread still trains": (
        """
        exp = start('d')
        def train():
            while True: exp.log({'a': 1}); time.sleep(.001)
        threading.Thread(target=train).start()
        threading.Thread(target=wait).start()
        """,
        (TERM, [], FAILED),
    ),
    "started in a thread": (
        """
        thread = threading.Thread(target=start, args=('d',)); thread.start(); thread.join()
        say(default()); wait()
        """,
        (TERM, ["True"], [("d", "running", None)]),
    ),
    "a handler of the script's before": (
        """
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
        with start('d') as exp: wait()
        """,
        (7, [], [("d", "failed", 7)]),
    ),
    "a handler of the script's afterwards": (
        """
        exp = start('d')
        mine = lambda *_: sys.exit(7)
        signal.signal(signal.SIGTERM, mine)
        exp.end()
        say(signal.getsignal(signal.SIGTERM) is mine); wait()
        """,
        (7, ["True"], FINISHED),
    ),
    "ours put back by the script when no run is open": (
        """
        exp = start('d')
        ours = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        exp.end()
        signal.signal(signal.SIGTERM, ours); wait()
        """,
        (TERM, [], FINISHED),
    ),
    "ignored by the script": (
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        exp = start('d'); term(); say('went on')
        """,
        (0, ["went on"], FINISHED),
    ),
    "after the last run": (
        """
        say(default()); exp = start('d'); say(default()); exp.end(); say(default()); wait()
        """,
        (TERM, ["True", "False", "True"], FINISHED),
    ),
    "asyncio": (
        """
        import asyncio
        async def main():
            with start('d') as exp:
                try: term(); await asyncio.sleep(30)
                finally: say('unwound')
        asyncio.run(main())
        """,
        (TERM, ["unwound"], FAILED),
    ),
    "a forked child": (
        """
        import multiprocessing
        exp = start('d')
        def work(): queue.put(default()); time.sleep(60)
        context = multiprocessing.get_context('fork')
        queue = context.Queue()
        worker = context.Process(target=work); worker.start(); say(queue.get())
        worker.terminate(); worker.join(); say(worker.exitcode)
        """,
        (0, ["True", "-15"], FINISHED),
    ),
    "a forked child with a run of its own": (
        """
        exp = gitlumo.Experiment('c').start()
        pid = os.fork()
        if not pid:
            with gitlumo.Experiment('d'): term()
        say(os.waitpid(pid, 0)[1]); exp.end()
        """,
        (0, ["15"], [("c", "finished", 0), *FAILED]),
    ),
}


@pytest.mark.parametrize("name", TERMINATED)
def test_sigterm(play, repo, name):
    script, expected = TERMINATED[name]
    assert play(script) == expected
    left = len(register.open_runs(str(repo / ".git/lumo")))
    assert left == sum(state == "running" for _, state, _ in expected[2])


LEFT = {
    "sys.exit(3)": ("start('d'); sys.exit(3)", 3, 3),
    "sys.exit(3) in a function": ("start('d')\ndef main(): sys.exit(3)\nmain()", 3, 3),
    "exit(3)": ("start('d'); exit(3)", 3, 3),
    "sys.exit()": ("start('d'); sys.exit()", 0, 0),
    "sys.exit(text)": ("start('d'); sys.exit('no data')", 1, 1),
    "sys.exit(2**70)": ("start('d'); sys.exit(2**70)", 255, -1),
    "sys.exit(3), caught": ("start('d')\ntry: sys.exit(3)\nexcept SystemExit: say('caught')", 0, 0),
    "sys.exit(3), caught, then an error": (
        "start('d')\ntry: sys.exit(3)\nexcept SystemExit: pass\nsys.excepthook = lambda *_: None; 1 / 0",
        *(1, 1),
    ),
    "sys.exit(3) in a thread": (
        "start('d'); t = threading.Thread(target=sys.exit, args=(3,)); t.start(); t.join()",
        *(0, 0),
    ),
    "sys.exit(3) before": ("try: sys.exit(3)\nexcept SystemExit: pass\nstart('d')", 0, 0),
    "sys.exit(3), start() in a function": ("def main(): start('d'); sys.exit(3)\nmain()", 3, 3),
    "callbacks of atexit run by the script": ("start('d')\nsys.exit; atexit._run_exitfuncs()", 0, 0),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_leaves_the_program(play, name):
    script, status, code = LEFT[name]
    got, _, runs = play(script)
    assert (got, runs) == (status, [("d", "failed" if code else "finished", code)])


def test_python_m(play, repo, git):
    (repo / "job.py").write_text("import sys, gitlumo\ngitlumo.start('d')\nsys.exit(4)\n")
    assert subprocess.run([sys.executable, "-m", "job"], check=False, capture_output=True).returncode == 4
    assert endings(git) == [("d", "failed", 4)]


def test_sys_exit_is_put_back(repo):
    import builtins

    import gitlumo

    before = (sys.exit, builtins.exit, builtins.quit)
    exp = gitlumo.Experiment("d").start()
    other = gitlumo.Experiment("d").start()
    assert sys.exit.__wrapped__ is before[0]
    other.end()
    assert sys.exit is not before[0]
    exp.end()
    assert (sys.exit, builtins.exit, builtins.quit) == before


def test_a_ctrl_c_that_is_caught_stops_early(play):
    script = """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    exp = start('d')
    try: os.kill(os.getpid(), signal.SIGINT); time.sleep(30)
    except KeyboardInterrupt: say('stopped early')
    """
    assert play(script) == (0, ["stopped early"], FINISHED)


def test_a_ctrl_c_in_the_end_is_made_good_at_exit(play):
    script = """
    class Stop(gitlumo.ExpHook):
        first = True
        def on_end(self, exp):
            if self.first: self.first = False; raise KeyboardInterrupt
    exp = start('d', hooks=[Stop])
    try: exp.end()
    except KeyboardInterrupt: say('interrupted')
    """
    assert play(script) == (0, ["interrupted"], FINISHED)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_ctrl_c_in_log_leaves_metrics_as_their_history(repo, git, when):
    from gitlumo import Experiment

    exp = Experiment("d").start()
    exp.log({"n": 1})
    append = exp._journal.append

    def interrupted(line):
        if when == "after":
            append(line)
        exp._journal.append = append
        raise KeyboardInterrupt

    exp._journal.append = interrupted
    with pytest.raises(KeyboardInterrupt):
        exp.log({"n": 2})
    exp.log({"n": 3})
    exp.checkpoint()
    exp.log({"n": 4})
    exp.end()
    assert [point["n"] for point in exp.history("n")] == ([1, 3, 4] if when == "before" else [1, 2, 3, 4])
    assert exp.metrics["n"]["count"] == len(exp.history("n"))
    git("lumo", "fsck")
