"""``git lumo completion``: in real shells, and never other than what the parsers know."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import gitlumo
from gitlumo.cli.command import VERBS, parser_of
from gitlumo.cli.completion import candidates

GITS = (
    "/usr/share/bash-completion/completions/git",
    "/usr/local/share/bash-completion/completions/git",
    "/usr/share/git-core/contrib/completion/git-completion.bash",
    "/usr/share/doc/git/contrib/completion/git-completion.bash",
    "/opt/homebrew/etc/bash_completion.d/git-completion.bash",
    "/usr/local/etc/bash_completion.d/git-completion.bash",
    "/Library/Developer/CommandLineTools/usr/share/git-core/git-completion.bash",
)
PRESS_TAB = """
eval "$(git-lumo completion bash)"
tab () {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE} COMPREPLY=()
    $FUNCTION
    printf '%s\\n' "${COMPREPLY[@]}"
}
tab "$@"
"""


@pytest.fixture
def trained(repo):
    gitlumo.Experiment("digits", "first").start().end()
    gitlumo.Experiment("letters", "first try").start().end()
    with gitlumo.Experiment("digits", "second"):
        yield repo


def press_tab(function, *words, before=""):
    done = subprocess.run(
        ["bash", "--norc", "-c", before + PRESS_TAB, "bash", *words],
        env=os.environ | {"FUNCTION": function},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return sorted(done.stdout.split("\n")[:-1])


CASES = [
    (["st"], ["status "]),
    ([""], sorted(f"{verb} " for verb in VERBS)),
    (["log", "--on"], ["--oneline "]),
    (["show", "--"], ["--debug ", "--diff ", "--help ", "--history ", "--json ", "--metric ", "--plot "]),
    (["show", "sec"], ["second "]),
    (["show", "fir"], ["first ", "first\\ try "]),
    (["show", "digits/"], ["digits/first ", "digits/second "]),
    (["show", "--json", "le"], ["letters/first\\ try "]),
    (["show", "--metric", ""], [""]),
    (["recover", "--force", "sec"], ["second "]),
    (["completion", "b"], ["bash "]),
    (["help", "fs"], ["fsck "]),
    (["init", ""], [""]),
    (["nosuch", ""], [""]),
]


@pytest.mark.parametrize(("words", "offered"), CASES, ids=[" ".join(words) for words, _ in CASES])
def test_bash(trained, words, offered):
    assert press_tab("__git_lumo_main", "git-lumo", *words) == offered


@pytest.mark.parametrize(
    ("words", "offered"), [(["lumo", "st"], ["status "]), (["lumo", "show", "--h"], ["--help ", "--history "]),
                           (["lumo", "show", "sec"], ["second "]), (["lum"], ["lumo "])],
    ids=["verb", "option", "run", "lumo"])  # fmt: skip
@pytest.mark.parametrize("place", [[], ["-C", "{repo}"], ["--git-dir={repo}/.git"]], ids=["here", "-C", "--git-dir"])
def test_bash_through_gits_own(trained, tmp_path, monkeypatch, place, words, offered):
    there = next((path for path in GITS if Path(path).exists()), None)
    if there is None:
        pytest.skip("git's completion is not installed")
    if place:
        monkeypatch.chdir(tmp_path)
    place = [word.format(repo=trained) for word in place]
    assert press_tab("__git_wrap__git_main", "git", *place, *words, before=f". {there}\n") == offered


def test_it_goes_where_it_is_told(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert press_tab("__git_lumo_main", "git-lumo", "show", "sec") == [""]
    assert press_tab("__git_lumo_main", "git-lumo", "-C", str(trained), "show", "sec") == ["second "]


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_offered(verb):
    offered = {word for word, _ in candidates([verb, "-"])}
    assert offered == {max(a.option_strings, key=len) for a in parser_of(verb)._actions if a.option_strings}


def test_another_shell(lumo, repo):
    done = lumo("completion", "fish")
    assert done.status == 129
    assert "bash" in done.err


@pytest.fixture
def zsh(tmp_path, monkeypatch):
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    (tmp_path / "zsh").mkdir()
    (tmp_path / "zsh/.zshrc").write_text(
        'PS1="> "; autoload -U compinit; compinit -u -D\neval "$(git lumo completion zsh)"\n'
    )
    monkeypatch.setenv("ZDOTDIR", str(tmp_path / "zsh"))
    monkeypatch.setenv("TERM", "dumb")


@pytest.mark.parametrize("command", ["git-lumo", "git lumo"])
def test_zsh(trained, zsh, command):
    script = subprocess.run(["git-lumo", "completion", "zsh"], capture_output=True, text=True, check=True).stdout
    subprocess.run(["zsh", "-n"], input=script, text=True, check=True)
    pid, fd = pty.fork()
    if pid == 0:
        os.execvp("zsh", ["zsh", "-i"])
    shown = wait_for(fd, "> ")
    os.write(fd, f"{command} stat\t--js\tX".encode())
    shown = wait_for(fd, "X")
    os.write(fd, b"\x15exit\n")
    os.waitpid(pid, 0)
    os.close(fd)
    typed = "".join(char for char in shown if char.isprintable())
    assert typed.split()[-3:] == ["status", "--json", "X"]


def wait_for(fd, text):
    shown, until = "", time.monotonic() + 20
    while text not in shown and time.monotonic() < until and select.select([fd], [], [], 20)[0]:
        shown += os.read(fd, 65536).decode(errors="replace")
    return shown


ASKED = [
    (["show", "sec"], ["second"]),
    (["show", "letters/"], ["letters/first try"]),
    (["diff", "first", "sec"], ["second"]),
    (["show", "first", "--plot", "l"], ["loss"]),
    (["show", "--metric", ""], ["acc", "loss"]),
    (["log", "l"], ["loss", "loss.max", "lr"]),
    (["log", "params."], ["params.lr"]),
    (["log", "sta"], ["start", "state"]),
    (["log", "--columns", "state,l"], ["state,loss", "state,loss.max", "state,lr"]),
    (["log", "--group-by", "we"], ["weird:key"]),
    (["log", "--sort", "-ac"], ["-acc"]),
    (["log", "--format", "c"], ["csv"]),
    (["tag", "first", "-d", ""], ["best", "paper"]),
    (["tag", "second", "-d", ""], []),
    (["tag", "second", "p"], ["paper"]),
]


@pytest.fixture
def indexed(repo, lumo):
    with gitlumo.Experiment("digits", "first", params={"lr": 0.1, "weird:key": 1, "bad\nkey": 2}) as exp:
        exp.log({"loss": 2.0, "acc": 0.5})
        exp.log({"loss": 1.0, "acc": 0.5})
        exp.dump_tags("best", "paper")
    gitlumo.Experiment("letters", "first try").start().end()
    gitlumo.Experiment("digits", "second").start().end()
    assert lumo("log", "acc > 0").status == 0
    return repo


def ask(shell, *words):
    """What is answered; which engines were imported for it; how many programs were started."""
    code = (
        "import sys; started = []\n"
        "sys.addaudithook(lambda event, _: started.append(1) if event == 'subprocess.Popen' else None)\n"
        "from gitlumo.cli import main; main(['__complete', *sys.argv[1:]])\n"
        "heavy = {'pygit2', 'dulwich', 'yaml', 'lark', 'plotext', 'tabulate', 'pandas'} & set(sys.modules)\n"
        "print(len(started), *heavy, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, shell, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines(), done.stderr.split()


@pytest.mark.parametrize("verb", ["push", "pull", "fetch"])
def test_remotes(indexed, git, verb):
    git("remote", "add", "origin", "/nowhere")
    git("remote", "add", "other.one", "/nowhere")
    lines, told = ask("bash", verb, "o")
    assert [line.split("\t")[0] for line in lines] == ["origin", "other.one"]
    assert told == ["0"]


@pytest.mark.parametrize(("words", "offered"), ASKED, ids=[" ".join(words) for words, _ in ASKED])
def test_from_the_index(indexed, words, offered):
    assert sorted(word for word, _ in candidates(words)) == offered


@pytest.mark.parametrize("words", [["show", "f"], ["diff", "f"], ["log", "--sort", "a"], ["tag", "first", "-d", ""]])
def test_it_starts_no_program_and_imports_no_engine(indexed, words):
    found, (started, *heavy) = ask("bash", *words)
    assert found
    assert (int(started), heavy) == (0, [])


def test_runs_are_offered_where_the_index_is_late(indexed):
    with gitlumo.Experiment("digits", "third"):
        assert "third" in [word for word, _ in candidates(["show", "t"])]
    assert [word for word, _ in candidates(["show", "t"])] == ["third"]
    assert ask("bash", "show", "t") == (["third"], ["0"])


def test_runs_are_offered_where_there_is_no_index(indexed):
    for path in (indexed / ".git/lumo").glob("index*"):
        path.unlink()
    found, (_, *heavy) = ask("bash", "show", "")
    assert (sorted(found), heavy) == (["first", "first try", "second"], ["pygit2"])
    assert sorted(ask("bash", "log", "--sort", "st")[0]) == ["start", "state"]


def test_from_wherever_git_would_find_it(indexed, git, monkeypatch, tmp_path):
    (indexed / "sub").mkdir()
    git("worktree", "add", "--quiet", "--detach", tmp_path / "linked", cwd=indexed)
    for folder in (indexed / "sub", tmp_path / "linked", indexed / ".git"):
        monkeypatch.chdir(folder)
        assert ask("bash", "show", "sec") == (["second"], ["0"])
    monkeypatch.chdir(tmp_path)
    assert ask("bash", "show", "sec")[0] == []
    assert ask("bash", "-C", str(indexed), "show", "sec")[0] == ["second"]
    monkeypatch.setenv("GIT_DIR", str(indexed / ".git"))
    assert ask("bash", "show", "sec")[0] == ["second"]


def test_colons_for_zsh(indexed):
    assert ask("zsh", "log", "--group-by", "we")[0] == [r"weird\:key:param"]
