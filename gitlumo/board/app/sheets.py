"""Sheets over several runs: groups, a comparison, the bin."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gitlumo import wording
from gitlumo.board import facts, palette, tabling
from gitlumo.board.app.context import Context
from gitlumo.board.app.parts import Block, Cell, empty, failed, heading
from gitlumo.comparison import SECTIONS
from gitlumo.errors import LumoError
from gitlumo.git import process
from gitlumo.git.objects import tree_of
from gitlumo.store import columns
from gitlumo.store.columns import METRICS, PARAMS

_MOST_GROUPS = 500
_TICKED = 40  # runs that a click on a group ticks
_MOST_DIFF = 400_000  # characters of a patch
_CELL = 80
_SHARED = ("exp", "state", "host", "git.branch", "git.commit", "git.head", "exception")


# Groups


def keys(context: Context) -> list[str]:
    """The columns by which runs can be grouped: parameters, the user's own, and fields that several runs share."""
    params = [name for name in context.names if name.startswith(PARAMS)]
    return [*params, *context.own, *(name for name in _SHARED if name in context.everything)]


def groups(context: Context) -> list[Block]:
    """One row for runs that are alike in some columns: how many they are, mean and standard deviation of metrics."""
    chosen = [key for key in context.view.group if key in context.frame]
    if not chosen:
        return empty("choose above by which columns the runs are grouped, such as all parameters but the seed")
    frame = context.frame
    metrics = [name for name in context.names if name.startswith(METRICS) and not columns.base_of(name)]
    metrics = [name for name in metrics if name in frame]
    members: dict[str, list[int]] = {}
    shown = [[tabling.cell(key, value) for value in frame[key].tolist()] for key in chosen]
    for i, cells in enumerate(zip(*shown, strict=True)):
        members.setdefault(json.dumps(cells), []).append(i)
    numbers = {name: _numbers(frame[name].tolist()) for name in metrics}
    rows: list[list[Cell]] = []
    for key, places in list(members.items())[:_MOST_GROUPS]:
        spreads = [_spread(numbers[name][places]) for name in metrics]
        count = {"text": str(len(places)), "act": "tick", "arg": list(frame.index[places[:_TICKED]])}
        rows.append([*json.loads(key), count, *spreads])
    heads = [*map(tabling.title_of, chosen), "n", *map(tabling.title_of, metrics)]
    table = {"kind": "table", "heads": heads, "rows": rows, "numeric": list(range(len(chosen), len(heads)))}
    said = f"{wording.count(len(members), 'group')} of {wording.count(len(frame), 'run')}; a click on n ticks the runs"
    return [{"kind": "text", "text": said, "look": "quiet"}, table]


def _numbers(held: Sequence[Any]) -> np.ndarray[Any, Any]:
    return np.array([float(v) if isinstance(v, (int, float)) and not isinstance(v, bool) else np.nan for v in held])


def _spread(values: np.ndarray[Any, Any]) -> str:
    """``0.93 ± 0.02``; with how many, where that is not all."""
    good = values[np.isfinite(values)]
    if not len(good):
        return ""
    text = wording.number(float(good.mean()))
    if len(good) > 1:
        text += f" ± {good.std(ddof=1):.2g}"
    return text if len(good) == len(values) else f"{text} (n={len(good)})"


# A comparison


def comparison(context: Context) -> list[Block]:
    """In what the ticked runs differ, and how their code does."""
    picked = [uid for uid in context.view.picked if uid in context.everything.index]
    most = facts.MOST_COMPARED
    if not 2 <= len(picked) <= most:
        return empty(f"tick 2 to {most} runs in the table to compare them; {len(picked)} are ticked")
    try:
        found = [context.source.find(uid) for uid in picked]
        objects = context.source.home.repository.objects
        differ = facts.differences([each.record for each in found], lambda commit: tree_of(objects, commit))
    except LumoError as error:
        return failed(str(error))
    heads: list[Cell] = [
        {"text": context.label(uid), "dot": palette.colour(uid), "act": "run", "arg": uid} for uid in picked
    ]
    blocks: list[Block] = []
    for section in SECTIONS:
        part: list[Any] = [each for each in differ if each["section"] == section]
        if part:
            blocks.append(heading(section))
            blocks.append({"kind": "table", "heads": ["", *heads], "rows": [_row(each) for each in part]})
    if not blocks:
        return [
            {"kind": "chips", "items": heads},
            *empty("these runs are alike: parameters, metrics, packages and code"),
        ]
    code: Any = next((each["values"] for each in differ if each["section"] == "code"), None)
    return [*blocks, *(_patches(context, code, picked) if code else ())]


