"""Reads topics without joining a group; unreadable record batches are passed and reported."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from types import TracebackType
from typing import Final, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from producer.errors import BrokerUnreachableError, NotAllowedError, PublisherError
from producer.kafka import (
    ANSWER_S,
    RETRY_S,
    SLICE_S,
    ClientErrors,
    Properties,
    ask_for_right,
    find_partitions,
    open_client,
)
from producer.results import position_of
from producer.settings import Settings
from schemas.records import Malformed
from schemas.rights import TAIL_GROUP, Operation, missing, to_group, to_topic
from schemas.unreadable import SEARCH_PROPERTIES, UNREADABLE, end_of_batch, passed_batch

_LOGGER: Final = logging.getLogger("producer")  # without a configuration, Python prints its warnings to stderr

_READ_ONLY: Final[Properties] = {
    "group.id": TAIL_GROUP,  # required by the client; never joined or committed to
    "enable.auto.commit": False,
    "isolation.level": "read_committed",
}


def _warn(batch: Malformed) -> None:
    _LOGGER.warning("skipped: %s", batch)


class TopicTail:
    """Reads the committed records of topics without joining a group, from the end or from the beginning."""

    def __init__(
        self,
        settings: Settings,
        topics: Sequence[str],
        *,
        from_beginning: bool = False,
        newest: int | None = None,
        skip: Callable[[Malformed], object] = _warn,
        until_end: bool = False,
    ) -> None:
        """Positions the reader. From the end, it reads all records that are written after this returns.

        Args:
            settings: brokers and librdkafka properties.
            topics: the topics to read.
            from_beginning: whether to read from the beginning.
            newest: begin with this many of the newest offsets of each partition instead; some may have no record.
            skip: called once with each unreadable record batch that is passed; the default logs a warning.
            until_end: whether `read_to_end` is used; topics that do not exist are not waited for then.

        Raises:
            MisuseError: librdkafka rejects a property.
            BrokerUnreachableError: no broker responds.
            TopicMissingError: one of the topics does not exist.
            NotAllowedError: this user is not authorized to read one of them.
        """
        self._settings = settings
        self._skip = skip
        self._client_errors = ClientErrors()
        self._positions: dict[tuple[str, int], int] = {}
        """By topic and partition, the offset after the last record that was read or passed."""
        self._ended: set[tuple[str, int]] = set()
        """The partitions whose end was reached since the reader was positioned."""
        self._consumer = open_client(
            Consumer,
            settings,
            self._client_errors,
            # With the default of 1 s, the reader pauses that long each time its queue is full.
            defaults={"fetch.queue.backoff.ms": 5},
            required={
                **_READ_ONLY,
                "auto.offset.reset": "earliest",  # if retention overtakes the reader, continue with the oldest record
                "check.crcs": True,  # a corrupt record must not be shown as a decision
                "enable.partition.eof": until_end,
            },
        )
        try:
            partitions = self._find_partitions(topics, is_new=not until_end)
            for partition in partitions:
                first, end = self._watermarks(partition)
                partition.offset = first if from_beginning else max(first, end - (newest or 0))
                self._positions[partition.topic, partition.partition] = partition.offset
            self._consumer.assign(partitions)
        except PublisherError:
            self._consumer.close()
            raise

    def _find_partitions(self, topics: Sequence[str], *, is_new: bool) -> list[TopicPartition]:
        """The partitions of the topics; `is_new` as in `find_partitions`."""
        return [
            TopicPartition(topic, number)
            for topic in topics
            for number in find_partitions(
                self._consumer, to_topic(Operation.READ, topic), self._settings, self._client_errors, is_new=is_new
            )
        ]

    def _watermarks(self, partition: TopicPartition) -> tuple[int, int]:
        """The first offset of a partition, and the end of its committed records."""
        deadline_s = time.monotonic() + ANSWER_S
        while True:
            try:
                return self._consumer.get_watermark_offsets(partition, timeout=ANSWER_S)
            except KafkaException as error:  # a new topic has no leader yet, or the client does not know it
                if time.monotonic() >= deadline_s:
                    reason = f"{partition.topic}, partition {partition.partition}: {error.args[0].str()}"
                    raise BrokerUnreachableError(f"cannot read the offsets of a topic: {reason}") from None
            time.sleep(RETRY_S)

    def poll(self, timeout_s: float) -> Message | None:
        """Waits up to `timeout_s` seconds for the next record; None if there is none, or a batch was passed.

        Passing an unreadable record batch takes some requests to the broker, and at most 20 seconds.

        Raises:
            NotAllowedError: this user is not authorized for the topic, or for the group that the client requires.
            PublisherError: the records cannot be read for another reason.
        """
        message = self._consumer.poll(timeout_s)
        if message is None:
            return None
        error, (topic, partition, offset) = message.error(), position_of(message)
        if error is None:
            self._positions[topic, partition] = offset + 1
            return message
        if error.code() == KafkaError._PARTITION_EOF:
            self._ended.add((topic, partition))
            return None
        if error.code() in UNREADABLE and (topic, partition) in self._positions:
            self._pass(topic, partition, offset, error)
            return None
        rights = to_topic(Operation.READ, topic), to_group(Operation.DESCRIBE, TAIL_GROUP)
        for right in missing(rights, error.code()):
            raise NotAllowedError(f"the topics cannot be read: {error.str()}. {ask_for_right(right, self._settings)}")
        raise PublisherError(f"the topics cannot be read: {error.str()}")

    def read_to_end(self, timeout_s: float) -> Iterator[Message]:
        """Yields the records up to the end of every partition; of a reader with `until_end`. Raises what `poll` raises.

        Raises:
            PublisherError: the end was not reached within `timeout_s` seconds.
        """
        deadline_s = time.monotonic() + timeout_s
        while not self._ended >= self._positions.keys():
            if time.monotonic() >= deadline_s:
                topics = ", ".join(sorted({topic for topic, _ in self._positions}))
                raise PublisherError(f"the topic {topics} could not be read to its end within {timeout_s:g} s")
            message = self.poll(SLICE_S)
            if message is not None:
                yield message

    def _pass(self, topic: str, partition: int, first: int, error: KafkaError) -> None:
        """Moves the position past an unreadable batch, which may begin before the first position."""
        end = self._end_of_batch(topic, partition, first)
        if self._positions[topic, partition] < end:
            self._positions[topic, partition] = end
            self._skip(passed_batch(topic, partition, first, end, error))
        # The consumer itself does not get past the batch. Records that it has fetched are fetched again.
        self._consumer.unassign()
        self._consumer.assign([TopicPartition(*key, position) for key, position in self._positions.items()])

    def _end_of_batch(self, topic: str, partition: int, first: int) -> int:
        required = {**_READ_ONLY, **SEARCH_PROPERTIES}
        with closing(
            open_client(Consumer, self._settings, self._client_errors, defaults={}, required=required)
        ) as consumer:

            def begin_at(offset: int) -> None:
                consumer.assign([TopicPartition(topic, partition, offset)])

            try:
                return end_of_batch(topic, partition, first, begin_at, consumer.poll)
            except TimeoutError as failure:
                raise PublisherError(str(failure)) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._consumer.close()
