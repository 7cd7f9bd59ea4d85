"""Every reader of what comes from Kafka or a browser, given what nobody should send: an answer each, and no exception.

A forged number of 5,000 digits once ended the console's counting and every `scorer dlq` command; metadata that nested
deep would have ended workers. A reader that is new belongs into the table below.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final, cast

import pytest
from confluent_kafka import Message

from producer.errors import InvalidApplicationError
from producer.results import decode_result
from producer.show import result_json, result_line
from producer.validation import validate_application
from schemas.contracts import shipped_contract
from schemas.examples import DECISION, DEPLOYMENT
from schemas.records import Malformed, Mark, read_dead_letter, read_decision, written_at
from schemas.rejection import DEAD_LETTER_HEADERS, REQUEUED_HEADER
from scorer.console.publish import make_try, parse_application
from scorer.core.score import score_batch
from scorer.errors import MisuseError
from scorer.operate.group import Group, Member
from scorer.operate.rollout import compare, load_failures
from scorer.operate.timestamps import judge
from scorer.replay.decisions import DecisionTable
from scorer.stream.history import fold, parse_line
from scorer.stream.metadata import decode_metadata
from tests.fakes import RECORD_BYTES_MAX, FakeRecord, tiny_bundle

DEEP: Final = 100_000
NUMBERS: Final = (b"9" * 5_000, b"-" + b"9" * 5_000, b"1e400", b"-1", b"1_0", "٣".encode(), b"0x10", b" 1", b"NaN")
TEXTS: Final = (b"", b"\xff\xfe", b"\0", b"\xed\xa0\x80", b"\x1b[2J\n", "\u202e".encode(), b"a" * 1_000_000)
DOCUMENTS: Final = (
    *NUMBERS,
    *TEXTS,
    b"null",
    b"[]",
    b"{}",
    b'"\\ud800"',
    b"[" * DEEP,
    b"[" * DEEP + b"]" * DEEP,
    b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    b"\xef\xbb\xbf{}",
    b"\x80\x04N.",
)
VALUES: Final = (*(json.loads(d) for d in (b"null", b"[]", b"{}", b'"\\ud800"', b"1e400")), -1, 2**63, True, "\x1b", "")
"""What a field may be instead of what it should be."""
TIMESTAMPS: Final = (-(2**63), -1, 0, 1, 2**63 - 1)


def spoiled(sound: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[bytes]:
    """A document with one field at a time missing, or of a hostile value; numbers of 5,000 digits are spelt."""
    inside: Any = sound
    for name in path:
        inside = inside[name]
    for name in list(inside):
        before = inside.pop(name)
        yield json.dumps(sound).encode()
        for value in VALUES:
            inside[name] = value
            yield json.dumps(sound).encode()
        inside[name] = "here"
        text = json.dumps(sound).encode()
        for number in NUMBERS:
            yield text.replace(b'"here"', number)
        inside[name] = before
        if isinstance(before, dict):
            yield from spoiled(sound, (*path, name))


def headers_of(name: str) -> Iterator[list[tuple[str, bytes | None]]]:
    """Hostile values of one header, alone and among the others."""
    others = [(other, b"1") for other in sorted(DEAD_LETTER_HEADERS)]
    for raw in (None, *NUMBERS, *TEXTS):
        yield [(name, raw)]
        yield [*others, (name, raw)]


_OTHERS: Final = ("dlq.actor", "supersedes", "replay-id", "\x1b", "")
HEADER_NAMES: Final = sorted({*DEAD_LETTER_HEADERS, REQUEUED_HEADER, *_OTHERS})


@pytest.mark.parametrize("name", HEADER_NAMES)
def test_headers(name: str) -> None:
    """Each header's every value makes a dead letter, a mark, a decision or a malformed record, which can be shown."""
    for headers in headers_of(name):
        for body in (None, b"{", DECISION.model_dump_json().encode()):
            record = FakeRecord((0, 5), body, b"\xff", headers, topic_name="dlq")
            for topic in ("dlq", "decisions"):
                outcome = decode_result(cast("Message", record), topic)
                if not isinstance(outcome, Malformed | Mark):
                    assert result_json(outcome, None).isascii()
                    assert result_line(outcome, None).plain.isprintable()
                assert str(read_dead_letter(record)), "whatever it is, it has a text"


