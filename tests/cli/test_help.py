"""``git lumo help`` and the manual page: both are made of the parsers."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from gitlumo.cli import manual
from gitlumo.cli.command import VERBS, parser_of
from gitlumo.config import FIELDS

PAGE = Path(__file__).parent.parent.parent / "docs/git-lumo.1"


def test_the_text(lumo, tmp_path):
    """All ways that need no ``man`` print the same, also outside a repository."""
    text = lumo("help").out
    assert "usage: git lumo" in text
    assert lumo("-h").out == lumo("--help", direct=True).out == lumo("-h", direct=True).out == text
    assert [verb for verb in VERBS if verb not in text] == []


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb(lumo, verb):
    done = lumo("help", verb)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"usage: git lumo {verb}")
    assert done.out == lumo(verb, "-h").out


def test_help_of_no_verb(lumo):
    done = lumo("help", "shwo")
    assert done.status == 129
    assert "did you mean 'git lumo show'?" in done.err


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == manual.page(), "type: python -m gitlumo.cli.manual >docs/git-lumo.1"


def test_the_page_names_all_that_there_is():
    page = PAGE.read_text().replace("\\-", "-")
    options = [name for verb in VERBS for action in parser_of(verb)._actions for name in action.option_strings]
    assert [name for name in options if f"\\fB{name}\\fR" not in page] == []
    settings = {f"lumo.{field}".replace("_", "") for field in FIELDS}
    assert {name.lower() for name in manual.SETTINGS} == settings


@pytest.fixture
def man(tmp_path):
    """An environment in which ``man`` finds the page as a wheel installs it."""
    version = (
        subprocess.run(["man", "--version"], capture_output=True, text=True, check=False)
        if shutil.which("man")
        else None
    )
    if version is None or not version.stdout.startswith("man "):
        pytest.skip("man is not installed")
    folder = tmp_path / "share/man/man1"
    folder.mkdir(parents=True)
    shutil.copy(PAGE, folder)
    return {"MANPATH": str(tmp_path / "share/man"), "MANPAGER": "cat", "MANWIDTH": "80"}


def test_man_reads_it_without_a_warning(man):
    shown = subprocess.run(
        ["man", "--warnings", "-l", str(PAGE)], env=os.environ | man, capture_output=True, text=True, check=True
    )
    assert shown.stderr == ""
    assert "git lumo show [OPTION...] [EXP[:PATH]...]" in shown.stdout


def test_git_lumo_help_shows_the_page(lumo, man):
    done = lumo("--help", env=man)
    assert done.status == 0
    assert "GIT-LUMO(1)" in done.out
    assert (
        done.out
        == subprocess.run(
            ["git", "help", "lumo"], env=os.environ | man, capture_output=True, text=True, check=True
        ).stdout
    )
