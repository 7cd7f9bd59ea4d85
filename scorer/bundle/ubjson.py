"""Whether a model in UBJSON is complete: XGBoost reads on behind the end of a file that was cut off, and crashes.

The draft-12 UBJSON that XGBoost writes and reads: lengths are 64-bit, keys have no type, objects have no count.
"""

import struct
from typing import Final

_INT64: Final = struct.Struct(">q").unpack_from
_SIZES: Final = {
    **dict.fromkeys(b"ZTFN", 0),
    **dict.fromkeys(b"iUC", 1),
    **dict.fromkeys(b"I", 2),
    **dict.fromkeys(b"ld", 4),
    **dict.fromkeys(b"LD", 8),
}
"""By the marker of a type of fixed size, how many bytes a value has behind it."""
_LENGTH_BYTES: Final = 9  # the marker of a 64-bit integer, and the integer
_DEPTH_MAX: Final = 64  # XGBoost's models have eight levels or so
_JSON_GOES_ON: Final = (b'"', b" ", b"\n", b"\r", b"\t")  # after its brace, while UBJSON has a type there


def is_ubjson(model: bytes) -> bool:
    """Whether the bytes begin with an object in UBJSON, and not in JSON."""
    return model.startswith(b"{") and not model[1:].startswith(_JSON_GOES_ON)


def find_fault(model: bytes) -> str:
    """What is wrong with an object in UBJSON; empty if it is complete."""
    try:
        is_complete = _behind_value(model, 0, 0) <= len(model)
    except ValueError as fault:
        return str(fault)
    except (IndexError, struct.error):
        is_complete = False
    return "" if is_complete else f"it is cut off at byte {len(model):,}"


def _behind_value(model: bytes, at: int, depth: int) -> int:
    marker, inside = model[at], at + 1
    if depth > _DEPTH_MAX:
        raise ValueError(f"it has more than {_DEPTH_MAX} levels")
    if marker == ord("{"):
        while model[inside] != ord("}"):
            inside = _behind_value(model, _behind_text(model, inside), depth + 1)
        return inside + 1
    if marker == ord("["):
        return _behind_array(model, inside, depth)
    if marker == ord("S"):
        return _behind_text(model, inside)
    if marker not in _SIZES:
        raise ValueError(f"unexpected type marker at byte {at:,}")
    return inside + _SIZES[marker]


def _behind_array(model: bytes, at: int, depth: int) -> int:
    if model[at] == ord("$"):
        size, counted = _SIZES.get(model[at + 1], 0), at + 2
        if not size or model[counted] != ord("#"):
            raise ValueError(f"unexpected array type at byte {at:,}")
        return counted + 1 + _LENGTH_BYTES + size * _length(model, counted + 1)
    if model[at] == ord("#"):
        count, at = _length(model, at + 1), at + 1 + _LENGTH_BYTES
        for _ in range(count):
            at = _behind_value(model, at, depth + 1)
        return at
    while model[at] != ord("]"):
        at = _behind_value(model, at, depth + 1)
    return at + 1


def _behind_text(model: bytes, at: int) -> int:
    return at + _LENGTH_BYTES + _length(model, at)


def _length(model: bytes, at: int) -> int:
    length = int(_INT64(model, at + 1)[0]) if model[at] == ord("L") else -1
    if length < 0:
        raise ValueError(f"unexpected length at byte {at:,}")
    return length
