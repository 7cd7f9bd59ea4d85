"""Both engines read unusual spellings alike: numbers, escapes, dates, repeated names, and what is nested very deep."""

import threading
from dataclasses import replace
from random import Random
from typing import Final
from zlib import crc32

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.contract_parser import parse_contract
from schemas.decision import BundleReference
from scorer.bundle.engine import compile_engine
from scorer.core.decide import Decider
from scorer.core.decode import Decoder
from scorer.core.encode import DecisionEncoder
from scorer.core.engine import IS_INSTALLED
from scorer.core.features import FeatureEncoding
from scorer.core.policy import Policy
from scorer.core.score import Bundle, Result, score_batch
from tests.equality.bundles import draw_bundle
from tests.equality.compare import DrawnRecord
from tests.equality.models import ModelKind

pytestmark = pytest.mark.skipif(not IS_INSTALLED, reason="the compiled engine is not installed: make setup needs cargo")

BYTES_MAX: Final = 1 << 25
DEEP: Final = 100_000
STACK_BYTES: Final = 256 * 1024
CONTRACT: Final = parse_contract(
    """{"type": "object", "required": ["id"], "properties": {
        "id": {"type": "string", "x-id": true},
        "number": {"type": "number"},
        "rate": {"type": "number", "exclusiveMinimum": 0, "x-unknown": [-9, 0.1]},
        "integer": {"type": "integer", "x-unknown": [0.5]},
        "home": {"type": ["string", "null"], "enum": ["rent", "é", null]},
        "date": {"type": "string", "format": "date"},
        "at": {"type": "string", "format": "date-time"},
        "job": {"type": "object", "required": ["ok"], "properties": {"ok": {"type": "boolean"}}}}}"""
)

VALID: Final = {
    "number": (
        "-0", "-0.0", "0e5", "-0e-5", "1E5", "1e+5", "1e-05", "1e0005", "0.1", "0.30000000000000004", "1e22", "1e23",
        "9007199254740993", "9007199254740993.0", "12345678901234567", "123456789012345678", "12345678901234567890",
        "0.123456789012345678901234567890", "8.988465674311579e30", "1e-400", "5e-324", "2.2250738585072011e-308",
        "4.9406564584124654e-324", "2.4703282292062327e-324", "1e-45", "7e-46", "1.17549435e-38", "16777217",
        "3.4028234663852886e38", f"0.{'0' * 500}1", f"{'1' * 30}e-30", f"1{'0' * 38}",
        f"{'0.' + '9' * 700}", "0.50000000000000011102230246251565404236316680908203125",
    ),
    "rate": ("0.1", "1e-1", "0.10", "0.1000000000000000055", "-9", "-9.0", "-0.9e1", "5e-324", "0.10000000000000002"),
    "integer": ("5.0", "5e0", "50e-1", "0.5", "5e-1", "-0", "-0.0", "1e15", "123456789012345678", "9007199254740993"),
    "home": ("null", '"rent"', '"\\u0072ent"', '"\\u00e9"', '"\\u00E9"', '"é"'),
    "date": ('"0001-01-01"', '"9999-12-31"', '"2000-02-29"', '"2024-02-29"', '"2024-02\\u002d29"'),
    "at": (
        '"2024-02-29T10:00:00Z"', '"2024-02-29t10:00:00z"', '"2024-02-29T10:00:00.123456789+02:00"',
        '"0001-01-01T00:00:00Z"',
        '"0001-01-01T00:00:00+23:59"', '"9999-12-31T23:59:59.999999-23:59"', '"2024-02-29T10:00:00-00:00"',
        '"1969-12-31T23:59:59.9999999Z"', '"2024-02-29T10:00:00.1Z"', '"2024-02-29T10:00:00\\u005a"',
    ),
    "id": (
        '"\\u0000"', '"a\\u0000b"', '"\\ud83d\\ude00"', '"\\/"', '"/"', '"\x7f"', '"\u2028"', '"\ufeff"', '"\uffff"',
        '"e\u0301"', '"\u00e9"', '"\\""', '"\\\\"', '"<&>"',
    ),
    "other": (
        "-0", "1e99", "1e308", f"{'9' * 4_300}", "0.1e-400", '"\\ud83d\\ude00"', '{"a":1,"a":2,"a":{}}',
        '"\\u0000"', "[[],[{}]]",
        '{"id":"b","number":1}', '"\\b\\f\\/"',
    ),
}  # fmt: skip
"""Spellings of valid values, by the name of the property."""

