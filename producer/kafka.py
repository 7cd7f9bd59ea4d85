"""What the Kafka clients here share: properties, silence on the terminal, where topics begin and end."""

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Final, Self, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from producer.errors import (
    BrokerUnreachableError,
    MisuseError,
    NotAllowedError,
    PublisherError,
    TopicMissingError,
)
from producer.settings import Settings
from schemas.rights import (
    TAIL_GROUP,
    Operation,
    Right,
    ask_for,
    missing,
    missing_topic,
    principal_of,
    to_group,
    to_topic,
)

# Long enough for a broker far away and for a TLS handshake, short enough that nobody thinks the command hangs.
ANSWER_S: Final = 5.0
# Connections that are refused are known at once, and that they stay so after this.
_REFUSED_S: Final = 1.0
_RETRY_S: Final = 0.05
# Of a topic that was created a moment ago: not every broker knows it yet, or it has no leader.
_OF_NEW_TOPICS: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.LEADER_NOT_AVAILABLE})

Properties = Mapping[str, str | int | bool]
Client = TypeVar("Client", Producer, Consumer)


class Trouble:
    """Remembers what librdkafka last said was wrong, for the message if that turns out to matter.

    Attributes:
        reason: the last error; empty if there was none.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._all_down = False
        self._may_be_slow = False

    @property
    def nobody_listens(self) -> bool:
        """Whether every broker refuses connections or has no such host: more patience would not help."""
        return self._all_down and not self._may_be_slow

    def note(self, error: KafkaError) -> None:
        """Notes an error event. That all brokers are down says less than why one of them is."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._all_down = True
            return
        self.reason = error.str()
        refused = error.code() == KafkaError._RESOLVE or "Connection refused" in self.reason
        self._may_be_slow = self._may_be_slow or not refused


def open_client(
    kind: Callable[[dict[str, object]], Client],
    settings: Settings,
    trouble: Trouble,
    *,
    defaults: Properties,
    required: Properties,
) -> Client:
    """Opens a client, which connects by and by.

    Args:
        kind: Producer or Consumer.
        settings: where the brokers are; its librdkafka properties go over the defaults and under what is required.
        trouble: is told of every error event.
        defaults: properties that the user may set otherwise.
        required: properties on which the caller's promises rest.

    Raises:
        MisuseError: librdkafka refuses a property.
    """
    ours = {**required, "bootstrap.servers": settings.bootstrap_servers, "error_cb": trouble.note}
    try:
        # Without log_level librdkafka writes to the user's terminal; what matters of it reaches `trouble`.
        return kind({"log_level": 0, **defaults, **settings.kafka, **ours})
    except KafkaException as error:
        raise MisuseError(f"a librdkafka property is wrong: {error.args[0].str()}") from None


def find_partitions(client: Producer | Consumer, right: Right, settings: Settings, trouble: Trouble) -> list[int]:
    """Asks the broker for the partitions of a topic. One that was created a moment ago is waited for.

    Args:
        client: asks.
        right: what the client needs of the topic.
        settings: those of the client.
        trouble: what its error events said.

    Raises:
        BrokerUnreachableError: no broker answers.
        TopicMissingError: the topic does not exist.
        NotAllowedError: this user has no right to it.
    """
    topic = right.name
    began_s = time.monotonic()
    while True:
        try:
            found = client.list_topics(topic, timeout=_REFUSED_S).topics[topic]
        except KafkaException as error:
            client.poll(0)  # hands over the error events so far
            waited_s = time.monotonic() - began_s
            if waited_s >= ANSWER_S or trouble.nobody_listens:
                raise BrokerUnreachableError(
                    f"no broker answers at {settings.bootstrap_servers} within {waited_s:.0f} s: "
                    f"{trouble.reason or error.args[0].str()}. Is it running, and is that its address? "
                    "--bootstrap-servers, SCORER_BOOTSTRAP_SERVERS or scorer.toml say another"
                ) from None
            continue
        if found.error is None:
            return sorted(found.partitions)
        if found.error.code() not in _OF_NEW_TOPICS or time.monotonic() - began_s >= ANSWER_S:
            cannot = f"the topic {topic} at {settings.bootstrap_servers} cannot be used: {found.error.str()}"
            if missing([right], found.error.code()):
                raise NotAllowedError(f"{cannot}. {ask_for_right(right, settings)}")
            raise TopicMissingError(f"{cannot}. {missing_topic(right, settings.kafka, settings.bootstrap_servers)}")
        time.sleep(_RETRY_S)


def ask_for_right(right: Right, settings: Settings) -> str:
    """What an administrator has to grant to this client, with the command."""
    return ask_for([right], principal_of(settings.kafka), settings.bootstrap_servers)


class TopicTail:
    """Reads topics without joining a group, and of them what is committed, from now on or from the beginning."""

    def __init__(self, settings: Settings, topics: Sequence[str], *, from_beginning: bool = False) -> None:
        """Finds where the topics end; what is written to them after this returns will be read.

        Raises:
            MisuseError: librdkafka refuses a property.
            BrokerUnreachableError: no broker answers.
            TopicMissingError: one of the topics does not exist.
            NotAllowedError: this user has no right to one of them.
        """
        self._settings = settings
        self._trouble = Trouble()
        self._consumer = open_client(
            Consumer,
            settings,
            self._trouble,
            # At its default of a second, the backoff makes a reader wait that long each time its queue was full.
            defaults={"fetch.queue.backoff.ms": 5},
            required={
                "group.id": TAIL_GROUP,  # the client must have one; it is never joined, nothing is committed to it
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",  # when retention overtakes the reader, go on with the oldest there is
            },
        )
        try:
            places = [
                TopicPartition(topic, partition)
                for topic in topics
                for partition in find_partitions(
                    self._consumer, to_topic(Operation.READ, topic), settings, self._trouble
                )
            ]
            for place in places:
                place.offset = self._bounds(place)[0 if from_beginning else 1]
            self._consumer.assign(places)
        except PublisherError:
            self._consumer.close()
            raise

    def _bounds(self, place: TopicPartition) -> tuple[int, int]:
        """The offsets where a partition begins and ends, of what is committed."""
        end_s = time.monotonic() + ANSWER_S
        while True:
            try:
                return self._consumer.get_watermark_offsets(place, timeout=ANSWER_S)
            except KafkaException as error:  # a topic that is quite new has no leader yet, or the client knows of none
                if time.monotonic() >= end_s:
                    why = f"{place.topic}, partition {place.partition}: {error.args[0].str()}"
                    raise BrokerUnreachableError(f"the broker does not tell where a topic ends: {why}") from None
            time.sleep(_RETRY_S)

    def poll(self, timeout_s: float) -> Message | None:
        """Waits for the next record, for at most so many seconds; None if none comes.

        Raises:
            NotAllowedError: this user has no right to the topic, or to the group that the client requires.
            PublisherError: the broker refuses to hand out records for another reason.
        """
        message = self._consumer.poll(timeout_s)
        error = None if message is None else message.error()
        if message is not None and error is not None:
            needed = to_topic(Operation.READ, message.topic() or ""), to_group(Operation.DESCRIBE, TAIL_GROUP)
            for right in missing(needed, error.code()):
                raise NotAllowedError(
                    f"the topics cannot be read: {error.str()}. {ask_for_right(right, self._settings)}"
                )
            raise PublisherError(f"the topics cannot be read: {error.str()}")
        return message

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._consumer.close()
