"""At least once: offsets that the consumer commits after the delivery, in one commit at a time."""

from collections.abc import Callable

from confluent_kafka import Consumer, KafkaError, TopicPartition

from scorer.logs import COMMIT_FAILED, log
from scorer.stream.faults import raise_on_partition_error, retry_transient


class OffsetCommits:
    """Offsets on their way to the group. One that fails, or that a crash overtakes, means duplicates and never loss."""

    def __init__(self, consumer: Callable[[], Consumer], should_stop: Callable[[], bool]) -> None:
        """Takes what it needs.

        Args:
            consumer: the group's member.
            should_stop: asked between two attempts of a call; True when a stop may wait no longer.
        """
        self._consumer = consumer
        self._should_stop = should_stop
        self._waiting: dict[tuple[str, int], TopicPartition] = {}
        """Offsets that the group does not know yet. Changed by the loop's thread, in which the callback runs too."""
        self._committing = False

    def add(self, offsets: list[TopicPartition]) -> None:
        """Commits these offsets without waiting, now or after the commit that is under way.

        A second commit at the same time would only queue: the broker answers a connection's requests one by one, a
        commit takes it some milliseconds, and the heartbeats stand in the same queue.
        """
        self._waiting.update({(tp.topic, tp.partition): tp for tp in offsets})
        self._commit_next()

    def on_commit(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        """A commit that nobody waited for has ended; called while polling."""
        self._committing = False
        if error is None:
            for tp in offsets:
                place = tp.topic, tp.partition
                if tp.error is None and place in self._waiting and self._waiting[place].offset == tp.offset:
                    del self._waiting[place]
        else:
            log(COMMIT_FAILED, error=error.str())
        self._commit_next()

    def settle(self) -> None:
        """Commits what is left, and waits.

        Raises:
            KafkaException: the group does not take it.
            BrokerError: a stop may wait no longer.
        """
        if self._waiting:
            offsets, self._waiting = list(self._waiting.values()), {}
            retry_transient(
                lambda: raise_on_partition_error(self._consumer().commit(offsets=offsets, asynchronous=False)),
                self._should_stop,
            )

    def forget(self) -> None:
        """Commits nothing of what is left: the batch was aborted, and its records come again."""
        self._waiting.clear()

    def _commit_next(self) -> None:
        if self._waiting and not self._committing:
            self._committing = True
            self._consumer().commit(offsets=list(self._waiting.values()), asynchronous=True)
