"""The text of an issue: from a record to Markdown and back, whatever people do around it."""

from __future__ import annotations

import hashlib
import re
import resource

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitlumo.backup import issue
from gitlumo.backup.draft import Draft
from gitlumo.errors import FormatError, LumoError

UID, OTHER = "ab" * 16, "cd" * 16
PAGE = "**finished**: `digits/x`\n\n| metric | best |\n| --- | --- |\n| `acc` | 0.93 |\n"
DATA = hashlib.shake_256(b"a record").digest(200_000)
DIGEST = issue.digest_of(DATA)
MARKS = [f"<!-- gitlumo {name}{end} -->" for name in ("page", "record") for end in ("", " end")]
people = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=300)


def draft(data=DATA, page=PAGE):
    return Draft(UID, "digits / x", "digits / x", page, data, issue.digest_of(data), ("lumo",), True, (), {})


def read(body, comments=()):
    return issue.whole(issue.of_run(UID, [body, *comments]))


def size(text):
    return max(len(text), len(text.encode("utf-8")))


def browser(text):
    """What GitHub's editor makes of line ends."""
    return text.replace("\n", "\r\n")


@settings(max_examples=40)
@given(st.binary(max_size=100_000), st.integers(-5000, issue.MAX_BODY))
def test_a_record_is_divided_and_comes_back(data, room):
    texts = issue.split(UID, issue.digest_of(data), data, room)
    assert read(texts[0], texts[1:]) == data
    assert read(browser(texts[0]), [browser(text) for text in reversed(texts[1:])]) == data


@given(st.data())
def test_what_stands_at_the_ends_of_lines_does_not_count(data):
    text = issue.split(UID, DIGEST, DATA[:2000], 60_000)[0]
    blank = st.text(" \t\r\u3000", max_size=3)
    lines = [data.draw(blank) + line + data.draw(blank) for line in text.split("\n")]
    assert read("\n".join(lines)) == DATA[:2000]


@given(people, people, st.binary(max_size=3000), st.binary(max_size=3000))
def test_what_people_write_around_ours_stays(before, after, data, later):
    body, _ = draft(data).texts()
    edited = f"{before}\n{body}{after}"
    if issue.uids_of(edited)[:1] != [UID]:  # they wrote a marker of another run in front
        return
    new, _ = draft(later, "another page\n").texts(browser(edited))
    assert read(new) == later
    assert new.startswith(f"{before}\n".replace("\r\n", "\n"))
    assert new.endswith(after.replace("\r\n", "\n"))
    assert (new.count("another page"), PAGE in new) == (1, False)
    assert draft(later, "another page\n").texts(new)[0] == new


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("twice", [False, True])
def test_a_mark_that_people_have_taken_away_costs_nothing_that_they_wrote(mark, twice):
    body, _ = draft(b"old").texts()
    parts = body.split("<!-- gitlumo record -->")
    body = f"above\n{parts[0]}between\n<!-- gitlumo record -->{parts[1]}below\n".replace(f"{mark}\n", "")
    for data in (b"new", b"newer") if twice else (b"new",):
        body, _ = draft(data).texts(body)
        assert [word for word in ("above", "between", "below") if f"{word}\n" not in body] == []
        assert read(body) == data
        assert body.count("gitlumo-record 1 ") == 1
    assert draft(data).texts(body)[0] == body


