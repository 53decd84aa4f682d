"""One seed for all sources of randomness, recorded with the run."""

from __future__ import annotations

import contextlib
import os
import sys
import weakref
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gitlumo import arguments, machine
from gitlumo.errors import InvalidValue, StateError
from gitlumo.recorded import OPEN

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

    from gitlumo.experiment import Experiment

VARIABLE = "LUMO_SEED"
MOST = 2**32 - 1  # what numpy and PYTHONHASHSEED take; torch and tensorflow take more
# Library to what seeds it. torch.manual_seed seeds all devices; numpy imports numpy.random when it is first used.
_SEEDERS: dict[str, Callable[[Any, int], object]] = {
    "numpy.random": lambda module, seed: module.seed(seed),
    "torch": lambda module, seed: module.manual_seed(seed),
    "tensorflow": lambda module, seed: module.random.set_seed(seed),
}

DRAWN = "drawn"  # where a seed is from, if not from the script; else VARIABLE

_runs: weakref.WeakSet[Experiment] = weakref.WeakSet()
_told: weakref.WeakSet[Experiment] = weakref.WeakSet()  # those that have recorded one
_seed: int | None = None  # the one that counts now
_unrecorded: tuple[int, str | None] | None = None  # said before a run has started


def seed_everything(seed: int | None = None) -> int:
    """Seed ``random``, numpy, torch (all devices) and tensorflow, and record the seed: ``git lumo show`` says it.

    Libraries are not imported for that: one that is imported later is seeded as soon as it is. ``PYTHONHASHSEED`` is
    set for child processes (this one's hashes were drawn when it started). Not seeded: a numpy ``default_rng()`` and a
    JAX key, which are given a seed of their own. GPU kernels may still add in another order each time; for torch see
    ``torch.use_deterministic_algorithms``.

    The seed is recorded as ``seed`` in the runs that this process records now, if it is their first, or in the next one
    that it starts.

    Where ``LUMO_SEED`` is set, as by ``git lumo rerun --seed``, it counts in place of the first seed that is asked for
    here (and in place of that one whenever this process or its children ask for it again); a line on standard error
    says so. Other seeds, such as one for each worker, stay what they are.

    Args:
        seed: From 0 to 4294967295 (2**32 - 1); None: one is drawn, below 2**31.

    Returns:
        The seed that counts.

    Raises:
        InvalidValue: If ``seed``, or ``LUMO_SEED``, is no such number.

    Example:
        >>> seed_everything(7)
        7
    """
    global _seed, _unrecorded
    import random

    asked = None if seed is None else _checked(arguments.integer(seed, "seed"), "seed")
    source: str | None = VARIABLE
    used = _ordered(asked)
    if used is None:
        used, source = (int.from_bytes(os.urandom(4), "big") >> 1, DRAWN) if asked is None else (asked, None)
    elif asked not in (None, used):
        _tell(f"gitlumo: the seed is {used}, as {VARIABLE} says, not {asked}")
    _seed = used
    random.seed(used)
    os.environ["PYTHONHASHSEED"] = str(used)
    for name, seeder in _SEEDERS.items():
        if name in sys.modules:
            seeder(sys.modules[name], used)
    if not any(isinstance(finder, _Later) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Later())
    runs = [run for run in _runs if run._mode == OPEN and run._pid == os.getpid()]
    for run in runs:
        with contextlib.suppress(StateError):  # another thread has ended it since
            _record(run, used, source)
    _unrecorded = None if runs else (used, source)
    return used


def enter(run: Experiment) -> None:
    """A run begins: it is told the seed that was said before, and will be told the first later one."""
    global _unrecorded
    if _unrecorded is not None:
        _record(run, *_unrecorded)
        _unrecorded = None
    _runs.add(run)


def _record(run: Experiment, seed: int, source: str | None) -> None:
    if run not in _told:
        _told.add(run)
        run.record_info("seed", seed)
        if source or run.load_info("seed_from"):  # of a run that goes on, what was there before
            run.record_info("seed_from", source)


def _tell(line: str) -> None:
    """Say something that is no warning: those can be made errors, which would stop the training."""
    out = machine.stderr()
    if out:
        print(line, file=out)


def _checked(seed: int, what: str) -> int:
    if not 0 <= seed <= MOST:
        raise InvalidValue(f"{what} must be from 0 to {MOST}, which every library takes, not {seed}")
    return seed


def _ordered(asked: int | None) -> int | None:
    """What ``LUMO_SEED`` says in place of a seed; None: nothing.

    It is ``S``: in place of the first one, and then ``S:FIRST``, which children see: in place of FIRST.
    """
    said, known, first = os.environ.get(VARIABLE, "").partition(":")
    if not said or (known and str(asked) != first):
        return None
    if not (said.isascii() and said.isdigit()):
        raise InvalidValue(f"{VARIABLE} must be a number from 0 to {MOST}, not {said!r}")
    seed = _checked(int(said), VARIABLE)
    if asked is None:
        del os.environ[VARIABLE]  # a second drawn one is drawn
    else:
        os.environ[VARIABLE] = f"{seed}:{asked}"
    return seed


class _Later:
    """A finder that finds nothing itself, but seeds a library as soon as it was imported."""

    def __init__(self) -> None:
        self._asked: set[str] = set()  # another finder of this kind may ask back

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _SEEDERS or name in sys.modules or name in self._asked:
            return None
        self._asked.add(name)
        try:
            for finder in sys.meta_path:
                find = None if finder is self else getattr(finder, "find_spec", None)
                spec: ModuleSpec | None = find(name, path, target) if find else None
                if spec is not None:
                    _seed_after(spec)
                    return spec
        finally:
            self._asked.discard(name)
        return None


def _seed_after(spec: ModuleSpec) -> None:
    loader: Any = spec.loader
    execute = getattr(loader, "exec_module", None)
    if execute is None:
        return

    def exec_module(module: ModuleType) -> None:
        execute(module)
        if module.__name__ == spec.name and _seed is not None:  # one loader may serve all modules of an archive
            _SEEDERS[spec.name](module, _seed)

    with contextlib.suppress(AttributeError):  # a loader that cannot be told so
        loader.exec_module = exec_module
