"""Client for publishers in Python: validates applications, sends them, and can wait for a decision.

    with ApplicationPublisher(Settings(bootstrap_servers="kafka:9092")) as publisher:
        for application in applications:
            publisher.publish(application)

Leaving the block waits until the broker has acknowledged all records, or raises `NotDeliveredError`.
"""

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final, Self, TypeAlias

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from producer.errors import (
    DecisionTimeoutError,
    Fault,
    InvalidApplicationError,
    NotDeliveredError,
    RejectedError,
)
from producer.kafka import TopicTail, Trouble, ask_for_right, find_partitions, open_client
from producer.outcomes import place_of, read_outcome, source_of
from producer.settings import Settings
from producer.validation import validate_application
from schemas.application import CreditApplication
from schemas.decision import Decision
from schemas.files import dump_application
from schemas.lossless import LOSSLESS
from schemas.records import Malformed, Mark
from schemas.rights import Operation, missing, to_topic

# Time for the broker to acknowledge a record before it counts as failed. librdkafka's default of five minutes is longer
# than a user at a terminal, or a request, waits to learn that the broker is down.
_DELIVERY_MS: Final = 30_000
# How long to block in librdkafka before checking whether the caller was interrupted.
_SLICE_S: Final = 0.1

_OnDelivery: TypeAlias = Callable[[KafkaError | None, Message], None]


