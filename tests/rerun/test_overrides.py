"""Parameters of a recorded command: replaced where they came from, else added; every other one stays as it was."""

from __future__ import annotations

import argparse
import os
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitlumo.errors import UsageError
from gitlumo.rerun.overrides import masked, override, says, script_start, unmet, without_secrets
from gitlumo.rerun.words import is_value

PARAMS = {
    "lr": 0.1, "amp": True, "model": "mlp", "layers": [64, 32], "tags": ["a", "b"], "optim": {"wd": 0.01, "eps": 1e-8},
    "learning_rate": 3, "data": "mnist", "z": -1, "cache": False, "workers": 4, "one": [5], "sched": {"eps": 1},
}  # fmt: skip


@pytest.mark.parametrize(("before", "changes", "after"), [
    # where it came from
    ("--lr=0.1", "lr=0.2", "--lr=0.2"),
    ("--lr 0.1 --amp", "lr=0.2", "--lr 0.2 --amp"),
    ("lr=0.1", "lr=0.2", "lr=0.2"),
    ("+lr=0.1", "lr=0.2", "+lr=0.2"),
    ("++optim.wd=0.01", "optim.wd=2", "++optim.wd=2"),
    ("--optim.wd 0.01", "wd=2", "--optim.wd 2"),
    ("--optim-wd 0.01", "optim.wd=2", "--optim-wd 2"),
    ("-lr 0.1", "lr=0.2", "-lr 0.2"),
    ("--set lr=0.1", "lr=0.2", "--set lr=0.2"),
    ("--learning-rate 3", "learning_rate=4", "--learning-rate 4"),
    ("--learning_rate=3", "learning-rate=4", "--learning_rate=4"),
    # a part of a name, where the value tells
    ("--wd 0.01", "optim.wd=2", "--wd 2"),
    ("--wd 0.02", "optim.wd=2", "--wd 0.02 --optim.wd 2"),
    ("--wd 0.02", "wd=2", "--wd 2"),
    # short options and positional words, where the value tells
    ("-l 0.1", "lr=0.2", "-l 0.2"),
    ("-l0.1", "lr=0.2", "-l0.2"),
    ("-l0.1 mnist", "data=cifar", "-l0.1 cifar"),
    ("-l 0.3", "lr=0.2", "-l 0.3 --lr=0.2"),
    ("-z -1", "z=-2", "-z -2"),
    ("mnist --lr 0.1", "data=cifar", "cifar --lr 0.1"),
    ("--amp mnist", "data=cifar", "--amp cifar"),
    ("--file mnist", "data=cifar", "--file mnist --data cifar"),
    ("mnist mnist", "data=cifar", "mnist mnist --data=cifar"),
    # flags
    ("--amp --lr 0.1", "amp=false", "--lr 0.1"),
    ("--amp mnist", "amp=false", "mnist"),
    ("--amp", "amp=true", "--amp"),
    ("--no-amp --lr 0.1", "amp=true", "--amp --lr 0.1"),
    ("--no_amp", "amp=false", "--no_amp"),
    ("--noamp x", "amp=1", "--amp x"),
    ("--amp --lr 0.1 --no-amp --amp", "amp=false", "--lr 0.1"),
    ("--no-amp --amp", "amp=true", "--no-amp --amp"),
    ("--amp true", "amp=false", "--amp false"),
    ("--amp=1", "amp=0", "--amp=0"),
    ("--lr 0.1", "cache=true", "--lr 0.1 --cache"),
    ("--lr 0.1", "amp=false", "--lr 0.1 --no-amp"),
    ("--lr 0.1", "amp=true cache=false model=mlp workers=4.0", "--lr 0.1"),
    ("--my_lr 0.1", "amp=off", "--my_lr 0.1 --no-amp"),
    ("lr=0.1", "amp=false", "lr=0.1 amp=false"),
    # numbers that look like options
    ("--z -1", "z=-2.5", "--z -2.5"),
    ("--z -1", "z=-1e-3", "--z=-1e-3"),
    ("--lr 0.1", "lr=-1", "--lr=-1"),
    ("-l 0.1", "lr=-1", "-l-1"),
    ("--z -1e-3 --lr 0.1", "z=5", "--z 5 --lr 0.1"),
    ("--model mlp", "model=-", "--model -"),
    ("--model mlp", "model=--weird", "--model=--weird"),
    # several
    ("--lr 0.5 --lr 0.1", "lr=0.2", "--lr 0.5 --lr 0.2"),
    ("lr=0.5 lr=0.1", "lr=0.2", "lr=0.5 lr=0.2"),
    ("--layers 64 32 --lr 0.1", "layers=1,2,3", "--layers 1 2 3 --lr 0.1"),
    ("--layers 64 32 mnist", "layers=[8]", "--layers 8 mnist"),
    ("--layers 64,32", "layers=1,2", "--layers 1,2"),
    ("layers=[64,32]", "layers=[1]", "layers=[1]"),
    ("--one 5", "'one=6 7'", "--one 6 7"),
    ("--tags a --lr 0.1 --tags b", "tags=c,d,e", "--tags c --tags d --tags e --lr 0.1"),
    ("--tags=a --tags=b", "tags=c", "--tags=c"),
    ("--one=5", "'one=6 7'", "--one=6 --one=7"),
    ("--one=5", "one=6,7", "--one=6,7"),
    # after --
    ("--lr 0.1 -- --lr 0.1", "lr=0.2", "--lr 0.2 -- --lr 0.1"),
    ("--lr 0.1 -- mnist", "model=cnn", "--lr 0.1 --model cnn -- mnist"),
    ("-- lr=0.1", "lr=0.2", "-- lr=0.2"),
    # added, in the command's style
    ("", "model=cnn", "--model=cnn"),
    ("--lr 0.1 --z 1 --eps=3", "model=cnn", "--lr 0.1 --z 1 --eps=3 --model cnn"),
    ("--lr=0.1", "model=cnn", "--lr=0.1 --model=cnn"),
    ("--lr 0.1", "z=-1e-3", "--lr 0.1 --z=-1e-3"),
    ("lr=0.1 --multirun", "model=cnn", "lr=0.1 --multirun model=cnn"),
    ("lr=0.1", "+new=1", "lr=0.1 +new=1"),
    ("--batch-size 3", "learning_rate=1", "--batch-size 3 --learning-rate 1"),
    ("--batch_size 3", "learning_rate=1", "--batch_size 3 --learning_rate 1"),
    ("--lr 0.1", "learning_rate=1", "--lr 0.1 --learning_rate 1"),
    ("--lr 0.1", "learning-rate=1", "--lr 0.1 --learning-rate 1"),
    ("--lr 0.1", "'layers=1 2'", "--lr 0.1 --layers 1 2"),
    # by number
    ("--lr 0.1", "argv[0]=other.py", None),
    ("a b", "argv[2]=c", "a c"),
    # more than one
    ("--lr 0.1 mnist", "lr=mnist data=0.1", "--lr mnist 0.1"),
    ("mnist 4", "workers=8 data=cifar model=x", "cifar 8 --model=x"),
])  # fmt: skip
def test_override(before, changes, after):
    asked = dict(word.split("=", 1) for word in shlex.split(changes))
    words, done = override(["train.py", *shlex.split(before)], PARAMS, asked)
    assert words == (["other.py", *shlex.split(before)] if after is None else ["train.py", *shlex.split(after)])
    assert [(change.key, change.value) for change in done] == list(asked.items())


