"""The partitions of the applications topic: the state of each, and every transition between the states.

| state          | assigned | paused in the consumer | meaning                                                      |
|----------------|----------|------------------------|--------------------------------------------------------------|
| READING        | yes      | no                     | it is polled                                                 |
| PAUSED         | yes      | yes                    | a replay has read all that it needs of it                    |
| BLOCKED        | yes      | yes                    | it cannot be read from its committed offset                  |
| REVOKED        | no       | no                     | another worker may have it; each partition begins here       |
| REVOKED_PAUSED | no       | yes                    | the same; the consumer keeps it paused until it is resumed   |
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Protocol

from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID, KafkaError, TopicPartition

from scorer.stream.worker import Batch, Record


class State(Enum):
    """See the table above."""

    READING = auto()
    PAUSED = auto()
    BLOCKED = auto()
    REVOKED = auto()
    REVOKED_PAUSED = auto()


TRANSITIONS: Final[Mapping[tuple[State, State], str]] = {
    (State.REVOKED, State.READING): "assigned",
    (State.REVOKED_PAUSED, State.READING): "assigned, and resumed in the consumer",
    (State.READING, State.READING): "assigned again without a revocation in between",
    (State.READING, State.PAUSED): "a replay needs no more of it",
    (State.READING, State.BLOCKED): "its records are gone, or the end of an unreadable batch was not found",
    (State.READING, State.REVOKED): "revoked or lost",
    (State.PAUSED, State.READING): "rewound, or assigned again without a revocation in between",
    (State.PAUSED, State.PAUSED): "named twice in one call",
    (State.PAUSED, State.BLOCKED): "the consumer reported an error of it that is older than the pause",
    (State.PAUSED, State.REVOKED_PAUSED): "revoked or lost",
    (State.BLOCKED, State.READING): "assigned again without a revocation in between",
    (State.BLOCKED, State.BLOCKED): "records polled before its error turn out to be truncated",
    (State.BLOCKED, State.REVOKED_PAUSED): "revoked or lost",
    (State.REVOKED, State.REVOKED): "revoked although its assignment failed, or revoked and lost",
    (State.REVOKED_PAUSED, State.REVOKED_PAUSED): "revoked although its assignment failed, or revoked and lost",
}
"""Every legal transition, with what causes it. A rewind changes no other state: a BLOCKED partition remains so."""


@dataclass(slots=True)
class Partition:
    """Its position and state. Changed by the loop's thread only, in which the consumer's callbacks run, too.

    It is kept after a revocation, because the consumer remembers the pause, and a poll may still return its records.
    """

    position: int = OFFSET_INVALID
    """The offset to continue from; below 0 while the consumer chooses it. Set by an assignment, a rewind, a publish."""
    metadata: str = ""
    """The metadata of its committed offset. Set with the position."""
    epoch: int = -1
    """The leader epoch of the record before the position (KIP-320); below 0 if it is not known. Set by an assignment, a
    rewind, and a poll of its records."""
    state: State = State.REVOKED
    """Set by `enter`."""
    reason: str = ""
    """Why it is BLOCKED. Set by `enter`."""
    is_repositioned: bool = False
    """Whether the current poll drops its records. Set by an assignment, a revocation, a rewind; cleared by a poll."""
    is_unvalidated: bool = False
    """Whether its committed offset has an epoch, and no record was polled yet. Set by an assignment, a rewind, and a
    check that no broker answered; cleared by its first record and by a revocation."""
    is_to_reassign: bool = False
    """Whether the consumer no longer fetches it. Set by an error that a poll returned, and by a seek; the next poll
    clears it, and assigns it again unless it is revoked or BLOCKED."""

    @property
    def is_paused(self) -> bool:
        """Whether it is paused in the consumer."""
        return self.state in {State.PAUSED, State.BLOCKED, State.REVOKED_PAUSED}

    def enter(self, state: State, reason: str = "") -> None:
        """Changes the state.

        Raises:
            AssertionError: `TRANSITIONS` does not list the change.
        """
        assert (self.state, state) in TRANSITIONS, f"a partition cannot change from {self.state} to {state}"
        self.state, self.reason = state, reason

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
        self._known: dict[int, Partition] = {}
        """All partitions that were ever assigned or revoked."""

    def add(self, number: int) -> Partition:
        """Returns an assigned partition, which is added if it is new; it is READING once the consumer can fetch it."""
        return self.setdefault(number, self._known.setdefault(number, Partition()))

    def revoke(self, number: int) -> None:
        """Removes a partition, if it is assigned."""
        self.pop(number, None)
        partition = self._known.setdefault(number, Partition())
        partition.enter(State.REVOKED_PAUSED if partition.is_paused else State.REVOKED)
        partition.is_unvalidated = False

    def begin_poll(self) -> list[int]:
        """Clears what concerns the previous poll only; returns the partitions to reassign."""
        to_reassign = [n for n, p in self.items() if p.is_to_reassign and p.state is not State.BLOCKED]
        for partition in self._known.values():
            partition.is_repositioned = partition.is_to_reassign = False
        return to_reassign

    def reposition(self, numbers: Iterable[int]) -> None:
        """Drops the records of these partitions, assigned or revoked, that the current poll returns."""
        for number in numbers:
            self._known[number].is_repositioned = True

    def repositioned(self) -> set[int]:
        """Returns the partitions, assigned or revoked, whose records the current poll drops."""
        return {number for number, partition in self._known.items() if partition.is_repositioned}

    def blocked(self) -> dict[int, str]:
        """Returns the BLOCKED partitions, each with its reason."""
        return {number: partition.reason for number, partition in self.items() if partition.state is State.BLOCKED}

    def lag(self, watermarks: Callable[[TopicPartition], tuple[int, int]]) -> dict[int, int]:
        """Returns the lag of each partition, in offsets; partitions whose watermarks are not known are omitted."""
        lag = {}
        for number, partition in self.items():
            low, high = watermarks(TopicPartition(self._topic, number))
            if high >= 0:
                lag[number] = max(0, high - (partition.position if partition.position >= 0 else max(low, 0)))
        return lag

    def batch(self, records: Sequence[Event]) -> Batch:
        """Returns the batch of these records, with the next offset of each partition."""
        last = dict(zip([record.partition() for record in records], records, strict=True))
        self._note_epochs(last)
        return Batch(records, {number: record.offset() + 1 for number, record in last.items()})

    def batch_to_ends(self, messages: Iterable[Event]) -> Batch:
        """Returns the batch if some messages report the end of a partition, which may follow transaction markers."""
        records: list[Record] = []
        offsets_next: dict[int, int] = {}
        last: dict[int, Event] = {}
        for message in messages:
            number, offset = message.partition(), message.offset()
            if message.error() is None:
                records.append(message)
                offsets_next[number] = offset + 1
                last[number] = message
            elif number in self and self[number].position != offset:
                offsets_next[number] = offset
        self._note_epochs(last)
        return Batch(records, offsets_next)

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

    def _note_epochs(self, last: Mapping[int, Event]) -> None:
        """Stores the leader epochs of the last polled record of each partition."""
        for number, record in last.items():
            partition, epoch = self.get(number), record.leader_epoch()
            if partition is not None and epoch is not None:
                partition.epoch = epoch


StartAt = Callable[[int, int], int]
"""Given a partition and the group's committed offset in it (below 0: none), returns the offset to start from."""


def start_where_committed(_: int, committed: int) -> int:
    """Starts at the committed offset; at the beginning if nothing was committed."""
    return committed if committed >= 0 else OFFSET_BEGINNING
