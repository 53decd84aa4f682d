"""The built-in hooks: what they write and where, and what stays out of it; hooks of one's own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from gitlumo import Experiment, ExpHook, SimpleExperiment
from gitlumo.hooks import BUILT_IN, Diary, FinalReport, GitCommit, LastCmd, LockFile, RecordAbort

REF = "refs/heads/lumo_experiments"
TOKEN = "ghp_" + "a1B2" * 9


def one(hook, **keywords):
    """A run with this hook alone that has ended."""
    with warnings.catch_warnings(action="error"), Experiment("digits", hooks=[hook], **keywords) as exp:
        exp.log({"loss": 1})
    return exp


def test_simple_experiment_has_all_six(repo):
    exp = SimpleExperiment("digits")
    names = {"GitCommit", "LockFile", "LastCmd", "Diary", "FinalReport", "RecordAbort"}
    assert {hook.name for hook in exp.hooks} == {hook.__name__ for hook in BUILT_IN} == names
    assert Experiment("digits").hooks == []


def test_git_commit(repo, git):
    (repo / "train.py").write_text("changed\n")
    (repo / ".env").write_text("PASSWORD=hunter2\n")
    (repo / "big.bin").write_bytes(bytes(3000))
    git("config", "lumo.snapshotMaxFile", "2k")
    facts = one(GitCommit).properties["git"]
    assert (facts["head"], facts["branch"], facts["dirty"]) == (git("rev-parse", "HEAD"), "main", True)
    assert git("show", f"{facts['commit']}:train.py") == "changed"
    assert [item["path"] for item in facts["skipped"]] == [".env", "big.bin"]
    assert all(item["reason"] for item in facts["skipped"])
    assert (facts["repo"], facts["remotes"], facts["submodules"]) == ("repo", {}, [])
    assert re.fullmatch("[0-9a-f]{32}", facts["dep_hash"])
    git("config", "lumo.snapshot", "false")
    assert one(GitCommit).properties["git"].items() >= {"commit": facts["head"], "dirty": None}.items()


def test_lock_file(repo):
    lock = one(LockFile).properties["lock"]
    assert lock["python"] == ".".join(map(str, sys.version_info[:3]))
    assert lock["pytest"] == pytest.__version__
    assert "hypothesis" in lock


def test_last_cmd_and_diary_lie_in_the_git_folder(repo, git):
    (repo / "sub").mkdir()
    script = "import gitlumo\nwith gitlumo.SimpleExperiment('digits') as exp: exp.dump_metric('acc', .5)\n"
    (repo / "train 1.py").write_text(script)
    before = {path for path in repo.rglob("*") if ".git" not in path.parts}
    for n in range(2):
        command = [sys.executable, "../train 1.py", "--lr", str(n), "a b", "--password=hunter2"]
        subprocess.run(command, cwd=repo / "sub", check=True, capture_output=True, timeout=60)
    assert {path for path in repo.rglob("*") if ".git" not in path.parts} == before
    last = (repo / ".git/lumo/last/digits.sh").read_text()
    comment, command = last.splitlines()
    assert re.fullmatch(r"# digits/\d{6}\.001\.\w+", comment)
    assert command.startswith("cd sub && ")
    assert command.endswith("'../train 1.py' --lr 1 'a b' '--password=***'")
    (day,) = (repo / ".git/lumo/diary").iterdir()
    lines = day.read_text().splitlines()
    assert re.fullmatch(r"\d{6}\.txt", day.name)
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z digits/\d{6}\.00"
    assert [
        bool(re.match(time + rf"{n}\.\w+ (started|finished) ", line))
        for n, line in zip((0, 0, 1, 1), lines, strict=True)
    ]
    assert lines[1].endswith("finished  acc=0.5")
    assert "hunter2" not in last + day.read_text()


def test_the_work_trees_of_a_repository_share_last_and_diary(repo, git, monkeypatch):
    git("worktree", "add", "-q", "../linked")
    monkeypatch.chdir("../linked")
    one(LastCmd)
    one(Diary)
    assert (repo / ".git/lumo/last/digits.sh").is_file()
    assert len(list((repo / ".git/lumo/diary").iterdir())) == 1
    assert sorted(os.listdir("../linked")) == [".git", ".gitignore", "train.py"]


def test_record_abort(repo, sealed):
    def fail():
        raise RuntimeError(f"no model at {repo}/m.pt with {TOKEN} for https://me:pass@host/x in {sealed}/data")

    exp = Experiment("digits", hooks=[RecordAbort])
    with pytest.raises(RuntimeError), exp:
        fail()
    found = exp.properties["exception"]
    assert found["type"] == "RuntimeError"
    assert found["message"] == "no model at ./m.pt with *** for https://***@host/x in ~/data"
    assert "in fail" in found["traceback"]
    assert not [text for text in (TOKEN, "pass@", f"{repo}/", f"{sealed}/") if text in found["traceback"]]
    assert {"exception.message", "exception.traceback"} <= set(exp.properties["masked"])


def test_record_abort_of_text_that_is_no_unicode(repo):
    exp = Experiment("digits", hooks=[RecordAbort])
    with warnings.catch_warnings(action="error"), pytest.raises(ValueError, match="bad"), exp:
        raise ValueError("bad \udce9")
    assert exp.properties["exception"]["message"] == "bad \\udce9"


def test_final_report(repo, capfd):
    left_out = [f"extra{n}.bin" for n in range(7)]
    for name in left_out:
        (repo / name).write_bytes(bytes(3000))
    subprocess.run(["git", "config", "lumo.snapshotMaxFile", "2k"], check=True)
    with SimpleExperiment("digits") as exp:
        for i in range(30):
            exp.dump_metric("acc", i / 30, step=i)
            exp.log({"loss": 30 - i, "nothing": float("nan")})
        exp.log({"huge": 10**400, "step": 1})
    out, err = capfd.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == f"digits/{exp.test_name} finished"
    assert re.search(r"^  acc +▁+▂.*▇█+  last 0\.966667 +best 0\.966667 \(step 29\)$", err, re.MULTILINE)
    assert re.search(r"^  loss +█+▇.*▁  last 1$", err, re.MULTILINE)
    assert re.search(r"^  nothing +×+  last nan$", err, re.MULTILINE)
    assert re.search(r"^  huge +.  last 1e\+?400$", err, re.MULTILINE)
    assert re.search(r"^  not in the snapshot: extra0\.bin \(.+\)$", err, re.MULTILINE)
    assert "  not in the snapshot: 2 more" in lines
    assert lines[-3:] == ["next:", f"  git lumo show {exp.test_name}", "  git lumo log"]
    assert all(hook["loaded"] for hook in exp.properties["hooks"].values())
    one(FinalReport)
    assert "digits/" in capfd.readouterr().err


def test_the_commands_of_the_final_report_work(repo, capfd):
    exp = SimpleExperiment("digits").start()
    exp.log({"loss": 0.25})
    exp.end()
    for line in capfd.readouterr().err.splitlines()[-2:]:
        words = [sys.executable, "-m", "gitlumo", *line.split()[2:]]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        assert exp.test_name in done.stdout


# --------------------------------------------------------------------------------------------------------- secrets

SECRET = """
import gitlumo
with gitlumo.SimpleExperiment('digits') as exp:
    exp.dump_info('params', {'lr': .1, 'api_key': 'hunter2', 'pad_token': 0, 'max_tokens': 5, 'token': 'hunter2',
                             'deep': {'password': b'hunter2', 'list': ['TOKEN', 'fine']}, 'secrets': ['hunter2'],
                             'url': 'postgres://me:hunter2@db/x', 'tokenizer': 'bpe'})
