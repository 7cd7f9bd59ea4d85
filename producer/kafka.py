"""The Kafka clients: properties, error reporting, metadata, and sending."""

import time
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from producer.errors import (
    BrokerUnreachableError,
    MisuseError,
    NotAllowedError,
    NotDeliveredError,
    TopicMissingError,
)
from producer.settings import Settings
from schemas.lossless import LOSSLESS
from schemas.rights import (
    Operation,
    Right,
    ask_for,
    missing,
    missing_topic,
    principal_of,
    to_topic,
)

# Long enough for a distant broker and a TLS handshake, short enough that the command does not seem to hang.
ANSWER_S: Final = 5.0
# Rejected connections are reported at once; if they persist for this long, they are treated as permanent.
_UNREACHABLE_S: Final = 1.0
RETRY_S: Final = 0.05
# Errors of a topic that was just created: not every broker knows it yet, or it has no leader.
_NEW_TOPIC_ERRORS: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.LEADER_NOT_AVAILABLE})
# Time for the broker to acknowledge a record before it counts as failed. librdkafka's default of five minutes is longer
# than a user at a terminal, or a request, waits to learn that the broker is down.
_DELIVERY_MS: Final = 30_000
# How long to block in librdkafka before checking whether the caller was interrupted.
SLICE_S: Final = 0.1

Properties = Mapping[str, str | int | bool]
Client = TypeVar("Client", Producer, Consumer)
_OnDelivery: TypeAlias = Callable[[KafkaError | None, Message], None]


class ClientErrors:
    """Keeps the last error that librdkafka reported, for use in messages.

    Attributes:
        reason: the last error; empty if there was none.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._all_down = False
        self._may_be_slow = False

    @property
    def is_unreachable(self) -> bool:
        """Whether every broker refuses connections or cannot be resolved, so that waiting longer is useless."""
        return self._all_down and not self._may_be_slow

    def note(self, error: KafkaError) -> None:
        """Notes an error event. ALL_BROKERS_DOWN does not replace the reason, as it is less specific."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._all_down = True
            return
        self.reason = error.str()
        is_permanent = error.code() == KafkaError._RESOLVE or "Connection refused" in self.reason
        self._may_be_slow = self._may_be_slow or not is_permanent


def open_client(
    kind: Callable[[dict[str, object]], Client],
    settings: Settings,
    client_errors: ClientErrors,
    *,
    defaults: Properties,
    required: Properties,
) -> Client:
    """Opens a client, which connects in the background.

    Args:
        kind: Producer or Consumer.
        settings: brokers and librdkafka properties; the properties override `defaults`, but not `required`.
        client_errors: receives every error event.
        defaults: properties that the user may override.
        required: properties that the caller's guarantees depend on.

    Raises:
        MisuseError: librdkafka rejects a property.
    """
    fixed = {**required, "bootstrap.servers": settings.bootstrap_servers, "error_cb": client_errors.note}
    try:
        # log_level 0 keeps librdkafka from writing to the terminal; its errors reach `trouble`.
        return kind({"log_level": 0, **defaults, **settings.kafka, **fixed})
    except KafkaException as error:
        raise MisuseError(f"invalid librdkafka property: {error.args[0].str()}") from None


def find_partitions(
    client: Producer | Consumer, right: Right, settings: Settings, client_errors: ClientErrors, *, is_new: bool = True
) -> list[int]:
    """Requests the partitions of a topic.

    Args:
        client: the client that sends the request.
        right: the client's required right to the topic.
        settings: the client's settings.
        client_errors: the client's errors.
        is_new: whether the topic may have been created just now, and is waited for.

    Raises:
        BrokerUnreachableError: no broker responds.
        TopicMissingError: the topic does not exist.
        NotAllowedError: this user is not authorized.
    """
    topic = right.name
    start_s = time.monotonic()
    while True:
        try:
            metadata = client.list_topics(topic, timeout=_UNREACHABLE_S).topics[topic]
        except KafkaException as error:
            client.poll(0)  # hands over the error events so far
            waited_s = time.monotonic() - start_s
            if waited_s >= ANSWER_S or client_errors.is_unreachable:
                raise BrokerUnreachableError(
                    f"could not connect to Kafka at {settings.bootstrap_servers} within {waited_s:.0f} s: "
                    f"{client_errors.reason or error.args[0].str()}. Is it running, and is the address correct? "
                    "Set it with --bootstrap-servers, SCORER_BOOTSTRAP_SERVERS or scorer.toml"
                ) from None
            continue
        if metadata.error is None:
            return sorted(metadata.partitions)
        waits = is_new and metadata.error.code() in _NEW_TOPIC_ERRORS and time.monotonic() - start_s < ANSWER_S
        if not waits:
            message = f"the topic {topic} at {settings.bootstrap_servers} cannot be used: {metadata.error.str()}"
            if missing([right], metadata.error.code()):
                raise NotAllowedError(f"{message}. {ask_for_right(right, settings)}")
            raise TopicMissingError(f"{message}. {missing_topic(right, settings.kafka, settings.bootstrap_servers)}")
        time.sleep(RETRY_S)


