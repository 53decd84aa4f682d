"""The manual page ``docs/git-lumo.1``, made of the parsers: ``python -m gitlumo.cli.manual >docs/git-lumo.1``.

Its language is roff with the man macros (groff_man(7)).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from gitlumo.cli.command import VERBS, general_parser, parser_of
from gitlumo.cli.help import NAMES

SETTINGS = {
    "lumo.branch": "the ledger's branch (lumo_experiments)",
    "lumo.remote": "with whom runs are shared (origin, or the only remote)",
    "lumo.hooks": "whether each git push shares the runs, too: git lumo init --hooks sets it (false)",
    "lumo.autoPush": "how often a run is pushed while it goes on: off, or an interval such as 30s (off)",
    "lumo.systemMetrics": "how often a run records the load of its machine: off, or an interval such as 5s (off)",
    "lumo.githubRepo": "whose issues hold backups, as owner/name (the remote's repository)",
    "lumo.githubUrl": "the base of GitHub's API, as https://HOST/api/v3 (https://api.github.com)",
    "lumo.githubPause": "seconds between two writes to GitHub (1)",
    "lumo.gitleaks": "whether gitleaks looks at what leaves, where it is installed (true)",
    "lumo.infoRoot": "where runs keep their records until they are published (<git common dir>/lumo/info)",
    "lumo.blobRoot": "where runs keep checkpoints and other large files (<git common dir>/lumo/blob)",
    "lumo.cacheRoot": "where runs keep what may be deleted (~/.cache/gitlumo)",
    "lumo.hostname": "how the host's name is recorded: plain, hash or off (plain)",
    "lumo.env": "names of environment variables to record (none)",
    "lumo.snapshot": "whether the code is recorded (true)",
    "lumo.snapshotMaxFile": "untracked files larger than this stay out (10m)",
    "lumo.snapshotMaxTotal": "how large untracked files may be together (100m)",
    "lumo.snapshotTimeout": "how long looking at the work tree may take (5s)",
    "lumo.snapshotExclude": "patterns of untracked files to leave out (none)",
}
ENVIRONMENT = {
    "GIT_DIR, GIT_WORK_TREE": "the repository, as for git itself",
    "LUMO_DISABLED": "1: a training script records nothing, and what git lumo run, rerun and sweep run is not recorded;"
    " git lumo verify refuses, all other verbs do not care",
    "LUMO_EXP_TEST_NAME": "the name of the next run of a training script",
    "LUMO_METRICS": "set for the command of git lumo run: the file that takes metrics, an object of JSON a line",
    "LUMO_SEED": "the seed that gitlumo.seed_everything takes; rerun sets it",
    "LUMO_SLOT": "set by sweep and rerun -j: which of the jobs that run at once this one is, from 0",
}
STATUSES = {
    "0": "all went well",
    "1": "fsck or doctor found something, diff --exit-code or verify a difference; or there is no note",
    "126, 127": "run: the command is no program, or there is none; else run and rerun end as the command does",
    "128": "it cannot be done; standard error says why, and what to type next",
    "129": "wrong usage",
    "130": "Ctrl-C",
    "141": "who read the output has gone",
}
EVERYWHERE = {"--help", "--debug"}
DESCRIPTION = """\
A training run becomes a part of the git repository that produced it. Parameters, metrics, notes and the exact code, \
uncommitted edits and untracked files included, are git objects on one ordinary branch, the ledger: whoever clones the \
repository has every experiment."""


def page() -> str:
    """The whole page, as roff."""
    return "".join(f"{line}\n" for line in _lines())


def _lines() -> Iterator[str]:
    yield '.\\" made by python -m gitlumo.cli.manual; do not edit'
    yield '.TH GIT\\-LUMO 1 "" gitlumo'
    yield ".SH NAME"
    yield "git\\-lumo \\- experiments as a part of the repository that produced them"
    yield ".SH SYNOPSIS"
    yield "\\fBgit lumo\\fR [\\fIOPTION\\fR...] \\fIVERB\\fR [\\fIARGUMENT\\fR...]"
    yield ".SH DESCRIPTION"
    yield _text(DESCRIPTION)
    yield ".PP"
    yield _text(NAMES.replace("\n", " "))
    yield ".SH OPTIONS"
    yield from _arguments(general_parser())
    yield ".SH VERBS"
    yield _text("Every verb takes -h and --debug, too.")
    for verb, what in VERBS.items():
        parser = parser_of(verb)
        yield f".SS git lumo {_text(verb)} {_operands(parser)}".rstrip()
        yield _text(f"{what[0].upper()}{what[1:]}.")
        yield from _arguments(parser)
        if parser.epilog:
            yield ".PP"
            yield _text(parser.epilog.strip().replace("\n", " "))
    for heading, items in (("CONFIGURATION", SETTINGS), ("ENVIRONMENT", ENVIRONMENT), ("EXIT STATUS", STATUSES)):
        yield f".SH {_text(heading)}"
        for name, what in items.items():
            yield from _item(_bold(name), what)
    yield ".SH SEE ALSO"
    yield "\\fBgit\\fR(1), \\fBgit\\-config\\fR(1)"


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """What a parser takes, without what every verb takes."""
    actions = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    return [action for action in actions if not (parser.add_help and set(action.option_strings) & EVERYWHERE)]


def _operands(parser: argparse.ArgumentParser) -> str:
    actions = _actions(parser)
    words = ["[\\fIOPTION\\fR...]"] if any(action.option_strings for action in actions) else []
    for action in actions:
        if not action.option_strings:
            words.append(_often(_italic(str(action.metavar)), action))
    return " ".join(words)


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in _actions(parser):
        term = ", ".join(map(_bold, action.option_strings)) or _italic(str(action.metavar))
        if action.option_strings and action.nargs != 0:
            term += f" {_often(_italic(str(action.metavar)), action)}"
        yield from _item(term, action.help or "")


def _often(word: str, action: argparse.Action) -> str:
    """A value's name with how often it may be given, as git's pages write it."""
    many = f"{word}..." if action.nargs in ("*", "+") else word
    return f"[{many}]" if action.nargs in ("?", "*") else many


def _item(term: str, what: str) -> Iterator[str]:
    yield ".TP"
    yield term
    yield _text(what)


def _bold(text: str) -> str:
    return f"\\fB{_text(text)}\\fR"


def _italic(text: str) -> str:
    return f"\\fI{_text(text)}\\fR"


def _text(text: str) -> str:
    """A text with what roff would take for its own escaped (groff(7), "Escape sequences")."""
    escaped = (
        text.replace("\\", "\\e").replace("-", "\\-").replace("~", "\\(ti").replace("'", "\\(aq").replace("^", "\\(ha")
    )
    return f"\\&{escaped}" if escaped.startswith(".") else escaped


if __name__ == "__main__":
    print(page(), end="")
