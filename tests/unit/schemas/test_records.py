"""Records of the topics of decisions and dead letters: whatever anybody writes is a value, or named as malformed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.decision import Decision
from schemas.examples import DECISION
from schemas.records import (
    UNKNOWN,
    DeadLetter,
    Malformed,
    Mark,
    Position,
    ReadDecision,
    latency_s,
    parse_number,
    read_dead_letter,
    read_decision,
    written_at,
)
from tests.fakes import FakeRecord

Headers = list[tuple[str, bytes | None]]
MARKER = "somebody's secret"
OURS: Headers = [
    ("dlq.code", b"wrong_type"),
    ("dlq.reason", b"age: wrong type"),
    ("dlq.topic", b"t"),
    ("dlq.partition", b"3"),
    ("dlq.offset", b"7"),
    ("dlq.timestamp", b"1"),
    ("dlq.bundle", b"b"),
    ("dlq.at", b"2026-01-31T09:30:00+00:00"),
]


class UnreadableRecord(FakeRecord):
    """A record with a header whose name is not UTF-8: the client raises."""

    def headers(self) -> None:
        raise SystemError("returned a result with an exception set")


def decided(headers: Headers | None = None, **changes: object) -> FakeRecord:
    """The contract's example of a decision, with changes."""
    value = json.dumps({**DECISION.model_dump(), **changes}).encode()
    return FakeRecord((0, 5), value, record_headers=headers or [], topic_name="decisions")


def letter(*headers: tuple[str, bytes | None], at: tuple[int, int] = (0, 5)) -> FakeRecord:
    """A record of the dead-letter topic."""
    return FakeRecord(at, b"{", b"key", list(headers), 1_000, "dlq")


# Decisions


def test_a_decision_is_read_as_the_contract_describes_it() -> None:
    """What the parser makes of a value is what the contract's model makes of it."""
    read = read_decision(decided())
    assert isinstance(read, ReadDecision)
    assert read.as_model() == DECISION
    assert (read.supersedes, read.replay_id, read.is_correction) == ("", "", False)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("replay-id", b"r"), ("supersedes", b"a")], ("a", "r", True)),
        ([("supersedes", b"a"), ("supersedes", b"b")], ("b", "", True)),
        ([("supersedes", b"a"), ("supersedes", None)], ("", "", True)),
        ([("supersedes", b"\xff"), ("replay-id", None)], ("�", "", True)),
        ([("traceparent", b"00"), ("dlq.code", b"x")], ("", "", False)),
    ],
)
def test_the_last_header_of_a_name_counts(headers: Headers, expected: tuple[str, str, bool]) -> None:
    """Whatever stands before it."""
    read = read_decision(decided(headers))
    assert isinstance(read, ReadDecision)
    assert (read.supersedes, read.replay_id, read.is_correction) == expected


SOURCE = DECISION.source.model_dump()
BIG = "9" * 5_000
TEXT = DECISION.model_dump_json()


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "the value is empty"),
        (b"", "the value is empty"),
        (MARKER.encode(), "the value is not JSON"),
        (b"\xff", "the value is not JSON"),
        (b"\xef\xbb\xbf" + TEXT.encode(), "the value is not JSON"),
        (TEXT.replace('"decision_id":"', '"decision_id":"\xff').encode("latin-1"), "the value is not UTF-8"),
        (b"[]", "the value is not a decision"),
        (b"{}", "field decision_id is missing"),
        (decided(decision=MARKER).body, "field decision is invalid"),
        (decided(application_id=7).body, "field application_id is invalid"),
        (decided(probability_of_default=1.5).body, "field probability_of_default is invalid"),
        (decided(probability_of_default="0.5").body, "field probability_of_default is invalid"),
        (decided(probability_of_default=True).body, "field probability_of_default is invalid"),
        (decided(bundle=MARKER).body, "field bundle is invalid"),
        (decided(bundle={"name": "b", "version": "1", "digest": MARKER}).body, "field bundle is invalid"),
        (decided(source={**SOURCE, "offset": -1}).body, "field source.offset is invalid"),
        (decided(source={**SOURCE, "partition": 2**31}).body, "field source.partition is invalid"),
        (decided(source={**SOURCE, "offset": 2**63}).body, "field source.offset is invalid"),
        (TEXT.replace('"offset":', f'"offset":{BIG}').encode(), "field source.offset is invalid"),
        (decided(more="x").body.replace(b'"x"', b"[" * 200_000 + b"]" * 200_000), "the value nests too deep"),  # type: ignore[union-attr]
    ],
)
def test_a_record_that_is_not_a_decision_is_named_without_its_values(value: bytes | None, why: str) -> None:
    """Strangers' records, tombstones, other encodings, numbers that no partition has."""
    read = read_decision(FakeRecord((2, 5), value, topic_name="decisions"))
    assert read == Malformed("decisions", 2, 5, why)
    assert str(read) == f"decisions[2]@5: {why}"


