"""Watcher: rows, data frames and experiments of all runs, also of those that are being recorded."""

from __future__ import annotations

import datetime
import subprocess
import sys

import pandas as pd
import pytest

import gitlumo
from gitlumo import C, Experiment, Watcher
from gitlumo.errors import LumoError, NoSuchRun, UsageError
from gitlumo.store import columns
from gitlumo.store.indexing import open_index


def record(exp_name="digits", metrics=None, tags=(), note="", **params):
    with Experiment(exp_name, params=params) as exp:
        for step, loss in enumerate(metrics or [1.0, 0.5]):
            exp.dump_metric("loss", loss, cmp="min", step=step)
        exp.dump_tags(*tags)
        exp.dump_note(note)
    return exp


@pytest.fixture
def runs(repo):
    return [
        record(lr=0.1, depth=3, name="adam", optim={"decay": 1e-4}, tags=("best", "paper"), note="größe"),
        record(lr=0.01, depth=5, name="adam", flag=True),
        record("cifar", lr=1, depth=7, name="sgd", big=2**70, odd=float("nan"), metrics=[3, 2]),
    ]


def test_a_row_a_run_the_newest_first(runs):
    df = Watcher().load()
    assert list(df.index) == [exp.test_name for exp in reversed(runs)]
    assert list(df["uid"]) == [exp.uid for exp in reversed(runs)]
    assert list(df["exp_name"]) == ["cifar", "digits", "digits"]
    assert list(df["metrics.loss"]) == [2, 0.5, 0.5]
    assert list(df["params.lr"]) == [1, 0.01, 0.1]
    assert list(df["params.depth"]) == [7, 5, 3]
    assert df["tags"].iloc[2] == ["best", "paper"]
    assert df["note"].iloc[2] == "größe"
    assert df["params.big"].iloc[0] == 2**70


def test_right_dtypes(runs):
    types = Watcher().load().dtypes
    assert types["params.lr"] == "float64"
    assert types["params.depth"] == "int64"
    assert types["params.optim.decay"] == "float64"
    assert types["params.flag"] == "boolean"
    assert types["deprecated"] == "bool"
    assert isinstance(types["start"], pd.DatetimeTZDtype)
    assert str(types["start"].tz) == "UTC"
    assert isinstance(types["state"], pd.CategoricalDtype)
    started = Watcher().load()["start"].iloc[0]
    assert abs(started - pd.Timestamp(datetime.datetime.now(datetime.UTC))) < pd.Timedelta("60s")


def test_integers_with_gaps_stay_integers(repo):
    record(a=1)
    record(b=2)
    df = Watcher().load()
    assert df["params.a"].dtype == "Int64"
    assert list(df["params.a"].isna()) == [True, False]


def test_conditions_and_columns(runs):
    watcher = Watcher()
    assert list(watcher.load(C["params.lr"] < 0.5)["params.depth"]) == [5, 3]
    assert list(watcher.load((C["params.lr"] < 0.5) & (C["tag"].contains("best")))["uid"]) == [runs[0].uid]
    df = watcher.load(columns=["params.lr", "metrics.loss", "exp_name"])
    assert list(df.columns) == ["params.lr", "metrics.loss", "exp_name"]
    assert list(df.index) == [exp.test_name for exp in reversed(runs)]
    assert watcher.load(C["params.lr"] > 5).empty
    with pytest.raises(UsageError, match=r"no run has a column 'params.lrr'; there are params.lr"):
        watcher.load(columns=["params.lrr"])
    assert list(watcher.load("lr < 0.5 and depth > 3")["params.depth"]) == [5]
    assert [row["uid"] for row in watcher.rows("tag = best")] == [runs[0].uid]
    with pytest.raises(UsageError, match="no run has a column lrr"):
        watcher.load("lrr < 1")
    with pytest.raises(UsageError, match="not a condition"):
        watcher.load(7)


def test_columns_that_no_run_found_has(runs):
    watcher = Watcher()
    df = watcher.load("lr > 5", columns=["params.lr", "start"])
    assert (list(df.columns), len(df)) == (["params.lr", "start"], 0)
    df = watcher.load("exp = cifar", columns=["params.flag", "exception", "end"])
    assert df[["params.flag", "exception"]].isna().all(axis=None)
    assert isinstance(df["end"].dtype, pd.DatetimeTZDtype)
    assert list(watcher.load(columns="params.depth").columns) == ["params.depth"]
    assert watcher.rows("exp = cifar", "params.depth") == [{"params.depth": 7}]
    with pytest.raises(UsageError, match=r"no run has a column 'depth'; did you mean 'params.depth'\?"):
        watcher.load(columns="depth")


