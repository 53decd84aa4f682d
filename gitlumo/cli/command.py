"""From a command line to a verb, and from an error to an exit status: the one place that turns errors into output."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, NoReturn

from gitlumo.errors import LumoError, UsageError

_COLUMNS = 80  # where there is no terminal
VERBS = {
    "run": "run any command as an experiment",
    "rerun": "run recorded runs again, with the code that they ran with",
    "sweep": "run a command with many parameters, each a run; again, only what is not done",
    "verify": "did the rerun give the same? compare metrics, and record the verdict",
    "init": "make this repository ready for runs",
    "log": "list runs, newest first",
    "show": "show everything of one run",
    "diff": "show in what runs differ",
    "board": "show the runs in a browser, live, or write them as one file that needs no network",
    "note": "print a run's note, or write another one",
    "tag": "list a run's tags, add some, or remove some",
    "rm": "mark runs as deprecated, or delete their large files here",
    "purge": "take a run out for good, and say who still has it",
    "undo": "undo the latest edit of a run, or your own latest one",
    "checkout": "put the code of a run into a work tree of its own",
    "branch": "make a branch at the code of a run",
    "archive": "pack code and record of a run, ready to run: what one attaches to a paper",
    "backup": "keep runs elsewhere: as GitHub issues, in a tar, in a git bundle, in another repository",
    "restore": "bring runs back from their backups",
    "push": "share the runs with a remote",
    "pull": "fetch a remote's runs, and join them with the local ones",
    "fetch": "fetch a remote's runs, and leave the local ones as they are",
    "clone": "clone a repository with its runs",
    "notes": "let git log --notes=lumo say which runs each commit had",
    "report": "tell how a branch's runs did beside those of its base: what CI posts on a pull request",
    "status": "show what runs now, and what waits to be published",
    "recover": "publish what dead runs left; bring back a deleted ledger",
    "fsck": "check every run against the format",
    "doctor": "say what is unhealthy, and which command mends it",
    "hook": "what the scripts in hooks/ call: share runs with a push, guard a server's ledger",
    "completion": "print a shell's completion script",
    "help": "explain git lumo, or one verb",
}


class _Help(argparse.HelpFormatter):
    """argparse's own, which is made for each option that is declared: it loads no modules to find the width."""

    def __init__(self, prog: str):
        columns = os.environ.get("COLUMNS", "")
        super().__init__(prog, width=(int(columns) if columns.isdecimal() and int(columns) else _columns()) - 2)


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or _COLUMNS
    except (AttributeError, ValueError, OSError):  # there is no output, or it is no terminal
        return _COLUMNS


class Parser(argparse.ArgumentParser):
    """argparse with git's manners: usage errors end with status 129."""

    def __init__(self, **options: Any):
        super().__init__(formatter_class=_Help, **options)

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
    _open_streams()
    try:
        return _run(words)
    except KeyboardInterrupt:
        return _end(130)
    except BrokenPipeError:
        return _end(141)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except Exception as error:
        _complain(error, "--debug" in words)
        return error.status if isinstance(error, LumoError) else 128


def _open_streams() -> None:
    """Have standard streams to the null device where they were closed, as git has, and a standard output that is whole.

    With ``python -u`` it is a raw file, whose writes may be short (io, "Raw File I/O").
    """
    for fd, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            try:
                os.fstat(fd)
            except OSError:
                os.open(os.devnull, os.O_RDWR)  # the lowest that is free: this one
            setattr(sys, name, open(fd, mode, closefd=False, errors="backslashreplace"))  # noqa: SIM115
    out: Any = sys.stdout
    is_raw = isinstance(getattr(out, "buffer", None), io.RawIOBase)
    if is_raw and sys.stdout is sys.__stdout__:
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(out.detach()), out.encoding, out.errors, line_buffering=True)


def parser_of(verb: str) -> Parser:
    """The parser of a verb's options: what runs it, explains it, and completes it.

    Raises:
        UsageError: If there is no such verb.
    """
    if verb not in VERBS:
        import difflib

        near = difflib.get_close_matches(verb, VERBS, 1, 0.5)
        hint = f"did you mean 'git lumo {near[0]}'?" if near else "'git lumo -h' lists what there is"
        raise UsageError(f"'{verb}' is not a verb of git lumo; {hint}")
    parser = Parser(prog=f"git lumo {verb}", description=f"{VERBS[verb]}.", allow_abbrev=False)
    _module(verb).options(parser)
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    return parser


def _module(verb: str) -> ModuleType:
    return importlib.import_module(f"gitlumo.cli.{verb}")


def _run(words: list[str]) -> int:
    general = general_parser().parse_args(words)
    move(general)
    if general.version:
        from gitlumo import __version__

        print(f"gitlumo {__version__}")
        return 0
    if not general.rest or general.help:
        from gitlumo.cli.help import overview

        print(overview())
        return 0 if general.help or words else 1
    verb, *rest = general.rest
    if verb == "__complete":  # asked by the completion scripts
        from gitlumo.cli.completion import answer

        return answer(rest)
    parser = parser_of(verb)
    module = _module(verb)
    parse = parser.parse_intermixed_args if getattr(module, "INTERMIXED", False) else parser.parse_args
    status = module.run(parse(list(_as_argparse_wants(rest)) if verb in ("log", "board") else rest))
    sys.stdout.flush()
    return int(status)


def _as_argparse_wants(words: Sequence[str]) -> Iterator[str]:
    """Words that git users write and argparse misreads: ``log -1``, ``--sort -acc``."""
    rest = iter(words)
    for word in rest:
        if word == "--sort":
            yield f"{word}={next(rest, '')}"
        else:
            yield re.sub(r"^-(\d+)$", r"-n\1", word)


def move(general: argparse.Namespace) -> None:
    """Go where the options before the verb say."""
    if general.chdir:
        os.chdir(os.path.join(*general.chdir))
    for variable, value in (("GIT_DIR", general.git_dir), ("GIT_WORK_TREE", general.work_tree)):
        if value:
            os.environ[variable] = os.path.abspath(value)


def general_parser() -> Parser:
    """The options before the verb, as git has them; ``rest`` is what follows them."""
    parser = Parser(prog="git lumo", add_help=False, allow_abbrev=False)
    parser.add_argument("-C", dest="chdir", action="append", metavar="DIR", help="run as if started in DIR")
    parser.add_argument("--git-dir", metavar="DIR", help="the repository's git folder")
    parser.add_argument("--work-tree", metavar="DIR", help="the top of its work tree")
    parser.add_argument("-h", "--help", action="store_true", help="list the verbs")
    parser.add_argument("--version", action="store_true", help="print gitlumo's version")
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _complain(error: Exception, debug: bool) -> None:
    from gitlumo.cli.terminal import printable

    said = str(error)
    if isinstance(error, OSError):
        said = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or said
    elif not isinstance(error, LumoError):
        said = f"{type(error).__name__}: {said}\nthis is a fault of gitlumo; 'git lumo --debug ...' shows where"
    try:
        sys.stdout.flush()
    except OSError:  # a full disk, as was said already
        _end(128)
    if debug:
        import traceback

        print(printable(traceback.format_exc(), newlines=True), end="", file=sys.stderr)
    print(f"fatal: {printable(said, newlines=True)}", file=sys.stderr)


def _end(status: int) -> int:
    """End without a word, and without Python's own on a pipe that is closed."""
    import contextlib

    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status
