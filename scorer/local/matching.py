"""Matches results to applications by the position of their records, in whatever order the two are read."""

from collections.abc import Mapping
from typing import Final, NamedTuple

# States of an offset of the applications topic.
_NO_RECORD, _PENDING, _HAS_RESULT, _FOREIGN = range(4)

Position = tuple[int, int]
"""Of an application's record: partition and offset."""


class Result(NamedTuple):
    """A decision or a dead letter."""

    counts: dict[str, int]
    """Where it is counted if it is an application's first result."""
    label: str
    """Under which it is counted."""
    read_at: float
    """When it was read, in seconds since 1970."""


class Matching:
    """Of each offset since the start: whether it has an application, and whether that has a result.

    Changed by the thread that reads; any other thread may read the counts.
    """

    def __init__(self, starts: Mapping[int, int]) -> None:
        """Starts without applications.

        Args:
            starts: by partition of the applications topic, the first offset.
        """
        self._starts: Final = dict(starts)
        self._read_so_far: Final = {partition: bytearray() for partition in starts}
        """By partition: the state of each offset, from the start to the last one read."""
        self._pending: dict[Position, int] = {}
        """Applications without a result: their timestamps, in milliseconds since 1970."""
        self._early: dict[Position, list[Result]] = {}
        """Results read before their applications."""
        self._unknown = 0
        """Results of records that are not applications: no partition has them, or they were read without being one."""
        self.duplicates = 0
        """Results after an application's first one."""

    @property
    def pending(self) -> int:
        """Applications without a result."""
        return len(self._pending)

    @property
    def unmatched(self) -> int:
        """Results of applications that were not read, or not yet."""
        return self._unknown + sum(map(len, self._early.values()))

    def add_foreign(self, position: Position) -> None:
        """Adds an application that does not count, so that its result does not count either."""
        self._set_state(position, _FOREIGN)

    def add(self, position: Position, published_ms: int) -> list[Result]:
        """Adds an application; returns its results that were read before it, which are still to be matched."""
        early = self._set_state(position, _PENDING)
        self._pending[position] = published_ms
        return early

    def match(self, position: Position, result: Result) -> int | None:
        """Matches a result to its application, or keeps it until the application is read.

        Returns:
            The application's timestamp, if this is its first result: the caller counts it and then calls `settle`.
        """
        partition, offset = position
        if partition not in self._starts or offset < 0:
            self._unknown += 1
            return None
        index, read_so_far = offset - self._starts[partition], self._read_so_far[partition]
        if index < 0:
            return None  # of an application from before the start
        state = read_so_far[index] if index < len(read_so_far) else None
        if state is None:
            self._early.setdefault(position, []).append(result)
        elif state == _NO_RECORD:
            self._unknown += 1
        elif state == _HAS_RESULT:
            self.duplicates += 1
        elif state == _PENDING:
            read_so_far[index] = _HAS_RESULT
            return self._pending[position]
        return None

    def settle(self, position: Position) -> None:
        """Removes an application whose result was counted from the pending ones.

        It is called last, so that a thread that sees no pending application also sees every count.
        """
        del self._pending[position]

    def _set_state(self, position: Position, state: int) -> list[Result]:
        """Sets the state of an offset, and returns the results that waited for it."""
        partition, offset = position
        read_so_far, index = self._read_so_far[partition], offset - self._starts[partition]
        read_so_far.extend(bytes(index + 1 - len(read_so_far)))
        read_so_far[index] = state
        return self._early.pop(position, [])
