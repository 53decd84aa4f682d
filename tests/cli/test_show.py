"""``git lumo show``: everything of one run, one file, one metric; and what EXP may be."""

from __future__ import annotations

import json
import subprocess

import pytest

import gitlumo


def test_everything(lumo, ledger):
    done = lumo("show", "first")
    assert (done.status, done.err) == (0, "")
    for part in ("digits/first finished", "tags      best", "it works", "really", "lr", "optim.wd  0",
                 "at step",
                 "best acc with per_class = [0.5, 0.5]", "▁▅█", "command", "history/00000.jsonl"):  # fmt: skip
        assert part in done.out
    failed = lumo("show", "second").out
    for part in ("failed", "ended     with status 1", "ZeroDivisionError", "code ", "==", "exception"):
        assert part in failed


def test_json_has_the_specifications_keys(lumo, ledger):
    run = json.loads(lumo("show", "first", "--json").out, parse_constant=pytest.fail)
    keys = """agent backup deprecated exception execute exp_name git hooks lock note params paths pinfo progress rerun
        tags test_name trainer uid state metrics""".split()  # noqa: SIM905
    assert [key for key in keys if key not in run] == []
    assert run["tags"] == ["best"]
    assert "history" not in run
    history = json.loads(lumo("show", "first", "--json", "--history").out)["history"]
    assert {"step": 2, "acc": 0.5}.items() <= history[-1].items()


def test_numbers_that_json_cannot_hold(lumo, repo):
    with gitlumo.Experiment("digits", "odd", params={"x": float("inf")}) as exp:
        exp.log({"loss": float("nan")})
    run = json.loads(lumo("show", "odd", "--json", "--history").out, parse_constant=pytest.fail)
    assert run["params"] == {"x": {"$float": "Infinity"}}
    assert run["metrics"]["loss"]["last"] == "NaN"
    assert run["history"][0]["loss"] == "NaN"
    assert "×" in lumo("show", "odd").out


def test_files(lumo, ledger, git):
    assert json.loads(lumo("show", "first:info/params.json").out)["model"] == "mlp"
    assert lumo("show", "first:note.md").out == "it works\nreally"
    listed = lumo("show", "first:").out.splitlines()
    assert "metrics.json" in listed
    assert lumo("show", "first:info").out.splitlines() == [path for path in listed if path.startswith("info/")]


def test_a_file_is_printed_byte_for_byte(repo):
    data = bytes(range(256)) * 3
    with gitlumo.Experiment("digits", "blob") as exp, open(exp.mk_ipath("plots", "p.png"), "wb") as out:
        out.write(data)
    shown = subprocess.run(["git-lumo", "show", "blob:plots/p.png"], capture_output=True, check=True)
    assert shown.stdout == data


def test_files_of_the_code(lumo, repo, git):
    data = bytes(range(256))
    (repo / "sub/info").mkdir(parents=True)
    (repo / "info").mkdir()
    (repo / "sub/blob").write_bytes(data)
    (repo / "info/params.json").write_text("of the code")
    with gitlumo.SimpleExperiment("digits", "coded", params={"lr": 1}):
        pass
    for path in ("sub/blob", "info/params.json"):
        (repo / path).unlink()
    shown = subprocess.run(["git-lumo", "show", "coded:sub/blob"], capture_output=True, check=True)
    assert shown.stdout == data
    assert lumo("show", "coded:train.py").out == "print('training')\n"
    assert json.loads(lumo("show", "coded:info/params.json").out) == {"lr": 1}  # what was recorded comes first
    assert lumo("show", "coded:./info/params.json").out == "of the code"
    assert lumo("show", "coded:./params.json", cwd=repo / "info").out == "of the code"
    commit = json.loads(lumo("show", "coded", "--json").out)["git"]["commit"]
    assert lumo("show", "coded:sub").out == git("show", f"{commit}:sub") + "\n"


def test_a_file_that_is_nowhere(lumo, ledger):
    done = lumo("show", "second:nix")
    assert (done.status, done.out) == (128, "")
    assert "digits/second has no file 'nix', neither among what it recorded nor in its code" in done.err
    assert "git ls-tree -r --name-only" in done.err
    done = lumo("show", "first:nix")  # which has no code
    assert (done.status, done.out) == (128, "")
    assert "digits/first has no file 'nix', and recorded no code" in done.err


def test_a_file_of_the_code_in_a_partial_clone(lumo, repo, git, tmp_path):
    gitlumo.SimpleExperiment("digits", "first").start().end()
    git("config", "uploadpack.allowFilter", "true")
    git("clone", "--quiet", "--no-checkout", "--filter=blob:none", f"file://{repo}", tmp_path / "clone")
    assert lumo("show", "@:train.py", cwd=tmp_path / "clone").out == "print('training')\n"