def ask_for_right(right: Right, settings: Settings) -> str:
    """Describes the permission that an administrator must grant to this client, with the command."""
    return ask_for([right], principal_of(settings.kafka), settings.bootstrap_servers)


class Sender:
    """Sends records to the applications topic, and counts acknowledged and failed ones.

    Attributes:
        sent: records handed to librdkafka.
        acknowledged: records acknowledged by the broker.
        failed: records that the broker rejected, or did not acknowledge in time.
    """

    def __init__(self, settings: Settings, headers: Mapping[str, str]) -> None:
        """Opens the client, without a request to the broker.

        Raises:
            MisuseError: librdkafka rejects a property.
        """
        self.sent = self.acknowledged = self.failed = 0
        self._settings = settings
        self._headers: list[tuple[str, str | bytes | None]] | None = list(headers.items()) if headers else None
        self._needed = to_topic(Operation.WRITE, self._settings.applications_topic)
        self._client_errors = ClientErrors()
        self._failure = self._fatal_reason = ""
        self._producer = open_client(
            Producer,
            self._settings,
            self._client_errors,
            defaults={
                "message.timeout.ms": _DELIVERY_MS,
                "partitioner": "murmur2_random",  # as in Java clients: a key's partition is the same for all clients
            },
            required=LOSSLESS,
        )

    def send(self, key: bytes | None, value: bytes, timestamp_ms: int = 0) -> None:
        """Sends a record without validating it; blocks while the client's queue is full.

        Args:
            key: the application's id in UTF-8.
            value: the application as JSON.
            timestamp_ms: the record's timestamp, in milliseconds since 1970; 0 is now.
        """
        while not self.try_send(key, value, timestamp_ms):
            self.poll(SLICE_S)

    def try_send(self, key: bytes | None, value: bytes, timestamp_ms: int = 0) -> bool:
        """Sends a record like `send`; returns False at once, without sending it, if the client's queue is full."""
        return self._produce(key, value, timestamp_ms, self._count)

    def poll(self, timeout_s: float) -> None:
        """Processes acknowledgements for up to `timeout_s` seconds."""
        try:
            self._producer.poll(timeout_s)
        except KafkaException as error:
            self._note_fatal(error.args[0])

    def wait_for_delivery(self, timeout_s: float | None = None) -> int:
        """Waits until every record sent is acknowledged or failed.

        Args:
            timeout_s: maximum time to wait, in seconds; None waits until delivery times out (30 s).

        Returns:
            The number of records that are neither.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            while waiting := self._producer.flush(SLICE_S):
                if deadline_s is not None and time.monotonic() >= deadline_s:
                    return waiting
        except KafkaException as error:
            self._note_fatal(error.args[0])
            return len(self._producer)
        return 0

    def _deliver(self, key: bytes, value: bytes, deadline_s: float) -> Message:
        """Sends one record, and returns it with its partition and offset once it is acknowledged."""
        acknowledged: list[Message] = []

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            self._count(error, message)
            if error is None:
                acknowledged.append(message)

        failed_before = self.failed
        while not self._produce(key, value, 0, on_delivery):
            self.poll(SLICE_S)
        self.wait_for_delivery(max(0.0, deadline_s - time.monotonic()))
        if not acknowledged:
            raise NotDeliveredError(f"the application was not delivered: {self._reason(failed_before)}")
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

    def _reason(self, failed_before: int = 0) -> str:
        """Returns why records were not delivered; the first `failed_before` failures are ignored."""
        failure = self._failure if self.failed > failed_before else ""
        return self._fatal_reason or failure or self._client_errors.reason or "no acknowledgement in time"

    def _require_topic(self, right: Right) -> None:
        """Verifies that a topic exists; raises what `find_partitions` raises."""
        find_partitions(self._producer, right, self._settings, self._client_errors)
