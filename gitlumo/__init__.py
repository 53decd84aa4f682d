"""gitlumo: a training run becomes a part of the git repository that produced it.

``import gitlumo`` is nearly free; what a name needs is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gitlumo.condition import C
    from gitlumo.errors import LumoError, LumoWarning
    from gitlumo.experiment import Experiment
    from gitlumo.hooks import ExpHook
    from gitlumo.seeding import seed_everything
    from gitlumo.simple import SimpleExperiment, start
    from gitlumo.watcher import Watcher

__version__ = "0.1.0"
__all__ = [
    "C",
    "ExpHook",
    "Experiment",
    "LumoError",
    "LumoWarning",
    "SimpleExperiment",
    "Watcher",
    "seed_everything",
    "start",
]

_HOMES = {
    "C": "gitlumo.condition",
    "Watcher": "gitlumo.watcher",
    "Experiment": "gitlumo.experiment",
    "SimpleExperiment": "gitlumo.simple",
    "start": "gitlumo.simple",
    "ExpHook": "gitlumo.hooks",
    "seed_everything": "gitlumo.seeding",
    "LumoError": "gitlumo.errors",
    "LumoWarning": "gitlumo.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gitlumo' has no attribute {name!r}")
    import importlib

    found = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
