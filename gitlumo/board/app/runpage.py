"""The page of one run: everything that ``git lumo show`` prints, its images and files, what to type, and edits."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from gitlumo import describing, sparkline, wording
from gitlumo.board import facts, palette
from gitlumo.board.app.context import Context
from gitlumo.board.app.parts import Block, Cell, failed, heading
from gitlumo.board.live import ENDINGS
from gitlumo.errors import LumoError
from gitlumo.store import columns
from gitlumo.store.query import Found

_KEY = 10  # characters of a line of the head before its value
_CURVE = 24
_FILE_SHOWN = 200_000  # bytes
_INLINE = 1_000_000  # bytes of an image that stands in the page itself
_INLINE_MOST = 12


def page(context: Context, uid: str, file: str = "", done: Block | None = None) -> list[Block]:
    """The blocks of a run's page.

    Args:
        context: What is looked at.
        uid: The run.
        file: The file of it that is open; empty: none.
        done: What was done last, to say it.
    """
    try:
        found = context.source.find(uid)
        return list(_blocks(context, uid, found, file, done))
    except LumoError as error:
        return [_BACK, *failed(str(error))]


_BACK: Block = {"kind": "buttons", "items": [{"text": "← all runs", "act": "back", "arg": ""}]}


def _blocks(context: Context, uid: str, found: Found, file: str, done: Block | None) -> Iterator[Block]:
    told = facts.page_of(found)
    deprecated, state = found.record.deprecated, str(told["state"])
    yield _BACK
    yield {"kind": "title", "text": {"text": found.label, "dot": palette.colour(uid)}, "after": state}
    yield done or {"kind": "chips", "items": []}
    sections = dict(describing.sections(found, context.source.branch.has_code))
    yield {"kind": "pairs", "rows": [*_head(sections.pop("")), *_lineage(context, uid, found), *_backups(told)]}
    yield heading("note")
    yield {"kind": "note", "text": found.record.note}
    yield heading("tags")
    yield {"kind": "tags", "tags": told["tags"]}
    turn = {"text": "bring it back", "act": "restore"} if deprecated else {"text": "deprecate", "act": "deprecate"}
    yield {
        "kind": "buttons",
        "items": [{**turn, "arg": uid}, {"text": "undo the last edit", "act": "undo", "arg": uid}],
    }
    yield heading("type")
    commands: Any = told["commands"]
    for command in commands.values():
        yield {"kind": "copy", "text": command}
    flat = columns.flat(found.record.info("params"))
    if flat:
        yield heading("params")
        yield {"kind": "pairs", "rows": [[key, wording.number(value)] for key, value in flat.items()]}
    yield from _metrics(context, uid, found)
    yield from _images(context, uid, found, told["images"])
    for name, lines in sections.items():
        if lines and name not in ("note", "params", "metrics", "files"):
            yield heading(name)
            yield {"kind": "code", "text": "\n".join(lines)}
    yield from _files(found, told["files"], file)


def _head(lines: list[str]) -> list[list[Cell]]:
    """The lines of the head as pairs; what is linked is told elsewhere."""
    pairs: list[list[Cell]] = [[line[:_KEY].strip(), line[_KEY:]] for line in lines]
    return [pair for pair in pairs if pair[0] not in ("backup", "tags")]


def _lineage(context: Context, uid: str, found: Found) -> Iterator[list[Cell]]:
    rerun = found.record.edited["rerun"]
    parent, told, verified = (rerun.get(key) for key in ("from", "rerun_at", "verified"))
    again = [each for each in told if isinstance(each, str)] if isinstance(told, list) else []
    if "rerun.from" in context.everything:
        column = context.everything["rerun.from"]
        again = [*column.index[(column == uid).to_numpy(dtype=bool, na_value=False)], *again]
    if isinstance(parent, str):
        yield ["rerun of", _run(context, parent)]
    for each in dict.fromkeys(again):
        yield ["rerun as", _run(context, each)]
    for each, verdict in verified.items() if isinstance(verified, dict) else ():
        same = isinstance(verdict, dict) and verdict.get("same") is True
        yield [f"verified, {'the same as' if same else 'not the same as'}", _run(context, each)]


def _run(context: Context, uid: str) -> Cell:
    if uid not in context.everything.index:
        return uid
    return {"text": context.label(uid), "act": "run", "arg": uid, "dot": palette.colour(uid)}


def _backups(told: dict[str, Any]) -> Iterator[list[Cell]]:
    for each in told["backups"]:
        yield [f"backup {each['at'].replace('T', ' ')}", {"text": each["url"] or each["text"], "href": each["url"]}]


def _metrics(context: Context, uid: str, found: Found) -> Iterator[Block]:
    metrics = found.record.metrics
    if not metrics:
        return
    curves = context.source.curves(uid)
    rows: list[list[Cell]] = []
    for key, metric in metrics.items():
        values = list(curves[key].value) if key in curves else []
        curve = sparkline.draw(values[:: max(1, len(values) // 96)], _CURVE) if values else ""
        best = [wording.number(metric.get("best")), str(metric.get("best_step"))] if metric.get("cmp") else ["", ""]
        rest = [wording.number(metric.get(name)) for name in ("last", "min", "max", "count")]
        rows.append([key, curve, rest[0], *best, *rest[1:]])
    yield heading("metrics")
    heads = ["", "", "last", "best", "at step", "min", "max", "values"]
    yield {"kind": "table", "heads": heads, "rows": rows, "numeric": list(range(2, 8))}
    companions = [
        [f"best {key}", f"{name} = {value}"]
        for key, metric in metrics.items()
        for name, value in describing.as_map(metric.get("with")).items()
    ]
    if companions:
        yield {"kind": "pairs", "rows": companions}


def _images(context: Context, uid: str, found: Found, images: Any) -> Iterator[Block]:
    items: list[dict[str, str]] = []
    for each in images:
        source = f"/image/{uid}/{quote(each['path'])}" if context.served else ""
        if not source and len(items) < _INLINE_MOST:
            data = found.record.read(each["path"]) or b""
            kind = ENDINGS[each["path"].rpartition(".")[2]]
            if len(data) <= _INLINE:
                source = f"data:{kind};base64,{base64.b64encode(data).decode()}"
        if source:
            items.append({"source": source, "caption": f"{each['key']}, step {each['step']}"})
    if images:
        yield heading("images")
        yield {"kind": "images", "items": items}
        if len(items) < len(images):
            left = wording.count(len(images) - len(items), "image")
            yield {"kind": "text", "text": f"and {left} more; 'git lumo board' shows all", "look": "quiet"}


def _files(found: Found, files: Any, file: str) -> Iterator[Block]:
    if not files:
        return
    yield heading("files")
    yield {"kind": "chips", "items": [{"text": path, "act": "file", "arg": path} for path in files]}
    if file in files:
        yield heading(file)
        data = found.record.read(file) or b""
        if b"\0" in data[:8000]:
            size = wording.size(len(data))
            yield {"kind": "code", "text": f"{size} that are no text; git lumo show {found.name}:{file} > FILE"}
            return
        text = data[:_FILE_SHOWN].decode("utf-8", "replace")
        more = f"\n… {wording.size(len(data) - _FILE_SHOWN)} more" if len(data) > _FILE_SHOWN else ""
        yield {"kind": "code", "text": text + more}
