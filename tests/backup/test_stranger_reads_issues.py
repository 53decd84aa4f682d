"""docs/format.md, section 14, is complete: a stranger reads what gitlumo writes."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from gitlumo.backup import draft, fitting
from gitlumo.backup.address import Address
from tests.backup import stranger
from tests.backup.parcels import PUBLIC, edit, made
from tests.backup.test_fitting import curve, noise

PLACE = Address(PUBLIC, "ada/digits")
RUNS = {
    "a small one": made({"note.md": "größer\n".encode(), "a.bin": noise(999)}, curve(20), params={"lr": 0.1}),
    "two parts": made({"a.bin": noise(60_000)}, curve(2000)),
    "all parts": made({"a.bin": noise(300_000)}, curve(2000)),
    "too large": made({"a.bin": noise(400_000), "b.txt": b"x\r\n"}, curve(20_000, ("loss", "acc"))),
    "masked": made(edit("note", "see /home/ada"), params={"password": "x"}),
    "backed up": made(edit("backup", {"backend": "github", "repo": "ada/digits", "number": 12})),
}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("people", ["", "seen\r\n"])
def test_a_stranger_reads_it(run, people):
    plan = draft.of(run, PLACE, None)
    body, comments = plan.texts()
    body, comments = plan.texts(people + body.replace("\n", "\r\n") + people) if people else (body, comments)
    files, lost = stranger.run(body, ["hello", *reversed(comments)])
    assert fitting.from_bytes(fitting.to_bytes(files, lost), "x")[0].identity == run.identity
    assert lost == plan.lost
    if not lost and not run.record.edits:
        assert files == run.files
    assert [path for path in run.files if path not in files and not path.startswith(("history", "edits"))] == [
        each["path"] for each in lost.get("left_out", [])
    ]
    edits = [json.loads(data)["value"] for path, data in files.items() if path.startswith("edits/")]
    numbers = [value["number"] for value in edits if "number" in value]
    assert numbers == ([None] if run is RUNS["backed up"] else [])


def test_the_stranger_knows_nothing_of_gitlumo():
    text = Path(stranger.__file__).read_text()
    imported = {name.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import) for name in node.names}
    assert imported == {"base64", "hashlib", "json", "re", "zlib"}
    assert len([line for line in text.splitlines() if line.strip()]) < 45
