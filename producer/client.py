"""The client for publishers in Python: checks applications, sends them, and can wait for one's decision.

    with ApplicationPublisher(Settings(bootstrap_servers="kafka:9092")) as publisher:
        for application in applications:
            publisher.publish(application)

Leaving the block waits until the broker has acknowledged everything, or raises `NotDeliveredError`.
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
from schemas.records import Malformed, Mark
from schemas.rights import Operation, missing, to_topic

# How long the broker has to acknowledge a record before it counts as failed. librdkafka would try for five minutes,
# which is longer than anybody at a terminal, or behind a request, waits to hear that the broker is gone.
_DELIVERY_MS: Final = 30_000
# How long to sleep in librdkafka before looking whether the caller was interrupted.
_SLICE_S: Final = 0.1

_OnDelivery: TypeAlias = Callable[[KafkaError | None, Message], None]


class ApplicationPublisher:
    """Sends applications to the scorer's input topic; use it as a context manager.

    Sending is idempotent: retries neither lose nor repeat nor reorder. It is not safe for several threads at once.

    Attributes:
        sent: records handed over for sending.
        acknowledged: records that the broker has acknowledged.
        failed: records that the broker refused, or did not acknowledge in time.
    """

    def __init__(self, settings: Settings | None = None, headers: Mapping[str, str] | None = None) -> None:
        """Opens the client; nothing is asked of the broker until the block is entered.

        Args:
            settings: where the brokers and topics are; `producer.settings.load_settings()` finds what the command line
                would. Its librdkafka properties go over this class's own, save for idempotence.
            headers: headers of every record sent.

        Raises:
            MisuseError: librdkafka refuses a property.
        """
        self.sent = self.acknowledged = self.failed = 0
        self._settings = settings or Settings()
        self._headers: list[tuple[str, str | bytes | None]] | None = list(headers.items()) if headers else None
        self._needed = to_topic(Operation.WRITE, self._settings.applications_topic)
        self._trouble = Trouble()
        self._failure = self._refusal = ""
        self._producer = open_client(
            Producer,
            self._settings,
            self._trouble,
            defaults={
                "message.timeout.ms": _DELIVERY_MS,
                "partitioner": "murmur2_random",  # as Java's clients: a key has one partition, whoever sends
            },
            required={
                "enable.idempotence": True,
                "acks": "all",
                # With several, librdkafka can report as written what a new leader refused.
                "max.in.flight.requests.per.connection": 1,
            },
        )

    def publish(self, application: CreditApplication | Mapping[str, object]) -> None:
        """Checks an application and sends it, without waiting for the acknowledgement.

        Args:
            application: the contract's fields by name; fields of the publisher's own are sent along.

        Raises:
            InvalidApplicationError: the scorer would reject it; it was not sent.
        """
        key, value = _write(application)
        self.send(key, value)

    def send(self, key: bytes | None, value: bytes, timestamp_ms: int = 0) -> None:
        """Sends a record without looking at it; waits while the client's queue is full.

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
        """Counts acknowledgements, for at most so many seconds."""
        try:
            self._producer.poll(timeout_s)
        except KafkaException as error:
            self._note_refusal(error.args[0])

    def drain(self, timeout_s: float | None = None) -> int:
        """Waits until every record sent is acknowledged or failed.

        Args:
            timeout_s: the longest wait in seconds; without it, as long as deliveries are tried at all (30 s).

        Returns:
            How many records are neither yet.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            while waiting := self._producer.flush(_SLICE_S):
                if end is not None and time.monotonic() >= end:
                    return waiting
        except KafkaException as error:
            self._note_refusal(error.args[0])
            return len(self._producer)
        return 0

    def flush(self, timeout_s: float | None = None) -> None:
        """Waits like `drain`, and accepts no failure.

        Raises:
            NotDeliveredError: records failed since the client was opened, or are not acknowledged yet.
        """
        waiting = self.drain(timeout_s)
        if self.failed or waiting:
            why = self._refusal or self._failure or self._trouble.reason or "no acknowledgement in time"
            raise NotDeliveredError(f"{self.failed + waiting} of {self.sent} applications were not delivered: {why}")

    def decide(self, application: CreditApplication | Mapping[str, object], timeout_s: float = 10.0) -> Decision:
        """Sends one application and waits for its decision.

        Args:
            application: as for `publish`.
            timeout_s: the longest wait in seconds, the sending included.

        Raises:
            InvalidApplicationError: the scorer would reject it; it was not sent.
            NotDeliveredError: it was not acknowledged in time.
            RejectedError: the scorer could not decide it; it is a dead letter now.
            DecisionTimeoutError: it is on the topic and there is no decision yet.
        """
        key, value = _write(application)
        end = time.monotonic() + timeout_s
        topics = (self._settings.decisions_topic, self._settings.dead_letters_topic)
        for topic in topics:  # where a broker creates topics on use, a producer's question is use, a consumer's is not
            find_partitions(self._producer, to_topic(Operation.READ, topic), self._settings, self._trouble)
        with TopicTail(self._settings, topics) as tail:
            placed = self._deliver(key, value, end)
            while (left_s := end - time.monotonic()) > 0:
                message = tail.poll(min(left_s, _SLICE_S))
                if message is None or message.key() != key:
                    continue
                outcome = read_outcome(message, self._settings.dead_letters_topic)
                if isinstance(outcome, Malformed | Mark) or source_of(outcome) != place_of(placed):
                    continue
                if isinstance(outcome, Decision):
                    return outcome
                raise RejectedError(outcome.code, outcome.reason)
        raise DecisionTimeoutError(
            f"not decided within {timeout_s:g} s. The application is on {placed.topic()}, partition "
            f"{placed.partition()}, offset {placed.offset()}; a worker that gets there will decide it: does one run?"
        )

    def _deliver(self, key: bytes, value: bytes, end: float) -> Message:
        """Sends one record, and returns it with its place on the topic once it is acknowledged."""
        placed: list[Message] = []

        def place(error: KafkaError | None, message: Message) -> None:
            self._count(error, message)
            if error is None:
                placed.append(message)

        failed_before = self.failed
        while not self._produce(key, value, 0, place):
            self.poll(_SLICE_S)
        self.drain(max(0.0, end - time.monotonic()))
        if not placed:
            why = self._refusal or (self._failure if self.failed > failed_before else self._trouble.reason)
            raise NotDeliveredError(f"the application was not delivered: {why or 'no acknowledgement in time'}")
        return placed[0]

    def _produce(self, key: bytes | None, value: bytes, timestamp_ms: int, on_delivery: _OnDelivery) -> bool:
        topic = self._settings.applications_topic
        try:
            self._producer.produce(
                topic, value, key, timestamp=timestamp_ms, headers=self._headers, on_delivery=on_delivery
            )
        except BufferError:
            return False
        except KafkaException as error:  # more than the broker takes in one record, or the client is beyond repair
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
            self._note_refusal(error)

    def _note_refusal(self, error: KafkaError) -> None:
        """Notes why the client cannot continue; what comes after it only says that it cannot."""
        if not self._refusal:
            self._refusal = error.str()
            if missing([self._needed], error.code()):
                self._refusal += f". {ask_for_right(self._needed, self._settings)}"

    def __enter__(self) -> Self:
        """Makes sure that a broker answers and has the topic.

        Raises:
            BrokerUnreachableError: no broker answers.
            TopicMissingError: the topic does not exist.
            NotAllowedError: this user has no right to it.
        """
        find_partitions(self._producer, self._needed, self._settings, self._trouble)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()
        else:
            self._producer.purge()  # the block failed: what is still queued here must not be sent afterwards


def _write(application: CreditApplication | Mapping[str, object]) -> tuple[bytes, bytes]:
    """The key and the value of an application's record, once the contract has accepted them."""
    given = application.model_dump(exclude_unset=True) if isinstance(application, CreditApplication) else application
    try:
        value = dump_application(given)
    except (TypeError, ValueError) as error:
        raise InvalidApplicationError((Fault("", f"cannot be written as JSON: {type(error).__name__}"),)) from None
    return validate_application(value).application_id.encode(), value
