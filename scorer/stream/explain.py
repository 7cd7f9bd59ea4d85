"""Messages for Kafka errors: what failed, and the question or the setting that fits the error."""

from collections.abc import Callable, Mapping
from typing import Final

from confluent_kafka import KafkaError, TopicPartition

from schemas.rights import Kind, Operation, Right, missing, to_topic
from scorer.settings import Settings
from scorer.stream.rights import how_to_grant, missing_topic, to_own_group
from scorer.stream.truncation import truncation_point

_Hint = Callable[[Settings], str]

UNKNOWN_TOPIC: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC})
"""Codes with which the brokers or the client report an unknown topic."""


def refusal(error: KafkaError, what: str, settings: Settings, *needed: Right) -> str:
    """Returns the message for a failed request, with a hint if one fits the error.

    Args:
        error: the error.
        what: what the request was for, such as a topic or a group's offsets.
        settings: the client's settings.
        needed: the rights that the request needs.
    """
    return f"Kafka request failed for {what}: {with_hint(error, settings, *needed)}"


def refusal_of_member(error: KafkaError, what: str, settings: Settings) -> str:
    """Like `refusal`, for a request of a member of the group."""
    needed = to_topic(Operation.READ, settings.applications_topic), to_own_group(settings, Operation.READ)
    return refusal(error, what, settings, *needed)


def with_hint(error: KafkaError, settings: Settings, *needed: Right) -> str:
    """Returns the error's text, with the missing right, the question or the setting that fits it, if any.

    Args:
        error: the error.
        settings: the client's settings.
        needed: the rights that the request needs.
    """
    text = error.str().rstrip(". ")
    if lacking := missing(needed, error.code()):
        return f"{text}. {how_to_grant(settings, *lacking)}"
    if error.code() in UNKNOWN_TOPIC and (topics := [right for right in needed if right.kind is Kind.TOPIC]):
        return f"{text}. {'; '.join(missing_topic(right, settings) for right in topics)}"
    hint = _HINTS.get(error.code())
    return f"{text}. {hint(settings)}" if hint else error.str()


def fenced(error: KafkaError, transactional_id: str | None, settings: Settings) -> str:
    """Returns the message for a worker that another one has replaced, or that was unresponsive for too long."""
    member = f"instance_id {settings.instance_id}" if settings.instance_id else "a dynamic member"
    if transactional_id:
        member += f", transactional.id {transactional_id}"
    cause = (
        "this worker was suspended, or could not reach the brokers, for longer than transaction.timeout.ms or "
        "session.timeout.ms"
    )
    hint = f"Do two workers share this instance_id? Otherwise {cause}" if settings.instance_id else cause.capitalize()
    return (
        f"this worker of group {settings.group_id} ({member}) was fenced: {error.str()}. {hint}. Its batch was not "
        "committed; it will be processed again"
    )


def why_gone(error: KafkaError, at: TopicPartition, low: int, high: int) -> str:
    """Returns why the group's committed offset in a partition is out of range.

    Args:
        error: the error that the consumer reported.
        at: the partition and the group's committed offset.
        low: the first offset of the partition; below 0 if it is not known.
        high: the offset after the last record; below 0 if it is not known.
    """
    lost_from = truncation_point(error)
    if 0 <= at.offset < low:
        return (
            f"retention deleted {low - at.offset} records that were never processed; the first remaining one is {low}"
        )
    if lost_from is not None:
        return records_lost(lost_from)
    if 0 <= high < at.offset:
        return f"the partition ends at {high}: the brokers lost records, or the topic was deleted and created again"
    return error.str()


def records_lost(lost_from: int) -> str:
    """Returns the message for records that were lost because an out-of-sync replica became the leader."""
    return (
        f"the brokers lost the records from offset {lost_from} on, which the group had processed (an unclean leader "
        "election), and newer records reuse their offsets"
    )


def offset_is_gone(why: str, at: TopicPartition, settings: Settings) -> str:
    """Returns the message for a committed offset that no longer exists, with the command that fixes it.

    Args:
        why: what happened to the partition's records.
        at: the partition and the group's committed offset.
        settings: the consumer's settings.
    """
    return (
        f"group {settings.group_id} is at offset {at.offset} of {at.topic}[{at.partition}], which no longer exists: "
        f"{why}. The other partitions continue. To continue this one at its first remaining unprocessed record, stop "
        f"the workers of the group and run `scorer offsets reset --partition {at.partition}`"
    )


def _transaction_timeout(settings: Settings) -> str:
    timeout_ms = settings.kafka.get("transaction.timeout.ms", "30000")
    return (
        f"transaction.timeout.ms under [kafka] is {timeout_ms}, which is above the brokers' transaction.max.timeout.ms "
        "(900000 by default): lower transaction.timeout.ms"
    )


_HINTS: Final[Mapping[int, _Hint]] = {
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: lambda _: (
        "Do some workers in the group set instance_id and others not? Their assignment strategies differ"
    ),
    KafkaError.INVALID_TRANSACTION_TIMEOUT: _transaction_timeout,
    KafkaError.INVALID_SESSION_TIMEOUT: lambda _: (
        "session.timeout.ms under [kafka] is outside the brokers' group.min.session.timeout.ms and "
        "group.max.session.timeout.ms"
    ),
    KafkaError.GROUP_MAX_SIZE_REACHED: lambda settings: (
        f"group {settings.group_id} has as many workers as the brokers' group.max.size allows"
    ),
    KafkaError.INVALID_RECORD: lambda _: (
        "Is its cleanup.policy compact? Compacted topics reject records without a key: set cleanup.policy=delete; "
        "`scorer topics check` lists what differs"
    ),
    KafkaError.INVALID_TIMESTAMP: lambda _: (
        "Compare its message.timestamp.before.max.ms and message.timestamp.after.max.ms with this machine's clock"
    ),
    KafkaError.LEADER_NOT_AVAILABLE: lambda _: (
        "Are all brokers running? `scorer doctor` lists partitions without a leader"
    ),
    KafkaError.UNKNOWN_TOPIC_OR_PART: lambda _: "Was it deleted? `scorer topics ensure` creates missing topics",
    KafkaError._UNKNOWN_TOPIC: lambda _: "Was it deleted? `scorer topics ensure` creates missing topics",
    KafkaError.OFFSET_METADATA_TOO_LARGE: lambda _: (
        "The brokers' offset.metadata.max.bytes is below its default of 4096: raise it"
    ),
    KafkaError.UNSUPPORTED_VERSION: lambda _: "Are the brokers older than Kafka 2.8?",
    KafkaError.COORDINATOR_NOT_AVAILABLE: lambda _: (
        "Are there enough brokers for the topics __consumer_offsets and __transaction_state (their replication factor)?"
    ),
    KafkaError._TIMED_OUT: lambda _: (
        "Are there enough brokers for the topics __consumer_offsets and __transaction_state (their replication factor)?"
    ),
}
