"""``git lumo log`` with expressions, orders, columns, groups, and formats that other programs read."""

from __future__ import annotations

import io
import json
import shutil
import subprocess

import pandas
import pytest
import yaml
from markdown_it import MarkdownIt

from gitlumo import Experiment

ODD = 'a "b", c;\t|\n\\ größe 数'


def record(exp_name, acc, *, tags=(), note="", fail=False, **params):
    exp = Experiment(exp_name, params=params).start()
    exp.dump_metric("acc", acc)
    exp.dump_tags(*tags)
    if note:
        exp.dump_note(note)
    exp.end(int(fail))
    return exp


@pytest.fixture
def runs(repo):
    return [
        record("digits", 0.5, lr=0.1, seed=0, opt="adam", tags=("best",), note="the first"),
        record("digits", 0.7, lr=0.1, seed=1, opt="adam"),
        record("digits", 0.9, lr=0.01, seed=0, opt="sgd", fail=True),
        record("cifar", 0.8, lr=0.01, seed=1, opt=ODD, big=2**70, deep={"a": [1, None, "x"]}),
        record("cifar", float("nan"), seed=2),
    ]


@pytest.fixture
def lumo(runs):
    def run(*args, status=0):
        done = subprocess.run(["git", "lumo", *args], capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if status == 0 else done.stderr

    return run


def names(runs, *indices):
    return [f"{runs[i].exp_name}/{runs[i].test_name}" for i in indices]


def listed(lumo, *args):
    return [line.split()[0] for line in lumo("log", "--oneline", *args).splitlines() if "no run is like" not in line]


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        (["lr < 0.1"], [3, 2]),
        (["lr < 0.1 and acc > .85"], [2]),
        (["exp = digits", "state != failed"], [1, 0]),
        (["tag in (best, paper)"], [0]),
        (["note ~ first"], [0]),
        (["missing(params.lr)"], [4]),
        (["not missing(big)"], [3]),
        (["start > 1 hour ago"], [4, 3, 2, 1, 0]),
        (["start < 1 hour ago"], []),
        (["git.commit = HEAD"], []),
        (["opt = adam or seed = 2"], [4, 1, 0]),
        (["--since", "yesterday", "--until", "now", "seed = 0"], [2, 0]),
        (["-n", "2", "lr > 0"], [3, 2]),
    ],
)
def test_expressions(lumo, runs, expression, found):
    assert listed(lumo, *expression) == names(runs, *found)


def test_runs_of_a_commit(repo, git):
    from gitlumo import SimpleExperiment

    first = SimpleExperiment("digits").start()
    first.end()
    git("commit", "--quiet", "--allow-empty", "--message", "more")
    (repo / "train.py").write_text("dirty\n")
    second = SimpleExperiment("digits").start()
    second.end()

    def found(expression):
        done = subprocess.run(
            ["git", "lumo", "log", "--oneline", expression], capture_output=True, text=True, check=True
        )
        return [line.split()[0].split("/")[1] for line in done.stdout.splitlines() if "no run" not in line]

    assert found("git.commit = HEAD~1") == [first.test_name]
    assert found("git.commit = HEAD") == [second.test_name]
    assert found("git.commit in HEAD~1..HEAD") == [second.test_name]


@pytest.mark.parametrize(
    ("key", "order"),
    [("acc", [0, 1, 3, 2, 4]), ("-acc", [2, 3, 1, 0, 4]), ("params.lr", [3, 2, 1, 0, 4]), ("-start", [4, 3, 2, 1, 0])],
)
def test_order(lumo, runs, key, order):
    got = listed(lumo, "--sort", key)
    if key == "params.lr":  # two of each
        assert set(got[:2]) == set(names(runs, 2, 3))
        assert got[4:] == names(runs, 4)
    else:
        assert got == names(runs, *order)


def test_columns(lumo, runs):
    lines = lumo("log", "--columns", "state,lr,acc,tag", "exp = digits").splitlines()
    assert lines[0].split() == ["run", "state", "lr", "acc", "tag"]
    assert lines[3].split() == [*names(runs, 0), "finished", "0.1", "0.5", "best"]