def test_fields_that_nobody_knows_change_nothing() -> None:
    """Later releases may add some; their values are not looked at, however long a number is."""
    value = TEXT[:-1] + f',"more":{BIG}}}'
    assert isinstance(read_decision(FakeRecord((0, 5), value.encode())), ReadDecision)


def test_headers_that_cannot_be_read_are_no_decision() -> None:
    """Whether it is a correction is not known then; the scorer writes no such headers."""
    record = UnreadableRecord((0, 5), TEXT.encode(), topic_name="decisions")
    assert read_decision(record) == Malformed("decisions", 0, 5, "the name of a header is not UTF-8")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
PATHS = [(name,) for name in Decision.model_fields] + [("bundle", "digest"), ("source", "topic"), ("source", "offset")]


@given(st.sampled_from(PATHS), JSON)
def test_the_parser_and_the_model_agree(path: tuple[str, ...], changed: Any) -> None:
    """One value of a decision changed to anything: both take it, or neither does."""
    content: Any = DECISION.model_dump()
    inner = content
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = changed
    value = json.dumps(content).encode()
    read = read_decision(FakeRecord((0, 5), value))
    try:
        wanted = Decision.model_validate_json(value)
    except ValidationError:
        assert isinstance(read, Malformed)
        return
    if wanted.source.offset < 2**63:
        assert isinstance(read, ReadDecision)
        assert read.as_model() == wanted


# Dead letters


HOSTILE: dict[str, Headers] = {
    "a mark": [("dlq.requeued", b"0")],
    "a code": [("dlq.code", b"forged")],
    "null": [("dlq.code", None), ("dlq.offset", None), ("dlq.requeued", None)],
    "not UTF-8": [("dlq.code", b"\xff\xfe"), ("dlq.partition", b"\xff")],
    "long numbers": [("dlq.partition", BIG.encode()), ("dlq.offset", BIG.encode()), ("dlq.requeued", BIG.encode())],
    "a replay": [("replay-id", b"r"), ("supersedes", b"x")],
    "everything twice": [*OURS, *OURS],
    "another case": [("DLQ.CODE", b"forged"), ("dlq.CODE", b"x"), ("", b"")],
}


@pytest.mark.parametrize("sent", HOSTILE.values(), ids=HOSTILE)
def test_a_publishers_headers_hide_no_dead_letter(sent: Headers) -> None:
    """The scorer's headers come last, and count."""
    read = read_dead_letter(letter(*sent, *OURS))
    assert isinstance(read, DeadLetter)
    assert (read.position, read.code, read.reason) == (Position(0, 5), "wrong_type", "age: wrong type")
    assert (read.topic, read.partition, read.offset, read.at) == ("t", 3, 7, "2026-01-31T09:30:00+00:00")
    assert read.counted_as == "wrong_type"
    expected = [header for header in sent if header[0] not in {"replay-id", "supersedes"}]
    assert read.headers == expected, "what the publisher sent goes back with a requeue"


POINTER: Headers = [("dlq.pointer", b"t:3:7"), ("dlq.value-bytes", b"2000000"), ("dlq.value-sha256", b"ab")]


def test_a_dead_letter_that_points_to_its_record() -> None:
    """It has no copy of the record; a publisher's header of the same name makes none of it."""
    pointer = read_dead_letter(FakeRecord((0, 5), None, b"key", [*OURS, *POINTER], topic_name="dlq"))
    assert isinstance(pointer, DeadLetter)
    assert (pointer.pointer, pointer.value_bytes, pointer.headers) == ("t:3:7", 2_000_000, [])
    for value, headers in ((None, [*POINTER, *OURS]), (b"{", [*POINTER, *OURS]), (b"{", [*OURS, *POINTER])):
        whole = read_dead_letter(FakeRecord((0, 5), value, b"key", headers, topic_name="dlq"))
        assert isinstance(whole, DeadLetter)
        assert (whole.pointer, whole.value_bytes) == ("", len(value or b""))
        assert whole.headers == POINTER


