"""The run that most scripts want: with the built-in hooks, begun in one line."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from gitlumo.experiment import Experiment
from gitlumo.hooks import BUILT_IN, ExpHook


class SimpleExperiment(Experiment):
    """A run with the built-in hooks: code snapshot, packages, last command, diary, exception, final report."""

    built_in = BUILT_IN


def start(
    exp_name: str,
    params: Any = None,
    *,
    test_name: str | None = None,
    repo: str | os.PathLike[str] | None = None,
    hooks: Iterable[ExpHook | type[ExpHook]] = (),
    distributed: bool | None = None,
    resume: str | None = None,
) -> SimpleExperiment:
    """Start a :class:`SimpleExperiment`; the arguments are those of :class:`Experiment`.

    Raises:
        InvalidName: For a name that breaks the rules.
        InvalidValue: For parameters that cannot be stored; nothing is started then.
        LumoError: See :meth:`Experiment.start`.
    """
    made = SimpleExperiment(exp_name, test_name, repo, hooks, params=params, distributed=distributed, resume=resume)
    return made.start()
