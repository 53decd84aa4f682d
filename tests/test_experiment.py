"""What a run can be told, and what it says of itself."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import enum
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest

import gitlumo
from gitlumo import Experiment, LumoError, SimpleExperiment
from gitlumo.errors import InvalidName, NotARepository, StateError

KEYS = {
    "": "agent backup deprecated exception execute exp_name git hooks lock note params paths pinfo progress rerun tags "
    "test_name trainer uid state metrics",
    "execute": "cwd exec_argv exec_bin exec_file repo",
    "git": "commit dep_hash repo skipped head branch dirty remotes submodules",
    "pinfo": "pid hash obj host boot namespace",
    "progress": "finished last_edit_time ratio start update_from end end_code killed seq",
}


@pytest.fixture
def exp(repo):
    with Experiment("digits") as made:
        yield made


class Colour(enum.Enum):
    RED = 3


@dataclasses.dataclass
class Optim:
    lr: float = 0.1
    betas: tuple = (0.9, 0.99)


class Model:
    """What pydantic's models look like."""

    def model_dump(self):
        return {"depth": 3}


class Tensor:
    """What a torch scalar looks like."""

    def __init__(self, value):
        self.value = value

    def item(self):
        return self.value


# ------------------------------------------------------------------------------------------------------- metrics


def test_log_keeps_every_value(exp):
    exp.log({"loss": 0.31, "acc": 0.93}, step=1)
    exp.log({"loss": 0.25})
    exp.log({"loss": np.float32(0.5), "n": np.int64(7), "t": Tensor(2.5), "yes": True}, step=np.int64(10))
    assert [(p["step"], p["loss"]) for p in exp.history("loss")] == [(1, 0.31), (2, 0.25), (10, 0.5)]
    assert [set(point) for point in exp.history("loss")] == [{"step", "time", "loss"}] * 3
    assert [len(point) for point in exp.history()] == [4, 3, 6]
    assert exp.metrics["loss"] == {
        **{"last": 0.5, "min": 0.25, "max": 0.5, "best": 0.5, "best_step": 10},
        **{"cmp": None, "count": 3, "with": {}},
    }
    assert [exp.metrics[key]["last"] for key in ("n", "t", "yes")] == [7, 2.5, 1]


def test_steps_count_up_for_each_metric(exp):
    exp.log({"a": 1})
    exp.log({"a": 2})
    exp.log({"b": 1})
    exp.log({"a": 3, "b": 2})
    exp.log({})
    assert [p["step"] for p in exp.history("a")] == [0, 1, 2]
    assert [p["step"] for p in exp.history("b")] == [0, 2]
    assert len(exp.history()) == 4


@pytest.mark.parametrize(
    ("calls", "best"),
    [
        ([("acc", 0.5), ("acc", 0.9), ("acc", 0.7)], [0.5, 0.9, 0.9]),
        ([("loss", 3, "min"), ("loss", 1, "min"), ("loss", 2, "min")], [3, 1, 1]),
        ([("n", 3, None), ("n", 1, None)], [3, 1]),
        ([("acc", math.nan), ("acc", 0.1), ("acc", math.nan)], [math.nan, 0.1, 0.1]),
        ([("acc", -math.inf), ("acc", math.inf)], [-math.inf, math.inf]),
        ([("n", 2**63), ("n", 2**63 + 1)], [2**63, 2**63 + 1]),
    ],
)
def test_dump_metric_returns_the_best_so_far(exp, calls, best):
    assert [exp.dump_metric(*call) for call in calls] == pytest.approx(best, nan_ok=True)
    assert exp.metrics[calls[0][0]]["best"] == best[-1]
    assert type(exp.metrics[calls[0][0]]["best"]) is type(best[-1])


@pytest.mark.parametrize(
    ("words", "keywords", "cmp", "companions"),
    [
        ((), {}, "max", {}),
        (("min",), {}, "min", {}),
        ((None,), {}, None, {}),
        ((), {"cmp": "min", "epoch": 3}, "min", {"epoch": 3}),
        (("cls_acc", [0.9, 0.96]), {}, "max", {"cls_acc": [0.9, 0.96]}),
        (("a", 1, "b", (2, 3)), {"cmp": "min"}, "min", {"a": 1, "b": (2, 3)}),
        (("cls_acc", np.array([0.5, 1.0])), {"note": "x"}, "max", {"cls_acc": np.array([0.5, 1.0]), "note": "x"}),
    ],
)
def test_dump_metric_in_every_form(exp, words, keywords, cmp, companions):
    assert exp.dump_metric("acc", 0.93, *words, **keywords) == 0.93
    found = Experiment.from_disk(exp.info_dir).metrics["acc"]
    plain = {key: list(v) if isinstance(v, (tuple, np.ndarray)) else v for key, v in companions.items()}
    assert (found["cmp"], found["with"]) == (cmp, plain)