def test_what_became_of_it():
    _, done = override(["t.py", "--lr", ".1", "--amp", "--layers", "64", "32"], PARAMS,
                       {"lr": "1", "amp": "no", "layers": "1 2", "eps2": "3", "argv[0]": "u.py"})  # fmt: skip
    assert [change.old for change in done] == [".1", "true", "64 32", None, "t.py"]
    assert [change.columns for change in done] == [("lr",), ("amp",), ("layers",), ("eps2",), ()]
    assert [str(change) for change in done[::3]] == ["lr = 1 (was .1)", "eps2 = 3 (added)"]


@pytest.mark.parametrize(("before", "changes", "message"), [
    ("", {"eps": "1"}, "eps can be optim.eps or sched.eps; say which"),
    ("--amp", {"amp": "7"}, "--amp stands without a value in the command: it can be true or false, not '7'"),
    ("--lr 1", {"--lr": "7"}, "'--lr' names no parameter; it is named as it was recorded, without dashes: lr=0.1"),
    ("--lr 1", {"": "7"}, "'' names no parameter"),
    ("--lr 1", {"argv[3]": "7"}, r"argv[3]: the command's words are argv[0] to argv[2]"),
    ("--wd 1", {"wd": "7", "argv[2]": "8"}, "wd and argv[2] are the same word of the command, '1'; give one"),
    ("--optim.wd 1", {"wd": "7", "optim.wd": "8"}, "wd and optim.wd are the same word"),
    ("--lr 1", {"lr": "a\0b"}, "lr: a word of a command cannot hold a null character"),
])  # fmt: skip
def test_what_cannot_be(before, changes, message):
    with pytest.raises(UsageError) as error:
        override(["t.py", *before.split()], PARAMS, changes)
    assert str(error.value).startswith(message)


