"""``git lumo note``: print a run's note, or write another one."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from gitlumo import arguments
from gitlumo.cli.edits import Target, find, say
from gitlumo.cli.terminal import printable
from gitlumo.errors import GitError, LumoError, UsageError
from gitlumo.git import process
from gitlumo.git.repository import Repository

# Not lines that begin with '#': in a note these are headings (git-commit(1), --cleanup=scissors).
SCISSORS = "# ------------------------ >8 ------------------------"
BELOW = """\
# Do not change or remove the line above; everything below it is left out.
# This is the note of {name}, {state}. An empty one takes the note away.
"""


def options(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument("exp", metavar="EXP", help="the run")
    given = parser.add_mutually_exclusive_group()
    given.add_argument(
        "-m", "--message", action="append", metavar="TEXT", help="the new note; again: one more paragraph"
    )
    given.add_argument("-F", "--file", metavar="FILE", help="the new note is in FILE; -: standard input")
    parser.add_argument("-e", "--edit", action="store_true", help="open the note in git's editor")


def run(args: argparse.Namespace) -> int:
    """Print or write it."""
    from gitlumo.editing import NOTE, edit_run

    text = _given(args)
    target = find(args.exp)
    there = target.run.note
    if text is None and not args.edit:
        return _print(target, there)
    kept = os.path.join(target.ledger.lumo_dir, f"NOTE_EDITMSG-{os.getpid()}.md")
    if args.edit:
        text = _edited(target, kept, there if text is None else text)
    note = text or ""
    arguments.text_bytes("note", note)
    if note.rstrip("\n") == there.rstrip("\n"):
        say(f"{target.label}: the note is as it was")
    else:
        try:
            edit_run(target.ledger, target.run, NOTE, note)
        except (LumoError, OSError) as error:
            if args.edit:
                raise LumoError(f"{error}\nyour text is in {kept}") from None
            raise
        say(f"{target.label}: note {'written' if note.strip() else 'taken away'}", undo=target.label)
    if args.edit:
        os.unlink(kept)
    return 0


def _given(args: argparse.Namespace) -> str | None:
    """The note that the command line says."""
    if args.message is not None:
        return "\n\n".join(args.message)
    if args.file is None:
        return None
    try:
        data = sys.stdin.buffer.read() if args.file == "-" else _read(args.file)
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{args.file} is no text in UTF-8: {error}") from None


def _read(path: str) -> bytes:
    with open(path, "rb") as source:
        return source.read()


def _print(target: Target, note: str) -> int:
    if not note:
        print(f"{printable(target.label)} has no note; write one: git lumo note -e {target.quoted}", file=sys.stderr)
        return 1
    if sys.stdout.isatty():
        note = printable(note, newlines=True)
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.stdout.write(note if note.endswith("\n") else f"{note}\n")
    return 0


def _edited(target: Target, path: str, note: str) -> str:
    """What the user makes of a note in the editor, without blank lines around it."""
    below = BELOW.format(name=printable(target.label), state=target.run.state)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        out.write(f"{note.rstrip()}\n\n{SCISSORS}\n{below}")
    _open_editor(target.ledger.repository, path)
    text = _read(path).decode("utf-8", "replace")
    kept, line, _ = f"\n{text}".partition(f"\n{SCISSORS}")
    kept = (kept if line else text).strip("\n").rstrip()
    return f"{kept}\n" if kept else ""


def _open_editor(repository: Repository, path: str) -> None:
    """Open git's editor, and wait for it (git-var(1), GIT_EDITOR: the shell runs it)."""
    told = process.run([*repository.git_args, "var", "GIT_EDITOR"], check=False)
    if told.status != 0:
        raise GitError(f"{told.message or 'git knows no editor'}\nor give the note: -m TEXT, -F FILE")
    editor = told.out.decode("utf-8", "surrogateescape").strip()
    sys.stdout.flush()
    if subprocess.run(["sh", "-c", f'{editor} "$@"', editor, path], check=False).returncode != 0:
        os.unlink(path)
        raise LumoError(f"there was a problem with the editor '{editor}'; the note is as it was")