def test_groups_over_seeds(lumo, runs):
    lines = lumo("log", "--group-by", "lr,opt", "exp = digits").splitlines()
    assert lines[0].split() == ["lr", "opt", "n", "acc"]
    assert lines[1].split() == ["0.01", "sgd", "1", "0.9"]
    assert lines[2].split() == ["0.1", "adam", "2", "0.6", "±", "0.14"]
    found = json.loads(lumo("log", "--group-by", "opt", "--format", "json", "exp = digits"))
    assert found[1]["metrics.acc.mean"] == pytest.approx(0.6)
    assert found[1]["metrics.acc.std"] == pytest.approx(0.1 * 2**0.5)
    assert [found[1]["params.opt"], found[1]["n"], found[1]["metrics.acc.n"]] == ["adam", 2, 2]


COLUMNS = ("--columns", "exp,name,lr,opt,big,deep.a,acc,tag,start")


def check_rows(rows, runs):
    assert [row["name"] for row in rows] == [exp.test_name for exp in reversed(runs)]
    assert [row["params.opt"] for row in rows[1:]] == [ODD, "sgd", "adam", "adam"]
    assert float(rows[1]["params.lr"]) == 0.01
    assert int(rows[1]["params.big"]) == 2**70


def test_csv_by_pandas(lumo, runs):
    df = pandas.read_csv(io.StringIO(lumo("log", "--format", "csv", *COLUMNS)), dtype={"params.big": str})
    check_rows(df.to_dict("records"), runs)
    assert pandas.to_datetime(df["start"]).dt.tz is not None
    assert json.loads(df["tag"][4]) == ["best"]
    df = pandas.read_csv(io.StringIO(lumo("log", "--format", "tsv", *COLUMNS)), sep="\t", dtype={"params.big": str})
    check_rows(df.to_dict("records"), runs)
    whole = pandas.read_csv(io.StringIO(lumo("log", "--format", "csv")))
    assert {"exp", "uid", "state", "metrics.acc", "params.lr", "params.deep.a"} <= set(whole.columns)


def test_yaml_by_pyyaml(lumo, runs):
    rows = yaml.safe_load(lumo("log", "--format", "yaml", *COLUMNS))
    check_rows([{"params.opt": None, **row} for row in rows], runs)
    assert rows[4]["tag"] == ["best"]
    assert rows[1]["params.deep.a"] == [1, None, "x"]
    assert yaml.safe_load(lumo("log", "--format", "yaml", "seed = 99")) == []


def test_markdown_by_a_parser(lumo, runs):
    tokens = MarkdownIt().enable("table").parse(lumo("log", "--format", "md", *COLUMNS))
    cells = [token.content for token in tokens if token.type == "inline"]
    heads = ["exp", "name", "params.lr", "params.opt", "params.big", "params.deep.a", "metrics.acc", "tag", "start"]
    assert cells[: len(heads)] == heads
    rows = [cells[i : i + len(heads)] for i in range(len(heads), len(cells), len(heads))]
    assert [row[1] for row in rows] == [exp.test_name for exp in reversed(runs)]
    assert rows[1][4] == str(2**70)


