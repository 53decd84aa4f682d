"""What an object of another library is in plain Python: known by its shape, so that no library is imported.

Shapes are looked for on the class: an instance with a ``__getattr__`` may answer to any name.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from gitlumo import privacy

MAX_ARRAY = 1000


class NotStorable(Exception):
    """Why an object cannot be stored; where it stands, the caller knows."""


class Pairs:
    """Keys and values of what is a mapping in spirit, in which a key may stand twice."""

    def __init__(self, items: Iterable[tuple[Any, Any]]):
        self.items = items


class Items:
    """What is a list in spirit; it may have no end."""

    def __init__(self, items: Iterable[Any]):
        self.items = items


# Classes by their library and name; those that inherit from them are known, too.
_BY_NAME: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("argparse", "Namespace"): vars,
    ("types", "SimpleNamespace"): vars,
    ("click", "Context"): lambda context: context.params,
    ("absl", "FlagValues"): lambda flags: flags.flag_values_dict(),
    ("ml_collections", "ConfigDict"): lambda config: config.to_dict(),
    ("omegaconf", "Container"): lambda config: _omegaconf(config),
    ("uuid", "UUID"): str,
    ("numpy", "dtype"): str,
    ("torch", "dtype"): str,
    ("torch", "device"): str,
    ("pandas", "NAType"): lambda _: None,
    ("pandas", "DataFrame"): lambda frame: Pairs(_small(frame).items()),
    ("pandas", "Series"): lambda series: _series(_small(series)),
}


def plain(value: Any) -> Any:
    """The same in plain Python, or one step closer to it.

    Raises:
        NotStorable: If it is nothing that can be stored.
        Exception: Whatever the object's own code raises.
    """
    kind = type(value)
    if isinstance(value, type):
        raise NotStorable(f"the class {value.__qualname__} cannot be stored; pass its name")
    for base in kind.__mro__:
        known = _BY_NAME.get((base.__module__.partition(".")[0], base.__name__))
        if known:
            return known(value)
    if hasattr(kind, "__dataclass_fields__"):
        import dataclasses  # late: it takes milliseconds

        return Pairs(_attributes(value, (field.name for field in dataclasses.fields(value))))
    if hasattr(kind, "__attrs_attrs__"):
        return Pairs(_attributes(value, (field.name for field in kind.__attrs_attrs__)))
    if callable(getattr(kind, "model_dump", None)):  # pydantic 2
        return value.model_dump()
    if hasattr(kind, "__fields__") and callable(getattr(kind, "dict", None)):  # pydantic 1
        return value.dict()
    if hasattr(kind, "get_secret_value"):  # pydantic's SecretStr
        return privacy.MASK
    if hasattr(kind, "tolist"):
        return _array(value)
    if hasattr(kind, "as_integer_ratio"):
        return real(value)
    if isinstance(value, Mapping):
        return Pairs(value.items())
    if isinstance(value, Sequence):
        return Items(value)
    if callable(getattr(kind, "numpy", None)):  # tensorflow
        return value.numpy()
    raise NotStorable(
        f"a {kind.__module__}.{kind.__qualname__} cannot be stored; "
        "pass numbers, strings, lists or dicts, or str(value)"
    )


def _attributes(value: Any, names: Iterable[str]) -> list[tuple[str, Any]]:
    return [(name, getattr(value, name)) for name in names if hasattr(value, name)]


def real(value: Any) -> float:
    """A Decimal, a Fraction, numpy's longdouble as the nearest float.

    Raises:
        NotStorable: If it is finite and greater than any float.
    """
    try:
        number = float(value)
        if math.isfinite(number) or value != value or value == number:
            return number
    except OverflowError:
        pass
    raise NotStorable(f"a {type(value).__name__} greater than any float cannot be stored; pass a string")


def scalar(value: Any) -> Any:
    """The Python number of a numpy or torch scalar, or of an array of one element; None if it is none."""
    kind = type(value)
    if hasattr(kind, "as_integer_ratio") and not hasattr(kind, "item"):
        return real(value)
    if not hasattr(kind, "item"):
        return value.numpy().item() if callable(getattr(kind, "numpy", None)) else None
    if _dtype_kind(value) in ("m", "M") or _is_masked(value):
        return None  # numpy would give their ticks, and what lies under the mask
    item = value.item()
    return real(item) if type(item) is kind and hasattr(kind, "as_integer_ratio") else item


def _dtype_kind(value: Any) -> Any:
    """numpy's letter for what an array's elements are: ``m`` durations, ``M`` times; None where there is none."""
    return getattr(getattr(value, "dtype", None), "kind", None)


def _is_masked(value: Any) -> bool:
    return type(value).__module__.startswith("numpy.ma") and bool(value.mask.any())


def _small(value: Any) -> Any:
    """An array that is small enough.

    Raises:
        NotStorable: If it has too many elements.
    """
    kind = type(value)
    size = value.numel() if callable(getattr(kind, "numel", None)) else getattr(value, "size", None)
    if not isinstance(size, int):
        size = len(value) if hasattr(kind, "__len__") else 1
    if size > MAX_ARRAY:
        raise NotStorable(
            f"an array of {size} elements is too large (at most {MAX_ARRAY}); save it below exp.mk_bpath()"
        )
    return value


def _array(value: Any) -> Any:
    """numpy and torch scalars and small arrays: what has ``tolist``."""
    _small(value)
    letter = _dtype_kind(value) if type(value).__module__.startswith("numpy") else None
    if letter == "V" and value.dtype.names:
        return {name: value[name] for name in value.dtype.names}
    if letter == "M":  # numpy's times have no zone, and more digits than Python's
        return _without_nat(value.astype(str).tolist())
    listed = (value.astype("timedelta64[us]") if letter == "m" else value).tolist()
    if type(listed) is type(value):
        return real(listed) if hasattr(type(value), "as_integer_ratio") else _refuse(value)
    return listed


def _refuse(value: Any) -> None:
    raise NotStorable(f"a {type(value).__qualname__} cannot be stored")


def _without_nat(texts: Any) -> Any:
    if isinstance(texts, list):
        return [_without_nat(text) for text in texts]
    return None if texts == "NaT" else texts


def _series(series: Any) -> Any:
    """A pandas Series: its values, by their labels where these do more than count from 0."""
    values, labels = series.tolist(), series.index.tolist()
    counted = all(type(label) is int and label == i for i, label in enumerate(labels))
    return values if counted else Pairs(zip(labels, values, strict=True))


def _omegaconf(config: Any) -> Any:
    """A DictConfig or ListConfig with its interpolations resolved; what is missing or leads nowhere is as it stands."""
    raw = sys.modules["omegaconf"].OmegaConf.to_container(config, resolve=False)
    if isinstance(raw, dict):
        return {key: _resolved(config, key, value) for key, value in raw.items()}
    return [_resolved(config, i, value) for i, value in enumerate(raw)] if isinstance(raw, list) else raw


def _resolved(config: Any, key: Any, raw: Any) -> Any:
    if raw == "???" or (isinstance(raw, str) and privacy.names_secret_variable(raw)):
        return raw
    try:
        return config[key]
    except Exception:  # omegaconf's own, or a resolver's
        return raw
