"""gitleaks beside our own look at what leaves: the real program where it is installed, a stand-in for its faults."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile

import pytest

from gitlumo import SimpleExperiment
from gitlumo.git.repository import open_repository
from gitlumo.share import gitleaks
from tests.share.conftest import TRACKING

KEY = f"-----BEGIN RSA PRIVATE KEY-----\n{'MIIEpAIBAAKCAQEA7bq1' * 6}\n-----END RSA PRIVATE KEY-----\n"
TOKEN = "ghp_" + "a1B2" * 9
STAND_IN = """\
#!{python}
# Not gitleaks: it keeps what it was given, and answers as a test has laid down, in the form of gitleaks' report.
import json, os, sys
answer = json.load(open({answer!r}))
seen = {{}}
for folder, _, names in os.walk("."):
    for name in names:
        path = os.path.relpath(os.path.join(folder, name))
        seen[path] = open(path, errors="surrogateescape").read()
json.dump([sys.argv[1:], seen], open({kept!r}, "w"))
words = dict(word.partition("=")[::2] for word in sys.argv)
if answer["report"] is not None:
    open(words["--report-path"], "w").write(answer["report"])
sys.stderr.write(answer["said"])
sys.exit(answer["status"])
"""


@pytest.fixture
def real():
    if shutil.which("gitleaks") is None:
        pytest.skip("gitleaks is not installed")


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """``stand_in(report, status=0, said="")``: put one on the PATH; returns what gives its words and what it saw."""
    answer, kept, program = tmp_path / "answer", tmp_path / "kept", tmp_path / "programs/gitleaks"
    program.parent.mkdir()

    def write(report, status=0, said=""):
        program.write_text(STAND_IN.format(python=sys.executable, answer=str(answer), kept=str(kept)))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        text = report if isinstance(report, str) or report is None else json.dumps(report)
        answer.write_text(json.dumps({"report": text, "status": status, "said": said}))
        return lambda: json.loads(kept.read_text())

    return write


def leak(path, secret, rule="a-rule"):
    return {"Description": "", "StartLine": 1, "Match": secret, "Secret": secret, "File": path, "RuleID": rule}


def test_it_finds_what_we_do_not_know(real, pair, shared, lumo, ok, tip):
    one, _ = pair
    (one / "deploy.txt").write_text(KEY)
    with SimpleExperiment("digits", "a", repo=one) as exp:
        exp.dump_note(f"\n{KEY}")
    status, out, err = lumo(one, "push")
    assert status == 128
    first, *listed = err.splitlines()[:3]
    assert first == "fatal: 2 secrets would leave this machine; nothing was sent"
    paths = sorted(line.strip().removesuffix(": -----BE*** (gitleaks: private-key)") for line in listed)
    day = exp.properties["progress"]["start"][2:10].replace("-", "")
    assert paths == ["deploy.txt", f"digits/{day}/a/note.md"]
    assert "MIIE" not in out + err
    assert tip(shared) == ""
    assert not os.listdir(one / ".git/lumo/tmp")
    ok(one, "push", "--yes")
    ok(one, "push")  # it has left already


def test_the_users_own_configuration_counts(real, pair, lumo, ok):
    one, _ = pair
    (one / "tests").mkdir()
    (one / "tests/key.txt").write_text(KEY)
    (one / "other.txt").write_text(KEY)
    with SimpleExperiment("digits", "a", repo=one):
        pass
    (one / ".gitleaks.toml").write_text("[extend]\nuseDefault = true\n[allowlist]\npaths = ['''^tests/''']\n")
    assert "secret would leave" in lumo(one, "push")[2]
    (one / ".gitleaksignore").write_text("other.txt:private-key:1\n")
    ok(one, "push")


def test_our_own_ids_are_no_secrets(real, pair, lumo, ok):
    """Also where a rule takes each of them for one."""
    one, _ = pair
    (one / ".gitleaks.toml").write_text("[[rules]]\nid = 'hex'\ndescription = ''\nregex = '''[0-9a-f]{32,40}'''\n")
    with SimpleExperiment("digits", "a", params={"teacher": "f" * 32}, repo=one) as teacher:
        pass
    with SimpleExperiment("digits", "b", params={"teacher": teacher.uid}, repo=one) as exp:
        pass
    found = {secret["token"] for secret in json.loads(lumo(one, "push", "--json")[1])["secrets"]}
    assert "fffffff***" in found
    commit = exp.properties["git"]["commit"]
    assert not found & {f"{id[:7]}***" for id in (exp.uid, teacher.uid, commit)}


def test_it_sees_what_leaves_and_nothing_else(stand_in, pair, record, ok, git):
    one, _ = pair
    (one / "shared.py").write_text("shared\n")
    git("add", "-A", cwd=one)
    git("commit", "-q", "-m", "shared", cwd=one)
    git("push", "-q", "origin", "HEAD:main", cwd=one)
    record(one, "first")
    ok(one, "push")
    asked = stand_in([])
    (one / "new.py").write_text("new\n")
    (one / "debug.log").write_text("ignored\n")
    with SimpleExperiment("digits", "second", repo=one):
        pass
    (one / "later.py").write_text("not in the run\n")
    ok(one, "push")
    words, seen = asked()
    assert words[0] == "detect"
    runs = "".join(seen.pop(name) for name in list(seen) if name.startswith(".gitlumo-runs-"))
    assert seen == {"new.py": "new\n\n"}
    assert '"second"' in runs
    assert '"first"' not in runs
    assert not os.listdir(one / ".git/lumo/tmp")


def test_nothing_leaves_it_is_not_asked(stand_in, pair, record, ok, tmp_path):
    one, _ = pair
    record(one)
    ok(one, "push")
    stand_in([])
    ok(one, "push")
    assert not (tmp_path / "kept").exists()
    record(one)
    ok(one, "push", env={"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "lumo.gitleaks", "GIT_CONFIG_VALUE_0": "false"})
    assert not (tmp_path / "kept").exists()


FAULTS = {
    "it fails": ((None, 1, "\x1b[31m9:41PM FTL\x1b[0m no such rule\n"), "9:41PM FTL no such rule"),
    "it is silent": ((None, 9), "it ended with status 9"),
    "there is no report": ((None,), "its report cannot be read (FileNotFoundError)"),
    "the report is cut": (('[{"RuleID": ',), "its report cannot be read (JSONDecodeError)"),
    "another format": (({"runs": []},), "its report cannot be read (TypeError)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_its_faults_block_nothing(stand_in, pair, shared, record, lumo, tip, fault):
    one, _ = pair
    answer, said = FAULTS[fault]
    stand_in(*answer)
    record(one)
    assert lumo(one, "push", "-q") == (0, "", f"warning: gitleaks has not looked at it: {said}\n")
    assert tip(shared) == tip(one)
    assert not os.listdir(one / ".git/lumo/tmp")


def test_our_own_patterns_count_all_the_same(stand_in, pair, lumo):
    one, _ = pair
    stand_in(None, 1)
    (one / "key.py").write_text(f"KEY = '{TOKEN}'\n")
    with SimpleExperiment("digits", repo=one):
        pass
    status, _, err = lumo(one, "push", "-q")
    assert (status, err.splitlines()[1:3]) == (
        128, ["fatal: 1 secret would leave this machine; nothing was sent", "  key.py: ghp_a1B***"]
    )  # fmt: skip


def test_found_by_both_is_told_once(stand_in, pair, lumo):
    one, _ = pair
    stand_in([leak("key.py", TOKEN), leak("key.py", "hunter2"), leak("key.py", "hunter2")])
    (one / "key.py").write_text(f"KEY = '{TOKEN}'\n")
    with SimpleExperiment("digits", repo=one):
        pass
    found = json.loads(lumo(one, "push", "--json")[1])["secrets"]
    assert found == [
        {"path": "key.py", "token": "ghp_a1B***", "rule": ""},
        {"path": "key.py", "token": "hu***", "rule": "a-rule"},
    ]


def test_a_pre_push_hook_tells(stand_in, pair, shared, record, ok, git, tip):
    one, _ = pair
    stand_in(None, 1)
    ok(one, "init", "--hooks")
    record(one)
    git("commit", "-q", "--allow-empty", "-m", "code", cwd=one)
    git("push", "-q", "origin", "HEAD:main", cwd=one)
    assert tip(shared) == tip(one)


def test_odd_paths_stay_in_the_folder(stand_in, repo, tmp_path):
    """A file where another version has a folder, and what a stranger's tree may be called."""
    paths = ["a", "a/b", "../../escaped", ".git/config", "x" * 300, ".gitleaks.toml", "caf\udce9"]
    asked = stand_in([leak(".gitlumo-file-0", "s0"), leak(".gitlumo-file-1", "s1"), leak("a", "sa")])
    with gitleaks.scanning(open_repository()) as scan:
        for number, path in enumerate(paths):
            scan.add(path, b"%d" % number, is_small=False)
        found = {one.secret: one.path for one in scan.findings(None)}
    assert found == {"s0": "a/b", "s1": "../../escaped", "sa": "a"}
    assert sorted(text.strip() for text in asked()[1].values()) == list("0123456")
    assert not os.listdir(".git/lumo/tmp")
    assert not list(tmp_path.rglob("escaped"))


