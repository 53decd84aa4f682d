"""The load of the machine while a run goes on, as metrics of it: ``git config lumo.systemMetrics 5s``."""

from __future__ import annotations

import contextlib
import importlib
import threading
from typing import TYPE_CHECKING, Any

from gitlumo import signals
from gitlumo.errors import LumoError, UsageError
from gitlumo.store.columns import SYSTEM

if TYPE_CHECKING:
    from gitlumo.experiment import Experiment

NAME = "SystemMetrics"  # how exp.properties['hooks'] calls it


def begin(exp: Experiment, pace: float) -> Sampler:
    """Sample from now on.

    Args:
        exp: The run.
        pace: Seconds between two samples.

    Raises:
        UsageError: If psutil is not installed.
    """
    sampler = Sampler(exp, pace)
    with signals.held_back():
        sampler.start()
    return sampler


class Sampler(threading.Thread):
    """Takes a sample at a pace until the run ends, or something fails; a forked child has no such thread."""

    def __init__(self, exp: Experiment, pace: float):
        super().__init__(name="gitlumo-system", daemon=True)
        self._exp, self._pace = exp, pace
        self._over = threading.Event()
        self._machine = Machine()

    def run(self) -> None:
        """Go on until the run has ended."""
        while not self._over.wait(self._pace):
            with self._exp._safely(NAME):
                if not self._taken():
                    return
                continue
            return  # what failed once fails again

    def _taken(self) -> bool:
        """Record one sample; False where the run has ended meanwhile."""
        try:
            self._exp.log(self._machine.sample())
        except LumoError:
            if not self._over.is_set() and self._exp.state == "running":
                raise
            return False
        return True

    def end(self) -> None:
        """Take no more samples."""
        self._over.set()


class Machine:
    """What is sampled: shares from 0 to 100."""

    def __init__(self) -> None:
        """Begin to look.

        Raises:
            UsageError: If psutil is not installed.
        """
        try:
            self._psutil = importlib.import_module("psutil")
        except ImportError:
            raise UsageError("lumo.systemMetrics needs psutil; type: pip install 'gitlumo[system]'") from None
        self._psutil.cpu_percent()  # the first one means nothing
        self._gpus, self._nvml = _gpus()

    def sample(self) -> dict[str, float]:
        """``system/cpu``, ``system/memory``, and of each GPU ``system/gpu0/load`` and ``system/gpu0/memory``."""
        found = {
            f"{SYSTEM}cpu": float(self._psutil.cpu_percent()),
            f"{SYSTEM}memory": float(self._psutil.virtual_memory().percent),
        }
        for i, gpu in enumerate(self._gpus):
            with contextlib.suppress(self._nvml.NVMLError):
                memory = self._nvml.nvmlDeviceGetMemoryInfo(gpu)
                found[f"{SYSTEM}gpu{i}/load"] = float(self._nvml.nvmlDeviceGetUtilizationRates(gpu).gpu)
                found[f"{SYSTEM}gpu{i}/memory"] = round(100 * memory.used / memory.total, 1)
        return found


def _gpus() -> tuple[list[Any], Any]:
    """The GPUs as NVIDIA's library knows them; none where it is not installed, or finds none."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return [], None
    try:
        nvml.nvmlInit()
        return [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())], nvml
    except nvml.NVMLError:
        return [], nvml
