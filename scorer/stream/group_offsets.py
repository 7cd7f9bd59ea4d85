"""Reads a group's committed offsets without joining it; and the mark that stores the ids of the group's topics.

Brokers delete a group's offsets of a topic together with the topic. A worker that starts afterwards could not tell that
the new topic of the same name is a different one. So a worker that follows the deployments commits, in addition to the
offsets of its own topic, one of the deployments topic: the end of that topic, with the topics' ids as its metadata.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.rights import Operation, to_topic
from scorer.settings import Settings
from scorer.stream.faults import ATTEMPT_S, raise_on_partition_error
from scorer.stream.librdkafka import open_reader
from scorer.stream.requests import ask, cannot_be_read
from scorer.stream.rights import to_own_group

# Brokers forget offsets of topics that the group does not subscribe to after offsets.retention.minutes, seven days by
# default.
_MARK_INTERVAL_S: Final = 24 * 3_600.0


class CommittedOffsets:
    """Reads a group's committed offsets and their metadata, without joining the group.

    It uses a consumer, because with the admin client the response crashes the process if the group's coordinator is not
    available yet, as after the start of a broker (librdkafka 2.16, `rd_kafka_handle_OffsetFetch` without a consumer).
    """

    def __init__(self, settings: Settings, operation: Operation = Operation.DESCRIBE) -> None:
        """Connects with the first request.

        Args:
            settings: the brokers and the group.
            operation: the operation on the group and its topics that the caller needs, for the message if its right is
                missing.

        Raises:
            SettingsError: a librdkafka property is invalid.
        """
        self._settings = settings
        self._operation = operation
        # With read_committed it would wait until no transaction is open, which under load never happens. Offsets of
        # open transactions are not returned in either mode.
        self.consumer = open_reader(settings, {"isolation.level": "read_uncommitted"})

    def read(
        self, wanted: Sequence[TopicPartition], wait_s: float, should_stop: Callable[[], bool] = lambda: False
    ) -> list[TopicPartition]:
        """Returns the committed offset of each of these partitions; below zero if nothing was committed.

        Args:
            wanted: the partitions.
            wait_s: how long to retry after transient errors, in seconds.
            should_stop: checked after each failed attempt; True ends the retries.

        Raises:
            BrokerError: the offset of at least one partition cannot be read.
        """
        if not wanted:
            return []
        try:
            return ask(lambda: self._request(list(wanted), min(wait_s, ATTEMPT_S)), wait_s, should_stop)
        except KafkaException as failure:
            error = failure.args[0]
        topics = sorted({tp.topic for tp in wanted})
        needed = [to_own_group(self._settings, self._operation), *(to_topic(self._operation, t) for t in topics)]
        what = f"the offsets of group {self._settings.group_id}"
        raise cannot_be_read(what, error, self.consumer, self._settings, *needed)

    def close(self) -> None:
        """Closes the consumer."""
        self.consumer.close()

    def _request(self, wanted: list[TopicPartition], wait_s: float) -> list[TopicPartition]:
        """Without a right to the group, the client waits for its coordinator, and reports the reason as an event."""
        try:
            return raise_on_partition_error(self.consumer.committed(wanted, timeout=wait_s))
        except KafkaException as failure:
            error = failure.args[0]
        message = self.consumer.poll(0)
        reason = None if message is None else message.error()
        is_reason = reason is not None and reason.code() == KafkaError.GROUP_AUTHORIZATION_FAILED
        raise KafkaException(reason if is_reason else error)


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