def test_companions_are_those_of_the_best(exp):
    exp.dump_metric("acc", 0.5, "cls_acc", [0.4, 0.6], epoch=1)
    exp.dump_metric("acc", 0.9, "cls_acc", [0.8, 1.0], epoch=2, step=20)
    assert exp.dump_metric("acc", 0.7, epoch=3) == 0.9
    expected = {"best": 0.9, "best_step": 20, "last": 0.7, "with": {"cls_acc": [0.8, 1.0], "epoch": 2}}
    assert exp.metrics["acc"].items() >= expected.items()
    exp.log({"acc": 0.95})
    assert exp.metrics["acc"]["cmp"] == "max"
    assert (exp.metrics["acc"]["best"], exp.metrics["acc"]["with"]) == (0.95, {})


def test_dump_metrics(exp):
    assert exp.dump_metrics({"a": 1, "b": 2}, cmp="min") == {"a": 1, "b": 2}
    assert exp.dump_metrics({"a": 3, "b": 1}, "min", step=5) == {"a": 1, "b": 1}
    assert exp.dump_metrics({"c": 3}) == {"c": 3}
    assert {key: metric["cmp"] for key, metric in exp.metrics.items()} == {"a": "min", "b": "min", "c": "max"}


@pytest.mark.parametrize("key", ["step", "time", "$cmp", "$with", "loss/train", "détection", "a b", "x" * 300, "\n"])
def test_any_text_can_name_a_metric(exp, key):
    exp.dump_metric(key, 1, cmp="min")
    exp.dump_metric(key, 2, cmp="min")
    read = Experiment.from_disk(exp.info_dir)
    assert read.metrics == exp.metrics
    assert read.metrics[key]["best"] == 1
    assert [point["step"] for point in read.history(key)] == [0, 1]


# ---------------------------------------------------------------------------------------------------- properties


@pytest.mark.parametrize(
    ("given", "back"),
    [
        ({"lr": 0.1, "layers": [64, 32], "deep": {"a": {"b": None}}}, None),
        (argparse.Namespace(lr=0.1, name="x"), {"lr": 0.1, "name": "x"}),
        (Optim(), {"lr": 0.1, "betas": [0.9, 0.99]}),
        ({"optim": Optim(2)}, {"optim": {"lr": 2, "betas": [0.9, 0.99]}}),
        (Model(), {"depth": 3}),
        ({"inf": math.inf, "big": 2**70, "b": b"\xff", "$odd": 1, "名": "ключ"}, None),
        ({2: "a", None: "b", True: "c"}, {"2": "a", "null": "b", "true": "c"}),
        ({"path": Path("a/b"), "enum": Colour.RED, "set": {3, 1}}, {"path": "a/b", "enum": "RED", "set": [1, 3]}),
        ({"a": np.arange(3), "s": np.float64(0.5)}, {"a": [0, 1, 2], "s": 0.5}),
        ({"at": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)}, {"at": "2026-01-02T00:00:00+00:00"}),
        ([1, 2], None),
        ("text", None),
        (None, None),
    ],
)
def test_params(exp, given, back):
    expected = given if back is None else back
    exp.dump_info("params", given)
    assert exp.load_info("params") == expected
    assert Experiment.from_disk(exp.info_dir).properties["params"] == expected


def test_dump_info_appends(exp):
    exp.dump_info("d", {"a": 1, "b": 1})
    exp.dump_info("d", {"b": 2}, append=True)
    exp.dump_info("l", [1], append=True)
    exp.dump_info("l", [2], append=True)
    exp.dump_info("l", 3, append=True)
    assert exp.load_info("d") == {"a": 1, "b": 2}
    assert exp.load_info("l") == [1, 2, 3]
    assert exp.load_info("nothing") is None


def test_texts(exp):
    assert (exp.load_note(), exp.tags, exp.load_string("report")) == ("", [], None)
    exp.dump_note("first")
    exp.dump_note("größer\n")
    exp.dump_tags("best", "paper", "best")
    exp.dump_string("report", "a")
    exp.dump_string("report", "b", append=True)
    exp.dump_string("../x:y", "odd")
    read = Experiment.from_disk(exp.info_dir)
    for run in (exp, read):
        assert (run.load_note(), run.tags, run.load_string("report")) == ("größer\n", ["best", "paper"], "ab")
        assert run.load_string("../x:y") == "odd"
        assert (run.properties["note"], run.properties["tags"]) == ("größer\n", ["best", "paper"])
    assert not (Path(exp.info_dir).parent / "x:y.txt").exists()


def test_progress(exp):
    exp.dump_progress(0.5)
    assert exp.properties["progress"].items() >= {"ratio": 0.5, "update_from": None, "finished": False}.items()
    exp.dump_progress(1, update_from="the loop")
    assert exp.properties["progress"].items() >= {"ratio": 1.0, "update_from": "the loop"}.items()


