"""What of all that was acknowledged is still to be decided, known while a run goes on: nine bytes per application."""

from array import array
from threading import Lock
from typing import Final

from tests.chaos.history import Waiver

_ACKED: Final = 1
_DECIDED: Final = 2
_WAIVED: Final = 4
_OFFSET_BITS: Final = 48


class Ledger:
    """Applications by number; the publisher writes what was acknowledged, the live reader what was decided."""

    def __init__(self) -> None:
        self._marks = bytearray()
        self._positions = array("q")
        """Partition and offset in one number."""
        self._lock = Lock()

    def __len__(self) -> int:
        """How many numbers are taken."""
        return len(self._marks)

    def reserve(self, count: int) -> int:
        """Takes so many numbers; returns the first."""
        with self._lock:
            first = len(self._marks)
            self._mark(first + count - 1, 0)
            return first

    def acked(self, number: int, partition: int, offset: int) -> None:
        """The brokers have this application."""
        with self._lock:
            self._mark(number, _ACKED)
            self._positions[number] = partition << _OFFSET_BITS | offset

    def decided(self, number: int) -> None:
        """This application has a decision or a dead letter."""
        with self._lock:
            self._mark(number, _DECIDED)

    def waive(self, waiver: Waiver) -> None:
        """Expects no more results of what was acknowledged so far and is covered by the waiver."""
        with self._lock:
            for number, position in enumerate(self._positions):
                offset = position & (1 << _OFFSET_BITS) - 1
                if self._marks[number] & _ACKED and waiver.covers(position >> _OFFSET_BITS, offset):
                    self._marks[number] |= _WAIVED

    def undecided(self) -> int:
        """How many applications were acknowledged and have no result yet."""
        with self._lock:
            return self._marks.count(_ACKED)

    def _mark(self, number: int, mark: int) -> None:
        if number >= len(self._marks):
            new = number + 1 - len(self._marks)
            self._marks.extend(bytes(new))
            self._positions.extend([0] * new)
        self._marks[number] |= mark