def test_a_secret_among_many_small_files(stand_in, repo):
    stand_in([leak(".gitlumo-runs-0", "first"), leak(".gitlumo-runs-1", "second"), leak(".gitlumo-runs-1", "decoded")])
    with gitleaks.scanning(open_repository()) as scan:
        for path, data in (("p", b"-"), ("q", b"the first"), ("r", b"x" * (gitleaks.BUNDLE - 9)), ("s", b"second")):
            scan.add(path, data, is_small=True)
        assert [one.path for one in scan.findings(None)] == ["q", "s", "r"]


def test_it_does_not_end(stand_in, repo, tmp_path, monkeypatch):
    stand_in([])
    (tmp_path / "programs/gitleaks").write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(gitleaks, "PATIENCE", 0.1)
    with gitleaks.scanning(open_repository()) as scan:
        scan.add("a", b"", is_small=False)
        with pytest.raises(gitleaks.GitleaksFailed, match=r"^it took longer than 0\.1 seconds$"):
            scan.findings(None)


def test_no_room_for_its_files(stand_in, repo, monkeypatch):
    stand_in([])

    def full(*args, **keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with gitleaks.scanning(open_repository()) as scan:
        scan.add("a", b"", is_small=False)
        with pytest.raises(gitleaks.GitleaksFailed, match=r"^its folder cannot be written \(No space left"):
            scan.findings(None)


def test_it_does_not_see_what_another_remote_lacks(stand_in, pair, tmp_path, record, ok, git, tip):
    """What leaves depends on where it goes."""
    one, _ = pair
    record(one, "first")
    ok(one, "push")
    git("init", "-q", "--bare", tmp_path / "other.git")
    git("remote", "add", "other", tmp_path / "other.git", cwd=one)
    asked = stand_in([])
    ok(one, "push", "other")
    assert '"first"' in "".join(asked()[1].values())
    assert tip(one, TRACKING.replace("origin", "other")) == tip(one)