def test_properties(repo):
    with SimpleExperiment("digits") as exp:
        exp.dump_info("mine", {"a": 1})
        for found in (exp.properties, Experiment.from_disk(exp.info_dir).properties):
            assert set(KEYS[""].split()) <= set(found)
            for key in ("execute", "git", "pinfo", "progress"):
                assert set(found[key]) - {"nth"} == set(KEYS[key].split()), key
            assert {"argv", "pid", "pname", "pstart"} <= set(found["pinfo"]["obj"])
            assert set(found["paths"]) == {"info_root", "blob_root", "cache_root"}
            assert (found["agent"], found["trainer"], found["deprecated"], found["state"]) == (
                None,
                None,
                False,
                "running",
            )
            assert found["mine"] == {"a": 1}
        assert exp.properties["pinfo"]["pid"] == os.getpid()
        assert set(exp.properties["hooks"]) == {
            *("GitCommit", "LockFile", "LastCmd", "Diary", "FinalReport", "RecordAbort")
        }
        assert all(hook == {"loaded": True, "msg": ""} for hook in exp.properties["hooks"].values())
    assert exp.properties["state"] == exp.state == "finished"
    assert exp.properties["progress"].items() >= {"finished": True, "end_code": 0, "ratio": 1.0, "killed": None}.items()


def test_the_folders(exp, sealed):
    paths = [exp.mk_ipath("plots", "roc.png"), exp.mk_bpath("model.pt"), exp.mk_cpath("a", "b", is_dir=True)]
    folders = [exp.info_dir, exp.blob_dir, exp.cache_dir]
    for path, folder in zip(paths, folders, strict=True):
        assert path.startswith(folder + os.sep)
        assert os.path.isdir(os.path.dirname(path))
        assert folder.endswith(f"/digits/{exp.test_name}")
    assert os.path.isdir(paths[2])
    assert not os.path.exists(paths[0])
    assert folders[2].startswith(str(sealed))
    for call in (exp.mk_ipath, exp.mk_bpath, exp.mk_cpath):
        with pytest.raises(InvalidName, match="leads out"):
            call("..", "..", "x")


def test_what_is_put_below_info_dir_is_published(exp, git):
    Path(exp.mk_ipath("plots", "roc.txt")).write_text("curve")
    Path(exp.info_dir, "link").symlink_to("/etc/passwd")
    exp.checkpoint()
    names = git("ls-tree", "-r", "--name-only", "lumo_experiments").splitlines()
    assert f"digits/{exp.test_name[:6]}/{exp.test_name}/plots/roc.txt" in names
    assert not [name for name in names if name.endswith("/link")]
    assert {item["path"] for item in exp.properties["skipped"]} == {"link"}


def test_start_with_params_and_names(repo):
    exp = gitlumo.start("digits", params={"lr": 0.1})
    assert isinstance(exp, SimpleExperiment)
    assert exp.load_info("params") == {"lr": 0.1}
    assert re.fullmatch(r"\d{6}\.000\.[0-9a-z]{4}t", exp.test_name)
    exp.end()
    with gitlumo.start("digits") as second:
        assert second.test_name.split(".")[1] == "001"
    with gitlumo.start("digits", test_name="mine") as third:
        assert (third.test_name, third.exp_name) == ("mine", "digits")


def test_repo_is_given(repo, git, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Experiment("digits", repo=repo / "."):
        pass
    assert git("rev-parse", "--verify", "lumo_experiments", cwd=repo)
    with pytest.raises(NotARepository, match="git init"):
        Experiment("digits").start()


def test_from_disk_is_for_reading(exp):
    exp.log({"a": 1})
    read = SimpleExperiment.from_disk(exp.info_dir)
    assert (read.exp_name, read.test_name, read.uid, read.info_dir) == (
        *("digits", exp.test_name, exp.uid, exp.info_dir),
    )
    before = {path: path.read_bytes() for path in Path(exp.info_dir).rglob("*.*")}
    for call in (lambda: read.log({"a": 1}), read.start, read.end, read.checkpoint, lambda: read.dump_string("k", "x")):
        with pytest.raises(StateError):
            call()
    assert {path: path.read_bytes() for path in Path(exp.info_dir).rglob("*.*")} == before
    with pytest.raises(LumoError, match="not a folder"):
        Experiment.from_disk("nowhere")
    os.mkdir("nothing")
    with pytest.raises(LumoError, match="nothing"):
        Experiment.from_disk("nothing")


@pytest.mark.damages
def test_from_disk_of_a_later_format(exp):
    Path(exp.info_dir, "info/format.json").write_text('{"version": 2}\n')
    with pytest.raises(LumoError, match="install a newer gitlumo"):
        Experiment.from_disk(exp.info_dir)
