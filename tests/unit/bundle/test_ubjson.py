"""Models in UBJSON that are damaged: XGBoost reads them without looking at where they end, and crashes."""

import struct

import pytest

from scorer.bundle.ubjson import find_fault, is_ubjson
from tests.unit.bundle.test_boosters import raw, train


def length(count: int) -> bytes:
    """A length as XGBoost writes it."""
    return b"L" + struct.pack(">q", count)


def test_what_xgboost_writes_is_complete_and_nothing_less_is() -> None:
    """Wherever it is cut off, it is not taken for complete."""
    model = raw(train())
    assert is_ubjson(model)
    assert find_fault(model) == ""
    assert find_fault(model + b"\n") == ""
    cut = [find_fault(model[:end]) for end in range(1, len(model), 7)]
    assert set(cut) == {f"it is cut off at byte {end:,}" for end in range(1, len(model), 7)}


VALUES = {
    "scalars": (b"[ZTFi\x01U\x01I\x00\x01l\x00\x00\x00\x01d\x00\x00\x00\x00]", ""),
    "counted": (b"[#" + length(2) + b"ZT", ""),
    "one type": (b"[$d#" + length(2) + bytes(8), ""),
    "one type, more announced": (b"[$d#" + length(3) + bytes(8), "cut off"),
    "a huge count": (b"[#" + length(2**62), "unexpected type marker at byte"),
    "a huge text": (b"S" + length(2**62), "cut off"),
    "a text of length below zero": (b"S" + length(-1), "unexpected length at byte"),
    "a length of another type": (b"Si\x01a", "unexpected length at byte"),
    "no such marker": (b"?", "unexpected type marker at byte"),
    "an array of texts": (b"[$S#" + length(1), "unexpected array type at byte"),
    "a type without a count": (b"[$d]" + bytes(9), "unexpected array type at byte"),
    "deep": (b"[" * 100_000, "more than 64 levels"),
}


@pytest.mark.parametrize("name", VALUES)
def test_values(name: str) -> None:
    """A value in an object, with what is wrong with it."""
    value, fault = VALUES[name]
    found = find_fault(b"{" + length(1) + b"a" + value + b"}")
    assert fault in found
    assert bool(found) == bool(fault)


@pytest.mark.parametrize("text", [b'{"a": 1}', b'{ "a": 1}', b"", b"binf", b"[1]"])
def test_what_is_not_ubjson(text: bytes) -> None:
    """JSON, and what is neither."""
    assert not is_ubjson(text)
