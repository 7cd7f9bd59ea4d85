"""Reads a model in UBJSON, because XGBoost reads beyond the end of a truncated file and crashes.

The format is the draft-12 UBJSON that XGBoost writes and reads: lengths are 64-bit, keys have no type, objects have no
count.
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
"""Data type by type marker."""
_CONSTANTS: Final = {ord("Z"): None, ord("T"): True, ord("F"): False}
DEPTH_MAX: Final = 64  # XGBoost's models have about eight levels
_JSON_AFTER_BRACE: Final = (b'"', b" ", b"\n", b"\r", b"\t")  # in UBJSON, a type marker follows the brace


def is_ubjson(model: bytes) -> bool:
    """Returns whether the bytes begin with an object in UBJSON, not in JSON."""
    return model.startswith(b"{") and not model[1:].startswith(_JSON_AFTER_BRACE)


def read_ubjson(model: bytes) -> dict[str, Any]:
    """Reads an object; a typed array of numbers becomes a numpy array. Trailing data is ignored.

    Raises:
        ValueError: it is truncated, has more than 64 levels, a string that is not UTF-8, or is not UBJSON.
    """
    try:
        document: dict[str, Any] = _read_value(model, 0, 0)[0]
    except IndexError:
        raise _truncated(model) from None
    return document


def _truncated(model: bytes) -> ValueError:
    return ValueError(f"it is truncated at byte {len(model):,}")


def _read_value(model: bytes, at: int, depth: int) -> tuple[Any, int]:
    """Returns a value and the offset of its end."""
    marker, start = model[at], at + 1
    if depth > DEPTH_MAX:
        raise ValueError(f"it is nested deeper than {DEPTH_MAX} levels")
    if marker == ord("{"):
        return _read_object(model, start, depth)
    if marker == ord("["):
        return _read_array(model, start, depth)
    if marker == ord("S"):
        return _read_text(model, start)
    if marker in _CONSTANTS:
        return _CONSTANTS[marker], start
    if marker not in _NUMBERS:
        raise ValueError(f"unexpected type marker at byte {at:,}")
    numbers, end = _read_numbers(model, marker, 1, start)
    return numbers[0], end


def _read_object(model: bytes, at: int, depth: int) -> tuple[dict[str, Any], int]:
    object_ = {}
    while model[at] != ord("}"):
        key, at = _read_text(model, at)
        object_[key], at = _read_value(model, at, depth + 1)
    return object_, at + 1


def _read_array(model: bytes, at: int, depth: int) -> tuple[Any, int]:
    if model[at] == ord("$"):
        marker, count_marker = model[at + 1], at + 2
        if marker not in _NUMBERS or model[count_marker] != ord("#"):
            raise ValueError(f"unexpected array type at byte {at:,}")
        count, start = _read_length(model, count_marker + 1)
        return _read_numbers(model, marker, count, start)
    values = []
    if model[at] == ord("#"):
        count, at = _read_length(model, at + 1)
        for _ in range(count):
            value, at = _read_value(model, at, depth + 1)
            values.append(value)
        return values, at
    while model[at] != ord("]"):
        value, at = _read_value(model, at, depth + 1)
        values.append(value)
    return values, at + 1


def _read_numbers(model: bytes, marker: int, count: int, at: int) -> tuple[NDArray[Any], int]:
    end = at + count * _NUMBERS[marker].itemsize
    if end > len(model):
        raise _truncated(model)
    return np.frombuffer(model, _NUMBERS[marker], count, at), end


def _read_text(model: bytes, at: int) -> tuple[str, int]:
    length, start = _read_length(model, at)
    end = start + length
    if end > len(model):
        raise _truncated(model)
    try:
        return model[start:end].decode(), end
    except UnicodeDecodeError as error:
        raise ValueError(f"the text at byte {start + error.start:,} is not UTF-8") from None


def _read_length(model: bytes, at: int) -> tuple[int, int]:
    if model[at] != ord("L"):
        raise ValueError(f"unexpected length at byte {at:,}")
    numbers, end = _read_numbers(model, model[at], 1, at + 1)
    if numbers[0] < 0:
        raise ValueError(f"unexpected length at byte {at:,}")
    return int(numbers[0]), end
