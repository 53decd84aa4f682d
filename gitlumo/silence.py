"""Runs that record nothing: with ``LUMO_DISABLED=1``, and in all ranks of a distributed job but the first."""

from __future__ import annotations

import os
from collections.abc import Mapping

from gitlumo.store.layout import chunk_path

_RANKS = ("RANK", "LOCAL_RANK", "OMPI_COMM_WORLD_RANK")
_KEPT = 4 * 1024 * 1024


def is_silent(distributed: bool | None, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this process records nothing.

    Args:
        distributed: What the caller said; None: the environment decides.
        environ: The environment variables.
    """
    if environ.get("LUMO_DISABLED", "0").lower() not in ("", "0", "false", "no"):
        return True
    if distributed is False:
        return False
    names = (*_RANKS, "SLURM_PROCID") if distributed else _RANKS
    return any(environ.get(name, "0").strip() not in ("", "0") for name in names)


def slurm_is_unclear(distributed: bool | None, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether SLURM_PROCID alone speaks of several tasks, which may be ranks of one run or independent runs."""
    several = environ.get("SLURM_NTASKS", "1").strip() not in ("", "1") and "SLURM_PROCID" in environ
    return distributed is None and several and not any(name in environ for name in _RANKS)


class Silence:
    """Stands in for a journal: keeps files in memory, so that reading them back gives local values."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}
        self._lines = bytearray()

    def append(self, line: bytes) -> None:
        """Keep a line of history, as long as there are not too many."""
        if len(self._lines) < _KEPT:
            self._lines += line

    def save(self, path: str, data: bytes) -> None:
        """Keep a file."""
        self._files[path] = data

    def read(self, path: str) -> bytes | None:
        """A file, None where there is none."""
        return bytes(self._lines) or None if path == chunk_path(0) else self._files.get(path)

    def paths(self) -> list[str]:
        """All files."""
        return sorted([*self._files, *([chunk_path(0)] if self._lines else [])])

    def close(self) -> None:
        """Nothing is open."""