def test_a_requeued_record_does_not_collect_headers() -> None:
    """What requeues and replays add is not the publisher's."""
    read = read_dead_letter(letter(("a", b"1"), ("requeued-from", b"dlq:0:1"), ("replay-id", b"r"), *OURS))
    assert isinstance(read, DeadLetter)
    assert (read.headers, read.replay_id) == ([("a", b"1")], "r")


@pytest.mark.parametrize("number", [b"", b"-1", b"1.0", b"x", b"\xff", BIG.encode(), b"9223372036854775808", None])
def test_a_place_that_no_topic_has_is_unknown(number: bytes | None) -> None:
    """A forged dead letter is one still; where its record came from is not known."""
    for name in ("dlq.partition", "dlq.offset"):
        read = read_dead_letter(letter(*OURS, (name, number)))
        assert isinstance(read, DeadLetter)
        assert UNKNOWN in {read.partition, read.offset}


def test_a_mark_names_an_earlier_record() -> None:
    """It counts in its own partition alone, and after what it marks."""
    marked = [("dlq.requeued", b"4"), ("dlq.actor", b"ana"), ("dlq.at", b"now")]
    assert read_dead_letter(letter(*marked, at=(1, 5))) == Mark(Position(1, 4), "ana", "now")


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ([], "header dlq.code is missing"),
        ([("dlq.reason", b"x"), ("a", b"1")], "header dlq.code is missing"),
        ([("dlq.code", b"empty"), ("dlq.code", b"")], "header dlq.code is empty"),
        ([("dlq.code", None)], "header dlq.code is empty"),
        ([("dlq.requeued", b"5")], "header dlq.requeued is not the offset of an earlier record"),
        ([("dlq.requeued", BIG.encode())], "header dlq.requeued is not the offset of an earlier record"),
        ([("dlq.requeued", MARKER.encode())], "header dlq.requeued is not the offset of an earlier record"),
        ([("dlq.requeued", None)], "header dlq.requeued is not the offset of an earlier record"),
    ],
)
def test_what_is_neither_is_named_without_its_values(headers: Headers, why: str) -> None:
    """A stranger's record on the dead-letter topic."""
    assert read_dead_letter(letter(*headers)) == Malformed("dlq", 0, 5, why)


def test_forged_codes_do_not_make_counts_grow() -> None:
    """Codes outside the closed list are counted together; what is shown of a header is cut."""
    forged = [read_dead_letter(letter(*OURS, ("dlq.code", f"code {n}".encode()))) for n in range(3)]
    assert {read.counted_as for read in forged if isinstance(read, DeadLetter)} == {"other"}
    long = read_dead_letter(letter(*OURS, ("dlq.reason", b"x" * 1_000_000)))
    assert isinstance(long, DeadLetter)
    assert len(long.reason) == 10_000


def test_what_the_publisher_sent_is_in_no_representation() -> None:
    """Key, value and headers are personal data; logs and errors may show the rest."""
    record = FakeRecord((0, 5), MARKER.encode(), MARKER.encode(), [("a", MARKER.encode()), *OURS])
    assert MARKER not in repr(read_dead_letter(record))


# Numbers and times


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("7", 7),
        ("99", 99),
        ("100", -1),
        ("007", -1),
        ("٣", -1),
        ("²", -1),
        ("1_0", -1),
        (" 1", -1),
        (BIG, -1),
    ],
)
def test_numbers_are_bounded(text: str, number: int) -> None:
    """Python refuses to read more than 4,300 digits, and other scripts have digits too."""
    assert parse_number(text, 99) == number


def test_times_are_bounded() -> None:
    """A timestamp in seconds, microseconds or nanoseconds is no latency, and may be no moment at all."""
    now_s = 1_795_685_400.0
    assert latency_s(int(now_s * 1_000) - 250, now_s) == pytest.approx(0.25)
    assert latency_s(int(now_s * 1_000) + 250, now_s) == 0, "a clock that is a little ahead"
    for at_ms in (UNKNOWN, 0, int(now_s), int(now_s * 1e6), int(now_s * 1e9), -(2**63), 2**63 - 1):
        assert latency_s(at_ms, now_s) is None
    for at_ms in (UNKNOWN, int(now_s * 1e6), -(2**63), 2**63 - 1):
        assert written_at(FakeRecord((0, 0), None, timestamp_ms=at_ms)) is None
    assert str(written_at(FakeRecord((0, 0), None, timestamp_ms=0))) == "1970-01-01 00:00:00+00:00"
