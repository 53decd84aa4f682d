"""Runs this experiment again, and says whether its metrics come out the same.

usage: python run.py [--dry-run] [--tolerance T]

It needs git, gitlumo, and what requirements.txt lists; README.md says more. The exit status is 0 if all metrics are the
same within T (relative, 1e-6 if not given), 1 if one is not, and that of the command if it fails where it did not.
"""

# In an archive that 'git lumo archive' wrote this file stands alone, so it knows only what Python brings along.

import argparse
import importlib.util
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
CODE = os.path.join(HERE, "code")
MISLEADING = re.compile(r"GIT_(DIR|WORK_TREE|INDEX_FILE|COMMON_DIR|.*OBJECT_DIRECTOR.*)|LUMO_(DISABLED|EXP_.*)")
KEYS = ("last", "min", "max", "best")


def main() -> int:
    """Do it; returns the exit status."""
    parser = argparse.ArgumentParser(description="Run this experiment again, and compare its metrics.")
    parser.add_argument("--dry-run", action="store_true", help="print the command only")
    parser.add_argument("--tolerance", type=float, default=1e-6, help="how much a metric may differ, relative (1e-6)")
    args = parser.parse_args()
    with open(os.path.join(HERE, "run.json"), encoding="utf-8") as source:
        recorded = json.load(source)
    command = words_of(recorded)
    cwd = os.path.normpath(os.path.join(CODE, recorded["cwd"]))
    print(f"in {os.path.relpath(cwd, HERE)}: {shlex.join(command)}", file=sys.stderr)
    if args.dry_run:
        return 0
    check(recorded)
    env = {name: value for name, value in os.environ.items() if not MISLEADING.fullmatch(name)} | recorded["env"]
    make_repository(env)
    os.makedirs(cwd, exist_ok=True)  # git keeps no empty folders
    before = {run["uid"] for run in list_runs(recorded["exp_name"], env)}
    given = [f"--set={pair}" for pair in recorded["given"]] + [f"--metric={text}" for text in recorded["patterns"]]
    record = [sys.executable, "-m", "gitlumo", "run", "--quiet", "--name", recorded["exp_name"], *given, "--"]
    status = subprocess.run([*record, *command], cwd=cwd, env=env, check=False).returncode
    found = [run for run in list_runs(recorded["exp_name"], env) if run["uid"] not in before]
    if not found:
        print(f"the command ended with status {status}, and recorded no run of {recorded['exp_name']}", file=sys.stderr)
        return status or 1
    same = compare(recorded["metrics"], found[-1]["metrics"], args.tolerance)
    if status and recorded["state"] == "finished":
        print(f"the command ended with status {status}; it had finished when it was recorded", file=sys.stderr)
        return status if status > 0 else 128 - status
    return 0 if same else 1


def words_of(recorded: dict[str, Any]) -> list[str]:
    """The command with this Python in place of the recorded one, and a program on PATH for one that is not there."""
    words: list[str] = list(recorded["words"])
    script = next((at for at, word in enumerate(words[1:], 1) if not word.startswith("-")), 0)
    for at in {0, script} if recorded["python"] else {0}:
        path = os.path.expanduser(words[at])
        if os.path.isabs(path):
            words[at] = path if os.path.exists(path) else shutil.which(os.path.basename(path)) or words[at]
    return [sys.executable, *words[1:]] if recorded["python"] else words


def check(recorded: dict[str, Any]) -> None:
    """See that it can run; ends the program with the reason if not."""
    if recorded["masked"]:
        where = ", ".join(recorded["masked"])
        sys.exit(f"secrets were left out of the command ({where}); write them in place of *** in 'words' of run.json")
    if importlib.util.find_spec("gitlumo") is None:
        sys.exit(f"{sys.executable} does not find gitlumo {recorded['gitlumo'] or ''}; install it there, see README.md")
    if shutil.which("git") is None:
        sys.exit("there is no git on the PATH; install it: runs are recorded in a git repository")


def make_repository(env: dict[str, str]) -> None:
    """Make ``code/`` a git repository, in which the run is recorded, if it is none yet."""
    if os.path.exists(os.path.join(CODE, ".git")):
        return
    quiet = ("core.hooksPath=/dev/null", "commit.gpgSign=false", "core.autocrlf=false", "core.safecrlf=false")
    who = ("user.name=gitlumo", "user.email=gitlumo@localhost", "init.defaultBranch=main")
    git = ["git", *(word for setting in quiet + who for word in ("-c", setting))]
    for words in ("init --quiet", "add --all --force", "commit --quiet --allow-empty --message code"):
        subprocess.run([*git, *words.split()], cwd=CODE, env=env, check=True)


def list_runs(exp_name: str, env: dict[str, str]) -> list[dict[str, Any]]:
    """The runs of an experiment that are recorded in ``code/``, newest first."""
    words = [sys.executable, "-m", "gitlumo", "log", "--all", "--json", "-n", "0"]
    told = subprocess.run(words, cwd=CODE, env=env, stdout=subprocess.PIPE, check=True).stdout
    return [run for run in json.loads(told) if run["exp_name"] == exp_name]


def compare(recorded: dict[str, Any], now: dict[str, Any], tolerance: float) -> bool:
    """Print a line for each metric; whether all are the same."""
    names = sorted(name for name in recorded.keys() | now.keys() if not name.startswith("system/"))  # the machine's
    if not names:
        print("there are no metrics to compare")
        return True
    good = True
    print(f"{'metric':24} {'recorded':>22} {'now':>22}")
    for name in names:
        old, new = recorded.get(name), now.get(name)
        same = old is not None and new is not None and all(is_same(old[key], new[key], tolerance) for key in KEYS)
        values = ("-" if summary is None else repr(summary["best"]) for summary in (old, new))
        print("{:24} {:>22} {:>22}  {}".format(name, *values, "same" if same else "differs"))
        good &= same
    print("all metrics are the same" if good else "not all metrics are the same")
    return good


def is_same(old: Any, new: Any, tolerance: float) -> bool:
    """Whether two numbers are the same, or nearly so; ``"NaN"`` and ``"Infinity"`` are spelled out."""
    if old == new:
        return True
    one, other = float(old), float(new)
    return math.isfinite(one - other) and abs(one - other) <= tolerance * max(abs(one), abs(other))


if __name__ == "__main__":
    sys.exit(main())