def test_an_ambiguous_name_is_fine_where_the_command_says_it():
    words, (change,) = override(["t.py", "--eps", "1"], PARAMS, {"eps": "2"})
    assert words == ["t.py", "--eps", "2"]
    assert change.columns == ("optim.eps", "sched.eps")
    assert not unmet([change], {"optim": {"eps": 1e-8}, "sched": {"eps": 2}})


def test_words_before_the_script_are_left_alone():
    argv = ["python", "-X", "lr=0.1", "--lr", "0.1", "train.py", "--lr", "0.1", "mnist"]
    start = script_start(argv, ["/x/train.py", "--lr", "0.1", "mnist"])
    assert start == 6
    assert override(argv, PARAMS, {"lr": "5"}, start)[0] == [*argv[:7], "5", "mnist"]
    launched = ["accelerate", "--", "train.py"]
    assert override(launched, PARAMS, {"lr": "5"}, 3)[0] == [*launched, "--lr=5"]
    assert script_start(argv, []) == script_start(argv, ["t.py", "else"]) == script_start(["a"], ["b", "c", "d"]) == 1
    assert script_start(["python", "t.py"], ["t.py"]) == 2
    assert says(argv, PARAMS, "lr", start)
    assert not says(argv, PARAMS, "lr", 8)


def test_words_that_are_no_text():
    word = os.fsdecode(b"caf\xe9 $HOME \n'\"")
    words, _ = override(["t.py", "--lr", "0.1", word], PARAMS, {"lr": word})
    assert words == ["t.py", "--lr", word, word]
    assert (
        override(["t.py"], None, {"lr": "1"})[0]
        == override(["t.py"], ["no", "map"], {"lr": "1"})[0]
        == ["t.py", "--lr=1"]
    )


def test_masked_words_ask_for_a_value():
    argv = [
        "env",
        "API_KEY=***",
        "t.py",
        "--token",
        "***",
        "--db=postgres://***@h/x",
        "--stars",
        "***",
        "***",
        "url=a?token=***",
    ]
    listed = [f"pinfo.obj.argv[{i}]" for i in (1, 4, 5, 8, 9)]
    assert masked(argv, listed, start=3) == {1: "argv[1]", 4: "token", 5: "db", 8: "argv[8]", 9: "url"}
    assert masked(argv, listed, ["token", "argv[5]", "argv[1]", "argv[8]"], start=3) == {9: "url"}
    assert masked(argv, [], start=3) == {}
    words, _ = override(
        argv, {"token": "***"}, {"token": "s3cret", "db": "d", "url": "u", "argv[1]": "e", "argv[8]": "f"}, 3
    )
    assert words == ["env", "e", "t.py", "--token", "s3cret", "--db=d", "--stars", "***", "f", "url=u"]


