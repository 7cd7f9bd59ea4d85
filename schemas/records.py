"""Parses decisions, dead letters and requeue marks from Kafka records; all readers share this parser.

Anyone who can write to a topic can write anything to it, and a publisher's own headers stay on a dead letter. So an
unexpected record is a value here (`Malformed`), never an exception, and of headers with the same name the last one
counts: the scorer writes its own after the publisher's.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Final, NamedTuple, Protocol, TypeVar

import msgspec
from pydantic import ValidationError

from schemas import rejection
from schemas.decision import (
    CODE_CHARACTERS_MAX,
    CODE_PATTERN,
    REASONS_MAX,
    REPLAY_ID_HEADER,
    SUPERSEDES_HEADER,
    BundleReference,
    Decision,
    Label,
    RecordReference,
)
from schemas.decision_faults import why_no_decision
from schemas.record_headers import Headers, read_headers

R = TypeVar("R", bound="Record")

UNKNOWN: Final = -1
"""Stands for a partition or an offset that a record does not name, or that is not valid in Kafka."""
OFFSET_MAX: Final = 2**63 - 1
PARTITION_MAX: Final = 2**31 - 1
# Maximum length of a header's text; the scorer's own headers are shorter, others can be a megabyte.
_TEXT_CHARACTERS_MAX: Final = 10_000
# Size of the cache of parsed bundle references; there are few different ones, unless they are forged.
_SPELLINGS_MAX: Final = 1_024
_SPELLING_BYTES_MAX: Final = 1_024  # five times the longest that workers write; a forged one can be a megabyte
_NO_TIMESTAMP: Final = 0
CLOCK_AHEAD_S: Final = 3_600.0
"""A timestamp further in the future is not a valid publish time."""
AGE_MAX_S: Final = 10 * 365.25 * 86_400
"""An older timestamp is not a valid publish time either."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Record(Protocol):
    """The parts of a record that are read; a confluent_kafka Message has them."""

    def topic(self) -> str | None: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def timestamp(self) -> tuple[int, int]: ...


class Malformed(NamedTuple):
    """An unexpected record: its position and what is wrong with it, without any of its values."""

    topic: str
    partition: int
    offset: int
    why: str

    def __str__(self) -> str:
        """`topic[partition]@offset: why`."""
        return f"{self.topic}[{self.partition}]@{self.offset}: {self.why}"


# Decisions


class ReadDecision(msgspec.Struct, frozen=True, gc=False):
    """A decision, as read from its record."""

    decision_id: str
    application_id: str
    decision: Label
    probability_of_default: float
    bundle: BundleReference
    source_topic: str
    source_partition: int
    source_offset: int
    supersedes: str
    """Of a correction: the decision_id of the decision that it replaces; empty without this header."""
    replay_id: str
    """Of a correction: the replay that wrote it; empty without this header."""
    is_correction: bool
    """Whether a replay wrote it: it has one of the two headers."""
    reasons: tuple[str, ...] = ()
    """Codes of the bundle's catalogue; empty if it is APPROVED, or the bundle has no catalogue."""

    def as_model(self) -> Decision:
        """The decision as the contract describes it."""
        return Decision(
            decision_id=self.decision_id,
            application_id=self.application_id,
            decision=self.decision,
            probability_of_default=self.probability_of_default,
            reasons=self.reasons,
            bundle=self.bundle,
            source=RecordReference(topic=self.source_topic, partition=self.source_partition, offset=self.source_offset),
        )


class _Source(msgspec.Struct, gc=False):
    topic: str
    partition: Annotated[int, msgspec.Meta(ge=0, le=PARTITION_MAX)]
    offset: Annotated[int, msgspec.Meta(ge=0, le=OFFSET_MAX)]


_Code = Annotated[str, msgspec.Meta(max_length=CODE_CHARACTERS_MAX, pattern=f"^{CODE_PATTERN}$")]


class _Decision(msgspec.Struct, gc=False):
    decision_id: str
    application_id: str
    decision: Label
    probability_of_default: Annotated[float, msgspec.Meta(ge=0, le=1)]
    bundle: msgspec.Raw  # the same few bundles repeat: each is parsed once
    source: _Source
    reasons: Annotated[tuple[_Code, ...], msgspec.Meta(max_length=REASONS_MAX)] = ()


_decode: Final = msgspec.json.Decoder(_Decision).decode


def _bundle_of(spelling: bytes) -> BundleReference:
    return _cached_bundle(spelling) if len(spelling) <= _SPELLING_BYTES_MAX else _parse_bundle(spelling)