LAST, LEAST, GREATEST = (f"metrics.acc.{name}" for name in ("last", "min", "max"))


def curve(*values):
    with Experiment("digits", params={"first": values[0]}) as exp:
        for value in values:
            exp.dump_metric("acc", value)
    return exp


@pytest.fixture(params=["published", "and one is being recorded"])
def curves(request, repo):
    """acc is 0.1, 0.9 in the first run, 0.8, 0.2 in the second; the third has none."""
    made = [curve(0.1, 0.9)]
    if request.param == "published":
        made += [curve(0.8, 0.2), record()]
        yield made
        return
    exp = Experiment("digits", params={"first": 0.8}).start()
    exp.dump_metric("acc", 0.8)
    exp.dump_metric("acc", 0.2)
    yield [*made, exp, record()]
    exp.end()


def test_a_statistic_that_is_the_best_is_there_by_its_name(curves):
    watcher, nan = Watcher(), pytest.approx(float("nan"), nan_ok=True)
    names = [LAST, LEAST, GREATEST]
    expected = {LAST: [nan, 0.2, 0.9], LEAST: [nan, 0.2, 0.1], GREATEST: [nan, 0.8, 0.9]}
    rows = watcher.rows(columns=names)
    assert rows == [
        dict.fromkeys(names),
        {LAST: 0.2, LEAST: 0.2, GREATEST: 0.8},
        {LAST: 0.9, LEAST: 0.1, GREATEST: 0.9},
    ]
    assert [{name: row.get(name) for name in names} for row in watcher.rows()] == rows
    for df in (
        watcher.load(columns=names),
        watcher.load(),
        watcher.load("exp = digits"),
        Watcher().load("exp = digits"),
    ):
        assert {name: list(df[name]) for name in names if name in df} == {n: expected[n] for n in names if n in df}
        assert LAST in df
        assert LEAST in df
    assert [row["params.first"] for row in watcher.rows(C[LAST] > 0.5)] == [0.1]
    assert [row["params.first"] for row in watcher.rows(C["acc.max"] >= 0.8)] == [0.8, 0.1]
    assert list(watcher.load("acc.max >= 0.8 and acc.last < 0.5")["params.first"]) == [0.8]


def test_a_statistic_of_which_no_run_has_its_own(repo):
    curve(0.5)
    watcher = Watcher()
    assert list(watcher.load(columns=[LAST])[LAST]) == [0.5]
    assert watcher.rows(columns=[GREATEST]) == [{GREATEST: 0.5}]
    assert list(watcher.load()["metrics.acc"]) == [0.5]
    curve(0.9, 0.1)  # now one has
    assert list(watcher.load()[LAST]) == [0.1, 0.5]
    assert list(Watcher().load()[LAST]) == [0.1, 0.5]
    with pytest.raises(UsageError):
        watcher.load(columns=["metrics.nothing.last"])


def test_rows_need_no_pandas(runs):
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "from gitlumo import C, Watcher\n"
        "w = Watcher()\n"
        "print(len(w.rows()), w.rows(C['params.depth'] > 4, columns=['params.depth', 'state']))\n"
        "print(w.retrieve('@').state)\n"
        "try: w.load()\n"
        "except Exception as error: print(type(error).__name__, str(error).splitlines()[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "3 [{'params.depth': 7, 'state': 'finished'}, {'params.depth': 5, 'state': 'finished'}]",
        "finished",
        "UsageError type: pip install 'gitlumo[pandas]'; Watcher().rows() needs none",
    ]


def same(one, other):
    pd.testing.assert_frame_equal(one, other, check_like=True, check_categorical=False, check_dtype=False)


def test_a_second_load_is_as_the_first_would_be(runs):
    watcher = Watcher()
    first = watcher.load()
    first.loc[:, "params.lr"] = 99.0  # the caller's own
    same(watcher.load(), Watcher().load())
    record(lr=0.3, new="column", depth=1)
    same(watcher.load(), Watcher().load())
    assert watcher.load()["params.new"].iloc[0] == "column"
    assert len(first) == 3
    with Experiment("digits", params={"lr": 0.7}) as exp:
        exp.log({"loss": 1})
        exp.checkpoint()
        df = watcher.load()
        assert (df["state"].iloc[0], df["metrics.loss"].iloc[0]) == ("running", 1)
        exp.log({"loss": 0.25})
        assert watcher.load()["metrics.loss"].iloc[0] == 0.25  # not published yet
        exp.checkpoint()
        assert len(watcher.load()) == 5
    df = watcher.load()
    assert (df["state"].iloc[0], len(df)) == ("finished", 5)
    same(df, Watcher().load())


