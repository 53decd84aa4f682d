"""Python values to JSON and back (docs/format.md, section 2). Libraries are known by their shape, never imported."""

from __future__ import annotations

import base64
import datetime
import enum
import json
import math
import os
from collections.abc import Mapping
from typing import Any

from gitlumo.errors import FormatError, InvalidValue

MAX_ARRAY = 1000
MAX_DEPTH = 100
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
    try:
        value: Json = json.loads(data.decode("utf-8"), parse_constant=_not_json)
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # no lone surrogates
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not JSON: {error}") from None
    return value


def _not_json(name: str) -> None:
    raise ValueError(f"a bare {name}")


def float_name(value: float) -> str:
    """``NaN``, ``Infinity`` or ``-Infinity`` for a float that JSON cannot hold."""
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def encode(value: object, path: str = "value") -> Json:
    """What JSON stores for a Python value.

    Takes None, bool, int, float, str, bytes, mappings, lists, tuples, sets, paths, enums, dates, dataclass
    instances, ``argparse.Namespace``, pydantic models, OmegaConf containers, numpy and torch scalars, and arrays
    of at most 1,000 elements.

    Args:
        value: The value.
        path: How to call it in an error, such as ``params.optim``.

    Raises:
        InvalidValue: For what cannot be stored; the message names the path within the value.
    """
    return _encode(value, path, 0)


def _encode(value: Any, path: str, depth: int) -> Json:
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
    if isinstance(value, enum.Enum):
        return _string(value.name or str(value), path)  # a Flag of no members has no name
    if isinstance(value, str):
        return _string(str.__str__(value), path)
    if isinstance(value, int):
        return _integer(int(value), path)
    if isinstance(value, float):
        return _encode(float(value), path, depth + 1)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"$bytes": base64.b64encode(bytes(value)).decode("ascii")}
    if isinstance(value, os.PathLike):
        return _string(os.fsdecode(value), path)
    if isinstance(value, datetime.datetime):
        try:
            return (value if value.tzinfo else value.astimezone()).isoformat()  # a naive one is local time
        except (ValueError, OverflowError) as error:
            raise InvalidValue(f"{path}: {value} has no local time: {error}") from None
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return [_encode(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value)]
    if isinstance(value, (set, frozenset)):
        items = [_encode(item, f"{path}{{...}}", depth + 1) for item in value]
        return sorted(items, key=lambda item: json.dumps(item, sort_keys=True, ensure_ascii=False))
    fields = _fields(value)
    if fields is not None:
        return _mapping(fields, path, depth)
    return _array(value, path, depth)


def _string(value: str, path: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidValue(f"{path}: {ascii(value)[:80]} is not valid Unicode; pass bytes instead") from None
    return value


def _integer(value: int, path: str) -> int:
    try:
        str(value)
    except ValueError:
        raise InvalidValue(f"{path}: an integer of {value.bit_length()} bits is too large; pass a string") from None
    return value


def _fields(value: Any) -> Mapping[Any, Any] | None:
    """The value as a mapping, where it is one in spirit."""
    if isinstance(value, Mapping):
        return value
    kind = type(value)
    if isinstance(value, type):
        return None
    if hasattr(kind, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in kind.__dataclass_fields__ if hasattr(value, name)}
    if callable(getattr(kind, "model_dump", None)):  # pydantic
        dumped: Mapping[Any, Any] = value.model_dump()
        return dumped
    if kind.__module__.partition(".")[0] == "omegaconf":
        return dict(value.items()) if hasattr(kind, "items") else None
    if kind.__module__ == "argparse" or kind.__name__ in ("Namespace", "SimpleNamespace"):
        return dict(vars(value))
    return None


def _mapping(value: Mapping[Any, Any], path: str, depth: int) -> dict[str, Json]:
    result: dict[str, Json] = {}
    for key, item in value.items():
        name = _key(key, path)
        if name in result:
            raise InvalidValue(f"{path}: two keys become {name!r}; rename one of them")
        result[name] = _encode(item, f"{path}.{name}", depth + 1)
    return result


def _key(key: object, path: str) -> str:
    if isinstance(key, enum.Enum):
        text = key.name or str(key)
    elif key is None or isinstance(key, bool):
        text = {None: "null", True: "true", False: "false"}[key]
    else:
        text = str(key)
    _string(text, f"{path}.{ascii(text)[:40]}")
    return "$" + text if text.startswith("$") else text


def _array(value: Any, path: str, depth: int) -> Json:
    """numpy and torch scalars and small arrays, OmegaConf lists, pandas series: what has ``tolist``."""
    if type(value).__module__.partition(".")[0] == "omegaconf":
        return [_encode(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value)]
    tolist = getattr(value, "tolist", None)
    if not callable(tolist) or isinstance(value, type):
        raise InvalidValue(
            f"{path}: a {type(value).__module__}.{type(value).__qualname__} cannot be stored; "
            "pass numbers, strings, lists or dicts, or str(value)"
        )
    size = value.numel() if callable(getattr(value, "numel", None)) else getattr(value, "size", 1)
    if isinstance(size, int) and size > MAX_ARRAY:
        raise InvalidValue(
            f"{path}: an array of {size} elements is too large (at most {MAX_ARRAY}); save it below exp.mk_bpath()"
        )
    listed = tolist()
    if type(listed) is type(value):
        raise InvalidValue(f"{path}: a {type(value).__qualname__} cannot be stored")
    return _encode(listed, path, depth + 1)


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
    if isinstance(value, int):
        return _integer(int(value), f"metric {path!r}")
    if isinstance(value, float):
        return float(value)
    item = getattr(value, "item", None)
    if callable(item) and not isinstance(value, type):
        try:
            got = item()
        except (ValueError, RuntimeError, TypeError):
            got = None
        if isinstance(got, (bool, int)):
            return int(got)
        if isinstance(got, float):
            return float(got)
    raise InvalidValue(f"metric {path!r}: {_shown(value)} is not a number")


def _shown(value: object) -> str:
    text = repr(value)
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


def day_text(start: str) -> str:
    """The UTC day ``yymmdd`` of a start time as :func:`time_text` writes it.

    Raises:
        FormatError: If it is no such time.
    """
    seconds = time_seconds(start)
    if seconds is None or not 0 <= seconds < 253402300800:
        raise FormatError(f"not a time: {start!r}")
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%y%m%d")
