"""What must not stand in an issue does not; all else stays, byte by byte."""

from __future__ import annotations

import base64
import json
import os

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from gitlumo import SimpleExperiment, Watcher, editing, values
from gitlumo.backup import masking, parcel, restoring
from gitlumo.backup.restoring import Backup
from gitlumo.cli.opening import open_here
from gitlumo.errors import InvalidValue
from gitlumo.store import layout
from tests.backup.parcels import UID, edit, folded, info, made

TOKENS = {
    "github": "ghp_" + "a1B2" * 9,
    "github app": "ghs_" + "x" * 36,
    "github fine-grained": "github_pat_" + "1a_B" * 20,
    "gitlab": "glpat-" + "aB-3" * 5,
    "hugging face": "hf_" + "abCD" * 9,
    "openai": "sk-proj-" + "aB3_" * 10,
    "openai, old": "sk-" + "aB3d" * 12,
    "slack": "xoxb-1234567890-abcdef",
    "aws": "AKIA" + "A1B2C3D4E5F6G7H8",
    "google": "AIza" + "Sy_-9" * 7,
    "npm": "npm_" + "a1B2" * 9,
    "pypi": "pypi-" + "AgEIcHlwaS5vcmc" * 4,
}
TOKEN = TOKENS["github"]
everywhere = pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)


def mask(run):
    new, places = masking.masked(run)
    assert masking.masked(new)[0] == new
    return new, places


def assert_gone(secret, run):
    assert [path for path, data in run.files.items() if secret.encode() in data or secret in path] == []


def places_of(secret):
    """A secret at each place of a run: how it is made, and how the place is called."""
    line = layout.format_line(3, 3, {"acc": 0.5}, {"$cmp": "max", "$with": {"log": f"see {secret}"}})
    yield {"params": {"a": {"b": [1, {"c": f"Bearer {secret}"}]}}}, ["params.a.b[1].c"]
    yield {"params": {secret: 1, "x": 2}}, ["params"]
    yield {"execute": {"exec_argv": ["train.py", "--url", f"https://x/?a={secret}"]}}, ["execute.exec_argv[2]"]
    yield {"pinfo": {"obj": {"argv": [secret]}}}, ["pinfo.obj.argv[0]"]
    yield {"env": {"ANY": secret}}, ["env.ANY"]
    yield {"git": {"remotes": {"origin": f"https://{secret}@github.com/a/b"}}}, ["git.remotes.origin"]
    yield (
        {"exception": {"type": "E", "message": f"no {secret}", "traceback": f"at\n{secret}\n"}},
        [
            "exception.message",
            "exception.traceback",
        ],
    )
    yield {"tags": [secret]}, ["tags[0]"]
    yield {"lock": {"numpy": f"git+https://{secret}@x"}}, ["lock"]
    yield {"lock_origins": {"x": {"url": f"git+https://{secret}@x"}}}, ["lock_origins.x.url"]
    yield {"files": {"note.md": f"use {secret}\n".encode()}}, ["note.md"]
    yield {"files": {"text/report.txt": f"\r\n{secret}".encode()}}, ["text/report.txt"]
    yield {"files": {"plots/a.json": json.dumps({"k": secret}).encode()}}, ["plots/a.json"]
    yield {"files": {"a.bin": b"\xff\0" + secret.encode()}}, ["a.bin"]
    yield {"files": {f"plots/{secret}.txt": b"x"}}, ["plots/***.txt"]
    yield {"files": {"info/x.json": f'{{"torn": "{secret}'.encode()}}, ["x"]
    yield {"files": edit("note", f"use {secret}")}, ["note"]
    yield {"files": edit("tag", {"add": [secret], "remove": []})}, ["tag.add[0]"]
    yield {"files": edit("later", {"what": {"ever": secret}})}, ["later.what.ever"]
    yield {"history": [line]}, ["history/00000.jsonl", "metrics.acc.with.log"]
    yield {"history": [layout.format_line(1, 1, {secret: 1})]}, ["history/00000.jsonl", "metrics"]
    yield {"history": [line, b'{"step":1,"$with":{"x":"' + secret.encode()]}, ["metrics.acc.with.log"]
    yield {"history": [b'{"step":1,"time":1,"x":NaN,"$with":{"x":"%s"}}\n' % secret.encode()]}, ["metrics.x.with.x"]


@everywhere
def test_a_token_is_masked_wherever_it_stands(repo, token):
    objects = open_here().repository.objects
    for given_, where in places_of(token):
        run = made(**given_)
        new, places = mask(run)
        assert_gone(token, new)
        assert set(where) <= set(places), given_
        assert new.identity == run.identity
        if not any(b"torn" in data or b"NaN" in data for data in run.files.values()):
            restoring.check(objects, Backup(new, "x"))


