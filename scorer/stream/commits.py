"""At-least-once delivery: the consumer commits offsets after the delivery, one commit at a time."""

from collections.abc import Callable

from confluent_kafka import Consumer, KafkaError, TopicPartition

from scorer.logs import COMMIT_FAILED, log
from scorer.stream.faults import raise_on_partition_error, retry_transient


class OffsetCommits:
    """Commits offsets in the background. A failed commit, or a crash before it, can cause duplicates but never loss."""

    def __init__(self, consumer: Callable[[], Consumer], should_stop: Callable[[], bool]) -> None:
        """Starts with nothing to commit.

        Args:
            consumer: returns the consumer in the group.
            should_stop: checked between attempts of a call; True once the shutdown timeout has elapsed.
        """
        self._consumer = consumer
        self._should_stop = should_stop
        self._uncommitted: dict[tuple[str, int], TopicPartition] = {}
        """Offsets that are not committed yet. Changed by the loop's thread only, in which the callback runs, too."""
        self._committing = False

    def add(self, offsets: list[TopicPartition]) -> None:
        """Commits these offsets without waiting, now or after the current commit.

        A second commit at the same time would only queue: the broker answers a connection's requests one by one, a
        commit takes some milliseconds, and heartbeats wait in the same queue.
        """
        self._uncommitted.update({(tp.topic, tp.partition): tp for tp in offsets})
        self._commit_next()

    def on_commit(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        """Handles the end of an asynchronous commit; called while polling."""
        self._committing = False
        if error is None:
            for tp in offsets:
                key = tp.topic, tp.partition
                if tp.error is None and key in self._uncommitted and self._uncommitted[key].offset == tp.offset:
                    del self._uncommitted[key]
        else:
            log(COMMIT_FAILED, error=error.str())
        self._commit_next()

    def settle(self) -> None:
        """Commits the remaining offsets, and waits.

        Raises:
            KafkaException: the commit failed.
            BrokerError: the shutdown timeout has elapsed.
        """
        if self._uncommitted:
            offsets, self._uncommitted = list(self._uncommitted.values()), {}
            retry_transient(
                lambda: raise_on_partition_error(self._consumer().commit(offsets=offsets, asynchronous=False)),
                self._should_stop,
            )

    def forget(self) -> None:
        """Discards the remaining offsets: the batch was aborted, and its records are polled again."""
        self._uncommitted.clear()

    def _commit_next(self) -> None:
        if self._uncommitted and not self._committing:
            self._committing = True
            self._consumer().commit(offsets=list(self._uncommitted.values()), asynchronous=True)