def _row(each: Any) -> list[Cell]:
    texts = [wording.number(held[0]) if held else "" for held in each["values"]]
    if len(set(texts)) < len({json.dumps(held) for held in each["values"]}):  # rounded they look the same
        texts = [json.dumps(held[0], ensure_ascii=False) if held else "" for held in each["values"]]
    if each["section"] == "code":
        texts = [text[:12] for text in texts]
    cells: list[Cell] = [text if len(text) <= _CELL else text[: _CELL - 1] + "…" for text in texts]
    best = _best(each)
    if best is not None:
        cells[best] = {"text": texts[best], "look": "good"}
    change = each["change"]
    if change is not None:
        cells[-1] = {**(cells[-1] if isinstance(cells[-1], dict) else {}), "text": f"{texts[-1]}  ({change:+.1%})"}
    return [each["key"] or each["section"], *cells]


def _best(each: Any) -> int | None:
    if each["better"] not in ("max", "min"):
        return None
    there = {i: held[0] for i, held in enumerate(each["values"]) if held and isinstance(held[0], (int, float))}
    if len(there) < 2:
        return None
    choose = max if each["better"] == "max" else min
    return int(choose(there, key=lambda i: there[i]))


def _patches(context: Context, code: Sequence[list[str]], picked: Sequence[str]) -> Iterator[Block]:
    """What git says of the code, between the first run and each other one."""
    repository = context.source.home.repository
    first = code[0][0] if code[0] else None
    for uid, held in zip(picked[1:], code[1:], strict=True):
        if not held or first is None or held[0] == first:
            continue
        yield heading(f"code, {context.label(picked[0])} → {context.label(uid)}")
        missing = [commit for commit in (first, held[0]) if tree_of(repository.objects, commit) is None]
        if missing:
            yield {"kind": "text", "text": f"{missing[0][:12]} is not here: git fetch --unshallow", "look": "error"}
            continue
        words = ["diff", "--no-color", "--no-ext-diff", "--stat=80", "--patch", first, held[0], "--"]
        asked = process.run([*repository.git_args, *words], check=False)
        text = asked.out.decode("utf-8", "replace")
        more = "\n… git lumo diff --code shows all" if len(text) > _MOST_DIFF else ""
        yield {"kind": "diff", "text": text[:_MOST_DIFF] + more if text else "no difference"}


# The bin


def bin_of(context: Context) -> list[Block]:
    """The runs that were marked as deprecated, each with what brings it back."""
    every = context.everything
    gone = every[every["deprecated"] == True] if "deprecated" in every else every.iloc[:0]  # noqa: E712
    if not len(gone):
        return empty("the bin is empty; a run gets here by 'git lumo rm', or from its page")
    rows: list[list[Cell]] = [
        [
            {"text": context.label(uid), "dot": palette.colour(uid), "act": "run", "arg": uid},
            tabling.cell("start", row.get("start")),
            tabling.cell("state", row.get("state")),
            tabling.cell("note", row.get("note")),
            {"text": "bring it back", "act": "restore", "arg": uid},
        ]
        for uid, row in gone.head(_MOST_GROUPS).to_dict("index").items()
    ]
    said = f"{wording.count(len(gone), 'run')}, marked as deprecated; nothing of them is deleted"
    heads = ["run", "start", "state", "note", ""]
    return [{"kind": "text", "text": said, "look": "quiet"}, {"kind": "table", "heads": heads, "rows": rows}]
