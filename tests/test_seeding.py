"""One seed for all: libraries that are there and those that come, LUMO_SEED, where it is recorded."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import gitlumo
from gitlumo import Experiment, seed_everything, seeding
from gitlumo.errors import InvalidValue

FAKES = {
    "torch/__init__.py": "seeds = []\nmanual_seed = seeds.append\n",
    "tensorflow/__init__.py": "from tensorflow import random\n",
    "tensorflow/random.py": "seeds = []\nset_seed = seeds.append\n",
}


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """What a seed leaves in the process is taken back."""
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    for name in ("_seed", "_unrecorded"):
        monkeypatch.setattr(seeding, name, None)
    states = random.getstate(), np.random.get_state()
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    for name, text in FAKES.items():
        path = tmp_path / "fakes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fakes"))


def script(text, **variables):
    """What a program prints last, as JSON, and what it says on standard error."""
    code = "import json, sys, os\nfrom gitlumo import seed_everything\n" + textwrap.dedent(text)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | variables, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


# --------------------------------------------------------------------------------------------- what is seeded


def test_the_same_seed_gives_the_same_numbers():
    drawn = []
    for seed in (7, 7, np.int64(8)):
        assert gitlumo.seed_everything(seed) == seed
        drawn.append((random.random(), float(np.random.rand())))
        assert os.environ["PYTHONHASHSEED"] == str(seed)
    assert drawn[0] == drawn[1] != drawn[2]
    assert type(seed_everything(np.int64(8))) is int


def test_libraries_that_are_there_are_seeded_and_others_not_imported(fakes):
    found, _ = script("""
        before = set(sys.modules)
        seed_everything(3)
        new = {name.partition('.')[0] for name in set(sys.modules) - before} & {'numpy', 'torch', 'tensorflow'}
        import torch, tensorflow as tf
        seed_everything(4)
        print(json.dumps([sorted(new), torch.seeds, tf.random.seeds]))
    """)
    assert found == [[], [3, 4], [3, 4]]


def test_a_library_that_comes_later_is_seeded_when_it_does(fakes):
    found, _ = script("""
        seed_everything(3)
        seed_everything(5)
        import numpy, torch, tensorflow.random
        first = float(numpy.random.rand())
        numpy.random.seed(5)
        import importlib
        importlib.reload(torch)
        print(json.dumps([first == float(numpy.random.rand()), torch.seeds, torch.__loader__.__class__.__name__,
                          torch.__spec__.origin.endswith('__init__.py')]))
    """)
    assert found == [True, [], "SourceFileLoader", True]


def test_a_library_that_is_not_there_is_missed_as_ever():
    found, _ = script("""
        seed_everything(3)
        try:
            import tensorflow
        except ModuleNotFoundError as error:
            print(json.dumps([error.name, str(error)]))
    """)
    assert found == ["tensorflow", "No module named 'tensorflow'"]


def test_beside_another_finder_that_asks_all_others(fakes):
    found, _ = script("""
        class Other:
            def find_spec(self, name, path=None, target=None):
                for finder in sys.meta_path:
                    spec = None if finder is self else finder.find_spec(name, path, target)
                    if spec:
                        return spec
        seed_everything(3)
        sys.meta_path.insert(0, Other())
        import torch
        print(json.dumps([torch.seeds]))
    """)
    assert found == [[3]]


def test_a_library_that_is_only_looked_for(fakes):
    found, _ = script("""
        import importlib.util
        seed_everything(3)
        print(json.dumps([importlib.util.find_spec("torch") is not None, "torch" in sys.modules]))
    """)
    assert found == [True, False]


def test_a_library_in_an_archive(tmp_path, monkeypatch):
    import zipfile

    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name, text in FAKES.items():
            archive.writestr(name, text)
        archive.writestr("torch/other.py", "x = 1\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "all.zip"))
    found, _ = script("import torch.other; seed_everything(3); import tensorflow\n"
                      "print(json.dumps([torch.seeds, tensorflow.random.seeds]))")  # fmt: skip
    assert found == [[3], [3]]


def test_a_drawn_seed():
    drawn = {seed_everything() for _ in range(9)}
    assert len(drawn) > 1
    assert all(0 <= seed < 2**31 for seed in drawn)  # so that 'git lumo rerun --seed' takes it, too


@pytest.mark.parametrize("seed", [-1, 2**32, "7", 1.5, object()])
def test_what_is_no_seed(seed):
    state = random.getstate()
    with pytest.raises(InvalidValue, match="seed must be"):
        seed_everything(seed)
    assert random.getstate() == state


# --------------------------------------------------------------------------------------------- LUMO_SEED


@pytest.mark.parametrize(("calls", "used"), [
    ([1], [7]),  # a hard-coded one
    ([None], [7]),
    ([7], [7]),
    ([1, 2, 1], [7, 2, 7]),  # one for each fold, and the first one again
    ([1, 2, 2, 3], [7, 2, 2, 3]),
])  # fmt: skip
def test_lumo_seed_counts_in_place_of_the_first(monkeypatch, capfd, calls, used):
    monkeypatch.setenv("LUMO_SEED", "7")
    assert [seed_everything(seed) for seed in calls] == used
    replaced = sum(seed not in (None, now) for seed, now in zip(calls, used, strict=True))
    assert capfd.readouterr().err.count("gitlumo: the seed is 7, as LUMO_SEED says, not 1\n") == replaced


def test_a_drawn_seed_is_ordered_once(monkeypatch):
    monkeypatch.setenv("LUMO_SEED", "7")
    assert seed_everything() == 7
    assert {seed_everything() for _ in range(4)} != {7}


def test_children_replace_the_same_seed_and_keep_their_own(monkeypatch):
    monkeypatch.setenv("LUMO_SEED", "7")
    child = "print(json.dumps([seed_everything(1), seed_everything(2)]))"
    assert script(child)[0] == [7, 2]  # a launcher asks for none: each of its children is a first
    seed_everything(1)
    assert script(child)[0] == [7, 2]
    monkeypatch.setenv("LUMO_SEED", "7")
    seed_everything(5)
    assert script(child)[0] == [1, 2]


@pytest.mark.parametrize("said", ["x", "-1", "4294967296", "1.0", "٣", " 1"])
def test_a_lumo_seed_that_is_none(monkeypatch, said):
    monkeypatch.setenv("LUMO_SEED", said)
    with pytest.raises(InvalidValue, match="LUMO_SEED must be"):
        seed_everything(1)


def test_an_empty_lumo_seed_is_none(monkeypatch):
    monkeypatch.setenv("LUMO_SEED", "")
    assert seed_everything(1) == 1


def test_the_notice_stops_no_training(repo):
    found, said = script("""
        import warnings
        warnings.simplefilter("error")
        print(json.dumps(seed_everything(1)))
    """, LUMO_SEED="7")  # fmt: skip
    assert found == 7
    assert said == "gitlumo: the seed is 7, as LUMO_SEED says, not 1\n"


# --------------------------------------------------------------------------------------------- where it is recorded


def test_the_run_that_goes_on_records_it(repo, capsys):
    from gitlumo.cli import main

    with Experiment("digits") as first, Experiment("other") as second:
        assert "seed" not in first.properties
        seed_everything(7)
        assert first.load_info("seed") == second.load_info("seed") == 7
        seed_everything(8)  # for an evaluation, perhaps: the run is known by its first
    with Experiment("digits") as third:
        assert third.load_info("seed") is None  # its numbers go on where those of the run before ended
    assert first.properties["seed"] == 7
    assert first.load_info("seed_from") is None
    assert main(["show", first.test_name]) == 0
    assert "  seed      7\n" in capsys.readouterr().out


def test_the_next_run_records_it(repo):
    seed_everything(6)
    seed_everything(7)
    with Experiment("digits") as exp:
        assert exp.load_info("seed") == 7
    with Experiment("digits") as exp:
        assert exp.load_info("seed") is None


def test_from_where_it_is(repo, monkeypatch, capsys):
    from gitlumo.cli import main

    with Experiment("digits") as exp:
        seed = seed_everything()
    assert (exp.load_info("seed"), exp.load_info("seed_from")) == (seed, "drawn")
    monkeypatch.setenv("LUMO_SEED", "9")
    seed_everything(1)
    with Experiment("digits") as exp:
        assert (exp.load_info("seed"), exp.load_info("seed_from")) == (9, "LUMO_SEED")
    assert main(["show", "@"]) == 0
    assert "  seed      9 (LUMO_SEED)\n" in capsys.readouterr().out


def test_a_run_that_goes_on_records_it_anew(repo):
    exp = Experiment("digits").start()
    seed_everything()
    exp.end(1)
    seed_everything(8)
    with Experiment("digits", resume=exp.test_name) as again:
        assert (again.load_info("seed"), again.load_info("seed_from")) == (8, None)


def test_runs_that_record_nothing_know_it(repo, monkeypatch):
    monkeypatch.setenv("LUMO_DISABLED", "1")
    assert seed_everything(7) == 7
    with Experiment("digits") as exp:
        assert exp.load_info("seed") == 7


def test_a_forked_child_does_not_record_into_its_parents_run(repo):
    found, said = script("""
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from gitlumo import Experiment
        with Experiment("digits") as exp:
            seed_everything(1)
            child = os.fork()
            if not child:
                seed_everything(2)
                os._exit(0)
            os.waitpid(child, 0)
            print(json.dumps(exp.load_info("seed")))
    """)
    assert (found, said) == (1, "")


def test_what_a_script_calls_seed_is_its_own(repo, capsys):
    from gitlumo.cli import main

    with Experiment("digits") as exp:
        exp.dump_info("seed", {"numpy": 1})
    assert exp.properties["seed"] == {"numpy": 1}
    assert main(["show", "@"]) == 0
    assert "seed " not in capsys.readouterr().out
