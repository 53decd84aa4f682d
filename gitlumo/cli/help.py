"""``git lumo help``: the text of the manual page's essentials, where there is no ``man`` or no page."""

from __future__ import annotations

import argparse

from gitlumo.cli.command import VERBS, parser_of

NAMES = (
    "EXP is any unique prefix of a test_name, EXP_NAME/PREFIX, a uid prefix,\n"
    "@ for the newest run, @~N for the N-th before it."
)


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("verb", metavar="VERB", nargs="?", help="the verb to explain")


def run(args: argparse.Namespace) -> int:
    """Print it."""
    print(parser_of(args.verb).format_help().rstrip() if args.verb else overview())
    return 0


def overview() -> str:
    """What there is."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"   {verb:{width}}   {what}" for verb, what in VERBS.items())
    return (
        "usage: git lumo [-C DIR] [--git-dir DIR] [--version] [--debug] <verb> [<args>]\n\n"
        "Experiments as a part of the repository that produced them.\n\n"
        f"{verbs}\n\n{NAMES}\n"
        "'git lumo help <verb>' tells more of one verb."
    )
