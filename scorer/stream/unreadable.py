"""Finds the end of an unreadable record batch: one that is corrupt, or too large once decompressed."""

from contextlib import closing

from confluent_kafka import TopicPartition

from schemas.unreadable import SEARCH_PROPERTIES, end_of_batch
from scorer.errors import BrokerError
from scorer.settings import Settings
from scorer.stream.librdkafka import open_reader


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
    with closing(open_reader(settings, SEARCH_PROPERTIES)) as consumer:

        def begin_at(offset: int) -> None:
            consumer.assign([TopicPartition(topic, partition, offset)])

        try:
            return end_of_batch(topic, partition, first, begin_at, consumer.poll)
        except TimeoutError as failure:
            raise BrokerError(str(failure)) from failure
