"""Values of other libraries, the real ones (docs/format.md, section 2); gitlumo imports none of them."""

import dataclasses
import pathlib
import subprocess
import sys
import typing

import attrs
import click
import numpy as np
import omegaconf
import pandas as pd
import pydantic
import pydantic.v1
import pytest
import scipy.sparse
from omegaconf import OmegaConf

from gitlumo import privacy, values
from gitlumo.errors import InvalidValue


@dataclasses.dataclass(slots=True)
class Optim:
    lr: float = 0.1
    betas: tuple = (0.9, 0.999)
    kinds: typing.ClassVar = ("sgd", "adam")  # the class's own, no parameter


@dataclasses.dataclass
class Training:
    optim: Optim = dataclasses.field(default_factory=Optim)
    seed: int = 1


@dataclasses.dataclass(slots=True)
class Late:
    x: int = 1
    late: int = dataclasses.field(init=False)  # not set: left out


class Model(pydantic.BaseModel):
    lr: float = 0.1
    where: pathlib.Path = pathlib.Path("/data")
    inner: Training = Training()
    secret: pydantic.SecretStr = pydantic.SecretStr("hush")
    hidden: str = pydantic.Field("hush", exclude=True)


class OldModel(pydantic.v1.BaseModel):
    lr: float = 0.1
    secret: pydantic.v1.SecretStr = pydantic.v1.SecretStr("hush")


class Rows(pydantic.RootModel):
    root: list[typing.Any]


@attrs.define
class Attrs:
    x: int = 1
    y: list = attrs.field(factory=lambda: [Optim()])


class Args(typing.NamedTuple):
    lr: float
    layers: tuple = (1, 2)


def click_context(cls=click.Context):
    context = cls(click.Command("train"))
    context.params = {"lr": 0.1, "out": pathlib.Path("x")}
    return context


class Context(click.Context):
    """As typer's."""


OPTIM = {"lr": 0.1, "betas": [0.9, 0.999]}
CONFIG = OmegaConf.create(
    {
        "lr": 0.1,
        "missing": "???",
        "same": "${lr}",
        "deep": {"list": ["${...lr}", "${lr}", "???", None], "nowhere": "${none.at.all}"},
        "loop": "${loop}",
        "home": "${oc.env:HOME_OF_DATA}",
        "unset": "${oc.env:NOT_SET}",
        "wandb": "key ${oc.env:WANDB_API_KEY}",
        1: b"x",
    }
)
RECORDS = np.array([(1, 2.5), (3, np.nan)], dtype=[("n", int), ("x", float)])
ENCODED = {
    "dataclass": (Training(), {"optim": OPTIM, "seed": 1}),
    "dataclass not filled": (Late(), {"x": 1}),
    "pydantic": (Model(), {"lr": 0.1, "where": "/data", "inner": {"optim": OPTIM, "seed": 1}, "secret": privacy.MASK}),
    "pydantic 1": (OldModel(), {"lr": 0.1, "secret": privacy.MASK}),
    "pydantic root": (Rows([1, 2]), [1, 2]),
    "attrs": (Attrs(), {"x": 1, "y": [OPTIM]}),
    "named tuple": (Args(0.1), {"lr": 0.1, "layers": [1, 2]}),
    "click": (click_context(), {"lr": 0.1, "out": "x"}),
    "a click context's child": (click_context(Context), {"lr": 0.1, "out": "x"}),
    "omegaconf": (
        CONFIG,
        {
            "lr": 0.1,
            "missing": "???",
            "same": 0.1,
            "deep": {"list": [0.1, 0.1, "???", None], "nowhere": "${none.at.all}"},
            "loop": "${loop}",
            "home": "/data",
            "unset": "${oc.env:NOT_SET}",
            "wandb": "key ${oc.env:WANDB_API_KEY}",
            "1": {"$bytes": "eA=="},
        },
    ),
    "omegaconf list": (OmegaConf.create([1, {"a": "x"}]), [1, {"a": "x"}]),
    "omegaconf structured": (OmegaConf.structured(Training), {"optim": OPTIM, "seed": 1}),
    "omegaconf of None": (omegaconf.DictConfig(None), None),
    "omegaconf missing": (omegaconf.DictConfig("???"), "???"),
    "pandas Series": (pd.Series([1.5, None]), [1.5, {"$float": "NaN"}]),
    "pandas labels": (pd.Series([1, 2], index=["a", "b"]), {"a": 1, "b": 2}),
    "pandas later numbers": (pd.Series([1, 2], index=[1, 2]), {"1": 1, "2": 2}),
    "pandas DataFrame": (pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}), {"a": [1, 2], "b": ["x", "y"]}),
    "pandas Index": (pd.Index([1, 2]), [1, 2]),
    "pandas categories": (pd.Categorical(["b", "a"]), ["b", "a"]),
    "pandas NA": ([pd.NA, pd.NaT], [None, None]),
    "pandas integers": (pd.array([1, None], dtype="Int64"), [1, None]),
    "pandas Timestamp": (pd.Timestamp("2026-01-02 03:04:05", tz="UTC"), "2026-01-02T03:04:05+00:00"),
    "pandas local time": (pd.Timestamp("2026-01-02 03:04:05.000000001"), "2026-01-02T03:04:05+00:00"),
    "pandas times": (pd.Series(pd.to_datetime(["2026-01-02", None], utc=True)), ["2026-01-02T00:00:00+00:00", None]),
    "pandas Timedelta": (pd.Timedelta("90s"), 90.0),
    "numpy float16": (np.float16(1.5), 1.5),
    "numpy longdouble": ([np.longdouble("1.5"), np.array([np.longdouble(2)])], [1.5, [2.0]]),
    "numpy records": (RECORDS, {"n": [1, 3], "x": [2.5, {"$float": "NaN"}]}),
    "numpy record": (RECORDS[0], {"n": 1, "x": 2.5}),
    "numpy objects": (np.array([None, {"a": np.int8(1)}], dtype=object), [None, {"a": 1}]),
    "numpy 0-d": ([np.array(7), np.array({"a": 1}, dtype=object)], [7, {"a": 1}]),
    "numpy time": (np.datetime64("2026-01-02T03:04:05.000000001"), "2026-01-02T03:04:05.000000001"),
    "numpy times": (np.array([["2026-01-02", "NaT"]], "M8[D]"), [["2026-01-02", None]]),
    "numpy late time": (np.array(["30000-01-01"], "M8[us]"), ["30000-01-01T00:00:00.000000"]),
    "numpy durations": (np.array([1500, "NaT"], "m8[ms]"), [1.5, None]),
    "numpy nanoseconds": (np.timedelta64(1_500_000_000, "ns"), 1.5),
    "numpy masked": ([np.ma.array([1, 2], mask=[0, 1]), np.ma.masked], [[1, None], None]),
    "numpy dtype": (np.dtype("float32"), "float32"),
}


