"""``git lumo note``: what it prints, and every way to write one."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import gitlumo


@pytest.fixture
def one(repo):
    with gitlumo.Experiment("digits", "first") as exp:
        exp.dump_note("as the run wrote it")
    return repo


@pytest.fixture
def editor(monkeypatch, tmp_path):
    """``editor(script)``: git's editor is this shell script; ``$1`` is the file."""

    def use(script):
        path = tmp_path / "editor"
        path.write_text(f'#!/bin/sh\ncp "$1" {tmp_path}/seen\n{script}\n')
        path.chmod(0o755)
        monkeypatch.setenv("GIT_EDITOR", str(path))
        return tmp_path / "seen"

    return use


def note_of(here_lumo):
    return json.loads(here_lumo("show", "first", "--json").out)["note"]


def test_it_prints_the_note(here_lumo, one):
    assert here_lumo("note", "first").out == "as the run wrote it\n"
    gitlumo.Experiment("digits", "second").start().end()
    done = here_lumo("note", "second")
    assert (done.status, done.out) == (1, "")
    assert "git lumo note -e digits/second" in done.err


def test_from_the_command_line(here_lumo, one, git, fsck):
    done = here_lumo("note", "first", "-m", "warm restarts", "-m", "# they help")
    assert (done.status, done.err) == (0, "")
    assert 'to undo this: "git lumo undo digits/first"' in done.out
    assert here_lumo("note", "first").out == "warm restarts\n\n# they help\n"
    assert git("log", "-1", "--format=%s%n%an <%ae>%n%(trailers)", "lumo_experiments").splitlines()[:4] == [
        "digits/first finished note=warm restarts",
        "Ada Lovelace <ada@example.org>",
        "Lumo-Format: 1",
        "Lumo-Event: edit",
    ]
    path = git("ls-tree", "-r", "--name-only", "lumo_experiments").splitlines()[0]
    assert re.search(r"/first/edits/[0-8]\d{16}-[0-9a-f]{16}\.json$", path)
    edit = json.loads(git("show", f"lumo_experiments:{path}"))
    assert edit["by"] == "Ada Lovelace <ada@example.org>"
    assert sorted(edit) == ["at", "by", "id", "kind", "uid", "value"]
    fsck(one)


def test_from_a_file(here_lumo, one, tmp_path, monkeypatch):
    (tmp_path / "note.txt").write_text("aus der Datei: größer\n", encoding="utf-8")
    assert here_lumo("note", "first", "-F", str(tmp_path / "note.txt")).status == 0
    assert note_of(here_lumo) == "aus der Datei: größer\n"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"from a pipe\n")))
    assert here_lumo("note", "first", "-F", "-").status == 0
    assert note_of(here_lumo) == "from a pipe\n"
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    assert here_lumo("note", "first", "-F", str(tmp_path / "picture.png")).status == 129
    missing = here_lumo("note", "first", "-F", str(tmp_path / "nothing"))
    assert (missing.status, missing.err.count("\n")) == (128, 1)


def test_in_the_editor(here_lumo, one, editor):
    seen = editor("sed -i '1s/.*/# what helped/' \"$1\"")
    assert here_lumo("note", "-e", "first").status == 0
    first, *rest = seen.read_text().splitlines()
    assert first == "as the run wrote it"
    assert [line for line in rest if line and not line.startswith("# ")] == []
    assert "digits/first, finished" in seen.read_text()
    assert note_of(here_lumo) == "# what helped\n"  # in a note that is a heading, no comment
    assert [name for name in os.listdir(one / ".git/lumo") if name.startswith("NOTE")] == []


def test_the_editor_begins_with_what_the_command_line_says(here_lumo, one, editor):
    seen = editor("echo changed >$1")
    assert here_lumo("note", "-e", "-m", "begin with this", "first").status == 0
    assert seen.read_text().startswith("begin with this\n")
    assert note_of(here_lumo) == "changed\n"


def test_unchanged_is_no_event(here_lumo, one, editor, git):
    before = git("rev-parse", "lumo_experiments")
    editor("true")
    assert "as it was" in here_lumo("note", "-e", "first").out
    assert "as it was" in here_lumo("note", "first", "-m", "as the run wrote it").out
    assert git("rev-parse", "lumo_experiments") == before


def test_the_editor_fails(here_lumo, one, editor, git):
    before = git("rev-parse", "lumo_experiments")
    editor("exit 3")
    done = here_lumo("note", "-e", "first")
    assert done.status == 128
    assert "problem with the editor" in done.err
    assert git("rev-parse", "lumo_experiments") == before


def test_a_text_that_could_not_be_stored_is_kept(here_lumo, one, editor, git):
    """Somebody checks the ledger out meanwhile: what was typed is not lost."""
    editor(f"echo hours of work >$1; git -C {one} switch --quiet lumo_experiments")
    done = here_lumo("note", "-e", "first")
    assert done.status == 128
    assert "is checked out" in done.err
    path = re.search(r"your text is in (.*)", done.err)[1]
    assert Path(path).read_text() == "hours of work\n"
    git("switch", "--quiet", "main")


def test_an_empty_note_takes_it_away(here_lumo, one):
    assert "taken away" in here_lumo("note", "first", "-m", "").out
    assert note_of(here_lumo) == ""
    assert here_lumo("undo").status == 0
    assert note_of(here_lumo) == "as the run wrote it"


def test_too_large(here_lumo, one, tmp_path, git):
    before = git("rev-parse", "lumo_experiments")
    (tmp_path / "large").write_text("x" * 11_000_000)
    done = here_lumo("note", "first", "-F", str(tmp_path / "large"))
    assert done.status == 128
    assert "too much for the ledger" in done.err
    assert git("rev-parse", "lumo_experiments") == before


def test_wrong_usage(here_lumo, one):
    assert here_lumo("note").status == 129
    assert here_lumo("note", "first", "-m", "a", "-F", "b").status == 129
    assert here_lumo("note", "nosuch", "-m", "a").status == 128