def decide(value: bytes | None) -> None:
    """A worker decides it or rejects it."""
    (outcome,) = score_batch([FakeRecord((0, 1), value)], tiny_bundle(), RECORD_BYTES_MAX).results
    assert outcome


def remember(value: bytes | None) -> None:
    """A replay reads it among the decisions."""
    table = DecisionTable("credit.applications")
    table.add([FakeRecord((0, 1), value, record_headers=[("supersedes", b"\xff"), ("replay-id", None)])])
    assert table.current().skipped.count <= 1


def deploy(value: bytes | None) -> None:
    """Workers, commands and the console read it in the history."""
    line = parse_line(0, value)
    assert (line.event is None) == bool(line.fault)
    fold([line])


def commit(value: bytes | None) -> None:
    """Workers, commands and the console read it as an offset's metadata, which is a text."""
    metadata = decode_metadata((value or b"").decode(errors="replace"))
    assert f"{metadata.bundle}{metadata.refused}".encode() is not None
    group = Group((Member("m", "m", "c", None, frozenset({0})),), rebalancing=False)
    compare(group, {0: metadata}, "wanted:1.0.0@ab")
    load_failures(group, {0: metadata}, "champion", "wanted:1.0.0@ab")


def try_it(value: bytes | None) -> None:
    """A browser posts it to the console."""
    with suppress(MisuseError):
        make_try(parse_application(value or b""), shipped_contract())


def validate(value: bytes | None) -> None:
    """A publisher asks whether it is valid."""
    with suppress(InvalidApplicationError):
        validate_application(value or b"", shipped_contract())


READERS: Final[tuple[tuple[Callable[[bytes | None], None], dict[str, Any]], ...]] = (
    (decide, {"application_id": "a", "age": 30, "home": "rent", "amount": 1}),
    (remember, DECISION.model_dump(mode="json")),
    (deploy, DEPLOYMENT.model_dump(mode="json")),
    (commit, {"bundle": "tiny:1.0.0@ab", "topics": {"t": "id"}, "refused": "wanted:1.0.0@ab: why"}),
    (try_it, {"application_id": "a", "age": 30}),
    (validate, {"application_id": "a", "age": 30, "home": "rent"}),
)


@pytest.mark.parametrize(("read", "sound"), READERS, ids=lambda given: getattr(given, "__name__", ""))
def test_values(read: Callable[[bytes | None], None], sound: dict[str, Any]) -> None:
    """Any bytes, and any field of any kind in what is sound otherwise, have an answer."""
    for value in (None, *DOCUMENTS, *spoiled(sound)):
        read(value)


def test_metadata_that_nests_deep_says_nothing() -> None:
    """Whoever may commit the group's offsets writes it, and each worker reads it at start."""
    assert decode_metadata("[" * 4_000) == decode_metadata("") == decode_metadata('{"a":' * 700)


@pytest.mark.parametrize("at_ms", TIMESTAMPS)
def test_timestamps(at_ms: int) -> None:
    """A publisher's unit may be any, and a calendar ends."""
    record = FakeRecord((0, 1), DECISION.model_dump_json().encode(), timestamp_ms=at_ms)
    written_at(record)
    assert list(judge([at_ms], 1.8e12))
    decision = decode_result(cast("Message", record), "dlq")
    assert not isinstance(decision, Malformed | Mark)
    assert result_line(decision, written_at(record)).plain.isprintable()


def test_forged_bundles_are_not_kept() -> None:
    """A reader keeps bundles parsed by their spelling; those of a megabyte are parsed, and nothing of them is kept."""
    bundle = DECISION.bundle.model_dump() | {"padding": "x" * 1_000_000}
    value = json.dumps(DECISION.model_dump() | {"bundle": bundle}).encode()
    first, second = (read_decision(FakeRecord((0, 1), value)) for _ in range(2))
    assert not isinstance(first, Malformed)
    assert not isinstance(second, Malformed)
    assert first.bundle == second.bundle == DECISION.bundle
    assert first.bundle is not second.bundle