def test_one_metric(lumo, ledger):
    lines = lumo("show", "first", "--metric", "acc").out.splitlines()
    assert lines[0] == "▁▅█"
    assert [line.split()[0] for line in lines[2:]] == ["0", "1", "2"]
    assert lines[-1].endswith("0.5")


@pytest.mark.parametrize("name", ["@", "@~1", "@~2", "first", "fir", "digits/first", "digits/f", "second"])
def test_what_exp_may_be(lumo, ledger, name):
    meant = {"@": "dies", "@~1": "second", "@~2": "first", "second": "second"}.get(name, "first")
    assert json.loads(lumo("show", name, "--json").out)["test_name"] == meant


def test_uid_prefix_and_default(lumo, ledger):
    uid = json.loads(lumo("show", "first", "--json").out)["uid"]
    assert json.loads(lumo("show", uid[:8], "--json").out)["uid"] == uid
    assert json.loads(lumo("show", "--json").out)["uid"] == json.loads(lumo("show", "@", "--json").out)["uid"]


def test_an_ambiguous_prefix_lists_the_candidates(lumo, repo):
    for number in range(12):
        gitlumo.Experiment("digits", f"twin-{number:02d}").start().end()
    done = lumo("show", "twin")
    assert done.status == 128
    assert "may mean 12 runs" in done.err
    assert "digits/twin-00" in done.err
    assert "and 2 more" in done.err


def test_an_exact_name_wins_over_longer_ones(lumo, repo):
    for name in ("run", "run-2"):
        gitlumo.Experiment("digits", name).start().end()
    assert json.loads(lumo("show", "run", "--json").out)["test_name"] == "run"


def test_two_runs_of_one_name(lumo, repo, git, tmp_path):
    """Two clones choose one name: both survive, and each can be shown."""
    clone = tmp_path / "clone"
    git("clone", "--quiet", repo, clone)
    mine = gitlumo.Experiment("digits", "twin").start()
    mine.end()
    theirs = gitlumo.Experiment("digits", "twin", repo=clone).start()
    theirs.end()
    git("fetch", "--quiet", clone, "lumo_experiments:refs/remotes/clone/lumo_experiments")
    assert json.loads(lumo("show", "twin", "--json").out)["uid"] == mine.uid
    assert json.loads(lumo("show", "twin~", "--json").out)["uid"] == theirs.uid
    assert json.loads(lumo("show", theirs.uid[:10], "--json").out)["uid"] == theirs.uid


def test_code_that_is_not_here_is_said(lumo, repo, git, tmp_path):
    (repo / "train.py").write_text("changed\n")
    with gitlumo.SimpleExperiment("digits", "first"):
        assert "not in this repository" not in lumo("show", "first").out  # it waits, or is in the ledger
    gitlumo.SimpleExperiment("digits", "second").start().end()
    clone = tmp_path / "clone"
    git("clone", "--quiet", "--depth=1", "--no-single-branch", f"file://{repo}", clone)
    assert "not in this repository" in lumo("show", "first", cwd=clone).out
    git("fetch", "--quiet", "--unshallow", cwd=clone)
    assert "not in this repository" not in lumo("show", "first", cwd=clone).out


def test_code_that_waits_is_here(lumo, repo, git):
    """While the branch holds something else, a run's code waits beside the object database."""
    git("branch", "lumo_experiments")
    (repo / "train.py").write_text("changed\n")
    with pytest.warns(gitlumo.errors.LumoWarning):
        exp = gitlumo.SimpleExperiment("digits", "first").start()
    commit = exp.properties["git"]["commit"]
    assert git("cat-file", "-e", commit, check=False) == ""
    assert (repo / f".git/lumo/code/{commit}.idx").exists()
    git("branch", "-m", "lumo_experiments", "other")
    assert "not in this repository" not in lumo("show", "first").out
    exp.end()


def test_the_code_beside_its_parent_commit(lumo, repo, git):
    (repo / "model.py").write_text("layers = 2\n")
    git("add", "model.py")
    git("commit", "--quiet", "--message", "a model")
    (repo / "model.py").write_text("layers = 3\n")
    (repo / "new.py").write_text("x = 1\n")
    with gitlumo.SimpleExperiment("digits", "dirty"):
        pass
    commit = json.loads(lumo("show", "dirty", "--json").out)["git"]["commit"]
    done = lumo("show", "dirty", "--diff")
    assert (done.status, done.err) == (0, "")
    assert done.out == git("diff", "HEAD", commit) + "\n"
    git("add", "--all")
    git("commit", "--quiet", "--message", "another one")
    with gitlumo.SimpleExperiment("digits", "clean"):
        pass
    assert lumo("show", "clean", "--diff").out == git("diff", "HEAD^", "HEAD") + "\n"
    for words in (("dirty:note.md", "--diff"), ("dirty", "--diff", "--json"), ("dirty", "--diff", "--metric", "loss")):
        assert lumo("show", *words).status == 129
