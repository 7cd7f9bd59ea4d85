"""Requests to the brokers, for all commands: retries transient errors, and explains all others.

No request is sent in an `except` block: if it fails there, confluent-kafka never releases the exception that is being
handled, nor the clients in the frames of its traceback, with their threads (2.16; a KafkaError has the flag of an
exception, so Python sets its context, which is not released with it).
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ClusterMetadata, TopicMetadata

from schemas.rights import Operation, Right, missing, to_topic
from scorer.errors import BrokerError, TopicsError
from scorer.settings import Settings
from scorer.stream.explain import with_hint
from scorer.stream.faults import ATTEMPT_S, Fault, triage
from scorer.stream.librdkafka import client_config
from scorer.stream.rights import missing_topic

T = TypeVar("T")

_REASON_S: Final = 2.0
# A retry does not fix a wrong password or certificate authority.
_AUTHENTICATION_ERRORS: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL})
_NO_ANSWER: Final = frozenset({KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN})
# A new topic is not known to every broker at once, but within a second, unless they are very busy.
_NEW_TOPIC_S: Final = 5.0
_UNKNOWN: Final = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}
)
# Pause between attempts.
_PAUSE_S: Final = 0.1

ANSWER_S: Final = 15.0
"""Timeout of one request to a broker, in seconds."""


def ask(
    call: Callable[[], T],
    wait_s: float,
    should_stop: Callable[[], bool] = lambda: False,
    unknown_s: float = _NEW_TOPIC_S,
) -> T:
    """Retries a request after transient errors, and for some seconds if a topic is unknown.

    Transient errors: leaders and coordinators are being elected, moved or loaded, or a connection fails.

    Args:
        call: one attempt, with its own timeout. It must raise the errors of single partitions in a response.
        wait_s: how long to retry, in seconds.
        should_stop: checked after each failed attempt; True ends the retries.
        unknown_s: how long to retry if a topic or partition is unknown, in seconds, but not longer than `wait_s`.

    Raises:
        KafkaException: the error is not transient, or persists.
    """
    began_at = time.monotonic()
    while True:
        try:
            return call()
        except KafkaException as failure:
            if should_stop() or not _should_retry(failure.args[0], time.monotonic() - began_at, wait_s, unknown_s):
                raise
            time.sleep(_PAUSE_S)


def _should_retry(error: KafkaError, elapsed_s: float, wait_s: float, unknown_s: float = _NEW_TOPIC_S) -> bool:
    """Whether to retry after an error."""
    if error.code() in _UNKNOWN:
        return elapsed_s < min(unknown_s, wait_s)
    return triage(error) is Fault.RETRIABLE and elapsed_s < wait_s


def ask_bounds(consumer: Consumer, topic: str, partition: int, wait_s: float) -> tuple[int, int]:
    """Returns the first offset of a partition that was found before, and the end of its committed records.

    The topic may be so new that a busy broker does not list the partition yet, and the client keeps that answer.

    Raises:
        KafkaException: the error is not transient, or persists.
    """
    tp, attempt_s = TopicPartition(topic, partition), min(wait_s, ATTEMPT_S)

    def call() -> tuple[int, int]:
        try:
            return consumer.get_watermark_offsets(tp, timeout=attempt_s)
        except KafkaException as failure:
            error = failure.args[0]
        if error.code() in _UNKNOWN:
            consumer.list_topics(topic, timeout=attempt_s)
        raise KafkaException(error)

    return ask(call, wait_s, unknown_s=wait_s)


def metadata_of(
    client: AdminClient | Consumer | Producer, settings: Settings, wait_s: float, topic: str | None = None
) -> ClusterMetadata:
    """Returns the metadata of the cluster and its topics.

    Args:
        client: the client to use.
        settings: the client's settings.
        wait_s: how long to wait for an answer, in seconds; a failure of TLS or authentication is raised earlier.
        topic: the only topic to request; None requests all.

    Raises:
        BrokerError: no broker answers; the message says why.
    """
    ends_at = time.monotonic() + wait_s
    while True:
        try:
            return client.list_topics(topic, timeout=max(0.0, min(ATTEMPT_S, ends_at - time.monotonic())))
        except KafkaException as failure:
            error = failure.args[0]
        reason = _reason(settings)
        ends = time.monotonic() >= ends_at or triage(error) is not Fault.RETRIABLE
        if ends or (reason is not None and reason.code() in _AUTHENTICATION_ERRORS):
            raise BrokerError(unreachable(settings, (reason or error).str()))


def find_partitions(
    client: AdminClient | Consumer | Producer,
    settings: Settings,
    topic: str,
    wait_s: float,
    operation: Operation = Operation.READ,
) -> list[int]:
    """Returns the partitions of a topic. It waits for a topic that was just created.

    Args:
        client: the client to use.
        settings: the client's settings.
        topic: the topic.
        wait_s: how long to wait for an answer, in seconds.
        operation: the operation on the topic that the client needs, for the message if its right is missing.

    Raises:
        TopicsError: the topic is missing.
        BrokerError: no broker answers, or one returns an error.
    """

    def call() -> list[int]:
        metadata = metadata_of(client, settings, wait_s, topic).topics[topic]
        error = _error_of(metadata)
        if error is not None:
            raise KafkaException(error)
        return sorted(metadata.partitions)

    try:
        return ask(call, wait_s)
    except KafkaException as failure:
        error = failure.args[0]
        right = to_topic(operation, topic)
        if error.code() in _UNKNOWN:
            raise TopicsError(missing_topic(right, settings)) from failure
        raise BrokerError(f"topic {topic} cannot be used: {with_hint(error, settings, right)}") from failure


def why_unlisted(client: AdminClient | Consumer | Producer, settings: Settings, right: Right, wait_s: float) -> str:
    """Explains why the brokers do not list a topic: it does not exist, or a right to it is missing.

    In a list of all topics, brokers omit those to which a client has no right; in a request by name, they report it.

    Args:
        client: the client to use.
        settings: the client's settings.
        right: the right to the topic that the client needs.
        wait_s: how long to wait for an answer, in seconds.

    Raises:
        BrokerError: no broker answers.
    """
    error = metadata_of(client, settings, wait_s, right.name).topics[right.name].error
    if error is not None and missing([right], error.code()):
        return f"no permission on topic {right.name}: {with_hint(error, settings, right)}"
    return missing_topic(right, settings)


def _error_of(topic: TopicMetadata) -> KafkaError | None:
    """Returns the first error of a topic or its partitions; an unavailable replica does not prevent reading."""
    errors = [topic.error, *(partition.error for partition in topic.partitions.values())]
    return next((e for e in errors if e is not None and e.code() != KafkaError.REPLICA_NOT_AVAILABLE), None)


def cannot_be_read(what: str, error: KafkaError, consumer: Consumer, settings: Settings, *needed: Right) -> BrokerError:
    """Returns the error for a failed request for `what`; if no broker answers another one either, the reason.

    It sends requests: it must not be called in an `except` block.
    """
    if error.code() in _NO_ANSWER:
        try:
            metadata_of(consumer, settings, _REASON_S)
        except BrokerError as unreachable_error:
            return unreachable_error
    return BrokerError(f"{what} cannot be read: {with_hint(error, settings, *needed)}")


def unreachable(settings: Settings, why: str) -> str:
    """Returns the message for brokers that do not answer."""
    return (
        f"cannot connect to Kafka at {settings.bootstrap_servers} ({why}): is it running, is bootstrap_servers "
        "correct, and do security.protocol and the sasl.* properties under [kafka] match the broker's?"
    )


def _reason(settings: Settings) -> KafkaError | None:
    """Returns why no broker answers, from error events: unlike a failed call's error, they name TLS and passwords."""
    events: list[KafkaError] = []
    config: dict[str, Any] = {**client_config(settings), "error_cb": events.append}
    admin = AdminClient(config)
    with suppress(KafkaException):
        admin.list_topics(timeout=_REASON_S)
    admin.poll(0)
    return next((event for event in events if event.code() != KafkaError._ALL_BROKERS_DOWN), None)
