"""A partition that the group gave to this worker.

It is in one of these states:

| state   | polled | enters it                                             | leaves it                         |
|---------|--------|-------------------------------------------------------|-----------------------------------|
| READING | yes    | assigned; rewound                                     | paused, blocked, revoked          |
| PAUSED  | no     | a replay has all that it wants of the partition       | rewound, revoked                  |
| BLOCKED | no     | its records cannot be read from where the group is    | revoked (an operator resets it)   |
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from confluent_kafka import OFFSET_BEGINNING, KafkaError

from scorer.stream.worker import Record


class State(Enum):
    """See the table above."""

    READING = auto()
    PAUSED = auto()
    BLOCKED = auto()


@dataclass(slots=True)
class Partition:
    """Its position and state. Written by the loop's thread alone, in which the consumer calls back too."""

    position: int
    """The offset to continue from; below 0 while the consumer chooses it."""
    metadata: str
    """Of its committed offset."""
    epoch: int = -1
    """Of the leader that the record before the position came from (KIP-320); below 0 if it is not known."""
    state: State = State.READING
    reason: str = ""
    """Why it is BLOCKED."""


class Event(Record, Protocol):
    """What the consumer returns: a record, or an error about a partition."""

    def error(self) -> KafkaError | None: ...

    def leader_epoch(self) -> int | None: ...


StartAt = Callable[[int, int], int]
"""Given a partition and the group's committed offset in it (below 0: none), the offset to start from."""


def start_where_committed(_: int, committed: int) -> int:
    """Where the group left off; at the beginning if it has committed nothing."""
    return committed if committed >= 0 else OFFSET_BEGINNING
