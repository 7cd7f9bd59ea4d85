"""How many records a batch may have: more while there is a backlog, within limits of memory and time."""

from collections.abc import Sequence, Sized
from typing import Final

# Limit without a backlog. A batch of this size takes milliseconds to score; with a backlog, larger ones save CPU: each
# batch has requests to the brokers, and a transaction.
_RECORDS_AT_FIRST: Final = 5_000
# How long a batch that grew takes at most, at the rate of the batch before it. A rebalance waits for a batch; and with
# a model that takes milliseconds per record, a larger batch saves nothing and could exceed max.poll.interval.ms.
_BATCH_S: Final = 1.0


class BatchSize:
    """The limit of the next batch. It doubles after each full batch, and is halved after each other one.

    No timer is involved: a batch is full if as many records were waiting as it may have. Without a backlog, a batch has
    the records that are available, whatever the limit.
    """

    def __init__(self, records_max: int, bytes_max: int) -> None:
        """Starts with the limit without a backlog.

        Args:
            records_max: the highest limit, in records.
            bytes_max: a batch of more records than without a backlog has about this size at most, in bytes of values.
        """
        self._records_max = records_max
        self._records_min = min(_RECORDS_AT_FIRST, records_max)
        self._bytes_max = bytes_max
        self.limit = self._records_min
        """Maximum number of records of the next batch. Set by `count` after each poll, and by `reset`."""
        self.is_backlogged = False
        """Whether the last batch was full, so that more records are probably waiting. Set with the limit."""
        self._before = (0, 0.0)
        """The number of records of the last batch, and when they were polled. Set by `count`."""

    def count(self, records: Sequence[Sized], at_s: float) -> None:
        """Sets the limit of the next batch.

        Args:
            records: the records of this batch; the length of each is its size in bytes.
            at_s: the time at which they were polled, on a monotonic clock.
        """
        before, before_at_s = self._before
        self._before = len(records), at_s
        self.is_backlogged = len(records) >= self.limit
        if not self.is_backlogged:
            self.limit = max(self.limit // 2, self._records_min)
        elif self._records_min < self._records_max:
            in_memory = self._bytes_max * len(records) / max(sum(map(len, records)), 1)
            in_time = _BATCH_S * before / max(at_s - before_at_s, 1e-6)
            limit = min(2 * self.limit, self._records_max, int(in_memory), int(in_time))
            self.limit = max(limit, self._records_min)

    def reset(self) -> None:
        """A batch failed: a smaller one may succeed within the time limit of a delivery."""
        self.limit, self.is_backlogged = self._records_min, False
