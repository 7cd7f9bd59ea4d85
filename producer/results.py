"""Reads results: records of the decisions topic and of the dead-letter topic."""

from confluent_kafka import Message

from schemas.decision import Decision
from schemas.records import UNKNOWN, DeadLetter, Malformed, Mark, ReadDecision, Record, read_result

Position = tuple[str, int, int]
"""Topic, partition and offset of a record."""


def decode_result(message: Record, dead_letters_topic: str) -> Decision | DeadLetter | Mark | Malformed:
    """Reads a record by the rules of its topic, regardless of its headers.

    Args:
        message: a record of the decisions topic or of the dead-letter topic; may be read only once.
        dead_letters_topic: the dead-letter topic; a record of any other topic is read as a decision.

    Returns:
        A decision, a dead letter, a mark that a dead letter was requeued, or the reason why the record is malformed.
    """
    result = read_result(message, dead_letters_topic)
    return result.as_model() if isinstance(result, ReadDecision) else result


def source_of(result: Decision | DeadLetter) -> Position:
    """Topic, partition and offset of the application's record."""
    if isinstance(result, DeadLetter):
        return result.topic, result.partition, result.offset
    return result.source.topic, result.source.partition, result.source.offset


def position_of(message: Message) -> Position:
    """Topic, partition and offset of the record itself."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    return topic or "", UNKNOWN if partition is None else partition, UNKNOWN if offset is None else offset
