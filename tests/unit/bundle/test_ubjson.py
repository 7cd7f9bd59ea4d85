"""Models in UBJSON that are damaged: XGBoost reads them without looking at where they end, and crashes."""

import json
import struct

import numpy as np
import pytest

from scorer.bundle.ubjson import is_ubjson, read_ubjson
from tests.unit.author.made_boosters import raw, train


def length(count: int) -> bytes:
    """A length as XGBoost writes it."""
    return b"L" + struct.pack(">q", count)


def test_what_xgboost_writes_is_read_and_nothing_less_is() -> None:
    """It is what its JSON says; wherever it is cut off, it is refused."""
    booster = train()
    model = raw(booster)
    assert is_ubjson(model)
    learner = json.loads(raw(booster, "json"))["learner"]
    for parsed in (read_ubjson(model)["learner"], read_ubjson(model + b"\n")["learner"]):
        assert parsed.keys() == learner.keys()
        assert parsed["learner_model_param"] == learner["learner_model_param"]
        trees, theirs = (made["gradient_booster"]["model"]["trees"] for made in (parsed, learner))
        for name in ("left_children", "split_indices", "split_conditions", "default_left"):
            assert all(
                np.array_equal(tree[name], np.asarray(other[name], tree[name].dtype))
                for tree, other in zip(trees, theirs, strict=True)
            )
    for end in range(1, len(model), 7):
        with pytest.raises(ValueError, match=f"it is truncated at byte {end:,}"):
            read_ubjson(model[:end])


VALUES = {
    "a length of another type": (b"Si\x01a", "unexpected length at byte"),
    "a huge count": (b"[#" + length(2**62), "unexpected type marker at byte"),
    "a huge text": (b"S" + length(2**62), "truncated"),
    "a text of length below zero": (b"S" + length(-1), "unexpected length at byte"),
    "a text that is not UTF-8": (b"S" + length(1) + b"\xe9", "the text at byte 21 is not UTF-8"),
    "an array of texts": (b"[$S#" + length(1), "unexpected array type at byte"),
    "a type without a count": (b"[$d]" + bytes(9), "unexpected array type at byte"),
    "deep": (b"[" * 100_000, "deeper than 64 levels"),
    "no such marker": (b"?", "unexpected type marker at byte"),
    "one type, more announced": (b"[$d#" + length(3) + bytes(8), "truncated"),
}


@pytest.mark.parametrize("name", VALUES)
def test_damaged_values(name: str) -> None:
    """A value in an object, with what is wrong with it."""
    value, fault = VALUES[name]
    with pytest.raises(ValueError, match=fault):
        read_ubjson(b"{" + length(1) + b"a" + value + b"}")


def test_values() -> None:
    """Each is read as what it is."""
    scalars = b"[ZTFi\x01U\x02I\x00\x03l\x00\x00\x00\x04d\x3f\x80\x00\x00S" + length(1) + b"a]"
    assert read_ubjson(b"{" + length(1) + b"a" + scalars + b"}") == {"a": [None, True, False, 1, 2, 3, 4, 1.0, "a"]}
    counted = b"[#" + length(2) + b"ZT"
    assert read_ubjson(b"{" + length(1) + b"a" + counted + b"}") == {"a": [None, True]}
    typed = b"[$I#" + length(2) + b"\xff\xff\x00\x01"
    assert read_ubjson(b"{" + length(1) + b"a" + typed + b"}")["a"].tolist() == [-1, 1]


@pytest.mark.parametrize("text", [b'{"a": 1}', b'{ "a": 1}', b"", b"binf", b"[1]"])
def test_what_is_not_ubjson(text: bytes) -> None:
    """JSON, and what is neither."""
    assert not is_ubjson(text)
