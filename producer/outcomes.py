"""What became of an application: the records of the decisions and of the dead-letter topic, read."""

from datetime import UTC, datetime
from typing import NamedTuple

from confluent_kafka import Message
from pydantic import ValidationError

from schemas.decision import Decision
from schemas.rejection import (
    CODE_HEADER,
    OFFSET_HEADER,
    PARTITION_HEADER,
    REASON_HEADER,
    REQUEUED_HEADER,
    TOPIC_HEADER,
)

Place = tuple[str, int, int]


class DeadLetter(NamedTuple):
    """An application that could not be decided.

    Attributes:
        application_id: the record's key; "" if it has none.
        code: why, as in `schemas.rejection.RejectionCode`.
        reason: the fields and rules concerned.
        source: topic, partition and offset of the record that was rejected.
    """

    application_id: str
    code: str
    reason: str
    source: Place


def read_outcome(message: Message) -> Decision | DeadLetter | None:
    """A record as a decision or a dead letter; None if it is neither."""
    headers = {name: _text(raw) for name, raw in dict(message.headers() or {}).items()}
    if CODE_HEADER in headers:
        source = (
            headers.get(TOPIC_HEADER, ""),
            _number(headers.get(PARTITION_HEADER, "")),
            _number(headers.get(OFFSET_HEADER, "")),
        )
        return DeadLetter(_text(message.key()), headers[CODE_HEADER], headers.get(REASON_HEADER, ""), source)
    try:
        return Decision.model_validate_json(message.value() or b"")
    except ValidationError:
        return None


def is_mark(message: Message) -> bool:
    """Whether a record only says that a dead letter was put back onto the input topic: it is no outcome."""
    return REQUEUED_HEADER in dict(message.headers() or {})


def source_of(outcome: Decision | DeadLetter) -> Place:
    """Topic, partition and offset of the application's record."""
    if isinstance(outcome, DeadLetter):
        return outcome.source
    return outcome.source.topic, outcome.source.partition, outcome.source.offset


def place_of(message: Message) -> Place:
    """Topic, partition and offset of a record itself."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None and partition is not None and offset is not None  # noqa: PT018
    return topic, partition, offset


def written_at(message: Message) -> datetime:
    """When a record was written, in UTC."""
    return datetime.fromtimestamp(message.timestamp()[1] / 1_000, UTC)


def _text(raw: str | bytes | None) -> str:
    return raw.decode(errors="replace") if isinstance(raw, bytes) else raw or ""


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() else -1