@pytest.mark.parametrize("name", ["password", "API_KEY", "db.passwd", "hfToken", "client_secret", "token"])
def test_what_is_called_a_secret_is_masked(repo, name):
    line = layout.format_line(3, 3, {"acc": 0.5}, {"$with": {name: "hunter2"}})
    run = made(
        edit("later", {name: "hunter2"}),
        [line],
        params={"a": [{name: "hunter2"}]},
        env={name: "hunter2"},
        execute={"exec_argv": ["x", f"--{name}", "hunter2", f"--{name}=hunter2", f"{name}=hunter2"]},
    )
    new, places = mask(run)
    assert_gone("hunter2", new)
    argv = [f"execute.exec_argv[{n}]" for n in (2, 3, 4)]
    assert set(places) == {f"params.a[0].{name}", f"env.{name}", *argv, "history/00000.jsonl",
                           f"metrics.acc.with.{name}", f"later.{name}"}  # fmt: skip
    restoring.check(open_here().repository.objects, Backup(new, "x"))


HOMES = [
    ("/home/ada", "~"),
    ("/home/ada/data/x.csv", "~/data/x.csv"),
    ("see /home/ada.", "see ~"),
    ("/Users/ada/x", "~/x"),
    ("/root", "~"),
    ("/root/x and /root.", "~/x and ~."),
    ("C:\\Users\\ada\\x", "~\\x"),
    ("c:/Users/ada/x", "~/x"),
    ("PATH=/usr/bin:/home/ada/bin:/home/bob/bin", "PATH=/usr/bin:~/bin:~/bin"),
    ("-I/home/ada/include", "-I~/include"),
    ("cc -L/home/ada/lib", "cc -L~/lib"),
    ("file:///home/ada/x", "file://~/x"),
    ("['/home/ada/x']", "['~/x']"),
    ("/gpfs/users/ada/x", "~/x"),
    ("/export/homes/ada2", "~"),
    ("in /nfs/home/ada/x", "in ~/x"),
    ('File "/home/ada/train.py", line 3', 'File "~/train.py", line 3'),
]
STAYS = ["/home", "/home/", "home/ada", "./home/ada", "/rootfs/x", "/root-data", "/root.bak", "a/root/b", "~/home/x",
         "https://host/home/ada", "https://home/ada", "s3://home/ada/x", "s3://bucket/home/ada",
         "/other/work/tree", "/work/tree2", "/work/tree-old/x", "/work/tree.bak", "\\home", "/mnt/data"]  # fmt: skip


@pytest.mark.parametrize(("text", "short"), HOMES)
def test_whose_home_it_was_is_masked(text, short):
    assert masking.mask_text(text) == short
    new, places = mask(made({"note.md": text.encode()}, params={"a": text}))
    assert (info(new, "params"), new.record.note, set(places)) == ({"a": short}, short, {"params.a", "note.md"})


@pytest.mark.parametrize("text", STAYS)
def test_other_paths_stay(text):
    assert masking.mask_text(text) == text


def test_which_machine_backs_up_does_not_matter(monkeypatch):
    run = made({"note.md": b"in /data/ada/x"}, params={"a": "/data/ada/x", "b": ["/data/ada"]})
    monkeypatch.setenv("HOME", "/data/ada")
    assert mask(run) == (run, [])


INNOCENT = {
    "uid": UID,
    "commit": "8244c801aeeb4b78d0c3c0e4e4a7f0cd6b1c2d3e",
    "sha": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "pad_token": "<pad>",
    "max_tokens": 512,
    "tokenizer": "gpt2",
    "bytes": bytes(range(256)),
    "base64": base64.b64encode(os.urandom(3000)).decode(),
    "url": "https://github.com/ada/digits/issues/12?sort=key",
    "ssh": "git@github.com:ada/digits.git",
    "mail": "ada@example.org",
    "password": "",
    "style": "sk-learn",
    "float": [1.0, float("nan"), 1e-05],
}


def test_what_is_no_secret_stays():
    style = b"<style>label.sk-toggleable__label-arrow:before {}</style>"
    run = made(
        {"text/model.txt": style, "a.bin": bytes(range(256)) * 9, **edit("note", "fine"), "info/odd.json": b'{"a":1}'},
        [layout.format_line(n, n, {"token": n, "password": 1}, {"$with": {"path": "x"}}) for n in range(5)],
        params=INNOCENT,
        lock={"credentials": "1.0", "token": "2.0", "secrets": "3"},
        masked=["params.x"],
    )
    assert mask(run) == (run, [])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcdefg$", max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200)
