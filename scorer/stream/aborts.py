"""Decides what follows an aborted batch: another attempt after a pause, or an error that says why none can succeed."""

import time
from collections.abc import Callable
from typing import Final

from confluent_kafka import KafkaError

from schemas.rights import Operation, Right, to_topic
from scorer.errors import BrokerError, TopicsError
from scorer.logs import BATCH_ABORTED, DEAD_LETTERS_ARE_POINTERS, log
from scorer.settings import Settings
from scorer.stream.admin import batch_limits, lacking
from scorer.stream.delivery import Delivery, Refused
from scorer.stream.explain import refusal
from scorer.stream.faults import Fault, cause_of_abort
from scorer.stream.rights import to_own_group, to_own_topics, to_own_transactions
from scorer.stream.topic_ids import TopicIdentity

# Maximum number of consecutive aborts; with the pauses between them, about half a minute.
_ABORTS_IN_A_ROW_MAX: Final = 10
_BACKOFF_S_MAX: Final = 5.0
# Size of a record in addition to its value and headers: the key and Kafka's framing.
_FRAMING_BYTES: Final = 1_000


class Aborts:
    """Counts the consecutive aborts of a link's batches."""

    def __init__(
        self, settings: Settings, identity: TopicIdentity, delivery: Delivery, should_stop: Callable[[], bool]
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._delivery = delivery
        self._should_stop = should_stop
        self._in_a_row = 0
        """The number of aborts since the last commit. Set by `count` and `end`, in the loop's thread."""

    def end(self) -> None:
        """A batch was committed."""
        self._in_a_row = 0

    def count(self, cause: Refused) -> None:
        """Counts an aborted batch, which is retried.

        Raises:
            BrokerError, TopicsError: the next attempt would fail in the same way, or no attempt is left.
        """
        self._raise_if_permanent(cause)
        self._in_a_row += 1
        log(BATCH_ABORTED, topic=self._settings.applications_topic, error=cause.error.str())

    def pause(self) -> None:
        """Waits before the next attempt, longer after each abort."""
        time.sleep(min(0.05 * 2**self._in_a_row, _BACKOFF_S_MAX))

    def _raise_if_permanent(self, cause: Refused) -> None:
        """Raises if the next attempt would fail in the same way, or if no attempt is left."""
        error = cause.error
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE and cause.topic:
            if cause.topic == self._settings.dead_letters_topic and self._delivery.point_to_large_records():
                log(DEAD_LETTERS_ARE_POINTERS, topic=cause.topic)
                return
            raise TopicsError(self._too_large(cause))
        if cause_of_abort(error) is Fault.NON_RETRIABLE:
            what = f"topic {cause.topic}" if cause.topic else "this worker"
            raise BrokerError(refusal(error, what, self._settings, *self._delivery_rights(cause)))
        if self._should_stop():
            raise BrokerError(
                f"shutdown timeout ({self._settings.shutdown_timeout_s:g} s) elapsed before the batch was committed "
                f"({error.str()}); it will be processed again"
            )
        if self._in_a_row >= _ABORTS_IN_A_ROW_MAX:
            topic = f" (topic {cause.topic})" if cause.topic else ""
            raise BrokerError(
                f"{self._in_a_row + 1} consecutive batches were aborted, the last one{topic} with: {error.str()}"
            )

    def _delivery_rights(self, cause: Refused) -> list[Right]:
        """Returns the rights that a delivery needs; brokers do not say for which topic a transaction lacks a right."""
        rights = [to_own_group(self._settings, Operation.READ), to_own_transactions(self._settings)]
        if cause.topic:
            return [to_topic(Operation.WRITE, cause.topic), *rights]
        if cause.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            own = to_own_topics(self._settings)
            return lacking(self._settings, own) or own
        return rights

    def _too_large(self, cause: Refused) -> str:
        limit = batch_limits(self._settings, self._identity.admin)[cause.topic]
        if cause.size_bytes + _FRAMING_BYTES < limit:
            return (
                f"topic {cause.topic} rejected a batch, although each record is smaller than its max.message.bytes "
                f"({limit}): the limit was lowered while this worker was running. Restart it to send smaller batches"
            )
        return (
            f"topic {cause.topic} rejected a record of {cause.size_bytes} bytes as too large: raise its "
            f"max.message.bytes, which is {limit}; see `scorer topics check`"
        )