@pytest.mark.parametrize("width", [1, 2, 3, 4])  # bytes of a character
@pytest.mark.parametrize("theirs", [0, 1000, 10_000, 50_000, 64_000])
@pytest.mark.parametrize("record", [0, 10_000, 200_000])
@pytest.mark.parametrize("lines", [1, 40])
def test_nothing_is_longer_than_github_takes(width, theirs, record, lines):
    text = {1: "a", 2: "é", 3: "運", 4: "🎲"}[width] * (theirs // width // lines) + "\n"
    page = "x" * 500 + "\n" + PAGE * 20
    former = draft(b"", page).texts()[0] + text * lines
    try:
        body, comments = draft(DATA[:record], page).texts(former)
    except LumoError as error:
        asked = int(re.search(r"leaves no room for the run; move (\d+) bytes", str(error))[1])
        assert theirs + asked > 60_000
        body, comments = draft(DATA[:record], page).texts(former.encode()[: -asked - 8].decode("utf-8", "ignore"))
    assert max(map(size, (browser(body), *map(browser, comments)))) <= issue.MAX_BODY
    assert len(comments) < issue.MAX_PARTS
    assert read(body, comments) == DATA[:record]


def test_people_can_still_write_into_a_body_that_is_full():
    body, comments = draft().texts()
    assert issue.MAX_BODY - size(browser(body)) > 2000
    assert len(comments) == 4


def test_parts_of_a_former_record_and_of_other_runs_do_not_count():
    old, new = DATA[:100_000], DATA[100_000:]
    body, comments = draft(new).texts()
    _, others = draft(old).texts()
    foreign = [text.replace(UID, OTHER) for text in comments]
    assert read(body, [*others, *foreign, *comments]) == new
    with pytest.raises(FormatError, match="its record is not whole: part 2, 3 of 3 is missing"):
        read(body, [*others, *foreign])


def test_the_same_record_divided_in_another_way_does_not_mix():
    body, comments = draft().texts()
    other = [issue.comment(UID, text) for text in issue.split(UID, DIGEST, DATA, 20_000)]
    assert read(body, [*other, *comments]) == DATA
    with pytest.raises(FormatError, match="part 2, 3, 4, 5 of 5 is missing"):
        read(body, other)


def test_what_somebody_adds_later_replaces_no_part():
    body, comments = draft().texts()
    forged = next(part for part in issue.parts(comments[0]) if part.number == 2)
    text = issue._text(UID, DIGEST, 2, forged.count, forged.first, b"something else")
    assert read(body, [*comments, issue.comment(UID, text)]) == DATA
    assert issue.beginning(issue.of_run(UID, [body, *comments, text])) == DATA


def damaged_at(text, number):
    lines = text.split("\n")
    at = next(n for n, line in enumerate(lines) if line.startswith("gitlumo-record")) + number
    return lines, at


DAMAGES = {
    "a letter": lambda line: [("B" if line[0] == "A" else "A") + line[1:]],
    "a line less": lambda line: [],
    "a line more": lambda line: [line, line],
    "words": lambda line: [line, "what is this?"],
    "no base64": lambda line: [line + "="],
}


@pytest.mark.parametrize("change", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("number", [1, 3])
def test_damage_is_named(change, number):
    body, comments = draft().texts()
    texts = [body, *comments]
    lines, at = damaged_at(texts[number - 1], 5)
    texts[number - 1] = "\n".join([*lines[:at], *change(lines[at]), *lines[at + 1 :]])
    with pytest.raises(FormatError, match=f"somebody has changed its record: part {number} of 5 is not as it was"):
        read(texts[0], texts[1:])
    begin = issue.beginning(issue.of_run(UID, texts))
    first = issue.of_run(UID, texts)[0].first
    sound = 0 if number == 1 else first + issue.PART_BYTES * (number - 2)
    assert (begin[:sound], sound <= len(begin) <= sound + issue.PART_BYTES + 57) == (DATA[:sound], True)


def test_what_is_missing_is_named():
    body, comments = draft().texts()
    texts = [body, comments[0], comments[2]]
    with pytest.raises(FormatError, match="its record is not whole: part 3, 5 of 5 is missing"):
        read(texts[0], texts[1:])
    first = issue.of_run(UID, texts)[0].first
    assert issue.beginning(issue.of_run(UID, texts)) == DATA[: first + issue.PART_BYTES]


def test_a_body_that_was_cut_off_is_read_as_far_as_it_goes():
    body, _ = draft(DATA[:20_000]).texts()
    cut = body[: body.index("end sha256=") - 3000]
    with pytest.raises(FormatError, match="part 1 of 1 is not as it was written"):
        read(cut)
    begin = issue.beginning(issue.of_run(UID, [cut]))
    assert len(begin) > 17_000
    assert DATA.startswith(begin)


HEADER = f"gitlumo-record 1 uid={UID} part=1/1 first=0 sha256={DIGEST}"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "its record is gone: no line of the body begins with 'gitlumo-record'"),
        ("hello gitlumo-record 1 uid=", "its record is gone"),
        (HEADER.replace(UID, OTHER), "the first line of its record, .*, is not as it was written, or of another run"),
        (HEADER.replace("part=1/1", "part=2/2"), "the first line of its record"),
        (HEADER.replace("part=1/1", "part=0/0"), "the first line of its record"),
        (HEADER.replace("first=0", "first=" + "9" * 5000), "the first line of its record"),
        (HEADER.replace("part=1/1", "part=1/" + "9" * 5000), "the first line of its record"),
        (HEADER.replace("part=1/1", "part=1/٣"), "the first line of its record"),
        (HEADER[:-1], "the first line of its record"),
        (HEADER.replace("part=1/1", "part=1/9999"), "its record has 9999 parts; there are never more than 9"),
        ("gitlumo-record 2 what=ever", "its record is of version 2; install a newer gitlumo"),
        (HEADER, "part 1 of 1 is not as it was written"),
    ],
)
def test_what_is_no_record(body, said):
    with pytest.raises(FormatError, match=said):
        read(body)


