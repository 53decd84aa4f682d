"""``git lumo completion``: a shell's completion script. What may be typed is asked of the parsers, each time."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator

from gitlumo.cli.command import VERBS, Parser, general_parser, move, parser_of
from gitlumo.errors import LumoError

BASH = r"""# Completion of git-lumo for bash. In ~/.bashrc:  eval "$(git lumo completion bash)"

__git_lumo_complete ()
{
	local IFS=$'\n' word
	COMPREPLY=()
	for word in $("$@" 2>/dev/null); do
		COMPREPLY+=("$(printf %q "$word") ")
	done
}

# 'git lumo <TAB>': git's own completion calls this, with its words, cword and __git_cmd_idx.
_git_lumo ()
{
	local first=$((${__git_cmd_idx:-1} + 1))
	__git_lumo_complete __git lumo __complete bash "${words[@]:first:cword-first+1}"
}

# 'git-lumo <TAB>'
__git_lumo_main ()
{
	__git_lumo_complete git-lumo __complete bash "${COMP_WORDS[@]:1:COMP_CWORD}"
}

complete -o bashdefault -o default -o nospace -F __git_lumo_main git-lumo
"""

ZSH = r"""#compdef git-lumo
# Completion of git-lumo for zsh. In ~/.zshrc, after compinit:  eval "$(git lumo completion zsh)"

# zsh's completion of git calls this for 'git lumo <TAB>', too.
_git-lumo ()
{
	local -a found
	found=(${(f)"$(git-lumo __complete zsh "${(@)words[2,CURRENT]}" 2>/dev/null)"})
	_describe 'git lumo' found || _files
}

if [[ $funcstack[1] == _git-lumo ]]; then
	_git-lumo "$@"
else
	compdef _git-lumo git-lumo
fi
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH}
SHOWN = 200


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("shell", metavar="bash|zsh", choices=sorted(SCRIPTS), help="the shell")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    sys.stdout.write(SCRIPTS[args.shell])
    return 0


def answer(asked: list[str]) -> int:
    """Answer a script: print what may stand in place of the last word.

    Args:
        asked: The shell, then the words after ``git lumo``, the last one perhaps empty or half.
    """
    shell, *words = asked or [""]
    for word, what in candidates(words):
        print(word if shell == "bash" or not what else f"{word}:{what}")  # no word has a colon in it
    return 0


def candidates(words: list[str]) -> Iterator[tuple[str, str]]:
    """What may stand in place of the last word after ``git lumo``, each with what it is.

    Args:
        words: The words, the last one perhaps empty or half; none: an empty one.
    """
    *before, word = words or [""]
    general = general_parser()
    try:
        there = general.parse_args(before)
    except LumoError:
        return
    if not there.rest:
        known = _options(general) if word.startswith("-") else VERBS
    elif there.rest[0] not in VERBS:
        return
    else:
        parser = parser_of(there.rest[0])
        known = _options(parser) if word.startswith("-") else _operands(there, parser, word)
    yield from ((name, what) for name, what in known.items() if name.startswith(word))


def _options(parser: Parser) -> dict[str, str]:
    """The options of a parser; of an option's names the longest."""
    shown = [action for action in parser._actions if action.option_strings and action.help != argparse.SUPPRESS]
    return {max(action.option_strings, key=len): str(action.help or "") for action in shown}


def _operands(there: argparse.Namespace, parser: Parser, word: str) -> dict[str, str]:
    """What may stand where the verb takes a run, a verb or one of some words."""
    before = there.rest[-1]
    asked = next((a for a in parser._actions if before in a.option_strings and a.nargs != 0), None)
    if asked is None:
        positional = [action for action in parser._actions if not action.option_strings]
        asked = positional[0] if positional else None
    if asked is None:
        return {}
    if asked.choices:
        return {str(choice): "" for choice in asked.choices}
    if asked.metavar == "VERB":
        return VERBS
    if str(asked.metavar).startswith("EXP"):
        return _names(there, word)
    return {}


def _names(there: argparse.Namespace, word: str) -> dict[str, str]:
    """Runs whose test_name, or else ``EXP_NAME/TEST_NAME``, begins with a word; no record is read."""
    from itertools import islice

    from gitlumo.cli.opening import open_here
    from gitlumo.store import trees
    from gitlumo.store.pending import pending_runs

    with contextlib.suppress(LumoError, OSError):
        move(there)
        opened = open_here()
        view = opened.branch.view()
        waiting = pending_runs(opened.branch.lumo_dir, opened.settings.snapshot_max_file, opened.settings.hostname)
        labels = [pending.record.name for pending in waiting]
        for place in trees.places(view.objects, view.tree):
            labels.append(f"{place.path.partition('/')[0]}/{place.path.rpartition('/')[2]}")
        found = {}
        for label in reversed(labels):
            exp_name, _, name = label.partition("/")
            fits = [text for text in (name, label) if text.startswith(word)]
            found.update(dict.fromkeys(fits[:1], exp_name))
        return dict(islice(found.items(), SHOWN))
    return {}