def test_secrets_that_are_given_anew_are_not_shown():
    argv = ["t.py", "--db=postgres://***@h/x", "--api-key", "***", "--lr", "1"]
    given = {"db": "postgres://me:pw@h/x", "api_key": "s3cret", "lr": "2"}
    words, done = override(argv, {}, given)
    assert words[1:4] == ["--db=postgres://me:pw@h/x", "--api-key", "s3cret"]
    assert without_secrets(words, done) == ["t.py", "--db=***", "--api-key", "***", "--lr", "2"]
    assert [str(change) for change in done] == [
        "db = *** (was postgres://***@h/x)", "api_key = *** (was ***)", "lr = 2 (was 1)"
    ]  # fmt: skip


def test_masked_words_of_one_name_are_told_apart_by_number():
    argv = ["t.py", "--api-key", "***", "--api-key", "***"]
    found = masked(argv, ["pinfo.obj.argv[2]", "pinfo.obj.argv[4]"])
    assert found == {2: "argv[2]", 4: "argv[4]"}
    assert override(argv, {}, dict.fromkeys(found.values(), "x"))[0] == ["t.py", "--api-key", "x", "--api-key", "x"]


@pytest.mark.parametrize(("word", "value"), [
    ("0.1", 0.1), ("1e-3", 0.001), (".5", 0.5), ("3", 3.0), ("3.0", 3), ("true", True), ("0", False), ("No", False),
    ("none", None), ("", None), ("a b", "a b"), ("'a'", "a"), ("nan", float("nan")), ("inf", float("inf")),
    ("[1, 2.0]", [1, 2]), ("a,b", ["a", "b"]), ("1 2", [1, 2]), ("[]", []),
    ("123456789012345678901", 123456789012345678901),
    ("0.1", "0.1"), ("(1,)", [1]),
])  # fmt: skip
def test_a_word_is_a_value(word, value):
    assert is_value(word, value)


@pytest.mark.parametrize(("word", "value"), [
    ("0.2", 0.1), ("x", 1), ("", 0), ("2", True), ("1", None), ("0.10", "0.1"), ("1,2", [1]),
    ("123456789012345678902", 123456789012345678901),
    ("{}", {"a": 1}),
])  # fmt: skip
def test_a_word_is_not_a_value(word, value):
    assert not is_value(word, value)


def test_what_the_new_run_does_not_show():
    _, done = override(["t.py"], {"optim": {"name": "sgd"}, "token": "***"},
                       {"lr": "0.2", "optim": "adam", "token": "t", "wd": "1", "argv[0]": "x"})  # fmt: skip
    shown = {"lr": 0.1, "optim": {"name": "adam"}, "token": "***"}
    assert unmet(done, shown) == [
        "lr = 0.2 was asked for; the run recorded lr = 0.1",
        "wd = 1 was asked for; the run recorded no such parameter",
    ]
    assert unmet(done, shown | {"lr": 0.2, "wd": 1}) == []
    assert len(unmet(done, None)) == 4


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise AssertionError(message)


def parser():
    found = Parser()
    found.add_argument("data")
    found.add_argument("-l", "--learning-rate", type=float, default=0.5)
    found.add_argument("--model-name", default="mlp")
    found.add_argument("--amp", action=argparse.BooleanOptionalAction, default=False)
    found.add_argument("--cache", action="store_true")
    found.add_argument("--shift", type=float, default=0.0)
    found.add_argument("--layers", type=int, nargs="+", default=[64])
    found.add_argument("--tag", action="append")
    found.add_argument("-n", type=int, default=1)
    return found


