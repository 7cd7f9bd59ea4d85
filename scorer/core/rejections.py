"""Counts which of the same values two contracts reject, by field and code."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from schemas.contract import Contract
from schemas.rejection import RejectionCode
from scorer.core.decode import Decoder
from scorer.core.slow_decode import Rejection

_OF_FIELDS: Final = frozenset(
    {
        RejectionCode.MISSING_FIELD, RejectionCode.WRONG_TYPE, RejectionCode.OUT_OF_RANGE,
        RejectionCode.UNKNOWN_CATEGORY,
    }
)  # fmt: skip


class Cause(NamedTuple):
    """Why values are rejected: a field and a code. An empty name means the whole value."""

    field: str
    code: RejectionCode


class RejectionCounter:
    """Counts the values that a contract rejects, and keeps none of them."""

    def __init__(self, contract: Contract, bytes_max: int) -> None:
        """Starts at zero.

        Args:
            contract: the contract.
            bytes_max: maximum size of a value, in bytes; larger ones are rejected.
        """
        self._decoder = Decoder(contract)
        self._bytes_max = bytes_max
        self.rejected = 0
        """Number of rejected values; `add` changes it."""
        self.causes: Counter[Cause] = Counter()
        """Number of rejected values per cause: one with several invalid fields counts for each; `add` changes it."""

    def add(self, values: Sequence[bytes | Rejection | None]) -> set[int]:
        """Counts values, and returns the positions of those that are rejected."""
        rejections = self._decoder.decode_batch(values, self._bytes_max).rejections
        self.rejected += len(rejections)
        for position, rejection in rejections.items():
            self.causes.update(self._causes(values[position], rejection))
        return set(rejections)

    def _causes(self, value: Any, rejection: Rejection) -> set[Cause]:
        if rejection.code not in _OF_FIELDS:
            return {Cause("", rejection.code)}
        return {Cause(fault.name, fault.code) for fault in self._decoder.find_faults(value)}


class RejectionComparison:
    """Counts which of the same values a new contract and the champion's reject."""

    def __init__(self, new: Contract, current: Contract | None, bytes_max: int) -> None:
        """Starts at zero.

        Args:
            new: the new contract.
            current: the champion's contract; None if it is unknown.
            bytes_max: maximum size of a value, in bytes; both reject larger ones.
        """
        self.new = RejectionCounter(new, bytes_max)
        self.current = None if current is None else RejectionCounter(current, bytes_max)
        self.values = 0
        """Number of values; `add` changes it, and the two below."""
        self.newly_rejected = 0
        """Number of values that the champion's contract accepts and the new one rejects."""
        self.newly_accepted = 0
        """Number of values that the champion's contract rejects and the new one accepts."""

    def add(self, values: Sequence[bytes | Rejection | None]) -> None:
        """Counts values."""
        self.values += len(values)
        rejected = self.new.add(values)
        if self.current is None:
            return
        rejected_today = self.current.add(values)
        self.newly_rejected += len(rejected - rejected_today)
        self.newly_accepted += len(rejected_today - rejected)

    def causes(self) -> list[Cause]:
        """Returns the causes of either contract, most frequent first in the new one, then in the champion's."""
        new, current = self.new.causes, Counter[Cause]() if self.current is None else self.current.causes
        return sorted({*new, *current}, key=lambda cause: (-new[cause], -current[cause], cause))
