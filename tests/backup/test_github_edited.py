"""Issues in which people have written: their text stays, and what is left of the record is told precisely."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from contextlib import chdir

import pytest

from gitlumo.backup import issue
from gitlumo.cli import main
from tests.backup import backups
from tests.backup.backups import backup


@pytest.fixture
def run(project):
    exp = backups.record()
    assert backup("@") == 0
    return exp


@pytest.fixture
def restore(github, project, tmp_path, capfd):
    """``restore(*options)``: restores #1 elsewhere; the status, what was said, and the runs that are there then."""
    count = iter(range(100))

    def call(*options: str, number: int = 1):
        folder = tmp_path / f"other-{next(count)}"
        subprocess.run(["git", "init", "-q", folder], check=True)
        backups.connect(github, folder)
        capfd.readouterr()
        with chdir(folder):
            status = main(["restore", f"github:{github.repo}#{number}", *options])
        said = capfd.readouterr()
        return status, said.out + said.err, backups.runs(folder)

    return call


def body(github, number=1):
    return next(each["body"] for each in github.issues() if each["number"] == number)


def edit(github, change, number=1):
    github.edit(number, body=change(body(github, number)))


def header(text):
    found = re.search(r"^ *gitlumo-record 1 .*$", text, re.MULTILINE)
    assert found
    return found


def lines_of_record(text):
    return text[header(text).end() + 1 :].split("\nend sha256=")[0].split("\n")


def indented(text):
    """As a person's editor may do it."""
    start, end = header(text).start(), text.index("\n```\n", header(text).end())
    return text[:start] + re.sub("^", "    ", text[start:end], flags=re.MULTILINE).replace("\n", " \t\n") + text[end:]


def between(text):
    return re.sub(r"(<!-- gitlumo page end -->\n)", r"\1\n## What I think\n\nfine, *really*\n\n", text)


def quoted(text):
    """A record of another run, as it stands in another issue."""
    other = re.sub(r"uid=[0-9a-f]{32}", f"uid={'0' * 32}", text[header(text).start() : text.index("\n```\n")])
    return f"look at that one:\n\n{other}\n\n{text}\n> <!-- gitlumo run {'0' * 32} -->\n"


HARMLESS = {
    "around": lambda text: f"\n\nbefore\n\n{text}\n\nafter 🎉\n",
    "between": between,
    "crlf": lambda text: text.replace("\n", "\r\n"),
    "indented": indented,
    "quoted": quoted,
    "unfenced": lambda text: text.replace("```text\n", "").replace("\n```\n", "\n"),
    "page removed": lambda text: re.sub(r"(?s)<!-- gitlumo page -->.*<!-- gitlumo page end -->\n", "", text),
    "page edited": lambda text: text.replace("| lr |", "| learning rate |"),
    "blank lines": lambda text: text.replace(lines_of_record(text)[0] + "\n", lines_of_record(text)[0] + "\n\n"),
}


@pytest.mark.parametrize(("name", "crlf"), [*zip(HARMLESS, itertools.cycle([False, True]))])
def test_what_does_no_harm(github, run, restore, name, crlf, capfd):
    original = {run.uid: backups.as_json()}
    edit(github, HARMLESS[name])
    github.crlf = crlf
    assert restore()[::2] == (0, original)
    assert backup("--check", "@") == 0
    github.requests.clear()
    assert backup("@") == 0
    assert backups.writes(github) == []
    theirs = [line for line in ("before", "after 🎉", "fine, *really*", "look at that one:") if line in body(github)]
    assert main(["note", "@", "-m", "another"]) == 0
    assert backup("@") == 0
    assert all(line in body(github).splitlines() for line in theirs)
    assert restore()[::2] == (0, {run.uid: backups.as_json()})
    assert len(github.issues()) == 1
    assert body(github).count("gitlumo page -->") == body(github).count("gitlumo record -->") == 1


def without(text, first, last):
    at = text.index(first)
    return text[:at] + text[text.index(last, at) :]


def changed(text):
    line = lines_of_record(text)[1]
    other = "A" if line[10] != "A" else "B"
    return text.replace(line, f"{line[:10]}{other}{line[11:]}")