numbers = st.floats(-1e6, 1e6).map(lambda number: round(number, 3)) | st.integers(-99, 99)
names = st.text("abcxyz", min_size=1, max_size=5)
some = {
    "learning_rate": numbers.map(str),
    "model_name": names.map("m{}".format),
    "shift": numbers.map(str),
    "layers": st.lists(st.integers(1, 999).map(str), min_size=1, max_size=3).map(" ".join),
    "tag": st.lists(names.map("t{}".format), min_size=1, max_size=3).map(" ".join),
    "n": st.integers(-9, 9).map(str),
    "data": names.map("d{}".format),
    "amp": st.sampled_from(["true", "false"]),
    "cache": st.sampled_from(["true", "false"]),
}


@st.composite
def commands(draw):
    """Words as people write them: each option in one of its forms, in any order, some twice."""
    parts = [[draw(some["data"])]]
    for name in draw(
        st.lists(st.sampled_from([name for name in some if name != "data"]), max_size=8, unique_by=lambda name: name)
    ):
        value = draw(some[name])
        long = "--" + name.replace("_", "-")
        if name in ("amp", "cache"):
            parts += [[long]] if value == "true" else [["--no-amp"]] if name == "amp" else []
        elif name == "layers":
            parts.append([long, *value.split(), "-n", "3"])  # else the word after them would be one of them
        elif name == "tag":
            parts += [[f"{long}={item}"] for item in value.split()]
        else:
            forms = [[long if name != "n" else "-n", value]]
            forms += [[f"{long}={value}"]] if name != "n" else []
            forms += [["-l", value], [f"-l{value}"]] if name == "learning_rate" else []
            parts += draw(st.lists(st.sampled_from(forms), min_size=1, max_size=1 if name == "learning_rate" else 2))
    return [word for part in draw(st.permutations(parts)) for word in part]


@given(commands(), st.dictionaries(st.sampled_from([*some]), st.none(), max_size=4), st.data())
def test_argparse_sees_the_new_values_and_all_others_as_they_were(words, keys, data):
    before = vars(parser().parse_args(words))
    if "-n" not in words:
        keys.pop("n", None)  # --n it would be called, as most are
    if not any(word.startswith("--tag") for word in words):
        keys.pop("tag", None)  # that it takes several cannot be seen
    changes = {key.replace("_", "-"): data.draw(some[key], key) for key in keys}  # as the program spells them
    new, done = override(["t.py", *words], before, changes)
    after = vars(parser().parse_args(new[1:]))
    assert {key: after[key] for key in after if key not in keys} == {
        key: before[key] for key in before if key not in keys
    }
    assert unmet(done, after) == []


leaves = st.floats(-9, 9).map(lambda number: round(number, 2)) | st.integers(-9, 9) | names | st.booleans()
settings = st.dictionaries(names, leaves | st.dictionaries(names, leaves, min_size=1, max_size=3), max_size=5)


def dotted(value, prefix=""):
    """``a.b=1`` for each parameter."""
    found = {}
    for key, item in value.items():
        found |= dotted(item, f"{prefix}{key}.") if isinstance(item, dict) else {f"{prefix}{key}": item}
    return found


@given(settings, st.data())
def test_omegaconf_sees_the_new_values_and_all_others_as_they_were(before, data):
    from omegaconf import OmegaConf

    recorded = dotted(before)
    said = data.draw(
        st.permutations(data.draw(st.lists(st.sampled_from([*recorded]), unique=True)) if recorded else [])
    )
    words = [f"{key}={str(recorded[key]).lower() if recorded[key] in (True, False) else recorded[key]}" for key in said]
    changes = {key: str(data.draw(leaves.filter(lambda value: type(value) is not bool))) for key in said[:2]}
    new, done = override(["train.py", *words], before, changes)
    seen = [dotted(OmegaConf.to_container(OmegaConf.from_cli(argv))) for argv in (words, new[1:])]
    assert {key: seen[1][key] for key in said[2:]} == {key: seen[0][key] for key in said[2:]}
    assert set(seen[1]) == set(said)
    assert unmet(done, OmegaConf.to_container(OmegaConf.from_cli(new[1:]))) == []
