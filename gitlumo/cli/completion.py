"""``git lumo completion``: a shell's completion script. What may be typed is asked of the parsers and of the index."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import chain

from gitlumo.cli.command import VERBS, Parser, general_parser, move, parser_of
from gitlumo.cli.terminal import printable
from gitlumo.errors import LumoError
from gitlumo.git import nearby
from gitlumo.store.index import FILE, Index, peek

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
        escaped = word if shell == "bash" else word.replace(":", r"\:")
        print(f"{escaped}:{what}" if what and shell != "bash" else escaped)
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
        option, operand = _asked(parser, there.rest[1:])
        if word.startswith("-") and (option is None or option.dest != "sort"):
            known = _options(parser)
        else:
            known = _values(there, option or operand, word)
    yield from ((name, what) for name, what in known.items() if name.startswith(word) and printable(name) == name)


def _options(parser: Parser) -> dict[str, str]:
    """The options of a parser; of an option's names the longest."""
    shown = [action for action in parser._actions if action.option_strings and action.help != argparse.SUPPRESS]
    return {max(action.option_strings, key=len): str(action.help or "") for action in shown}


def _asked(parser: Parser, words: list[str]) -> tuple[argparse.Action | None, argparse.Action | None]:
    """Whose value the word after some words is: an option that waits for one, and the operand that comes next."""
    operands = [action for action in parser._actions if not action.option_strings]
    option, done = None, 0
    for word in words:
        named = next((action for action in parser._actions if word in action.option_strings), None)
        if named is not None:
            option = named if named.nargs != 0 else None
        elif option is not None:
            option = option if option.nargs == "+" else None
        elif done < len(operands) and operands[done].nargs not in ("*", "+"):
            done += 1
    return option, operands[done] if done < len(operands) else None


def _values(there: argparse.Namespace, asked: argparse.Action | None, word: str) -> dict[str, str]:
    """What may stand where an option or an operand takes its value."""
    if asked is None:
        return {}
    if asked.choices:
        return {str(choice): "" for choice in asked.choices}
    if asked.metavar == "VERB":
        return VERBS
    known = _KNOWN.get(str(asked.metavar))
    if known is None:
        return {}
    with contextlib.suppress(LumoError, OSError):
        move(there)
        lumo_dir = _lumo_dir()
        index = peek(lumo_dir)
        if index is not None:
            try:
                return known(Asked(lumo_dir, index, asked, there.rest[1:], word))
            finally:
                index.close()
        if known is _runs:
            return dict(_fitting(_labels(), word))
        return known(Asked("", None, asked, there.rest[1:], word))
    return {}


def _lumo_dir() -> str:
    common_dir = nearby.common_dir()
    if common_dir is not None:
        return os.path.join(common_dir, "lumo")
    from gitlumo.git.repository import locate

    return locate().lumo_dir


class Asked:
    """What is to be completed.

    Attributes:
        lumo_dir: gitlumo's folder in the repository; empty where there is no index.
        index: The index, perhaps an old one; None where there is none.
        action: The option or operand.
        words: The words before it, after the verb.
        word: Its beginning.
    """

    def __init__(self, lumo_dir: str, index: Index | None, action: argparse.Action, words: list[str], word: str):
        self.lumo_dir, self.index, self.action, self.words, self.word = lumo_dir, index, action, words, word


def _runs(asked: Asked) -> dict[str, str]:
    """Runs whose test_name, or else ``EXP_NAME/TEST_NAME``, begins with a word: of the index, and younger ones."""
    if asked.index is None:
        return {}
    where = "instr(place, ?) OR substr(place, 1, length(?)) = ?"
    name = asked.word.rpartition("/")[2]
    known = (run.label for run in asked.index.runs(where, [f"/{name}", asked.word, asked.word]))
    return dict(_fitting(chain(_younger(asked.lumo_dir), known), asked.word))


def _fitting(labels: Iterable[str], word: str) -> Iterator[tuple[str, str]]:
    found: set[str] = set()
    for label in labels:
        exp_name, _, name = label.partition("/")
        text = next((text for text in (name, label) if text.startswith(word)), None)
        if text is not None and text not in found:
            found.add(text)
            yield text, exp_name
        if len(found) == SHOWN:
            return


