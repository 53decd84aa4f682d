"""Pictures as files: arrays, PIL images and figures become PNG; what is a file already stays as it is.

numpy, PIL and matplotlib are never imported here: what is given says itself what it is.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from typing import Any

from gitlumo import values
from gitlumo.errors import InvalidValue

KINDS = {
    ".png": b"\x89PNG\r\n\x1a\n",
    ".jpg": b"\xff\xd8\xff",
    ".gif": b"GIF8",
    ".webp": b"RIFF",
}
MAX_SIDE = 16384  # pixels
_LEVEL = 6
_BEYOND = 0.01  # how far floats may lie outside of 0 to 1, as an interpolation leaves them
_AS_THEY_ARE = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")  # PIL's modes that PNG has
_INTO = {"La": "LA", "PA": "RGBA", "RGBa": "RGBA", "RGBX": "RGB"}  # others, and what loses nothing of them; else RGB
_DEEP = ("I", "I;16B", "I;16L", "I;16N")  # grey, more than 8 bits


def is_figure(value: object) -> bool:
    """Whether a value can draw itself, as matplotlib's figures can, and whatever has one (axes, seaborn's grids)."""
    return callable(getattr(_figure_of(value), "savefig", None))


def _figure_of(value: Any) -> Any:
    if callable(getattr(value, "savefig", None)):
        return value
    return getattr(value, "figure", None)


def is_of_figures(value: Any) -> bool:
    """Whether a value holds what can draw itself: an array or a list of axes, as ``plt.subplots(2, 2)`` returns."""
    flat = getattr(value, "flat", value)
    try:
        return is_figure(next(iter(flat)))
    except Exception:  # empty, or nothing of the kind
        return False


def draw(figure: Any) -> tuple[bytes, str]:
    """A figure as a PNG file.

    Args:
        figure: One of matplotlib's, or what has one: axes, a grid of seaborn's.

    Returns:
        The file's bytes, and its ending.

    Raises:
        InvalidValue: If nothing was drawn.
        Exception: Whatever the figure raises when it is drawn.
    """
    out = io.BytesIO()
    _figure_of(figure).savefig(out, format="png", bbox_inches="tight", metadata={"Software": None})
    return out.getvalue(), _kind(out.getvalue(), "what the figure has drawn")


def encode(image: Any, key: str) -> tuple[bytes, str]:
    """An image as a file.

    Args:
        image: An image of PIL's; an array of numpy's, torch's, jax's (height x width, x 1, 3 or 4 channels, which may
            also come first; integers from 0 to 255, or floats from 0 to 1, or bool); nested lists of the same; the path
            of a PNG, JPEG, GIF or WebP file, or its bytes.
        key: What to call it in errors.

    Returns:
        The file's bytes, and its ending.

    Raises:
        InvalidValue: If it is no image, a broken one, or a file that cannot be read.
    """
    try:
        return _encode(image, key)
    except InvalidValue:
        raise
    except Exception as error:  # of PIL, of numpy, of whatever the image is of: a broken one does not stop a training
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        what = repr(os.fspath(image)) if isinstance(image, (str, os.PathLike)) else f"this {type(image).__name__}"
        raise InvalidValue(f"{key}: {what} cannot be read: {why}") from error


def _encode(image: Any, key: str) -> tuple[bytes, str]:
    if isinstance(image, (str, os.PathLike)):
        with open(image, "rb") as source:
            data = source.read()
        return data, _kind(data, f"{key}: {os.fspath(image)!r}")
    if isinstance(image, (bytes, bytearray, memoryview)):
        return bytes(image), _kind(bytes(image), key)
    if hasattr(image, "mode") and callable(getattr(image, "save", None)):  # PIL's
        return _png(_as_numpy(image, key), key) if image.mode == "F" else _saved(image, key), ".png"
    return _png(image, key), ".png"


def _saved(image: Any, key: str) -> bytes:
    """An image of PIL's as a PNG file."""
    if image.mode in _DEEP:
        image = _grey(image.convert("I"), image.mode, key)
    elif image.mode not in _AS_THEY_ARE:
        image = image.convert(_INTO.get(image.mode, "RGB"))
    out = io.BytesIO()
    image.save(out, format="PNG")
    return out.getvalue()