class ApplicationPublisher:
    """Sends applications to the scorer's input topic; use it as a context manager.

    Sending is idempotent: retries do not lose, duplicate or reorder records. The client is not thread-safe.

    Attributes:
        sent: records handed to librdkafka.
        acknowledged: records acknowledged by the broker.
        failed: records that the broker rejected, or did not acknowledge in time.
    """

    def __init__(self, settings: Settings | None = None, headers: Mapping[str, str] | None = None) -> None:
        """Opens the client; no request is sent to the broker until the block is entered.

        Args:
            settings: brokers, topics and librdkafka properties; `producer.settings.load_settings()` reads those of the
                command line. The properties override the defaults of this class, except for idempotence.
            headers: headers to add to every record.

        Raises:
            MisuseError: librdkafka rejects a property.
        """
        self.sent = self.acknowledged = self.failed = 0
        self._settings = settings or Settings()
        self._headers: list[tuple[str, str | bytes | None]] | None = list(headers.items()) if headers else None
        self._needed = to_topic(Operation.WRITE, self._settings.applications_topic)
        self._trouble = Trouble()
        self._failure = self._fatal_reason = ""
        self._producer = open_client(
            Producer,
            self._settings,
            self._trouble,
            defaults={
                "message.timeout.ms": _DELIVERY_MS,
                "partitioner": "murmur2_random",  # as in Java clients: a key's partition is the same for all clients
            },
            required=LOSSLESS,
        )

    def publish(self, application: CreditApplication | Mapping[str, object]) -> None:
        """Validates an application and sends it, without waiting for the acknowledgement.

        Args:
            application: the contract's fields by name; any other fields are sent, too.

        Raises:
            InvalidApplicationError: the scorer would reject it; it was not sent.
        """
        key, value = _write(application)
        self.send(key, value)

    def send(self, key: bytes | None, value: bytes, timestamp_ms: int = 0) -> None:
        """Sends a record without validating it; blocks while the client's queue is full.

        Args:
            key: the application's id in UTF-8.
            value: the application as JSON.
            timestamp_ms: the record's timestamp, in milliseconds since 1970; 0 is now.
        """
        while not self.try_send(key, value, timestamp_ms):
            self.poll(_SLICE_S)

    def try_send(self, key: bytes | None, value: bytes, timestamp_ms: int = 0) -> bool:
        """Sends a record like `send`; returns False at once, without sending it, if the client's queue is full."""
        return self._produce(key, value, timestamp_ms, self._count)

    def poll(self, timeout_s: float) -> None:
        """Processes acknowledgements for up to `timeout_s` seconds."""
        try:
            self._producer.poll(timeout_s)
        except KafkaException as error:
            self._note_fatal(error.args[0])

    def drain(self, timeout_s: float | None = None) -> int:
        """Waits until every record sent is acknowledged or failed.

        Args:
            timeout_s: maximum time to wait, in seconds; None waits until delivery times out (30 s).

        Returns:
            The number of records that are neither.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            while waiting := self._producer.flush(_SLICE_S):
                if deadline_s is not None and time.monotonic() >= deadline_s:
                    return waiting
        except KafkaException as error:
            self._note_fatal(error.args[0])
            return len(self._producer)
        return 0

    def flush(self, timeout_s: float | None = None) -> None:
        """Waits like `drain`, and raises an error if any record failed.

        Raises:
            NotDeliveredError: records failed since the client was opened, or are not acknowledged yet.
        """
        waiting = self.drain(timeout_s)
        if self.failed or waiting:
            reason = self._fatal_reason or self._failure or self._trouble.reason or "no acknowledgement in time"
            raise NotDeliveredError(f"{self.failed + waiting} of {self.sent} applications were not delivered: {reason}")

    def decide(self, application: CreditApplication | Mapping[str, object], timeout_s: float = 10.0) -> Decision:
        """Sends one application and waits for its decision.

        Args:
            application: the application, as for `publish`.
            timeout_s: maximum time in seconds, including sending.

        Raises:
            InvalidApplicationError: the scorer would reject it; it was not sent.
            NotDeliveredError: it was not acknowledged in time.
            RejectedError: the scorer rejected it; it is a dead letter now.
            DecisionTimeoutError: it is on the topic, but was not decided in time.
        """
        key, value = _write(application)
        deadline_s = time.monotonic() + timeout_s
        topics = (self._settings.decisions_topic, self._settings.dead_letters_topic)
        # If brokers create topics on use, a producer's metadata request creates the topic, and a consumer's does not.
        for topic in topics:
            find_partitions(self._producer, to_topic(Operation.READ, topic), self._settings, self._trouble)
        with TopicTail(self._settings, topics) as tail:
            delivered = self._deliver(key, value, deadline_s)
            while (left_s := deadline_s - time.monotonic()) > 0:
                message = tail.poll(min(left_s, _SLICE_S))
                if message is None or message.key() != key:
                    continue
                result = read_outcome(message, self._settings.dead_letters_topic)
                if isinstance(result, Malformed | Mark) or source_of(result) != place_of(delivered):
                    continue
                if isinstance(result, Decision):
                    return result
                raise RejectedError(result.code, result.reason)
        raise DecisionTimeoutError(
            f"not decided within {timeout_s:g} s. The application is on {delivered.topic()}, partition "
            f"{delivered.partition()}, offset {delivered.offset()}, and a worker will decide it: is one running?"
        )

    def _deliver(self, key: bytes, value: bytes, deadline_s: float) -> Message:
        """Sends one record, and returns it with its partition and offset once it is acknowledged."""
        acknowledged: list[Message] = []

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            self._count(error, message)
            if error is None:
                acknowledged.append(message)

        failed_before = self.failed
        while not self._produce(key, value, 0, on_delivery):
            self.poll(_SLICE_S)
        self.drain(max(0.0, deadline_s - time.monotonic()))
        if not acknowledged:
            reason = self._fatal_reason or (self._failure if self.failed > failed_before else self._trouble.reason)
            raise NotDeliveredError(f"the application was not delivered: {reason or 'no acknowledgement in time'}")
        return acknowledged[0]

    def _produce(self, key: bytes | None, value: bytes, timestamp_ms: int, on_delivery: _OnDelivery) -> bool:
        topic = self._settings.applications_topic
        try:
            self._producer.produce(
                topic, value, key, timestamp=timestamp_ms, headers=self._headers, on_delivery=on_delivery
            )
        except BufferError:
            return False
        except KafkaException as error:  # the record is too large, or the client has a fatal error
            self._note_failure(error.args[0])
        self.sent += 1
        self.poll(0)
        return True

    def _count(self, error: KafkaError | None, _: Message) -> None:
        if error is None:
            self.acknowledged += 1
        else:
            self._note_failure(error)

    def _note_failure(self, error: KafkaError) -> None:
        self.failed += 1
        self._failure = error.str()
        if missing([self._needed], error.code()):
            self._note_fatal(error)

    def _note_fatal(self, error: KafkaError) -> None:
        """Keeps the first reason why the client cannot continue; later errors only repeat that it cannot."""
        if not self._fatal_reason:
            self._fatal_reason = error.str()
            if missing([self._needed], error.code()):
                self._fatal_reason += f". {ask_for_right(self._needed, self._settings)}"

    def __enter__(self) -> Self:
        """Verifies that a broker responds and has the topic.

        Raises:
            BrokerUnreachableError: no broker responds.
            TopicMissingError: the topic does not exist.
            NotAllowedError: this user is not authorized to write to it.
        """
        find_partitions(self._producer, self._needed, self._settings, self._trouble)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()
        else:
            self._producer.purge()  # the block failed: queued records must not be sent later


def _write(application: CreditApplication | Mapping[str, object]) -> tuple[bytes, bytes]:
    """Validates an application, and returns the key and value of its record."""
    fields = application.model_dump(exclude_unset=True) if isinstance(application, CreditApplication) else application
    try:
        value = dump_application(fields)
    except (TypeError, ValueError) as error:
        raise InvalidApplicationError((Fault("", f"cannot be written as JSON: {type(error).__name__}"),)) from None
    return validate_application(value).application_id.encode(), value