def _parse_bundle(spelling: bytes) -> BundleReference:
    return BundleReference.model_validate_json(spelling)


_cached_bundle: Final = lru_cache(maxsize=_SPELLINGS_MAX)(_parse_bundle)


def read_decision(record: Record) -> ReadDecision | Malformed:
    """Reads a record of the decisions topic."""
    headers = read_headers(record)
    if headers is None:
        return _malformed(record, "the name of a header is not UTF-8")
    try:
        decoded = _decode(record.value() or b"")
        bundle = _bundle_of(bytes(decoded.bundle))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValidationError) as error:
        return _malformed(record, why_no_decision(record.value(), error))
    source = decoded.source
    last = dict(headers)
    return ReadDecision(
        decoded.decision_id,
        decoded.application_id,
        decoded.decision,
        decoded.probability_of_default,
        bundle,
        source.topic,
        source.partition,
        source.offset,
        _text(last.get(SUPERSEDES_HEADER)) if last else "",
        _text(last.get(REPLAY_ID_HEADER)) if last else "",
        SUPERSEDES_HEADER in last or REPLAY_ID_HEADER in last,
        decoded.reasons,
    )


# Dead letters


class Position(NamedTuple):
    """Partition and offset of a dead letter on its topic."""

    partition: int
    offset: int

    def __str__(self) -> str:
        """`partition:offset`, as on the command line."""
        return f"{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A rejected record. Its repr does not contain what the publisher wrote."""

    position: Position
    code: str
    reason: str
    topic: str
    """With `partition` and `offset`: the source of the record. UNKNOWN if the headers do not name it."""
    partition: int
    offset: int
    at: str
    """When it was rejected, ISO 8601 in UTC, from its header."""
    bundle: str
    """The bundle that was current, with its full digest."""
    replay_id: str
    """The last `replay-id` header: of a replay, or sent by the publisher. Empty without one."""
    timestamp_ms: int
    """The dead letter's own timestamp, since 1970; UNKNOWN without one."""
    pointer: str
    """`topic:partition:offset` of the record, if the dead letter is a pointer without a value; otherwise empty."""
    value_bytes: int
    """Size of the record's value; UNKNOWN if a pointer does not name it."""
    key: bytes | None = field(repr=False)
    value: bytes | None = field(repr=False)
    headers: Headers = field(repr=False)
    """The record's own headers."""

    @property
    def id(self) -> str:
        """The record's key as text: the application's id, if the publisher followed the contract."""
        return (self.key or b"").decode(errors="replace")

    @property
    def counted_as(self) -> str:
        """The code, or `other` for unknown codes, so that forged codes cannot make counts grow."""
        return self.code if self.code in _CODES else OTHER_CODES


OTHER_CODES: Final = "other"
"""The code under which dead letters with unknown codes are counted."""
_CODES: Final = frozenset(code.value for code in rejection.RejectionCode)


class Mark(NamedTuple):
    """A mark: a dead letter was requeued."""

    position: Position
    """Position of the dead letter."""
    actor: str
    at: str


def read_dead_letter(record: Record) -> DeadLetter | Mark | Malformed:
    """Reads a record of the dead-letter topic.

    With `dlq.code` it is a dead letter, whatever other headers its publisher sent; otherwise it may be a mark.
    """
    headers = read_headers(record)
    if headers is None:
        return _malformed(record, "the name of a header is not UTF-8")
    last = dict(headers)
    position = Position(_number(record.partition()), _number(record.offset()))
    if rejection.CODE_HEADER in last:
        code = _text(last[rejection.CODE_HEADER])
        return _dead_letter(record, position, code, headers) if code else _malformed(record, "header dlq.code is empty")
    if rejection.REQUEUED_HEADER not in last:
        return _malformed(record, "header dlq.code is missing")
    marked = parse_number(_text(last[rejection.REQUEUED_HEADER]), OFFSET_MAX)
    if not UNKNOWN < marked < position.offset:
        return _malformed(record, "header dlq.requeued is not the offset of an earlier record")
    actor, at = (_text(last.get(name)) for name in (rejection.ACTOR_HEADER, rejection.AT_HEADER))
    return Mark(Position(position.partition, marked), actor, at)


