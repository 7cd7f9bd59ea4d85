"""Which past applications a replay is about, and the current decision on each: one array, for there may be millions."""

from collections.abc import Mapping, Sequence
from operator import methodcaller
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from schemas.decision import BundleReference
from scorer.core.score import Record, Scores
from scorer.core.wire import id_of
from scorer.errors import ReplayError
from scorer.stream.reading import Bounds

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
"""A decision, shortly: where the application is; the outcome's place in `OUTCOMES`, the bundle's in
`Selection.bundles`; the hash of the decision's bytes, which means something to the process that read them alone; and
the checksum of the application's id (see `checksum`)."""

Decided = NDArray[np.void]
"""Of dtype `DECIDED`, shape (n,)."""

_partition, _offset = methodcaller("partition"), methodcaller("offset")

BUNDLES_MAX: Final = 255  # their places fit into a byte


def checksum(application_id: bytes) -> int:
    """What a selection keeps of an application's id, which is UTF-8: enough to tell another application by."""
    return crc32(application_id)


class Selection:
    """Applications of one topic that were decided, with the current decision on each."""

    def __init__(self, topic: str, bundles: tuple[BundleReference, ...], rows: Decided) -> None:
        """Takes them.

        Args:
            topic: the applications topic.
            bundles: who decided.
            rows: sorted by partition and offset, no application twice.
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
        """By partition, the first offset and the one behind the last; partitions of which nothing is selected lack."""
        offsets = self.rows["offset"]
        return {p: (int(offsets[span.start]), int(offsets[span.stop - 1]) + 1) for p, span in self._spans.items()}

    def count_by_bundle(self) -> dict[BundleReference, int]:
        """How many of the current decisions each bundle made; only bundles that made any."""
        counts = np.bincount(self.rows["bundle"], minlength=len(self.bundles)).tolist()
        return {bundle: n for bundle, n in zip(self.bundles, counts, strict=True) if n}

    def before(self, offsets: Mapping[int, int]) -> NDArray[np.bool_]:
        """Whether each application lies before these offsets; shape (n,), False in partitions that are not named."""
        found = np.zeros(len(self), dtype=np.bool_)
        for p, span in self._spans.items():
            found[span] = self.rows["offset"][span] < offsets.get(p, 0)
        return found

    def keep(self, kept: NDArray[np.bool_]) -> "Selection":
        """Those alone for which it is true; shape (n,)."""
        return Selection(self.topic, self.bundles, self.rows[kept])

    def decided_by(self, reference: BundleReference) -> "Selection":
        """Those whose current decision this bundle made.

        Raises:
            ReplayError: it made none.
        """
        counts = self.count_by_bundle()
        if reference not in counts:
            others = ", ".join(bundle.short for bundle in counts)
            rest = f"the current decisions are by {others}" if others else "there are no decisions"
            raise ReplayError(f"no decision of {reference.short} is current; {rest}")
        return self.keep(self.rows["bundle"] == self.bundles.index(reference))

    def within(self, bounds: Bounds) -> "Selection":
        """Those within these offsets; none of a partition that is not named."""
        firsts = {p: first for p, (first, _) in bounds.items()}
        ends = {p: end for p, (_, end) in bounds.items()}
        return self.keep(self.before(ends) & ~self.before(firsts))

    def within_any(self, ranges: Sequence[tuple[int, int, int]]) -> "Selection":
        """Those in one of these ranges: partition, first offset, and the one behind the last."""
        found = np.zeros(len(self), dtype=np.bool_)
        for partition, first, end in ranges:
            found |= self.before({partition: end}) & ~self.before({partition: first})
        return self.keep(found)

    def find(self, partition: int, offsets: NDArray[np.int64]) -> NDArray[np.intp]:
        """The place of each of n applications of a partition among the rows; -1 for those that are not selected."""
        span = self._spans.get(partition)
        if span is None:
            return np.full(len(offsets), -1, dtype=np.intp)
        mine = self.rows["offset"][span]
        places = np.searchsorted(mine, offsets)
        there = mine[np.minimum(places, len(mine) - 1)] == offsets
        return np.where(there, places + span.start, -1)

    def pick(self, records: Sequence[Record]) -> tuple[list[int], NDArray[np.intp]]:
        """The selected ones of n records.

        Returns:
            Their places among the records, in order; and among the rows, in the same order.
        """
        partitions = np.fromiter(map(_partition, records), dtype=np.int64, count=len(records))
        offsets = np.fromiter(map(_offset, records), dtype=np.int64, count=len(records))
        places = np.full(len(records), -1, dtype=np.intp)
        for partition in np.unique(partitions).tolist():
            here = partitions == partition
            places[here] = self.find(partition, offsets[here])
        return np.flatnonzero(places >= 0).tolist(), places[places >= 0]

    def require_same(self, records: Sequence[Record], scores: Scores, rows: Decided) -> None:
        """Makes sure that records are the applications that were decided: offsets alone do not tell one from another.

        Args:
            records: n records.
            scores: what was decided of them now.
            rows: the n decisions that were made before.

        Raises:
            ReplayError: a record has another application's id.
        """
        is_decided = scores.is_decided
        found = [checksum(id_of(outcome)) for outcome in scores.outcomes if type(outcome) is bytes]
        others = np.flatnonzero(rows["application"][is_decided] != np.array(found, dtype=np.uint32))
        if len(others):
            record = records[np.flatnonzero(is_decided)[others[0]]]
            raise ReplayError(
                f"{record.topic()}[{record.partition()}]@{record.offset()} is not the application that the decision of "
                f"this offset names, and {len(others):,} of {len(found):,} are not. The topic was deleted and created "
                "again, or somebody else writes decisions: select decisions that were made since, with --since"
            )
