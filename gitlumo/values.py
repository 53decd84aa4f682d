"""Python values to JSON and back (docs/format.md, section 2). Libraries are known by their shape, never imported."""

from __future__ import annotations

import base64
import datetime
import enum
import functools
import json
import math
import os
import re
import reprlib
from collections.abc import Iterable, Iterator
from typing import Any

from gitlumo import foreign
from gitlumo.errors import FormatError, InvalidValue

MAX_DEPTH = 100
MAX_VALUES = 2**21  # a file of 10 MiB, the most that the ledger takes, holds no more
MAX_BITS = 14_280  # an integer of at most 4,299 digits: Python reads no more than 4,300 unless it is told to
_PLAIN = re.compile(rb'"([ !#-\[\]-~]*)"\n')  # a string that needs no escapes
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]{6,}>")
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

Json = None | bool | int | float | str | list[Any] | dict[str, Any]


def to_bytes(value: Json) -> bytes:
    """A ``.json`` file: sorted keys, indented by two, one trailing newline.

    Args:
        value: What :func:`encode` returned.
    """
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8") + b"\n"


def from_bytes(data: bytes) -> Json:
    """The JSON value of a recorded file.

    Raises:
        FormatError: If it is not JSON.
    """
    plain = _PLAIN.fullmatch(data)
    if plain:  # as most names and uids are, of which a join reads thousands
        return plain[1].decode("ascii")
    try:
        value = _parse(data.decode("utf-8"))
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # no lone surrogates
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not JSON: {error}") from None
    return value


def read(data: bytes) -> Any:
    """The Python value of a recorded file: :func:`from_bytes`, then :func:`decode`.

    Raises:
        FormatError: If it is not JSON, or not what :func:`encode` would have stored.
    """
    value = from_bytes(data)
    deep = len(data) > MAX_DEPTH and data.count(b"[") + data.count(b"{") > MAX_DEPTH  # perhaps
    return decode(value) if deep or b"$" in data or b"\\u" in data else value  # else there is nothing to decode


def _parse(text: str) -> Json:
    value: Json
    try:
        value, end = _decoder.raw_decode(text)  # as we write it: half the time
        if text[end:] == "\n":
            return value
    except ValueError:
        pass
    value = _decoder.decode(text)
    return value


def _not_json(name: str) -> None:
    raise ValueError(f"a bare {name}")


_decoder = json.JSONDecoder(parse_constant=_not_json)


def float_name(value: float) -> str:
    """``NaN``, ``Infinity`` or ``-Infinity`` for a float that JSON cannot hold."""
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def encode(value: object, path: str = "value") -> Json:
    """What JSON stores for a Python value.

    Takes None, bool, int, float, str, bytes, mappings, sequences, sets, paths, enums, dates, and what is such in
    spirit: dataclass, attrs and pydantic objects, namespaces, OmegaConf containers, numpy and torch scalars, arrays of
    at most 1,000 elements (docs/format.md, section 2).

    Args:
        value: The value.
        path: How to call it in an error, such as ``params.optim``.

    Raises:
        InvalidValue: For what cannot be stored; the message names the path within the value.
    """
    return _Encoder().encode(value, path, 0)