def _dead_letter(record: Record, position: Position, code: str, headers: Headers) -> DeadLetter:
    last = {name: _text(raw) for name, raw in headers}
    pointer = _pointer(record, headers)
    value_bytes = parse_number(last.get(rejection.VALUE_BYTES_HEADER, ""), OFFSET_MAX)
    return DeadLetter(
        position=position,
        code=code,
        reason=last.get(rejection.REASON_HEADER, ""),
        topic=last.get(rejection.TOPIC_HEADER, ""),
        partition=parse_number(last.get(rejection.PARTITION_HEADER, ""), PARTITION_MAX),
        offset=parse_number(last.get(rejection.OFFSET_HEADER, ""), OFFSET_MAX),
        at=last.get(rejection.AT_HEADER, ""),
        bundle=last.get(rejection.BUNDLE_HEADER, ""),
        replay_id=last.get(REPLAY_ID_HEADER, ""),
        timestamp_ms=timestamp_ms(record),
        pointer=pointer,
        value_bytes=value_bytes if pointer else len(record.value() or b""),
        key=record.key(),
        value=record.value(),
        headers=[] if pointer else _own_headers(headers),
    )


def _pointer(record: Record, headers: Headers) -> str:
    """The position of the original, if it is a pointer; the header is the scorer's only after `dlq.code`."""
    names = [name for name, _ in headers]
    if record.value() is not None or rejection.POINTER_HEADER not in names:
        return ""
    index = len(names) - 1 - names[::-1].index(rejection.POINTER_HEADER)
    code = len(names) - 1 - names[::-1].index(rejection.CODE_HEADER)
    return _text(headers[index][1]) if index > code else ""


_OF_REPLAYS_AND_REQUEUES: Final = frozenset({REPLAY_ID_HEADER, SUPERSEDES_HEADER, rejection.REQUEUED_FROM_HEADER})


def _own_headers(headers: Headers) -> Headers:
    """The original record's headers: of each name that the scorer adds, only the last header is the scorer's."""
    ours = {name: index for index, (name, _) in enumerate(headers) if name in rejection.DEAD_LETTER_HEADERS}
    return [
        (name, raw)
        for index, (name, raw) in enumerate(headers)
        if ours.get(name) != index and name not in _OF_REPLAYS_AND_REQUEUES
    ]


# Both


def read_result(record: Record, dead_letters_topic: str) -> ReadDecision | DeadLetter | Mark | Malformed:
    """Reads a record by the rules of its topic, whatever its headers; of any other topic, as a decision."""
    return read_dead_letter(record) if record.topic() == dead_letters_topic else read_decision(record)


def read_results(
    records: Iterable[R], dead_letters_topic: str, skip: Callable[[Malformed], object]
) -> Iterator[tuple[R, ReadDecision | DeadLetter | Mark]]:
    """Yields each record with what it says; malformed ones are passed to `skip`, and never end a reader."""
    for record in records:
        result = read_result(record, dead_letters_topic)
        if isinstance(result, Malformed):
            skip(result)
        else:
            yield record, result


# Numbers and times


def parse_number(text: str, most: int) -> int:
    """Parses a decimal number from 0 to `most`; UNKNOWN for everything else, of any length."""
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(most))):
        return UNKNOWN
    number = int(text)
    return number if number <= most else UNKNOWN


def timestamp_ms(record: Record) -> int:
    """A record's timestamp, in milliseconds since 1970 if its publisher used Kafka's unit; UNKNOWN without one."""
    kind, at_ms = record.timestamp()
    return UNKNOWN if kind == _NO_TIMESTAMP else at_ms


def latency_s(at_ms: int, now: float) -> float | None:
    """Seconds from a timestamp until now, at least 0; None if the record cannot have been published then.

    Some publishers send seconds or microseconds instead of milliseconds, and clocks differ a little.

    Args:
        at_ms: a record's timestamp.
        now: seconds since 1970.
    """
    passed_s = now - at_ms / 1_000
    return max(0.0, passed_s) if -CLOCK_AHEAD_S < passed_s < AGE_MAX_S else None


def written_at(record: Record) -> datetime | None:
    """When a record was written, in UTC; None without a timestamp, or if it is out of datetime's range.

    A timestamp in microseconds is out of range.
    """
    at_ms = timestamp_ms(record)
    if at_ms == UNKNOWN:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=at_ms)
    except OverflowError:
        return None


def _malformed(record: Record, why: str) -> Malformed:
    return Malformed(record.topic() or "", _number(record.partition()), _number(record.offset()), why)


def _number(given: int | None) -> int:
    return UNKNOWN if given is None else given


def _text(raw: str | bytes | None) -> str:
    """A header's value as text, cut to a readable length; empty if it is null."""
    text = raw.decode(errors="replace") if isinstance(raw, bytes) else raw or ""
    return text[:_TEXT_CHARACTERS_MAX]
