"""Reads the values of Kafka records; a record that is too large is rejected unread."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from schemas.rejection import RejectionCode
from scorer.core.decode import too_large
from scorer.core.slow_decode import Rejection

_UNREADABLE: Final = Rejection(
    RejectionCode.UNREADABLE, "the record's batch is damaged, or too large to be decompressed; it stays on its topic"
)


class Record(Protocol):
    """A Kafka record, for example a confluent_kafka Message. Its length is the size of its value in bytes."""

    def __len__(self) -> int: ...
    def topic(self) -> str: ...
    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def value(self) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """A record of which only the offset is known: its batch is corrupt, or too large to be decompressed."""

    topic_name: str
    partition_number: int
    offset_number: int

    def __len__(self) -> int:
        """Larger than every limit."""
        return sys.maxsize

    def topic(self) -> str:
        """The topic."""
        return self.topic_name

    def partition(self) -> int:
        """The partition."""
        return self.partition_number

    def offset(self) -> int:
        """The offset."""
        return self.offset_number

    def key(self) -> None:
        """Unknown."""

    def value(self) -> None:
        """Unknown."""

    def headers(self) -> None:
        """Unknown."""

    def timestamp(self) -> tuple[int, int]:
        """Not available, in the Kafka client's notation."""
        return 0, -1

    def error(self) -> None:
        """None: this is a record, not an error event."""

    def leader_epoch(self) -> None:
        """Unknown."""


def read_values(records: Sequence[Record], bytes_max: int) -> list[bytes | Rejection | None]:
    """Returns the values of records, and rejections of those that are too large: a copy may not fit into memory."""
    return [record.value() if len(record) <= bytes_max else _reject_unread(record, bytes_max) for record in records]


def _reject_unread(record: Record, bytes_max: int) -> Rejection:
    return _UNREADABLE if isinstance(record, UnreadableRecord) else too_large(len(record), bytes_max)