class _Encoder:
    """Encodes one value; counts what it holds, because an iterator may have no end."""

    def __init__(self) -> None:
        self.left = MAX_VALUES

    def encode(self, value: Any, path: str, depth: int) -> Json:
        kind = type(value)
        if value is None or kind is bool:
            return value  # type: ignore[no-any-return]
        if kind is str:
            return _string(value, path)
        if kind is int:
            return _integer(value, path)
        if kind is float:
            return value if math.isfinite(value) else {"$float": float_name(value)}
        if depth > MAX_DEPTH:
            raise InvalidValue(f"{path[:200]}: nested deeper than {MAX_DEPTH} levels, or in itself")
        try:
            return self._encode(value, path, depth)
        except InvalidValue:
            raise
        except foreign.NotStorable as error:
            raise InvalidValue(f"{path[:200]}: {error}") from None
        except Exception as error:  # the object's own code
            said = f"reading this {kind.__module__}.{kind.__qualname__} raised {type(error).__name__}"
            raise InvalidValue(f"{path[:200]}: {said}, so it cannot be stored") from None

    def _encode(self, value: Any, path: str, depth: int) -> Json:
        if isinstance(value, enum.Enum):
            return _string(value.name or str(value), path)  # a Flag of no members has no name
        if isinstance(value, str):
            return _string(str.__str__(value), path)
        if isinstance(value, int):
            return _integer(int.__int__(value), path)
        if isinstance(value, float):
            return self.encode(float.__float__(value), path, depth)
        if isinstance(value, (bytes, bytearray)) or (isinstance(value, memoryview) and value.format in ("B", "b", "c")):
            return {"$bytes": base64.b64encode(bytes(value)).decode("ascii")}
        if isinstance(value, os.PathLike):
            return _string(os.fsdecode(value), path)
        if isinstance(value, (datetime.date, datetime.time, datetime.timedelta)):
            return _moment(value)
        if isinstance(value, dict):
            return self._mapping(value.items(), path, depth)
        if isinstance(value, (list, tuple)) and not hasattr(type(value), "_fields"):
            return self._list(value, path, depth)
        if isinstance(value, (set, frozenset)):
            items = [self.encode(item, f"{path}{{...}}", depth + 1) for item in self._counted(value, path)]
            return sorted(items, key=lambda item: json.dumps(item, sort_keys=True, ensure_ascii=False))
        if isinstance(value, tuple):
            return self._mapping(zip(type(value)._fields, value, strict=True), path, depth)  # type: ignore[attr-defined]
        known = foreign.plain(value)
        if isinstance(known, foreign.Pairs):
            return self._mapping(known.items, path, depth)
        if isinstance(known, foreign.Items):
            return self._list(known.items, path, depth)
        return self.encode(known, path, depth)

    def _list(self, items: Iterable[Any], path: str, depth: int) -> list[Json]:
        return [self.encode(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(self._counted(items, path))]

    def _mapping(self, pairs: Iterable[tuple[Any, Any]], path: str, depth: int) -> dict[str, Json]:
        result: dict[str, Json] = {}
        for key, item in self._counted(pairs, path):
            name = _key(key, path)
            if name in result:
                raise InvalidValue(f"{path}: two keys become {name!r}; rename one of them")
            result[name] = self.encode(item, f"{path}.{name}", depth + 1)
        return result

    def _counted(self, items: Iterable[Any], path: str) -> Iterator[Any]:
        for item in items:
            self.left -= 1
            if self.left < 0:
                raise InvalidValue(f"{path}: more than {MAX_VALUES} values are too much; use exp.mk_bpath()")
            yield item


def _string(value: str, path: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidValue(f"{path}: {ascii(value)[:80]} is not valid Unicode; pass bytes instead") from None
    return value


def _integer(value: int, path: str) -> int:
    try:
        if value.bit_length() <= MAX_BITS:
            str(value)  # the limit may be set lower than Python's own
            return value
    except ValueError:
        pass
    raise InvalidValue(f"{path}: an integer of {value.bit_length()} bits is too large; pass a string")


def _moment(value: datetime.date | datetime.time | datetime.timedelta) -> str | float | None:
    if value != value:
        return None  # pandas' NaT
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, datetime.datetime) and value.tzinfo is None:  # then it is local time
        return datetime.datetime.combine(value.date(), value.time()).astimezone().isoformat()
    return value.isoformat()


def _key(key: object, path: str) -> str:
    if isinstance(key, enum.Enum):
        text = key.name or str(key)
    elif key is None or isinstance(key, bool):
        text = {None: "null", True: "true", False: "false"}[key]
    else:
        text = str(key)
        if _ADDRESS.search(text):
            raise InvalidValue(f"{path}: {ascii(text)[:80]} would be another key in each process; pass a string")
    _string(text, f"{path}.{ascii(text)[:40]}")
    return "$" + text if text.startswith("$") else text


def decode(value: Json) -> Any:
    """The Python value of what :func:`encode` stored: ``$float`` and ``$bytes`` back, ``$$`` to ``$``.

    Raises:
        FormatError: For what :func:`encode` would not have stored.
    """
    try:
        return _decode(value)
    except RecursionError:
        raise FormatError("nested too deep") from None


def _decode(value: Json) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, item),) = value.items()
        if key == "$float" and isinstance(item, str) and item in _NOT_FINITE:
            return _NOT_FINITE[item]
        if key == "$bytes" and isinstance(item, str):
            try:
                return base64.b64decode(item, validate=True)
            except ValueError:
                raise FormatError(f"not base64: {item[:40]!r}") from None
    return {key[1:] if key.startswith("$") else key: _decode(item) for key, item in value.items()}