HARMFUL = {
    "one character": (changed, "somebody has changed its record: part 1 of 1 is not as it was written", False),
    "a line less": (
        lambda text: text.replace(lines_of_record(text)[-2] + "\n", ""),
        "somebody has changed its record: part 1 of 1 is not as it was written",
        True,
    ),
    "a word in it": (
        lambda text: text.replace(lines_of_record(text)[-2], "hello"),
        "somebody has changed its record: part 1 of 1 is not as it was written",
        True,
    ),
    "truncated": (
        lambda text: text[: text.index(lines_of_record(text)[-2])],
        "somebody has changed its record: part 1 of 1 is not as it was written",
        True,
    ),
    "digest": (
        lambda text: re.sub(r"(part=.* sha256=)\w", r"\1f" if "sha256=f" not in header(text)[0] else r"\1e", text),
        "its record is not the one that was written: the digest is another",
        True,
    ),
    "block removed": (
        lambda text: re.sub(r"(?s)<!-- gitlumo record -->.*<!-- gitlumo record end -->\n", "", text),
        "its record is gone: no line of the body begins with 'gitlumo-record'",
        False,
    ),
    "mark removed": (
        lambda text: re.sub(r"<!-- gitlumo run \w+ -->\n", "", text),
        "somebody has removed its mark, '<!-- gitlumo run ... -->'",
        True,
    ),
    "all removed": (lambda text: "done\n", "it holds no run of gitlumo's", False),
    "two marks": (
        lambda text: f"{text}<!-- gitlumo run {'0' * 32} -->\n",
        r"it is marked as several runs, \w+ and 0{32}: somebody has pasted the text of one into another",
        True,
    ),
    "another uid": (
        lambda text: re.sub(r"(gitlumo run |uid=)[0-9a-f]{32}", rf"\g<1>{'0' * 32}", text),
        "its record is that of another run: its uid is",
        False,
    ),
    "a bomb": (
        lambda text: re.sub("part=1/1", "part=1/999999999", text),
        "its record has 999999999 parts; there are never more than",
        True,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "crlf"), [*zip(HARMFUL, itertools.cycle([False, True]))])
def test_what_does_harm(github, run, restore, name, crlf):
    change, said, helps = HARMFUL[name]
    edit(github, change)
    github.crlf = crlf
    status, out, runs = restore()
    assert status == 128
    assert re.match(rf"fatal: github:{github.repo}#1: {said}", out), out
    hint = f"\nas far as it goes:  git lumo restore --force github:{github.repo}#1\n"
    assert (hint in out) == ("gitlumo-record 1" in body(github))
    assert runs == {}
    status, out, runs = restore("--force")
    assert (status == 0) == helps, out
    if helps:
        (forced,) = runs.values()
        assert re.search(said, " ".join(forced["restored"]["forced"]))
        assert "restored all the same, though " in out
        original = backups.as_json()
        for key in ("uid", "test_name", "params"):
            assert forced[key] == original[key]
    else:
        assert out.startswith("fatal: "), out


@pytest.mark.parametrize("name", HARMFUL)
def test_harm_is_mended_by_the_next_backup(github, run, restore, name, capfd):
    before = github.issues()[0]
    edit(github, lambda text: f"mine\n\n{HARMFUL[name][0](text)}")
    assert backup("--check", "@") == 1
    assert re.search("damaged|not backed up", capfd.readouterr().out)
    assert backup("@") == 0
    live = backups.live(github, run.uid)
    if name == "two marks":  # whose it is, a person has to say
        assert backup("--check", "@") == 1
        assert "it is marked as several runs" in capfd.readouterr().out
        return
    assert len(live) == 1
    if name in ("all removed", "another uid"):  # it is no backup of this run any more
        assert live[0]["number"] == 2
    else:
        assert (live[0]["number"], live[0]["title"]) == (1, before["title"])
    assert "mine\n" in body(github)
    status, _, runs = restore(number=live[0]["number"])
    assert (status, runs) == (0, {run.uid: backups.as_json()})


@pytest.mark.parametrize("top", [False, True])
@pytest.mark.parametrize("into", [1, 2])
def test_the_text_of_another_issue_pasted_into_one(github, run, tmp_path, top, into, capfd):
    other = backups.record()
    assert backup("@") == 0
    both = {exp.uid: backups.as_json(exp.test_name) for exp in (run, other)}
    pasted = body(github, 3 - into)
    edit(github, lambda text: f"{pasted}\n{text}" if top else f"{text}\n{pasted}", into)
    github.requests.clear()
    assert backup("--all") == 0
    assert backups.writes(github) == [], "none is emptied, none is new"
    assert main(["note", other.test_name, "-m", "another"]) == 0
    assert main(["note", run.test_name, "-m", "another"]) == 0
    both = {exp.uid: backups.as_json(exp.test_name) for exp in (run, other)}
    assert backup("--all") == 0
    assert "2 updated" in capfd.readouterr().err
    github.requests.clear()
    assert backup("--all") == 0
    assert backups.writes(github) == []
    github.edit(into, body=re.sub(rf"<!-- gitlumo run (?!{(run, other)[into - 1].uid}).*\n", "", body(github, into)))
    assert backups.restored(github, tmp_path / "other") == both


