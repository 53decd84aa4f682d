"""Parts of the board that are drawn by scripts of ours, which take all that is recorded for text, never for markup."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import param
from panel.custom import JSComponent

from gitlumo.board import looks

Block = dict[str, Any]
Field = dict[str, Any]
Cell = str | dict[str, Any]


def _script(name: str) -> str:
    with open(os.path.join(looks.WEB, name), encoding="utf-8") as source:
        return source.read()


class Part(JSComponent):
    """What all have in common: their looks."""

    sizing_mode = param.Selector(default="stretch_width", objects=["stretch_width", None])
    margin = param.Parameter(default=0)

    _debounce = 0  # milliseconds for which panel waits for more to come

    __abstract = True

    def __init__(self, **params: Any):
        super().__init__(stylesheets=[looks.sheet("style.css")], **params)


class TopBar(Part):
    """The head of the board."""

    title = param.String()
    tabs = param.List(doc="Pairs: id, label.")
    tab = param.String(doc="What is looked at: the server says so.")
    wanted = param.Dict(default={}, doc="What somebody wants to look at: tab. By itself it changes nothing here.")
    running = param.Integer()
    sync = param.String(doc="How far the remotes are, in words.")
    trouble = param.String(doc="Why the runs cannot be read; empty: they can.")
    place = param.Dict(
        default={}, doc="The page's address: query, and whether it is a fresh place, from which one can go back."
    )
    went = param.Dict(default={}, doc="That the browser went back or forth: query.")
    key = param.Dict(default={}, doc="A key that means something: what.")
    dark = param.Boolean()
    served = param.Boolean(default=True, doc="Whether it has a page of its own.")

    _esm = _script("bar.js")


class FilterBox(Part):
    """The box for an expression."""

    text = param.String()
    error = param.String()
    count = param.String()
    names = param.List(doc="What may be typed: name, what it is.")

    _esm = _script("filter.js")


class Settings(Part):
    """A line of settings.

    A field is ``{id, label, kind}``: ``text`` (``hint``), ``choice`` and ``many`` (``options``: pairs of value and
    label), ``tick``, ``slider`` (``least``, ``most``, ``step``).
    """

    fields = param.List()
    values = param.Dict(default={}, doc="What is set now, by id.")
    chosen = param.Dict(default={}, doc="What somebody has set, by id: the value, and the how manieth it was.")
    answered = param.Integer(doc="The how manieth of these has been heard last.")

    _esm = _script("form.js")

    def on_choice(self, act: Callable[[dict[str, Any]], Any]) -> None:
        """Have a function called with what is set, by id."""

        def told(event: Any) -> None:
            fresh = {id: value for id, (value, number) in event.new.items() if number > self.answered}
            self.answered = max([self.answered, *(number for _, number in event.new.values())])
            act(fresh)

        self.param.watch(told, "chosen")


class FactSheet(Part):
    """A sheet of facts, made of blocks; see ``web/sheet.js`` for their kinds."""

    blocks = param.List()
    asked = param.Dict(default={}, doc="What was clicked: act, arg.")

    _esm = _script("sheet.js")


def heading(text: str) -> Block:
    """A heading."""
    return {"kind": "heading", "text": text}


def empty(text: str) -> list[Block]:
    """A sheet that has nothing to show says why."""
    return [{"kind": "text", "text": text, "look": "empty"}]


def failed(text: str) -> list[Block]:
    """A sheet that cannot be made says why."""
    return [{"kind": "code", "text": text, "look": "error"}]
