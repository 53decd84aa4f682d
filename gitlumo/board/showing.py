"""``Watcher.panel``: the board over a data frame, inline in a notebook, else served."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from gitlumo import notebook
from gitlumo.condition import ALIASES
from gitlumo.errors import UsageError
from gitlumo.home import Home
from gitlumo.store.columns import is_column
from gitlumo.values import shown

if TYPE_CHECKING:
    import pandas

Widget = Callable[["pandas.DataFrame"], Any]


def show(
    home: Home,
    frame: pandas.DataFrame | None,
    widgets: Sequence[Widget],
    *,
    port: int | None,
    open_browser: bool,
) -> Any:
    """See :meth:`gitlumo.watcher.Watcher.panel`."""
    check_installed()
    _check_frame(frame)
    if not isinstance(widgets, Iterable) or any(not callable(widget) for widget in widgets):
        raise UsageError("widgets are functions from a data frame to what panel can show: panel(df, widgets=[f])")
    if notebook.path() is None and not _within_panel():
        from gitlumo.board.serving import serve

        serve(home, port=port, show=open_browser, said=_say, frame=frame, widgets=widgets)
        return None
    from gitlumo.board.app.application import inline

    return inline(home, frame, widgets)


def _check_frame(frame: object) -> None:
    """See that it has runs as rows.

    Raises:
        UsageError: If not; says what has.
    """
    import pandas

    if frame is not None and not isinstance(frame, pandas.DataFrame):
        raise UsageError(f"panel takes a data frame of Watcher().load(), or None for all runs, not {shown(frame)}")
    if frame is not None and len(frame) and not any(is_column(ALIASES.get(name, name)) for name in frame.columns):
        named = ", ".join(map(str, frame.columns[:3]))
        raise UsageError(f"panel takes a data frame with a row a run, as load() gives; this one's columns are: {named}")


def check_installed() -> None:
    """See that the extra is there, without importing it.

    Raises:
        UsageError: If not; says what to type.
    """
    from importlib.util import find_spec

    for name in ("panel", "bokeh", "pandas", "tornado"):
        if find_spec(name) is None:
            raise UsageError(f"the board needs {name}, which is not installed\ntype: pip install 'gitlumo[board]'")


def _within_panel() -> bool:
    """Whether 'panel serve' runs this script: then its page is what is asked for."""
    panel = sys.modules.get("panel")
    return panel is not None and panel.state.curdoc is not None


def _say(url: str) -> None:
    print(f"the board: {url}  (Ctrl-C ends it)", flush=True)
