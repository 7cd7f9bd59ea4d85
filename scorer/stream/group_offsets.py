"""A group's committed offsets, asked without joining it; and the mark by which a group remembers its topics.

Brokers delete a group's offsets of a topic together with the topic. Nothing would tell a worker that starts afterwards
that the new topic of the same name is another one. So a worker that follows the deployments commits, beside the offsets
of its own topic, one of the deployments topic: how far the group has seen it, with the topics' ids as its metadata.
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
_MARK_AGAIN_S: Final = 24 * 3_600.0


def read_group_offsets(
    settings: Settings, wanted: list[TopicPartition], should_stop: Callable[[], bool]
) -> list[TopicPartition]:
    """What the group has committed in these partitions, with its metadata; partitions without offsets are left out.

    A consumer asks. The admin client could too, but where the group's coordinator is not there yet, as after the start
    of a broker, its answer crashes the process (librdkafka 2.16, `rd_kafka_handle_OffsetFetch` without a consumer).

    Args:
        settings: the brokers and the group.
        wanted: the partitions.
        should_stop: asked between two attempts, as long as the coordinator is not there.

    Raises:
        SettingsError: a librdkafka property is wrong.
        KafkaException: the brokers refuse.
        BrokerError: `should_stop`.
    """
    # Read committed would wait for a moment without an open transaction, and under load there is none.
    config = client_config(settings) | {"group.id": settings.group_id, "isolation.level": "read_uncommitted"}
    with refuse_bad_config():
        asking = Consumer(config)
    with closing(asking) as consumer:
        committed = retry_transient(lambda: read_committed(consumer, wanted, ATTEMPT_S), should_stop)
    return [tp for tp in committed if tp.offset >= 0]


class GroupMark:
    """When to commit the mark again, and what to commit."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.deployments_topic
        self._metadata = ""
        self._marked_at = 0.0

    def due(self, consumer: Consumer, metadata: str) -> list[TopicPartition]:
        """The mark to commit with a batch; nothing while the one before holds.

        Args:
            consumer: asks where the deployments topic ends.
            metadata: what the committed offsets say now.
        """
        if metadata == self._metadata and time.monotonic() - self._marked_at < _MARK_AGAIN_S:
            return []
        try:
            _, end = consumer.get_watermark_offsets(TopicPartition(self._topic, 0), timeout=ATTEMPT_S)
        except KafkaException:
            return []  # with one of the next batches
        self._metadata, self._marked_at = metadata, time.monotonic()
        return [TopicPartition(self._topic, 0, end, metadata)]

    def forget(self) -> None:
        """The batch with the mark was aborted."""
        self._metadata = ""