@pytest.mark.parametrize("kind", ENCODED)
def test_encode(kind, monkeypatch):
    monkeypatch.setenv("HOME_OF_DATA", "/data")
    monkeypatch.setenv("WANDB_API_KEY", "hush")
    value, json_value = ENCODED[kind]
    got = values.encode({"p": value})["p"]
    assert values.to_bytes(got) == values.to_bytes(json_value)  # also in its types


REFUSED = {
    "a large Series": (pd.Series(range(1001)), "1001 elements"),
    "a large DataFrame": (pd.DataFrame(np.zeros((501, 2))), "1002 elements"),
    "equal labels": (pd.Series([1, 2], index=["a", "a"]), "two keys become 'a'"),
    "equal columns": (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two keys become 'a'"),
    "a Period": (pd.Period("2026-01"), "Period"),
    "sparse": (scipy.sparse.eye(3).tocsr(), "csr_matrix"),
    "a generator": (np.random.default_rng(0), "Generator"),
    "a large record": (np.zeros(1, [("a", float, 1001)]), "1001 elements"),
    "a pydantic class": (Model, "the class Model"),
    "a large longdouble": (np.longdouble("1e4000"), "greater than any float"),
    "in a model": (Rows([1, 2j]), r"^p\[1\]: .*complex"),
    "in a config": (OmegaConf.create({"a": [object()]}, flags={"allow_objects": True}), r"^p\.a\[0\]: "),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_stored(kind):
    value, message = REFUSED[kind]
    with pytest.raises(InvalidValue, match=message):
        values.encode(value, "p")


NUMBERS = [(np.float16(1.5), 1.5), (np.longdouble("0.5"), 0.5), (np.array(7), 7), (pd.Series([2]), 2),
           (np.ma.array([3.5], mask=[0]), 3.5)]  # fmt: skip
NO_NUMBERS = [np.datetime64(5, "ns"), np.timedelta64(5, "ns"), np.ma.masked, np.ma.array([1], mask=[1]), pd.NA, pd.NaT,
              pd.Timedelta(5), pd.Series([1, 2]), RECORDS[0], np.longdouble("1e4000"), np.array("1")]  # fmt: skip


@pytest.mark.parametrize(("value", "number"), NUMBERS)
def test_numbers(value, number):
    got = values.number(value, "acc")
    assert (got, type(got)) == (number, type(number))


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_no_numbers(value):
    with pytest.raises(InvalidValue, match="metric 'acc'"):
        values.number(value, "acc")


def test_torch():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    weights = torch.tensor([[1.0, 2.0]], requires_grad=True)
    value = [weights, torch.tensor(3), torch.tensor(0.5, dtype=torch.bfloat16), torch.float32, torch.device("cpu")]
    assert values.encode(value) == [[[1.0, 2.0]], 3, 0.5, "torch.float32", "cpu"]
    assert values.encode(torch.Size([1, 2])) == [1, 2]
    assert values.number(torch.tensor([0.5], dtype=torch.float16), "acc") == 0.5
    assert values.number(weights.sum(), "acc") == 3.0
    for wrong in (weights, torch.tensor(1j)):
        with pytest.raises(InvalidValue):
            values.number(wrong, "acc")
    with pytest.raises(InvalidValue, match="1001 elements"):
        values.encode(torch.zeros(1001))


def test_none_of_them_is_imported():
    code = "import sys; from gitlumo import values; values.encode({'a': [1.5, range(2), {3}]}); print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not loaded & {"numpy", "pandas", "torch", "omegaconf", "pydantic", "attr", "click", "decimal", "fractions"}