def test_parts_beyond_any_number_are_refused():
    body, comments = draft().texts()
    texts = [text.replace("/5 ", "/5000 ") for text in (body, *comments)]
    with pytest.raises(FormatError, match="5000 parts; there are never more than 9"):
        read(texts[0], texts[1:])
    assert issue.beginning(issue.of_run(UID, texts)) == DATA


HOSTILE = {
    "starts of regions": "<!-- gitlumo page -->\n" * 3000,
    "ends of regions": "<!-- gitlumo record end -->\n" * 2400,
    "nested regions": ("<!-- gitlumo page -->\n<!-- gitlumo record -->\n" * 1500)[:65_000],
    "markers": f"<!-- gitlumo run {OTHER} -->\n" * 1100,
    "headers": f"{HEADER}\n" * 430,
    "headers, then lines": f"{HEADER}\n" * 200 + "A\n" * 17_000,
    "one line": "A" * 65_536,
    "equals": "=" * 65_536,
    "blanks": " " * 65_536,
    "line ends": "\n" * 65_536,
    "numbers": f"gitlumo-record {'1' * 60_000}",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_a_stranger_writes_takes_no_time(text):
    began = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    body = f"<!-- gitlumo run {UID} -->\n{text}"[: issue.MAX_BODY]
    with pytest.raises(FormatError):
        read(body, [text] * 20)
    issue.body(UID, PAGE, "", body)
    issue.emptied(UID, 3, body)
    issue.part_of(text), issue.duplicate_of(text)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - began < 3  # seconds; a search that blows up takes hours


def test_whose_backup_an_issue_is():
    body, comments = draft().texts()
    assert all(issue.uids_of(text) == [UID] for text in (body, browser(body), f"seen\n{body}"))
    assert [issue.part_of(browser(text)) for text in comments] == [UID] * 4
    for text in (None, "", "hello", comments[0], f"x <!-- gitlumo run {UID} -->", f"<!-- gitlumo run {UID} --> x"):
        assert issue.uids_of(text) == []
    assert [issue.part_of(text) for text in (None, body, f"look: {comments[0]}")] == [None] * 3


def test_a_duplicate_is_emptied_but_for_what_people_wrote():
    body, _ = draft(DATA[:1000]).texts()
    mine = issue.emptied(UID, 7, browser(body))
    assert mine == f"<!-- gitlumo duplicate {UID} -->\nThis run is backed up in #7; this issue is a duplicate.\n"
    theirs = issue.emptied(UID, 7, f"above\n{body}\n\nbelow")
    assert "above\n" in theirs
    assert theirs.endswith("below\n")
    for text in (mine, theirs):
        assert (issue.uids_of(text), issue.duplicate_of(text), list(issue.parts(text))) == ([], UID, [])
        assert "finished" not in text
