"""Finds the end of an unreadable record batch: one that is corrupt, or too large once decompressed.

The consumer reports such a batch by the offset of its first record, and does not get past it. Its end is found by a
search for the first offset after it from which the partition is readable.
"""

import time
from contextlib import closing
from typing import Final

from confluent_kafka import Consumer, TopicPartition

from scorer.errors import BrokerError
from scorer.settings import Settings
from scorer.stream.faults import Report, classify
from scorer.stream.librdkafka import open_reader

# A batch of a million records takes some forty requests of a few milliseconds.
_SEARCH_S: Final = 20.0


def end_of_unreadable(settings: Settings, topic: str, partition: int, first: int) -> int:
    """Returns the offset after an unreadable batch.

    Args:
        settings: the brokers.
        topic: the topic.
        partition: the partition.
        first: the offset of the batch's first record, as the consumer reported it.

    Raises:
        BrokerError: the brokers do not answer in time.
    """
    with closing(open_reader(settings, {"auto.offset.reset": "error"})) as consumer:
        search = _Search(consumer, topic, partition, first)
        inside, step = first, 1
        while search.is_inside(first + step):
            inside, step = first + step, 2 * step
        after = first + step
        while after - inside > 1:
            middle = (inside + after) // 2
            if search.is_inside(middle):
                inside = middle
            else:
                after = middle
        return after


class _Search:
    """Checks whether offsets are inside the batch that begins at an offset."""

    def __init__(self, consumer: Consumer, topic: str, partition: int, first: int) -> None:
        self._consumer = consumer
        self._topic = topic
        self._partition = partition
        self._first = first
        self._ends_at = time.monotonic() + _SEARCH_S

    def is_inside(self, offset: int) -> bool:
        self._consumer.assign([TopicPartition(self._topic, self._partition, offset)])
        while time.monotonic() < self._ends_at:
            message = self._consumer.poll(0.5)
            error = None if message is None else message.error()
            report = None if error is None else classify(error)
            if message is None or report in {Report.TRANSIENT, Report.FINAL}:
                continue
            # For a read that begins inside a batch, the consumer reports the offset of the batch's first record. An
            # offset after the partition's end is out of range.
            return report is Report.UNREADABLE and message.offset() == self._first
        raise BrokerError(
            f"{self._topic}[{self._partition}] has an unreadable record batch at offset {self._first}, and its end was "
            f"not found within {_SEARCH_S:g} s"
        )