def _grey(image: Any, mode: str, key: str) -> Any:
    """An image of 32 bits with 16, or with 8 if it was made of integers that these can hold, as an array is."""
    low, high = image.getextrema()
    if low < 0 or high > 65535:
        raise InvalidValue(f"{key}: its values go from {low} to {high}; an image of PIL's mode I has 0 to 65535")
    return image.convert("L" if mode == "I" and high <= 255 else "I;16")


def _kind(data: bytes, what: str) -> str:
    for ending, start in KINDS.items():
        if data.startswith(start) and _has_picture(data, ending):
            return ending
    raise InvalidValue(f"{what} is no PNG, JPEG, GIF or WebP file, or only a part of one")


def _has_picture(data: bytes, ending: str) -> bool:
    """Whether what must stand in such a file is there: of most its end, of a GIF a picture."""
    if ending == ".png":
        return data[12:16] == b"IHDR" and b"IDAT" in data and b"IEND" in data
    if ending == ".jpg":
        return b"\xff\xd9" in data
    if ending == ".gif":
        return data[4:6] in (b"7a", b"9a") and b"," in data[13:]
    return data[8:12] == b"WEBP" and len(data) >= 8 + int.from_bytes(data[4:8], "little") > 20


def _as_numpy(image: Any, key: str) -> Any:
    try:
        import numpy
    except ImportError:
        raise InvalidValue(f"{key}: this needs numpy; give the bytes of a PNG file, or its path") from None
    try:
        return numpy.asarray(image)
    except ValueError:
        raise InvalidValue(f"{key}: rows of different lengths are no image") from None


def _png(image: Any, key: str) -> bytes:
    """An array as a PNG file (https://www.w3.org/TR/png-3/)."""
    pixels, shape = _pixels(image, key)
    height, width, channels = shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    stride = width * channels
    rows = b"".join(b"\0" + pixels[at : at + stride] for at in range(0, height * stride, stride))
    head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, _LEVEL)), (b"IEND", b""))
    chunks = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts)
    return KINDS[".png"] + b"".join(chunks)


def _pixels(image: Any, key: str) -> tuple[bytes, tuple[int, int, int]]:
    """An array's bytes, row by row, and its height, width and channels."""
    array = image
    for step in ("detach", "cpu", "numpy"):  # torch's, wherever it is; others lack these, and streams have one
        if hasattr(array, "shape") and hasattr(array, step) and not hasattr(array, "__array_interface__"):
            array = getattr(array, step)()
    if isinstance(array, (list, tuple)) or (hasattr(array, "__array__") and not hasattr(array, "__array_interface__")):
        array = _as_numpy(array, key)
    if not hasattr(array, "__array_interface__"):
        raise InvalidValue(
            f"{key} must be an image: an array, an image of PIL's, a figure, a file's path or bytes;"
            f" not {values.shown(image)}"
        )
    if array.dtype.kind == "O" and is_of_figures(array):
        raise InvalidValue(f"{key}: an array of axes is no image; pass the figure")
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 2, 3, 4):
        array = array.transpose(1, 2, 0)  # as torch has them
    shape = (*array.shape, 1) if array.ndim == 2 else tuple(array.shape)
    if len(shape) != 3 or shape[2] not in (1, 2, 3, 4) or not all(0 < side <= MAX_SIDE for side in shape[:2]):
        raise InvalidValue(
            f"{key}: an array of shape {array.shape} is no image; it can be (height, width), or with 1 to 4 channels,"
            f" at most {MAX_SIDE} pixels a side"
        )
    kind = array.dtype.kind
    if kind == "f":
        array = array.astype("float64")
        array[array != array] = 0.0  # NaN is black
        _check_range(array, key, -_BEYOND, 1 + _BEYOND)
        array = array.clip(0, 1) * 255 + 0.5
    elif kind == "b":
        array = array * 255
    elif kind not in "iu":
        raise InvalidValue(f"{key}: an array of {array.dtype} is no image; it can be uint8, or floats from 0 to 1")
    else:
        _check_range(array, key, 0, 255)
    return array.astype("uint8").tobytes(), shape


def _check_range(array: Any, key: str, least: float, greatest: float) -> None:
    low, high = array.min(), array.max()
    if low < least or high > greatest:
        raise InvalidValue(
            f"{key}: its values go from {low} to {high}; an image has integers from 0 to 255, or floats from 0 to 1"
        )