def test_two_records_of_one_run(github, run, restore):
    """A person pastes what there was before: the first counts, until they are brought up to date."""
    old = body(github)
    assert main(["note", "@", "-m", "another"]) == 0
    assert backup("@") == 0
    edit(github, lambda text: f"{text}\n\nit was:\n\n{old}")
    assert restore()[::2] == (0, {run.uid: backups.as_json()})
    assert backup("--check", "@") == 0
    edit(github, lambda text: f"{old}\n\nit was:\n\n{text.split('it was:')[0]}")
    assert backup("--check", "@") == 1
    assert backup("@") == 0
    assert restore()[::2] == (0, {run.uid: backups.as_json()})


def test_a_record_truncated_anywhere(github, run, restore):
    """All that remains is refused, or read as far as it goes; nothing else ever happens."""
    whole = body(github)
    start, end = header(whole).end(), whole.index("\nend sha256=")
    outcomes = set()
    for number in range(6):
        github.edit(1, body=whole[: start + 2 + (end - start) * number // 6])
        assert restore()[0] == 128
        status, said, runs = restore("--force")
        outcomes.add(status)
        if status == 0:
            assert runs[run.uid]["restored"]["forced"]
            assert runs[run.uid]["test_name"] == run.test_name
        else:
            assert said.startswith(f"fatal: github:{github.repo}#1"), said
            assert "fault of gitlumo" not in said
    assert outcomes == {0, 128}


@pytest.mark.parametrize("which", [0, 1])
def test_comments_that_go_on_with_it(github, project, restore, which, capfd):
    exp = backups.record(long=backups.LONG)
    assert backup("@") == 0
    original = {exp.uid: backups.as_json()}
    comment = github.comments(1)[which]
    path = f"/repos/{github.repo}/issues/comments/{comment['id']}"
    backups.say(github, 1, f"> quoted\n\n{comment['body'][:200]}")
    github.ask("PATCH", path, {"body": f"{comment['body']}\n\nwell"})
    assert restore()[::2] == (0, original)
    github.ask("PATCH", path, {"body": changed(comment["body"])})
    status, said, _ = restore()
    assert status == 128
    assert f"somebody has changed its record: part {which + 2} of 3 is not as it was written" in said
    github.ask("DELETE", path)
    status, said, _ = restore()
    assert status == 128
    assert f"its record is not whole: part {which + 2} of 3 is missing" in said
    status, said, runs = restore("--force")
    assert status == 0
    assert f"part {which + 2} of 3 is missing" in runs[exp.uid]["restored"]["forced"][0]
    assert runs[exp.uid]["metrics"] == original[exp.uid]["metrics"]
    assert backup("--check", "@") == 1
    assert "damaged (its record is not whole" in capfd.readouterr().out
    assert backup("@") == 0
    assert restore()[::2] == (0, original)
    assert len(github.comments(1)) == 3


def test_all_but_the_damaged_ones_are_restored(github, run, project, tmp_path, capfd):
    whole = backups.record()
    assert backup("@") == 0
    edit(github, changed)
    subprocess.run(["git", "init", "-q", tmp_path / "other"], check=True)
    backups.connect(github, tmp_path / "other")
    capfd.readouterr()
    with chdir(tmp_path / "other"):
        assert main(["restore", "--all", f"github:{github.repo}"]) == 1
    said = capfd.readouterr()
    assert f"error: github:{github.repo}#1: somebody has changed its record" in said.err
    assert f"restored: digits/{whole.test_name} from" in said.out
    assert list(backups.runs(tmp_path / "other")) == [whole.uid]


def test_a_duplicate_in_which_somebody_has_written(github, run, restore, capfd):
    kept = github.issues()[0]
    again = {"title": kept["title"], "labels": ["lumo", "mine"]}
    github.ask("POST", f"/repos/{github.repo}/issues", {**again, "body": f"mine\n\n{kept['body']}"})
    backups.say(github, 2, "hello")
    assert backup("@") == 0
    duplicate = github.issues()[1]
    assert duplicate["body"].startswith(f"<!-- gitlumo duplicate {run.uid} -->\nThis run is backed up in #1;")
    assert duplicate["body"].endswith("\n\nmine\n")
    assert (duplicate["state"], list(issue.parts(duplicate["body"]))) == ("closed", [])
    assert [comment["body"] for comment in github.comments(2)] == ["hello"]
    assert restore(number=2)[1].startswith(f"fatal: github:{github.repo}#2: it is a duplicate that was emptied")


def test_json_of_what_was_forced(github, run, restore):
    edit(github, HARMFUL["truncated"][0])
    status, said, _ = restore("--force", "--json")
    assert status == 0
    assert "is not as it was written" in json.loads(said)["lost"]["forced"][0]
