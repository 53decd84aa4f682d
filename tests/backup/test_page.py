"""The page of an issue: a reader understands the run, and what was recorded can do nothing."""

from __future__ import annotations

import html.parser
import re
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitlumo import sparkline, values
from gitlumo.backup import draft, issue, page
from gitlumo.backup.address import Address
from gitlumo.store import layout
from tests.backup.parcels import PUBLIC, edit, made
from tests.backup.rendering import WIDTH, screenshot
from tests.backup.rendering import html as rendered

DOCS = Path(__file__).parents[2] / "docs"

COMMIT, HEAD = "06f31c3b9d38" + "0" * 28, "9a427b4de5df" + "0" * 28
CURVE = sparkline.draw([1 / (n + 1) for n in range(20)], 24)
URL = "https://github.com/ada/digits/commit/"
TAGS = {"p", "strong", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "code", "pre", "blockquote", "details",
        "summary", "br", "a"}  # fmt: skip


class Seen(html.parser.HTMLParser):
    """The tags of a page, its links, and its text outside of code, where GitHub links mentions and references."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.plain, self.code, self.open, self.cells = set(), [], "", [], [], []
        self.feed(rendered(text))

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag != "br":
            self.open.append(tag)
        if tag in ("code", "pre"):
            self.code.append("")
        if tag == "tr":
            self.cells.append(0)
        if tag in ("td", "th"):
            self.cells[-1] += 1
        self.links += [value for name, value in attributes if name in ("href", "src")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"code", "pre"} & set(self.open):
            self.code[-1] += data
        else:
            self.plain += data

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")


def seen(run, masked=(), lost=None, url=URL):
    text = page.text(run, masked, lost or {}, url)
    assert len(text.encode()) <= 24 * 1024
    body = issue.body(run.identity.uid, text, "")
    assert issue.uids_of(body) == [run.identity.uid]
    assert list(issue.parts(text)) == []
    assert issue.body(run.identity.uid, text, "", body) == body
    assert issue.body(run.identity.uid, "", "", body) == issue.body(run.identity.uid, "", "")
    found = Seen(text)
    assert found.tags <= TAGS
    assert not found.open
    assert set(found.links) <= {URL + COMMIT, URL + HEAD}
    assert not re.search(r"@\w|#\d|GH-\d|://|www\.", found.plain), found.plain
    assert set(found.cells) <= {2, 6}
    return found


def digits(files=None, **more):
    facts = {
        "params": {"model": "mlp", "optim": {"lr": 0.1}},
        "tags": ["best", "paper"],
        "git": {"commit": COMMIT, "head": HEAD, "branch": "main"},
        "pinfo": {"host": "vm", "pid": 1, "obj": {"argv": ["python", "train.py", "--name", "a b"]}},
        "execute": {"cwd": "demo"},
        "machine": {"cpu": "AMD EPYC", "cpus": 2},
        "lock": {"numpy": "2.5.5", "python": "3.13.5"},
        "seed": 7,
    }
    lines = [layout.format_line(n, n, {"loss": 1 / (n + 1)}) for n in range(20)]
    lines.append(layout.format_line(20, 20, {"acc": 0.93}, {"$cmp": "max"}))
    return made({"note.md": b"mlp reached 0.963\non the test digits", **(files or {})}, lines, **{**facts, **more})


def test_a_reader_understands_the_run():
    found = seen(digits(), ["params.api_key"], {"left_out": [{"path": "a.bin", "size": 5}]})
    everything = [
        "digits/261124.000.k3x9t", COMMIT[:12], HEAD[:12], "main", "python train.py --name 'a b'", "best", "paper",
        "acc", "20", "loss",
        CURVE, "model", "mlp", "optim.lr", "0.1", "cpu", "AMD EPYC", "cpus", "2",
        "host", "vm", "folder", "demo", "seed", "7", "numpy==2.5.5\npython==3.13.5\n", "params.api_key", "a.bin",
        "mlp reached 0.963\non the test digits\n",
    ]  # fmt: skip
    assert [each for each in everything if each not in found.code] == []
    for words in ("finished: , started 2026-11-24 08:00 UTC, took 300 s", "a snapshot with changes that were not comm",
                  "metric", "best", "last", "0.93 (max)", "parameter", "Note:", "Environment", "Tags:", "Masked (",
                  "Files that did not fit:"):  # fmt: skip
        assert words in found.plain


def test_a_thinned_history_is_said():
    text = page.text(digits(), (), {"history": {"lines": 12, "of": 5000}}, None)
    assert "The history was too long: the record has `12` of its `5000` lines, among them each metric's first" in text
    text = page.text(digits(), (), {"history": {"lines": 0, "of": 5000}}, None)
    assert "the record has `0` of its `5000` lines." in text
    restored = digits(restored={"history": {"lines": 12, "of": 5000}, "left_out": [{"path": "x", "size": 1}]})
    assert "the record has `12` of its `5000` lines" in page.text(restored, (), {}, None)


def test_states():
    assert "**finished**: " in page.text(digits(), (), {}, None)
    assert "**finished, deprecated**: " in page.text(digits(edit("deprecated", True)), (), {}, None)
    failed = digits(exception={"type": "ValueError", "message": "no `numbers`", "traceback": "x"})
    assert "It failed with `ValueError`: `` no `numbers` ``" in page.text(failed, (), {}, None)
    running = made(progress={"start": "2026-11-24T08:00:00.000Z", "end": None, "end_code": None})
    assert page.text(running, (), {}, None).startswith("**running**: `digits/261124.000.k3x9t`, started 2026-11-24 08:")


def test_titles():
    assert page.title(digits()) == "digits / 261124.000.k3x9t - acc 0.93, loss 0.05"
    assert page.title(made()) == "digits / 261124.000.k3x9t"
    long = made(history=[layout.format_line(0, 0, {f"{n} metric" * 3: n for n in range(99)})], exp_name="é" * 50)
    assert 150 < len(page.title(long)) <= page.MAX_TITLE
    odd = made(history=[layout.format_line(0, 0, {"a\nb\0\u202ec": 1})])
    assert page.title(odd) == "digits / 261124.000.k3x9t - a⏎b??c 1"


HOSTILE = [
    '@ada', 'ada@example.org', '#12', 'GH-12', 'lab/digits#1', 'ada@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
    'https://evil.example', 'www.evil.example', '<b>bold</b>', '<img src=x onerror=alert(1)>',
    '<script>alert(1)</script>', '<!--', '-->', '<!-- x -->', '</details>', '<details><summary>x</summary>',
    '</blockquote>', '</code></pre>', '</td></tr></table>', '<a href=x>y</a>', '[a](https://evil.example)',
    '![a](https://evil.example/x.png)', '[a]: https://evil.example', '[^1]', '&lt;b&gt;', '&#64;ada', '`', '``',
    '```', '~~~', '````js', 'a`b', '`a', 'a`', '|', 'a|b', '\\|', 'a\\|b', '\\\\|', '\\', 'a\\', '|`|', '`|`',
    'a\nb', 'a\r\nb', '\n\n', '\ta', '    code', '# head', '> quote', '- list', '* a', '1. x', '---', '===', '***',
    '**a**', '_a_', '~~a~~', '$x$', ':smile:', '> [!NOTE]', '- [ ] todo', '', ' ', '  ', '\u200b', '\u200f',
    '\u202eabc', '\u2066', '\u05e9\u05dc\u05d5\u05dd', '\ufeff', '\x00', '\x1b[31m', '\ud7ff', 'é', '🎲',
    'a' * 5000, '`' * 500, '|' * 500, '🎲' * 500, '<!-- gitlumo page end -->', '<!-- gitlumo record -->',
    '<!-- gitlumo run cccccccccccccccccccccccccccccccc -->',
    f"gitlumo-record 1 uid={'ab' * 16} part=1/1 first=0 sha256={'0' * 64}", '```mermaid\ngraph TD\n```', 'GH\\-12',
    '\\@ada', '\\#12', 'end sha256=0123456789abcdef',
]  # fmt: skip


def loaded(text):
    """A run that says a text wherever it can say one."""
    odd = {text: text, f"x{text}": [text], "y": {text: text}}
    return digits(
        {"note.md": text.encode(), **edit("tag", {"add": [text], "remove": []})},
        params=odd,
        env=odd,
        machine=odd,
        lock=odd,
        git={"commit": COMMIT, "head": HEAD, "branch": text},
        execute={"cwd": text},
        pinfo={"host": text, "obj": {"argv": [text, f"--{text}"]}},
        exception={"type": text, "message": text, "traceback": text},
        seed=text,
    )


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_what_was_recorded_does_nothing(text):
    quiet = seen(loaded("quiet"))
    found = seen(loaded(text), [text] * 3, {"left_out": [{"path": text, "size": 1}]})
    assert found.links == quiet.links
    lines = [f"a\n{text}\nb", f"{text}{text}", f"```\n{text}", f"> {text}", f"* {text}", f"{text}\n===\n{text}"]
    for note in lines:
        assert seen(digits({"note.md": note.encode()})).tags <= quiet.tags


def test_metrics_are_only_names_and_numbers():
    for text in HOSTILE:
        run = digits()
        odd = {text or "x": {"best": text, "last": text, "best_step": text, "count": [text], "cmp": text}}
        files = {**run.files, layout.METRICS: values.to_bytes(odd)}
        seen(made(files, exp_name="digits"))


@settings(max_examples=300)
@given(st.text(st.sampled_from("`|\\<>@#1a&*_[]()!-~ \n\t/:."), max_size=40))
def test_no_combination_does_anything(text):
    seen(loaded(text), [text])


def test_a_page_is_never_long():
    run = digits(
        {"note.md": ("🎲 ``` word\n" * 20_000).encode()},
        params={f"{n} 🎲" * 30: "`" * 200 for n in range(10_000)},
        env={f"E{n}": "🎲" * 200 for n in range(1000)},
        machine={f"E{n}": "🎲" * 200 for n in range(1000)},
        lock={f"p{n}" * 100: "1" * 100 for n in range(1000)},
        tags=[f"{n}" * 30 for n in range(1000)],
        git={"commit": COMMIT, "head": HEAD, "branch": "🎲" * 3000},
        pinfo={"host": "🎲" * 3000, "obj": {"argv": ["`🎲" * 3000]}},
        exception={"type": "🎲" * 3000, "message": "`🎲" * 3000},
    )
    places = ["🎲" * 3000 for n in range(1000)]
    found = seen(run, places, {"left_out": [{"path": place, "size": 1} for place in places]})
    for words in ("more parameters are in the record", "more packages are in the record", "The whole note is in the r",
                  "more facts are in the record", "and 9"):  # fmt: skip
        assert words in found.plain


def test_many_metrics():
    run = made(history=[layout.format_line(n, n, {f"layer{m}/grad": n * m for m in range(2000)}) for n in range(3)])
    assert "more metrics are in the record" in seen(run).plain


def test_empty_ones():
    found = seen(made())
    assert found.tags == {"p", "strong", "code", "ul", "li"}
    assert seen(made({"note.md": b" \n\n"}, params={}, lock={})).tags == found.tags
    assert "` `" in page.text(made(params={"a": ""}), (), {}, None)


def test_a_note_is_as_it_was_written():
    note = "# Title\n\n* one\n    indented\n\n```python\nprint('a')\n"
    assert note in seen(digits({"note.md": note.encode()})).code
    long = "word " * 100
    shown = next(text for text in seen(digits({"note.md": long.encode()})).code if text.startswith("word"))
    assert shown.replace("\n", "").strip() == long.strip()
    assert max(map(len, shown.splitlines())) <= 100


def test_code_of_other_kinds():
    clean = page.text(digits(git={"commit": COMMIT, "head": COMMIT, "branch": "main"}), (), {}, URL)
    assert f"* Code: [`{COMMIT[:12]}`]({URL}{COMMIT}), on the branch `main`\n" in clean
    assert "Code:" not in page.text(digits(git={"commit": "main"}), (), {}, URL)
    assert f"* Code: `{COMMIT[:12]}`, a snapshot" in page.text(digits(), (), {}, None)


def pixels(png):
    """Width, height and the number of different rows of a picture."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, data, sizes = 8, b"", (0, 0, 0, 0)
    while at < len(png):
        (length,), kind = struct.unpack(">I", png[at : at + 4]), png[at + 4 : at + 8]
        chunk = png[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            sizes = struct.unpack(">IIBB", chunk[:10])
        data += chunk if kind == b"IDAT" else b""
        at += 12 + length
    width, height, depth, colours = sizes
    row = 1 + width * depth // 8 * {2: 3, 6: 4, 3: 1, 0: 1}[colours]
    raw = zlib.decompress(data)
    assert len(raw) == row * height
    return width, height, len({raw[n * row : (n + 1) * row] for n in range(height)})


def test_it_can_be_looked_at(tmp_path):
    text = draft.of(digits(), Address(PUBLIC, "ada/digits"), Address(PUBLIC, "ada/digits")).texts()[0]
    screenshot(text, tmp_path / "issue.png")
    for path in (tmp_path / "issue.png", DOCS / "images/backup-issue.png"):
        width, height, different = pixels(path.read_bytes())
        assert width == WIDTH
        assert 600 < height < 1200
        assert different > 150