def number(value: object, path: str) -> int | float:
    """A metric's value: a Python, numpy or torch scalar as int or float.

    Raises:
        InvalidValue: If it is no single real number.
    """
    if type(value) is float:
        return value
    try:
        if isinstance(value, int):
            return _integer(int.__int__(value), f"metric {path!r}")
        if isinstance(value, float):
            return float.__float__(value)
        got = None if isinstance(value, type) else foreign.scalar(value)
    except InvalidValue:
        raise
    except foreign.NotStorable as error:
        raise InvalidValue(f"metric {path!r}: {error}") from None
    except Exception:  # the object's own code, or an array of many elements
        got = None
    if isinstance(got, int):
        return _integer(int(got), f"metric {path!r}")
    if isinstance(got, float):
        return float(got)
    raise InvalidValue(f"metric {path!r}: {shown(value)} is not a number")


def shown(value: object) -> str:
    """A value as an error shows it: its class, and as much of it as fits."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring = 2, 60  # a whole one may have no end
    try:
        text = short.repr(value)
    except Exception:
        text = "(which cannot be shown)"
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def encode_number(value: int | float) -> int | float | str:
    """A number as it stands where only numbers may stand."""
    return value if isinstance(value, int) or math.isfinite(value) else float_name(value)


def decode_number(value: Any) -> int | float | None:
    """The inverse of :func:`encode_number`; None for what is no number."""
    if isinstance(value, str):
        return _NOT_FINITE.get(value)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def time_text(seconds: float) -> str:
    """Seconds since 1970 as ``2026-11-24T08:00:00.000Z``."""
    millis = round(seconds * 1000)
    moment = datetime.datetime.fromtimestamp(millis // 1000, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{millis % 1000:03d}Z"


def time_seconds(text: object) -> float | None:
    """The inverse of :func:`time_text`, for any ISO 8601 time with an offset; None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.datetime.fromisoformat(text)
        return moment.timestamp() if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


_WRITTEN = re.compile(
    r"((?:19[789]|2[0-9]{2})[0-9]-[0-9]{2}-[0-9]{2})T(?:[01][0-9]|2[0-3])(?::[0-5][0-9]){2}\.[0-9]{3}Z"
)


def day_text(start: str) -> str:
    """The UTC day ``yymmdd`` of a start time as :func:`time_text` writes it.

    Raises:
        FormatError: If it is no such time.
    """
    written = _WRITTEN.fullmatch(start) if isinstance(start, str) else None
    if written and _is_date(written[1]):  # a join asks for each run
        return start[2:4] + start[5:7] + start[8:10]
    seconds = time_seconds(start)
    if seconds is None or not 0 <= seconds < 253402300800:
        raise FormatError(f"not a time: {start!r}")
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%y%m%d")


@functools.lru_cache(maxsize=1024)
def _is_date(text: str) -> bool:
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True
