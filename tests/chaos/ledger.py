"""What of all that was acknowledged is still to be decided, known while a run goes on: nine bytes per application."""

from array import array
from threading import Lock
from typing import Final

from tests.chaos.history import Waiver

PAGE: Final = 100_000_000
"""Numbers that one publisher may use."""
_ACKED: Final = 1
_DECIDED: Final = 2
_WAIVED: Final = 4
_OFFSET_BITS: Final = 48


class _Page:
    """What became of one publisher's applications, and their partitions and offsets, each as one number."""

    def __init__(self) -> None:
        self.marks = bytearray()
        self.positions = array("q")

    def mark(self, index: int, mark: int) -> None:
        """Notes something about an application."""
        if index >= len(self.marks):
            new = index + 1 - len(self.marks)
            self.marks.extend(bytes(new))
            self.positions.extend([0] * new)
        self.marks[index] |= mark


class Ledger:
    """Applications by number; publishers write what was acknowledged, the live reader what was decided."""

    def __init__(self) -> None:
        self._pages: list[_Page] = []
        self._lock = Lock()

    def open_page(self) -> int:
        """Gives a publisher a page to itself; returns the first of its numbers."""
        with self._lock:
            self._pages.append(_Page())
            return (len(self._pages) - 1) * PAGE

    def acked(self, number: int, partition: int, offset: int) -> None:
        """The brokers have this application."""
        page, index = divmod(number, PAGE)
        with self._lock:
            self._pages[page].mark(index, _ACKED)
            self._pages[page].positions[index] = partition << _OFFSET_BITS | max(offset, 0)

    def decided(self, number: int) -> None:
        """This application has a decision or a dead letter."""
        page, index = divmod(number, PAGE)
        with self._lock:
            self._pages[page].mark(index, _DECIDED)

    def waive(self, waiver: Waiver) -> None:
        """Expects no more results of what was acknowledged so far and is covered by the waiver."""
        with self._lock:
            for page in self._pages:
                for index, position in enumerate(page.positions):
                    offset = position & (1 << _OFFSET_BITS) - 1
                    if page.marks[index] & _ACKED and waiver.covers(position >> _OFFSET_BITS, offset):
                        page.mark(index, _WAIVED)

    def undecided(self) -> int:
        """How many applications were acknowledged and have no result yet."""
        with self._lock:
            return sum(page.marks.count(_ACKED) for page in self._pages)
