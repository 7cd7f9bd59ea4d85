"""Reads a group's committed offsets without joining it; and the mark that stores the ids of the group's topics.

Brokers delete a group's offsets of a topic together with the topic. A worker that starts afterwards could not tell that
the new topic of the same name is a different one. So a worker that follows the deployments commits, in addition to the
offsets of its own topic, one of the deployments topic: the end of that topic, with the topics' ids as its metadata.
"""

import time
from collections.abc import Callable
from contextlib import closing
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from scorer.settings import Settings
from scorer.stream.faults import ATTEMPT_S, read_committed, retry_transient
from scorer.stream.librdkafka import client_config, refuse_bad_config

# Brokers forget offsets of topics that the group does not subscribe to after offsets.retention.minutes, seven days by
# default.
_MARK_INTERVAL_S: Final = 24 * 3_600.0


def read_group_offsets(
    settings: Settings, wanted: list[TopicPartition], should_stop: Callable[[], bool]
) -> list[TopicPartition]:
    """Returns the group's committed offsets in these partitions, with their metadata; those without one are omitted.

    It uses a consumer, because with the admin client the response crashes the process if the group's coordinator is not
    available yet, as after the start of a broker (librdkafka 2.16, `rd_kafka_handle_OffsetFetch` without a consumer).

    Args:
        settings: the brokers and the group.
        wanted: the partitions.
        should_stop: checked between attempts, as long as the coordinator is not available.

    Raises:
        SettingsError: a librdkafka property is invalid.
        KafkaException: the brokers return an error.
        BrokerError: `should_stop` returned True.
    """
    # With read_committed it would wait until no transaction is open, which under load never happens.
    config = client_config(settings) | {"group.id": settings.group_id, "isolation.level": "read_uncommitted"}
    with refuse_bad_config():
        new_consumer = Consumer(config)
    with closing(new_consumer) as consumer:
        committed = retry_transient(lambda: read_committed(consumer, wanted, ATTEMPT_S), should_stop)
    return [tp for tp in committed if tp.offset >= 0]


class GroupMark:
    """The mark: when to commit it again, and what to commit."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.deployments_topic
        self._metadata = ""
        self._marked_at = 0.0

    def due(self, consumer: Consumer, metadata: str) -> list[TopicPartition]:
        """Returns the mark to commit with a batch; nothing while the last one is still current.

        Args:
            consumer: reads the end of the deployments topic.
            metadata: the metadata of the offsets that are committed now.
        """
        if metadata == self._metadata and time.monotonic() - self._marked_at < _MARK_INTERVAL_S:
            return []
        try:
            _, end = consumer.get_watermark_offsets(TopicPartition(self._topic, 0), timeout=ATTEMPT_S)
        except KafkaException:
            return []  # retried with the next batch
        self._metadata, self._marked_at = metadata, time.monotonic()
        return [TopicPartition(self._topic, 0, end, metadata)]

    def forget(self) -> None:
        """Commits the mark again with the next batch, because the batch with the last one was aborted."""
        self._metadata = ""
