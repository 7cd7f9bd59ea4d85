"""Asks the brokers: transient errors are retried here, for every command; all others say why no answer came."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, ClusterMetadata, TopicMetadata

from schemas.rights import Operation, Right, missing, to_topic
from scorer.errors import BrokerError, TopicsError
from scorer.settings import Settings
from scorer.stream.explain import with_hint
from scorer.stream.faults import Fault, triage
from scorer.stream.librdkafka import client_config
from scorer.stream.rights import missing_topic

T = TypeVar("T")

# After so long without an answer it is asked why, and asked again if the reason is one that may pass.
_ATTEMPT_S: Final = 5.0
_REASON_S: Final = 2.0
# A wrong password or authority stays wrong.
_REFUSALS: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL})
# A topic that was created a moment ago is not known to every broker yet: within a second, unless they are very busy.
_NEW_TOPIC_S: Final = 5.0
_UNKNOWN: Final = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}
)
# Between two attempts.
_PAUSE_S: Final = 0.1


def ask(call: Callable[[], T], wait_s: float) -> T:
    """Asks until there is an answer: after a transient error again, and for some seconds where a topic is unknown.

    Transient are leaders and coordinators that are being elected, moved or loaded, and connections that fail.

    Args:
        call: asks once, with a time limit of its own. Answers that have an error for each partition must raise it.
        wait_s: for how long to ask again.

    Raises:
        KafkaException: the error is not transient, or lasts.
    """
    began_at = time.monotonic()
    while True:
        try:
            return call()
        except KafkaException as failure:
            if not _may_pass(failure.args[0], time.monotonic() - began_at, wait_s):
                raise
            time.sleep(_PAUSE_S)


def _may_pass(error: KafkaError, asked_s: float, wait_s: float) -> bool:
    """Whether to ask again after an error."""
    if error.code() in _UNKNOWN:
        return asked_s < min(_NEW_TOPIC_S, wait_s)
    return triage(error) is Fault.RETRIABLE and asked_s < wait_s


def metadata_of(
    client: AdminClient | Consumer | Producer, settings: Settings, wait_s: float, topic: str | None = None
) -> ClusterMetadata:
    """What the brokers say of themselves and of their topics.

    Args:
        client: asks.
        settings: those that the client was made with.
        wait_s: for how long to wait for an answer; where TLS or the password is refused it does not take as long.
        topic: the only one to ask for; None asks for all.

    Raises:
        BrokerError: no broker answers, and why.
    """
    ends_at = time.monotonic() + wait_s
    while True:
        try:
            return client.list_topics(topic, timeout=max(0.0, min(_ATTEMPT_S, ends_at - time.monotonic())))
        except KafkaException as failure:
            error, reason = failure.args[0], _reason(settings)
            ends = time.monotonic() >= ends_at or triage(error) is not Fault.RETRIABLE
            if ends or (reason is not None and reason.code() in _REFUSALS):
                raise BrokerError(unreachable(settings, (reason or error).str())) from failure


def find_partitions(
    client: AdminClient | Consumer | Producer,
    settings: Settings,
    topic: str,
    wait_s: float,
    operation: Operation = Operation.READ,
) -> list[int]:
    """The partitions of a topic. One that was created a moment ago is waited for.

    Args:
        client: asks.
        settings: those that the client was made with.
        topic: whose partitions.
        wait_s: for how long to wait for an answer.
        operation: what the client wants of the topic, for the message if the right to it is missing.

    Raises:
        TopicsError: the topic is missing.
        BrokerError: no broker answers, or it says no.
    """

    def call() -> list[int]:
        found = metadata_of(client, settings, wait_s, topic).topics[topic]
        error = _error_of(found)
        if error is not None:
            raise KafkaException(error)
        return sorted(found.partitions)

    try:
        return ask(call, wait_s)
    except KafkaException as failure:
        error = failure.args[0]
        right = to_topic(operation, topic)
        if error.code() in _UNKNOWN:
            raise TopicsError(missing_topic(right, settings)) from failure
        raise BrokerError(f"topic {topic} cannot be used: {with_hint(error, settings, right)}") from failure


def why_unlisted(client: AdminClient | Consumer | Producer, settings: Settings, right: Right, wait_s: float) -> str:
    """Why a topic is not among all those that the brokers list: it is missing, or a right to it is.

    Asked for all topics, brokers leave out those to which a client has no right; asked by its name, they say so.

    Args:
        client: asks.
        settings: those that the client was made with.
        right: the right to the topic that the client needs.
        wait_s: for how long to wait for an answer.

    Raises:
        BrokerError: no broker answers.
    """
    error = metadata_of(client, settings, wait_s, right.name).topics[right.name].error
    if error is not None and missing([right], error.code()):
        return f"no right to topic {right.name}: {with_hint(error, settings, right)}"
    return missing_topic(right, settings)


def _error_of(topic: TopicMetadata) -> KafkaError | None:
    """The first error of a topic or of one of its partitions; a replica that is away keeps nobody from reading."""
    errors = [topic.error, *(partition.error for partition in topic.partitions.values())]
    return next((e for e in errors if e is not None and e.code() != KafkaError.REPLICA_NOT_AVAILABLE), None)


def unreachable(settings: Settings, why: str) -> str:
    """The message for brokers that do not answer."""
    return (
        f"no Kafka broker answers at {settings.bootstrap_servers} ({why}): is it running, is bootstrap_servers right, "
        "and do security.protocol and the sasl.* properties under [kafka] fit it?"
    )


def _reason(settings: Settings) -> KafkaError | None:
    """Why no broker answers, as a client's events say it: they name TLS and passwords, a failed call does not."""
    events: list[KafkaError] = []
    config: dict[str, Any] = {**client_config(settings), "error_cb": events.append}
    admin = AdminClient(config)
    with suppress(KafkaException):
        admin.list_topics(timeout=_REASON_S)
    admin.poll(0)
    return next((event for event in events if event.code() != KafkaError._ALL_BROKERS_DOWN), None)
