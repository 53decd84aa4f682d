"""From a command line to a verb, and from an error to an exit status: the one place that turns errors into output."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from gitlumo.errors import LumoError, UsageError

VERBS = {
    "log": "list runs, newest first",
    "show": "show everything of one run",
    "recover": "publish what dead runs left; bring back a deleted ledger",
    "fsck": "check every run against the format",
}


class Parser(argparse.ArgumentParser):
    """argparse with git's manners: usage errors end with status 129."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and how it is used.

        Raises:
            UsageError: Always.
        """
        raise UsageError(f"{message}\n{self.format_usage().strip()}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``git lumo``.

    Args:
        argv: The arguments; None: those of the process.

    Returns:
        The exit status: 0, 1 where a verb says no, 128 for what cannot be done, 129 for wrong usage, 130 on Ctrl-C,
        141 when the reader of the pipe has gone.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    try:
        return _run(words)
    except KeyboardInterrupt:
        return _end(130)
    except BrokenPipeError:
        return _end(141)
    except (LumoError, OSError) as error:
        if debug:
            raise
        _complain(error)
        return error.status if isinstance(error, LumoError) else 128
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except Exception as error:
        if debug:
            raise
        _complain(f"{type(error).__name__}: {error}\nthis is a fault of gitlumo; 'git lumo --debug ...' shows where")
        return 128


def _run(words: list[str]) -> int:
    general, rest = _general(words)
    if general.chdir:
        os.chdir(os.path.join(*general.chdir))
    for variable, value in (("GIT_DIR", general.git_dir), ("GIT_WORK_TREE", general.work_tree)):
        if value:
            os.environ[variable] = os.path.abspath(value)
    if general.version:
        from gitlumo import __version__

        print(f"gitlumo {__version__}")
        return 0
    if not rest or general.help:
        print(_overview())
        return 0 if general.help or words else 1
    verb, *rest = rest
    if verb not in VERBS:
        import difflib

        near = difflib.get_close_matches(verb, VERBS, 1, 0.5)
        hint = f"did you mean 'git lumo {near[0]}'?" if near else "'git lumo -h' lists what there is"
        raise UsageError(f"'{verb}' is not a verb of git lumo; {hint}")
    module = importlib.import_module(f"gitlumo.cli.{verb}")
    parser = Parser(prog=f"git lumo {verb}", description=VERBS[verb] + ".", allow_abbrev=False)
    module.options(parser)
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    status = module.run(parser.parse_args([re.sub(r"^-(\d+)$", r"-n\1", word) for word in rest]))  # git log -1
    sys.stdout.flush()
    return int(status)


def _general(words: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options before the verb, as git has them."""
    parser = Parser(prog="git lumo", add_help=False, allow_abbrev=False)
    parser.add_argument("-C", dest="chdir", action="append", metavar="DIR")
    parser.add_argument("--git-dir")
    parser.add_argument("--work-tree")
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("--debug", action="store_true")
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    general = parser.parse_args(words)
    return general, general.rest


def _overview() -> str:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"   {verb:{width}}   {what}" for verb, what in VERBS.items())
    return (
        "usage: git lumo [-C DIR] [--git-dir DIR] [--version] [--debug] <verb> [<args>]\n\n"
        "Experiments as a part of the repository that produced them.\n\n"
        f"{verbs}\n\n"
        "EXP is any unique prefix of a test_name, EXP_NAME/PREFIX, a uid prefix,\n"
        "@ for the newest run, @~N for the N-th before it.\n"
        "'git lumo <verb> -h' tells more of one verb."
    )


def _complain(error: object) -> None:
    from gitlumo.cli.terminal import printable

    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        error = f"{where}{error.strerror or error}"
    sys.stdout.flush()
    print(f"fatal: {printable(str(error), newlines=True)}", file=sys.stderr)


def _end(status: int) -> int:
    """End without a word, and without Python's own on a pipe that is closed."""
    import contextlib

    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status
