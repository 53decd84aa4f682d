"""What machine this is: processor, memory, GPUs, operating system, Python (docs/format.md, ``info/machine.json``).

Read from files of the kernel's: no process is started, no library imported, no device woken. What a system does not say
so is left out.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from typing import Any

_CPU = ("model name", "Model", "Hardware", "cpu")  # x86, and what others call it
_AMD = "0x1002"  # PCI's number of the vendor
_HEAD = 4096  # bytes of /proc/cpuinfo: the first processor; of hundreds it would take milliseconds


@functools.lru_cache(maxsize=2)
def describe(python: bool = True) -> dict[str, Any]:
    """The machine: ``cpu``, ``cpus``, ``usable_cpus``, ``memory`` (bytes), ``gpus``, ``gpu_driver``, ``os``, ...

    Args:
        python: Whether the Python that asks is what runs there, and so belongs to it.
    """
    gpus, driver = _gpus()
    system = os.uname()
    found = {
        "cpu": _cpu(),
        "cpus": os.cpu_count(),
        "usable_cpus": _usable_cpus(),
        "memory": _memory(),
        "gpus": gpus,
        "gpu_driver": driver,
        "os": _os(),
        "kernel": f"{system.sysname} {system.release}",
        "arch": system.machine,
    }
    if python:
        found["python"] = ".".join(str(part) for part in sys.version_info[:3])
        found["implementation"] = sys.implementation.name
    return {key: value for key, value in found.items() if value}


def _read(path: str, size: int = -1) -> str:
    try:
        with open(path, "rb") as source:
            return source.read(size).decode("utf-8", "replace")
    except OSError:
        return ""


def _field(text: str, names: tuple[str, ...], sign: str) -> str | None:
    """The value of the first line ``NAME: VALUE`` of one of some names."""
    for line in text.splitlines():
        name, _, value = line.partition(sign)
        if name.strip() in names and value.strip():
            return value.strip()
    return None


def _cpu() -> str | None:
    if sys.platform == "darwin":
        return _sysctl("machdep.cpu.brand_string")
    return _field(_read("/proc/cpuinfo", _HEAD), _CPU, ":")


def _sysctl(name: str) -> str | None:
    """A variable of macOS's kernel: sysctlbyname(3), without the process that sysctl(8) would be."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        buffer = ctypes.create_string_buffer(256)
        size = ctypes.c_size_t(len(buffer))
        call = ctypes.CDLL(None).sysctlbyname
        if call(name.encode(), buffer, ctypes.byref(size), None, ctypes.c_size_t(0)) == 0:
            return buffer.value.decode("utf-8", "replace") or None
    return None


def _usable_cpus() -> int | None:
    """On how many processors this process may run: taskset(1), a cpuset of a container or of SLURM."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(affinity(0)) if affinity else None


def _memory() -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def _gpus() -> tuple[list[str], str | None]:
    """The names of the GPUs, as the NVIDIA driver or amdgpu says them, and the driver's version."""
    nvidia, cards = "/proc/driver/nvidia", "/sys/class/drm"
    gpus = (_read(f"{nvidia}/gpus/{gpu}/information") for gpu in _list(f"{nvidia}/gpus"))
    names = [_field(text, ("Model",), ":") for text in gpus]
    version = _field(_read(f"{nvidia}/version"), ("NVRM version",), ":") or ""
    driver = next((word for word in version.split() if word[0].isdigit() and "." in word), None)
    for card in _list(cards):
        folder = f"{cards}/{card}/device"
        if card.startswith("card") and card[4:].isdigit() and _read(f"{folder}/vendor").strip() == _AMD:
            names.append(_read(f"{folder}/product_name").strip() or f"AMD {_read(f'{folder}/device').strip()}")
            driver = driver or _read("/sys/module/amdgpu/version").strip() or None
    return [name for name in names if name], driver


def _list(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _os() -> str | None:
    """The system's name for people: os-release(5), or macOS's version."""
    if sys.platform == "darwin":
        text = _read("/System/Library/CoreServices/SystemVersion.plist")
        version = text.partition("<key>ProductVersion</key>")[2].partition("<string>")[2].partition("</string>")[0]
        return f"macOS {version}" if version else None
    text = _read("/etc/os-release") or _read("/usr/lib/os-release")
    return (_field(text, ("PRETTY_NAME",), "=") or "").strip("\"'") or None
