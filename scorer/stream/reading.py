"""Reading a part of a topic beside the group: what is committed between two offsets of each partition, and no more."""

import time
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from scorer.errors import BrokerError, ScorerError, TopicsError
from scorer.settings import Settings
from scorer.stream.faults import must_stop
from scorer.stream.librdkafka import client_config, refuse_bad_config
from scorer.stream.reaching import metadata_of
from scorer.stream.subscription import Event
from scorer.stream.worker import Record

Bounds = Mapping[int, tuple[int, int]]
"""By partition, the first offset and the one behind the last."""

ANSWER_S: Final = 15.0
"""For one answer of a broker's."""
_SILENCE_S: Final = 30.0
_BATCH_MAX: Final = 5_000


def connect_beside(
    settings: Settings, topic: str, options: Mapping[str, Any], wait_s: float
) -> tuple[Consumer, list[int]]:
    """A consumer that is in no group and commits nothing, and the partitions of the topic that it is to read.

    Args:
        settings: the brokers.
        topic: what it is to read, read committed; it is told where partitions end.
        options: librdkafka's properties besides.
        wait_s: for how long to wait for a broker's answer.

    Raises:
        SettingsError: a librdkafka property is wrong.
        TopicsError: the topic is missing.
        BrokerError: no broker answers.
    """
    config = client_config(settings) | {
        "group.id": settings.group_id,  # librdkafka wants one; it is never joined
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        **options,
    }
    with refuse_bad_config():
        consumer = Consumer(config)
    try:
        return consumer, find_partitions(consumer, settings, topic, wait_s)
    except ScorerError:
        consumer.close()
        raise


def connect_to_offsets(settings: Settings) -> Consumer:
    """A consumer that asks how far the group has committed, and is not in it.

    Raises:
        SettingsError: a librdkafka property is wrong.
    """
    # Read committed would wait for a moment without an open transaction, and under load there is none.
    config = client_config(settings) | {"group.id": settings.group_id, "isolation.level": "read_uncommitted"}
    with refuse_bad_config():
        return Consumer(config)


def find_partitions(consumer: Consumer, settings: Settings, topic: str, wait_s: float) -> list[int]:
    """The partitions of a topic, as a broker says within some seconds.

    Raises:
        TopicsError: the topic is missing.
        BrokerError: no broker answers.
    """
    metadata = metadata_of(consumer, settings, wait_s, topic).topics[topic]
    if metadata.error is not None:
        raise TopicsError(f"missing topic: {topic}; `scorer topics ensure` creates it")
    return sorted(metadata.partitions)


class TopicReader:
    """A reader of one topic that is in no group and commits nothing."""

    def __init__(self, settings: Settings, topic: str) -> None:
        """Connects.

        Raises:
            SettingsError: a librdkafka property is wrong.
            TopicsError: the topic is missing.
            BrokerError: no broker answers.
        """
        self._topic = topic
        options = {
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": "5",
            "queued.max.messages.kbytes": "32768",
        }
        self._consumer, self.partitions = connect_beside(settings, topic, options, ANSWER_S)

    def bounds(self) -> dict[int, tuple[int, int]]:
        """What each partition has now.

        Raises:
            BrokerError: the broker does not answer.
        """
        try:
            return {
                p: self._consumer.get_watermark_offsets(TopicPartition(self._topic, p), timeout=ANSWER_S)
                for p in self.partitions
            }
        except KafkaException as error:
            raise self._unreadable(error.args[0]) from error

    def offsets_at(self, moment: datetime) -> dict[int, int]:
        """By partition, the offset of the first record of a moment or later; its end if there is none.

        Raises:
            BrokerError: the broker does not answer.
        """
        at_ms = int(moment.timestamp() * 1_000)
        try:
            found = self._consumer.offsets_for_times(
                [TopicPartition(self._topic, p, at_ms) for p in self.partitions], timeout=ANSWER_S
            )
        except KafkaException as error:
            raise self._unreadable(error.args[0]) from error
        ends = self.bounds()
        return {tp.partition: tp.offset if tp.offset >= 0 else ends[tp.partition][1] for tp in found}

    def read(self, bounds: Bounds) -> Iterator[list[Record]]:
        """The committed records within the bounds, some thousands at a time; of a partition in their order.

        Where retention has taken the first of them, it begins with the first that is there.

        Raises:
            BrokerError: they cannot be read.
        """
        still_open = {p: end for p, (first, end) in bounds.items() if first < end}
        places = [TopicPartition(self._topic, p, bounds[p][0]) for p in still_open]
        self._consumer.assign(places)
        self._consumer.resume(places)  # what an earlier reading has paused stays so, assigned anew or not
        heard_at = time.monotonic()
        while still_open:
            messages = self._consume(1, 0.5)
            if messages:
                messages += self._consume(_BATCH_MAX - 1, 0)
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at > _SILENCE_S:
                raise BrokerError(f"topic {self._topic} could not be read: nothing came for {_SILENCE_S:g} s")
            found = self._within(messages, still_open)
            if found:
                yield found
        self._consumer.unassign()

    def close(self) -> None:
        """Leaves nothing behind."""
        self._consumer.close()

    def _consume(self, most: int, wait_s: float) -> list[Event]:
        return cast("list[Event]", self._consumer.consume(most, wait_s))

    def _within(self, messages: list[Event], still_open: dict[int, int]) -> list[Record]:
        """The records before their partition's end; partitions that have come to it are no longer open."""
        found: list[Record] = [message for message in messages if message.error() is None]
        ended = set()
        if len(found) < len(messages):
            ended = {message.partition() for message in messages if self._is_end(message.error())}
        last = {message.partition(): message.offset() for message in found}  # of a partition given often the last stays
        ended |= {p for p, offset in last.items() if offset >= still_open.get(p, 0) - 1}
        if any(offset >= still_open.get(p, 0) for p, offset in last.items()):
            found = [message for message in found if message.offset() < still_open.get(message.partition(), 0)]
        self._end(ended & still_open.keys(), still_open)
        return found

    def _is_end(self, error: KafkaError | None) -> bool:
        """Whether a message says that a partition has come to its end; raises what cannot be gone on from."""
        if error is not None and must_stop(error):
            raise self._unreadable(error)
        return error is not None and error.code() == KafkaError._PARTITION_EOF

    def _end(self, partitions: Collection[int], still_open: dict[int, int]) -> None:
        if partitions:
            self._consumer.pause([TopicPartition(self._topic, p) for p in partitions])
        for partition in partitions:
            del still_open[partition]

    def _unreadable(self, error: KafkaError) -> BrokerError:
        return BrokerError(f"topic {self._topic} cannot be read: {error.str()}")
