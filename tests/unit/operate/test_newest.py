"""The newest offsets of a topic, over all partitions."""

import random
from collections.abc import Mapping, Sequence

import pytest

from scorer.operate.newest import find_newest
from scorer.operate.reading import Bounds

NOW_MS = 1_795_816_864_586


class FakeTopic:
    """A topic of which only timestamps are known, by partition; offsets begin with 100."""

    FIRST = 100

    def __init__(self, timestamps: Mapping[int, Sequence[int]]) -> None:
        self._timestamps = timestamps
        self.requests = 0

    def bounds(self) -> dict[int, tuple[int, int]]:
        return {p: (self.FIRST, self.FIRST + len(times)) for p, times in self._timestamps.items()}

    def narrow(self, bounds: Bounds, at_ms: int) -> dict[int, tuple[int, int]]:
        """As the reader does: the first offset, of all of the partition, with a timestamp of at least `at_ms`."""
        self.requests += 1
        if at_ms < 0:
            return dict(bounds)
        narrowed = {}
        for partition, (first, end) in bounds.items():
            times = self._timestamps[partition]
            later = [self.FIRST + i for i, time in enumerate(times) if time >= at_ms]
            narrowed[partition] = (max(first, later[0] if later else end), end)
        return narrowed

    def chosen(self, offsets_max: int) -> list[int]:
        """The timestamps of the newest offsets, sorted."""
        bounds = find_newest(self, offsets_max, NOW_MS)
        assert bounds.keys() == self._timestamps.keys()
        assert all(end == self.FIRST + len(self._timestamps[p]) for p, (_, end) in bounds.items())
        return sorted(
            self._timestamps[p][offset - self.FIRST]
            for p, (begin, end) in bounds.items()
            for offset in range(begin, end)
        )


def test_a_partition_that_is_hardly_used() -> None:
    """Old records of a quiet partition are not taken instead of new ones of a busy one."""
    quiet, busy = range(1_000, 1_010), range(NOW_MS - 50, NOW_MS)
    assert FakeTopic({0: quiet, 1: busy}).chosen(20) == list(busy[-20:])


@pytest.mark.parametrize("seed", range(20))
def test_the_newest_of_all(seed: int) -> None:
    """If publishers' timestamps are in order, it is exactly the newest ones; many share a time."""
    chance = random.Random(seed)
    times = {p: sorted(NOW_MS - chance.randint(0, 300) for _ in range(chance.randint(0, 200))) for p in range(4)}
    topic, count = FakeTopic(times), sum(map(len, times.values()))
    for offsets_max in (1, count // 3 or 1, count, count + 1):
        assert topic.chosen(offsets_max) == sorted(t for ts in times.values() for t in ts)[-offsets_max:]


def test_few_requests() -> None:
    """The time is found by bisection: about forty requests for a time since 1970."""
    topic = FakeTopic({0: range(NOW_MS - 5_000, NOW_MS), 1: range(NOW_MS - 5_000, NOW_MS)})
    topic.chosen(1_000)
    assert topic.requests < 50


@pytest.mark.parametrize(
    "timestamps",
    [
        [NOW_MS * 1_000 + i for i in range(50)],
        [-1] * 50,
        [0] * 50,
        [NOW_MS] * 50,
        [NOW_MS - i for i in range(50)],
    ],
    ids=["microseconds", "none", "zero", "now", "backwards"],
)
def test_timestamps_that_say_nothing(timestamps: list[int]) -> None:
    """Whatever publishers write as timestamps, as many offsets are taken as there should be."""
    topic = FakeTopic({0: timestamps, 1: timestamps})
    assert len(topic.chosen(30)) == 30
    assert len(topic.chosen(1_000)) == 100


def test_nothing_to_choose_from() -> None:
    """A topic without records, or with one that is not enough, is taken as it is."""
    assert FakeTopic({0: [], 1: []}).chosen(10) == []
    assert FakeTopic({0: [5], 1: []}).chosen(10) == [5]
