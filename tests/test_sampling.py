"""The load of the machine as metrics of a run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import types

import pytest

from gitlumo import SimpleExperiment
from gitlumo.config import read_settings
from gitlumo.errors import LumoWarning, UsageError
from gitlumo.sampling import Machine, Sampler


def samplers():
    return [thread for thread in threading.enumerate() if isinstance(thread, Sampler)]


@pytest.fixture
def sampled(repo, git):
    git("config", "lumo.systemMetrics", "1s")
    return repo


def until(holds):
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_off_by_default(repo):
    with SimpleExperiment("digits"):
        assert not samplers()


def test_samples_become_history_and_end_with_the_run(sampled, git, capsys):
    with SimpleExperiment("digits") as exp:
        exp.log({"loss": 1.0})
        until(lambda: "system/cpu" in exp.metrics)
        assert len(samplers()) == 1
    assert {"system/cpu", "system/memory"} <= exp.metrics.keys()
    point = exp.history("system/memory")[0]
    assert point["step"] == 0
    assert 0 < point["system/memory"] <= 100
    until(lambda: not samplers())
    subjects = git("log", "--format=%s", "lumo_experiments")
    assert "loss=1" in subjects
    assert "system/" not in subjects + capsys.readouterr().err


def test_without_psutil_the_training_goes_on(sampled, monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.warns(LumoWarning, match=r"SystemMetrics: lumo.systemMetrics needs psutil; type: pip install"):
        exp = SimpleExperiment("digits").start()
    exp.log({"loss": 1.0})
    exp.end()
    assert exp.properties["hooks"]["SystemMetrics"]["loaded"] is False
    assert exp.state == "finished"


def test_a_sample_that_fails_is_said_once_and_no_other_is_taken(sampled, monkeypatch):
    def fail(machine):
        raise OSError("no /proc here")

    monkeypatch.setattr(Machine, "sample", fail)
    with pytest.warns(LumoWarning, match="SystemMetrics: no /proc here") as said, SimpleExperiment("digits") as exp:
        until(lambda: not samplers())
    assert len(said) == 1
    assert exp.state == "finished"


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_forked_child_samples_nothing(sampled):
    with SimpleExperiment("digits"):
        child = os.fork()
        if child == 0:
            os._exit(len(samplers()))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_gpus_as_their_library_tells_them(monkeypatch):
    nvml = types.SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda i: i,
        nvmlDeviceGetMemoryInfo=lambda gpu: types.SimpleNamespace(used=1, total=4),
        nvmlDeviceGetUtilizationRates=lambda gpu: types.SimpleNamespace(gpu=10 + gpu),
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    found = Machine().sample()
    assert found["system/gpu0/load"] == 10
    assert found["system/gpu1/load"] == 11
    assert found["system/gpu1/memory"] == 25


@pytest.mark.parametrize("text", ["0.5s", "never", "2d"])
def test_an_interval_that_is_none(text):
    with pytest.raises(UsageError, match=r"lumo\.systemMetrics is"):
        read_settings({"lumo.systemmetrics": [text]}).check(["system_metrics"])
    assert read_settings({"lumo.systemmetrics": ["off"]}).system_metrics is None


def test_they_are_no_part_of_what_runs_are_compared_by(sampled, git):
    for name in ("first", "second"):
        with SimpleExperiment("digits", name) as exp:
            exp.log({"loss": 0.5})
            until(lambda: "system/cpu" in exp.metrics)
    git("config", "--unset", "lumo.systemMetrics")
    with SimpleExperiment("digits", "third") as exp:
        exp.log({"loss": 0.5})

    def said(*words):
        return subprocess.run(["git-lumo", *words], capture_output=True, text=True, check=False)

    for run in ("second", "third"):
        assert said("verify", "first", run).returncode == 0
        assert "system/" not in said("diff", "first", run).stdout
    assert said("verify", "first", "second", "--metric", "system/cpu").returncode in (0, 1)  # who asks is told
    for words in (("log",), ("log", "--oneline"), ("log", "--group-by", "state"), ("report", "first", "third")):
        shown = said(*words).stdout
        assert "loss" in shown
        assert "system/" not in shown, words
    assert "system/cpu" in said("log", "--columns", "metrics.system/cpu", "--format", "csv").stdout
    assert "system/cpu" in said("show", "first").stdout
