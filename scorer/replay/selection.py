"""The applications of a replay with their current decisions: one compact array, because there may be millions."""

from collections.abc import Mapping, Sequence
from operator import methodcaller
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from schemas.decision import BundleReference
from scorer.core.encode import id_of
from scorer.core.records import Record
from scorer.core.score import Scores
from scorer.errors import ReplayError
from scorer.operate.reading import Bounds

DECIDED: Final = np.dtype(
    [
        ("partition", "<i4"),
        ("offset", "<i8"),
        ("probability", "<f4"),
        ("outcome", "u1"),
        ("bundle", "u1"),
        ("fingerprint", "<i8"),
        ("application", "<u4"),
    ]
)
"""A decision in 30 bytes. A plan's file has these columns, so their names stay.

- `partition`, `offset`: the application's record;
- `probability`: the probability of default;
- `outcome`: the label, as an index into `LABELS`;
- `bundle`: an index into `Selection.bundles`;
- `fingerprint`: the hash of the decision's bytes, which is valid only in the process that read them;
- `application`: the checksum of the application's id, see `checksum`.
"""

Decided = NDArray[np.void]
"""An array of dtype `DECIDED`, shape (n,)."""

_partition, _offset = methodcaller("partition"), methodcaller("offset")

BUNDLES_MAX: Final = 255  # their indexes fit into a byte


def checksum(application_id: bytes) -> int:
    """Returns a checksum of an application id (UTF-8), which detects a different application."""
    return crc32(application_id)


class Selection:
    """Decided applications of one topic, with the current decision on each."""

    def __init__(self, topic: str, bundles: tuple[BundleReference, ...], rows: Decided) -> None:
        """Creates the selection.

        Args:
            topic: the applications topic.
            bundles: the bundles that made the decisions.
            rows: the decisions, sorted by partition and offset, one per application.
        """
        self.topic = topic
        self.bundles = bundles
        self.rows = rows
        partitions = np.unique(rows["partition"])
        firsts = np.searchsorted(rows["partition"], partitions).tolist()
        ends = np.searchsorted(rows["partition"], partitions, side="right").tolist()
        self._spans = {p: slice(*span) for p, *span in zip(partitions.tolist(), firsts, ends, strict=True)}

    def __len__(self) -> int:
        return len(self.rows)

    def bounds(self) -> dict[int, tuple[int, int]]:
        """Returns the first offset and the last offset plus 1, per partition with selected applications."""
        offsets = self.rows["offset"]
        return {p: (int(offsets[span.start]), int(offsets[span.stop - 1]) + 1) for p, span in self._spans.items()}

    def count_by_bundle(self) -> dict[BundleReference, int]:
        """Returns the number of current decisions per bundle, without bundles that made none."""
        counts = np.bincount(self.rows["bundle"], minlength=len(self.bundles)).tolist()
        return {bundle: n for bundle, n in zip(self.bundles, counts, strict=True) if n}

    def before(self, offsets: Mapping[int, int]) -> NDArray[np.bool_]:
        """Returns whether each application is before these offsets; shape (n,), False in other partitions."""
        is_before = np.zeros(len(self), dtype=np.bool_)
        for p, span in self._spans.items():
            is_before[span] = self.rows["offset"][span] < offsets.get(p, 0)
        return is_before

    def keep(self, mask: NDArray[np.bool_]) -> "Selection":
        """Returns the applications for which the mask, of shape (n,), is true."""
        return Selection(self.topic, self.bundles, self.rows[mask])

    def decided_by(self, reference: BundleReference) -> "Selection":
        """Returns the applications whose current decision is by this bundle.

        Raises:
            ReplayError: there are none.
        """
        counts = self.count_by_bundle()
        if reference not in counts:
            decided_by = ", ".join(bundle.short for bundle in counts)
            explanation = f"the current decisions are by {decided_by}" if decided_by else "there are no decisions"
            raise ReplayError(f"no current decision is by {reference.short}; {explanation}")
        return self.keep(self.rows["bundle"] == self.bundles.index(reference))

    def within(self, bounds: Bounds) -> "Selection":
        """Returns the applications within these offsets; none in other partitions."""
        firsts = {p: first for p, (first, _) in bounds.items()}
        ends = {p: end for p, (_, end) in bounds.items()}
        return self.keep(self.before(ends) & ~self.before(firsts))

    def within_any(self, ranges: Sequence[tuple[int, int, int]]) -> "Selection":
        """Returns the applications in any of these ranges: partition, first offset, last offset plus 1."""
        is_within = np.zeros(len(self), dtype=np.bool_)
        for partition, first, end in ranges:
            is_within |= self.before({partition: end}) & ~self.before({partition: first})
        return self.keep(is_within)

    def find(self, partition: int, offsets: NDArray[np.int64]) -> NDArray[np.intp]:
        """Returns the row index of each of n offsets of a partition; -1 if it is not selected."""
        span = self._spans.get(partition)
        if span is None:
            return np.full(len(offsets), -1, dtype=np.intp)
        selected_offsets = self.rows["offset"][span]
        positions = np.searchsorted(selected_offsets, offsets)
        is_selected = selected_offsets[np.minimum(positions, len(selected_offsets) - 1)] == offsets
        return np.where(is_selected, positions + span.start, -1)

    def pick(self, records: Sequence[Record]) -> tuple[list[int], NDArray[np.intp]]:
        """Picks the selected ones among n records.

        Returns:
            Their indexes into the records, in order; and their row indexes, in the same order.
        """
        partitions = np.fromiter(map(_partition, records), dtype=np.int64, count=len(records))
        offsets = np.fromiter(map(_offset, records), dtype=np.int64, count=len(records))
        rows = np.full(len(records), -1, dtype=np.intp)
        for partition in np.unique(partitions).tolist():
            in_partition = partitions == partition
            rows[in_partition] = self.find(partition, offsets[in_partition])
        return np.flatnonzero(rows >= 0).tolist(), rows[rows >= 0]

    def require_same(self, records: Sequence[Record], scores: Scores, rows: Decided) -> None:
        """Checks that the records are the applications that were decided, since offsets alone do not identify them.

        Args:
            records: n records.
            scores: their new scores.
            rows: the n current decisions.

        Raises:
            ReplayError: a record has a different application id.
        """
        is_decided = scores.is_decided
        checksums = [checksum(id_of(result)) for result in scores.results if type(result) is bytes]
        differing = np.flatnonzero(rows["application"][is_decided] != np.array(checksums, dtype=np.uint32))
        if len(differing):
            record = records[np.flatnonzero(is_decided)[differing[0]]]
            raise ReplayError(
                f"{record.topic()}[{record.partition()}]@{record.offset()} is not the application in the decision of "
                f"this offset; {len(differing):,} of {len(checksums):,} records differ. Was the topic deleted and "
                "created again, or does another program write decisions? Select newer decisions with --since"
            )