@given(json_values, st.text(st.characters(codec="utf-8")), st.binary())
def test_nothing_else_changes(value, text, data):
    try:
        params = values.to_bytes(values.encode({"x": value}))
    except InvalidValue:  # two keys become one
        reject()
    run = made({"info/params.json": params, "note.md": text.encode(), "a": data,
                **edit("note", text)})  # fmt: skip
    new, places = masking.masked(run)
    if not any(sign in f"{text}{value}" for sign in ("://", "/home", "/root", "/Users", ":\\")):
        assert (new, places) == (run, [])


def test_who_the_run_is_never_changes():
    progress = {"start": "2026-11-24T08:00:00.000Z", "seq": 4, "token": "x", "resumed": [{"host": "/home/ada"}]}
    run = made(exp_name=TOKEN, progress=progress, test_name="password")
    assert mask(run) == (run, [])


def test_what_was_masked_when_it_was_recorded_is_named_again():
    run = made(params={"api_key": "***", "x": 1}, masked=["params.api_key"])
    assert mask(run) == (run, ["params.api_key"])


def edits_of(run):
    return {edit.name: edit for edit in run.record.edits}


def test_a_masked_edit_stands_just_before_the_one_that_it_hides():
    files = {}
    for time in (100, 101, 102):
        files |= edit("note", f"{time} {TOKEN}" if time != 101 else "fine", time, f"{time:016x}")
    files |= edit("note", f"zero {TOKEN}", 103, "0" * 16)
    run = made(files)
    new, _ = mask(run)
    names = edits_of(run).keys()
    both = sorted(names | edits_of(new).keys())
    assert [name in names for name in both] == [False, True, True, False, True, False, True]
    assert [edit.value for edit in new.record.edits] == ["100 ***", "fine", "102 ***", "zero ***"]
    assert [edit.value.partition(" ")[0] for edit in run.record.edits] == ["100", "fine", "102", "zero"]


def test_an_undo_of_a_masked_edit_undoes_its_mask_and_so_on():
    files = {**edit("note", "old", 100, "a" * 16), **edit("note", TOKEN, 101, "b" * 16)}
    undone = {**files, **edit("undo", "b" * 16, 102, "c" * 16)}
    again = {**undone, **edit("undo", "c" * 16, 103, "d" * 16)}
    for made_, note in ((files, "***"), (undone, "old"), (again, "***")):
        run = made(made_)
        new, places = mask(run)
        assert (new.record.note, places) == (note, ["note"])
        together = made({**run.files, **new.files})
        assert together.record.note == run.record.note
    odd = made({**files, **edit("undo", {"b": 1}, 104, "e" * 16)})
    assert mask(odd)[0].record.note == "***"


def test_edits_that_nobody_reads_stay_here():
    run = made({"edits/hello": TOKEN.encode(), f"edits/{layout.edit_name(1, 'a' * 16)}": TOKEN.encode()})
    assert_gone(TOKEN, mask(run)[0])


def test_a_masked_backup_meets_the_run_itself(git, repo, tmp_path, monkeypatch):
    with SimpleExperiment("digits", params={"lr": 0.1, "data": "/home/ada/x"}) as exp:
        exp.dump_metric("acc", 0.93, "log", "/home/ada/log")
        with open(exp.mk_ipath("a.txt"), "w") as out:
            out.write(TOKEN)
    opened = open_here()
    record = opened.runs().resolve("@").record
    editing.edit_run(opened.ledger, record, editing.NOTE, f"use {TOKEN}")
    original = open_here().runs().resolve("@").record.properties
    new, places = masking.masked(parcel.of(open_here().runs().resolve("@").record))
    git("init", "-q", tmp_path / "other")
    monkeypatch.chdir(tmp_path / "other")
    restoring.restore(open_here(), [Backup(new, "the issue", {"masked": places})])
    found = open_here().runs().resolve("@").record
    assert (found.note, found.info("params")["data"]) == ("use ***", "~/x")
    assert found.info("restored") == {"masked": places}
    assert TOKEN not in git("log", "-p", "--all")
    git("fetch", "-q", repo, "lumo_experiments:refs/remotes/origin/lumo_experiments")
    assert open_here().runs().resolve("@").record.properties == original
    Watcher().retrieve("@").undo()
    Watcher().retrieve("@").undo()
    assert open_here().runs().resolve("@").record.note == ""
    monkeypatch.chdir(repo)
    git("fetch", "-q", tmp_path / "other", "lumo_experiments:refs/remotes/other/lumo_experiments")
    assert open_here().runs().resolve("@").record.note == ""
    assert folded(new.files)["acc"].summary()["with"] == {"log": "~/log"}
