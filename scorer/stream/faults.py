"""Kafka's errors: which pass by themselves, which no waiting mends, and which end the process."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from scorer.errors import BrokerError
from scorer.logs import BROKER_RETRIED, log

T = TypeVar("T")

# One attempt of a call that is tried again; short, so that a stop is noticed between two.
ATTEMPT_S: Final = 5.0
# The pause between two attempts where the broker answers at once that it cannot yet.
_PAUSE_S: Final = 0.2

_FENCED: Final = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.FENCED_INSTANCE_ID,
    }
)
# What passes by itself. Only transactional calls say so of their own errors; these are those of the consumer's.
_PASSING: Final = frozenset(
    {
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._WAIT_COORD,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
    }
)
# What no waiting mends.
HOPELESS: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError.INCONSISTENT_GROUP_PROTOCOL,
    }
)


def is_fatal(error: KafkaError) -> bool:
    """Whether the client has given up for good; an event of the consumer's says so by its code alone."""
    return error.fatal() or error.code() == KafkaError._FATAL or error.code() in _FENCED


def may_pass(error: KafkaError) -> bool:
    """Whether the same call can work in a moment."""
    return error.retriable() or error.code() in _PASSING


def again(call: Callable[[], T], giving_up: Callable[[], bool]) -> T:
    """Calls until it works, as long as the failure is one that may pass.

    Args:
        call: what to do.
        giving_up: asked between two attempts; True when a stop may wait no longer.

    Raises:
        KafkaException: the failure is not one that passes.
        BrokerError: giving up.
    """
    while True:
        try:
            return call()
        except KafkaException as failure:
            error = failure.args[0]
            if not may_pass(error):
                raise
            if giving_up():
                raise BrokerError(
                    f"the drain is over and the broker did not answer ({error.str()}); "
                    "nothing is lost, the next worker decides the batch again"
                ) from failure
            log(BROKER_RETRIED, error=error.str())
            time.sleep(_PAUSE_S)


def all_right(found: list[TopicPartition] | None) -> list[TopicPartition]:
    """The partitions, if none of them has an error of its own.

    Raises:
        KafkaException: one of them has.
    """
    for tp in found or ():
        if tp.error is not None:
            raise KafkaException(tp.error)
    return found or []
