"""The machine as it is recorded: from files alone, on whatever system; what that costs a start."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from gitlumo import Experiment, hardware
from gitlumo.wording import machine

NVIDIA = "Model: \t\t NVIDIA A100-SXM4-40GB\nIRQ:   \t\t 90\nGPU UUID: \t GPU-0f\n"
VERSION = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version:  x\n"
OPEN_VERSION = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.14  Release Build  (x@y)  Thu\n"


@pytest.fixture(autouse=True)
def anew():
    hardware.describe.cache_clear()
    yield
    hardware.describe.cache_clear()


@pytest.fixture
def files(monkeypatch):
    """Stand-ins for the kernel's files: path to text."""
    there: dict[str, str] = {}

    def names(folder):
        return sorted({path[len(folder) + 1 :].partition("/")[0] for path in there if path.startswith(f"{folder}/")})

    monkeypatch.setattr(hardware, "_read", lambda path, size=-1: there.get(path, ""))
    monkeypatch.setattr(hardware, "_list", names)
    return there


def test_this_machine():
    found = hardware.describe()
    assert found["arch"] == os.uname().machine
    assert found["cpus"] == os.cpu_count()
    assert found["memory"] > 2**20
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["implementation"] == sys.implementation.name
    assert os.uname().nodename not in map(str, found.values())


def test_nvidia(files):
    for bus in ("0000:81:00.0", "0000:07:00.0"):
        files[f"/proc/driver/nvidia/gpus/{bus}/information"] = NVIDIA
    files["/proc/driver/nvidia/version"] = VERSION
    found = hardware.describe()
    assert (found["gpus"], found["gpu_driver"]) == (["NVIDIA A100-SXM4-40GB"] * 2, "535.104.05")
    files["/proc/driver/nvidia/version"] = OPEN_VERSION
    hardware.describe.cache_clear()
    assert hardware.describe()["gpu_driver"] == "550.54.14"


def test_amd(files):
    files |= {
        "/sys/class/drm/card0/device/vendor": "0x1002\n",
        "/sys/class/drm/card0/device/product_name": "AMD Instinct MI210\n",
        "/sys/class/drm/card1/device/vendor": "0x1002\n",
        "/sys/class/drm/card1/device/device": "0x740f\n",
        "/sys/class/drm/card2/device/vendor": "0x1a03\n",  # the mainboard's own
        "/sys/class/drm/card0-DP-1/device/vendor": "0x1002\n",
        "/sys/module/amdgpu/version": "6.3.6\n",
    }
    found = hardware.describe()
    assert (found["gpus"], found["gpu_driver"]) == (["AMD Instinct MI210", "AMD 0x740f"], "6.3.6")


def test_a_system_that_says_nothing(files, monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda name: -1 if name else 0)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert set(hardware.describe()) - {"memory"} == {"kernel", "arch", "python", "implementation"}


@pytest.mark.parametrize(("text", "name"), [
    ("processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n", "AMD EPYC"),
    ("processor : 0\nBogoMIPS : 50\nHardware : BCM2835\n", "BCM2835"),
    ("processor : 0\ncpu : POWER9, altivec supported\n", "POWER9, altivec supported"),
    ("processor : 0\nCPU implementer : 0x41\n", None),
])  # fmt: skip
def test_processors(files, text, name):
    files["/proc/cpuinfo"] = text
    assert hardware.describe().get("cpu") == name


@pytest.mark.parametrize("line", ['PRETTY_NAME="Debian 13"', "PRETTY_NAME='Debian 13'", "PRETTY_NAME=Debian 13"])
def test_systems(files, line):
    files["/usr/lib/os-release"] = f"ID=debian\n{line}\nVERSION_ID=13\n"
    assert hardware.describe()["os"] == "Debian 13"


def test_macos(files, monkeypatch):
    """With stand-ins for its libc: this is all that differs there."""

    def sysctlbyname(name, buffer, size, new, length):
        buffer.value = b"Apple M2"
        return 0 if name == b"machdep.cpu.brand_string" else -1

    monkeypatch.setattr(hardware.sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(sysctlbyname=sysctlbyname))
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    plist = "/System/Library/CoreServices/SystemVersion.plist"
    files[plist] = "<dict>\n\t<key>ProductVersion</key>\n\t<string>14.4.1</string>\n</dict>\n"
    found = hardware.describe()
    assert (found["cpu"], found["os"], "usable_cpus" in found, "gpus" in found) == (
        "Apple M2",
        "macOS 14.4.1",
        False,
        False,
    )
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    hardware.describe.cache_clear()
    assert "cpu" not in hardware.describe()


# --------------------------------------------------------------------------------------------- what it costs


def test_it_starts_no_process_and_imports_nothing():
    """Counted in a fresh interpreter: what it opens and lists, and that it does nothing else."""
    code = """
import sys
from gitlumo import capture
events, before = [], set(sys.modules)
sys.addaudithook(lambda name, args: events.append((name, str(args[0]) if args else "")))
capture.hardware.describe()
found, new = list(events), set(sys.modules) - before
others = {name for name, _ in found} - {"open", "os.listdir"}
assert not others, others
assert len(found) <= 8 and not new, (found, new)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_start_runs_git_and_nothing_else(repo):
    """The machine, the seed and from where packages are: none of it is asked of another program."""
    code = """
import sys
import gitlumo
started = []
def watch(name, args):
    if name in ("subprocess.Popen", "os.posix_spawn", "os.exec", "os.system", "os.fork"):
        started.append(args[0] if args else name)
sys.addaudithook(watch)
gitlumo.seed_everything(1)
with gitlumo.start("digits") as exp:
    pass
assert {str(program).rpartition("/")[2] for program in started} == {"git"}, started
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True)


def test_it_takes_less_than_a_millisecond():
    took = []
    for _ in range(20):
        hardware.describe.cache_clear()
        begun = time.perf_counter()
        hardware.describe()
        took.append(time.perf_counter() - begun)
    assert min(took) < 1e-3


# --------------------------------------------------------------------------------------------- recorded, shown


def test_each_run_records_it(repo, git, capsys):
    from gitlumo.cli import main

    with Experiment("digits") as exp:
        assert exp.properties["machine"] == hardware.describe()
    assert main(["show", "@"]) == 0
    said = capsys.readouterr().out
    assert "  machine   " in said
    assert f"CPU{'s' if os.cpu_count() != 1 else ''}, " in said
    assert f"{os.uname().machine}, cpython {hardware.describe()['python']}\n" in said


def test_as_people_read_it():
    found = {
        "cpu": "AMD EPYC",
        "cpus": 16,
        "usable_cpus": 8,
        "memory": 33822867456,
        "gpus": ["A100", "A100", "T4"],
        "gpu_driver": "535",
        "os": "Debian 12",
        "kernel": "Linux 6.1",
        "arch": "x86_64",
        "python": "3.11.2",
    }
    hardware, software = machine(found)
    assert hardware == "AMD EPYC, 8 of 16 CPUs, 32 GiB, 2 × A100, T4, driver 535"
    assert software == "Debian 12, Linux 6.1, x86_64, python 3.11.2"
    assert machine({}) == ("", "")
    assert machine({"cpus": "many", "memory": None, "gpus": "all", "cpu": ["x"]}) == ("['x']", "")  # a stranger's
