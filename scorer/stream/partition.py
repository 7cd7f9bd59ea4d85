"""The partitions that are assigned to this worker.

Each is in one of these states:

| state   | polled | enters it                                             | leaves it                         |
|---------|--------|-------------------------------------------------------|-----------------------------------|
| READING | yes    | assigned; rewound                                     | paused, blocked, revoked          |
| PAUSED  | no     | a replay has read all that it needs of the partition  | rewound, revoked                  |
| BLOCKED | no     | it cannot be read from its committed offset           | revoked (an operator resets it)   |
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from confluent_kafka import OFFSET_BEGINNING, KafkaError, TopicPartition

from scorer.stream.worker import Record


class State(Enum):
    """See the table above."""

    READING = auto()
    PAUSED = auto()
    BLOCKED = auto()


@dataclass(slots=True)
class Partition:
    """Its position and state. Changed by the loop's thread only, in which the consumer's callbacks run, too."""

    position: int
    """The offset to continue from; below 0 while the consumer chooses it."""
    metadata: str
    """The metadata of its committed offset."""
    epoch: int = -1
    """The leader epoch of the record before the position (KIP-320); below 0 if it is not known."""
    state: State = State.READING
    reason: str = ""
    """Why it is BLOCKED."""

    def is_new_to(self, error: KafkaError) -> bool:
        """Whether the leader does not know the new partition yet; librdkafka then stops fetching the partition."""
        return self.position < 0 and error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART


class Event(Record, Protocol):
    """What the consumer returns: a record, or an error of a partition."""

    def error(self) -> KafkaError | None: ...

    def leader_epoch(self) -> int | None: ...


class Assignment(dict[int, Partition]):
    """The assigned partitions by number; changed in rebalance callbacks, which run while polling or closing."""

    def __init__(self, topic: str) -> None:
        super().__init__()
        self._topic = topic

    def in_state(self, state: State) -> list[int]:
        """Returns the partitions that are in this state."""
        return [number for number, partition in self.items() if partition.state is state]

    def positions(self) -> dict[int, int]:
        """Returns the position of each partition; below 0 while the consumer chooses it."""
        return {number: partition.position for number, partition in self.items()}

    def lag(self, watermarks: Callable[[TopicPartition], tuple[int, int]]) -> dict[int, int]:
        """Returns the lag of each partition, in offsets; partitions whose watermarks are not known are omitted."""
        lag = {}
        for number, partition in self.items():
            low, high = watermarks(TopicPartition(self._topic, number))
            if high >= 0:
                lag[number] = max(0, high - (partition.position if partition.position >= 0 else max(low, 0)))
        return lag

    def note_epochs(self, last: Mapping[int, Event]) -> None:
        """Stores the leader epochs of the last polled record of each partition."""
        for number, record in last.items():
            partition, epoch = self.get(number), record.leader_epoch()
            if partition is not None and epoch is not None:
                partition.epoch = epoch

    def epoch(self, number: int) -> int:
        """Returns the leader epoch before a partition's position; below 0 if it is not known."""
        partition = self.get(number)
        return -1 if partition is None else partition.epoch

    def at(self, offsets: Mapping[int, int], metadata: str = "") -> list[TopicPartition]:
        """Returns offsets of partitions, with the leader epochs before them."""
        return [
            TopicPartition(self._topic, number, offset, metadata, self.epoch(number) if offset >= 0 else -1)
            for number, offset in offsets.items()
        ]


StartAt = Callable[[int, int], int]
"""Given a partition and the group's committed offset in it (below 0: none), returns the offset to start from."""


def start_where_committed(_: int, committed: int) -> int:
    """Starts at the committed offset; at the beginning if nothing was committed."""
    return committed if committed >= 0 else OFFSET_BEGINNING
