"""Runs in IPython and Jupyter: which cell starts them, which notebook that is, how they show themselves."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gitlumo import sparkline
from gitlumo.recorded import NEW, OPEN

if TYPE_CHECKING:
    from gitlumo.experiment import Experiment

SHOWN = 12
_started: list[tuple[Cell, Experiment]] = []


@dataclass(frozen=True)
class Cell:
    """One execution of a cell.

    Attributes:
        id: Which cell it is, where the frontend says so (JupyterLab and VS Code do; nbclient and a terminal do not).
        count: Which execution of the session it is.
    """

    id: str | None
    count: int

    def is_again(self, former: Cell) -> bool:
        """Whether this is a later execution of the same cell, as far as can be known."""
        return self.count != former.count and (None in (self.id, former.id) or self.id == former.id)


def _shell() -> Any:
    module = sys.modules.get("IPython")
    return module.get_ipython() if module else None


def cell() -> Cell | None:
    """The cell that is executed; None outside of IPython."""
    shell = _shell()
    if shell is None:
        return None
    kernel: Any = getattr(shell, "kernel", None)
    request = kernel.get_parent() if hasattr(kernel, "get_parent") else {}
    found = (request.get("metadata") or {}).get("cellId")
    return Cell(found if isinstance(found, str) else None, shell.execution_count)


def enter(exp: Experiment) -> None:
    """Before a run starts in a cell: end the one that the cell started before, whose variable is bound anew."""
    now = cell()
    if now is None:
        return
    for before, former in _started:
        if former._mode == OPEN and former.exp_name == exp.exp_name and now.is_again(before):
            former.end()
    _started[:] = [(before, former) for before, former in _started if former._mode == OPEN]
    _started.append((now, exp))


def path() -> str | None:
    """The notebook's file, empty where it cannot be known; None outside of notebooks.

    VS Code says it in a variable, Jupyter Server in the kernel's environment (its ``SessionManager.get_kernel_env``).
    """
    shell = _shell()
    if getattr(shell, "kernel", None) is None:
        return None
    for found in (shell.user_ns.get("__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME")):
        if isinstance(found, str) and found.endswith(".ipynb"):
            return found
    return ""


def page(exp: Experiment) -> str:
    """A run as HTML: name, state, parameters, a curve a metric. Nothing that was recorded is taken for markup."""
    if exp._mode == NEW:
        return f"<code>{_text(repr(exp))}</code>"
    parts = [f"<b>{_text(exp.label)}</b> {_text(exp.state)}"]
    params = exp.load_info("params")
    if isinstance(params, dict) and params:
        more = [f"and {len(params) - SHOWN} more"] if len(params) > SHOWN else []
        shown = [f"{key}={_short(value)}" for key, value in list(params.items())[:SHOWN]]
        parts.append(_text("  ".join(shown + more)))
    metrics, curves = exp.metrics, exp.curves()
    if metrics:
        head = "".join(f"<th>{name}</th>" for name in ("metric", "", "last", "best", "at step"))
        rows = [
            (key, sparkline.draw(curves.get(key, []), 24), sparkline.number(metric["last"]))
            + ((sparkline.number(metric["best"]), str(metric["best_step"])) if metric["cmp"] else ("", ""))
            for key, metric in metrics.items()
        ]
        body = "".join("<tr>" + "".join(f"<td>{_text(text)}</td>" for text in row) + "</tr>" for row in rows)
        parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
    if exp.load_note():
        parts.append(_text(_short(exp.load_note())))
    return "".join(f"<div>{part}</div>" for part in parts)


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 80 else text[:79] + "…"


def _text(text: str) -> str:
    from html import escape

    return escape(text).encode("utf-8", "replace").decode()
