"""Reads the newest records of a topic across its partitions, by the records' timestamps."""

import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import closing
from typing import Protocol

from scorer.operate.reading import Bounds, Skipped, TopicReader
from scorer.settings import Settings
from scorer.stream.worker import Record


class Topic(Protocol):
    """A topic whose offsets can be found by time; `scorer.operate.reading.TopicReader` describes the methods."""

    def bounds(self) -> dict[int, tuple[int, int]]: ...
    def narrow(self, bounds: Bounds, at_ms: int) -> dict[int, tuple[int, int]]: ...


def read_newest(settings: Settings, offsets_max: int, skipped: Skipped) -> Iterator[list[Record]]:
    """Yields the newest committed applications, some thousands at a time; joins no group and publishes nothing.

    Args:
        settings: the brokers and the topic.
        offsets_max: as for `find_newest`.
        skipped: counts the record batches that cannot be read.

    Raises:
        TopicsError: the topic is missing.
        BrokerError: the topic cannot be read.
    """
    with closing(TopicReader(settings, settings.applications_topic, skipped)) as reader:
        yield from reader.read(find_newest(reader, offsets_max, int(time.time() * 1_000)))


def find_newest(topic: Topic, offsets_max: int, now_ms: int) -> dict[int, tuple[int, int]]:
    """Returns the bounds of the newest offsets of a topic: as many of each partition as have the latest timestamps.

    Dividing the offsets equally would take records of last year from a partition that is hardly used. Some offsets have
    no record: transaction markers, and records that were compacted or aborted.

    Args:
        topic: the topic.
        offsets_max: the number of offsets, over all partitions; fewer if the topic has fewer.
        now_ms: the current time, in milliseconds since 1970; later timestamps are not distinguished.

    Raises:
        BrokerError: the broker does not answer.
    """
    bounds = {p: (max(first, end - offsets_max), end) for p, (first, end) in topic.bounds().items()}
    if _count(bounds) <= offsets_max:
        return bounds
    times = range(-1, now_ms + 1)  # a negative time narrows nothing
    index = bisect_left(times, True, key=lambda at_ms: _count(topic.narrow(bounds, at_ms)) < offsets_max)
    older = topic.narrow(bounds, times[index - 1])
    if index == len(times):  # enough records are later than now
        newer = {partition: (end, end) for partition, (_, end) in bounds.items()}
    else:
        newer = topic.narrow(bounds, times[index])
    return _extend(newer, older, offsets_max)


def _count(bounds: Bounds) -> int:
    return sum(max(0, end - first) for first, end in bounds.values())


def _extend(bounds: Bounds, older: Bounds, offsets_max: int) -> dict[int, tuple[int, int]]:
    """Returns bounds that begin earlier, at most where `older` begins, so that there are `offsets_max` offsets."""
    missing = offsets_max - _count(bounds)
    extended = {}
    for partition, (first, end) in bounds.items():
        begin = max(min(first, end) - missing, min(older[partition][0], end))
        missing -= min(first, end) - begin
        extended[partition] = (begin, end)
    return extended