def test_what_repeats_is_decoded_once(repo, monkeypatch):
    for seed in range(6):
        record(seed=seed, flag=True, mixed=(1, 1.0, "1", True, None, 2**70)[seed], tags=("a",))
    decoded = []
    from_sql = columns.from_sql
    monkeypatch.setattr(columns, "from_sql", lambda held: decoded.append(held) or from_sql(held))
    df = Watcher().load()
    assert list(map(repr, df["params.mixed"])) == ["1180591620717411303424", "None", "True", "'1'", "1.0", "1"]
    assert all(type(held) is bytes for held in decoded)
    assert decoded.count(b"false") == decoded.count(b"true") - 1 == 1  # deprecated; flag and mixed
    df["tags"].iloc[0].append("b")
    assert df["tags"].iloc[1] == ["a"]


def test_a_second_load_does_not_walk_all_runs(repo, monkeypatch):
    def steps():
        """How many steps SQLite takes to read one new run."""
        record(seed=1)
        count = 0

        def counted(branch, view, cache_root):
            nonlocal count
            found = open_index(branch, view, cache_root)

            def step():
                nonlocal count
                count += 1

            found.connection.set_progress_handler(step, 1)
            return found

        with monkeypatch.context() as patched:
            patched.setattr("gitlumo.watcher.open_index", counted)
            watcher.load()
        return count

    watcher = Watcher()
    record(seed=0)
    watcher.load()
    steps()
    few = steps()
    for seed in range(40):
        record(seed=seed)
    watcher.load()
    assert steps() <= few + 10


def test_the_branch_is_set_back(runs, git):
    watcher = Watcher()
    watcher.load()
    git("update-ref", "refs/heads/lumo_experiments", "lumo_experiments~2")
    df = watcher.load()
    assert list(df["uid"]) == [runs[1].uid, runs[0].uid]
    record(lr=5)
    assert len(watcher.load()) == 3
    same(watcher.load(), Watcher().load())


def test_nothing_yet(repo):
    watcher = Watcher()
    assert watcher.load().empty
    assert watcher.rows() == []
    assert watcher.history("loss").empty
    record(lr=1)
    assert len(watcher.load()) == 1


def test_history(runs):
    df = Watcher().history("loss", C["exp"] == "cifar")
    assert list(df.columns) == ["exp_name", "test_name", "metric", "step", "time", "value"]
    assert df[["step", "value"]].to_numpy().tolist() == [[0, 3], [1, 2]]
    assert set(df["test_name"]) == {runs[2].test_name}
    assert len(Watcher().history()) == 6
    assert Watcher().history(["none"]).empty


def test_retrieve(runs, tmp_path, monkeypatch):
    watcher = Watcher()
    for name in (runs[0].test_name, runs[0].test_name[:-1], f"digits/{runs[0].test_name}", runs[0].uid[:10], "@~2"):
        exp = watcher.retrieve(name)
        assert (exp.uid, exp.load_info("params")["lr"], exp.state) == (runs[0].uid, 0.1, "finished")
    assert exp.history("loss") == runs[0].history("loss")
    assert exp.info_dir == runs[0].info_dir
    assert exp.tags == ["best", "paper"]
    with pytest.raises(NoSuchRun, match="no run is called"):
        watcher.retrieve("nothing")
    with pytest.raises(gitlumo.LumoError, match="can be written"):
        exp.log({"a": 1})


def test_from_cache_as_the_specification_has_it(runs, tmp_path, monkeypatch):
    w = Watcher()
    df = w.load()
    exp = Experiment.from_cache(df.iloc[0].to_dict())
    assert (exp.uid, exp.properties["params"]["lr"]) == (runs[2].uid, 1)
    monkeypatch.chdir(tmp_path)  # the row says where the run is
    assert Experiment.from_cache(df.iloc[2]).uid == runs[0].uid
    with pytest.raises(LumoError, match="has a uid"):
        Experiment.from_cache({"a": 1})


def test_of_another_folder(runs, repo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(Watcher(repo).load()) == 3
    assert repr(Watcher(repo)) == f"Watcher({str(repo)!r})"


def test_a_plain_clone(runs, repo, git, tmp_path):
    git("clone", "--quiet", repo, tmp_path / "clone")
    df = Watcher(tmp_path / "clone").load()
    assert list(df["uid"]) == [exp.uid for exp in reversed(runs)]
    assert git("for-each-ref", "refs/heads/lumo_experiments", cwd=tmp_path / "clone") == ""