"""
ARGV = ["--password", "hunter2", "--api-key=hunter2", "db=https://me:hunter2@host/x", "TOKEN", "--lr", "0.1"]


def test_secrets_never_reach_the_disk(repo, git, monkeypatch):
    git("remote", "add", "origin", f"https://me:hunter2@example.org/{TOKEN}.git")
    git("remote", "add", "ssh", "ssh://git@example.org/x.git")
    git("config", "lumo.env", "WANDB_API_KEY PLAIN NOT_SET")
    for name, value in {"WANDB_API_KEY": "hunter2", "PLAIN": "seen", "OTHER": "hunter2"}.items():
        monkeypatch.setenv(name, value)
    words = [word.replace("TOKEN", TOKEN) for word in ARGV]
    Path("../run.py").write_text(SECRET.replace("TOKEN", TOKEN))
    done = subprocess.run([sys.executable, "../run.py", *words], capture_output=True, text=True, check=True, timeout=60)
    files = [path for path in Path(".git/lumo").rglob("*") if path.is_file()]
    assert len(files) > 10
    secrets = (b"hunter2", TOKEN.encode(), b"aHVudGVyMg")
    assert not [path for path in files if any(secret in path.read_bytes() for secret in secrets)]
    everything = subprocess.run(["git", "log", "-p", "--format=%B", REF], capture_output=True, check=True).stdout
    assert not [secret for secret in secrets if secret in everything + done.stderr.encode()]
    (folder,) = Path(".git/lumo/info/digits").iterdir()
    found = Experiment.from_disk(folder).properties
    assert found["params"].items() >= {"lr": 0.1, "pad_token": 0, "max_tokens": 5, "tokenizer": "bpe"}.items()
    assert found["params"]["deep"]["list"] == ["***", "fine"]
    assert found["params"]["url"] == "postgres://***@db/x"
    assert found["execute"]["exec_argv"][1:] == [
        *("--password", "***", "--api-key=***", "db=https://***@host/x", "***", "--lr", "0.1"),
    ]
    assert found["git"]["remotes"] == {
        "origin": "https://***@example.org/***.git",
        "ssh": "ssh://git@example.org/x.git",
    }
    assert found["env"] == {"WANDB_API_KEY": "***", "PLAIN": "seen"}
    assert set(found["masked"]) == {
        *(f"execute.exec_argv[{i}]" for i in (2, 3, 4, 5)),
        *(f"pinfo.obj.argv[{i}]" for i in (3, 4, 5, 6)),
        *(f"params.{key}" for key in ("api_key", "token", "deep.password", "deep.list[0]", "secrets", "url")),
        *("git.remotes.origin", "env.WANDB_API_KEY"),
    }


def test_private_paths_are_shortened(repo, sealed, git):
    with SimpleExperiment("digits") as exp:
        pass
    text = subprocess.run(["git", "log", "-p", "--format=%B", REF], capture_output=True, text=True, check=True).stdout
    assert str(repo) + "/" not in text
    assert str(sealed) + "/" not in text
    assert exp.properties["execute"]["cwd"] == "."
    assert exp.properties["paths"]["info_root"] == ".git/lumo/info"
    assert exp.properties["paths"]["cache_root"].startswith("~/")


# ---------------------------------------------------------------------------------------------------- one's own hook


class Notes(ExpHook):
    def __init__(self):
        self.stages = []

    def on_start(self, exp):
        self.stages.append(("start", exp.state))
        exp.dump_string("greeting", f"hello from {exp.test_name}")

    def on_progress(self, exp):
        self.stages.append(("progress", exp.properties["progress"]["ratio"]))

    def on_exception(self, exp, error):
        self.stages.append(("exception", type(error).__name__))

    def on_end(self, exp):
        self.stages.append(("end", exp.state))
        exp.dump_info("last words", {"n": exp.metrics["n"]["last"]})


@pytest.mark.parametrize("base", [Experiment, SimpleExperiment])
def test_a_hook_of_ones_own(repo, git, base):
    hook = Notes()
    exp = base("digits", hooks=[hook])

    def train():
        with exp:
            exp.log({"n": 3})
            exp.dump_progress(0.5)
            exp.checkpoint()
            raise KeyError("x")

    with pytest.raises(KeyError):
        train()
    assert hook.stages == [
        ("start", "running"),
        ("progress", 0.5),
        ("progress", 0.5),
        ("exception", "KeyError"),
        ("end", "failed"),
    ]
    assert exp.properties["hooks"]["Notes"] == {"loaded": True, "msg": ""}
    place = f"{REF}:digits/{exp.test_name[:6]}/{exp.test_name}"
    assert git("show", f"{place}/text/greeting.txt") == f"hello from {exp.test_name}"
    assert '"n": 3' in git("show", f"{place}/info/last words.json")
    assert "hello" in git("show", f"{REF}~2:digits/{exp.test_name[:6]}/{exp.test_name}/text/greeting.txt")


def test_hooks_run_in_order_and_may_be_given_as_classes(repo):
    order = []

    class First(ExpHook):
        def on_start(self, exp):
            order.append(self.name)

    class Second(First):
        name = "Renamed"

    exp = one(First, repo=repo)
    assert (order, set(exp.properties["hooks"])) == (["First"], {"First"})
    with Experiment("digits", hooks=[Second(), First]):
        pass
    assert order == ["First", "Renamed", "First"]
