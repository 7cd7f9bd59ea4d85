"""Liveness in a history: when each worker decided again after the healing, and who stood still with work to do."""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

import polars as pl

from tests.chaos.history import History, Sample

_GAP_S_MAX: Final = 5.0
"""Two samples that are further apart say nothing about the time between: the machine, or the process, stood still."""


class Stuck(NamedTuple):
    """A worker that had partitions with undecided records and committed nothing."""

    worker: int
    seconds: float
    called_itself: str
    """"ready" or "healthy"."""


def decides_again(history: History, limit_s: float) -> dict[int, float | None]:
    """By worker, the seconds from the healing until it decided again.

    0 for a worker that had nothing to do meanwhile; None for one that never did.

    Args:
        history: what was recorded.
        limit_s: for how long after the healing a worker without work must be ready for it to count as idle.
    """
    healed_at_s = history.healed_at_s()
    if healed_at_s is None:
        return {}
    lag = _Lag(history.offsets)
    second: dict[int, float | None] = {}
    for worker, samples in _by_worker(history):
        after = [sample for sample in samples if sample.at_s > healed_at_s]
        if len(after) < 2:
            continue  # it was stopped before
        progressed = [at_s for at_s in _progress(samples) if at_s > healed_at_s]
        if progressed:
            second[worker] = progressed[0] - healed_at_s
        if not progressed or progressed[0] - healed_at_s > limit_s:
            window = [sample for sample in after if sample.at_s <= healed_at_s + limit_s]
            idle = window[-1].ready and not any(lag.has_work(sample) for sample in window)
            second[worker] = 0.0 if idle else second.get(worker)
    return second


def longest_stuck(history: History) -> list[Stuck]:
    """By worker, the longest time that it stood still while it called itself ready; then the same for healthy.

    Only time without a fault counts; it adds up from one fault to the next until the worker commits something, has
    nothing to do, or is another process.
    """
    faults, lag = list(history.faults()), _Lag(history.offsets)
    longest = []
    for word in ("ready", "healthy"):
        for worker, samples in _by_worker(history):
            still_s = longest_s = 0.0
            progress = set(_progress(samples))
            for earlier, sample in pairwise(samples):
                stands_still = (
                    sample.at_s not in progress
                    and sample.pid == earlier.pid
                    and lag.has_work(sample)
                    and (sample.ready if word == "ready" else sample.healthy)
                )
                if not stands_still:
                    still_s = 0.0
                elif not any(begin <= sample.at_s and earlier.at_s <= end for begin, end in faults):
                    still_s += min(sample.at_s - earlier.at_s, _GAP_S_MAX)
                longest_s = max(longest_s, still_s)
            longest.append(Stuck(worker, longest_s, word))
    return longest


def _by_worker(history: History) -> Iterator[tuple[int, list[Sample]]]:
    samples = [Sample(**row) for row in history.samples.sort("at_s").to_dicts()]
    for worker in sorted({sample.worker for sample in samples}):
        yield worker, [sample for sample in samples if sample.worker == worker]


def _progress(samples: list[Sample]) -> Iterator[float]:
    """When the worker was seen to have committed more than before."""
    pid, consumed = 0, 0.0
    for sample in samples:
        if sample.pid != pid:
            pid, consumed = sample.pid, 0.0
        if sample.consumed > consumed:
            consumed = sample.consumed
            yield sample.at_s


class _Lag:
    """How many records each partition had left to decide, by time."""

    def __init__(self, offsets: pl.DataFrame) -> None:
        looks: dict[float, set[int]] = {}
        for at_s, partition, committed, end in offsets.sort("at_s").iter_rows():
            waiting = looks.setdefault(at_s, set())
            if end != max(committed, 0):
                waiting.add(partition)
        self._times = list(looks)
        self._waiting = list(looks.values())

    def has_work(self, sample: Sample) -> bool:
        """Whether one of the worker's partitions had undecided records when it was last looked at."""
        look = bisect_right(self._times, sample.at_s) - 1
        return look >= 0 and not self._waiting[look].isdisjoint(map(int, sample.partitions.split()))
