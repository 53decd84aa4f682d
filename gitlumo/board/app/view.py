"""What a page looks at, as its address says it: so that it can be bookmarked, sent, and gone back to."""

from __future__ import annotations

from collections.abc import Container
from typing import Any
from urllib.parse import parse_qs, urlencode

import param

STEP, TIME, RELATIVE = "step", "time", "relative"
_NAMES = {"tab": "view", "picked": "runs"}  # attributes whose name in the address is another one
_MOST = 2000  # characters of one value, and values of one name


class View(param.Parameterized):
    """The state of one page."""

    q = param.String(doc="The expression.")
    tab = param.String("runs")
    run = param.String(doc="The uid of the run whose page is open.")
    picked = param.List([], item_type=str, doc="The uids of the runs that are ticked.")
    sort = param.List([], item_type=str, doc="Columns, with a minus in front where the greatest come first.")
    columns = param.List([], item_type=str, doc="The table's columns; none: those in which the runs differ.")
    metrics = param.String(doc="Patterns of the metrics that are drawn; empty: all.")
    x = param.Selector(default=STEP, objects=[STEP, TIME, RELATIVE])
    smooth = param.Number(0.0, bounds=(0.0, 0.99))
    logx = param.Boolean(False)
    logy = param.Boolean(False)
    system = param.Boolean(False, doc="Whether the metrics of the machine are drawn, too.")
    over = param.List([], item_type=str, doc="Columns: one curve for runs that are alike in these.")
    group = param.List([], item_type=str, doc="Columns by which runs are grouped.")
    axes = param.List([], item_type=str, doc="Columns of the parallel coordinates; none: some that differ.")
    sx = param.String()
    sy = param.String()

    def query(self) -> str:
        """What differs from a new page, for the address."""
        pairs: list[tuple[str, Any]] = []
        for name, default in _defaults():
            value = getattr(self, name)
            if value == default:
                continue
            shown = _NAMES.get(name, name)
            if isinstance(value, list):
                pairs += [(shown, item) for item in value]
            else:
                pairs.append((shown, {True: "1", False: "0"}.get(value, value) if isinstance(value, bool) else value))
        return urlencode(pairs)

    def read(self, query: str, tabs: Container[str]) -> None:
        """Become what an address says; what makes no sense in it is passed over.

        Args:
            query: What stands behind the question mark.
            tabs: Which there are.
        """
        given = parse_qs(query, keep_blank_values=True, max_num_fields=_MOST)
        found: dict[str, Any] = {}
        for name, default in _defaults():
            texts = [text[:_MOST] for text in given.get(_NAMES.get(name, name), [])]
            found[name] = default if not texts else _read(default, texts)
            try:
                self.param[name]._validate(found[name])
            except ValueError:
                found[name] = default
        if found["tab"] not in tabs:
            found["tab"] = View.param["tab"].default
        self.param.update(**found)


def _defaults() -> list[tuple[str, Any]]:
    return [(name, View.param[name].default) for name in View.param if name != "name"]


def _read(default: Any, texts: list[str]) -> Any:
    if isinstance(default, list):
        return [text for text in texts if text]
    if isinstance(default, bool):
        return texts[-1] == "1"
    if isinstance(default, float):
        try:
            return float(texts[-1])
        except ValueError:
            return default
    return texts[-1]