INVALID: Final = {
    "number": (
        "01", "-01", "00", "1.", ".5", "+1", "1e", "1e+", "--1", "- 1", "0x1", "1_0", "NaN", "Infinity", "-Infinity",
        "1e400", "-1e400", "1e39", "3.402823466385289e38", "9" * 400, "9" * 5_000, '"1"', "true", "null", "١",
        "1e5.0", "1 0",
    ),
    "rate": ("0", "-0", "-0.0", "1e-400", "-5e-324"),
    "integer": ("5.5", "0.4", "1e-1", "1.0000000000000002", "1e39"),
    "home": ('"RENT"', '"rent "', '"e\u0301"', '"\\ud800"', '"\\udc00\\ud800"', "nul", "1", '"rent\0"', '"\\x72ent"'),
    "date": (
        '"0000-01-01"', '"2023-02-29"', '"1900-02-29"', '"2024-00-10"', '"2024-13-10"', '"2024-04-31"',
        '"24-04-01"', '"2024-4-1"',
        '"20240401"', '"2024-04-01 "', '"٢٠٢٤-٠٤-٠١"', '"-001-01-01"', '"2024-04-01T00:00:00Z"',
    ),
    "at": (
        '"2016-12-31T23:59:60Z"', '"2024-02-29T24:00:00Z"', '"2024-02-29T10:00:00"', '"2024-02-29 10:00:00Z"',
        '"2024-02-29T10:00Z"', '"2024-02-29T10:00:00+24:00"', '"2024-02-29T10:00:00+0200"',
        '"2024-02-29T10:00:00.Z"', '"2024-02-29T10:00:00,5Z"', '"2024-02-30T10:00:00Z"',
        '"0000-01-01T00:00:00Z"', '"2024-02-29"',
    ),
    "id": ('""', '"\\ud800"', '"\\udc00"', '"\\ud800\\u0041"', '"\0"', '"\x1f"', '"\\u12"', '"\\q"', "1", "null", '"a'),
    "other": ("01", "nul", "NaN", '"\\ud800"', '"\\uDC00"', "[1,]", "{,}", '{"a"}', "[" * 99, "'a'", '"\t"', "1."),
    "job": ("null", "{}", "[]", '{"ok":1}', '{"ok":true,"ok":true}', '{"ok":true,"\\u006fk":true}'),
}  # fmt: skip
"""Spellings of what is not valid."""