def test_json_by_jq(lumo, runs):
    text = lumo("log", "--json", "exp = cifar")
    found = json.loads(text)
    assert [run["test_name"] for run in found] == [runs[4].test_name, runs[3].test_name]
    assert found[1]["params"]["big"] == 2**70
    assert json.loads(lumo("log", "--format", "json", "exp = cifar")) == found
    assert json.loads(lumo("log", "--json", "seed = 99")) == []
    if shutil.which("jq"):
        out = subprocess.run(["jq", "-r", ".[].uid"], input=text, capture_output=True, text=True, check=True).stdout
        assert out.split() == [runs[4].uid, runs[3].uid]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["lr < 'a'"], "params.lr is a number in every run"),
        (["lrr < 1"], "no run has a column lrr; did you mean params.lr?"),
        (["lr <"], "^"),
        (["(lr < 1"], "^"),
        (["--sort", "none"], "no run has a column none"),
        (["--columns", "lr,none"], "no run has a column none"),
        (["--group-by", "none"], "no run has a column none"),
        (["--since", "whenever"], "--since 'whenever' is no time"),
        (["git.commit = nothing"], "names no commit"),
        (["--format", "xml"], "invalid choice: 'xml'"),
        (["exp", "=", "digits"], "git lumo log 'exp = digits'"),
        (["lr < 1", "lrr < 1"], "no run has a column lrr"),
        (["--sort", ""], "no run has a column"),
        (["--columns", " , "], "--columns ' , ' names no column"),
        (["--group-by", ""], "--group-by '' names no column"),
    ],
)
def test_wrong_input(lumo, args, said):
    told = lumo("log", *args, status=129)
    assert told.startswith("fatal: ")
    assert said in told


def test_nothing_found(lumo):
    assert lumo("log", "lr > 100") == "no run is like that\n"
    assert lumo("log", "--group-by", "lr", "lr > 100") == "no run is like that\n"


def test_a_live_run_is_there_as_it_is_now(lumo, runs):
    with Experiment("digits", params={"lr": 5.0}) as exp:
        exp.log({"acc": 0.25})
        assert listed(lumo, "lr = 5 and acc = 0.25 and state = running") == [f"digits/{exp.test_name}"]
        exp.log({"acc": 0.75})
        assert listed(lumo, "lr = 5 and acc = 0.75") == [f"digits/{exp.test_name}"]


def test_deprecated_runs_are_left_out(lumo, runs):
    from gitlumo import Watcher

    Watcher().retrieve(runs[2].test_name).dump_deprecated()
    assert listed(lumo, "lr < 0.1") == names(runs, 3)
    assert listed(lumo, "--all", "lr < 0.1") == names(runs, 3, 2)
    assert listed(lumo, "--all", "deprecated = true") == names(runs, 2)


def test_a_statistic_that_is_the_best_sorts_groups_and_is_shown(repo):
    for values in ((0.1, 0.9), (0.8, 0.2), (0.3, 0.5)):
        with Experiment("digits", params={"first": values[0]}) as exp:
            for value in values:
                exp.dump_metric("acc", value)

    def lumo(*args):
        return subprocess.run(["git", "lumo", "log", *args], capture_output=True, text=True, check=True).stdout

    assert lumo("--sort", "acc.last", "--columns", "acc.last", "--format", "csv").split() == [
        "metrics.acc.last",
        "0.2",
        "0.5",
        "0.9",
    ]
    by_last = json.loads(lumo("--group-by", "acc.last", "--format", "json"))
    assert sorted(group["metrics.acc.last"] for group in by_last) == [0.2, 0.5, 0.9]
    frame = pandas.read_csv(io.StringIO(lumo("--format", "csv")))
    assert list(frame["metrics.acc.last"]) == [0.5, 0.2, 0.9]
    assert list(frame["metrics.acc.min"]) == [0.3, 0.2, 0.1]
    assert [line.split()[-1] for line in lumo("--columns", "acc.max").splitlines()[1:]] == ["0.5", "0.8", "0.9"]


def test_odd_names_in_backquotes(lumo, repo):
    for seed in (1, 2):
        record("digits", 1.0, **{"a,b": seed, "we ird": 3 - seed, "`": "tick"})
    said = lumo("log", "--columns", "`a,b`, params.`we ird` ,````", "--sort", "-`we ird`", "--format=csv")
    assert said.splitlines()[:3] == ['"params.a,b",params.we ird,params.`', "1,2,tick", "2,1,tick"]


def test_a_table_of_nothing_is_read_by_pandas(lumo, runs):
    table = pandas.read_csv(io.StringIO(lumo("log", "--format=csv", "exp = nothing")))
    assert len(table) == 0
    assert "params.lr" in table
