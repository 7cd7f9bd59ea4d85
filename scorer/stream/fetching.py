"""What the consumer fetches: seeks, pauses and assigns partitions, in step with their states."""

from collections.abc import Collection, Iterable, Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from scorer.stream.partition import Assignment, State


class Fetching:
    """A consumer, and the state of each partition that is assigned to it."""

    def __init__(self, consumer: Consumer, topic: str, incremental: bool) -> None:
        self.consumer = consumer
        self.partitions = Assignment(topic)
        self._incremental = incremental
        """Whether rebalances are incremental (cooperative), not eager."""

    def assign(self, starts: Mapping[int, int]) -> None:
        """Fetches newly assigned partitions from these offsets."""
        # Before the assignment: resuming can make the consumer ignore the start offset (librdkafka#5591).
        self.resume(starts)
        assign = self.consumer.incremental_assign if self._incremental else self.consumer.assign
        assign(self.partitions.at(starts))

    def unassign(self, partitions: list[TopicPartition]) -> None:
        """Stops fetching revoked partitions."""
        if self._incremental:
            self.consumer.incremental_unassign(partitions)
        else:
            self.consumer.unassign()

    def reassign(self, numbers: Collection[int]) -> None:
        """Reassigns partitions that the consumer no longer fetches, which discards fetched records; a seek does not.

        Called between polls, when the positions are past all polled records.
        """
        if numbers and self._incremental:
            partitions = self.partitions.at({number: self.partitions[number].position for number in numbers})
            self.consumer.incremental_unassign(partitions)
            self.consumer.incremental_assign(partitions)
        elif numbers:
            self.consumer.unassign()  # discards pending events
            self.consumer.assign(self.partitions.at({n: p.position for n, p in self.partitions.items()}))
            self._pause([number for number, partition in self.partitions.items() if partition.is_paused])

    def seek(self, offsets: Mapping[int, int]) -> None:
        """Fetches assigned partitions from these offsets."""
        for tp in self.partitions.at(offsets):
            try:
                self.consumer.seek(tp)
            except KafkaException as error:
                # It is not started yet, or has failed; the next polls return its fetched records and the error.
                if error.args[0].code() != KafkaError._STATE:
                    raise
                self.partitions[tp.partition].is_to_reassign = True

    def pause(self, numbers: Iterable[int], state: State, reason: str = "") -> None:
        """Stops fetching partitions, which are PAUSED or BLOCKED afterwards."""
        numbers = list(numbers)
        self._pause(numbers)
        for number in numbers:
            self.partitions[number].enter(state, reason)

    def resume(self, numbers: Iterable[int]) -> None:
        """Fetches partitions again that are paused in the consumer; all of these are READING afterwards."""
        numbers = list(numbers)
        paused = [number for number in numbers if self.partitions[number].is_paused]
        for number in numbers:
            self.partitions[number].enter(State.READING)
        self.consumer.resume(self.partitions.at(dict.fromkeys(paused, 0)))

    def _pause(self, numbers: Iterable[int]) -> None:
        self.consumer.pause(self.partitions.at(dict.fromkeys(numbers, 0)))