class BitsModel:
    """A probability that depends on each bit of a row."""

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns hashes of the rows, from 0 to 1."""
        return np.array([crc32(row.tobytes()) / 2**32 for row in matrix], dtype=np.float32)


def _bundle() -> Bundle:
    reference = BundleReference(name="bits", version="1.0.0", digest="0" * 64)
    columns = ("number", "rate", "integer", "home=rent", "home=é", "date", "at", "job.ok")
    encoding = FeatureEncoding(CONTRACT, columns, np.nan)
    rows = np.zeros((1, len(columns)), dtype=np.float32)
    encoder = DecisionEncoder(reference)
    return Bundle(
        reference,
        Decoder(CONTRACT),
        encoding,
        BitsModel(),
        Decider(Policy(), CONTRACT),
        encoder,
        rows,
        BitsModel().predict(rows),
    )


def _both(values: list[bytes], bundle: Bundle) -> tuple[list[Result], list[Result]]:
    """The results of the reference, and of the compiled engine, which must not fail."""
    records = [DrawnRecord(value, number) for number, value in enumerate(values)]
    compiled = score_batch(records, replace(bundle, engine=compile_engine(bundle)), BYTES_MAX)
    assert not compiled.engine_failed
    return score_batch(records, bundle, BYTES_MAX).results, compiled.results


def _write(name: str, text: str) -> bytes:
    identity = "" if name == "id" else '"id":"a",'
    return f'{{{identity}"{name}":{text}}}'.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("name", VALID)
def test_valid_spellings_have_the_same_decision(name: str) -> None:
    """Each is decided, and the probability, which depends on each bit of the matrix, is the same."""
    values = [_write(name, text) for text in VALID[name]]
    expected, actual = _both(values, _bundle())
    for value, first, second in zip(values, expected, actual, strict=True):
        assert isinstance(first, bytes), value
        assert first == second, value


@pytest.mark.parametrize("name", INVALID)
def test_invalid_spellings_have_the_same_rejection(name: str) -> None:
    """None is decided."""
    values = [_write(name, text) for text in INVALID[name]]
    expected, actual = _both(values, _bundle())
    for value, first, second in zip(values, expected, actual, strict=True):
        assert not isinstance(first, bytes), value
        assert first == second, value


def test_what_surrounds_an_application_is_read_alike() -> None:
    """Space, a byte order mark, NUL bytes, a second value, invalid UTF-8, and names that are repeated or escaped."""
    plain = b'{"id":"a","number":1.5}'
    marks = (b"\xef\xbb\xbf", b"\0", b" ", b"\r\n\t", b"\x0b", b"\x0c", b"\xc2\xa0", b"\xff", b"{}", b",", b"/**/")
    values = [plain, *(mark + plain for mark in marks), *(plain + mark for mark in marks)]
    values += [plain[:end] for end in range(1, len(plain))]
    invalid = (b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82")
    values += [plain.replace(b"a", character) for character in invalid]
    values += [
        b'{"id":"a","id":"a"}', b'{"id":"a","\\u0069d":"a"}', b'{"id":"a","x":1,"x":2}', b'{"id":"a","":0,"":1}',
        b'{"ID":"b","id":"a"}', b'{"id" :"a"}', b'{ "id"\n:\t"a" }', b'{"id":"a",}', b'{,"id":"a"}', b'{"id":"a""x":1}',
        plain.decode().encode("utf-16"), plain + plain,
    ]  # fmt: skip
    expected, actual = _both(values, _bundle())
    for value, first, second in zip(values, expected, actual, strict=True):
        assert first == second, value


def _hostile_values() -> list[bytes]:
    ends = b'{"id":"a","x":'
    return [
        b'{"id":"a"}',
        ends + b"[" * DEEP + b"]" * DEEP + b"}",
        ends + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
        ends + b'[{"a":' * DEEP + b"1" + b"}]" * DEEP + b"}",
        ends + b"[" * DEEP,
        b"[" * DEEP,
        b'{"job":' * DEEP,
        ends + b"[" * 99 + b"]" * 99 + b"}",
        ends + b"9" * 1_000_000 + b"}",
        ends + b"0." + b"9" * 1_000_000 + b"}",
        ends + b"1e" + b"9" * 1_000_000 + b"}",
        b'{"id":"a","number":' + b"1" * 1_000_000 + b"}",
        b'{"id":"a","number":0.' + b"0" * 1_000_000 + b"1}",
        b'{"id":"a","number":1e' + b"0" * 1_000_000 + b"1}",
        b'{"id":"' + b"x" * 10_000_000 + b'"}',
        b'{"id":"' + b"\\u0061" * 1_000_000 + b'"}',
        b'{"id":"a","' + b"n" * 10_000_000 + b'":1}',
        b" " * 10_000_000 + b'{"id":"a"}',
        b'{"id":"a"' + b',"x":1' * 300_000 + b"}",
    ]


def test_nothing_needs_more_stack_or_memory() -> None:
    """What is nested 100,000 deep, or has millions of digits or characters, is read on a stack of 256 KiB.

    A stack that overflows would end the process, and no handler of panics could prevent it.
    """
    bundle, values = _bundle(), _hostile_values()
    compiled = compile_engine(bundle)
    trees = draw_bundle(Random(1), ModelKind(10, 5))
    decided: list[list[int] | None] = []

    def read() -> None:
        for engine in (compiled, compile_engine(trees)):
            rows = engine.decode([*values, None, "no bytes", 5], BYTES_MAX)
            decided.append(rows.positions if rows else None)

    before = threading.stack_size(STACK_BYTES)
    try:
        thread = threading.Thread(target=read)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join(60)
    assert decided[0] == [0, 7, 12, 16, 17, 18]
    assert decided[1] is not None
    expected, actual = _both(values, bundle)
    assert expected == actual
