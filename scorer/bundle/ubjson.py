"""Reads a model in UBJSON: XGBoost itself reads on behind the end of a file that was cut off, and crashes.

The draft-12 UBJSON that XGBoost writes and reads: lengths are 64-bit, keys have no type, objects have no count.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_NUMBERS: Final = {
    ord(marker): np.dtype(format_)
    for marker, format_ in {
        "i": "i1",
        "U": "u1",
        "C": "u1",
        "I": ">i2",
        "l": ">i4",
        "L": ">i8",
        "d": ">f4",
        "D": ">f8",
    }.items()
}
"""By the marker of a type of numbers, how they are written."""
_CONSTANTS: Final = {ord("Z"): None, ord("T"): True, ord("F"): False}
_DEPTH_MAX: Final = 64  # XGBoost's models have eight levels or so
_JSON_GOES_ON: Final = (b'"', b" ", b"\n", b"\r", b"\t")  # after its brace, while UBJSON has a type there


def is_ubjson(model: bytes) -> bool:
    """Whether the bytes begin with an object in UBJSON, and not in JSON."""
    return model.startswith(b"{") and not model[1:].startswith(_JSON_GOES_ON)


def read_ubjson(model: bytes) -> dict[str, Any]:
    """Reads an object; an array of one type of numbers becomes a numpy array. What follows the object is ignored.

    Raises:
        ValueError: it is cut off, has more than 64 levels, a text that is not UTF-8, or is not UBJSON.
    """
    try:
        document: dict[str, Any] = _read_value(model, 0, 0)[0]
    except IndexError:
        raise _cut_off(model) from None
    return document


def _cut_off(model: bytes) -> ValueError:
    return ValueError(f"it is cut off at byte {len(model):,}")


def _read_value(model: bytes, at: int, depth: int) -> tuple[Any, int]:
    """A value and where it ends."""
    marker, inside = model[at], at + 1
    if depth > _DEPTH_MAX:
        raise ValueError(f"it has more than {_DEPTH_MAX} levels")
    if marker == ord("{"):
        return _read_object(model, inside, depth)
    if marker == ord("["):
        return _read_array(model, inside, depth)
    if marker == ord("S"):
        return _read_text(model, inside)
    if marker in _CONSTANTS:
        return _CONSTANTS[marker], inside
    if marker not in _NUMBERS:
        raise ValueError(f"unexpected type marker at byte {at:,}")
    numbers, end = _read_numbers(model, marker, 1, inside)
    return numbers[0], end


def _read_object(model: bytes, at: int, depth: int) -> tuple[dict[str, Any], int]:
    found = {}
    while model[at] != ord("}"):
        key, at = _read_text(model, at)
        found[key], at = _read_value(model, at, depth + 1)
    return found, at + 1


def _read_array(model: bytes, at: int, depth: int) -> tuple[Any, int]:
    if model[at] == ord("$"):
        marker, counted = model[at + 1], at + 2
        if marker not in _NUMBERS or model[counted] != ord("#"):
            raise ValueError(f"unexpected array type at byte {at:,}")
        count, inside = _read_length(model, counted + 1)
        return _read_numbers(model, marker, count, inside)
    found = []
    if model[at] == ord("#"):
        count, at = _read_length(model, at + 1)
        for _ in range(count):
            value, at = _read_value(model, at, depth + 1)
            found.append(value)
        return found, at
    while model[at] != ord("]"):
        value, at = _read_value(model, at, depth + 1)
        found.append(value)
    return found, at + 1


def _read_numbers(model: bytes, marker: int, count: int, at: int) -> tuple[NDArray[Any], int]:
    end = at + count * _NUMBERS[marker].itemsize
    if end > len(model):
        raise _cut_off(model)
    return np.frombuffer(model, _NUMBERS[marker], count, at), end


def _read_text(model: bytes, at: int) -> tuple[str, int]:
    length, inside = _read_length(model, at)
    end = inside + length
    if end > len(model):
        raise _cut_off(model)
    try:
        return model[inside:end].decode(), end
    except UnicodeDecodeError as error:
        raise ValueError(f"the text at byte {inside + error.start:,} is not UTF-8") from None


def _read_length(model: bytes, at: int) -> tuple[int, int]:
    if model[at] != ord("L"):
        raise ValueError(f"unexpected length at byte {at:,}")
    numbers, end = _read_numbers(model, model[at], 1, at + 1)
    if numbers[0] < 0:
        raise ValueError(f"unexpected length at byte {at:,}")
    return int(numbers[0]), end