def _younger(lumo_dir: str) -> Iterator[str]:
    """``EXP_NAME/TEST_NAME`` of the runs that have got a folder here since the index was written, last one first."""
    written = os.stat(os.path.join(lumo_dir, FILE)).st_mtime
    labels: list[tuple[float, str]] = []
    with contextlib.suppress(OSError):
        for experiment in os.scandir(os.path.join(lumo_dir, "info")):
            if experiment.stat().st_mtime >= written - 1:  # else nothing was made in it
                labels += [(run.stat().st_mtime, f"{experiment.name}/{run.name}") for run in os.scandir(experiment)]
    return (label for made, label in sorted(labels, reverse=True) if made >= written - 1)


def _labels() -> Iterator[str]:
    """``EXP_NAME/TEST_NAME`` of all runs, where there is no index: of the ledger, and of what is being recorded."""
    from gitlumo.cli.opening import open_here
    from gitlumo.store import trees
    from gitlumo.store.pending import pending_runs

    opened = open_here()
    view = opened.branch.view()
    yield from reversed([pending.record.name for pending in pending_runs(opened.branch)])
    yield from (place.label for place in reversed(list(trees.places(view.objects, view.tree))))


def _columns(asked: Asked) -> dict[str, str]:
    """Columns as they may be typed: the last of some that commas part, for ``--sort`` with a minus in front."""
    from gitlumo.matching import name_text
    from gitlumo.naming import resolve
    from gitlumo.store import columns

    names = asked.index.names() if asked.index is not None else []
    there = set(names)
    known = dict(columns.FIELDS)
    for name in names:
        kind, _, short = name.partition(".")
        if name.startswith((columns.PARAMS, columns.METRICS)):
            known[short if resolve(short, there) == name else name] = kind.removesuffix("s")
            known.setdefault(name, kind.removesuffix("s"))
    if asked.action.metavar == "EXPR":
        return {name: what for name, what in known.items() if name_text(name) == name}
    if asked.action.metavar == "KEYS":
        first = asked.word[: asked.word.rfind(",") + 1]
        return {first + name: what for name, what in known.items() if "," not in name}
    sign = "-" if asked.word.startswith("-") else ""
    return {sign + name: what for name, what in known.items()}


def _keys(asked: Asked) -> dict[str, str]:
    """Metrics for ``git lumo show``, columns for ``git lumo log``."""
    from gitlumo.store import columns

    if asked.action.dest == "sort":
        return _columns(asked)
    names = asked.index.names() if asked.index is not None else []
    metrics = [name.removeprefix(columns.METRICS) for name in names if name.startswith(columns.METRICS)]
    there = set(metrics)
    return {name: "" for name in metrics if not _is_statistic(name, there)}


def _is_statistic(name: str, metrics: set[str]) -> bool:
    from gitlumo.store import columns

    of, dot, what = name.rpartition(".")
    return bool(dot) and what in columns.STATISTICS and of in metrics


def _tags(asked: Asked) -> dict[str, str]:
    """Tags that any run has; to remove: those of the run."""
    if asked.index is None:
        return {}
    if asked.action.dest == "delete" and asked.words:
        of = asked.index.runs("instr(place || '/', ?)", [f"/{asked.words[0].rpartition('/')[2]}/"])
        every = [asked.index.of(run.id).get("tag") for run in of]
    else:
        every = asked.index.different("tag")
    return dict.fromkeys(sorted({str(tag) for tags in every if isinstance(tags, list) for tag in tags}), "")


def _remotes(asked: Asked) -> dict[str, str]:
    """Remotes, as this repository's own configuration has them (git-config(1), "Syntax")."""
    common_dir = nearby.common_dir()
    if common_dir is None:
        return {}
    with open(os.path.join(common_dir, "config"), encoding="utf-8", errors="replace") as config:
        return dict.fromkeys(re.findall(r'^\s*\[remote "([^"\\]+)"\]', config.read(), re.MULTILINE), "")


_KNOWN = {
    "REMOTE": _remotes,
    "EXP": _runs,
    "EXP[:PATH]": _runs,
    "EXPR": _columns,
    "KEYS": _columns,
    "KEY": _keys,
    "TAG": _tags,
}
