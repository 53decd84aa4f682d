"""``git lumo clone``: ``git clone``, and the runs are ready to be read and gone on with."""

from __future__ import annotations

import argparse
import os

from gitlumo.cli.init import make_ready
from gitlumo.cli.opening import Opened, open_here
from gitlumo.cli.terminal import printable
from gitlumo.cli.wire import interruptible, show
from gitlumo.git import transport
from gitlumo.git.process import WHERE
from gitlumo.share import remotes
from gitlumo.share.exchange import fetch

# Options of git clone that are handed on: with a value, and without.
VALUED = {
    "--depth": ("N", "only the last N commits of each branch"),
    "--filter": ("SPEC", "a partial clone: what is left out is fetched when needed, such as blob:none"),
    "--branch": ("NAME", "which branch to check out"),
    "--origin": ("NAME", "what to call the remote"),
    "--reference": ("REPOSITORY", "borrow objects from a repository on this machine"),
}
FLAGS = {
    "--single-branch": "of the code only one branch",
    "--recurse-submodules": "with submodules",
    "--bare": "without a work tree",
    "--no-checkout": "check nothing out",
}


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("url", metavar="URL", help="what to clone")
    parser.add_argument("folder", nargs="?", metavar="DIR", help="where to")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    for name, (metavar, about) in VALUED.items():
        short = {"--branch": ["-b"], "--origin": ["-o"]}.get(name, [])
        parser.add_argument(*short, name, metavar=metavar, help=about)
    for name, about in FLAGS.items():
        parser.add_argument(name, action="store_true", help=about)


def run(args: argparse.Namespace) -> int:
    """Clone, and say what is there."""
    given = [word for name in VALUED if (value := getattr(args, name[2:])) for word in (f"{name}={value}",)]
    given += [name for name in FLAGS if getattr(args, name[2:].replace("-", "_"))]
    with interruptible("clone", "starts anew, and nothing is left of this one"):
        folder = transport.clone(given, args.url, args.folder, show(args.quiet))
    os.chdir(folder)
    for name in WHERE:  # another repository's
        os.environ.pop(name, None)
    said = runs_of(open_here(), args.quiet)
    if not args.quiet:
        print(printable(f"cloned into {folder}\n{said}", newlines=True))
    return 0


def runs_of(opened: Opened, quiet: bool) -> str:
    """Bring the runs, where git has not brought them (a shallow or single-branch clone); says what is there."""
    if opened.repository.refs.read(opened.settings.ref) is None:  # else it is bare
        remote = remotes.choose(opened, None)
        if remotes.tip(opened, remote) is None:
            fetch(opened, remote, show(quiet))
    return make_ready(opened) if opened.branch.tips() else "there are no runs yet"
