"""Selections: the current decision on each application, and which ones are meant."""

import numpy as np
import pytest

from schemas.decision import BundleReference
from scorer.errors import ReplayError
from scorer.replay.selection import DECIDED, Selection
from tests.fakes import FakeRecord

OLD = BundleReference(name="credit", version="1.0.0", digest="a" * 64)
NEW = BundleReference(name="credit", version="1.1.0", digest="b" * 64)


def selection(*rows: tuple[int, int, int]) -> Selection:
    """Applications given as partition, offset, and the place of the bundle that decided."""
    made = np.zeros(len(rows), dtype=DECIDED)
    for column, values in zip(("partition", "offset", "bundle"), zip(*rows, strict=True), strict=False):
        made[column] = values
    return Selection("applications", (OLD, NEW), made)


def where(selection: Selection) -> list[tuple[int, int]]:
    """Partition and offset of each."""
    return [(int(row["partition"]), int(row["offset"])) for row in selection.rows]


SOME = selection((0, 3, 0), (0, 5, 1), (0, 9, 0), (2, 0, 0), (2, 7, 1))


def test_bounds_and_counts() -> None:
    """By partition and by bundle."""
    assert SOME.bounds() == {0: (3, 10), 2: (0, 8)}
    assert SOME.count_by_bundle() == {OLD: 3, NEW: 2}
    assert len(SOME) == 5
    assert Selection("applications", (), np.empty(0, dtype=DECIDED)).bounds() == {}


def test_of_one_bundle() -> None:
    """A bundle of which no decision is current is refused, with those of which some are."""
    assert where(SOME.decided_by(NEW)) == [(0, 5), (2, 7)]
    stranger = BundleReference(name="credit", version="2.0.0", digest="c" * 64)
    with pytest.raises(ReplayError, match=r"no current decision is by credit:2\.0\.0@c{12}; .* by credit:1\.0\.0@"):
        SOME.decided_by(stranger)


def test_within() -> None:
    """The first offset is in, the end is out."""
    assert where(SOME.within({0: (4, 9)})) == [(0, 5)]
    assert where(SOME.within({0: (0, 4), 2: (7, 8)})) == [(0, 3), (2, 7)]
    assert where(SOME.within_any([(0, 9, 10), (0, 3, 4), (1, 0, 99)])) == [(0, 3), (0, 9)]
    assert SOME.before({0: 9}).tolist() == [True, True, False, False, False]


def test_pick_finds_the_selected_ones_in_the_records_order() -> None:
    """Records that are not selected are passed over, of selected and of other partitions."""
    records = [FakeRecord(at, None) for at in [(2, 7), (0, 4), (0, 9), (1, 0), (0, 3), (2, 99), (0, 99)]]
    positions, among_rows = SOME.pick(records)
    assert positions == [0, 2, 4]
    assert [(int(SOME.rows["partition"][i]), int(SOME.rows["offset"][i])) for i in among_rows] == [
        (2, 7),
        (0, 9),
        (0, 3),
    ]
    positions, among_rows = SOME.pick([])
    assert (positions, len(among_rows)) == ([], 0)
