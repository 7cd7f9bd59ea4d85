"""How much work a value can make the decoder do: no more than its length allows, whatever is in it.

A crafted record of 64 kB, 300 bytes once compressed, used to take up to 100 ms where another takes 0.01: Python was
called for each string and number in it, all of it was copied for each field that was missing, and msgspec read
thousands of numbers near the ends of what a double holds. Time says little on a busy machine, so these count: calls of
functions, memory, and slow numbers that msgspec is given.
"""

import json
import re
import sys
import tracemalloc
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import example, given, settings, target
from hypothesis import strategies as st

from scorer.core import decode
from scorer.core.decode import Decoder
from scorer.core.slow_decode import Rejection, SlowDecoder
from tests.fakes import CONTRACT, application, fields_of

_all = settings.get_profile("laws")
law = settings(_all, max_examples=_all.max_examples // 4)  # each case is 16 kB, read again and again

BYTES_MAX: Final = 16_384
DECODER: Final = Decoder(CONTRACT)
LONG: Final = b"9" * 4_301
SOUND: Final = application()
STEPS_MAX: Final = 250
"""Of a value without integers that are too long to be read: some 14 fields, and some steps for each."""
STEPS_PER_LONG_INTEGER: Final = 10
BYTES_PER_BYTE_MAX: Final = 80
"""Of Python's objects: the lists of `[[]],` take 57 per byte; ten copies would take ten times as much."""
SLOW_NUMBER: Final = re.compile(r"[0-9][eE][-+]?[0-9]{3}")
SLOW_NUMBERS_MAX: Final = decode._UNCHECKED_BYTES_MAX // len(b'"debt":1e-320,') + 1

HEADS: Final = (
    b"{",
    SOUND[:-1] + b",",
    SOUND[:-1] + b',"\\n":1,',
    SOUND[:-1] + b',"long":' + LONG + b",",
    SOUND[:-1].replace(b'"age": 30', b'"age": ' + LONG) + b",",
    SOUND[:-1].replace(b'"age": 30', b'"age": "x"') + b",",
    SOUND[:-1].replace(b'"income": 182, ', b"") + b",",
    SOUND[:-1].replace(b'"debt": 0', b'"debt": 1e-320') + b",",
    b'{"long":' + LONG + b",",
)
NAMES: Final = (b"z", b"age", b"home", b"application_id", b"", b"\\u0061ge")
UNITS: Final = (
    b'""', b"1", b"-1", b"1.5", b"1e300", b"1e-320", b"1E+308", b"{}", b"[]", b"[[]]", b'{"a":1}', b'{"age":1}',
    b'"\\n"', b'"\\\\"', b'"\\""', b'"\\ud83d\\ude00"', b'"\\ud800"', b"true", b"null", b"9" * 30, LONG, b"-" + LONG,
    b'"' + LONG + b'"', b"0." + LONG, b"1e" + LONG, "é".encode(),
)  # fmt: skip


def crafted(head: bytes, name: bytes, units: list[bytes], *, as_members: bool) -> bytes:
    """A value of nearly `BYTES_MAX`: a head, then an array of units, or a member for each, again and again."""
    room = BYTES_MAX - len(head) - len(name) - 8
    if as_members:
        row = b"".join(b'"%b":%b,' % (name, unit) for unit in units)
        times = max(1, room // len(row))
        return head + (row * times)[:-1] + b"}"
    row = b"".join(unit + b"," for unit in units)
    times = max(1, room // len(row))
    return head + b'"%b":[' % name + (row * times)[:-1] + b"]}"


VALUES: Final = st.builds(
    crafted,
    st.sampled_from(HEADS),
    st.sampled_from(NAMES),
    st.lists(st.sampled_from(UNITS), min_size=1, max_size=3),
    as_members=st.booleans(),
).filter(lambda value: len(value) <= BYTES_MAX)


def count_calls(call: Callable[[], object]) -> int:
    """How many functions are called meanwhile, Python's and C's."""
    calls = 0

    def watch(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(watch)
    try:
        call()
    finally:
        sys.setprofile(None)
    return calls


@law
@example(crafted(HEADS[4], b"z", [b'""'], as_members=False))
@example(crafted(HEADS[3], b"z", [b"1"], as_members=False))
@example(crafted(HEADS[1], b"z", [b"{}"], as_members=False))
@example(crafted(HEADS[1], b"z", [LONG], as_members=False))
@given(VALUES)
def test_calls(value: bytes) -> None:
    """No function is called once per string, number, object or member; an integer that is too long costs some calls."""
    DECODER.decode(value, BYTES_MAX)  # the first rejection of a process loads what the later ones use
    calls = count_calls(lambda: DECODER.decode(value, BYTES_MAX))
    target(float(calls))
    assert calls <= STEPS_MAX + STEPS_PER_LONG_INTEGER * (len(value) // len(LONG))


def memory_bytes(call: Callable[[], object]) -> int:
    """How much more memory Python's objects take meanwhile, at most."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@law
@example(crafted(b"{", b"z", [b"{}"], as_members=False))
@example(crafted(b"{", b"age", [b"[[]]"], as_members=False))
@given(VALUES)
def test_copies(value: bytes) -> None:
    """Nothing that is large is copied for each field that is missing, or that refuses it."""
    DECODER.decode(value, BYTES_MAX)
    taken = memory_bytes(lambda: DECODER.decode(value, BYTES_MAX))
    target(float(taken))
    assert taken <= BYTES_PER_BYTE_MAX * len(value)


def slow_numbers(raw: bytes) -> int:
    """How many fields of the contract are given with such a number: msgspec passes over all others."""

    def count(members: list[tuple[str, object]]) -> int:
        return sum(
            name in CONTRACT.fields and isinstance(value, str) and bool(SLOW_NUMBER.search(value))
            for name, value in members
        )

    try:
        return int(json.loads(raw, object_pairs_hook=count, parse_float=str, parse_int=float))
    except json.JSONDecodeError:
        return 0  # what is no JSON is not so in its first row, and nothing is read behind that


@law
@example(crafted(HEADS[1], b"z", [b"1e300"], as_members=False))
@example(crafted(HEADS[1], b"debt", [b"1e-320"], as_members=True))
@example(crafted(HEADS[2], b"\\u0061ge", [b"1E+308"], as_members=True))
@given(VALUES)
def test_slow_numbers(value: bytes) -> None:
    """Msgspec takes a hundred times as long for them; it is given as many as fit into a value that is short."""
    given_numbers = 0

    read = DECODER._decode

    def read_and_count(raw: bytes) -> object:
        nonlocal given_numbers
        given_numbers += slow_numbers(raw)
        return read(raw)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DECODER, "_decode", read_and_count)
        DECODER.decode(value, BYTES_MAX)
    assert given_numbers <= SLOW_NUMBERS_MAX


@law
@given(st.lists(VALUES, min_size=1, max_size=4), st.integers(0, 3))
def test_a_value_is_read_by_the_contract_once(values: list[bytes], sound: int) -> None:
    """Neighbours with fields of their own make a batch be looked through again, and not read again."""
    batch = [SOUND] * sound + values + [SOUND[:-1] + b',"note":"a:b"}']
    read: list[bytes] = []

    slow = SlowDecoder(CONTRACT)

    def reading(raw: bytes) -> object:
        read.append(raw)
        return slow.decode(raw)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DECODER._slow, "decode", reading, raising=False)
        found = DECODER.decode_batch(batch, BYTES_MAX)
    assert len(read) == found.slow_decodes <= len(values)
    alone = [DECODER.decode(value, BYTES_MAX) for value in batch]
    assert found.rejections == {i: one for i, one in enumerate(alone) if isinstance(one, Rejection)}
    assert fields_of(found.columns) == [f for one in alone if not isinstance(one, Rejection) for f in fields_of(one)]
    assert found.rows[-1] == len(batch) - 1
