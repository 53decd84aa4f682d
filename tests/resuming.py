"""What the tests of runs that go on have in common."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from gitlumo import Experiment
from gitlumo.config import read_settings
from gitlumo.git.edited import edit_tree
from gitlumo.git.objects import FILE_MODE, Entry, Staging, read_commit
from gitlumo.git.repository import open_repository
from gitlumo.store import register, trees
from gitlumo.store.ledger import Ledger
from gitlumo.store.query import TreeFiles
from gitlumo.store.record import Record

BRANCH = "lumo_experiments"
PRELUDE = """
import os, signal, sys, time, warnings
import gitlumo
from gitlumo import Experiment, machine, resuming
from gitlumo.store import journal, register
def die(): os.kill(os.getpid(), signal.SIGKILL)
"""
KILLED = """
exp = Experiment('digits', {name!r}, params={{'lr': .1}}).start()
for i in range(5): exp.log({{'loss': 5 - i}}, step=i)
exp.dump_metric('acc', .9, 'cls', [.8, 1.], cmp='max', step=3)
exp.dump_metric('acc', .5, cmp='max', step=4)
exp.dump_info('keys', {{'api_key': 'sk-012345678901234567890123456789'}})
exp.dump_tags('a', 'b'); exp.dump_note('as it was'); exp.dump_string('s', 'text')
"""


# Killed at the n-th write of a taking over.
CUT = """
n = int(sys.argv[1])
def cut(module, name):
    real = getattr(module, name)
    def call(*args, **keywords):
        global n
        if n == 0: die()
        n -= 1
        return real(*args, **keywords)
    setattr(module, name, call)
cut(journal, 'write_whole')
cut(resuming, '_end_line')
Experiment('digits', resume='run').start()
"""


def python(script, *args, cwd=None, status=0, **environ):
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + script, *map(str, args)],
        capture_output=True,
        cwd=cwd,
        env={**os.environ, **environ},
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done


def kill(name="run", script="", cwd=None, **environ):
    """A run whose process was killed."""
    python(KILLED.format(name=name) + script + "\ndie()", cwd=cwd, status=-signal.SIGKILL, **environ)


def child(script):
    """The same in a fork of this process, which is faster; its exit status, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        try:
            exec(script, {"Experiment": Experiment, "os": os, "die": lambda: os.kill(os.getpid(), signal.SIGKILL)})  # noqa: S102
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def die(name="run", exp_name="digits"):
    assert child(f"exp = Experiment({exp_name!r}, {name!r}).start(); exp.log({{'a': 1}}); die()") == -signal.SIGKILL


def go_on(name="run", cwd=None, **keywords):
    return Experiment("digits", resume=name, repo=cwd, **keywords)


def ledger(path="."):
    repository = open_repository(path)
    return Ledger(repository, read_settings(repository.config))


def published(uid, path=".", exp_name="digits", name="run"):
    """A run as the ledgers here have it."""
    view = ledger(path).view()
    run = trees.find(view.objects, view.tree, uid, [(exp_name, name)])
    files = TreeFiles(view.objects, run.folder)
    return Record(files.read, files.paths, name)


def files_of(folder):
    return {str(path): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


def without_lock(files):
    return {path: data for path, data in files.items() if not path.endswith("/lumo/claim")}


def open_uids(path="."):
    return [run.uid for run in register.open_runs(ledger(path).lumo_dir)]


def records(path):
    view = ledger(path).view()
    for place in trees.places(view.objects, view.tree):
        files = TreeFiles(view.objects, place.tree)
        yield Record(files.read, files.paths, place.path)


def damage(git, uid, name, changes, alone=False, exp_name="digits"):
    """Write files into a run in the ledger, as a stranger would."""
    repository = open_repository()
    staging = Staging(repository.objects)
    tip = git("rev-parse", BRANCH)
    root = read_commit(staging, tip).tree
    (place,) = [p for p in trees.places(staging, root) if trees.read_run(staging, p.tree).uid == uid]
    entries = {
        path: Entry("", FILE_MODE, git("hash-object", "-w", "--stdin", input=data.decode()))
        for path, data in changes.items()
    }
    folder = edit_tree(staging, None if alone else place.tree, entries)
    put(git, staging, edit_tree(staging, root, {place.path: Entry("", 0o040000, folder)}), tip)


def put(git, staging, tree, tip):
    """Write a ledger's tree and what is new in it; the branch moves there."""
    for kind, data in staging.new.values():
        subprocess.run(
            ["git", "hash-object", "-w", "-t", kind, "--literally", "--stdin"],
            input=data,
            stdout=subprocess.DEVNULL,
            check=True,
        )
    commit = git("commit-tree", tree, "-p", tip, "-m", "a stranger\n\nLumo-Format: 1")
    git("update-ref", f"refs/heads/{BRANCH}", commit)
