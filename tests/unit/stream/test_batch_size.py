"""The limit of a batch: it follows the backlog, within limits of memory and time."""

from collections.abc import Sequence

import pytest

from scorer.stream.batch_size import BatchSize

ROOMY = 1_000_000_000
NO_BACKLOG = 5_000


def batch(records: int, record_bytes: int = 200) -> Sequence[bytes]:
    """Values of this many records."""
    return [bytes(record_bytes)] * records


def count_full(size: BatchSize, batches: int, seconds: float = 0.01, record_bytes: int = 200) -> list[int]:
    """Counts full batches that are polled at this interval; returns the limit before each."""
    limits = []
    for number in range(batches):
        limits.append(size.limit)
        size.count(batch(size.limit, record_bytes), 1_000 + number * seconds)
        assert size.is_backlogged
    return limits


def test_batches_grow_with_a_backlog() -> None:
    """After each full batch the next one may be twice as large, up to the setting; the first one shows the rate."""
    assert count_full(BatchSize(20_000, ROOMY), 6) == [5_000, 5_000, 10_000, 20_000, 20_000, 20_000]


def test_batches_shrink_when_the_backlog_is_gone() -> None:
    """Each batch that is not full halves the limit, down to the one without a backlog; an empty poll counts, too."""
    size = BatchSize(20_000, ROOMY)
    count_full(size, 4)
    limits = []
    for records in (19_999, 0, 0):
        size.count(batch(records), 2_000)
        assert not size.is_backlogged
        limits.append(size.limit)
    assert limits == [10_000, NO_BACKLOG, NO_BACKLOG]


@pytest.mark.parametrize("records_max", [1, 3, 4_999, 5_000])
def test_a_small_setting_is_the_limit(records_max: int) -> None:
    """A setting of at most 5,000 records is the limit of every batch."""
    size = BatchSize(records_max, ROOMY)
    for number, records in enumerate((records_max, records_max, 0, records_max)):
        assert size.limit == records_max
        size.count(batch(records), number)
        assert size.is_backlogged is (records == records_max)
    assert size.limit == records_max


def test_memory_limits_the_growth() -> None:
    """A batch that grew has values of about the given size at most, if the records keep their size."""
    assert count_full(BatchSize(20_000, 8_000_000), 4, record_bytes=1_000) == [5_000, 5_000, 8_000, 8_000]


@pytest.mark.parametrize("record_bytes", [2_000, 100_000])
def test_large_records_shrink_a_batch(record_bytes: int) -> None:
    """After a batch of large records, the limit is the one without a backlog."""
    size = BatchSize(20_000, bytes_max=8_000_000)
    count_full(size, 3)
    count_full(size, 1, record_bytes=record_bytes)
    assert size.limit == NO_BACKLOG


def test_records_without_a_value_let_it_grow() -> None:
    """Tombstones take no memory for values."""
    assert count_full(BatchSize(20_000, 8_000_000), 3, record_bytes=0) == [5_000, 5_000, 10_000]


@pytest.mark.parametrize(
    ("seconds", "limits"),
    [(0.5, [5_000, 5_000, 10_000, 10_000, 20_000]), (0.8, [5_000, 5_000, 6_250]), (60.0, [5_000] * 4)],
)
def test_a_slow_model_limits_the_growth(seconds: float, limits: list[int]) -> None:
    """A batch that grew takes about a second: a larger one could exceed the time between two polls, again and again."""
    size = BatchSize(20_000, ROOMY)
    assert count_full(size, len(limits), seconds) == limits


def test_a_failed_batch_is_followed_by_a_small_one() -> None:
    """A batch that took too long to deliver would fail again at the same size."""
    size = BatchSize(20_000, ROOMY)
    count_full(size, 4)
    size.reset()
    assert (size.limit, size.is_backlogged) == (NO_BACKLOG, False)
